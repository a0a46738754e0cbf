"""
Many messages on their way at once: the supply of new ones, what is under way, and the reports that come out.

Decides nothing about a single message. It must not know the rate, the retry policy or the transport.

Invariants: every message taken from the source ends in exactly one report, or in `unsent` when sending had to stop; at
most one message is in hand without an admission; memory is bounded by the places in flight, not by the source.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable
from contextlib import aclosing
from typing import Any

import attrs

from .._model.endings import SendingStopped
from .._model.message import Message
from .._model.report import Receipt, Report
from .._pacing.delivery import Delivery

UNREAD = 1000
"""Reports that may wait for a slow reader before no new message is taken."""


@attrs.frozen(eq=False)
class UnderWay:
    """A message on its way, and its number in the order in which messages came from the source."""

    number: int
    message: Message
    delivery: Delivery


class Batch:
    """
    One call of `Sender.send_many`.

    Args:
        source: where messages come from.
        begin: makes the delivery of a message.
        deliver: runs it.
        report: makes the report of a message that came to an end.
    """

    def __init__(
        self,
        source: Iterable[Message] | AsyncIterable[Message],
        begin: Callable[[Message], Delivery],
        deliver: Callable[[Message, Delivery], Coroutine[Any, Any, Receipt]],
        report: Callable[[Message, Delivery, Receipt | BaseException], Report],
    ) -> None:
        self._source = source
        self._begin = begin
        self._deliver = deliver
        self._report = report
        self._under_way: dict[asyncio.Task[Receipt], UnderWay] = {}
        self._reports: deque[Report] = deque()
        self._unsent: list[UnderWay] = []
        self._stopped_by: SendingStopped | None = None
        self._taken = 0
        self._stopping = False
        self._changed = asyncio.Event()
        self._read = asyncio.Event()
        self._feeder = asyncio.create_task(self._feed())
        self._feeder.add_done_callback(lambda _: self._changed.set())

    def __aiter__(self) -> AsyncIterator[Report]:
        return self

    async def __anext__(self) -> Report:
        while not self._reports:
            if self._feeder.done() and not self._under_way:
                self._raise_end()
            self._changed.clear()
            await self._changed.wait()
        self._read.set()
        return self._reports.popleft()

    def stop(self) -> None:
        """Take no message and make no attempt any more; what is under way comes to its end."""
        self._stopping = True
        self._feeder.cancel()
        for task, under_way in self._under_way.items():
            under_way.delivery.last_attempt = True
            if not under_way.delivery.attempting:
                task.cancel()

    async def drain(self, deadline: float) -> list[Message]:
        """
        Stop, and give attempts under way at most `deadline` seconds.

        Returns:
            the messages whose attempts had not ended by then; they may have been accepted.
        """
        self.stop()
        _, late = await asyncio.wait([self._feeder, *self._under_way], timeout=deadline)
        unfinished = [under_way.message for task, under_way in self._under_way.items() if task in late]
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
        return unfinished

    async def _feed(self) -> None:
        async with aclosing(_each(self._source)) as messages:
            async for message in messages:
                await self._take(UnderWay(self._taken, message, self._begin(message)))
                while len(self._reports) >= UNREAD:
                    self._read.clear()
                    await self._read.wait()

    async def _take(self, under_way: UnderWay) -> None:
        self._taken += 1
        try:
            await under_way.delivery.admit()
        except (asyncio.CancelledError, SendingStopped) as stopped:
            under_way.delivery.close()
            self._end(under_way, stopped)
            raise
        task = asyncio.create_task(self._deliver(under_way.message, under_way.delivery))
        self._under_way[task] = under_way
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Receipt]) -> None:
        under_way = self._under_way.pop(task)
        under_way.delivery.close()
        if task.cancelled():
            self._end(under_way, asyncio.CancelledError())
        else:
            self._end(under_way, task.exception() or task.result())

    def _end(self, under_way: UnderWay, result: Receipt | BaseException) -> None:
        if isinstance(result, SendingStopped) and self._stopped_by is None:
            self._stopped_by = result
            self.stop()
        if self._stopped_by is not None and under_way.delivery.unsent:
            self._unsent.append(under_way)
        else:
            self._reports.append(self._report(under_way.message, under_way.delivery, result))
        self._changed.set()

    def _raise_end(self) -> None:
        if self._stopped_by is not None:
            in_order = sorted(self._unsent, key=lambda under_way: under_way.number)
            self._stopped_by.unsent = tuple(under_way.message for under_way in in_order)
            raise self._stopped_by
        if not (self._stopping and self._feeder.cancelled()):
            self._feeder.result()  # raises what the source raised, a cancellation of its own included
        raise StopAsyncIteration


async def _each(source: Iterable[Message] | AsyncIterable[Message]) -> AsyncGenerator[Message, None]:
    if isinstance(source, AsyncIterable):
        async for message in source:
            yield message
    else:
        for message in source:
            yield message
