"""
One transaction's way to SES, and back to a reply.

Decides how recipients are split into messages, and what is remembered when not all of them could be sent. It must not
know the conversation that the transaction came from, but whether its client is still there.

Invariants: recipients that SES took are never sent to again for the same transaction, whatever became of the others;
an attempt under way is never broken off for a client that has gone.
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
    Message,
    Outcome,
    Receipt,
    Sender,
    SendFailed,
    SendQuota,
    SESLimitError,
    Transport,
    classify,
)

from ._memory import Memory, digest
from ._replies import WAITED, Deed, for_error

logger = logging.getLogger("seslimit")

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


@attrs.define(eq=False)
class Errand:
    """
    The hold on one transaction, from its final dot to its reply.

    Args:
        task: the task that hands it over, and waits.
        since: event-loop time (seconds) of its final dot.
    """

    task: asyncio.Task[object]
    since: float
    attempting: bool = attrs.field(default=False, init=False)
    """Whether an attempt is under way."""
    gone: bool = attrs.field(default=False, init=False)
    """Whether nobody waits for the reply any more."""
    overdue: bool = attrs.field(default=False, init=False)
    """Whether it was called back because it waited too long."""

    def abandon(self) -> None:
        """The client has gone: the attempt under way is the last; if there is none, this is the end."""
        if not self.gone:
            self.gone = True
            self._recall()

    def hurry(self) -> None:
        """The client will not wait for much longer: if no attempt is under way, this is the end."""
        if not (self.attempting or self.overdue or self.gone):
            self.overdue = True
            self._recall()

    def after_failure(self) -> None:
        """An attempt has failed; there is no other one for a client that has gone."""
        if self.gone:
            self._recall()

    def _recall(self) -> None:
        if not self.attempting:
            self.task.cancel()


@attrs.frozen(eq=False)
class AttendedTransport:
    """A transport that counts attempts, and tells each message's errand of them."""

    inner: Transport
    counts: Counts

    async def send(self, message: Message) -> Receipt:
        """Make one attempt; see `Transport.send`."""
        errand = message.key
        assert isinstance(errand, Errand)  # noqa: S101  # for the type checkers: nobody else uses this transport
        if errand.gone or errand.overdue:
            # It was called back while nothing was waited for, and hears of it here.
            await asyncio.sleep(0)
        self.counts.attempts += 1
        errand.attempting = True
        try:
            return await self.inner.send(message)
        except Exception as error:
            self.counts.throttled += classify(error) is Outcome.THROTTLED
            errand.attempting = False
            errand.after_failure()
            raise
        finally:
            errand.attempting = False

    async def quota(self) -> SendQuota | None:
        """The account's sending quota, where the transport knows it."""
        asked = getattr(self.inner, "quota", None)
        quota: SendQuota | None = None if asked is None else await asked()
        return quota

    async def aclose(self) -> None:
        """Close the transport."""
        await self.inner.aclose()


@attrs.define(eq=False)
class Handover:
    """
    Hands transactions over to SES.

    Args:
        sender: sends the messages that they are split into; its transport is an `AttendedTransport`.
        counts: what became of them.
    """

    sender: Sender
    counts: Counts
    _memory: Memory = attrs.field(factory=Memory, init=False)
    _quiet_until: float = attrs.field(default=-math.inf, init=False)

    async def take(self, mail_from: str, recipients: Sequence[str], content: bytes, errand: Errand) -> str:
        """
        Send a transaction's message to all of its recipients, as far as that can be done now.

        Returns:
            the reply to the final dot.

        Cancelling:
            no further part is sent; what was accepted is remembered.
        """
        # Who is named twice, in two parts perhaps, gets one copy.
        recipients = tuple(dict.fromkeys(recipients))
        key = digest(mail_from, recipients, content) if self._memory else None
        known = {} if key is None else self._memory.recall(key, _now())
        deed = Deed(len(recipients), dict(known))
        parts = batched([each for each in recipients if each not in known], MAX_RECIPIENTS)
        try:
            await self._send((mail_from, content), parts, deed, errand)
        except asyncio.CancelledError:
            if errand.gone or not errand.overdue or errand.task.uncancel():
                raise
            deed.failure = WAITED
        finally:
            self.counts.recipients += len(deed.accepted) - len(known)
            self.counts.abandoned += errand.gone
            if deed.accepted and (errand.gone or not deed.done):
                self._memory.note(key or digest(mail_from, recipients, content), deed.accepted, _now())
            elif self._memory:
                # Also one that was noted meanwhile: a client that sends the same once more means a new message.
                self._memory.forget(key or digest(mail_from, recipients, content))
        return self._counted(deed.reply())

    async def _send(
        self, message: tuple[str, bytes], parts: Iterator[tuple[str, ...]], deed: Deed, errand: Errand
    ) -> None:
        mail_from, content = message
        for part in parts:
            if errand.gone:
                return
            try:
                receipt = await self.sender.send(Message(mail_from, part, content, key=errand))
            except SESLimitError as error:
                deed.failed(for_error(error, datetime.now(UTC)))
                self._tell(error)
                if deed.is_for_now:
                    return
            else:
                deed.took(part, receipt)
                if receipt.refused:
                    logger.warning("SES took a message, but not for %s", dict(receipt.refused))

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
