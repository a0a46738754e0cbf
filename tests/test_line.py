"""The line and its bucket on virtual time: who goes next, when, and what cancelling leaves behind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seslimit._law.account import Account
from seslimit._law.rate import AdaptiveRate
from seslimit._pacing.line import Line

from .virtual_time import block, on_virtual_time, run

SLICE = 0.05
"""Seconds: within this a change of the rate reaches every waiter, and no more than its worth goes at once."""

TURNS = 1e-5
"""Seconds that the turns of a virtual loop add up to in a test."""


class SteadyLaw(AdaptiveRate):
    """A law that says what the test says."""

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self.now = rate
        self.held = 0.0
        self.waited: list[bool] = []

    @property
    def held_until(self) -> float:
        """As set."""
        return self.held

    def rate(self, now: float) -> float:
        """As set."""
        return self.now

    def admitted(self, now: float, cost: float, *, waited: bool) -> None:
        """Remember whether the rate was what it waited for."""
        self.waited.append(waited)


class PrepaidLaw(SteadyLaw):
    """A law by which a large message pays seven of its recipients before it goes."""

    def ahead(self, now: float, cost: float) -> float:
        """As is said above."""
        return 7.0 if cost > 7.0 else 0.0


class CountedLaw(SteadyLaw):
    """A law that counts how often it is asked."""

    asked = 0

    def rate(self, now: float) -> float:
        """As set."""
        self.asked += 1
        return super().rate(now)


class Watched:
    """A line with a steady law that writes down who went when."""

    def __init__(self, rate: float, law: SteadyLaw | None = None) -> None:
        self.law = law or SteadyLaw(rate)
        account = Account(self.law)
        account.reached()
        self.line = Line(account)
        self.times: list[float] = []
        self.names: list[object] = []

    async def go(self, cost: int = 1, name: object = None, *, front: bool = False) -> float:
        """Go through once."""
        at = await self.line.go_through(cost, front=front)
        self.times.append(at)
        self.names.append(name)
        return at

    async def arrive(self, at: float, cost: int = 1, name: object = None) -> float:
        """Go through once, from that moment on."""
        await asyncio.sleep(at - asyncio.get_running_loop().time())
        return await self.go(cost, name)


@on_virtual_time
async def test_what_a_dear_message_pays_before_it_goes_is_not_paid_after() -> None:
    """At 14/s half a second of the wait after 50 recipients is moved before them: what went before arrives before."""
    watched = Watched(14, PrepaidLaw(14))
    times = await asyncio.gather(watched.go(1), watched.go(50), watched.go(1), watched.go(1))
    assert times == pytest.approx([0.0, 8 / 14, 51 / 14, 52 / 14], abs=TURNS)


@on_virtual_time
async def test_a_dear_message_cancelled_while_it_pays_owes_nothing() -> None:
    """What it has paid already counts for who went before it."""
    watched = Watched(14, PrepaidLaw(14))
    await watched.go(1)
    dear = asyncio.create_task(watched.go(50))
    await asyncio.sleep(0.25)
    dear.cancel()
    assert await watched.go(1) == pytest.approx(0.25, abs=TURNS)


@pytest.mark.parametrize("rate", [1, 3, 14, 50, 100, 200, 500, 1000, 2000])
@on_virtual_time
async def test_the_rate_is_exact(rate: int) -> None:
    """Within 0.1 % from 1 to 2,000/s."""
    watched = Watched(rate)
    for _ in range(400):
        await watched.go()
    assert 399 / (watched.times[-1] - watched.times[0]) == pytest.approx(rate, rel=0.001)


@on_virtual_time
async def test_the_rate_is_exact_for_a_crowd() -> None:
    """A thousand that wait at the same time."""
    watched = Watched(500)
    await asyncio.gather(*(watched.go() for _ in range(1000)))
    assert watched.times[-1] - watched.times[0] == pytest.approx(999 / 500, rel=0.001)


@on_virtual_time
async def test_first_come_first_served_at_any_cost() -> None:
    """Dear and cheap in any order."""
    rng = random.Random(1)
    watched = Watched(200)
    await asyncio.gather(*(watched.go(rng.choice((1, 1, 1, 50)), name) for name in range(200)))
    assert watched.names == list(range(200))


@on_virtual_time
async def test_a_dear_message_is_paid_for_afterwards() -> None:
    """Fifty recipients at 14/s go at once, and the next goes 50/14 s later."""
    watched = Watched(14)
    times = await asyncio.gather(watched.go(50), watched.go(1), watched.go(1))
    assert [times[0], times[1], times[2]] == pytest.approx([0.0, 50 / 14, 51 / 14], abs=TURNS)


@on_virtual_time
async def test_a_message_that_had_its_turn_goes_before_the_others() -> None:
    """And after those that came back before it."""
    watched = Watched(10)
    tasks = [asyncio.create_task(watched.go(1, name)) for name in ("first", "second", "third")]
    await asyncio.sleep(0.01)
    tasks += [asyncio.create_task(watched.go(1, name, front=True)) for name in ("back 1", "back 2")]
    await asyncio.gather(*tasks)
    assert watched.names == ["first", "back 1", "back 2", "second", "third"]


@on_virtual_time
async def test_a_higher_rate_reaches_every_waiter_within_a_slice() -> None:
    """A hundred that would wait 100 s are through in 50 ms and their new price."""
    watched = Watched(1)
    tasks = [asyncio.create_task(watched.go()) for _ in range(100)]
    await asyncio.sleep(10.02)
    watched.law.now = 2000.0
    watched.line.changed.set()
    await asyncio.gather(*tasks)
    assert watched.times[-1] <= 10.02 + SLICE + 100 / 2000


@on_virtual_time
async def test_a_higher_rate_makes_a_debt_cheaper_within_a_slice() -> None:
    """Fifty recipients at 1/s, and after one second 100/s."""
    watched = Watched(1)
    await watched.go(50)
    task = asyncio.create_task(watched.go())
    await asyncio.sleep(1.0)
    watched.law.now = 100.0
    watched.line.changed.set()
    assert await task <= 1.0 + SLICE + 49 / 100


@on_virtual_time
async def test_a_lower_rate_reaches_every_waiter_within_a_slice() -> None:
    """What is let through after the change keeps the new rate."""
    watched = Watched(1000)
    tasks = [asyncio.create_task(watched.go()) for _ in range(1020)]
    await asyncio.sleep(1.0)
    watched.law.now = 10.0
    watched.line.changed.set()
    await asyncio.gather(*tasks)
    late = [at for at in watched.times if at > 1.0 + SLICE]
    assert len(late) > 15
    assert late[-1] - late[0] == pytest.approx((len(late) - 1) / 10, rel=0.001)


@on_virtual_time
async def test_after_a_blocked_loop_no_more_than_a_slice_goes_at_once() -> None:
    """Three seconds without a timer are not made up for."""
    watched = Watched(1000)
    tasks = [asyncio.create_task(watched.go()) for _ in range(500)]
    await asyncio.sleep(0.1)
    before = len(watched.times)
    block(3.0)
    await asyncio.sleep(0.001)
    assert len(watched.times) - before <= 1000 * (SLICE + 0.001) + 2
    await asyncio.gather(*tasks)
    rest = [at for at in watched.times if at > 3.1]
    assert rest[-1] - rest[0] >= (len(rest) - 1) / 1000 - SLICE


@on_virtual_time
async def test_a_loop_that_is_blocked_again_and_again_keeps_the_rate() -> None:
    """Stalls shorter than a slice cost no time, and give none."""
    watched = Watched(500)
    tasks = [asyncio.create_task(watched.go()) for _ in range(2000)]
    for _ in range(90):
        await asyncio.sleep(0.01)
        block(0.03)
    await asyncio.gather(*tasks)
    assert watched.times[-1] - watched.times[0] == pytest.approx(1999 / 500, rel=0.001)


@on_virtual_time
async def test_an_idle_minute_pays_what_is_owed_and_nothing_more() -> None:
    """After fifty recipients at 1/s and a minute the next goes at once, and the one after it a second later."""
    watched = Watched(1)
    await watched.go(50)
    await asyncio.sleep(60.0)
    assert await watched.go() == pytest.approx(60.0, abs=TURNS)
    assert await watched.go() == pytest.approx(61.0, abs=TURNS)


@on_virtual_time
async def test_an_idle_second_pays_its_part_of_what_is_owed() -> None:
    """Ten recipients at 2/s are half paid after 2.5 s in which nobody came."""
    watched = Watched(2)
    await watched.go(10)
    await asyncio.sleep(2.5)
    assert await watched.go() == pytest.approx(5.0, abs=TURNS)


Arrival: TypeAlias = tuple[float, int, float | None]
"""Seconds since the one before, recipients, and after how many seconds of waiting it is cancelled."""

ARRIVALS = st.lists(
    st.tuples(st.floats(0.0, 0.3), st.sampled_from([1, 1, 1, 3, 50]), st.none() | st.floats(0.0, 0.2)),
    min_size=2,
    max_size=60,
)


async def crowd(watched: Watched, arrivals: Sequence[Arrival]) -> list[tuple[float, float, int]]:
    """Let them come; returns arrival, admission and cost of those that went through, in the order of admission."""
    loop = asyncio.get_running_loop()
    went: list[tuple[float, float, int]] = []

    async def one(arrival: float, cost: int, patience: float | None) -> None:
        await asyncio.sleep(arrival - loop.time())
        arrival = loop.time()
        try:
            async with asyncio.timeout(patience):
                went.append((arrival, await watched.go(cost), cost))
        except TimeoutError:
            pass

    arrival, tasks = 0.0, []
    for gap, cost, patience in arrivals:
        arrival += gap
        tasks.append(asyncio.create_task(one(arrival, cost, patience)))
    await asyncio.gather(*tasks)
    return went


@given(ARRIVALS, st.sampled_from([1.0, 14.0, 100.0, 900.0]))
def test_no_window_holds_more_than_the_rate_and_a_slice(arrivals: list[Arrival], rate: float) -> None:
    """Whatever the arrivals and whoever is cancelled: what goes before an admission is paid before it."""
    went = run(crowd(Watched(rate), arrivals))
    paid = [0]
    for _, _, cost in went:
        paid.append(paid[-1] + cost)
    for first in range(len(went)):
        for last in range(first + 1, len(went)):
            seconds = went[last][1] - went[first][1]
            assert paid[last] - paid[first] <= rate * (seconds + SLICE) + TURNS


@given(ARRIVALS, st.sampled_from([1.0, 14.0, 100.0, 900.0]))
def test_nobody_waits_longer_than_for_those_before(arrivals: list[Arrival], rate: float) -> None:
    """Whatever the arrivals and whoever is cancelled: no time in which somebody waits is lost."""
    went = run(crowd(Watched(rate), arrivals))
    free_at = 0.0
    for arrival, admission, cost in went:
        free_at = max(arrival, free_at)
        assert admission <= free_at + TURNS
        free_at += cost / rate


@pytest.mark.parametrize("share", [0.9, 0.99, 1.01, 1.1, 2.0])
@on_virtual_time
async def test_arrivals_near_the_rate_keep_it(share: float) -> None:
    """At 0.9 to 2 times 100/s nobody waits without need, and no more goes than the rate."""
    watched = Watched(100)
    await asyncio.gather(*(watched.arrive(number / (100 * share)) for number in range(1000)))
    assert watched.times[-1] == pytest.approx(999 / (100 * min(1.0, share)), abs=SLICE)


@pytest.mark.parametrize("seed", range(5))
@on_virtual_time
async def test_random_cancellation_loses_no_token_and_strands_nobody(seed: int) -> None:
    """Half of 2,000 waiters are cancelled at random moments; the others keep the rate within 0.1 %."""
    rng = random.Random(seed)
    loop = asyncio.get_running_loop()
    watched = Watched(500)
    tasks = [asyncio.create_task(watched.go(name=name)) for name in range(2000)]
    for task in rng.sample(tasks, 1000):
        loop.call_later(rng.uniform(0.0, 3.0), task.cancel)
    await asyncio.wait(tasks)
    went = [name for name, task in enumerate(tasks) if not task.cancelled()]
    assert watched.names == went
    assert watched.times[-1] - watched.times[0] == pytest.approx((len(went) - 1) / 500, rel=0.001)
    assert len(watched.line) == 0
    assert await watched.go() == pytest.approx(watched.times[-2] + 1 / 500, abs=TURNS)


@on_virtual_time
async def test_a_waiter_cancelled_in_the_moment_of_its_turn_passes_it_on() -> None:
    """The turn has come, and the task is cancelled before it runs."""
    watched = Watched(10)
    await watched.go()

    async def go_and_cancel() -> None:
        await watched.go(name="a")
        second.cancel()

    head = asyncio.create_task(go_and_cancel())
    second, third = (asyncio.create_task(watched.go(name=name)) for name in "bc")
    await asyncio.wait([head, second, third])
    assert second.cancelled()
    assert watched.names == [None, "a", "c"]
    assert watched.times[2] == pytest.approx(0.2, abs=TURNS)


@on_virtual_time
async def test_a_waiter_passed_over_in_the_moment_of_its_cancelling_is_cancelled() -> None:
    """The head goes in the very turn of the loop in which the second is cancelled."""
    watched = Watched(10)
    await watched.go()
    head, second, third = (asyncio.create_task(watched.go(name=name)) for name in "abc")
    await asyncio.sleep(0.05)
    second.cancel()
    head.cancel()
    await asyncio.wait([head, second, third])
    assert (head.cancelled(), second.cancelled()) == (True, True)
    assert watched.names == [None, "c"]


@on_virtual_time
async def test_a_cancelled_head_leaves_what_it_paid() -> None:
    """The next goes when the head would have gone, whenever it comes."""
    for pause in (0.0, 0.3):
        watched = Watched(1)
        await watched.go()
        begun = watched.times[0]
        head = asyncio.create_task(watched.go())
        await asyncio.sleep(0.5)
        head.cancel()
        await asyncio.sleep(pause)
        assert await watched.go() == pytest.approx(begun + 1.0, abs=TURNS)


@on_virtual_time
async def test_heads_cancelled_again_and_again_lose_no_time() -> None:
    """Each waits 49 ms of a debt of 3.5 s and goes away for 51 ms."""
    watched = Watched(14)
    await watched.go(50)
    for _ in range(30):
        head = asyncio.create_task(watched.go())
        await asyncio.sleep(0.049)
        head.cancel()
        await asyncio.sleep(0.051)
    assert await watched.go() == pytest.approx(50 / 14, abs=TURNS)


@on_virtual_time
async def test_nobody_goes_before_the_account_opens() -> None:
    """And then they keep the rate: a rest is no gain."""
    watched = Watched(10)
    watched.law.held = 5.0
    await asyncio.gather(*(watched.go() for _ in range(5)))
    assert watched.times[0] == pytest.approx(5.0, abs=TURNS)
    assert watched.times[-1] == pytest.approx(5.4, abs=TURNS)


@pytest.mark.parametrize("rate", [1.0, 5.0, 14.0])
@on_virtual_time
async def test_after_a_blocked_loop_nobody_comes_early_at_a_low_rate(rate: float) -> None:
    """A timer 40 ms late makes that gap longer and no other one shorter: a bucket of one token would refuse."""
    watched = Watched(rate)
    tasks = [asyncio.create_task(watched.go()) for _ in range(6)]
    await asyncio.sleep(1.9 / rate)
    block(0.14 / rate + 0.04)
    await asyncio.gather(*tasks)
    gaps = [after - before for before, after in pairwise(watched.times)]
    assert min(gaps) >= 1 / rate - (0.04 if rate > 10 else TURNS)
    assert max(gaps) > 1 / rate + 0.03


@pytest.mark.parametrize(("rate", "most"), [(0.1, 1.0), (1.0, 5.0), (14.0, 50.0)])
@on_virtual_time
async def test_a_waiting_line_wakes_as_often_as_its_rate_asks(rate: float, most: float) -> None:
    """A few times for each message, and not 40 times a second."""
    watched = Watched(rate)
    watched.law.__class__ = CountedLaw
    tasks = [asyncio.create_task(watched.go()) for _ in range(1000)]
    await asyncio.sleep(30.0)
    for task in tasks:
        task.cancel()
    assert isinstance(watched.law, CountedLaw)
    assert watched.law.asked <= most * 30


@on_virtual_time
async def test_a_rest_that_ends_early_is_noticed_at_once() -> None:
    """When the line is told of a change."""
    watched = Watched(10)
    watched.law.held = 1e6
    task = asyncio.create_task(watched.go())
    await asyncio.sleep(3.0)
    watched.law.held = 0.0
    watched.line.changed.set()
    assert await task == pytest.approx(3.0, abs=TURNS)


@on_virtual_time
async def test_a_rest_that_grows_is_waited_to_its_new_end() -> None:
    """A head that is waiting out one hold meets the next."""
    watched = Watched(10)
    watched.law.held = 1.0
    task = asyncio.create_task(watched.go())
    await asyncio.sleep(0.5)
    watched.law.held = 2.0
    assert await task == pytest.approx(2.0, abs=TURNS)


@on_virtual_time
async def test_a_head_cancelled_in_a_rest_moves_the_next_up() -> None:
    """Which waits the rest out."""
    watched = Watched(10)
    watched.law.held = 1.0
    head, second = asyncio.create_task(watched.go(name="a")), asyncio.create_task(watched.go(name="b"))
    await asyncio.sleep(0.5)
    head.cancel()
    await asyncio.wait([head, second])
    assert watched.names == ["b"]
    assert watched.times == pytest.approx([1.0], abs=TURNS)


@on_virtual_time
async def test_the_length_counts_the_head_and_those_behind_it() -> None:
    """Those that went through or were cancelled are not counted."""
    watched = Watched(10)
    tasks = [asyncio.create_task(watched.go()) for _ in range(5)]
    await asyncio.sleep(0.01)
    lengths = [len(watched.line)]
    tasks[3].cancel()
    await asyncio.sleep(0.1)
    lengths.append(len(watched.line))
    await asyncio.wait(tasks)
    assert [*lengths, len(watched.line)] == [4, 2, 0]


@given(st.lists(st.tuples(st.floats(0.0, 0.15), st.sampled_from([1, 3, 20])), min_size=1, max_size=25))
def test_the_line_is_open_exactly_when_a_newcomer_goes_at_once(steps: list[tuple[float, int]]) -> None:
    """Whatever went before and however long ago."""

    async def check() -> None:
        loop = asyncio.get_running_loop()
        watched = Watched(50)
        for gap, cost in steps:
            await asyncio.sleep(gap)
            now = loop.time()
            is_open = watched.line.is_open(now)
            waited = await watched.go(cost) - now
            assert is_open == (waited <= TURNS)

    run(check())


@on_virtual_time
async def test_the_rate_is_what_a_crowd_waits_for() -> None:
    """All but the first, also when timers come a few milliseconds late."""
    watched = Watched(500)
    tasks = [asyncio.create_task(watched.go()) for _ in range(1000)]
    for _ in range(60):
        await asyncio.sleep(0.02)
        block(0.01)
    await asyncio.gather(*tasks)
    assert watched.law.waited == [False] + [True] * 999


@on_virtual_time
async def test_the_rate_is_not_what_a_slow_caller_waits_for() -> None:
    """Twenty workers of 0.1 s make 200/s of an allowed 300/s, in clumps."""
    rng = random.Random(1)
    watched = Watched(300)

    async def work() -> None:
        for _ in range(50):
            await watched.go()
            await asyncio.sleep(rng.uniform(0.05, 0.15))

    await asyncio.gather(*(work() for _ in range(20)))
    assert sum(watched.law.waited) < 0.1 * len(watched.law.waited)
