"""Companions with an outbox: answered when durable, sent from there, and whatever ends the process loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from seslimit import Limiter, Message, Outcome, Sender, TransportError
from seslimit.companion._kept import PATIENT, Kept, name
from seslimit.companion.listmonk import ListmonkMessenger, ListmonkOptions
from seslimit.companion.listmonk._memory import OTHERS
from seslimit.companion.relay import Relay
from seslimit.outbox import JournalUnavailable, MemoryOutbox
from tests.listmonk_double import Postback, Subscriber, as_go, subscribers, transactional_payload
from tests.outages import killed_often, stage
from tests.relaying import FAST, Service, client_of, options, readers, until
from tests.virtual_time import on_virtual_time

pytestmark = pytest.mark.once


@contextlib.asynccontextmanager
async def _relay(service: Service, outbox: MemoryOutbox) -> AsyncIterator[Relay]:
    async with Relay(service, options(), limiter=Limiter(FAST, max_rate=FAST), outbox=outbox) as relay:
        yield relay


@contextlib.asynccontextmanager
async def _messenger(service: Service, outbox: MemoryOutbox) -> AsyncIterator[Postback]:
    set_up = ListmonkOptions(listen="127.0.0.1:0", root_url="https://lists.example.net")
    limiter = Limiter(FAST, max_rate=FAST)
    async with ListmonkMessenger(service, set_up, limiter=limiter, outbox=outbox) as messenger:
        client = Postback("127.0.0.1", messenger.port)
        yield client
        await client.aclose()


async def _all(client: Postback, who: Sequence[Subscriber]) -> None:
    for subscriber in who:
        await client.push(subscriber)


async def test_the_relay_answers_when_a_message_is_durable() -> None:
    """The reply is its name in the outbox; the service has it later. One to 120 recipients goes in three parts."""
    service = Service(held=True)
    async with MemoryOutbox() as outbox, _relay(service, outbox) as relay, client_of(relay.port) as client:
        assert (await client.send(recipients=readers(120))).startswith("250 2.0.0 Ok ")
        assert not service.accepted
        service.gate.set()
        await until(lambda: len(service.accepted) == 3)
    assert sorted(service.recipients) == sorted(readers(120))


async def test_what_a_relay_left_is_sent_by_the_next_one() -> None:
    """A restart costs the client nothing."""
    service = Service()
    async with MemoryOutbox() as outbox:
        away = Service(lambda message: TransportError(Outcome.ACCOUNT_BLOCKED, "554 paused"))
        async with _relay(away, outbox) as relay, client_of(relay.port) as client:
            for _ in range(5):
                assert (await client.send()).startswith("250")
        assert not away.accepted
        async with _relay(service, outbox):
            await until(lambda: len(service.accepted) == 5)


class _Full(MemoryOutbox):
    async def add(self, messages: object, **given: object) -> int:
        """Take nothing."""
        raise JournalUnavailable("the disk is full")


async def test_an_outbox_that_takes_nothing_is_told() -> None:
    """451 at the relay, 503 at the messenger: the client has the message still."""
    service = Service()
    async with _Full() as outbox, _relay(service, outbox) as relay, client_of(relay.port) as client:
        assert (await client.send()).startswith("451 4.3.0 The outbox cannot be written")
    async with _Full() as outbox, _messenger(service, outbox) as messenger:
        (reader,) = subscribers(1)
        with pytest.raises(Exception, match="503"):
            await messenger.push(reader)
    assert not service.accepted


async def test_what_was_answered_for_and_is_refused_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Its client hears no more of it."""
    service = Service(lambda message: TransportError(Outcome.PERMANENT, "554 Message rejected"))
    with caplog.at_level(logging.WARNING, "seslimit"):
        async with MemoryOutbox() as outbox, _relay(service, outbox) as relay, client_of(relay.port) as client:
            reply = await client.send()
            await until(lambda: any(reply.split()[-1] in line for line in caplog.messages))
    assert any("was not accepted" in line and "554 Message rejected" in line for line in caplog.messages)


async def test_what_is_posted_twice_is_sent_once_over_a_restart() -> None:
    """Of a running campaign, by campaign, subscriber and content; a Date of its own makes no other message of it."""
    service = Service()
    people = list(subscribers(OTHERS + 10))
    async with MemoryOutbox() as outbox:
        async with _messenger(service, outbox) as client:
            await _all(client, people)
            await until(lambda: len(service.accepted) == len(people))
        async with _messenger(service, outbox) as client:
            await _all(client, people[OTHERS:])
            await asyncio.sleep(0.05)
    assert len(service.accepted) == len(people)


async def test_a_test_does_not_hold_back_the_real_message() -> None:
    """The same message, to the same subscriber, before the campaign runs (as `Runs` has it)."""
    service = Service()
    people = list(subscribers(3))
    async with MemoryOutbox() as outbox, _messenger(service, outbox) as client:
        await _all(client, people[:1])
        await _all(client, people)
        await until(lambda: len(service.accepted) == 4)


async def test_transactional_messages_are_all_sent() -> None:
    """Two of the same words are two."""
    service = Service()
    (reader,) = subscribers(1)
    async with MemoryOutbox() as outbox, _messenger(service, outbox) as client:
        for _ in range(2):
            await client.post(as_go(transactional_payload(reader)))
        await until(lambda: len(service.accepted) == 2)


@on_virtual_time
async def test_a_quota_that_is_used_up_costs_nothing() -> None:
    """Every message is kept at once; all are accepted when the window frees, 20 hours later."""
    loop = asyncio.get_running_loop()
    frees_at = loop.time() + 72_000.0
    used = 0

    def refuse(message: Message) -> Exception | None:
        nonlocal used
        if used >= 100 and loop.time() < frees_at:
            return TransportError(Outcome.QUOTA_EXCEEDED, "454 Daily message quota exceeded.")
        used += 1
        return None

    service = Service(refuse)
    async with MemoryOutbox() as outbox:
        sender = Sender(service, limiter=Limiter(50.0, max_rate=50.0), retry=PATIENT, outbox=outbox)
        kept = Kept(outbox, sender)
        kept.open()
        for number in range(300):
            message = Message("a@example.org", [f"r{number}@example.net"], b"From: a@example.org\r\n\r\nHi", name())
            assert await kept.keep(message)
        assert loop.time() < 60.0 + frees_at - 72_000.0
        while len(service.accepted) < 300 and loop.time() < frees_at + 86_400.0:  # noqa: ASYNC110  # virtual time
            await asyncio.sleep(60.0)
        await kept.aclose(10.0)
        await sender.aclose()
    assert sorted(service.recipients) == sorted(f"r{number}@example.net" for number in range(300))
    assert math.isinf(PATIENT.max_unreachable)


CONNECTIONS = 25
"""Of listmonk's double, at most: each has one message without an answer."""


@pytest.mark.parametrize("command", ["relay", "listmonk"])
async def test_a_companion_that_is_killed_loses_nothing(command: str, tmp_path: Path) -> None:
    """SIGKILL in mid-campaign, and a new process on the same socket: what was answered, or kept, is sent, once."""
    pytest.importorskip("aiosqlite")
    outbox = tmp_path / "outbox.sqlite"
    async with stage(command, 30.0, "--outbox", str(outbox)) as play:
        found = await killed_often(play, outbox, 1, 60)
        assert await play.end(signal.SIGTERM) == 0
    assert found.answered_lost == 0
    assert found.nowhere + found.unheard <= CONNECTIONS
    assert found.ended.doubled <= found.in_flight
