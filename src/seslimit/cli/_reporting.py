"""
What stays of a run: the report with one line for each message, and the summary.

Decides the words and keys of both; they are a contract. It must not know how sending works.

Invariant: a line that was written is in the file, whatever ends the program.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import attrs

from .._model.errors import ConfigurationError, printable
from .._model.outcome import Outcome
from .._model.report import Report
from ._inputs import BadEntry, Entry
from ._tally import Tally
from ._view import duration, number


@attrs.define
class ReportFile:
    """
    The report: one JSON object a line, appended to what the file holds already.

    Appended, because a second run must not wipe out what the first one has accepted. Use it as a context manager.

    Args:
        path: the file; None for no report.

    Raises:
        ConfigurationError: the file cannot be opened (on entry) or written to.
    """

    path: Path | None
    _file: IO[str] | None = attrs.field(default=None, init=False)

    def __enter__(self) -> ReportFile:
        if self.path is not None:
            try:
                begun = _is_cut_off(self.path)
                # Line-buffered: one small write a message, and nothing is lost when the program is killed.
                self._file = self.path.open("a", buffering=1, encoding="utf-8")
                self._file.write("\n" if begun else "")
            except OSError as error:
                raise self._failed("open", error) from None
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                if exc is None:
                    raise self._failed("write", error) from None

    def ended(self, report: Report, outcome: Outcome) -> None:
        """Write what became of a message; `outcome` is the word for it."""
        self._write(
            report.message.key,
            outcome,
            message_id=report.receipt and report.receipt.message_id,
            attempts=report.attempts,
            throttles=report.throttles,
            error=report.error and printable(str(report.error)),
        )

    def bad(self, entry: BadEntry) -> None:
        """Write that an entry of the input holds no message that could be sent."""
        self._write(entry.key, Outcome.PERMANENT, error=str(entry))

    def remaining(self, entries: Iterable[Entry], reason: str | None = None) -> None:
        """Write that these were not tried, all at once."""
        if self._file is not None:
            self._put("".join(_line(entry.key, Outcome.NOT_SENT, error=reason) for entry in entries))

    def _write(self, key: object, outcome: Outcome, **rest: Any) -> None:
        if self._file is not None:
            self._put(_line(key, outcome, **rest))

    def _put(self, text: str) -> None:
        if self._file is not None:
            try:
                self._file.write(text)
            except OSError as error:
                raise self._failed("write", error) from None

    def _failed(self, do: str, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"cannot {do} the report {printable(str(self.path))}: {error.strerror or error}; "
            "give --report a file that can be written."
        )


def _is_cut_off(path: Path) -> bool:
    """Whether the file ends in the middle of a line: a run that was killed must not spoil the next one's first."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def _line(
    key: object,
    outcome: Outcome,
    *,
    message_id: str | None = None,
    attempts: int = 0,
    throttles: int = 0,
    error: str | None = None,
) -> str:
    fields = {
        "key": key,
        "outcome": outcome,
        "message_id": message_id,
        "attempts": attempts,
        "throttles": throttles,
        "error": error,
    }
    return json.dumps(fields, ensure_ascii=False) + "\n"


@attrs.frozen(kw_only=True)
class Summary:
    """
    The end of a run, in figures.

    Args:
        tally: its counts.
        seconds: from the first message to the end of the last one.
        estimate: the service's limit in recipients/s, as far as it was found out.
        error: one sentence about what stopped the run; None when nothing did.
        notes: sentences that a reader should know of.
    """

    tally: Tally
    seconds: float
    estimate: float | None = None
    error: str | None = None
    notes: tuple[str, ...] = ()

    def figures(self) -> dict[str, Any]:
        """The object of `--json`; the first nine keys are a contract."""
        tally = self.tally
        return {
            "messages": tally.messages,
            "accepted": tally.accepted,
            "failed": tally.failed,
            "unknown": tally.unknown,
            "remaining": tally.remaining,
            "attempts": tally.attempts,
            "throttled": tally.throttled,
            "seconds": round(self.seconds, 3),
            "rate": round(self._rate(), 3),
            "recipients": tally.recipients,
            "limit": self.estimate and round(self.estimate, 3),
            "error": self.error,
        }

    def text(self) -> str:
        """The same for people, a few lines."""
        tally = self.tally
        took = f"accepted in {duration(self.seconds)}, {number(self._rate())} recipients/s"
        lines = [
            f"{tally.accepted:,} of {tally.messages:,} messages {took}",
            f"{tally.attempts:,} attempts, {tally.throttled:,} throttled",
        ]
        if self.estimate is not None:
            lines[-1] += f"; the limit is about {number(self.estimate)} recipients/s"
        for count, words in (
            (tally.failed, "failed"),
            (tally.unknown, "unknown: they may have been accepted"),
            (tally.remaining, "remaining: not sent"),
        ):
            if count:
                lines.append(f"{count:,} {words}")
        return "\n".join(lines + [f"note: {note}" for note in self.notes])

    def _rate(self) -> float:
        return self.tally.recipients / self.seconds if self.seconds > 0 else 0.0
