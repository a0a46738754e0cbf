"""
One message on its way in: its envelope, its place, and as much of its content as has come.

Decides when it is complete, when it needs more room, and when it is refused. It must not know the connection.

Invariants: no more is kept than there is room for, but for the chunk that came last; a message that is too long is read
to its end, as far as that is bearable, and refused there.
"""

from __future__ import annotations

from ..._dialogue.content import Content
from ._dialogue import Transaction
from ._envelope import too_long
from ._replies import Refused
from ._storage import OutOfStorage, Place


class MailData:
    """
    One message on its way in: its envelope, its place, and its content so far.

    Args:
        transaction: its envelope.
        place: where it is kept; entered before the first chunk.
        max_size: bytes of the content at most.
    """

    def __init__(self, transaction: Transaction, place: Place, max_size: int) -> None:
        self.transaction = transaction
        self.place = place
        self._max_size = max_size
        self._content = Content(max_size)
        self._lied = False

    def feed(self, chunk: bytes) -> bytes:
        """Take the bytes that came next; returns those that came after the final dot."""
        self._content.feed(chunk)
        return self._content.rest

    @property
    def size(self) -> int:
        """Bytes of it that have come."""
        return self._content.size

    @property
    def ended(self) -> bool:
        """Whether all of it is there."""
        return self._content.ended

    @property
    def too_long(self) -> bool:
        """Whether it will be refused for its length, and is no longer kept."""
        return self._content.too_long

    @property
    def fits(self) -> bool:
        """Whether there is room for what is kept."""
        return self._content.too_long or self.place.fits(self._content.size)

    def check_bearable(self) -> None:
        """
        Whether its end can be waited for.

        Raises:
            Refused: it has come to twice of what is taken.
        """
        if self._content.size > 2 * self._max_size:
            refused = too_long(self._max_size)
            refused.last = True
            raise refused

    async def grow(self) -> None:
        """Take more room; without any, for a message that is longer than was said, the rest is not kept."""
        try:
            await self.place.grow()
        except OutOfStorage:
            self._lied = True
            self._content.limit = 0

    def content(self) -> bytes:
        """
        The content, when it is complete.

        Raises:
            Refused: it is too long; what came of it was passed over.
        """
        if self._lied:
            raise Refused("552 5.3.4 The message is longer than its SIZE said")
        if self._content.too_long:
            raise too_long(self._max_size)
        return self._content.unstuffed()
