"""
`seslimit report`: who did not get it, read from a report, and the rest as a list that can be sent.

Decides what counts as failed and as remaining: remaining is what `send --resume` would send, failed is everything else
that was not accepted for all of its recipients. It sends nothing and writes to no file.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

import attrs

from .._model.errors import ConfigurationError, printable
from .._model.message import Message
from ._inputs import BadEntry, Entry, Reading, open_input
from ._past import Key, Row, State, rows

Kind: TypeAlias = Literal["failed", "remaining"]

KINDS: dict[State, Kind | None] = {
    State.OPEN: "remaining",
    State.ACCEPTED: None,
    State.IN_PART: "failed",
    State.FAILED: "failed",
    State.UNKNOWN: "failed",
}
_FIGURES = {
    State.ACCEPTED: "accepted",
    State.IN_PART: "in_part",
    State.FAILED: "failed",
    State.UNKNOWN: "unknown",
    State.OPEN: "remaining",
}


@attrs.frozen(kw_only=True)
class ReportOptions:
    """
    What `seslimit report` is asked for.

    Args:
        file: the report.
        which: whose lines are wanted; None for a summary.
        inputs: what was sent, to say what has no line, and to write the rest as a list.
        as_json: whether the summary is one object.
    """

    file: Path
    which: Kind | None = None
    inputs: tuple[str, ...] = ()
    as_json: bool = False


class Reported:
    """
    The last word of a report about each message.

    Args:
        path: the report.

    Raises:
        ConfigurationError: it cannot be read, or is no report.
    """

    def __init__(self, path: Path) -> None:
        self._rows: dict[Key, Row | None] = {}  # None for an accepted one, of which there may be millions
        self.unlisted = 0
        """Messages of the input that have no line."""
        self.bad: list[BadEntry] = []
        """Entries of the input that hold no message."""
        lines = 0
        try:
            for row in rows(path):
                lines += 1
                if row is not None:
                    self._rows[row.key] = None if row.state is State.ACCEPTED else row
        except OSError as error:
            shown = printable(str(path))
            raise ConfigurationError(f"{shown} cannot be read: {error.strerror or error}.") from None
        if lines and not self._rows:
            raise ConfigurationError(f"{printable(str(path))} is no report: give what send --report wrote.")

    def figures(self) -> dict[str, int]:
        """How many messages ended how; "in_part" are accepted as well, for some of their recipients only."""
        counts = Counter(State.ACCEPTED if row is None else row.state for row in self._rows.values())
        figures = {word: counts[state] for state, word in _FIGURES.items()}
        figures["accepted"] += figures["in_part"]
        figures["remaining"] += self.unlisted
        return figures

    def of_kind(self, kind: Kind) -> Iterator[Row]:
        """The rows of messages that failed, or that remain."""
        return (row for row in self._rows.values() if row is not None and KINDS[row.state] == kind)

    async def read_inputs(self, names: Iterable[str], kind: Kind | None) -> AsyncIterator[str]:
        """
        Look at what was sent.

        Yields:
            a line of a list for each message of this kind, addressed to those who did not get it.
        """
        async for entry in _entries(names):
            if isinstance(entry, BadEntry):
                self.bad.append(entry)
            elif isinstance(entry, Message):
                listed = entry.key in self._rows
                row = self._rows.get(entry.key) if isinstance(entry.key, str | int) else None
                self.unlisted += not listed
                mine = None if listed and row is None else KINDS[State.OPEN if row is None else row.state]
                if mine is not None and mine == kind:
                    yield json.dumps(_record(entry, row))


def _record(message: Message, row: Row | None) -> dict[str, Any]:
    """The message as a line of a list, its content as it was sent."""
    recipients = message.recipients
    if row is not None and row.state is State.IN_PART:
        recipients = tuple(each for each in recipients if each in row.fields["refused"])
    content = base64.b64encode(message.as_bytes()).decode()
    return {"key": message.key, "from": message.mail_from, "to": list(recipients), "raw": content}


async def _entries(names: Iterable[str]) -> AsyncIterator[Entry]:
    for name in names:
        async for entry in open_input(name).read(Reading()):
            yield entry


def told(row: Row) -> str:
    """One row for people: the message, what became of it, who did not get it, and why."""
    key, error = printable(str(row.key)), row.fields.get("error")
    if row.state is State.IN_PART:
        refused = row.fields["refused"]
        whom = refused.items() if isinstance(refused, dict) else ()
        return f"{key}: accepted, but not for " + "; ".join(printable(f"{each}: {why}") for each, why in whom)
    recipients = row.fields.get("recipients")
    addressed = f" for {', '.join(printable(str(each)) for each in recipients)}" if isinstance(recipients, list) else ""
    return f"{key}: {row.fields['outcome']}{addressed}" + (f": {printable(str(error))}" if error else "")


def summary(file: Path, reported: Reported) -> Iterator[str]:
    """The report for people: the figures, and each message that failed or is in doubt."""
    figures = reported.figures()
    total = sum(figures.values()) - figures["in_part"]
    in_part = f" ({figures['in_part']:,} for some of their recipients only)" if figures["in_part"] else ""
    yield (
        f"{printable(str(file))}: {total:,} messages; {figures['accepted']:,} accepted{in_part}, "
        f"{figures['failed']:,} failed, {figures['unknown']:,} unknown, {figures['remaining']:,} remaining"
    )
    yield from map(told, reported.of_kind("failed"))


def report(options: ReportOptions) -> tuple[Iterator[str], list[BadEntry]]:
    """
    What a report says.

    Returns:
        lines for standard output, and entries of the input that hold no message; of these, once all lines were taken.

    Raises:
        ConfigurationError: the report, or an input, cannot be read.
    """
    reported = Reported(options.file)
    return _lines(options, reported), reported.bad


def _lines(options: ReportOptions, reported: Reported) -> Iterator[str]:
    if options.which is not None and not options.inputs:
        for row in reported.of_kind(options.which):
            yield json.dumps(row.fields)
        return
    with asyncio.Runner() as runner:
        listed = reported.read_inputs(options.inputs, options.which)
        while (line := runner.run(_next(listed))) is not None:
            yield line
    if options.which is None:
        yield from [json.dumps(reported.figures())] if options.as_json else summary(options.file, reported)


async def _next(lines: AsyncIterator[str]) -> str | None:
    return await anext(lines, None)
