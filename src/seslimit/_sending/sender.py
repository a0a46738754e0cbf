"""
The sender: messages in, reports out.

Start reading here. A message is pulled when there is a place in flight for it, waits for its turn at the limiter, and
is handed to the transport; the retry policy says what comes after an attempt that was not accepted. What is in between
is in `_pacing.delivery` (one message) and `batch` (many of them).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Iterable, Sequence
from itertools import chain
from types import TracebackType
from typing import Any, TypeAlias

from .._law.retry import History, RetryPolicy
from .._model.endings import SendFailed, SendingStopped
from .._model.errors import ConfigurationError
from .._model.message import Message
from .._model.outcome import Outcome
from .._model.report import Receipt, Report
from .._pacing.delivery import Delivery, Places
from .._pacing.limiter import Admission, Limiter
from ..transports import Transport
from .batch import Batch
from .calls import Calls, stopped
from .quota_watch import QuotaWatch

logger = logging.getLogger("seslimit")

MAX_IN_FLIGHT = 100
"""Attempts at the same time: 500 messages/s at 0.2 s each, the slowest door at the highest usual rate."""

BACKING_OFF_PER_PLACE = 10
"""Messages that may wait out a backoff, for each place in flight."""

DRAIN = 10.0
"""Seconds that attempts under way are given when sending stops."""

Hook: TypeAlias = Callable[[Report], None]


class Sender:
    """
    Sends messages through a transport at the rate that the account is allowed.

    Use as an asynchronous context manager, or call `open`, if at all, and `aclose` at the end.

    Args:
        transport: makes the attempts; closed together with the sender.
        limiter: the account's limiter; a new one that finds the rate when left out. Share one among senders of the same
            account.
        retry: the retry policy; `RetryPolicy()` when left out.
        hooks: each called with the report of every message that came to an end.
        max_in_flight: attempts at the same time, at least 1.

    Raises:
        ConfigurationError: `max_in_flight` is below 1.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        limiter: Limiter | None = None,
        retry: RetryPolicy | None = None,
        hooks: Iterable[Hook] = (),
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        if max_in_flight < 1:
            raise ConfigurationError(f"max_in_flight is {max_in_flight}: it is a number of attempts, at least 1.")
        self.transport = transport
        self.limiter = limiter or Limiter()
        self.unfinished: Sequence[Message] = ()
        """After closing: messages whose attempts had not ended within the deadline; they may have been accepted."""
        self._retry = retry or RetryPolicy()
        self._hooks = tuple(hooks)
        self._places = Places(max_in_flight, max_in_flight * BACKING_OFF_PER_PLACE)
        self._batches: set[Batch] = set()
        self._calls = Calls()
        self._quota_watch = QuotaWatch(transport, self.limiter)

    async def __aenter__(self) -> Sender:
        await self.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def open(self) -> None:
        """Ask for the sending quota now; the first message asks by itself where nobody did."""
        await self._quota_watch.first_answer()

    async def send(self, message: Message) -> Receipt:
        """
        Send one message: returns when the service has accepted it.

        Returns:
            the service's receipt.

        Raises:
            SendFailed: the message was given up; its report says why.
            AccountBlocked, QuotaExceeded, EndpointUnreachable: sending has to stop; the message is unsent.
            SendingStopped: the sender was stopped, or the message withdrawn, while it waited; it is unsent.

        Cancelling:
            the attempt under way is dropped; the message may have been accepted. `withdraw` waits for it instead.
        """
        delivery = self._begin(message)
        call = self._calls.one(message, delivery)
        try:
            with call:
                await self._quota_watch.first_answer()
                receipt = await self._deliver(message, delivery)
        except SendingStopped as stop:
            if not delivery.unsent:
                raise SendFailed(self._report(message, delivery, stop)) from stop
            stop.unsent = (message,)
            raise
        except Exception as error:
            if delivery.last_attempt and delivery.unsent:
                raise call.stopped() from error
            raise SendFailed(self._report(message, delivery, error)) from error
        if self._hooks:  # nobody else would read the report
            self._report(message, delivery, receipt)
        return receipt

    async def send_many(self, messages: Iterable[Message] | AsyncIterable[Message]) -> AsyncGenerator[Report, None]:
        """
        Send messages and yield a report for each, in the order in which they come to an end.

        Messages are pulled one by one, as there is a place in flight for them; memory does not grow with their number.

        Raises:
            AccountBlocked, QuotaExceeded, EndpointUnreachable: sending had to stop; raised after the reports of all
                that was under way, with the messages that were taken and not sent.
            SendingStopped: the sender was closed before.
            Exception: whatever the iterable raised, after the reports of all that it gave before.

        Cancelling:
            no new attempt is made, and those under way are given `DRAIN` seconds; the same when the caller stops
            iterating and closes the generator.
        """
        await self._quota_watch.first_answer()
        if self._calls.closed:
            raise stopped()
        batch = Batch(messages, self._begin, self._deliver, self._report)
        self._batches.add(batch)
        try:
            async for report in batch:
                yield report
        finally:
            await batch.drain(DRAIN)
            self._batches.discard(batch)

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
        for batch in self._batches:
            batch.stop()

    async def aclose(self, deadline: float = DRAIN) -> None:
        """
        Stop, give attempts under way at most `deadline` seconds, and close the transport.

        What could not be finished is in `unfinished`, and logged.
        """
        self.stop()
        try:
            late = await asyncio.gather(
                self._calls.drain(deadline), *(batch.drain(deadline) for batch in self._batches)
            )
            self.unfinished = tuple(chain.from_iterable(late))
            if self.unfinished:
                logger.warning("closed with %d attempts under way, their outcome is unknown", len(self.unfinished))
        finally:
            await self._quota_watch.aclose()
            await self.transport.aclose()

    def _begin(self, message: Message) -> Delivery:
        history = History(asyncio.get_running_loop().time())
        return Delivery(self.limiter, self._retry, message.cost, history, self._places)

    def _deliver(self, message: Message, delivery: Delivery) -> Coroutine[Any, Any, Receipt]:
        async def attempt(admission: Admission) -> Receipt:
            receipt = await self.transport.send(message)
            admission.decided_at = receipt.decided_at
            return receipt

        return delivery.run(attempt)

    def _report(self, message: Message, delivery: Delivery, result: Receipt | BaseException) -> Report:
        history = delivery.history
        outcome = Outcome.UNKNOWN if delivery.interrupted else history.outcome or Outcome.NOT_SENT
        report = Report(
            message,
            outcome,
            receipt=result if isinstance(result, Receipt) else None,
            attempts=history.attempts + delivery.interrupted,
            throttles=history.throttles,
            error=result if isinstance(result, Exception) else delivery.error,
        )
        for hook in self._hooks:
            try:
                hook(report)
            except Exception:
                logger.exception("the hook %r failed; sending goes on", hook)
        return report
