"""
The companions as processes, under listmonk's double, beside hostile clients, and ended in the middle.

Small versions of `benchmarks/companions.py`: nothing here measures speed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Literal

import pytest

from seslimit.testing import Simulator, SMTPRules
from tests.faults.companion_clients import (
    Attack,
    endless_line,
    gigabyte,
    half_command,
    half_content,
    idle,
    slow,
    ten_thousand_recipients,
)

from .answered import CLIENTS, Answers
from .companion_process import Companion, companion
from .listmonk_double import Campaign, MailPool, Postback, mail, subscribers

pytestmark = pytest.mark.once

Command = Literal["relay", "listmonk"]
OPTIONS: dict[Command, tuple[str, ...]] = {"relay": (), "listmonk": ("--root-url", "https://lists.example.net")}

COUNT = 200
RATE = 80.0
"""Recipients/s: a burst of listmonk's defaults is more, and what they keep up is about that."""

CLIENTS_AT_ONCE = 10


@contextlib.asynccontextmanager
async def running(command: Command, *options: str) -> AsyncIterator[tuple[Simulator, Companion]]:
    """The simulator and the companion in front of it."""
    rules = SMTPRules(auth_required=False)
    async with (
        Simulator(RATE, depth=0.2, latency=0.005, smtp=rules) as simulator,
        companion(command, simulator.smtp_url, *OPTIONS[command], *options) as server,
    ):
        yield simulator, server


def copies(simulator: Simulator) -> Counter[str]:
    """How many times each recipient's message was accepted."""
    return Counter(recipient for message in simulator.accepted for recipient in message.recipients)


def once(count: int) -> Counter[str]:
    """Each recipient's message once."""
    return Counter(subscriber.email for subscriber in subscribers(count))


@pytest.mark.parametrize("rate", [("--rate", f"{RATE:g}"), ()], ids=["told", "not told"])
async def test_a_campaign_through_the_relay_is_accepted_as_a_whole(rate: tuple[str, ...]) -> None:
    """At listmonk's defaults, whether the relay is told the rate or has to find it."""
    async with running("relay", *rate) as (simulator, relay):
        client = MailPool("127.0.0.1", relay.port)
        result = await Campaign().run(subscribers(COUNT), client.push)
        await client.aclose()
        assert (result.status, result.sent, result.errors) == ("finished", COUNT, [])
        assert copies(simulator) == once(COUNT)


async def test_a_campaign_through_the_messenger_is_accepted_as_a_whole() -> None:
    """At listmonk's defaults, within its five seconds."""
    async with running("listmonk", "--rate", f"{RATE:g}") as (simulator, messenger):
        client = Postback("127.0.0.1", messenger.port)
        result = await Campaign().run(subscribers(COUNT), client.push)
        await client.aclose()
        assert (result.status, result.sent, result.errors) == ("finished", COUNT, [])
        assert copies(simulator) == once(COUNT)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("command", ["relay", "listmonk"])
async def test_what_was_told_before_the_end_is_true(command: Command, seed: int) -> None:
    """SIGTERM after a random number of messages under load: status 0, each yes was accepted once, and no no was."""
    answers, to = Answers(), subscribers(10**6)
    async with running(command, "--rate", f"{RATE:g}") as (simulator, server):
        clients = [CLIENTS[command](server.port, to, answers) for _ in range(CLIENTS_AT_ONCE)]
        answered = asyncio.gather(*clients)
        begun = random.Random(seed).randint(10, 120)
        async with asyncio.timeout(120):
            while simulator.counts.accepted < begun:  # noqa: ASYNC110  # the simulator's count wakes nobody
                await asyncio.sleep(0.001)
        status = await server.ended()
        await answered
        truth = copies(simulator)
        assert (status, server.errors.count("Traceback")) == (0, 0)
    assert answers.accepted
    assert not answers.missing(truth)
    assert not answers.doubled(truth)
    assert not answers.accepted_although_refused(truth)
    assert set(truth) <= {*answers.accepted, *answers.unknown}


ATTACKS: tuple[Attack, ...] = (
    *(idle,) * 30,
    *(slow,) * 5,
    half_command,
    half_content,
    endless_line,
    gigabyte,
    ten_thousand_recipients,
)


async def test_hostile_clients_beside_it_do_not_harm_a_good_one() -> None:
    """Silence, half commands, endless lines, a gigabyte and ten thousand recipients; all of the good mail goes out."""
    async with running("relay", "--rate", f"{RATE:g}") as (simulator, relay):
        hostile = [asyncio.create_task(_attack(attack, relay.port)) for attack in ATTACKS]
        client = MailPool("127.0.0.1", relay.port)
        for subscriber in subscribers(COUNT):
            await client.send(mail(subscriber))
        await client.aclose()
        for task in hostile:
            task.cancel()
        await asyncio.gather(*hostile, return_exceptions=True)
        assert await relay.ended() == 0
        assert "Traceback" not in relay.errors
        assert copies(simulator) == once(COUNT)


async def _attack(attack: Attack, port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with contextlib.suppress(OSError, EOFError):
            await attack(reader, writer)
    finally:
        writer.transport.abort()
