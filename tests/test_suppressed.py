"""Recipients that are suppressed, and messages that are held: they cost nothing, and the report says so."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence

import attrs
import pytest

from seslimit import Limiter, Message, Outcome, Receipt, Sender, SendFailed
from seslimit._model.clearance import CampaignHeld, Suppressed, SuppressionUnavailable
from seslimit.testing import FakeTransport

from .virtual_time import on_virtual_time

CONTENT = b"From: news@example.org\r\nSubject: Hello\r\n\r\nHi!\r\n"


@attrs.define
class Listed:
    """A list in memory."""

    addresses: Mapping[str, str]
    broken: bool = False
    asked: list[tuple[str, ...]] = attrs.field(factory=list)

    async def suppressed(self, addresses: Sequence[str]) -> Mapping[str, str]:
        """Those that are in it."""
        self.asked.append(tuple(addresses))
        if self.broken:
            raise SuppressionUnavailable("the list cannot be read: it is on fire")
        return {address: self.addresses[address] for address in addresses if address in self.addresses}


class Guard:
    """Holds one campaign, by the key of its messages."""

    def check(self, message: Message) -> None:
        """Hold what is called so."""
        if str(message.key).startswith("held"):
            raise CampaignHeld("the campaign is held: too many of its messages bounced")


def message(*recipients: str, key: str | None = None) -> Message:
    """A message to these."""
    return Message("news@example.org", recipients, CONTENT, key)


@on_virtual_time
async def test_a_suppressed_recipient_costs_no_attempt_and_no_token() -> None:
    """It ends as a permanent failure with no attempt; the limiter hears nothing of it."""
    transport = FakeTransport()
    events: list[object] = []
    limiter = Limiter(1.0, hooks=[events.append])
    async with Sender(transport, limiter=limiter, suppression=Listed({"ada@example.net": "bounce"})) as sender:
        with pytest.raises(SendFailed) as caught:
            await sender.send(message("ada@example.net"))
    report = caught.value.report
    assert (report.outcome, report.attempts, report.receipt) == (Outcome.PERMANENT, 0, None)
    assert isinstance(report.error, Suppressed)
    assert str(report.error) == "ada@example.net: suppressed: bounce"
    assert (transport.attempts, events) == ([], [])


@on_virtual_time
async def test_the_others_of_a_message_get_it() -> None:
    """For their own cost; the report names who was left out, and why."""
    transport = FakeTransport()
    costs: list[object] = []
    limiter = Limiter(100.0, hooks=[lambda event: costs.append(getattr(event, "cost", None))])
    async with Sender(transport, limiter=limiter, suppression=Listed({"ada@example.net": "complaint"})) as sender:
        receipt = await sender.send(message("ada@example.net", "bo@example.net", "cy@example.net"))
    assert receipt.refused == {"ada@example.net": "suppressed: complaint"}
    assert [sent.recipients for sent in transport.sent] == [("bo@example.net", "cy@example.net")]
    assert costs[0] == 2


@on_virtual_time
async def test_of_many_messages_the_others_go_on() -> None:
    """A suppressed one is a report among the others."""
    listed = Listed({"reader1@example.net": "bounce"})
    given = (message(f"reader{n}@example.net", key=str(n)) for n in range(3))
    async with Sender(FakeTransport(), limiter=Limiter(100.0), suppression=listed) as sender:
        reports = [report async for report in sender.send_many(given)]
    assert {report.message.key: report.outcome for report in reports} == {
        "0": Outcome.ACCEPTED,
        "1": Outcome.PERMANENT,
        "2": Outcome.ACCEPTED,
    }


@on_virtual_time
async def test_an_address_that_bounces_meanwhile_is_not_tried_again() -> None:
    """What waits out a backoff is asked for once more before the next attempt."""
    listed = Listed({})

    def answer(sent: Message) -> Receipt:
        listed.addresses = {"bo@example.net": "bounce"}
        refused = {"bo@example.net": "451 later"} if len(sent.recipients) > 1 else {}
        return Receipt("1", refused)

    transport = FakeTransport(answer)
    async with Sender(transport, limiter=Limiter(100.0), suppression=listed) as sender:
        receipt = await sender.send(message("ada@example.net", "bo@example.net"))
    assert receipt.refused == {"bo@example.net": "suppressed: bounce"}
    assert len(transport.attempts) == 1


@on_virtual_time
async def test_a_throttled_message_is_not_asked_for_again() -> None:
    """It holds its place, and goes at once."""
    answers = [Outcome.THROTTLED, Outcome.THROTTLED, Outcome.ACCEPTED]
    listed = Listed({})
    async with Sender(FakeTransport(lambda _: answers.pop(0)), suppression=listed) as sender:
        await sender.send(message("ada@example.net"))
    assert len(listed.asked) == 1


@on_virtual_time
async def test_a_list_that_cannot_be_read_stops_sending() -> None:
    """Nobody is sent to who might be suppressed, and nothing is lost: the messages are unsent."""
    transport, listed = FakeTransport(), Listed({}, broken=True)
    async with Sender(transport, limiter=Limiter(100.0), suppression=listed) as sender:
        with pytest.raises(SuppressionUnavailable, match="on fire") as alone:
            await sender.send(message("ada@example.net"))
        stream = sender.send_many([message("ada@example.net"), message("bo@example.net")])
        with pytest.raises(SuppressionUnavailable, match="on fire") as many:
            await anext(stream)
    assert transport.attempts == []
    assert [len(caught.value.unsent) for caught in (alone, many)] == [1, 1]


@on_virtual_time
async def test_a_held_campaign_ends_unsent_and_others_go_on() -> None:
    """Its messages are reported as not sent, with the reason: whoever sends again sends them."""
    given = (message("a@example.net", key=key) for key in ("held 1", "b", "held 2"))
    async with Sender(FakeTransport(), limiter=Limiter(100.0), guard=Guard()) as sender:
        reports = [report async for report in sender.send_many(given)]
        with pytest.raises(CampaignHeld):
            await sender.send(message("a@example.net", key="held 3"))
    assert {report.message.key: report.outcome for report in reports} == {
        "held 1": Outcome.NOT_SENT,
        "b": Outcome.ACCEPTED,
        "held 2": Outcome.NOT_SENT,
    }
    assert "too many of its messages bounced" in str(reports[0].error)


def test_the_errors_pickle() -> None:
    """They cross processes with what they say."""
    error = pickle.loads(pickle.dumps(Suppressed({"ada@example.net": "suppressed: bounce"})))  # noqa: S301
    assert error.recipients == {"ada@example.net": "suppressed: bounce"}
    assert str(pickle.loads(pickle.dumps(CampaignHeld("held")))) == "held"  # noqa: S301
