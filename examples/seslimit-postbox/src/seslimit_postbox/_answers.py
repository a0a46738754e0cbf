"""
What Postbox's answers mean: a table, and the error that a transport raises for one.

Decides by the status and the error's name. It must not know how an answer was read.

Invariants: a status that nothing here knows is never "accepted"; a server error that may come from a gateway is
unknown, since the service behind it may have taken the message.
"""

from __future__ import annotations

import math

from seslimit import Outcome, TransportError

ACCEPTED = 202

OUTCOMES = {
    (429, "daily_quota"): Outcome.QUOTA_EXCEEDED,
    (429, ""): Outcome.THROTTLED,
    (401, ""): Outcome.ACCOUNT_BLOCKED,
    (403, ""): Outcome.ACCOUNT_BLOCKED,
    (503, ""): Outcome.TRANSIENT,
}
"""(status, error's name; empty for any) → outcome. Source: the service's own documentation; here, tests/postbox.py."""


def outcome_of(status: int, error: str) -> Outcome:
    """What an answer other than 202 means."""
    found = OUTCOMES.get((status, error)) or OUTCOMES.get((status, ""))
    if found is not None:
        return found
    return Outcome.PERMANENT if 400 <= status < 500 else Outcome.UNKNOWN


def refusal(status: int, error: str, retry_after: str, *, decided_at: float | None) -> TransportError:
    """The error for an answer that is no acceptance, with the service's words."""
    return TransportError(
        outcome_of(status, error),
        f"{status} {error}".strip(),
        retry_after=seconds(retry_after),
        decided_at=decided_at,
    )


def seconds(retry_after: str) -> float:
    """The seconds of a Retry-After header; 0 where it has none, or a date, which depends on two clocks."""
    try:
        value = float(retry_after)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and value > 0 else 0.0
