"""AdaptiveRate: hand-worked values, properties, and the figures of the scenario table in simulated time."""

import math

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seslimit._law.closure import LONGEST_HOLD
from seslimit._law.evidence import ASSUMED_DELAY, MARGIN, START_RATE
from seslimit._law.growth import CLIMB_GROWTH, LEAST_GROWTH, grown
from seslimit._law.rate import SLOWED, STRAY, AdaptiveRate, RateOptions

from .simulations.control_law import DELAYS, Scenario, Simulation, Trace, scenarios

pytestmark = pytest.mark.once

DELAY = 0.1
"""Seconds from admission to reply in the hand-worked cases; the law's own assumption, so that its jitter stays 0."""


def accept(law: AdaptiveRate, admitted_at: float, cost: float = 1.0) -> None:
    """Let one message through that is accepted, decided upon half-way."""
    law.admitted(admitted_at, cost, waited=True)
    law.accepted(admitted_at + DELAY, cost, admitted_at=admitted_at, decided_at=admitted_at + DELAY / 2)


def throttle(law: AdaptiveRate, admitted_at: float, cost: float = 1.0) -> None:
    """Let one message through that is throttled."""
    law.admitted(admitted_at, cost, waited=True)
    law.throttled(admitted_at + DELAY, cost, admitted_at=admitted_at, decided_at=admitted_at + DELAY / 2)


def throttle_some(law: AdaptiveRate, admitted_at: float, cost: float = 1.0) -> None:
    """Let three messages through that are throttled."""
    for _ in range(3):
        law.admitted(admitted_at, cost, waited=True)
    for _ in range(3):
        law.throttled(admitted_at + DELAY, cost, admitted_at=admitted_at, decided_at=admitted_at + DELAY / 2)


def accept_evenly(law: AdaptiveRate, begin: float, rate: float, messages: int) -> float:
    """Let messages through at a steady rate, all accepted; the moment after the last."""
    for number in range(messages):
        accept(law, begin + number / rate)
    return begin + messages / rate


class TestStart:
    """What is known at the beginning."""

    def test_an_unknown_rate_begins_at_one_recipient_a_second(self) -> None:
        """Nothing told: 1/s, and no estimate."""
        law = AdaptiveRate()
        assert (law.rate(0.0), law.estimate, law.held_until) == (START_RATE, None, 0.0)

    def test_a_told_rate_is_paced_at_from_the_first_message(self) -> None:
        """A user's rate is where the law begins."""
        law = AdaptiveRate(14.0)
        assert (law.rate(0.0), law.estimate) == (14.0, 14.0)

    def test_the_ceiling_of_the_user_binds_from_the_first_message(self) -> None:
        """`max_rate` wins over `start`."""
        assert AdaptiveRate(100.0, max_rate=14.0).rate(0.0) == 14.0

    def test_an_unknown_rate_grows_fivefold_a_second_while_messages_are_accepted(self) -> None:
        """Half a second after the first admission the pace is the root of five."""
        law = AdaptiveRate()
        accept(law, 10.0)
        assert law.rate(10.5) == pytest.approx(math.sqrt(5.0))

    @pytest.mark.parametrize("share", [0.0, -0.1, 1.0])
    def test_a_budget_that_is_no_share_is_refused(self, share: float) -> None:
        """The budget for throttles lies between 0 and 1."""
        with pytest.raises(ValueError, match="refused_share"):
            RateOptions(refused_share=share)


class TestCap:
    """What GetAccount says."""

    def test_without_a_told_rate_the_pace_begins_at_the_cap(self) -> None:
        """A known MaxSendRate needs no search."""
        law = AdaptiveRate()
        law.cap(0.0, 200.0)
        assert (law.rate(0.0), law.estimate) == (200.0, 200.0)

    def test_a_told_rate_below_the_cap_stays(self) -> None:
        """The user's rate is where it begins, whatever the account may do."""
        law = AdaptiveRate(14.0)
        law.cap(0.0, 200.0)
        assert law.rate(0.0) == 14.0

    def test_the_pace_never_exceeds_the_cap(self) -> None:
        """A lowered cap binds at once."""
        law = AdaptiveRate(200.0)
        law.cap(0.0, 50.0)
        assert (law.rate(0.0), law.estimate) == (50.0, 50.0)

    def test_a_raised_cap_lifts_a_pace_that_stood_at_it_at_once(self) -> None:
        """The next refresh of GetAccount ends the wait for a raise."""
        law = AdaptiveRate()
        law.cap(0.0, 50.0)
        law.cap(300.0, 150.0)
        assert law.rate(300.0) == 150.0

    def test_a_raised_cap_leaves_a_pace_alone_that_a_throttle_holds_down(self) -> None:
        """Somebody else uses the account: the raise is climbed to, not jumped to."""
        law = AdaptiveRate(20.0)
        law.cap(0.0, 50.0)
        law.cap(300.0, 150.0)
        assert law.rate(300.0) == 20.0

    def test_a_cap_that_is_not_known_any_more_is_none(self) -> None:
        """Denied permission leaves the pace where it is and lets the search go on from there."""
        law = AdaptiveRate()
        law.cap(0.0, 50.0)
        law.cap(300.0, None)
        assert law.rate(300.0) == 50.0


class TestMeasuring:
    """What a throttle says of the rate."""

    @pytest.mark.parametrize("cost", [1, 5])
    def test_between_two_throttles_accepted_by_elapsed_is_the_rate(self, cost: int) -> None:
        """490 recipients in 10 s, in messages to one or to five: 49/s, once a told limit has failed three times."""
        law = AdaptiveRate(60.0, max_rate=60.0)
        now = 0.0
        for _ in range(8):
            throttle_some(law, now, cost)
            now += 0.15
            for number in range(490 // cost):
                accept(law, now + number * cost / 50.0, cost)
            now += 9.85
        assert law.estimate == pytest.approx(49.0, rel=0.03)

    def test_a_told_limit_is_left_in_small_steps(self) -> None:
        """One throttle takes two per cent off it, however little was accepted since the one before."""
        law = AdaptiveRate(100.0)
        throttle(law, 0.0)
        accept_evenly(law, 0.11, 50.0, 40)
        throttle(law, 1.0)
        assert law.estimate == pytest.approx(100.0 * (1.0 - MARGIN) ** 2)

    def test_a_throttle_that_measures_nothing_takes_a_margin_off(self) -> None:
        """Without an anchor a lone throttle may be the jitter of arrivals."""
        law = AdaptiveRate(100.0)
        throttle(law, 0.0)
        assert law.estimate == pytest.approx(100.0 * (1.0 - MARGIN))

    def test_half_a_cohort_throttled_halves_the_estimate_once(self) -> None:
        """Twenty under way, every other one throttled: one event, and half of the pace is what is there."""
        law = AdaptiveRate(100.0)
        sent = [number / 100.0 for number in range(20)]
        for at in sent:
            law.admitted(at, 1.0, waited=True)
        for number, at in enumerate(sent):
            heard = law.throttled if number % 2 else law.accepted
            heard(0.2 + at, 1.0, admitted_at=at, decided_at=at)
        assert law.estimate == pytest.approx(50.0, rel=0.2)

    @given(st.integers(1, 200))
    def test_throttles_of_what_was_under_way_when_the_event_closed_change_nothing(self, late: int) -> None:
        """Stragglers of an event that is over are neither a new event nor part of it."""
        law = AdaptiveRate(100.0)
        throttle(law, 0.0)
        accept(law, 0.2)
        before = (law.estimate, law.held_until, law.rate(1.0))
        for _ in range(late):
            law.throttled(0.5, 1.0, admitted_at=0.05, decided_at=0.06)
        assert before == (law.estimate, law.held_until, law.rate(1.0))

    def test_a_stray_throttle_changes_nothing(self) -> None:
        """One throttle out of the blue with enough accepted right after it is not the rate's."""
        law = AdaptiveRate(200.0)
        law.admitted(0.0, 1.0, waited=True)
        sent = [0.001 * (number + 1) for number in range(int(STRAY))]
        for at in sent:
            law.admitted(at, 1.0, waited=True)
        law.throttled(0.1, 1.0, admitted_at=0.0, decided_at=0.0)
        for at in sent:
            law.accepted(0.1 + at, 1.0, admitted_at=at, decided_at=at)
        accept(law, 0.2)
        assert law.estimate == 200.0

    def test_the_pace_is_lowered_until_the_bucket_has_a_cushion(self) -> None:
        """With jitter in the replies, a throttle is followed by half of the estimate for a moment."""
        law = AdaptiveRate(100.0)
        for number in range(40):
            law.admitted(number / 100.0, 1.0, waited=True)
            reply = number / 100.0 + (0.05 if number % 2 else 0.15)
            law.accepted(reply, 1.0, admitted_at=number / 100.0, decided_at=number / 100.0)
        throttle(law, 0.6)
        assert law.estimate is not None
        assert law.rate(0.7) == pytest.approx(SLOWED * law.estimate)
        assert law.rate(1.2) == pytest.approx(law.estimate)

    def test_a_throttle_decided_before_the_anchor_measures_nothing(self) -> None:
        """Its reply came late, when a message that waited had set the anchor: the pace of then is believed."""
        law = AdaptiveRate()
        law.admitted(10.0, 1.0, waited=False)
        law.admitted(11.2, 1.0, waited=True)
        pace = law.rate(11.2)
        law.throttled(12.0, 1.0, admitted_at=10.0, decided_at=10.0)
        assert law.estimate == pytest.approx(pace)


class TestHolding:
    """When nobody is admitted."""

    def test_a_pause_that_the_service_asks_for_is_kept(self) -> None:
        """`pause` holds everything from when the reply was read."""
        law = AdaptiveRate(100.0)
        law.admitted(0.0, 1.0, waited=True)
        law.throttled(0.1, 1.0, admitted_at=0.0, decided_at=0.0, pause=5.0)
        assert law.held_until >= 5.1

    def test_a_shorter_pause_does_not_end_a_longer_one(self) -> None:
        """The latest end of a hold wins."""
        law = AdaptiveRate(100.0)
        law.throttled(0.1, 1.0, admitted_at=0.0, decided_at=0.0, pause=5.0)
        law.throttled(0.2, 1.0, admitted_at=0.0, decided_at=0.0, pause=1.0)
        assert law.held_until >= 5.1

    def test_throttles_in_a_row_hold_ever_longer_up_to_ten_seconds(self) -> None:
        """While nothing at all gets through, attempts become rarer, and never rarer than the longest hold."""
        law = AdaptiveRate(10.0)
        now, holds = 0.0, []
        for _ in range(12):
            throttle(law, now)
            holds.append(max(0.0, law.held_until - (now + DELAY)))
            now = max(now + 0.2, law.held_until)
        assert holds == sorted(holds)
        assert LONGEST_HOLD <= holds[-1] < LONGEST_HOLD + 1.0

    def test_a_rate_that_came_back_is_found_again(self) -> None:
        """After a minute in which nothing got through, the estimate climbs back within seconds."""
        scenario = Scenario(name="outage", rate=((0.0, 100.0), (20.0, 0.01), (80.0, 100.0)), told=100.0, seconds=120.0)
        trace = run(scenario, "api")
        assert trace.reached(80.0) < 25.0
        assert trace.refusals(20.0, 80.0) < 60


class TestFreezing:
    """When nothing may be learnt."""

    @given(st.lists(st.tuples(st.booleans(), st.floats(0.001, 5.0)), max_size=40))
    def test_frozen_it_learns_nothing(self, heard: list[tuple[bool, float]]) -> None:
        """Whatever is admitted, accepted or throttled while frozen leaves rate and estimate alone."""
        law = AdaptiveRate(50.0)
        now = accept_evenly(law, 0.0, 50.0, 20)
        law.freeze(now)
        before = (law.rate(now), law.estimate)
        for taken, seconds in heard:
            now += seconds
            (accept if taken else throttle)(law, now)
        law.thaw(now + 1.0)
        assert before == (law.rate(now + 1.0), law.estimate)

    def test_an_unknown_rate_does_not_grow_while_frozen(self) -> None:
        """A pause of a minute in the start is followed by the pace of before."""
        law = AdaptiveRate()
        accept(law, 0.0)
        law.freeze(0.5)
        law.thaw(60.5)
        assert law.rate(60.5) == pytest.approx(math.sqrt(5.0))

    def test_throttles_of_before_the_pause_say_nothing_after_it(self) -> None:
        """What was under way when the pause began is no event."""
        law = AdaptiveRate(50.0)
        law.admitted(0.0, 1.0, waited=True)
        law.freeze(0.05)
        law.thaw(60.0)
        law.throttled(60.1, 1.0, admitted_at=0.0, decided_at=0.05)
        assert law.estimate == 50.0

    @given(st.lists(st.floats(0.01, 100.0), min_size=1, max_size=60))
    def test_it_does_not_grow_while_the_caller_is_the_bottleneck(self, gaps: list[float]) -> None:
        """Messages that did not wait for the limiter prove nothing about the rate."""
        law = AdaptiveRate()
        now = 0.0
        for gap in gaps:
            now += gap
            law.admitted(now, 1.0, waited=False)
            law.accepted(now + DELAY, 1.0, admitted_at=now, decided_at=now)
        assert law.rate(now) == START_RATE

    def test_it_grows_for_one_second_at_most_without_an_admission(self) -> None:
        """A night without messages does not end in a burst."""
        law = AdaptiveRate()
        accept(law, 0.0)
        assert law.rate(30_000.0) == pytest.approx(5.0)


class TestGrown:
    """The growth of the pace, in closed form."""

    @pytest.mark.parametrize(
        ("rate", "seconds", "expected"),
        [(1.0, 1.0, 4.0), (2.0, 0.5, 4.0), (200.0, 2.0, math.sqrt(200.0**2 + 2 * 200.0**2)), (5.0, 0.0, 5.0)],
    )
    def test_low_rates_grow_fourfold_a_second_and_high_ones_by_the_root(
        self, rate: float, seconds: float, expected: float
    ) -> None:
        """Exponential up to stride/sqrt(2·growth) = 120/s, then r² grows by stride² a second."""
        assert grown(rate, seconds, math.log(4.0), 200.0) == pytest.approx(expected)

    def test_the_highest_rates_still_double_in_ten_seconds(self) -> None:
        """Beyond stride/sqrt(2·LEAST_GROWTH) the growth is exponential again."""
        assert grown(1000.0, math.log(2.0) / LEAST_GROWTH, CLIMB_GROWTH, 10.0) == pytest.approx(2000.0)

    @given(
        st.floats(0.1, 1000.0), st.floats(0.0, 10.0), st.floats(0.0, 10.0), st.floats(0.2, 1.5), st.floats(10.0, 500.0)
    )
    def test_it_does_not_matter_how_often_it_is_asked(
        self, rate: float, first: float, second: float, growth: float, stride: float
    ) -> None:
        """Growing for a while and for a while again is growing for both."""
        twice = grown(grown(rate, first, growth, stride), second, growth, stride)
        assert twice == pytest.approx(grown(rate, first + second, growth, stride), rel=1e-9)

    @given(st.floats(0.1, 1000.0), st.floats(0.0, 10.0), st.floats(10.0, 500.0))
    def test_it_never_falls(self, rate: float, seconds: float, stride: float) -> None:
        """Time alone never lowers a pace."""
        assert grown(rate, seconds, CLIMB_GROWTH, stride) >= rate

    def test_an_unknown_rate_does_not_grow_beyond_what_replies_confirm(self) -> None:
        """A thousand admissions of which nobody tells what became of them: still one recipient a second."""
        law = AdaptiveRate()
        for number in range(1000):
            law.admitted(float(number), 1.0, waited=True)
        assert law.rate(1000.0) == START_RATE

    def test_growth_ends_a_second_after_the_last_reply(self) -> None:
        """Messages go on, and replies do not come any more."""
        law = AdaptiveRate()
        accept(law, 0.0)
        for number in range(1, 100):
            law.admitted(number / 20.0, 1.0, waited=True)
        assert law.rate(5.0) == law.rate(1.2) <= 5.0 ** (1.0 + DELAY) + 1e-9


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(("accepted", "throttled", "abandoned", "unwaited", "cap", "uncap", "freeze", "thaw")),
        st.just(0.0) | st.floats(0.0, 3.0) | st.floats(0.0, 1e6),
        st.just(0.0) | st.floats(0.0, 10.0),
        st.floats(0.01, 50.0),
        st.floats(0.01, 500.0),
    ),
    max_size=150,
)
"""What happens, after how many seconds, how long the attempt takes, its recipients, and a figure for a cap."""


class TestAlways:
    """What holds whatever happens."""

    @settings(max_examples=300)
    @given(st.none() | st.floats(0.01, 3000.0), st.none() | st.floats(0.01, 3000.0), EVENTS)
    def test_the_rate_is_finite_above_zero_and_below_every_cap(
        self, start: float | None, max_rate: float | None, events: list[tuple[str, float, float, float, float]]
    ) -> None:
        """Any order of admissions, replies, caps and pauses, attempts that take no time among them."""
        law = AdaptiveRate(start, max_rate)
        now, cap = 0.0, math.inf
        for kind, gap, seconds, cost, value in events:
            now += gap
            admitted_at = now
            if kind in ("accepted", "throttled", "abandoned", "unwaited"):
                law.admitted(now, cost, waited=kind != "unwaited")
            now += seconds
            if kind in ("accepted", "unwaited"):
                law.accepted(now, cost, admitted_at=admitted_at, decided_at=admitted_at)
            elif kind == "throttled":
                law.throttled(now, cost, admitted_at=admitted_at, decided_at=now)
            elif kind in ("cap", "uncap"):
                cap = value if kind == "cap" else math.inf
                law.cap(now, value if kind == "cap" else None)
            elif kind == "freeze":
                law.freeze(now)
            elif kind == "thaw":
                law.thaw(now)
            assert 0.0 < law.rate(now) <= min(cap, max_rate or math.inf)
            assert math.isfinite(law.rate(now))
            assert law.estimate is None or 0.0 < law.estimate < math.inf
            assert 0.0 <= law.held_until <= now + LONGEST_HOLD + 100.0
            assert law.steady_until(now) >= now

    def test_attempts_that_take_no_time_do_not_end_the_arithmetic(self) -> None:
        """A caller that blocks the event loop: admission and reply are one moment, ten thousand times over."""
        law = AdaptiveRate(100.0)
        for number in range(10_000):
            now = number / 50.0
            law.admitted(now, 1.0, waited=True)
            law.accepted(now, 1.0, admitted_at=now, decided_at=now)
        assert math.isfinite(law.rate(200.0))

    def test_the_same_replies_make_the_same_rate(self) -> None:
        """No clock and no chance: a run repeats to the last digit."""
        scenario = Scenario(name="twice", rate=((0.0, 40.0),), seconds=20.0)
        assert run(scenario, "smtp").paces == run(scenario, "smtp").paces


def run(scenario: Scenario, delay: str, seed: int = 0) -> Trace:
    """One scenario in simulated time."""
    return Simulation(scenario, DELAYS[delay], seed).run()


SCENARIOS = {scenario.name: scenario for scenario, _ in scenarios()}
BOTH = pytest.mark.parametrize("delay", ["api", "smtp"])


class TestFigures:
    """What is promised, simulated; `python -m benchmarks.control_law` shows the whole table."""

    @BOTH
    @pytest.mark.parametrize("rate", [200, 500])
    def test_a_known_rate_is_used_to_the_full_with_a_shallow_bucket(self, rate: int, delay: str) -> None:
        """0.1 s deep: 99 % after the first 2 s, 0.15 % throttled."""
        trace = run(attrs.evolve(SCENARIOS[f"cap {rate} shallow"], seconds=20.0), delay)
        assert trace.used(2.0, 20.0) >= 0.99
        assert trace.refused_share(0.0, 20.0) <= 0.0015

    def test_a_known_14_a_second_is_used_to_the_full_over_a_socket(self) -> None:
        """1.4 tokens deep, 5 ms of jitter: the same."""
        trace = run(SCENARIOS["cap 14 shallow"], "socket")
        assert trace.used(2.0, 60.0) >= 0.99
        assert trace.refused_share(0.0, 60.0) <= 0.0015

    @pytest.mark.parametrize("seed", range(5))
    def test_a_sandbox_takes_sixty_messages_in_63_seconds(self, seed: int) -> None:
        """1/s, one token deep: at most two throttled."""
        trace = run(SCENARIOS["cap 1 one token"], "socket", seed)
        assert trace.finished <= 63.0
        assert trace.refusals(0.0, trace.finished) <= 2

    @BOTH
    @pytest.mark.parametrize(("rate", "seconds"), [(14, 120.0), (100, 60.0), (500, 30.0)])
    def test_an_unknown_rate_is_found_and_held(self, rate: int, seconds: float, delay: str) -> None:
        """95 % within 10 s, 40 throttled in the start; then 99 % and 0.4 % throttled."""
        trace = run(attrs.evolve(SCENARIOS[f"cold {rate}"], seconds=seconds), delay)
        assert trace.reached(0.0) <= 10.0
        assert trace.refusals(0.0, trace.reached(0.0) + (5.0 if rate > 200 else 2.0)) <= 40
        assert trace.used(0.6 * seconds, seconds) >= 0.99
        assert trace.refused_share(0.6 * seconds, seconds) <= 0.004

    @BOTH
    @pytest.mark.parametrize("rate", [200, 100])
    def test_a_halved_rate_is_found_within_six_seconds(self, rate: int, delay: str) -> None:
        """Throttles fall below 2 % of the attempts."""
        trace = run(attrs.evolve(SCENARIOS[f"halves {rate}"], seconds=75.0), delay)
        assert trace.settled(60.0) <= 6.0
        assert trace.refused_share(66.0, 75.0) < 0.02

    @BOTH
    @pytest.mark.parametrize(("name", "seconds"), [("doubles 100", 13.0), ("triples 50", 18.0)])
    def test_a_risen_rate_is_found(self, name: str, seconds: float, delay: str) -> None:
        """95 % of it within the seconds that are promised."""
        assert run(attrs.evolve(SCENARIOS[name], seconds=90.0), delay).reached(60.0) <= seconds

    def test_a_rise_that_the_cap_tells_is_used_at_once(self) -> None:
        """With GetAccount, at the next refresh."""
        scenario = Scenario(
            name="told", rate=((0.0, 50.0), (20.0, 150.0)), caps=((0.0, 50.0), (25.0, 150.0)), seconds=40.0
        )
        assert run(scenario, "smtp").reached(25.0) <= 1.1

    @BOTH
    @pytest.mark.parametrize("phase", ["0", "1.9", "4.3"])
    def test_falls_and_rises_cost_little_over_sockets(self, phase: str, delay: str) -> None:
        """Told 100/s, then 50, then 150, forty places: 88 % and 1 % are promised."""
        trace = run(SCENARIOS[f"100-50-150 +{phase}"], delay)
        assert trace.used(0.0, trace.finished) >= 0.90
        assert trace.refused_share(0.0, trace.finished) <= 0.01

    def test_a_cold_start_over_sockets_uses_nearly_all(self) -> None:
        """Hidden 100/s for 44 s, start included: 88 % and 1 % asked for."""
        trace = run(SCENARIOS["cold 100 sockets"], "smtp")
        assert trace.used(0.0, 44.0) >= 0.93
        assert trace.refused_share(0.0, 44.0) <= 0.01

    @BOTH
    def test_what_a_rival_leaves_is_used_and_what_it_gives_back_found(self, delay: str) -> None:
        """Half of the rate gone for a minute: 97 % of the rest, 95 % of all within 12 s after."""
        trace = run(attrs.evolve(SCENARIOS["rival half"], seconds=120.0), delay)
        assert trace.used(40.0, 100.0) >= 0.97
        assert trace.reached(100.0) <= 12.0

    @BOTH
    def test_messages_with_fifty_recipients_are_never_throttled_at_a_known_rate(self, delay: str) -> None:
        """A tenth of the messages with 50 recipients at 14/s."""
        trace = run(SCENARIOS["heavy told"], delay)
        assert trace.used(0.0, trace.finished) >= 0.99
        assert trace.refusals(0.0, trace.finished) == 0

    def test_a_pause_of_the_daily_quota_is_followed_by_the_rate_of_before(self) -> None:
        """A frozen minute: the second after it uses 95 % already."""
        assert run(attrs.evolve(SCENARIOS["quota pause"], seconds=110.0), "smtp").reached(100.0) <= 1.5

    def test_a_lull_of_the_caller_does_not_spoil_the_estimate(self) -> None:
        """Half a minute at 5/s: afterwards the full rate at once, and no more throttles than ever."""
        trace = run(attrs.evolve(SCENARIOS["idle phases"], seconds=80.0), "smtp")
        assert trace.reached(60.0) <= 1.5
        assert trace.refusals(60.0, 65.0) <= 4


def test_the_assumed_delay_is_what_the_hand_worked_cases_use() -> None:
    """Their numbers rest on a jitter of 0."""
    assert DELAY == ASSUMED_DELAY
