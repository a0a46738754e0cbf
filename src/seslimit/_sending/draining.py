"""
The messages of a journal as a source for a stream, and what is to be sent on its way into the journal.

Decides how many messages are leased ahead of their turn, and when there is nothing left to do. It must not know what
becomes of a message.

Invariant: what was leased and not given to the stream is given back.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable

from .._model.journal import Queued
from .._model.message import Message
from .._pacing.limiter import Limiter
from .recording import Recording

AHEAD = 2.0
"""Seconds of sending that are leased at once: few enough for other workers, and for their leases to hold."""

FEWEST, MOST = 10, 500
"""Messages that are leased at once."""

IDLE = 1.0
"""Seconds until an empty queue is looked at again where nothing has said that there is something."""

BATCH, BATCH_BYTES = 200, 4_000_000
"""Messages, and bytes of them, that are added at once."""


async def due(recording: Recording, limiter: Limiter, more: Callable[[], bool]) -> AsyncGenerator[Queued, None]:
    """
    What is due, in order.

    Args:
        recording: where from.
        limiter: tells how fast they go.
        more: whether to wait for more when nothing is left, of what is queued or may come back.
    """
    leased: deque[Queued] = deque()
    try:
        while True:
            recording.stirred.clear()
            leased.extend(await recording.claim(min(max(FEWEST, math.ceil(limiter.rate * AHEAD)), MOST)))
            if not leased:
                if not (more() or recording.leased or await recording.left()):
                    return
                await recording.wait(IDLE)
            while leased:
                yield leased.popleft()
    finally:
        for queued in leased:
            recording.leaves()
            recording.returns(queued)


class Adding:
    """
    Puts messages into a journal, as fast as it takes them.

    Args:
        messages: what is to be added.
        recording: where to.
    """

    def __init__(self, messages: Iterable[Message] | AsyncIterable[Message], recording: Recording) -> None:
        self._recording = recording
        self._stopping = False
        self._batch: list[Message] = []
        self._bytes = 0
        self._next: asyncio.Future[Message] | None = None
        self._task = asyncio.create_task(
            self._add_each(messages) if isinstance(messages, AsyncIterable) else self._add_all(messages)
        )
        self._task.add_done_callback(lambda _: recording.stirred.set())

    @property
    def goes_on(self) -> bool:
        """Whether there may be more."""
        return not self._task.done()

    def result(self) -> None:
        """Raise what reading or adding raised."""
        if self._task.done():
            self._task.result()

    async def aclose(self, deadline: float) -> None:
        """Read no more, and let what was read get into the journal, in at most `deadline` seconds."""
        self._stopping = True
        if self._next is not None:
            self._next.cancel()
        await asyncio.wait([self._task], timeout=deadline)
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()

    async def _add_all(self, messages: Iterable[Message]) -> None:
        try:
            for message in messages:
                if self._takes(message):
                    await self._flush()
                if self._stopping:
                    break
        finally:
            await self._flush()

    async def _add_each(self, messages: AsyncIterable[Message]) -> None:
        source = aiter(messages)
        try:
            while not self._stopping:
                self._next = asyncio.ensure_future(anext(source))
                await asyncio.sleep(0)
                if not self._next.done():
                    await self._flush()  # nothing is ready: what is here goes now
                if self._takes(await self._next):
                    await self._flush()
        except StopAsyncIteration:
            pass
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        finally:
            await self._flush()

    def _takes(self, message: Message) -> bool:
        self._batch.append(message)
        self._bytes += message.size_hint
        return len(self._batch) >= BATCH or self._bytes >= BATCH_BYTES

    async def _flush(self) -> None:
        batch, self._batch, self._bytes = self._batch, [], 0
        if batch:
            await self._recording.add(batch)
