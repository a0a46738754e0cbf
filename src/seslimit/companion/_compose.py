"""
The bytes of a message made from fields: headers, text, HTML, attachments.

Written out directly, because the email package takes most of a millisecond for one message, which is more than sending
it does. It must not know where the fields come from, nor the envelope.

Invariants: no field can add a header of its own; every line has at most 998 octets; everything is 7-bit.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Iterable, Sequence
from email.header import Header
from email.utils import formataddr

import attrs

from seslimit import InvalidMessage

LONGEST_LINE = 998
"""Octets of a line without its end. Source: RFC 5322, 2.1.1."""

LONGEST_HEADER = 900
"""Characters of a header value that are left on one line; longer ones are folded."""

_NAME = re.compile(r"[!-9;-~]{1,76}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?:; ?[A-Za-z0-9-]+=[A-Za-z0-9._/+-]+)*")
_CONTENT_ID = re.compile(r"[!-;=?-~]{1,200}")


@attrs.frozen
class Part:
    """One MIME entity: its header lines, each with a line end, and its encoded body."""

    head: bytes
    body: bytes

    def __bytes__(self) -> bytes:
        return self.head + b"\r\n" + self.body


def header_line(name: str, value: str) -> bytes:
    """
    One header, encoded and folded where it has to be, with its line end.

    Raises:
        InvalidMessage: the name is none, or the value holds CR, LF, NUL or another control character.
    """
    if not _NAME.fullmatch(name):
        raise InvalidMessage(f"header {_shown(name)} is not a name of printable ASCII without a colon.")
    if _CONTROL.search(value):
        raise InvalidMessage(f"header {name} holds CR, LF or another control character: remove it from the value.")
    if not value.isascii() or len(value) > LONGEST_HEADER:
        charset = None if value.isascii() else "utf-8"
        folded = _folded(name, value, charset)
        # A word that is longer than a line can be cut only where it is encoded.
        return _folded(name, value, "utf-8") if _has_long_line(folded) else folded
    return f"{name}: {value}\r\n".encode("ascii")


def _folded(name: str, value: str, charset: str | None) -> bytes:
    encoded = Header(value, charset, header_name=name).encode(linesep="\r\n")
    return f"{name}: {encoded}\r\n".encode("ascii")


def address_line(name: str, mailboxes: Sequence[str]) -> bytes:
    """
    A header with one mailbox (ASCII already) on each line, so that fifty of them are not one long line.

    Raises:
        InvalidMessage: a mailbox holds CR, LF, NUL or another control character.
    """
    if any(_CONTROL.search(mailbox) for mailbox in mailboxes):
        raise InvalidMessage(f"header {name} holds CR, LF or another control character: remove it from the value.")
    return "{}: {}\r\n".format(name, ",\r\n ".join(mailboxes)).encode("ascii") if mailboxes else b""


def mailbox_line(name: str, display: str, address: str) -> bytes:
    """
    A header with one mailbox; the display name may be empty, or in any script.

    Raises:
        InvalidMessage: name or address holds CR, LF, NUL or another control character.
    """
    if _CONTROL.search(display) or _CONTROL.search(address):
        raise InvalidMessage(f"header {name} holds CR, LF or another control character: remove it from the value.")
    if display.isascii():
        return f"{name}: {formataddr((display, address))}\r\n".encode("ascii")
    encoded = Header(display, "utf-8", header_name=name).encode(linesep="\r\n")
    return f"{name}: {encoded}\r\n <{address}>\r\n".encode("ascii")


def text_part(text: str, subtype: str) -> Part:
    """
    A part of text: as it is where it may be, else in the shorter of quoted-printable and base64.

    Raises:
        InvalidMessage: the text cannot be written as UTF-8.
    """
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidMessage(f"the {subtype} text holds half of a surrogate pair: write it as UTF-8.") from None
    if text.isascii() and "\0" not in text and not _has_long_line(data):
        encoding, body = "7bit", data
    else:
        quoted, coded = binascii.b2a_qp(data, istext=True), base64.encodebytes(data)
        encoding, body = ("quoted-printable", quoted) if len(quoted) <= len(coded) else ("base64", coded)
    charset = "us-ascii" if encoding == "7bit" else "utf-8"
    head = f'Content-Type: text/{subtype}; charset="{charset}"\r\nContent-Transfer-Encoding: {encoding}\r\n'
    return Part(head.encode("ascii"), body)


def attachment_part(filename: str, content_type: str, content: bytes, content_id: str = "") -> Part:
    """
    An attachment, in base64; with a content id (without its brackets) one that the HTML shows.

    Raises:
        InvalidMessage: the content type is none, or the file name holds a control character.
    """
    if not _TYPE.fullmatch(content_type):
        raise InvalidMessage(f"content_type {_shown(content_type)} is not of the form application/pdf.")
    if _CONTROL.search(filename) or not filename:
        raise InvalidMessage(f"filename {_shown(filename)} is empty or holds a control character.")
    if content_id and not _CONTENT_ID.fullmatch(content_id):
        raise InvalidMessage(f"content id {_shown(content_id)} is not of printable ASCII without brackets.")
    head = (
        f"Content-Type: {content_type}\r\n"
        f"Content-Disposition: {'inline' if content_id else 'attachment'}; {_parameter('filename', filename)}\r\n"
        "Content-Transfer-Encoding: base64\r\n"
    ) + (f"Content-ID: <{content_id}>\r\n" if content_id else "")
    return Part(head.encode("ascii"), base64.encodebytes(content))


def alternatives(parts: Sequence[Part]) -> Part:
    """The same content in several forms, the best one last."""
    return parts[0] if len(parts) == 1 else _multipart("alternative", parts)


def with_inline(html: Part, inline: Sequence[Part]) -> Part:
    """HTML together with the images that it shows."""
    return _multipart("related", [html, *inline]) if inline else html


def with_attachments(body: Part, attachments: Sequence[Part]) -> Part:
    """A body followed by what is attached to it."""
    return _multipart("mixed", [body, *attachments]) if attachments else body


def composed(headers: Iterable[bytes], body: Part) -> bytes:
    """The whole message."""
    return b"".join(headers) + b"MIME-Version: 1.0\r\n" + bytes(body)


def _multipart(subtype: str, parts: Sequence[Part]) -> Part:
    # Random, so that no content can hold it, not even one that was written to.
    boundary = f"=_{secrets.token_hex(12)}".encode("ascii")
    head = b'Content-Type: multipart/%s;\r\n boundary="%s"\r\n' % (subtype.encode("ascii"), boundary)
    opened = b"".join(b"--%s\r\n%s\r\n" % (boundary, bytes(part)) for part in parts)
    return Part(head, b"%s--%s--\r\n" % (opened, boundary))


def _parameter(name: str, value: str) -> str:
    """A parameter of a MIME header. Source: RFC 2231, 4, for what is not ASCII."""
    if value.isascii():
        return '{}="{}"'.format(name, value.replace("\\", "\\\\").replace('"', '\\"'))
    encoded = "".join(
        chr(octet) if chr(octet).isascii() and chr(octet).isalnum() else f"%{octet:02X}"
        for octet in value.encode("utf-8")
    )
    return f"{name}*=utf-8''{encoded}"


def _has_long_line(data: bytes) -> bool:
    return any(len(line) > LONGEST_LINE for line in data.splitlines())


def _shown(text: str) -> str:
    return ascii(text[:200])
