"""
A transport in memory, for the tests of whoever builds on a `Sender`: a function says what becomes of each message.

Decides nothing about mail: it keeps what came, in order, and does what it is told. No sockets, nothing to install; with
`virtual_time` a day of sending takes a moment.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import attrs

from .._model.errors import TransportError
from .._model.message import Message
from .._model.outcome import Outcome
from .._model.quota import SendQuota
from .._model.report import Receipt

Answer: TypeAlias = Receipt | Outcome | Exception | None
"""What becomes of an attempt: a receipt; an outcome, which is an error unless accepted; an error; None for accepted."""

Handler: TypeAlias = Callable[[Message], Answer | Awaitable[Answer]]


@attrs.frozen
class Attempt:
    """
    One attempt as a `FakeTransport` saw it.

    Args:
        message: what was to be sent.
        at: event-loop time (seconds) at which it came.
        receipt: None where it was not accepted.
        error: None where it was accepted.
    """

    message: Message
    at: float
    receipt: Receipt | None
    error: Exception | None

    @property
    def outcome(self) -> Outcome | None:
        """What it meant; None for an error that is no `TransportError`, or where the attempt was cancelled."""
        if self.receipt is not None:
            return Outcome.ACCEPTED
        return self.error.outcome if isinstance(self.error, TransportError) else None


@attrs.define(eq=False)
class FakeTransport:
    """
    A transport without a service.

    Args:
        handler: called with each message, once an attempt, in order; it may be asynchronous. It returns a `Receipt`, an
            `Outcome`, an exception to raise, or None for "accepted"; what it raises is the attempt's error. Left out,
            everything is accepted.
        send_quota: what `quota` tells; None for a service that does not tell.
    """

    handler: Handler | None = None
    send_quota: SendQuota | None = attrs.field(default=None, kw_only=True)
    attempts: list[Attempt] = attrs.field(factory=list, init=False)
    """Every attempt that has ended, in order of its end."""
    closed: bool = attrs.field(default=False, init=False)
    """Whether `aclose` was called."""

    @property
    def sent(self) -> list[Message]:
        """The accepted messages, in order."""
        return [attempt.message for attempt in self.attempts if attempt.receipt is not None]

    async def send(self, message: Message) -> Receipt:
        """
        Make one attempt, as the handler says.

        Raises:
            TransportError: the handler said so, by an outcome or by itself. It pickles, as a real one does.
        """
        at = asyncio.get_running_loop().time()
        try:
            receipt = self._receipt(await self._asked(message))
        except asyncio.CancelledError:
            self.attempts.append(Attempt(message, at, None, None))
            raise
        except Exception as error:
            self.attempts.append(Attempt(message, at, None, error))
            raise
        self.attempts.append(Attempt(message, at, receipt, None))
        return receipt

    async def quota(self) -> SendQuota | None:
        """The sending quota that was given."""
        return self.send_quota

    async def aclose(self) -> None:
        """Note that it was closed."""
        self.closed = True

    async def _asked(self, message: Message) -> Answer:
        if self.handler is None:
            return None
        answer = self.handler(message)
        return await answer if inspect.isawaitable(answer) else answer

    def _receipt(self, answer: Answer) -> Receipt:
        if isinstance(answer, Exception):
            raise answer
        if answer is None or answer is Outcome.ACCEPTED:
            return Receipt(f"fake-{len(self.attempts) + 1}")
        if isinstance(answer, Outcome):
            raise TransportError(answer, f"the handler said {answer}")
        if isinstance(answer, Receipt):
            return answer
        raise TypeError(f"a handler returns a Receipt, an Outcome, an exception or None, not {answer!r}")
