"""What a throttle is put down to: chance on the way up, somebody else's message, or a look that was paid for."""

from __future__ import annotations

import attrs
import pytest

from seslimit._law.closure import Closure
from seslimit._law.elsewhere import Elsewhere
from seslimit._law.evidence import Arrivals, Event
from seslimit._law.search import Search
from seslimit._law.trust import CREDIT, Trust

pytestmark = pytest.mark.once


def event(first: float = 10.0, before: float = 140.0, seconds: float | None = 10.0, again: bool = False) -> Event:
    """Two throttles at 14/s that nothing followed."""
    return Event(
        opened=first + 0.1,
        first=first,
        last=first,
        pace=14.0,
        prior=14.0,
        strong=True,
        seconds=seconds,
        before=before,
        drawn=0.0,
        after=[],
        arrivals=Arrivals(),
        again=again,
        throttles=2,
        refused=2.0,
    )


class TestSearch:
    """On the way up to a limit that is not known."""

    def test_one_throttle_does_not_end_it_and_two_in_a_row_do(self) -> None:
        """With an empty bucket most of what follows is throttled."""
        search = Search()
        search.attempted(throttled=True)
        assert not search.over
        search.attempted(throttled=True)
        assert search.over

    def test_a_tenth_throttled_by_chance_does_not_end_it(self) -> None:
        """Evenly, one in ten, for as long as it takes."""
        search = Search()
        for number in range(500):
            search.attempted(throttled=number % 10 == 0)
            assert not search.over

    def test_what_was_throttled_far_below_the_limit_is_chance(self) -> None:
        """Two of twenty at 20/s, where the limit is 100/s; at 30/s the limit itself may have been the reason."""
        search = Search()
        for number in range(20):
            search.attempted(throttled=number in (9, 19))
        search.goes_on(20.0)
        assert (search.share(100.0), search.share(30.0)) == (0.1, 0.0)


class TestElsewhere:
    """A bucket that somebody else has emptied."""

    def test_a_service_closed_for_longer_than_ones_own_messages_explain_excuses_the_limit(self) -> None:
        """50 recipients at 14/s leave it closed for three seconds, and 9/s came through since it was last closed."""
        elsewhere = Elsewhere()
        elsewhere.empties(event(0.0), 14.0, 3, 0.0)
        elsewhere.empties(event(20.0, before=180.0), 14.0, 3, 0.0)
        assert not elsewhere.goes_on(event(20.2, again=True))
        assert elsewhere.goes_on(event(21.5, again=True))
        assert (elsewhere.limit, elsewhere.strength) == (14.0, 3)

    def test_a_limit_that_is_too_high_is_not_excused(self) -> None:
        """Nearly the limit came through: its throttles are its own."""
        elsewhere = Elsewhere()
        elsewhere.empties(event(0.0), 14.0, 3, 3.0)
        assert not elsewhere.empties(event(20.0, before=275.0), 14.0, 3, 3.0)
        assert not elsewhere.goes_on(event(21.5, again=True))

    def test_where_it_was_closed_for_long_before_no_canary_has_to_show_it_again(self) -> None:
        """It was closed for three seconds the last times: the canary goes after them, and comes through."""
        elsewhere = Elsewhere()
        elsewhere.empties(event(0.0), 14.0, 3, 0.0)
        assert elsewhere.empties(event(20.0, before=180.0), 14.0, 3, closed=3.0)
        assert not elsewhere.empties(event(40.0, before=180.0), 14.0, 3, closed=0.1)

    @pytest.mark.parametrize(("seconds", "excused"), [(6.0, False), (20.0, True)])
    def test_a_limit_that_nothing_has_confirmed_has_to_have_lasted(self, seconds: float, excused: bool) -> None:
        """One that is a tenth too high empties a bucket of one second in ten."""
        elsewhere = Elsewhere()
        elsewhere.empties(event(0.0), 14.0, 0, 0.0)
        assert elsewhere.empties(event(seconds, before=9.0 * seconds), 14.0, 0, closed=3.0) is excused


class TestClosure:
    """A service that takes nothing for a while."""

    @staticmethod
    def emptied(closure: Closure, at: float, debt: float) -> int:
        """Live through an emptiness of so many seconds; the canaries that failed."""
        closure.event(at)
        canary, failed = at + closure.wait(at, 0.2), 0
        while canary < at + debt:
            closure.event(canary)
            canary, failed = canary + closure.wait(canary, 0.1), failed + 1
        closure.opened(canary, usual=True)
        return failed

    def test_a_debt_that_comes_again_costs_a_canary_now_and_then(self) -> None:
        """Another sender's 50 recipients at 14/s are 3.6 s: found once, then looked for a little earlier at times."""
        closure = Closure()
        failed = [self.emptied(closure, 20.0 * number, 3.57) for number in range(40)]
        assert failed[0] >= 4
        assert sum(failed[1:]) <= 13
        assert 3.57 <= closure.usual <= 1.35 * 3.57

    def test_a_shorter_debt_is_found(self) -> None:
        """Nobody waits for long after each emptiness since it once was long."""
        closure = Closure()
        for number, debt in enumerate([9.0] * 3 + [1.0] * 20):
            self.emptied(closure, 20.0 * number, debt)
        assert closure.usual < 2.0

    def test_what_closed_it_while_no_limit_was_known_says_nothing_of_later(self) -> None:
        """It was one's own overshoot."""
        closure = Closure()
        closure.event(0.0)
        closure.wait(0.0, 5.0)
        closure.opened(5.0, usual=False)
        assert (closure.usual, closure.closed_for, closure.closed) == (0.0, 0.0, False)


class TestAccount:
    """What looking for a higher rate may cost."""

    @staticmethod
    def due(trust: Trust) -> float:
        """Recipients until the next look at 14/s."""
        trust.look_later(14.0, Arrivals(), 1.0)
        return trust.due

    def test_looks_that_find_nothing_are_paid_for_before_the_next(self) -> None:
        """Ten throttles more than the account holds are five thousand attempts of 0.2 %."""
        trust = Trust(0.002)
        trust.learn(event(), None, 14.0)
        soon = self.due(trust)
        for _ in range(20):
            trust.spent(event(), 14.0, 14.0)
        assert soon < 100.0
        assert self.due(trust) == pytest.approx(-CREDIT[1] / 0.002, rel=0.01)

    def test_a_look_that_finds_another_limit_costs_nothing(self) -> None:
        """That is what it is for."""
        trust = Trust(0.002)
        trust.learn(event(), None, 14.0)
        for _ in range(20):
            trust.spent(event(), 14.0, 28.0)
        assert self.due(trust) < 100.0

    def test_after_a_long_rest_it_looks_soon(self) -> None:
        """Overnight the rate may have become another."""
        trust = Trust(0.002)
        trust.learn(event(), None, 14.0)
        for _ in range(20):
            trust.spent(event(), 14.0, 14.0)
        trust.rested(14.0, Arrivals())
        assert trust.due < 100.0


def test_a_measurement_of_a_few_delays_raises_no_limit() -> None:
    """Eighty messages in 0.3 s, where a reply takes 0.1 s: decisions are placed no better than that."""
    assert event(before=80.0, seconds=0.3).measured() == 14.0
    assert (attrs.evolve(event(), before=200.0, seconds=10.0).measured() or 0.0) > 14.0


def test_a_large_message_among_small_ones_is_partly_paid_for_before_it_goes() -> None:
    """Two mean deviations of the way to the service, 40 ms here, at 100/s; one as large as most pays nothing."""
    arrivals = Arrivals(jitter=0.02)
    paid = [arrivals.ahead(cost, 100.0) for cost in (1.0, 3.0, 40.0)]
    assert paid == pytest.approx([0.0, 2.0, 4.0])


def test_the_first_look_is_due_after_the_messages_of_its_budget_however_large_they_are() -> None:
    """One throttle in 500 attempts is allowed: at five recipients a message, that is after 2,500 recipients."""
    trust, arrivals = Trust(0.002), Arrivals(costs=5.0, squares=100.0)
    early = trust.due, trust.ready(arrivals)
    assert (early, trust.due, trust.ready(arrivals)) == ((500.0, False), 2500.0, True)
