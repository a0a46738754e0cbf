"""The guard of the reputation: what figures mean, whom it holds, and that it lets the others go on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seslimit import Limiter, Message, Outcome, Receipt, Report, Sender
from seslimit.feedback import CampaignHeld, Event, ReputationGuard, Verdict, event_of
from seslimit.feedback._guard import campaign_of
from seslimit.feedback._reputation import BOUNCES, Figures, Level, Window, evidence, judge, judge_told, least_share
from seslimit.testing import FakeTransport

from .simulations.reputation import false_holds, reached
from .sns_authority import MAIL, document
from .virtual_time import on_virtual_time

pytestmark = pytest.mark.once


def test_three_bounces_of_twenty_stop_nothing() -> None:
    """It is 15 %, and it is chance."""
    assert judge(Figures(20, bounces=3), "x") == Verdict()
    assert judge(Figures(20, bounces=3), "x", whole=True) == Verdict()


def test_the_first_complaint_is_a_person_and_no_share() -> None:
    """Of a hundred recipients one is 1 %, ten times what SES reviews for."""
    assert judge(Figures(100, complaints=1), "x") == Verdict()


@pytest.mark.parametrize(
    ("figures", "level"),
    [
        (Figures(10_000, bounces=150), Level.FINE),
        (Figures(10_000, bounces=300), Level.WARN),
        (Figures(10_000, bounces=600), Level.SLOW),
        (Figures(10_000, bounces=700), Level.HOLD),
        (Figures(10_000, complaints=3), Level.FINE),
        (Figures(10_000, complaints=30), Level.HOLD),
    ],
)
def test_a_list_is_judged_by_ses_thresholds(figures: Figures, level: Level) -> None:
    """SES asks for less than 2 % bounces, reviews above 5 %, and above 0.1 % complaints (Developer Guide)."""
    assert judge(figures, "the list").level is level


def test_the_account_is_held_later_than_a_list() -> None:
    """To hold all mail is the last thing before SES does it: between 5 % and 10 %."""
    assert judge(Figures(10_000, bounces=700), "the account", whole=True).level is Level.SLOW
    assert judge(Figures(10_000, bounces=900), "the account", whole=True).level is Level.HOLD


def test_the_reason_is_one_sentence_with_the_figures() -> None:
    """What bounced, of how many, and what SES does about it."""
    verdict = judge(Figures(1000, bounces=120), "campaign autumn")
    assert verdict.reason == (
        "campaign autumn: 120 of 1,000 recipients bounced (12 %, at least 7.81 % beyond doubt), and SES reviews an "
        "account above 5 % and may pause it above 10 %"
    )


def test_evidence_is_what_it_says() -> None:
    """By hand: one of one against 1/2 is B(3/2, 1/2) / B(1/2, 1/2) / (1/2) = 1."""
    assert evidence(1, 1, 0.5) == pytest.approx(0.0)
    assert evidence(2, 2, 0.5) == pytest.approx(math.log(3 / 8 / 0.25))
    assert evidence(5, 100, 0.05) == 0.0


@given(sent=st.integers(1, 100_000), share=st.floats(0.0001, 0.5), part=st.floats(0.0, 1.0))
def test_more_events_are_more_evidence(sent: int, share: float, part: float) -> None:
    """Among as many recipients; and the least share is never above the observed one."""
    events = int(sent * part)
    assert evidence(events, sent, share) <= evidence(min(sent, events + 1), sent, share) + 1e-6
    assert least_share(events, sent) <= events / sent
    assert (
        judge(Figures(sent, bounces=events), "x").level
        <= judge(Figures(sent, bounces=min(sent, events + 1)), "x").level
    )


def test_a_list_at_the_threshold_is_hardly_ever_held() -> None:
    """However often it is looked at: P(evidence ever reaches 1/a) is at most a (Ville's inequality)."""
    assert sum(Level.HOLD in reached(BOUNCES.review, 3_000, seed) for seed in range(100)) <= 1


def test_bad_lists_are_held_and_good_ones_are_not() -> None:
    """The figures that `python -m benchmarks.reputation` prints, in short."""
    held = {share: [reached(share, 20_000, seed).get(Level.HOLD) for seed in range(20)] for share in (0.01, 0.07, 0.12)}
    assert held[0.01] == [None] * 20
    assert max(at or math.inf for at in held[0.07]) <= 12_000
    assert max(at or math.inf for at in held[0.12]) <= 1_000
    assert false_holds(0.02, 2_000, 100) == 0


def test_the_window_forgets() -> None:
    """What counts are the last so many recipients."""
    window = Window(1000)
    window.add(Figures(bounces=90))
    for _ in range(200):
        window.add(Figures(sent=10))
    assert window.figures.bounces == 0
    assert 900 <= window.figures.sent <= 1100


@pytest.mark.parametrize(
    ("told", "level"),
    [
        ((0.0, 0.0, "HEALTHY"), Level.FINE),
        ((0.03, 0.0, "HEALTHY"), Level.WARN),
        ((0.0, 0.002, "HEALTHY"), Level.SLOW),
        ((0.08, 0.0, "HEALTHY"), Level.HOLD),
        ((0.0, 0.0, "PROBATION"), Level.SLOW),
        ((0.0, 0.0, "SHUTDOWN"), Level.HOLD),
    ],
)
def test_ses_own_figures_need_no_doubt(told: tuple[float, float, str], level: Level) -> None:
    """They are over its own representative volume."""
    assert judge_told(*told).level is level


# What is counted, and what follows


def message(campaign: str | None, number: int) -> Message:
    """A message of a campaign."""
    named = "" if campaign is None else f"X-SES-MESSAGE-TAGS: list=a, campaign={campaign}\r\n"
    content = f"From: news@example.org\r\n{named}Subject: Hello\r\n\r\nHi!\r\n"
    return Message("news@example.org", [f"reader{number}@example.net"], content.encode(), f"{campaign} {number}")


def bounce(campaign: str | None, number: int, **more: Any) -> Event:
    """One of its messages bounced."""
    tags = {} if campaign is None else {"campaign": [campaign]}
    address = f"reader{number}@example.net"
    told = document("Bounce", feedbackId=f"f{campaign}{number}", bouncedRecipients=[{"emailAddress": address}], **more)
    told["mail"] = MAIL | {"destination": [address], "headers": [], "tags": tags, "messageId": f"m-{campaign}-{number}"}
    return event_of(told)


async def sent(guard: ReputationGuard, campaign: str | None, count: int, share: float, seed: int = 1) -> int:
    """Have a campaign send, and as many of its messages bounce; returns when it was held, or the count."""
    chance = random.Random(seed)
    for number in range(count):
        one = message(campaign, number)
        try:
            guard.check(one)
        except CampaignHeld:
            return number
        guard.on_event(Report(one, Outcome.ACCEPTED, receipt=Receipt(f"m-{campaign}-{number}")))
        if chance.random() < share:
            await guard.hear(bounce(campaign, number))
    return count


@on_virtual_time
async def test_one_bad_campaign_is_held_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    """It is found among five, long before the account as a whole is in danger."""
    guard = ReputationGuard(limiter := Limiter(100.0))
    with caplog.at_level(logging.WARNING, "seslimit"):
        counts = [
            await sent(guard, name, 2000, share) for name, share in [("good", 0.01), ("bad", 0.12), ("fine", 0.01)]
        ]
    assert counts[0] == counts[2] == 2000
    assert counts[1] < 1000
    assert limiter.paused is None
    assert {name for name, verdict in guard.verdicts.items() if verdict.level is Level.HOLD} == {"bad"}
    with pytest.raises(CampaignHeld, match=r"held, campaign bad: \d+ of \d+ recipients bounced"):
        guard.check(message("bad", 1))
    assert any("campaign bad" in note and "held until it is released" in note for note in caplog.messages)
    guard.release("bad")
    guard.check(message("bad", 1))


@on_virtual_time
async def test_a_bad_account_is_slowed_and_then_held() -> None:
    """Where no campaign is named, all is one; the limiter says why."""
    told: list[tuple[str, Level]] = []
    guard = ReputationGuard(limiter := Limiter(100.0), hooks=[lambda name, verdict: told.append((name, verdict.level))])
    await sent(guard, None, 3000, 0.15)
    assert [level for _, level in told] == [Level.WARN, Level.SLOW, Level.HOLD]
    assert limiter.rate == 50.0
    assert limiter.paused is not None
    assert limiter.paused.startswith("the account: ")
    guard.release()
    assert limiter.state().paused is None
    assert (limiter.rate, guard.verdicts) == (100.0, {})


@on_virtual_time
async def test_the_account_goes_faster_again_when_its_figures_are_better() -> None:
    """A slow-down ends by itself; a hold does not."""
    guard = ReputationGuard(limiter := Limiter(100.0), volume=1000)
    await sent(guard, None, 600, 0.09, seed=5)
    guard.told(0.06, 0.0)
    assert limiter.rate == 50.0
    guard.told(0.0, 0.0)
    await sent(guard, None, 3000, 0.0)
    assert limiter.rate == 100.0


@on_virtual_time
async def test_what_ses_does_not_count_is_not_counted() -> None:
    """Soft bounces, addresses that SES had suppressed itself, "not spam"."""
    guard = ReputationGuard(Limiter(100.0))
    await guard.hear(bounce(None, 1, bounceType="Transient"))
    await guard.hear(bounce(None, 2, bounceSubType="OnAccountSuppressionList"))
    await guard.hear(event_of(document("Complaint", complaintFeedbackType="not-spam")))
    assert guard.figures() == Figures()


@on_virtual_time
async def test_an_event_without_headers_finds_its_campaign() -> None:
    """By the id of the message, which the receipt had."""
    guard = ReputationGuard(Limiter(100.0))
    guard.on_event(Report(message("autumn", 7), Outcome.ACCEPTED, receipt=Receipt("m-None-7")))
    await guard.hear(bounce(None, 7))
    assert guard.figures("autumn") == Figures(1, 1)


@on_virtual_time
async def test_without_a_sender_ses_own_events_count() -> None:
    """The events of type Send say how many there were."""
    guard = ReputationGuard(Limiter(100.0))
    await guard.hear(event_of(document("Send")))
    assert guard.figures().sent == 1
    guard.on_event(Report(message(None, 1), Outcome.ACCEPTED, receipt=Receipt("1", {})))
    await guard.hear(event_of(document("Send")))
    assert guard.figures().sent == 2


def test_a_campaign_is_named_by_tag_or_header() -> None:
    """The tag first, which every event has; then what listmonk and other lists write."""
    assert campaign_of(message("autumn-7", 1)) == "autumn-7"
    assert campaign_of(message(None, 1)) is None
    content = b"From: a@example.org\r\nList-Id: News\r\n <news.example.org>\r\n"
    content += b"X-Listmonk-Campaign: b81d\r\n\r\nList-Id: no\r\n"
    assert campaign_of(Message("a@example.org", ["b@example.net"], content)) == "b81d"
    assert campaign_of(Message("a@example.org", ["b@example.net"], content.replace(b"X-Listmonk", b"X-Other"))) == (
        "News <news.example.org>"
    )


@on_virtual_time
async def test_without_a_campaign_a_lane_is_held() -> None:
    """The events do not know it; the id of the message does."""
    guard = ReputationGuard(Limiter(100.0))
    for number in range(300):
        one = attrs.evolve(message(None, number), lane="offers")
        guard.on_event(Report(one, Outcome.ACCEPTED, receipt=Receipt(f"m-None-{number}")))
        if number % 5 == 0:
            await guard.hear(bounce(None, number))
    with pytest.raises(CampaignHeld, match="campaign offers"):
        guard.check(attrs.evolve(message(None, 1), lane="offers"))
    guard.check(message(None, 1))


@on_virtual_time
async def test_a_sender_asks_the_guard() -> None:
    """What the guard holds ends unsent, with the sentence; the rest is sent."""
    guard = ReputationGuard(limiter := Limiter(1000.0))
    await sent(guard, "bad", 2000, 0.2)
    async with Sender(FakeTransport(), limiter=limiter, hooks=[guard], guard=guard) as sender:
        given = [message("bad", 1), message("good", 2)]
        reports = [report async for report in sender.send_many(given)]
    assert {report.message.key: report.outcome for report in reports} == {
        "bad 1": Outcome.NOT_SENT,
        "good 2": Outcome.ACCEPTED,
    }
    assert guard.figures("good").sent == 1


class CloudWatch:
    """Answers as CloudWatch does."""

    def __init__(self, *values: float) -> None:
        self.values = values
        self.asked: dict[str, Any] = {}

    async def get_metric_data(self, **asked: Any) -> dict[str, Any]:
        """The last value of each rate; none for one that is not told."""
        self.asked = asked
        return {"MetricDataResults": [{"Id": f"rate{n}", "Values": [value]} for n, value in enumerate(self.values)]}


class Account:
    """A transport whose account is as it is told."""

    def __init__(self, status: str) -> None:
        self.status = status

    @contextlib.asynccontextmanager
    async def client(self) -> Any:
        """A client of the API."""
        yield self

    async def get_account(self) -> dict[str, str]:
        """The account."""
        return {"EnforcementStatus": self.status}


@on_virtual_time
async def test_without_events_ses_own_figures_decide() -> None:
    """Looked at now and then: GetAccount and CloudWatch, AWS/SES Reputation.BounceRate (Developer Guide)."""
    guard = ReputationGuard(limiter := Limiter(100.0))
    watched: Any = Account("HEALTHY")
    cloudwatch = CloudWatch(0.06, 0.0)
    task = asyncio.create_task(guard.watch(watched, cloudwatch=cloudwatch))
    await asyncio.sleep(1)
    assert guard.verdicts["the account"].reason.startswith("SES counts 6 % bounces for the account")
    assert limiter.rate == 50.0
    cloudwatch.values = ()
    await asyncio.sleep(300)
    assert guard.verdicts == {}
    watched.status = "SHUTDOWN"
    await asyncio.sleep(300)
    assert "SES has shut the account's sending down" in (limiter.paused or "")
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
