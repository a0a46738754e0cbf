"""
One client's conversation with the relay.

aiosmtpd does AUTH and STARTTLS, and gives the connection its shape. Reading and deciding commands is done here: what is
a command, in which order, how much of it and for how long. What an address is, is in `_relay_envelope`; what becomes of
a message, in `_relay_handover`.

Invariants: a content ends with CRLF.CRLF and with nothing else; nothing that came before TLS is read after it; the idle
time runs only while the client is waited for; a message is answered exactly once, or its client has gone.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import attrs
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword, Session, TLSSetupException

from .._smtp_content import Content
from ._relay_desk import Desk
from ._relay_envelope import ReversePath, forward_path, reverse_path, too_long
from ._relay_handover import Errand
from ._relay_replies import STOPPING, Refused
from ._relay_room import OutOfRoom, Place

logger = logging.getLogger("seslimit")

HOST_NAME: Final = "seslimit-relay"
"""Not the machine's own name: a mail server that is greeted with its own name believes to talk to itself."""

COMMAND_LENGTH: Final = 4096
"""Bytes of one command; the longest legal addresses fit."""

BUFFER: Final = 2**15
"""Bytes after which nothing more is read for now."""

READ: Final = 2**16
"""Bytes that are read from the socket at once, where asyncio lets itself be told."""

CHUNK: Final = 2**22
"""More than the reader can hold, so that one `read` empties it."""

MAX_ERRORS: Final = 20
"""Commands that may be refused in one connection."""

MAX_IDLE_COMMANDS: Final = 100
"""Commands in a row that come to nothing: more than any client needs between two messages."""

LINGER: Final = 5.0
"""Seconds for the last words to be read, after which the connection is cut."""

_BEFORE_TLS: Final = frozenset({b"EHLO", b"HELO", b"STARTTLS", b"NOOP", b"RSET", b"QUIT"})
_IDLE: Final = frozenset({b"EHLO", b"HELO", b"NOOP", b"RSET", b"VRFY", b"HELP"})
_HTTP: Final = frozenset({b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"PATCH", b"DELETE", b"CONNECT"})
"""What a browser begins with. A page that somebody visits can make it talk to this machine, and would otherwise send
mail through the lines of its request."""


class _Login(Session):
    """aiosmtpd's state of a session, without the warning about an attribute that it sets itself at every login."""

    login_data: Any = None


@attrs.define
class _Transaction:
    path: ReversePath
    recipients: list[str] = attrs.field(factory=list)


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
        self._tls_required = desk.options.tls_required
        self._wire: asyncio.BaseTransport | None = None
        self._transaction: _Transaction | None = None
        self._errand: Errand | None = None
        self._errors = 0
        self._idle_commands = 0
        self._idle_since: float | None = None
        self._content_since: float | None = None
        self._ended_at: float | None = None
        self._last_words: str | None = None
        self._commands: dict[bytes, Callable[[str], Awaitable[None]]] = {
            b"EHLO": self._ehlo,
            b"HELO": self._helo,
            b"STARTTLS": self._starttls,
            b"AUTH": self._auth,
            b"MAIL": self._mail,
            b"RCPT": self._rcpt,
            b"DATA": self._data,
            b"RSET": self._rset,
            b"NOOP": self._noop,
            b"VRFY": self._vrfy,
            b"HELP": self._help,
            b"QUIT": self._quit,
        }
        super().__init__(
            object(),
            data_size_limit=self._options.max_size,
            hostname=HOST_NAME,
            tls_context=desk.tls_context,
            auth_require_tls=self._tls_required,
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

    def _set_rset_state(self) -> None:
        self._transaction = None
        super()._set_rset_state()  # type: ignore[no-untyped-call]

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

    async def _converse(self) -> None:
        if self._desk.stopping:
            self._last_words = STOPPING
            return
        await self.push(f"220 {HOST_NAME} ESMTP")
        while self._last_words is None:
            line = await self._read_line()
            try:
                await self._step(line)
            except Refused as refused:
                self._errors += 1
                await self.push(refused.reply)
                if refused.last:
                    return
            if self._errors > MAX_ERRORS:
                self._last_words = "421 4.7.0 Too many errors"
            elif self._idle_commands > MAX_IDLE_COMMANDS:
                self._last_words = "421 4.7.0 Too many commands without a message"

    async def _read_line(self) -> bytes:
        self._idle_since = self.loop.time()
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            # Where this line ends is nothing to wait for.
            self._last_words = "500 5.5.2 Line too long"
            raise ConnectionResetError from None
        finally:
            self._idle_since = None

    async def _step(self, line: bytes) -> None:
        word, _, rest = line.rstrip(b"\r\n").partition(b" ")
        name = word.upper()
        if len(line) > COMMAND_LENGTH:
            raise Refused("500 5.5.2 Line too long")
        if name in _HTTP or name.endswith(b":"):
            raise Refused("421 4.7.0 This is no HTTP server", last=True)
        command = self._commands.get(name)
        if command is None:
            raise Refused("500 5.5.2 Command not recognized")
        if self._tls_required and self._tls_protocol is None and name not in _BEFORE_TLS:
            raise Refused("530 5.7.0 Must issue a STARTTLS command first")
        if name in _IDLE:
            self._idle_commands += 1
        try:
            argument = rest.decode("ascii").strip()
        except UnicodeDecodeError:
            raise Refused("553 5.6.7 SES takes ASCII addresses only: write domains in Punycode (xn--)") from None
        await command(argument)

    async def push(self, status: Any) -> None:
        """Send a reply; a client that does not read it is idle."""
        data: bytes = status if isinstance(status, bytes) else status.encode("ascii")
        self._idle_since = self.loop.time()
        self._writer.write(data + b"\r\n")
        await self._writer.drain()

    # Commands

    async def _hello(self, argument: str, *, extended: bool) -> None:
        if not argument:
            raise Refused("501 5.5.4 Syntax: EHLO hostname")
        self._transaction = None
        session: Any = self.session
        session.extended_smtp = extended
        session.host_name = argument
        lines = [HOST_NAME]
        if extended:
            lines += ["8BITMIME", f"SIZE {self._options.max_size}", "PIPELINING"]
            if self.tls_context and self._tls_protocol is None:
                lines.append("STARTTLS")
            if self._options.user and not (self._tls_required and self._tls_protocol is None):
                lines.append("AUTH PLAIN LOGIN")
        last = len(lines) - 1
        await self.push("\r\n".join(f"250{' ' if at == last else '-'}{line}" for at, line in enumerate(lines)))

    async def _ehlo(self, argument: str) -> None:
        await self._hello(argument, extended=True)

    async def _helo(self, argument: str) -> None:
        await self._hello(argument, extended=False)

    async def _starttls(self, argument: str) -> None:
        if argument:
            raise Refused("501 5.5.4 Syntax: STARTTLS")
        if self.tls_context is None or self._tls_protocol is not None:
            raise Refused("503 5.5.1 TLS is not offered here, or is there already")
        if self._buffered:
            # It was not said over TLS, and would be taken as if it were.
            raise Refused("554 5.7.0 Commands after STARTTLS, before TLS", last=True)
        await super().smtp_STARTTLS("")

    @property
    def _buffered(self) -> bool:
        return bool(self._reader._buffer)  # type: ignore[attr-defined]  # noqa: SLF001  # StreamReader has no such question

    async def _auth(self, argument: str) -> None:
        session: Any = self.session
        if not self._options.user:
            raise Refused("503 5.5.1 There is no login here")
        mechanism, *initial = argument.split()[:3] or [""]
        try:
            await super().smtp_AUTH(" ".join([mechanism.upper(), *initial]))
        except ValueError:
            raise Refused("500 5.5.2 Line too long", last=True) from None
        finally:
            self._errors += not session.authenticated

    def _authenticate_login(
        self, server: Any, session: Any, envelope: Any, mechanism: str, login: LoginPassword
    ) -> AuthResult:
        user, password = ((word or "").encode() for word in (self._options.user, self._options.password))
        right = hmac.compare_digest(login.login, user) & hmac.compare_digest(login.password, password)
        return AuthResult(success=bool(right), handled=False)

    async def _mail(self, argument: str) -> None:
        session: Any = self.session
        if not session.host_name:
            raise Refused("503 5.5.1 Send EHLO first")
        if self._options.user and not session.authenticated:
            raise Refused("530 5.7.0 Authentication required")
        if self._transaction is not None:
            raise Refused("503 5.5.1 Sender already specified")
        self._transaction = _Transaction(reverse_path(argument, self._options.max_size))
        await self.push("250 2.1.0 Ok")

    async def _rcpt(self, argument: str) -> None:
        if self._transaction is None:
            raise Refused("503 5.5.1 Send MAIL first")
        recipient = forward_path(argument)
        if len(self._transaction.recipients) >= self._options.max_recipients:
            await self.push("452 4.5.3 Too many recipients: send to the others in another transaction")
            return
        self._transaction.recipients.append(recipient)
        await self.push("250 2.1.5 Ok")

    async def _data(self, argument: str) -> None:
        if argument:
            raise Refused("501 5.5.4 Syntax: DATA")
        if self._transaction is None or not self._transaction.recipients:
            raise Refused("503 5.5.1 Send MAIL and RCPT first")
        transaction, self._transaction = self._transaction, None
        async with self._desk.room.place(transaction.path.size) as place:
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            reply = await self._hand_over(transaction, await self._read_content(place))
        if reply.startswith("421"):
            self._last_words = reply
        else:
            await self.push(reply)

    async def _hand_over(self, transaction: _Transaction, content: bytes) -> str:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # for the type checkers
        self._errand = errand = Errand(task, self.loop.time())
        self._idle_commands = 0
        try:
            return await self._desk.handover.take(transaction.path.address, transaction.recipients, content, errand)
        finally:
            self._errand = None

    async def _read_content(self, place: Place) -> bytes:
        """
        The content up to its final dot.

        Raises:
            Refused: it is too long; what came of it was passed over.
        """
        limit = self._options.max_size
        content = Content(limit)
        refusal = too_long(limit)
        self._content_since = self.loop.time()
        while not content.ended:
            self._idle_since = self.loop.time()
            chunk = await self._reader.read(CHUNK)
            self._idle_since = None
            if not chunk:
                raise ConnectionResetError
            content.feed(chunk)
            if content.rest:
                self._reader.feed_data(content.rest)
            if content.size > 2 * limit:
                raise Refused(refusal.reply, last=True)
            if not content.too_long and not place.fits(content.size):
                self._content_since = None
                try:
                    await place.grow()
                except OutOfRoom:
                    refusal = Refused("552 5.3.4 The message is longer than its SIZE said")
                    content.limit = 0
                self._content_since = self.loop.time()
        self._content_since = None
        if content.too_long:
            raise refusal
        return content.unstuffed()

    async def _rset(self, argument: str) -> None:
        self._transaction = None
        await self.push("250 2.0.0 Ok")

    async def _noop(self, argument: str) -> None:
        await self.push("250 2.0.0 Ok")

    async def _vrfy(self, argument: str) -> None:
        await self.push("252 2.5.0 SES knows when it has the message")

    async def _help(self, argument: str) -> None:
        await self.push("214 2.0.0 MAIL, RCPT and DATA: the reply comes when SES has accepted the message")

    async def _quit(self, argument: str) -> None:
        self._last_words = "221 2.0.0 Bye"
