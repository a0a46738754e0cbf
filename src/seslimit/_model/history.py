"""
What happened to one message so far: values that travel with it, into a store and back, and onto its report.

All times are seconds since the epoch, so that they mean the same in another process.
"""

from __future__ import annotations

import attrs

from .outcome import Outcome

COUNTED = frozenset({Outcome.ACCEPTED, Outcome.TRANSIENT, Outcome.PERMANENT, Outcome.UNKNOWN})
"""Outcomes of attempts that count: the message itself was judged, or may have been taken."""

KEPT = 20
"""Attempts that a history keeps one by one, the last ones; of those before only the counts are left."""


@attrs.frozen
class Attempt:
    """
    One attempt that ended.

    Args:
        at: when it ended, seconds since the epoch.
        outcome: what it meant.
        reply: the service's words, or what went wrong; empty when accepted.
    """

    at: float
    outcome: Outcome
    reply: str = ""


@attrs.frozen
class History:
    """
    What happened to one message so far.

    Args:
        first_at: when it was first tried or queued, seconds since the epoch.
        attempts: attempts that were counted.
        throttles: attempts refused for the rate.
        outcome: what the last attempt meant; None before the first.
        unknowns: attempts whose outcome is unknown.
        recent: the last attempts, at most `KEPT`.
    """

    first_at: float
    attempts: int = 0
    throttles: int = 0
    outcome: Outcome | None = None
    unknowns: int = 0
    recent: tuple[Attempt, ...] = attrs.field(default=(), eq=False, repr=False)

    def after(self, outcome: Outcome, at: float = 0.0, reply: str = "") -> History:
        """The history with one more attempt that had this outcome."""
        return History(
            self.first_at,
            self.attempts + (outcome in COUNTED),
            self.throttles + (outcome is Outcome.THROTTLED),
            outcome,
            self.unknowns + (outcome is Outcome.UNKNOWN),
            (*self.recent[1 - KEPT :], Attempt(at, outcome, reply)),
        )
