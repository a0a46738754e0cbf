"""
What happens, as small values: one stream of them reaches whoever listens.

Values only. They are made where the thing happens, by the limiter and the sender, and nothing is made where nobody
listens. Moments are seconds of the event loop's clock, but for `Report.at`.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable
from typing import TypeAlias

import attrs

from .meaning import Scope
from .outcome import Outcome
from .quota import SendQuota
from .report import Report


class Reason(enum.StrEnum):
    """Why nothing is sent for a while. The value is the word used in reports, in JSON and in metrics."""

    ACCOUNT_BLOCKED = "account blocked"
    QUOTA_EXCEEDED = "quota exceeded"
    ENDPOINT_UNREACHABLE = "endpoint unreachable"
    OUTCOMES_UNKNOWN = "outcomes unknown"
    """Message after message may have been accepted, and none certainly was."""


@attrs.frozen(kw_only=True)
class Attempted:
    """
    One attempt has ended.

    Args:
        key: the message's key; None where the limiter was not told of a message.
        cost: its recipients.
        outcome: what the attempt meant; `UNKNOWN` for one that was cancelled in the middle.
        scope: what the outcome is about.
        admitted_at: when it was let through.
        handed_over_at: when the service had the whole message; None when not known.
        settled_at: when its outcome was known.
        waited: seconds that it had waited for its turn.
        reply: what the attempt raised, in words; empty when accepted.
        transport: the name of the transport's class; empty where the limiter was not told of one.
    """

    key: Hashable
    cost: float
    outcome: Outcome
    scope: Scope
    admitted_at: float
    handed_over_at: float | None
    settled_at: float
    waited: float
    reply: str = ""
    transport: str = ""


@attrs.frozen
class Paused:
    """
    Nothing is sent for a while; told again when the moment moves.

    Args:
        reason: why; a `Reason`, or the words that a pause by hand was given.
        until: when the next message may go and find out whether it is over; None for a pause that ends by hand.
    """

    reason: str
    until: float | None


@attrs.frozen
class Resumed:
    """
    Sending goes on.

    Args:
        reason: why it had paused.
    """

    reason: str


@attrs.frozen
class Learnt:
    """
    The limiter believes something else about the service's limit than before.

    Args:
        estimate: recipients/s; None when nothing is known any more.
        cause: what it was learnt from: an outcome's word, or "quota" for the service's own figures.
    """

    estimate: float | None
    cause: str


@attrs.frozen(kw_only=True)
class State:
    """
    What a limiter, or a sender with its limiter, is doing at one moment.

    Args:
        rate: recipients/s that are let through.
        estimate: the service's limit in recipients/s, as far as it is known.
        waiting: messages that wait for their turn.
        in_flight: attempts under way; a limiter counts those of all that it let through.
        later: messages of the sender that wait out a backoff.
        paused: why nothing is sent, and until when; None while it is.
        quota: the account's sending quota as last heard from the service.
    """

    rate: float
    estimate: float | None
    waiting: int
    in_flight: int
    later: int = 0
    paused: Paused | None
    quota: SendQuota | None


Event: TypeAlias = Report | Attempted | Paused | Resumed | Learnt
