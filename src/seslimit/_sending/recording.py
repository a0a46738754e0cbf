"""
What a sender records in a journal, and what it does while that cannot be done.

Nothing is handed over that is not on record, so while the journal is away the limiter is held: everybody waits, with
the reason in the log and in `state`, until one probe finds that results can be recorded again.

Invariants: one probe at a time; a result that is known is recorded sooner or later, or the sender ends with an error; a
caller who is cancelled in the meantime does not undo that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from .._law.retry import waits
from .._model.history import History
from .._model.journal import Journal, JournalError, JournalUnavailable, LeaseLost, Queued
from .._model.message import Message
from .._model.report import Report
from .._pacing.limiter import Limiter

logger = logging.getLogger("seslimit")

T = TypeVar("T")

HELD = "outbox unavailable"
"""Why nothing is sent meanwhile; the reason of the hold on the limiter."""

FIRST_PROBE, LAST_PROBE = 0.1, 2.0
"""Seconds between probes, doubled from one to the next: a disk that has room again is found within 2 s."""


class Recording:
    """
    One sender's use of a journal.

    Args:
        journal: the journal.
        limiter: is held while the journal is away.
    """

    def __init__(self, journal: Journal, limiter: Limiter) -> None:
        self.journal = journal
        self.leased = 0
        """Messages that this sender has, and that may go back into the queue."""
        self.stirred = asyncio.Event()
        """Set when one of them has left, and by whoever else changes what there is to claim."""
        self._limiter = limiter
        self._parked: set[int | str] = set()
        self._outage: asyncio.Task[None] | None = None
        self._beside: set[asyncio.Task[Any]] = set()

    async def claim(self, most: int) -> Sequence[Queued]:
        """Lease what is due, as `Journal.claim`; where the caller is cancelled, it is given back."""
        claimed = await self._owned(self.done(partial(self.journal.claim, most)), self._all_back)
        self.leased += len(claimed)
        self._parked.difference_update(queued.id for queued in claimed)
        return claimed

    async def take(self, message: Message) -> Queued | Report:
        """
        Put one message into the queue and lease it, as `Journal.take`; not repeated, for the caller can.

        A caller who is cancelled meanwhile leaves it in the queue.
        """
        taken = await self._owned(self.journal.take(message), self._all_back)
        self.leased += isinstance(taken, Queued)
        return taken

    async def add(self, messages: Sequence[Message]) -> None:
        """Put messages into the queue."""
        await self.done(partial(self.journal.add, messages))

    async def left(self) -> int:
        """How many messages are in the queue, but for those whose sender the service refuses."""
        return await self.done(self.journal.queued) - len(self._parked)

    async def wait(self, timeout: float) -> None:
        """Return when there may be something to claim, a message has left, or the time is over."""
        either = {asyncio.create_task(self._journal_wait(timeout)), asyncio.create_task(self._stir())}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancelled(either)

    def parks(self, queued: Queued) -> None:
        """Do not wait for a message, which goes back until the service takes its sender again."""
        self._parked.add(queued.id)

    def leaves(self) -> None:
        """Note that a message is not this sender's any more."""
        self.leased -= 1
        self.stirred.set()

    async def done(self, call: Callable[[], Awaitable[T]]) -> T:
        """
        What a call of the journal returns, however long the journal is away before it does.

        Raises:
            JournalError: it will not come back by itself.
        """
        while True:
            try:
                return await call()
            except JournalUnavailable as error:
                await self.back(error)

    async def back(self, error: JournalUnavailable) -> None:
        """Return when the journal, which was away just now, can be written again."""
        if self._outage is None:
            self._outage = self._begin(self._wait_out(error))
        await asyncio.shield(self._outage)

    async def ends(self, queued: Queued, report: Report) -> None:
        """Record a result, also where the caller is cancelled in the meantime."""
        try:
            await self.journal.ends(queued, report)  # for every message: not by way of what is there for others
        except JournalUnavailable as error:
            await self._ends_later(queued, report, error)
        except LeaseLost as lost:
            _warn_of(lost)
        except asyncio.CancelledError:
            self._ends_once_more(queued, report)
            raise

    async def postpones(self, queued: Queued, history: History, not_before: float, *, keep: bool) -> None:
        """Record that a message waits for its next attempt."""
        await self.done(partial(self.journal.postpones, queued, history, not_before, keep=keep))

    def beside(self, leaving: Coroutine[object, object, None]) -> None:
        """Record something while the caller, who may be cancelled, goes on; `settled` waits for it."""
        self._begin(self._quietly(leaving))

    def returns(self, queued: Queued) -> None:
        """Give a message back that is not sent any more; `settled` waits for it."""
        self.beside(self.done(partial(self.journal.returns, queued)))

    async def settled(self, deadline: float) -> None:
        """Wait until all is recorded, at most `deadline` seconds; what is not by then is found by the next run."""
        loop = asyncio.get_running_loop()
        until = loop.time() + deadline
        while self._beside and loop.time() < until:
            await asyncio.wait(self._beside, timeout=until - loop.time())
        await _cancelled(set(self._beside))

    def _begin(self, recording: Coroutine[object, object, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(recording)
        self._beside.add(task)
        task.add_done_callback(self._is_over)
        return task

    def _is_over(self, task: asyncio.Task[Any]) -> None:
        self._beside.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited for it has it; nobody may

    async def _owned(self, call: Coroutine[object, object, T], undo: Callable[[T], None]) -> T:
        """What a call returns; undone where the caller is cancelled before it does."""
        task = self._begin(call)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(lambda task: None if task.cancelled() or task.exception() else undo(task.result()))
            raise

    def _all_back(self, taken: Sequence[Queued] | Queued | Report) -> None:
        for queued in taken if isinstance(taken, Sequence) else [taken]:
            if isinstance(queued, Queued):
                self.returns(queued)

    async def _journal_wait(self, timeout: float) -> None:
        try:
            await self.journal.wait(timeout)
        except JournalUnavailable:
            await asyncio.sleep(timeout)

    async def _stir(self) -> None:
        await self.stirred.wait()

    async def _ends_later(self, queued: Queued, report: Report, error: JournalUnavailable) -> None:
        try:
            await self.back(error)
            await self.done(partial(self.journal.ends, queued, report))
        except LeaseLost as lost:
            _warn_of(lost)
        except asyncio.CancelledError:
            self._ends_once_more(queued, report)
            raise

    def _ends_once_more(self, queued: Queued, report: Report) -> None:
        """Record a result whose caller is gone; where it is on record already, this does nothing."""
        self.beside(self.done(partial(self.journal.ends, queued, report)))

    async def _quietly(self, leaving: Coroutine[object, object, None]) -> None:
        try:
            await leaving
        except LeaseLost:
            pass
        except JournalError as error:
            # Whoever opens it next finds the message by its lease, which has run out then.
            logger.warning("a message could not be given back to the outbox: %s", error)

    async def _wait_out(self, error: JournalUnavailable) -> None:
        words = ""
        self._limiter.hold(HELD)
        try:
            for wait in waits(FIRST_PROBE, LAST_PROBE):
                if error.reply != words:
                    logger.warning("nothing is sent, for its result could not be recorded: %s", words := error.reply)
                await asyncio.sleep(wait)
                try:
                    await self.journal.check()
                except JournalUnavailable as again:
                    error = again
                else:
                    break
        finally:
            self._outage = None
            self._limiter.release(HELD)


def _warn_of(lost: LeaseLost) -> None:
    logger.warning("a message that was handed over is not this sender's any more, and may go twice: %s", lost)


async def _cancelled(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
