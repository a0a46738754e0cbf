"""
Ways in which a service may count: pure models of what "R recipients a second" can mean to a large service.

Nobody outside has seen how SES counts, so whatever adapts to it has to hold on all of these. Each is told, message by
message, when it arrived and how many recipients it has, and says whether it is taken. They know nothing of sockets,
replies or days, and their randomness is seeded.

Invariants: times never run backwards and begin at 0; what is refused is not charged, but where a model says so.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Protocol

import attrs

from ._schedule import Schedule, schedule_of

ONE_TOKEN: Final = 1.0
"""The least that a bucket holds, or no message would ever be taken."""


class Counting(Protocol):
    """One way to count."""

    def take(self, now: float, recipients: int) -> bool:
        """Whether a message that arrives at `now`, in seconds since the service began, is taken; charged if it is."""
        ...


@attrs.define
class DebtBucket:
    """
    A token bucket whose level may fall below zero: what SES's documents describe.

    Args:
        rate: recipients/s at which tokens come back.
        depth: seconds of the rate that it holds; never less than one token.
        least: tokens that have to be there for a message to be taken; close to 0 for "any at all".
        refusal_cost: tokens that a refusal takes.
    """

    rate: Schedule = attrs.field(converter=schedule_of)
    depth: float = 1.0
    least: float = 1.0
    refusal_cost: float = 0.0
    _level: float | None = attrs.field(default=None, init=False)
    _at: float = attrs.field(default=0.0, init=False)

    def level(self, now: float) -> float:
        """Tokens that are there at `now`."""
        capacity = max(ONE_TOKEN, self.depth * self.rate.at(now))
        if self._level is None:
            self._level = capacity
        elif now > self._at:
            self._level = min(capacity, self._level + self.rate.integral(self._at, now))
        self._at = max(now, self._at)
        return self._level

    def charge(self, tokens: float) -> None:
        """Take tokens away at the moment of the last question."""
        self._level = (self._level or 0.0) - tokens

    def take(self, now: float, recipients: int) -> bool:
        """See `Counting`."""
        taken = self.level(now) >= self.least
        self.charge(recipients if taken else self.refusal_cost)
        return taken


@attrs.define
class SlidingWindow:
    """
    At most the rate's worth in any `seconds` that end now.

    Args:
        rate: recipients/s.
        seconds: length of the window.
    """

    rate: Schedule = attrs.field(converter=schedule_of)
    seconds: float = 1.0
    _taken: deque[tuple[float, int]] = attrs.field(factory=deque, init=False)
    _sum: int = attrs.field(default=0, init=False)

    def take(self, now: float, recipients: int) -> bool:
        """See `Counting`."""
        while self._taken and self._taken[0][0] <= now - self.seconds:
            self._sum -= self._taken.popleft()[1]
        if self._sum + 1 > max(ONE_TOKEN, self.rate.at(now) * self.seconds):
            return False
        self._taken.append((now, recipients))
        self._sum += recipients
        return True


@attrs.define
class FixedWindow:
    """
    At most the rate's worth between two ticks of the service's clock.

    A window gets whole recipients, and what a fraction leaves over goes to a later one.

    Args:
        rate: recipients/s.
        seconds: length of a window.
        offset: seconds by which its ticks are off the start.
    """

    rate: Schedule = attrs.field(converter=schedule_of)
    seconds: float = 1.0
    offset: float = 0.37
    _window: int = attrs.field(default=-1, init=False)
    _left: int = attrs.field(default=0, init=False)

    def take(self, now: float, recipients: int) -> bool:
        """See `Counting`."""
        window = int((now + self.offset) / self.seconds)
        if window != self._window:
            worth = self.rate.at(now) * self.seconds
            self._window, self._left = window, int((window + 1) * worth) - int(window * worth)
        if self._left < 1:
            return False
        self._left -= recipients
        return True


@attrs.define
class TwoWindows:
    """
    A sliding window as it is estimated from two fixed ones: this one's count, and the share of the last still in sight.

    Args:
        rate: recipients/s.
        seconds: length of a window.
    """

    rate: Schedule = attrs.field(converter=schedule_of)
    seconds: float = 1.0
    _window: int = attrs.field(default=0, init=False)
    _before: int = attrs.field(default=0, init=False)
    _now: int = attrs.field(default=0, init=False)

    def take(self, now: float, recipients: int) -> bool:
        """See `Counting`."""
        window, into = divmod(now, self.seconds)
        if int(window) != self._window:
            self._before = self._now if int(window) == self._window + 1 else 0
            self._window, self._now = int(window), 0
        seen = self._before * (1.0 - into / self.seconds) + self._now
        if seen + 1 > max(ONE_TOKEN, self.rate.at(now) * self.seconds):
            return False
        self._now += recipients
        return True


@attrs.define
class StaleBucket:
    """
    A bucket judged by its level of a while ago: counts that are gathered from many machines.

    Args:
        bucket: what is counted, with its level at the start.
        age: seconds by which the count that decides is old.
    """

    bucket: DebtBucket
    age: float
    _charges: deque[tuple[float, int]] = attrs.field(factory=deque, init=False)
    _late: DebtBucket = attrs.field(init=False)
    """The bucket as it is believed to be: it hears of each charge `age` later."""

    def __attrs_post_init__(self) -> None:
        self._late = attrs.evolve(self.bucket)

    def take(self, now: float, recipients: int) -> bool:
        """See `Counting`."""
        while self._charges and self._charges[0][0] <= now - self.age:
            at, charge = self._charges.popleft()
            self._late.level(at)
            self._late.charge(charge)
        taken = self._late.level(max(0.0, now - self.age)) >= self._late.least
        if taken:
            self._charges.append((now, recipients))
        return taken


@attrs.define
class FrontEnds:
    """
    Several machines with a share of the rate each, one of which a message meets by chance.

    Args:
        parts: how each of them counts.
        seed: of the choice.
    """

    parts: tuple[Counting, ...]
    seed: int = 0
    _chance: random.Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def take(self, now: float, recipients: int) -> bool:
        """See `Counting`."""
        return self._chance.choice(self.parts).take(now, recipients)


@attrs.define
class ByChance:
    """
    A share of the messages refused whatever the rate, before anything is counted.

    Args:
        counting: how the others are counted.
        share: of the messages.
        seed: of the chance.
    """

    counting: Counting
    share: float
    seed: int = 0
    _chance: random.Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def take(self, now: float, recipients: int) -> bool:
        """See `Counting`."""
        return self._chance.random() >= self.share and self.counting.take(now, recipients)


@attrs.define
class WithRival:
    """
    Another sender of the account, who has its messages taken out of the same count.

    Args:
        counting: what both are counted by.
        every: mean seconds between two of its messages.
        recipients: of each of its messages.
        begin, end: when it is there, in seconds.
        seed: of the seconds between its messages.
    """

    counting: Counting
    every: float
    recipients: int = 1
    begin: float = 0.0
    end: float = float("inf")
    seed: int = 0
    taken: list[tuple[float, int]] = attrs.field(factory=list, init=False)
    """When it got how many recipients through."""
    _chance: random.Random = attrs.field(init=False)
    _next: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._next = self.begin + self.every * self._chance.uniform(0.0, 1.0)

    def take(self, now: float, recipients: int) -> bool:
        """See `Counting`."""
        while self._next <= min(now, self.end):
            if self.counting.take(self._next, self.recipients):
                self.taken.append((self._next, self.recipients))
            self._next += self.every * self._chance.uniform(0.5, 1.5)
        return self.counting.take(now, recipients)


def noisy(rate: float, spread: float, every: float, seconds: float, seed: int = 0) -> Schedule:
    """
    A send rate that is another every few seconds, within a share of itself and right in the mean.

    Args:
        rate: the mean, recipients/s.
        spread: the greatest share that it is off.
        every: seconds for which it stays.
        seconds: for how long it is drawn.
        seed: of the draws.
    """
    chance = random.Random(seed)
    steps = ((number * every, rate * chance.uniform(1 - spread, 1 + spread)) for number in range(int(seconds / every)))
    return Schedule(tuple(steps) or ((0.0, rate),))


def front_ends(number: int, rate: Schedule, seed: int, depth: float = 1.0) -> FrontEnds:
    """So many machines that share a rate evenly, each with a bucket of its own."""
    share = Schedule(tuple((at, step / number) for at, step in rate.steps))
    return FrontEnds(tuple(DebtBucket(share, depth) for _ in range(number)), seed)


Making = Callable[[Schedule, int], Counting]
"""Makes a service from its send rate and a seed."""

SERVICES: Final[Mapping[str, Making]] = MappingProxyType(
    {
        "bucket": lambda rate, _: DebtBucket(rate),
        "bucket-0.1s": lambda rate, _: DebtBucket(rate, 0.1),
        "bucket-0.2s": lambda rate, _: DebtBucket(rate, 0.2),
        "bucket-5s": lambda rate, _: DebtBucket(rate, 5.0),
        "bucket-any-token": lambda rate, _: DebtBucket(rate, least=1e-9),
        "refusals-cost": lambda rate, _: DebtBucket(rate, refusal_cost=1.0),
        "sliding-window": lambda rate, _: SlidingWindow(rate),
        "sliding-window-0.1s": lambda rate, _: SlidingWindow(rate, 0.1),
        "fixed-window": lambda rate, _: FixedWindow(rate),
        "fixed-window-0.1s": lambda rate, _: FixedWindow(rate, 0.1, 0.037),
        "two-windows": lambda rate, _: TwoWindows(rate),
        "front-ends-2": lambda rate, seed: front_ends(2, rate, seed),
        "front-ends-4": lambda rate, seed: front_ends(4, rate, seed),
        "stale-0.1s": lambda rate, _: StaleBucket(DebtBucket(rate), 0.1),
        "stale-0.25s": lambda rate, _: StaleBucket(DebtBucket(rate), 0.25),
        "stale-0.5s": lambda rate, _: StaleBucket(DebtBucket(rate), 0.5),
        "stale-1s": lambda rate, _: StaleBucket(DebtBucket(rate), 1.0),
        "chance-0.2%": lambda rate, seed: ByChance(DebtBucket(rate), 0.002, seed),
        "chance-1%": lambda rate, seed: ByChance(DebtBucket(rate), 0.01, seed),
        "chance-2%": lambda rate, seed: ByChance(DebtBucket(rate), 0.02, seed),
        "chance-5%": lambda rate, seed: ByChance(DebtBucket(rate), 0.05, seed),
        "chance-10%": lambda rate, seed: ByChance(DebtBucket(rate), 0.1, seed),
        "noisy": lambda rate, seed: DebtBucket(noisy(rate.at(0.0), 0.2, 2.0, 3600.0, seed)),
        "rival": lambda rate, seed: WithRival(DebtBucket(rate), 2.0 / rate.at(0.0), seed=seed),
        "rival-heavy-20s": lambda rate, seed: WithRival(DebtBucket(rate), 20.0, 50, seed=seed),
        "rival-heavy-60s": lambda rate, seed: WithRival(DebtBucket(rate), 60.0, 50, seed=seed),
    }
)
"""Every member of the family by its name."""
