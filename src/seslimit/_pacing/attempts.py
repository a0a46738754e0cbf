"""
The attempts of one message: admit, attempt, conclude, decide, and again.

The loop that `Limiter.wrap`, `Sender.send` and `Sender.send_many` share. It must not know what an attempt does, nor why
the retry policy decides as it does. It waits for a turn, and for nothing else: a message that is to be tried again
later is handed back with the moment before which it is not, and whoever sends it keeps it until then, here or in a
store.

Invariants: every admission is concluded exactly once; a place in flight is held from before the admission to the end of
the attempts that follow one another, and never while a message waits to be tried again later.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import ClassVar, Generic, TypeVar

import attrs

from .._law.retry import GiveUp, HoldAccount, Retry, RetryPolicy
from .._model.endings import IdentityBlocked
from .._model.errors import printable, words_of
from .._model.history import History
from .._model.meaning import Meaning, Scope
from .._model.outcome import Outcome
from .._model.report import Receipt
from .gate import Admission
from .lanes import Places

T = TypeVar("T")

FOREIGN = (
    "seslimit: neither a network nor a client library raised this, so it is not tried again; the message may have been "
    "accepted. An exception of a client of your own is made known by classify.teach."
)
"""What is noted on an exception that says nothing of what became of the message."""


@attrs.frozen
class Postponed:
    """
    A message that is to be tried again, but not yet.

    Args:
        not_before: event-loop time (seconds) before which it is not tried.
    """

    not_before: float


@attrs.define(eq=False)
class Attempts(Generic[T]):
    """
    The attempts of one message, and what is known of it between them.

    Args:
        admission: its leave to go, which it takes anew for each attempt.
        policy: decides after an attempt that was not accepted.
        attempt: makes one attempt.
        history: what happened to it so far, but for what `accepted_at` says.
        places: where it takes its place in flight; None for no bound.
    """

    _is_prepared: ClassVar[bool] = False
    """Whether something comes between the turn and the attempt: `_begins`."""

    admission: Admission
    policy: RetryPolicy
    attempt: Callable[[], Awaitable[T]]
    history: History
    places: Places | None = None
    attempting: bool = attrs.field(default=False, init=False)
    """Whether an attempt is under way: cancelling now may lose its outcome."""
    last_attempt: bool = attrs.field(default=False, init=False)
    """Whether the attempt under way is the last, whatever the policy says: sending stops."""
    accepted_at: float | None = attrs.field(default=None, init=False)
    """When it was accepted, seconds since the epoch, as long as the history does not say so: few callers read it."""
    ended: bool = attrs.field(default=False, init=False)
    """Whether it was accepted or given up."""
    error: Exception | None = attrs.field(default=None, init=False)
    """What the last attempt raised, until one is accepted."""
    _holds_place: bool = attrs.field(default=False, init=False)
    _has_turn: bool = attrs.field(default=False, init=False)
    """Whether it was admitted, and nobody was told yet what became of that."""

    @property
    def over(self) -> bool:
        """Whether it is to be given up without an attempt."""
        return False

    @property
    def unsent(self) -> bool:
        """Whether it still has to be sent, as far as is known, and was not accepted."""
        return not (self.ended or self.history.outcome is Outcome.UNKNOWN)

    async def admit(self) -> None:
        """Wait for the turn and a place in flight; in front of the lane after the first time."""
        await self.admission.gate.enter(
            self.admission,
            front=self.history.outcome is not None,
            patience=self.policy,
            places=None if self._holds_place else self.places,
        )
        self._holds_place = self.places is not None
        self._has_turn = True

    async def run(self) -> T | Postponed:
        """
        Make attempts until one is accepted, the policy gives up, or the next one is not to be made yet.

        Returns:
            what the accepted attempt returned, or when to call this again.

        Raises:
            Exception: the last attempt's, unchanged, when the message is given up.
            AccountBlocked: the account is blocked.
            QuotaExceeded: nothing is left of the day, and the policy does not wait for it.
            EndpointUnreachable: there was no connection for as long as the policy waits.
        """
        try:
            return await self._make()
        finally:
            self.close()

    async def _make(self) -> T | Postponed:
        while True:
            if not self._has_turn:
                await self.admit()
            if self._is_prepared and not await self._begins():
                continue
            self.attempting = True
            try:
                accepted = await self.attempt()
            except Exception as error:  # noqa: BLE001  # whatever it is, it is classified, and it leaves if given up
                meaning, refused_with = self._refused(error), error
            except BaseException as end:
                self._interrupted(end)
                raise
            else:
                return self._accepted(accepted)
            finally:
                self.attempting = False
            if later := self._decide(meaning, refused_with):
                return later
            await self._requeued()

    async def _begins(self) -> bool:
        """Do what comes between the turn and the attempt; returns whether the turn still holds."""
        return True

    async def _requeued(self) -> None:
        """Do what comes before the message waits for its next turn."""

    async def to_the_end(self, wait: Callable[[float], Awaitable[None]]) -> T:
        """
        Make attempts until one is accepted or the policy gives up; as `run`, but nothing is handed back.

        Args:
            wait: returns at an event-loop time (seconds).
        """
        while isinstance(end := await self.run(), Postponed):
            await wait(end.not_before)
        return end

    def close(self) -> None:
        """Give back what is held; to be called by hand only where `run` never began."""
        self._give_turn_back()
        if self._holds_place and self.places:
            self._holds_place = False
            self.places.release()

    def _give_turn_back(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self.admission.gate.give_back(self.admission)

    def _accepted(self, accepted: T) -> T | Postponed:
        if isinstance(accepted, Receipt):
            self.admission.handed_over_at = accepted.handed_over_at
        self.error = None
        self.ended = True
        self._conclude(None)
        self.accepted_at = time.time()
        return accepted

    def _refused(self, error: Exception) -> Meaning:
        self.error = error
        meaning = self._conclude(error) or Meaning(Outcome.UNKNOWN)
        self.history = self.history.after(meaning.outcome, time.time(), printable(words_of(error)))
        return meaning

    def _interrupted(self, end: BaseException) -> None:
        self._conclude(end)
        self.history = self.history.after(Outcome.UNKNOWN, time.time(), "cancelled in the middle of the attempt")

    def _decide(self, meaning: Meaning, error: Exception) -> Postponed | None:
        """Do as the policy says after an attempt that was not accepted; nothing is returned to go on at once."""
        if meaning.foreign:
            error.add_note(FOREIGN)
            self.ended = True
            raise error
        decision = self.policy.decide(self.history, time.time())
        self.ended = isinstance(decision, GiveUp)
        if self.ended or self.last_attempt:
            raise error
        match decision:
            case HoldAccount() if meaning.scope is Scope.IDENTITY:
                raise IdentityBlocked(printable(words_of(error))) from error
            case HoldAccount():
                raise self.admission.gate.stopped_by(meaning.outcome) from error
            case Retry(wait):
                return Postponed(asyncio.get_running_loop().time() + wait)
        return None

    def _conclude(self, exc: BaseException | None) -> Meaning | None:
        if not self._has_turn:
            return None
        self._has_turn = False
        return self.admission.gate.conclude(self.admission, exc)
