"""
What a client has said and the conversation with it has not read yet; for the relay, and the simulator's SMTP door.

Decides when no more is read from the connection. It must not know what is said.

Invariant: at most twice the limit is kept, but for what comes in one piece.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress


class EndOfInput(Exception):
    """The client has said its last word."""


class LineTooLong(Exception):
    """A line has come to the limit and has no end yet."""


class Inbox:
    """
    Bytes in the order in which they came.

    Args:
        limit: bytes of the longest line.
    """

    def __init__(self, limit: int) -> None:
        self.source: asyncio.ReadTransport | None = None
        """What is told to rest when there is too much; set once there is a connection."""
        self.ended = False
        """Whether nothing more comes."""
        self._limit = limit
        self._data = bytearray()
        self._rests = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether everything was read that came so far."""
        return not self._data

    def feed(self, data: bytes) -> None:
        """Take the bytes that came next."""
        self._data += data
        self._wake()
        if self.source is not None and not self._rests and len(self._data) > 2 * self._limit:
            self._rests = True
            self.source.pause_reading()

    def end(self) -> None:
        """Nothing more comes."""
        self.ended = True
        self._wake()

    async def line(self) -> bytes:
        """
        The next line, with its end.

        Raises:
            EndOfInput: there is none any more; a line without its end is none.
            LineTooLong: its end is nothing to wait for.
        """
        searched = 0
        while (end := self._data.find(b"\n", searched)) < 0:
            searched = len(self._data)
            if searched > self._limit:
                raise LineTooLong
            if self.ended:
                raise EndOfInput
            await self._more()
        if end >= self._limit:
            raise LineTooLong
        return self._take(end + 1)

    async def chunk(self) -> bytes:
        """
        Everything that has come, as soon as there is anything.

        Raises:
            EndOfInput: nothing more comes.
        """
        while not self._data:
            if self.ended:
                raise EndOfInput
            await self._more()
        return self._take(len(self._data))

    def put_back(self, data: bytes) -> None:
        """Let bytes that were read be read again, before everything else."""
        self._data[:0] = data

    def clear(self) -> None:
        """Forget what was said and not read."""
        self._take(len(self._data))

    def _take(self, size: int) -> bytes:
        taken = bytes(self._data[:size])
        del self._data[:size]
        if self._rests and len(self._data) <= self._limit:
            self._rests = False
            if self.source is not None and not self.ended:
                with suppress(RuntimeError):  # it is closing
                    self.source.resume_reading()
        return taken

    async def _more(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
