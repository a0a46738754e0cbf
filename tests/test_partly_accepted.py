"""A message that is taken for some of its recipients: the report is exact for each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from seslimit import Limiter, Message, Outcome, Receipt, Report, RetryPolicy, Sender, TransportError

from .virtual_time import on_virtual_time

LATER = "450 4.2.1 try again later"
NEVER = "550 5.1.1 no such user"


class Choosy:
    """A transport that refuses recipients at their RCPT, as often as a table says, and takes the others."""

    def __init__(self, refusals: Mapping[str, list[str]]) -> None:
        self.refusals = {recipient: list(words) for recipient, words in refusals.items()}
        self.accepted: list[str] = []
        self.attempts: list[tuple[str, ...]] = []

    async def send(self, message: Message) -> Receipt:
        """Make one attempt."""
        self.attempts.append(message.recipients)
        await asyncio.sleep(0.1)
        refused = {one: self.refusals[one].pop(0) for one in message.recipients if self.refusals.get(one)}
        if len(refused) == len(message.recipients):
            outcome = Outcome.TRANSIENT if any(words[0] == "4" for words in refused.values()) else Outcome.PERMANENT
            raise TransportError(outcome, "; ".join(refused.values()))
        self.accepted += [one for one in message.recipients if one not in refused]
        return Receipt(f"id-{len(self.attempts)}", refused)

    async def aclose(self) -> None:
        """Nothing to release."""


def to(*names: str) -> Message:
    """A message to these."""
    return Message("a@example.com", [f"{name}@example.org" for name in names], b"x", "key")


async def reported(service: Choosy, one: Message) -> Report:
    """The report of a message, from a batch."""
    async with Sender(service, limiter=Limiter(100)) as sender:
        (report,) = [report async for report in sender.send_many([one])]
    return report


@on_virtual_time
async def test_a_recipient_refused_for_good_is_named() -> None:
    """The others have the message, and it is not sent again (RFC 5321, 3.3)."""
    service = Choosy({"b@example.org": [NEVER]})
    report = await reported(service, to("a", "b", "c"))
    assert (report.outcome, report.refused, report.error) == (Outcome.ACCEPTED, {"b@example.org": NEVER}, None)
    assert len(service.attempts) == 1


@on_virtual_time
async def test_a_recipient_refused_for_now_is_tried_again_alone() -> None:
    """As RFC 5321, 4.5.4.1 asks for each recipient; the receipt is the first one."""
    service = Choosy({"b@example.org": [LATER, LATER], "c@example.org": [NEVER]})
    report = await reported(service, to("a", "b", "c"))
    assert service.attempts == [to("a", "b", "c").recipients, ("b@example.org",), ("b@example.org",)]
    assert service.accepted == ["a@example.org", "b@example.org"]
    assert (report.outcome, dict(report.refused)) == (Outcome.ACCEPTED, {"c@example.org": NEVER})
    assert report.receipt is not None
    assert (report.receipt.message_id, report.message) == ("id-1", to("a", "b", "c"))


@on_virtual_time
async def test_a_recipient_that_stays_refused_is_named_in_the_end() -> None:
    """After as many attempts as the policy makes, by `send` and by `send_many` alike."""
    for single in (False, True):
        service = Choosy({"b@example.org": [LATER] * 99})
        if single:
            async with Sender(service, limiter=Limiter(100)) as sender:
                refused = (await sender.send(to("a", "b"))).refused
        else:
            refused = (await reported(service, to("a", "b"))).refused
        assert refused == {"b@example.org": LATER}
        assert len(service.attempts) == RetryPolicy().max_attempts
        assert service.accepted == ["a@example.org"]


@pytest.mark.parametrize("how", ["send", "send_many"])
@on_virtual_time
async def test_a_message_stopped_in_between_was_accepted_in_part(how: str) -> None:
    """It is not unsent: to send it again would double it for those who have it."""
    service = Choosy({"b@example.org": [LATER] * 99})
    sender = Sender(service, limiter=Limiter(100), retry=RetryPolicy(jitter=lambda bound: bound))
    asyncio.get_running_loop().call_later(1.0, sender.stop)
    if how == "send":
        receipt = await sender.send(to("a", "b"))
    else:
        (report,) = [report async for report in sender.send_many([to("a", "b")])]
        assert report.outcome is Outcome.ACCEPTED
        assert report.receipt is not None
        receipt = report.receipt
    assert (receipt.message_id, receipt.refused) == ("id-1", {"b@example.org": LATER})
    await sender.aclose()
