"""
Many limiters of one account on virtual time: a ledger that fails as it is told, and the service's view of them all.

Each limiter has its own sender and its own source of messages, as each would in a process of its own; what they have in
common is the ledger and the service.
"""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Iterator
from copy import deepcopy
from itertools import pairwise
from random import Random
from typing import TypeVar

import attrs

from seslimit import Limiter, Message, Outcome, Receipt, Sender, SendQuota
from seslimit._law.ledger import Ledger
from seslimit._law.parts import SECOND
from seslimit._model.allowance import Grant, Request
from seslimit.testing._account import Schedule, SimulatedAccount, Verdict

from .service_model import Door, ModelService, message

T = TypeVar("T")

SKEW = 1_700_000_000.0
"""Seconds by which the ledger's clock is ahead of the processes'."""


@attrs.define(eq=False)
class VirtualStore:
    """
    A store as far away as a machine in the same network: half a millisecond, and sometimes ten times that.

    Args:
        seed: fixes the delays.
    """

    seed: int = 0
    ledger: Ledger = attrs.field(factory=Ledger, init=False)
    calls: list[float] = attrs.field(factory=list, init=False)
    """When it was called."""
    away_until: float = attrs.field(default=0.0, init=False)
    """Until then every call fails at once."""
    frozen_until: float = attrs.field(default=0.0, init=False)
    """Until then no call is answered; those that came are done when it is over, whoever still waits for them."""
    slow: float = attrs.field(default=0.0, init=False)
    """Seconds that each answer takes longer."""
    _rng: Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._rng = Random(self.seed)

    def empty(self) -> None:
        """Forget everything."""
        self.ledger = Ledger()

    def copy(self) -> Ledger:
        """As a replica has it."""
        return Ledger(**deepcopy(attrs.asdict(self.ledger)))

    async def lease(self, request: Request) -> Grant:
        """See `Store`."""
        return await self._answer(lambda now: self.ledger.lease(now, request))

    async def congested(self, member: str, epoch: int, log: str) -> int:
        """See `Store`."""
        return await self._answer(lambda now: self.ledger.congested(now, epoch, log))

    async def aclose(self) -> None:
        """Nothing to give back."""

    async def _answer(self, question: Callable[[float], T]) -> T:
        loop = asyncio.get_running_loop()
        self.calls.append(loop.time())
        await asyncio.sleep(self._way())
        if loop.time() < self.away_until:
            raise ConnectionRefusedError("it is away")
        if loop.time() < self.frozen_until:
            await asyncio.shield(asyncio.ensure_future(self._later(question)))
        answer = question((loop.time() + SKEW) * SECOND)
        await asyncio.sleep(self._way() + self.slow)
        return answer

    async def _later(self, question: Callable[[float], object]) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.frozen_until - loop.time())
        question((loop.time() + SKEW) * SECOND)

    def _way(self) -> float:
        return self._rng.uniform(0.0002, 0.0005) * (10 if self._rng.random() < 0.02 else 1)


@attrs.define(eq=False)
class Way:
    """One process's way to a store, which is cut while the others' are not."""

    store: VirtualStore
    cut_until: float = 0.0
    """Until then nothing that it asks comes there."""
    deaf_until: float = 0.0
    """Until then it hears no answer."""

    async def lease(self, request: Request) -> Grant:
        """See `Store`."""
        return await self._go(lambda: self.store.lease(request))

    async def congested(self, member: str, epoch: int, log: str) -> int:
        """See `Store`."""
        return await self._go(lambda: self.store.congested(member, epoch, log))

    async def aclose(self) -> None:
        """Nothing to give back."""

    async def _go(self, question: Callable[[], Awaitable[T]]) -> T:
        now = asyncio.get_running_loop().time()
        if now < self.cut_until:
            await asyncio.sleep(1.0)  # nobody waits so long
        answer = await question()
        if now < self.deaf_until:
            await asyncio.sleep(1.0)
        return answer


@attrs.define(eq=False)
class NotedService(ModelService):
    """A service that notes when attempts begin."""

    began: list[float] = attrs.field(factory=list, init=False)

    async def send(self, message: Message) -> Receipt:
        """See `Transport`."""
        self.began.append(asyncio.get_running_loop().time())
        return await super().send(message)


@attrs.define(eq=False)
class Fleet:
    """
    Limiters of one account, and what became of their messages.

    Args:
        account: the service's.
        count: how many limiters.
        store: what they share; None for nothing.
        door: how an attempt's time is spent.
        told: what each limiter is told of the rate.
        cap: what GetAccount says, told by the first of them.
        headroom: as of `Limiter`.
        seed: fixes the delays.
        starts: seconds within which they begin, one after another.
        places: attempts in flight of each.
    """

    account: SimulatedAccount
    count: int = 4
    store: VirtualStore | None = None
    door: Door = Door.API
    told: float | None = None
    cap: float | None = None
    headroom: float = 0.0
    seed: int = 0
    starts: float = 0.0
    places: int = 200
    limiters: list[Limiter] = attrs.field(factory=list, init=False)
    ways: list[Way] = attrs.field(factory=list, init=False)
    tasks: list[asyncio.Task[None]] = attrs.field(factory=list, init=False)
    services: list[NotedService] = attrs.field(factory=list, init=False)
    senders: list[Sender] = attrs.field(factory=list, init=False)
    killed: set[int] = attrs.field(factory=set, init=False)
    lost: int = attrs.field(default=0, init=False)

    async def run(self, seconds: float, meanwhile: Callable[[Fleet], object] | None = None) -> None:
        """Send for so long, as much as may be sent; `meanwhile` is called at the start, to plan what happens."""
        loop = asyncio.get_running_loop()
        for number in range(self.count):
            if self.store is not None:
                self.ways.append(Way(self.store))
            limiter = Limiter(self.told, shared=self.ways[number] if self.ways else None, headroom=self.headroom)
            self.limiters.append(limiter)
            self.services.append(NotedService(self.account, self.door, self.seed * 100 + number))
        if meanwhile is not None:
            meanwhile(self)
        async with asyncio.TaskGroup() as group:
            for number in range(self.count):
                self.tasks.append(group.create_task(self._send(number, loop.time() + seconds)))

    def kill(self, number: int) -> None:
        """End a process as SIGKILL does: it says nothing, to nobody."""
        self.killed.add(number)
        self.ways[number].cut_until = math.inf
        self.tasks[number].cancel()

    async def _send(self, number: int, ends: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.starts * number / self.count)
        limiter, service = self.limiters[number], self.services[number]
        if self.cap is not None and number == 0:
            limiter.quota_figures(SendQuota(-1, self.cap, 0))
        async with Sender(service, limiter=limiter, max_in_flight=self.places) as sender:
            self.senders.append(sender)
            loop.call_at(ends, sender.stop)
            accepted = {
                report.message.key
                async for report in sender.send_many(endless(number))
                if report.outcome is Outcome.ACCEPTED
            }
        if number in self.killed:
            return
        self.lost += len(accepted ^ {key for key, times in service.ledger.items() if times})
        await limiter.aclose()

    def times(self, number: int | None = None) -> list[float]:
        """When a limiter's messages, or all of them, were accepted."""
        services = self.services if number is None else [self.services[number]]
        return sorted(
            decision.at
            for service in services
            for decision in service.decisions
            if decision.verdict is Verdict.ACCEPTED
            for _ in range(decision.cost)
        )

    def busiest(self, begin: float, end: float) -> int:
        """The most that was sent within one second, whenever the service decided."""
        return _most(sorted(at for service in self.services for at in service.began if begin <= at < end), 1.0)

    def longest_wait(self, begin: float, end: float) -> float:
        """Seconds that any limiter admitted nothing for, at most."""
        return max(
            later - earlier
            for service in self.services
            for earlier, later in pairwise(at for at in service.began if begin <= at < end)
        )

    def used(self, begin: float, end: float) -> float:
        """Share of what the account allowed that was accepted."""
        return within(self.times(), begin, end) / self.account.rate.integral(begin, end)

    def refused(self, begin: float, end: float) -> float:
        """Share of the attempts that were throttled."""
        verdicts = [
            decision.verdict
            for service in self.services
            for decision in service.decisions
            if begin <= decision.at < end and decision.verdict is not Verdict.QUOTA_EXCEEDED
        ]
        return sum(verdict is Verdict.RATE_EXCEEDED for verdict in verdicts) / max(1, len(verdicts))

    def peak(self, begin: float, end: float, seconds: float = 1.0) -> int:
        """The most that was accepted within one second."""
        return _most([at for at in self.times() if begin <= at < end], seconds)

    def shares(self, begin: float, end: float) -> list[float]:
        """Each limiter's part of what was accepted."""
        counts = [within(self.times(number), begin, end) for number in range(self.count)]
        return [count / max(1, sum(counts)) for count in counts]


def _most(times: list[float], seconds: float) -> int:
    return max((bisect_right(times, at + seconds) - index for index, at in enumerate(times)), default=0)


def within(times: list[float], begin: float, end: float) -> int:
    """How many of the moments are from `begin` to `end`."""
    return bisect_left(times, end) - bisect_left(times, begin)


def endless(number: int) -> Iterator[Message]:
    """Messages of one process, whose keys nobody else has."""
    count = 0
    while True:
        yield message((number, count))
        count += 1


def account(rate: float | tuple[tuple[float, float], ...], depth: float = 1.0) -> SimulatedAccount:
    """An account as the service keeps it."""
    return SimulatedAccount(Schedule(rate) if isinstance(rate, tuple) else Schedule.constant(rate), depth=depth)
