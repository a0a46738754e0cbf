"""What people write with seslimit: mypy and pyright take all of it in strict mode, and each `assert_type` holds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

import seslimit
from seslimit import (
    Attempted,
    Event,
    Limiter,
    Message,
    Outcome,
    Receipt,
    Report,
    RetryPolicy,
    Sender,
    SendFailed,
    SendQuota,
    State,
    Transport,
    TransportError,
    transport_from_url,
)
from seslimit.observe import LogHook, Observer, OpenTelemetryHook, PrometheusHook, serve
from seslimit.testing import FakeTransport, Simulator


class Postbox:
    """A transport of one's own."""

    async def send(self, message: Message) -> Receipt:
        """Hand it over."""
        if not message.recipients:
            raise TransportError(Outcome.PERMANENT, "nobody")
        return Receipt("id-1")

    async def aclose(self) -> None:
        """Nothing to close."""


class Told:
    """A hook that hears every event."""

    def on_event(self, event: Event) -> None:
        """Hear one."""
        if isinstance(event, Attempted):
            assert_type(event.outcome, Outcome)
            assert_type(event.waited, float)


def printed(report: Report) -> None:
    """A hook that hears reports."""
    assert_type(report.receipt, Receipt | None)
    assert_type(report.error, Exception | None)


def messages() -> Iterator[Message]:
    """A list."""
    yield Message("news@example.org", ["ada@example.net"], b"Subject: x\r\n\r\nHi", key=7)


async def streamed() -> AsyncIterator[Message]:
    """A stream."""
    for message in messages():
        yield message


async def send() -> None:
    """One, and many."""
    transport: Transport = Postbox()
    limiter = Limiter(14, max_rate=20, hooks=[Told(), print])
    async with Sender(transport, limiter=limiter, retry=RetryPolicy(max_attempts=3), hooks=[Told(), printed]) as sender:
        assert_type(sender, Sender)
        try:
            assert_type(await sender.send(next(messages())), Receipt)
        except SendFailed as failed:
            assert_type(failed.report, Report)
        async for report in sender.send_many(messages()):
            assert_type(report, Report)
        async for report in sender.send_many(streamed()):
            assert_type(report.outcome, Outcome)
        assert_type(sender.state(), State)
    assert_type(limiter.rate, float)
    assert_type(limiter.estimate, float | None)
    assert_type(limiter.quota, SendQuota | None)
    assert_type(transport_from_url("ses://eu-west-1"), Transport)
    assert_type(seslimit.__version__, str)


limiter = Limiter()


@limiter.wrap(cost=lambda recipients: len(recipients))
async def wrapped(recipients: list[str]) -> dict[str, int]:
    """One attempt of one's own."""
    return dict.fromkeys(recipients, 1)


async def limited() -> None:
    """The limiter alone."""
    assert_type(await wrapped(["ada@example.net"]), dict[str, int])
    async with limiter.admit(recipients=3, lane=""):
        pass
    async with limiter:
        pass
    await limiter.acquire(2)
    limiter.throttled(retry_after=1.0)


async def observed() -> None:
    """Every adapter is a hook."""
    observer = Observer("newsletter")
    prometheus, traced = PrometheusHook(), OpenTelemetryHook()
    async with Sender(FakeTransport(), hooks=[observer, prometheus, traced, LogHook()]) as sender:
        observer.watch(sender)
        async with serve("8080", observer) as server:
            assert_type(server.url, str)


async def tried() -> None:
    """The simulator."""
    async with Simulator(rate=14) as simulator:
        assert_type(simulator.smtp_url, str)
