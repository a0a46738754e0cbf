"""
The SMTP door: sessions of clients, in the words and with the habits of the service.

What is answered to a command is decided in `_smtp_dialogue`; here are the connection, TLS, logins and contents, and
what a session may do besides: its rules, its faults and its latency. Every reply leaves through `_push`, every command
enters through `_step`, so that a fault can strike each stage before or after its decision.

Invariants: a message is decided when its final dot has arrived, before the reply's latency; the idle time runs only
while the door waits for the client.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from contextlib import suppress
from typing import Final

import attrs

from .._dialogue.content import Content
from .._dialogue.login import Credentials, LoginRefused, challenge, exchange_for, response
from .._inbox import EndOfInput, Inbox, LineTooLong
from ._account import Verdict
from ._faults import End, Fault, Stage
from ._ledger import Submission
from ._refusals import content_refusal
from ._rules import SMTPRules
from ._service import MAX_RECIPIENTS, Service
from ._smtp_dialogue import BEFORE_TLS, HOST_NAME, SMTPDialogue
from ._texts import REFUSED, SMTPText

GREETING: Final = "ESMTP SimpleEmailService-d-SESLIMIT simulator"

BACKLOG: Final = 1024
"""Connections that may wait to be taken up: a client that opens hundreds at once must not wait for SYN retries."""

COMMAND_LENGTH: Final = 4096
"""Bytes of one command; the service's own limit is not documented, and addresses of the longest legal form must fit."""

BUFFER: Final = 2**16
"""Bytes that are read at once, and after twice as many of which nothing more is read for now."""

MOST_UNKNOWN: Final = 5
"""Commands that no server knows, after which the session is closed."""

VERDICTS: Final[dict[Verdict, str]] = {
    Verdict.RATE_EXCEEDED: SMTPText.RATE_EXCEEDED,
    Verdict.QUOTA_EXCEEDED: SMTPText.QUOTA_EXCEEDED,
}

STAGES: Final[dict[str, Stage]] = {
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
"""Command → the stage at which a fault strikes it."""


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
        self._server = await loop.create_server(lambda: _Session(self, loop), host, port, backlog=BACKLOG)
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


class _Session(asyncio.Protocol):
    """One connection."""

    def __init__(self, door: SMTPDoor, loop: asyncio.AbstractEventLoop) -> None:
        self._door = door
        self._rules = door.rules
        self._loop = loop
        self._dialogue = SMTPDialogue(door.rules, door.service.strict)
        self._inbox = Inbox(BUFFER)
        self._wire: asyncio.Transport | None = None
        self._conversation: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._shaking_hands = False
        """Whether TLS has begun and is not yet there: words would go out in clear, into the handshake."""
        self._idle_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fault: Fault | None = None
        self._messages = 0

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # More at once, and the system maps and unmaps memory for every read.
        with suppress(AttributeError):
            transport.max_size = BUFFER  # type: ignore[attr-defined]
        self._carried_by(transport)
        self._door.sessions.add(self)
        self._idle_since = self._loop.time()
        self._timer = self._loop.call_later(self._rules.idle_timeout, self._look)
        self._conversation = self._loop.create_task(self._converse())

    def data_received(self, data: bytes) -> None:
        self._inbox.feed(data)

    def eof_received(self) -> bool:
        self._inbox.end()
        return not self._dialogue.secure  # over TLS nothing can be said any more

    def connection_lost(self, exc: Exception | None) -> None:
        self._inbox.end()
        self._writable.set()
        self._forget()
        if self._conversation is not None:
            self._conversation.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def break_off(self) -> list[asyncio.Task[None]]:
        """End the connection at once, and return the task that then ends; none where it has ended already."""
        self._end(End.CUT)
        if self._conversation is None:
            return []
        self._conversation.cancel()
        return [self._conversation]

    def _carried_by(self, transport: asyncio.BaseTransport) -> None:
        # Not asked whether it is one: uvloop's do not derive from asyncio's.
        self._wire = self._inbox.source = transport  # type: ignore[assignment]

    def _forget(self) -> None:
        self._door.sessions.discard(self)
        self._door.turned_away.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def _end(self, end: End) -> None:
        if self._wire is None or end is End.KEEP:
            return
        if end is End.CLOSE:
            self._wire.close()
            return
        if end is End.RESET:
            self._wire.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._wire.abort()

    def _look(self) -> None:
        """Look whether it has been idle for too long: one timer a connection, instead of one a command."""
        idle = 0.0 if self._idle_since is None else self._loop.time() - self._idle_since
        if self._wire is None or self._wire.is_closing():
            return
        if idle < self._rules.idle_timeout:
            self._timer = self._loop.call_later(self._rules.idle_timeout - idle, self._look)
            return
        if self._shaking_hands:
            self._end(End.CUT)
            return
        self._wire.write(SMTPText.IDLE.encode() + b"\r\n")
        self._end(End.CLOSE)

    async def _start_tls(self) -> None:
        """Go over to TLS; a handshake that fails ends the connection without a word, here or in the log."""
        wire, context = self._wire, self._rules.ssl_context
        if wire is None or context is None or wire.is_closing():
            raise ConnectionResetError
        self._inbox.clear()  # what was said in clear behind it counts no more
        self._shaking_hands = True
        try:
            secured = await self._loop.start_tls(wire, self, context, server_side=True)
        except (OSError, ssl.SSLError):
            secured = None
        if secured is None:
            self._end(End.CUT)
            raise ConnectionResetError
        self._shaking_hands = False
        self._carried_by(secured)
        self._dialogue.now_secure()
        self._idle_since = self._loop.time()

    # Commands in, replies out

    async def _converse(self) -> None:
        # A client that goes away in the middle is no error of the simulator's.
        with suppress(ConnectionResetError, EndOfInput):
            await self._receive()
        self._forget()
        if self._wire is not None:
            self._wire.close()

    async def _receive(self) -> None:
        limit = self._rules.max_connections
        self._door.service.ledger.counts.smtp_connections += 1
        refused = limit is not None and len(self._door.sessions) > limit
        if refused:
            # It leaves the count before it is told, or those who are turned away would keep others out.
            self._door.sessions.discard(self)
            self._door.turned_away.add(self)
        if self._rules.tls == "implicit":
            await self._start_tls()
        if refused:
            await self._push(SMTPText.TOO_MANY_CONNECTIONS)
            return
        self._fault = self._draw(Stage.CONNECT)
        await self._push(f"220 {HOST_NAME} {GREETING}")
        unknown = 0
        while unknown < MOST_UNKNOWN:
            try:
                line = await self._inbox.line()
            except LineTooLong:
                await self._pass_over_line()
                continue
            unknown += await self._hear(line.rstrip(b"\r\n")) is False

    async def _pass_over_line(self) -> None:
        while b"\n" not in (chunk := await self._inbox.chunk()):
            pass
        self._inbox.put_back(chunk.partition(b"\n")[2])
        await self._push("500 Command line too long")

    async def _hear(self, line: bytes) -> bool:
        """Do as a line says; returns whether it is a command."""
        word, _, rest = line.partition(b" ")
        command = word.decode("ascii", "replace").upper()
        if not command or not command.isascii():
            await self._push("500 Error: bad syntax")
        elif len(line) > COMMAND_LENGTH:
            await self._push("500 Command line too long")
        elif self._rules.tls == "starttls" and not self._dialogue.secure and command not in BEFORE_TLS:
            await self._push(SMTPText.STARTTLS_FIRST)
        elif command in self._dialogue.answers or command in ("STARTTLS", "AUTH", "DATA", "QUIT"):
            await self._step(command, rest.strip().decode("utf-8", "surrogateescape"))
        else:
            await self._push(f'500 Error: command "{command}" not recognized')
            return False
        return True

    async def _step(self, command: str, argument: str) -> None:
        if self._wire is None or self._wire.is_closing():
            raise ConnectionResetError
        self._idle_since = None
        if await self._struck_before(self._draw(STAGES.get(command))):
            return
        if self._capped(command):
            await self._push(SMTPText.SESSION_CAP)
            self._end(End.CLOSE)
            return
        match command:
            case "STARTTLS":
                await self._secure(argument)
            case "AUTH":
                await self._log_in(argument)
            case "DATA":
                await self._take_content(argument)
            case "QUIT":
                await self._quit(argument)
            case _:
                await self._push(self._dialogue.answers[command](argument))
        self._fault = None

    def _draw(self, stage: Stage | None) -> Fault | None:
        return None if stage is None else self._door.service.faults.draw(stage)

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
        if (data := fault.wire()) and self._wire is not None:
            self._wire.write(data)
        self._end(fault.end)
        if fault.replaces and not fault.silent:
            self._idle_since = self._loop.time()
        return fault.replaces

    async def _push(self, text: str) -> None:
        """Send a reply, after the latency, unless a fault strikes it."""
        self._idle_since = None
        if wait := self._door.service.wait():
            await asyncio.sleep(wait)
        # The challenges of a login are not its reply.
        if self._fault is not None and not text.startswith("334"):
            fault, self._fault = self._fault, None
            if await self._strike(fault):
                return
        if self._wire is None or self._wire.is_closing():
            raise ConnectionResetError
        self._wire.write(text.encode("utf-8", "replace") + b"\r\n")
        await self._writable.wait()
        self._idle_since = self._loop.time()

    def _capped(self, command: str) -> bool:
        cap, where = self._rules.session_cap, self._rules.session_cap_at
        if cap is None or self._messages < cap:
            return False
        return (command == "MAIL" and where != "dot") or (command == "RSET" and where == "rset")

    # Commands that take time

    async def _quit(self, argument: str) -> None:
        if argument:
            await self._push("501 Syntax: QUIT")
            return
        await self._push(SMTPText.BYE)
        self._end(End.CLOSE)
        raise EndOfInput

    async def _secure(self, argument: str) -> None:
        if argument:
            await self._push("501 Syntax: STARTTLS")
        elif self._rules.tls != "starttls" or self._dialogue.secure:
            await self._push(SMTPText.TLS_NOT_AVAILABLE)
        else:
            await self._push(SMTPText.START_TLS)
            await self._start_tls()

    async def _log_in(self, argument: str) -> None:
        if refusal := self._dialogue.login_refusal():
            await self._push(refusal)
            return
        try:
            login = await self._exchange(argument)
        except LoginRefused as refused:
            await self._push(refused.reply)
            return
        wanted = self._rules.credentials
        if wanted is None or tuple(word.encode() for word in wanted) == login:
            self._dialogue.authenticated = True
            await self._push(SMTPText.AUTHENTICATED)
        else:
            await self._push(SMTPText.CREDENTIALS_INVALID)

    async def _exchange(self, argument: str) -> Credentials:
        exchange = exchange_for(argument)
        try:
            asked = next(exchange)
            while True:
                await self._push(challenge(asked) if asked else "334 Ok")
                asked = exchange.send(response(await self._inbox.line()))
        except StopIteration as end:
            login: Credentials = end.value
            return login

    async def _take_content(self, argument: str) -> None:
        """Read the content, and let the service decide when its final dot has arrived."""
        refusal = self._dialogue.content_refusal() or ("501 Syntax: DATA" if argument else None)
        if refusal:
            await self._push(refusal)
            return
        await self._push(SMTPText.END_DATA)
        content = await self._read_content(self._draw(Stage.BODY))
        if content is None:
            return
        self._idle_since = None
        self._messages += 1
        fault = self._draw(Stage.DOT)
        if await self._struck_before(fault):
            if not self._rules.sticky or (fault is not None and fault.wire().startswith(b"250")):
                self._dialogue.forget_transaction()
            return
        await self._decide(content)

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
            chunk = await self._inbox.chunk()
            # After a fault the idle time is the fault's: none after a silent one, like a service that has gone away.
            if not struck:
                self._idle_since = self._loop.time()
            content.feed(chunk)
            if content.rest:
                self._inbox.put_back(content.rest)

    async def _decide(self, content: Content) -> None:
        cap = self._rules.session_cap
        if cap is not None and self._messages > cap and self._rules.session_cap_at == "dot":
            await self._push(SMTPText.SESSION_CAP)
            self._end(End.CLOSE)
            return
        reply = self._verdict(content)
        if reply.startswith("250") or not self._rules.sticky:
            self._dialogue.forget_transaction()
        await self._push(reply)

    def _verdict(self, content: Content) -> str:
        recipients, service = self._dialogue.recipients, self._door.service
        if refusal := _refusal(recipients, content):
            service.ledger.counts.invalid += 1
            return refusal
        submission = Submission("smtp", self._dialogue.mail_from, tuple(recipients), content.unstuffed())
        if service.strict and (problem := content_refusal(submission.content)):
            service.ledger.counts.invalid += 1
            return REFUSED + problem
        decision = service.decide(self._loop.time(), submission)
        if decision.verdict is Verdict.ACCEPTED:
            return f"{SMTPText.OK} {decision.message_id}"
        return VERDICTS[decision.verdict]


def _refusal(recipients: list[str], content: Content) -> str | None:
    """What is wrong with a message, whatever is in it; None where nothing is."""
    if content.too_long:
        return SMTPText.TOO_LONG
    if len(recipients) > MAX_RECIPIENTS:
        return SMTPText.TOO_MANY_RECIPIENTS
    if not all("@" in recipient for recipient in recipients):
        return SMTPText.MISSING_DOMAIN
    return None
