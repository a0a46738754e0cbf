"""
Messages that are files already: `.eml` and mbox.

Their bytes go out as they are, but for three things: a Bcc header is taken away, an mbox's "From " line and the ">"
that protects such lines in the text are undone, and line ends become CRLF (`Message` does that).
"""

from __future__ import annotations

import email.parser
import re
from collections.abc import Iterator
from typing import BinaryIO

import attrs

from .._model.errors import InvalidMessage
from .._model.message import Message

_BCC = re.compile(rb"^(?:Resent-)?Bcc[ \t]*:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*(?:\r\n|\Z)", re.IGNORECASE | re.MULTILINE)
_QUOTED = re.compile(rb">+From ")
_FROM_LINE = re.compile(rb"From [^\r\n]*(?:\r\n|\r|\n)")
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n|\r\r")


def message_of(raw: bytes, key: str) -> Message:
    """
    The message of a file's bytes, its envelope read from the headers.

    Raises:
        InvalidMessage: it has no sender or recipients, or an address that SES would not take.
    """
    from_line = _FROM_LINE.match(raw)
    if from_line:
        raw = raw[from_line.end() :]
    if not raw.strip():
        raise InvalidMessage("there is no message in it: take the file away.")
    end = _END_OF_HEADERS.search(raw)
    headers = email.parser.BytesHeaderParser().parsebytes(raw[: end.end()] if end else raw)
    envelope = Message.from_email(headers)
    return without_bcc(Message(envelope.mail_from, envelope.recipients, raw, key))


def without_bcc(message: Message) -> Message:
    """The message without its Bcc headers, every other byte as it was; its content must be bytes."""
    content = message.as_bytes()
    end = content.find(b"\r\n\r\n")
    # Up to and with the line end of the last header: with the message's line ends made equal, no Bcc can hide.
    head = content if end < 0 else content[: end + 2]
    if head.startswith(b"\r\n"):
        return message
    kept = _BCC.sub(b"", head)
    return message if len(kept) == len(head) else attrs.evolve(message, content=kept + content[len(head) :])


def mbox_messages(file: BinaryIO) -> Iterator[bytes]:
    """
    The messages of an mbox, one by one, without its "From " lines.

    A "From " begins a message at the start of the file and after an empty line; the empty line is the mbox's, not the
    message's. One ">" is taken from lines that begin with ">From ", ">>From " and so on.
    """
    lines: list[bytes] = []
    begun = False
    for line in file:
        if line.startswith(b"From ") and (not begun or _is_empty(lines[-1:])):
            if begun:
                yield b"".join(lines[:-1])
            lines, begun = [], True
        else:
            lines.append(line[1:] if _QUOTED.match(line) else line)
    if begun:
        yield b"".join(lines[:-1] if _is_empty(lines[-1:]) else lines)


def _is_empty(last: list[bytes]) -> bool:
    return bool(last) and not last[0].strip(b"\r\n")
