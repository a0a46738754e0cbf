"""The sender on virtual time: what it takes, holds, reports and leaves, whatever happens to it."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Hashable, Iterable, Iterator
from typing import Any

import pytest

from seslimit import (
    AccountBlocked,
    ConfigurationError,
    EndpointUnreachable,
    Limiter,
    Message,
    Outcome,
    Receipt,
    Report,
    RetryPolicy,
    Sender,
    SendFailed,
    SendQuota,
    TransportError,
)
from seslimit._sending.quota_watch import QUOTA_REFRESH
from seslimit._sending.sender import DRAIN
from seslimit._sending.stream import UNREAD
from seslimit.testing import FakeTransport
from seslimit.testing._account import SimulatedAccount

from .service_model import (
    Door,
    ModelService,
    Script,
    ScriptedService,
    WithQuota,
    first_attempts,
    message,
    messages,
)
from .virtual_time import on_virtual_time

FAST = 1000.0
"""Recipients/s at which the rate is no obstacle."""


def now() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


def fast() -> Limiter:
    """A limiter that is no obstacle."""
    return Limiter(FAST, max_rate=FAST)


def only(wanted: Hashable, outcome: Outcome | Exception, *, always: bool = False) -> Script:
    """Refuse one key so, at its first attempt or always, and accept the others."""
    return lambda message, attempt: outcome if message.key == wanted and (always or attempt == 1) else Outcome.ACCEPTED


def blocks() -> TransportError:
    """No connection, and the next attempt would not make one either."""
    return TransportError(Outcome.NOT_SENT, "connection refused", blocks_endpoint=True)


async def all_reports(sender: Sender, source: Iterable[Message]) -> list[Report]:
    """Every report of a batch, in its order."""
    return [report async for report in sender.send_many(source)]


async def read(sender: Sender, source: Iterable[Message], reports: list[Report]) -> None:
    """Put every report of a batch into the list, so that those before an exception are kept."""
    async for report in sender.send_many(source):
        reports.append(report)  # noqa: PERF401  # a comprehension would lose them


def in_order(keys: Iterable[Hashable]) -> list[int]:
    """Keys that are numbers, sorted."""
    return sorted(int(str(key)) for key in keys)


def keys(reports: list[Report]) -> list[Hashable]:
    """Their keys."""
    return [report.message.key for report in reports]


class Source:
    """An iterable that counts what was taken from it."""

    def __init__(self, count: int) -> None:
        self._messages = messages(count)
        self.taken = 0

    def __iter__(self) -> Iterator[Message]:
        for one in self._messages:
            self.taken += 1
            yield one


# What it is made of


def test_no_place_in_flight_is_refused() -> None:
    """Nothing would ever be sent."""
    with pytest.raises(ConfigurationError, match="max_in_flight is 0"):
        Sender(ScriptedService(), max_in_flight=0)


@pytest.mark.parametrize(
    "options",
    [{"outbox": "mail.db"}, {"suppression": "list.jsonl"}, {"guard": "yes"}],
    ids=lambda options: min(options),
)
def test_an_option_of_another_kind_is_refused_at_once(options: dict[str, Any]) -> None:
    """Not at the first message, and not by Python's own words."""
    with pytest.raises(ConfigurationError, match=f"{min(options)} is '.*': give "):
        Sender(FakeTransport(), **options)


def test_a_sender_is_made_outside_a_loop() -> None:
    """At import, as a global."""
    assert Sender(ScriptedService()).unfinished == ()


# One message


@on_virtual_time
async def test_send_returns_the_receipt() -> None:
    """When the service has accepted it."""
    async with Sender(ScriptedService(), limiter=fast()) as sender:
        assert await sender.send(message("a")) == Receipt("id-a")


@on_virtual_time
async def test_send_raises_with_the_report_of_a_message_given_up() -> None:
    """Its cause is the last error."""
    error = TransportError(Outcome.PERMANENT, "554 no")
    async with Sender(ScriptedService(only("a", error)), limiter=fast()) as sender:
        with pytest.raises(SendFailed) as raised:
            await sender.send(message("a"))
    assert raised.value.__cause__ is error
    assert raised.value.report == Report(message("a"), Outcome.PERMANENT, attempts=1, error=error)


@on_virtual_time
async def test_send_raises_when_the_account_is_blocked() -> None:
    """The message is unsent."""
    async with Sender(ScriptedService(only("a", Outcome.ACCOUNT_BLOCKED)), limiter=fast()) as sender:
        with pytest.raises(AccountBlocked) as raised:
            await sender.send(message("a"))
    assert raised.value.unsent == (message("a"),)


@on_virtual_time
async def test_send_works_without_a_context() -> None:
    """As long as somebody closes it."""
    service = ScriptedService()
    sender = Sender(service, limiter=fast())
    await sender.send(message("a"))
    await sender.aclose()
    assert service.closed == 1


@on_virtual_time
async def test_a_blocked_account_costs_one_attempt_however_many_wait() -> None:
    """The others are told at once; after a while one of them finds out whether it still is."""
    service = ScriptedService(lambda one, attempt: Outcome.ACCOUNT_BLOCKED if now() < 20 else Outcome.ACCEPTED)
    async with Sender(service, limiter=fast()) as sender:
        told = await asyncio.gather(*(sender.send(one) for one in messages(50)), return_exceptions=True)
        assert {type(error) for error in told} == {AccountBlocked}
        assert len({str(error) for error in told}) == 1
        assert len(service.attempts) == 1
        await asyncio.sleep(31)
        await sender.send(message("later"))
    assert service.ledger["later"] == 1


# Many messages


@on_virtual_time
async def test_every_message_has_one_report() -> None:
    """Accepted, with its receipt, one attempt and no error."""
    async with Sender(ScriptedService(), limiter=fast()) as sender:
        reports = await all_reports(sender, messages(300))
    assert sorted(reports, key=lambda report: int(str(report.message.key))) == [
        Report(one, Outcome.ACCEPTED, Receipt(f"id-{one.key}"), attempts=1) for one in messages(300)
    ]


@on_virtual_time
async def test_an_accepted_message_reports_what_it_cost() -> None:
    """Throttles and counted attempts; the errors on the way are no error of the report."""
    script = first_attempts(Outcome.THROTTLED, Outcome.TRANSIENT, Outcome.THROTTLED)
    async with Sender(ScriptedService(script), limiter=fast()) as sender:
        reports = await all_reports(sender, messages(1))
    assert reports == [Report(message(0), Outcome.ACCEPTED, Receipt("id-0"), attempts=2, throttles=2)]


@on_virtual_time
async def test_messages_are_taken_as_there_is_a_place_for_them() -> None:
    """Never more than are in flight and one in hand, however many there are."""
    service, source = ScriptedService(), Source(10**9)
    async with Sender(service, limiter=fast(), max_in_flight=7) as sender:
        async for _ in sender.send_many(source):
            assert source.taken <= len(service.attempts) + 1
            assert service.most_in_flight <= 7
            if source.taken > 200:
                break


@on_virtual_time
async def test_nothing_is_taken_before_the_first_report_is_asked_for() -> None:
    """A generator that nobody iterates does nothing."""
    source = Source(5)
    async with Sender(ScriptedService(), limiter=fast()) as sender:
        reports = sender.send_many(source)
        await asyncio.sleep(10.0)
        await reports.aclose()
    assert source.taken == 0


@on_virtual_time
async def test_a_reader_that_stops_reading_stops_the_supply() -> None:
    """After a bounded number of unread reports."""
    source = Source(10**9)
    async with Sender(ScriptedService(), limiter=fast(), max_in_flight=10) as sender:
        async for _ in sender.send_many(source):
            await asyncio.sleep(3600.0)
            break
    assert source.taken <= UNREAD + 10 + 3


@on_virtual_time
async def test_reports_come_in_the_order_of_completion() -> None:
    """A message that takes long holds up nobody."""
    async with Sender(ScriptedService(only(1, Outcome.TRANSIENT)), limiter=Limiter(20)) as sender:
        reports = await all_reports(sender, messages(3))
    assert keys(reports) == [0, 2, 1]


@on_virtual_time
async def test_messages_come_from_an_asynchronous_iterable() -> None:
    """Which is waited for."""

    async def arriving() -> AsyncIterator[Message]:
        for one in messages(5):
            await asyncio.sleep(1.0)
            yield one

    service = ScriptedService()
    async with Sender(service, limiter=fast()) as sender:
        reports = [report async for report in sender.send_many(arriving())]
    assert keys(reports) == [0, 1, 2, 3, 4]
    assert service.times == pytest.approx([1.0, 2.0, 3.0, 4.0, 5.0], abs=0.001)


@on_virtual_time
async def test_no_messages_are_no_reports() -> None:
    """And no attempt."""
    async with Sender(ScriptedService()) as sender:
        assert await all_reports(sender, []) == []


@on_virtual_time
async def test_what_the_iterable_raises_comes_after_the_reports() -> None:
    """Of everything that it gave before."""

    def failing() -> Iterator[Message]:
        yield from messages(10)
        raise LookupError("line 11")

    reports: list[Report] = []
    async with Sender(ScriptedService(), limiter=fast()) as sender:
        with pytest.raises(LookupError, match="line 11"):
            await read(sender, failing(), reports)
    assert in_order(keys(reports)) == list(range(10))


@on_virtual_time
async def test_an_iterable_that_is_cancelled_from_inside_does_not_look_exhausted() -> None:
    """Its messages would be lost without a word."""

    async def broken() -> AsyncIterator[Message]:
        yield message(0)
        raise asyncio.CancelledError

    async with Sender(ScriptedService(), limiter=fast()) as sender:
        with pytest.raises(asyncio.CancelledError):
            async for _ in sender.send_many(broken()):
                pass


@on_virtual_time
async def test_send_and_send_many_share_the_rate_and_the_places() -> None:
    """Together they are no faster, and each gets its own."""
    service = ScriptedService()
    limiter = Limiter(100, max_rate=100)
    async with Sender(service, limiter=limiter, max_in_flight=20) as sender:
        singles = [asyncio.create_task(sender.send(message(f"single {number}"))) for number in range(50)]
        batches = [all_reports(sender, [message(f"{name} {number}") for number in range(100)]) for name in "ab"]
        reports = await asyncio.gather(*batches)
        await asyncio.gather(*singles)
    assert [len(batch) for batch in reports] == [100, 100]
    assert set(service.ledger.values()) == {1}
    assert service.most_in_flight <= 20
    assert now() >= 249 / 100


# Requeue, retry, give up


@on_virtual_time
async def test_throttles_are_not_counted_and_keep_the_place() -> None:
    """Fifty refusals later it is accepted with one attempt; nobody new was taken in its place."""
    source = Source(10)
    async with Sender(
        ScriptedService(first_attempts(*[Outcome.THROTTLED] * 50)), limiter=Limiter(14), max_in_flight=2
    ) as sender:
        async for report in sender.send_many(source):
            assert (report.attempts, report.throttles, report.outcome) == (1, 50, Outcome.ACCEPTED)
            assert source.taken <= 5
            break


@on_virtual_time
async def test_a_message_without_a_connection_goes_again_uncounted() -> None:
    """On a new connection, as often as it takes."""
    script = first_attempts(*[Outcome.NOT_SENT] * 7)
    async with Sender(ScriptedService(script), limiter=fast(), retry=RetryPolicy(max_attempts=1)) as sender:
        reports = await all_reports(sender, messages(3))
    assert [(report.outcome, report.attempts) for report in reports] == [(Outcome.ACCEPTED, 1)] * 3


@on_virtual_time
async def test_a_backoff_holds_no_place() -> None:
    """Fifty messages fail at first; with two places the others are done before their waits are over."""
    service = ScriptedService(lambda one, attempt: Outcome.TRANSIENT if attempt == 1 else Outcome.ACCEPTED, delay=0.01)
    retry = RetryPolicy(first_wait=1000.0)
    async with Sender(service, limiter=fast(), max_in_flight=2, retry=retry) as sender:
        stream = sender.send_many(messages(15))
        await anext(stream)
        assert len(set(service.attempts)) == 15
        await stream.aclose()


@on_virtual_time
async def test_those_that_back_off_are_bounded() -> None:
    """A service in trouble stops the supply: ten times the places, and those in flight."""
    source = Source(10**9)
    service = ScriptedService(lambda one, attempt: Outcome.TRANSIENT, delay=0.01)
    retry = RetryPolicy(first_wait=10**6, max_wait=10**6)
    async with Sender(service, limiter=fast(), max_in_flight=3, retry=retry) as sender:
        asyncio.get_running_loop().call_later(300.0, sender.stop)
        reports = await all_reports(sender, source)
    assert source.taken == len(reports) <= 3 + 30


@pytest.mark.parametrize("outcome", [Outcome.TRANSIENT, Outcome.UNKNOWN])
@on_virtual_time
async def test_a_message_that_keeps_failing_is_given_up(outcome: Outcome) -> None:
    """After its attempts, with its last outcome and error."""
    async with Sender(
        ScriptedService(only(0, outcome, always=True)), retry=RetryPolicy(max_attempts=3, max_unknown=3)
    ) as sender:
        reports = await all_reports(sender, messages(2))
    report = reports[keys(reports).index(0)]
    assert (report.outcome, report.attempts, report.receipt) == (outcome, 3, None)
    assert isinstance(report.error, TransportError)


@pytest.mark.parametrize(("on_unknown", "attempts"), [("resend", 2), ("hold", 1)])
@on_virtual_time
async def test_unknown_is_sent_again_or_held_as_the_policy_says(on_unknown: str, attempts: int) -> None:
    """Held, it is reported as unknown and never sent twice."""
    retry = RetryPolicy(on_unknown=on_unknown)  # type: ignore[arg-type]  # one of the two words
    service = ScriptedService(only(0, Outcome.UNKNOWN))
    async with Sender(service, limiter=fast(), retry=retry) as sender:
        (report,) = await all_reports(sender, messages(1))
    assert len(service.attempts) == report.attempts == attempts
    assert report.outcome is (Outcome.ACCEPTED if on_unknown == "resend" else Outcome.UNKNOWN)


@on_virtual_time
async def test_an_exception_of_the_transport_ends_one_message_only() -> None:
    """It is unknown what became of it, and the others go on."""
    service = ScriptedService(only(3, ZeroDivisionError(), always=True))
    async with Sender(service, limiter=fast(), retry=RetryPolicy(on_unknown="hold")) as sender:
        reports = await all_reports(sender, messages(10))
    failed = [report for report in reports if report.outcome is not Outcome.ACCEPTED]
    assert [(report.message.key, report.outcome) for report in failed] == [(3, Outcome.UNKNOWN)]
    assert isinstance(failed[0].error, ZeroDivisionError)


# Everything stops


@on_virtual_time
async def test_a_blocked_account_stops_everything_and_loses_nothing() -> None:
    """Every message that was taken is reported or unsent, in its order; `__cause__` is the refusal."""
    service = ScriptedService(lambda one, attempt: Outcome.ACCOUNT_BLOCKED if now() > 0.5 else Outcome.ACCEPTED)
    source = Source(10**9)
    reports: list[Report] = []
    async with Sender(service, limiter=Limiter(200, max_rate=200), max_in_flight=20) as sender:
        with pytest.raises(AccountBlocked) as raised:
            await read(sender, source, reports)
    unsent = [one.key for one in raised.value.unsent]
    assert {report.outcome for report in reports} == {Outcome.ACCEPTED}
    assert len(unsent) > 10
    assert unsent == in_order(unsent)
    assert in_order([*keys(reports), *unsent]) == list(range(source.taken))
    assert {key for key, times in service.ledger.items() if times} == set(keys(reports))
    assert isinstance(raised.value.__cause__, TransportError)


@pytest.mark.parametrize(
    ("meanwhile", "reported"),
    [
        (Outcome.ACCEPTED, True),
        (Outcome.PERMANENT, True),
        (Outcome.UNKNOWN, True),
        (Outcome.THROTTLED, False),
        (Outcome.TRANSIENT, False),
        (Outcome.QUOTA_EXCEEDED, False),
        (Outcome.NOT_SENT, False),
        (Outcome.ACCOUNT_BLOCKED, False),
    ],
)
@on_virtual_time
async def test_what_was_under_way_when_the_account_was_blocked_is_reported_or_unsent(
    meanwhile: Outcome, reported: bool
) -> None:
    """Reported when it was accepted, given up, or may have been accepted; unsent otherwise."""
    answers = {1: Outcome.ACCOUNT_BLOCKED, 2: meanwhile}
    service = ScriptedService(lambda one, _: answers.get(int(str(one.key)), Outcome.ACCEPTED))
    reports: list[Report] = []
    async with Sender(service, limiter=fast()) as sender:
        with pytest.raises(AccountBlocked) as raised:
            await read(sender, messages(3), reports)
    assert (2 in keys(reports)) == reported
    assert [one.key for one in raised.value.unsent] == ([1] if reported else [1, 2])


@on_virtual_time
async def test_a_wrong_password_fails_one_login() -> None:
    """Not one for each place in flight."""
    service = ScriptedService(lambda one, attempt: Outcome.ACCOUNT_BLOCKED)
    async with Sender(service, limiter=fast()) as sender:
        with pytest.raises(AccountBlocked):
            await all_reports(sender, messages(1000))
    assert len(service.attempts) == 1


@on_virtual_time
async def test_a_service_that_is_busy_from_the_start_is_ridden_out() -> None:
    """Too many connections, or no logins for now, at the very start is no wrong configuration: it said when to ask."""
    busy = TransportError(
        Outcome.NOT_SENT, "421 Too many concurrent SMTP connections", blocks_endpoint=True, retry_after=1
    )
    refusals = iter([busy] * 8)
    service = ScriptedService(lambda one, attempt: next(refusals, Outcome.ACCEPTED))
    async with Sender(service, limiter=fast()) as sender:
        assert {report.outcome for report in await all_reports(sender, messages(20))} == {Outcome.ACCEPTED}
    assert now() > 60


@on_virtual_time
async def test_an_endpoint_never_reached_stops_everything() -> None:
    """After three attempts, with everything unsent."""
    service, source = ScriptedService(lambda one, attempt: blocks()), Source(10)
    async with Sender(service, limiter=fast()) as sender:
        with pytest.raises(EndpointUnreachable) as raised:
            await all_reports(sender, source)
    assert len(service.attempts) == 3
    assert [one.key for one in raised.value.unsent] == list(range(source.taken))


@on_virtual_time
async def test_an_outage_of_the_endpoint_is_waited_out() -> None:
    """For two minutes nothing connects; then everything goes, uncounted and once."""
    service = ScriptedService(lambda one, attempt: blocks() if 1.0 < now() < 120.0 else Outcome.ACCEPTED)
    async with Sender(service, limiter=Limiter(50, max_rate=50), max_in_flight=20) as sender:
        reports = await all_reports(sender, messages(200))
    assert Counter((report.outcome, report.attempts) for report in reports) == {(Outcome.ACCEPTED, 1): 200}
    assert sum(1.5 < at < 120.0 for at in service.times) <= 10
    assert now() < 190.0


# The sending quota


@on_virtual_time
async def test_the_quota_is_asked_for_before_the_first_message() -> None:
    """Its rate caps ours from the start, for messages that come at the same time too."""
    service = WithQuota(quotas=[SendQuota(50_000, 14, 0)])
    sender = Sender(service, limiter=Limiter(FAST))
    await asyncio.gather(*(sender.send(message(number)) for number in range(15)))
    assert sender.limiter.rate == 14
    assert service.times[0] >= service.delay
    assert service.times[-1] - service.times[1] >= 13 / 14 - 0.05
    await sender.aclose()


@on_virtual_time
async def test_the_quota_is_asked_for_again_every_few_minutes() -> None:
    """A raised rate is used from then on."""
    service = WithQuota(quotas=[SendQuota(-1, 1, 0), SendQuota(-1, 200, 0)])
    async with Sender(service) as sender:
        await asyncio.sleep(QUOTA_REFRESH - 1.0)
        assert sender.limiter.rate == 1
        await asyncio.sleep(2.0)
        assert sender.limiter.quota == SendQuota(-1, 200, 0)
    assert len(service.asked) == 2


@on_virtual_time
async def test_a_quota_that_may_not_be_asked_for_is_no_obstacle(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and sending goes on without."""
    service = WithQuota(quotas=[TransportError(Outcome.ACCOUNT_BLOCKED, "AccessDenied")])
    with caplog.at_level(logging.WARNING, "seslimit"):
        async with Sender(service, limiter=fast()) as sender:
            await sender.send(message("a"))
    assert "AccessDenied" in caplog.text


@on_virtual_time
async def test_a_service_that_does_not_tell_is_no_obstacle() -> None:
    """None is no quota."""
    async with Sender(WithQuota(quotas=[None]), limiter=fast()) as sender:
        await sender.send(message("a"))
        assert sender.limiter.quota is None


@on_virtual_time
async def test_an_exceeded_quota_holds_everything_and_resumes() -> None:
    """The refusals are uncounted and few, nothing is lost, and sending goes on when the window frees."""
    account = SimulatedAccount(50, max_24_hour_send=500, day=120.0)
    service = ModelService(account)
    async with Sender(service, limiter=Limiter(50, max_rate=50), max_in_flight=20) as sender:
        reports = await all_reports(sender, messages(700))
    assert Counter((report.outcome, report.attempts) for report in reports) == {(Outcome.ACCEPTED, 1): 700}
    assert set(service.ledger.values()) == {1}
    assert account.over_quota <= 20 + 20
    assert now() < 300.0


@on_virtual_time
async def test_figures_that_leave_nothing_hold_everything_without_a_refusal() -> None:
    """Until a probe gets through."""
    service = WithQuota(quotas=[SendQuota(200, 50, 200)])
    async with Sender(service, limiter=Limiter(50)) as sender:
        reports = await all_reports(sender, messages(5))
    assert len(reports) == 5
    assert service.times[0] >= 10.0


# Stopping


@on_virtual_time
async def test_stop_makes_no_new_attempt_and_reports_all_that_was_taken() -> None:
    """What is under way comes to its end; what has not begun is not sent."""
    service, source = ScriptedService(), Source(10**9)
    async with Sender(service, limiter=Limiter(100, max_rate=100)) as sender:
        asyncio.get_running_loop().call_later(1.0, sender.stop)
        reports = await all_reports(sender, source)
    assert max(service.times) <= 1.0
    assert in_order(keys(reports)) == list(range(source.taken))
    outcomes = Counter(report.outcome for report in reports)
    assert outcomes[Outcome.ACCEPTED] == sum(service.ledger.values()) == len(service.attempts)
    assert outcomes[Outcome.NOT_SENT] <= 1


@on_virtual_time
async def test_stop_gives_back_the_place_of_a_message_in_hand() -> None:
    """It waited for its turn."""
    service = ScriptedService()
    async with Sender(service, limiter=Limiter(0.1, max_rate=0.1), max_in_flight=1) as sender:
        asyncio.get_running_loop().call_later(5.0, sender.stop)
        reports = await all_reports(sender, messages(2))
        assert [report.outcome for report in reports] == [Outcome.ACCEPTED, Outcome.NOT_SENT]
        await sender.send(message("later"))
    assert service.attempts == [0, "later"]


@on_virtual_time
async def test_stop_gives_back_the_turn_of_a_message_that_had_not_begun() -> None:
    """It had its place and its turn, and its task did not run yet; the next need not wait for it."""
    service = ScriptedService()
    sender = Sender(service, limiter=fast(), max_in_flight=1)

    def stopping() -> Iterator[Message]:
        yield message(0)
        sender.stop()
        yield message(1)

    reports = await all_reports(sender, stopping())
    assert {report.outcome for report in reports} == {Outcome.NOT_SENT}
    await sender.send(message("later"))
    assert service.attempts == ["later"]
    assert now() == pytest.approx(0.15, abs=0.01)
    await sender.aclose()


@on_virtual_time
async def test_stop_reports_those_that_back_off_with_their_last_outcome() -> None:
    """With the error that they wait for."""
    service = ScriptedService(only(0, Outcome.TRANSIENT))
    async with Sender(service, limiter=fast(), retry=RetryPolicy(first_wait=1000.0)) as sender:
        asyncio.get_running_loop().call_later(0.5, sender.stop)
        reports = await all_reports(sender, messages(2))
    held = reports[keys(reports).index(0)]
    assert (held.outcome, held.attempts) == (Outcome.TRANSIENT, 1)
    assert isinstance(held.error, TransportError)
    assert now() < 1.0


@on_virtual_time
async def test_stop_ends_an_iterable_that_waits() -> None:
    """Its clean-up runs."""
    cleaned = []

    async def idle() -> AsyncIterator[Message]:
        try:
            await asyncio.sleep(10**6)
            yield message(0)
        finally:
            cleaned.append(now())

    async with Sender(ScriptedService()) as sender:
        asyncio.get_running_loop().call_later(1.0, sender.stop)
        assert [report async for report in sender.send_many(idle())] == []
    assert cleaned == pytest.approx([1.0], abs=0.001)


@on_virtual_time
async def test_stop_without_a_batch_does_nothing() -> None:
    """A later one runs."""
    async with Sender(ScriptedService(), limiter=fast()) as sender:
        sender.stop()
        assert len(await all_reports(sender, messages(3))) == 3


@on_virtual_time
async def test_a_caller_that_breaks_out_stops_the_supply() -> None:
    """At once; attempts under way come to their end, and the sender goes on."""
    service, source = ScriptedService(delay=0.5), Source(10**9)
    async with Sender(service, limiter=Limiter(100, max_rate=100)) as sender:
        async for _ in sender.send_many(source):
            break
        taken = source.taken
        await asyncio.sleep(5.0)
        assert source.taken <= taken + 1
        assert service.in_flight == 0
        assert sum(service.ledger.values()) == len(service.attempts)
        await sender.send(message("later"))
        assert not sender._streams


@on_virtual_time
async def test_a_caller_that_is_cancelled_leaves_nothing_behind() -> None:
    """Attempts under way are given time, and the cancellation arrives."""
    service, source = ScriptedService(delay=0.5), Source(10**9)
    async with Sender(service, limiter=Limiter(100, max_rate=100)) as sender:
        task = asyncio.create_task(all_reports(sender, source))
        await asyncio.sleep(3.0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert now() == pytest.approx(3.75, abs=0.1)
        assert (service.in_flight, sender.limiter.waiting) == (0, 0)
    assert sum(service.ledger.values()) == len(service.attempts)


@on_virtual_time
async def test_closing_drains_within_the_deadline_and_names_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    """An attempt that takes longer is dropped: it may have been accepted."""
    service = ScriptedService(delay=100.0)
    reported: list[Report] = []
    sender = Sender(service, limiter=fast(), max_in_flight=3, hooks=[reported.append])
    tasks = [asyncio.create_task(all_reports(sender, [message(name)])) for name in "ab"]
    sender.limiter._account.reached()
    await asyncio.sleep(1.0)
    with caplog.at_level(logging.WARNING, "seslimit"):
        await sender.aclose()
    assert now() == pytest.approx(1.0 + DRAIN, abs=0.1)
    assert {one.key for one in sender.unfinished} == {"a", "b"}
    assert {(report.message.key, report.outcome, report.attempts) for report in reported} == {
        ("a", Outcome.UNKNOWN, 1),
        ("b", Outcome.UNKNOWN, 1),
    }
    assert "2 attempts" in caplog.text
    assert service.closed == 1
    assert [keys(await task) for task in tasks] == [["a"], ["b"]]


@on_virtual_time
async def test_closing_waits_no_longer_than_attempts_take() -> None:
    """Nothing is unfinished then."""
    async with Sender(ScriptedService(), limiter=fast()) as sender:
        task = asyncio.create_task(all_reports(sender, messages(10**6)))
        await asyncio.sleep(1.0)
    assert sender.unfinished == ()
    assert now() < 1.3
    await task


@on_virtual_time
async def test_closing_ends_the_watch_on_the_quota() -> None:
    """Nobody asks a closed transport."""
    service = WithQuota(quotas=[None])
    async with Sender(service):
        pass
    await asyncio.sleep(2 * QUOTA_REFRESH)
    assert len(service.asked) == 1


@on_virtual_time
async def test_a_question_for_the_quota_that_fails_is_asked_again_soon(caplog: pytest.LogCaptureFixture) -> None:
    """A network that is not up yet; said once, and the figures count as soon as they come."""

    class Late(WithQuota):
        async def quota(self) -> SendQuota | None:
            quota = await super().quota()
            if len(self.asked) < 4:
                raise ConnectionError("no network yet")
            return quota

    service = Late(quotas=[SendQuota(-1, 40.0, 0)] * 10)
    async with Sender(service) as sender:
        await asyncio.sleep(10.0)
        assert sender.limiter.rate > 30.0
        assert len(service.asked) == 4
    assert caplog.text.count("the sending quota is not known") == 1


@on_virtual_time
async def test_a_cancelled_close_closes_the_transport() -> None:
    """Whoever is in a hurry leaves no connection open."""
    service = ScriptedService(delay=100.0)
    sender = Sender(service, limiter=fast())
    reading = asyncio.create_task(all_reports(sender, messages(1)))
    await asyncio.sleep(1.0)
    closing = asyncio.create_task(sender.aclose())
    await asyncio.sleep(1.0)
    closing.cancel()
    await asyncio.wait([closing])
    assert (closing.cancelled(), service.closed) == (True, 1)
    reading.cancel()
    await asyncio.wait([reading])


# Hooks


@on_virtual_time
async def test_hooks_get_every_report() -> None:
    """Of single messages and of batches, accepted and given up."""
    got: list[Report] = []
    async with Sender(
        ScriptedService(only(1, Outcome.PERMANENT, always=True)), limiter=fast(), hooks=[got.append, lambda _: None]
    ) as sender:
        reports = await all_reports(sender, messages(3))
        await sender.send(message("single"))
        with pytest.raises(SendFailed):
            await sender.send(message(1))
    assert (got[:3], keys(got[3:])) == (reports, ["single", 1])


@on_virtual_time
async def test_a_hook_that_raises_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the next hook is called."""

    def broken(report: Report) -> None:
        raise ZeroDivisionError("in the hook")

    got: list[Report] = []
    async with Sender(ScriptedService(), limiter=fast(), hooks=[broken, got.append]) as sender:
        reports = await all_reports(sender, messages(5))
    assert got == reports
    assert "in the hook" in caplog.text


# Under stress


class Counted(Message):
    """A message whose living instances can be counted."""


@on_virtual_time
async def test_memory_does_not_grow_with_the_number_of_messages() -> None:
    """Of 20,000 messages, with failures and throttles among them, a few hundred are alive at any time."""
    rng = random.Random(1)
    outcomes = [Outcome.ACCEPTED] * 17 + [Outcome.THROTTLED, Outcome.TRANSIENT, Outcome.PERMANENT]

    def script(one: Message, attempt: int) -> Outcome:
        return rng.choice(outcomes)

    def source() -> Iterator[Message]:
        for number in range(20_000):
            yield Counted("a@example.com", ["b@example.org"], b"x", number)

    most, seen = 0, 0
    retry = RetryPolicy(first_wait=0.5)
    async with Sender(ScriptedService(script, delay=0.05), limiter=Limiter(2000), retry=retry) as sender:
        async for report in sender.send_many(source()):
            seen += 1
            if seen % 5000 == 0:
                del report
                most = max(most, sum(type(one) is Counted for one in gc.get_objects()))
    assert seen == 20_000
    assert most < 1500


@pytest.mark.parametrize("seed", range(6))
@on_virtual_time
async def test_sends_cancelled_at_random_lose_and_double_nothing(seed: int) -> None:
    """What was returned was accepted once; what was not accepted was not returned; nothing is left in the way."""
    rng = random.Random(seed)
    loop = asyncio.get_running_loop()
    service = ModelService(SimulatedAccount(100, depth=0.2), Door.SMTP, seed)
    async with Sender(service, limiter=Limiter(120), max_in_flight=30) as sender:
        tasks = {number: asyncio.create_task(sender.send(message(number))) for number in range(400)}
        for number in rng.sample(range(400), 200):
            loop.call_later(rng.uniform(0.0, 5.0), tasks[number].cancel)
        await asyncio.wait(tasks.values())
        returned = {number for number, task in tasks.items() if not task.cancelled()}
        assert all(tasks[number].exception() is None for number in returned)
        assert returned <= {key for key, times in service.ledger.items() if times}
        assert max(service.ledger.values()) == 1
        assert sender.limiter.waiting == 0
        begun = now()
        await asyncio.gather(*(sender.send(message(f"after {number}")) for number in range(30)))
        assert now() - begun < 3.0


@pytest.mark.parametrize("seed", range(4))
@on_virtual_time
async def test_a_batch_with_every_kind_of_trouble_accounts_for_every_message(seed: int) -> None:
    """Throttles, failures, lost connections and outages at random: one report each, true to the service's ledger."""
    rng = random.Random(seed)
    troubles: list[Outcome | Exception] = [
        Outcome.THROTTLED,
        Outcome.TRANSIENT,
        Outcome.NOT_SENT,
        Outcome.PERMANENT,
        blocks(),
    ]

    def script(one: Message, attempt: int) -> Outcome | Exception:
        return rng.choice(troubles) if rng.random() < 0.15 else Outcome.ACCEPTED

    service = ScriptedService(script, delay=0.05)
    async with Sender(service, limiter=Limiter(200), max_in_flight=20, retry=RetryPolicy(first_wait=1.0)) as sender:
        reports = await all_reports(sender, messages(1000))
    assert in_order(keys(reports)) == list(range(1000))
    accepted = {report.message.key for report in reports if report.outcome is Outcome.ACCEPTED}
    assert {key: times for key, times in service.ledger.items() if times} == dict.fromkeys(accepted, 1)
    assert sender.limiter.paused is None


@pytest.mark.parametrize("seed", range(4))
@on_virtual_time
async def test_a_batch_stopped_at_random_accounts_for_every_message(seed: int) -> None:
    """By `stop`, by closing, or by a blocked account: what was accepted is reported as that or as unknown."""
    rng = random.Random(seed)
    how = ("stop", "close", "block")[seed % 3]
    end = rng.uniform(0.2, 4.0)
    source = Source(10**9)

    def script(one: Message, attempt: int) -> Outcome:
        if how == "block" and now() > end:
            return Outcome.ACCOUNT_BLOCKED
        return rng.choice([Outcome.ACCEPTED] * 8 + [Outcome.THROTTLED, Outcome.TRANSIENT])

    service = ScriptedService(script, delay=0.3)
    sender = Sender(service, limiter=Limiter(100), max_in_flight=20)
    reports: list[Report] = []
    unsent: list[Hashable] = []

    async def read_to_the_end() -> None:
        try:
            await read(sender, source, reports)
        except AccountBlocked as stopped:
            unsent.extend(one.key for one in stopped.unsent)

    reading = asyncio.create_task(read_to_the_end())
    await asyncio.sleep(end)
    if how == "stop":
        sender.stop()
    elif how == "close":
        await sender.aclose(deadline=0.1)
    await reading
    await sender.aclose()
    assert in_order([*keys(reports), *unsent]) == list(range(source.taken))
    took = {key for key, times in service.ledger.items() if times}
    accepted = {report.message.key for report in reports if report.outcome is Outcome.ACCEPTED}
    unknown = {report.message.key for report in reports if report.outcome is Outcome.UNKNOWN}
    assert accepted <= took <= accepted | unknown


@on_virtual_time
@pytest.mark.parametrize("given", [None, "ada@example.net", {"to": "ada@example.net"}], ids=["none", "text", "dict"])
async def test_what_is_no_message_is_refused_in_a_sentence(given: Any) -> None:
    """Python's own words would be about an attribute."""
    async with Sender(FakeTransport()) as sender:
        with pytest.raises(ConfigurationError, match=r"a Sender sends a Message, and .* is none"):
            await sender.send(given)
