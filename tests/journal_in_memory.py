"""A journal that is a list, for the tests of what a sender records: it notes each step, and fails when told to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import attrs

from seslimit import History, JournalError, KeyReused, LeaseLost, Message, Outcome, Queued, Receipt, Report


@attrs.define
class Row:
    """One message, and where it is."""

    message: Message
    history: History
    state: str = "queued"
    leased: bool = False
    not_before: float = 0.0
    receipt: Receipt | None = None
    report: Report | None = None


@attrs.define
class ListJournal:
    """
    A journal of one process.

    Args:
        fails: is asked before each call, with its name; what it returns is raised.
        delay: seconds that each step takes to become durable.
    """

    fails: Callable[[str], Exception | None] = lambda _: None
    delay: float = 0.0
    rows: list[Row] = attrs.field(factory=list, init=False)
    steps: list[tuple[object, str]] = attrs.field(factory=list, init=False)
    """The key of a message and the step that was recorded, in order."""

    def states(self) -> dict[object, str]:
        """Where each message is."""
        return {row.message.key: row.state for row in self.rows}

    def step_of(self, key: object) -> list[str]:
        """The steps of one message."""
        return [step for each, step in self.steps if each == key]

    def crash(self) -> None:
        """Begin anew, as after a kill: what was being sent is in doubt, and no lease holds."""
        for row in self.rows:
            row.leased = False
            if row.state == "sending":
                row.state = "queued"
                row.history = row.history.after(Outcome.UNKNOWN, time.time(), "killed")

    async def add(self, messages: Sequence[Message]) -> int:
        """Add."""
        await self._do("add")
        new = [message for message in messages if self._find(message) is None]
        self.rows += [Row(message, History(time.time())) for message in new]
        self.steps += [(message.key, "added") for message in new]
        return len(new)

    async def take(self, message: Message) -> Queued | Report:
        """Add and lease."""
        await self.add([message])
        number = self._find(message)
        assert number is not None
        row = self.rows[number]
        if row.report is not None:
            return row.report
        if row.leased:
            raise LeaseLost("another has it")
        return self._lease(number)

    async def claim(self, most: int) -> Sequence[Queued]:
        """Lease what is due."""
        await self._do("claim")
        due = [
            number
            for number, row in enumerate(self.rows)
            if row.state == "queued" and not row.leased and row.not_before <= time.time()
        ]
        return [self._lease(number) for number in due[:most]]

    async def wait(self, timeout: float) -> None:
        """Wait for the time."""
        await asyncio.sleep(timeout)

    async def queued(self) -> int:
        """Count."""
        await self._do("queued")
        return sum(row.state == "queued" and not row.leased for row in self.rows)

    async def begins(self, queued: Queued) -> None:
        """Being sent."""
        row = self._mine(queued)
        await self._step("begins", queued)
        row.state = "sending"

    async def ends(self, queued: Queued, report: Report) -> None:
        """At its end."""
        row = self._mine(queued)
        await self._step("ends", queued, report.outcome)
        row.state, row.leased, row.report, row.history = str(report.outcome), False, report, queued.history

    async def postpones(self, queued: Queued, history: History, not_before: float, *, keep: bool = False) -> None:
        """Queued again."""
        row = self._mine(queued)
        await self._step("postpones", queued, "kept" if keep else "")
        row.state, row.leased, row.history, row.not_before = "queued", keep, history, not_before
        row.receipt = queued.receipt

    async def returns(self, queued: Queued) -> None:
        """Queued as before."""
        row = self._mine(queued)
        await self._step("returns", queued)
        row.state, row.leased, row.history, row.receipt = "queued", False, queued.history, queued.receipt

    async def check(self) -> None:
        """Fail, or not."""
        await self._do("check")

    async def _step(self, name: str, queued: Queued, more: str = "") -> None:
        await self._do(name)
        self.steps.append((queued.message.key, f"{name} {more}".rstrip()))

    async def _do(self, name: str) -> None:
        if error := self.fails(name):
            raise error
        if self.delay:
            await asyncio.sleep(self.delay)

    def _find(self, message: Message) -> int | None:
        for number, row in enumerate(self.rows):
            if message.key is not None and row.message.key == message.key:
                if row.message != message:
                    raise KeyReused(message.key)
                return number
        return None

    def _lease(self, number: int) -> Queued:
        row = self.rows[number]
        row.leased = True
        return Queued(row.message, row.history, number, row.receipt)

    def _mine(self, queued: Queued) -> Row:
        assert isinstance(queued.id, int)
        row = self.rows[queued.id]
        if not row.leased:
            raise LeaseLost("the lease has run out")
        return row


DAMAGED = JournalError("the file is damaged")
