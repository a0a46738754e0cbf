"""A part of the day that is left to others: never used, and sending goes on by itself when there is more."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from seslimit import (
    ConfigurationError,
    Limiter,
    Message,
    Outcome,
    QuotaExceeded,
    Receipt,
    RetryPolicy,
    Sender,
    SendQuota,
)
from seslimit.outbox import MemoryOutbox
from seslimit.testing import FakeTransport

from .service_model import ScriptedService
from .virtual_time import on_virtual_time

pytestmark = pytest.mark.once


def messages(count: int, to: int = 1) -> list[Message]:
    """So many messages."""
    recipients = [f"r{number}@example.org" for number in range(to)]
    return [Message("a@example.com", recipients, b"Subject: x\r\n\r\nx\r\n", number) for number in range(count)]


class Account(FakeTransport):
    """An account whose day is counted; others use of it what they are told to."""

    def __init__(self, each_day: int, used: int = 0) -> None:
        super().__init__(self.answer)
        self.each_day, self.used = each_day, used

    async def answer(self, message: Message) -> Receipt:
        """Accept, after a while."""
        await asyncio.sleep(0.2)
        self.used += message.cost
        return Receipt("id")

    async def quota(self) -> SendQuota | None:
        """The figures, fresh."""
        return SendQuota(float(self.each_day), 1000.0, float(self.used))


@on_virtual_time
async def test_what_is_kept_is_not_used_however_many_go_at_once() -> None:
    """A hundred are let through at the same time, and forty are all that is left."""
    account = Account(100)
    limiter = Limiter(1000, max_rate=1000)
    async with Sender(account, limiter=limiter, keep_daily=60) as sender:
        asyncio.get_running_loop().call_later(30, sender.stop)
        reports = [report async for report in sender.send_many(messages(90))]
        assert limiter.paused == "the rest of the day is kept for others"
    assert account.used == 40
    outcomes = Counter(report.outcome for report in reports)
    assert outcomes[Outcome.ACCEPTED] == 40
    assert set(outcomes) == {Outcome.ACCEPTED, Outcome.NOT_SENT}


@on_virtual_time
async def test_sending_goes_on_when_there_is_more() -> None:
    """The service is asked every few minutes."""
    account = Account(100, used=60)
    loop = asyncio.get_running_loop()
    async with Sender(account, limiter=Limiter(1000, max_rate=1000), keep_daily=30) as sender:
        loop.call_later(1000, lambda: setattr(account, "used", 0))
        reports = [report async for report in sender.send_many(messages(40))]
    assert {report.outcome for report in reports} == {Outcome.ACCEPTED}
    assert 1000 < loop.time() < 1400


@on_virtual_time
async def test_an_attempt_that_was_refused_used_nothing() -> None:
    """What was taken for it is left for the next one."""
    account = Account(13)
    refused = iter([Outcome.THROTTLED, Outcome.TRANSIENT])

    async def answer(message: Message) -> Receipt | Outcome:
        return next(refused, None) or await Account.answer(account, message)

    account.handler = answer
    async with Sender(account, limiter=Limiter(1000, max_rate=1000), keep_daily=3) as sender:
        reports = [report async for report in sender.send_many(messages(5, to=2))]
    assert {report.outcome for report in reports} == {Outcome.ACCEPTED}
    assert account.used == 10


@on_virtual_time
async def test_without_figures_nothing_can_be_kept() -> None:
    """Of a service that does not tell what is left."""
    with pytest.raises(ConfigurationError, match="quota"):
        Sender(ScriptedService(), keep_daily=10)


@pytest.mark.parametrize("kept", [None, MemoryOutbox], ids=["in memory", "outbox"])
@on_virtual_time
async def test_a_policy_that_does_not_wait_stops_there(kept: type[MemoryOutbox] | None) -> None:
    """As at the end of the day: the rest is unsent, and nothing of what is kept is used."""
    account = Account(100)
    limiter = Limiter(1000, max_rate=1000)
    retry = RetryPolicy(on_quota_exceeded="stop")
    outbox = None if kept is None else kept()
    async with Sender(account, limiter=limiter, retry=retry, keep_daily=60, outbox=outbox) as sender:
        with pytest.raises(QuotaExceeded, match="kept for others"):
            async for _ in sender.send_many(messages(90)):
                pass
    assert account.used == 40


@on_virtual_time
async def test_more_than_the_day_cannot_be_kept(caplog: pytest.LogCaptureFixture) -> None:
    """It would wait for ever: the log says so."""
    async with Sender(Account(100), keep_daily=100) as sender:
        await sender.ask_quota()
    assert "nothing can be sent; keep fewer" in caplog.text
