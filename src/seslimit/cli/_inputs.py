"""
What is to be sent: files, folders and streams, read one message at a time.

Decides what kind of input a path is, and what each message in it is called. A million lines take no more memory than
`KEPT`. What cannot be read is an entry as well, so that one bad line is neither lost nor the end.

Invariants: an entry is given once; a reader that is cancelled while it waits for a stream has lost nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

import attrs

from .._composing.jsonline import key_in, record_of
from .._composing.records import Records
from .._model.errors import ConfigurationError, InvalidMessage, printable, words_of
from .._model.message import Message
from ._attached import AttachedFiles
from ._mailfiles import BOM, in_eml, is_utf_16, mbox_messages, message_of
from ._stream import LineStream

STREAM = "-"
"""The name of standard input on the command line."""

KEPT = 32 * 1024 * 1024
"""Bytes of messages that are kept from the check of an input until they are sent: some 12,000 letters of 2 KB."""

APIECE = 600
"""Bytes that a message takes beside its content."""

_LINES = (".jsonl", ".ndjson")
_NAMED = 3
"""Subfolders that are named where they are not read."""


@attrs.frozen
class BadEntry:
    """
    A place in the input that holds no message that could be sent.

    Args:
        key: what a report calls it: file and line, or file.
        sentence: what is wrong with it and what to do.
    """

    key: str
    sentence: str

    def __str__(self) -> str:
        return f"{printable(self.key)}: {self.sentence}"


@attrs.frozen
class Name:
    """A message of which only the key was read."""

    key: str | int


Entry: TypeAlias = Message | BadEntry | Name


@attrs.define
class Kept:
    """
    The messages that one reading made, for those after it: to make them takes as long as to send them.

    A message is known by its place and by what it was made of, so that what was changed in between is made anew.

    Args:
        room: bytes that are left for more.
    """

    room: int = KEPT
    _messages: dict[tuple[int, str], tuple[int, Message]] = attrs.field(factory=dict, init=False)

    def put(self, number: int, place: str, source: bytes | str, message: Message) -> None:
        """Keep a message of an input, if there is room."""
        size = message.size_hint + APIECE
        if size <= self.room:
            self.room -= size
            self._messages[number, place] = (hash(source), message)

    def get(self, number: int, place: str, source: bytes | str) -> Message | None:
        """The message that was made of the same."""
        found = self._messages.get((number, place))
        return None if found is None or found[0] != hash(source) else found[1]


@attrs.define
class Reading:
    """
    How an input is read, from now on.

    Args:
        names_only: whether keys are enough; a million of them take seconds, not a minute.
        by_content: whether a message without a key is known by all that it holds, not by its place in the input: for
            one who remembers it longer than the input stays as it is.
        kept: messages that need not be made again; None where the input is read once.
        number: of the input among those that `kept` is for.
    """

    names_only: bool = False
    by_content: bool = False
    kept: Kept | None = None
    number: int = 0

    def entry(
        self, key: str | Callable[[], str | int], place: str, source: bytes | str, make: Callable[[], Message]
    ) -> Entry:
        """
        One entry: the message that `make` gives, or its name, or what is wrong with it.

        Args:
            key: its key, or what finds it.
            place: what it is called where it has no key.
            source: all that it is made of, or the file that it is.
            make: makes the message.
        """
        try:
            if self.kept is not None and (message := self.kept.get(self.number, place, source)) is not None:
                return message
            if self.names_only and not self.by_content:
                return Name(key if isinstance(key, str) else key())
            message = make()
            if self.by_content and message.key == place:
                message = _by_content(message)
            if self.kept is not None:
                self.kept.put(self.number, place, source, message)
            return message
        except InvalidMessage as error:
            return BadEntry(place, str(error))
        except OSError as error:
            return BadEntry(place, f"it cannot be read: {error.strerror or error}.")
        except Exception as error:  # noqa: BLE001
            # A fault of ours in one entry must not end a run that has sent others: they would be sent again.
            shown = printable(": ".join(dict.fromkeys((type(error).__name__, words_of(error)))))
            return BadEntry(place, f"it cannot be read ({shown}); this is a fault of seslimit: please report it.")


@attrs.frozen
class Input:
    """
    One argument of the command line.

    Args:
        name: as it was given.
        read: begins to read it from its start.
        repeatable: whether it can be read twice, so that it can be checked before anything is sent.
        note: a sentence about what of it is not read; None for nothing.
    """

    name: str
    read: Callable[[Reading], AsyncIterator[Entry]]
    repeatable: bool = True
    note: str | None = None


def known_by_content(source: Input) -> Input:
    """The same input, whose messages without a key are known by what they hold; see `Reading`."""
    return attrs.evolve(source, read=lambda reading: source.read(attrs.evolve(reading, by_content=True)))


def _by_content(message: Message) -> Message:
    from ..outbox._forms import prepared  # only where there is an outbox, which needs an extra

    name = prepared(attrs.evolve(message, key=None)).name
    return attrs.evolve(message, key=f"content-{name.removeprefix('#')}")


def open_input(name: str) -> Input:
    """
    Find out what kind of input a path is.

    Raises:
        ConfigurationError: it is not there, cannot be read, or is of no known kind.
    """
    if name == STREAM:
        if sys.stdin is None:
            raise ConfigurationError("standard input is closed: give - something to read, or a file.")
        return _stream("stdin", sys.stdin.fileno)
    path = Path(name)
    try:
        if path.is_dir():
            return _folder(path)
        if not path.exists():
            raise ConfigurationError(f"{printable(name)} is not there: check the path.")
        if not path.is_file():
            return _stream(path.name, lambda: os.open(path, os.O_RDONLY))
        return _file(path)
    except OSError as error:
        raise ConfigurationError(f"{printable(name)} cannot be read: {error.strerror or error}.") from None


def _file(path: Path) -> Input:
    with path.open("rb") as file:
        begin = file.read(64)
    if is_utf_16(begin):
        raise ConfigurationError(f"{printable(str(path))} is UTF-16: save it as UTF-8.")
    begin = begin.removeprefix(BOM).lstrip()
    suffix = path.suffix.lower()
    if suffix == ".eml":
        return Input(str(path), lambda reading: Ready(_files(reading, path.parent, [path.name])))
    if suffix in _LINES or (begin.startswith(b"{") and suffix != ".mbox"):
        return Input(str(path), lambda reading: Ready(_json_lines(reading, path)))
    if suffix == ".mbox" or begin.startswith(b"From "):
        return Input(str(path), lambda reading: Ready(_mbox(reading, path)))
    if suffix == ".csv":
        raise ConfigurationError(
            f"{printable(str(path))} is a table: give --template FILE, a message with places for its columns."
        )
    raise ConfigurationError(
        f"{printable(str(path))} is of no known kind: give a .jsonl, an .eml, an mbox, a folder of .eml, or - for JSON "
        "lines on standard input."
    )


def _folder(path: Path) -> Input:
    with os.scandir(path) as found:
        entries = sorted((entry.name, entry.is_dir()) for entry in found)
    names = [name for name, is_folder in entries if name.lower().endswith(".eml") and not is_folder]
    folders = [name for name, is_folder in entries if is_folder]
    if not names:
        where = "; its subfolders are not read" if folders else ""
        raise ConfigurationError(f"the folder {printable(str(path))} holds no .eml file{where}: check the path.")
    note = None
    if folders:
        shown = ", ".join([printable(name) for name in folders[:_NAMED]] + ["…"] * (len(folders) > _NAMED))
        note = f"the subfolders of {printable(str(path))} are not read ({shown}): give each of them as an input."
    return Input(str(path), lambda reading: Ready(_files(reading, path, names)), note=note)


def _stream(name: str, open_descriptor: Callable[[], int]) -> Input:
    return Input(name, lambda reading: StreamedLines(reading, name, LineStream(open_descriptor)), repeatable=False)


class Ready(AsyncIterator[Entry]):
    """Entries that are read without waiting, for a reader that can also wait."""

    def __init__(self, entries: Iterator[Entry]) -> None:
        self._entries = entries

    async def __anext__(self) -> Entry:
        for entry in self._entries:
            return entry
        raise StopAsyncIteration


class StreamedLines(AsyncIterator[Entry]):
    """JSON lines that come when they come."""

    def __init__(self, reading: Reading, name: str, lines: LineStream) -> None:
        self._reading = attrs.evolve(reading, kept=None)  # nobody reads them again
        self._name = name
        self._lines = lines
        self._records = Records(AttachedFiles(Path()))
        self._number = 0

    async def __anext__(self) -> Entry:
        async for line in self._lines:
            self._number += 1
            entry = _line(self._reading, self._records, line, f"{self._name}:{self._number}")
            if entry is not None:
                return entry
        raise StopAsyncIteration


def _json_lines(reading: Reading, path: Path) -> Iterator[Entry]:
    records = Records(AttachedFiles(path.parent))
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            entry = _line(reading, records, line, f"{path.name}:{number}")
            if entry is not None:
                yield entry


def _line(reading: Reading, records: Records, line: bytes, place: str) -> Entry | None:
    if place.endswith(":1"):
        line = line.removeprefix(BOM)
    if not line.strip():
        return None
    return reading.entry(lambda: key_in(record_of(line), place), place, line, lambda: records.message(line, place))


def _files(reading: Reading, folder: Path, names: list[str]) -> Iterator[Entry]:
    for name in names:
        yield reading.entry(name, name, name, partial(_eml, folder, name))


def _eml(folder: Path, name: str) -> Message:
    path = folder / name
    if path.exists() and not path.is_file():
        raise InvalidMessage("it is not a file: remove it.")
    return message_of(in_eml(path.read_bytes()), name)


def _mbox(reading: Reading, path: Path) -> Iterator[Entry]:
    is_empty = True
    with path.open("rb") as file:
        for found in mbox_messages(file):
            is_empty = False
            place = f"{path.name}:{found.number}" if found.number else path.name
            yield reading.entry(place, place, found.raw, partial(message_of, found, place))
    if is_empty:
        yield BadEntry(path.name, "there is no message in it: an mbox begins with a 'From ' line.")
