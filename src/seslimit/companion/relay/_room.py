"""
Room for the messages that are received and held.

Decides how much memory contents may take, and who waits for it. Every message takes a place, which has room for
`SMALL` bytes; one that is larger takes its size in addition from what all large ones share.

Invariants: who waits for a place holds nothing, and who waits for more room holds only a place; who holds more room
waits for nothing. So whoever waits, waits for somebody who goes on, and nobody waits in a circle. First come, first
served.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType

import attrs

SMALL = 1024 * 1024
"""Bytes that each message may have without taking more room: nearly all mail, and a hundred of it are no burden."""

LARGE = 4
"""How many messages of the largest size there is room for in addition."""

SLACK = 64 * 1024
"""Bytes beyond its declared size that a message may have: it is an estimate (RFC 1870, 5)."""


class OutOfRoom(Exception):
    """A message is longer than its client said, and no room was taken for so much."""


@attrs.define(eq=False)
class Room:
    """
    The room of one relay.

    Args:
        places: messages at once.
        max_size: bytes of the largest message.
    """

    places: asyncio.Semaphore = attrs.field(converter=asyncio.Semaphore)
    max_size: int
    held: int = attrs.field(default=0, init=False)
    """Messages that have a place."""
    _free: int = attrs.field(init=False)
    _waiting: deque[tuple[int, asyncio.Future[None]]] = attrs.field(factory=deque, init=False)

    def __attrs_post_init__(self) -> None:
        self._free = LARGE * self.max_size

    def place(self, declared: int | None) -> Place:
        """
        A place for one message, an asynchronous context manager.

        Args:
            declared: the size that the client told; None where it told none.
        """
        return Place(self, declared)

    async def take(self, size: int) -> None:
        """Take so many bytes of what large messages share, when it is this one's turn."""
        if not self._waiting and self._free >= size:
            self._free -= size
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._free += size
            self._serve()
            raise

    def give_back(self, size: int) -> None:
        """Give bytes back."""
        self._free += size
        self._serve()

    def _serve(self) -> None:
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= self._free):
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._free -= size
                turn.set_result(None)


@attrs.define(eq=False)
class Place:
    """The place of one message, for as long as the block lasts."""

    _room: Room
    _declared: int | None
    _taken: int = attrs.field(default=0, init=False)

    async def __aenter__(self) -> Place:
        await self._room.places.acquire()
        self._room.held += 1
        declared = self._declared or 0
        if declared > SMALL:
            try:
                await self._take(min(declared + declared // 8 + SLACK, self._room.max_size))
            except BaseException:
                self._leave()
                raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave()

    def fits(self, size: int) -> bool:
        """Whether there is room for a content of this size."""
        return size <= max(SMALL, self._taken)

    async def grow(self) -> None:
        """
        Take room for the largest message, for one whose size was not told.

        Raises:
            OutOfRoom: its size was told, and this is more.
        """
        if self._taken:
            raise OutOfRoom
        await self._take(self._room.max_size)

    async def _take(self, size: int) -> None:
        await self._room.take(size)
        self._taken = size

    def _leave(self) -> None:
        self._room.held -= 1
        self._room.places.release()
        if self._taken:
            self._room.give_back(self._taken)
