"""
Days of an account at 14/s, in virtual time, that each bring something else.

The rate is another from some moment on and nobody is told, another sender takes its share for a while or sends to 50
recipients at once, the service cannot be reached, and at night there is nothing to send. A seed fixes everything.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Hashable, Iterator

import attrs

from seslimit import Limiter, Message, Outcome, Receipt, Sender, TransportError
from seslimit.testing._account import Schedule, SimulatedAccount, Verdict

from ..service_model import Door, ModelService, message
from ..virtual_time import run

DAY = 86_400.0
RATE = 14.0
MORNING = 8 * 3600.0
"""When a day's messages are there, seconds from midnight."""
CHANGES = (0.7, 0.85, 1.0, 1.0, 1.2, 1.5)
"""Rates of a day, as shares of the first."""
OUTAGE = (3.0, 15.0)
"""Seconds for which the service cannot be reached."""
SETTLING = 20.0
"""Seconds that the last messages of a day may take."""


@attrs.frozen
class Day:
    """
    What a day brings, in seconds of the whole run.

    Args:
        begin, end: when there is something to send.
        rate: recipients/s from `changes_at` on.
        outage: from when until when nobody is answered; None for a day without.
        rival: what another sender takes, recipients/s, from, until; None for a day without.
        heavy: when another sender has a message to 50 recipients.
    """

    begin: float
    end: float
    rate: float
    changes_at: float
    outage: tuple[float, float] | None
    rival: tuple[float, float, float] | None
    heavy: tuple[float, ...]


def days(number: int, minutes: float, seed: int) -> Iterator[Day]:
    """So many days, in each of which there is something to send for so many minutes."""
    chance = random.Random(seed)
    for midnight in range(number):
        begin = midnight * DAY + MORNING
        seconds = 60.0 * minutes
        outage = begin + chance.uniform(0.1, 0.8) * seconds
        rival = begin + chance.uniform(0.0, 0.5) * seconds
        yield Day(
            begin,
            begin + seconds,
            RATE * chance.choice(CHANGES),
            begin + chance.uniform(0.1, 0.6) * seconds,
            (outage, outage + chance.uniform(*OUTAGE)) if chance.random() < 0.3 else None,
            (RATE * chance.uniform(0.1, 0.4), rival, rival + 0.3 * seconds) if chance.random() < 0.3 else None,
            tuple(sorted(chance.uniform(begin, begin + seconds) for _ in range(chance.randrange(4)))),
        )


@attrs.define(eq=False)
class Service:
    """A transport to the model of the service, which cannot be reached at times."""

    model: ModelService
    outages: list[tuple[float, float]]

    async def send(self, message: Message) -> Receipt:
        """Make one attempt."""
        now = asyncio.get_running_loop().time()
        if any(begin <= now < end for begin, end in self.outages):
            await asyncio.sleep(0.05)
            raise TransportError(Outcome.NOT_SENT, "connection refused", blocks_endpoint=True)
        return await self.model.send(message)

    async def aclose(self) -> None:
        """Nothing to release."""


@attrs.define
class Figures:
    """What came of a month, or of a day of it."""

    used: list[float] = attrs.field(factory=list)
    """Of each day, the share of what could have been had."""
    accepted: int = 0
    possible: float = 0.0
    attempts: int = 0
    refused: int = 0
    lost: int = 0
    doubled: int = 0

    @property
    def share(self) -> float:
        """Recipients accepted of those that could have been."""
        return self.accepted / self.possible


def measure(number: int, minutes: float, seed: int) -> Figures:
    """Live through so many days."""
    return run(_live(list(days(number, minutes, seed)), seed))


async def _live(month: list[Day], seed: int) -> Figures:
    loop = asyncio.get_running_loop()
    steps = ((0.0, RATE), *((day.changes_at, day.rate) for day in month))
    account = SimulatedAccount(Schedule(steps))
    account.start(0.0)
    model = ModelService(account, Door.NEAR, seed)
    service = Service(model, [day.outage for day in month if day.outage])
    keys, figures, reported = itertools.count(), Figures(), Counter[Hashable]()
    async with Sender(service, limiter=Limiter(rate=RATE)) as sender:
        for day in month:
            await asyncio.sleep(day.begin - loop.time())
            others = [asyncio.create_task(_heavy(account, model, at)) for at in day.heavy]
            if day.rival is not None:
                others.append(asyncio.create_task(model.compete(*day.rival)))
            model.decisions.clear()
            model.taken.clear()
            async for report in sender.send_many(_until(day.end, keys)):
                reported[report.message.key] += report.outcome is Outcome.ACCEPTED
            await asyncio.gather(*others)
            _count(figures, day, account, model, min(loop.time(), day.end + SETTLING))
    took = {key for key, times in model.ledger.items() if times}
    figures.lost = len(took ^ {key for key, times in reported.items() if times}) + next(keys) - len(reported)
    figures.doubled = sum(model.ledger.values()) - len(took)
    return figures


async def _until(end: float, keys: Iterator[int]) -> AsyncIterator[Message]:
    """Messages without an end before the evening."""
    loop = asyncio.get_running_loop()
    while loop.time() < end:
        yield message(next(keys))


async def _heavy(account: SimulatedAccount, model: ModelService, at: float) -> None:
    """Another sender's message to 50 recipients."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(at - loop.time())
    if account.take(loop.time(), 50):
        model.taken.extend([loop.time()] * 50)


def _count(figures: Figures, day: Day, account: SimulatedAccount, model: ModelService, end: float) -> None:
    """Add a day."""
    accepted = sum(decision.cost for decision in model.decisions if decision.verdict is Verdict.ACCEPTED)
    possible = account.rate.integral(day.begin, end) - sum(day.begin <= at < end for at in model.taken)
    if day.outage is not None:
        possible -= account.rate.integral(*day.outage)
    figures.used.append(accepted / possible)
    figures.accepted += accepted
    figures.possible += possible
    figures.attempts += len(model.decisions)
    figures.refused += sum(decision.verdict is Verdict.RATE_EXCEEDED for decision in model.decisions)
