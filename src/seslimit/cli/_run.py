"""
One run: everything that the inputs hold goes through one sender, and each message's end is written down.

The steps: check what can be checked, send, name what remains. What the end is called is in `_verdict`.

Invariant: when a run that began to send ends, other than by a kill, every message of the input that was to be sent is
on the report exactly once; but for a report that could not be written. Then sending stops, and what has come to an end
without a line is in the report's `unwritten`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing

from .._law.retry import RetryPolicy
from .._model import events
from .._model.clearance import Guards, Suppresses
from .._model.endings import SendingStopped
from .._model.errors import SESLimitError, printable
from .._model.journal import JournalError, KeyReused
from .._model.message import Message
from .._model.outcome import Outcome
from .._model.report import Report
from .._pacing.hooks import Hook
from .._pacing.limiter import Limiter
from .._sending.sender import DRAIN, Sender
from ..transports import Transport
from ._box import Box
from ._ending import Status
from ._inputs import BadEntry, Entry, Input, Kept
from ._past import EVERYTHING, Choice, State
from ._recorded import RecordedTransport
from ._reporting import ReportFile
from ._summary import Summary
from ._supply import NAMED, InputBroken, InputUnexpected, Supply, check, repeated
from ._tally import Tally
from ._verdict import Verdict
from ._view import duration, seconds_for
from ._watch import Watch

OTHERS = 60.0
"""Seconds that are waited, at the end, for the last messages that another process is sending from the same outbox."""

LOOK_AGAIN = 0.5
"""Seconds between two looks at them."""


class Run:
    """
    One run.

    Args:
        transport: where to.
        url: its URL, for what is said about it.
        inputs: what to send.
        limiter: at which rate.
        report: where to write what became of each message.
        choice: which messages of the input are to be sent; all when left out.
        retry: the retry policy.
        suppression: knows addresses that are not sent to.
        guard: knows messages that are not sent now.
        hooks: hear every event of the run.
        box: the outbox where the input is put first, and what became of each message is kept; None for none.
        keep_daily: recipients of the daily quota that are left to others.
    """

    def __init__(
        self,
        transport: Transport,
        url: str,
        inputs: Sequence[Input],
        limiter: Limiter,
        report: ReportFile,
        *,
        choice: Choice = EVERYTHING,
        retry: RetryPolicy | None = None,
        suppression: Suppresses | None = None,
        guard: Guards | None = None,
        hooks: Sequence[Hook] = (),
        box: Box | None = None,
        keep_daily: int = 0,
    ) -> None:
        self.tally = Tally()
        self.notes: list[str] = []
        """Sentences that a reader should know of."""
        self._url = url
        self._inputs = inputs
        self._choice = choice
        self._kept = Kept()
        self._supply = Supply(inputs, self._bad, self._choice, self._kept)
        self._report = report
        report.on_failure = self.stop
        self._limiter = limiter
        self._box = box
        recorded = RecordedTransport(transport, report) if report.is_kept and box is None else transport
        self._sender = Sender(
            recorded,
            limiter=limiter,
            retry=retry,
            hooks=[self.tally, *hooks],
            suppression=suppression,
            guard=guard,
            outbox=None if box is None else box.outbox,
            keep_daily=keep_daily,
        )
        self._stopping = False
        self._closing: asyncio.Task[None] | None = None
        self._patience: asyncio.Timeout | None = None
        self._first_failure: str | None = None
        self._error: str | None = None
        self._others = 0
        """Messages that another process is sending from the same outbox, when all is over."""
        self._cancelled = 0
        """Messages that were cancelled in the outbox while the run went on."""
        self._seconds = 0.0
        self._known: float | None = None
        """The estimate with which sending began: it was told, or remembered."""

    def state(self) -> events.State:
        """What is going on now, as a value."""
        return self._sender.state()

    def stop(self) -> None:
        """Make no new attempt, and finish those under way."""
        self._stopping = True
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time() + DRAIN)
        self._close()

    async def execute(self, watch: Watch) -> Status:
        """Check, send, and name what remains."""
        try:
            status = await self._checked(watch)
            self._known = self._limiter.estimate
            watch.phase = None
            if status is not None:
                return status
            stopped_by = await self._send_all(watch)
            watch.phase = "naming what remains"
            await self._name_rest(stopped_by)
            watch.phase = None
            return self._status(stopped_by)
        finally:
            await self._close()

    def summary(self, notes: Iterable[str] = ()) -> Summary:
        """The run in figures."""
        return Summary(
            tally=self.tally,
            seconds=self._seconds,
            estimate=self._limiter.estimate,
            was_found=self._has_found,
            error=self._error,
            notes=(*self.notes, *notes),
            before=self._before,
        )

    @property
    def _has_found(self) -> bool:
        """Whether the limit was found out, and is not what the user or the service told."""
        quota = self._limiter.quota
        told = (self._known, self._limiter.max_rate, None if quota is None else quota.max_send_rate)
        return self._limiter.estimate not in told

    def _close(self) -> asyncio.Task[None]:
        if self._closing is None:
            self._closing = asyncio.create_task(self._sender.aclose(DRAIN))
        return self._closing

    async def _checked(self, watch: Watch) -> Status | None:
        """Look at what can be read twice; returns the exit status where the run is over already."""

        def progress(count: int) -> None:
            watch.phase = f"checking the input: {count:,}"

        progress(0)
        kept = self._report.is_kept and self._box is None
        found = await check(
            self._inputs, lambda: self._stopping, self._choice, progress, with_keys=kept, kept=self._kept
        )
        if self._stopping:
            # To name a million messages of which none was tried would take longer than anybody waits after Ctrl-C.
            self.tally.remaining = found.messages
            self._error = "stopped while the input was checked; nothing was sent."
            return Status.REMAINING
        if found.bad:
            self.tally.remaining = found.messages
            self._error = found.sentence(has_report=self._report.path is not None)
            for entry in found.bad:
                # Not as failed: whoever corrects it and goes on by the report has to send it.
                self._report.bad(entry, Outcome.NOT_SENT)
            await self._reader_caught_up()
            return Status.WRONG_USAGE
        if self._box is not None:
            return await self._compared(self._box, watch)
        if self._can_be_read_twice:
            self.tally.total, self.tally.total_recipients = found.messages, found.recipients
        if kept and (keys := await repeated(self._inputs, found)):
            named = ", ".join(printable(str(key)) for key in keys[:NAMED]) + ", …" * (len(keys) > NAMED)
            self.notes.append(f"keys that come more than once, which the report cannot tell apart: {named}")
        return None

    async def _compared(self, box: Box, watch: Watch) -> Status | None:
        """Look for each message of the input in the outbox; one that was changed is refused before any is sent."""

        def progress(count: int) -> None:
            watch.phase = f"looking for the input in the outbox: {count:,}"

        try:
            await box.compare(self._inputs, lambda: self._stopping, progress, self._choice.limit, self._kept)
        except KeyReused as reused:
            self._error = f"nothing was sent, for {reused}"
            return Status.WRONG_USAGE
        async for ended in box.ended_before():
            self._report.known(ended)
            await self._reader_caught_up()
        waiting = await box.waiting()
        if self._can_be_read_twice:
            self.tally.total = waiting.messages + box.new
            self.tally.total_recipients = waiting.recipients + box.new_recipients
        watch.used = await box.used()
        return None

    async def _send_all(self, watch: Watch) -> SESLimitError | None:
        """Send until the end, or until sending has to stop; returns what stopped it."""
        if not self._stopping:
            # Asks for the sending quota; a signal in the meantime closes the sender, and the question with it.
            await self._sender.__aenter__()
        if self._stopping:
            return None
        self._tell_quota(watch)
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        try:
            await self._take(self._sender.send_many(self._supply))
            while self._box is not None and not self._stopping and await self._others_end(self._box, watch):
                await self._take(self._sender.drain())
        except SendingStopped as stopped:
            if self._box is None:
                self._remain(stopped.unsent, stopped.reply)
            return stopped
        except KeyReused as reused:  # of a stream, which could not be looked for before
            return InputUnexpected(str(reused))
        except InputBroken as broken:
            return broken
        finally:
            self._seconds = loop.time() - began_at
        return None

    async def _take(self, sent: AsyncGenerator[Report, None]) -> None:
        async with aclosing(sent) as reports:
            async for report in reports:
                self._ended(report)
                await self._reader_caught_up()

    async def _others_end(self, box: Box, watch: Watch) -> bool:
        """Wait while other processes send the last of what is in the outbox; returns whether some of it came back."""
        loop = asyncio.get_running_loop()
        until = loop.time() + OTHERS
        while (others := await box.others()) and loop.time() < until and not self._stopping:
            watch.phase = f"{others:,} being sent by another process"
            await asyncio.sleep(LOOK_AGAIN)
        watch.phase = None
        return not others and bool(await box.due())

    def _tell_quota(self, watch: Watch) -> None:
        """Say so where the list does not fit into the day."""
        quota, recipients = self._limiter.quota, self.tally.total_recipients
        if quota is not None and recipients is not None and recipients > quota.remaining:
            rate = self._limiter.max_rate or quota.max_send_rate
            takes = seconds_for(recipients, rate, quota.remaining, quota.max_24_hour_send)
            watch.say(
                f"{recipients:,} recipients, and {quota.remaining:,.0f} are left of the daily quota of "
                f"{quota.max_24_hour_send:,.0f}: "
                + (
                    "nothing can be sent."
                    if takes is None
                    else f"without --on-quota stop this takes about {duration(round(takes))}."
                )
            )

    def _ended(self, report: Report) -> None:
        if self._box is not None and not self._box.settles(report, stopping=self._stopping):
            return  # it is in the outbox, and counted with what remains there
        outcome = self.tally.ended(report, stopping=self._stopping and self._box is None)
        self._report.ended(report, outcome)
        if self._first_failure is not None or outcome is Outcome.NOT_SENT:
            return
        key = printable(str(report.message.key))
        if outcome is not Outcome.ACCEPTED:
            self._first_failure = f"{key}: {outcome}: {printable(str(report.error))}"
        elif report.receipt is not None and report.receipt.refused:
            address, reply = next(iter(report.receipt.refused.items()))
            self._first_failure = f"{key}: accepted, but not for {printable(address)}: {printable(reply)}"

    async def _reader_caught_up(self) -> None:
        """Let whoever reads the report from a pipe read on; once sending stops, not for ever."""
        if not self._report.is_behind:
            return
        self._patience = patience = asyncio.timeout(DRAIN if self._stopping else None)
        try:
            async with patience:
                await self._report.caught_up()
        except TimeoutError:
            self._patience = None
            self._report.give_up("nobody reads on")
        finally:
            self._patience = None

    def _bad(self, entry: BadEntry) -> None:
        self.tally.failed += 1
        self._report.bad(entry)
        self._first_failure = self._first_failure or str(entry)

    async def _name_rest(self, stopped_by: SESLimitError | None) -> None:
        if isinstance(stopped_by, InputBroken):
            return
        reason = stopped_by.reply if isinstance(stopped_by, SendingStopped) else None
        try:
            await self._name_unread(reason)
            if self._box is not None and not isinstance(stopped_by, JournalError):
                await self._name_kept(self._box, reason)
                self._others, self._cancelled = await self._box.others(), await self._box.cancelled()
        except JournalError:
            if not isinstance(stopped_by, JournalError):
                raise
            # An outbox that cannot be asked any more: what has no end here remains, as far as is known.
            self.tally.remaining += max(0, (self.tally.total or 0) - self.tally.messages)

    async def _name_unread(self, reason: str | None) -> None:
        async for piece in self._supply.rest(DRAIN, names_only=self._box is None):
            for entry in piece:
                if isinstance(entry, BadEntry):
                    self._bad(entry)
            rest = [entry for entry in piece if not isinstance(entry, BadEntry)]
            self._remain(rest if self._box is None else await self._not_kept(self._box, rest), reason)
            await self._reader_caught_up()

    async def _not_kept(self, box: Box, rest: Sequence[Entry]) -> Sequence[Entry]:
        """What of the rest of the input is not in the outbox; that of a stream is put there, for it is read once."""
        missing = await box.missing([entry for entry in rest if isinstance(entry, Message)])
        if self._can_be_read_twice:
            return missing
        await box.add(missing)
        return ()

    async def _name_kept(self, box: Box, reason: str | None) -> None:
        """Name what remains in the outbox."""
        await self._close()  # gives back what was not attempted
        if self._report.path is None:
            self.tally.remaining += (await box.waiting()).messages
            return
        async for piece in box.left():
            self._remain(piece, reason)
            await self._reader_caught_up()

    def _remain(self, entries: Sequence[Entry], reason: str | None) -> None:
        self.tally.remaining += len(entries)
        self._report.remaining(entries, reason)

    def _status(self, stopped_by: SESLimitError | None) -> Status:
        status, self._error = Verdict(
            tally=self.tally,
            before=self._before,
            url=self._url,
            report=self._report,
            has_outbox=self._box is not None,
            was_taken_away=self._box is not None and self._box.was_taken_away,
            others=self._others,
            cancelled=self._cancelled,
            is_stopping=self._stopping,
            is_cut_off=self._supply.cut_off,
            first_failure=self._first_failure or "",
        ).on(stopped_by)
        return status

    @property
    def _can_be_read_twice(self) -> bool:
        return all(each.repeatable for each in self._inputs)

    @property
    def _before(self) -> dict[State, int]:
        """Messages of the input that a run before had brought to their end."""
        return self._choice.before if self._box is None else self._box.before
