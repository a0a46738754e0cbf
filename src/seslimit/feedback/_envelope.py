"""
The envelope that SNS puts around a document, and what about it has to be true before anybody believes it.

Pure: fields and the present moment go in, a verdict comes out. Certificates are `_signature`'s business.

Invariants: nothing is believed of a topic that is not allowed; a URL in an envelope is followed only to SNS itself.

Source:
    Amazon SNS Developer Guide, "Verifying the signatures of Amazon SNS messages" and "Parsing message formats"; read
    2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs

from .._model.errors import ConfigurationError, printable
from ._events import InvalidFeedback

WINDOW = timedelta(hours=1)
"""How old a message may be: SNS's retries to an HTTP endpoint end within an hour; later ones are replays."""

AHEAD = timedelta(minutes=5)
"""How far in the future a message may be: two clocks differ by less."""

NOTIFICATION = "Notification"
CONFIRMATIONS = ("SubscriptionConfirmation", "UnsubscribeConfirmation")

_HOST = re.compile(r"sns\.[a-z0-9-]{2,30}\.amazonaws\.com(\.cn)?")
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9A-Za-z]{8,64}\.pem")
_TOPIC = re.compile(r"arn:aws[a-z-]{0,10}:sns:[a-z0-9-]{2,30}:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?")
_SIGNED = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    **dict.fromkeys(CONFIRMATIONS, ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")),
}
"""Type of an envelope → the fields that are signed, in their order."""
_NEEDED = ("Message", "MessageId", "Timestamp", "TopicArn", "Signature", "SigningCertURL", "SignatureVersion")


def check_topic(arn: str) -> str:
    """
    A topic that events may come from.

    Raises:
        ConfigurationError: it is no ARN of an SNS topic.
    """
    if not _TOPIC.fullmatch(arn):
        raise ConfigurationError(
            f"{arn!r} is no SNS topic: give its ARN, for example arn:aws:sns:eu-west-1:123456789012:bounces."
        )
    return arn


@attrs.frozen
class Envelope:
    """
    One message of SNS, its fields checked but not its signature.

    Args:
        fields: its fields; every one that is used is text.
    """

    fields: Mapping[str, str] = attrs.field(repr=False)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Envelope:
        """
        The envelope that a JSON object is.

        Raises:
            InvalidFeedback: it is none, or a field is missing or no text.
        """
        kind = document.get("Type")
        if not isinstance(kind, str) or kind not in _SIGNED:
            raise InvalidFeedback("it is no message of SNS: Type is missing or unknown (is raw delivery on?).")
        needed = (*_NEEDED, "SubscribeURL", "Token") if kind in CONFIRMATIONS else _NEEDED
        fields = {name: value for name, value in document.items() if isinstance(value, str)}
        missing = [name for name in needed if not fields.get(name)]
        if missing or ("Subject" in document and document["Subject"] is not None and "Subject" not in fields):
            raise InvalidFeedback(f"the message of SNS has no {', '.join(missing) or 'Subject'} as text.")
        return cls(fields)

    @property
    def kind(self) -> str:
        """Its type."""
        return self.fields["Type"]

    @property
    def message_id(self) -> str:
        """SNS's id, the same in every repetition."""
        return self.fields["MessageId"]

    @property
    def message(self) -> str:
        """What is in it: SES's document, or a sentence for people."""
        return self.fields["Message"]

    def signed(self) -> bytes:
        """The bytes that SNS has signed."""
        present = [name for name in _SIGNED[self.kind] if name in self.fields]
        return "".join(f"{name}\n{self.fields[name]}\n" for name in present).encode("utf-8", "surrogatepass")

    def check(self, now: datetime, topics: Collection[str], versions: Collection[str]) -> None:
        """
        Whether it may be believed if its signature is right.

        Args:
            now: the present moment.
            topics: ARNs that are allowed.
            versions: versions of signatures that are allowed.

        Raises:
            InvalidFeedback: why not.
        """
        if self.fields["TopicArn"] not in topics:
            raise InvalidFeedback(f"the topic {printable(self.fields['TopicArn'])} is not one of those allowed.")
        if self.fields["SignatureVersion"] not in versions:
            raise InvalidFeedback(
                f"it has SignatureVersion {printable(self.fields['SignatureVersion'])}, which rests on SHA-1 or is "
                "unknown: set the topic's attribute SignatureVersion to 2, or allow version 1."
            )
        certificate_url(self.fields["SigningCertURL"])
        try:
            sent_at = datetime.fromisoformat(self.fields["Timestamp"])
        except ValueError:
            raise InvalidFeedback("its Timestamp is none.") from None
        sent_at = sent_at if sent_at.tzinfo else sent_at.replace(tzinfo=UTC)
        if not now - WINDOW <= sent_at <= now + AHEAD:
            raise InvalidFeedback(f"it was sent at {sent_at:%Y-%m-%d %H:%M:%S %Z}: too long ago, or not yet.")

    def confirm_url(self) -> str:
        """
        Where a subscription is confirmed: at SNS, for the topic of the envelope.

        Raises:
            InvalidFeedback: the URL leads elsewhere.
        """
        url = self.fields["SubscribeURL"]
        parts = _to_sns(url, "SubscribeURL")
        asked = parse_qs(parts, keep_blank_values=True, max_num_fields=20)
        if asked.get("Action") != ["ConfirmSubscription"] or asked.get("TopicArn") != [self.fields["TopicArn"]]:
            raise InvalidFeedback("its SubscribeURL confirms something else than its topic.")
        return url


def certificate_url(url: str) -> str:
    """
    The URL of a certificate of SNS.

    Raises:
        InvalidFeedback: it leads elsewhere.
    """
    if _to_sns(url, "SigningCertURL") or not _CERTIFICATE.fullmatch(urlsplit(url).path):
        raise InvalidFeedback("its SigningCertURL is not that of a certificate of SNS.")
    return url


def _to_sns(url: str, name: str) -> str:
    """The query of a URL that leads to SNS over HTTPS, and nowhere else."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InvalidFeedback(f"its {name} is no URL.") from None
    # `netloc`, not `hostname`: no user, no port, no capitals, nothing that two readers could read in two ways.
    fits = parts.scheme == "https" and bool(_HOST.fullmatch(parts.netloc)) and not parts.fragment
    if not fits or not url.isascii() or not url.isprintable() or any(char in url for char in " \\"):
        raise InvalidFeedback(f"its {name} does not lead to SNS over HTTPS.")
    return parts.query
