"""A relay under test, its client that speaks line by line, and a service that does as it is told."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import attrs

from seslimit import Limiter, Message, Receipt, RetryPolicy, Transport, transport_from_url
from seslimit.companion.relay import Relay, RelayOptions
from seslimit.testing import Simulator

FAST = 1e6
PATIENCE = 10.0
"""Seconds after which a reply is taken to be missing."""
MAIL_FROM = "news@example.org"
CONTENT = b"From: news@example.org\r\nSubject: Hello\r\n\r\nHi!\r\n"
QUICK = RetryPolicy(
    max_attempts=3, first_wait=0.05, max_wait=0.05, on_unknown="hold", on_quota_exceeded="stop", max_unreachable=0.5
)
"""The relay's policy with short waits."""


@attrs.define(eq=False)
class Client:
    """One SMTP session, line by line."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def reply(self) -> str:
        """The next reply, its lines joined; empty at the end of the connection."""
        lines = []
        async with asyncio.timeout(PATIENCE):
            while line := await self.reader.readline():
                lines.append(line.decode("ascii").rstrip("\r\n"))
                if line[3:4] != b"-":
                    break
        return "\n".join(lines)

    async def say(self, line: str | bytes) -> str:
        """The reply to one command."""
        self.write((line.encode("utf-8") if isinstance(line, str) else line) + b"\r\n")
        return await self.reply()

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)

    async def begin(self, recipients: Iterable[str] = ("reader@example.net",), mail_from: str = MAIL_FROM) -> str:
        """MAIL, RCPT and DATA; returns the reply to DATA."""
        assert (await self.say(f"MAIL FROM:<{mail_from}>")).startswith("250")
        for recipient in recipients:
            assert (await self.say(f"RCPT TO:<{recipient}>")).startswith("250")
        return await self.say("DATA")

    async def send(self, content: bytes = CONTENT, recipients: Iterable[str] = ("reader@example.net",)) -> str:
        """Hand over one message; returns the reply to its final dot."""
        await self.hand_over(content, recipients)
        return await self.reply()

    async def hand_over(self, content: bytes = CONTENT, recipients: Iterable[str] = ("reader@example.net",)) -> None:
        """Hand over one message, whose reply is still to come."""
        assert (await self.begin(recipients)).startswith("354")
        self.write(stuffed(content))

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Go over to TLS, and greet again."""
        assert (await self.say("STARTTLS")).startswith("220")
        await self.writer.start_tls(context, server_hostname="localhost")
        await self.say("EHLO client.example.org")

    async def closed(self) -> bool:
        """Whether the relay closes the connection, whatever it says before."""
        async with asyncio.timeout(PATIENCE):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                pass
        return True

    async def aclose(self) -> None:
        """Leave without a word."""
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()

    def reset(self) -> None:
        """Break the connection off, so that nothing more can be written to it."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def stuffed(content: bytes) -> bytes:
    """The content as it goes over the wire, with its final dot."""
    return (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


@asynccontextmanager
async def client_of(port: int, *, greet: bool = True) -> AsyncIterator[Client]:
    """A session that has said EHLO."""
    client = Client(*await asyncio.open_connection("127.0.0.1", port))
    try:
        if greet:
            assert (await client.reply()).startswith("220")
            assert (await client.say("EHLO client.example.org")).startswith("250")
        yield client
    finally:
        await client.aclose()


def options(**given: Any) -> RelayOptions:
    """A relay on a free port of loopback, which tells at once when nothing can be sent."""
    return RelayOptions(**{"listen": "127.0.0.1:0", "hold": 0.0, **given})


@asynccontextmanager
async def relay_to(
    service: Simulator | Transport | str,
    *,
    rate: float = FAST,
    retry: RetryPolicy = QUICK,
    **given: Any,
) -> AsyncIterator[Relay]:
    """A relay in front of a simulator, a transport or a URL."""
    url = service.smtp_url if isinstance(service, Simulator) else service
    transport = transport_from_url(url) if isinstance(url, str) else url
    async with Relay(transport, options(**given), limiter=Limiter(rate, max_rate=rate), retry=retry) as relay:
        yield relay


@asynccontextmanager
async def session(service: Simulator | Transport | str, **given: Any) -> AsyncIterator[Client]:
    """A client of a relay of its own."""
    async with relay_to(service, **given) as relay, client_of(relay.port) as client:
        yield client


@asynccontextmanager
async def holding(service: Service, **given: Any) -> AsyncIterator[tuple[Relay, Client]]:
    """A relay and a client of it whose message is under way, and does not end before the service's gate is set."""
    service.gate.clear()
    async with relay_to(service, **given) as relay, client_of(relay.port) as client:
        await client.hand_over()
        await service.begun.wait()
        yield relay, client


async def left_during_attempt(relay: Relay, service: Service) -> None:
    """A client has handed a message over, and its connection broke while the service had it."""
    async with client_of(relay.port) as client:
        await client.hand_over()
        await service.begun.wait()
        client.reset()
    await until(lambda: relay.connections == 0)


def login_of(user: str, password: str) -> str:
    """The command that logs in (RFC 4616)."""
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()


@attrs.define(eq=False)
class Service:
    """
    A transport that keeps what it is given.

    Args:
        refuse: called for each attempt; what it returns is raised.
        held: whether no attempt ends before `gate` is set.
    """

    refuse: Callable[[Message], Exception | None] = lambda message: None
    held: bool = attrs.field(default=False, kw_only=True)
    accepted: list[Message] = attrs.field(factory=list, init=False)
    gate: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    """An attempt ends when this is set."""
    begun: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    """Set when an attempt begins."""
    attempts: int = attrs.field(default=0, init=False)
    closed: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        if not self.held:
            self.gate.set()

    async def send(self, message: Message) -> Receipt:
        """Make one attempt."""
        self.attempts += 1
        self.begun.set()
        await self.gate.wait()
        if error := self.refuse(message):
            raise error
        self.accepted.append(message)
        return Receipt(f"id-{len(self.accepted)}")

    async def aclose(self) -> None:
        """Count it."""
        self.closed += 1

    @property
    def recipients(self) -> list[str]:
        """Every recipient of every accepted message."""
        return [recipient for message in self.accepted for recipient in message.recipients]


async def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait for something that happens elsewhere in the loop."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # it is a condition of many objects
            await asyncio.sleep(0.005)


def readers(count: int) -> Sequence[str]:
    """So many recipients."""
    return [f"reader{number}@example.net" for number in range(count)]
