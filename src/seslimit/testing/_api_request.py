"""
What a SendEmail or SendBulkEmail request asks for.

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
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from ._composed import NotComposed, simple, templated
from ._ledger import Submission
from ._refusals import content_refusal, mailboxes_refusal
from ._service import MAX_RECIPIENTS

LISTS = ("ToAddresses", "CcAddresses", "BccAddresses")
"""The fields of a destination."""


class Malformed(Exception):
    """A request that SES answers with BadRequestException."""


Templates: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Templates that were created, by their names."""


def submission(
    content: bytes, max_size: int, *, strict: bool = True, templates: Templates = MappingProxyType({})
) -> Submission:
    """
    The message that a request hands over.

    Args:
        content: of the request.
        templates: what `TemplateName` may name.
        max_size: bytes of one message.
        strict: whether malformed addresses and contents are refused.

    Raises:
        Malformed: there is none, or one that the service does not take.
    """
    return _checked(*_parsed(_object(content), templates), max_size, strict=strict)


def bulk(
    content: bytes, max_size: int, *, strict: bool = True, templates: Templates = MappingProxyType({})
) -> list[Submission | Malformed]:
    """
    The messages of SendBulkEmail, one for each entry; or what is wrong with it.

    Raises:
        Malformed: the request as a whole is none.
    """
    request = _object(content)
    entries, default = request.get("BulkEmailEntries"), _dictionary(request.get("DefaultContent")).get("Template")
    if not isinstance(entries, list) or not entries or not isinstance(default, dict):
        raise Malformed("The simulator takes DefaultContent.Template and a list of BulkEmailEntries.")
    if len(entries) > MAX_RECIPIENTS:
        raise Malformed(f"Bulk email entry count exceeds {MAX_RECIPIENTS}.")
    return [
        _entry(request, default, _dictionary(entry), max_size, strict=strict, templates=templates) for entry in entries
    ]


def _entry(
    request: Mapping[str, Any],
    default: Mapping[str, Any],
    entry: Mapping[str, Any],
    max_size: int,
    *,
    strict: bool,
    templates: Templates,
) -> Submission | Malformed:
    replaced = _dictionary(_dictionary(entry.get("ReplacementEmailContent")).get("ReplacementTemplate"))
    data = replaced.get("ReplacementTemplateData") or default.get("TemplateData")
    one = {
        **request,
        "Destination": entry.get("Destination"),
        "Content": {"Template": {**default, "TemplateData": data}},
    }
    try:
        return _checked(*_parsed(one, templates), max_size, strict=strict)
    except Malformed as error:
        return error


def template_of(content: bytes) -> tuple[str, Mapping[str, Any]]:
    """
    The name and the texts of CreateEmailTemplate.

    Raises:
        Malformed: there are none.
    """
    request = _object(content)
    name, texts = request.get("TemplateName"), request.get("TemplateContent")
    if not isinstance(name, str) or not isinstance(texts, dict):
        raise Malformed("The simulator takes TemplateName and TemplateContent.")
    return name, texts


def _checked(raw: bytes, mail_from: str, recipients: list[str], max_size: int, *, strict: bool) -> Submission:
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


def _object(content: bytes) -> dict[str, Any]:
    try:
        request = json.loads(content)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise Malformed("The simulator takes JSON: an object.")
    return request


def _dictionary(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _parsed(request: Mapping[str, Any], templates: Templates) -> tuple[bytes, str, list[str]]:
    """The message, the sender beside it (empty where there is none) and the destination of a request."""
    try:
        raw = _content(request, templates)
        destination = request.get("Destination") or {}
        named = [_texts(destination.get(field) or []) for field in LISTS]
        (mail_from,) = _texts([request.get("FromEmailAddress") or ""])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise Malformed("The simulator takes JSON with Content.Raw.Data in base64, and lists of addresses.") from None
    except NotComposed as error:
        raise Malformed(str(error)) from None
    return raw, mail_from, [address for field in named for address in field]


def _content(request: Mapping[str, Any], templates: Templates) -> bytes:
    content = request["Content"]
    if "Raw" in content:
        return base64.b64decode(content["Raw"]["Data"], validate=True)
    destination = request.get("Destination") or {}
    envelope = {
        "From": _texts([request["FromEmailAddress"]]),
        "To": _texts(destination.get("ToAddresses") or []),
        "Cc": _texts(destination.get("CcAddresses") or []),
        "Reply-To": _texts(request.get("ReplyToAddresses") or []),
    }
    if "Simple" in content:
        return simple(content["Simple"], envelope)
    template = content["Template"]
    texts = template.get("TemplateContent") or templates.get(template.get("TemplateName", ""))
    if texts is None:
        raise Malformed(f"Template {template.get('TemplateName')} does not exist.")
    return templated(texts, template.get("TemplateData") or "{}", envelope)


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("not a list of texts")
    return values


def _malformed(addresses: Iterable[str]) -> str | None:
    return next((problem for address in addresses if (problem := mailboxes_refusal(address))), None)


def _named_in(headers: email.message.Message) -> list[str]:
    values = [str(value) for name in ("To", "Cc", "Bcc") for value in headers.get_all(name, [])]
    return [address for _, address in email.utils.getaddresses(values) if address]
