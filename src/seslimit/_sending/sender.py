"""
The sender: messages in, reports out.

Start reading here. A message is pulled when there is a place in flight for it, waits for its turn at the limiter, and
is handed to the transport; the retry policy says what comes after an attempt that was not accepted. What is in between
is in `_pacing.attempts` (one message) and `stream` (many of them).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Sequence
from contextlib import aclosing
from itertools import chain
from types import TracebackType
from typing import Any, TypeVar

import attrs

from .._law.retry import RetryPolicy
from .._model.clearance import Guards, Suppresses
from .._model.endings import SendFailed, SendingStopped
from .._model.errors import ConfigurationError
from .._model.events import State
from .._model.journal import Journal, LeaseLost
from .._model.message import Message
from .._model.options import having, whole
from .._model.report import Receipt, Report
from .._pacing.attempts import Postponed
from .._pacing.hooks import Hook, listeners, report_hooks
from .._pacing.limiter import Limiter
from ..transports import Transport
from .calls import Call, Calls, stopped
from .checked import Checked
from .draining import Adding, due
from .later import Later
from .outgoing import Outgoing, Setup
from .quota_watch import QuotaWatch
from .recorded import recorded
from .recording import Recording
from .reserve import DailyReserve
from .stream import Stream, each

logger = logging.getLogger("seslimit")

T = TypeVar("T")

MAX_IN_FLIGHT = 100
"""Attempts at the same time: 500 messages/s at 0.2 s each, the slowest door at the highest usual rate."""

LATER_PER_PLACE = 10
"""Messages of a stream that may wait out a backoff before no new one is taken, for each place in flight."""

DRAIN = 10.0
"""Seconds that attempts under way are given when sending stops."""


class Sender:
    """
    Sends messages through a transport at the rate that the account is allowed.

    Use as an asynchronous context manager, or call `aclose` at the end.

    Args:
        transport: makes the attempts; closed together with the sender.
        limiter: the account's limiter; a new one that finds the rate when left out. Share one among senders of the same
            account.
        retry: the retry policy; `RetryPolicy()` when left out.
        hooks: each called with the report of every message that came to an end: accepted, given up, or unsent because
            sending stopped. One that has `on_event` hears instead every event of this sender: its reports, its attempts
            (`Attempted`), and what its limiter tells (`Paused`, `Resumed`, `Learnt`). Hooks are called where it
            happens, so they return at once; what a hook raises is logged.
        max_in_flight: attempts at the same time, at least 1.
        suppression: knows addresses that are not sent to, for example `seslimit.feedback.SuppressionFile`; they cost no
            attempt, and are in the report as refused. Where it cannot be asked, nothing is sent. It is not closed
            together with the sender.
        guard: knows messages that are not sent now, for example `seslimit.feedback.ReputationGuard`; they end unsent.
        outbox: keeps messages and what becomes of them: an `Outbox`, or another `Journal`. Everything that is to be
            sent is put there first, and each step is on record before the next one, so that whatever ends the program,
            the next one goes on. Closed by whoever opened it, after the sender.
        keep_daily: recipients of the rolling 24 hours that are left to others: as soon as nothing else is left, sending
            waits until there is. Needs a transport that knows the quota.

    Raises:
        ConfigurationError: `max_in_flight` is below 1, a hook is asynchronous, or an option is of another kind.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        limiter: Limiter | None = None,
        retry: RetryPolicy | None = None,
        hooks: Iterable[Hook] = (),
        max_in_flight: int = MAX_IN_FLIGHT,
        suppression: Suppresses | None = None,
        guard: Guards | None = None,
        outbox: Journal | None = None,
        keep_daily: int = 0,
    ) -> None:
        max_in_flight = whole("max_in_flight", max_in_flight, "a number of attempts", low=1)
        having("suppression", suppression, "suppressed", "what seslimit.feedback.suppression_from_url makes of a name")
        having("guard", guard, "check", "a seslimit.feedback.ReputationGuard, or what has its check")
        having("outbox", outbox, "begins", "a seslimit.outbox.Outbox, or another Journal")
        self.transport = transport
        self.limiter = limiter or Limiter()
        self.unfinished: Sequence[Message] = ()
        """After closing: messages whose attempts had not ended within the deadline; they may have been accepted."""
        kept = whole("keep_daily", keep_daily, "a number of recipients", low=0)
        reserve = DailyReserve(self.limiter, kept) if kept else None
        self._setup = Setup(
            transport,
            self.limiter,
            retry or RetryPolicy(),
            self.limiter.places(max_in_flight),
            Outgoing if suppression is None and guard is None and reserve is None else Checked,
            report_hooks(hooks := tuple(hooks)),
            listeners(hooks if reserve is None else (*hooks, reserve)),
            suppression,
            guard,
            reserve,
        )
        self._listen_no_more = self.limiter.listen(self._setup.listeners)
        self._later = Later()
        self._most_taken = max_in_flight * (1 + LATER_PER_PLACE)
        self._streams: set[Stream[Any]] = set()
        self._recording = None if outbox is None else Recording(outbox, self.limiter)
        self._calls = Calls()
        self._quota_watch = QuotaWatch(transport, self.limiter, reserve)

    async def __aenter__(self) -> Sender:
        await self.ask_quota()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def ask_quota(self) -> None:
        """Ask the service for the sending quota now; the first message does so by itself where nobody did."""
        await self._quota_watch.first_answer()

    async def open(self) -> None:
        """Do as `ask_quota`, by its former name."""
        await self.ask_quota()

    async def send(self, message: Message, *, lane: str | None = None) -> Receipt:
        """
        Send one message: returns when the service has accepted it.

        Args:
            message: what to send.
            lane: the name of the limiter's lane that it waits in; the message's own when left out.

        Returns:
            the service's receipt. A recipient that was refused for now was tried again, alone; those that it could not
            be sent to in the end are in `refused`.

        Raises:
            SendFailed: the message was given up; its report says why.
            AccountBlocked, QuotaExceeded, EndpointUnreachable: sending has to stop; the message is unsent.
            SendingStopped: the sender was stopped, or the message withdrawn, while it waited; it is unsent.
            JournalUnavailable: the outbox takes nothing now.
            KeyReused: the outbox holds another message of this key.
            LeaseLost: the message is in the outbox, and another sends it.

        With an outbox the message is in it before it is sent; one that came to its end before is not sent again, and
        its end is what comes of this call. What is said to be unsent stays in the outbox, but for what was withdrawn.

        Cancelling:
            the attempt under way is dropped; the message may have been accepted. `withdraw` waits for it instead.
        """
        outgoing = await self._outgoing(message, lane)
        if isinstance(outgoing, Report):
            return _receipt_of(outgoing)
        call = self._calls.one(outgoing)
        try:
            with call:
                if self._quota_watch.waits:
                    await self._quota_watch.first_answer()
                while isinstance(receipt := await outgoing.run(), Postponed):
                    await self._later.wait(outgoing, receipt.not_before)
        except LeaseLost:
            raise
        except asyncio.CancelledError as cancelled:
            outgoing.end(cancelled)
            raise
        except Exception as error:  # noqa: BLE001  # whatever a transport raised, its report says what it meant
            return _failed(outgoing, error, call)
        if self._setup.report_hooks:  # nobody else would read the report
            outgoing.end(receipt)
        return receipt

    async def send_many(self, messages: Iterable[Message] | AsyncIterable[Message]) -> AsyncGenerator[Report, None]:
        """
        Send messages and yield a report for each, in the order in which they come to an end.

        Messages are pulled one by one, as there is a place in flight for them; memory does not grow with their number.
        With an outbox they are put there as fast as it takes them, and what is in it is sent: what a run before has
        left as well, and nothing that came to its end before. Reports are of what was sent by this call.

        Raises:
            AccountBlocked, QuotaExceeded, EndpointUnreachable: sending had to stop; raised after the reports of all
                that was under way, with the messages that were taken and not sent.
            SendingStopped: the sender was closed before.
            JournalError: what becomes of messages cannot be recorded. While it cannot for now, sending waits.
            KeyReused: the outbox holds another message of the same key.
            Exception: whatever the iterable raised, after the reports of all that it gave before.

        Cancelling:
            no new attempt is made, and those under way are given `DRAIN` seconds; the same when the caller stops
            iterating and closes the generator.
        """
        if self._recording is None:
            async with aclosing(self._reports(each(messages), self._setup.outgoing)) as reports:
                async for report in reports:
                    yield report
            return
        adding = Adding(messages, self._recording)
        try:
            async with aclosing(self._drain(self._recording, lambda: adding.goes_on)) as reports:
                async for report in reports:
                    yield report
            adding.result()
        finally:
            await adding.aclose(DRAIN)

    async def drain(self) -> AsyncGenerator[Report, None]:
        """
        Send what is in the outbox, and yield a report for each; ends when nothing is left, also not for later.

        Messages of a sender that the service refuses are not waited for.

        Raises:
            ConfigurationError: there is no outbox.
            AccountBlocked, QuotaExceeded, EndpointUnreachable, JournalError: as `send_many`.
        """
        async with aclosing(self._drain(self._outbox(), lambda: False)) as reports:
            async for report in reports:
                yield report

    async def run(self) -> None:
        """
        Send what is in the outbox, and what is put there, until `stop`; hooks hear the reports.

        Any number of senders, in any number of processes, may do so on one outbox that several can open.

        Raises:
            ConfigurationError: there is no outbox.
            AccountBlocked, QuotaExceeded, EndpointUnreachable, JournalError: as `send_many`.
        """
        async with aclosing(self._drain(self._outbox(), lambda: True)) as reports:
            async for _ in reports:
                pass

    def withdraw(self, message: Message) -> None:
        """
        Make no new attempt for a message that `send` was given, this very object.

        If it waits, its `send` raises `SendingStopped`; an attempt under way comes to its end, and counts: where it is
        accepted, `send` returns the receipt. Nothing happens for a message that is not under way.
        """
        self._calls.withdraw(message)

    def stop(self) -> None:
        """
        Make no new attempt for what was given so far; `send_many` yields the reports of those under way and ends.

        Messages that were taken and not sent are reported with what is known of them: `not_sent`, or their last
        outcome. A `send` that waits for its turn raises `SendingStopped`.
        """
        self._calls.stop()
        for stream in self._streams:
            stream.stop()

    def state(self) -> State:
        """What is going on now, as a value: this sender's attempts, and its limiter's state."""
        under_way = chain(self._calls, *(stream.under_way() for stream in self._streams))
        in_flight = sum(outgoing.attempting for outgoing in under_way)
        return attrs.evolve(self.limiter.state(), in_flight=in_flight, later=len(self._later))

    async def aclose(self, deadline: float = DRAIN) -> None:
        """
        Stop, give attempts under way at most `deadline` seconds, and close the transport.

        What could not be finished is in `unfinished`, and logged.
        """
        self.stop()
        try:
            late = await asyncio.gather(
                self._calls.drain(deadline), *(stream.drain(deadline) for stream in self._streams)
            )
            self.unfinished = tuple(chain.from_iterable(late))
            if self.unfinished:
                logger.warning("closed with %d attempts under way, their outcome is unknown", len(self.unfinished))
            if self._recording is not None:
                await self._recording.settled(deadline)
        finally:
            self._listen_no_more()
            await self._quota_watch.aclose()
            await self.limiter.aclose()
            await self.transport.aclose()

    async def _outgoing(self, message: Message, lane: str | None) -> Outgoing | Report:
        if self._recording is None:
            return self._setup.outgoing(message, lane=lane)
        if self._calls.closed:
            raise stopped([message])
        self._setup.lane(lane or message.lane)  # one that does not exist is no message of the outbox
        taken = await self._recording.take(message)
        if isinstance(taken, Report):
            return taken
        return recorded(self._setup, self._recording, taken, lane=lane, to_its_end=True)

    def _outbox(self) -> Recording:
        if self._recording is None:
            raise ConfigurationError("there is nothing to drain: give the Sender an outbox.")
        return self._recording

    def _drain(self, recording: Recording, more: Callable[[], bool]) -> AsyncGenerator[Report, None]:
        return self._reports(
            due(recording, self.limiter, more), lambda queued, number: recorded(self._setup, recording, queued, number)
        )

    async def _reports(
        self, source: AsyncGenerator[T, None], make: Callable[[T, int], Outgoing]
    ) -> AsyncGenerator[Report, None]:
        await self._quota_watch.first_answer()
        if self._calls.closed:
            raise stopped()
        stream = Stream(source, make, self._later, self._most_taken)
        self._streams.add(stream)
        try:
            async for report in stream:
                yield report
        finally:
            await stream.drain(DRAIN)
            self._streams.discard(stream)


def _failed(outgoing: Outgoing, error: Exception, call: Call) -> Receipt:
    """What a call returns or raises whose message was not accepted for all of its recipients."""
    report = outgoing.end(error)
    if outgoing.receipt:  # others of its recipients have it
        return outgoing.receipt
    stop = error if isinstance(error, SendingStopped) else None
    if not outgoing.unsent or not (stop or outgoing.last_attempt):
        raise SendFailed(report) from error
    if stop is None:
        raise call.stopped() from error
    stop.unsent = (outgoing.message,)
    raise stop


def _receipt_of(report: Report) -> Receipt:
    """The receipt of a message that came to its end before."""
    if report.receipt is None:
        raise SendFailed(report)
    return report.receipt
