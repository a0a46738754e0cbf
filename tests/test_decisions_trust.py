"""
How far a limit is trusted, and what share of the throttles is chance: what `_law.trust` and `_law.response` decide.

Worked by hand on either side of each boundary; what is right is in the docstrings of the modules and in `docs/rate.md`.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from seslimit._law.evidence import Arrivals
from seslimit._law.response import ALARM, GREATER, LOWERED, Response, Trial
from seslimit._law.trust import CREDIT, FADING, Trust, step_from

from .law_events import emptied

BUDGET = 0.002
"""Throttles per attempt: one in five hundred."""


def planned(trust: Trust, limit: float = 100.0, overdue: float = 0.0, arrivals: Arrivals | None = None) -> float:
    """After how many recipients the next look is, once it is planned."""
    trust.look_later(limit, arrivals or Arrivals(), overdue)
    assert trust.sudden == trust.due
    return trust.due


def confirmed(times: int, limit: float = 100.0) -> Trust:
    """What a limit has shown that was found, and then confirmed so many times."""
    trust = Trust(BUDGET)
    trust.learn(emptied(), None, limit)
    for _ in range(times):
        trust.learn(emptied(pace=limit, prior=limit), limit, limit)
    return trust


class TestSteps:
    """The limit after an event."""

    @pytest.mark.parametrize(
        ("told", "estimate", "sure", "found"),
        [
            # A climb that ended says nothing of what was known below it.
            ({"pace": 200.0}, 40.0, True, 97.0),
            ({"pace": 200.0}, 98.0, True, 98.0),
            # A return that failed: half-way to what it found, all the way where it was long.
            ({"pace": 94.0, "prior": 60.0}, 60.0, True, 80.0),
            ({"pace": 94.0, "prior": 60.0, "before": 30.0, "seconds": 1.0}, 20.0, True, 38.0 / (1.0 + 8.0 / 60.0)),
            ({"pace": 94.0, "prior": 60.0, "before": 30.0, "seconds": 1.0}, 60.0, True, 60.0),
            ({"pace": 94.0, "prior": 60.0, "before": 29.0, "seconds": 1.0}, 60.0, True, 80.0),
            ({"pace": 94.0, "before": 300.0, "seconds": 1.0, "prior": 500.0}, 20.0, True, 100.0),
            # At the limit what the event judges is believed, where the rate is the same.
            ({"pace": 95.0}, 60.0, True, 60.0),
            ({"pace": 110.0}, 98.0, False, 98.0),
            # Where it is another, a confirmed limit loses a step, and another is what was measured.
            ({"changed": True}, 50.0, True, 97.0),
            ({"changed": True}, 98.0, True, 98.0),
            ({"changed": True}, 50.0, False, 50.0),
            ({"changed": True, "before": 92.0, "seconds": 2.0}, 30.0, False, 100.0 / 2.08),
            ({"changed": True, "before": 29.0, "seconds": 2.0}, 15.0, False, 15.0),
            ({"changed": True, "before": 92.0, "seconds": 2.0}, 30.0, True, 97.0),
            ({"changed": True, "before": 260.0, "seconds": 2.0}, 30.0, False, 100.0),
            # A long measurement within a tenth is the limit.
            ({"changed": True, "before": 184.0, "seconds": 2.0}, 30.0, True, 192.0 / 2.08),
            ({"changed": True, "before": 184.0, "seconds": 2.0}, 96.0, True, 96.0),
            ({"changed": True, "before": 179.0, "seconds": 2.0}, 30.0, True, 97.0),
            ({"changed": True, "before": 206.0, "seconds": 2.0}, 30.0, True, 214.0 / 2.08),
        ],
    )
    def test_the_less_is_known_the_more_the_measurement_counts(
        self, told: dict[str, Any], estimate: float, sure: bool, found: float
    ) -> None:
        """From a limit of 100/s."""
        assert step_from(100.0, emptied(**told), estimate, confirmed=sure) == pytest.approx(found)


class TestTrust:
    """When to look for a higher limit."""

    def test_nothing_known_is_looked_at_when_the_budget_allows(self) -> None:
        """One throttle in 500 attempts."""
        trust = Trust(BUDGET)
        assert (trust.due, trust.sudden, trust.strength) == (500.0, 500.0, 0)

    @pytest.mark.parametrize(("overdue", "due"), [(0.0, 500.0), (0.4, 460.0), (1.5, 350.0), (2.0, 350.0)])
    def test_a_probe_begins_so_early_that_it_ends_with_the_plan(self, overdue: float, due: float) -> None:
        """And never before seven tenths of it."""
        assert planned(Trust(BUDGET), overdue=overdue) == pytest.approx(due)

    def test_a_plan_is_a_second_long_and_thirty_messages_and_eight_of_the_large_ones(self) -> None:
        """Less would cost more throttles than it shows."""
        large = Arrivals()
        large._costs, large._squares = 2.0, 100.0
        trust = confirmed(0)
        assert [planned(trust, limit) for limit in (1.0, 30.0, 31.0, 700.0)] == [30.0, 30.0, 31.0, 700.0]
        assert planned(confirmed(0), 100.0, arrivals=large) == 400.0

    def test_each_confirmation_makes_the_next_plan_longer_by_half_until_the_budget_is_met(self) -> None:
        """100 recipients, 150, 225, 337 and a half, 500."""
        trust = confirmed(0)
        plans = [planned(trust)]
        for _ in range(5):
            trust.learn(emptied(), 100.0, 100.0)
            plans.append(planned(trust))
        assert plans == pytest.approx([100.0, 150.0, 225.0, 337.5, 500.0, 500.0])

    @pytest.mark.parametrize(("moved", "plan"), [(105.0, 150.0), (95.0, 150.0), (106.0, 106.0), (94.0, 100.0)])
    def test_a_limit_that_moved_is_planned_anew(self, moved: float, plan: float) -> None:
        """By more than a twentieth."""
        trust = confirmed(0)
        planned(trust)
        trust.learn(emptied(), 100.0, moved)
        assert planned(trust, max(100.0, moved)) == pytest.approx(max(plan, moved))

    @pytest.mark.parametrize(
        ("told", "limit", "strength"),
        [
            ({}, 100.0, 3),
            ({}, 102.6, 3),
            ({}, 97.4, 3),
            ({}, 102.8, 1),
            ({}, 97.2, 1),
            ({"seconds": 2.0, "before": 194.0}, 100.0, 3),
            ({"seconds": 2.0, "before": 193.0}, 100.0, 1),
            ({"pace": 95.0}, 100.0, 3),
            ({"pace": 94.0}, 100.0, 2),
            ({"pace": 94.0}, 95.0, 2),
            ({"pace": 94.0}, 94.0, 0),
            ({"again": True}, 50.0, 2),
        ],
    )
    def test_what_an_event_says_of_a_limit_confirmed_twice(
        self, told: dict[str, Any], limit: float, strength: int
    ) -> None:
        """One that stays is confirmed; one that moves loses one; a return that failed says nothing if it stayed."""
        trust = confirmed(2)
        trust.learn(emptied(**told), 100.0, limit)
        assert trust.strength == strength

    def test_strength_has_bounds(self) -> None:
        """From none to three."""
        trust = confirmed(5)
        assert (trust.strength, trust.strong(100.0)) == (3, True)
        for _ in range(5):
            trust.learn(emptied(), 100.0, 50.0)
        assert (trust.strength, trust.strong(50.0)) == (0, False)
        assert not confirmed(2).strong(100.0)

    def test_a_limit_that_has_just_fallen_is_not_strong(self) -> None:
        """By a tenth and more from one that had been confirmed; what was told had no former."""
        trust = confirmed(3)
        assert trust.strong(90.0)
        assert not trust.strong(89.9)
        told = Trust(BUDGET)
        told.told()
        assert told.strong(1.0)

    def test_a_former_limit_fades_with_each_confirmation_of_a_lower_one(self) -> None:
        """By a hundredth."""
        trust = confirmed(3)
        trust.learn(emptied(pace=80.0, prior=80.0), 80.0, 80.0)
        assert trust.strong(0.9 * FADING * 100.0 + 0.01)
        assert not trust.strong(0.9 * FADING * 100.0 - 0.01)

    def test_many_throttles_make_the_next_plans_longer(self) -> None:
        """By the fourth root of them, and more and more the more often; an aftermath by a quarter."""
        trust = confirmed(0)
        trust.learn(emptied(throttles=16), 100.0, 100.0)
        assert trust.shortest(1.0, Arrivals()) == pytest.approx(60.0)
        trust.learn(emptied(throttles=16), 100.0, 100.0)
        assert trust.shortest(1.0, Arrivals()) == pytest.approx(30.0 * 2.0**1.75)
        aftermath = confirmed(0)
        aftermath.learn(emptied(throttles=4, again=True), 100.0, 100.0)
        assert aftermath.shortest(1.0, Arrivals()) == pytest.approx(60.0)

    def test_returns_that_fail_are_tried_ever_later(self) -> None:
        """After half a second of the pace, one, two, three at most; at once again after one that did not."""
        trust, dues = confirmed(0), []
        for _ in range(4):
            trust.return_soon(100.0, Arrivals())
            dues.append(trust.due)
            trust.learn(emptied(pace=90.0), 100.0, 100.0)
        assert dues == [50.0, 100.0, 200.0, 300.0]
        trust.returned()
        trust.return_soon(100.0, Arrivals())
        assert trust.due == 50.0
        trust.learn(emptied(pace=90.0), 100.0, 100.0)
        trust.learn(emptied(), 100.0, 100.0)
        trust.return_soon(100.0, Arrivals())
        assert trust.due == 50.0
        trust.learn(emptied(pace=90.0), 100.0, 100.0)
        trust.learn(emptied(), None, 100.0)
        trust.return_soon(10.0, Arrivals())
        assert trust.due == 8.0  # eight messages at least

    def test_what_looking_has_cost_is_paid_before_the_next_look(self) -> None:
        """Seven throttles in advance; two more are a thousand attempts, which pass one by one."""
        trust = confirmed(0)
        trust.spent(emptied(throttles=7), 100.0, 100.0)
        assert planned(trust) == 100.0
        trust.spent(emptied(throttles=2), 100.0, 100.0)
        assert planned(trust) == pytest.approx(1000.0)
        for _ in range(500):
            trust.earned()
        assert planned(trust) == pytest.approx(500.0)
        trust.spent(emptied(throttles=50), 100.0, 100.0)
        assert planned(trust) == pytest.approx(-CREDIT[1] / BUDGET)

    def test_no_more_is_saved_up_than_seven_throttles(self) -> None:
        """However long nothing was looked for."""
        trust = confirmed(0)
        for _ in range(5000):
            trust.earned()
        trust.spent(emptied(throttles=8), 100.0, 100.0)
        assert planned(trust) == pytest.approx(500.0)

    @pytest.mark.parametrize(
        ("limit", "paid"), [(80.0, False), (80.1, True), (124.9, True), (125.0, False), (100.0, True)]
    )
    def test_another_limit_is_worth_its_cost(self, limit: float, paid: bool) -> None:
        """Below 0.8 of the one of before or from 1.25 of it."""
        trust = confirmed(0)
        trust.spent(emptied(throttles=9), 100.0, limit)
        assert planned(trust, 10.0) == pytest.approx(1000.0 if paid else 30.0)

    def test_the_first_limit_costs_nothing(self) -> None:
        """Nobody looked for it to be higher."""
        trust = confirmed(0)
        trust.spent(emptied(throttles=9), None, 100.0)
        assert planned(trust, 10.0) == 30.0

    def test_a_limit_that_fell_is_looked_at_every_four_seconds_and_costs_a_third(self) -> None:
        """Whoever took the difference may give it back; what it owes makes that less often."""
        trust = confirmed(0)
        for _ in range(6):
            planned(trust)
            trust.learn(emptied(), 100.0, 100.0)
        trust.spent(emptied(throttles=9), 100.0, 100.0)
        trust.spent(emptied(throttles=1), 100.0, 89.0)  # worth its cost: nothing is owed
        assert planned(trust, 50.0) == pytest.approx(200.0)
        trust.spent(emptied(throttles=10), 89.0, 85.0)
        assert planned(trust, 10.0) == pytest.approx((1.0 + 3.0) * 4.0 * 10.0)

    def test_after_a_rest_it_is_looked_at_as_soon_as_that_measures(self) -> None:
        """And what was owed is forgotten."""
        trust = confirmed(3)
        trust.spent(emptied(throttles=50), 100.0, 100.0)
        trust.rested(100.0, Arrivals())
        assert (trust.due, trust.sudden) == (100.0, 100.0)
        assert planned(trust) == 100.0

    def test_where_next_to_nothing_is_known_a_few_messages_are_enough(self) -> None:
        """Unless looking has cost too much already."""
        trust = confirmed(0)
        trust.look_soon(Arrivals())
        assert trust.due == 8.0
        trust.spent(emptied(throttles=7), 100.0, 100.0)
        planned(trust)
        trust.look_soon(Arrivals())
        assert trust.due == 100.0


def sudden(response: Response, times: int, limit: float = 100.0, *, strong: bool = True, apart: int = 10) -> None:
    """So many sudden events, one a second from 1 s on, with as many attempts after each, all accepted."""
    for number in range(times):
        response.event(1.0 + number, limit, sudden=True, strong=strong)
        for _ in range(apart if response.trial is None else 0):
            response.attempted(0.0, 1.0, throttled=False, above=False)


def tried(response: Response, attempts: int, throttles: int) -> Trial | None:
    """Attempts of a trial, the throttled ones first; the trial that is over with the last."""
    over: Trial | None = None
    for number in range(attempts):
        assert not over
        over = response.attempted(100.0, 1.0, throttled=number < throttles, above=False)
    return over


def found(share: float) -> Response:
    """A trial has found that share of the attempts, of a hundred, throttled whatever the pace."""
    response = Response()
    response.share = share
    return response


def trial_of(response: Response) -> Trial | None:
    """What is going on."""
    return response.trial


class TestResponse:
    """Whether throttles get fewer at a lower pace."""

    @pytest.mark.parametrize(("strong", "needed"), [(True, 4), (False, 10)])
    def test_so_many_sudden_events_begin_a_trial(self, strong: bool, needed: int) -> None:
        """Three and one more where the limit is well known, six more where it is not: that is the simpler reason."""
        response = Response()
        sudden(response, needed - 1, strong=strong)
        assert trial_of(response) is None
        response.event(float(needed), 100.0, sudden=True, strong=strong)
        trial = trial_of(response)
        assert trial is not None
        passed = 10.0 * (needed - 1) / (needed - 1.0)
        assert (trial.began, trial.pace, trial.limit) == pytest.approx((float(needed), LOWERED * passed, 100.0))
        assert trial.share == pytest.approx((needed - 1) / (10.0 * (needed - 1)))
        assert (trial.strong, trial.known) == (strong, 0.0)

    def test_a_trial_paces_below_the_limit_of_now_and_what_was_accepted(self) -> None:
        """Whichever is less; the limit to come back to is that of the first event."""
        response = Response()
        sudden(response, 3, 100.0, apart=110)
        response.event(4.0, 90.0, sudden=True, strong=True)
        assert response.trial is not None
        assert (response.trial.pace, response.trial.limit) == (LOWERED * 90.0, 100.0)

    def test_an_event_that_was_looked_for_begins_the_count_anew(self) -> None:
        """It has a reason."""
        response = Response()
        sudden(response, 3)
        response.event(4.0, 100.0, sudden=False, strong=True)
        sudden(response, 3)
        assert trial_of(response) is None
        sudden(response, 1)
        assert trial_of(response) is not None

    @pytest.mark.parametrize(("apart", "begun"), [(120, True), (121, False)])
    def test_events_that_are_far_between_are_no_row(self, apart: int, begun: bool) -> None:
        """More than 120 attempts from one to the next."""
        response = Response()
        sudden(response, 4, apart=apart)
        assert (response.trial is not None) is begun

    def test_the_share_is_of_as_many_attempts_as_there_were_events_at_least(self) -> None:
        """Events of attempts that were answered in one go."""
        response = Response()
        sudden(response, 4, apart=0)
        assert response.trial is not None
        assert response.trial.share == 3 / 4

    @pytest.mark.parametrize(
        ("attempts", "throttles", "over", "innocent"),
        [
            (44, 0, False, False),
            (45, 0, True, False),
            (45, 1, True, False),
            (45, 2, True, False),
            (45, 3, True, True),
            (45, 8, True, True),
            (9, 9, True, False),
            (8, 8, False, False),
        ],
    )
    def test_a_trial_is_over_when_enough_was_seen(
        self, attempts: int, throttles: int, over: bool, innocent: bool
    ) -> None:
        """With 4.5 throttles, were there as many as before, or 9; innocent with half of them, and a fifth at most."""
        response = Response()
        sudden(response, 4)
        assert response.trial is not None
        assert response.trial.share == pytest.approx(0.1)
        ended = tried(response, attempts, throttles)
        assert (ended is not None) is over
        if ended is not None:
            assert ended.innocent is innocent
            assert not response.trial
            assert response.share == (throttles / attempts if innocent else 0.0)

    def test_what_was_under_way_when_the_trial_began_is_not_of_it(self) -> None:
        """It was paced at before."""
        response = Response()
        sudden(response, 4)
        for _ in range(100):
            assert response.attempted(4.0, 1.0, throttled=False, above=False) is None
        assert tried(response, 45, 0) is not None

    @pytest.mark.parametrize(("throttles", "needed"), [(0, 6), (5, 4)])
    def test_a_pace_that_was_guilty_is_tried_later(self, throttles: int, needed: int) -> None:
        """Two more events than before; one that was innocent after as many as at first."""
        response = Response()
        sudden(response, 4)
        assert tried(response, 45, throttles) is not None
        response.share = 0.0
        sudden(response, needed - 1)
        assert trial_of(response) is None
        sudden(response, 1)
        assert trial_of(response) is not None

    def test_an_event_in_a_trial_is_part_of_it(self) -> None:
        """No other begins."""
        response = Response()
        sudden(response, 4)
        first = response.trial
        sudden(response, 10)
        assert response.trial is first

    @pytest.mark.parametrize(
        ("share", "throttles", "attempts", "explained"),
        [
            (0.0, 0, 10, False),
            (0.0039, 1, 10, False),
            (0.004, 1, 10, True),
            (0.1, 5, 10, True),
            (0.1, 6, 10, False),
            (0.1, 22, 100, True),
            (0.1, 23, 100, False),
        ],
    )
    def test_so_many_throttles_are_chance(self, share: float, throttles: int, attempts: int, explained: bool) -> None:
        """Three and a half standard deviations more than the share has, and 1.3; a share below 0.004 explains none."""
        expected = share * attempts
        assert (throttles <= expected + 3.5 * math.sqrt(expected) + 1.3 and share >= 0.004) is explained
        assert found(share).explains(throttles, attempts) is explained

    def test_during_a_trial_its_own_share_explains(self) -> None:
        """Throttles of it are what it counts."""
        response = Response()
        assert not response.explains(1, 10)
        sudden(response, 4)
        assert response.explains(5, 10)
        response.share = 0.2
        assert response.explains(8, 10)

    def test_a_share_follows_what_is_seen(self) -> None:
        """By a four-hundredth, while the pace is not above the limit."""
        response = found(0.1)
        response.attempted(0.0, 1.0, throttled=False, above=False)
        assert response.share == pytest.approx(0.1 - 0.1 / 400.0)
        response = found(0.1)
        response.attempted(0.0, 0.0, throttled=True, above=False)
        assert response.share == pytest.approx(0.1 + 0.9 / 400.0)
        response = found(0.1)
        response.attempted(0.0, 0.0, throttled=True, above=True)
        assert response.share == 0.1

    @pytest.mark.parametrize(("share", "throttled"), [(0.004, False), (0.1999, True)])
    def test_a_share_that_is_too_small_or_too_great_is_none(self, share: float, throttled: bool) -> None:
        """Every throttle is the rate's then, or attempts had better be fewer whatever the reason."""
        response = found(share)
        response.attempted(0.0, 0.0, throttled=throttled, above=False)
        assert response.share == 0.0

    def test_throttles_in_a_row_raise_the_alarm_and_acceptances_lower_it(self) -> None:
        """Six in a row of a share of 0.1 are more than chance: each makes twice the share more likely twofold."""
        response = found(0.1)
        for _ in range(math.ceil(ALARM / math.log(2.0)) - 1):
            response.attempted(0.0, 0.0, throttled=True, above=True)
        assert response.explains(1, 100)
        response.attempted(0.0, 0.0, throttled=True, above=True)
        assert not response.explains(1, 100)
        for _ in range(2):
            response.attempted(0.0, 1.0, throttled=False, above=True)
        assert response.explains(1, 100)

    def test_a_small_share_is_doubted_of_a_hundredth_more(self) -> None:
        """0.005 to 0.015 at least: three throttles in a row are as likely threefold each."""
        response = found(0.005)
        raised = math.ceil(ALARM / math.log((0.005 + GREATER) / 0.005))
        for _ in range(raised - 1):
            response.attempted(0.0, 0.0, throttled=True, above=True)
        assert response.explains(1, 100)
        response.attempted(0.0, 0.0, throttled=True, above=True)
        assert not response.explains(1, 100)

    def test_a_share_that_is_doubted_is_tried_again_with_the_next_event(self) -> None:
        """Whether it is greater now; where the pace is guilty, what was known stays."""
        response = found(0.1)
        for _ in range(8):
            response.attempted(0.0, 0.0, throttled=True, above=False)
        share = response.share
        response.event(9.0, 100.0, sudden=False, strong=True)
        trial = trial_of(response)
        assert trial is not None
        assert (trial.began, trial.pace, trial.limit, trial.strong) == (9.0, LOWERED * 100.0, 100.0, True)
        assert (trial.known, trial.share) == (share, 2.0 * share)
        for _ in range(1000):
            if ended := response.attempted(100.0, 1.0, throttled=False, above=True):
                break
        assert ended is trial
        assert response.share == share
        response.event(10.0, 100.0, sudden=False, strong=True)
        assert trial_of(response) is None

    def test_above_the_limit_nothing_is_doubted(self) -> None:
        """There throttles have their reason, and the event ends the alarm."""
        response = found(0.1)
        for _ in range(20):
            response.attempted(0.0, 0.0, throttled=True, above=True)
        response.event(9.0, 100.0, sudden=False, strong=True)
        assert trial_of(response) is None
        assert response.explains(1, 100)
