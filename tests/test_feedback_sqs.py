"""Events of a queue: none is lost, none is recorded twice, whoever is killed and whatever comes twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import AioSession

from seslimit import ConfigurationError
from seslimit.feedback import Event, Feed, SQSOptions, SQSSource

from .bounce_book import bounce_book
from .sns_authority import bounce_document, fields
from .sqs_server import AWS, sqs_server

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def sqs() -> Iterator[str]:
    """A server that speaks SQS; its URL."""
    with sqs_server() as url:
        yield url


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)


class Queue:
    """A queue on that server."""

    def __init__(self, client: Any, name: str, url: str) -> None:
        self._client = client
        self.name = name
        self.url = url

    async def put(self, *bodies: str) -> None:
        """Send messages, ten at a time."""
        for begin in range(0, len(bodies), 10):
            entries = [
                {"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies[begin : begin + 10])
            ]
            await self._client.send_message_batch(QueueUrl=self.url, Entries=entries)

    async def left(self) -> int:
        """How many messages are in it, seen or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        told = await self._client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return sum(int(told["Attributes"][name]) for name in names)

    async def show_again(self) -> None:
        """Make everything visible: what SQS does when the visibility time-out of a dead worker ends."""
        from moto.backends import get_backend

        for backends in get_backend("sqs").values():
            for backend in backends.values():
                if (queue := backend.queues.get(self.name)) is not None:
                    for message in list(queue._messages):
                        message.change_visibility(0)


@asynccontextmanager
async def queue(sqs: str, name: str) -> AsyncIterator[Queue]:
    """A new queue."""
    async with AioSession().create_client("sqs", region_name="eu-west-1", endpoint_url=sqs) as client:
        url = (await client.create_queue(QueueName=name))["QueueUrl"]
        yield Queue(client, name, url)


def bounces(count: int) -> list[str]:
    """Bounces of as many subscribers."""
    first = datetime(2026, 11, 1, tzinfo=UTC)
    return [json.dumps(bounce_document(number, first + timedelta(milliseconds=37 * number))) for number in range(count)]


@asynccontextmanager
async def reading(feed: Feed, options: SQSOptions) -> AsyncIterator[None]:
    """A source that runs, and is stopped at the end."""
    source = SQSSource(feed, options)
    task = asyncio.create_task(source.run())
    try:
        yield
    finally:
        source.stop()
        await task


async def empty(watched: Queue) -> None:
    """Wait until the queue is empty."""
    async with asyncio.timeout(120):
        while await watched.left():  # noqa: ASYNC110  # a server's count wakes nobody
            await asyncio.sleep(0.05)


async def test_events_are_taken_and_their_messages_deleted(sqs: str) -> None:
    """Raw, in an envelope of SNS and in EventBridge's; doubled ones count once."""
    taken: list[Event] = []

    async def take(event: Event) -> None:
        taken.append(event)

    raw, enveloped, bridged = bounces(3)
    bodies = [
        raw,
        json.dumps(fields(enveloped)),
        json.dumps({"detail-type": "Email Bounced", "detail": json.loads(bridged)}),
    ]
    async with queue(sqs, "Wrapped-Events") as filled, Feed(hooks=[take]) as feed:
        await filled.put(*bodies, *bodies)
        async with reading(feed, SQSOptions(queue=filled.name, region="eu-west-1", endpoint_url=sqs, wait=1)):
            await empty(filled)
    assert Counter(event.recipients[0].address for event in taken) == {f"reader{n}@example.net": 1 for n in range(3)}


async def test_what_is_no_event_stays_for_the_dead_letter_queue(sqs: str) -> None:
    """Somebody may want to look at it."""
    async with queue(sqs, "odd") as filled, Feed() as feed:
        await filled.put("hello", *bounces(1))
        async with reading(feed, SQSOptions(queue="odd", region="eu-west-1", endpoint_url=sqs, wait=1)):
            async with asyncio.timeout(120):
                while feed.counts.invalid == 0 or await filled.left() > 1:  # noqa: ASYNC110  # as above
                    await asyncio.sleep(0.02)
        assert (feed.counts.invalid, await filled.left()) == (1, 1)


async def test_a_queue_that_is_not_there_is_one_sentence(sqs: str) -> None:
    """It is named."""
    source = SQSSource(Feed(), SQSOptions(queue="nowhere", region="eu-west-1", endpoint_url=sqs))
    with pytest.raises(ConfigurationError, match="the queue nowhere cannot be used"):
        await source.run()


def test_a_queue_by_its_url() -> None:
    """Names of queues have capitals, which hosts have not."""
    options = SQSOptions.from_url("sqs://My-Queue.fifo?region=eu-west-1&endpoint_url=http://127.0.0.1:5000")
    assert (options.queue, options.region, options.endpoint_url) == (
        "My-Queue.fifo",
        "eu-west-1",
        "http://127.0.0.1:5000",
    )
    for wrong in ("sqs://", "ses://x", "sqs://x?colour=red"):
        with pytest.raises(ConfigurationError):
            SQSOptions.from_url(wrong)


async def test_killed_workers_lose_and_double_nothing(sqs: str, tmp_path: Path) -> None:
    """`seslimit feedback` over SIGKILLs, with every message doubled and shuffled: listmonk records each once."""
    count = 300
    async with bounce_book() as listmonk, queue(sqs, "killed") as filled:
        bodies = bounces(count) * 2
        random.Random(3).shuffle(bodies)
        await filled.put(*bodies)
        to = f"sqs://killed?region=eu-west-1&endpoint_url={sqs}"
        command = [
            *("feedback", "--queue", to, "--listmonk", listmonk.url, "--seen", str(tmp_path / "seen.db"), "--json")
        ]
        login = {"SESLIMIT_LISTMONK_API_USER": "api", "SESLIMIT_LISTMONK_API_TOKEN": "token"}
        for run in range(4):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "seslimit", *command),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=os.environ | login,
            )
            wanted = (run + 1) * count // 4
            async with asyncio.timeout(120):
                while len(listmonk.records) < wanted:
                    assert process.returncode is None
                    await asyncio.sleep(0.003)
            if run < 3:
                process.kill()
                await process.communicate()
                await filled.show_again()
        await empty(filled)
        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()
        assert (process.returncode, err) == (0, b"")
        assert json.loads(out.splitlines()[-1])["not_taken"] == 0
        assert {(f"reader{number}@example.net", "", "hard"): 1 for number in range(count)} == listmonk.counted
