"""
Messages that are files already: `.eml` and mbox.

Their bytes go out as they are, but for four things: a byte order mark and a Bcc header are taken away, an mbox's
"From " line and the ">" that protects such lines in the text are undone, and line ends become CRLF.

Invariant: nothing of a file is left out in silence. What stands where no message can be is an error with its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

import attrs

from .._model.errors import InvalidMessage, printable
from .._model.headers import envelope_of, read_fields, without_blind
from .._model.line_ends import normalised
from .._model.message import Message

BOM = b"\xef\xbb\xbf"
"""What some programs write before UTF-8."""

_UTF_16 = re.compile(rb"\xff\xfe|\xfe\xff|[\x01-\x7f]\0|\0[\x01-\x7f]")
_QUOTED = re.compile(rb">+From ")
_FROM_LINE = re.compile(rb"From [^\r\n]*(?:\r\n|\r|\n)")
_DATED = re.compile(rb"From (?=.*\b\d{1,2}:\d\d)(?=.*\b(?:19|20)\d\d\b)")
_HEADER = re.compile(rb"[!-9;-~]+:")
_SHOWN = 60
"""Bytes of a line that are repeated."""


@attrs.frozen
class Found:
    """
    What stands in a file as one message, not yet read.

    Args:
        raw: its bytes.
        line: number of its first line in the file.
        number: of the message in the file; 0 for what stands before the first one.
    """

    raw: bytes
    line: int = 1
    number: int = 1


def message_of(found: Found, key: str) -> Message:
    """
    The message of a file's bytes, its envelope read from the headers.

    Raises:
        InvalidMessage: it has no sender or recipients, an address that SES would not take, or a line among its headers
            that is none.
    """
    if not found.number:
        raise InvalidMessage(
            f"line {found.line} ({_shown(found.raw)}) stands before the first 'From ' line of the mbox: remove it, or "
            "name the file .eml."
        )
    if not found.raw.strip():
        raise InvalidMessage("there is no message in it: remove it.")
    content = normalised(found.raw)
    fields = read_fields(content, found.line)
    mail_from, recipients = envelope_of(fields)
    return Message(mail_from, recipients, without_blind(content, fields), key)


def in_eml(raw: bytes) -> Found:
    """
    The message of an `.eml`, without what stands before its headers.

    Raises:
        InvalidMessage: it is UTF-16, or an mbox with several messages.
    """
    if is_utf_16(raw):
        raise InvalidMessage("it is UTF-16: save it as UTF-8.")
    raw = raw.removeprefix(BOM)
    from_line = _FROM_LINE.match(raw)
    if from_line is None:
        return Found(raw)
    lines = pairwise(raw.splitlines(keepends=True))
    second = next((number for number, (line, after) in enumerate(lines, 1) if number > 1 and _parts(line, after)), None)
    if second:
        raise InvalidMessage(f"a second message begins at line {second}: name the file .mbox.")
    return Found(raw[from_line.end() :], 2)


def is_utf_16(begin: bytes) -> bool:
    """Whether bytes that should be a text's are those of UTF-16, by their first two."""
    return _UTF_16.match(begin) is not None


def mbox_messages(file: Iterable[bytes]) -> Iterator[Found]:
    """
    The messages of an mbox, one by one, without its "From " lines; first what stands before them, if anything does.

    A "From " line begins a message at the start of the file and after an empty line, and, as in the standard library's
    mailbox, right after a text as well, where it holds a date and a header follows. The empty line before it is the
    mbox's, not the message's. One ">" is taken from lines that begin with ">From ", ">>From " and so on.
    """
    lines: list[bytes] = []
    begun_at, count, is_after_empty = 1, 0, True
    for number, (line, after) in enumerate(pairwise(chain(file, [b""])), 1):
        if number == 1:
            line = line.removeprefix(BOM)
        if line.startswith(b"From ") and (is_after_empty or _parts(line, after)):
            if lines or count:
                yield _found(lines, begun_at, count)
            lines, begun_at, count = [], number + 1, count + 1
        elif count:
            lines.append(line[1:] if _QUOTED.match(line) else line)
        elif line.strip() and not lines:
            # One line is enough to say so, however long what stands there.
            lines, begun_at = [line], number
        is_after_empty = _is_empty(line)
    if lines or count:
        yield _found(lines, begun_at, count)


def _parts(line: bytes, after: bytes) -> bool:
    """Whether a line that follows a text begins a message all the same."""
    return _DATED.match(line) is not None and _HEADER.match(after) is not None


def _found(lines: list[bytes], begun_at: int, number: int) -> Found:
    return Found(b"".join(lines[:-1] if lines and _is_empty(lines[-1]) else lines), begun_at, number)


def _is_empty(line: bytes) -> bool:
    return not line.strip(b"\r\n")


def _shown(line: bytes) -> str:
    return repr(printable(line[:_SHOWN].decode("utf-8", "replace").strip()))
