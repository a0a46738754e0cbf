"""The service's side of the limit as arithmetic: the bucket with debt, the rolling day, the schedule."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seslimit.testing import Schedule, SimulatedAccount, Verdict

pytestmark = pytest.mark.once

ACCEPTED, RATE, QUOTA = Verdict.ACCEPTED, Verdict.RATE_EXCEEDED, Verdict.QUOTA_EXCEEDED

rates = st.floats(0.1, 1000)
depths = st.floats(0, 20)
arrivals = st.lists(st.tuples(st.floats(0, 2), st.integers(1, 50)), max_size=60)
"""Seconds since the message before, and recipients."""
schedules = st.lists(st.tuples(st.floats(0.1, 30), rates), max_size=4, unique_by=lambda step: step[0]).flatmap(
    lambda later: rates.map(lambda first: Schedule(((0.0, first), *later)))
)


def verdicts(account: SimulatedAccount, *asked: tuple[float, int]) -> list[Verdict]:
    """What the account says to messages, each a time and a number of recipients."""
    return [account.decide(at, recipients) for at, recipients in asked]


@pytest.mark.parametrize(
    ("rate", "depth", "asked", "expected"),
    [
        pytest.param(1, 1, [(0, 1), (0, 1), (0.99, 1), (1.0, 1)], [ACCEPTED, RATE, RATE, ACCEPTED], id="1/s"),
        pytest.param(10, 0.1, [(0, 1), (0.05, 1), (0.1, 1)], [ACCEPTED, RATE, ACCEPTED], id="one token deep"),
        pytest.param(2, 1, [(0, 1), (0, 1), (0, 1), (0.5, 1)], [ACCEPTED, ACCEPTED, RATE, ACCEPTED], id="a burst"),
        pytest.param(14, 0, [(0, 1), (0, 1), (1 / 14, 1)], [ACCEPTED, RATE, ACCEPTED], id="never below one token"),
        pytest.param(
            1, 1, [(0, 5), (4.9, 1), (5.0, 1)], [ACCEPTED, RATE, ACCEPTED], id="five recipients, five seconds"
        ),
        pytest.param(1, 1, [(0, 10), (9, 10), (10, 10)], [ACCEPTED, RATE, ACCEPTED], id="ten once in ten seconds"),
        pytest.param(1, 2, [(0, 50), (48.9, 1), (49.0, 1)], [ACCEPTED, RATE, ACCEPTED], id="debt from a full bucket"),
        pytest.param(
            1, 3, [(0, 3), (100, 1), (100, 1), (100, 1), (100, 1)], [ACCEPTED] * 4 + [RATE], id="idle for long"
        ),
    ],
)
def test_bucket_with_debt(rate: float, depth: float, asked: list[tuple[float, int]], expected: list[Verdict]) -> None:
    """One token lets a message in, which takes as many as it has recipients; refused ones take nothing."""
    assert verdicts(SimulatedAccount(rate, depth), *asked) == expected


def test_refusals_may_cost() -> None:
    """With a refusal cost of one, asking twice too early puts the next token two seconds off."""
    account = SimulatedAccount(1, 1, refusal_cost=1)
    assert verdicts(account, (0, 1), (0, 1), (0, 1), (1, 1), (3.9, 1)) == [ACCEPTED, RATE, RATE, RATE, RATE]


def test_a_refusal_counts_nothing_as_accepted() -> None:
    """Recipients that were accepted, messages that were refused."""
    account = SimulatedAccount(1, 1)
    verdicts(account, (0, 3), (0, 1), (0, 1))
    assert (account.accepted, account.refused, account.over_quota) == (3, 2, 0)


def test_the_day_rolls() -> None:
    """What was accepted leaves the window after 24 hours, to the second, and not at midnight."""
    account = SimulatedAccount(100, 1, max_24_hour_send=2)
    asked = [(0, 1), (3600, 1), (7200, 1), (86_399, 1), (86_400, 1), (86_401, 1), (90_000, 1)]
    assert verdicts(account, *asked) == [ACCEPTED, ACCEPTED, QUOTA, QUOTA, ACCEPTED, QUOTA, ACCEPTED]


def test_the_quota_may_be_overshot_by_one_message() -> None:
    """As long as any quota is left, a message goes through whole."""
    account = SimulatedAccount(100, 1, max_24_hour_send=10)
    assert verdicts(account, (0, 9), (0, 50), (0, 1)) == [ACCEPTED, ACCEPTED, QUOTA]
    assert account.sent(0) == 59


def test_the_quota_comes_before_the_rate() -> None:
    """A message that both would refuse is told of the day, and the rate is not charged."""
    account = SimulatedAccount(1, 1, max_24_hour_send=1, refusal_cost=1)
    assert verdicts(account, (0, 1), (0, 1)) == [ACCEPTED, QUOTA]
    assert (account.refused, account.over_quota) == (0, 1)


def test_no_quota_for_a_sandbox_that_has_none() -> None:
    """A quota of 0 refuses everything; -1 means that there is none."""
    assert SimulatedAccount(1, max_24_hour_send=0).decide(0, 1) is QUOTA
    assert SimulatedAccount(1, max_24_hour_send=-1).decide(0, 1) is ACCEPTED


def test_what_was_sent_before_counts() -> None:
    """It fills the day from the start, also before the first message, and leaves it a day after the start."""
    account = SimulatedAccount(10, max_24_hour_send=5, sent_last_24_hours=5, day=10)
    assert account.sent(0) == 5
    assert verdicts(account, (100, 1), (109.9, 1), (110, 1)) == [QUOTA, QUOTA, ACCEPTED]


def test_another_tenant_takes_tokens_uncounted() -> None:
    """Its recipients empty the bucket, and are in no figure of ours."""
    account = SimulatedAccount(1, 2)
    assert [account.take(0, 1), account.take(0, 1), account.take(0, 1)] == [True, True, False]
    assert account.decide(0, 1) is RATE
    assert (account.accepted, account.sent(0)) == (0, 0)


def test_another_tenant_may_leave_debt() -> None:
    """It too takes as many tokens as it has recipients."""
    account = SimulatedAccount(1, 2)
    assert account.take(0, 3)
    assert verdicts(account, (1.9, 1), (2, 1)) == [RATE, ACCEPTED]


def test_a_stream_leaves_the_window_as_it_came() -> None:
    """Messages closer together than the window tells apart are not kept in it by those that follow."""
    account = SimulatedAccount(1e6)
    for millisecond in range(1000):
        account.decide(millisecond / 1000, 1)
    assert 490 <= account.sent(86_400.5) <= 510


def test_the_clock_may_say_anything() -> None:
    """Only differences count: a bucket that starts at second 1,000 refills like one that starts at 0."""
    assert verdicts(SimulatedAccount(1, 1), (1000, 5), (1004, 1), (1005, 1)) == [ACCEPTED, RATE, ACCEPTED]


def test_a_full_bucket_shrinks_with_the_rate() -> None:
    """After a step from 10/s to 1/s with a depth of a second, the bucket holds one token."""
    account = SimulatedAccount(Schedule(((0, 10), (5, 1))), 1)
    account.start(0)
    assert verdicts(account, (5, 1), (5, 1)) == [ACCEPTED, RATE]


def test_the_schedule_starts_with_the_account() -> None:
    """Its seconds are counted from the start, whatever the clock says."""
    account = SimulatedAccount(Schedule(((0, 10), (5, 1))))
    account.start(1000)
    assert [account.send_rate(at) for at in (1000, 1004.9, 1005)] == [10, 10, 1]


def test_send_rate_before_the_start() -> None:
    """The first of the schedule."""
    assert SimulatedAccount(Schedule(((0, 10), (5, 1)))).send_rate(1e6) == 10


@pytest.mark.parametrize(("elapsed", "rate"), [(-1, 100), (0, 100), (11.99, 100), (12, 50), (24, 150), (1e9, 150)])
def test_rate_of_a_schedule(elapsed: float, rate: float) -> None:
    """A step is in force from its second on."""
    assert Schedule(((0, 100), (12, 50), (24, 150))).at(elapsed) == rate


@pytest.mark.parametrize(
    ("begin", "end", "recipients"),
    [(0, 12, 1200), (0, 13, 1250), (11, 25, 100 + 600 + 150), (30, 31, 150), (13, 13, 0), (0, 24.5, 1200 + 600 + 75)],
)
def test_integral_of_a_schedule(begin: float, end: float, recipients: float) -> None:
    """The rates, each times the seconds that it was in force."""
    assert Schedule(((0, 100), (12, 50), (24, 150))).integral(begin, end) == recipients


def test_steps_may_come_in_any_order() -> None:
    """They are sorted by time."""
    assert Schedule(((12, 50), (0, 100))) == Schedule(((0, 100), (12, 50)))


@pytest.mark.parametrize("steps", [(), ((1, 100),), ((-1, 5), (0, 100)), ((0, 0),), ((0, 100), (5, -1))])
def test_a_schedule_that_makes_no_sense(steps: tuple[tuple[float, float], ...]) -> None:
    """It begins at second 0, and every rate is above 0."""
    with pytest.raises(ValueError, match="rate"):
        Schedule(steps)


@given(schedules, st.floats(0, 40), st.floats(0, 40), st.floats(0, 40))
def test_integrals_add_up(schedule: Schedule, first: float, second: float, third: float) -> None:
    """From a to b and from b to c is from a to c, and lies between the lowest rate and the highest."""
    begin, middle, end = sorted((first, second, third))
    whole = schedule.integral(begin, end)
    assert math.isclose(schedule.integral(begin, middle) + schedule.integral(middle, end), whole, abs_tol=1e-6)
    rate = [step[1] for step in schedule.steps]
    assert min(rate) * (end - begin) - 1e-6 <= whole <= max(rate) * (end - begin) + 1e-6


@given(schedules, depths, arrivals)
def test_no_window_has_more_than_depth_and_rate_and_one_debt(
    schedule: Schedule, depth: float, messages: list[tuple[float, int]]
) -> None:
    """Recipients accepted in any stretch of time: the fullest bucket, the schedule's integral, one message's debt."""
    account = SimulatedAccount(schedule, depth)
    account.start(0)
    accepted: list[tuple[float, int]] = []
    now = 0.0
    for gap, recipients in messages:
        now += gap
        if account.decide(now, recipients) is ACCEPTED:
            accepted.append((now, recipients))
    deepest = max(1.0, depth * max(rate for _, rate in schedule.steps))
    for first, (begin, _) in enumerate(accepted):
        total = 0
        for end, recipients in accepted[first:]:
            total += recipients
            debt = recipients - 1
            assert total <= deepest + schedule.integral(begin, end) + debt + 1e-6


@given(rates, depths, arrivals)
def test_after_any_rest_there_is_no_more_than_a_full_bucket(
    rate: float, depth: float, messages: list[tuple[float, int]]
) -> None:
    """However long it rests, no more single messages pass at one moment than the bucket holds tokens."""
    account = SimulatedAccount(rate, depth)
    now = 0.0
    for gap, recipients in messages:
        now += gap
        account.decide(now, recipients)
    now += 1e6
    passed = 0
    while passed < 50_000 and account.decide(now, 1) is ACCEPTED:
        passed += 1
    assert passed == math.floor(max(1.0, rate * depth) + 1e-9)


@given(rates, depths, arrivals)
def test_whoever_waits_for_the_debt_is_accepted(rate: float, depth: float, messages: list[tuple[float, int]]) -> None:
    """The recipients before, divided by the rate, are long enough: acceptance follows the rate to one message."""
    account = SimulatedAccount(rate, depth)
    now = 0.0
    for _, recipients in messages:
        assert account.decide(now, recipients) is ACCEPTED
        now += recipients / rate + 1e-6


@given(schedules, depths, arrivals, st.floats(0, 40))
def test_no_moment_has_more_than_the_bucket_of_its_rate(
    schedule: Schedule, depth: float, messages: list[tuple[float, int]], rest: float
) -> None:
    """Whatever came before, and however the rate has changed, single messages at one moment fill one bucket at most."""
    account = SimulatedAccount(schedule, depth)
    account.start(0)
    now = 0.0
    for gap, recipients in messages:
        now += gap
        account.decide(now, recipients)
    now += rest
    most = math.floor(max(1.0, depth * schedule.at(now)) + 1e-9)
    passed = 0
    while passed <= most and account.decide(now, 1) is ACCEPTED:
        passed += 1
    assert passed <= most


@given(
    st.integers(0, 200),
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 50)), max_size=60),
)
def test_the_window_rolls_with_the_time(quota: int, day: int, messages: list[tuple[int, int]]) -> None:
    """What is counted is what was accepted less than a day ago, to the recipient."""
    account = SimulatedAccount(1e6, 1, max_24_hour_send=quota, day=day)
    accepted: list[tuple[int, int]] = []
    now = 0
    for gap, recipients in messages:
        now += gap
        counted = sum(number for at, number in accepted if at > now - day)
        assert account.sent(now) == counted
        if account.decide(now, recipients) is ACCEPTED:
            accepted.append((now, recipients))


@given(st.integers(0, 100), arrivals)
def test_the_day_is_overshot_by_less_than_one_message(quota: int, messages: list[tuple[float, int]]) -> None:
    """Recipients in the rolling window: below the quota before the last message that was accepted."""
    account = SimulatedAccount(1e6, 1, max_24_hour_send=quota, day=5)
    now = 0.0
    for gap, recipients in messages:
        now += gap
        before = account.sent(now)
        expected = ACCEPTED if before < quota else QUOTA
        assert account.decide(now, recipients) is expected
        assert account.sent(now) == before + (recipients if expected is ACCEPTED else 0)
