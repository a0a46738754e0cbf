"""
OpenTelemetry: a span for each attempt, and the metrics, with its names for messaging where it has any.

An event comes when an attempt has ended, so its span is made then, with the times that it had; it belongs to whichever
span was current where the message was sent.

Source: OpenTelemetry semantic conventions for messaging spans and for messaging metrics, read 2026-11.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from opentelemetry.trace import SpanKind, StatusCode, TracerProvider

from .._model.events import Attempted, Event
from .._model.outcome import Outcome
from .._model.report import Report
from ._counts import Named
from ._metrics import METRICS, Kind, Look, Metric
from ._observer import Observer
from ._state import HasState

SYSTEM = {"messaging.system": "aws_ses", "messaging.operation.name": "send", "messaging.operation.type": "send"}

DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds: upper bounds of `messaging.client.operation.duration`. Source: the conventions for messaging metrics."""

NO_ERRORS = frozenset({Outcome.ACCEPTED, Outcome.THROTTLED, Outcome.QUOTA_EXCEEDED})
"""Outcomes that no span is marked for: a throttle is waited out, and the message is none the worse."""


class OpenTelemetryHook:
    """
    A hook that makes spans and metrics: `Sender(hooks=[hook])`, then `hook.watch(sender)`.

    Args:
        tracer_provider, meter_provider: OpenTelemetry's own, as the program has set them, when left out.
    """

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self._observer = Observer()
        self._tracer = trace.get_tracer("seslimit", tracer_provider=tracer_provider)
        meter = metrics.get_meter("seslimit", meter_provider=meter_provider)
        self._sent = meter.create_counter(
            "messaging.client.sent.messages", "{message}", "Messages that came to an end, by their last outcome."
        )
        self._seconds = meter.create_histogram(
            "messaging.client.operation.duration",
            "s",
            "Seconds from letting a message through to its outcome.",
            explicit_bucket_boundaries_advisory=DURATIONS,
        )
        for metric in METRICS:
            if metric.name not in ("seslimit_messages_total", "seslimit_attempt_seconds", "seslimit_wait_seconds"):
                make = meter.create_observable_counter if metric.kind is Kind.COUNTER else meter.create_observable_gauge
                name = metric.name.removesuffix("_total").replace("seslimit_", "seslimit.", 1)
                make(name, [self._reader(metric)], description=metric.help)

    def watch(self, source: HasState) -> None:
        """Read the gauges from this sender or limiter, from now on."""
        self._observer.watch(source)

    async def on_feedback(self, event: Named) -> None:
        """Hear one event of `seslimit.feedback`: for `Feed(hooks=[hook.on_feedback])`."""
        self._observer.counts.on_feedback(event)

    def on_event(self, event: Event) -> None:
        """Hear one event of a sender or a limiter."""
        self._observer.on_event(event)
        if isinstance(event, Attempted):
            self._attempted(event)
        elif isinstance(event, Report):
            self._sent.add(1, {**SYSTEM, "seslimit.outcome": event.outcome.value, **_error(event.outcome)})

    def _attempted(self, event: Attempted) -> None:
        # The event's times are the loop's, a span's are the epoch's.
        to_epoch = time.time() - asyncio.get_running_loop().time()
        outcome = event.outcome
        kept_by = {**SYSTEM, "seslimit.outcome": outcome.value, **_error(outcome)}
        span = self._tracer.start_span(
            "send",
            kind=SpanKind.CLIENT,
            start_time=round((event.admitted_at + to_epoch) * 1e9),
            attributes={
                **kept_by,
                "seslimit.recipients": event.cost,
                "seslimit.waited": event.waited,
                "seslimit.transport": event.transport,
            },
        )
        if outcome not in NO_ERRORS:
            span.set_status(StatusCode.ERROR, event.reply)
        span.end(round((event.settled_at + to_epoch) * 1e9))
        self._seconds.record(event.settled_at - event.admitted_at, kept_by)

    def _reader(self, metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def read(_: CallbackOptions) -> Iterable[Observation]:
            value = metric.read(Look(self._observer.counts, self._observer.state_from_anywhere()))
            if isinstance(value, float | int):
                yield Observation(value)
            elif isinstance(value, dict):
                for word, number in value.items():
                    yield Observation(number, {f"seslimit.{metric.label}": word})

        return read


def _error(outcome: Outcome) -> dict[str, str]:
    return {} if outcome in NO_ERRORS else {"error.type": outcome.value}
