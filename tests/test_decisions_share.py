"""What a share of a common rate decides while its ledger cannot be asked, and what is seldom met elsewhere."""

from __future__ import annotations

import math
from random import Random

import pytest

from seslimit._law.alone import Alone, Reserve
from seslimit._law.day import DAY, RollingDay
from seslimit._law.ledger import LATE
from seslimit._law.parts import ALONE, KEEPS, SECOND
from seslimit._law.share import Demand, Share

pytestmark = pytest.mark.once


def share(start: float | None = 100.0, max_rate: float | None = None) -> Share:
    """A share that was never answered."""
    return Share("a", start, max_rate, Random(1))


def cut_off(share: Share, now: float = 10.0) -> Share:
    """The same, whose request was not answered."""
    share.lost(now)
    return share


class TestWithoutALedger:
    """The ledger has never answered, or does not any more."""

    def test_what_becomes_of_messages_is_told_to_nobody_before_the_first_answer(self) -> None:
        """The ledger's clock is not known yet, so that no moment can be named to it."""
        one = share()
        one.accepted(1.0, 1.0, admitted_at=0.9, decided_at=0.95)
        one.throttled(1.0, 1.0, admitted_at=0.9, decided_at=0.95)
        assert one.due(1.0, Demand()) == math.inf
        assert not one.congested

    def test_nothing_waits_for_a_gap_or_pays_ahead_while_slots_are_given_away(self) -> None:
        """Who has the next slot is another process."""
        one = share()
        assert (one.held_until, one.spaced_until, one.ahead(1.0, 40.0), one.steady_until(1.0)) == (
            0.0,
            0.0,
            0.0,
            math.inf,
        )
        assert not one.alone
        assert not one.leads

    def test_it_begins_when_its_last_request_would_have_been_given_up(self) -> None:
        """The others have left no room before."""
        one = share()
        assert one.turn_at(1.0) == math.inf
        one.lost(1.0)
        assert one.turn_at(1.0) == one._called_at + LATE / SECOND == -math.inf  # it has not asked

    def test_alone_its_own_law_learns(self) -> None:
        """A throttle lowers the rate at once, and is reported to nobody."""
        one = cut_off(share(None, 50.0))
        for number in range(200):
            now = 11.0 + number / 20.0
            one.admitted(now, 1.0, waited=True)
            one.accepted(now + 0.05, 1.0, admitted_at=now, decided_at=now + 0.04)
        before = one.rate(21.0)
        one.admitted(21.0, 1.0, waited=True)
        one.throttled(21.05, 1.0, admitted_at=21.0, decided_at=21.04)
        assert one.alone
        assert one.rate(21.06) < before
        assert one.held_until > 21.05
        assert not one.congested

    def test_alone_large_messages_wait_as_they_do_without_others(self) -> None:
        """Its law knows how unevenly messages arrive."""
        one = cut_off(share(None, 100.0))
        for number in range(400):
            now = 11.0 + number / 50.0
            took = 0.15 if number % 2 else 0.05
            one.admitted(now, 1.0, waited=True)
            one.accepted(now + took, 1.0, admitted_at=now, decided_at=now + took)
        assert one.ahead(20.0, 40.0) > 0.0
        assert one.ahead(20.0, 1.0) == 0.0

    def test_what_the_account_says_bounds_it_alone_too(self) -> None:
        """GetAccount is asked by each that is alone."""
        one = cut_off(share(None, 100.0))
        one.cap(11.0, 5.0)
        assert one.rate(1_000.0) <= 5.0

    @pytest.mark.parametrize("before", [True, False], ids=["paused before", "paused then"])
    def test_a_pause_stops_growth_alone_too(self, before: bool) -> None:
        """Until sending goes on; it may have begun before the ledger was lost, or after."""
        one = share(None, 100.0)
        if before:
            one.freeze(9.0)
            cut_off(one)
        else:
            cut_off(one).freeze(10.0)
        paused = one.rate(11.0)
        one.admitted(11.0, 1.0, waited=True)
        one.accepted(11.1, 1.0, admitted_at=11.0, decided_at=11.05)
        assert one.rate(60.0) == paused
        one.thaw(60.0)
        one.admitted(60.0, 1.0, waited=True)
        one.accepted(60.1, 1.0, admitted_at=60.0, decided_at=60.05)
        assert one.rate(62.0) > paused

    def test_a_second_failure_only_puts_off_the_next_request(self) -> None:
        """It is alone already."""
        one = cut_off(share())
        was = one.due(10.0, Demand(waiting=1))
        one.lost(20.0)
        assert 10.5 <= was <= 11.0
        assert 20.5 <= one.due(20.0, Demand(waiting=1)) <= 21.0

    def test_another_process_knows_the_rate_and_has_none_of_its_slots(self) -> None:
        """After a fork; where the first is no more, the ledger is told so."""
        one = cut_off(share())
        one.begin_anew("b", ended=True)
        assert (one.member, one.gone, one.alone) == ("b", {"a"}, False)
        one.begin_anew("c", ended=False)
        assert (one.member, one.gone) == ("c", set())
        assert one.rate(1.0) == 100.0


class TestAlone:
    """On the part that is kept for it."""

    def test_its_pace_may_change_at_the_end_of_what_is_kept(self) -> None:
        """Nobody may sleep beyond that moment."""
        ends = 10.0 + KEEPS / SECOND
        one = Alone(10.2, 0.0, Reserve(0.25, 100.0, 4, heard=10.0), None)
        assert one.rate(11.0) == pytest.approx(ALONE * 25.0)
        assert one.steady_until(11.0) <= ends
        assert (one.part(ends - 0.01, 0.25), one.part(ends, 0.25)) == (0.25, 0.0)

    def test_a_pause_outlives_what_is_kept(self) -> None:
        """The law that begins anew is paused as the one before it was."""
        ends = 10.0 + KEEPS / SECOND
        one = Alone(10.2, 0.0, Reserve(0.25, 100.0, 4, heard=10.0), None)
        one.freeze(11.0)
        first = one.rate(ends)
        one.admitted(ends, 1.0, waited=True)
        one.law.accepted(ends + 0.1, 1.0, admitted_at=ends, decided_at=ends)
        assert one.rate(ends + 60.0) == first
        one.thaw(ends + 60.0)
        one.admitted(ends + 60.0, 1.0, waited=True)
        one.law.accepted(ends + 60.1, 1.0, admitted_at=ends + 60.0, decided_at=ends + 60.0)
        assert one.rate(ends + 62.0) > first

    def test_what_went_is_owed_until_its_time_has_passed(self) -> None:
        """The ledger charges it when it is there again."""
        one = Alone(10.0, 0.0, Reserve(0.25, 100.0, 4, heard=10.0), None)
        one.admitted(10.0, 9.0, waited=True)
        assert one.owed(10.0) == pytest.approx(9.0)
        assert one.owed(10.0 + 9.0 / (ALONE * 25.0)) == pytest.approx(0.0)


def test_what_was_accepted_a_day_ago_counts_no_more() -> None:
    """The quota is of a rolling day."""
    day = RollingDay()
    day.accepted(0.0, 3.0)
    day.accepted(DAY - 1.0, 2.0)
    assert len(day._window) == 2
    day.accepted(DAY, 1.0)
    assert [count for _, count in day._window] == [3.0]
