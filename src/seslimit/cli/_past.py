"""
What a report says of messages that were sent before, and which of an input are still to be sent.

Reads what a run left behind, however it ended: a last line that was cut off, lines of another program, and the list of
attempts that were under way when it was killed. It must not know how sending works, and writes nothing.

Invariants: of several lines about one message the last one counts; a message of which an attempt may have been accepted
is not taken for one that is still to be sent.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from .._model.errors import ConfigurationError, printable
from .._model.message import Message
from .._model.outcome import Outcome
from ._inputs import Name

Key: TypeAlias = str | int

_BEGIN = re.compile(rb'\{"key": (?P<key>"(?:[^"\\]|\\.)*"|-?\d+), (?:"outcome": "(?P<outcome>[a-z_]+)")?')
"""What is left of a line that was cut off: `_reporting` writes key and outcome first."""

_PLACE = re.compile(r"(?P<name>.*):\d+", re.DOTALL)
"""The key of a message that was given none: file and number, as `_inputs` makes it."""


class State(enum.IntEnum):
    """How far a message has come, by its last line."""

    OPEN = 0
    ACCEPTED = 1
    IN_PART = 2
    FAILED = 3
    UNKNOWN = 4


@attrs.frozen
class Row:
    """One line of a report: the key, how far the message had come, and all that the line says."""

    key: Key
    state: State
    fields: dict[str, Any]

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Row | None:
        """The row that a line's object stands for; None where it is not one of a report."""
        key, outcome = fields.get("key"), fields.get("outcome")
        if isinstance(key, bool) or not isinstance(key, str | int) or outcome not in _STATES:
            return None
        state = _STATES[outcome]
        if state is State.ACCEPTED and fields.get("refused"):
            state = State.IN_PART
        elif state is State.FAILED and not (fields.get("attempts") or fields.get("recipients")):
            state = State.OPEN  # a line of the input that was bad, and may be right now
        return cls(key, state, fields)


_STATES = {each.value: State.OPEN for each in Outcome} | {
    Outcome.ACCEPTED.value: State.ACCEPTED,
    Outcome.PERMANENT.value: State.FAILED,
    Outcome.UNKNOWN.value: State.UNKNOWN,
}


def rows(path: Path) -> Iterator[Row | None]:
    """The lines of a report; None for one that cannot be read, or is another program's."""
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                yield _row(line)


def _row(line: bytes) -> Row | None:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        begin = _BEGIN.match(line)
        if begin is None:
            return None
        # Only what has come to its end has a line, and this one does not tell any more which end.
        outcome = Outcome.UNKNOWN.value if begin["outcome"] is None else begin["outcome"].decode()
        fields = {"key": json.loads(begin["key"]), "outcome": outcome, "attempts": 1, "error": "the line is cut off"}
    return Row.of(fields) if isinstance(fields, dict) else None


@attrs.define
class Past:
    """The last word of a report about each message; empty where there is no report yet."""

    _words: dict[Key, int] = attrs.field(factory=dict, init=False)
    unreadable: int = attrs.field(default=0, init=False)
    """Lines that say nothing of a message."""

    @classmethod
    def read(cls, path: Path) -> Past:
        """What the lines of a report say; those that cannot be read are counted."""
        past = cls()
        for row in rows(path):
            if row is None:
                past.unreadable += 1
            else:
                past.note(row)
        return past

    def note(self, row: Row) -> None:
        """Take one more line."""
        # One number a message, for a report may have millions: its state, and what tells its recipients apart.
        self._words[row.key] = row.state + 8 * _mark(row.fields.get("recipients"))

    def state(self, key: object) -> State | None:
        """How far a message has come; None where the report does not name it."""
        word = self._words.get(key)  # type: ignore[call-overload]  # a message's key is whatever its maker took
        return None if word is None else State(word % 8)

    def knows(self, message: Message) -> bool:
        """Whether the report names this message with the same recipients, or without any."""
        mark = self._words.get(message.key, 0) // 8  # type: ignore[call-overload]
        return mark in (0, _mark(message.recipients))


def _mark(recipients: object) -> int:
    return hash(tuple(recipients)) if isinstance(recipients, list | tuple) and recipients else 0


@attrs.define
class Choice:
    """
    Which messages of an input are to be sent.

    Args:
        past: what the report says.
        report: its name, for what is said.
        resume: whether to pass over what has come to its end; otherwise such a message is an error.
        again: states that are sent once more all the same.
        limit: so many messages at most; None for all.
    """

    past: Past
    report: str = ""
    resume: bool = False
    again: frozenset[State] = frozenset({State.OPEN})
    limit: int | None = None
    before: dict[State, int] = attrs.field(factory=dict, init=False)
    """Messages of the input that were passed over, by their state."""
    _passed: set[object] = attrs.field(factory=set, init=False)
    _taken: int = attrs.field(default=0, init=False)

    def takes(self, entry: Message | Name) -> bool:
        """
        Whether a message is to be sent; one that is passed over is counted.

        Raises:
            ConfigurationError: it has come to its end, and that was not expected; or the report cannot mean it.
        """
        state = self.past.state(entry.key)
        if state is None or state in self.again:
            return self._is_within_limit()
        if isinstance(entry, Name):
            if not self.resume:
                return self._is_within_limit()
        else:
            self._check(entry)
        self._passed.add(entry.key)
        self.before[state] = self.before.get(state, 0) + 1
        return False

    def _is_within_limit(self) -> bool:
        self._taken += 1
        return self.limit is None or self._taken <= self.limit

    def _check(self, message: Message) -> None:
        shown = printable(str(message.key))
        if not self.resume:
            raise ConfigurationError(
                f"the report {self.report} names {shown} already: give --resume to send what has not come to its end, "
                "or another --report."
            )
        if message.key in self._passed:
            raise ConfigurationError(f"the key {shown} comes more than once: --resume needs one for each message.")
        if _PLACE.fullmatch(shown) and not self.past.knows(message):
            raise ConfigurationError(
                f"{shown} has other recipients than on the report {self.report}, so the input was changed: --resume "
                "needs the input as it was, or a key for each message."
            )


EVERYTHING = Choice(Past())
"""The choice where nothing was sent before."""
