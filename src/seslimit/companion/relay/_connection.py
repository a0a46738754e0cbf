"""
One client's connection to the relay: how it begins, how long it lasts, and how it ends.

aiosmtpd gives it its shape. Must not know what is said (`_session`).

Invariants: the idle time runs only while the client is waited for; a message is answered exactly once, or its client
has gone; nothing is written into the beginning of TLS.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any, Final, cast

from aiosmtpd.smtp import SMTP, Session, TLSSetupException

from ._desk import Desk
from ._dialogue import HOST_NAME
from ._errand import Errand

logger = logging.getLogger("seslimit")

BUFFER: Final = 2**15
"""Bytes after which nothing more is read for now."""

READ: Final = 2**16
"""Bytes that are read from the socket at once, where asyncio lets itself be told."""

LINGER: Final = 5.0
"""Seconds for the last words to be read, after which the connection is cut."""


class _Login(Session):
    """aiosmtpd's state of a session, without the warning about an attribute that it sets itself at every login."""

    login_data: Any = None


class RelayConnection(SMTP):
    """
    One connection, for a conversation that `_converse` holds.

    Args:
        desk: what the connections of one relay share.
    """

    line_length_limit = BUFFER

    def __init__(self, desk: Desk, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        self._desk = desk
        self._options = desk.options
        self._wire: asyncio.WriteTransport | None = None
        self._errand: Errand | None = None
        self._congested = False
        self._idle_since: float | None = None
        self._content_since: float | None = None
        self._ended_at: float | None = None
        self._last_words: str | None = None
        super().__init__(
            object(),
            data_size_limit=self._options.max_size,
            hostname=HOST_NAME,
            tls_context=desk.tls_context,
            auth_require_tls=self._options.tls_required,
            loop=loop,
            **options,
        )

    async def _converse(self) -> None:
        raise NotImplementedError

    # Begin and end, as the client has it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the conversation, or go on with it over TLS."""
        if self._wire is None:
            # Not asked whether it is one: uvloop's do not derive from asyncio's.
            self._wire = cast("asyncio.WriteTransport", transport)
            with suppress(AttributeError):
                transport.max_size = READ  # type: ignore[attr-defined]
            self._desk.arrived(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """End the conversation; an attempt under way is not broken off."""
        # Not aiosmtpd's own, which would do that.
        if self._original_transport is not None:
            self._original_transport.close()
        asyncio.StreamReaderProtocol.connection_lost(self, error)
        self.transport = None
        self._desk.left(self)
        self._client_has_gone()

    def eof_received(self) -> bool | None:
        """Take the client's last word for its end: it would not wait for a reply if it closed because of a time-out."""
        self._client_has_gone()
        asyncio.StreamReaderProtocol.eof_received(self)
        return self._errand is not None and self.session is not None and self.session.ssl is None

    def _client_has_gone(self) -> None:
        if self._errand is not None:
            self._errand.abandon()
        elif self._handler_coroutine is not None:
            self._handler_coroutine.cancel()

    def _create_session(self) -> Session:
        return _Login(self.loop)

    def _reset_timeout(self, duration: float | None = None) -> None:
        # The desk looks at every connection once a second, which costs less than a timer for each command.
        pass

    # Ends that come from the relay

    def look(self, now: float) -> None:
        """End what has lasted too long; called about once a second."""
        options = self._options
        if self._ended_at is not None:
            if now - self._ended_at > LINGER:
                self.cut()
        elif self._errand is not None and now - self._errand.since > options.patience:
            self._errand.hurry()
        elif self._content_since is not None and now - self._content_since > options.content_timeout:
            self.dismiss("421 4.4.2 The content took too long to arrive; the message was not sent")
        elif self._idle_since is not None and now - self._idle_since > options.idle_timeout:
            self.dismiss("421 4.4.2 Timeout waiting for data from client")

    def dismiss(self, reply: str) -> None:
        """End the conversation with this reply; a message that is held is answered first, by whoever holds it."""
        self._last_words = self._last_words or reply
        if self._errand is not None:
            self._errand.dismiss()
        elif self._handler_coroutine is not None:
            self._handler_coroutine.cancel()

    def cut(self) -> None:
        """End the connection at once."""
        if self._wire is not None:
            self._wire.abort()

    @property
    def arrived(self) -> bool:
        """Whether the connection was ever there."""
        return self._wire is not None

    @property
    def conversation(self) -> asyncio.Task[None] | None:
        """The task that holds the conversation."""
        return self._handler_coroutine

    async def _handle_client(self) -> None:
        try:
            await self._converse()
        except asyncio.CancelledError:
            if self._last_words is None:
                raise
        except (ConnectionError, asyncio.IncompleteReadError):
            # A client that goes away in the middle is no error of the relay's.
            pass
        except TLSSetupException:
            # aiosmtpd hears of the end of a connection only where TLS has come about.
            self.cut()
            self._desk.left(self)
        except Exception:
            logger.exception("a conversation of the relay failed")
            self._last_words = "451 4.3.0 The relay failed; the message was not sent"
        finally:
            self._end()

    def _end(self) -> None:
        transport = cast("asyncio.WriteTransport | None", self.transport)
        self._ended_at = self.loop.time()
        if transport is None or transport.is_closing():
            return
        if self._tls_protocol is not None and (self.session is None or self.session.ssl is None):
            # TLS has begun and is not yet there: words would go out in clear, into the handshake.
            self.cut()
            self._desk.left(self)
            return
        if self._last_words is not None:
            transport.write(self._last_words.encode("ascii") + b"\r\n")
        transport.close()

    # Writing

    @property
    def _buffered(self) -> bool:
        return bool(self._reader._buffer)  # type: ignore[attr-defined]  # noqa: SLF001  # it has no such question

    def pause_writing(self) -> None:
        """Note that the client does not read what it is told."""
        self._congested = True
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that it does again."""
        self._congested = False
        super().resume_writing()

    async def push(self, status: Any) -> None:
        """Send a reply; a client that does not read it is idle."""
        self._say(status if isinstance(status, bytes) else status.encode("ascii"))
        if self._congested:
            await self._writer.drain()

    def _say(self, reply: bytes) -> None:
        if self.transport is None:
            raise ConnectionResetError
        cast("asyncio.WriteTransport", self.transport).write(reply + b"\r\n")
        self._idle_since = self.loop.time()
