"""
One client's connection to the relay: how it begins, how long it lasts, and how it ends.

Must not know what is said (`_session`), but carries it, in clear or over TLS.

A client's last word is not its end: it may say QUIT behind its message, close its side, and wait for the replies
(RFC 5321, 4.1.1.10; Exim does). It has gone when the connection is lost, or when what is written to it comes back.

Invariants: the idle time runs only while the client is waited for; a message is answered exactly once, or its client
has gone; nothing is written into the beginning of TLS.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from contextlib import suppress
from typing import Final, cast

from ..._inbox import EndOfInput, Inbox
from .._accepting import host_of
from ._held import HeldTransaction
from ._sessions import Sessions
from ._tls import Tls

logger = logging.getLogger("seslimit")

BUFFER: Final = 2**15
"""Bytes of a line after which its end is not waited for; after twice as many nothing more is read for now."""

READ: Final = 2**16
"""Bytes that are read from the socket at once, where asyncio lets itself be told."""

READ_UNPROVEN: Final = 2**12
"""The same for whoever has neither logged in nor begun a message: many connections that say much cost little."""

LINGER: Final = 5.0
"""Seconds for the last words to be read, after which the connection is cut."""

RETURNED: Final = 1.0
"""Seconds in which a reply to a client that is no longer there comes back: a way around the world and some more."""


class RelayConnection(asyncio.Protocol):
    """
    One connection, for a conversation that `_converse` holds.

    Args:
        sessions: what the connections of one relay share.
        loop: the event loop it runs on.
    """

    def __init__(self, sessions: Sessions, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._sessions = sessions
        self._options = sessions.options
        self._inbox = Inbox(BUFFER)
        self._wire: asyncio.Transport | None = None
        self._arrived_at = loop.time()
        self._proven = False
        """Whether it has logged in, or begun a message where no login is needed."""
        self._lost = False
        self._tls: Tls | None = None
        self._secured: asyncio.Future[None] | None = None
        self._conversation: asyncio.Task[None] | None = None
        self._held: HeldTransaction | None = None
        self._unheard: list[HeldTransaction] = []
        """Those that were answered after the client's last word."""
        self._awaits_place = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._idle_since: float | None = None
        self._content_since: float | None = None
        self._ended_at: float | None = None
        self._last_words: str | None = None

    async def _converse(self) -> None:
        raise NotImplementedError

    @property
    def awaits_content(self) -> bool:
        """Whether the client has the go-ahead, and its content is not there, or not taken up yet."""
        raise NotImplementedError

    def idle_for(self, now: float) -> float:
        """Seconds since the last word between two transactions; 0 in the middle of anything."""
        raise NotImplementedError

    def finish(self) -> None:
        """End it behind its next message, if it is a client's; at once, or behind the one under way, if not."""
        raise NotImplementedError

    def behind(self, now: float) -> float:
        """Seconds that the content is behind: without a byte of it, or behind the slowest pace."""
        raise NotImplementedError

    @property
    def is_large(self) -> bool:
        """Whether the content has more room than the others."""
        raise NotImplementedError

    def _heard(self, data: bytes) -> None:
        self._inbox.feed(data)

    # Begin and end, as the client has it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the conversation."""
        # Not asked whether it is one: uvloop's do not derive from asyncio's.
        self._wire = cast("asyncio.Transport", transport)
        self._read_at_once(READ_UNPROVEN)
        self._inbox.source = self._wire
        self._sessions.arrived(self)
        if self._options.tls_implicit and self._sessions.tls_context is not None:
            self._start_tls(self._sessions.tls_context)
        self._conversation = self.loop.create_task(self._handle_client())

    @property
    def host(self) -> str:
        """Where the client is; empty where it has no address."""
        return "" if self._wire is None else host_of(self._wire.get_extra_info("peername"))

    def _prove(self) -> None:
        """It is a client, and not somebody who occupies a connection."""
        self._proven = True
        self._sessions.clients.proved(self)
        self._read_at_once(READ)

    def _read_at_once(self, size: int) -> None:
        with suppress(AttributeError):
            self._wire.max_size = size  # type: ignore[union-attr]

    def data_received(self, data: bytes) -> None:
        """Take what the client says, out of TLS where that has begun."""
        if self._tls is None:
            self._heard(data)
            return
        try:
            plain = self._tls.receive(data)
        except ssl.SSLError:
            # What is wrong is told in an alert.
            self._flush(self._tls)
            self.cut()
            return
        self._flush(self._tls)
        if self._secured is not None and self._tls.established and not self._secured.done():
            self._secured.set_result(None)
        if plain:
            self._heard(plain)
        if self._tls.ended:
            self.eof_received()

    def eof_received(self) -> bool:
        """Go on with what was said before it, and answer: whoever says no more may still listen."""
        self._inbox.end()
        if self._tls is not None and not self._tls.established:
            self.cut()
        elif self._held is not None:
            self._held.said_last_word()
        elif self._awaits_place and self._inbox.is_empty and self._conversation is not None:
            # What it would have a place for cannot come any more.
            self._conversation.cancel()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """End the conversation; an attempt under way is not broken off."""
        self._lost = True
        self._inbox.end()
        self._writable.set()
        self._sessions.left(self)
        if exc is not None:
            self._was_not_heard()
        if self._held is not None:
            self._held.abandon()
        elif self._conversation is not None:
            self._conversation.cancel()

    @property
    def _came_back(self) -> bool:
        """Whether what was written after the client's last word was sent back: nobody is there any more."""
        connected: socket.socket | None = None if self._wire is None else self._wire.get_extra_info("socket")
        return connected is not None and connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def _was_not_heard(self) -> None:
        """The client may come back with what was answered last, and must not get it twice."""
        for held in self._unheard:
            self._sessions.handover.was_not_heard(held)
        self._unheard.clear()

    # Ends that come from the relay

    def look(self, now: float) -> None:
        """End what has lasted too long; called about once a second."""
        options = self._options
        if self._ended_at is not None:
            if now - self._ended_at > LINGER:
                self.cut()
        elif self._held is not None:
            if now - self._held.since > options.patience:
                self._held.hurry()
        elif not self._proven and now - self._arrived_at > options.login_timeout:
            self.dismiss("421 4.4.2 Nothing was begun in time")
        elif self._content_since is not None and now - self._content_since > options.content_timeout:
            self.dismiss("421 4.4.2 The content took too long to arrive; the message was not sent")
        elif self._idle_since is not None and now - self._idle_since > options.idle_timeout:
            self.dismiss("421 4.4.2 Timeout waiting for data from client")

    def _close_when_heard(self) -> None:
        """By now the last reply has been heard, or has come back."""
        if self._lost or self._wire is None:
            return
        if self._came_back:
            self._was_not_heard()
            self.cut()
        else:
            self._unheard.clear()
            self._wire.close()

    def dismiss(self, reply: str) -> None:
        """End the conversation with this reply; a message that is held is answered first, by whoever holds it."""
        self._last_words = self._last_words or reply
        if self._held is not None:
            self._held.finish()
        elif self._conversation is not None:
            self._conversation.cancel()

    def cut(self) -> None:
        """End the connection at once."""
        if self._wire is not None:
            self._wire.abort()

    @property
    def conversation(self) -> asyncio.Task[None] | None:
        """The task that holds the conversation."""
        return self._conversation

    async def _handle_client(self) -> None:
        try:
            if self._secured is not None:
                await self._tls_is_there(self._secured)
            await self._converse()
        except asyncio.CancelledError:
            if self._last_words is None:
                raise
        except (ConnectionError, EndOfInput):
            # A client that goes away in the middle is no error of the relay's.
            pass
        except Exception:
            logger.exception("a conversation of the relay failed")
            self._last_words = "451 4.3.0 The relay failed; the message was not sent"
        finally:
            self._end()

    def _start_tls(self, context: ssl.SSLContext) -> asyncio.Future[None]:
        """Take what comes next as the beginning of TLS; the future is done when it has come about."""
        self._tls = Tls(context)
        self._secured = self.loop.create_future()
        return self._secured

    async def _tls_is_there(self, secured: asyncio.Future[None]) -> None:
        """Return when TLS has come about; a connection on which it does not is cut."""
        self._idle_since = self.loop.time()
        await secured
        self._idle_since = None

    def _end(self) -> None:
        self._ended_at = self.loop.time()
        if self._wire is None or self._lost or self._wire.is_closing():
            return
        if self._tls is not None and not self._tls.established:
            # TLS has begun and is not yet there: words would go out in clear, into the handshake.
            self.cut()
            return
        if self._last_words is not None:
            self._write(self._last_words.encode("ascii") + b"\r\n")
        if self._tls is not None:
            self._tls.end()
            self._flush(self._tls)
        if self._unheard:
            # Not closed yet, or it would never be known whether the last reply came back.
            with suppress(OSError):
                self._wire.write_eof()
            self.loop.call_later(RETURNED, self._close_when_heard)
        else:
            self._wire.close()

    # Writing

    def pause_writing(self) -> None:
        """Note that the client does not read what it is told."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Note that it does again."""
        self._writable.set()

    async def push(self, reply: str) -> None:
        """Send a reply; a client that does not read it is idle."""
        self._say(reply)
        if not self._writable.is_set():
            await self._writable.wait()

    def _say(self, reply: str) -> None:
        if self._lost:
            raise ConnectionResetError
        self._write(reply.encode("ascii") + b"\r\n")
        self._idle_since = self.loop.time()

    def _write(self, data: bytes) -> None:
        if self._tls is None:
            cast("asyncio.Transport", self._wire).write(data)
        else:
            self._tls.send(data)
            self._flush(self._tls)

    def _flush(self, tls: Tls) -> None:
        data = tls.outgoing()
        if data and self._wire is not None and not self._lost:
            self._wire.write(data)
