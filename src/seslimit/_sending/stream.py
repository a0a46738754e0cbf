"""
Many messages on their way at once: the supply of new ones, what is under way, and the reports that come out.

Decides nothing about a single message. It must not know the rate, the retry policy or the transport.

Invariants: every message taken from the source ends in exactly one report, or in `unsent` when sending had to stop; at
most one message is in hand without an admission; memory is bounded by the places in flight, not by the source.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from typing import Generic, TypeVar

from .._model.clearance import CampaignHeld, Suppressed
from .._model.endings import IdentityBlocked, SendingStopped
from .._model.message import Message
from .._model.report import Receipt, Report
from .._pacing.attempts import Postponed
from .later import Later
from .outgoing import GoneBack, Outgoing

T = TypeVar("T")

UNREAD = 1000
"""Reports that may wait for a slow reader before no new message is taken."""

SENDERS = 1000
"""Senders of a stream that are told apart: of more than that, some go on when others are refused."""


class Stream(Generic[T]):
    """
    One call of `Sender.send_many`.

    Args:
        source: gives what is to be sent; closed at the end.
        make: makes a message on its way of what the source gives, and of its number.
        later: keeps those that are to be tried again.
        most: messages under way or kept for later before no new one is taken, so that a service in trouble stops the
            supply instead of filling memory.
    """

    def __init__(
        self, source: AsyncGenerator[T, None], make: Callable[[T, int], Outgoing], later: Later, most: int
    ) -> None:
        self._source = source
        self._make = make
        self._later = later
        self._most = most
        self._under_way: dict[asyncio.Task[Receipt | Postponed], Outgoing] = {}
        self._postponed: set[Outgoing] = set()
        self._reports: deque[Report] = deque()
        self._unsent: list[Outgoing] = []
        self._stopped_by: SendingStopped | None = None
        self._senders: set[str] = set()
        self._blocked: set[str] = set()
        self._taken = 0
        self._stopping = False
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._feeder = asyncio.create_task(self._feed())
        self._feeder.add_done_callback(lambda _: self._changed.set())

    def __aiter__(self) -> AsyncIterator[Report]:
        return self

    async def __anext__(self) -> Report:
        while not self._reports:
            if self._feeder.done() and not self._under_way and not self._postponed:
                self._raise_end()
            self._changed.clear()
            await self._changed.wait()
        self._room.set()
        return self._reports.popleft()

    def under_way(self) -> Iterable[Outgoing]:
        """The messages that have their turn."""
        return self._under_way.values()

    def stop(self) -> None:
        """Take no message and make no attempt any more; what is under way comes to its end."""
        self._stopping = True
        self._feeder.cancel()
        for task, outgoing in self._under_way.items():
            outgoing.last_attempt = True
            if not outgoing.attempting:
                task.cancel()
        postponed, self._postponed = self._postponed, set()
        for outgoing in sorted(postponed, key=_number):
            self._later.take_back(outgoing)
            self._end(outgoing, asyncio.CancelledError())

    async def drain(self, deadline: float) -> list[Message]:
        """
        Stop, and give attempts under way at most `deadline` seconds.

        Returns:
            the messages whose attempts had not ended by then; they may have been accepted.
        """
        self.stop()
        _, late = await asyncio.wait([self._feeder, *self._under_way], timeout=deadline)
        unfinished = [outgoing.message for task, outgoing in self._under_way.items() if task in late]
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
        return unfinished

    async def _feed(self) -> None:
        async with aclosing(self._source) as source:
            async for item in source:
                await self._take(self._make(item, self._taken))
                while len(self._reports) >= UNREAD or len(self._under_way) + len(self._postponed) >= self._most:
                    self._room.clear()
                    await self._room.wait()

    async def _take(self, outgoing: Outgoing) -> None:
        self._taken += 1
        if len(self._senders) < SENDERS:
            self._senders.add(outgoing.message.mail_from.lower())
        try:
            if not outgoing.over:
                await outgoing.admit()
        except (asyncio.CancelledError, SendingStopped) as stopped:
            outgoing.close()
            self._end(outgoing, stopped)
            if isinstance(stopped, SendingStopped) and self._others_go_on(stopped):
                return
            raise
        except Suppressed as suppressed:
            outgoing.close()
            self._end(outgoing, suppressed)
            return
        self._go(outgoing)

    def _go(self, outgoing: Outgoing) -> None:
        self._postponed.discard(outgoing)
        task = asyncio.create_task(outgoing.run())
        self._under_way[task] = outgoing
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Receipt | Postponed]) -> None:
        outgoing = self._under_way.pop(task)
        if task.cancelled():
            outgoing.close()
            self._end(outgoing, asyncio.CancelledError())
        elif error := task.exception():
            self._end(outgoing, error)
        elif isinstance(end := task.result(), GoneBack):
            self._room.set()
            self._changed.set()
        elif isinstance(end, Postponed) and self._stopping:
            self._end(outgoing, asyncio.CancelledError())
        elif isinstance(end, Postponed):
            self._postponed.add(outgoing)
            self._later.put(outgoing, end.not_before, self._go)
        else:
            self._end(outgoing, end)

    def _end(self, outgoing: Outgoing, result: Receipt | BaseException) -> None:
        if isinstance(result, IdentityBlocked):
            self._blocked.add(outgoing.message.mail_from.lower())
        if isinstance(result, SendingStopped) and self._stopped_by is None and not self._others_go_on(result):
            self._stopped_by = result
            self.stop()
        report = outgoing.end(result)
        if self._stopped_by is not None and outgoing.unsent:
            self._unsent.append(outgoing)
        else:
            self._reports.append(report)
        self._room.set()
        self._changed.set()

    def _others_go_on(self, stop: SendingStopped) -> bool:
        """Whether one sender is refused, and others send as well; or one campaign is held."""
        if isinstance(stop, CampaignHeld):
            return True
        return isinstance(stop, IdentityBlocked) and not self._senders <= self._blocked

    def _raise_end(self) -> None:
        if self._stopped_by is not None:
            self._stopped_by.unsent = tuple(outgoing.message for outgoing in sorted(self._unsent, key=_number))
            raise self._stopped_by
        if not (self._stopping and self._feeder.cancelled()):
            self._feeder.result()  # raises what the source raised, a cancellation of its own included
        raise StopAsyncIteration


def _number(outgoing: Outgoing) -> int:
    return outgoing.number


async def each(source: Iterable[Message] | AsyncIterable[Message]) -> AsyncGenerator[Message, None]:
    """The messages of an iterable of either kind."""
    if isinstance(source, AsyncIterable):
        async for message in source:
            yield message
    else:
        for message in source:
            yield message
