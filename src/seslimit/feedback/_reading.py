"""
How a document of SES becomes an event, whatever it is wrapped in.

Three wrappings are known: SES's own document (SNS and SQS with raw delivery), EventBridge's with the document in
`detail`, and either of them as text in an envelope of SNS, which `_envelope` has opened before.

Invariants: a document is an event or `InvalidFeedback`, never another exception; a value of a wrong type is one that is
not told; only text that can be an address becomes a recipient.

Source:
    Amazon SES Developer Guide, "Amazon SNS notification contents for Amazon SES" and "Contents of event data that
    Amazon SES publishes"; Amazon EventBridge events of SES; read 2026-11.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from .._model.errors import printable
from ._events import (
    Bounce,
    Click,
    Complaint,
    Delivery,
    DeliveryDelay,
    Event,
    InvalidFeedback,
    MailInfo,
    Open,
    Recipient,
    Reject,
    RenderingFailure,
    Sent,
    Subscription,
)

MAX_SIZE = 1024 * 1024
"""Characters of a document: four times what SNS and SQS carry."""

MAX_RECIPIENTS = 1000
"""Recipients of one event that are read; a message has 50 at most."""

_Object: TypeAlias = Mapping[str, Any]


def read(text: str | bytes) -> Event:
    """
    The event in a document of SES or of EventBridge.

    Args:
        text: JSON.

    Raises:
        InvalidFeedback: it is no JSON object, or none that SES would send.
    """
    return event_of(load(text))


def load(text: str | bytes) -> dict[str, Any]:
    """
    A JSON object.

    Raises:
        InvalidFeedback: the text is too long, or no JSON object.
    """
    if len(text) > MAX_SIZE:
        raise InvalidFeedback(f"the document is longer than {MAX_SIZE:,} characters.")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidFeedback("the document is no JSON.") from None
    if not isinstance(document, dict):
        raise InvalidFeedback("the document is JSON, but no object.")
    return document


def event_of(document: _Object) -> Event:
    """
    The event in a document that is an object already.

    Raises:
        InvalidFeedback: it is none that SES would send.
    """
    if "detail" in document and "detail-type" in document:
        document = _object(document["detail"])
    kind = _text(document.get("eventType")) or _text(document.get("notificationType"))
    if not kind or not isinstance(document.get("mail"), dict):
        raise InvalidFeedback("the document has neither eventType nor notificationType, or no mail: SES sends both.")
    known = _KINDS.get(kind)
    about = _object(document.get(known[0])) if known else {}
    mail = _mail(_object(document["mail"]))
    common: dict[str, Any] = {
        "type": printable(kind),
        "id": _identity(kind, about, document),
        "at": _moment(about.get("timestamp")) or (mail.at if known is None or known[0] in ("send", "reject") else None),
        "mail": mail,
        "document": document,
    }
    if known is None:
        return Event(**common)
    _, make = known
    return make(about, common)


def _identity(kind: str, about: _Object, document: _Object) -> str:
    """What every copy of an event has in common: SES's feedback id, or a digest of the document."""
    feedback_id = _text(about.get("feedbackId"))
    if feedback_id:
        return f"{kind}:{printable(feedback_id)}"
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), default=str)
    return f"{printable(kind)}:{hashlib.sha256(canonical.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _mail(mail: _Object) -> MailInfo:
    headers = [_object(header) for header in _list(mail.get("headers"))]
    return MailInfo(
        message_id=_text(mail.get("messageId")),
        at=_moment(mail.get("timestamp")),
        source=_text(mail.get("source")),
        destination=tuple(_addresses(mail.get("destination"))),
        headers=tuple((_text(header.get("name")), _text(header.get("value"))) for header in headers),
        headers_truncated=mail.get("headersTruncated") is True,
        tags={
            key: tuple(value for value in _list(values) if isinstance(value, str))
            for key, values in _object(mail.get("tags")).items()
        },
    )


def _bounce(about: _Object, common: dict[str, Any]) -> Event:
    return Bounce(
        bounce_type=_text(about.get("bounceType")),
        bounce_subtype=_text(about.get("bounceSubType")),
        recipients=_recipients(about.get("bouncedRecipients")),
        **common,
    )


def _complaint(about: _Object, common: dict[str, Any]) -> Event:
    return Complaint(
        feedback_type=_text(about.get("complaintFeedbackType")),
        complaint_subtype=_text(about.get("complaintSubType")),
        user_agent=_text(about.get("userAgent")),
        recipients=_recipients(about.get("complainedRecipients")),
        **common,
    )


def _delivery(about: _Object, common: dict[str, Any]) -> Event:
    taken = about.get("processingTimeMillis")
    return Delivery(
        response=_text(about.get("smtpResponse")),
        processing_ms=taken if isinstance(taken, int) and not isinstance(taken, bool) else None,
        recipients=tuple(Recipient(address=address) for address in _addresses(about.get("recipients"))),
        **common,
    )


def _delay(about: _Object, common: dict[str, Any]) -> Event:
    return DeliveryDelay(
        delay_type=_text(about.get("delayType")),
        expires_at=_moment(about.get("expirationTime")),
        recipients=_recipients(about.get("delayedRecipients")),
        **common,
    )


def _reject(about: _Object, common: dict[str, Any]) -> Event:
    return Reject(reason=_text(about.get("reason")), **common)


def _failure(about: _Object, common: dict[str, Any]) -> Event:
    return RenderingFailure(template=_text(about.get("templateName")), error=_text(about.get("errorMessage")), **common)


def _sent(about: _Object, common: dict[str, Any]) -> Event:
    return Sent(**common)


def _open(about: _Object, common: dict[str, Any]) -> Event:
    return Open(ip=_text(about.get("ipAddress")), user_agent=_text(about.get("userAgent")), **common)


def _click(about: _Object, common: dict[str, Any]) -> Event:
    return Click(
        link=_text(about.get("link")),
        ip=_text(about.get("ipAddress")),
        user_agent=_text(about.get("userAgent")),
        **common,
    )


def _subscription(about: _Object, common: dict[str, Any]) -> Event:
    return Subscription(contact_list=_text(about.get("contactList")), **common)


_KINDS: Mapping[str, tuple[str, Callable[[_Object, dict[str, Any]], Event]]] = {
    "Bounce": ("bounce", _bounce),
    "Complaint": ("complaint", _complaint),
    "Delivery": ("delivery", _delivery),
    "DeliveryDelay": ("deliveryDelay", _delay),
    "Reject": ("reject", _reject),
    "Rendering Failure": ("failure", _failure),
    "Send": ("send", _sent),
    "Open": ("open", _open),
    "Click": ("click", _click),
    "Subscription": ("subscription", _subscription),
}
"""SES's name of an event → where its particulars are in the document, and what reads them."""


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value[:MAX_RECIPIENTS] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _addresses(value: Any) -> Iterable[str]:
    return (one for one in _list(value) if isinstance(one, str) and _is_address(one))


def _recipients(value: Any) -> tuple[Recipient, ...]:
    told = [_object(one) for one in _list(value)]
    return tuple(
        Recipient(
            address=one["emailAddress"],
            action=_text(one.get("action")),
            status=_text(one.get("status")),
            diagnostic=_text(one.get("diagnosticCode")),
        )
        for one in told
        if _is_address(_text(one.get("emailAddress")))
    )


def _is_address(text: str) -> bool:
    local, at, domain = text.rpartition("@")
    return bool(local and at and domain) and text.isprintable() and not any(char in text for char in " <>,")


def _moment(value: Any) -> datetime | None:
    """A moment as SES writes it, in UTC; None where it is none."""
    try:
        moment = datetime.fromisoformat(_text(value))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
