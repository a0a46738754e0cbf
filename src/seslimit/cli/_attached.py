"""The files that the messages of a list attach."""

from __future__ import annotations

import errno
from collections import OrderedDict
from pathlib import Path

import attrs

from .._model.errors import InvalidMessage

CACHED_FILES = 4
"""Attached files that are kept in memory: the usual list attaches the same ones to every message."""


@attrs.frozen
class AttachedFiles:
    """
    Reads them.

    Args:
        folder: where a relative path starts from.
    """

    folder: Path
    _kept: OrderedDict[str, bytes] = attrs.field(factory=OrderedDict, init=False, repr=False, eq=False)

    def __call__(self, path: str) -> bytes:
        """
        What a file holds.

        Raises:
            InvalidMessage: it cannot be read.
        """
        if path not in self._kept:
            file = self.folder / path
            try:
                if file.exists() and not file.is_file():
                    # A pipe would be waited for, and a device has no end.
                    raise OSError(errno.EINVAL, "it is not a file")
                self._kept[path] = file.read_bytes()
            except (OSError, ValueError) as error:
                words = getattr(error, "strerror", None) or "a path has no NUL"
                raise InvalidMessage(f"cannot be read: {words}.") from None
            if len(self._kept) > CACHED_FILES:
                self._kept.popitem(last=False)
        return self._kept[path]
