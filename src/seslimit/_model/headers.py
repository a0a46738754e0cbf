"""
The headers of a message: its fields, where they stand, and the envelope that they name.

Decides where the header section ends and who is in it, once for everybody that asks: were there two readers, the one
might remove a Bcc that the other never saw. A line that is no header is an error with its number, because nobody can
tell whether a message goes on there as header or as text; whoever ended the section there would leave out the
recipients below.

Invariant: the fields of a section cover all of its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import attrs

from .addresses import listed_addresses
from .errors import InvalidMessage, printable

_FIELD = re.compile(rb"([!-9;-~]+):([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)(?:\r\n|\Z)")
_BLANK_BEFORE_COLON = re.compile(rb"[!-9;-~]+[ \t]+:")
_LINE = re.compile(rb"[^\r\n]*")
_BLIND = ("bcc", "resent-bcc")
_SHOWN = 60
"""Characters of a malformed line that are repeated."""


@attrs.frozen
class Field:
    """
    One header field.

    Args:
        name: as it is written; case does not count.
        value: what follows the colon, folds included.
        line: number of its first line in the file; None where there is no file.
        begin: offset of its first byte.
        end: offset after its line end.
    """

    name: str
    value: str
    line: int | None = None
    begin: int = 0
    end: int = 0

    def __str__(self) -> str:
        return self.name if self.line is None else f"{self.name} (line {self.line})"


def read_fields(content: bytes, first_line: int = 1) -> list[Field]:
    """
    The fields of a message's header section, in their order.

    Args:
        content: the message, with CRLF line ends.
        first_line: number of its first line in the file it comes from.

    Raises:
        InvalidMessage: a line is neither a field, nor the continuation of one, nor the empty line at the end.
    """
    fields: list[Field] = []
    position, line = 0, first_line
    while position < len(content) and not content.startswith(b"\r\n", position):
        found = _FIELD.match(content, position)
        if found is None:
            raise _no_header(content, position, line, fields)
        name, value = found[1].decode("ascii"), found[2].decode("utf-8", "replace")
        fields.append(Field(name, value, line, position, found.end()))
        position = found.end()
        line += 1 + found[2].count(b"\r\n")
    if content and not fields:
        raise InvalidMessage(f"line {first_line} is empty, where the headers should begin: remove it.")
    return fields


def _no_header(content: bytes, position: int, line: int, before: Sequence[Field]) -> InvalidMessage:
    found = _LINE.match(content, position)
    text = printable((found[0] if found else b"").decode("utf-8", "replace"))
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    if _BLANK_BEFORE_COLON.match(content, position):
        remedy = "remove the blank before its colon"
    elif before:
        remedy = f"begin it with a blank if it continues {before[-1]}, put an empty line above it if the text begins"
    else:
        remedy = "a message begins with its headers"
    return InvalidMessage(f"line {line} ({shown!r}) is not a header (name, colon, value): {remedy}.")


def without_blind(content: bytes, fields: Iterable[Field]) -> bytes:
    """The message without its Bcc and Resent-Bcc fields, every other byte as it was."""
    position, kept = 0, []
    for field in fields:
        if field.name.lower() in _BLIND:
            kept.append(content[position : field.begin])
            position = field.end
    return b"".join([*kept, content[position:]]) if kept else content


def envelope_of(fields: Sequence[Field]) -> tuple[str, tuple[str, ...]]:
    """
    The return address and the recipients that the headers name, each recipient once.

    The return address is that of Sender, else the first one of From; the recipients are those of To, Cc and Bcc. For a
    message that was sent on once, as a Resent-Date tells, they are taken from the Resent- fields, as `send_message` of
    the standard library does.

    Raises:
        InvalidMessage: nobody is named, an address is malformed, or it is not clear which Resent- fields count.
    """
    prefix = _prefix(fields)
    senders = _named(fields, f"{prefix}Sender")[:1] or _named(fields, f"{prefix}From")[:1]
    if not senders:
        raise InvalidMessage(f"the message has no {prefix}From header with an address: add one.")
    names = [f"{prefix}{name}" for name in ("To", "Cc", "Bcc")]
    recipients = dict.fromkeys(address for name in names for address in _named(fields, name))
    if not recipients:
        otherwise = ", or remove the Resent- headers" if prefix else ""
        raise InvalidMessage(
            f"recipients is empty: {names[0]}, {names[1]} and {names[2]} name nobody; add one of them{otherwise}."
        )
    return senders[0], tuple(recipients)


def _prefix(fields: Sequence[Field]) -> str:
    """What the fields begin with whose addresses count. Source: RFC 5322, 3.6.6."""
    dates = [field for field in fields if field.name.lower() == "resent-date"]
    named = [field for field in fields if field.name.lower() in ("resent-to", "resent-cc", "resent-bcc")]
    if len(dates) > 1:
        raise InvalidMessage(
            f"the message was resent more than once ({dates[0]}, {dates[1]}): keep one block of Resent- headers."
        )
    if named and not dates:
        raise InvalidMessage(
            f"the message has {named[0]} and no Resent-Date: add it to send to those whom the Resent- headers name, or "
            "remove the Resent- headers."
        )
    return "Resent-" if dates else ""


def _named(fields: Iterable[Field], name: str) -> list[str]:
    wanted = name.lower()
    return [
        address
        for field in fields
        if field.name.lower() == wanted
        for address in listed_addresses(str(field), field.value)
    ]
