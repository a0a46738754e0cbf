"""
One transaction's way to SES, and back to a reply.

Decides how recipients are split into messages, and what is remembered when not all of them could be sent. It must not
know the conversation that the transaction came from, but whether its client is still there.

Invariants: recipients that SES took are never sent to again for the same transaction, whatever became of the others;
an attempt under way is never broken off for a client that has gone, nor is a second one begun beside it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import attrs

from seslimit import (
    MAX_RECIPIENTS,
    AccountBlocked,
    Attempted,
    Message,
    Outcome,
    Receipt,
    Sender,
    SendFailed,
    SendingStopped,
    SESLimitError,
)

from .._kept import Kept, name
from ._held import HeldTransaction, MailObject
from ._lane import unlabelled
from ._memory import Memory, digest
from ._replies import TransactionResult, for_error

logger = logging.getLogger("seslimit")

MAX_UNKNOWN = 100
"""Names of lanes that are not there that the log has."""

LOUD_EVERY = 60.0
"""Seconds between two errors in the log about the same block of the account."""


@attrs.define
class Counts:
    """What became of the messages of one relay; a message is one transaction of a client."""

    accepted: int = 0
    """Messages that SES took for all recipients that it would take."""
    recipients: int = 0
    """Recipients that SES took."""
    refused: int = 0
    """Messages that were answered 5xx."""
    deferred: int = 0
    """Messages that were answered 4xx: the client has them still."""
    abandoned: int = 0
    """Messages whose client went away before the reply."""
    attempts: int = 0
    """Attempts that were made, whatever they meant."""
    throttled: int = 0
    """Attempts that SES refused for the rate; no client hears of them."""

    def on_event(self, event: object) -> None:
        """Count attempts; see `Sender(hooks=…)`."""
        if isinstance(event, Attempted):
            self.attempts += 1
            self.throttled += event.outcome is Outcome.THROTTLED


@attrs.define(eq=False)
class Handover:
    """
    Hands transactions over to SES.

    Args:
        sender: sends the messages that they are split into.
        counts: what became of them.
        hold: seconds for which a transaction is held when nothing can be sent at all.
        lanes: names of the lanes that a message may name.
        kept: keeps the messages, which are then answered for; None where they are sent first.
    """

    sender: Sender
    counts: Counts
    hold: float = 0.0
    lanes: frozenset[str] = frozenset()
    kept: Kept | None = None
    _memory: Memory = attrs.field(factory=Memory, init=False)
    _under_way: set[HeldTransaction] = attrs.field(factory=set, init=False)
    _orphans: set[HeldTransaction] = attrs.field(factory=set, init=False)
    """Those under way whose clients have gone, or may have, and may come back with the same."""
    _unknown: set[str] = attrs.field(factory=set, init=False)
    """Lanes that are named and not there, and are in the log."""
    _quiet_until: float = attrs.field(default=-math.inf, init=False)

    def begin(self) -> HeldTransaction:
        """The hold on a transaction that begins now."""
        return HeldTransaction(self.sender, self._orphans, _now(), self.hold)

    async def take(self, mail_from: str, recipients: Sequence[str], content: bytes, held: HeldTransaction) -> str:
        """
        Send a transaction's message to all of its recipients, as far as that can be done now.

        Returns:
            the reply to the final dot.
        """
        content, lane = unlabelled(content)
        if lane is not None:
            held.lane = self._known(lane) or held.lane
        # Who is named twice, in two parts perhaps, gets one copy.
        mail = held.mail = mail_from, tuple(dict.fromkeys(recipients)), content
        self._under_way.add(held)
        try:
            for twin in [each for each in self._orphans if each.mail == mail and each is not held]:
                # Its client was cut off in the middle of an attempt, and sends the same again: what came of it counts.
                twin.repeated = True
                await asyncio.wait([twin.ended])
            return await self._take(mail, held)
        finally:
            self._under_way.discard(held)
            self._orphans.discard(held)
            held.ended.set_result(None)

    def _known(self, lane: str) -> str:
        if lane in self.lanes:
            return lane
        if lane not in self._unknown and len(self._unknown) < MAX_UNKNOWN:
            self._unknown.add(lane)
            logger.warning("there is no lane %r; messages for it go with the others", lane[:100])
        return ""

    def was_not_heard(self, held: HeldTransaction) -> None:
        """The reply to a transaction came back: its client may send it again."""
        self.counts.abandoned += 1
        if held.accepted and held.mail is not None:
            self._memory.note(digest(*held.mail), held.accepted, _now())

    async def ended(self, timeout: float) -> None:
        """Return when all that is under way has ended, or after `timeout` seconds."""
        if self._under_way:
            await asyncio.wait([held.ended for held in self._under_way], timeout=timeout)

    def dismiss(self) -> None:
        """Make no new attempt for what is under way."""
        for held in self._under_way:
            held.dismiss()

    async def _take(self, mail: MailObject, held: HeldTransaction) -> str:
        key = digest(*mail) if self._memory else None
        known = {} if key is None else self._memory.recall(key, _now())
        result = TransactionResult(len(mail[1]), dict(known))
        try:
            await self._send(mail, result, held)
        finally:
            self.counts.recipients += len(result.accepted) - len(known)
            self.counts.abandoned += held.gone
            held.accepted = result.accepted
            if result.accepted and (held.gone or held.repeated or not result.done):
                self._memory.note(key or digest(*mail), result.accepted, _now())
            elif self._memory:
                # Also one that was noted meanwhile: a client that sends the same once more means a new message.
                self._memory.forget(key or digest(*mail))
        reply = result.reply()
        return reply if held.gone and not result.done else self._counted(reply)

    async def _send(self, mail: MailObject, result: TransactionResult, held: HeldTransaction) -> None:
        mail_from, recipients, content = mail
        held.begun = bool(result.accepted)
        for part in batched([each for each in recipients if each not in result.accepted], MAX_RECIPIENTS):
            if held.called_back:
                result.failed(held.called_back)
                return
            try:
                message = Message(mail_from, part, content)
                receipt = await (held.send(message) if self.kept is None else self._keep(self.kept, message, held.lane))
            except SESLimitError as error:
                withdrawn = held.called_back if type(error) is SendingStopped else None
                result.failed(withdrawn or for_error(error, datetime.now(UTC)))
                self._tell(error)
                if result.is_for_now:
                    return
            else:
                result.took(part, receipt)
                if receipt.refused:
                    logger.warning("SES took a message, but not for %s", dict(receipt.refused))

    @staticmethod
    async def _keep(kept: Kept, message: Message, lane: str) -> Receipt:
        """Keep a part; what the client is told is its name in the outbox."""
        key = name()
        await kept.keep(attrs.evolve(message, key=key, lane=lane or None))
        return Receipt(key)

    def _tell(self, error: SESLimitError) -> None:
        """Say in the log what its owner has to hear of, once a minute where it is the same for every message."""
        if isinstance(error, SendFailed) and error.report.outcome is Outcome.UNKNOWN:
            logger.warning(
                "it is not known whether a message was accepted, and its client may send it again: %s", error
            )
        elif isinstance(error, AccountBlocked) and _now() >= self._quiet_until:
            self._quiet_until = _now() + LOUD_EVERY
            logger.error(
                "SES takes nothing from this account, and every message is answered 451 until it does again: %s", error
            )

    def _counted(self, reply: str) -> str:
        if reply.startswith("2"):
            self.counts.accepted += 1
        elif reply.startswith("5"):
            self.counts.refused += 1
        else:
            self.counts.deferred += 1
        return reply


def batched(recipients: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    """The recipients in order, at most so many at a time."""
    return (tuple(recipients[begin : begin + size]) for begin in range(0, len(recipients), size))


def _now() -> float:
    return asyncio.get_running_loop().time()
