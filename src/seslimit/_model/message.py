"""
The value that travels: a message, its envelope and its content.

A message is checked when it is made, so that whatever reaches a transport can be written to a wire: no CR, LF or NUL in
an address or a header, CRLF line ends, at most 50 recipients.
"""

from __future__ import annotations

import email.message
import email.utils
import re
from collections.abc import Hashable, Iterable

import attrs

from .errors import InvalidMessage, printable
from .serialisation import serialised

MAX_RECIPIENTS = 50
"""Recipients of one message. Source: Amazon SES Developer Guide, "Service quotas", read 2026-11."""

MAX_ADDRESS_LENGTH = 320
"""Octets of an address: 64 for the local part, "@", 255 for the domain. Source: RFC 5321, 4.5.3.1."""

_ADDRESS = re.compile(
    r"""
    (?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+ | "(?: [\ !#-\[\]-~] | \\[\ -~] )*" )   # local part: atom or quoted string
    @ [A-Za-z0-9] (?: [A-Za-z0-9.-]* [A-Za-z0-9] )?                             # domain, in ASCII
    """,
    re.VERBOSE,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_EMPTY_GROUP = re.compile(r"[^:;@,<>]*:\s*;\s*")
_FOLD = re.compile(r"\r\n|\r|\n")


def check_address(field: str, address: str) -> str:
    """
    The address as it was, if it can be written to an envelope.

    Args:
        field: what it is, for the sentence of the error.
        address: the bare address.

    Raises:
        InvalidMessage: it is no mailbox (`local@domain`, ASCII), is too long, or holds a control character.
    """
    if _ADDRESS.fullmatch(address) and len(address) <= MAX_ADDRESS_LENGTH:
        return address
    shown = f"{field} '{printable(address)}'"
    if _CONTROL.search(address):
        raise InvalidMessage(f"{shown} holds CR, LF or another control character: pass one bare address.")
    if len(address) > MAX_ADDRESS_LENGTH:
        raise InvalidMessage(f"{shown} is longer than {MAX_ADDRESS_LENGTH} characters.")
    if not address.isascii():
        raise InvalidMessage(f"{shown} is not ASCII, as SES needs it: write the domain in Punycode (xn--).")
    raise InvalidMessage(f"{shown} is not an address of the form local@domain.")


def _addresses(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise InvalidMessage(f"recipients is the text {printable(value)!r}: pass a list of addresses.")
    return tuple(value)


def _checked(content: bytes | email.message.Message) -> bytes | email.message.Message:
    return content if isinstance(content, email.message.Message) else _normalised(content)


def _normalised(raw: bytes) -> bytes:
    if b"\0" in raw:
        raise InvalidMessage("content holds a NUL byte, which no mail may: encode it (base64, quoted-printable).")
    pairs = raw.count(b"\r\n")
    if raw.count(b"\n") == pairs == raw.count(b"\r"):
        return raw
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


@attrs.frozen
class Message:
    """
    One envelope and its content.

    Args:
        mail_from: the envelope's return address.
        recipients: the envelope's recipients, 1 to 50. Their number is the message's cost.
        content: the RFC 5322 message, as bytes or as an `email.message.EmailMessage`. Bare CR or LF become CRLF.
        key: the caller's name for this message; it comes back on the report and is never sent.

    Raises:
        InvalidMessage: an address or a header holds CR, LF or NUL, an address is malformed, or there are no recipients
            or more than 50.
    """

    mail_from: str = attrs.field()
    recipients: tuple[str, ...] = attrs.field(converter=_addresses)
    content: bytes | email.message.Message = attrs.field(converter=_checked, repr=False)
    key: Hashable = None

    def __attrs_post_init__(self) -> None:
        check_address("mail_from", self.mail_from)
        if not self.recipients:
            raise InvalidMessage("recipients is empty: a message needs at least one.")
        if len(self.recipients) > MAX_RECIPIENTS:
            raise InvalidMessage(
                f"recipients has {len(self.recipients)} addresses, SES takes at most {MAX_RECIPIENTS} "
                "for one message: split it."
            )
        for address in self.recipients:
            check_address("recipient", address)
        if not isinstance(self.content, bytes):
            _check_headers(self.content)

    @property
    def cost(self) -> int:
        """Tokens that the message takes from the send rate and from the daily quota: the number of its recipients."""
        return len(self.recipients)

    @property
    def size_hint(self) -> int:
        """About how many bytes the content has, without serialising it."""
        if isinstance(self.content, bytes):
            return len(self.content)
        payloads = (part.get_payload() for part in self.content.walk())
        return sum(len(payload) for payload in payloads if isinstance(payload, str))

    def as_bytes(self) -> bytes:
        """
        The content as it goes to the service: CRLF line ends, 7-bit, without a Bcc header where it was an object.

        Takes about 10 ms a megabyte for an `EmailMessage`; bytes are returned as they are.
        """
        if isinstance(self.content, bytes):
            return self.content
        return _normalised(serialised(self.content))

    @classmethod
    def from_email(cls, content: email.message.Message, *, key: Hashable = None) -> Message:
        """
        A message whose envelope is read from the headers: Sender or From, and To, Cc and Bcc.

        The object is left as it is; Bcc is not sent.

        Raises:
            InvalidMessage: a header that is needed is missing, or any reason that `Message` has.
        """
        _check_headers(content)
        mail_from = [address for _, address in email.utils.getaddresses(_headers(content, "Sender", "From"))]
        if not mail_from:
            raise InvalidMessage("the message has no From header: set it, or pass mail_from to Message.")
        recipients = [address for _, address in email.utils.getaddresses(_headers(content, "To", "Cc", "Bcc"))]
        # One copy for each address, however many headers name it.
        return cls(mail_from[0], tuple(dict.fromkeys(recipients)), content, key)


def _headers(content: email.message.Message, *names: str) -> list[str]:
    values = [str(value) for name in names for value in content.get_all(name, [])]
    # "undisclosed-recipients:;" names nobody, and is no malformed address.
    return [value for value in values if not _EMPTY_GROUP.fullmatch(value)]


def _check_headers(content: email.message.Message) -> None:
    for part in content.walk():
        for name, value in part.raw_items():
            _check_header(name, str(value))


def _check_header(name: str, value: str) -> None:
    # A folded header continues with white space on its next line; anything else there would be a header of its own.
    lines = _FOLD.split(value)
    if any(line[:1] not in (" ", "\t") for line in lines[1:]) or "\0" in value or _CONTROL.search(name):
        raise InvalidMessage(f"header {printable(name)} holds CR, LF or NUL: remove it from the value.")
