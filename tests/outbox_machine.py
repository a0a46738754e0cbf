"""
Any sequence of calls, of several processes that may vanish: every engine does as the one in memory, and no rule breaks.

The rules are counted by the machine itself: a message is leased to one at a time, nothing is handed over that was
accepted on record, and what was recorded stays. The suite runs a few sequences, `benchmarks.outbox_machine` many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

import attrs
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from seslimit import Message, Outcome, Receipt, Report
from seslimit.outbox import Filter, JournalUnavailable, MemoryOutbox, Outbox, Queued, Row, State, Status
from seslimit.outbox._memory import Memory
from tests.outbox_engines import BEGIN, LEASE, accepted, failed

STEPS = 50

KEYS = st.sampled_from(["a", "b", "c", "d", 1, 2, None])
CONTENTS = st.sampled_from([b"\r\none", b"\r\ntwo"])
RECIPIENTS = st.sampled_from([("x@example.com",), ("x@example.com", "y@example.com")])
MESSAGES = st.builds(Message, st.just("s@example.org"), RECIPIENTS, CONTENTS, KEYS)
WHO = st.integers(0, 1)


@attrs.define(eq=False)
class Both:
    """The same outbox twice, as one process has it open: in memory and in a database."""

    memory: MemoryOutbox
    database: Outbox
    leases: list[tuple[Queued, Queued]] = attrs.field(factory=list)


class OutboxMachine(RuleBasedStateMachine):
    """Two processes on one outbox."""

    new_url: ClassVar[Callable[[OutboxMachine], str]]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.now = BEGIN
        self.memory = Memory()
        self.url = self.new_url()
        self.accepted: set[object] = set()
        self.sending: dict[object, int] = {}

    @initialize()
    def begin(self) -> None:
        """Two processes open it."""
        self.processes = [self.opened(), self.opened()]

    def opened(self) -> Both:
        """One more process."""

        async def both() -> Both:
            database = Outbox(self.url, lease=LEASE, clock=lambda: self.now)
            await database.open()
            return Both(MemoryOutbox(self.memory, lease=LEASE, clock=lambda: self.now), database)

        return self.runner.run(both())

    def alike(self, process: Both, call: Callable[[Any], Coroutine[Any, Any, Any]]) -> tuple[Any, Any]:
        """Make a call of both; they return or raise alike."""
        return self.alike_each(lambda: call(process.memory), lambda: call(process.database))

    def alike_each(self, *calls: Callable[[], Coroutine[Any, Any, Any]]) -> tuple[Any, Any]:
        """Make a call of each; they return or raise alike."""
        one, two = (self.runner.run(_result(call)) for call in calls)
        assert _plain(one) == _plain(two), (one, two)
        return one, two

    @rule(who=WHO, messages=st.lists(MESSAGES, max_size=4), later=st.sampled_from([None, 5, 40]), high=st.booleans())
    def add(self, who: int, messages: list[Message], later: float | None, high: bool) -> None:
        """Add some, due at once or later."""
        send_at = None if later is None else self.now + later
        self.alike(self.processes[who], lambda outbox: outbox.add(messages, send_at=send_at, priority=float(high)))

    @rule(who=WHO, most=st.integers(1, 3))
    def claim(self, who: int, most: int) -> None:
        """Lease what is due."""
        process = self.processes[who]
        one, two = self.alike(process, lambda outbox: outbox.claim(most))
        process.leases.extend(zip(one, two, strict=True))

    @rule(who=WHO, new=MESSAGES)
    def take(self, who: int, new: Message) -> None:
        """Lease one."""
        process = self.processes[who]
        one, two = self.alike(process, lambda outbox: outbox.take(new))
        if isinstance(one, Queued):
            process.leases.append((one, two))

    def lease(self, who: int, number: int) -> tuple[Queued, Queued]:
        """One of a process's leases, valid or not."""
        leases = self.processes[who].leases
        return leases[number % len(leases)]

    def on_lease(self, who: int, number: int, name: str, *arguments: Any, **options: Any) -> Any:
        """Make a call about one lease."""
        process = self.processes[who]
        one, two = self.lease(who, number)
        return self.alike_each(
            lambda: getattr(process.memory, name)(one, *arguments, **options),
            lambda: getattr(process.database, name)(two, *arguments, **options),
        )[0]

    def has_leases(self, who: int) -> bool:
        """Whether a process has any."""
        return bool(self.processes[who].leases)

    @precondition(lambda self: any(process.leases for process in self.processes))
    @rule(who=WHO, number=st.integers(0, 5))
    def begin_one(self, who: int, number: int) -> None:
        """Hand one over: nobody else is doing so, and it was not accepted."""
        if self.has_leases(who):
            one, _ = self.lease(who, number)
            if (
                self.on_lease(
                    who,
                    number,
                    "begins",
                )
                is None
            ):
                assert one.id not in self.accepted
                assert self.sending.setdefault(one.id, who) == who

    @precondition(lambda self: any(process.leases for process in self.processes))
    @rule(who=WHO, number=st.integers(0, 5), how=st.sampled_from(["accepted", "partly", "failed", "unknown"]))
    def end_one(self, who: int, number: int, how: str) -> None:
        """Record an end."""
        if self.has_leases(who):
            one, _ = self.lease(who, number)
            self.now += 0.25
            result = self.on_lease(who, number, "ends", _report(one, how, self.now))
            if result is None:
                self.sending.pop(one.id, None)
                if how in ("accepted", "partly"):
                    self.accepted.add(one.id)

    @precondition(lambda self: any(process.leases for process in self.processes))
    @rule(who=WHO, number=st.integers(0, 5), wait=st.sampled_from([0.0, 4.0, 35.0]), keep=st.booleans())
    def postpone_one(self, who: int, number: int, wait: float, keep: bool) -> None:
        """Try again later."""
        if self.has_leases(who):
            one, _ = self.lease(who, number)
            history = one.history.after(Outcome.TRANSIENT, self.now, "451 later")
            if self.on_lease(who, number, "postpones", history, self.now + wait, keep=keep) is None:
                self.sending.pop(one.id, None)

    @precondition(lambda self: any(process.leases for process in self.processes))
    @rule(who=WHO, number=st.integers(0, 5))
    def return_one(self, who: int, number: int) -> None:
        """Give one back."""
        if self.has_leases(who):
            one, _ = self.lease(who, number)
            if self.on_lease(who, number, "returns") is None:
                self.sending.pop(one.id, None)

    @rule(seconds=st.sampled_from([1.0, 10.0, LEASE + 1]))
    def time_passes(self, seconds: float) -> None:
        """And who lives shows it; the second may find the first one's lease run out, and the other way round."""
        self.now += seconds
        for process in self.processes:
            self.alike(process, lambda outbox: outbox.check())
        if seconds > LEASE:
            self.sending.clear()

    @rule(who=WHO)
    def vanish(self, who: int) -> None:
        """A process is killed, and another one begins when the lease has run out."""
        gone = self.processes[who]
        self.runner.run(_abandon(gone.database))
        self.now += LEASE + 1
        self.processes[who] = self.opened()
        self.sending.clear()
        for process in self.processes:
            self.alike(process, lambda outbox: outbox.check())

    @rule(who=WHO)
    def close(self, who: int) -> None:
        """A process ends in good order, and another one begins."""
        gone = self.processes[who]
        self.alike(gone, lambda outbox: outbox.aclose())
        self.processes[who] = self.opened()
        self.sending = {id_: whose for id_, whose in self.sending.items() if whose != who}
        for process in self.processes:
            self.alike(process, lambda outbox: outbox.check())

    @rule(who=WHO, key=st.sampled_from(["a", "b", 1]))
    def cancel(self, who: int, key: object) -> None:
        """Take some out."""
        self.alike(self.processes[who], lambda outbox: outbox.cancel(Filter(key=key)))

    @rule(who=WHO)
    def retry(self, who: int) -> None:
        """Try all that failed again."""
        self.alike(self.processes[who], lambda outbox: outbox.retry())

    @rule(who=WHO)
    def purge(self, who: int) -> None:
        """Forget what ended more than ten seconds ago."""
        self.alike(self.processes[who], lambda outbox: outbox.purge(self.now - 10))

    @invariant()
    def both_tell_the_same(self) -> None:
        """Rows and status."""
        if hasattr(self, "processes"):
            rows, _ = self.alike(self.processes[0], _rows)
            self.alike(self.processes[1], lambda outbox: outbox.status())
            assert {row.outcome for row in rows} <= set(State)

    def teardown(self) -> None:
        """Close what is open."""
        for process in getattr(self, "processes", ()):
            self.runner.run(process.database.aclose())
        self.runner.close()


async def _result(call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    for _ in range(50):
        try:
            return await call()
        except JournalUnavailable:  # on a machine that is busy: whoever calls again does nothing twice
            await asyncio.sleep(0.1)
        except Exception as error:  # noqa: BLE001  # compared
            return error
    raise AssertionError("the database does not answer")


def _plain(result: Any) -> Any:
    """A result as it can be compared: databases number messages as they like."""
    if isinstance(result, Exception):
        return (type(result), str(result))
    if isinstance(result, list | tuple):
        return [_plain(each) for each in result]
    if isinstance(result, Queued):
        return (result.message, result.history, result.history.recent, result.receipt)
    if isinstance(result, Report):
        return (result.message, result.outcome, result.receipt, str(result.error), result.history)
    if isinstance(result, Status):
        return attrs.asdict(result)
    return result


async def _rows(outbox: Outbox | MemoryOutbox) -> list[Row]:
    return [row async for row in outbox.rows()]


async def _abandon(outbox: Outbox) -> None:
    """Do what the end of a process does: nothing is given back."""
    leases = outbox._leases
    if leases._task is not None:
        leases._task.cancel()
        await asyncio.wait([leases._task])
    await leases.writer.aclose()
    await outbox._database.aclose()


def _report(queued: Queued, how: str, at: float) -> Report:
    if how == "failed":
        return failed(queued, at)
    if how == "unknown":
        return failed(queued, at, Outcome.UNKNOWN, "cut")
    report = accepted(queued, at)
    if how == "partly" and queued.message.cost > 1:
        return attrs.evolve(report, receipt=Receipt("id", {"y@example.com": "550 no"}))
    return report


def run_machine(new_url: Callable[[], str], runs: int) -> None:
    """Run so many sequences, others each time, on a database of its own each."""
    machine = type("Machine", (OutboxMachine,), {"new_url": lambda self: new_url()})
    machine.TestCase.settings = settings(  # type: ignore[attr-defined]
        max_examples=runs,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=False,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate) if runs < 100 else tuple(Phase),
        print_blob=True,
    )
    machine.TestCase("runTest").runTest()  # type: ignore[attr-defined]
