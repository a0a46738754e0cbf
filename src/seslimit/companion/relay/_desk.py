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
from ._intake import Intake
from ._options import RelayOptions
from ._room import Room

logger = logging.getLogger("seslimit")


class Visitor(Protocol):
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
class Desk:
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
    room: Room = attrs.field(init=False)
    free: asyncio.Semaphore = attrs.field(init=False)
    """Connections that may still be accepted."""
    sessions: set[Visitor] = attrs.field(factory=set, init=False)
    empty: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    """Set while nobody is connected."""
    stopping: bool = attrs.field(default=False, init=False)
    """Whether no message is taken any more."""
    _told: frozenset[str] = attrs.field(default=frozenset(), init=False)
    """Parameters that were dropped, and are in the log."""

    def __attrs_post_init__(self) -> None:
        self.room = Room(self.options.max_pending, self.options.max_size)
        self.free = asyncio.Semaphore(self.options.max_connections)
        self.empty.set()

    def intake(self, transaction: Transaction) -> Intake:
        """The reception of a message with this envelope; it has no place yet."""
        if transaction.dropped - self._told:
            self._told |= transaction.dropped
            logger.warning(
                "clients ask for delivery status notifications (%s); SES reports in its own way, so what they ask for "
                "is dropped",
                ", ".join(sorted(transaction.dropped)),
            )
        return Intake(transaction, self.room.place(transaction.size), self.options.max_size)

    def arrived(self, session: Visitor) -> None:
        """A connection was accepted."""
        self.sessions.add(session)
        self.empty.clear()

    def left(self, session: Visitor) -> None:
        """A connection is no more."""
        if session in self.sessions:
            self.sessions.remove(session)
            self.free.release()
            if not self.sessions:
                self.empty.set()
