"""
The bytes of a message made from fields: headers, text, HTML, attachments.

Written out directly, because the email package takes most of a millisecond for one message, which is more than sending
it does. It must not know where the fields come from, nor the envelope, nor how a header is encoded (`header`).

Invariants: no field can add a header of its own; every line has at most 998 octets; everything is 7-bit.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import mimetypes
import re
from collections.abc import Iterable, Sequence

import attrs

from .._model.errors import InvalidMessage
from .encoded import parameter
from .header import LONGEST_LINE, check_value

MAX_TYPE = 200
"""Characters of a content type."""

_TYPE = re.compile(
    r"""
    (?P<main> [A-Za-z0-9!#$&^_.+-]+ ) / [A-Za-z0-9!#$&^_.+-]+
    (?: [ ]* ; [ ]* [A-Za-z0-9!#$&^_.+*-]+ = (?: [A-Za-z0-9!#$&^_.+'*%/:-]+ | "(?:[ !#-\[\]-~]|\\[ -~])*" ) )* [ ]* ;?
    """,
    re.VERBOSE,
)
"""Source: RFC 2045, 5.1, in printable ASCII."""
_CONTENT_ID = re.compile(r"[!-;=?-~]{1,200}")

_PACKED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
"""What a file is that is packed, whatever is in it. Source: RFC 6713; the others have no registered type."""


@attrs.frozen
class Part:
    """One MIME entity: its header lines, each with a line end, and its encoded body."""

    head: bytes
    body: bytes

    def __bytes__(self) -> bytes:
        return self.head + b"\r\n" + self.body


def text_part(text: str, subtype: str) -> Part:
    """
    A part of text: as it is where it may be, else in the shorter of quoted-printable and base64.

    Raises:
        InvalidMessage: the text cannot be written as UTF-8.
    """
    field = "html" if subtype == "html" else "text"
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidMessage(f"{field} holds half of a surrogate pair: write it as UTF-8.") from None
    if text.isascii() and "\0" not in text and not _has_long_line(data):
        encoding, body = "7bit", data
    else:
        quoted, coded = binascii.b2a_qp(data, istext=True), base64.encodebytes(data)
        encoding, body = ("quoted-printable", quoted) if len(quoted) <= len(coded) else ("base64", coded)
    charset = "us-ascii" if encoding == "7bit" else "utf-8"
    head = f'Content-Type: text/{subtype}; charset="{charset}"\r\nContent-Transfer-Encoding: {encoding}\r\n'
    return Part(head.encode("ascii"), _with_crlf(body))


def attachment_part(filename: str, content_type: str, content: bytes, content_id: str = "") -> Part:
    """
    An attachment, in base64; a message as it is, which may not be encoded, or as a file where it is no 7-bit text.

    Args:
        filename: what it is called.
        content_type: of the form `application/pdf`, with or without parameters; empty where the file name tells.
        content: its bytes.
        content_id: without its brackets; of one that the HTML shows.

    Raises:
        InvalidMessage: the content type or the content id is none, or the file name holds a control character.

    Source:
        RFC 2045, 6.4; RFC 2046, 5.2.1.
    """
    if not filename:
        raise InvalidMessage("filename is empty: write a name.")
    check_value("filename", filename)
    kind = content_type or guessed_type(filename)
    found = _TYPE.fullmatch(kind) if len(kind) <= MAX_TYPE else None
    if found is None or found["main"].lower() == "multipart":
        raise InvalidMessage(f"content_type {_shown(kind)} is not of the form application/pdf.")
    if content_id and not is_content_id(content_id):
        raise InvalidMessage(f"cid {_shown(content_id)} is not of printable ASCII without brackets.")
    encoding, body = b"base64", b""
    if found["main"].lower() == "message":
        body = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
        if body.isascii() and b"\0" not in body and not _has_long_line(body):
            encoding = b"7bit"
        else:
            kind = "application/octet-stream"
    disposition = [
        "inline;" if content_id else "attachment;",
        *(f"{each};" for each in parameter("filename", filename)),
    ]
    disposition[-1] = disposition[-1].removesuffix(";")
    head = b"Content-Type: %s\r\nContent-Disposition: %s\r\nContent-Transfer-Encoding: %s\r\n" % (
        kind.encode("ascii"),
        ("\r\n " if len(disposition) > 2 else " ").join(disposition).encode("ascii"),
        encoding,
    )
    if content_id:
        head += b"Content-ID: <%s>\r\n" % content_id.encode("ascii")
    return Part(head, body if encoding == b"7bit" else _with_crlf(base64.encodebytes(content)))


def is_content_id(text: str) -> bool:
    """Whether a header may hold it as a content id, without its brackets."""
    return _CONTENT_ID.fullmatch(text) is not None


def guessed_type(filename: str) -> str:
    """The content type that the end of a file's name tells: of a packed file, that of the packing."""
    # Without what stands before the first dot, which would be taken for the scheme of a URL where it has a colon.
    kind, packing = mimetypes.guess_type("file." + filename.partition(".")[2])
    if packing is not None:
        kind = _PACKED.get(packing)
    return kind or "application/octet-stream"


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
    # A digest of what it parts: no content can hold it, not even one that was written to, since it would have to hold
    # its own digest; and the same parts are the same bytes in the next run.
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        digest.update(part.head)
        digest.update(part.body)
    boundary = f"=_{digest.hexdigest()}".encode("ascii")
    head = b'Content-Type: multipart/%s;\r\n boundary="%s"\r\n' % (subtype.encode("ascii"), boundary)
    opened = b"".join(b"--%s\r\n%s\r\n" % (boundary, bytes(part)) for part in parts)
    return Part(head, b"%s--%s--\r\n" % (opened, boundary))


def _with_crlf(data: bytes) -> bytes:
    """Encoded lines as they are on the wire; done here, the whole message need not be copied for it."""
    return data if b"\r" in data else data.replace(b"\n", b"\r\n")


def _has_long_line(data: bytes) -> bool:
    return len(data) > LONGEST_LINE and max(map(len, data.split(b"\n"))) > LONGEST_LINE


def _shown(text: str) -> str:
    return ascii(text[:200])
