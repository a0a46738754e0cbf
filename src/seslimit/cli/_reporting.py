"""
The report of a run: one JSON line for each message that came to an end.

Decides the keys of a line, which are a contract, and what happens when a line cannot be written. It must not know how
sending works.

Invariants: a line that was written is in the file, whatever ends the program; nothing that goes wrong here raises after
the report was opened, and a line about a message that was tried is then in `unwritten`; a file ends with a whole line.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from .._model.errors import ConfigurationError, printable
from .._model.outcome import Outcome
from .._model.report import Report
from ._descriptors import is_cut_off, is_ready, locked, opened_to_append
from ._inputs import BadEntry, Entry

STANDARD_OUTPUT = Path("-")
"""The report's name on the command line where it is no file."""

AT_ONCE = 512
"""Bytes that a pipe which is ready takes without waiting, on every system: POSIX's PIPE_BUF."""


class ReportFile:
    """
    The report: lines appended to what the file holds already, or written to a pipe or to standard output.

    Appended, because a second run must not wipe out what the first one has accepted. Use it as a context manager.

    Args:
        path: the file; `STANDARD_OUTPUT` for standard output; None for no report.

    Raises:
        ConfigurationError: on entry: the file cannot be opened, or another run writes it.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.failure: str | None = None
        """Why lines cannot be written any more; None while they can."""
        self.on_failure: Callable[[], None] = lambda: None
        """Called once, when the first line could not be written."""
        self._descriptor: int | None = None
        self._is_file = False
        self._lines: deque[bytes] = deque()
        self._written = 0  # bytes of the first line that are out

    def __enter__(self) -> ReportFile:
        if self.path is not None:
            try:
                self._open(self.path)
            except OSError as error:
                raise ConfigurationError(
                    f"cannot open the report {self.name}: {_why(error)}; give --report a file that can be written."
                ) from None
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._descriptor is None:
            return
        self._put_out()  # what failed before may go now
        with suppress(OSError):
            os.close(self._descriptor)
        self._descriptor = None

    @property
    def name(self) -> str:
        """What it is called in a sentence."""
        return "on standard output" if self.path == STANDARD_OUTPUT else printable(str(self.path))

    @property
    def is_kept(self) -> bool:
        """Whether it is a file of its own, which a later run can read."""
        return self._is_file and self.path != STANDARD_OUTPUT

    @property
    def unwritten(self) -> list[str]:
        """The lines that are not in the report: all are of messages that were tried, once writing has failed."""
        return [line.decode().rstrip("\n") for line in self._lines]

    def is_same_file(self, other: os.stat_result) -> bool:
        """Whether a file is the report's own; only of an open report."""
        return self._is_file and self._descriptor is not None and os.path.samestat(os.fstat(self._descriptor), other)

    def ended(self, report: Report, outcome: Outcome) -> None:
        """Write what became of a message; `outcome` is the word for it."""
        if self.failure is not None and outcome is Outcome.NOT_SENT:
            return  # no line says the same
        receipt = report.receipt
        self._put(
            _line(
                report.message.key,
                outcome,
                message_id=None if receipt is None else receipt.message_id,
                attempts=report.attempts,
                throttles=report.throttles,
                error=None if report.error is None else printable(str(report.error)),
                recipients=report.message.recipients,
                refused={} if receipt is None else {each: printable(why) for each, why in receipt.refused.items()},
            )
        )

    def bad(self, entry: BadEntry, outcome: Outcome = Outcome.PERMANENT) -> None:
        """Write that an entry of the input holds no message that could be sent; `outcome` is the word for it."""
        self._put(_line(entry.key, outcome, error=str(entry)))

    def remaining(self, entries: Iterable[Entry], reason: str | None = None) -> None:
        """Write that these were not tried, all at once; once writing has failed, no line says the same."""
        if self.failure is None:
            self._put(b"".join(_line(entry.key, Outcome.NOT_SENT, error=reason) for entry in entries))

    async def caught_up(self) -> None:
        """Wait until whoever reads a pipe has read on; returns at once for a file, and after a failure."""
        if self._descriptor is None:
            return
        loop = asyncio.get_running_loop()
        while self._lines and self.failure is None:
            writable = asyncio.Event()
            loop.add_writer(self._descriptor, writable.set)
            try:
                await writable.wait()
            finally:
                loop.remove_writer(self._descriptor)
            self._put_out()

    def give_up(self, reason: str) -> None:
        """Write no further line, because of `reason`."""
        if self.failure is None:
            self.failure = f"the report {self.name} cannot be written ({reason})"
            self.on_failure()

    def _open(self, path: Path) -> None:
        if path == STANDARD_OUTPUT:
            if sys.stdout is None:
                raise ConfigurationError("standard output is closed: give --report a file.")
            self._descriptor = os.dup(1)
        else:
            self._descriptor = opened_to_append(path)
        self._is_file = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        if not self.is_kept:
            return
        if not locked(self._descriptor):
            raise ConfigurationError(
                f"another run writes the report {self.name}: wait for its end, or give another --report."
            )
        if is_cut_off(path):
            # A run that was killed must not spoil the first line of this one.
            os.write(self._descriptor, b"\n")

    def _put(self, line: bytes) -> None:
        if self._descriptor is not None and line:
            self._lines.append(line)
            if self.failure is None:
                self._put_out()

    def _put_out(self) -> None:
        """Write as much as can be without waiting."""
        assert self._descriptor is not None  # noqa: S101  # of an open report only
        try:
            while self._lines and (self._is_file or is_ready(self._descriptor)):
                rest = self._lines[0][self._written :]
                self._written += os.write(self._descriptor, rest if self._is_file else rest[:AT_ONCE])
                if self._written == len(self._lines[0]):
                    self._lines.popleft()
                    self._written = 0
        except OSError as error:
            self._take_back()
            self.give_up(_why(error))

    def _take_back(self) -> None:
        """Cut off the half of a line that a full disk took."""
        if self.is_kept and self._written and self._descriptor is not None:
            with suppress(OSError):
                os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - self._written)
                self._written = 0


def _why(error: OSError) -> str:
    return error.strerror or str(error)


def _line(
    key: object,
    outcome: Outcome,
    *,
    message_id: str | None = None,
    attempts: int = 0,
    throttles: int = 0,
    error: str | None = None,
    recipients: Iterable[str] | None = None,
    refused: dict[str, str] | None = None,
) -> bytes:
    # The key and the outcome first: a line that was cut off by a kill still tells them.
    fields: dict[str, Any] = {
        "key": key,
        "outcome": outcome,
        "message_id": message_id,
        "attempts": attempts,
        "throttles": throttles,
        "error": error,
        "recipients": recipients and list(recipients),
        "refused": refused or {},
    }
    # What is no Unicode (half of a surrogate pair, a file name in another encoding) is written as JSON's own escape.
    return (json.dumps(fields, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
