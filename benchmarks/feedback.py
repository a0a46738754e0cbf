"""
Feedback under damage, kills and restarts: three figures, each one command.

    python -m benchmarks.feedback mutated [--documents 100000]     damaged documents: no crash, no wrong recipient
    python -m benchmarks.feedback queue [--events 10000]           a queue whose worker is killed five times
    python -m benchmarks.feedback listmonk [--messages 1000]       a campaign whose bounces listmonk has to record, over
                                                                   SNS and over SQS, doubled and shuffled, with both
                                                                   sides restarted in the middle

A worker is killed with SIGKILL; what listmonk had taken and the worker not yet marked is then recorded twice, since
listmonk cannot tell. That number is printed, and so is the most that it may be.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
from aiohttp import web
from tests.listmonk_double import CAMPAIGN, ROOT, Campaign, Postback, subscribers
from tests.sns_authority import PARTICULARS, document
from tests.test_feedback_reading import mutated
from tests.test_feedback_sqs import AWS, Queue, bounces, queue

from seslimit import Limiter, transport_from_url
from seslimit.companion.listmonk import ListmonkMessenger, ListmonkOptions
from seslimit.feedback import InvalidFeedback, read
from seslimit.testing import EventRules, Simulator
from seslimit.testing._events import TOPIC

LOGIN = {"SESLIMIT_LISTMONK_API_USER": "api", "SESLIMIT_LISTMONK_API_TOKEN": "token"}
UNDER_WAY = 10
"""Events that a worker of a queue has under way at most."""

Recorded = tuple[str, str, str]
"""Subscriber (uuid or address), campaign, and kind."""


@attrs.define
class BounceBook:
    """listmonk's `/webhooks/bounce`, which can go away and come back at the same address."""

    records: list[dict[str, Any]] = attrs.field(factory=list)
    port: int = 0
    _runner: web.ServerRunner | None = None

    async def open(self) -> None:
        """Listen."""
        self._runner = web.ServerRunner(web.Server(self._take), shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        """The root URL."""
        return f"http://127.0.0.1:{self.port}"

    def counted(self) -> Counter[Recorded]:
        """What was recorded, and how often."""
        return Counter(
            (told.get("subscriber_uuid") or told["email"], told.get("campaign_uuid", ""), told["type"])
            for told in self.records
        )

    async def _take(self, request: web.BaseRequest) -> web.Response:
        body = await request.json()
        if request.headers.get("Authorization") != "token api:token" or request.path != "/webhooks/bounce":
            return web.Response(status=403)
        self.records.append(body)
        return web.Response(text='{"data":true}')


@attrs.define(eq=False)
class Worker:
    """`seslimit feedback` in a process of its own, which can be ended and started again."""

    arguments: tuple[str, ...]
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> dict[str, Any]:
        """Start it; what it says first, where it listens."""
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "seslimit", "feedback", *self.arguments, "--json"),
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | LOGIN | AWS,
        )
        if "--listen" not in self.arguments:
            return {}
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            told: dict[str, Any] = json.loads(await self.process.stdout.readline())
        return told

    async def end(self, with_signal: signal.Signals) -> None:
        """End it by a signal."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(with_signal)
            await self.process.communicate()


# Damaged documents


def damaged(count: int, seed: int = 14) -> tuple[int, int]:
    """Read so many mutated documents; how many were events, and how many named a recipient whom they do not name."""
    chance, events, wrong = random.Random(seed), 0, 0
    for _ in range(count):
        told = document(chance.choice(list(PARTICULARS)))
        for _ in range(chance.randint(1, 4)):
            told = mutated(told, chance) if told else told  # everything may have been removed from it
        with suppress(InvalidFeedback):
            event = read(json.dumps(told))
            events += 1
            wrong += any(recipient.address != "ada@example.net" for recipient in event.recipients)
            json.dumps(event.as_dict())
    return events, wrong


# A queue


@attrs.frozen
class FromQueue:
    """What became of a queue's events: how many, how many were lost, and how many recorded too often."""

    events: int
    lost: int
    twice: int


async def killed(sqs: str, folder: Path, events: int, kills: int) -> FromQueue:
    """Work off a queue with a worker that is killed; every message is in it twice, in no order."""
    book = BounceBook()
    await book.open()
    async with queue(sqs, f"killed-{events}-{kills}") as filled:
        bodies = bounces(events) * 2
        random.Random(3).shuffle(bodies)
        await filled.put(*bodies)
        url = f"sqs://{filled.name}?region=eu-west-1&endpoint_url={sqs}"
        worker = Worker(("--queue", url, "--listmonk", book.url, "--seen", str(folder / "seen.db")))
        for run in range(kills + 1):
            await worker.start()
            wanted = (run + 1) * events // (kills + 1)
            while len(book.counted()) < wanted:  # noqa: ASYNC110  # another process's work wakes nobody
                await asyncio.sleep(0.05)
            if run < kills:
                await worker.end(signal.SIGKILL)
                await filled.show_again()
        await _emptied(filled)
        await worker.end(signal.SIGTERM)
    await book.close()
    found = book.counted()
    return FromQueue(events, events - len(found), sum(found.values()) - len(found))


async def _emptied(filled: Queue) -> None:
    while await filled.left():  # noqa: ASYNC110  # likewise
        await asyncio.sleep(0.1)


# A campaign of listmonk


@attrs.frozen
class Round:
    """What was told of a campaign, and what listmonk has recorded of it."""

    accepted: int
    told: Counter[Recorded]
    recorded: Counter[Recorded]

    @property
    def is_exact(self) -> bool:
        """Whether each was recorded once, against the right subscriber and campaign."""
        return self.told == self.recorded


SHARES: dict[str, Any] = {"bounce": 0.03, "soft": 0.02, "complaint": 0.002}


async def campaign(
    folder: Path, messages: int, sqs: str | None = None, *, deliveries: bool = True, shares: dict[str, Any] = SHARES
) -> Round:
    """Send a campaign of which some bounces; listmonk and the worker are restarted in the middle. SNS without `sqs`."""
    book = BounceBook()
    await book.open()
    rules = EventRules(
        url="http://127.0.0.1:1/sns",
        **shares,
        deliveries=deliveries,
        copies=2,
        spread=2.0,
        certificate=folder / "sns.pem",
    )
    async with (
        _door(sqs) as events_url,
        Simulator(5000, events=attrs.evolve(rules, url=events_url), seed=7) as service,
    ):
        assert service.events is not None
        there = ("--listmonk", book.url, "--seen", str(folder / "seen.db"))
        if sqs is None:
            trusting = ("--topic", TOPIC, "--sns-certificate", str(folder / "sns.pem"))
            worker = Worker(("--listen", "127.0.0.1:0", *trusting, *there))
            listen = (await worker.start())["listen"]
            worker.arguments = ("--listen", listen, *trusting, *there)
            service.events.rules = attrs.evolve(rules, url=f"http://{listen}/sns")
        else:
            worker = Worker(("--queue", events_url, *there))
            await worker.start()
        sending = asyncio.create_task(_send(service, messages))
        await _until(lambda: service.counts.accepted >= messages // 3)
        await book.close()
        await asyncio.sleep(1.0)
        await worker.end(signal.SIGTERM)
        await book.open()
        await _until(lambda: service.counts.accepted >= messages * 2 // 3)
        await worker.start()
        await sending
        await service.events.join()
        told = Counter(map(_of, service.events.told))
        with suppress(TimeoutError):
            async with asyncio.timeout(120):
                while book.counted() != told:  # noqa: ASYNC110  # another process's work wakes nobody
                    await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)  # whatever would be recorded too often comes now
        await worker.end(signal.SIGTERM)
    await book.close()
    return Round(service.counts.accepted, told, book.counted())


@asynccontextmanager
async def _door(sqs: str | None) -> AsyncIterator[str]:
    """Where events go: the URL of a new queue, or one that is corrected later."""
    if sqs is None:
        yield "http://127.0.0.1:1/sns"
        return
    async with queue(sqs, f"round-{time.monotonic_ns()}") as filled:
        yield f"sqs://{filled.name}?region=eu-west-1&endpoint_url={sqs}"


async def _send(service: Simulator, messages: int) -> None:
    transport = transport_from_url(service.smtp_url)
    options = ListmonkOptions(listen="127.0.0.1:0", root_url=ROOT)
    async with ListmonkMessenger(transport, options, limiter=Limiter(2000.0)) as messenger:
        client = Postback("127.0.0.1", messenger.port, timeout=30.0)
        result = await Campaign(message_rate=1000).run(subscribers(messages), client.push)
        await client.aclose()
    assert result.sent == messages, result.errors[:3]


async def _until(condition: Any) -> None:
    while not condition():  # noqa: ASYNC110  # likewise
        await asyncio.sleep(0.02)


def _of(told: dict[str, Any]) -> Recorded:
    """What listmonk should record of a document."""
    headers = {header["name"]: header["value"] for header in told["mail"]["headers"]}
    if told["eventType"] == "Complaint":
        kind = "complaint"
    else:
        kind = "hard" if told["bounce"]["bounceType"] == "Permanent" else "soft"
    assert headers["X-Listmonk-Campaign"] == CAMPAIGN
    return headers["X-Listmonk-Subscriber"], CAMPAIGN, kind


@asynccontextmanager
async def sqs_server() -> AsyncIterator[str]:
    """A server that speaks SQS; its URL."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ.update(AWS)
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


async def _main(asked: argparse.Namespace) -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.what == "mutated":
            events, wrong = damaged(asked.documents)
            print(
                f"{asked.documents:,} damaged documents: {events:,} events, 0 crashes, {wrong} with a wrong recipient"
            )
        elif asked.what == "queue":
            async with sqs_server() as sqs:
                found = await killed(sqs, folder, asked.events, 5)
            print(
                f"{found.events:,} events, each twice in the queue, worker killed 5 times: {found.lost} lost, "
                f"{found.twice} recorded twice (at most {5 * UNDER_WAY}: under way at a kill)"
            )
        else:
            async with sqs_server() as sqs:
                for door, url in (("SNS", None), ("SQS", sqs)):
                    (folder / door).mkdir()
                    found_round = await campaign(folder / door, asked.messages, url)
                    kinds = Counter(kind for _, _, kind in found_round.told.elements())
                    print(
                        f"{door}: {found_round.accepted:,} messages, {kinds['hard']} hard, {kinds['soft']} soft, "
                        f"{kinds['complaint']} complaints; recorded once each, against the right subscriber and "
                        f"campaign: {'yes' if found_round.is_exact else 'NO'}"
                    )
    print(f"in {time.monotonic() - began:.0f} s")


def main() -> None:
    """Run one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["mutated", "queue", "listmonk"])
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--messages", type=int, default=1_000)
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
