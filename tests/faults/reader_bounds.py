"""What the reader of replies may keep and take at most, and a buffer that tells."""

from __future__ import annotations

MOST_KEPT = 64 * 1024
"""Bytes that may be kept at any moment."""

SLOWEST = 2.0
"""Seconds that one chunking, or one conversation, may take on a busy machine; reading a line twice takes minutes."""


class Watched(bytearray):
    """A buffer that knows how much it held at most."""

    most = 0

    def __iadd__(self, data: bytes) -> Watched:  # type: ignore[misc,override]
        super().__iadd__(data)
        if len(self) > self.most:
            self.most = len(self)
        return self
