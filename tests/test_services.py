"""The ways in which a service may count: hand-worked decisions, and what all of them have in common."""

from __future__ import annotations

import pytest

from seslimit.testing import Schedule
from seslimit.testing.services import (
    SERVICES,
    ByChance,
    Counting,
    DebtBucket,
    FixedWindow,
    SlidingWindow,
    StaleBucket,
    TwoWindows,
    WithRival,
    front_ends,
    noisy,
)

pytestmark = pytest.mark.once


def taken(service: Counting, *arrivals: float, recipients: int = 1) -> list[bool]:
    """What becomes of messages that arrive then."""
    return [service.take(at, recipients) for at in arrivals]


def test_a_bucket_takes_its_depth_at_once_and_then_the_rate() -> None:
    """Half a second of 4/s is two; the third needs a quarter of a second."""
    assert taken(DebtBucket(4.0, 0.5), 0.0, 0.0, 0.0, 0.24, 0.25) == [True, True, False, False, True]


def test_a_bucket_goes_into_debt_for_many_recipients() -> None:
    """Five recipients at 1/s: nothing more for five seconds, as SES's guide of 2018 has it."""
    bucket = DebtBucket(1.0)
    assert bucket.take(0.0, 5)
    assert taken(bucket, 4.9, 5.0) == [False, True]


def test_a_bucket_that_asks_for_any_token_takes_a_message_on_a_hundredth() -> None:
    """Its level goes to minus 0.99."""
    assert taken(DebtBucket(1.0, 1.0, least=1e-9), 0.0, 0.01, 0.02) == [True, True, False]


def test_a_refusal_that_costs_a_token_delays_the_next() -> None:
    """One refused half-way: the second that was nearly over begins anew."""
    assert taken(DebtBucket(1.0, 1.0, refusal_cost=1.0), 0.0, 0.5, 1.0, 1.9, 3.0) == [True] + [False] * 4


def test_a_sliding_window_takes_the_rate_in_any_second() -> None:
    """Two at once, and the next a second after the first."""
    assert taken(SlidingWindow(2.0), 0.0, 0.5, 0.9, 1.0, 1.25, 1.5) == [True, True, False, True, False, True]


def test_a_fixed_window_takes_the_rate_between_two_ticks() -> None:
    """Two before the tick, two after it, however near they are."""
    assert taken(FixedWindow(2.0, offset=0.0), 0.8, 0.9, 0.95, 1.0, 1.1, 1.2) == [True, True, False, True, True, False]


def test_a_fixed_window_too_short_for_a_whole_recipient_keeps_the_fraction() -> None:
    """14/s in tenths of a second: 14 in ten of them."""
    window = FixedWindow(14.0, 0.1, 0.0)
    assert sum(window.take(0.02 * number, 1) for number in range(50)) == 14


def test_two_windows_remember_the_share_of_the_last() -> None:
    """Four at the end of a second leave room for two half-way through the next."""
    assert taken(TwoWindows(4.0), 0.9, 0.9, 0.9, 0.9, 1.5, 1.5, 1.5) == [True] * 6 + [False]


def test_a_stale_bucket_decides_by_what_was_there() -> None:
    """Half a second late it learns that it is empty, and half a second late that it is not."""
    stale = StaleBucket(DebtBucket(1.0), 0.5)
    assert taken(stale, 0.0, 0.4, 0.6, 2.0, 2.6) == [True, True, False, False, True]


def test_front_ends_take_no_more_than_their_share() -> None:
    """Four at once reach some of the four machines twice."""
    assert 1 <= sum(taken(front_ends(4, Schedule.constant(4.0), seed=1), *[0.0] * 4)) < 4


def test_chance_refuses_its_share_and_charges_nothing_for_it() -> None:
    """A tenth of a thousand, near enough, of a bucket that never empties."""
    assert 870 < sum(taken(ByChance(DebtBucket(1e6), 0.1, 1), *[0.0] * 1000)) < 930


def test_a_rival_takes_out_of_the_same_count() -> None:
    """Fifty recipients every ten seconds at 14/s: what is left of 200 s is less by what it got."""
    service = WithRival(DebtBucket(14.0), 10.0, 50, seed=1)
    ours = sum(taken(service, *(0.05 * number for number in range(4000))))
    theirs = sum(recipients for _, recipients in service.taken)
    assert theirs >= 100
    assert ours + theirs == pytest.approx(14 * 201, abs=60)


def test_a_noisy_rate_is_off_by_its_spread_at_most() -> None:
    """And not the same all the time."""
    steps = [rate for _, rate in noisy(100.0, 0.2, 2.0, 100.0, 1).steps]
    assert len(steps) == 50
    assert 80 <= min(steps) < 90
    assert 110 < max(steps) <= 120


@pytest.mark.parametrize("name", SERVICES)
def test_no_member_takes_more_than_the_rate_in_the_long_run(name: str) -> None:
    """Ten times too fast for a minute: at most the rate and what was saved up before, or counted late."""
    rate = 20.0
    service = SERVICES[name](Schedule.constant(rate), 1)
    accepted = sum(service.take(number / (10 * rate), 1) for number in range(int(600 * rate)))
    saved = rate * (5.0 if name == "bucket-5s" else 1.0) + (10 * rate if name.startswith("stale") else 0)
    assert rate <= accepted <= (1.2 if name == "noisy" else 1.0) * 60 * rate + saved


@pytest.mark.parametrize("name", SERVICES)
def test_a_member_is_the_same_again_with_the_same_seed(name: str) -> None:
    """Nothing but the seed is random."""
    arrivals = [0.01 * number for number in range(3000)]
    first, second = (taken(SERVICES[name](Schedule.constant(50.0), 7), *arrivals) for _ in range(2))
    assert first == second
