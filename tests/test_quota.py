"""The sending quota and its rolling day."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from seslimit import SendQuota
from seslimit._law.day import DAY, GRAIN, RollingDay


def test_what_remains_is_the_quota_less_what_was_sent() -> None:
    """As the service reports both."""
    assert SendQuota(50_000, 14, 49_900).remaining == 100


def test_an_account_without_a_daily_limit_has_no_end() -> None:
    """SES writes it as -1."""
    assert SendQuota(-1, 14, 10_000).remaining == math.inf


def test_figures_that_are_overdrawn_leave_nothing() -> None:
    """Not less than nothing."""
    assert SendQuota(200, 1, 203).remaining == 0


def test_without_figures_nothing_is_known_to_be_limited() -> None:
    """The service will tell."""
    assert RollingDay().remaining() == math.inf


def test_what_was_accepted_since_the_figures_is_subtracted() -> None:
    """The service's figure lags by minutes."""
    day = RollingDay()
    day.figures(SendQuota(200, 1, 100))
    day.accepted(10.0, 50)
    day.accepted(11.0, 20)
    assert day.remaining() == 30


def test_fresh_figures_replace_the_count() -> None:
    """They hold what was counted here."""
    day = RollingDay()
    day.figures(SendQuota(200, 1, 100))
    day.accepted(10.0, 50)
    day.figures(SendQuota(200, 1, 150))
    assert (day.remaining(), day.quota) == (50, SendQuota(200, 1, 150))


def test_figures_that_were_overtaken_are_not_believed_until_the_next() -> None:
    """A message went although nothing should have been left."""
    day = RollingDay()
    day.figures(SendQuota(200, 1, 200))
    assert day.remaining() == 0
    day.overtaken()
    assert day.remaining() == math.inf
    day.figures(SendQuota(200, 1, 190))
    assert day.remaining() == 10


def test_the_first_recipients_leave_the_window_after_a_day() -> None:
    """That is the next sure gain."""
    day = RollingDay()
    assert day.frees_at(0.0) is None
    day.accepted(100.0, 1)
    day.accepted(5000.0, 1)
    assert day.frees_at(6000.0) == 100.0 + DAY
    assert day.frees_at(100.0 + DAY) == 5000.0 + DAY
    assert day.frees_at(5000.0 + DAY) is None


@given(st.lists(st.floats(0.0, 30.0), min_size=1, max_size=200))
def test_the_window_stays_small_and_frees_nothing_too_early(gaps: list[float]) -> None:
    """At most one entry a minute, and what it says of the first is not before the truth by more than a minute."""
    day, now = RollingDay(), 0.0
    for gap in gaps:
        now += gap
        day.accepted(now, 1)
    assert len(day._window) <= now / GRAIN + 1
    assert day.frees_at(now) == gaps[0] + DAY
