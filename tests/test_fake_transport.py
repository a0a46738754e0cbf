"""What users test their own code with: a transport in memory, virtual time, a plug-in of pytest that costs nothing."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from seslimit import Limiter, Message, Outcome, Receipt, Sender, SendQuota, Transport, TransportError
from seslimit.testing import FakeTransport
from seslimit.testing.virtual_time import block, on_virtual_time
from seslimit.transports import KnowsQuota


def message(number: int = 0) -> Message:
    """A small message with a key."""
    return Message("a@example.org", [f"b{number}@example.net"], b"From: a@example.org\r\n\r\nHi\r\n", key=number)


@on_virtual_time
async def test_without_a_handler_everything_is_accepted() -> None:
    """Each with a message id of its own, and kept in order."""
    transport: Transport = FakeTransport()
    assert isinstance(transport, FakeTransport)
    assert isinstance(transport, KnowsQuota)
    receipts = [await transport.send(message(number)) for number in range(2)]
    assert [receipt.message_id for receipt in receipts] == ["fake-1", "fake-2"]
    assert transport.sent == [message(0), message(1)]
    assert not transport.closed


@on_virtual_time
async def test_a_handler_says_what_becomes_of_a_message() -> None:
    """By a receipt, an outcome, an error that it returns or raises, or an answer that takes its time."""

    async def late() -> Outcome:
        await asyncio.sleep(5.0)
        return Outcome.PERMANENT

    answers: list[Any] = [Receipt("own"), Outcome.ACCEPTED, Outcome.THROTTLED, OSError("gone"), late()]
    transport = FakeTransport(lambda _: answers.pop(0))
    assert (await transport.send(message())).message_id == "own"
    assert (await transport.send(message())).message_id == "fake-2"
    for expected in (TransportError, OSError, TransportError):
        with pytest.raises(expected):
            await transport.send(message())
    outcomes = [Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.THROTTLED, None, Outcome.PERMANENT]
    assert [attempt.outcome for attempt in transport.attempts] == outcomes
    assert asyncio.get_running_loop().time() == pytest.approx(5.0, abs=1e-3)


@on_virtual_time
async def test_what_a_handler_may_not_say() -> None:
    """A sentence that names what it may."""
    transport = FakeTransport(lambda _: "accepted")  # type: ignore[arg-type,return-value]
    with pytest.raises(
        TypeError, match="a handler returns a Receipt, an Outcome, an exception or None, not 'accepted'"
    ):
        await transport.send(message())


@on_virtual_time
async def test_its_errors_pickle() -> None:
    """As a real transport's do: a worker may hand them to another process."""
    with pytest.raises(TransportError) as caught:
        await FakeTransport(lambda _: Outcome.QUOTA_EXCEEDED).send(message())
    assert pickle.loads(pickle.dumps(caught.value)).outcome is Outcome.QUOTA_EXCEEDED  # noqa: S301  # made above


@on_virtual_time
async def test_a_cancelled_attempt_is_one_too() -> None:
    """It came, and had neither receipt nor error."""
    transport = FakeTransport(lambda _: asyncio.get_running_loop().create_future())
    sending = asyncio.create_task(transport.send(message()))
    await asyncio.sleep(1.0)
    sending.cancel()
    await asyncio.wait({sending})
    (attempt,) = transport.attempts
    assert attempt.at < 1e-3
    assert attempt.outcome is None
    assert not transport.sent


def test_a_sender_on_it_in_virtual_time(virtual_time: Callable[[Coroutine[Any, Any, float]], float]) -> None:
    """A throttle is sent again, an hour of messages takes a moment, and the end closes the transport."""
    refused = [7]

    def handler(one: Message) -> Outcome:
        return Outcome.THROTTLED if one.key in refused and refused.pop() else Outcome.ACCEPTED

    transport = FakeTransport(handler, send_quota=SendQuota(-1, 1.0, 0))

    async def main() -> float:
        async with Sender(transport, limiter=Limiter(1.0)) as sender:
            async for report in sender.send_many(message(number) for number in range(100)):
                assert report.outcome == "accepted"
        return asyncio.get_running_loop().time()

    assert 90 < virtual_time(main()) < 400
    assert len(transport.attempts) == 101
    assert sorted(one.key for one in transport.sent) == list(range(100))  # type: ignore[type-var]
    assert transport.closed


async def test_blocking_is_for_virtual_time() -> None:
    """On an ordinary loop nothing would happen."""
    with pytest.raises(RuntimeError, match="on virtual time"):
        block(1.0)


def test_the_plug_in_of_pytest_imports_nothing_of_ours() -> None:
    """Pytest imports it in every run of every project that has seslimit installed."""
    script = "import sys, seslimit_pytest; print(*(name for name in sys.modules if name.startswith('seslimit.')))"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == ""
