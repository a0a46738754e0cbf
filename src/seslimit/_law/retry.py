"""
What to do after an attempt that was not accepted.

Decides among requeue, retry, give up and hold; counts only what the message is answerable for. It must not know how
the outcome was found out, and it neither waits nor sleeps. The waits come from backoff's generators and jitter, used
nowhere else, so that another supplier of them is a change of one line.

Invariants: a throttle, an exceeded quota or a lost connection never uses up an attempt; the decision depends only on
the arguments, except for the jitter of a wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

import attrs
import backoff

from .._model.history import COUNTED, History
from .._model.options import numeric, one_of
from .._model.outcome import Outcome

SHORTEST_WAIT = 0.1
"""Seconds. A fully jittered wait may come out at nothing, which is no wait."""


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
    yield from map(float, generator)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """
    How often and after what waits a message is tried again.

    Args:
        max_attempts: counted attempts for one message, at least 1. Throttles, an exceeded quota and attempts that never
            reached the service do not count.
        max_unknown: attempts for one message whose outcome is unknown, at least 1: each may have been accepted.
        first_wait: upper bound of the wait after the first transient failure, in seconds. SES's documents suggest 5 s.
        max_wait: upper bound of any wait, in seconds. SES's documents suggest 20 minutes.
        on_unknown: what to do when the connection broke after the content was handed over. "resend" tries again (RFC
            5321, 4.5.4.1: rather twice than never); "hold" never sends twice and reports `unknown`.
        on_quota_exceeded: what to do when nothing is left of the rolling 24 hours. "wait" keeps the message until there
            is; "stop" gives it back at once with `QuotaExceeded`, for a caller who has somebody else to tell.
        max_age: seconds after which a message is not tried again, None for no bound.
        max_unreachable: seconds without any connection after which sending stops with `EndpointUnreachable`. Where no
            connection was ever made, three failures are enough: then it is the configuration that is wrong.
        jitter: draws a wait from its upper bound; `backoff.full_jitter` when left out.

    Raises:
        ConfigurationError: an option is out of its range.
    """

    max_attempts: int = attrs.field(default=5, validator=numeric("counted attempts", low=1))
    max_unknown: int = attrs.field(default=2, validator=numeric("attempts", low=1))
    first_wait: float = attrs.field(default=5.0, validator=numeric("seconds", low=0, above=True))
    max_wait: float = attrs.field(default=1200.0, validator=numeric("seconds", low=0, above=True))
    on_unknown: Literal["resend", "hold"] = attrs.field(default="resend", validator=one_of("resend", "hold"))
    on_quota_exceeded: Literal["wait", "stop"] = attrs.field(default="wait", validator=one_of("wait", "stop"))
    max_age: float | None = attrs.field(default=None, validator=numeric("seconds", low=0, optional=True))
    max_unreachable: float = attrs.field(default=900.0, validator=numeric("seconds", low=0))
    jitter: Callable[[float], float] = attrs.field(default=backoff.full_jitter, eq=False, repr=False)

    def decide(self, history: History, now: float) -> Decision:
        """
        What to do with a message whose last attempt was not accepted.

        Args:
            history: what happened to it, the last attempt included.
            now: seconds since the epoch, as `history.first_at`.
        """
        match history.outcome:
            case Outcome.ACCOUNT_BLOCKED:
                return HoldAccount()
            case Outcome.QUOTA_EXCEEDED if self.on_quota_exceeded == "stop":
                return HoldAccount()
            case Outcome.PERMANENT:
                return GiveUp()
            case Outcome.UNKNOWN if self.on_unknown == "hold" or history.unknowns >= self.max_unknown:
                return GiveUp()
        if self.max_age is not None and now - history.first_at >= self.max_age:
            return GiveUp()
        if history.outcome not in COUNTED:
            return Requeue()
        if history.attempts >= self.max_attempts:
            return GiveUp()
        bound = self._bound(history.attempts)
        return Retry(max(min(SHORTEST_WAIT, bound), self.jitter(bound)))

    def _bound(self, attempts: int) -> float:
        bounds = waits(self.first_wait, self.max_wait)
        for _ in range(attempts - 1):
            next(bounds)
        return next(bounds)
