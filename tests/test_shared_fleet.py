"""Processes that share an account: figures on virtual time, where each is a limiter and a sender of its own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from seslimit import Limiter, Message, Outcome, Reason, Sender, SendQuota, TransportError
from seslimit._model.outcome import Stage
from seslimit.shared import HostRate
from seslimit.testing._account import Schedule, SimulatedAccount, Verdict

from .fleet import Fleet, VirtualStore, account, within
from .service_model import WithQuota
from .virtual_time import block, run

pytestmark = pytest.mark.once

SHARE = 0.2
"""Of what is sent, each of four has at least so much."""


def fleet(rate: float, **options: object) -> Fleet:
    """Four processes that share an account."""
    return Fleet(account(rate, 0.2), store=VirtualStore(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("rate", "depth"), [(14, 1.0), (100, 0.2)])
def test_four_use_a_known_rate_together(rate: float, depth: float) -> None:
    """Fairly, without a throttle, and with a bounded number of requests however high the rate is."""
    four = Fleet(account(rate, depth), store=VirtualStore(), cap=rate)
    run(four.run(10))
    assert four.used(2, 10) >= 0.99
    assert four.refused(0, 10) <= 0.001
    assert four.peak(2, 10) <= max(1.05 * rate, rate + 1)
    assert min(four.shares(2, 10)) >= SHARE
    assert within(four.store.calls, 2, 10) / 8 <= 60  # type: ignore[union-attr]
    assert four.lost == 0


@pytest.mark.parametrize(("stall", "answer", "most"), [(0.06, 0.0, 1.05), (0.0, 0.15, 1.06)], ids=["machine", "ledger"])
def test_what_stands_still_makes_nobody_fast(stall: float, answer: float, most: float) -> None:
    """
    A machine that stands still now and then, or a ledger that answers late, costs slots: no second has more for it.

    What is asked of a second is 1.05 of the rate; slots that are used too late would come on top of those that follow.
    """
    four = fleet(500, cap=500)
    chance, store = Random(1), four.store

    async def stands_still() -> None:
        while True:
            await asyncio.sleep(chance.uniform(0.2, 0.6))
            block(chance.uniform(0.3, 1.0) * stall)
            store.slow = chance.uniform(0.3, 1.0) * answer  # type: ignore[union-attr]
            await asyncio.sleep(0.05)
            store.slow = 0.0  # type: ignore[union-attr]

    async def main() -> None:
        standing = asyncio.create_task(stands_still())
        await four.run(8)
        standing.cancel()

    run(main())
    assert four.peak(2, 8) <= most * 500
    assert four.refused(0, 8) <= 0.001
    assert four.used(2, 8) >= 0.94
    assert four.lost == 0


def test_four_find_a_hidden_rate_together() -> None:
    """One law learns from the evidence of all."""
    four = Fleet(account(100), store=VirtualStore())
    run(four.run(35))
    assert four.used(15, 35) >= 0.98
    assert four.refused(15, 35) <= 0.006
    assert min(four.shares(15, 35)) >= SHARE


def test_one_throttle_slows_all() -> None:
    """The rate halves: what one process hears, the others act upon, and none of them has to be refused by itself."""
    four = Fleet(account(((0, 200.0), (10, 100.0))), store=VirtualStore(), told=200)
    run(four.run(25))
    assert four.refused(10, 25) <= 0.02
    assert four.used(14, 25) >= 0.97


def test_one_discovery_speeds_all() -> None:
    """The rate doubles, and all of them use it."""
    four = Fleet(account(((0, 100.0), (20, 200.0))), store=VirtualStore(), told=100)
    run(four.run(40))
    assert four.used(34, 40) >= 0.97
    assert min(four.shares(34, 40)) >= SHARE


def test_ten_that_start_cold_make_no_storm() -> None:
    """Ten processes within a second, as after a deployment: the search is one, not ten."""
    ten = Fleet(account(100), count=10, store=VirtualStore(), starts=1.0)
    run(ten.run(45))
    assert ten.refused(0, 45) <= 0.01


def test_one_takes_all_where_the_others_have_nothing_to_send() -> None:
    """Shares are of who sends, not of who is there."""

    async def alone() -> Fleet:
        one = fleet(100, cap=100, count=1)
        idle = Limiter(shared=one.store)
        async with idle.admit():
            pass
        await one.run(6)
        await idle.aclose()
        return one

    assert run(alone()).used(2, 6) >= 0.99


def failing(fails: Callable[[VirtualStore], None], ends: Callable[[VirtualStore], None] = lambda _: None) -> Fleet:
    """Four processes at a known rate, whose store fails from 5 s to 8 s."""

    def plan(four: Fleet) -> None:
        loop = asyncio.get_running_loop()
        assert four.store is not None
        loop.call_at(5.0, fails, four.store)
        loop.call_at(8.0, ends, four.store)

    four = fleet(100, cap=100)
    run(four.run(14, plan))
    assert four.lost == 0
    return four


def longest_wait(four: Fleet) -> float:
    """Seconds from one message of all to the next."""
    return max(later - earlier for earlier, later in itertools.pairwise(four.times()) if earlier > 2)


@pytest.mark.parametrize(
    "fails",
    [
        lambda store: setattr(store, "away_until", 8.0),
        lambda store: setattr(store, "frozen_until", 8.0),
        lambda store: store.empty(),
    ],
    ids=["away", "frozen", "empty"],
)
def test_a_store_that_fails_costs_a_tenth_and_never_the_rate(fails: Callable[[VirtualStore], None]) -> None:
    """Each goes on with its last share; coming back is no burst; what becomes of the store stops no message."""
    four = failing(fails)
    assert four.peak(1, 14) <= 108
    assert four.refused(0, 14) <= 0.005
    assert four.used(5.5, 8) >= 0.85
    assert four.used(10.5, 14) >= 0.98  # who comes back asks within 1 s, and keeps to its share for 1.5 s
    assert longest_wait(four) <= 0.3


def test_one_that_is_cut_off_lives_on_what_the_others_leave_it() -> None:
    """Together they send the rate, and never above; what it had is given to them again when it is back."""

    def plan(four: Fleet) -> None:
        asyncio.get_running_loop().call_at(5.0, setattr, four.ways[0], "cut_until", 9.0)

    four = fleet(200, cap=200)
    run(four.run(13, plan))
    assert four.peak(2, 13) <= 1.05 * 200
    assert four.refused(0, 13) <= 0.001
    assert four.used(6, 9) >= 0.95
    assert 0.15 <= four.shares(6, 9)[0] <= 0.25
    assert four.used(10.5, 12.5) >= 0.98
    assert four.lost == 0


def test_a_copy_without_the_last_writes_gives_nothing_away_twice() -> None:
    """A failover to a replica that has not seen the last half second."""

    def plan(four: Fleet) -> None:
        loop, store = asyncio.get_running_loop(), four.store
        assert store is not None

        def failed_over() -> None:
            copy = store.copy()
            loop.call_later(0.5, setattr, store, "ledger", copy)
            loop.call_later(0.5, setattr, store, "away_until", loop.time() + 0.6)

        loop.call_at(5.0, failed_over)

    four = fleet(200, cap=200)
    run(four.run(9, plan))
    assert four.peak(2, 9) <= 1.05 * 200
    assert four.refused(0, 9) <= 0.001
    assert four.lost == 0


def test_one_that_is_killed_where_nobody_sees_it_costs_its_part_for_ten_seconds() -> None:
    """Nobody can tell it from one that is cut off."""
    four = fleet(100, cap=100)

    def plan(four: Fleet) -> None:
        asyncio.get_running_loop().call_at(4.0, four.kill, 0)

    run(four.run(19, plan))
    assert four.peak(2, 19) <= 106
    assert 0.74 <= four.used(5, 13) <= 0.81
    assert four.used(15, 18.5) >= 0.98


async def test_one_whose_loop_is_closed_is_known_to_have_ended(tmp_path: Path) -> None:
    """Nobody gave it back: the next one of the same process says so, and the rate is whole again."""
    store = HostRate(f"{tmp_path}/ledger")

    async def forgetful() -> None:
        async with Limiter(100, max_rate=100, shared=store).admit():
            pass

    await asyncio.to_thread(asyncio.run, forgetful())
    limiter = Limiter(100, max_rate=100, shared=store)
    await _passes(limiter)
    await asyncio.sleep(0.2)
    async with asyncio.timeout(5.0):
        await _passes(limiter)
        while limiter.rate < 100:
            await _passes(limiter)
    await limiter.aclose()


def test_a_ceiling_of_one_process_binds_all() -> None:
    """Of a guard or a warm-up, until it is taken away, also where its own process has nothing to send."""

    async def main() -> list[int]:
        store, loop = VirtualStore(), asyncio.get_running_loop()
        guard, other = (Limiter(100, max_rate=100, shared=store) for _ in range(2))
        await _passes(guard)
        guard.ceiling("guard", 40.0)
        counts = []
        for ends in (1.0, 6.0, 7.0, 12.0):
            counts.append(0)
            if ends == 7.0:
                guard.ceiling("guard", None)
            while loop.time() < ends:
                await _passes(other)
                counts[-1] += 1
        for limiter in (guard, other):
            await limiter.aclose()
        return counts

    _, bound, _, free = run(main())
    assert bound == pytest.approx(200, abs=4)
    assert free == pytest.approx(500, abs=6)


def test_a_slow_store_is_asked_for_more_at_once() -> None:
    """Answers that take 0.15 s: leases are as long as the way. Where it ends, late and early slots meet once."""
    four = failing(lambda store: setattr(store, "slow", 0.15), lambda store: setattr(store, "slow", 0.0))
    assert four.peak(1, 14) <= 120
    assert four.refused(0, 14) <= 0.005
    assert four.used(5.5, 8) >= 0.6
    assert four.used(10, 14) >= 0.97


def test_without_a_store_from_the_start_the_rate_is_found_alone() -> None:
    """What was told is for all of them, and how many they are nobody knows: the search begins low."""

    async def alone() -> list[float]:
        store = VirtualStore()
        store.away_until = 1e9
        limiter = Limiter(100, shared=store)
        times = []
        for _ in range(20):
            async with limiter.admit():
                times.append(asyncio.get_running_loop().time())
                await asyncio.sleep(0.01)
        await limiter.aclose()
        return times

    times = run(alone())
    assert times[0] <= 0.3
    assert within(times, 0, 1.0) < 10


def test_a_large_message_is_paid_for_by_all() -> None:
    """Fifty recipients at 100/s: for half a second nobody else's message goes, in whichever process."""

    async def one_large() -> list[float]:
        store = VirtualStore()
        limiters = [Limiter(100, shared=store) for _ in range(2)]
        for limiter in limiters:
            async with limiter.admit():
                pass
        await asyncio.sleep(1.0)
        loop = asyncio.get_running_loop()
        async with limiters[0].admit(50):
            begun = loop.time()
        await asyncio.sleep(0.01)
        after = []
        for limiter in limiters:
            async with limiter.admit():
                after.append(loop.time() - begun)
            await limiter.aclose()
        return after

    after = run(one_large())
    assert 0.45 <= min(after) <= max(after) <= 0.56


def test_headroom_is_left_to_others() -> None:
    """A tenth of the account, in one process and in four."""
    four = fleet(100, cap=100, headroom=0.1)
    run(four.run(8))
    one = Fleet(account(100, 0.1), count=1, cap=100, headroom=0.1)
    run(one.run(8))
    assert four.used(2, 8) == pytest.approx(0.9, abs=0.01)
    assert one.used(2, 8) == pytest.approx(0.9, abs=0.01)


def test_the_account_is_asked_for_by_one() -> None:
    """`GetAccount` is rationed: one process asks, and all know."""

    async def ask() -> tuple[list[int], list[float | None]]:
        store = VirtualStore()
        limiters = [Limiter(shared=store) for _ in range(3)]
        services = [WithQuota(quotas=[SendQuota(50_000, 14, 0)]) for _ in limiters]

        async def send(number: int) -> None:
            async with Sender(services[number], limiter=limiters[number]) as sender:
                await asyncio.sleep(0.3 * number)
                await sender.send(Message("a@example.com", ("b@example.org",), b"Subject: x\r\n\r\nx\r\n"))
                await asyncio.sleep(3.0)

        await asyncio.gather(*(send(number) for number in range(3)))
        return [len(service.asked) for service in services], [limiter.estimate for limiter in limiters]

    asked, estimates = run(ask())
    assert sorted(asked) == [0, 0, 1]
    assert estimates == [14, 14, 14]


@pytest.mark.parametrize("count", [1, 4])
def test_transactional_mail_does_not_wait_behind_a_campaign(count: int) -> None:
    """In this process or in others: 99 of 100 within 0.1 s at 50/s; the campaign keeps the rest."""

    async def both() -> tuple[list[float], float]:
        loop = asyncio.get_running_loop()
        store = VirtualStore() if count > 1 else None
        limiters = [Limiter(50, max_rate=50, shared=store) for _ in range(count)]
        for limiter in limiters:
            limiter.lane("transactional", priority=1)
        waits: list[float] = []
        sent = 0

        async def campaign(limiter: Limiter) -> None:
            nonlocal sent
            while loop.time() < 20:
                async with limiter.admit():
                    sent += 1

        async def transactional() -> None:
            for number in range(90):
                await asyncio.sleep(0.2)
                begun = loop.time()
                async with limiters[number % count].admit(lane="transactional"):
                    waits.append(loop.time() - begun)

        await asyncio.gather(*(campaign(limiter) for limiter in limiters for _ in range(5)), transactional())
        for limiter in limiters:
            await limiter.aclose()
        return waits, sent / 20

    waits, campaigns = run(both())
    assert sorted(waits)[len(waits) * 99 // 100 - 1] <= 0.1
    assert campaigns >= 0.97 * 45


async def test_what_nobody_needs_any_more_is_not_asked() -> None:
    """A limiter that is idle has no task, and holds nothing open."""
    store = VirtualStore()
    limiter = Limiter(100, shared=store)
    async with limiter.admit():
        pass
    await limiter.aclose()
    assert len(asyncio.all_tasks()) == 1


# Why the account rests.


def test_one_hears_that_the_day_is_used_up_and_all_rest() -> None:
    """
    Of four processes whose account has a day of 300 recipients, the first that is refused tells the others.

    Each would be refused by itself otherwise, and again with every probe: what is under way at that moment is refused,
    and then one probe at a time.
    """
    service = SimulatedAccount(Schedule.constant(100.0), depth=1.0, max_24_hour_send=300)
    four = Fleet(service, store=VirtualStore(), told=100)
    run(four.run(60))
    decisions = [decision for each in four.services for decision in each.decisions]
    over = [decision.at for decision in decisions if decision.verdict is Verdict.QUOTA_EXCEEDED]
    assert len(four.times()) == 300
    assert {limiter.paused for limiter in four.limiters} == {Reason.QUOTA_EXCEEDED}
    assert sum(at > min(over) + 0.5 for at in over) <= 4


def test_a_hold_holds_all_until_it_is_released_or_its_process_is_gone() -> None:
    """A guard of the reputation holds the account, and not one of its processes."""
    held_at: list[float] = []

    def plan(four: Fleet) -> None:
        loop = asyncio.get_running_loop()
        loop.call_at(5.0, four.limiters[0].hold, "too many bounces")
        loop.call_at(5.5, lambda: held_at.append(sum(each.paused == "too many bounces" for each in four.limiters)))
        loop.call_at(15.0, four.limiters[0].release, "too many bounces")

    four = Fleet(account(100, 0.2), store=VirtualStore(), cap=100)
    run(four.run(25, plan))
    assert held_at == [4]
    assert within(four.times(), 5.3, 15.0) == 0
    assert four.used(17.0, 25.0) >= 0.98


def test_a_hold_ends_with_its_process() -> None:
    """What a process told is forgotten when it is not heard of for three seconds; then the grace is over too."""

    async def main() -> tuple[float, float]:
        store, loop = VirtualStore(), asyncio.get_running_loop()
        one, other = (Limiter(100, max_rate=100, shared=store) for _ in range(2))
        for limiter in (one, other):
            async with limiter.admit():
                pass
        one.hold("a guard")
        await asyncio.sleep(0.5)
        held = asyncio.create_task(_passes(other))
        await asyncio.sleep(10.0)
        assert not held.done()
        killed_at = loop.time()
        assert one._member is not None
        assert one._member._task is not None
        one._member._task.cancel()
        await held
        ended = loop.time() - killed_at
        await other.aclose()
        return killed_at, ended

    _, ended = run(main())
    assert 2.0 <= ended <= 5.0


async def _passes(limiter: Limiter) -> None:
    async with limiter.admit():
        pass


def test_what_a_warm_up_keeps_back_is_nothing_to_others() -> None:
    """Its cap is this process's; the account has a day that is not used up."""

    async def main() -> str | None:
        store = VirtualStore()
        one, other = (Limiter(100, max_rate=100, shared=store) for _ in range(2))
        with suppress(TransportError):
            async with one.admit():
                raise TransportError(Outcome.QUOTA_EXCEEDED, "tomorrow", retry_after=9e3, stage=Stage.BEFORE)
        assert one.paused == Reason.QUOTA_EXCEEDED
        for _ in range(3):
            await asyncio.sleep(1.0)
            await _passes(other)
        paused = other.paused
        for limiter in (one, other):
            await limiter.aclose()
        return paused

    assert run(main()) is None


@pytest.mark.parametrize("answer", [0.008, 0.04])
def test_few_messages_under_way_are_enough_for_a_part_of_a_high_rate(answer: float) -> None:
    """
    Twenty under way in each of four processes at 2,000/s, which are asked for no more often for that.

    Slots that were used as they come, 40 in 20 ms every 80 ms, needed four times as many under way: at 40 ms an answer
    84 % were used, by 103 requests a second.
    """

    async def main() -> tuple[float, float]:
        store, loop, chance = VirtualStore(), asyncio.get_running_loop(), Random(1)
        limiters = [Limiter(2000, max_rate=2000, shared=store) for _ in range(4)]
        sent: list[float] = []

        async def attempts(limiter: Limiter) -> None:
            while loop.time() < 4.0:
                async with limiter.admit():
                    sent.append(loop.time())
                    await asyncio.sleep(chance.uniform(0.5, 1.4) * answer)

        await asyncio.gather(*(attempts(limiter) for limiter in limiters for _ in range(20)))
        for limiter in limiters:
            await limiter.aclose()
        return within(sent, 1.0, 4.0) / 6000, within(store.calls, 1.0, 4.0) / 3.0

    used, asked = run(main())
    assert used >= 0.97
    assert asked <= 60
