"""Whether listmonk's settings work with the account's rate: hand-worked figures."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seslimit import Limiter
from seslimit.companion.listmonk._advice import LATENCY, Adviser, Settings, advice, needed_timeout, posted
from tests.listmonk_double import Campaign, Subscriber, subscribers
from tests.virtual_time import run

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("concurrency", "message_rate", "rate", "share"),
    [
        # 100 messages in 2 s, the workers' own; then 1.2 s less the 0.05 s in which they come back.
        (10, 10, 200.0, 100 / 3.15 / 200),
        # 100 in 100/14 s, the account's; then 1.2 - 10/14 s.
        (10, 10, 14.0, (100 / 14) / (100 / 14 + 1.2 - 10 / 14)),
        # 960 in 4.8 s; then 1.2 - 0.48 s.
        (96, 10, 200.0, 4.8 / 5.52),
        # 20 workers come back over 1.43 s: one is always there.
        (20, 10, 14.0, 1.0),
    ],
)
def test_what_listmonk_posts(concurrency: int, message_rate: int, rate: float, share: float) -> None:
    """Bursts of the message rate, then a nap of a second that all workers take together."""
    assert posted(Settings(concurrency, message_rate), rate) / rate == pytest.approx(share)


@pytest.mark.parametrize("latency", [0.05, 0.2])
@pytest.mark.parametrize("settings", [Settings(10, 10), Settings(50, 10), Settings(96, 10), Settings(50, 100)])
def test_the_double_posts_what_is_said_or_a_little_more(settings: Settings, latency: float) -> None:
    """At 200/s, by a limiter on virtual time; and with what is advised nearly all of the rate."""
    rate = 200.0

    async def share(settings: Settings) -> float:
        limiter = Limiter(rate, max_rate=rate)

        async def push(subscriber: Subscriber) -> None:
            async with limiter:
                await asyncio.sleep(latency)

        campaign = Campaign(concurrency=settings.concurrency, message_rate=settings.message_rate)
        return 5000 / (await campaign.run(subscribers(5000), push)).seconds / rate

    reached = run(share(settings))
    if latency == LATENCY:
        assert posted(settings, rate) / rate - 0.03 <= reached <= posted(settings, rate) / rate + 0.2
    assert run(share(advice(rate, settings).better)) > 0.97


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
        # 1.25 * 200 * 0.2 = 50 workers.
        (200.0, Settings(timeout=300), Settings(50, 1000, 300)),
        # 1.25 * 20 * 0.2 = 5 workers, as they are; 10 messages in 0.5 s, and then 0.95 s without any, are too few.
        (20.0, Settings(5, 2, 300), Settings(5, 1000, 300)),
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
        "listmonk's settings do not fit the account's rate: with Concurrency 10 and Message rate 10 it posts about "
        "31.7 messages/s, since its workers sleep together, and the account takes 200/s; with Concurrency 50 a post is "
        "held for up to 0.25 s until its "
        "turn, and for 15 s more where SES has to be asked again, and listmonk gives up after 5 s. Set in listmonk: "
        "Concurrency 50, Message rate 1000; and for this messenger: Idle timeout 60s, Max. connections 50."
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
    assert said == [False, False, True, False, False, True, False, True, False]
    assert adviser.look(14.0, 11) == ""
    assert "with Concurrency 1000 a post is held for up to 71 s" in adviser.look(14.0, 1000)
