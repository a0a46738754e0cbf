"""The one account behind both doors of the simulator, and the ledger of what it accepted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from seslimit.testing import (
    Schedule,
    SimulatedAccount,
    Simulator,
    SMTPText,
    Tally,
    Verdict,
)
from tests.simulator_clients import (
    ACCOUNT,
    CONTENT,
    FAST,
    FEW,
    STEPS,
    connected,
    keyed,
    logged_in,
    mail,
    raw,
    request,
    status,
    told,
    until,
)

pytestmark = pytest.mark.once

# One account behind both doors.


async def test_both_doors_draw_on_one_bucket() -> None:
    """Three tokens: one by SMTP, one by the API, one by SMTP, and then neither."""
    async with Simulator(FEW, depth=3 / FEW) as simulator:
        assert (await mail(simulator)).startswith("250 Ok ")
        assert status(await request(simulator)) == 200
        assert (await mail(simulator)).startswith("250 Ok ")
        assert await mail(simulator) == "454 Throttling failure: Maximum sending rate exceeded."
        assert status(await request(simulator)) == 429
        counts = simulator.counts
        assert (counts.accepted, counts.throttled, counts.api_requests, counts.smtp_connections) == (3, 2, 2, 3)


async def test_recipients_are_what_the_bucket_counts() -> None:
    """A message of 30 recipients empties a bucket of 20 and ten more."""
    async with Simulator(100, depth=0.2) as simulator:
        assert (await mail(simulator, *(f"r{n}@example.com" for n in range(30)))).startswith("250 Ok ")
        assert await mail(simulator) == SMTPText.RATE_EXCEEDED
        await asyncio.sleep(0.12)
        assert (await mail(simulator)).startswith("250 Ok ")


async def test_the_rate_over_a_stretch_of_time() -> None:
    """Whoever empties the bucket, and then never stops asking, has the bucket and the rate accepted, to one message."""
    async with Simulator(100, depth=0.5) as simulator, logged_in(simulator) as conversation:
        clock = asyncio.get_running_loop().time
        before = clock()
        reply = await conversation.send(*(f"r{n}@example.com" for n in range(50)))
        emptied = asked = clock()
        stood_still = 0.0
        while asked < emptied + 0.2 or reply.startswith("250"):
            # On a busy machine the bucket may be full before anybody asks.
            stood_still += max(0.0, clock() - asked - 0.1)
            asked = clock()
            reply = await conversation.send()
            await conversation.say("RSET")
        recipients = simulator.counts.recipients
        assert 49 + 100 * (asked - emptied - stood_still) <= recipients <= 50 + 100 * (clock() - before)


async def test_the_rate_follows_a_schedule() -> None:
    """Seconds are counted from the first message."""
    schedule = Schedule(((0, FEW), (0.15, FAST)))
    async with Simulator(schedule) as simulator, logged_in(simulator) as conversation:
        assert (await conversation.send()).startswith("250")
        assert await conversation.send() == SMTPText.RATE_EXCEEDED
        await conversation.say("RSET")
        await asyncio.sleep(0.16)
        assert (await conversation.send()).startswith("250")


async def test_refusals_may_cost_tokens() -> None:
    """A refusal at a high price puts the next acceptance off."""
    async with Simulator(5, depth=0.2, refusal_cost=100) as simulator, logged_in(simulator) as conversation:
        await conversation.send()
        assert await conversation.send() == SMTPText.RATE_EXCEEDED
        await asyncio.sleep(0.2)
        await conversation.say("RSET")
        assert await conversation.send() == SMTPText.RATE_EXCEEDED


async def test_the_day_rolls_on_a_scaled_clock() -> None:
    """Refused by both doors, then quota comes back."""
    async with Simulator(FAST, max_24_hour_send=1, day=0.18) as simulator:
        assert (await mail(simulator)).startswith("250 Ok ")
        assert await mail(simulator) == "454 Throttling failure: Daily message quota exceeded."
        assert told(await request(simulator))["message"] == "Daily message quota exceeded."
        assert simulator.counts.quota_exceeded == 2
        await asyncio.sleep(0.19)
        assert (await mail(simulator)).startswith("250 Ok ")


async def test_what_was_sent_before_counts_for_the_day() -> None:
    """An account that starts at its quota is told so."""
    async with Simulator(FAST, max_24_hour_send=5, sent_last_24_hours=5) as simulator:
        assert await mail(simulator) == SMTPText.QUOTA_EXCEEDED


@pytest.mark.parametrize("latency", [0.02, (0.02, 0.025)])
async def test_latency_before_every_reply(latency: Any) -> None:
    """Of either door; the message is decided before it."""
    async with Simulator(FAST, latency=latency) as simulator, connected(simulator) as conversation:
        loop = asyncio.get_running_loop()
        took: list[float] = []
        began = loop.time()
        await conversation.hear()
        took.append(loop.time() - began)
        for line in list(STEPS.values()):
            began = loop.time()
            await conversation.say(line)
            took.append(loop.time() - began)
        began = loop.time()
        await request(simulator, ACCOUNT)
        assert min(*took, loop.time() - began) >= 0.0199


async def test_a_message_is_decided_before_the_latency() -> None:
    """It is in the ledger while its client still waits."""
    async with Simulator(FAST, latency=0.1) as simulator:
        sending = asyncio.create_task(request(simulator))
        await until(lambda: simulator.counts.accepted == 1)
        assert not sending.done()
        assert status(await sending) == 200


async def test_the_seed_makes_message_ids() -> None:
    """The same seed, the same ids."""

    async def first_id(seed: int) -> str:
        async with Simulator(FAST, seed=seed) as simulator:
            await mail(simulator)
            return simulator.accepted[0].message_id

    assert await first_id(1) == await first_id(1) != await first_id(2)


# The ledger.


async def test_what_the_ledger_knows_of_a_message() -> None:
    """Envelope, key, size and door, and no content unless asked."""
    async with Simulator(FAST) as simulator:
        reply = await mail(simulator, "a@x.org", "b@x.org", content=keyed("ada-7"))
        (message,) = simulator.accepted
        assert reply == f"250 Ok {message.message_id}"
        assert (message.key, message.mail_from, message.recipients) == (
            "ada-7",
            "sender@example.org",
            ("a@x.org", "b@x.org"),
        )
        assert (message.size, message.content, message.door) == (len(keyed("ada-7")), None, "smtp")
        assert message.at <= asyncio.get_running_loop().time()


async def test_duplicates_and_missing_by_key() -> None:
    """A key that came three times is there twice too often, through whichever door."""
    async with Simulator(FAST) as simulator:
        for key in ("a", "b", "b"):
            await mail(simulator, content=keyed(key))
        await request(simulator, body=raw("a@x.org", content=keyed("b")))
        assert simulator.duplicates() == {"b": 2}
        assert simulator.missing(["c", "a", "d"]) == ["c", "d"]


async def test_without_a_key_content_and_recipients_say_which_message_it_is() -> None:
    """The same content to somebody else is another message; a key in the body is none."""
    async with Simulator(FAST) as simulator:
        await mail(simulator, "a@x.org")
        await mail(simulator, "b@x.org")
        await mail(simulator, content=CONTENT + keyed("x"))
        assert simulator.duplicates() == {}
        assert simulator.missing(["x"]) == ["x"]
        await mail(simulator, "a@x.org")
        assert list(simulator.duplicates().values()) == [1]


async def test_tally() -> None:
    """Figures of a stretch of time since the first decision."""
    async with Simulator(FEW, depth=3 / FEW) as simulator:
        await mail(simulator, "a@x.org", "b@x.org", "c@x.org")
        await mail(simulator)
        assert simulator.tally(0, 5) == Tally(recipients=3, accepted=1, throttled=1, quota_exceeded=0)
        assert simulator.tally(5, 10) == Tally(0, 0, 0, 0)


@pytest.mark.parametrize(("limit", "kept"), [(None, ["a", "b", "c"]), (2, ["b", "c"]), (0, [])])
async def test_the_ledger_keeps_the_latest(limit: int | None, kept: list[str]) -> None:
    """Counts and keys cover all messages all the same."""
    async with Simulator(FAST, ledger_limit=limit) as simulator:
        for key in ("a", "b", "c"):
            await mail(simulator, content=keyed(key))
        assert [message.key for message in simulator.accepted] == kept
        assert (simulator.counts.accepted, simulator.missing(["a", "b", "c"])) == (3, [])


def test_the_day_does_not_count_whom_it_is_told_not_to_count() -> None:
    """Amazon SES Developer Guide, "Using the mailbox simulator": its addresses cost none of the daily quota."""
    account = SimulatedAccount(1000, max_24_hour_send=2)
    assert account.decide(0.0, 1, uncounted=1) is Verdict.ACCEPTED
    assert account.decide(0.0, 3, uncounted=2) is Verdict.ACCEPTED
    assert account.sent(0.0) == 1
    assert account.decide(0.0, 1) is Verdict.ACCEPTED
    assert account.decide(0.0, 1) is Verdict.QUOTA_EXCEEDED
    assert account.decide(0.0, 1, uncounted=1) is Verdict.ACCEPTED
    assert (account.accepted, account.sent(0.0)) == (6, 2)


async def test_the_mailbox_simulator_costs_no_quota() -> None:
    """Through a door, whatever the label and the case; the rate counts them."""
    async with Simulator(1000, max_24_hour_send=1) as simulator:
        assert (await mail(simulator)).startswith("250 Ok")
        assert (await mail(simulator)).startswith("454 Throttling failure: Daily")
        assert (await mail(simulator, "Success+a@Simulator.AmazonSES.com")).startswith("250 Ok")
        assert simulator.account.accepted == 2
