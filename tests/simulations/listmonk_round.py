"""
A campaign of listmonk whose bounces come back to it, with both sides restarted in the middle.

listmonk is a double, the worker a process of its own; events come over SNS or over SQS, doubled and shuffled.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

from seslimit import Limiter, transport_from_url
from seslimit.companion.listmonk import ListmonkMessenger, ListmonkOptions
from seslimit.testing import EventRules, Simulator
from seslimit.testing._events import TOPIC

from ..bounce_book import BounceBook, Recorded
from ..listmonk_double import CAMPAIGN, ROOT, Campaign, Postback, subscribers
from ..sqs_server import AWS
from ..test_feedback_sqs import queue

LOGIN = {"SESLIMIT_LISTMONK_API_USER": "api", "SESLIMIT_LISTMONK_API_TOKEN": "token"}


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
        async with asyncio.timeout(120):
            told: dict[str, Any] = json.loads(await self.process.stdout.readline())
        return told

    async def end(self, with_signal: signal.Signals) -> None:
        """End it by a signal."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(with_signal)
            await self.process.communicate()


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
                while book.counted != told:  # noqa: ASYNC110  # another process's work wakes nobody
                    await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)  # whatever would be recorded too often comes now
        await worker.end(signal.SIGTERM)
    await book.close()
    return Round(service.counts.accepted, told, book.counted)


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
