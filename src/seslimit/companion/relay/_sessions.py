"""
What the conversations of one relay share: their limits, the room for contents, the way to SES, and their number.

Invariant: a connection is counted once when it arrives and once when it has left.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Protocol

import attrs

from ._dialogue import Transaction
from ._handover import Handover
from ._mail_data import MailData
from ._options import RelayOptions
from ._storage import Storage

logger = logging.getLogger("seslimit")


class OpenSession(Protocol):
    """A connection, as far as it is everybody's business."""

    @property
    def conversation(self) -> asyncio.Task[None] | None:
        """What is said over it; None before the first word."""
        ...

    def look(self, now: float) -> None:
        """End it, if it has been silent for too long at this moment of the event loop's clock."""
        ...

    def dismiss(self, reply: str) -> None:
        """End it with these last words, now or when what was begun has ended."""
        ...

    def cut(self) -> None:
        """End it at once."""
        ...


@attrs.define(eq=False)
class Sessions:
    """
    The shared side of all sessions of one relay.

    Args:
        options: their limits.
        tls_context: for TLS; None for none.
        handover: takes messages to SES.
    """

    options: RelayOptions
    tls_context: ssl.SSLContext | None
    handover: Handover
    storage: Storage = attrs.field(init=False)
    free: asyncio.Semaphore = attrs.field(init=False)
    """Connections that may still be accepted."""
    connected: set[OpenSession] = attrs.field(factory=set, init=False)
    empty: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    """Set while nobody is connected."""
    stopping: bool = attrs.field(default=False, init=False)
    """Whether no message is taken any more."""
    _told: frozenset[str] = attrs.field(default=frozenset(), init=False)
    """Parameters that were dropped, and are in the log."""

    def __attrs_post_init__(self) -> None:
        self.storage = Storage(self.options.max_pending, self.options.max_size)
        self.free = asyncio.Semaphore(self.options.max_connections)
        self.empty.set()

    def mail_data(self, transaction: Transaction) -> MailData:
        """What is received for this envelope; it has no place yet."""
        if transaction.dropped - self._told:
            self._told |= transaction.dropped
            logger.warning(
                "clients ask for delivery status notifications (%s); SES reports in its own way, so what they ask for "
                "is dropped",
                ", ".join(sorted(transaction.dropped)),
            )
        return MailData(transaction, self.storage.place(transaction.size), self.options.max_size)

    def arrived(self, session: OpenSession) -> None:
        """A connection was accepted."""
        self.connected.add(session)
        self.empty.clear()

    def left(self, session: OpenSession) -> None:
        """A connection is no more."""
        if session in self.connected:
            self.connected.remove(session)
            self.free.release()
            if not self.connected:
                self.empty.set()
