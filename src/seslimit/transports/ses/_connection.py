"""
One HTTP connection to the API, used for one request after another, then dropped.

Decides how far a request had come when something broke. It must not know of other connections, nor what an answer
means.

aiohttp is not used for it: it follows redirections and repeats the request at each, takes what comes between two
answers for the next one, and does not say whether a request was written to its end. Each of these is a message lost or
doubled.

Invariants: `usable` is True only between completed exchanges; one request gets one answer; a request whose last byte
was not written cannot have been taken.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import cast

from ._answers import MAX_ANSWER, Answer, AnswerReader, NoAnswer

CHUNK = 64 * 1024
"""Bytes written at once; a request of at most one chunk is written as a whole."""


class HTTPConnection(asyncio.Protocol):
    """One connection: writes requests, and reads the answer to each."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader: AnswerReader | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._failure: NoAnswer | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self.handed_over_at: float | None = None
        """Event-loop time (seconds) at which the last byte of the request was written; None before."""
        self.usable = True
        """Whether it may be given a request: no exchange is under way, and none was broken off."""
        self.transactions = 0
        self.idle_since = 0.0

    @property
    def alive(self) -> bool:
        """Whether it is usable and the service has not closed it, as far as was read."""
        return self.usable and self._failure is None and self.transport is not None

    @property
    def transport(self) -> asyncio.Transport | None:
        """What is written to; None where nothing can be any more."""
        return None if self._transport is None or self._transport.is_closing() else self._transport

    def abort(self) -> None:
        """Drop the connection; nothing that is still buffered is sent."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    quit = abort
    """HTTP has no words for leaving."""

    async def exchange(self, head: bytes, content: bytes, written_in: float, answered_in: float) -> Answer:
        """
        Make one request.

        Args:
            head: the request up to its content.
            content: the rest of it.
            written_in: seconds for writing it, at most.
            answered_in: seconds for the answer, from there on.

        Raises:
            OSError: there is no answer, or none in time; `handed_over_at` says how far the request had come.

        Cancelling:
            the connection is no longer usable; the request may have been taken.
        """
        self.usable = False
        self.transactions += 1
        self.handed_over_at = None
        answer = self.expect()
        if len(content) + len(head) <= CHUNK:
            self._write(head + content)
        else:
            await self._upload(head, content, answer, written_in)
        if not answer.done():
            self.handed_over_at = self._loop.time()
        found = await self._answered(answer, answered_in)
        if self.handed_over_at is None and found.status < 400:
            raise NoAnswer("The service answered before it had the request.")
        self.usable = not found.last and self.handed_over_at is not None
        return found

    def expect(self, *, tunnel: bool = False) -> asyncio.Future[Answer]:
        """The answer to a request that is about to be written."""
        self._reader = AnswerReader(tunnel=tunnel)
        self._waiter = self._loop.create_future()
        if self._failure is not None:
            self._tell(self._failure)
        return self._waiter

    def _write(self, data: bytes | memoryview) -> None:
        if self.transport is not None and self._failure is None:
            self.transport.write(data)

    async def _upload(self, head: bytes, content: bytes, answer: asyncio.Future[Answer], seconds: float) -> None:
        """Write as fast as it is taken, until the service answers: then it does not want the rest."""
        try:
            async with asyncio.timeout(seconds):
                self._write(head)
                for begin in range(0, len(content), CHUNK):
                    # What is written last completes the request: not before all else is on its way.
                    await self._room(answer)
                    if answer.done():
                        return
                    self._write(memoryview(content)[begin : begin + CHUNK])
        except TimeoutError:
            raise TimeoutError(f"the request was not taken within {seconds:g} s") from None

    async def _room(self, answer: asyncio.Future[Answer]) -> None:
        """Wait until there is room to write, or an answer."""
        # Even where there is room, what the service says must be read in between.
        await asyncio.sleep(0)
        if self._writable.is_set() or answer.done():
            return
        draining = self._loop.create_task(self._writable.wait())
        try:
            await asyncio.wait((draining, answer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            draining.cancel()

    async def _answered(self, answer: asyncio.Future[Answer], seconds: float) -> Answer:
        overdue = self._loop.call_later(seconds, self._look, answer, seconds)
        try:
            return await answer
        finally:
            overdue.cancel()

    def _look(self, answer: asyncio.Future[Answer], seconds: float, *, again: bool = False) -> None:
        if answer.done():
            return
        if again:
            self._tell(TimeoutError(f"no answer within {seconds:g} s"))
        else:
            # The loop may have been held up past the deadline with the answer already there: it is read first.
            self._loop.call_soon(partial(self._look, answer, seconds, again=True))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is written to, and have no more read at once than an answer may have, where asyncio can be told."""
        self._transport = cast("asyncio.Transport", transport)
        # It makes room for 256 KiB before every read, and the system has to map, clear and unmap that memory each time.
        with suppress(AttributeError):
            transport.max_size = MAX_ANSWER  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if self._failure is not None:
            return
        if self._waiter is None or self._reader is None or self._waiter.done():
            self._fail(NoAnswer("The service said something that nobody asked for."))
            return
        try:
            answer = self._reader.feed(data)
        except NoAnswer as error:
            self._fail(error)
            return
        if answer is not None:
            self._waiter.set_result(answer)

    def eof_received(self) -> None:
        """Note that the service said its last word; the transport then closes."""
        if self._failure is None and self._reader is not None and self._waiter is not None and not self._waiter.done():
            try:
                self._waiter.set_result(self._reader.end())
            except NoAnswer as error:
                self._fail(error)
        self._fail(NoAnswer("The service closed the connection."))

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone."""
        self._fail(NoAnswer(f"The connection was lost: {exc}" if exc else "The connection was closed."))

    def pause_writing(self) -> None:
        """Note that enough is buffered."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Note that what was buffered is written."""
        self._writable.set()

    def _fail(self, failure: NoAnswer) -> None:
        if self._failure is None:
            self._failure = failure
            self._writable.set()
            self._tell(failure)

    def _tell(self, failure: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(failure)
            # Nobody may be left to ask for it, as after a cancellation.
            self._waiter.exception()
