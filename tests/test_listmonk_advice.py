"""Whether listmonk's settings work with the account's rate: hand-worked figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seslimit.companion.listmonk._advice import Adviser, Settings, advice, needed_timeout, posted


@pytest.mark.parametrize(
    ("concurrency", "message_rate", "rate"),
    [
        (10, 10, 100 / 3),  # 10 messages take 2 s, then 1 s of sleep: 100 in 3 s
        (14, 1, 14 / 1.2),  # one message takes 0.2 s, then 1 s of sleep: 14 in 1.2 s
        (1, 5, 2.5),
        (50, 20, 200.0),
    ],
)
def test_what_listmonk_posts_at_most(concurrency: int, message_rate: int, rate: float) -> None:
    """Bursts of the message rate, then a nap of a second."""
    assert posted(Settings(concurrency, message_rate)) == pytest.approx(rate)


@pytest.mark.parametrize(("rate", "concurrency", "seconds"), [(14, 14, 16.0), (1, 10, 25.0), (200, 100, 15.5)])
def test_how_long_a_post_may_take(rate: float, concurrency: int, seconds: float) -> None:
    """Its turn among as many as there are workers, and the waits of four retries."""
    assert needed_timeout(rate, concurrency) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("rate", "given_settings", "better"),
    [
        # 10/14 + 15 = 15.7 s are needed, twice as much is 31.4, the next step 60.
        (14.0, Settings(), Settings(timeout=60.0)),
        # 10 + 15 = 25 s, twice 50.
        (1.0, Settings(), Settings(timeout=60.0)),
        # 240/s wanted: 2 * 240 * 0.2 = 96 workers; 240 / (96 - 48) = 5, and 10 are set.
        (200.0, Settings(timeout=300), Settings(96, 10, 300)),
        # 24/s wanted of 5 workers: max(5, 9.6) = 10; 24 / (10 - 4.8) = 4.6.
        (20.0, Settings(5, 2, 300), Settings(10, 5, 300)),
        # 100 + 15 s at 1/s.
        (1.0, Settings(100, 10, 100), Settings(100, 10, 240)),
    ],
)
def test_settings_that_do_not_fit_are_told_with_some_that_do(
    rate: float, given_settings: Settings, better: Settings
) -> None:
    """What was right stays as it was."""
    found = advice(rate, given_settings)
    assert found.problems
    assert found.better == better


def test_settings_that_fit_give_no_advice() -> None:
    """Not a word."""
    found = advice(14.0, Settings(timeout=60))
    assert (found.problems, found.sentence(), found.better) == ((), "", Settings(timeout=60))


def test_the_advice_is_one_sentence_with_the_names_that_listmonk_uses() -> None:
    """What is wrong, and what to set where."""
    sentence = advice(200.0, Settings()).sentence()
    assert sentence == (
        "listmonk's settings do not fit the account's rate: with Concurrency 10 and Message rate 10 it posts at most "
        "33.3 messages/s, and the account takes 200/s; with Concurrency 96 a post is held for up to 0.48 s until its "
        "turn, and for 15 s more where SES has to be asked again, and listmonk gives up after 5 s. Set in listmonk: "
        "Concurrency 96, Message rate 10; and for this messenger: Idle timeout 60s, Max. connections 96."
    )


@given(
    st.floats(0.1, 5000),
    st.builds(Settings, st.integers(1, 1000), st.integers(1, 1000), st.floats(1, 3600)),
)
def test_what_is_advised_needs_no_more_advice(rate: float, settings: Settings) -> None:
    """At any rate, from any settings."""
    assert advice(rate, advice(rate, settings).better).problems == ()


def test_each_thing_is_said_once() -> None:
    """Again when other settings would do, for another rate or more workers; and when all is well."""
    adviser = Adviser(Settings(timeout=60))
    said = [adviser.look(rate, 10) != "" for rate in (14.0, 14.0, 30.0, 40.0, 41.0, 60.0, 61.0, 14.0, 14.0)]
    assert said == [False, False, False, True, False, True, False, True, False]
    assert adviser.look(14.0, 11) == ""
    assert "with Concurrency 1000 a post is held for up to 71 s" in adviser.look(14.0, 1000)
