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
from collections.abc import Mapping
from typing import Any

from ._ledger import Submission
from ._service import MAX_RECIPIENTS


class Malformed(Exception):
    """A request that SES answers with BadRequestException."""


def submission(content: bytes, max_size: int) -> Submission:
    """
    The message that a request hands over.

    Args:
        content: of the request.
        max_size: bytes of one message.

    Raises:
        Malformed: there is none, or one that the service does not take.
    """
    try:
        request = json.loads(content)
        raw = base64.b64decode(request["Content"]["Raw"]["Data"], validate=True)
        destination = dict(request.get("Destination") or {})
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise Malformed("The simulator takes JSON with Content.Raw.Data in base64.") from None
    if len(raw) > max_size:
        # Source: the words of API version 1, captured in aws/aws-sdk-go-v2#1774.
        raise Malformed(f"Message length is more than {max_size} bytes long: '{len(raw)}'.")
    headers = email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(raw)
    recipients = _recipients(destination, headers)
    if not recipients:
        raise Malformed("Missing required destination.")
    if len(recipients) > MAX_RECIPIENTS:
        raise Malformed(f"Recipient count exceeds {MAX_RECIPIENTS}.")
    if not all("@" in recipient for recipient in recipients):
        raise Malformed("Missing final '@domain'")
    mail_from = request.get("FromEmailAddress") or headers.get("From", "")
    return Submission("api", str(mail_from), tuple(recipients), raw)


def _recipients(destination: Mapping[str, Any], headers: email.message.Message) -> list[str]:
    fields = ("ToAddresses", "CcAddresses", "BccAddresses")
    named = [str(address) for field in fields for address in destination.get(field) or ()]
    if named:
        return named
    values = [str(value) for name in ("To", "Cc", "Bcc") for value in headers.get_all(name, [])]
    return [address for _, address in email.utils.getaddresses(values) if address]
