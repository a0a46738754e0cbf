"""
Two servers on loopback that go wrong on command, once, and otherwise take mail as SES does: SMTP and HTTP.

They decide nothing about what a client should do. What they know is the truth that a client's report is compared with:
which messages were accepted, what came over which connection, and what still came after the fault.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import enum
import json
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import attrs


class Then(enum.StrEnum):
    """What becomes of the connection after a fault."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    MUTE = "mute"
    """Kept and read, never answered again."""
    DEAF = "deaf"
    """Kept, neither read nor answered."""


@attrs.frozen
class Act:
    """
    What a server does at one stage in place of its ordinary answer.

    Args:
        say: the bytes instead of the ordinary answer; None for the ordinary one.
        also: bytes in the same write, behind those.
        then: what becomes of the connection.
        accepts: whether the service takes the message although it does not say so.
        at_byte: for a content: strikes after so many of its bytes; None after all of it.
        drip: seconds between the bytes of the answer; 0 for all at once.
    """

    say: bytes | None = None
    also: bytes = b""
    then: Then = Then.KEEP
    accepts: bool = False
    at_byte: int | None = None
    drip: float = 0.0


@attrs.frozen
class Accepted:
    """One message that a server took: its envelope and its content, dots unstuffed."""

    mail_from: str
    recipients: tuple[str, ...]
    content: bytes


@attrs.define(eq=False)
class Conversation:
    """What came over one connection."""

    lines: list[str] = attrs.field(factory=list)
    afterwards: list[str] | None = None
    """Lines since the fault; None where it struck elsewhere."""

    def add(self, line: str) -> None:
        """Write a line down."""
        self.lines.append(line)
        if self.afterwards is not None:
            self.afterwards.append(line)


class _EndedError(Exception):
    """The server is done with a connection."""


@attrs.define(eq=False)
class Server:
    """What both servers share: listening, the plan, and ending connections."""

    plan: dict[str, Act] = attrs.field(factory=dict, kw_only=True)
    accepted: list[Accepted] = attrs.field(factory=list, init=False)
    conversations: list[Conversation] = attrs.field(factory=list, init=False)
    hold: asyncio.Event | None = attrs.field(default=None, init=False)
    """Where it is set, accepted messages are answered when it is."""
    port: int = attrs.field(default=0, init=False)
    open_now: int = attrs.field(default=0, init=False)
    _server: asyncio.Server | None = attrs.field(default=None, init=False)
    _tasks: set[asyncio.Task[None]] = attrs.field(factory=set, init=False)

    @property
    def _tls(self) -> ssl.SSLContext | None:
        return None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen, on a port that is then known."""
        await self.listen_again()
        try:
            yield
        finally:
            await self.stop_listening()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def listen_again(self) -> None:
        """Listen, on the port that it had if it had one."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, limit=2**27, ssl=self._tls, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop_listening(self) -> None:
        """Take no more connections; those there are go on."""
        if self._server is not None:
            self._server.close()
            self._server = None
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.open_now += 1
        conversation = Conversation()
        self.conversations.append(conversation)
        try:
            await self._converse(reader, writer, conversation)
        except (OSError, EOFError, _EndedError, asyncio.CancelledError):
            pass
        finally:
            self.open_now -= 1
            self._tasks.discard(task)
            writer.transport.abort()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, conversation: Conversation
    ) -> None:
        raise NotImplementedError

    async def _act(
        self,
        act: Act,
        ordinary: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        conversation: Conversation,
    ) -> None:
        conversation.afterwards = []
        answer = (ordinary if act.say is None else act.say) + act.also
        for piece in [answer] if not act.drip else [answer[at : at + 1] for at in range(len(answer))]:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(act.drip)
        if act.then is Then.RESET:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        elif act.then is Then.CLOSE:
            writer.close()
            await writer.wait_closed()
        elif act.then is Then.MUTE:
            while line := await reader.readline():
                conversation.add(line.decode("latin-1").strip())
        elif act.then is Then.DEAF:
            assert isinstance(writer.transport, asyncio.Transport)
            writer.transport.pause_reading()
            await asyncio.sleep(1.0)
        if act.then is not Then.KEEP:
            raise _EndedError


@attrs.define(eq=False)
class SMTPServer(Server):
    """
    An SMTP server in SES's words.

    Args:
        tls: for STARTTLS; None does not offer it.
        offers: the extensions.
    """

    tls: ssl.SSLContext | None = attrs.field(default=None, kw_only=True)
    offers: tuple[bytes, ...] = attrs.field(default=(b"8BITMIME", b"AUTH PLAIN LOGIN"), kw_only=True)
    mails: list[str] = attrs.field(factory=list, init=False)
    """The return address of every MAIL command."""
    raw: list[bytes] = attrs.field(factory=list, init=False)
    """Every content as it came, without the final dot."""
    nested: int = attrs.field(default=0, init=False)
    """MAIL commands inside a transaction."""

    async def _converse(  # noqa: C901 - the steps of a conversation, in their order
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, conversation: Conversation
    ) -> None:
        async def reply(stage: str, ordinary: bytes) -> bytes:
            act = self.plan.pop(stage, None)
            if act is None:
                writer.write(ordinary)
                await writer.drain()
                return ordinary
            await self._act(act, ordinary, reader, writer, conversation)
            return ordinary if act.say is None else act.say

        await reply("greeting", b"220 email-smtp.example.org ESMTP\r\n")
        mail_from, recipients = "", list[str]()
        while line := await reader.readline():
            conversation.add(line.decode("latin-1").strip())
            verb = re.split(rb"[: \r]", line)[0].upper()
            if verb == b"MAIL":
                self.mails.append(line[11:].partition(b">")[0].decode())
                if mail_from:
                    self.nested += 1
                    writer.write(b"503 Sender already specified.\r\n")
                elif (await reply("mail", b"250 Ok\r\n")).startswith(b"250"):
                    mail_from = line[11:].partition(b">")[0].decode()
            elif verb == b"RCPT":
                if (await reply("rcpt", b"250 Ok\r\n")).startswith(b"250"):
                    recipients.append(line[9:-3].decode())
            elif verb == b"DATA":
                said = await reply("data", b"354 End data with <CR><LF>.<CR><LF>\r\n")
                envelope = (mail_from, tuple(recipients))
                if said.startswith(b"354") and await self._take(reader, writer, conversation, envelope, reply):
                    mail_from, recipients = "", []
            else:
                stage, ordinary = self._ordinary(verb, writer)
                said = await reply(stage, ordinary)
                if verb == b"RSET":
                    mail_from, recipients = "", []
                if verb == b"STARTTLS" and said.startswith(b"220"):
                    assert self.tls is not None
                    await writer.start_tls(self.tls)
                if verb == b"QUIT":
                    return

    async def _take(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        conversation: Conversation,
        envelope: tuple[str, tuple[str, ...]],
        reply: Callable[[str, bytes], Awaitable[bytes]],
    ) -> bool:
        """Read a content and answer it; whether it was accepted."""
        body = self.plan.pop("body", None)
        if body is not None:
            if body.at_byte:
                await reader.readexactly(body.at_byte)
            await self._act(body, b"", reader, writer, conversation)
        content = (await reader.readuntil(b"\r\n.\r\n"))[:-3]
        if conversation.afterwards is not None:
            conversation.add(".")
        dot = self.plan.get("dot")
        accepts = dot is None or dot.accepts
        self.raw.append(content)
        if accepts:
            self.accepted.append(Accepted(*envelope, (b"\r\n" + content).replace(b"\r\n.", b"\r\n")[2:]))
        if self.hold is not None:
            await self.hold.wait()
        await reply("dot", f"250 Ok {len(self.accepted):016x}-000000\r\n".encode())
        return accepts

    def _ordinary(self, verb: bytes, writer: asyncio.StreamWriter) -> tuple[str, bytes]:
        secure = writer.get_extra_info("sslcontext") is not None
        offers = (*self.offers, *((b"STARTTLS",) if self.tls and not secure else ()))
        lines = b"".join(b"250-" + offer + b"\r\n" for offer in offers)
        return {
            b"EHLO": ("ehlo", b"250-email-smtp.example.org\r\n" + lines + b"250 Ok\r\n"),
            b"STARTTLS": ("starttls", b"220 Ready to start TLS\r\n"),
            b"AUTH": ("auth", b"235 Authentication successful.\r\n"),
            b"RSET": ("rset", b"250 Ok\r\n"),
            b"QUIT": ("quit", b"221 Bye\r\n"),
        }.get(verb, ("other", b"500 Unknown\r\n"))


def http(status: int, body: bytes, *headers: bytes) -> bytes:
    """An HTTP response."""
    head = f"HTTP/1.1 {status} Reason\r\nContent-Length: {len(body)}\r\n".encode()
    return head + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


def refusal(status: int, error: str | None, words: str = "") -> bytes:
    """A refusal as the API gives it."""
    headers = [f"x-amzn-ErrorType: {error}".encode()] if error else []
    return http(status, json.dumps({"message": words}).encode(), b"Content-Type: application/json", *headers)


@attrs.define(eq=False)
class APIServer(Server):
    """An HTTP server that takes SendEmail as SES does."""

    requests: int = attrs.field(default=0, init=False)
    secure: ssl.SSLContext | None = attrs.field(default=None, kw_only=True)

    @property
    def _tls(self) -> ssl.SSLContext | None:
        return self.secure

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, conversation: Conversation
    ) -> None:
        opening = self.plan.pop("connect", None)
        if opening is not None:
            await self._act(opening, b"", reader, writer, conversation)
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            conversation.add(head.split(b"\r\n")[0].decode("latin-1"))
            length = sum(map(int, re.findall(rb"(?i)content-length: (\d+)", head)))
            body = self.plan.pop("body", None)
            if body is not None:
                await reader.readexactly(body.at_byte or 0)
                await self._act(body, b"", reader, writer, conversation)
            content = await reader.readexactly(length)
            act = self.plan.pop("send", None)
            ordinary = http(200, json.dumps({"MessageId": f"id-{len(self.accepted)}"}).encode())
            if act is None or act.accepts:
                self._accept(content)
            if self.hold is not None:
                await self.hold.wait()
            if act is not None:
                await self._act(act, ordinary, reader, writer, conversation)
            else:
                writer.write(ordinary)
                await writer.drain()

    def _accept(self, content: bytes) -> None:
        asked = json.loads(content)
        to = asked["Destination"]["ToAddresses"]
        raw = base64.b64decode(asked["Content"]["Raw"]["Data"])
        self.accepted.append(Accepted(asked["FromEmailAddress"], tuple(to), raw))
