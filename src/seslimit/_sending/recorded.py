"""
A message of a journal on its way out: as any other, but each step is on record before the next one.

Decides which step a message takes in the journal when it leaves this sender: to its end, back into the queue, or back
until a moment. What may wait and be repeated is in `recording`.

Invariants: the place in flight is held until the result is on record, so that no more messages are in doubt after a
kill than there are places; nobody hears of an end that is not on record.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial

import attrs

from .._law.retry import GiveUp, Retry
from .._model.clearance import CampaignHeld
from .._model.endings import IdentityBlocked
from .._model.errors import ConfigurationError, TransportError
from .._model.journal import JournalUnavailable, LeaseLost, Queued
from .._model.outcome import Outcome
from .._model.report import Receipt, Report
from .._pacing.attempts import Postponed
from .checked import Checked
from .outgoing import GoneBack, Setup, refused_for_now
from .recording import Recording

KEPT = 30.0
"""Seconds that a message waits here, with its lease, for its next attempt; for longer waits it goes back."""

BLOCKED_AGAIN = 900.0
"""Seconds until a message is tried again whose sender the service refuses, or whose campaign is held."""


@attrs.define(eq=False)
class Recorded(Checked):
    """
    A message of a journal on its way.

    Args:
        queued: it, as the journal gave it.
        recording: where each step is recorded.
        to_its_end: whether its caller waits for the end, so that it stays here however long it has to wait.
    """

    queued: Queued = attrs.field(kw_only=True)
    recording: Recording = attrs.field(kw_only=True)
    to_its_end: bool = attrs.field(default=False, kw_only=True)
    _report: Report | None = attrs.field(default=None, init=False)
    _left: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        if self.queued.receipt is not None:
            self.receipt = self.queued.receipt
            self._only(refused_for_now(self.receipt))

    @property
    def over(self) -> bool:
        """Whether it is to be given up without another attempt: a run was killed during its last one."""
        return self.history.outcome is Outcome.UNKNOWN and isinstance(
            self.policy.decide(self.history, time.time()), GiveUp
        )

    def end(self, result: Receipt | BaseException) -> Report:
        """The report, as `Outgoing.end`; a message that is not sent any more goes back to the journal."""
        if not self._left:
            self._leave_beside(result)
        return super().end(result)

    def report(self, result: Receipt | BaseException) -> Report:
        """The report that is on record, where it is; see `Outgoing.report`."""
        return self._report or super().report(result)

    async def _make(self) -> Receipt | Postponed:
        try:
            if self.over and not self._has_turn:
                self.ended = True
                raise TransportError(Outcome.UNKNOWN, self.history.recent[-1].reply if self.history.recent else "")
            result = await super()._make()
        except LeaseLost:
            self._leaves()
            if self.to_its_end:
                raise
            return GoneBack(0.0)
        except Exception as error:
            await self._refused_in_the_end(error)
            raise
        if isinstance(result, Postponed):
            return await self._postponed(result)
        await self._settle(result)
        return result

    async def _begins(self) -> bool:
        if self.setup.reserve is not None and not await super()._begins():
            return False
        is_on_record = False
        try:
            await self.recording.journal.begins(self._now_queued())
            is_on_record = True
        except JournalUnavailable as error:
            self._give_turn_back()  # others go when it is back, and this one in its turn
            await self.recording.back(error)
        finally:
            if not is_on_record and self.setup.reserve is not None:
                self.setup.reserve.refund(self.admission.cost)
        return is_on_record

    async def _requeued(self) -> None:
        await self.recording.postpones(self._now_queued(), self.history, 0.0, keep=True)

    async def _refused_in_the_end(self, error: Exception) -> None:
        """An attempt was made that is the last: of the message, or before sending stops."""
        if self.ended or (self.withdrawn and self.history.outcome is Outcome.TRANSIENT):
            await self._settle(error)
        elif self.history.outcome in (Outcome.TRANSIENT, Outcome.UNKNOWN) and self.last_attempt:
            await self._go_back(self._next_attempt())

    async def _settle(self, result: Receipt | Exception) -> None:
        self._report = super().report(result)
        self._leaves()  # before it is on record: whoever is cancelled now does not give it back
        self.attempting = True  # as in `_on_record`
        try:
            await self.recording.ends(self._now_queued(), self._report)
        finally:
            self.attempting = False

    async def _postponed(self, later: Postponed) -> Receipt | Postponed:
        wait = later.not_before - asyncio.get_running_loop().time()
        if self.to_its_end or wait <= KEPT:
            not_before = time.time() + wait
            await self._on_record(self.recording.postpones(self._now_queued(), self.history, not_before, keep=True))
            return await self._stopped_meanwhile(later) if self.last_attempt else later
        await self._go_back(time.time() + wait)
        return GoneBack(later.not_before)

    async def _stopped_meanwhile(self, later: Postponed) -> Receipt | Postponed:
        """Sending was stopped before it could wait: as if that had been known at the decision."""
        if self.error is not None:
            raise self.error
        if self.receipt is not None:
            await self._settle(self.receipt)
        return self.receipt or later

    async def _go_back(self, not_before: float) -> None:
        with suppress(LeaseLost):
            await self._on_record(self.recording.postpones(self._now_queued(), self.history, not_before, keep=False))
        self._leaves()

    async def _on_record(self, recording: Coroutine[object, object, None]) -> None:
        self.attempting = True  # a stop waits for it, as for an attempt
        try:
            await recording
        finally:
            self.attempting = False

    def _leaves(self) -> None:
        self._left = True
        self.recording.leaves()

    def _leave_beside(self, result: Receipt | BaseException) -> None:
        """It was cancelled, or sending stopped: record where it is now, without keeping anybody waiting."""
        self._leaves()
        queued, history, recording = self._now_queued(), self.history, self.recording
        if self.withdrawn or self.ended:
            recording.beside(recording.ends(queued, super().report(result)))
        elif isinstance(result, IdentityBlocked | CampaignHeld):
            recording.parks(queued)
            recording.beside(recording.postpones(queued, history, time.time() + BLOCKED_AGAIN, keep=False))
        elif history.outcome is not Outcome.UNKNOWN or history == self.queued.history:
            recording.returns(queued)
        elif isinstance(self.policy.decide(history, time.time()), GiveUp):
            recording.beside(recording.ends(queued, super().report(result)))
        else:
            recording.beside(recording.postpones(queued, history, self._next_attempt(), keep=False))

    def _next_attempt(self) -> float:
        decision = self.policy.decide(self.history, time.time())
        return time.time() + (decision.wait if isinstance(decision, Retry) else 0.0)

    def _now_queued(self) -> Queued:
        queued = self.queued
        if queued.history is self.history and queued.receipt is self.receipt:
            return queued
        return Queued(queued.message, self.history, queued.id, self.receipt)


def recorded(
    setup: Setup,
    recording: Recording,
    queued: Queued,
    number: int = 0,
    *,
    lane: str | None = None,
    to_its_end: bool = False,
) -> Recorded:
    """
    A message of a journal that is to be sent.

    Raises:
        ConfigurationError: it names a lane that does not exist; it is back in the queue.
    """
    message = queued.message
    try:
        admission = setup.admission(message, lane)
    except ConfigurationError:
        recording.leaves()
        recording.returns(queued)
        raise
    return Recorded(
        admission,
        setup.policy,
        partial(setup.transport.send, message),
        queued.history,
        setup.places,
        message=message,
        number=number,
        setup=setup,
        queued=queued,
        recording=recording,
        to_its_end=to_its_end,
    )
