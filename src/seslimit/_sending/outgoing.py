"""
One message on its way out of a sender, and what is said of it at the end.

What all messages of a sender have in common is in one value, so that whoever sends one (a call, or a stream of many)
needs nothing else of the sender.

Invariant: a message has one report, made when it has come to its end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import attrs

from .._law.retry import History, RetryPolicy
from .._model.message import Message
from .._model.outcome import Outcome
from .._model.report import Receipt, Report
from .._pacing.attempts import Attempts, Places
from .._pacing.gate import Gate
from ..transports import Transport

logger = logging.getLogger("seslimit")

Hook: TypeAlias = Callable[[Report], None]


@attrs.define(eq=False)
class Outgoing(Attempts[Receipt]):
    """
    A message on its way.

    Args:
        message: the message.
        number: its number in the order in which messages came from their source.
        hooks: called with its report.
    """

    message: Message = attrs.field(kw_only=True)
    number: int = attrs.field(default=0, kw_only=True)
    hooks: tuple[Hook, ...] = attrs.field(default=(), kw_only=True)

    def end(self, result: Receipt | BaseException) -> Report:
        """
        The report of a message that came to its end; the hooks have heard it.

        Args:
            result: the receipt, or why there is none.
        """
        history = self.history
        report = Report(
            self.message,
            Outcome.UNKNOWN if self.interrupted else history.outcome or Outcome.NOT_SENT,
            receipt=result if isinstance(result, Receipt) else None,
            attempts=history.attempts + self.interrupted,
            throttles=history.throttles,
            error=result if isinstance(result, Exception) else self.error,
        )
        for hook in self.hooks:
            try:
                hook(report)
            except Exception:
                logger.exception("the hook %r failed; sending goes on", hook)
        return report


@attrs.frozen(eq=False)
class Setup:
    """
    What all messages of one sender have in common.

    Args:
        transport: makes the attempts.
        gate: admits them.
        policy: decides what comes after one that was not accepted.
        places: room for attempts in flight.
        hooks: hear every report.
    """

    transport: Transport
    gate: Gate
    policy: RetryPolicy
    places: Places
    hooks: tuple[Hook, ...]

    def outgoing(self, message: Message, number: int = 0) -> Outgoing:
        """A message that is to be sent."""
        return Outgoing(
            self.gate,
            self.policy,
            message.cost,
            partial(self.transport.send, message),
            History(asyncio.get_running_loop().time()),
            self.places,
            message=message,
            number=number,
            hooks=self.hooks,
        )
