"""What SES tells becomes an event, whatever shape it comes in; nothing else does."""

from __future__ import annotations

import copy
import json
import random
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from seslimit import SESLimitError
from seslimit.feedback import (
    Bounce,
    Click,
    Complaint,
    Delivery,
    DeliveryDelay,
    Event,
    InvalidFeedback,
    Open,
    Recipient,
    Reject,
    RenderingFailure,
    Sent,
    Subscription,
    event_of,
    read,
    read_message,
)

from .sns_authority import MAIL, PARTICULARS, document, fields

pytestmark = pytest.mark.once

CLASSES: dict[str, type[Event]] = {
    "Bounce": Bounce,
    "Complaint": Complaint,
    "Delivery": Delivery,
    "DeliveryDelay": DeliveryDelay,
    "Send": Sent,
    "Reject": Reject,
    "Rendering Failure": RenderingFailure,
    "Open": Open,
    "Click": Click,
    "Subscription": Subscription,
}


@pytest.mark.parametrize("kind", PARTICULARS)
def test_every_kind_of_event_has_a_class(kind: str) -> None:
    """Amazon SES Developer Guide, "Contents of event data that Amazon SES publishes"."""
    event = read(json.dumps(document(kind)))
    assert type(event) is CLASSES[kind]
    assert event.type == kind
    assert event.mail.message_id == MAIL["messageId"]
    assert event.mail.header("x-listmonk-campaign") == "b81d2c94-6c1f-4f3e-9a75-20d6e8f7a413"
    assert event.mail.tags["list"] == ("weekly",)


@pytest.mark.parametrize("kind", ["Bounce", "Complaint", "Delivery"])
def test_notifications_of_an_identity_have_another_key(kind: str) -> None:
    """Amazon SES Developer Guide, "Amazon SNS notification contents": notificationType in place of eventType."""
    events = [event_of(document(kind, named=name)) for name in ("notificationType", "eventType")]
    found, expected = (attrs.evolve(event, id="") for event in events)
    assert found == expected


def test_the_particulars_of_a_bounce() -> None:
    """Type, subtype, moment, and who bounced with the words of the receiving server."""
    event = event_of(document("Bounce"))
    assert isinstance(event, Bounce)
    assert (event.bounce_type, event.bounce_subtype, event.permanent) == ("Permanent", "General", True)
    assert event.at == datetime(2026, 11, 27, 10, 0, 2, tzinfo=UTC)
    diagnostic = "smtp; 550 5.1.1 user unknown"
    assert event.recipients == (
        Recipient(address="ada@example.net", action="failed", status="5.1.1", diagnostic=diagnostic),
    )


def test_who_bounced_is_never_taken_from_the_envelope() -> None:
    """A bounced Bcc names the Bcc; the other recipients of the message are none of its business."""
    told = document("Bounce", bouncedRecipients=[{"emailAddress": "archive@example.net"}])
    told["mail"]["destination"] = ["ada@example.net", "archive@example.net"]
    assert [recipient.address for recipient in event_of(told).recipients] == ["archive@example.net"]


def test_a_type_that_is_not_known_is_an_event() -> None:
    """SES adds types; its document is kept."""
    told = {"eventType": "Teleportation", "mail": MAIL, "teleportation": {"where": "Mars"}}
    event = event_of(told)
    assert type(event) is Event
    assert (event.type, event.name, event.document["teleportation"]) == ("Teleportation", "other", {"where": "Mars"})


def test_what_is_not_known_of_a_known_type_is_kept() -> None:
    """SES adds fields as well."""
    assert event_of(document("Bounce", invented=1)).document["bounce"]["invented"] == 1


def test_copies_of_an_event_have_the_same_id_and_other_events_another() -> None:
    """By feedbackId where there is one, by the whole document where there is none."""
    for kind in PARTICULARS:
        assert event_of(document(kind)).id == event_of(json.loads(json.dumps(document(kind), indent=3))).id
    other = document("Open", timestamp="2026-11-27T10:00:03.000Z")
    assert event_of(document("Open")).id != event_of(other).id
    assert len({event_of(document(kind)).id for kind in PARTICULARS}) == len(PARTICULARS)


@pytest.mark.parametrize("kind", PARTICULARS)
def test_an_event_becomes_json(kind: str) -> None:
    """For files and webhooks; SES's document is in it."""
    event = event_of(document(kind))
    told = json.loads(json.dumps(event.as_dict()))
    assert (told["event"], told["id"], told["document"]) == (event.name, event.id, document(kind))
    assert {field.name for field in attrs.fields(type(event))} - {"mail"} <= set(told)


@pytest.mark.parametrize(
    "wrapped",
    [
        pytest.param(document("Bounce"), id="raw delivery"),
        pytest.param(fields(json.dumps(document("Bounce"))), id="SNS"),
        pytest.param(
            {"version": "0", "source": "aws.ses", "detail-type": "Email Bounced", "detail": document("Bounce")},
            id="EventBridge",
        ),
        pytest.param(
            fields(json.dumps({"source": "aws.ses", "detail-type": "Email Bounced", "detail": document("Bounce")})),
            id="EventBridge in SNS",
        ),
    ],
)
def test_a_message_of_a_queue_may_be_wrapped_in_four_ways(wrapped: dict[str, Any]) -> None:
    """Amazon SNS, "raw message delivery"; Amazon EventBridge, events of SES."""
    assert read_message(json.dumps(wrapped)) == event_of(document("Bounce"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Successfully validated SNS topic for Amazon SES event publishing.",
        "[]",
        "null",
        "{}",
        '{"eventType":"Bounce"}',
        '{"mail":{}}',
        '{"eventType":5,"mail":{}}',
        "[" * 100_000,
        " " * 2_000_000,
        '{"eventType":"Bounce","mail":[]}',
    ],
    ids=lambda text: text[:20].strip() or str(len(text)),
)
def test_what_is_no_event_is_one_sentence(text: str) -> None:
    """An error of ours, which is also a ValueError."""
    with pytest.raises(InvalidFeedback) as caught:
        read(text)
    assert isinstance(caught.value, SESLimitError)
    assert str(caught.value).endswith(".")
    assert len(str(caught.value)) < 200


NONSENSE: tuple[Any, ...] = (
    *(None, True, 0, -1, 1e308, "", "x", "@", "a@", "ada@example.net ", "\ud83d", "\0@x", [], {}, [None], [[]]),
    *({"emailAddress": 5}, {"emailAddress": "Ada <ada@example.net>"}, ["x"] * 2000),
    *("9999-99-99", "0001-01-01T00:00:00+23:59", "2026-11-27"),
)


def mutated(value: Any, chance: random.Random) -> Any:
    """A copy with one place in it replaced, removed, doubled or renamed."""
    told = copy.deepcopy(value)
    places: list[tuple[Any, Any]] = []
    stack = [told]
    while stack:
        one = stack.pop()
        inner = list(one.items()) if isinstance(one, dict) else list(enumerate(one)) if isinstance(one, list) else []
        places += [(one, key) for key, _ in inner]
        stack += [child for _, child in inner]
    holder, key = chance.choice(places)
    what = chance.randrange(4)
    if what == 0:
        holder[key] = copy.deepcopy(chance.choice(NONSENSE))
    elif what == 1:
        del holder[key]
    elif what == 2 and isinstance(holder, dict):
        holder[f"{key}x"] = holder.pop(key)
    else:
        holder[key] = [holder[key], holder[key]]
    return told


def test_mutated_documents_crash_nothing_and_name_nobody_else() -> None:
    """Each is an event or refused; a recipient is one that the document names as one."""
    chance = random.Random(14)
    named = {"ada@example.net"}
    for _ in range(20_000):
        told = document(chance.choice(list(PARTICULARS)))
        for _ in range(chance.randint(1, 4)):
            told = mutated(told, chance)
        try:
            event = read(json.dumps(told))
        except InvalidFeedback:
            continue
        assert {recipient.address for recipient in event.recipients} <= named
        json.dumps(event.as_dict())
