"""What a sender records of each message, and when: the order of steps is what nothing is lost by."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import pytest

from seslimit import (
    AccountBlocked,
    JournalError,
    JournalUnavailable,
    KeyReused,
    LeaseLost,
    Limiter,
    Message,
    Outcome,
    Receipt,
    Report,
    RetryPolicy,
    Sender,
    SendFailed,
    SendingStopped,
    TransportError,
)
from seslimit._model.meaning import Meaning
from seslimit.testing import FakeTransport

from .journal_in_memory import DAMAGED, ListJournal
from .virtual_time import VirtualTimeLoop, on_virtual_time, run

BEGAN = 1_796_000_000.0


@pytest.fixture(autouse=True)
def one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock goes with the loop's."""

    def now() -> float:
        try:
            return BEGAN + asyncio.get_running_loop().time()
        except RuntimeError:
            return BEGAN

    monkeypatch.setattr(time, "time", now)


def message(key: object = "one", to: int = 1, sender: str = "news@example.com") -> Message:
    """A message with so many recipients."""
    return Message(sender, [f"r{number}@example.org" for number in range(to)], b"Subject: x\r\n\r\nx\r\n", str(key))


def answers(*outcomes: object, delay: float = 0.01) -> FakeTransport:
    """A transport that answers so, one after the other, and then accepts."""
    left = list(outcomes)

    async def handler(_: Message) -> object:
        await asyncio.sleep(delay)
        return left.pop(0) if left else None

    return FakeTransport(handler)  # type: ignore[arg-type]


def sender(transport: FakeTransport, journal: ListJournal, retry: RetryPolicy | None = None, **more: object) -> Sender:
    """A sender whose rate is in nobody's way."""
    return Sender(transport, limiter=Limiter(1000, max_rate=1000), retry=retry, outbox=journal, **more)  # type: ignore[arg-type]


async def drained(sending: Sender) -> list[Report]:
    """The reports of a whole drain."""
    return [report async for report in sending.drain()]


async def sent(sending: Sender, messages: Iterable[Message]) -> tuple[list[Report], Exception | None]:
    """The reports of messages, and what came after them."""
    reports: list[Report] = []
    try:
        async for report in sending.send_many(messages):
            reports.append(report)  # noqa: PERF401  # what comes after the last is wanted as well
    except Exception as error:  # noqa: BLE001
        return reports, error
    return reports, None


@on_virtual_time
async def test_a_message_is_durable_then_begun_then_ended_and_then_reported() -> None:
    """Each step is on record before the next one, the report last."""
    journal = ListJournal(delay=0.001)
    heard: list[str] = []
    transport = FakeTransport(lambda each: heard.append(f"handed over after {journal.step_of(each.key)}"))
    hook: Callable[[Report], object] = lambda report: heard.append(f"told after {journal.step_of(report.message.key)}")  # noqa: E731
    async with sender(transport, journal, hooks=[hook]) as sending:
        await sending.send(message())
    assert heard == [
        "handed over after ['added', 'begins']",
        "told after ['added', 'begins', 'ends accepted']",
    ]


@on_virtual_time
async def test_many_are_put_into_the_outbox_and_drained_in_their_order() -> None:
    """One report for each, and nothing is left."""
    journal = ListJournal(delay=0.001)
    transport = answers()
    async with sender(transport, journal) as sending:
        reports = [report async for report in sending.send_many(message(key) for key in range(500))]
    assert len(reports) == 500
    assert [each.key for each in transport.sent] == [str(key) for key in range(500)]
    assert Counter(journal.states().values()) == {"accepted": 500}


@on_virtual_time
async def test_the_same_input_again_sends_nothing_twice() -> None:
    """What came to its end in a run before is passed over, and what was left is sent."""
    journal = ListJournal()
    first = answers()
    async with sender(first, journal) as sending:
        async for _ in sending.send_many(message(key) for key in range(10)):
            pass
    second = answers()
    async with sender(second, journal) as sending:
        reports = [report async for report in sending.send_many(message(key) for key in range(12))]
    assert [report.message.key for report in reports] == ["10", "11"]
    assert [each.key for each in second.sent] == ["10", "11"]


@on_virtual_time
async def test_one_message_sent_again_gives_its_first_receipt() -> None:
    """A caller who does not know whether the first call came through can call again."""
    journal = ListJournal()
    async with sender(answers(), journal) as sending:
        assert (await sending.send(message())).message_id == "fake-1"
        assert (await sending.send(message())).message_id == "fake-1"
    transport = answers(Outcome.PERMANENT)
    async with sender(transport, journal) as sending:
        for _ in range(2):
            with pytest.raises(SendFailed, match="permanent"):
                await sending.send(message("two"))
    assert len(transport.attempts) == 1


@on_virtual_time
async def test_another_message_of_the_same_key_is_refused() -> None:
    """By a sentence that names the key."""
    journal = ListJournal()
    async with sender(answers(), journal) as sending:
        await sending.send(message("a"))
        with pytest.raises(KeyReused, match="key a "):
            await sending.send(message("a", to=2))
        with pytest.raises(KeyReused, match="key a "):
            async for _ in sending.send_many([message("a", to=2)]):
                pass


@on_virtual_time
async def test_a_throttle_puts_the_message_back_on_record_before_it_waits() -> None:
    """A kill while it waits for its turn leaves nothing in doubt."""
    journal = ListJournal()
    async with sender(answers(Outcome.THROTTLED), journal) as sending:
        await sending.send(message())
    assert journal.step_of("one") == ["added", "begins", "postpones kept", "begins", "ends accepted"]
    assert journal.rows[0].history.throttles == 1


@on_virtual_time
async def test_a_connection_that_could_not_be_made_leaves_nothing_in_doubt() -> None:
    """What was begun for it is queued again, on record, before it is begun once more: a kill finds it untouched."""
    found: list[tuple[str, int, int]] = []

    def look(step: str) -> None:
        if step == "begins":
            row = journal.rows[0]
            found.append((row.state, row.history.attempts, row.history.unknowns))

    journal = ListJournal(fails=look)
    async with sender(answers(Outcome.NOT_SENT), journal, RetryPolicy(on_unknown="hold")) as sending:
        await sending.send(message())
    assert found == [("queued", 0, 0)] * 2
    assert journal.step_of("one") == ["added", "begins", "postpones kept", "begins", "ends accepted"]


@on_virtual_time
async def test_a_short_backoff_is_waited_out_here_and_a_long_one_in_the_outbox() -> None:
    """Either way it is on record as queued, with the moment."""
    for wait, step in ((5.0, "postpones kept"), (600.0, "postpones")):
        journal = ListJournal()
        policy = RetryPolicy(first_wait=wait, jitter=lambda bound: bound)
        async with sender(answers(Outcome.TRANSIENT), journal, policy) as sending:
            reports = [report async for report in sending.send_many([message()])]
        assert [report.attempts for report in reports] == [2]
        assert journal.step_of("one") == ["added", "begins", step, "begins", "ends accepted"]


@on_virtual_time
async def test_the_bound_on_attempts_holds_over_restarts() -> None:
    """The history goes on where it was."""
    journal = ListJournal()
    policy = RetryPolicy(max_attempts=3, first_wait=1.0, jitter=lambda bound: bound)
    transport = answers(*[Outcome.TRANSIENT] * 9)
    for _ in range(2):
        async with sender(transport, journal, policy) as sending:
            asyncio.get_running_loop().call_later(0.1, sending.stop)
            async for _report in sending.send_many([message()]):
                pass
        await asyncio.sleep(10)
    async with sender(transport, journal, policy) as sending:
        [report] = await drained(sending)
    assert (report.outcome, report.attempts) == (Outcome.TRANSIENT, 3)
    assert len(transport.attempts) == 3


@on_virtual_time
async def test_the_bound_on_age_holds_over_restarts() -> None:
    """`max_age` counts from when the message was put into the outbox."""
    journal = ListJournal()
    await journal.add([message()])
    await asyncio.sleep(100)
    async with sender(answers(Outcome.TRANSIENT), journal, RetryPolicy(max_age=60)) as sending:
        [report] = await drained(sending)
    assert (report.outcome, report.attempts) == (Outcome.TRANSIENT, 1)


@pytest.mark.parametrize("on_unknown", ["resend", "hold"])
def test_what_was_under_way_at_a_kill_is_what_the_policy_says(on_unknown: str) -> None:
    """Sent again, or never twice: then it ends as unknown, without an attempt."""

    async def scenario() -> None:
        journal = ListJournal()
        await journal.add([message("begun"), message("queued")])
        [begun] = await journal.claim(1)
        await journal.begins(begun)
        journal.crash()
        transport = answers()
        async with sender(transport, journal, RetryPolicy(on_unknown=on_unknown)) as sending:  # type: ignore[arg-type]
            reports = {report.message.key: report.outcome for report in await drained(sending)}
        if on_unknown == "hold":
            assert [each.key for each in transport.sent] == ["queued"]
            assert reports == {"begun": Outcome.UNKNOWN, "queued": Outcome.ACCEPTED}
        else:
            assert [each.key for each in transport.sent] == ["begun", "queued"]
            assert set(reports.values()) == {Outcome.ACCEPTED}
            assert journal.rows[0].history.unknowns == 1

    run(scenario())


@on_virtual_time
async def test_two_kills_in_the_same_attempt_are_enough() -> None:
    """At most two attempts of a message may have been accepted, whatever ended the program."""
    journal = ListJournal()
    await journal.add([message()])
    for _ in range(2):
        [begun] = await journal.claim(1)
        await journal.begins(begun)
        journal.crash()
    transport = answers()
    async with sender(transport, journal) as sending:
        [report] = await drained(sending)
    assert report.outcome is Outcome.UNKNOWN
    assert not transport.attempts


@on_virtual_time
async def test_a_message_accepted_in_part_is_tried_again_for_the_rest_alone_after_a_restart() -> None:
    """Whoever has it does not get it twice."""
    journal = ListJournal()
    policy = RetryPolicy(first_wait=600.0, jitter=lambda bound: bound)
    in_part = Receipt("fake-1", {"r1@example.org": "452 later"})
    async with sender(answers(in_part), journal, policy) as sending:
        asyncio.get_running_loop().call_later(1.0, sending.stop)
        async for _ in sending.send_many([message(to=3)]):
            pass
    journal.crash()
    transport = answers()
    async with sender(transport, journal, policy) as sending:
        [report] = await drained(sending)
    assert [each.recipients for each in transport.sent] == [("r1@example.org",)]
    assert report.receipt == Receipt("fake-1", {})


@on_virtual_time
async def test_stopping_gives_back_what_was_not_attempted_and_ends_what_was() -> None:
    """Nothing stays leased, and nothing is in doubt."""
    journal = ListJournal()
    transport = answers(delay=1.0)
    limiter = Limiter(10, max_rate=10)
    async with Sender(transport, limiter=limiter, outbox=journal) as sending:
        asyncio.get_running_loop().call_later(2.5, sending.stop)
        reports = [report async for report in sending.send_many(message(key) for key in range(100))]
    accepted = {report.message.key for report in reports if report.outcome is Outcome.ACCEPTED}
    assert 10 < len(accepted) == len(transport.sent) < 40
    assert Counter(journal.states().values()) == {"accepted": len(accepted), "queued": 100 - len(accepted)}
    assert not any(row.leased for row in journal.rows)


@on_virtual_time
async def test_a_blocked_account_leaves_the_rest_in_the_queue() -> None:
    """Sending stops, and the next run goes on."""
    journal = ListJournal()
    async with sender(answers(Outcome.ACCOUNT_BLOCKED), journal) as sending:
        with pytest.raises(AccountBlocked):
            async for _ in sending.send_many(message(key) for key in range(5)):
                pass
    assert Counter(journal.states().values()) == {"queued": 5}
    async with sender(answers(), journal) as sending:
        assert len(await drained(sending)) == 5


@on_virtual_time
async def test_messages_of_a_refused_sender_are_not_waited_for() -> None:
    """The others go; theirs stay in the queue, for a quarter of an hour."""
    journal = ListJournal()
    refusal = TransportError(Outcome.ACCOUNT_BLOCKED, "554 Message rejected: Email address is not verified.")

    def handler(each: Message) -> Exception | None:
        return refusal if each.mail_from == "bad@example.com" else None

    refusal.meaning = Meaning(Outcome.ACCOUNT_BLOCKED, identity="bad@example.com")
    messages = [message(key, sender="bad@example.com" if key % 2 else "news@example.com") for key in range(10)]
    async with sender(FakeTransport(handler), journal) as sending:
        async for _ in sending.send_many(messages):
            pass
        assert asyncio.get_running_loop().time() < 60
    assert Counter(journal.states().values()) == {"accepted": 5, "queued": 5}


@on_virtual_time
async def test_a_journal_that_is_away_holds_everything_and_sending_goes_on_by_itself() -> None:
    """No attempt is made whose result could not be recorded; the reason is in the limiter's state."""
    away = [False]
    journal = ListJournal(lambda _: JournalUnavailable("the disk is full") if away[0] else None)
    transport = answers(delay=0.05)
    loop = asyncio.get_running_loop()
    async with Sender(transport, limiter=Limiter(100, max_rate=100), outbox=journal) as sending:
        seen: list[object] = []

        def leave() -> None:
            away[0] = True
            loop.call_later(1.0, lambda: seen.extend([sending.limiter.paused, len(transport.attempts)]))
            loop.call_later(20.0, come_back)

        def come_back() -> None:
            seen.append(len(transport.attempts))
            away[0] = False

        loop.call_later(2.0, leave)
        reports = [report async for report in sending.send_many(message(key) for key in range(500))]
    assert Counter(report.outcome for report in reports) == {Outcome.ACCEPTED: 500}
    assert len(transport.attempts) == 500
    assert seen[0] == "outbox unavailable"
    assert seen[1] == seen[2], "nothing was attempted meanwhile"
    assert loop.time() < 2.0 + 20.0 + 5.0 + 5.0, "resumed within 5 s"


@on_virtual_time
async def test_a_damaged_journal_ends_sending_and_nothing_is_handed_over() -> None:
    """It will not come back by itself."""
    journal = ListJournal(lambda name: DAMAGED if name == "begins" else None)
    transport = answers()
    async with sender(transport, journal) as sending:
        with pytest.raises(JournalError, match="damaged"):
            async for _ in sending.send_many([message()]):
                pass
    assert not transport.attempts


@on_virtual_time
async def test_a_result_that_cannot_be_recorded_is_reported_and_ends_sending() -> None:
    """The caller hears of it, who is the only one that can still know."""
    journal = ListJournal(lambda name: DAMAGED if name == "ends" else None)
    async with sender(answers(), journal) as sending:
        reports, error = await sent(sending, [message()])
    assert isinstance(error, JournalError)
    assert [report.outcome for report in reports] == [Outcome.ACCEPTED]


@on_virtual_time
async def test_a_message_that_another_has_taken_is_left_alone() -> None:
    """Its lease ran out before its turn came."""
    journal = ListJournal(lambda name: LeaseLost("another has it") if name == "begins" else None)
    transport = answers()
    async with sender(transport, journal) as sending:
        with pytest.raises(LeaseLost):
            await sending.send(message("call"))
        journal.rows.clear()
        await journal.add([message("drained")])
        assert not await drained(sending)
    assert not transport.attempts


@on_virtual_time
async def test_a_worker_sends_what_is_put_there_until_it_is_stopped() -> None:
    """By whoever, at any time."""
    journal = ListJournal()
    transport = answers()
    async with sender(transport, journal) as sending:
        working = asyncio.create_task(sending.run())
        await asyncio.sleep(5)
        await journal.add([message("a")])
        await asyncio.sleep(5)
        await journal.add([message("b")])
        await asyncio.sleep(5)
        sending.stop()
        await working
    assert [each.key for each in transport.sent] == ["a", "b"]


@on_virtual_time
async def test_withdrawing_ends_a_message_that_waits() -> None:
    """Nobody wants it sent; the next drain does not."""
    journal = ListJournal()
    async with sender(answers(), journal) as sending:
        sending.limiter.hold("test")
        mine = message()
        call = asyncio.create_task(sending.send(mine))
        await asyncio.sleep(1)
        sending.withdraw(mine)
        with pytest.raises(SendingStopped, match="withdrawn"):
            await call
        sending.limiter.release("test")
        assert not await drained(sending)
    assert journal.states() == {"one": "not_sent"}


@on_virtual_time
async def test_what_a_source_raises_comes_after_the_reports_of_what_it_gave() -> None:
    """What was read before is in the outbox, and sent."""

    def source() -> Iterator[Message]:
        yield message("a")
        yield message("b")
        raise ZeroDivisionError

    async with sender(answers(), ListJournal()) as sending:
        reports, error = await sent(sending, source())
    assert isinstance(error, ZeroDivisionError)
    assert [report.message.key for report in reports] == ["a", "b"]


HOLD = RetryPolicy(on_unknown="hold", first_wait=0.5, jitter=lambda bound: bound)
KEYS = ("a", "b", "c")


class Turning(VirtualTimeLoop):
    """A loop that cancels a task at the beginning of its n-th turn from now."""

    victim: asyncio.Task[None] | None = None
    left = 0

    def cancel_after(self, turns: int, victim: asyncio.Task[None]) -> None:
        """Cancel it then."""
        self.left, self.victim = turns, victim

    def _run_once(self) -> None:
        self.left -= 1
        if self.victim is not None and self.left < 0:
            self.victim.cancel()
            self.victim = None
        super()._run_once()  # type: ignore[misc]  # what asyncio calls for each turn


async def cancelled_after(turns: int, way: str, journal: ListJournal, transport: FakeTransport) -> bool:
    """Send three messages for so many turns of the loop, then cancel it; returns whether all was done before."""

    async def work(sending: Sender) -> None:
        if way == "send":
            await asyncio.gather(*(sending.send(message(key)) for key in KEYS))
        else:
            await sent(sending, [message(key) for key in KEYS])

    async with sender(transport, journal, HOLD) as sending:
        task = asyncio.create_task(work(sending))
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Turning)
        loop.cancel_after(turns, task)
        await asyncio.wait([task])
    return not task.cancelled()


@pytest.mark.parametrize("way", ["send", "send_many"])
def test_cancelled_at_any_await_nothing_is_lost_and_nothing_is_sent_twice(way: str) -> None:
    """
    At the n-th turn of the loop, for every n until the whole run fits: each message is accepted once, or still queued.

    An attempt that was cancelled may have been accepted; with `hold` it is never repeated.
    """

    async def scenario(turns: int) -> bool:
        journal, transport = ListJournal(delay=0.001), answers(Outcome.THROTTLED, Outcome.TRANSIENT)
        finished = await cancelled_after(turns, way, journal, transport)
        assert not any(row.leased for row in journal.rows), (turns, str(journal.steps))
        assert set(journal.states().values()) <= {"accepted", "queued", "unknown"}
        first = Counter(each.key for each in transport.sent)
        assert set(first) <= {key for key, state in journal.states().items() if state == "accepted"}
        await asyncio.sleep(10)
        again = answers()
        async with sender(again, journal, HOLD) as sending:
            await sent(sending, [message(key) for key in KEYS])
        ends = journal.states()
        assert set(ends.values()) <= {"accepted", "unknown"}
        assert first + Counter(each.key for each in again.sent) == Counter(
            key for key in KEYS if ends[key] == "accepted"
        )
        return finished

    for turns in itertools.count():
        with asyncio.Runner(loop_factory=Turning) as runner:
            if runner.run(scenario(turns)):
                break
    assert turns > 20


def test_a_sender_without_an_outbox_has_nothing_to_drain() -> None:
    """And says so."""

    async def scenario() -> None:
        async with Sender(answers()) as sending:
            with pytest.raises(ValueError, match="outbox"):
                await sending.run()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(scenario())
