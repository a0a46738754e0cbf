"""
One message's way from its first admission to its end: admit, attempt, settle, decide, and again.

The loop that `Limiter.wrap`, `Sender.send` and `Sender.send_many` share. It must not know what an attempt does, nor why
the retry policy decides as it does.

Invariants: every admission is settled exactly once; a place in flight is held from before the admission to the end of
the attempt, and while a backoff is waited out only when too many wait already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import attrs

from .._law.retry import GiveUp, History, HoldAccount, Retry, RetryPolicy
from .._meaning.classify import meaning
from .._model.outcome import Outcome

if TYPE_CHECKING:
    from .limiter import Admission, Limiter

T = TypeVar("T")


@attrs.frozen(eq=False)
class Places:
    """
    Room for attempts in flight, and for messages that wait out a backoff without being in flight.

    Args:
        in_flight: attempts at the same time.
        backing_off: messages that may wait out a backoff without a place in flight. A further one keeps its place, so
            that a service in trouble stops the supply of new messages instead of filling memory.
    """

    in_flight: asyncio.Semaphore = attrs.field(converter=asyncio.Semaphore)
    backing_off: asyncio.Semaphore = attrs.field(converter=asyncio.Semaphore)


@attrs.define(eq=False)
class Delivery:
    """
    The state of one message between its attempts.

    Args:
        limiter: admits it, and is told what became of each admission.
        policy: decides after an attempt that was not accepted.
        cost: its number of recipients.
        history: what happened to it so far.
        places: where it takes its place in flight; None for no bound.
    """

    limiter: Limiter
    policy: RetryPolicy
    cost: int
    history: History
    places: Places | None = None
    holds_place: bool = False
    attempting: bool = attrs.field(default=False, init=False)
    """Whether an attempt is under way: cancelling now may lose its outcome."""
    interrupted: bool = attrs.field(default=False, init=False)
    """Whether an attempt was cancelled: the message may have been accepted."""
    last_attempt: bool = attrs.field(default=False, init=False)
    """Whether the attempt under way is the last, whatever the policy says: sending stops."""
    ended: bool = attrs.field(default=False, init=False)
    """Whether it was accepted or given up."""
    error: Exception | None = attrs.field(default=None, init=False)
    """What the last attempt raised, until one is accepted."""
    _admission: Admission | None = attrs.field(default=None, init=False)

    @property
    def unsent(self) -> bool:
        """Whether it still has to be sent, as far as is known, and was not accepted."""
        return not (self.ended or self.interrupted or self.history.outcome is Outcome.UNKNOWN)

    async def admit(self) -> Admission:
        """Take a place in flight, then wait for the turn; in front of everybody after the first time."""
        if self.places and not self.holds_place:
            await self.places.in_flight.acquire()
            self.holds_place = True
        admission = self.limiter.admit(self.cost)
        await self.limiter.enter(admission, front=self.history.outcome is not None, patience=self.policy)
        self._admission = admission
        return admission

    async def run(self, attempt: Callable[[Admission], Awaitable[T]]) -> T:
        """
        Make attempts until one is accepted or the policy gives up.

        Args:
            attempt: makes one attempt; it may tell the admission when the content was handed over.

        Returns:
            what the accepted attempt returned.

        Raises:
            Exception: the last attempt's, unchanged, when the message is given up.
            AccountBlocked: the account is blocked.
            QuotaExceeded: nothing is left of the day, and the policy does not wait for it.
            EndpointUnreachable: there was no connection for as long as the policy waits.
        """
        try:
            while True:
                admission = self._admission or await self.admit()
                try:
                    return await self._once(attempt, admission)
                except Exception as error:  # noqa: BLE001  # whatever it is, it is classified, and it leaves if given up
                    self.error = error
                await self._go_on(self.error)
        finally:
            self.close()

    def close(self) -> None:
        """Give back what is held; for a delivery whose `run` never began to run."""
        if self._admission is not None:
            self._settle(asyncio.CancelledError())
        if self.holds_place and self.places:
            self.holds_place = False
            self.places.in_flight.release()

    async def _once(self, attempt: Callable[[Admission], Awaitable[T]], admission: Admission) -> T:
        self.attempting = True
        try:
            accepted = await attempt(admission)
        except Exception as error:
            self.history = self.history.after(meaning(error).outcome)
            self._settle(error)
            raise
        except BaseException:
            self.interrupted = True
            raise
        finally:
            self.attempting = False
        self.history = self.history.after(Outcome.ACCEPTED)
        self.error = None
        self.ended = True
        self._settle(None)
        return accepted

    async def _go_on(self, error: Exception) -> None:
        """Do as the policy decides; returns when there is to be another attempt."""
        decision = self.policy.decide(self.history, _now())
        self.ended = isinstance(decision, GiveUp)
        if self.ended or self.last_attempt:
            raise error
        match decision:
            case HoldAccount():
                raise self.limiter.rest.stopped_by(self.history.outcome, _now()) from error
            case Retry(wait):
                await self._back_off(wait)
            case _ if self.limiter.unreachable_for > self.policy.max_unreachable:
                raise self.limiter.rest.stopped_by(Outcome.NOT_SENT, _now()) from error

    async def _back_off(self, wait: float) -> None:
        if self.places is None or self.places.backing_off.locked():
            await asyncio.sleep(wait)
            return
        async with self.places.backing_off:
            self.holds_place = False
            self.places.in_flight.release()
            await asyncio.sleep(wait)

    def _settle(self, exc: BaseException | None) -> None:
        if self._admission is not None:
            admission, self._admission = self._admission, None
            self.limiter.conclude(admission, exc)


def _now() -> float:
    return asyncio.get_running_loop().time()
