"""
One line of a `.jsonl` file: what its fields mean, and the message they make.

The envelope is `from`, and `to`, `cc` and `bcc` together; the headers say the same unless `headers` says otherwise, and
never name a `bcc`. With `raw`, the content is there already and only the envelope is read. An unknown field is an
error: a `reply_to` that is silently left out would be found out by the readers.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
from collections import OrderedDict
from email.utils import formataddr
from pathlib import Path
from typing import Any

import attrs

from .._model.addresses import check_address
from .._model.errors import InvalidMessage, printable
from .._model.message import Message
from ..companion._compose import (
    Part,
    address_line,
    alternatives,
    attachment_part,
    composed,
    header_line,
    text_part,
    with_attachments,
)
from ._jsonline import key_in, record_of
from ._mailfiles import without_bcc

FIELDS = ("key", "from", "to", "cc", "bcc", "subject", "text", "html", "headers", "attachments", "raw")
MADE_HERE = frozenset({"bcc", "mime-version", "content-type", "content-transfer-encoding", "content-disposition"})
CACHED_FILES = 4
"""Attached files that are kept in memory: the usual list attaches the same ones to every message."""

# One mailbox, never a list, so that a comma in a name needs no quotes.
_MAILBOX = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]*)>\s*")
_ESCAPED = re.compile(r"\\(.)")
_WORDS: dict[type[Any], str] = {str: "a text", list: "a list", dict: "an object"}


@attrs.frozen
class Records:
    """
    Makes messages of JSON lines.

    Args:
        folder: where the `path` of an attachment starts from.
    """

    folder: Path
    _files: OrderedDict[Path, bytes] = attrs.field(factory=OrderedDict, init=False, repr=False, eq=False)

    def message(self, line: bytes, default_key: str) -> Message:
        """
        The message of one line.

        Raises:
            InvalidMessage: it is no JSON object, a field is missing, unknown or malformed, or a file is not there.
        """
        record = record_of(line)
        unknown = [name for name in record if name not in FIELDS]
        if unknown:
            raise InvalidMessage(f"unknown field {printable(unknown[0])!r}: use {', '.join(FIELDS)}.")
        key = key_in(record, default_key)
        sender = mailbox("from", _needed(record, "from", str))
        to, cc, bcc = (_mailboxes(record, name) for name in ("to", "cc", "bcc"))
        envelope = (sender.address, [found.address for found in (*to, *cc, *bcc)])
        if "raw" in record:
            return without_bcc(Message(*envelope, self._raw(record), key))
        shown = {"From": [sender.shown], "To": [found.shown for found in to], "Cc": [found.shown for found in cc]}
        return Message(*envelope, composed(_headers(record, shown), self._body(record)), key)

    def _raw(self, record: dict[str, Any]) -> bytes:
        beside = [name for name in ("subject", "text", "html", "headers", "attachments") if name in record]
        if beside:
            raise InvalidMessage(f"raw is the whole content: take {beside[0]} away, or raw.")
        return _decoded("raw", _needed(record, "raw", str))

    def _body(self, record: dict[str, Any]) -> Part:
        texts = [
            text_part(_needed(record, name, str), subtype)
            for name, subtype in (("text", "plain"), ("html", "html"))
            if name in record
        ]
        if not texts:
            raise InvalidMessage("there is no text, html or raw: add one of them.")
        attached = (
            [self._attachment(each) for each in _needed(record, "attachments", list)]
            if ("attachments" in record)
            else []
        )
        return with_attachments(alternatives(texts), attached)

    def _attachment(self, attachment: object) -> Part:
        if not isinstance(attachment, dict) or ("path" in attachment) == ("content" in attachment):
            raise InvalidMessage(
                "an attachment is an object with content (base64) or path, and filename and content_type if need be."
            )
        if "path" in attachment:
            path = self.folder / _needed(attachment, "path", str)
            content = self._read(path)
        else:
            path = Path(_needed(attachment, "filename", str))
            content = _decoded("the content of an attachment", _needed(attachment, "content", str))
        filename = _needed(attachment, "filename", str) if "filename" in attachment else path.name
        guessed = mimetypes.guess_type(filename)[0] or "application/octet-stream"
        return attachment_part(filename, attachment.get("content_type") or guessed, content)

    def _read(self, path: Path) -> bytes:
        if path not in self._files:
            try:
                self._files[path] = path.read_bytes()
            except OSError as error:
                words = error.strerror or "cannot be read"
                raise InvalidMessage(f"the attachment {printable(str(path))} cannot be read: {words}.") from None
            except ValueError:
                raise InvalidMessage(
                    f"the attachment {printable(str(path))} cannot be read: a path has no NUL."
                ) from None
            if len(self._files) > CACHED_FILES:
                self._files.popitem(last=False)
        return self._files[path]


@attrs.frozen
class Mailbox:
    """An address, bare for the envelope, and as a header shows it, in ASCII."""

    address: str
    shown: str


def mailbox(field: str, text: object) -> Mailbox:
    """
    Read `local@domain` or `Name <local@domain>`.

    Raises:
        InvalidMessage: it is neither, or holds a control character.
    """
    if not isinstance(text, str):
        raise InvalidMessage(f"{field} holds something that is not an address: write local@domain.")
    if "<" not in text or not text.isprintable():
        return Mailbox(check_address(field, text), text)
    found = _MAILBOX.fullmatch(text)
    if found is None:
        raise InvalidMessage(f"{field} {printable(text)!r} is not of the form Name <local@domain>.")
    name = found["name"].strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = _ESCAPED.sub(r"\1", name[1:-1])
    return Mailbox(check_address(field, found["address"]), formataddr((name, found["address"])))


def _needed(record: dict[str, Any], name: str, kind: type[Any]) -> Any:
    if name not in record:
        raise InvalidMessage(f"the field {name} is missing: add {_WORDS[kind]}.")
    if not isinstance(record[name], kind):
        raise InvalidMessage(f"{name} is not {_WORDS[kind]}: correct it.")
    return record[name]


def _mailboxes(record: dict[str, Any], name: str) -> list[Mailbox]:
    if name != "to" and name not in record:
        return []
    return [mailbox(name, text) for text in _needed(record, name, list)]


def _headers(record: dict[str, Any], shown: dict[str, list[str]]) -> list[bytes]:
    own = _needed(record, "headers", dict) if "headers" in record else {}
    for name, value in own.items():
        if name.lower() in MADE_HERE:
            raise InvalidMessage(f"header {printable(name)} is made from the other fields: take it out of headers.")
        if not isinstance(value, str):
            raise InvalidMessage(f"header {printable(name)} is not a text: write it as one.")
    instead = {name.lower() for name in own}
    lines = [address_line(name, mailboxes) for name, mailboxes in shown.items() if name.lower() not in instead]
    if "subject" in record and "subject" not in instead:
        lines.append(header_line("Subject", _needed(record, "subject", str)))
    return lines + [header_line(name, value) for name, value in own.items()]


def _decoded(what: str, text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidMessage(f"{what} is not base64: encode it.") from None
