"""
Lines that are appended to a file, or written to a pipe, a terminal or a device.

Decides what happens where they cannot be written: nothing is raised once the file is open, and what is not out is kept.
It must not know what the lines say.

Invariants: a line that is out is in the file, whatever ends the program; a file ends with a whole line; nothing waits
for a reader but `caught_up`.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from pathlib import Path
from typing import IO

from .._model.errors import ConfigurationError
from ._descriptors import is_cut_off, is_ready, locked, opened_to_append

STANDARD_OUTPUT = Path("-")
"""The name of standard output on the command line."""

AT_ONCE = 512
"""Bytes that a pipe which is ready takes without waiting, on every system: POSIX's PIPE_BUF."""

RESERVE = 262_144
"""Bytes that are held ready for a disk that fills up: the lines of a hundred attempts under way, with fifty recipients
each."""


class Lines:
    """
    A file, or something else, that takes lines.

    Args:
        path: where to; `STANDARD_OUTPUT` for standard output.
        out: is told the key of each line that is out.
        failed: is told, once, why lines cannot be written any more.

    Raises:
        OSError: it cannot be opened.
        ConfigurationError: the same, in a sentence.
    """

    def __init__(self, path: Path, out: Callable[[Hashable], None], failed: Callable[[str], None]) -> None:
        self._out = out
        self._failed = failed
        self._queue: deque[tuple[bytes, Hashable]] = deque()
        self._written = 0  # bytes of the first line that are out
        self._reserve: IO[bytes] | None = None
        self._given_up = False
        if path == STANDARD_OUTPUT and sys.stdout is None:
            raise ConfigurationError("standard output is closed: give --report a file.")
        self._descriptor: int | None = os.dup(1) if path == STANDARD_OUTPUT else opened_to_append(path)
        self._is_file = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self.is_kept = self._is_file and path != STANDARD_OUTPUT
        """Whether it is a file of its own, which a later run can read."""
        if self.is_kept:
            if not locked(self._descriptor):
                raise ConfigurationError("another run writes this report: wait for its end, or give another --report.")
            self._reserve = _reserved(path.parent)
            if is_cut_off(path):
                # A run that was killed must not spoil the first line of this one.
                os.write(self._descriptor, b"\n")

    @property
    def waiting(self) -> list[bytes]:
        """The lines that are not out."""
        return [line for line, _ in self._queue]

    def is_same_file(self, other: os.stat_result) -> bool:
        """Whether another file is this one."""
        return self._is_file and self._descriptor is not None and os.path.samestat(os.fstat(self._descriptor), other)

    def put(self, line: bytes, key: Hashable) -> bool:
        """Write a line, at once if it can be; returns whether lines can be written."""
        self._queue.append((line, key))
        if not self._given_up:
            self._put_out()
        return not self._given_up

    def withdraw(self) -> None:
        """Forget the line that was put last, if it is not out."""
        if self._queue:
            self._queue.pop()
            self._written = self._written if self._queue else 0

    async def caught_up(self) -> None:
        """Wait until whoever reads a pipe has read on; returns at once for a file, and when writing has failed."""
        loop = asyncio.get_running_loop()
        while self._queue and not self._given_up and self._descriptor is not None:
            writable = asyncio.Event()
            loop.add_writer(self._descriptor, writable.set)
            try:
                await writable.wait()
            finally:
                loop.remove_writer(self._descriptor)
            self._put_out()

    def give_up(self, reason: str) -> None:
        """Write nothing any more, but for a last time when it is closed."""
        if not self._given_up:
            self._given_up = True
            self._failed(reason)

    def close(self) -> None:
        """Write what still waits, as far as it goes now, and close."""
        if self._descriptor is not None:
            self._free()
            self._put_out()
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    def _put_out(self) -> None:
        """Write as much as can be without waiting."""
        assert self._descriptor is not None  # noqa: S101  # nobody writes to what is closed
        try:
            while self._queue and (self._is_file or is_ready(self._descriptor)):
                line, key = self._queue[0]
                rest = line[self._written :]
                self._written += os.write(self._descriptor, rest if self._is_file else rest[:AT_ONCE])
                if self._written == len(line):
                    self._queue.popleft()
                    self._written = 0
                    self._out(key)
        except OSError as error:
            self._take_back()
            self.give_up(error.strerror or str(error))

    def _take_back(self) -> None:
        """Cut off the half of a line that a full disk took."""
        if self.is_kept and self._written and self._descriptor is not None:
            with suppress(OSError):
                os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - self._written)
                self._written = 0

    def _free(self) -> None:
        if self._reserve is not None:
            self._reserve.close()
            self._reserve = None


def _reserved(folder: Path) -> IO[bytes] | None:
    """Room on the disk that is given back where the last lines need it; None where there is none to be had."""
    try:
        reserve = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # open until it is needed
        with suppress(AttributeError):  # no such call on this system
            os.posix_fallocate(reserve.fileno(), 0, RESERVE)
    except OSError:
        return None
    return reserve
