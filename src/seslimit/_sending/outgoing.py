"""
One message on its way out of a sender, and what is said of it at the end.

What all messages of a sender have in common is in one value, so that whoever sends one (a call, or a stream of many)
needs nothing else of the sender.

Invariant: a message has one report, made when it has come to its end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

import attrs

from .._law.retry import Retry, RetryPolicy
from .._model.clearance import Guards, Suppresses
from .._model.errors import ConfigurationError
from .._model.history import History
from .._model.message import Message
from .._model.options import shown
from .._model.outcome import Outcome
from .._model.report import Receipt, Report
from .._pacing.attempts import Attempts, Postponed
from .._pacing.gate import Admission
from .._pacing.hooks import Hearing, tell
from .._pacing.lanes import Lane, Places
from .._pacing.limiter import Limiter
from ..transports import Transport
from .reserve import DailyReserve


@attrs.frozen
class GoneBack(Postponed):
    """A message that is in the queue that it came from again, and not this sender's any more."""


@attrs.define(eq=False)
class Outgoing(Attempts[Receipt]):
    """
    A message on its way.

    Args:
        message: the message.
        setup: what it has in common with the sender's other messages.
        number: its number in the order in which messages came from their source.
    """

    message: Message = attrs.field(kw_only=True)
    setup: Setup = attrs.field(kw_only=True)
    number: int = attrs.field(default=0, kw_only=True)
    receipt: Receipt | None = attrs.field(default=None, init=False)
    """The first one, where the service took the message for some of its recipients and not for others."""
    withdrawn: bool = attrs.field(default=False, init=False)
    """Whether nobody wants it sent any more."""
    spared: dict[str, str] | None = attrs.field(default=None, init=False)
    """Recipients that are not sent to, each with the reason."""
    _tried: tuple[str, ...] | None = attrs.field(default=None, init=False)

    def end(self, result: Receipt | BaseException) -> Report:
        """
        The report of a message that came to its end, or is not sent any more; the hooks have heard it.

        Args:
            result: the receipt, or why there is none.
        """
        report = self.report(result)
        if self.setup.report_hooks:
            tell(self.setup.report_hooks, report)
        return report

    def report(self, result: Receipt | BaseException) -> Report:
        """What is to be said of the message, if this is its end; see `end`."""
        if self.accepted_at is not None:
            self.history, self.accepted_at = self.history.after(Outcome.ACCEPTED, self.accepted_at), None
        history = self.history
        result = self.receipt or result
        return Report(
            self.message,
            Outcome.ACCEPTED if self.receipt else history.outcome or Outcome.NOT_SENT,
            receipt=result if isinstance(result, Receipt) else None,
            attempts=history.attempts,
            throttles=history.throttles,
            error=None if self.receipt else result if isinstance(result, Exception) else self.error,
            history=history.recent,
            at=time.time(),
        )

    @property
    def unsent(self) -> bool:
        """Whether it still has to be sent; not where some of its recipients have it."""
        return self.receipt is None and not (self.ended or self.history.outcome is Outcome.UNKNOWN)

    def _accepted(self, accepted: Receipt) -> Receipt | Postponed:
        """Take a receipt; where recipients were refused for now, the message is tried again for them alone."""
        super()._accepted(accepted)
        if not accepted.refused and self.receipt is None and self.spared is None:
            return accepted
        before = {} if self.receipt is None else self.receipt.refused
        tried = self._tried or self.message.recipients
        refused = {recipient: words for recipient, words in before.items() if recipient not in tried}
        refused |= {**(self.spared or {}), **accepted.refused}
        self.receipt = attrs.evolve(self.receipt or accepted, refused=refused)
        for_now = refused_for_now(accepted)
        if not for_now or self.last_attempt:
            return self.receipt
        self.history, self.accepted_at = self.history.after(Outcome.ACCEPTED, time.time()), None
        decision = self.policy.decide(attrs.evolve(self.history, outcome=Outcome.TRANSIENT), time.time())
        if not isinstance(decision, Retry):
            return self.receipt
        self._only(for_now)
        return Postponed(asyncio.get_running_loop().time() + decision.wait)

    def _only(self, recipients: tuple[str, ...]) -> None:
        """Send to these alone from now on."""
        self._tried = recipients
        self.admission.cost = len(recipients)
        self.attempt = partial(self.setup.transport.send, attrs.evolve(self.message, recipients=recipients))


@attrs.frozen(eq=False)
class Setup:
    """
    What all messages of one sender have in common.

    Args:
        transport: makes the attempts.
        gate: admits them.
        policy: decides what comes after one that was not accepted.
        places: room for attempts in flight.
        kind: what its messages are: `Checked`, where not all of them may be sent at any time.
        report_hooks: hear every report.
        listeners: hear of every attempt, beside the gate's own hooks.
        suppression: knows recipients that are not sent to.
        guard: knows messages that are not sent now.
        reserve: keeps a part of the day for others.
    """

    transport: Transport
    gate: Limiter
    policy: RetryPolicy
    places: Places
    kind: type[Outgoing]
    report_hooks: tuple[Callable[[Report], object], ...]
    listeners: tuple[Hearing, ...]
    suppression: Suppresses | None = None
    guard: Guards | None = None
    reserve: DailyReserve | None = None
    transport_name: str = attrs.field(
        default=attrs.Factory(lambda self: type(self.transport).__name__, takes_self=True), init=False
    )

    def outgoing(self, message: Message, number: int = 0, lane: str | None = None) -> Outgoing:
        """
        A message that is to be sent.

        Raises:
            ConfigurationError: it is no message, or names a lane that does not exist.
        """
        if not isinstance(message, Message):
            raise ConfigurationError(f"a Sender sends a Message, and {shown(message)} is none.")
        return self.kind(
            self.admission(message, lane),
            self.policy,
            partial(self.transport.send, message),
            History(time.time()),
            self.places,
            message=message,
            number=number,
            setup=self,
        )

    def admission(self, message: Message, lane: str | None) -> Admission:
        """
        The leave that a message needs.

        Raises:
            ConfigurationError: there is no such lane.
        """
        return Admission(
            self.gate,
            message.cost,
            self.lane(lane or message.lane),
            message.key,
            message.mail_from.lower(),
            self.transport_name,
            self.listeners,
        )

    def lane(self, name: str | None) -> Lane | None:
        """
        The lane of that name; None for the nameless one.

        Raises:
            ConfigurationError: there is no such lane.
        """
        return None if name is None else self.gate.find_lane(name)


def refused_for_now(receipt: Receipt) -> tuple[str, ...]:
    """Recipients that the service may take later."""
    return tuple(recipient for recipient, words in receipt.refused.items() if words.startswith("4"))
