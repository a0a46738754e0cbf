"""
The control law against the model of the service, in simulated time, without an event loop.

A seed fixes the delay of every reply, the costs, and the rival's moments.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator

import attrs

from seslimit._law.rate import AdaptiveRate
from seslimit.testing._account import Schedule, SimulatedAccount, Verdict

BURST = 0.05
"""Seconds of sending time that the limiter's bucket holds."""

CRUMB = 1e-9
"""Recipients that are no debt, and seconds that are no wait: rounding."""

LATE = 0.025
"""Seconds of room in that bucket beyond which the limiter takes a message not to have waited for it."""

Delay = Callable[[random.Random], tuple[float, float, float]]
"""Draws one attempt's seconds from its admission to the handing over, to the decision, and to the reply."""


def api(rng: random.Random, stretch: float = 1.0) -> tuple[float, float, float]:
    """One HTTP request: 50-200 ms, decided half-way; nobody knows when it was handed over but its admission."""
    reply = stretch * min(0.2, max(0.05, rng.lognormvariate(math.log(0.09), 0.35)))
    return 0.0, reply / 2.0, reply


def smtp(rng: random.Random, stretch: float = 1.0) -> tuple[float, float, float]:
    """Four commands of 30-40 ms before the service decides."""
    handed = stretch * sum(rng.uniform(0.03, 0.04) for _ in range(4))
    decided = handed + stretch * 0.001
    return handed, decided, decided + stretch * rng.uniform(0.015, 0.02)


def smtp_blind(rng: random.Random) -> tuple[float, float, float]:
    """The same, for callers that cannot tell when the final dot was handed over."""
    _, decided, reply = smtp(rng)
    return 0.0, decided, reply


def socket(rng: random.Random) -> tuple[float, float, float]:
    """A constant delay with a few milliseconds of jitter."""
    decided = 0.04 + rng.uniform(0.0, 0.005)
    return 0.0, decided, decided + 0.04


def api_slow(rng: random.Random) -> tuple[float, float, float]:
    """Four times as far away."""
    return api(rng, 4.0)


def smtp_slow(rng: random.Random) -> tuple[float, float, float]:
    """Four times as far away."""
    return smtp(rng, 4.0)


DELAYS: dict[str, Delay] = {
    "api": api,
    "smtp": smtp,
    "blind": smtp_blind,
    "socket": socket,
    "api x4": api_slow,
    "smtp x4": smtp_slow,
}


@attrs.frozen(kw_only=True)
class Scenario:
    """
    One service, one caller, and what to look at.

    Args:
        rate: steps of the hidden rate, (seconds, recipients/s).
        told: the `start` of the law, recipients/s.
        caps: what GetAccount says, (seconds, recipients/s).
        rival: another sender of the account, (from, until, share of the rate).
        quota: from when until when the daily quota refuses everything, seconds.
        idle: spans in which the caller has only `trickle` messages/s to send.
    """

    name: str
    rate: tuple[tuple[float, float], ...]
    seconds: float
    depth: float = 1.0
    told: float | None = None
    caps: tuple[tuple[float, float], ...] = ()
    places: int = 200
    messages: float = math.inf
    heavy: float = 0.0
    refusal_cost: float = 0.0
    spurious: float = 0.0
    rival: tuple[float, float, float] | None = None
    quota: tuple[float, float] | None = None
    idle: tuple[tuple[float, float], ...] = ()
    trickle: float = 5.0
    drift: float = 0.0


@attrs.define
class Trace:
    """What happened: decisions in the order of time, as (seconds, recipients accepted, refused)."""

    schedule: Schedule
    closed: tuple[float, float] = (0.0, 0.0)
    times: list[float] = attrs.field(factory=list)
    accepted: list[float] = attrs.field(factory=lambda: [0.0])
    refused: list[int] = attrs.field(factory=lambda: [0])
    taken: list[tuple[float, float]] = attrs.field(factory=list)
    paces: list[tuple[float, float]] = attrs.field(factory=list)
    finished: float = 0.0

    def decided(self, now: float, accepted: float, refused: int) -> None:
        """Append one decision."""
        self.times.append(now)
        self.accepted.append(self.accepted[-1] + accepted)
        self.refused.append(self.refused[-1] + refused)

    def _span(self, begin: float, end: float) -> tuple[int, int]:
        return bisect_right(self.times, begin), bisect_right(self.times, end)

    def used(self, begin: float, end: float) -> float:
        """Accepted recipients per recipient that rate, rival and daily quota left to us."""
        first, last = self._span(begin, end)
        gone = sum(cost for at, cost in self.taken if begin < at <= end)
        shut = max(begin, self.closed[0]), min(end, self.closed[1])
        if shut[0] < shut[1]:
            gone += self.schedule.integral(*shut)
        return (self.accepted[last] - self.accepted[first]) / (self.schedule.integral(begin, end) - gone)

    def refusals(self, begin: float, end: float) -> int:
        """Throttled attempts."""
        first, last = self._span(begin, end)
        return self.refused[last] - self.refused[first]

    def refused_share(self, begin: float, end: float) -> float:
        """Throttled attempts per attempt."""
        first, last = self._span(begin, end)
        return self.refusals(begin, end) / max(1, last - first)

    def reached(self, begin: float, share: float = 0.95) -> float:
        """Seconds after `begin` until a whole second used this share of the rate."""
        for now in itertools.takewhile(lambda now: now < self.times[-1], self._seconds(begin + 0.5)):
            first, last = self._span(now - 1.0, now)
            if self.accepted[last] - self.accepted[first] >= share * self.schedule.at(now) - 1e-9:
                return now - begin
        return math.inf

    def settled(self, begin: float, share: float = 0.02) -> float:
        """Seconds after `begin` until a whole second had fewer throttles than this share of the attempts."""
        for now in itertools.takewhile(lambda now: now < self.times[-1], self._seconds(begin + 1.0)):
            if self.refused_share(now - 1.0, now) < share:
                return now - begin
        return math.inf

    @staticmethod
    def _seconds(begin: float) -> Iterator[float]:
        return (begin + 0.05 * step for step in itertools.count())


class Simulation:
    """Law, limiter and service of one scenario, event by event."""

    def __init__(self, scenario: Scenario, delay: Delay, seed: int) -> None:
        self.scenario = scenario
        self.delay = delay
        self.rng = random.Random(seed)
        rate = scenario.rate
        if scenario.drift:
            rate = tuple(
                (0.5 * step, rate[0][1] * (1.0 + scenario.drift * math.sin(0.5 * step * 2.0 * math.pi / 60.0)))
                for step in range(int(2 * scenario.seconds) + 2)
            )
        schedule = Schedule(rate)
        self.account = SimulatedAccount(schedule, depth=scenario.depth, refusal_cost=scenario.refusal_cost)
        self.account.start(0.0)
        self.law = AdaptiveRate(scenario.told)
        self.trace = Trace(schedule, scenario.quota or (0.0, 0.0))
        self.heap: list[tuple[float, int, str, tuple[float, ...]]] = []
        self.order = itertools.count()
        self.under_way = 0
        self.left = scenario.messages
        self.done = 0.0
        self.requeued: list[float] = []
        self.owed = 0.0
        self.level = 0.0
        self.level_at = 0.0
        self.paid_at = -math.inf
        self.asleep = self.vacant = self.waited = False
        self.fresh = True
        self.next_trickle = 0.0

    def at(self, when: float, kind: str, *what: float) -> None:
        heapq.heappush(self.heap, (when, next(self.order), kind, what))

    def run(self) -> Trace:
        scenario = self.scenario
        for when, cap in scenario.caps:
            self.at(when, "cap", cap)
        for begin, end in (scenario.quota,) if scenario.quota else ():
            self.at(begin + 0.1, "freeze")
            self.at(end, "thaw")
        if scenario.rival:
            self.at(scenario.rival[0], "rival")
        self.at(0.0, "head")
        self.asleep = True
        now = 0.0
        while self.heap and self.done < scenario.messages:
            now, _, kind, what = heapq.heappop(self.heap)
            if now > scenario.seconds:
                break
            getattr(self, "on_" + kind)(now, *what)
        self.trace.finished = now
        return self.trace

    # The limiter: post-paid debt, slices of at most BURST seconds priced at the rate in force.

    def wake(self, now: float) -> None:
        if not self.asleep:
            self.asleep = True
            self.on_head(now)

    def on_head(self, now: float) -> None:
        """Take the message at the head as far as it gets at this moment, and those behind it."""
        while self.ready(now):
            self.leak(now)
            if self.fresh:
                room = BURST - self.level
                self.waited = self.owed > CRUMB and room < max(self.next_slice(now), LATE)
                self.fresh = False
            if self.owed > CRUMB:
                late = self.level + self.next_slice(now) - BURST
                if late > CRUMB:
                    self.at(now + late, "head")
                    return
                seconds = self.next_slice(now)
                self.level += seconds
                self.owed -= seconds * self.law.rate(now)
            elif now < self.law.held_until:
                self.waited = True
                self.at(self.law.held_until, "head")
                return
            else:
                self.admit(now)

    def ready(self, now: float) -> bool:
        """Whether there is a message, a place for it, and nothing that forbids it."""
        scenario = self.scenario
        lull = next((end for begin, end in scenario.idle if begin <= now < end), None)
        if lull is not None and now < self.next_trickle:
            self.vacant = True
            self.at(min(lull, self.next_trickle), "head")
            return False
        empty = self.left <= 0 and not self.requeued
        if empty or self.under_way >= scenario.places or self.frozen(now):
            self.asleep, self.vacant = False, True
            return False
        if self.vacant:
            # Time in which nobody stood here has paid for itself, once.
            self.vacant = False
            self.leak(now)
            if now - self.paid_at >= BURST:
                self.owed = max(0.0, self.owed - (now - self.paid_at) * self.law.rate(now))
                self.level, self.paid_at = BURST, now
        return True

    def next_slice(self, now: float) -> float:
        return min(self.owed / self.law.rate(now), BURST)

    def leak(self, now: float) -> None:
        self.level = max(0.0, self.level - (now - self.level_at))
        self.level_at = now

    def frozen(self, now: float) -> bool:
        quota = self.scenario.quota
        return quota is not None and quota[0] + 0.1 <= now < quota[1]

    def admit(self, now: float) -> None:
        if self.requeued:
            cost = self.requeued.pop()
        else:
            self.left -= 1
            cost = 50.0 if self.rng.random() < self.scenario.heavy else 1.0
        self.owed += cost
        self.under_way += 1
        self.law.admitted(now, cost, waited=self.waited)
        self.paid_at, self.fresh = now, True
        if any(begin <= now < end for begin, end in self.scenario.idle):
            self.next_trickle = now + 1.0 / self.scenario.trickle
        handed, decided, reply = self.delay(self.rng)
        self.at(now + decided, "decide", cost, now, now + handed, now + reply)

    # The service.

    def on_decide(self, now: float, cost: float, admitted: float, handed: float, reply: float) -> None:
        scenario = self.scenario
        if scenario.quota and scenario.quota[0] <= now < scenario.quota[1]:
            self.at(reply, "over_quota", cost, admitted)
            return
        stray = scenario.spurious > 0.0 and self.rng.random() < scenario.spurious
        taken = not stray and self.account.decide(now, int(cost)) is Verdict.ACCEPTED
        self.trace.decided(now, cost if taken else 0.0, int(not taken))
        self.trace.paces.append((now, self.law.rate(now)))
        self.at(reply, "taken" if taken else "refused", cost, admitted, handed)

    def on_taken(self, now: float, cost: float, admitted: float, handed: float) -> None:
        self.under_way -= 1
        self.done += 1
        self.law.accepted(now, cost, admitted_at=admitted, decided_at=handed)
        self.wake(now)

    def on_refused(self, now: float, cost: float, admitted: float, handed: float) -> None:
        self.under_way -= 1
        self.requeued.append(cost)
        self.law.throttled(now, cost, admitted_at=admitted, decided_at=handed)
        self.wake(now)

    def on_over_quota(self, now: float, cost: float, admitted: float) -> None:
        self.under_way -= 1
        self.requeued.append(cost)

    def on_rival(self, now: float) -> None:
        assert self.scenario.rival is not None
        _, end, share = self.scenario.rival
        if self.account.take(now, 1):
            self.trace.taken.append((now, 1.0))
        if now < end:
            self.at(now + self.rng.uniform(0.5, 1.5) / (share * self.account.send_rate(now)), "rival")

    # What the account is known to be.

    def on_cap(self, now: float, cap: float) -> None:
        self.law.cap(now, cap)

    def on_freeze(self, now: float) -> None:
        self.law.freeze(now)

    def on_thaw(self, now: float) -> None:
        self.law.thaw(now)
        self.wake(now)


Row = tuple[Scenario, tuple[str, ...]]
"""A scenario and the delays that it is run with."""

API_AND_SMTP = ("api", "smtp")
SHALLOW = 0.1
"""Seconds of the rate in the bucket where the rate is known: nothing but jitter has to fit in."""


def steady(rate: float, seconds: float = 120.0, name: str = "") -> Scenario:
    """A hidden rate that never changes."""
    return Scenario(name=name or f"cold {rate:g}", rate=((0.0, rate),), seconds=seconds)


def step(before: float, after: float, name: str) -> Scenario:
    """A rate that was told, and changes after a minute."""
    return Scenario(name=name, rate=((0.0, before), (60.0, after)), told=before, seconds=120.0)


def capped(rate: float, seconds: float, depth: float, name: str) -> Scenario:
    """A rate that GetAccount tells."""
    return attrs.evolve(steady(rate, seconds, name), caps=((0.0, rate),), depth=depth)


def down_and_up(phase: float) -> Scenario:
    """Told 100/s, then 50/s, then 150/s, over forty connections; `phase` shifts the steps, in seconds."""
    rate = ((0.0, 100.0), (12.0 + phase, 50.0), (24.0 + phase, 150.0))
    return Scenario(name=f"100-50-150 +{phase:g}", rate=rate, told=100.0, seconds=44.0 + phase, places=40)


def rival() -> Scenario:
    """Somebody else takes half of the rate for a minute."""
    return attrs.evolve(steady(100.0, 160.0, "rival half"), rival=(40.0, 100.0, 0.5))


def scenarios() -> list[Row]:
    """The scenarios whose promises the tests hold, and those that compare control laws."""
    steps = (200.0, 100.0, "halves 200"), (100.0, 50.0, "halves 100"), (100.0, 200.0, "doubles 100")
    return [
        (capped(14.0, 60.0, SHALLOW, "cap 14 shallow"), ("api", "smtp", "socket")),
        (capped(200.0, 60.0, SHALLOW, "cap 200 shallow"), API_AND_SMTP),
        (capped(500.0, 60.0, SHALLOW, "cap 500 shallow"), API_AND_SMTP),
        (attrs.evolve(capped(1.0, 90.0, 0.0, "cap 1 one token"), messages=60), ("socket",)),
        *((steady(rate), API_AND_SMTP) for rate in (14.0, 100.0, 500.0)),
        *((step(*change), API_AND_SMTP) for change in (*steps, (50.0, 150.0, "triples 50"))),
        (attrs.evolve(steady(100.0, 44.0, "cold 100 sockets"), places=40), ("smtp", "blind")),
        *((down_and_up(phase), ("smtp", "blind", "api")) for phase in (0.0, 0.7, 1.9, 3.1, 4.3)),
        (rival(), API_AND_SMTP),
        (attrs.evolve(capped(14.0, 240.0, 1.0, "heavy told"), heavy=0.1), API_AND_SMTP),
        (attrs.evolve(steady(14.0, 240.0, "heavy cold"), heavy=0.1), API_AND_SMTP),
        (attrs.evolve(steady(100.0, 160.0, "quota pause"), quota=(40.0, 100.0)), API_AND_SMTP),
        (attrs.evolve(steady(100.0, 140.0, "idle phases"), idle=((30.0, 60.0), (90.0, 100.0))), API_AND_SMTP),
        (attrs.evolve(steady(100.0, 240.0, "drift 30 %"), drift=0.3), API_AND_SMTP),
    ]
