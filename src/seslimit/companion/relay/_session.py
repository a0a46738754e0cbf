"""
One client's conversation with the relay.

aiosmtpd does AUTH and STARTTLS, and gives the connection its shape. Decides how much is read and for how long. What may
be said, and in which order, is in `_dialogue`; what becomes of a message, in `_handover`.

Invariants: a content ends with CRLF.CRLF and with nothing else; nothing that came before TLS is read after it; the idle
time runs only while the client is waited for; a message is answered exactly once, or its client has gone.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from contextlib import suppress
from typing import Any, Final

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword, Session, TLSSetupException

from ..._smtp_content import Content
from ._desk import Desk
from ._dialogue import HOST_NAME, TOO_LONG, Command, Dialogue, Transaction
from ._envelope import too_long
from ._handover import Errand
from ._replies import STOPPING, Refused
from ._room import OutOfRoom, Place

logger = logging.getLogger("seslimit")

BUFFER: Final = 2**15
"""Bytes after which nothing more is read for now."""

READ: Final = 2**16
"""Bytes that are read from the socket at once, where asyncio lets itself be told."""

CHUNK: Final = 2**22
"""More than the reader can hold, so that one `read` empties it."""

LINGER: Final = 5.0
"""Seconds for the last words to be read, after which the connection is cut."""

_AT_ONCE: Final = frozenset({b"MAIL", b"RCPT"})
"""Commands that every message has and that need no waiting."""


class _Login(Session):
    """aiosmtpd's state of a session, without the warning about an attribute that it sets itself at every login."""

    login_data: Any = None


class RelaySession(SMTP):
    """
    One connection.

    Args:
        desk: what the sessions of one relay share.
    """

    line_length_limit = BUFFER
    AuthLoginUsernameChallenge = "Username:"
    AuthLoginPasswordChallenge = "Password:"

    def __init__(self, desk: Desk, loop: asyncio.AbstractEventLoop) -> None:
        self._desk = desk
        self._options = desk.options
        self._dialogue = Dialogue(desk.options, desk.tls_context is not None)
        self._wire: asyncio.BaseTransport | None = None
        self._errand: Errand | None = None
        self._awaits_command = False
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
            authenticator=self._authenticate_login,
            loop=loop,
        )

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the conversation, or go on with it over TLS."""
        if self._wire is None:
            self._wire = transport
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

    # Ends that come from outside

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
        if self._errand is None and self._handler_coroutine is not None:
            self._handler_coroutine.cancel()

    def cut(self) -> None:
        """End the connection at once."""
        if isinstance(self._wire, asyncio.WriteTransport):
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
        transport, self._ended_at = self.transport, self.loop.time()
        if not isinstance(transport, asyncio.WriteTransport) or transport.is_closing():
            return
        if self._tls_protocol is not None and (self.session is None or self.session.ssl is None):
            # TLS has begun and is not yet there: words would go out in clear, into the handshake.
            self.cut()
            self._desk.left(self)
            return
        if self._last_words is not None:
            transport.write(self._last_words.encode("ascii") + b"\r\n")
        transport.close()

    # Commands in, replies out

    def data_received(self, data: bytes) -> None:
        """Answer where it arrives what needs no waiting: to wake the conversation for it costs as much again."""
        if (
            self._awaits_command
            and data[:4].upper() in _AT_ONCE
            and data.find(b"\n") == len(data) - 1
            and not (self._congested or self._buffered or self._last_words)
        ):
            with suppress(Refused):
                self._writer.write(f"{self._dialogue.answer(data)}\r\n".encode("ascii"))
                self._idle_since = self.loop.time()
                return
        # Refused, it is answered there, once more and for good.
        super().data_received(data)

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
        data: bytes = status if isinstance(status, bytes) else status.encode("ascii")
        self._idle_since = self.loop.time()
        self._writer.write(data + b"\r\n")
        await self._writer.drain()

    async def _converse(self) -> None:
        if self._desk.stopping:
            self._last_words = STOPPING
            return
        await self.push(f"220 {HOST_NAME} ESMTP")
        while self._last_words is None:
            line = await self._read_line()
            try:
                answer = self._dialogue.answer(line)
                if isinstance(answer, str):
                    await self.push(answer)
                else:
                    await self._carry_out(answer)
            except Refused as refused:
                self._dialogue.errors += 1
                await self.push(refused.reply)
                if refused.last:
                    return
            self._last_words = self._last_words or self._dialogue.enough

    async def _read_line(self) -> bytes:
        self._idle_since = self.loop.time()
        self._awaits_command = True
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            # Where this line ends is nothing to wait for.
            self._last_words = TOO_LONG
            raise ConnectionResetError from None
        finally:
            self._awaits_command = False
            self._idle_since = None

    async def _carry_out(self, command: Command) -> None:
        match command.name:
            case b"DATA":
                await self._data(command.argument)
            case b"AUTH":
                await self._auth(command.argument)
            case b"STARTTLS":
                await self._starttls(command.argument)
            case _:
                self._last_words = "221 2.0.0 Bye"

    # Commands that take time

    async def _starttls(self, argument: str) -> None:
        self._dialogue.check_tls(argument)
        if self._buffered:
            # It was not said over TLS, and would be taken as if it were.
            raise Refused("554 5.7.0 Commands after STARTTLS, before TLS", last=True)
        await super().smtp_STARTTLS("")
        self._dialogue.now_secure()

    async def _auth(self, argument: str) -> None:
        self._dialogue.check_login()
        session: Any = self.session
        session.host_name, session.extended_smtp = "client", self._dialogue.extended
        mechanism, *initial = argument.split()[:3] or [""]
        try:
            await super().smtp_AUTH(" ".join([mechanism.upper(), *initial]))
        except ValueError:
            raise Refused(TOO_LONG, last=True) from None
        finally:
            self._dialogue.authenticated = bool(session.authenticated)
            self._dialogue.errors += not session.authenticated

    def _authenticate_login(
        self, server: Any, session: Any, envelope: Any, mechanism: str, login: LoginPassword
    ) -> AuthResult:
        user, password = ((word or "").encode() for word in (self._options.user, self._options.password))
        right = hmac.compare_digest(login.login, user) & hmac.compare_digest(login.password, password)
        return AuthResult(success=bool(right), handled=False)

    async def _data(self, argument: str) -> None:
        transaction = self._dialogue.begin_content(argument)
        async with self._desk.room.place(transaction.size) as place:
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            reply = await self._hand_over(transaction, await self._read_content(place))
        if reply.startswith("421"):
            self._last_words = reply
        else:
            await self.push(reply)

    async def _hand_over(self, transaction: Transaction, content: bytes) -> str:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # for the type checkers
        self._errand = errand = Errand(task, self.loop.time())
        try:
            return await self._desk.handover.take(transaction.mail_from, transaction.recipients, content, errand)
        finally:
            self._errand = None

    async def _read_content(self, place: Place) -> bytes:
        """
        The content up to its final dot.

        Raises:
            Refused: it is too long; what came of it was passed over.
        """
        content = Content(self._options.max_size)
        lied = False
        self._content_since = self.loop.time()
        while not content.ended:
            await self._read_more(content)
            if not content.too_long and not place.fits(content.size):
                self._content_since = None
                try:
                    await place.grow()
                except OutOfRoom:
                    lied = True
                    content.limit = 0
                self._content_since = self.loop.time()
        self._content_since = None
        if lied:
            raise Refused("552 5.3.4 The message is longer than its SIZE said")
        if content.too_long:
            raise too_long(self._options.max_size)
        return content.unstuffed()

    async def _read_more(self, content: Content) -> None:
        self._idle_since = self.loop.time()
        chunk = await self._reader.read(CHUNK)
        self._idle_since = None
        if not chunk:
            raise ConnectionResetError
        content.feed(chunk)
        if content.rest:
            self._reader.feed_data(content.rest)
        if content.size > 2 * self._options.max_size:
            refused = too_long(self._options.max_size)
            refused.last = True
            raise refused
