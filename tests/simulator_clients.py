"""Clients of the simulator for its own tests: streams of exact bytes, and the SDK of AWS."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable
from functools import cache
from typing import Any

import attrs
import pytest
import trustme
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError

from seslimit.testing import (
    Simulator,
)

FAST = 10_000.0
"""Recipients/s, where the rate is not the question."""
FEW = 1e-6
"""Recipients/s, where the bucket must not refill during a test."""
CONTENT = "From: sender@example.org\r\nSubject: hello\r\n\r\nGood morning.\r\n"
LOGIN = "AUTH PLAIN " + base64.b64encode(b"\0user\0password").decode()
PATIENCE = 0.1
"""Seconds after which a silence is one."""
STEPS = {
    "ehlo": "EHLO client",
    "auth": LOGIN,
    "noop": "NOOP",
    "rset": "RSET",
    "mail": "MAIL FROM:<sender@example.org>",
    "rcpt": "RCPT TO:<reader@example.com>",
    "data": "DATA",
    "dot": f"{CONTENT}.",
    "quit": "QUIT",
}
MESSAGE_ID = re.compile(r"[0-9a-f]{16}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-000000")
SEND = "/v2/email/outbound-emails"
ACCOUNT = "/v2/email/account"


def keyed(key: str) -> str:
    """Content with a key."""
    return f"X-Seslimit-Key: {key}\r\n{CONTENT}"


@attrs.define(eq=False)
class Conversation:
    """An SMTP session, line by line."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def hear(self) -> str:
        """One whole reply, without its last line's end; empty where the connection has ended."""
        lines = b""
        async with asyncio.timeout(120):
            while not re.search(rb"(?m)^\d{3} .*\r\n\Z", lines):
                line = await self.reader.readline()
                if not line:
                    break
                lines += line
        return lines.decode().removesuffix("\r\n")

    async def say(self, line: str) -> str:
        """Say a line, and hear the reply."""
        self.writer.write(line.encode() + b"\r\n")
        return await self.hear()

    async def log_in(self) -> str:
        """EHLO and AUTH."""
        await self.say("EHLO client")
        return await self.say(LOGIN)

    async def give(self, *recipients: str) -> None:
        """A transaction up to DATA, whose replies are all good."""
        assert await self.say("MAIL FROM:<sender@example.org>") == "250 Ok"
        for recipient in recipients or ("reader@example.com",):
            assert await self.say(f"RCPT TO:<{recipient}>") == "250 Ok"
        assert await self.say("DATA") == "354 End data with <CR><LF>.<CR><LF>"

    async def send(self, *recipients: str, content: str = CONTENT) -> str:
        """A whole message; the reply to its dot."""
        await self.give(*recipients)
        return await self.say(f"{content}.")


@contextlib.asynccontextmanager
async def connected(simulator: Simulator, tls: ssl.SSLContext | None = None) -> AsyncIterator[Conversation]:
    """A connection before its greeting."""
    name = "localhost" if tls else None
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.smtp_port, ssl=tls, server_hostname=name)
    try:
        yield Conversation(reader, writer)
    finally:
        writer.transport.abort()


@contextlib.asynccontextmanager
async def logged_in(simulator: Simulator) -> AsyncIterator[Conversation]:
    """A session that may send."""
    async with connected(simulator) as conversation:
        await conversation.hear()
        await conversation.log_in()
        yield conversation


async def mail(simulator: Simulator, *recipients: str, content: str = CONTENT) -> str:
    """Hand over one message by SMTP in a session of its own; the reply to its dot."""
    async with logged_in(simulator) as conversation:
        return await conversation.send(*recipients, content=content)


async def request(
    simulator: Simulator, path: str = SEND, body: bytes | None = None, method: str = "", patience: float = 5
) -> bytes:
    """One HTTP request over a connection of its own; all the bytes that came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.api_port)
    try:
        content = raw("reader@example.com") if body is None and path == SEND else body or b""
        verb = method or ("POST" if path == SEND else "GET")
        head = (
            f"{verb} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        writer.write(head.encode() + content)
        async with asyncio.timeout(patience):
            return await reader.read()
    finally:
        writer.transport.abort()


def raw(*recipients: str, content: str = CONTENT) -> bytes:
    """The body of a SendEmail request."""
    data = base64.b64encode(content.encode()).decode()
    asked = {"FromEmailAddress": "sender@example.org", "Content": {"Raw": {"Data": data}}}
    return json.dumps(asked | ({"Destination": {"ToAddresses": recipients}} if recipients else {})).encode()


def status(answer: bytes) -> int:
    """The HTTP status of an answer."""
    return int(answer.split()[1])


def told(answer: bytes) -> dict[str, Any]:
    """The JSON of an answer."""
    parsed: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return parsed


SESSION = AioSession()
"""One for all clients: it is the reading of the service's model that takes long."""


@contextlib.asynccontextmanager
async def api(simulator: Simulator, patience: float = 5) -> AsyncIterator[Any]:
    """The client of AWS's SDK, which makes one attempt a call."""
    config = AioConfig(retries={"total_max_attempts": 1}, read_timeout=patience)
    async with SESSION.create_client(
        "sesv2",
        region_name="us-east-1",
        endpoint_url=simulator.api_url,
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="secret",
        config=config,
    ) as client:
        yield client


async def post(client: Any, *recipients: str, content: str = CONTENT) -> str:
    """SendEmail; the message id."""
    answer = await client.send_email(
        FromEmailAddress="sender@example.org",
        Destination={"ToAddresses": list(recipients or ("reader@example.com",))},
        Content={"Raw": {"Data": content.encode()}},
    )
    return str(answer["MessageId"])


async def error(call: Any) -> tuple[int, str, str]:
    """Status, code and message of the error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        await call
    response: Any = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"], response["Error"]["Message"]


async def settled() -> int:
    """How many other tasks there are, once the ends of connections have been heard."""
    await until(lambda: len(asyncio.all_tasks()) == 1, patience=2)
    return len(asyncio.all_tasks()) - 1


async def until(condition: Callable[[], bool], patience: float = 5) -> None:
    """Let others run until something is so, or for as long as patience lasts."""
    for _ in range(int(patience / 0.001)):
        if condition():
            return
        await asyncio.sleep(0.001)


@cache
def authority() -> trustme.CA:
    """An authority that nobody but these tests trusts."""
    return trustme.CA()


@cache
def server_context() -> ssl.SSLContext:
    """A server's context, as a caller of the simulator brings it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("localhost").configure_cert(context)
    return context


@cache
def client_context() -> ssl.SSLContext:
    """A client's context that trusts the server."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context
