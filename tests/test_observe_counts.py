"""What is counted of the events, and the last minutes of it."""

from __future__ import annotations

import json
import logging

import attrs
import pytest

from seslimit import (
    Attempted,
    Learnt,
    Limiter,
    Message,
    Outcome,
    Paused,
    Reason,
    Report,
    Resumed,
    Scope,
    Sender,
    SendQuota,
)
from seslimit.observe import Counts, JSONFormatter, LogHook, Observer, Timeline
from seslimit.observe._counts import ATTEMPTS, WAITS, Distribution
from seslimit.testing import FakeTransport
from seslimit.testing.virtual_time import on_virtual_time

pytestmark = pytest.mark.once

MESSAGE = Message("news@example.org", ("ada@example.net", "eve@example.net"), b"Subject: x\r\n\r\nHi", "ada-7")


def attempted(outcome: Outcome = Outcome.ACCEPTED, *, cost: int = 1) -> Attempted:
    """An attempt that has ended."""
    return Attempted(
        key="ada-7",
        cost=cost,
        outcome=outcome,
        scope=Scope.MESSAGE,
        admitted_at=10.0,
        handed_over_at=None,
        settled_at=10.1,
        waited=0.0,
        reply="454 Throttling failure" if outcome is Outcome.THROTTLED else "",
    )


def test_attempts_are_counted_by_outcome_and_recipients_where_they_were_accepted() -> None:
    """A throttle costs no recipient."""
    counts = Counts()
    for event in (attempted(cost=3), attempted(Outcome.THROTTLED, cost=5), attempted(cost=2)):
        counts.on_event(event)
    assert (counts.attempts[Outcome.ACCEPTED], counts.throttles, counts.recipients) == (2, 1, 5)


def test_messages_are_counted_by_their_last_outcome() -> None:
    """Once each, however many attempts they took."""
    counts = Counts()
    counts.on_event(attempted(Outcome.THROTTLED))
    counts.on_event(Report(MESSAGE, Outcome.ACCEPTED, throttles=1))
    counts.on_event(Report(MESSAGE, Outcome.PERMANENT))
    assert {outcome: count for outcome, count in counts.messages.items() if count} == {
        Outcome.ACCEPTED: 1,
        Outcome.PERMANENT: 1,
    }
    assert counts.ended == 2


def test_a_pause_whose_end_moves_is_one_pause() -> None:
    """It is told again then; another one after it is counted."""
    counts = Counts()
    for event in (
        Paused(Reason.QUOTA_EXCEEDED, 10.0),
        Paused(Reason.QUOTA_EXCEEDED, 20.0),
        Resumed(Reason.QUOTA_EXCEEDED),
        Paused(Reason.QUOTA_EXCEEDED, 90.0),
    ):
        counts.on_event(event)
    assert counts.pauses["quota exceeded"] == 2


def test_what_numbers_are_kept_by_stays_the_same_whatever_happens() -> None:
    """A label with a caller's own words, or an address, would cost Prometheus a series for each."""
    counts = Counts()
    before = [set(counts.messages), set(counts.attempts), set(counts.pauses), set(counts.feedback)]

    @attrs.frozen
    class Invented:
        name: str

    for number in range(100):
        counts.on_event(Paused(f"maintenance {number}", None))
        counts.on_event(Resumed(f"maintenance {number}"))
        counts.on_feedback(Invented(f"reader{number}@example.net"))
    assert before == [set(counts.messages), set(counts.attempts), set(counts.pauses), set(counts.feedback)]
    assert (counts.pauses["by hand"], counts.feedback["other"]) == (100, 100)


def test_a_distribution_counts_up_to_each_bound() -> None:
    """A value that is a bound counts below it: `le` is "less than or equal", as Prometheus has it."""
    distribution = Distribution((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        distribution.add(value)
    assert (distribution.cumulated(), distribution.total) == ([2, 3, 4], 12.0)


def test_the_bounds_rise() -> None:
    """Or a value would be looked up in the wrong place."""
    assert list(WAITS) == sorted(set(WAITS))
    assert list(ATTEMPTS) == sorted(set(ATTEMPTS))


def test_a_second_has_the_rate_of_what_was_accepted_in_it() -> None:
    """Whatever the length of the second: a loop that stood still makes a long one."""
    counts, timeline = Counts(), Timeline()
    timeline.note(100.0, counts, None)
    counts.on_event(attempted(cost=30))
    counts.on_event(attempted(Outcome.THROTTLED))
    timeline.note(102.0, counts, None)
    assert [(second.accepted, second.throttles) for second in timeline.after(0)] == [(0.0, 0), (15.0, 1)]


def test_the_timeline_keeps_ten_minutes() -> None:
    """Its memory is the same after a day; whoever was away for longer is given what is kept."""
    counts, timeline = Counts(), Timeline()
    for moment in range(5000):
        timeline.note(float(moment), counts, None)
    assert [len(timeline.after(number)) for number in (0, 4990, 5000, 9999)] == [600, 10, 0, 0]
    assert timeline.after(4990)[0].number == 4991


@on_virtual_time
async def test_an_observer_sees_what_a_sender_does() -> None:
    """Counts, state, quota and the last seconds, as JSON takes them."""
    observer = Observer("send to\nses://eu-west-1")
    async with Sender(FakeTransport(), limiter=Limiter(50), hooks=[observer]) as sender:
        observer.watch(sender)
        sender.limiter.quota_figures(SendQuota(50_000, 50, 40_000))
        observer.note()
        async for _ in sender.send_many([MESSAGE] * 10):
            pass
        figures = observer.figures(0, 0.0)
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert (figures["messages"], figures["recipients"], figures["ended"]) == ({"accepted": 10}, 20, 10)
    assert figures["quota"] == {"limit": 50_000, "sent": 40_020, "rate": 50}
    assert figures["title"] == "send to\\nses://eu-west-1"
    assert figures["state"]["paused"] is None


@on_virtual_time
async def test_an_observer_is_not_well_when_the_account_is_blocked() -> None:
    """What pauses for another reason goes on by itself; a restart would not help."""
    limiter = Limiter(50)
    observer = Observer()
    observer.watch(limiter)
    limiter.hold("maintenance")
    assert observer.health() == (True, {"status": "maintenance", "rate": 50.0, "paused": "maintenance", "waiting": 0})
    async with Sender(FakeTransport(lambda _: Outcome.ACCOUNT_BLOCKED), hooks=[blocked := Observer()]) as sender:
        blocked.watch(sender)
        with pytest.raises(Exception, match="blocked"):
            await sender.send(MESSAGE)
        well, said = blocked.health()
    assert (well, said["status"]) == (False, "account blocked")


@on_virtual_time
async def test_no_throttle_is_logged_as_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """It is what the limiter is for: alphagov/notifications-api#4310 and openedx/openedx-platform#13068 ask for it."""
    left = iter([Outcome.THROTTLED, Outcome.ACCEPTED])
    caplog.set_level(logging.DEBUG, "seslimit.events")
    async with Sender(FakeTransport(lambda _: next(left)), limiter=Limiter(50), hooks=[LogHook()]) as sender:
        await sender.send(MESSAGE)
    events = [(record.levelname, record.seslimit["event"]) for record in caplog.records if hasattr(record, "seslimit")]
    assert events.count(("INFO", "attempted")) == 1
    assert ("INFO", "report") in events
    assert max(record.levelno for record in caplog.records if record.name == "seslimit.events") == logging.INFO


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (Paused(Reason.ACCOUNT_BLOCKED, 30.0), "error"),
        (Paused(Reason.QUOTA_EXCEEDED, 30.0), "warning"),
        (Resumed(Reason.QUOTA_EXCEEDED), "info"),
        (Learnt(14.0, "throttled"), "debug"),
        (Report(MESSAGE, Outcome.PERMANENT, error=ValueError("550 no\r\nsuch user")), "warning"),
        (attempted(Outcome.UNKNOWN), "warning"),
        (attempted(Outcome.QUOTA_EXCEEDED), "info"),
    ],
    ids=str,
)
def test_an_event_is_as_serious_as_what_has_to_be_done(
    event: object, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An error is for what needs somebody; each line is JSON, without a line break and without an address."""
    caplog.set_level(logging.DEBUG, "seslimit.events")
    LogHook().on_event(event)  # type: ignore[arg-type]
    line = JSONFormatter().format(caplog.records[-1])
    assert json.loads(line)["level"] == level
    assert "\n" not in line
    assert "example.net" not in line
