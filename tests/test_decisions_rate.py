"""
The control law, decision by decision: what one reply changes, worked by hand on either side of each boundary.

Simulations of whole services are in `test_rate` and `test_scenarios`; what is right is in `docs/rate.md`.
"""

from __future__ import annotations

import math

import pytest

from seslimit._law.evidence import MARGIN
from seslimit._law.growth import RETURN_GROWTH
from seslimit._law.probe import SHARE
from seslimit._law.rate import FLOOR, GROWTH_SECONDS, REST, SLOWED, UNHEARD, AdaptiveRate

DELAY = 0.1
"""Seconds from admission to reply: the law's own assumption, so that its jitter stays nothing."""


def accept(law: AdaptiveRate, at: float, cost: float = 1.0, *, waited: bool = True, took: float = DELAY) -> None:
    """One message is let through and accepted, decided upon half-way."""
    law.admitted(at, cost, waited=waited)
    law.accepted(at + took, cost, admitted_at=at, decided_at=at + took / 2.0)


def refuse(law: AdaptiveRate, at: float, cost: float = 1.0, times: int = 1, pause: float = 0.0) -> None:
    """So many messages are let through at once, and throttled."""
    for _ in range(times):
        law.admitted(at, cost, waited=True)
    for _ in range(times):
        law.throttled(at + DELAY, cost, admitted_at=at, decided_at=at + DELAY / 2.0, pause=pause)


def steadily(law: AdaptiveRate, begin: float, rate: float, messages: int) -> float:
    """So many messages one after the other, all accepted; the moment after the last."""
    for number in range(messages):
        accept(law, begin + number / rate)
    return begin + messages / rate


class TestCap:
    """What the account is allowed."""

    def test_the_estimate_of_what_is_not_known_is_the_cap(self) -> None:
        """Without either there is none."""
        law = AdaptiveRate()
        assert (law.estimate, law.limit) == (None, None)
        law.cap(0.0, 50.0)
        assert (law.estimate, law.limit, law.rate(0.0)) == (50.0, 50.0, 50.0)
        law.cap(0.0, None)
        assert (law.estimate, law.rate(0.0)) == (50.0, 50.0)

    def test_a_told_rate_is_cut_and_not_raised(self) -> None:
        """The cap of an account that never had one does not raise it; a later one does where the pace stood at it."""
        law = AdaptiveRate(80.0)
        law.cap(0.0, 100.0)
        assert (law.rate(0.0), law.limit, law.estimate) == (80.0, 80.0, 80.0)
        law.cap(1.0, 40.0)
        assert (law.rate(1.0), law.limit, law.estimate) == (40.0, 40.0, 40.0)
        law.cap(2.0, 60.0)
        assert (law.rate(2.0), law.limit, law.estimate) == (60.0, 60.0, 60.0)
        law.cap(3.0, 60.0)
        assert law.rate(3.0) == 60.0

    @pytest.mark.parametrize(("start", "raised"), [(94.9, 94.9), (95.0, 200.0), (100.0, 200.0)])
    def test_a_raise_lifts_a_pace_that_stood_within_a_twentieth_of_the_cap(self, start: float, raised: float) -> None:
        """What a throttle holds down further than that, somebody else uses."""
        law = AdaptiveRate(start)
        law.cap(0.0, 100.0)
        law.cap(1.0, 200.0)
        assert (law.rate(1.0), law.estimate, law.limit) == (raised, raised, raised)

    def test_the_users_ceiling_goes_before_all(self) -> None:
        """The estimate is what the service allows."""
        law = AdaptiveRate(max_rate=30.0)
        law.cap(0.0, 50.0)
        assert (law.rate(0.0), law.estimate) == (30.0, 50.0)


class TestGrowth:
    """When time raises the pace."""

    def test_before_the_first_admission_and_the_first_reply_nothing_grows(self) -> None:
        """A pace that nothing tests proves nothing."""
        law = AdaptiveRate()
        assert law.rate(100.0) == 1.0
        law.admitted(100.0, 1.0, waited=True)
        assert (law.rate(100.5), law.steady_until(100.5)) == (1.0, math.inf)
        law.accepted(100.1, 1.0, admitted_at=100.0, decided_at=100.05)
        assert law.rate(100.5) == pytest.approx(math.sqrt(5.0))
        assert law.steady_until(100.5) == 100.5

    def test_it_ends_a_second_after_the_last_reply_and_the_last_admission(self) -> None:
        """Or four delays, where that is longer."""
        law = AdaptiveRate()
        accept(law, 10.0)
        assert law.rate(99.0) == pytest.approx(5.0)
        assert law.steady_until(10.1 + GROWTH_SECONDS) == math.inf
        slow = AdaptiveRate()
        accept(slow, 10.0, took=20.0)
        delay = 0.1 + 0.05 * 19.9
        assert slow.steady_until(30.0 + UNHEARD * delay - 0.01) == 30.0 + UNHEARD * delay - 0.01
        assert slow.steady_until(30.0 + UNHEARD * delay) == math.inf

    def test_it_is_kept_with_the_next_admission_that_waited(self) -> None:
        """Half a second each time."""
        law = AdaptiveRate()
        accept(law, 10.0)
        accept(law, 10.5)
        assert law.rate(11.0) == pytest.approx(5.0)

    def test_it_is_lost_with_one_that_did_not_wait(self) -> None:
        """There the caller is the bottleneck."""
        law = AdaptiveRate()
        accept(law, 10.0)
        accept(law, 10.5, waited=False)
        assert law.rate(11.0) == pytest.approx(math.sqrt(5.0))

    def test_it_stays_below_what_binds(self) -> None:
        """A cap or the user's ceiling, when it is kept."""
        law = AdaptiveRate(max_rate=2.0)
        accept(law, 10.0)
        accept(law, 11.0)
        assert law.rate(11.0) == 2.0
        free = AdaptiveRate(max_rate=4.0)
        accept(free, 10.0)
        accept(free, 11.0)
        assert free.rate(12.0) == 4.0

    def test_a_remembered_limit_is_returned_to(self) -> None:
        """Doubled in a second from the half that a cohort left, and no further than the limit."""
        law = AdaptiveRate(100.0)
        for number in range(20):
            law.admitted(number / 100.0, 1.0, waited=True)
        for number in range(20):
            heard = law.throttled if number % 2 else law.accepted
            heard(0.2 + number / 100.0, 1.0, admitted_at=number / 100.0, decided_at=number / 100.0)
        accept(law, 1.0)
        pace, limit = law.rate(1.1), law.limit
        assert limit is not None
        assert limit == pytest.approx(97.0)
        assert pace < 60.0
        now = steadily(law, 1.2, 40.0, 80)
        assert pace < law.rate(now) <= limit
        assert law.rate(now) == pytest.approx(min(limit, pace * math.exp(RETURN_GROWTH * 1.0)), rel=0.5)


class TestProbing:
    """When the pace is raised above the limit to see whether that is still the limit."""

    def test_a_told_limit_is_looked_at_after_what_the_budget_allows(self) -> None:
        """Within five hundred messages, by five throttles' worth at 100/s; and then it climbs."""
        law = AdaptiveRate(100.0)
        now, sent = 1.0, 0
        while law.rate(now) == 100.0:
            accept(law, now)
            now, sent = now + 0.01, sent + 1
        assert 300 < sent <= 501
        assert law.rate(now) <= 100.0 * (1.0 + SHARE) + 5.0
        assert law.estimate == law.limit == 100.0

    def test_nothing_is_looked_for_where_nobody_waits(self) -> None:
        """The limiter is not what messages wait for."""
        law = AdaptiveRate(100.0)
        for number in range(1000):
            accept(law, 1.0 + number / 100.0, waited=False)
        assert law.rate(11.0) == 100.0

    @pytest.mark.parametrize(("rest", "looked"), [(REST - 0.5, False), (REST + 1.0, True)])
    def test_after_ten_minutes_without_a_message_it_is_looked_at_soon(self, rest: float, looked: bool) -> None:
        """Within a second or so, where it would have been five."""
        law = AdaptiveRate(100.0)
        now = steadily(law, 1.0, 100.0, 10)
        accept(law, now + rest, waited=False)
        now = steadily(law, now + rest + 0.01, 100.0, 150)
        assert (law.rate(now) > 100.0) is looked


class TestHolding:
    """Before which moment nobody is admitted."""

    def test_a_pause_that_is_asked_for_lasts_from_when_it_was_read(self) -> None:
        """Frozen too; a shorter one changes nothing."""
        law = AdaptiveRate(100.0)
        law.freeze(0.0)
        law.throttled(5.0, 1.0, admitted_at=4.9, decided_at=4.95, pause=60.0)
        law.throttled(6.0, 1.0, admitted_at=4.9, decided_at=4.95, pause=10.0)
        assert (law.held_until, law.estimate) == (65.0, 100.0)

    def test_a_lone_throttle_holds_nobody(self) -> None:
        """It slows for a cushion only, of which there is none without jitter."""
        law = AdaptiveRate(100.0)
        refuse(law, 1.0)
        assert (law.held_until, law.closed) == (0.0, False)
        assert law.rate(1.2) == pytest.approx(100.0 * (1.0 - MARGIN))

    def test_throttles_with_nothing_between_them_hold_what_they_owe(self) -> None:
        """Two recipients at what is left of the rate."""
        law = AdaptiveRate(100.0)
        refuse(law, 1.0, times=2)
        assert law.held_until == pytest.approx(1.1 + 2.0 / 98.25)
        assert not law.closed

    def test_a_service_that_takes_nothing_is_closed_and_one_finds_out(self) -> None:
        """Nobody follows the canary for a second, and each that fails waits half of what has passed."""
        law = AdaptiveRate(100.0)
        refuse(law, 1.0, times=5)
        refuse(law, law.held_until)
        assert law.closed
        at = law.held_until
        law.admitted(at, 1.0, waited=True)
        assert law.held_until == pytest.approx(at + 1.0)
        law.accepted(at + DELAY, 1.0, admitted_at=at, decided_at=at + DELAY / 2.0)
        assert law.held_until == pytest.approx(at + DELAY)
        assert law.turn_at(at) == 0.0
        refuse(law, at + 1.0)
        assert law.held_until <= at + 1.0 + DELAY + 1.0 / FLOOR

    def test_a_gap_between_messages_that_go_one_by_one_is_kept(self) -> None:
        """Where each is alone the service sees the gap, and the next goes a recipient's time after the last."""
        law = AdaptiveRate(2.0)
        accept(law, 1.0, cost=3.0)
        assert law.spaced_until == pytest.approx(1.0 + 3.0 / 2.0)
        accept(law, 3.0, took=0.3)  # decided 0.15 s later than the first, so the next is spaced so much more
        assert law.spaced_until == pytest.approx(3.0 + (0.225 - 0.075) * 0.95 + 0.5)

    def test_a_gap_of_less_than_a_fortieth_of_a_second_is_left_to_the_mean(self) -> None:
        """A late timer would cost more of it than a service that counts over several messages refuses."""
        for pace, spaced in ((40.0, 1.0 + 1.0 / 40.0), (41.0, 0.0)):
            law = AdaptiveRate(pace)
            accept(law, 1.0)
            assert law.spaced_until == pytest.approx(spaced)

    def test_slowed_it_stays_so_until_the_cushion_is_gained(self) -> None:
        """Half of the estimate; the moment is told."""
        law = AdaptiveRate(100.0)
        for number in range(40):
            law.admitted(number / 100.0, 1.0, waited=True)
            took = 0.05 if number % 2 else 0.15
            law.accepted(number / 100.0 + took, 1.0, admitted_at=number / 100.0, decided_at=number / 100.0)
        refuse(law, 0.6)
        until = law.steady_until(0.7)
        assert 0.7 < until < 2.0
        assert law.estimate is not None
        assert law.rate(until - 0.001) == pytest.approx(SLOWED * law.estimate)
        assert law.rate(until) == pytest.approx(law.estimate)


class TestFreezing:
    """Sending rests for another reason than the rate."""

    def test_what_has_grown_is_kept_and_grows_no_more(self) -> None:
        """Until it is thawed and tested again."""
        law = AdaptiveRate()
        accept(law, 10.0)
        law.freeze(10.5)
        assert law.rate(11.0) == pytest.approx(math.sqrt(5.0))
        assert law.steady_until(11.0) == math.inf
        spaced_until = law.spaced_until
        law.admitted(11.0, 1.0, waited=True)
        law.accepted(11.1, 1.0, admitted_at=11.0, decided_at=11.0)
        assert law.spaced_until == spaced_until
        law.thaw(20.0)
        assert law.rate(25.0) == pytest.approx(math.sqrt(5.0))
        accept(law, 25.0)
        assert law.rate(25.5) == pytest.approx(5.0)

    def test_a_throttle_of_before_says_nothing_after(self) -> None:
        """It was under way when the rest ended."""
        law = AdaptiveRate(100.0)
        law.freeze(1.0)
        law.thaw(5.0)
        law.throttled(5.1, 1.0, admitted_at=4.9, decided_at=4.95)
        law.throttled(5.1, 1.0, admitted_at=5.0, decided_at=5.0)
        assert law.estimate == 100.0
        law.throttled(5.2, 1.0, admitted_at=5.1, decided_at=5.1)
        assert law.estimate == pytest.approx(100.0 * (1.0 - MARGIN))

    def test_a_service_that_was_closed_is_tried_like_any_other(self) -> None:
        """Whoever goes first is no canary."""
        law = AdaptiveRate(100.0)
        refuse(law, 1.0, times=5)
        refuse(law, law.held_until)
        assert law.closed
        law.thaw(50.0)
        assert not law.closed


class TestUnknown:
    """While no limit is known."""

    def test_one_at_a_time_is_not_held(self) -> None:
        """The next attempt tells more than a pause; the first two throttles are put down to the rate at once."""
        law = AdaptiveRate()
        refuse(law, 1.0)
        assert (law.held_until, law.rate(1.1)) == (0.0, 1.0)
        accept(law, 2.0)
        assert (law.estimate, law.limit) == (None, None)  # by chance: the search goes on
        refuse(law, 3.0)
        refuse(law, 4.0)
        accept(law, 5.0)
        assert law.estimate is not None
        assert law.limit is not None

    def test_a_service_that_takes_nothing_is_not_paced_below_a_tenth(self) -> None:
        """An attempt in ten seconds finds out whether it is back."""
        law = AdaptiveRate(0.2)
        now = 0.0
        for _ in range(60):
            refuse(law, now, times=4)
            accept(law, now + 0.3)
            now += 0.7
        assert law.rate(now) >= FLOOR
        assert law.estimate is not None
        assert law.estimate >= FLOOR
