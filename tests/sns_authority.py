"""A certificate authority of the tests, envelopes that it signs as SNS does, and documents as SES writes them."""

from __future__ import annotations

import base64
import copy
import json
import uuid
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

TOPIC = "arn:aws:sns:eu-west-1:123456789012:bounces"
CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
CONFIRM_URL = (
    f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37fb687f5d51e6e2"
)

_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
"""Written down again from the documents of SNS: the code under test has its own."""


@cache
def key() -> rsa.RSAPrivateKey:
    """The key that signs; made once, it takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(name: str = "sns.amazonaws.com", *, days: tuple[int, int] = (-1, 30), elliptic: bool = False) -> bytes:
    """A certificate for that name and those days from now, as PEM."""
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    public = ec.generate_private_key(ec.SECP256R1()).public_key() if elliptic else key().public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .sign(key(), hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def signed(fields: dict[str, Any], *, version: str = "2", digest: hashes.HashAlgorithm | None = None) -> dict[str, Any]:
    """The fields with a signature over them, as SNS makes it."""
    fields = {**fields, "SignatureVersion": version, "SigningCertURL": CERTIFICATE_URL}
    text = "".join(f"{name}\n{fields[name]}\n" for name in _SIGNED[fields["Type"]] if name in fields)
    chosen = digest or (hashes.SHA1() if version == "1" else hashes.SHA256())  # noqa: S303  # what version 1 is
    return fields | {"Signature": base64.b64encode(key().sign(text.encode(), padding.PKCS1v15(), chosen)).decode()}


def fields(message: str, **more: Any) -> dict[str, Any]:
    """What a notification holds before it is signed."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "Type": "Notification",
        "MessageId": str(uuid.uuid4()),
        "TopicArn": TOPIC,
        "Message": message,
        "Timestamp": at,
        **more,
    }


def notification(document: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A document in a signed envelope."""
    return signed(fields(json.dumps(document), **more))


def confirmation(**more: Any) -> dict[str, Any]:
    """A signed confirmation of a subscription."""
    words = "You have chosen to subscribe to the topic."
    return signed(
        fields(
            words, **{"Type": "SubscriptionConfirmation", "Token": "2336412f37fb", "SubscribeURL": CONFIRM_URL, **more}
        )
    )


@attrs.define
class SNSHost:
    """What is behind SNS's URLs, without a network."""

    pem: bytes = attrs.field(factory=certificate)
    fetched: list[str] = attrs.field(factory=list)

    async def fetch(self, url: str) -> bytes:
        """The certificate, or nothing of interest."""
        self.fetched.append(url)
        return self.pem if url.endswith(".pem") else b"<ConfirmSubscriptionResponse/>"


MAIL: dict[str, Any] = {
    "timestamp": "2026-11-27T10:00:00.000Z",
    "messageId": "0102019ac0ffee00-11111111-2222-3333-4444-555555555555-000000",
    "source": "news@example.org",
    "sourceArn": "arn:aws:ses:eu-west-1:123456789012:identity/example.org",
    "sendingAccountId": "123456789012",
    "destination": ["ada@example.net"],
    "headersTruncated": False,
    "headers": [
        {"name": "From", "value": "news@example.org"},
        {"name": "X-Listmonk-Campaign", "value": "b81d2c94-6c1f-4f3e-9a75-20d6e8f7a413"},
        {"name": "X-Listmonk-Subscriber", "value": "3f1c2a5e-0f3d-4e1b-8a5e-0c8e2c1f7d11"},
    ],
    "commonHeaders": {"from": ["news@example.org"], "subject": "Hello"},
    "tags": {"ses:configuration-set": ["feedback"], "list": ["weekly"]},
}

AT = "2026-11-27T10:00:02.000Z"

PARTICULARS: dict[str, tuple[str, dict[str, Any]]] = {
    "Bounce": (
        "bounce",
        {
            "bounceType": "Permanent",
            "bounceSubType": "General",
            "bouncedRecipients": [
                {
                    "emailAddress": "ada@example.net",
                    "action": "failed",
                    "status": "5.1.1",
                    "diagnosticCode": "smtp; 550 5.1.1 user unknown",
                }
            ],
            "timestamp": AT,
            "feedbackId": "0102019ac0ffee01-aaaa",
            "reportingMTA": "dsn; a8-70.smtp-out.amazonses.com",
        },
    ),
    "Complaint": (
        "complaint",
        {
            "complainedRecipients": [{"emailAddress": "ada@example.net"}],
            "timestamp": AT,
            "feedbackId": "0102019ac0ffee02-bbbb",
            "complaintSubType": None,
            "complaintFeedbackType": "abuse",
            "userAgent": "ExampleFeedback/1.0",
        },
    ),
    "Delivery": (
        "delivery",
        {
            "timestamp": AT,
            "processingTimeMillis": 1234,
            "recipients": ["ada@example.net"],
            "smtpResponse": "250 2.0.0 Ok",
            "reportingMTA": "a8-70.smtp-out.amazonses.com",
        },
    ),
    "DeliveryDelay": (
        "deliveryDelay",
        {
            "timestamp": AT,
            "delayType": "MailboxFull",
            "expirationTime": "2026-11-28T00:00:00.000Z",
            "delayedRecipients": [{"emailAddress": "ada@example.net", "status": "4.2.2", "diagnosticCode": "full"}],
        },
    ),
    "Send": ("send", {}),
    "Reject": ("reject", {"reason": "Bad content"}),
    "Rendering Failure": ("failure", {"templateName": "welcome", "errorMessage": "Attribute 'name' is not present"}),
    "Open": ("open", {"ipAddress": "192.0.2.1", "timestamp": AT, "userAgent": "Mail/1"}),
    "Click": (
        "click",
        {
            "ipAddress": "192.0.2.1",
            "link": "https://example.org/x",
            "linkTags": None,
            "timestamp": AT,
            "userAgent": "M",
        },
    ),
    "Subscription": ("subscription", {"contactList": "weekly", "timestamp": AT, "source": "UnsubscribeHeader"}),
}
"""SES's name of an event → where its particulars stand, and what they may be."""


def document(kind: str, *, named: str = "eventType", **particulars: Any) -> dict[str, Any]:
    """A document as SES writes it."""
    place, ordinary = PARTICULARS[kind]
    return copy.deepcopy({named: kind, "mail": MAIL, place: {**ordinary, **particulars}})


def bounce_document(number: int, at: datetime) -> dict[str, Any]:
    """A bounce of one subscriber of many, who got a message alone."""
    address = f"reader{number}@example.net"
    particulars: dict[str, Any] = {
        "feedbackId": f"feedback-{number}",
        "timestamp": at.isoformat(timespec="milliseconds"),
        "bouncedRecipients": [{"emailAddress": address}],
    }
    return document("Bounce", **particulars) | {"mail": MAIL | {"destination": [address], "headers": []}}
