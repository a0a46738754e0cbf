"""
The content of one message as it comes over SMTP, up to its final dot.

Decides where the content ends. Pure: it is given bytes, and knows no socket and no reply. The simulator's door and the
relay read with it.

Invariants: the end is found however the bytes are cut; of a content beyond the limit nothing is kept.
"""

from __future__ import annotations

from typing import Final

import attrs

_END: Final = b"\r\n.\r\n"


@attrs.define
class Content:
    """
    Collects what follows the reply to DATA.

    Args:
        limit: bytes beyond which the content is no longer kept.
    """

    limit: int
    size: int = attrs.field(default=0, init=False)
    """Bytes so far as they came, without the final dot."""
    ended: bool = attrs.field(default=False, init=False)
    rest: bytes = attrs.field(default=b"", init=False)
    """What came after the final dot."""
    # The CRLF in front makes the dot of an empty message, and a dot that begins the first line, like any other.
    _data: bytearray = attrs.field(factory=lambda: bytearray(b"\r\n"), init=False)
    _dropped: int = attrs.field(default=0, init=False)

    def feed(self, chunk: bytes) -> None:
        """Take the bytes that came next."""
        searched = len(self._data)
        self._data += chunk
        end = self._data.find(_END, max(0, searched - len(_END) + 1))
        self.ended = end >= 0
        if self.ended:
            self.rest = bytes(self._data[end + len(_END) :])
            del self._data[end + 2 :]
        self.size = self._dropped + len(self._data) - 2
        if self.too_long and not self.ended:
            # The last bytes are kept, for a final dot that is cut in two.
            dropped = len(self._data) - len(_END) + 1
            del self._data[:dropped]
            self._dropped += dropped

    @property
    def too_long(self) -> bool:
        """Whether the content, its stuffed dots included, is beyond the limit."""
        return self.size > self.limit

    def unstuffed(self) -> bytes:
        """The content without its stuffed dots; of one that is too long, only the end."""
        # Most contents have no dot to remove, and are then copied once.
        content = bytes(memoryview(self._data)[3 if self._data[2:3] == b"." else 2 :])
        return content.replace(b"\r\n.", b"\r\n")
