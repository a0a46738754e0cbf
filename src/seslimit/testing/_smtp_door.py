"""
The SMTP door: aiosmtpd's session, in the words and with the habits of the service.

aiosmtpd reads commands, checks their order, does AUTH and STARTTLS. Added here: the service's texts (a table), what it
decides at the final dot, its session rules, faults and latency. Every reply leaves through `push`, every command enters
through `_step`, so that a fault can strike each stage before or after its decision.

Invariants: a message is decided when its final dot has arrived, before the reply's latency; the idle time runs only
while the door waits for the client.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, cast

import attrs
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session, TLSSetupException, syntax

from .._dialogue.content import Content
from ._account import Verdict
from ._faults import End, Fault, Stage
from ._ledger import Submission
from ._refusals import MISSING_DOMAIN, address_refusal, content_refusal
from ._rules import SMTPRules
from ._service import MAX_RECIPIENTS, Service
from ._texts import REFUSED, SMTPText

HOST_NAME: Final = "email-smtp.amazonaws.com"
GREETING: Final = "ESMTP SimpleEmailService-d-SESLIMIT simulator"

BACKLOG: Final = 1024
"""Connections that may wait to be taken up: a client that opens hundreds at once must not wait for SYN retries."""

COMMAND_LENGTH: Final = 4096
"""Bytes of one command; the service's own limit is not documented, and addresses of the longest legal form must fit."""

BUFFER: Final = 2**16
"""Bytes after which the reader pauses; also above aiosmtpd's 1,001, so that it does not pause in every message."""

CHUNK: Final = 2**22
"""More than the reader can hold, so that one `read` empties it."""

_ADDRESS: Final = re.compile(r'<((?:"(?:\\.|[^"\\])*"@)?[^<>\s"]*)>(?:\s(.*))?', re.DOTALL)

WORDS: Final[dict[str, str]] = {
    "250 OK": SMTPText.OK,
    "334 ": "334 Ok",
    "235 2.7.0 Authentication successful": SMTPText.AUTHENTICATED,
    "501 Syntax: MAIL FROM: <address> [SP <mail-parameters>]": SMTPText.INVALID_MAIL_FROM,
    "501 Syntax: MAIL FROM: <address>": SMTPText.INVALID_MAIL_FROM,
    "503 Error: nested MAIL command": SMTPText.ALREADY_SPECIFIED,
    "530 5.7.0 Authentication required": SMTPText.AUTH_REQUIRED,
    "535 5.7.8 Authentication credentials invalid": SMTPText.CREDENTIALS_INVALID,
    "552 Error: message size exceeds fixed maximum message size": SMTPText.TOO_LONG,
}
"""aiosmtpd's reply → the service's."""

VERDICTS: Final[dict[Verdict, str]] = {
    Verdict.RATE_EXCEEDED: SMTPText.RATE_EXCEEDED,
    Verdict.QUOTA_EXCEEDED: SMTPText.QUOTA_EXCEEDED,
}

_Method = Callable[[str | None], Awaitable[None]]


@attrs.define(eq=False)
class SMTPDoor:
    """
    Listens for SMTP and hands what arrives to the service.

    Args:
        service: decides.
        rules: how sessions are treated.
    """

    service: Service
    rules: SMTPRules
    port: int = attrs.field(default=0, init=False)
    sessions: set[_Session] = attrs.field(factory=set, init=False)
    turned_away: set[_Session] = attrs.field(factory=set, init=False)
    _server: asyncio.Server | None = attrs.field(default=None, init=False)

    async def open(self, host: str, port: int) -> None:
        """Listen on `host` and `port`; 0 takes a free port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Session(self, loop),
            host,
            port,
            backlog=BACKLOG,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and break every session off."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        ending = [task for session in self.sessions | self.turned_away for task in session.break_off()]
        await asyncio.gather(*ending, return_exceptions=True)
        await server.wait_closed()


class _Login(Session):
    """aiosmtpd's state of a session, without the warning about an attribute that it sets itself at every login."""

    @property
    def login_data(self) -> Any:
        """Unused here; aiosmtpd sets it."""
        return self._login_data

    @login_data.setter
    def login_data(self, value: Any) -> None:
        self._login_data = value


class _Session(SMTP):
    """One connection."""

    line_length_limit = BUFFER
    AuthLoginUsernameChallenge = "Username:"
    AuthLoginPasswordChallenge = "Password:"

    def __init__(self, door: SMTPDoor, loop: asyncio.AbstractEventLoop) -> None:
        self._door = door
        self._rules = door.rules
        self._idle_since: float | None = None
        self._fault: Fault | None = None
        self._stage: Stage | None = Stage.CONNECT
        self._argument: str | None = None
        self._messages = 0
        self._mute = False
        super().__init__(
            object(),
            data_size_limit=self._rules.max_size,
            hostname=HOST_NAME,
            ident=GREETING,
            tls_context=self._rules.ssl_context,
            require_starttls=self._rules.tls == "starttls",
            auth_require_tls=False,
            authenticator=self._authenticate_login,
            # Only so that what is not ASCII comes to the address, and is refused in its words; EHLO does not offer it.
            enable_SMTPUTF8=True,
            timeout=self._rules.idle_timeout,
            loop=loop,
        )
        self.command_size_limits = defaultdict(lambda: COMMAND_LENGTH)
        # Given to the constructor it would warn about logins without TLS, which is what a simulator on loopback is for.
        self._auth_required = self._rules.auth_required
        self._smtp_methods = {name: partial(self._step, name, method) for name, method in self._smtp_methods.items()}

    def _create_session(self) -> Session:
        return _Login(self.loop)

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # More at once, and the system maps and unmaps memory for every read.
        with suppress(AttributeError):
            transport.max_size = BUFFER  # type: ignore[attr-defined]
        super().connection_made(transport)
        self._door.sessions.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._forget()
        super().connection_lost(error)

    def break_off(self) -> list[asyncio.Task[None]]:
        """End the connection at once, and return the task that then ends; none where it has ended already."""
        self._end(End.CUT)
        task = self._handler_coroutine
        if task is None:
            return []
        task.cancel()
        return [task]

    def _forget(self) -> None:
        self._door.sessions.discard(self)
        self._door.turned_away.discard(self)

    async def _handle_client(self) -> None:
        # A client that goes away in the middle is no error of the simulator's.
        with suppress(ConnectionResetError):
            await self._receive()

    async def _receive(self) -> None:
        limit = self._rules.max_connections
        self._door.service.ledger.counts.smtp_connections += 1
        refused = limit is not None and len(self._door.sessions) > limit
        if refused:
            # It leaves the count before it is told, or those who are turned away would keep others out.
            self._door.sessions.discard(self)
            self._door.turned_away.add(self)
        if self._rules.tls == "implicit":
            # The handshake of STARTTLS without its words, and not the server's own: so a connection that never shakes
            # hands is a session too, which idles and can be broken off.
            self._mute = True
            await self.smtp_STARTTLS(None)
            self._mute = False
        if refused:
            await self.push(SMTPText.TOO_MANY_CONNECTIONS)
            self._end(End.CLOSE)
            return
        self._fault = self._draw(Stage.CONNECT)
        await super()._handle_client()

    def _end(self, end: End) -> None:
        # Not asked whether it is one: uvloop's do not derive from asyncio's.
        transport = cast("asyncio.WriteTransport | None", self.transport)
        if transport is None or end is End.KEEP:
            return
        if end is End.CLOSE:
            transport.close()
            return
        if end is End.RESET:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    # Idle time: one timer a connection that looks at a note, instead of one timer a command

    def _reset_timeout(self, duration: float | None = None) -> None:
        self._idle_since = self.loop.time()
        if self._timeout_handle is None:
            self._timeout_handle = self.loop.call_later(self._rules.idle_timeout, self._timeout_cb)

    def _timeout_cb(self) -> None:
        idle = 0.0 if self._idle_since is None else self.loop.time() - self._idle_since
        if self.transport is None or self.transport.is_closing():
            return
        if idle < self._rules.idle_timeout:
            self._timeout_handle = self.loop.call_later(self._rules.idle_timeout - idle, self._timeout_cb)
            return
        if not self._shaking_hands:
            self._writer.write(SMTPText.IDLE.encode() + b"\r\n")
        self._end(End.CLOSE)

    @property
    def _shaking_hands(self) -> bool:
        """Whether TLS has begun and is not yet there: words would go out in clear, into the handshake."""
        return self._tls_protocol is not None and (self.session is None or self.session.ssl is None)

    # Commands in, replies out

    def _draw(self, stage: Stage | None) -> Fault | None:
        return None if stage is None else self._door.service.faults.draw(stage)

    async def _step(self, command: str, method: _Method, argument: str | None) -> None:
        if self.transport is None or self.transport.is_closing():
            raise ConnectionResetError
        self._idle_since = None
        self._argument = argument
        self._stage = _STAGES.get(command)
        fault = self._draw(self._stage)
        if await self._struck_before(fault):
            return
        if self._capped(command):
            await self.push(SMTPText.SESSION_CAP)
            self._end(End.CLOSE)
            return
        await method(argument)
        self._fault = None

    async def _struck_before(self, fault: Fault | None) -> bool:
        """Carry out a fault that comes before the decision, or keep it; True where no decision follows."""
        if fault is None:
            return False
        if fault.decided:
            self._fault = fault
            return False
        if fault.replaces:
            await asyncio.sleep(self._door.service.wait())
        return await self._strike(fault)

    async def _strike(self, fault: Fault) -> bool:
        self._idle_since = None
        await asyncio.sleep(fault.delay)
        if data := fault.wire():
            self._writer.write(data)
        self._end(fault.end)
        if fault.replaces and not fault.silent:
            self._idle_since = self.loop.time()
        return fault.replaces

    async def push(self, status: Any) -> None:
        """Send a reply, in the service's words, after the latency, unless a fault strikes it."""
        if self._mute:
            return
        self._idle_since = None
        text: str = status.decode("ascii", "replace") if isinstance(status, bytes) else status
        text = WORDS.get(text, text)
        if text == "553 5.1.3 Error: malformed address":
            what = "Invalid email address" if self._stage is Stage.MAIL else "address unknown"
            address = (self._argument or "").partition(":")[2].strip().lstrip("<").partition(">")[0]
            address = address.encode("ascii", "replace").decode()
            text = f"553 <{address}> {what}"
        if wait := self._door.service.wait():
            await asyncio.sleep(wait)
        # The challenges of a login are not its reply.
        if self._fault is not None and not text.startswith("334"):
            fault, self._fault = self._fault, None
            if await self._strike(fault):
                return
        await super().push(text)
        self._idle_since = self.loop.time()

    def _capped(self, command: str) -> bool:
        cap, where = self._rules.session_cap, self._rules.session_cap_at
        if cap is None or self._messages < cap:
            return False
        return (command == "MAIL" and where != "dot") or (command == "RSET" and where == "rset")

    def _open_envelope(self) -> Envelope:
        if self.envelope is None:
            raise ConnectionResetError
        return self.envelope

    def _forget_transaction(self) -> None:
        self.envelope = self._create_envelope()

    # Commands that differ from aiosmtpd's

    def _authenticate_login(
        self, server: Any, session: Any, envelope: Any, mechanism: str, login: LoginPassword
    ) -> AuthResult:
        wanted = self._rules.credentials
        known = wanted is None or tuple(word.encode() for word in wanted) == (login.login, login.password)
        return AuthResult(success=known, handled=False)

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        # aiosmtpd parses with the grammar of message headers, which costs more than all the rest of a message.
        match = _ADDRESS.fullmatch(arg)
        if match is None:
            return None, None
        address = match.group(1)
        # An address without a domain is found out at the dot, as captured.
        if address and self._door.service.strict and address_refusal(address) not in (None, MISSING_DOMAIN):
            return None, None
        return address, (match.group(2) or "").strip()

    @syntax("EHLO hostname")
    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802  # aiosmtpd's name
        """Greet, in the order and with the extensions of the service."""
        self._forget_transaction()
        session: Any = self.session
        session.extended_smtp = True
        session.host_name = hostname or "unknown"
        # As captured: on the ports with STARTTLS there is no SIZE, and AUTH is offered before TLS too.
        lines = [HOST_NAME, "8BITMIME"]
        if self._rules.tls != "starttls":
            lines += [f"SIZE {self._rules.max_size}"]
        elif not self._tls_protocol:
            lines += ["STARTTLS"]
        lines += ["AUTH PLAIN LOGIN"]
        await self.push("".join(f"250-{line}\r\n" for line in lines) + SMTPText.OK)

    @syntax("MAIL FROM: <address>", extended=" [SP <mail-parameters>]")
    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802  # aiosmtpd's name
        """Begin a transaction; what EHLO did not offer is no parameter."""
        if "SMTPUTF8" in (arg or "").upper().split()[1:]:
            await self.push("555 MAIL FROM parameters not recognized or not implemented")
            return
        await super().smtp_MAIL(arg)

    @syntax("STARTTLS", when="tls_context")
    async def smtp_STARTTLS(self, arg: str | None) -> None:  # noqa: N802  # aiosmtpd's name
        """Go over to TLS; a handshake that fails ends the connection without a word, here or in the log."""
        try:
            await super().smtp_STARTTLS(arg)
        except TLSSetupException:
            self._end(End.CUT)
        if self._original_transport is not None and self._original_transport.is_closing():
            # aiosmtpd hears of the end of a connection only where TLS has come about.
            self._forget()
            raise ConnectionResetError

    @syntax("DATA")
    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802  # aiosmtpd's name
        """Read the content, and let the service decide when its final dot has arrived."""
        if await self.check_helo_needed() or await self.check_auth_needed("DATA"):
            return
        if not self._open_envelope().rcpt_tos:
            await self.push("503 Error: need RCPT command")
            return
        await self.push(SMTPText.END_DATA)
        content = await self._read_content(self._draw(Stage.BODY))
        if content is None:
            return
        self._idle_since = None
        self._stage = Stage.DOT
        self._messages += 1
        fault = self._draw(Stage.DOT)
        if await self._struck_before(fault):
            if not self._rules.sticky or (fault is not None and fault.wire().startswith(b"250")):
                self._forget_transaction()
            return
        await self._decide(content)

    async def _decide(self, content: Content) -> None:
        cap = self._rules.session_cap
        if cap is not None and self._messages > cap and self._rules.session_cap_at == "dot":
            await self.push(SMTPText.SESSION_CAP)
            self._end(End.CLOSE)
            return
        reply = self._verdict(content)
        if reply.startswith("250") or not self._rules.sticky:
            self._forget_transaction()
        await self.push(reply)

    def _verdict(self, content: Content) -> str:
        envelope = self._open_envelope()
        recipients = envelope.rcpt_tos
        service = self._door.service
        if refusal := self._refusal(recipients, content):
            service.ledger.counts.invalid += 1
            return refusal
        submission = Submission("smtp", envelope.mail_from or "", tuple(recipients), content.unstuffed())
        if service.strict and (problem := content_refusal(submission.content)):
            service.ledger.counts.invalid += 1
            return REFUSED + problem
        decision = service.decide(self.loop.time(), submission)
        if decision.verdict is Verdict.ACCEPTED:
            return f"{SMTPText.OK} {decision.message_id}"
        return VERDICTS[decision.verdict]

    @staticmethod
    def _refusal(recipients: list[str], content: Content) -> str | None:
        if content.too_long:
            return SMTPText.TOO_LONG
        if len(recipients) > MAX_RECIPIENTS:
            return SMTPText.TOO_MANY_RECIPIENTS
        if not all("@" in recipient for recipient in recipients):
            return SMTPText.MISSING_DOMAIN
        return None

    async def _read_content(self, fault: Fault | None) -> Content | None:
        """The content up to its final dot; None where a fault struck, after which the rest of it is passed over."""
        content = Content(self._rules.max_size)
        struck = False
        while True:
            if fault is not None and (content.ended or content.size >= fault.at_byte):
                struck = await self._strike(fault)
                fault = None
            if content.ended:
                return None if struck else content
            chunk = await self._reader.read(CHUNK)
            if not chunk:
                raise ConnectionResetError
            # After a fault the idle time is the fault's: none after a silent one, like a service that has gone away.
            if not struck:
                self._idle_since = self.loop.time()
            content.feed(chunk)
            if content.rest:
                self._reader.feed_data(content.rest)


_STAGES: Final[dict[str, Stage]] = {
    "HELO": Stage.EHLO,
    "EHLO": Stage.EHLO,
    "STARTTLS": Stage.STARTTLS,
    "AUTH": Stage.AUTH,
    "MAIL": Stage.MAIL,
    "RCPT": Stage.RCPT,
    "DATA": Stage.DATA,
    "RSET": Stage.RSET,
    "NOOP": Stage.NOOP,
    "QUIT": Stage.QUIT,
}
