"""
One line of a `.jsonl` file: what its fields mean, and the message they make.

The envelope is `from`, and `to`, `cc` and `bcc` together; the headers say the same unless `headers` says otherwise, and
never name a `bcc`. With `raw`, the content is there already and only the envelope is read. An unknown field is an
error, in an attachment too: a `replyto` that is silently left out would be found out by the readers.

Invariant: whatever is wrong with a line is an `InvalidMessage` that names the field.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import PurePath
from typing import Any

import attrs

from .._model.addresses import check_address
from .._model.errors import InvalidMessage, printable
from .._model.headers import read_fields, without_blind
from .._model.message import Message
from .header import check_value, header_line, mailbox_line, read_mailbox
from .jsonline import key_in, record_of
from .parts import (
    Part,
    alternatives,
    attachment_part,
    composed,
    text_part,
    with_attachments,
    with_inline,
)

FIELDS: Mapping[str, type[Any]] = {
    "key": object,
    "from": str,
    "to": list,
    "cc": list,
    "bcc": list,
    "reply_to": list,
    "subject": str,
    "text": str,
    "html": str,
    "headers": dict,
    "attachments": list,
    "raw": str,
}
ATTACHMENT: Mapping[str, type[Any]] = {"path": str, "content": str, "filename": str, "content_type": str, "cid": str}
SHOWN = {"From": "from", "To": "to", "Cc": "cc", "Reply-To": "reply_to"}
"""Headers of mailboxes, and the fields that they are made from."""
MADE_HERE = frozenset({"bcc", "mime-version", "content-type", "content-transfer-encoding", "content-disposition"})

_WORDS: dict[type[Any], str] = {str: "a text", list: "a list", dict: "an object"}


@attrs.frozen
class Records:
    """
    Makes messages of JSON lines.

    Args:
        read: gives what stands at the `path` of an attachment; its `InvalidMessage` says why not, after the path.
    """

    read: Callable[[str], bytes]

    def message(self, line: bytes, default_key: str) -> Message:
        """
        The message of one line.

        Raises:
            InvalidMessage: it is no JSON object, a field is missing, unknown or malformed, or a file is not there.
        """
        record = _checked("", record_of(line), FIELDS, needed=("from", "to"))
        key = key_in(record, default_key)
        mailboxes = {"from": [_sender(record["from"])]}
        for name in ("to", "cc", "bcc", "reply_to"):
            mailboxes[name] = [_mailbox(name, text) for text in record.get(name, ())]
        recipients = [address for name in ("to", "cc", "bcc") for _, address in mailboxes[name]]
        content = _raw(record) if "raw" in record else composed(_headers(record, mailboxes), self._body(record))
        message = Message(mailboxes["from"][0][1], recipients, content, key)
        return without_bcc(message) if "raw" in record else message

    def _body(self, record: Mapping[str, Any]) -> Part:
        if "text" not in record and "html" not in record:
            raise InvalidMessage("there is no text, html or raw: add one of them.")
        texts = [text_part(record["text"], "plain")] if "text" in record else []
        attached: list[Part] = []
        inline: list[Part] = []
        for number, each in enumerate(record.get("attachments", ())):
            part, is_shown = self._attachment(f"attachments[{number}]", each)
            if is_shown and "html" not in record:
                raise InvalidMessage(f"attachments[{number}].cid is for what html shows: add html, or take cid away.")
            (inline if is_shown else attached).append(part)
        if "html" in record:
            texts.append(with_inline(text_part(record["html"], "html"), inline))
        return with_attachments(alternatives(texts), attached)

    def _attachment(self, place: str, given: object) -> tuple[Part, bool]:
        """The part, and whether the HTML shows it."""
        attachment = _checked(place, given, ATTACHMENT)
        if ("path" in attachment) == ("content" in attachment):
            raise InvalidMessage(f"{place} has not one of path and content: {_WAYS}")
        if "path" in attachment:
            path = attachment["path"]
            try:
                content = self.read(path)
            except InvalidMessage as error:
                raise InvalidMessage(f"{place}.path '{printable(path)}' {error}") from None
            filename = attachment.get("filename", PurePath(path).name)
        else:
            content = _decoded(f"{place}.content", attachment["content"])
            filename = attachment.get("filename", "")
        try:
            part = attachment_part(filename, attachment.get("content_type", ""), content, attachment.get("cid", ""))
        except InvalidMessage as error:
            raise InvalidMessage(f"{place}: {error}") from None
        return part, bool(attachment.get("cid"))


_WAYS = "write an object with path, or with filename and content (base64), and content_type and cid if need be."


def _mailbox(field: str, text: object) -> tuple[str, str]:
    """
    The display name and the address of `local@domain` or `Name <local@domain>`.

    Raises:
        InvalidMessage: it is neither, or holds a control character.
    """
    if not isinstance(text, str):
        raise InvalidMessage(f"{field} holds something that is not an address: write local@domain.")
    found = read_mailbox(text)
    if found is None:
        raise InvalidMessage(f"{field} '{printable(text)}' is not of the form Name <local@domain>.")
    # Of a message given whole too, whose header shows no name: a line is right or wrong whatever stands beside it.
    check_value(field, found[0])
    return found[0], check_address(field, found[1])


@lru_cache(maxsize=64)
def _sender(text: str) -> tuple[str, str]:
    """The same one in nearly every line."""
    return _mailbox("from", text)


def _checked(
    place: str, given: object, fields: Mapping[str, type[Any]], needed: tuple[str, ...] = ()
) -> dict[str, Any]:
    """
    An object whose fields are known and of the right type.

    Raises:
        InvalidMessage: they are not; it names the field.
    """
    if not isinstance(given, dict):
        raise InvalidMessage(f"{place} is not an object: {_WAYS}")
    for name, value in given.items():
        kind = fields.get(name)
        if kind is not None and isinstance(value, kind):
            continue
        where = f"{place}.{name}" if place else name
        if kind is None:
            raise InvalidMessage(f"unknown field '{printable(where)}': use {', '.join(fields)}.")
        raise InvalidMessage(f"{where} is not {_WORDS[kind]}: correct it.")
    for name in needed:
        if name not in given:
            raise InvalidMessage(f"the field {name} is missing: add {_WORDS[fields[name]]}.")
    return given


def _raw(record: Mapping[str, Any]) -> bytes:
    beside = [name for name in ("reply_to", "subject", "text", "html", "headers", "attachments") if name in record]
    if beside:
        raise InvalidMessage(f"raw is the whole content: take {beside[0]} away, or raw.")
    return _decoded("raw", record["raw"])


def _headers(record: Mapping[str, Any], mailboxes: Mapping[str, list[tuple[str, str]]]) -> list[bytes]:
    own: dict[str, str] = {}
    for name, value in record.get("headers", {}).items():
        known = name.lower()
        if known in MADE_HERE:
            raise InvalidMessage(f"header {printable(name)} is made from the other fields: take it out of headers.")
        if not isinstance(value, str):
            raise InvalidMessage(f"header {printable(name)} is not a text: write it as one.")
        if known in own:
            raise InvalidMessage(f"header {printable(name)} is there twice, as {own[known]} too: write it once.")
        own[known] = name
    lines = [
        mailbox_line(name, mailboxes[field])
        for name, field in SHOWN.items()
        if mailboxes[field] and name.lower() not in own
    ]
    if "subject" in record and "subject" not in own:
        lines.append(header_line("Subject", record["subject"]))
    return lines + [header_line(name, record["headers"][name]) for name in own.values()]


def _decoded(what: str, text: str) -> bytes:
    joined = "".join(text.split())
    try:
        # Python before 3.13 drops what follows a misplaced "=", and takes excess ones even where it is strict.
        if len(joined) % 4 or joined.endswith("==="):
            raise binascii.Error
        return binascii.a2b_base64(joined, strict_mode=True)
    except (binascii.Error, ValueError):
        raise InvalidMessage(f"{what} is not base64: encode it.") from None


def without_bcc(message: Message) -> Message:
    """
    The message without its Bcc headers, every other byte as it was; its content must be bytes.

    Raises:
        InvalidMessage: a line among its headers is none, so that a Bcc may be hidden below it; or it is empty.
    """
    content = message.as_bytes()
    if not content.strip():
        raise InvalidMessage("raw holds no message: give the whole of it in base64.")
    kept = without_blind(content, read_fields(content))
    return message if kept is content else attrs.evolve(message, content=kept)
