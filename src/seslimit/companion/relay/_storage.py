"""
Storage for the messages that are received and held.

Decides how much memory contents may take, and who waits for it. Every message takes a place, which has room for
`SMALL` bytes; one that is larger takes its size in addition from what all large ones share.

Invariants: who waits for a place holds nothing, and who waits for more room holds only a place; who holds more room
waits for nothing. So whoever waits, waits for somebody who goes on, and nobody waits in a circle. First come, first
served.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType

import attrs

SMALL = 1024 * 1024
"""Bytes that each message may have without taking more room: nearly all mail, and a hundred of it are no burden."""

LARGE = 4
"""How many messages of the largest size there is room for in addition."""

SLACK = 64 * 1024
"""Bytes beyond its declared size that a message may have: it is an estimate (RFC 1870, 5)."""


class OutOfStorage(Exception):
    """A message is longer than its client said, and no room was taken for so much."""


@attrs.define(eq=False)
class Quantity:
    """
    Something of which there is so much, for those who take of it in the order in which they come.

    Args:
        free: how much there is.
        short: called when somebody begins to wait.
    """

    free: int
    _short: Callable[[], None] = lambda: None
    _waiting: deque[tuple[int, asyncio.Future[None]]] = attrs.field(factory=deque, init=False)

    def take_at_once(self, amount: int) -> bool:
        """Take so much, if it is there and nobody waits; returns whether it was taken. Nothing is always there."""
        if amount and (self._waiting or self.free < amount):
            return False
        self.free -= amount
        return True

    async def take(self, amount: int) -> None:
        """Take so much, when it is this one's turn."""
        if self.take_at_once(amount):
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, turn))
        self._short()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.free += amount
            self._serve()
            raise

    @property
    def wanted(self) -> int:
        """How many wait for some of it."""
        return len(self._waiting)

    def give_back(self, amount: int) -> None:
        """Give it back, and serve who waits."""
        self.free += amount
        self._serve()

    def _serve(self) -> None:
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= self.free):
            amount, turn = self._waiting.popleft()
            if not turn.done():
                self.free -= amount
                turn.set_result(None)


@attrs.define(eq=False)
class Storage:
    """
    The room of one relay.

    Args:
        places: messages at once.
        max_size: bytes of the largest message.
        short: called when a message begins to wait.
    """

    places: int
    max_size: int
    _short: Callable[[], None] = lambda: None
    free: Quantity = attrs.field(init=False)
    """Places."""
    large: Quantity = attrs.field(init=False)
    """Bytes that the large messages share."""

    def __attrs_post_init__(self) -> None:
        self.free = Quantity(self.places, self._short)
        self.large = Quantity(LARGE * self.max_size, self._short)

    @property
    def held(self) -> int:
        """Messages that have a place."""
        return self.places - self.free.free

    def place(self, declared: int | None) -> Place:
        """
        A place for one message, an asynchronous context manager.

        Args:
            declared: the size that the client told; None where it told none.
        """
        size = 0 if declared is None or declared <= SMALL else min(declared + declared // 8 + SLACK, self.max_size)
        return Place(self, size)


@attrs.define(eq=False)
class Place:
    """The place of one message, for as long as the block lasts; to enter it is free where it was entered before."""

    _storage: Storage
    _size: int
    """Bytes of what large messages share."""
    entered: bool = attrs.field(default=False, init=False)

    async def __aenter__(self) -> Place:
        if not self.entered:
            await self._storage.free.take(1)
            try:
                await self._storage.large.take(self._size)
            except BaseException:
                self._storage.free.give_back(1)
                raise
            self.entered = True
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()

    def enter_at_once(self) -> bool:
        """Enter if nothing has to be waited for; returns whether it was entered."""
        storage = self._storage
        if not storage.free.take_at_once(1):
            return False
        if not storage.large.take_at_once(self._size):
            storage.free.give_back(1)
            return False
        self.entered = True
        return True

    def leave(self) -> None:
        """Give everything back."""
        self.entered = False
        self._storage.free.give_back(1)
        self._storage.large.give_back(self._size)

    @property
    def is_large(self) -> bool:
        """Whether it has some of what large messages share."""
        return self.entered and self._size > 0

    def fits(self, size: int) -> bool:
        """Whether there is room for a content of this size."""
        return size <= max(SMALL, self._size)

    async def grow(self) -> None:
        """
        Take room for the largest message, for one whose size was not told.

        Raises:
            OutOfStorage: its size was told, and this is more.
        """
        if self._size:
            raise OutOfStorage
        await self._storage.large.take(self._storage.max_size)
        self._size = self._storage.max_size
