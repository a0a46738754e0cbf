"""
What the sessions of one relay share: their limits, the room for contents, the way to SES, and their number.

Decides which session ends for the sake of others, when there are too many, or too few places for contents. It must not
know what is said in them.

Invariants: a connection is counted once when it arrives and once when it has left; a session whose message is held, and
one in the middle of a transaction that goes on, ends for nobody.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Protocol

import attrs

from .._clients import Clients
from .._logins import FailedLogins
from ._dialogue import Transaction
from ._handover import Handover
from ._mail_data import MailData
from ._options import RelayOptions
from ._replies import STOPPING
from ._storage import Storage

logger = logging.getLogger("seslimit")

CROWDED = "421 4.3.2 Too many connections, come back later"
STALLED = "421 4.4.2 The content came too slowly while others waited; the message was not sent, send it again later"

SOON = 0.01
"""Seconds between two looks at contents that are about to end, or to be given up."""

QUIET = 1.5
"""Seconds without a word after which a client is not in the middle of a run: listmonk's workers nap for one second."""

LOOK_EVERY = 1.0
"""Seconds between two looks at how long everybody has been waiting, and never more than a quarter of what is waited."""

IDLE = 1.0
"""Seconds after which a session between two transactions may end for a new one."""

BEHIND = 2.0
"""Seconds without a byte of a content, or behind the slowest pace, after which it may end for those that wait."""

SLOWEST = 16 * 1024
"""Bytes/s that a content comes at: below that, it is behind."""

MAX_CONVERTED = 100
"""Domains written in Punycode that the log has."""

TOLERATED = 0.1
"""Part of the places that contents may have which are behind."""


class OpenSession(Protocol):
    """A connection, as far as it is everybody's business."""

    @property
    def conversation(self) -> asyncio.Task[None] | None:
        """What is said over it; None before the first word."""
        ...

    @property
    def host(self) -> str:
        """Where it comes from."""
        ...

    @property
    def awaits_content(self) -> bool:
        """Whether it has the go-ahead for a content that is not there yet."""
        ...

    def idle_for(self, now: float) -> float:
        """Seconds since the last word between two transactions; 0 in the middle of anything."""
        ...

    def behind(self, now: float) -> float:
        """Seconds that its content is behind; 0 where no content is awaited."""
        ...

    @property
    def is_large(self) -> bool:
        """Whether its content has more room than the others."""
        ...

    def look(self, now: float) -> None:
        """End it, if it has been silent for too long at this moment of the event loop's clock."""
        ...

    def finish(self) -> None:
        """End it behind its next message, if it is a client's; at once, or behind the one under way, if not."""
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
    clients: Clients[OpenSession] = attrs.field(init=False)
    logins: FailedLogins = attrs.field(factory=lambda: FailedLogins(logger), init=False)
    changed: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    """Set when there may be room for a connection again."""
    connected: set[OpenSession] = attrs.field(factory=set, init=False)
    empty: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    """Set while nobody is connected."""
    stopping: bool = attrs.field(default=False, init=False)
    """Whether no message is taken any more."""
    _told: frozenset[str] = attrs.field(default=frozenset(), init=False)
    """Parameters that were dropped, and are in the log."""

    _converted: set[str] = attrs.field(factory=set, init=False)
    """Domains that were written in Punycode, and are in the log."""

    def __attrs_post_init__(self) -> None:
        self.storage = Storage(self.options.max_pending, self.options.max_size, self.relieve)
        self.clients = Clients(self.options.max_connections)
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
        for domain in sorted(transaction.converted - self._converted)[: MAX_CONVERTED - len(self._converted)]:
            self._converted.add(domain)
            logger.warning("the domain %r is written in Punycode for SES, which takes ASCII alone", domain[:253])
        return MailData(transaction, self.storage.place(transaction.size), self.options.max_size)

    def arrived(self, session: OpenSession) -> None:
        """A connection was accepted, and another one ends for it where there are too many."""
        if self.is_full:
            self.shed()
        self.connected.add(session)
        self.clients.arrived(session, session.host)
        self.empty.clear()

    def left(self, session: OpenSession) -> None:
        """A connection is no more."""
        if session in self.connected:
            self.connected.remove(session)
            self.clients.left(session)
            self.changed.set()
            if not self.connected:
                self.empty.set()

    def finish(self) -> None:
        """Let each connection of a client bring one more message at most, and end the others."""
        for session in list(self.connected):
            session.finish()

    def dismiss(self) -> None:
        """End all of them: at once, or when the message is answered that is held, or arrives."""
        for session in list(self.connected):
            session.dismiss(STOPPING)

    async def quiet(self, until: float) -> None:
        """Return when every session has been idle for a while, so that its client is not about to begin anything."""
        loop = asyncio.get_running_loop()
        while loop.time() < until and any(each.idle_for(loop.time()) < QUIET for each in self.connected):  # noqa: ASYNC110
            await asyncio.sleep(SOON)

    async def contents_ended(self) -> None:
        """Return when no content is on its way any more."""
        while any(each.awaits_content for each in self.connected):  # noqa: ASYNC110  # it is a condition of many
            await asyncio.sleep(SOON)

    async def watch(self) -> None:
        """End what has lasted too long, until cancelled."""
        loop, options = asyncio.get_running_loop(), self.options
        shortest = min(options.idle_timeout, options.login_timeout, options.content_timeout, options.patience)
        while True:
            await asyncio.sleep(min(LOOK_EVERY, shortest / 4))
            now = loop.time()
            for session in list(self.connected):
                session.look(now)
            self.relieve()
            # Somebody may have become idle.
            self.changed.set()

    # Who ends for others

    @property
    def is_full(self) -> bool:
        """Whether another connection has to end for the next one."""
        return len(self.clients) >= self.clients.most

    @property
    def takes_more(self) -> bool:
        """Whether the next connection can be accepted."""
        return not self.is_full or self._next_to_go() is not None

    def shed(self) -> bool:
        """End one session for a new one; returns whether there was one that could."""
        goes = self._next_to_go()
        if goes is None:
            return False
        self.clients.left(goes)
        goes.dismiss(CROWDED)
        return True

    def relieve(self) -> None:
        """End what blocks those that wait for a place, or for room: contents that come too slowly, or not at all."""
        places, large = self.storage.free.wanted, self.storage.large.wanted
        if not places and not large:
            return
        now = asyncio.get_running_loop().time()
        behind = {each: late for each in self.connected if (late := each.behind(now)) > BEHIND}
        slowest = sorted(behind, key=lambda each: -behind[each])
        too_many = len(slowest) - int(TOLERATED * self.storage.places)
        for each in slowest[: max(0, min(places, too_many))] + [each for each in slowest if each.is_large][:large]:
            each.dismiss(STALLED)

    def _next_to_go(self) -> OpenSession | None:
        unproven = self.clients.oldest_unproven()
        if unproven is not None:
            return unproven
        now = asyncio.get_running_loop().time()
        idle = [(seconds, each) for each in self.connected if (seconds := each.idle_for(now)) >= IDLE]
        return max(idle, key=lambda each: each[0])[1] if idle else None
