"""
What is said while nothing is sent: to the log, to hooks, and to callers who do not wait for the end of it.

Decides nothing about when sending goes on (that is `_law.pause`). It must not know who waits, or how.

Invariant: a reason is logged once when a rest begins and once when it ends.
"""

from __future__ import annotations

import logging
import math

import attrs

from .._law.account import Account
from .._law.retry import RetryPolicy
from .._model.endings import AccountBlocked, EndpointUnreachable, IdentityBlocked, QuotaExceeded, SendingStopped
from .._model.errors import printable, words_of
from .._model.events import Paused, Resumed
from .._model.meaning import Meaning, Scope
from .._model.outcome import Outcome

logger = logging.getLogger("seslimit")

STOPPING = frozenset({Outcome.ACCOUNT_BLOCKED, Outcome.QUOTA_EXCEEDED, Outcome.NOT_SENT})
"""Outcomes after which sending may stop as a whole; the last error of each is kept, to say why."""


@attrs.define(eq=False)
class Stops:
    """
    The words for one account that rests, or has to stop.

    Args:
        account: tells whether it rests, and until when.
    """

    _account: Account
    _last: dict[Outcome, Exception] = attrs.field(factory=dict, init=False, repr=False)
    _refused: dict[str, Exception] = attrs.field(factory=dict, init=False, repr=False)
    told: Paused | None = attrs.field(default=None, init=False)
    """What was last told: why nothing is sent; None where sending goes on."""

    def heard(self, meaning: Meaning, error: Exception, identity: str) -> None:
        """Keep what an attempt was refused with, if sending may stop for it, or all that this sender sends."""
        if meaning.scope is Scope.IDENTITY and identity:
            self._refused = {
                sender: self._refused[sender] for sender in self._account.identities if sender in self._refused
            }
            self._refused[identity] = error
        elif meaning.outcome in STOPPING:
            self._last[meaning.outcome] = error

    def refuse(self, now: float, patience: RetryPolicy | None, identity: str = "") -> None:
        """
        Raise, where waiting for the end of a rest helps nobody, or not this caller.

        Args:
            now: seconds of the event loop's clock.
            patience: says what is not waited out; None for a caller who waits for everything but a blocked account.
            identity: the caller's sender; empty where it is not known.

        Raises:
            IdentityBlocked: nothing of this sender's can be sent now.
            AccountBlocked, QuotaExceeded, EndpointUnreachable: why nothing can be sent now.
        """
        if self._account.blocked(now):
            # An account that is blocked stays so until somebody acts.
            raise self.stopped_by(Outcome.ACCOUNT_BLOCKED, now)
        if self._account.identities and self._account.blocks(identity, now):
            error = self._refused.get(identity)
            raise IdentityBlocked(_words(error) or "The sender is blocked.") from error
        if patience is None:
            return
        if patience.on_quota_exceeded == "stop" and self._account.out_of_quota(now):
            raise self.stopped_by(Outcome.QUOTA_EXCEEDED, now)
        if self._account.given_up(now, patience.max_unreachable):
            raise self.stopped_by(Outcome.NOT_SENT, now)

    def stopped_by(self, outcome: Outcome, now: float) -> SendingStopped:
        """
        The error for a stop, in the words of the last attempt that was refused so, which is its cause.

        Args:
            outcome: what that attempt meant.
            now: seconds of the event loop's clock.
        """
        error = self._last.get(outcome)
        words = _words(error)
        match outcome:
            case Outcome.ACCOUNT_BLOCKED:
                stopped: SendingStopped = AccountBlocked(words or "The account is blocked.")
            case Outcome.QUOTA_EXCEEDED:
                stopped = QuotaExceeded(
                    words or "Nothing is left of the daily sending quota.", retry_after=self._account.quota_back_in(now)
                )
            case _:
                stopped = EndpointUnreachable(words or "No connection to the service could be made.")
        stopped.__cause__ = error
        return stopped

    def paused(self) -> Paused | None:
        """Why nothing is sent now, and until when."""
        reason = self._account.paused
        if reason is None:
            return None
        until = self._account.opens_at()
        return Paused(reason, None if math.isinf(until) else until)

    def changes(self, now: float) -> tuple[Paused | Resumed, ...]:
        """What is to be told now and was not told yet; logged, where it begins or ends."""
        if self.told is None and self._account.paused is None:
            return ()
        before, self.told = self.told, self.paused()
        if self.told == before:
            return ()
        if self.told is None:
            logger.info("sending resumed")
            return () if before is None else (Resumed(before.reason),)
        if before is None or before.reason != self.told.reason:
            self._log(now, self.told)
        return (self.told,)

    def _log(self, now: float, paused: Paused) -> None:
        if paused.until is None:
            logger.warning("sending paused: %s; until it is released", paused.reason)
            return
        frees_at = self._account.day.frees_at(now) if self._account.quota_pause.active else None
        hours = 0.0 if frees_at is None else (frees_at - now) / 3600
        sure = f"; what was sent first leaves the 24 hours in {hours:.1f} h" if hours else ""
        logger.warning("sending paused: %s%s; probing with one message at a time", paused.reason, sure)


def _words(error: Exception | None) -> str:
    return "" if error is None else printable(words_of(error))
