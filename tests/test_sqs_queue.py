"""A queue of SQS that messages to be sent come from: leases, ends, dead letters, and workers that are killed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
from aiobotocore.session import AioSession

from seslimit import (
    ConfigurationError,
    JournalError,
    LeaseLost,
    Limiter,
    Message,
    Outcome,
    Receipt,
    Report,
    RetryPolicy,
    Sender,
)
from seslimit._sqs import Batches, EntryFailed, SQSOptions
from seslimit.outbox import SQSQueue
from seslimit.outbox._sqs_words import done
from seslimit.testing import FakeTransport, Simulator

from .sqs_server import AWS, sqs_server

pytestmark = pytest.mark.once

FREE = 1e5
"""Recipients/s at which nothing waits for the rate."""


@pytest.fixture(scope="module")
def sqs() -> Iterator[str]:
    """A server that speaks SQS; its URL."""
    with sqs_server() as url:
        yield url


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)


class Filled:
    """A queue on that server, seen by whoever fills it."""

    def __init__(self, client: Any, name: str, url: str, server: str) -> None:
        self._client = client
        self._url = url
        self.options = SQSOptions(queue=name, region="eu-west-1", endpoint_url=server, wait=1)
        self.url = f"sqs://{name}?region=eu-west-1&endpoint_url={server}"

    async def put(self, *bodies: str) -> None:
        """Send messages, ten at a time."""
        for begin in range(0, len(bodies), 10):
            entries = [
                {"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies[begin : begin + 10])
            ]
            await self._client.send_message_batch(QueueUrl=self._url, Entries=entries)

    async def left(self) -> tuple[int, int]:
        """How many messages are there for the next one who asks, and how many somebody has."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        told = (await self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=names))["Attributes"]
        return int(told[names[0]]), int(told[names[1]])

    async def bodies(self) -> list[str]:
        """What is there."""
        answer = await self._client.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [each["Body"] for each in answer.get("Messages", ())]


@asynccontextmanager
async def filled(sqs: str, name: str, *bodies: str, **attributes: str) -> AsyncIterator[Filled]:
    """A new queue with messages in it."""
    async with AioSession().create_client("sqs", region_name="eu-west-1", endpoint_url=sqs) as client:
        made: Any = client
        url = (await made.create_queue(QueueName=name, Attributes=attributes))["QueueUrl"]
        queue = Filled(made, name, url, sqs)
        await queue.put(*bodies)
        yield queue


@asynccontextmanager
async def with_dead_letters(sqs: str, name: str, *bodies: str, most: int = 2) -> AsyncIterator[tuple[Filled, Filled]]:
    """A new queue, and the one that its dead letters go to."""
    arn = f"arn:aws:sqs:eu-west-1:123456789012:{name}-dead"
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": most})
    async with filled(sqs, f"{name}-dead") as dead, filled(sqs, name, *bodies, RedrivePolicy=policy) as queue:
        yield queue, dead


def body(number: int, **changes: object) -> str:
    """A message as a line of `seslimit send`'s."""
    record = {
        "key": f"m{number}",
        "from": "news@example.com",
        "to": [f"reader{number}@example.net"],
        "subject": "Hello",
        "text": "Hi!",
    }
    return json.dumps(record | changes)


def bodies(count: int) -> list[str]:
    """As many of them."""
    return [body(number) for number in range(count)]


async def until(condition: Any, seconds: float = 30) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  # a server's count wakes nobody
            await asyncio.sleep(0.02)


def sender_of(queue: SQSQueue, transport: FakeTransport, **options: Any) -> Sender:
    """A sender that takes its messages from the queue."""
    return Sender(transport, limiter=Limiter(FREE), outbox=queue, **options)


async def test_what_is_in_the_queue_is_sent_and_deleted(sqs: str) -> None:
    """Each once."""
    transport = FakeTransport()
    async with (
        filled(sqs, "plain", *bodies(35)) as given,
        SQSQueue(given.options) as queue,
        sender_of(queue, transport) as sender,
    ):
        reports = [report async for report in sender.drain()]
        assert await given.left() == (0, 0)
    assert Counter(message.key for message in transport.sent) == {f"m{number}": 1 for number in range(35)}
    assert all(report.receipt for report in reports)


async def test_a_worker_waits_for_more_and_ends_when_it_is_stopped(sqs: str) -> None:
    """What it was given and has not sent is there for the next one."""
    transport = FakeTransport()
    async with filled(sqs, "later") as given, SQSQueue(given.options) as queue:
        sender = sender_of(queue, transport)
        running = asyncio.create_task(sender.run())
        await asyncio.sleep(0.05)
        await given.put(*bodies(12))

        async def all_sent() -> bool:
            return len(transport.sent) == 12

        await until(all_sent)
        sender.limiter.hold("lunch")
        await given.put(*bodies(12))

        async def waiting() -> bool:
            return sender.state().waiting > 0

        await until(waiting)
        sender.stop()
        await running
        await sender.aclose()
        await queue.aclose()
        assert await given.left() == (12, 0)


async def test_a_lease_is_kept_for_as_long_as_a_message_waits(sqs: str) -> None:
    """Longer than the visibility time-out; nobody else is given it meanwhile."""
    async with filled(sqs, "kept", *bodies(3)) as given:
        options = attrs.evolve(given.options, visibility=1)
        async with SQSQueue(options) as queue, SQSQueue(options) as other:
            mine = await queue.claim(10)
            for _ in range(5):
                await asyncio.sleep(0.4)
                assert not await other.claim(10)
            await queue.begins(mine[0])
            await queue.returns(mine[0])
            assert [each.message.key for each in await other.claim(10)] == [mine[0].message.key]
            with pytest.raises(LeaseLost):
                await queue.begins(mine[0])


async def test_what_a_dead_worker_had_comes_back_after_the_time_out(sqs: str) -> None:
    """SQS does so by itself."""
    async with filled(sqs, "dead-worker", *bodies(2)) as given:
        options = attrs.evolve(given.options, visibility=1)
        queue = SQSQueue(options)
        await queue.open()
        assert len(await queue.claim(10)) == 2
        queue._keeping.cancel()  # as a kill does
        async with SQSQueue(options) as other:

            async def come_back() -> bool:
                return len(await other.claim(10)) == 2

            await until(come_back)
        await queue.aclose()


async def test_a_message_that_is_none_goes_to_the_dead_letter_queue(sqs: str, caplog: pytest.LogCaptureFixture) -> None:
    """The others are sent; the log says what is wrong, without the message's words."""
    broken = ["hello", body(7, colour="red"), body(8, attachments=[{"path": "/etc/passwd"}])]
    transport = FakeTransport()
    async with (
        with_dead_letters(sqs, "broken", *broken, *bodies(3)) as (given, dead),
        SQSQueue(given.options) as queue,
        sender_of(queue, transport) as sender,
    ):
        running = asyncio.create_task(sender.run())

        async def moved() -> bool:
            return (await dead.left())[0] == 3

        await until(moved)
        sender.stop()
        await running
        assert await given.left() == (0, 0)
    assert {message.key for message in transport.sent} == {"m0", "m1", "m2"}
    told = [record.getMessage() for record in caplog.records if "is none that can be sent" in record.getMessage()]
    assert len(told) == 3
    assert any("attachments[0].path '/etc/passwd' is of another machine" in line for line in told)


async def test_a_message_that_is_given_up_goes_to_the_dead_letter_queue_and_is_tried_once(sqs: str) -> None:
    """However often SQS gives it to this worker until then."""
    transport = FakeTransport(lambda message: Outcome.PERMANENT if message.key == "m1" else None)
    async with (
        with_dead_letters(sqs, "refused", *bodies(3), most=4) as (given, dead),
        SQSQueue(given.options) as queue,
        sender_of(queue, transport) as sender,
    ):
        running = asyncio.create_task(sender.run())

        async def moved() -> bool:
            return await dead.left() == (1, 0)

        await until(moved)
        sender.stop()
        await running
        assert [json.loads(each)["key"] for each in await dead.bodies()] == ["m1"]
    assert Counter(attempt.message.key for attempt in transport.attempts) == {"m0": 1, "m1": 1, "m2": 1}


async def test_without_a_dead_letter_queue_it_is_left_alone_and_told(
    sqs: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is nobody's for twelve hours, instead of being tried again and again."""
    transport = FakeTransport(lambda _: Outcome.PERMANENT)
    async with (
        filled(sqs, "no-dead-letters", *bodies(1)) as given,
        SQSQueue(attrs.evolve(given.options, visibility=1)) as queue,
        sender_of(queue, transport) as sender,
    ):
        assert [report.outcome async for report in sender.drain()] == [Outcome.PERMANENT]
        await asyncio.sleep(1.2)
        assert await given.left() == (0, 1)
    assert "has no dead-letter queue" in caplog.text


async def test_a_long_backoff_is_left_to_sqs(sqs: str) -> None:
    """Its time-out is the wait; this worker remembers what happened before."""
    async with filled(sqs, "backoff", *bodies(1)) as given, SQSQueue(given.options) as queue:
        (mine,) = await queue.claim(1)
        history = mine.history.after(Outcome.TRANSIENT, 1.0, "451 later")
        due = time.time() + 1.2
        await queue.postpones(mine, history, due)
        claimed: list[Any] = []

        async def again() -> bool:
            claimed.extend(await queue.claim(1))
            return bool(claimed)

        await until(again)
        assert time.time() >= due
        assert [each.history.attempts for each in claimed] == [1]


async def test_a_short_backoff_keeps_the_message(sqs: str) -> None:
    """It is tried again here."""
    answers = [Outcome.TRANSIENT, None]
    transport = FakeTransport(lambda _: answers.pop(0))
    async with (
        filled(sqs, "short", *bodies(1)) as given,
        SQSQueue(given.options) as queue,
        sender_of(queue, transport, retry=RetryPolicy(first_wait=0.05)) as sender,
    ):
        assert [report.attempts async for report in sender.drain()] == [2]
        assert await given.left() == (0, 0)


async def test_an_accepted_message_that_could_not_be_deleted_is_not_sent_again(sqs: str) -> None:
    """SQS gives it once more, perhaps hours later, and it is deleted then."""
    async with filled(sqs, "undeleted", *bodies(1)) as given:
        options = attrs.evolve(given.options, visibility=1)
        async with SQSQueue(options) as queue:
            (mine,) = await queue.claim(1)
            deleting, refusing = queue._deleting, RefusesDeletion()
            queue._deleting = refusing  # type: ignore[assignment]
            await queue.ends(mine, Report(mine.message, Outcome.ACCEPTED, receipt=Receipt("1")))
            queue._deleting = deleting

            async def deleted() -> bool:
                assert not await queue.claim(1)
                return await given.left() == (0, 0)

            await until(deleted)
            assert refusing.asked == 1


class RefusesDeletion:
    """What SQS does with a receipt that is too old."""

    asked = 0

    async def one(self, **_: object) -> None:
        """Refuse."""
        self.asked += 1
        raise EntryFailed("ReceiptHandleIsInvalid", "too old", ours=True)


async def test_a_message_that_comes_back_while_its_end_is_recorded_is_left_at_once(sqs: str) -> None:
    """SQS gives it again before the request that gave it back has ended; nobody is kept from it for a minute."""
    async with (
        with_dead_letters(sqs, "at-once", *bodies(1), most=2) as (given, dead),
        SQSQueue(given.options) as queue,
    ):
        (mine,) = await queue.claim(1)
        hide = queue._hide

        async def given_again(lease: Any, seconds: float) -> None:
            await hide(lease, seconds)
            if seconds == 0 and queue._hide is not hide:
                queue._hide = hide  # type: ignore[method-assign]
                await queue._receive(10, 0)

        queue._hide = given_again  # type: ignore[method-assign]
        await queue.ends(mine, Report(mine.message, Outcome.PERMANENT))

        async def moved() -> bool:
            assert not await queue.claim(1)
            return await dead.left() == (1, 0)

        await until(moved, 10)


async def test_messages_that_are_added_come_out_as_they_were(sqs: str) -> None:
    """From one program's list to another's worker, in batches; a FIFO queue takes each once."""
    content = "From: a@example.com\r\nTo: b@example.org\r\nSubject: hello\r\n\r\nGrüße\r\n".encode()
    messages = [Message("a@example.com", [f"b{number}@example.org"], content, number) for number in range(25)]
    fifo = {"FifoQueue": "true"}
    async with (
        filled(sqs, "added") as given,
        SQSQueue(given.options) as queue,
        filled(sqs, "added.fifo", **fifo) as ordered,
        SQSQueue(ordered.options) as first,
    ):
        assert await queue.add(messages) == 25
        assert await queue.queued() == 25
        assert {each.message for each in await queue.claim(100)} == set(messages)
        await first.add(messages[:1])
        await first.add(messages[:1])
        assert [each.message for each in await first.claim(10)] == messages[:1]


async def test_a_message_that_is_too_large_is_refused_before_it_is_sent_to_sqs(sqs: str) -> None:
    """In one sentence."""
    message = Message("a@example.com", ["b@example.org"], b"Subject: x\r\n\r\n" + b"x" * 1_000_000)
    async with filled(sqs, "large") as given, SQSQueue(given.options) as queue:
        with pytest.raises(JournalError, match="more than SQS takes"):
            await queue.add([message])
        with pytest.raises(JournalError, match="use send_many"):
            await queue.take(message)


async def test_entries_that_fail_concern_only_themselves() -> None:
    """A batch of which SQS takes a part; a request that fails, fails all of its own."""

    async def request(entries: Any) -> dict[str, Any]:
        if any(entry["Body"] == "broken" for entry in entries):
            raise OSError("no network")
        failed = [
            {"Id": entry["Id"], "Code": "Bad", "Message": "bad", "SenderFault": True}
            for entry in entries
            if entry["Body"] == "bad"
        ]
        return {"Failed": failed}

    batches = Batches(request)
    results = await asyncio.gather(
        *(batches.one(Body=each) for each in ["good", "bad", "good"]), return_exceptions=True
    )
    assert [type(each).__name__ for each in results] == ["NoneType", "EntryFailed", "NoneType"]
    with pytest.raises(OSError, match="no network"):
        await batches.one(Body="broken")


async def test_a_queue_that_is_not_there_is_one_sentence(sqs: str) -> None:
    """It is named."""
    with pytest.raises(ConfigurationError, match="the queue nowhere cannot be used"):
        async with SQSQueue(f"sqs://nowhere?region=eu-west-1&endpoint_url={sqs}"):
            pytest.fail("it is open")
    with pytest.raises(ConfigurationError, match="visibility"):
        SQSOptions.from_url("sqs://a?visibility=0")


async def test_a_queue_that_goes_away_holds_the_sender_and_ends_nothing(
    sqs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker waits until SQS answers again."""
    transport = FakeTransport()
    async with (
        filled(sqs, "away", *bodies(2)) as given,
        SQSQueue(given.options) as queue,
        sender_of(queue, transport) as sender,
    ):

        async def away(*_: object, **__: object) -> None:
            raise OSError("no network")

        with monkeypatch.context() as gone:
            gone.setattr(queue, "_receive", away)
            gone.setattr(queue, "_attributes", lambda *_: done(away()))
            running = asyncio.create_task(sender.run())

            async def held() -> bool:
                return sender.state().paused is not None

            await until(held)
            assert not running.done()

        async def all_sent() -> bool:
            return len(transport.sent) == 2

        await until(all_sent)
        sender.stop()
        await running


async def test_killed_workers_lose_nothing_and_double_what_was_in_flight(sqs: str) -> None:
    """
    Four of `seslimit work --queue`, two of them ended by SIGKILL; `benchmarks/sqs_workers.py` takes 2,000 messages.

    SQS gives what they had to the others when its visibility time-out ends.
    """
    count, rate, in_flight = 200, 100.0, 100
    async with filled(
        sqs, "killed", *(body(number, headers={"X-Seslimit-Key": str(number)}) for number in range(count))
    ) as given:
        with Simulator(rate * 2).in_thread() as simulator:
            workers = [
                await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "seslimit", "work", "--queue", f"{given.url}&visibility=3"),
                    *("--to", simulator.smtp_url, "--rate", str(rate / 4), "--max-rate", str(rate / 4), "--json"),
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                )
                for _ in range(4)
            ]

            async def begun() -> bool:
                return simulator.counts.accepted >= count // 5

            async def empty() -> bool:
                return await given.left() == (0, 0)

            try:
                await until(begun, 60)
                for worker in workers[:2]:
                    worker.kill()
                await until(empty, 90)
            finally:
                for worker in workers[2:]:
                    worker.terminate()
                await asyncio.gather(*(worker.wait() for worker in workers))
            assert [worker.returncode for worker in workers[2:]] == [0, 0]
            assert simulator.missing(map(str, range(count))) == []
            assert sum(simulator.duplicates().values()) <= 2 * in_flight
            assert simulator.counts.throttled == 0


@pytest.mark.parametrize("options", [[], ["--outbox", "mail.db", "--queue", "sqs://mail"]])
def test_a_worker_works_on_one_thing(options: list[str]) -> None:
    """An outbox or a queue; otherwise it is a sentence, and the status of wrong usage."""
    command = [sys.executable, "-m", "seslimit", "work", "--to", "sim://", *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert "give --outbox FILE|URL, or --queue sqs://NAME" in ended.stderr
