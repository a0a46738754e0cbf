"""
The value that travels: a message, its envelope and its content.

A message is checked when it is made, so that whatever reaches a transport can be written to a wire: no CR, LF or NUL in
an address or a header, CRLF line ends, at most 50 recipients.
"""

from __future__ import annotations

import email.errors
import email.message
import re
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, cast

import attrs

from .addresses import check_address
from .errors import InvalidMessage, printable
from .headers import Field, envelope_of
from .line_ends import normalised

if TYPE_CHECKING:
    from email.headerregistry import BaseHeader

MAX_RECIPIENTS = 50
"""Recipients of one message. Source: Amazon SES Developer Guide, "Service quotas", read 2026-11."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_FOLD = re.compile(r"\r\n|\r|\n")
_HIDING = (
    email.errors.MissingHeaderBodySeparatorDefect,
    email.errors.FirstHeaderLineIsContinuationDefect,
    email.errors.MisplacedEnvelopeHeaderDefect,
)
"""What a parser notes where it took a header line, and perhaps all those below it, for something else."""


def _addresses(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise InvalidMessage(f"recipients is the text {printable(value)!r}: pass a list of addresses.")
    return tuple(value)


def _checked(content: bytes | email.message.Message) -> bytes | email.message.Message:
    if isinstance(content, email.message.Message):
        return content
    if isinstance(content, bytes):
        return normalised(content)
    raise InvalidMessage(f"content is of type {type(content).__name__}: pass bytes, or an EmailMessage.")


@attrs.frozen
class Message:
    """
    One envelope and its content.

    Args:
        mail_from: the envelope's return address.
        recipients: the envelope's recipients, 1 to 50. Their number is the message's cost.
        content: the RFC 5322 message, as bytes or as an `email.message.EmailMessage`. Bare CR or LF become CRLF.
        key: the caller's name for this message; it comes back on the report and is never sent.
        lane: the name of the limiter's lane that it waits in; None for the nameless one.

    Raises:
        InvalidMessage: an address or a header holds CR, LF or NUL, an address is malformed, or there are no recipients
            or more than 50.
    """

    mail_from: str = attrs.field()
    recipients: tuple[str, ...] = attrs.field(converter=_addresses)
    content: bytes | email.message.Message = attrs.field(converter=_checked, repr=False)
    key: Hashable = None
    lane: str | None = attrs.field(default=None, kw_only=True)
    cost: int = attrs.field(
        init=False, eq=False, repr=False, default=attrs.Factory(lambda self: len(self.recipients), takes_self=True)
    )
    """Tokens that the message takes from the send rate and from the daily quota: the number of its recipients."""

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
        from .serialisation import serialised  # with the half of the email package that bytes do not need

        return normalised(serialised(self.content))

    @classmethod
    def from_email(cls, content: email.message.Message, *, key: Hashable = None) -> Message:
        """
        A message whose envelope is read from the headers: Sender or From, and To, Cc and Bcc.

        With a Resent-Date, from those that begin with Resent-, as `send_message` of the standard library does. The
        object is left as it is; Bcc is not sent.

        Raises:
            InvalidMessage: a header that is needed is missing, or any reason that `Message` has.
        """
        hiding = [type(defect).__name__ for defect in content.defects if isinstance(defect, _HIDING)]
        if hiding:
            raise InvalidMessage(
                f"a malformed header line, below which others are hidden, was found by the parser ({hiding[0]}): "
                "correct it before it is parsed."
            )
        _check_headers(content)
        fields = [Field(name, _as_set(name, value)) for name, value in content.raw_items()]
        return cls(*envelope_of(fields), content, key)


def _as_set(name: str, value: object) -> str:
    """A header's value as it was set; as a text, one that the standard library finds malformed is not all of it."""
    if not getattr(value, "defects", ()):
        return str(value)
    from .serialisation import unfolded

    try:
        return unfolded(cast("BaseHeader", value))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidMessage(f"header {printable(name)} cannot be written: {printable(str(error))}.") from None


def _check_headers(content: email.message.Message) -> None:
    for part in content.walk():
        for name, value in part.raw_items():
            _check_header(name, str(value))


def _check_header(name: str, value: str) -> None:
    # A folded header continues with white space on its next line; anything else there would be a header of its own.
    lines = _FOLD.split(value)
    if any(line[:1] not in (" ", "\t") for line in lines[1:]) or "\0" in value or _CONTROL.search(name):
        raise InvalidMessage(f"header {printable(name)} holds CR, LF or NUL: remove it from the value.")
