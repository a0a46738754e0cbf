"""
The control law on a service that counts in one of many ways, event by event, and the oracle beside it.

The oracle is the best constant pace with at most 0.5 % throttled beyond what no pace avoids, found by trying paces in
the same simulation. A seed fixes delays, chances and rivals.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Iterator
from functools import cache
from typing import Protocol

import attrs

from seslimit._law.rate import AdaptiveRate
from seslimit.testing import Schedule
from seslimit.testing.services import SERVICES, ByChance, Counting, DebtBucket, WithRival

SLICE = 0.025
"""Seconds for which the line keeps to a rate that may grow."""

CRUMB = 1e-9
"""Recipients that are no debt: rounding."""

PLACES = 200
"""Attempts in flight at most."""

ALLOWED = 0.005
"""Share of the attempts that the oracle may have throttled beyond what no pace avoids."""

NEAR_FLOOR = 1.1
"""A throttled share up to so many times the floor is the floor's."""

PACES = (1.0, 0.995, 0.99, 0.98, 0.97, 0.96, 0.95, 0.93, 0.9, 0.87, 0.84, 0.8, 0.75, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
"""Constant paces that the oracle tries, as shares of the rate."""


def door(name: str, chance: random.Random) -> tuple[float, float, float]:
    """Seconds from an admission to the handing over, to the decision and to the reply, at a door of that name."""
    if name == "near":
        decided = chance.uniform(0.04, 0.06)
        return 0.0, decided, decided + 0.04
    if name == "smtp":
        handed, half = sum(chance.uniform(0.03, 0.04) for _ in range(4)), chance.uniform(0.015, 0.02)
        return handed, handed + half, handed + 2 * half
    low, middle, high, spread = (0.05, 0.09, 0.2, 0.35) if name == "api" else (0.15, 0.25, 1.0, 0.4)
    reply = min(high, max(low, chance.lognormvariate(math.log(middle), spread)))
    return 0.0, reply / 2, reply


DOORS = ("near", "smtp", "api", "far")


class Law(Protocol):
    """What paces: the control law, or a constant."""

    @property
    def held_until(self) -> float: ...
    @property
    def spaced_until(self) -> float: ...
    def rate(self, now: float) -> float: ...
    def ahead(self, now: float, cost: float) -> float: ...
    def admitted(self, now: float, cost: float, *, waited: bool) -> None: ...
    def accepted(self, now: float, cost: float, *, admitted_at: float, decided_at: float) -> None: ...
    def throttled(self, now: float, cost: float, *, admitted_at: float, decided_at: float) -> None: ...


@attrs.define
class ConstantPace:
    """A law that never changes its mind."""

    pace: float
    held_until: float = 0.0
    spaced_until: float = 0.0

    def rate(self, now: float) -> float:
        return self.pace

    def ahead(self, now: float, cost: float) -> float:
        return 0.0

    def admitted(self, now: float, cost: float, *, waited: bool) -> None:
        pass

    def accepted(self, now: float, cost: float, *, admitted_at: float, decided_at: float) -> None:
        pass

    def throttled(self, now: float, cost: float, *, admitted_at: float, decided_at: float) -> None:
        pass


@attrs.define
class Forewarned(ConstantPace):
    """
    The rate, by one who is told how deep the debt is as soon as a throttle is read: nobody is throttled less who sends
    at the rate and cannot see another sender come.

    Args:
        bucket: what is counted by.
    """

    bucket: DebtBucket = attrs.field(kw_only=True)

    def throttled(self, now: float, cost: float, *, admitted_at: float, decided_at: float) -> None:
        missing = self.bucket.least - self.bucket.level(now)
        self.held_until = max(self.held_until, now + missing / self.pace)


@attrs.define
class Figures:
    """What was accepted and refused in the seconds that count."""

    accepted: int = 0
    attempts: int = 0
    refused: int = 0
    seconds: float = 0.0

    @property
    def share(self) -> float:
        """Throttled attempts per attempt."""
        return self.refused / max(1, self.attempts)


@attrs.define
class Attempt:
    """One message under way."""

    cost: int
    admitted_at: float
    handed_at: float
    reply_at: float
    accepted: bool = False


@attrs.define
class Simulation:
    """
    Law, line, door and service, event by event.

    Args:
        law: what paces.
        service: what decides.
        door: how far away it is.
        seed: of the delays and costs.
        heavy: share of messages with `heavy_cost` recipients.
        begin: seconds from which on figures count.
        slice: seconds for which the line keeps to a rate that may grow.
    """

    law: Law
    service: Counting
    door: str
    seed: int = 0
    heavy: float = 0.0
    heavy_cost: int = 50
    begin: float = 0.0
    slice: float = SLICE
    figures: Figures = attrs.field(factory=Figures, init=False)
    _heap: list[tuple[float, int, Attempt | None]] = attrs.field(factory=list, init=False)
    _order: Iterator[int] = attrs.field(factory=itertools.count, init=False)
    _chance: random.Random = attrs.field(init=False)
    _again: list[int] = attrs.field(factory=list, init=False)
    _under_way: int = attrs.field(default=0, init=False)
    _owed: float = attrs.field(default=0.0, init=False)
    _next: int = attrs.field(default=0, init=False)
    """Recipients of the message at the head of the line; 0 for nobody."""
    _ahead: float = attrs.field(default=0.0, init=False)
    """Those of them that were paid for before it goes."""
    _pays: float = attrs.field(default=0.0, init=False)
    _vacant_since: float | None = attrs.field(default=None, init=False)
    _waited: bool = attrs.field(default=False, init=False)
    _reached: bool = attrs.field(default=False, init=False)
    _held: float = attrs.field(default=math.inf, init=False)
    """Until when the head of the line is held, if it is."""
    _awaited: int = attrs.field(default=0, init=False)
    """The event that wakes the head."""

    def __attrs_post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def run(self, seconds: float) -> Figures:
        """Send for so long with always something to send."""
        self._at(0.0, None)
        while self._heap:
            now, order, attempt = heapq.heappop(self._heap)
            if now > seconds:
                break
            if attempt is None and order != self._awaited:
                pass  # the head of the line was woken before
            elif attempt is None:
                self._held = math.inf
                self._owed, self._pays = max(0.0, self._owed - self._pays), 0.0
                self._head(now)
            elif now < attempt.reply_at:
                self._decide(now, attempt)
            else:
                self._settle(now, attempt)
        self.figures.seconds = seconds - self.begin
        return self.figures

    def _at(self, when: float, attempt: Attempt | None) -> None:
        order = next(self._order)
        heapq.heappush(self._heap, (when, order, attempt))
        if attempt is None:
            self._awaited = order

    def _decide(self, now: float, attempt: Attempt) -> None:
        attempt.accepted = self.service.take(now, attempt.cost)
        if now >= self.begin:
            self.figures.attempts += 1
            self.figures.accepted += attempt.cost * attempt.accepted
            self.figures.refused += not attempt.accepted
        self._at(attempt.reply_at, attempt)

    def _settle(self, now: float, attempt: Attempt) -> None:
        self._under_way -= 1
        self._reached = True
        heard = self.law.accepted if attempt.accepted else self.law.throttled
        heard(now, attempt.cost, admitted_at=attempt.admitted_at, decided_at=attempt.handed_at)
        if not attempt.accepted:
            self._again.append(attempt.cost)
        if self._vacant_since is not None:
            # Time in which nobody stood at the head has paid for itself.
            self._owed = max(0.0, self._owed - (now - self._vacant_since) * self.law.rate(now))
            self._vacant_since = None
            self._head(now)
        elif self.law.held_until < self._held < math.inf:
            self._held = math.inf
            self._head(now)

    def _head(self, now: float) -> None:
        """Let through what may go now, and come back when the next may."""
        while self._under_way < (PLACES if self._reached else 1):
            if self.law.held_until > now:
                self._waited, self._held = True, self.law.held_until
                self._at(self._held, None)
                return
            if not self._next:
                self._next = self._message()
                self._ahead = self.law.ahead(now, self._next)
                self._owed += self._ahead
            if self._owed > CRUMB:
                rate = self.law.rate(now)
                seconds = min(self._owed / rate, self.slice)
                self._waited, self._pays = True, seconds * rate
                self._at(now + seconds, None)
                return
            if self._waited and self.law.spaced_until > now:
                self._at(self.law.spaced_until, None)
                return
            self._admit(now)
        self._vacant_since = now

    def _message(self) -> int:
        """Recipients of the next message: one that was throttled goes first."""
        if self._again:
            return self._again.pop()
        return self.heavy_cost if self.heavy and self._chance.random() < self.heavy else 1

    def _admit(self, now: float) -> None:
        cost, self._next = self._next, 0
        self.law.admitted(now, cost, waited=self._waited)
        self._waited = False
        self._owed += cost - self._ahead
        self._under_way += 1
        handed, decided, reply = door(self.door, self._chance)
        self._at(now + decided, Attempt(cost, now, now + handed, now + reply))


@attrs.frozen
class Cell:
    """One service at one rate behind one door, and what is known of it."""

    service: str
    rate: float
    knows: str
    door: str

    @property
    def begin(self) -> float:
        """Seconds that count as the start."""
        return 20.0 if self.knows == "unknown" else 5.0

    @property
    def seconds(self) -> float:
        """How long it is sent: the lower the rate, the longer."""
        return self.begin + min(600.0, max(60.0, 3000.0 / self.rate))

    @property
    def most_refused(self) -> float:
        """Share of the attempts that may be throttled beyond what no pace avoids."""
        return 0.015 if self.service.startswith("rival") else 0.01 if self.rate < 2 else ALLOWED

    def make(self, seed: int) -> Counting:
        """The service as it is at the start."""
        return SERVICES[self.service](Schedule.constant(self.rate), seed)

    def law(self) -> AdaptiveRate:
        """The law with what is known."""
        law = AdaptiveRate(self.rate if self.knows == "told" else None)
        if self.knows == "GetAccount":
            law.cap(0.0, self.rate)
        return law

    def possible(self) -> bool:
        """Whether the cell says anything: a tenth of a second of 1/s is no window."""
        return not (self.rate < 20 and self.service.endswith("window-0.1s"))


@attrs.frozen
class Row:
    """A cell and its figures, in shares of the rate and of the attempts."""

    cell: Cell
    used: float
    refused: float
    oracle: float
    unavoidable: float

    @property
    def kept(self) -> bool:
        """Whether it is what is aimed at."""
        return self.enough and self.excess <= self.cell.most_refused

    @property
    def enough(self) -> bool:
        """Whether as much is used as is aimed at."""
        least = 0.93 if self.cell.service.startswith("rival-heavy") else 0.95
        return self.used >= least * self.oracle

    def verdict(self, seeds: tuple[int, ...]) -> str:
        """Whether it is met; where it is not, the floor that is in the way, if the oracle shows one."""
        if self.kept:
            return "met"
        if self.enough and self.refused <= NEAR_FLOOR * (floor := self.floor(seeds)):
            return f"not met: floor {floor:.2%}"
        return "not met"

    def floor(self, seeds: tuple[int, ...]) -> float:
        """Share of the attempts throttled of whoever uses as much and cannot see what comes: at a constant pace."""
        if self.cell.service.startswith("rival"):
            return self.unavoidable
        pace = self.used / (1.0 - self.unavoidable)
        return sum(_paced(self.cell, pace, seed, self.cell.seconds).share for seed in seeds) / len(seeds)

    @property
    def excess(self) -> float:
        """Throttled beyond what no pace avoids; beside a rival, all that is throttled."""
        return self.refused if self.cell.service.startswith("rival") else self.refused - self.unavoidable

    @property
    def badness(self) -> float:
        """How far it is from what is aimed at: orders the table."""
        return max(1.0 - self.used / self.oracle, 10.0 * (self.excess - self.cell.most_refused))


@cache
def oracle(service: str, rate: float, door: str, seed: int) -> tuple[float, float]:
    """What the best constant pace uses, and the share of its attempts that no pace has taken."""
    cell = Cell(service, rate, "unknown", door)
    counting = cell.make(seed)
    if isinstance(counting, WithRival):  # nobody knows when it comes; all that it leaves could be used
        assert isinstance(counting.counting, DebtBucket)
        forewarned = Forewarned(rate, bucket=counting.counting)
        return 1.0, Simulation(forewarned, counting, door, seed, begin=cell.begin).run(cell.seconds).share
    idle = counting.share if isinstance(counting, ByChance) else 0.0
    for share in PACES:
        figures = _paced(cell, share, seed, cell.seconds)
        if figures.share <= idle + ALLOWED + 2.0 * math.sqrt(idle / max(1, figures.attempts)):
            break
    return figures.accepted / (rate * figures.seconds), idle


def _paced(cell: Cell, share: float, seed: int, seconds: float) -> Figures:
    law = ConstantPace(share * cell.rate)
    return Simulation(law, cell.make(seed), cell.door, seed, begin=cell.begin, slice=math.inf).run(seconds)


def measure(cell: Cell, seeds: tuple[int, ...]) -> Row:
    """Run a cell with every seed; the means."""
    used = refused = best = idle = 0.0
    for seed in seeds:
        service = cell.make(seed)
        figures = Simulation(cell.law(), service, cell.door, seed, begin=cell.begin).run(cell.seconds)
        left = cell.rate * figures.seconds
        if isinstance(service, WithRival):
            left -= sum(cost for at, cost in service.taken if at >= cell.begin)
        possible, unavoidable = oracle(cell.service, cell.rate, cell.door, seed)
        used, refused = used + figures.accepted / left, refused + figures.share
        best, idle = best + possible, idle + unavoidable
    return Row(cell, *(figure / len(seeds) for figure in (used, refused, best, idle)))
