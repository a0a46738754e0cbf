"""
What listmonk posts: the JSON of one message for one recipient, read strictly.

Decides which payloads are taken, and names the field of one that is not. It must not know what becomes of a message.

Invariants: whatever is wrong is a `BadPost`, never another exception; texts can be encoded; fields that are not used
here are not looked at.

Source:
    knadh/listmonk, internal/messenger/postback/postback.go, read 2026-11.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from email.message import Message as Headers
from typing import Any, NoReturn

import attrs

from ..._composing.header import read_mailbox
from .._domain import in_punycode

MAX_PARTS = 200
"""Attachments of one message, and headers of one campaign: far more than anybody uses, few enough to be read."""

_UUID = re.compile(r"[0-9A-Za-z-]{1,64}")
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_MEDIA_TYPE = re.compile(r"(?!multipart/)[A-Za-z0-9!#$&^_.+-]{1,80}/[A-Za-z0-9!#$&^_.+-]{1,80}")
_CHARSET = re.compile(r';[ \t]*charset="?([A-Za-z0-9._-]{1,40})"?[ \t]*(?:;|$)', re.IGNORECASE)
_CONTENT_ID = re.compile(r"<?(?P<id>[^\s<>]{1,200})>?")
MAX_ADDRESS_LENGTH = 320
"""Characters of an address, and of `from_email` with its name. Source: RFC 5321, 4.5.3.1."""
MAX_NAME_LENGTH = 200
"""Characters of a display name or a file name that are kept."""


class BadPost(Exception):
    """
    A payload that is not taken.

    Args:
        field: its path, such as `recipients[0].email`; empty where it is the payload as a whole.
        reason: what is wrong with it.
        label: whom it is about, as `Post.label`, as far as it could be read.
    """

    def __init__(self, field: str, reason: str, label: str = "") -> None:
        self.field = field
        self.reason = reason
        self.label = label
        super().__init__(f"{field or 'the payload'} {reason}")


@attrs.frozen
class Recipient:
    """Whom a message is for; the uuid is empty for somebody who is not in listmonk."""

    uuid: str
    email: str
    name: str


@attrs.frozen
class Campaign:
    """What a message belongs to; its headers are unrendered templates."""

    uuid: str
    name: str
    headers: tuple[tuple[str, str], ...]


@attrs.frozen
class Attachment:
    """A file; with a content id (without its brackets) the HTML shows it."""

    name: str
    content_type: str
    content_id: str
    content: bytes = attrs.field(repr=False)


@attrs.frozen
class Post:
    """One message for one recipient, rendered; `campaign` is None for a transactional one."""

    subject: str
    from_name: str
    from_address: str
    content_type: str
    body: str = attrs.field(repr=False)
    recipient: Recipient
    campaign: Campaign | None
    attachments: tuple[Attachment, ...]
    notes: tuple[str, ...] = ()
    """A sentence for each thing that is written otherwise than it was posted."""

    @property
    def label(self) -> str:
        """Who it is about, for a log: no address, no name."""
        return _label(self.campaign.uuid if self.campaign else "", self.recipient.uuid)


def parse(body: bytes) -> Post:
    """
    The message of one request.

    Raises:
        BadPost: a field is missing, of the wrong type or malformed, or the body is no JSON at all.
    """
    given = _json(body)
    try:
        return _post(_Value(given, ""))
    except BadPost as bad:
        bad.label = _label_of(given)
        raise


def _post(payload: _Value) -> Post:
    name, address = _mailbox(payload["from_email"])
    recipient = _recipient(payload["recipients"])
    return Post(
        subject=_line(payload["subject"].text()),
        from_name=name,
        from_address=address,
        content_type=payload.get("content_type", "").text(),
        body=payload["body"].text(),
        recipient=recipient,
        campaign=_campaign(payload.get("campaign")),
        attachments=tuple(_attachment(each) for each in payload.get("attachments").items()),
        notes=tuple(
            f"a domain was posted in letters beyond ASCII, and is written as SES needs it: {written.rpartition('@')[2]}"
            for given, written in (
                (payload["from_email"], address),
                (payload["recipients"].items()[0]["email"], recipient.email),
            )
            if written not in given.text()
        ),
    )


def _label(campaign: str, subscriber: str) -> str:
    return f"campaign {campaign or '-'}, subscriber {subscriber or '-'}"


def _label_of(payload: object) -> str:
    """Whom a payload is about that is not taken: what of it can be read."""

    def uuid(value: object) -> str:
        found = value.get("uuid") if isinstance(value, dict) else None
        return found if isinstance(found, str) and _UUID.fullmatch(found) else ""

    if not isinstance(payload, dict):
        return ""
    recipients = payload.get("recipients")
    return _label(
        uuid(payload.get("campaign")), uuid(recipients[0] if isinstance(recipients, list) and recipients else None)
    )


@attrs.frozen
class _Value:
    """A value of the payload, and where it stands."""

    value: Any
    path: str

    def __getitem__(self, name: str) -> _Value:
        if not isinstance(self.value, dict):
            self.refuse("is not an object")
        path = f"{self.path}.{name}" if self.path else name
        if name not in self.value:
            raise BadPost(path, "is missing")
        return _Value(self.value[name], path)

    def get(self, name: str, default: object = None) -> _Value:
        if isinstance(self.value, dict) and name not in self.value:
            return _Value(default, f"{self.path}.{name}" if self.path else name)
        return self[name]

    def text(self) -> str:
        if not isinstance(self.value, str):
            self.refuse("is not a text")
        try:
            self.value.encode("utf-8")
        except UnicodeEncodeError:
            self.refuse("holds half of a surrogate pair")
        return self.value

    def items(self) -> list[_Value]:
        """The members of a list; none where it is null, as Go writes an empty one."""
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            self.refuse("is not a list")
        if len(self.value) > MAX_PARTS:
            self.refuse(f"has more than {MAX_PARTS} members")
        return [_Value(each, f"{self.path}[{number}]") for number, each in enumerate(self.value)]

    def members(self) -> Iterator[tuple[str, _Value]]:
        if not isinstance(self.value, dict):
            self.refuse("is not an object")
        for name, value in self.value.items():
            yield name, _Value(value, f"{self.path}.{_line(name)[:80]}")

    def refuse(self, reason: str) -> NoReturn:
        raise BadPost(self.path, reason)


def _json(body: bytes) -> object:
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise BadPost("", "is not UTF-8") from None
    except RecursionError:
        raise BadPost("", "is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise BadPost("", f"is not JSON ({error.msg}, at character {error.pos})") from None
    except ValueError:
        raise BadPost("", "holds a number with too many digits") from None


def _no_constant(name: str) -> NoReturn:
    raise BadPost("", f"holds {name}, which is not JSON")


def _recipient(value: _Value) -> Recipient:
    found = value.items()
    if len(found) != 1:
        value.refuse(f"has {len(found)} members, and listmonk posts one recipient at a time")
    one = found[0]
    return Recipient(
        uuid=_uuid(one.get("uuid", ""), optional=True),
        email=_address(one["email"], one["email"].text()),
        name=_line(one.get("name", "").text())[:MAX_NAME_LENGTH],
    )


def _campaign(value: _Value) -> Campaign | None:
    if value.value is None:
        return None
    headers = [pair for each in value.get("headers").items() for pair in each.members()]
    if len(headers) > MAX_PARTS:
        raise BadPost(f"{value.path}.headers", f"has more than {MAX_PARTS} members")
    return Campaign(
        uuid=_uuid(value["uuid"]),
        name=_line(value.get("name", "").text()),
        headers=tuple((name, header.text()) for name, header in headers),
    )


def _attachment(value: _Value) -> Attachment:
    content = value["content"]
    try:
        raw = b"" if content.value is None else base64.b64decode(content.text(), validate=True)
    except (binascii.Error, ValueError):
        content.refuse("is not base64")
    given = _part_headers(value.get("header").value)
    content_id = _CONTENT_ID.fullmatch(given.get("Content-Id", "").strip())
    name = _line(value["name"].text()).strip() or _line(_file_name(given.get("Content-Disposition", ""))).strip()
    return Attachment(
        name=name[:MAX_NAME_LENGTH] or "attachment",
        content_type=_media_type(given.get("Content-Type", "")),
        content_id=content_id["id"] if content_id else "",
        content=raw,
    )


def _part_headers(given: object) -> dict[str, str]:
    """Of the headers of an attachment, whatever they are, the three that count; they may hold letters of any script."""
    headers: dict[str, str] = {}
    for name, values in given.items() if isinstance(given, dict) else ():
        known = name.title()
        value = values[0] if isinstance(values, list) and values else values
        counts = known in ("Content-Type", "Content-Disposition", "Content-Id")
        if counts and isinstance(value, str) and value.isprintable() and _is_whole(value):
            headers.setdefault(known, value[:998])
    return headers


def _is_whole(text: str) -> bool:
    try:
        return bool(text.encode("utf-8"))
    except UnicodeEncodeError:
        return False


def _file_name(disposition: str) -> str:
    headers = Headers()
    headers["Content-Disposition"] = disposition
    try:
        name = headers.get_filename("") or ""
        name.encode("utf-8")
    except UnicodeError:
        # The charset of RFC 2231 may be any codec of Python's; some only raise, and some make half of a surrogate pair.
        return ""
    return name


def _media_type(given: str) -> str:
    """The type that a header says, with its charset; of a file name in it nothing is kept."""
    media_type = given.partition(";")[0].strip().lower()
    if not _MEDIA_TYPE.fullmatch(media_type):
        return "application/octet-stream"
    charset = _CHARSET.search(given)
    return f"{media_type}; charset={charset[1]}" if charset else media_type


def _mailbox(value: _Value) -> tuple[str, str]:
    text = value.text()
    if len(text) > MAX_ADDRESS_LENGTH:
        value.refuse(f"is longer than {MAX_ADDRESS_LENGTH} characters")
    if _CONTROL.search(text):
        value.refuse("holds a control character")
    found = read_mailbox(text)
    if found is None:
        value.refuse("is not of the form Name <local@domain>")
    return found[0][:MAX_NAME_LENGTH], _address(value, found[1])


def _address(value: _Value, address: str) -> str:
    address = in_punycode(address)
    if not address.rpartition("@")[0].isascii():
        value.refuse("is not ASCII before the @, which SES does not take")
    if not address.isascii():
        value.refuse("is not ASCII, and its domain cannot be written in Punycode (xn--)")
    if len(address) > MAX_ADDRESS_LENGTH or not _ADDRESS.fullmatch(address):
        value.refuse("is not an address of the form local@domain")
    return address


def _uuid(value: _Value, *, optional: bool = False) -> str:
    text = value.text()
    if not _UUID.fullmatch(text) and not (optional and not text):
        value.refuse("is not a UUID")
    return text


def _line(text: str) -> str:
    """A text that goes into a header: what would end a line is a space."""
    return _CONTROL.sub(" ", text)
