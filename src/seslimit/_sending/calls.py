"""
The calls of `Sender.send` under way, so that a sender can end them together.

Decides nothing about a message. A call runs in its caller's own task; one that waits is recalled by cancelling that
task and turning the cancellation into an error on the way out, as `asyncio.timeout` does.

Invariants: a cancellation that comes from elsewhere stays one; an attempt under way is not touched before the deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType

import attrs

from .._model.endings import SendingStopped
from .._model.message import Message
from .outgoing import Outgoing

STOPPED = "The sender was stopped."
WITHDRAWN = "The message was withdrawn."


@attrs.define(eq=False)
class Call:
    """One call, for as long as the block lasts."""

    outgoing: Outgoing
    task: asyncio.Task[object] | None
    calls: Calls
    cancelled_before: int = attrs.field(default=0, init=False)
    recalled: bool = attrs.field(default=False, init=False)
    words: str = attrs.field(default=STOPPED, init=False)
    """Why it is sent back, if it is."""

    def end(self) -> None:
        """Send it back if it waits; an attempt under way is the last."""
        self.outgoing.last_attempt = True
        if not self.outgoing.attempting:
            self.recall()

    def recall(self) -> None:
        """Cancel what it waits for, once."""
        if self.task and not self.recalled:
            self.recalled = True
            self.task.cancel()

    def stopped(self) -> SendingStopped:
        """What it raises when it is sent back."""
        return stopped([self.outgoing.message], self.words)

    def __enter__(self) -> None:
        if self.calls.closed or self.task is None:
            raise self.stopped()
        self.cancelled_before = self.task.cancelling()
        self.calls.under_way[self] = None

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        del self.calls.under_way[self]
        self.calls.one_ended.set()
        recalled = self.recalled and isinstance(exc, asyncio.CancelledError)
        if self.task and recalled and self.task.uncancel() <= self.cancelled_before:
            raise self.stopped() from None


class Calls:
    """The calls of one sender."""

    def __init__(self) -> None:
        self.under_way: dict[Call, None] = {}
        self.one_ended = asyncio.Event()
        self.closed = False
        """Whether no call is let in any more."""

    def __iter__(self) -> Iterator[Outgoing]:
        """The messages of the calls under way."""
        return (call.outgoing for call in self.under_way)

    def one(self, outgoing: Outgoing) -> Call:
        """
        Count one call, for as long as the block lasts.

        The block is not entered, and `SendingStopped` raised, where the sender was stopped before.
        """
        return Call(outgoing, asyncio.current_task(), self)

    def stop(self) -> None:
        """Send back the calls that wait; the attempts under way come to their end."""
        for call in self.under_way:
            call.end()

    def withdraw(self, message: Message) -> None:
        """Send back the call for this message if it waits; an attempt under way comes to its end."""
        for call in self.under_way:
            if call.outgoing.message is message:
                call.words = WITHDRAWN
                call.outgoing.withdrawn = True
                call.end()

    async def drain(self, deadline: float) -> list[Message]:
        """
        Stop, let no call in any more, and give attempts under way at most `deadline` seconds.

        Returns:
            the messages whose attempts had not ended by then; they may have been accepted.
        """
        self.closed = True
        self.stop()
        await self._ended(deadline)
        late = list(self.under_way)
        for call in late:
            call.words = STOPPED
            call.recall()
        await self._ended(None)
        return [call.outgoing.message for call in late]

    async def _ended(self, timeout: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self.under_way:
                    self.one_ended.clear()
                    await self.one_ended.wait()


def stopped(unsent: Sequence[Message] = (), words: str = STOPPED) -> SendingStopped:
    """The error for whoever comes after the end, or whose last attempt was refused in a way that ends nothing."""
    return SendingStopped(words, unsent)
