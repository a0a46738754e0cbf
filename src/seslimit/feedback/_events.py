"""
What SES tells about messages after it has accepted them, as frozen values.

Values only: nothing here reads a document (that is `_reading`) or decides what follows from an event.

Invariants: an address is in `recipients` only where the event itself names it, never because the message had it in its
envelope; what SES may add to its documents later is kept in `document`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, ClassVar

import attrs

from .._model.errors import SESLimitError

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class InvalidFeedback(SESLimitError, ValueError):
    """A document that is no event of SES, or an envelope that nobody should trust; the sentence says why."""


@attrs.frozen(kw_only=True)
class MailInfo:
    """
    The message that an event is about.

    Args:
        message_id: the id that SES gave in its receipt; the same as `Receipt.message_id`.
        at: when SES accepted it; None where it is not told.
        source: its return address.
        destination: its recipients, in their order. Who bounced or complained is in the event, not here.
        headers: its header fields, names and values as they were sent; empty where the topic leaves them out.
        headers_truncated: whether SES left some of them out because they were more than 10 kB.
        tags: message tags, the `ses:` ones of SES included; each with its values.
    """

    message_id: str = ""
    at: datetime | None = None
    source: str = ""
    destination: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    headers_truncated: bool = False
    tags: Mapping[str, tuple[str, ...]] = attrs.field(default=_NOTHING, hash=False)

    def header(self, name: str) -> str | None:
        """The first header of that name, without regard to case; None where there is none."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@attrs.frozen(kw_only=True)
class Recipient:
    """
    One recipient whom an event names.

    Args:
        address: the address.
        action: "failed", "delayed" and so on, of the delivery status notification; empty where not told.
        status: the enhanced status code, for example "5.1.1"; empty where not told.
        diagnostic: the words of the receiving server; empty where not told.
    """

    address: str
    action: str = ""
    status: str = ""
    diagnostic: str = ""


@attrs.frozen(kw_only=True)
class Event:
    """
    Something that happened to a message after SES had accepted it.

    Where SES invents a type that this version does not know, the event is of this class, with its `type` and document.

    Args:
        type: SES's name for it, for example "Bounce".
        id: the same for every copy of the event that SES, SNS or SQS delivers: its feedback id where it has one.
        at: when it happened; None where it is not told.
        mail: the message.
        recipients: those whom the event names; empty where it names none (a rejected message, an open).
        document: everything that SES told, as it came.
    """

    name: ClassVar[str] = "other"
    """The word for it in logs, files and metrics."""

    type: str
    id: str
    at: datetime | None = None
    mail: MailInfo = attrs.field(factory=MailInfo)
    recipients: tuple[Recipient, ...] = ()
    document: Mapping[str, Any] = attrs.field(default=_NOTHING, repr=False, eq=False)

    def as_dict(self) -> dict[str, Any]:
        """The event as JSON has it: what it is and whom it names, and SES's document in `document`."""
        return {
            "event": self.name,
            "type": self.type,
            "id": self.id,
            "at": None if self.at is None else self.at.isoformat(),
            "message_id": self.mail.message_id,
            "source": self.mail.source,
            "recipients": [attrs.asdict(recipient) for recipient in self.recipients],
            **self._particulars(),
            "tags": {key: list(values) for key, values in self.mail.tags.items()},
            "document": dict(self.document),
        }

    def _particulars(self) -> dict[str, Any]:
        own = [field.name for field in attrs.fields(type(self)) if field.name not in _COMMON]
        return {name: getattr(self, name) for name in own}


_COMMON = frozenset(field.name for field in attrs.fields(Event))


@attrs.frozen(kw_only=True)
class Bounce(Event):
    """
    A receiving server refused the message for good, or SES gave up delivering it.

    Args:
        bounce_type: "Permanent", "Transient" or "Undetermined".
        bounce_subtype: for example "General", "NoEmail", "MailboxFull", "OnAccountSuppressionList".
    """

    name: ClassVar[str] = "bounce"
    bounce_type: str = ""
    bounce_subtype: str = ""

    @property
    def permanent(self) -> bool:
        """Whether the address should not be sent to again."""
        return self.bounce_type == "Permanent"


@attrs.frozen(kw_only=True)
class Complaint(Event):
    """
    A recipient marked the message as spam.

    Mailbox providers often do not say who complained; SES then names every recipient of the message at that provider.
    One recipient for each message makes it certain.

    Args:
        feedback_type: "abuse", "auth-failure", "fraud", "not-spam", "other" or "virus"; empty where not told.
        complaint_subtype: "OnAccountSuppressionList", or empty.
        user_agent: the program that made the report.
    """

    name: ClassVar[str] = "complaint"
    feedback_type: str = ""
    complaint_subtype: str = ""
    user_agent: str = ""


@attrs.frozen(kw_only=True)
class Delivery(Event):
    """
    A receiving server accepted the message; that is not yet an inbox.

    Args:
        response: its reply to SES.
        processing_ms: milliseconds from SES's acceptance to it; None where not told.
    """

    name: ClassVar[str] = "delivery"
    response: str = ""
    processing_ms: int | None = None


@attrs.frozen(kw_only=True)
class DeliveryDelay(Event):
    """
    A receiving server did not accept the message yet; SES goes on trying.

    Args:
        delay_type: for example "MailboxFull", "SpamDetected", "RecipientServerError".
        expires_at: when SES gives up; None where not told.
    """

    name: ClassVar[str] = "delay"
    delay_type: str = ""
    expires_at: datetime | None = None

    def _particulars(self) -> dict[str, Any]:
        ends = None if self.expires_at is None else self.expires_at.isoformat()
        return {"delay_type": self.delay_type, "expires_at": ends}


@attrs.frozen(kw_only=True)
class Reject(Event):
    """
    SES accepted the message and then would not send it, because of what is in it.

    Args:
        reason: SES's words, for example "Bad content".
    """

    name: ClassVar[str] = "reject"
    reason: str = ""


@attrs.frozen(kw_only=True)
class RenderingFailure(Event):
    """
    A template could not be filled in; nothing was sent.

    Args:
        template: its name.
        error: SES's words.
    """

    name: ClassVar[str] = "rendering_failure"
    template: str = ""
    error: str = ""


@attrs.frozen(kw_only=True)
class Sent(Event):
    """SES accepted the message and will try to deliver it."""

    name: ClassVar[str] = "send"


@attrs.frozen(kw_only=True)
class Open(Event):
    """
    The message was displayed by a program that loads its images.

    Args:
        ip: whose request it was.
        user_agent: the program.
    """

    name: ClassVar[str] = "open"
    ip: str = ""
    user_agent: str = ""


@attrs.frozen(kw_only=True)
class Click(Event):
    """
    A link in the message was followed.

    Args:
        link: where it leads.
        ip: whose request it was.
        user_agent: the program.
    """

    name: ClassVar[str] = "click"
    link: str = ""
    ip: str = ""
    user_agent: str = ""


@attrs.frozen(kw_only=True)
class Subscription(Event):
    """
    A recipient changed what to get, through SES's own list management.

    Args:
        contact_list: the list.
    """

    name: ClassVar[str] = "subscription"
    contact_list: str = ""
