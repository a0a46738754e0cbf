"""Line ends, as mail has them."""

from __future__ import annotations

from .errors import InvalidMessage


def normalised(raw: bytes) -> bytes:
    """
    The bytes with CRLF as every line end.

    Raises:
        InvalidMessage: they hold a NUL byte.
    """
    if b"\0" in raw:
        raise InvalidMessage("content holds a NUL byte, which no mail may: encode it (base64, quoted-printable).")
    pairs = raw.count(b"\r\n")
    if raw.count(b"\n") == pairs == raw.count(b"\r"):
        return raw
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
