"""
What the simulated service tells after it has accepted a message: who bounced, who complained, who got it.

Decides by chance, seeded, and by the addresses of SES's mailbox simulator; makes the documents as SES writes them. It
must not know how they get anywhere (that is `_publisher`).

Source:
    Amazon SES Developer Guide, "Examples of event data that Amazon SES publishes" and "Using the mailbox simulator";
    read 2026-11.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any, Final

import attrs

from .._model.errors import ConfigurationError
from ._ledger import Submission

MAILBOX_SIMULATOR: Final = "simulator.amazonses.com"
TOPIC: Final = "arn:aws:sns:us-east-1:123456789012:seslimit-simulator"

_ACCOUNT: Final = "123456789012"
_BOUNCES: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "hard": ("Permanent", "NoEmail", "5.1.1", "smtp; 550 5.1.1 no such user"),
    "soft": ("Transient", "MailboxFull", "5.2.2", "smtp; 552 5.2.2 mailbox full"),
    "bounce": ("Permanent", "General", "5.1.1", "smtp; 550 5.1.1 user unknown"),
    "suppressionlist": ("Permanent", "Suppressed", "5.1.1", "Amazon SES did not send it: suppressed"),
}
"""What happens → type, subtype, status and diagnostic of the bounce; the last two are the mailbox simulator's."""


def _share(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ConfigurationError(f"the share of {attribute.name} is {value:g}: it is from 0 to 1.")


@attrs.frozen(kw_only=True)
class EventRules:
    """
    Which events the simulator sends, and where to.

    Args:
        url: `http://HOST:PORT/sns` for posts as SNS makes them, signed with a certificate of the simulator's own;
            `sqs://QUEUE?region=…&endpoint_url=…` for messages of a queue.
        bounce, soft, complaint: shares of the recipients that bounce for good, bounce for now, or complain.
        deliveries: whether a delivery is told as well.
        copies: how many times each event is sent, as services do that deliver at least once.
        spread: seconds within which an event goes out, at random, so that they come in another order; 0 sends it at
            once.
        raw: whether a queue gets the bare document, not an envelope of SNS.
        topic: ARN of the topic that is named.
        certificate: file with key and certificate (PEM); made where there is none. Without one they live as long as
            the simulator.
    """

    url: str
    bounce: float = attrs.field(default=0.0, validator=_share)
    soft: float = attrs.field(default=0.0, validator=_share)
    complaint: float = attrs.field(default=0.0, validator=_share)
    deliveries: bool = True
    copies: int = 1
    spread: float = 0.0
    raw: bool = False
    topic: str = TOPIC
    certificate: Path | None = None

    def __attrs_post_init__(self) -> None:
        if self.bounce + self.soft + self.complaint > 1.0:
            raise ConfigurationError("the shares of bounces and complaints are more than 1 together.")


@attrs.define
class Aftermath:
    """
    What becomes of accepted messages.

    Args:
        rules: the shares.
        seed: of the chance.
    """

    rules: EventRules
    seed: int
    _chance: random.Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def of(self, message_id: str, submission: Submission, at: datetime) -> Iterator[dict[str, Any]]:
        """The documents about one message, each about one recipient."""
        mail: dict[str, Any] | None = None
        for recipient in submission.recipients:
            for fate in self._fates(recipient):
                if fate == "delivery" and not self.rules.deliveries:
                    continue
                mail = mail or _mail(message_id, submission, at)
                yield self._document(fate, recipient, mail, at)

    def _fates(self, recipient: str) -> tuple[str, ...]:
        local, _, domain = recipient.rpartition("@")
        if domain.lower() == MAILBOX_SIMULATOR:
            named = local.partition("+")[0].lower()
            return ("delivery", "complaint") if named == "complaint" else (named if named in _BOUNCES else "delivery",)
        drawn, rules = self._chance.random(), self.rules
        if drawn < rules.bounce:
            return ("hard",)
        if drawn < rules.bounce + rules.soft:
            return ("soft",)
        if drawn < rules.bounce + rules.soft + rules.complaint:
            return ("delivery", "complaint")
        return ("delivery",)

    def _document(self, fate: str, recipient: str, mail: dict[str, Any], at: datetime) -> dict[str, Any]:
        moment = _written(at)
        if fate == "delivery":
            about = {
                "timestamp": moment,
                "processingTimeMillis": self._chance.randrange(200, 3000),
                "recipients": [recipient],
                "smtpResponse": "250 2.6.0 Message received",
                "reportingMTA": "a8-70.smtp-out.amazonses.com",
            }
            return {"eventType": "Delivery", "mail": mail, "delivery": about}
        feedback_id = f"{self._chance.getrandbits(64):016x}-{uuid.UUID(int=self._chance.getrandbits(128))}-000000"
        if fate == "complaint":
            about = {
                "complainedRecipients": [{"emailAddress": recipient}],
                "timestamp": moment,
                "feedbackId": feedback_id,
                "complaintSubType": None,
                "complaintFeedbackType": "abuse",
                "userAgent": "seslimit simulator",
                "arrivalDate": moment,
            }
            return {"eventType": "Complaint", "mail": mail, "complaint": about}
        kind, subtype, status, words = _BOUNCES[fate]
        about = {
            "bounceType": kind,
            "bounceSubType": subtype,
            "bouncedRecipients": [
                {"emailAddress": recipient, "action": "failed", "status": status, "diagnosticCode": words}
            ],
            "timestamp": moment,
            "feedbackId": feedback_id,
            "reportingMTA": "dns; a8-70.smtp-out.amazonses.com",
        }
        return {"eventType": "Bounce", "mail": mail, "bounce": about}


def envelope(document: Mapping[str, Any], topic: str, at: datetime, identity: str) -> dict[str, str]:
    """What SNS puts around a document, without a signature."""
    return {
        "Type": "Notification",
        "MessageId": identity,
        "TopicArn": topic,
        "Subject": "Amazon SES Email Event Notification",
        "Message": json.dumps(document),
        "Timestamp": _written(at),
    }


def _mail(message_id: str, submission: Submission, at: datetime) -> dict[str, Any]:
    read = BytesHeaderParser().parsebytes(submission.content)
    headers = [(name, " ".join(str(value).split())) for name, value in read.items()]
    first = {name.lower(): value for name, value in reversed(headers)}
    tags = {"ses:source-ip": ["192.0.2.1"], "ses:caller-identity": ["simulator"]}
    for pair in first.get("x-ses-message-tags", "").split(","):
        name, equals, value = pair.strip().partition("=")
        if equals:
            tags[name] = [value]
    if chosen := first.get("x-ses-configuration-set"):
        tags["ses:configuration-set"] = [chosen]
    common = {name: first[name] for name in ("subject", "date") if name in first}
    return {
        "timestamp": _written(at),
        "messageId": message_id,
        "source": submission.mail_from,
        "sourceArn": f"arn:aws:ses:us-east-1:{_ACCOUNT}:identity/{submission.mail_from.rpartition('@')[2]}",
        "sendingAccountId": _ACCOUNT,
        "destination": list(submission.recipients),
        "headersTruncated": False,
        "headers": [{"name": name, "value": value} for name, value in headers if not name.lower().startswith("x-ses-")],
        "commonHeaders": {**common, "messageId": message_id, "from": [first.get("from", submission.mail_from)]},
        "tags": tags,
    }


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
