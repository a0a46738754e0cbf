"""From the message to the bounce in listmonk and in the outbox: each once, against the right one, whatever restarts."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest

from seslimit import Limiter, Message, Sender
from seslimit.cli._commands import run
from seslimit.feedback import (
    Feed,
    OutboxLedger,
    OutboxSuppression,
    SuppressedAddress,
    SuppressionUnavailable,
    event_of,
    suppression_from_url,
)
from seslimit.outbox import Outbox
from seslimit.testing import EventRules, FakeTransport, Simulator
from seslimit.testing._events import TOPIC

from .bounce_book import BounceBook
from .companion_process import companion
from .listmonk_double import CAMPAIGN, Postback, Subscriber, subscribers
from .simulations.listmonk_round import LOGIN, campaign
from .sns_authority import MAIL, document

pytestmark = pytest.mark.once

AT = datetime(2026, 11, 27, 10, tzinfo=UTC)


async def test_each_bounce_is_recorded_once_through_restarts_of_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events doubled and shuffled; `python -m benchmarks.feedback listmonk` has 1,000 messages, and SQS as well."""
    monkeypatch.setattr("seslimit.testing._publisher.WAITS", (0.1, 1.0))
    found = await campaign(tmp_path, 60, deliveries=False, shares={"bounce": 0.3, "soft": 0.2, "complaint": 0.1})
    assert {kind for _, _, kind in found.told} == {"hard", "soft", "complaint"}
    assert found.recorded == found.told


async def test_listmonk_in_one_process_records_and_suppresses(tmp_path: Path) -> None:
    """The messenger takes what SNS posts to /sns; who bounced is not sent to again, which is no error of listmonk's."""
    book = BounceBook()
    await book.open()
    pem, listed = tmp_path / "sns.pem", tmp_path / "list.jsonl"
    rules = EventRules(url="http://127.0.0.1:1/sns", bounce=1.0, certificate=pem)
    async with Simulator(5000, events=rules) as service:
        assert service.events is not None
        options = [*("--root-url", book.url, "--topic", TOPIC, "--sns-certificate", str(pem), "--rate", "1000")]
        options += ["--guard", "--suppression", str(listed)]
        async with companion("listmonk", service.smtp_url, *options, **LOGIN) as messenger:
            service.events.rules = attrs.evolve(rules, url=f"http://{messenger.host}:{messenger.port}/sns")
            client = Postback(messenger.host, messenger.port, timeout=30.0)
            sent = list(subscribers(4))
            for subscriber in sent:
                await client.push(subscriber)
            await service.events.join()
            assert book.counted == Counter({(one.uuid, CAMPAIGN, "hard"): 1 for one in sent})
            assert len(listed.read_text().splitlines()) == 4
            await client.post(_again(sent[0]))
            assert service.counts.accepted == 4
            await client.aclose()
            assert "Traceback" not in messenger.errors
    await book.close()


def _again(subscriber: Subscriber) -> bytes:
    """Another message to the same subscriber, not of the campaign."""
    from .listmonk_double import as_go, transactional_payload

    return as_go(transactional_payload(subscriber))


def test_listmonks_guard_needs_events(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing else tells it of bounces."""
    arguments = ["listmonk", "--listen", "127.0.0.1:0", "--root-url", "https://lists.example.net", "--to", "sim://"]
    assert run([*arguments, "--guard"]) == 2
    assert "--guard needs the events of SES" in capsys.readouterr().err


async def test_the_outbox_keeps_a_list(tmp_path: Path) -> None:
    """In its database; an address once, whatever its capitals."""
    url = f"sqlite:///{tmp_path}/mail.db"
    listed = suppression_from_url(url)
    assert isinstance(listed, OutboxSuppression)
    entries = [SuppressedAddress("Ada@Example.net", "bounce", AT), SuppressedAddress("bo@example.net", "complaint", AT)]
    assert await listed.add(()) == 0
    assert await listed.add(entries) == 2
    assert await listed.add([SuppressedAddress("ada@example.net", "complaint", AT)]) == 0
    assert await listed.suppressed(["ADA@example.net", "cy@example.net"]) == {"ADA@example.net": "bounce"}
    assert [found async for found in listed.entries()] == [
        attrs.evolve(entries[0], address="ada@example.net"),
        entries[1],
    ]
    async with Sender(FakeTransport(), limiter=Limiter(100.0), suppression=listed) as sender:
        receipt = await sender.send(
            Message("a@example.org", ["ada@example.net", "cy@example.net"], b"Subject: x\r\n\r\n")
        )
    assert receipt.refused == {"ada@example.net": "suppressed: bounce"}
    assert await listed.remove(["Ada@example.net"]) == 1
    await listed.aclose()
    # A file of SQLite is known by its content, so that no list of lines is read from it.
    again = suppression_from_url(str(tmp_path / "mail.db"))
    assert isinstance(again, OutboxSuppression)
    await again.aclose()


async def test_a_damaged_database_is_no_empty_list(tmp_path: Path) -> None:
    """Nothing is sent then."""
    path = tmp_path / "mail.db"
    path.write_bytes(b"SQLite format 3\0" + b"damaged" * 1000)
    listed = suppression_from_url(str(path))
    with pytest.raises(SuppressionUnavailable, match="nothing is sent"):
        await listed.suppressed(["ada@example.net"])
    await listed.aclose()


async def test_the_outbox_says_what_came_back(tmp_path: Path) -> None:
    """Delivered, bounced or complained, beside accepted; the same event once more changes nothing."""
    async with Outbox(f"sqlite:///{tmp_path}/mail.db") as outbox:
        message = Message("news@example.org", ["ada@example.net", "bo@example.net"], b"Subject: x\r\n\r\n", "k1")
        async with Sender(FakeTransport(), limiter=Limiter(100.0), outbox=outbox) as sender:
            await sender.send(message)
        rows = [row async for row in outbox.rows()]
        told = {"messageId": rows[0].message_id, "destination": list(message.recipients)}
        async with Feed([OutboxLedger(Outbox(f"sqlite:///{tmp_path}/mail.db"))]) as feed:
            for kind in ("Delivery", "Complaint", "Open"):
                await feed.take(event_of(document(kind) | {"mail": MAIL | told}))
            bounced = document("Bounce", bouncedRecipients=[{"emailAddress": "bo@example.net", "status": "5.1.1"}])
            for _ in range(2):
                await feed.take(event_of(bounced | {"mail": MAIL | told}))
        rows = [row async for row in outbox.rows()]
    assert {row.recipient: sorted(each.kind for each in row.feedback) for row in rows} == {
        "ada@example.net": ["complained", "delivered"],
        "bo@example.net": ["bounced"],
    }


def test_feedback_takes_an_outbox_as_a_destination(capsys: pytest.CaptureFixture[str]) -> None:
    """Also alone; without any it says which there are."""
    assert run(["feedback", "--queue", "sqs://q?region=eu-west-1"]) == 2
    assert "--outbox" in capsys.readouterr().err
