"""Prometheus and OpenTelemetry: what they are told, and the dashboard that reads it."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from seslimit import ConfigurationError, Limiter, Message, Outcome, Sender, SendQuota
from seslimit.observe import OpenTelemetryHook, PrometheusHook
from seslimit.observe._metrics import METRICS, exported
from seslimit.testing import FakeTransport
from seslimit.testing.virtual_time import on_virtual_time

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
MESSAGE = Message("news@example.org", ("ada@example.net", "eve@example.net"), b"Subject: x\r\n\r\nHi", "ada-7")
CONTRACT = {
    "seslimit_messages_total",
    "seslimit_throttles_total",
    "seslimit_send_rate",
    "seslimit_estimated_limit",
    "seslimit_queue_depth",
    "seslimit_wait_seconds_bucket",
    "seslimit_attempt_seconds_bucket",
    "seslimit_quota_max_24_hour_send",
    "seslimit_quota_sent_last_24_hours",
    "seslimit_feedback_total",
}
"""Names that dashboards and alerts are built on: they stay."""


def samples(hook: PrometheusHook) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What Prometheus reads, by name and labels."""
    text, _ = hook.exposition()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


async def sent(hook: PrometheusHook | OpenTelemetryHook, *outcomes: Outcome) -> Sender:
    """One message, of which the attempts have these outcomes."""
    left = iter(outcomes)
    sender = Sender(FakeTransport(lambda _: next(left)), limiter=Limiter(50), hooks=[hook])
    hook.watch(sender)
    sender.limiter.quota_figures(SendQuota(50_000, 50, 40_000))
    await sender.send(MESSAGE)
    return sender


@on_virtual_time
async def test_prometheus_reads_what_happened_and_what_goes_on() -> None:
    """Its own parser takes it."""
    hook = PrometheusHook()
    sender = await sent(hook, Outcome.THROTTLED, Outcome.ACCEPTED)
    read = samples(hook)
    await sender.aclose()
    expected = {
        ("seslimit_messages_total", (("outcome", "accepted"),)): 1,
        ("seslimit_attempts_total", (("outcome", "throttled"),)): 1,
        ("seslimit_throttles_total", ()): 1,
        ("seslimit_recipients_total", ()): 2,
        ("seslimit_attempt_seconds_count", ()): 2,
        ("seslimit_wait_seconds_bucket", (("le", "+Inf"),)): 2,
        ("seslimit_quota_remaining", ()): 10_000,
        ("seslimit_paused", (("reason", "quota exceeded"),)): 0,
        ("seslimit_queue_depth", ()): 0,
    }
    assert {key: read[key] for key in expected} == expected
    assert {name for name, _ in read} == exported()


def test_the_names_that_dashboards_rest_on_stay() -> None:
    """A metric that is renamed is an alert that never comes."""
    assert exported() >= CONTRACT


def test_nothing_is_kept_by_what_grows_with_the_mail() -> None:
    """Labels are words of the library. Source: Prometheus, "Do not overuse labels", read 2026-11."""
    assert {metric.label for metric in METRICS} <= {"", "outcome", "reason", "kind"}


def test_two_hooks_on_one_registry_are_refused_in_a_sentence() -> None:
    """Prometheus would raise an error about duplicated time series."""
    registry = CollectorRegistry()
    PrometheusHook(registry)
    with pytest.raises(ConfigurationError, match="has the metrics of seslimit already"):
        PrometheusHook(registry)


def test_without_an_event_loop_there_are_counts_and_no_gauges() -> None:
    """A scrape before the program has begun is answered."""
    names = {name for name, _ in samples(PrometheusHook())}
    assert "seslimit_messages_total" in names
    assert "seslimit_send_rate" not in names


async def test_a_scrape_in_another_thread_reads_the_gauges() -> None:
    """As `prometheus_client.start_http_server` does; the limiter belongs to its loop, which is asked."""
    hook = PrometheusHook()
    sender = await sent(hook, Outcome.ACCEPTED)
    read = await asyncio.to_thread(samples, hook)
    await sender.aclose()
    assert read["seslimit_send_rate", ()] == 50


def test_a_scrape_after_the_loop_has_ended_reads_what_was_last_known() -> None:
    """And does not wait for it."""
    hook = PrometheusHook()

    async def main() -> None:
        sender = await sent(hook, Outcome.ACCEPTED)
        samples(hook)
        await sender.aclose()

    asyncio.run(main())
    read: list[float] = []
    thread = threading.Thread(target=lambda: read.append(samples(hook)["seslimit_send_rate", ()]))
    thread.start()
    thread.join(10)
    assert read == [50]


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    """Every name in its queries is exported, and every metric is on it."""
    dashboard = json.loads((ROOT / "examples" / "monitoring" / "grafana.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    asked = set(re.findall(r"seslimit_\w+", " ".join(queries)))
    assert asked <= exported()
    assert {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name in asked} >= {
        metric.name for metric in METRICS
    } - {"seslimit_attempts_total", "seslimit_quota_max_send_rate"}


def test_the_page_of_the_documentation_has_every_metric() -> None:
    """With the words of the code."""
    page = (ROOT / "docs" / "monitoring.md").read_text()
    missing = [metric.name for metric in METRICS if f"| `{metric.name}` |" not in page or metric.help not in page]
    assert missing == []


@on_virtual_time
async def test_each_attempt_is_a_span_and_a_throttle_is_no_error() -> None:
    """Source of the names: OpenTelemetry semantic conventions for messaging spans, read 2026-11."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    hook = OpenTelemetryHook(tracer_provider=provider, meter_provider=MeterProvider())
    with provider.get_tracer("test").start_as_current_span("job") as job:
        sender = await sent(hook, Outcome.THROTTLED, Outcome.ACCEPTED)
    await sender.aclose()
    spans = [span for span in exporter.get_finished_spans() if span.name == "send"]
    assert [(span.attributes or {})["seslimit.outcome"] for span in spans] == ["throttled", "accepted"]
    assert [span.status.status_code for span in spans] == [StatusCode.UNSET, StatusCode.UNSET]
    assert {(span.attributes or {})["messaging.system"] for span in spans} == {"aws_ses"}
    # "SHOULD NOT set messaging.batch.message_count on spans that operate with a single message".
    assert not any("messaging.batch.message_count" in (span.attributes or {}) for span in spans)
    assert all(span.parent is not None and span.parent.span_id == job.get_span_context().span_id for span in spans)
    assert not any("@" in str(value) for span in spans for value in (span.attributes or {}).values())


@on_virtual_time
async def test_a_failed_attempt_is_a_span_with_its_error() -> None:
    """`error.type` is the outcome's word."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    hook = OpenTelemetryHook(tracer_provider=provider, meter_provider=MeterProvider())
    with pytest.raises(Exception, match="permanent"):
        await sent(hook, Outcome.PERMANENT)
    (span,) = exporter.get_finished_spans()
    assert (span.status.status_code, (span.attributes or {})["error.type"]) == (StatusCode.ERROR, "permanent")


@on_virtual_time
async def test_the_metrics_of_opentelemetry_are_those_of_prometheus() -> None:
    """But for those that its conventions have a name for."""
    reader = InMemoryMetricReader()
    hook = OpenTelemetryHook(tracer_provider=TracerProvider(), meter_provider=MeterProvider([reader]))
    sender = await sent(hook, Outcome.THROTTLED, Outcome.ACCEPTED)
    data = reader.get_metrics_data()
    await sender.aclose()
    assert data is not None
    found = {
        metric.name: metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert {"messaging.client.sent.messages", "messaging.client.operation.duration"} <= set(found)
    bounds = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]  # the conventions' own
    (point,) = found["messaging.client.operation.duration"].data.data_points[:1]
    assert isinstance(point, HistogramDataPoint)
    assert list(point.explicit_bounds) == bounds
    assert {"seslimit.throttles", "seslimit.send_rate", "seslimit.quota_remaining"} <= set(found)
    (point,) = found["seslimit.throttles"].data.data_points
    assert point.value == 1  # type: ignore[union-attr]
