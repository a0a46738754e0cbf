"""What the simulator tells of accepted messages: as SES writes it, signed as SNS signs it, doubled and out of order."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from seslimit import ConfigurationError, Limiter, Message, Sender, transport_from_url
from seslimit.cli._commands import run
from seslimit.feedback import Bounce, Complaint, Delivery, Event, Feed, SNSEndpoint, SQSOptions, SQSSource
from seslimit.testing import EventRules, Simulator
from seslimit.testing._events import TOPIC

from .sqs_server import AWS
from .test_feedback_sqs import empty, queue, sqs

pytestmark = pytest.mark.once

__all__ = ["sqs"]  # the fixture

HEADERS = (
    "X-SES-MESSAGE-TAGS: campaign=autumn, kind=news\r\nX-Listmonk-Campaign: b81d2c94-6c1f-4f3e-9a75-20d6e8f7a413\r\n"
)


def message(*recipients: str) -> Message:
    """A message to these."""
    return Message(
        "news@example.org", recipients, f"From: news@example.org\r\n{HEADERS}Subject: Hi\r\n\r\nHi!\r\n".encode()
    )


async def sent(simulator: Simulator, *messages: Message) -> None:
    """Have the simulator accept messages, and tell all about them."""
    async with Sender(transport_from_url(simulator.smtp_url), limiter=Limiter(5000.0)) as sender:
        async for report in sender.send_many(messages):
            assert report.receipt is not None
    assert simulator.events is not None
    async with asyncio.timeout(120):
        await simulator.events.join()


@asynccontextmanager
async def told(**rules: float) -> AsyncIterator[tuple[Simulator, list[Event], Feed]]:
    """A simulator whose posts an endpoint believes, and the events that arrived."""
    events: list[Event] = []

    async def take(event: Event) -> None:
        events.append(event)

    pem = b""

    async def fetch(url: str) -> bytes:
        return pem

    async with Feed(hooks=[take]) as feed, SNSEndpoint(feed, [TOPIC], fetch=fetch) as endpoint:
        asked = EventRules(url=f"http://127.0.0.1:{endpoint.port}/sns", **rules)  # type: ignore[arg-type]
        async with Simulator(5000, events=asked) as simulator:
            assert simulator.events is not None
            pem = simulator.events.certificate
            yield simulator, events, feed


async def test_the_mailbox_simulators_addresses_do_as_ses_says() -> None:
    """Source: Amazon SES Developer Guide, "Using the mailbox simulator"; labels behind a plus are allowed."""
    async with told() as (simulator, events, _):
        names = ("success", "bounce", "complaint", "suppressionlist", "bounce+label7", "Ooto")
        await sent(simulator, *(message(f"{name}@simulator.amazonses.com") for name in names))
    found: dict[str, list[str]] = {}
    for event in events:
        local = event.recipients[0].address.partition("@")[0]
        kind = f"{event.bounce_type} {event.bounce_subtype}" if isinstance(event, Bounce) else event.name
        found.setdefault(local, []).append(kind)
    assert {name: sorted(kinds) for name, kinds in found.items()} == {
        "success": ["delivery"],
        "bounce": ["Permanent General"],
        "bounce+label7": ["Permanent General"],
        "complaint": ["complaint", "delivery"],
        "suppressionlist": ["Permanent Suppressed"],
        "Ooto": ["delivery"],
    }


async def test_an_event_tells_of_the_message_as_ses_does() -> None:
    """Its id, its headers and its tags; the service's own headers are not in it."""
    async with told(bounce=1.0) as (simulator, events, _):
        await sent(simulator, message("ada@example.net", "bo@example.net"))
        accepted = simulator.accepted[0]
    assert [event.recipients[0].address for event in events] == ["ada@example.net", "bo@example.net"]
    mail = events[0].mail
    assert (mail.message_id, mail.source) == (accepted.message_id, "news@example.org")
    assert mail.destination == ("ada@example.net", "bo@example.net")
    assert mail.tags["campaign"] == ("autumn",)
    assert mail.header("X-Listmonk-Campaign") == "b81d2c94-6c1f-4f3e-9a75-20d6e8f7a413"
    assert mail.header("X-SES-MESSAGE-TAGS") is None
    assert len({event.id for event in events}) == 2


async def test_shares_are_those_that_were_asked_for() -> None:
    """3 %, 2 % and 0.2 % of 800; all that is left is delivered, complaints too."""
    async with told(bounce=0.03, soft=0.02, complaint=0.002) as (simulator, events, _):
        await sent(simulator, *(message(*(f"r{n}-{k}@example.net" for k in range(50))) for n in range(16)))
        assert simulator.events is not None
        counts = simulator.events.counts
    kinds = Counter(
        ("hard" if event.permanent else "soft") if isinstance(event, Bounce) else event.name for event in events
    )
    assert kinds == {
        "hard": counts.hard,
        "soft": counts.soft,
        "complaint": counts.complaints,
        "delivery": counts.deliveries,
    }
    assert counts.hard + counts.soft + counts.deliveries == 800
    assert 10 <= counts.hard <= 45
    assert 5 <= counts.soft <= 35


async def test_doubled_and_shuffled_events_are_one_each() -> None:
    """As services do that deliver at least once, in no order."""
    async with told(bounce=0.5, copies=3, spread=0.5) as (simulator, events, feed):
        await sent(simulator, *(message(f"r{n}@example.net") for n in range(100)))
    order = [event.recipients[0].address for event in events]
    assert sorted(order) == sorted(f"r{n}@example.net" for n in range(100))
    assert order != [f"r{n}@example.net" for n in range(100)]
    assert (feed.counts.taken, feed.counts.invalid) == (100, 0)


async def test_a_post_that_is_not_taken_is_made_again() -> None:
    """As SNS does: the endpoint's "not now" loses nothing."""
    fails = [True] * 3
    taken: list[Event] = []

    async def take(event: Event) -> None:
        if fails:
            fails.pop()
            raise OSError("not now")
        taken.append(event)

    pem = b""

    async def fetch(url: str) -> bytes:
        return pem

    async with Feed(hooks=[take], patience=0.0) as feed, SNSEndpoint(feed, [TOPIC], fetch=fetch) as endpoint:
        rules = EventRules(url=f"http://127.0.0.1:{endpoint.port}/sns", bounce=1.0)
        async with Simulator(5000, events=rules) as simulator:
            assert simulator.events is not None
            pem = simulator.events.certificate
            await sent(simulator, message("ada@example.net"))
            assert (simulator.events.counts.again, simulator.events.counts.sent) == (3, 1)
    assert len(taken) == 1


async def test_a_certificate_in_a_file_outlives_the_simulator(tmp_path: Path) -> None:
    """So that whoever believes it goes on to; only its owner can read the key."""
    path = tmp_path / "sns.pem"
    rules = EventRules(url="http://127.0.0.1:1/sns", certificate=path)
    certificates = []
    for _ in range(2):
        async with Simulator(events=rules) as simulator:
            assert simulator.events is not None
            certificates.append(simulator.events.certificate)
    assert certificates[0] == certificates[1]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("raw", [True, False])
async def test_a_queue_gets_them_as_well(sqs: str, monkeypatch: pytest.MonkeyPatch, raw: bool) -> None:
    """Bare, or in an envelope of SNS."""
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    events: list[Event] = []

    async def take(event: Event) -> None:
        events.append(event)

    async with queue(sqs, f"events-{raw}") as filled:
        url = f"sqs://{filled.name}?region=eu-west-1&endpoint_url={sqs}"
        async with Simulator(5000, events=EventRules(url=url, bounce=1.0, copies=2, raw=raw)) as simulator:
            await sent(simulator, message("ada@example.net"), message("complaint@simulator.amazonses.com"))
        async with Feed(hooks=[take]) as feed:
            source = SQSSource(feed, SQSOptions(queue=filled.name, region="eu-west-1", endpoint_url=sqs, wait=1))
            reading = asyncio.create_task(source.run())
            await empty(filled)
            source.stop()
            await reading
    assert Counter(map(type, events)) == {Bounce: 1, Delivery: 1, Complaint: 1}


@pytest.mark.parametrize("url", ["ftp://example.net", "events.jsonl"])
async def test_events_go_nowhere_else(url: str) -> None:
    """One sentence."""
    with pytest.raises(ConfigurationError, match="events go to http"):
        async with Simulator(events=EventRules(url=url)):
            pass


@pytest.mark.parametrize(
    "wrong", [["--bounce", "3 percent"], ["--bounce", "300%"], ["--bounce", "60%", "--soft", "60%"]]
)
def test_a_share_that_is_none_is_one_sentence(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """3%, or 0.03."""
    assert run(["simulate", "--smtp-port", "0", "--api-port", "0", "--events", "http://127.0.0.1:1/sns", *wrong]) == 2
    assert "100%" in (said := capsys.readouterr().err) or "share" in said
