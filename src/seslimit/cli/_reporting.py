"""
The report of a run: one JSON line for each message that came to an end.

Decides the keys of a line, which are a contract, and what a run leaves behind for the next one. It must not know how
sending works, nor how lines get into a file (that is `_lines`).

Invariants: nothing that goes wrong here raises after the report was opened; an attempt that cannot be written down is
not made; what came to its end and has no line is in `unwritten`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from .._model.errors import ConfigurationError, printable
from .._model.message import Message
from .._model.outcome import Outcome
from .._model.report import Report
from ._box import Ended
from ._inflight import InFlight
from ._inputs import BadEntry, Entry
from ._lines import STANDARD_OUTPUT, Lines
from ._past import Past, Row, State

_ENCODED = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps would make an encoder for each line

KILLED = "the run before was killed while an attempt was under way: it may have been accepted"


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
        self.past = Past()
        """What the file said when it was opened, the attempts of a run that was killed included."""
        self.failure: str | None = None
        """Why lines cannot be written any more; None while they can."""
        self.on_failure: Callable[[], None] = lambda: None
        """Called once, when the first line could not be written."""
        self._lines: Lines | None = None
        self.notes: list[str] = []
        """Sentences about it that a reader should know of."""
        self._in_flight: InFlight | None = None

    def __enter__(self) -> ReportFile:
        if self.path is not None:
            try:
                self._open(self.path)
            except OSError as error:
                raise ConfigurationError(
                    f"cannot open the report {self.name}: {_why(error)}; give --report a file that can be written."
                ) from None
            if self.failure is not None:
                raise ConfigurationError(f"{self.failure}: make room, or give another --report.")
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._lines is not None:
            self._lines.close()
        if self._in_flight is not None:
            self._in_flight.close()

    @property
    def name(self) -> str:
        """What it is called in a sentence."""
        return "on standard output" if self.path == STANDARD_OUTPUT else printable(str(self.path))

    @property
    def is_kept(self) -> bool:
        """Whether it is a file of its own, which a later run can read."""
        return self._lines is not None and self._lines.is_kept

    @property
    def unwritten(self) -> list[str]:
        """The lines that are not in the report: all are of messages that were tried, once writing has failed."""
        return [] if self._lines is None else [line.decode().rstrip("\n") for line in self._lines.waiting]

    def is_same_file(self, other: os.stat_result) -> bool:
        """Whether a file is the report's own."""
        return self._lines is not None and self._lines.is_same_file(other)

    def begins(self, message: Message) -> bool:
        """Write down that an attempt is made; returns whether it may be."""
        if self._in_flight is not None and self.failure is None:  # what is not attempted is in no doubt
            try:
                self._in_flight.begins(message.key)
            except OSError as error:
                self.give_up(_why(error))
        return self.failure is None

    def refused(self, message: Message) -> None:
        """Write down that the attempt was surely not accepted."""
        if self._in_flight is not None:
            self._in_flight.refused(message.key)

    def ended(self, report: Report, outcome: Outcome) -> None:
        """Write what became of a message; `outcome` is the word for it."""
        if self._lines is None or (self.failure is not None and outcome is Outcome.NOT_SENT):
            return  # no line says the same
        receipt, key = report.receipt, report.message.key
        line = _line(
            key,
            outcome,
            message_id=None if receipt is None else receipt.message_id,
            attempts=report.attempts,
            throttles=report.throttles,
            error=None if report.error is None else printable(str(report.error)),
            recipients=report.message.recipients,
            at=report.at or None,
            refused={} if receipt is None else {each: printable(why) for each, why in receipt.refused.items()},
        )
        self._lines.put(line, key)

    def known(self, ended: Ended) -> None:
        """Write what an outbox knows of a message of a run before, unless the report names its end already."""
        if self._lines is not None and self.past.state(ended.key) in (None, State.OPEN):
            line = _line(
                ended.key,
                ended.outcome,
                message_id=ended.message_id,
                attempts=ended.attempts,
                throttles=ended.throttles,
                error=None if ended.error is None else printable(ended.error),
                recipients=ended.recipients,
                at=ended.at,
                refused={each: printable(why) for each, why in ended.refused.items()},
            )
            self._lines.put(line, ended.key)

    def bad(self, entry: BadEntry, outcome: Outcome = Outcome.PERMANENT) -> None:
        """Write that an entry of the input holds no message that could be sent; `outcome` is the word for it."""
        if self._lines is not None:
            self._lines.put(_line(entry.key, outcome, error=str(entry)), None)

    def remaining(self, entries: Iterable[Entry], reason: str | None = None) -> None:
        """Write that these were not tried, all at once; once writing has failed, no line says the same."""
        if self._lines is not None and self.failure is None:
            lines = b"".join(_line(entry.key, Outcome.NOT_SENT, error=reason) for entry in entries)
            if lines and not self._lines.put(lines, None):
                self._lines.withdraw()

    @property
    def is_behind(self) -> bool:
        """Whether lines wait for whoever reads a pipe."""
        return self._lines is not None and self.failure is None and bool(self._lines.waiting)

    async def caught_up(self) -> None:
        """Wait until whoever reads a pipe has read on; returns at once for a file, and after a failure."""
        if self._lines is not None:
            await self._lines.caught_up()

    def give_up(self, reason: str) -> None:
        """Write no further line, because of `reason`."""
        if self._lines is not None:
            self._lines.give_up(reason)

    def _open(self, path: Path) -> None:
        self._lines = Lines(path, self._is_out, self._cannot)
        if not self._lines.is_kept:
            return
        self.past = Past.read(path)
        in_flight = InFlight(path.with_name(path.name + ".in-flight"))
        for key in in_flight.left_behind():
            if self.past.state(key) in (None, State.OPEN):
                self._lines.put(_line(key, Outcome.UNKNOWN, attempts=1, error=KILLED), None)
                self.past.note(Row(key, State.UNKNOWN, {}))
        if self.past.unreadable:
            self.notes.append(f"{self.past.unreadable:,} lines of the report {self.name} name no message")
        try:
            in_flight.begin()
        except OSError as error:
            self.notes.append(
                f"after a kill the report will not tell what was under way: {in_flight.name}: {_why(error)}"
            )
        else:
            self._in_flight = in_flight

    def _is_out(self, key: object) -> None:
        if self._in_flight is not None:
            self._in_flight.ended(key)

    def _cannot(self, reason: str) -> None:
        self.failure = f"the report {self.name} cannot be written ({reason})"
        self.on_failure()


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
    at: float | None = None,
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
        "at": at and round(at, 3),
    }
    # What is no Unicode (half of a surrogate pair, a file name in another encoding) is written as JSON's own escape.
    return (_ENCODED(fields) + "\n").encode("utf-8", "backslashreplace")
