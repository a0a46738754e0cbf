"""
Prometheus: what is counted and what goes on, whenever it is asked for.

Nothing is done for Prometheus while messages go out: the events are counted as for everything else, and a scrape reads
the counts. So a scrape costs about the same whatever was sent, and a message next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from .._model.errors import ConfigurationError
from .._model.events import Event
from ._counts import Counts, Distribution, Named
from ._metrics import METRICS, Kind, Look, Metric
from ._observer import Observer
from ._state import HasState


class PrometheusHook(Collector):
    """
    A hook that Prometheus can read: `Sender(hooks=[hook])`, then `hook.watch(sender)`.

    Without `watch` it has what was counted, and no gauges.

    Args:
        registry: where it registers, for example `prometheus_client.REGISTRY`; one of its own when left out.
        observer: what it reads; an observer of its own when left out.

    Raises:
        ConfigurationError: the registry has one already.
    """

    def __init__(self, registry: CollectorRegistry | None = None, *, observer: Observer | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self._observer = observer or Observer()
        try:
            self.registry.register(self)
        except ValueError:
            raise ConfigurationError(
                "this registry has the metrics of seslimit already: give each PrometheusHook a registry of its own, or "
                "one hook to all senders."
            ) from None

    @property
    def counts(self) -> Counts:
        """What was counted so far."""
        return self._observer.counts

    def watch(self, source: HasState) -> None:
        """Read the gauges from this sender or limiter, from now on."""
        self._observer.watch(source)

    def on_event(self, event: Event) -> None:
        """Hear one event of a sender or a limiter."""
        self._observer.on_event(event)

    async def on_feedback(self, event: Named) -> None:
        """Hear one event of `seslimit.feedback`: for `Feed(hooks=[hook.on_feedback])`."""
        self.counts.on_feedback(event)

    def describe(self) -> Iterable[Family]:
        """The metrics without their values."""
        return [_family(metric) for metric in METRICS]

    def collect(self) -> Iterable[Family]:
        """The metrics; called by the registry at each scrape, in whichever thread that is."""
        look = Look(self._observer.counts, self._observer.state_from_anywhere())
        for metric in METRICS:
            family = _family(metric)
            _fill(family, metric, look)
            yield family

    def exposition(self) -> tuple[bytes, str]:
        """All metrics of the registry in Prometheus's text format, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


def _family(metric: Metric) -> Family:
    labels = [metric.label] if metric.label else []
    match metric.kind:
        case Kind.COUNTER:
            return CounterMetricFamily(metric.name.removesuffix("_total"), metric.help, labels=labels)
        case Kind.GAUGE:
            return GaugeMetricFamily(metric.name, metric.help, labels=labels)
        case Kind.HISTOGRAM:
            return HistogramMetricFamily(metric.name, metric.help, labels=labels)


def _fill(family: Family, metric: Metric, look: Look) -> None:
    value = metric.read(look)
    if value is None:
        return
    name = metric.name
    if isinstance(value, Distribution):
        cumulated = value.cumulated()
        for bound, count in zip([*map(str, value.bounds), "+Inf"], cumulated, strict=True):
            family.add_sample(f"{name}_bucket", {"le": bound}, count)
        family.add_sample(f"{name}_count", {}, cumulated[-1])
        family.add_sample(f"{name}_sum", {}, value.total)
    elif isinstance(value, float | int):
        family.add_sample(name, {}, value)
    else:
        for word, number in list(value.items()):
            family.add_sample(name, {metric.label: word}, number)
