"""What hooks hear: everything that happens, where it happens, and that no hook stops anything."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Hashable
from typing import Any

import pytest

from seslimit import (
    AccountBlocked,
    Attempted,
    ConfigurationError,
    Event,
    Learnt,
    Limiter,
    Message,
    Outcome,
    Paused,
    Reason,
    Report,
    Resumed,
    RetryPolicy,
    Scope,
    Sender,
    SendFailed,
    SendQuota,
    TransportError,
)
from seslimit._sending.quota_watch import PATIENCE

from .service_model import ScriptedService, WithQuota, first_attempts, message, messages
from .virtual_time import on_virtual_time

FAST = 1000.0
"""Recipients/s at which the rate is no obstacle."""


class Heard:
    """A hook that keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_event(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)

    @property
    def attempts(self) -> list[Attempted]:
        """The attempts among them."""
        return [event for event in self.events if isinstance(event, Attempted)]

    @property
    def reports(self) -> list[Report]:
        """The reports among them."""
        return [event for event in self.events if isinstance(event, Report)]

    def kinds(self) -> Counter[str]:
        """How many there are of each kind."""
        return Counter(type(event).__name__ for event in self.events)


def now() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


def about(seconds: float, abs: float = 0.01) -> Any:  # noqa: A002  # as pytest has it
    """Seconds that are nearly so, wherever a number is expected."""
    return pytest.approx(seconds, abs=abs)


def fast() -> Limiter:
    """A limiter that is no obstacle."""
    return Limiter(FAST, max_rate=FAST)


# Attempts


@on_virtual_time
async def test_three_throttles_and_a_block_are_four_attempts() -> None:
    """And a report, though the message is unsent: nobody has to wrap a transport to learn what happens."""
    heard = Heard()
    script = first_attempts(*[Outcome.THROTTLED] * 3, Outcome.ACCOUNT_BLOCKED)
    async with Sender(ScriptedService(script), limiter=fast(), hooks=[heard]) as sender:
        with pytest.raises(AccountBlocked):
            await sender.send(message("a"))
    assert [(one.key, one.outcome, one.scope) for one in heard.attempts] == [
        *[("a", Outcome.THROTTLED, Scope.ACCOUNT)] * 3,
        ("a", Outcome.ACCOUNT_BLOCKED, Scope.ACCOUNT),
    ]
    (report,) = heard.reports
    assert (report.outcome, report.attempts, report.throttles) == (Outcome.ACCOUNT_BLOCKED, 0, 3)
    assert [one.outcome for one in report.history] == [one.outcome for one in heard.attempts]


@on_virtual_time
async def test_an_attempt_is_told_with_all_that_is_known_of_it() -> None:
    """When it was let through, how long it had waited, when it ended, and what the service said."""
    heard = Heard()
    refused = TransportError(Outcome.TRANSIENT, "451 later", handed_over_at=0.05)
    service = ScriptedService(lambda one, _: refused if one.key == "a" else Outcome.ACCEPTED)
    async with Sender(service, limiter=Limiter(1, max_rate=1), hooks=[heard], retry=RetryPolicy(max_attempts=1)) as one:
        with pytest.raises(SendFailed):
            await one.send(Message("a@example.com", ["b@example.org", "c@example.org"], b"x", "a"))
        await one.send(message("b"))
    first, second = heard.attempts
    assert (first.cost, first.reply, first.transport) == (2, "451 later", "ScriptedService")
    assert (first.admitted_at, first.handed_over_at) == (about(0.0), 0.05)
    assert first.settled_at == about(0.15)
    assert (second.outcome, second.reply) == (Outcome.ACCEPTED, "")
    assert second.waited == about(1.85, 0.1)


@on_virtual_time
async def test_an_attempt_that_was_cancelled_is_told_as_unknown() -> None:
    """It may have been accepted; one that was never begun is no attempt."""
    heard = Heard()
    async with Sender(ScriptedService(delay=1.0), limiter=Limiter(0.1, max_rate=0.1), hooks=[heard]) as sender:
        tasks = [asyncio.create_task(sender.send(message(key))) for key in "ab"]
        await asyncio.sleep(0.5)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    assert [(one.key, one.outcome) for one in heard.attempts] == [("a", Outcome.UNKNOWN)]
    assert {one.message.key: one.outcome for one in heard.reports} == {"a": Outcome.UNKNOWN, "b": Outcome.NOT_SENT}


@on_virtual_time
async def test_a_limiter_tells_of_whatever_it_let_through() -> None:
    """By a block, by a wrapped function, by hand; an admission that told nothing is no attempt."""
    heard = Heard()
    limiter = Limiter(FAST, max_rate=FAST, hooks=[heard])
    async with limiter.admit(recipients=3):
        pass
    await limiter.wrap(cost=2)(asyncio.sleep)(0.1)
    await limiter.acquire()
    limiter.throttled()
    admission = limiter.admit()
    await limiter.enter(admission)
    limiter.settle(admission, None)
    assert [(one.cost, one.outcome) for one in heard.attempts] == [
        (3, Outcome.ACCEPTED),
        (2, Outcome.ACCEPTED),
        (1, Outcome.THROTTLED),
    ]


@pytest.mark.parametrize("seed", range(3))
@on_virtual_time
async def test_every_attempt_is_told(seed: int) -> None:
    """With every kind of trouble, and stopped in the middle: as many as the service saw, by message."""
    rng = random.Random(seed)
    outcomes = [*[Outcome.ACCEPTED] * 6, Outcome.THROTTLED, Outcome.TRANSIENT, Outcome.NOT_SENT, Outcome.PERMANENT]
    service, heard = ScriptedService(lambda one, attempt: rng.choice(outcomes)), Heard()
    async with Sender(service, limiter=Limiter(100), hooks=[heard]) as sender:
        asyncio.get_running_loop().call_later(10.0, sender.stop)
        singles = [asyncio.create_task(sender.send(message(f"single {number}"))) for number in range(100)]
        async for _ in sender.send_many(messages(3000)):
            pass
        await asyncio.gather(*singles, return_exceptions=True)
    seen: Counter[Hashable] = Counter(one.key for one in heard.attempts)
    assert seen == Counter(service.attempts)
    ended = Counter(report.message.key for report in heard.reports)
    assert set(ended.values()) == {1}
    assert set(ended) >= set(seen)


# Reports


@on_virtual_time
async def test_a_plain_hook_hears_reports_alone() -> None:
    """As ever: whoever wrote one for reports is called with nothing else."""
    got: list[Report] = []
    service = ScriptedService(first_attempts(Outcome.THROTTLED, Outcome.NOT_SENT))
    async with Sender(service, limiter=fast(), hooks=[got.append]) as sender:
        await sender.send(message("a"))
    assert [(type(one), one.outcome) for one in got] == [(Report, Outcome.ACCEPTED)]


@on_virtual_time
async def test_messages_that_remain_unsent_are_reported_to_hooks() -> None:
    """When sending has to stop as a whole; `send_many` names the same in its exception."""
    heard = Heard()
    service = ScriptedService(lambda one, attempt: Outcome.ACCOUNT_BLOCKED if now() > 0.5 else Outcome.ACCEPTED)
    async with Sender(service, limiter=Limiter(50, max_rate=50), hooks=[heard]) as sender:
        with pytest.raises(AccountBlocked) as stopped:
            async for _ in sender.send_many(messages(10**6)):
                pass
    unsent = {one.message.key for one in heard.reports if one.outcome is not Outcome.ACCEPTED}
    assert unsent == {one.key for one in stopped.value.unsent}
    assert unsent


@on_virtual_time
async def test_a_report_says_when_and_what_happened_before() -> None:
    """By the clock on the wall: with each attempt's time, outcome and reply."""
    refused = TransportError(Outcome.TRANSIENT, "451 4.0.0 later")
    began = time.time()
    async with Sender(ScriptedService(first_attempts(refused)), limiter=fast()) as sender:
        (report,) = [report async for report in sender.send_many([message("a")])]
    assert began <= report.history[0].at <= report.history[1].at <= report.at <= time.time()
    assert [(one.outcome, one.reply) for one in report.history] == [
        (Outcome.TRANSIENT, "451 4.0.0 later"),
        (Outcome.ACCEPTED, ""),
    ]


# Pauses, and what is learnt


@on_virtual_time
async def test_a_pause_is_told_with_its_reason_and_its_end() -> None:
    """Also to the hooks of a sender; told again when a probe fails and the moment moves."""
    heard, beside = Heard(), Heard()
    limiter = Limiter(FAST, hooks=[beside])
    service = ScriptedService(first_attempts(*[Outcome.QUOTA_EXCEEDED] * 2))
    async with Sender(service, limiter=limiter, hooks=[heard]) as sender:
        await sender.send(message("a"))
    told = [event for event in heard.events if isinstance(event, Paused | Resumed)]
    assert told[0] == Paused(Reason.QUOTA_EXCEEDED, about(10.15))
    assert told[-1] == Resumed(Reason.QUOTA_EXCEEDED)
    assert told[-2] == Paused(Reason.QUOTA_EXCEEDED, about(30.3, 0.1))
    assert [event for event in beside.events if isinstance(event, Paused | Resumed)] == told


@on_virtual_time
async def test_what_is_learnt_is_told_with_its_cause() -> None:
    """From the service's figures, and from a throttle."""
    heard = Heard()
    limiter = Limiter(hooks=[heard])
    limiter.quota_figures(SendQuota(50_000, 14, 0))
    with pytest.raises(TransportError):
        async with limiter.admit():
            raise TransportError(Outcome.THROTTLED, "454 Throttling failure: Maximum sending rate exceeded.")
    learnt = [event for event in heard.events if isinstance(event, Learnt)]
    assert learnt[0] == Learnt(14, "quota")
    assert (learnt[1].cause, learnt[1].estimate) == ("throttled", limiter.estimate)


@on_virtual_time
async def test_a_closed_sender_hears_nothing_more_of_the_limiter() -> None:
    """It may be shared, and outlive the sender."""
    limiter, heard = fast(), Heard()
    async with Sender(ScriptedService(), limiter=limiter, hooks=[heard]):
        pass
    limiter.quota_figures(SendQuota(100, 14, 100))
    assert heard.events == []


@on_virtual_time
async def test_a_hook_of_both_hears_once() -> None:
    """The limiter's and its sender's may be the same object."""
    heard = Heard()
    async with Sender(ScriptedService(), limiter=Limiter(FAST, hooks=[heard]), hooks=[heard]) as sender:
        await sender.send(message("a"))
    assert heard.kinds() == {"Attempted": 1, "Report": 1}


# State


@on_virtual_time
async def test_the_state_is_a_value() -> None:
    """Rate, estimate, waiting, in flight, waiting for later, pause and quota at one moment."""
    service = ScriptedService(first_attempts(Outcome.TRANSIENT), delay=0.2)
    retry = RetryPolicy(jitter=lambda bound: bound)
    limiter = Limiter(10, max_rate=10)
    async with Sender(service, limiter=limiter, retry=retry) as sender:
        tasks = [asyncio.create_task(sender.send(message(key))) for key in range(9)]
        await asyncio.sleep(0.65)
        state = sender.state()
        assert (state.rate, state.estimate, state.paused, state.quota) == (10, 10, None, None)
        assert state.in_flight + state.waiting + state.later == 9
        assert (state.in_flight, state.later) == (3, 1)
        assert limiter.state().in_flight == 3
        await asyncio.wait(tasks)
        assert (sender.state().in_flight, limiter.state().in_flight, sender.state().later) == (0, 0, 0)


@on_virtual_time
async def test_the_state_says_why_nothing_is_sent_and_until_when() -> None:
    """The reason is one of a few words."""
    limiter = fast()
    limiter.quota_figures(SendQuota(100, 14, 100))
    assert limiter.state().paused == Paused(Reason.QUOTA_EXCEEDED, about(10.0))
    assert limiter.paused is Reason.QUOTA_EXCEEDED


# Hooks that misbehave


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), asyncio.CancelledError()], ids=lambda error: type(error).__name__
)
@on_virtual_time
async def test_a_hook_that_raises_loses_no_report(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it raises: nobody can cancel what does not wait. The next hook is called."""

    def broken(_: Report) -> None:
        raise error

    got: list[Report] = []
    async with Sender(ScriptedService(), limiter=fast(), hooks=[broken, got.append]) as sender:
        reports = [report async for report in sender.send_many(messages(5))]
        await sender.send(message("single"))
    assert (len(reports), got[:-1]) == (5, reports)
    assert "broken" in caplog.text


async def _hook(_: object) -> None: ...


class _Asynchronous:
    async def on_event(self, _: Event) -> None: ...


class _Callable:
    async def __call__(self, _: object) -> None: ...


@pytest.mark.parametrize("hook", [_hook, _Asynchronous(), _Callable()], ids=lambda hook: type(hook).__name__)
def test_an_asynchronous_hook_is_refused(hook: _Callable) -> None:
    """Nobody would await it, and its reports would be lost without a word."""
    with pytest.raises(ConfigurationError, match="asynchronous, and hooks are not awaited"):
        Sender(ScriptedService(), hooks=[hook])
    with pytest.raises(ConfigurationError, match="asynchronous, and hooks are not awaited"):
        Limiter(hooks=[hook])


def test_what_cannot_be_called_is_no_hook() -> None:
    """It is named."""
    with pytest.raises(ConfigurationError, match="the hook 'report' is neither callable"):
        Sender(ScriptedService(), hooks=["report"])  # type: ignore[list-item]  # the mistake


@on_virtual_time
async def test_a_hook_that_returns_a_coroutine_is_told_off(caplog: pytest.LogCaptureFixture) -> None:
    """It looks like a plain function, as a lambda does; its coroutine would never run."""
    with caplog.at_level(logging.ERROR, "seslimit"):
        async with Sender(ScriptedService(), limiter=fast(), hooks=[lambda report: _hook(report)]) as sender:
            await sender.send(message("a"))
    assert "returned a coroutine, which nobody awaits" in caplog.text


# Others that never answer


@on_virtual_time
async def test_a_quota_that_never_comes_does_not_hold_the_first_message(caplog: pytest.LogCaptureFixture) -> None:
    """A plug-in's question may hang; an answer that comes late is taken all the same."""
    service = WithQuota(quotas=[SendQuota(50_000, 14, 0)], delay=2 * PATIENCE)
    async with Sender(service, limiter=fast()) as sender:
        sending = asyncio.create_task(sender.send(message("a")))
        await asyncio.sleep(PATIENCE + 1.0)
        assert service.attempts == ["a"]
        assert "not known yet" in caplog.text
        await sending
        assert sender.limiter.quota == SendQuota(50_000, 14, 0)


@on_virtual_time
async def test_an_admission_inside_the_first_one_does_not_wait_for_it() -> None:
    """In the same task, in one that it begins, and inside a wrapped function: the outer cannot end before the inner."""
    for nested in ("task", "gather", "wrap"):
        limiter = fast()
        begun = now()

        async def inner(limiter: Limiter = limiter) -> None:
            async with limiter.admit():
                pass

        if nested == "wrap":
            await limiter.wrap()(inner)()
        else:
            async with limiter.admit():
                await (inner() if nested == "task" else asyncio.gather(inner(), inner()))
        assert now() - begun < 1.0
