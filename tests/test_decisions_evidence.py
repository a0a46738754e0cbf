"""
What one emptiness of the bucket measures: the decisions of `_law` on either side of each boundary, worked by hand.

What is right is in the docstrings of the modules and in `docs/rate.md`; the numbers of a boundary are the modules' own.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from seslimit._law.closure import LONGEST_HOLD, Closure
from seslimit._law.elsewhere import Elsewhere
from seslimit._law.evidence import DEEPEST_FALL, MARGIN, START_RATE, STEP, Arrivals, Event
from seslimit._law.growth import LEAST_GROWTH, grown
from seslimit._law.probe import probe
from seslimit._law.search import Search
from seslimit._law.taken import ASSUMED_DEPTH, Taken

from . import law_events


def emptied(**told: Any) -> Event:
    """The event of single recipients, 0.125 s away."""
    return law_events.emptied(**{"arrivals": Arrivals(delay=0.125), "refused": 1.0, **told})


class TestGrown:
    """One equation in three stretches."""

    LOW = 100.0 / math.sqrt(2.0 * 0.5)
    HIGH = 100.0 / math.sqrt(2.0 * LEAST_GROWTH)

    @pytest.mark.parametrize(
        ("rate", "seconds", "found"),
        [
            (10.0, 0.0, 10.0),
            (10.0, 2.0, 10.0 * math.e),
            (LOW / math.e, 2.0, LOW),
            (LOW / math.e, 3.0, math.hypot(LOW, 100.0)),
            (LOW, 0.25, math.hypot(LOW, 50.0)),
            (200.0, 1.0, math.hypot(200.0, 100.0)),
            (HIGH / 2.0, 0.75 * HIGH**2 / 10_000.0, HIGH),
            (HIGH / 2.0, 0.75 * HIGH**2 / 10_000.0 + 1.0, HIGH * math.exp(LEAST_GROWTH)),
            (HIGH, 10.0, HIGH * math.exp(10.0 * LEAST_GROWTH)),
            (2.0 * HIGH, 0.0, 2.0 * HIGH),
        ],
    )
    def test_a_rate_grows_by_a_share_then_by_the_root_then_by_a_share_again(
        self, rate: float, seconds: float, found: float
    ) -> None:
        """With a growth of 0.5/s and a stride of 100."""
        assert grown(rate, seconds, 0.5, 100.0) == pytest.approx(found)


class TestProbe:
    """How far above the limit, and for how long."""

    @pytest.mark.parametrize(
        ("pace", "full", "excess", "seconds"),
        [
            (10.0, False, 3.0, 2.0 / 3.0),
            (16.0, False, 4.8, 2.0 / 4.8),
            (100.0, False, 5.0, 0.4),
            (10.0, True, 3.0, 10.0 / 3.0),
            (1.0, True, 0.3, 2.0 / 0.3),
            (100.0, True, 20.0, 5.0),
        ],
    )
    def test_a_probe_costs_the_throttles_it_is_given_or_a_share_of_the_pace(
        self, pace: float, full: bool, excess: float, seconds: float
    ) -> None:
        """Half a throttle a delay, two where the bucket may be full, and never more than 30 %."""
        assert probe(pace, Arrivals(), full=full) == pytest.approx((excess, seconds))

    def test_the_order_of_arrivals_is_no_emptiness(self) -> None:
        """What jitter may draw the bucket down by is added to what the probe has to draw, twice."""
        arrivals = Arrivals(jitter=0.01)
        assert arrivals.cushion(100.0) == pytest.approx(2.0)
        assert probe(100.0, arrivals, full=False) == pytest.approx((5.0, 6.0 / 5.0))


class TestSearch:
    """Chance or the limit, by their likelihood."""

    @pytest.mark.parametrize(
        ("heard", "over"),
        [("-", False), ("--", True), ("-+-", False), ("-+--", True), ("+++++++--", True), ("-+++-", False)],
    )
    def test_throttles_that_are_no_chance_end_it(self, heard: str, over: bool) -> None:
        """Two in a row are enough however much was accepted before; between acceptances it takes three."""
        search = Search()
        for each in heard:
            search.attempted(throttled=each == "-")
        assert search.over is over

    def test_the_share_of_chance_is_what_was_throttled_far_below_the_limit(self) -> None:
        """Of the paces below half of the limit the one with the most throttles counts; what came later does not."""
        search = Search()
        for pace, heard in ((10.0, "+++-"), (49.0, "+++++-"), (50.0, "---")):
            for each in heard:
                search.attempted(throttled=each == "-")
            search.goes_on(pace)
        assert search.share(100.0) == 2 / 10
        assert search.share(101.0) == 5 / 13
        assert search.share(90.0) == 0.0  # one throttle may have come by chance
        assert search.share(20.0) == 0.0


class TestArrivals:
    """Running means of one twentieth."""

    def test_delay_and_jitter_follow_the_replies(self) -> None:
        """The deviation is from the mean of before."""
        arrivals = Arrivals()
        arrivals.observe(0.3)
        assert (arrivals.delay, arrivals.jitter) == pytest.approx((0.11, 0.01))
        arrivals.observe(0.11)
        assert (arrivals.delay, arrivals.jitter) == pytest.approx((0.11, 0.0095))

    def test_a_reply_in_no_time_takes_a_millisecond(self) -> None:
        """A blocked event loop makes admission and reply one moment."""
        arrivals = Arrivals(delay=0.001)
        arrivals.observe(-1.0)
        assert (arrivals.delay, arrivals.jitter) == (0.001, 0.0)

    def test_a_decision_is_about_more_recipients_than_a_message_has_on_average(self) -> None:
        """One message of fifty among single ones: a recipient sees the large one."""
        arrivals = Arrivals()
        arrivals.sent(50.0)
        assert arrivals.cost == pytest.approx(1.0 + 0.05 * 49.0)
        assert arrivals.quantum == pytest.approx((1.0 + 0.05 * 2499.0) / (1.0 + 0.05 * 49.0))

    def test_a_message_to_nobody_has_a_hundredth_of_a_recipient(self) -> None:
        """A mean of nothing has no spread."""
        arrivals = Arrivals()
        arrivals.sent(0.0)
        assert arrivals.cost == pytest.approx(0.95 + 0.05 * 0.01)

    def test_where_one_goes_at_a_time_only_its_own_jitter_counts(self) -> None:
        """At 10/s and 0.1 s there is more than one under way, below it there is not."""
        arrivals = Arrivals(jitter=0.02)
        assert arrivals.cushion(9.0) == pytest.approx(2.0 * 9.0 * 0.02)
        assert arrivals.cushion(10.0) == pytest.approx(2.0 * math.sqrt(10.0 * 0.02))

    def test_a_decision_is_late_by_what_it_took_beyond_the_shortest(self) -> None:
        """A new connection takes longer, and is not what the others take."""
        arrivals = Arrivals()
        assert arrivals.decided(0.05) == 0.0
        assert arrivals.decided(0.25) == pytest.approx(0.2 - 0.05 * 0.2)
        assert arrivals.lag == pytest.approx(0.06)
        assert arrivals.decided(0.06) == 0.0
        assert arrivals.decided(-1.0) == 0.0
        assert arrivals.lag == 0.0


class TestTaken:
    """What counts between two emptinesses."""

    def test_what_was_decided_before_the_beginning_does_not_count(self) -> None:
        """Nor what was decided in that very moment."""
        taken = Taken()
        for at in (1.0, 2.0, 3.0):
            taken.add(3.5, 5.0, at)
        taken.empty(2.0)
        taken.add(3.5, 7.0, 2.0)
        assert (taken.before(9.0), taken.seconds(5.0), taken.seconds(1.0)) == (5.0, 3.0, 0.0)
        assert taken.after(2.5) == [(3.0, 5.0)]
        assert taken.after(3.0) == []
        assert taken.before(2.9) == 0.0

    def test_old_decisions_are_settled_and_count_on(self) -> None:
        """Four seconds are remembered one by one; older ones are a sum."""
        taken = Taken()
        taken.empty(0.0)
        for at in (1.0, 2.0, 6.0):
            taken.add(at, 1.0, at)
        assert taken.after(0.0) == [(2.0, 1.0), (6.0, 1.0)]
        assert taken.before(6.0) == 3.0
        taken.add(6.5, 1.0, 6.5)
        assert taken.before(6.5) == 4.0
        taken.empty(6.0)
        assert taken.before(7.0) == 1.0

    def test_without_a_beginning_there_is_no_stretch(self) -> None:
        """But what was taken is known."""
        taken = Taken()
        taken.add(1.0, 2.0, 1.0)
        assert (taken.seconds(5.0), taken.before(1.0)) == (None, 2.0)
        taken.opened(4.0)
        assert taken.seconds(5.0) is None
        taken.begin(1.0)
        assert taken.seconds(1.0) == ASSUMED_DEPTH
        taken.forget()
        assert taken.seconds(5.0) is None

    def test_a_debt_was_paid_half_way(self) -> None:
        """Somewhere between the last that was refused and the first that was taken."""
        taken = Taken()
        taken.empty(2.0)
        taken.opened(4.0)
        assert taken.since == 3.0

    def test_a_bucket_of_a_second_had_not_been_empty_before(self) -> None:
        """The lowest rate is that of the stretch which drew most of it."""
        taken = Taken()
        for at, cost in ((0.5, 30.0), (1.0, 1.0), (2.0, 60.0)):
            taken.add(2.0, cost, at)
        assert taken.drawn(2.0) == pytest.approx(60.0)
        assert taken.drawn(1.5) == pytest.approx(31.0 / 2.0)
        assert taken.drawn(0.4) == 0.0


class TestEvent:
    """Which rate an event allows to believe in."""

    def test_a_short_stretch_is_brief(self) -> None:
        """Six delays, or thirty messages: below either it may only lower."""
        assert emptied(seconds=0.74, before=30.0).brief
        assert not emptied(seconds=0.75, before=30.0).brief
        assert emptied(seconds=0.75, before=29.0).brief
        assert emptied(before=29.0).brief
        assert not emptied(before=30.0).brief

    @pytest.mark.parametrize(
        ("told", "aftermath"),
        [
            ({"seconds": 0.5, "before": 1.0}, True),
            ({"seconds": 0.75, "before": 1.0}, False),
            ({"seconds": 0.5, "before": 2.0}, False),
            ({"seconds": 0.75, "before": 2.0, "again": True}, True),
            ({"seconds": None, "again": True}, True),
            ({"seconds": None}, False),
            ({"seconds": 0.5, "before": 1.0, "prior": None}, False),
            ({"seconds": 0.5, "before": 1.0, "prior": None, "again": True}, True),
        ],
    )
    def test_next_to_nothing_since_the_event_before_is_the_same_emptiness(
        self, told: dict[str, Any], aftermath: bool
    ) -> None:
        """Fewer than two messages in less than six delays, or none at all."""
        assert emptied(**told).aftermath is aftermath

    def test_a_pace_a_third_above_has_climbed(self) -> None:
        """A probe stays within 30 %."""
        assert not emptied(pace=133.0).climbed
        assert emptied(pace=133.1).climbed
        assert not emptied(pace=500.0, prior=None).climbed

    @pytest.mark.parametrize(
        ("throttles", "accepted", "lone"), [(1, 0, True), (2, 3, True), (2, 2, False), (5, 12, True), (5, 11, False)]
    )
    def test_a_quarter_throttled_after_the_first_may_be_chance(self, throttles: int, accepted: int, lone: bool) -> None:
        """Not more."""
        assert emptied(throttles=throttles, accepted=accepted).lone is lone

    @pytest.mark.parametrize(
        ("told", "measured"),
        [
            ({}, None),
            ({"seconds": 2.0, "before": 100.0}, 108.0 / 2.08),
            ({"seconds": 2.0, "before": 100.0, "share": 0.2}, 133.0 / 2.08),
            ({"seconds": 2.0, "before": 100.0, "drawn": 60.0}, 60.0),
            ({"seconds": 0.5, "before": 100.0}, 100.0),
            ({"seconds": 0.5, "before": 20.0}, 28.0 / 0.58),
            ({"seconds": 1.0, "before": 200.0}, 208.0 / 1.08),
            ({"seconds": 2.0, "before": 100.0, "prior": None}, 50.0),
            ({"seconds": 2.0, "before": 100.0, "prior": None, "drawn": 55.0}, 55.0),
            ({"seconds": 2.0, "before": 1.0, "prior": None}, START_RATE),
            ({"seconds": 0.0, "before": 1.0, "prior": None}, None),
        ],
    )
    def test_what_was_accepted_by_the_seconds_is_measured(self, told: dict[str, Any], measured: float | None) -> None:
        """Leaning on what was believed by eight messages; a brief stretch never raises it."""
        found = emptied(**told).measured()
        assert found is None if measured is None else found == pytest.approx(measured)

    def test_a_cohort_lasts_to_its_last_throttle(self) -> None:
        """What was accepted in that moment is within it."""
        assert emptied(last=11.0, after=[(10.5, 2.0), (11.0, 3.0), (11.1, 5.0)]).within() == 5.0

    @pytest.mark.parametrize(
        ("told", "judged"),
        [
            # A lone throttle of a limit that is well known takes a margin off it.
            ({}, 100.0 * (1.0 - MARGIN)),
            ({"seconds": 0.375, "before": 20.0}, 100.0 * (1.0 - MARGIN)),
            ({"seconds": 0.37, "before": 20.0}, 100.0),
            ({"seconds": 0.375, "before": 1.0}, 100.0),
            ({"seconds": 2.0, "before": 197.0}, 205.0 / 2.08),
            # Several take a step.
            ({"throttles": 2, "refused": 2.0, "seconds": 2.0, "before": 100.0}, 100.0 * (1.0 - STEP)),
            ({"throttles": 2, "refused": 2.0, "seconds": 0.2, "before": 5.0}, 100.0 * (1.0 - STEP)),
            ({"throttles": 2, "refused": 2.0, "seconds": 2.0, "before": 197.0}, 205.0 / 2.08),
            # A limit that is not well known may be too high by twice the share that was throttled, or by anything.
            ({"strong": False, "seconds": 2.0, "before": 99.0}, 98.0),
            ({"strong": False, "seconds": 2.0, "before": 150.0}, 100.0 * (1.0 - MARGIN)),
            ({"strong": False, "throttles": 2, "refused": 2.0, "seconds": 2.0, "before": 38.0}, 90.0),
            ({"strong": False, "throttles": 3, "refused": 2.0, "seconds": 2.0, "before": 38.0}, 46.0 / 2.08),
            ({"strong": False, "throttles": 3, "refused": 2.0}, 100.0 * (1.0 - MARGIN)),
        ],
    )
    def test_a_limit_is_left_as_far_as_its_throttles_speak_for(self, told: dict[str, Any], judged: float) -> None:
        """As what is known of it, and what was measured, allow."""
        event = emptied(**told)
        assert event.judged() == pytest.approx(judged)
        assert (event.changed, event.barren) == (False, event.aftermath)

    @pytest.mark.parametrize(
        ("told", "judged"),
        [
            # Of a hundred that a second should have taken, ninety were taken and ten refused.
            ({"last": 11.0, "throttles": 2, "refused": 10.0, "after": [(10.5, 90.0)]}, 92.0 / 1.02),
            ({"last": 11.0, "throttles": 2, "refused": 2.1, "after": [(10.5, 60.0)]}, 62.0 / 1.02),
            ({"last": 11.0, "throttles": 4, "refused": 40.0, "after": [(10.5, 40.0)]}, DEEPEST_FALL * 100.0),
            ({"last": 11.0, "throttles": 4, "refused": 55.0, "after": [(10.5, 55.0)]}, 57.0 / 1.02),
            # The pace had climbed away: both the average and the pace are wrong, and the truth is between them.
            (
                {
                    "last": 11.0,
                    "throttles": 2,
                    "refused": 60.0,
                    "after": [(10.5, 40.0)],
                    "pace": 401.0,
                    "strong": False,
                },
                max(42.0 / (1.0 + 2.0 / math.sqrt(100.0 * 401.0)), DEEPEST_FALL * 100.0),
            ),
            # The first limit of all.
            ({"prior": None, "last": 11.0, "throttles": 2, "refused": 5.0, "after": [(11.0, 30.0)]}, 32.0 / 1.02),
            ({"prior": None, "pace": 50.0}, 50.0),
            (
                {"prior": None, "pace": 50.0, "seconds": 4.0, "before": 80.0, "last": 10.5, "after": [(10.2, 9.0)]},
                11.0 / (0.5 + 2.0 / 20.0),
            ),
        ],
    )
    def test_what_surprises_is_another_rate(self, told: dict[str, Any], judged: float) -> None:
        """More missing than two messages and the order of arrivals explain: the cohort itself is the measurement."""
        event = emptied(**told)
        assert event.judged() == pytest.approx(judged)
        assert (event.changed, event.barren) == (True, False)

    @pytest.mark.parametrize(("missing", "changed"), [(2.0, False), (2.1, True)])
    def test_two_messages_more_or_less_surprise_nobody(self, missing: float, changed: bool) -> None:
        """They are what the ends of a cohort are worth."""
        event = emptied(last=11.0, throttles=2, refused=50.0, after=[(10.5, 100.0 - missing)])
        event.judged()
        assert event.changed is changed

    @pytest.mark.parametrize(
        ("throttles", "refused", "within", "barren"),
        [
            (3, 50.0, 9.0, True),
            (3, 50.0, 10.0, False),
            (2, 50.0, 9.0, False),
            (3, 200.0, 19.0, True),
            (3, 200.0, 20.0, False),
        ],
    )
    def test_a_closed_door_measures_nothing(self, throttles: int, refused: float, within: float, barren: bool) -> None:
        """Three throttles and less than a fifth of what was expected."""
        event = emptied(last=11.0, throttles=throttles, refused=refused, after=[(10.5, within)])
        event.judged()
        assert (event.barren, event.changed) == (barren, not barren)

    def test_the_aftermath_changes_nothing(self) -> None:
        """Whatever its throttles are."""
        event = emptied(again=True, throttles=2, refused=90.0, last=11.0)
        assert (event.judged(), event.barren, event.changed) == (100.0, True, False)
        event = emptied(again=True, prior=None, pace=20.0)
        assert (event.judged(), event.barren, event.changed) == (20.0, True, False)


class TestElsewhere:
    """Whether somebody else has emptied the bucket."""

    @pytest.mark.parametrize(
        ("told", "strength", "since", "goes_on_at", "excused"),
        [
            ({"before": 89.0}, 1, 1.0, 1.29, True),
            ({"before": 90.0}, 1, 1.0, 1.29, False),
            ({"before": 89.0, "pace": 105.0}, 1, 1.0, 1.29, False),
            ({"before": 89.0, "pace": 104.9}, 1, 1.0, 1.29, True),
            ({"before": 89.0}, 1, 1.0, 1.27, False),
            ({"before": 89.0}, 0, 10.0, 1.29, False),
            ({"before": 89.0}, 0, 10.1, 1.29, True),
        ],
    )
    def test_much_less_and_closed_for_longer_than_ones_own_messages_explain(
        self, told: dict[str, Any], strength: int, since: float, goes_on_at: float, excused: bool
    ) -> None:
        """Less than 0.9 of the limit at a pace at the limit, which had been confirmed or had lasted ten seconds."""
        elsewhere = Elsewhere()
        begun = emptied(first=10.0 - since)
        assert not elsewhere.empties(begun, 100.0, strength, 0.0)
        assert not elsewhere.empties(emptied(**told), 100.0, strength, 0.0)
        later = emptied(**{**told, "first": 10.0 + goes_on_at - 1.0, "again": True})
        assert elsewhere.goes_on(later) is excused
        assert (elsewhere.limit, elsewhere.strength) == (100.0, strength)

    def test_one_that_follows_an_acceptance_is_not_the_same_emptiness(self) -> None:
        """It says nothing of how long the service was closed."""
        elsewhere = Elsewhere()
        elsewhere.empties(emptied(first=9.0), 100.0, 1, 0.0)
        elsewhere.empties(emptied(before=10.0), 100.0, 1, 0.0)
        assert not elsewhere.goes_on(emptied(first=12.0))
        assert elsewhere.goes_on(emptied(first=12.0, again=True))

    def test_before_the_second_emptiness_nothing_is_excused(self) -> None:
        """There is no stretch in which less came through."""
        elsewhere = Elsewhere()
        assert not elsewhere.goes_on(emptied(first=12.0, again=True))
        elsewhere.empties(emptied(), 100.0, 1, 0.0)
        assert not elsewhere.goes_on(emptied(first=12.0, again=True))

    @pytest.mark.parametrize(
        ("told", "closed", "excused"),
        [
            ({}, 0.29, True),
            ({}, 0.27, False),
            ({"throttles": 1}, 0.3, False),
            ({"after": [(10.0, 1.0)]}, 0.3, False),
        ],
    )
    def test_where_it_was_closed_for_long_before_it_is_excused_at_once(
        self, told: dict[str, Any], closed: float, excused: bool
    ) -> None:
        """Two throttles and nothing between them, at a service that was closed for longer than they explain."""
        elsewhere = Elsewhere()
        elsewhere.empties(emptied(first=9.0), 100.0, 1, 0.0)
        event = emptied(**{"throttles": 2, "refused": 2.0, "before": 10.0, **told})
        assert elsewhere.empties(event, 100.0, 1, closed) is excused

    def test_all_that_was_refused_since_explains_how_long_it_is_closed(self) -> None:
        """Three recipients refused at 100/s and one more are 0.04 s, beside two delays."""
        elsewhere = Elsewhere()
        elsewhere.empties(emptied(first=9.0), 100.0, 1, 0.0)
        elsewhere.empties(emptied(before=10.0, refused=2.0), 100.0, 1, 0.0)
        assert not elsewhere.goes_on(emptied(first=10.28, again=True))
        assert elsewhere.goes_on(emptied(first=10.31, again=True))


class TestClosure:
    """When the next canary goes."""

    def test_the_first_canary_waits_the_least(self) -> None:
        """Nothing is known yet."""
        closure = Closure()
        closure.event(10.0)
        assert (closure.wait(10.1, 0.3), closure.closed, closure.throttled) == (0.3, True, 1)

    def test_canaries_wait_half_of_what_has_passed(self) -> None:
        """At most ten seconds."""
        closure = Closure()
        closure.event(10.0)
        closure.wait(10.0, 0.1)
        closure.event(11.0)
        assert closure.wait(12.0, 0.1) == 1.0
        assert closure.wait(12.0, 1.5) == 1.5
        assert closure.wait(100.0, 0.1) == LONGEST_HOLD

    def test_a_canary_is_waited_for_four_delays_and_a_second_at_least(self) -> None:
        """Then another goes."""
        assert Closure().canary(10.0, 0.1) == 11.0
        assert Closure().canary(10.0, 0.5) == 12.0

    def test_what_is_usual_is_halved_until_it_is_known(self) -> None:
        """Found open after 2 s and closed after 1: the next goes after 1.5, and so on until 0.3 of it is left."""
        closure = Closure()
        closure.event(10.0)
        closure.wait(10.0, 0.1)
        closure.event(11.0)
        closure.wait(11.0, 0.1)
        closure.opened(12.0, usual=True)
        assert (closure.usual, closure.closed_for, closure.closed, closure.throttled) == (2.0, 1.0, False, 0)
        closure.event(20.0)
        assert closure.wait(20.0, 0.1) == pytest.approx(1.5)
        closure.event(21.5)
        closure.wait(21.5, 0.1)
        assert closure.wait(21.5, 0.1) == pytest.approx(0.75)
        closure.opened(22.0, usual=True)
        assert (closure.usual, closure.closed_for) == (2.0, 1.5)
        closure.event(30.0)
        assert closure.wait(30.0, 0.1) == pytest.approx(2.0)  # known within 0.3 of it

    def test_closed_for_longer_than_before_the_usual_time_is_waited_for(self) -> None:
        """Half-way is known to be too early already."""
        closure = Closure()
        closure.usual, closure.closed_for = 4.0, 1.0
        closure.event(10.0)
        assert closure.wait(10.0, 0.1) == pytest.approx(2.5)
        closure.event(11.0)
        assert closure.wait(11.0, 0.1) == pytest.approx(1.5)
        closure.event(11.1)
        assert closure.wait(11.1, 0.1) == pytest.approx(2.9)

    def test_a_first_canary_that_comes_through_shortens_it(self) -> None:
        """It may have been open before: a tenth less each time."""
        closure = Closure()
        closure.usual, closure.closed_for = 4.0, 3.0
        closure.event(10.0)
        closure.wait(10.0, 0.1)
        closure.opened(14.0, usual=True)
        assert (closure.usual, closure.closed_for) == pytest.approx((4.0, 2.7))
        closure.event(20.0)
        closure.wait(20.0, 0.1)
        closure.opened(22.0, usual=True)
        assert (closure.usual, closure.closed_for) == pytest.approx((2.0, 1.8))

    def test_what_says_nothing_of_other_times_is_not_kept(self) -> None:
        """It opens all the same."""
        closure = Closure()
        closure.event(10.0)
        closure.wait(10.0, 0.1)
        closure.opened(14.0, usual=False)
        assert (closure.usual, closure.closed_for, closure.closed, closure.throttled) == (0.0, 0.0, False, 0)

    def test_an_acceptance_ends_the_row(self) -> None:
        """The next throttle is a first one again."""
        closure = Closure()
        closure.event(10.0)
        closure.accepted()
        closure.event(20.0)
        assert (closure.throttled, closure.since) == (1, 20.0)
        closure.wait(20.0, 0.1)
        closure.denied()
        assert not closure.closed
        closure.event(21.0)
        closure.wait(21.0, 0.1)
        closure.opened(25.0, usual=True)
        assert (closure.usual, closure.closed_for) == (5.0, 0.0)
