"""
The attempts under way, in a file beside the report: what a kill leaves in doubt, by name.

A report has a line for what came to its end. A program that is killed leaves messages that were handed over and have
none; sent again they may be doubled, and left out they may be lost. So the key is written down before each attempt, and
again when the attempt is known to be refused. The file is gone once every message in it has its line on the report.

Invariant: while an attempt is made whose end is not on the report, its key is in the file, whatever ends the program.
"""

from __future__ import annotations

import json
import os
from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path

from .._model.errors import printable
from ._past import Key

MOST_LINES = 10_000
"""Lines after which the file is written anew with what is under way: it does not grow with the list."""


class InFlight:
    """
    The keys of the attempts under way, in a file.

    Args:
        path: the file.

    Raises:
        OSError: by `begin` and `begins`: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: dict[Hashable, None] = {}
        self._descriptor: int | None = None
        self._lines = 0

    @property
    def name(self) -> str:
        """What it is called in a sentence."""
        return printable(str(self._path))

    def left_behind(self) -> list[Key]:
        """The keys that a run which was killed has left."""
        keys: dict[Key, None] = {}
        with suppress(FileNotFoundError):
            for line in self._path.read_bytes().splitlines():
                with suppress(ValueError):  # cut off, so that its attempt was never begun
                    key = json.loads(line[1:])
                    if line.startswith(b"+"):
                        keys[key] = None
                    else:
                        keys.pop(key, None)
        return list(keys)

    def begin(self) -> None:
        """Write the file anew, with the keys of those in doubt alone."""
        fresh = self._path.with_name(self._path.name + "~")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)
        try:
            os.write(descriptor, b"".join(_line("+", key) for key in self._keys))
            fresh.replace(self._path)
        except OSError:
            os.close(descriptor)
            raise
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = descriptor
        self._lines = len(self._keys)

    def begins(self, key: Hashable) -> None:
        """Write down that an attempt is made."""
        if key not in self._keys:
            self._write(_line("+", key))
            self._keys[key] = None

    def refused(self, key: Hashable) -> None:
        """Write down that the attempt was surely not accepted."""
        if key in self._keys:
            del self._keys[key]
            with suppress(OSError):  # in doubt, it stays in doubt
                self._write(_line("-", key))

    def ended(self, key: Hashable) -> None:
        """The message has its line on the report, which says more."""
        self._keys.pop(key, None)

    def close(self) -> None:
        """Take the file away, if nothing is in doubt."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            if not self._keys:
                with suppress(OSError):
                    self._path.unlink()

    def _write(self, line: bytes) -> None:
        if self._descriptor is None:
            return
        if self._lines >= MOST_LINES:
            with suppress(OSError):  # the old one is as good
                self.begin()
        if os.write(self._descriptor, line) < len(line):
            raise OSError(28, "No space left on device")
        self._lines += 1


def _line(sign: str, key: Hashable) -> bytes:
    return f"{sign}{json.dumps(key)}\n".encode()
