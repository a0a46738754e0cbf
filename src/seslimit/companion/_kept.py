"""
Messages that a companion has answered for: durable first, and sent from there.

Decides when sending begins anew after it had to stop. It must not know who brought a message, nor what was answered.

Invariants: whoever is told that a message is kept finds it in the outbox, whatever ends the process; what becomes of it
is in the outbox, and in the log where it was not accepted.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Protocol

from seslimit import Message, Outcome, Report, RetryPolicy, Sender, SendingStopped, Suppressed
from seslimit.outbox import Filter, Journal, KeyReused, Row

logger = logging.getLogger("seslimit")

PATIENT = RetryPolicy(on_unknown="resend", on_quota_exceeded="wait", max_unreachable=math.inf)
"""Nobody waits for an answer, and nobody would send again: whatever passes is waited for, and what may have been
accepted goes out again, rather twice than never (RFC 5321, 4.2.5)."""

AGAIN = 5.0
"""Seconds until sending is tried again after it had to stop: the account is blocked, the outbox cannot be written."""

QUIET = 60.0
"""Seconds between two lines in the log about that."""


class Outbox(Journal, Protocol):
    """What a companion keeps its messages in: `seslimit.outbox.Outbox`, or `MemoryOutbox`."""

    def rows(self, wanted: Filter | None = None) -> AsyncIterator[Row]:
        """What is there, a row a recipient."""
        ...


class Kept:
    """
    The messages of one companion that are durable before they are answered for.

    Args:
        outbox: where they are; opened and closed by its owner.
        sender: sends them; it has the same outbox.
    """

    def __init__(self, outbox: Outbox, sender: Sender) -> None:
        self._outbox = outbox
        self._sender = sender
        self._draining: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Send what is in the outbox, and what will be."""
        self._draining = asyncio.create_task(self._drain())

    async def keep(self, message: Message) -> bool:
        """
        Keep a message, by its key.

        Returns:
            whether it is new; one of the same key is kept once, whatever its Date says.

        Raises:
            JournalError: it cannot be written, now or at all.
        """
        try:
            return bool(await self._outbox.add([message]))
        except KeyReused:
            return False

    async def has(self, key: str) -> bool:
        """Whether a message of this key was kept."""
        rows = self._outbox.rows(Filter(key=key))
        async for _ in rows:
            return True
        return False

    async def aclose(self, deadline: float) -> None:
        """Make no new attempt; those under way have so many seconds, and everything else stays in the outbox."""
        self._sender.stop()
        if self._draining is not None:
            await asyncio.wait([self._draining], timeout=deadline)
            self._draining.cancel()
            with suppress(asyncio.CancelledError):
                await self._draining

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        quiet_until = -math.inf
        while True:
            try:
                await self._sender.run()
            except SendingStopped as stopped:
                if loop.time() >= quiet_until:
                    quiet_until = loop.time() + QUIET
                    logger.error("nothing is sent now, and messages wait in the outbox: %s", stopped)
                await asyncio.sleep(AGAIN)
            else:
                return


def name() -> str:
    """A key for a message that no other one is."""
    return secrets.token_hex(12)


def told(report: Report) -> None:
    """Say of a message that was answered for and not accepted that it was not: its client hears no more of it."""
    ended = report.outcome not in (Outcome.ACCEPTED, Outcome.NOT_SENT)
    if ended and not isinstance(report.error, Suppressed):
        logger.warning("a message that was taken was not accepted, key %s: %s: %s", *_of(report))


def _of(report: Report) -> tuple[object, Outcome, object]:
    return report.message.key, report.outcome, report.error
