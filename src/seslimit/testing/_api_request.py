"""
What a SendEmail request asks for.

Pure: it is given the request's content, and knows no HTTP and no reply but the words.
"""

from __future__ import annotations

import base64
import binascii
import email.message
import email.parser
import email.policy
import email.utils
import json
from collections.abc import Iterable
from typing import Any

from ._ledger import Submission
from ._refusals import content_refusal, mailboxes_refusal
from ._service import MAX_RECIPIENTS

LISTS = ("ToAddresses", "CcAddresses", "BccAddresses")
"""The fields of a destination."""


class Malformed(Exception):
    """A request that SES answers with BadRequestException."""


def submission(content: bytes, max_size: int, *, strict: bool = True) -> Submission:
    """
    The message that a request hands over.

    Args:
        content: of the request.
        max_size: bytes of one message.
        strict: whether malformed addresses and contents are refused.

    Raises:
        Malformed: there is none, or one that the service does not take.
    """
    raw, mail_from, recipients = _parsed(content)
    if len(raw) > max_size:
        # Source: the words of API version 1, captured in aws/aws-sdk-go-v2#1774.
        raise Malformed(f"Message length is more than {max_size} bytes long: '{len(raw)}'.")
    headers = email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(raw)
    recipients = recipients or _named_in(headers)
    # The order of the checks: the sender, the recipients, how many they are, the content.
    # Source: the probes of SES API v2 in floci-io/floci, SesServiceAddressSyntaxTest; read 2026-11.
    if strict and (problem := _malformed([mail_from, *recipients])):
        raise Malformed(problem)
    if not recipients:
        raise Malformed("Missing required destination.")
    if len(recipients) > MAX_RECIPIENTS:
        raise Malformed(f"Recipient count exceeds {MAX_RECIPIENTS}.")
    if strict and (problem := content_refusal(raw, sender_is_given=bool(mail_from))):
        raise Malformed(problem)
    return Submission("api", mail_from or str(headers.get("From", "")), tuple(recipients), raw)


def _parsed(content: bytes) -> tuple[bytes, str, list[str]]:
    """The message, the sender beside it (empty where there is none) and the destination of a request."""
    try:
        request = json.loads(content)
        raw = base64.b64decode(request["Content"]["Raw"]["Data"], validate=True)
        destination = request.get("Destination") or {}
        named = [_texts(destination.get(field) or []) for field in LISTS]
        (mail_from,) = _texts([request.get("FromEmailAddress") or ""])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise Malformed("The simulator takes JSON with Content.Raw.Data in base64, and lists of addresses.") from None
    return raw, mail_from, [address for field in named for address in field]


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("not a list of texts")
    return values


def _malformed(addresses: Iterable[str]) -> str | None:
    return next((problem for address in addresses if (problem := mailboxes_refusal(address))), None)


def _named_in(headers: email.message.Message) -> list[str]:
    values = [str(value) for name in ("To", "Cc", "Bcc") for value in headers.get_all(name, [])]
    return [address for _, address in email.utils.getaddresses(values) if address]
