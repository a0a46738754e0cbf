"""
What to do after an attempt that was not accepted.

Decides among requeue, retry, give up and hold; counts only what the message is answerable for. It must not know how
the outcome was found out, and it neither waits nor sleeps. The waits come from backoff's generators and jitter, used
nowhere else, so that another supplier of them is a change of one line.

Invariants: a throttle, an exceeded quota or a lost connection never uses up an attempt; the decision depends only on
the arguments, except for the jitter of a wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import attrs
import backoff

from .._model.outcome import Outcome

SHORTEST_WAIT = 0.1
"""Seconds. A fully jittered wait may come out at nothing, which is no wait."""

COUNTED = frozenset({Outcome.ACCEPTED, Outcome.TRANSIENT, Outcome.PERMANENT, Outcome.UNKNOWN})
"""Outcomes of attempts that count: the message itself was judged, or may have been taken."""


@attrs.frozen
class History:
    """
    What happened to one message so far.

    Args:
        first_at: when it was first tried or queued, seconds of the caller's clock.
        attempts: attempts that were counted.
        throttles: attempts refused for the rate.
        outcome: what the last attempt meant; None before the first.
    """

    first_at: float
    attempts: int = 0
    throttles: int = 0
    outcome: Outcome | None = None

    def after(self, outcome: Outcome) -> History:
        """The history with one more attempt that had this outcome."""
        attempts = self.attempts + (outcome in COUNTED)
        throttles = self.throttles + (outcome is Outcome.THROTTLED)
        return History(self.first_at, attempts, throttles, outcome)


@attrs.frozen
class Requeue:
    """Put back at the front of the queue; no attempt was counted."""


@attrs.frozen
class Retry:
    """Try again after `wait` seconds; the attempt was counted."""

    wait: float


@attrs.frozen
class GiveUp:
    """Make no further attempt for this message."""


@attrs.frozen
class HoldAccount:
    """Stop sending altogether; the message stays unsent."""


Decision: TypeAlias = Requeue | Retry | GiveUp | HoldAccount


def waits(first: float, longest: float) -> Iterator[float]:
    """Upper bounds of successive waits, in seconds: `first`, doubled each time, at most `longest`."""
    generator = backoff.expo(base=2, factor=first, max_value=longest)
    next(generator)  # the first value of a backoff generator is not a wait
    for bound in generator:
        yield float(bound)


def jittered(bound: float) -> float:
    """A random wait of at most `bound` seconds, fully jittered."""
    return max(min(SHORTEST_WAIT, bound), float(backoff.full_jitter(bound)))


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """
    How often and after what waits a message is tried again.

    Args:
        max_attempts: counted attempts for one message, at least 1. Throttles, an exceeded quota and attempts that never
            reached the service do not count.
        first_wait: upper bound of the wait after the first transient failure, in seconds. SES's documents suggest 5 s.
        max_wait: upper bound of any wait, in seconds. SES's documents suggest 20 minutes.
        on_unknown: what to do when the connection broke after the content was handed over. "resend" tries again (RFC
            5321, 4.5.4.1: rather twice than never); "hold" never sends twice and reports `unknown`.
        on_quota_exceeded: what to do when nothing is left of the rolling 24 hours. "wait" keeps the message until there
            is; "stop" gives it back at once with `QuotaExceeded`, for a caller who has somebody else to tell.
        max_age: seconds after which a message is not tried again, None for no bound.
        max_unreachable: seconds without any connection after which sending stops with `EndpointUnreachable`. Where no
            connection was ever made, three failures are enough: then it is the configuration that is wrong.
    """

    max_attempts: int = attrs.field(default=5, validator=attrs.validators.ge(1))
    first_wait: float = attrs.field(default=5.0, validator=attrs.validators.gt(0))
    max_wait: float = attrs.field(default=1200.0, validator=attrs.validators.gt(0))
    on_unknown: Literal["resend", "hold"] = attrs.field(
        default="resend", validator=attrs.validators.in_(("resend", "hold"))
    )
    on_quota_exceeded: Literal["wait", "stop"] = attrs.field(
        default="wait", validator=attrs.validators.in_(("wait", "stop"))
    )
    max_age: float | None = None
    max_unreachable: float = 900.0

    def decide(self, history: History, now: float) -> Decision:
        """
        What to do with a message whose last attempt was not accepted.

        Args:
            history: what happened to it, the last attempt included.
            now: seconds of the clock that `history.first_at` was read from.
        """
        match history.outcome:
            case Outcome.ACCOUNT_BLOCKED:
                return HoldAccount()
            case Outcome.QUOTA_EXCEEDED if self.on_quota_exceeded == "stop":
                return HoldAccount()
            case Outcome.PERMANENT:
                return GiveUp()
            case Outcome.UNKNOWN if self.on_unknown == "hold":
                return GiveUp()
        if self.max_age is not None and now - history.first_at >= self.max_age:
            return GiveUp()
        if history.outcome not in COUNTED:
            return Requeue()
        if history.attempts >= self.max_attempts:
            return GiveUp()
        return Retry(jittered(self._bound(history.attempts)))

    def _bound(self, attempts: int) -> float:
        bounds = waits(self.first_wait, self.max_wait)
        for _ in range(attempts - 1):
            next(bounds)
        return next(bounds)
