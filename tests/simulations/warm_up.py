"""A warm-up on virtual time: a sender that always has more to send, restarted, killed, or with a bad day."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import attrs

from seslimit import Limiter, Message, Sender
from seslimit.feedback import Plan, StateFile, WarmUp
from seslimit.feedback._warm_up_plan import DAY
from seslimit.testing import FakeTransport
from seslimit.testing.virtual_time import VirtualTimeLoop

CONTENT = b"From: news@example.org\r\nSubject: Hello\r\n\r\nHi!\r\n"
EPOCH = 1_800_000_000.0
"""When the first day begins, seconds since the epoch."""


@attrs.frozen
class Played:
    """
    What a warm-up came to.

    Args:
        sent: recipients of each day.
        caps: the plan.
        most_in_a_second: of each day.
    """

    sent: tuple[int, ...]
    caps: tuple[int, ...]
    most_in_a_second: tuple[int, ...]


def played(
    plan: Plan, *, restarts: bool = False, kills: bool = False, bad: int | None = None, days: int = 14
) -> Played:
    """Send for so many days; on the day `bad`, counted from 0, too many bounce."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        sent: Counter[int] = Counter()
        seconds: dict[int, Counter[int]] = {}
        path = Path(folder, "state.json")
        ends = [(day + 1) * DAY - 1.0 for day in range(days)] if restarts or kills else [days * DAY - 1.0]
        if kills:
            ends = sorted([*ends, *(day * DAY + 60.0 for day in range(days))])
        for end in ends:
            runner.run(_run(plan, path, sent, seconds, bad, end, kill=kills))
    return Played(
        tuple(sent[day] for day in range(days)),
        tuple(step.recipients for step in plan.steps),
        tuple(max(seconds.get(day, {0: 0}).values()) for day in range(days)),
    )


async def _run(
    plan: Plan,
    path: Path,
    sent: Counter[int],
    seconds: dict[int, Counter[int]],
    bad: int | None,
    until: float,
    *,
    kill: bool = False,
) -> None:
    """One process, until a moment (seconds since the beginning)."""
    loop = asyncio.get_running_loop()
    limiter = Limiter(1000.0)

    def accept(message: Message) -> None:
        day = int(loop.time() // DAY)
        sent[day] += message.cost
        seconds.setdefault(day, Counter())[int(loop.time())] += message.cost
        if day == bad and sent[day] % 12 == 0:
            warm_up._progress = attrs.evolve(warm_up._progress, bounces=warm_up._progress.bounces + 1)

    with StateFile(path) as state:
        warm_up = WarmUp(plan, limiter, state=state, clock=lambda: EPOCH + loop.time())
        sender = Sender(warm_up.transport(FakeTransport(accept)), limiter=limiter)
        task = asyncio.create_task(_send(sender))
        await asyncio.sleep(until - loop.time())
        task.cancel()
        await asyncio.wait([task])
        if kill:  # what a killed process would have written down is all there is
            warm_up.close = lambda: None  # type: ignore[method-assign]
        await sender.aclose()


async def _send(sender: Sender) -> None:
    async for _ in sender.send_many(_messages()):
        pass


async def _messages() -> AsyncIterator[Message]:
    while True:
        yield Message("news@example.org", ["reader@example.net"], CONTENT)
