"""
The metrics: their names, what each means, and the words that it is kept by.

A table, so that the adapters, the documentation and the dashboard have the same names. Pure: reading a value is in
`of`.

Source of the form of the names: "Metric and label naming" and "Writing exporters" of Prometheus, read 2026-11.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import attrs

from .._model.events import State
from .._model.quota import SendQuota
from ._counts import REASONS, Counts, Distribution, reason_word


class Kind(enum.StrEnum):
    """What a metric is to Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@attrs.frozen
class Look:
    """What a metric is read from: what happened so far, and what goes on now, where that is known."""

    counts: Counts
    state: State | None


Value: TypeAlias = float | Mapping[str, float] | Distribution | None
"""A number, a number for each word of the label, or a distribution; None where it is not known."""


@attrs.frozen
class Metric:
    """
    One metric.

    Args:
        name: as Prometheus shows it, a counter's `_total` included.
        kind: what it is.
        help: what it means, in a sentence.
        read: its value at one look.
        label: what it is kept by; empty for nothing.
    """

    name: str
    kind: Kind
    help: str
    read: Callable[[Look], Value]
    label: str = ""


def _of_state(read: Callable[[State], float | None]) -> Callable[[Look], Value]:
    return lambda look: None if look.state is None else read(look.state)


def _of_quota(read: Callable[[SendQuota], float]) -> Callable[[Look], Value]:
    def value(look: Look) -> Value:
        if look.state is None or look.state.quota is None:
            return None
        figure = read(look.state.quota)
        return figure if math.isfinite(figure) else None

    return value


def _paused(look: Look) -> Value:
    if look.state is None:
        return None
    now = reason_word(look.state.paused.reason) if look.state.paused else ""
    return {reason: float(reason == now) for reason in REASONS}


METRICS = (
    Metric(
        "seslimit_messages_total",
        Kind.COUNTER,
        "Messages that came to an end, by their last outcome.",
        lambda look: {outcome.value: count for outcome, count in look.counts.messages.items()},
        "outcome",
    ),
    Metric(
        "seslimit_attempts_total",
        Kind.COUNTER,
        "Attempts that ended, by their outcome.",
        lambda look: {outcome.value: count for outcome, count in look.counts.attempts.items()},
        "outcome",
    ),
    Metric(
        "seslimit_recipients_total",
        Kind.COUNTER,
        "Recipients that the service accepted; its rate is the throughput.",
        lambda look: look.counts.recipients,
    ),
    Metric(
        "seslimit_throttles_total",
        Kind.COUNTER,
        "Attempts that the service refused for the rate.",
        lambda look: look.counts.throttles,
    ),
    Metric(
        "seslimit_pauses_total",
        Kind.COUNTER,
        "How often sending stopped, by the reason.",
        lambda look: look.counts.pauses,
        "reason",
    ),
    Metric(
        "seslimit_wait_seconds",
        Kind.HISTOGRAM,
        "Seconds that messages waited for their turn.",
        lambda look: look.counts.wait,
    ),
    Metric(
        "seslimit_attempt_seconds",
        Kind.HISTOGRAM,
        "Seconds from letting a message through to its outcome.",
        lambda look: look.counts.attempt,
    ),
    Metric(
        "seslimit_send_rate",
        Kind.GAUGE,
        "Recipients per second that are let through now.",
        _of_state(lambda state: state.rate),
    ),
    Metric(
        "seslimit_estimated_limit",
        Kind.GAUGE,
        "The service's limit in recipients per second, as far as it is known.",
        _of_state(lambda state: state.estimate),
    ),
    Metric(
        "seslimit_queue_depth",
        Kind.GAUGE,
        "Messages that wait: for their turn, for the end of a backoff, or in the outbox.",
        _of_state(lambda state: state.waiting + state.later),
    ),
    Metric(
        "seslimit_in_flight",
        Kind.GAUGE,
        "Attempts under way.",
        _of_state(lambda state: state.in_flight),
    ),
    Metric(
        "seslimit_paused",
        Kind.GAUGE,
        "1 for the reason for which nothing is sent now, 0 for the others.",
        _paused,
        "reason",
    ),
    Metric(
        "seslimit_quota_max_24_hour_send",
        Kind.GAUGE,
        "Recipients in any 24 hours, as the service tells; -1 for no limit.",
        _of_quota(lambda quota: quota.max_24_hour_send),
    ),
    Metric(
        "seslimit_quota_max_send_rate",
        Kind.GAUGE,
        "Recipients per second, as the service tells.",
        _of_quota(lambda quota: quota.max_send_rate),
    ),
    Metric(
        "seslimit_quota_sent_last_24_hours",
        Kind.GAUGE,
        "Recipients of the last 24 hours, as the service tells; its figure lags by minutes.",
        _of_quota(lambda quota: quota.sent_last_24_hours),
    ),
    Metric(
        "seslimit_quota_remaining",
        Kind.GAUGE,
        "Recipients left in the 24 hours, as the service tells; absent where there is no limit.",
        _of_quota(lambda quota: quota.remaining),
    ),
    Metric(
        "seslimit_feedback_total",
        Kind.COUNTER,
        "Events that SES told after it had accepted a message, by their kind.",
        lambda look: look.counts.feedback,
        "kind",
    ),
)


def exported(metrics: Iterable[Metric] = METRICS) -> frozenset[str]:
    """The names of all series that Prometheus sees."""
    parts = ("_bucket", "_count", "_sum")
    names = (
        [metric.name + part for part in parts] if metric.kind is Kind.HISTOGRAM else [metric.name] for metric in metrics
    )
    return frozenset(name for group in names for name in group)
