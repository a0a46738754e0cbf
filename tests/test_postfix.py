"""A real Postfix that relays through us: what it queues is accepted once, later, or reported to the sender."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable

import pytest

from seslimit.testing import Fault, Simulator, SMTPText

from .companion_process import companion
from .listmonk_double import Session, Subscriber, mail, subscribers
from .postfix_instance import MISSING, SENDERS, Postfix, postfix
from .scripted_server import SMTPServer

pytestmark = [pytest.mark.once, pytest.mark.skipif(MISSING is not None, reason=MISSING or "")]

FAST = 500.0
"""Recipients/s that are in nobody's way."""

PATIENT = 60.0
"""Seconds in which everything has to have happened."""


@contextlib.asynccontextmanager
async def relayed(simulator: Simulator, *options: str) -> AsyncIterator[tuple[Postfix, SMTPServer]]:
    """Postfix, the relay and the simulator in a row, and the server that the senders' own mail comes to."""
    senders = SMTPServer()
    async with (
        senders.running(),
        companion("relay", simulator.smtp_url, *options) as relay,
        postfix(relay.port, senders.port) as instance,
    ):
        yield instance, senders


async def submitted(instance: Postfix, to: Iterable[Subscriber]) -> None:
    """Hand over a message to each, as a program on the same machine does."""
    session = await Session.open("127.0.0.1", instance.port)
    for subscriber in to:
        message = mail(subscriber)
        await session.send(type(message)(f"bounces@{SENDERS}", message.recipients, message.content))
    session.close()


async def until(happened: Callable[[], bool], instance: Postfix) -> None:
    """Wait until something has happened."""
    try:
        async with asyncio.timeout(PATIENT):
            while not happened():  # noqa: ASYNC110  # another program's log tells nobody that it has grown
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"it did not happen; {instance.queued} messages are queued:\n{instance.log[-5000:]}")


def arrived(simulator: Simulator) -> Counter[str]:
    """How many times each recipient's message was accepted."""
    return Counter(recipient for message in simulator.accepted for recipient in message.recipients)


def deferred(instance: Postfix) -> int:
    """How many messages it has deferred at least once."""
    return len(set(re.findall(r"(\w+): to=.*status=deferred", instance.log)))


def once(count: int) -> Counter[str]:
    """Each recipient's message once."""
    return Counter(subscriber.email for subscriber in subscribers(count))


async def test_what_postfix_queues_is_accepted_once() -> None:
    """At a rate that neither of them was told, a hundred messages."""
    async with Simulator(40) as simulator, relayed(simulator) as (instance, senders):
        await submitted(instance, subscribers(100))
        await until(lambda: instance.queued == 0 and simulator.counts.accepted >= 100, instance)
        assert arrived(simulator) == once(100)
        assert not senders.accepted


async def test_what_the_day_has_no_room_for_waits_in_the_queue_of_postfix() -> None:
    """The relay answers 4xx when the quota is used up, Postfix defers, and all are accepted once there is quota."""
    quota = 40
    async with (
        Simulator(FAST, max_24_hour_send=quota) as simulator,
        relayed(simulator, "--rate", str(FAST), "--hold", "0") as (instance, senders),
    ):
        await submitted(instance, subscribers(60))
        await until(lambda: instance.queued == 60 - quota and deferred(instance) >= 60 - quota, instance)
        assert simulator.counts.accepted == quota
        assert re.search(r"said: 4\d\d .*Daily message quota exceeded.*", instance.log)
        simulator.account.max_24_hour_send = -1
        await until(lambda: instance.queued == 0 and simulator.counts.accepted >= 60, instance)
        assert arrived(simulator) == once(60)
        assert not senders.accepted


async def test_a_permanent_refusal_comes_back_to_the_sender_in_the_words_of_the_service() -> None:
    """Postfix reports it, with SES's reply, and does not try again; the others are accepted."""
    faults = [Fault("dot", reply=SMTPText.BLACKLISTED, skip=1)]
    async with (
        Simulator(FAST, faults=faults) as simulator,
        relayed(simulator, "--rate", str(FAST)) as (instance, senders),
    ):
        await submitted(instance, subscribers(3))
        await until(lambda: bool(senders.accepted) and instance.queued == 0, instance)
        (report,) = senders.accepted
        assert report.recipients == (f"bounces@{SENDERS}",)
        assert b"Content-Type: multipart/report" in report.content
        assert SMTPText.BLACKLISTED.encode() in b" ".join(report.content.split())
        assert len(arrived(simulator)) == 2
