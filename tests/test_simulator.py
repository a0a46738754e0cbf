"""The simulator of SES against real clients: aiosmtplib, aiobotocore, smtplib, and streams where exact bytes matter."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import re
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import attrs
import pytest
import trustme
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.exceptions import ConnectionError as BotoConnectionError

import seslimit.testing
from seslimit._dialogue.content import Content
from seslimit._model.errors import ConfigurationError
from seslimit.testing import (
    APIReply,
    APIRules,
    Counts,
    End,
    Fault,
    Faults,
    Schedule,
    Simulator,
    SMTPRules,
    SMTPText,
    Stage,
    Tally,
)

pytest_plugins = ["pytester"]

FAST = 10_000.0
"""Recipients/s, where the rate is not the question."""
FEW = 1e-6
"""Recipients/s, where the bucket must not refill during a test."""
CONTENT = "From: sender@example.org\r\nSubject: hello\r\n\r\nGood morning.\r\n"
LOGIN = "AUTH PLAIN " + base64.b64encode(b"\0user\0password").decode()
MESSAGE_ID = re.compile(r"[0-9a-f]{16}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-000000")
SEND = "/v2/email/outbound-emails"
ACCOUNT = "/v2/email/account"


@attrs.define(eq=False)
class Conversation:
    """An SMTP session, line by line."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def hear(self) -> str:
        """One whole reply, without its last line's end; empty where the connection has ended."""
        lines = b""
        async with asyncio.timeout(30):
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


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """An authority that nobody but these tests trusts."""
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """A server's context, as a caller of the simulator brings it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    """A client's context that trusts the server."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


# The SMTP door: words.


async def test_greeting_and_ehlo() -> None:
    """As captured on port 465, with today's largest message as SIZE."""
    async with Simulator(FAST) as simulator, connected(simulator) as conversation:
        assert (await conversation.hear()).startswith("220 email-smtp.amazonaws.com ESMTP SimpleEmailService-d-")
        assert await conversation.say("EHLO example.com") == (
            "250-email-smtp.amazonaws.com\r\n250-8BITMIME\r\n250-SIZE 41943040\r\n250-AUTH PLAIN LOGIN\r\n250 Ok"
        )


async def test_ehlo_around_starttls(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    """As captured on port 587 in 2026: AUTH is offered on both sides of STARTTLS, and SIZE on neither."""
    rules = SMTPRules(tls="starttls", ssl_context=server_tls)
    async with Simulator(FAST, smtp=rules) as simulator, connected(simulator) as conversation:
        await conversation.hear()
        assert await conversation.say("EHLO example.com") == (
            "250-email-smtp.amazonaws.com\r\n250-8BITMIME\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250 Ok"
        )
        assert await conversation.say(LOGIN) == "530 Must issue a STARTTLS command first"
        assert await conversation.say("STARTTLS") == "220 Ready to start TLS"
        await conversation.writer.start_tls(client_tls, server_hostname="localhost")
        assert await conversation.say("MAIL FROM:<sender@example.org>") == "503 Error: send HELO first"
        assert await conversation.say("EHLO example.com") == (
            "250-email-smtp.amazonaws.com\r\n250-8BITMIME\r\n250-AUTH PLAIN LOGIN\r\n250 Ok"
        )
        assert await conversation.say(LOGIN) == "235 Authentication successful."
        assert (await conversation.send()).startswith("250 Ok ")


async def test_a_message_as_captured() -> None:
    """Every reply of a session that goes well, in the service's words."""
    async with Simulator(FAST) as simulator, connected(simulator) as conversation:
        await conversation.hear()
        assert await conversation.log_in() == "235 Authentication successful."
        reply = await conversation.send()
        assert reply.startswith("250 Ok ")
        assert MESSAGE_ID.fullmatch(reply.removeprefix("250 Ok "))
        assert [await conversation.say(word) for word in ("NOOP", "RSET", "QUIT")] == ["250 Ok", "250 Ok", "221 Bye"]
        assert await conversation.hear() == ""


@pytest.mark.parametrize(
    ("lines", "replies"),
    [
        (["AUTH LOGIN", "dXNlcg==", "cGFzc3dvcmQ="], ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 Authentication"]),
        (["AUTH PLAIN", LOGIN[11:]], ["334 Ok", "235 Authentication"]),
        (["AUTH LOGIN", "*"], ["334 VXNlcm5hbWU6", "501"]),
    ],
)
async def test_logins(lines: list[str], replies: list[str]) -> None:
    """LOGIN and PLAIN, with the service's challenges."""
    async with Simulator(FAST) as simulator, connected(simulator) as conversation:
        await conversation.hear()
        await conversation.say("EHLO client")
        for line, reply in zip(lines, replies, strict=True):
            assert (await conversation.say(line)).startswith(reply)


@pytest.mark.parametrize("line", [LOGIN, "AUTH PLAIN " + base64.b64encode(b"\0user\0\xff\xfe").decode()])
async def test_wrong_credentials(line: str) -> None:
    """Text and code of the service, for bytes that are no text too; the session stays open."""
    rules = SMTPRules(credentials=("user", "right"))
    async with Simulator(FAST, smtp=rules) as simulator, connected(simulator) as conversation:
        await conversation.hear()
        await conversation.say("EHLO client")
        assert await conversation.say(line) == "535 Authentication Credentials Invalid"
        right = base64.b64encode(b"\0user\0right").decode()
        assert await conversation.say(f"AUTH PLAIN {right}") == "235 Authentication successful."


@pytest.mark.parametrize("line", ["MAIL FROM:<sender@example.org>", "RCPT TO:<reader@example.com>", "DATA"])
async def test_login_is_needed(line: str) -> None:
    """What belongs to a message is refused before EHLO, and before AUTH in the service's words."""
    async with Simulator(FAST) as simulator, connected(simulator) as conversation:
        await conversation.hear()
        assert (await conversation.say(line)).startswith("503 ")
        await conversation.say("EHLO client")
        assert await conversation.say(line) == "530 Authentication required"


async def test_login_may_be_left_out() -> None:
    """With `auth_required=False` anybody may send."""
    async with Simulator(FAST, smtp=SMTPRules(auth_required=False)) as simulator, connected(simulator) as conversation:
        await conversation.hear()
        await conversation.say("EHLO client")
        assert (await conversation.send()).startswith("250 Ok ")


async def test_a_login_writes_nothing_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Neither aiosmtpd's warning about its own attribute nor anything else."""
    with caplog.at_level(logging.WARNING):
        async with Simulator(FAST) as simulator:
            await mail(simulator)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("MAIL FROM:<>", "501 Invalid MAIL FROM address provided"),
        ("MAIL FROM", "501 Invalid MAIL FROM address provided"),
        ("MAIL FROM:<a b@example.org> SIZE=5", "553 <a b@example.org> Invalid email address"),
        ("MAIL FROM:nobody", "553 <nobody> Invalid email address"),
        ("MAIL FROM:<sender@example.org> SIZE=41943041", "552 Message is too long."),
        ("MAIL FROM:<sender@example.org> SIZE=41943040 BODY=8BITMIME", "250 Ok"),
        ('MAIL FROM:<"a b"@example.org>', "250 Ok"),
    ],
)
async def test_replies_to_mail(line: str, reply: str) -> None:
    """Syntax is judged at once; whether the address is verified is not judged at all."""
    async with Simulator(FAST) as simulator, logged_in(simulator) as conversation:
        assert await conversation.say(line) == reply


async def test_replies_to_rcpt() -> None:
    """A malformed address is unknown; one without a domain is found out at the dot."""
    async with Simulator(FAST) as simulator, logged_in(simulator) as conversation:
        await conversation.say("MAIL FROM:<sender@example.org>")
        assert await conversation.say("RCPT TO:<a b@example.org>") == "553 <a b@example.org> address unknown"
        await conversation.say("RSET")
        assert await conversation.send("postmaster") == "554 Transaction failed: Missing final '@domain'"
        assert simulator.counts.invalid == 1


async def test_data_needs_a_recipient() -> None:
    """DATA without RCPT is refused, and no content is awaited."""
    async with Simulator(FAST) as simulator, logged_in(simulator) as conversation:
        await conversation.say("MAIL FROM:<sender@example.org>")
        assert (await conversation.say("DATA")).startswith("503 ")
        assert await conversation.say("RSET") == "250 Ok"


@pytest.mark.parametrize("line", ["HELP ME", "", "WRONG", "VRFY <reader@example.com>", "\xe4\xf6"])
async def test_odd_commands_are_answered(line: str) -> None:
    """Whatever comes, there is a reply, and the session goes on."""
    async with Simulator(FAST) as simulator, logged_in(simulator) as conversation:
        assert (await conversation.say(line))[0] in "25"
        assert (await conversation.send()).startswith("250 Ok ")


async def test_long_addresses_fit() -> None:
    """The longest address that the standard allows passes."""
    address = f"{'a' * 64}@{'b' * 180}.example.org"
    async with Simulator(FAST) as simulator:
        assert (await mail(simulator, address)).startswith("250 Ok ")
        assert simulator.accepted[0].recipients == (address,)


# The SMTP door: content.


@pytest.mark.parametrize(
    ("sent", "content"),
    [
        ("", b""),
        ("a\r\n", b"a\r\n"),
        ("..\r\n", b".\r\n"),
        ("..a\r\nb\r\n...\r\n", b".a\r\nb\r\n..\r\n"),
        ("no.dot\n.\nhere\r\n", b"no.dot\n.\nhere\r\n"),
        ("\xe4\r\n", b"\xc3\xa4\r\n"),
    ],
)
async def test_content_arrives_byte_for_byte(sent: str, content: bytes) -> None:
    """Stuffed dots are taken out, and nothing else is touched."""
    async with Simulator(FAST, keep_content=True) as simulator:
        assert (await mail(simulator, content=sent)).startswith("250 Ok ")
        assert [message.content for message in simulator.accepted] == [content]


async def test_content_that_comes_byte_by_byte() -> None:
    """The final dot is found however it is cut."""
    async with Simulator(FAST, keep_content=True) as simulator, logged_in(simulator) as conversation:
        await conversation.give()
        for byte in b"a\r\n..\r\n.\r\n":
            conversation.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await conversation.hear()).startswith("250 Ok ")
        assert simulator.accepted[0].content == b"a\r\n.\r\n"


@pytest.mark.parametrize("cut", range(1, 20))
def test_content_is_the_same_however_it_is_cut(cut: int) -> None:
    """Ended, content and what came behind do not depend on the pieces."""
    wire = b"..a\r\n.b\r\nc\r\n.\r\nQUIT\r\n"
    content = Content(100)
    content.feed(wire[:cut])
    if not content.ended:
        content.feed(wire[cut:])
        assert content.rest == b"QUIT\r\n"
    assert (content.ended, content.unstuffed(), content.size) == (True, b".a\r\nb\r\nc\r\n", 12)


@pytest.mark.parametrize("step", [1, 2, 3, 5, 1000])
def test_content_that_is_too_long_is_not_kept(step: int) -> None:
    """Its size is known, its end is found, and its memory is not used; a dot after a cut is no end."""
    wire = b"x" * 500 + b"\r\n..\r\n" + b"y" * 499 + b"\r\n.\r\n"
    content = Content(10)
    for begin in range(0, len(wire), step):
        assert not content.ended
        content.feed(wire[begin : begin + step])
    assert (content.ended, content.too_long, content.size) == (True, True, len(wire) - 3)


@pytest.mark.parametrize(("size", "reply"), [(100, "250 Ok "), (101, "552 Message is too long.")])
async def test_size_limit(size: int, reply: str) -> None:
    """A message at the limit passes, one byte more does not, and the session goes on."""
    async with Simulator(FAST, smtp=SMTPRules(max_size=100)) as simulator, logged_in(simulator) as conversation:
        assert (await conversation.send(content="x" * (size - 2) + "\r\n")).startswith(reply)
        await conversation.say("RSET")
        assert (await conversation.send(content="x\r\n")).startswith("250 Ok ")


@pytest.mark.parametrize(("number", "reply"), [(50, "250 Ok "), (51, "554 Transaction failed: Recipient count")])
async def test_recipients_are_counted_at_the_dot(number: int, reply: str) -> None:
    """All RCPT are accepted; 51 recipients are refused when the content has come."""
    async with Simulator(FAST) as simulator:
        assert (await mail(simulator, *(f"r{n}@example.com" for n in range(number)))).startswith(reply)
        assert (simulator.counts.recipients, simulator.counts.invalid) == ((50, 0) if number == 50 else (0, 1))


# The SMTP door: the habits of sessions.


async def test_a_refused_message_leaves_its_transaction_open() -> None:
    """MAIL without RSET is refused; RSET cures it."""
    async with Simulator(FEW) as simulator, logged_in(simulator) as conversation:
        await conversation.send()
        assert await conversation.send() == "454 Throttling failure: Maximum sending rate exceeded."
        assert await conversation.say("MAIL FROM:<sender@example.org>") == "503 Sender already specified."
        assert await conversation.say("RSET") == "250 Ok"
        assert await conversation.say("MAIL FROM:<sender@example.org>") == "250 Ok"


async def test_a_refused_message_may_end_its_transaction() -> None:
    """With `sticky=False` MAIL may follow at once, after a fault's refusal too."""
    rules = SMTPRules(sticky=False)
    faults = [Fault("dot", reply=SMTPText.TEMPORARY_FAILURE)]
    async with Simulator(FEW, smtp=rules, faults=faults) as simulator, logged_in(simulator) as conversation:
        assert await conversation.send() == SMTPText.TEMPORARY_FAILURE
        await conversation.send()
        assert await conversation.send() == SMTPText.RATE_EXCEEDED
        await conversation.give()


async def test_a_fault_that_refuses_leaves_the_transaction_open_too() -> None:
    """Like every other refusal at the dot."""
    faults = [Fault("dot", reply=SMTPText.NOT_VERIFIED)]
    async with Simulator(FAST, faults=faults) as simulator, logged_in(simulator) as conversation:
        assert await conversation.send() == SMTPText.NOT_VERIFIED
        assert await conversation.say("MAIL FROM:<sender@example.org>") == SMTPText.ALREADY_SPECIFIED


async def test_idle_sessions_are_told_and_closed() -> None:
    """The text comes unasked; then the connection ends."""
    async with Simulator(FAST, smtp=SMTPRules(idle_timeout=0.05)) as simulator, logged_in(simulator) as conversation:
        assert await conversation.hear() == "451 4.4.2 Timeout waiting for data from client."
        assert await conversation.hear() == ""


async def test_whoever_says_something_is_not_idle() -> None:
    """Each command, and each piece of content, starts the idle time anew."""
    async with Simulator(FAST, smtp=SMTPRules(idle_timeout=0.15)) as simulator, logged_in(simulator) as conversation:
        for _ in range(3):
            await asyncio.sleep(0.08)
            assert await conversation.say("NOOP") == "250 Ok"
        await conversation.give()
        for _ in range(3):
            conversation.writer.write(b"x\r\n")
            await asyncio.sleep(0.08)
        assert (await conversation.say(".")).startswith("250 Ok ")


async def test_idle_in_the_content() -> None:
    """A client that stops in its content is idle as well, and nothing is accepted."""
    async with Simulator(FAST, smtp=SMTPRules(idle_timeout=0.05)) as simulator, logged_in(simulator) as conversation:
        await conversation.give()
        assert await conversation.say("half a message") == SMTPText.IDLE
        assert simulator.counts.accepted == 0


async def test_a_slow_reply_is_not_the_clients_idleness() -> None:
    """The idle time runs only while the door waits for the client."""
    rules = SMTPRules(idle_timeout=0.08)
    async with Simulator(FAST, smtp=rules, latency=0.1) as simulator, connected(simulator) as conversation:
        assert (await conversation.hear()).startswith("220 ")
        await conversation.say("EHLO client")
        assert await conversation.say("AUTH LOGIN") == "334 VXNlcm5hbWU6"
        assert await conversation.say("dXNlcg==") == "334 UGFzc3dvcmQ6"
        assert await conversation.say("cGFzc3dvcmQ=") == SMTPText.AUTHENTICATED


@pytest.mark.parametrize(
    ("where", "line"),
    [("mail", "MAIL FROM:<a@example.org>"), ("rset", "RSET"), ("rset", "MAIL FROM:<a@example.org>")],
)
async def test_session_cap(where: Any, line: str) -> None:
    """After so many messages the next MAIL, or RSET, is answered with 421, and the session ends."""
    rules = SMTPRules(session_cap=2, session_cap_at=where)
    async with Simulator(FAST, smtp=rules) as simulator, logged_in(simulator) as conversation:
        await conversation.send()
        await conversation.send()
        assert await conversation.say(line) == (
            "421 Connection closed by server. Maximum message count per session reached."
        )
        assert await conversation.hear() == ""
        assert (await mail(simulator)).startswith("250 Ok ")


async def test_session_cap_at_mail_lets_rset_pass() -> None:
    """Only MAIL is told."""
    async with Simulator(FAST, smtp=SMTPRules(session_cap=1)) as simulator, logged_in(simulator) as conversation:
        await conversation.send()
        assert await conversation.say("RSET") == "250 Ok"
        assert await conversation.say("MAIL FROM:<a@example.org>") == SMTPText.SESSION_CAP


async def test_session_cap_at_the_dot() -> None:
    """The message beyond the cap comes in full, is not accepted, and ends the session."""
    rules = SMTPRules(session_cap=1, session_cap_at="dot")
    async with Simulator(FAST, smtp=rules) as simulator, logged_in(simulator) as conversation:
        await conversation.send()
        assert await conversation.send() == SMTPText.SESSION_CAP
        assert await conversation.hear() == ""
        assert simulator.counts.accepted == 1


async def test_refused_messages_count_for_the_session_cap() -> None:
    """A throttled message is one of the session's."""
    async with Simulator(FEW, smtp=SMTPRules(session_cap=2)) as simulator, logged_in(simulator) as conversation:
        await conversation.send()
        await conversation.send()
        await conversation.say("RSET")
        assert await conversation.say("MAIL FROM:<a@example.org>") == SMTPText.SESSION_CAP


async def test_connection_cap() -> None:
    """One connection too many is refused instead of greeted; a place that is given up can be taken."""
    async with Simulator(FAST, smtp=SMTPRules(max_connections=2)) as simulator:
        async with logged_in(simulator) as first, logged_in(simulator), connected(simulator) as third:
            assert await third.hear() == "421 Too many concurrent SMTP connections"
            assert await third.hear() == ""
            await first.say("QUIT")
            assert await first.hear() == ""
            async with connected(simulator) as fourth:
                assert (await fourth.hear()).startswith("220 ")
        assert simulator.counts.smtp_connections == 4


async def test_whoever_is_turned_away_keeps_nobody_out() -> None:
    """While one is still being told that it is too many, a place that has become free can be taken."""
    rules = SMTPRules(max_connections=1)
    async with Simulator(FAST, smtp=rules, latency=0.1) as simulator, connected(simulator) as first:
        await first.hear()
        async with connected(simulator) as second:
            await until(lambda: simulator.counts.smtp_connections == 2)
            first.writer.transport.abort()
            await asyncio.sleep(0.02)
            async with connected(simulator) as third:
                assert (await third.hear()).startswith("220 ")
            assert await second.hear() == SMTPText.TOO_MANY_CONNECTIONS


# TLS.


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_aiosmtplib_over_tls(tls: Any, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    """A real client gets in and out over both kinds of TLS."""
    async with (
        Simulator(FAST, smtp=SMTPRules(tls=tls, ssl_context=server_tls)) as simulator,
        aiosmtplib.SMTP(
            hostname="localhost",
            port=simulator.smtp_port,
            use_tls=tls == "implicit",
            start_tls=tls == "starttls",
            tls_context=client_tls,
            username="user",
            password="password",
        ) as client,
    ):
        await client.sendmail("sender@example.org", ["reader@example.com"], CONTENT)
        assert simulator.counts.accepted == 1


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_a_client_that_does_not_trust_leaves_nothing_behind(
    tls: Any, server_tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """The handshake fails at the client; here the connection ends without a word in the log, and frees its place."""
    rules = SMTPRules(tls=tls, ssl_context=server_tls, max_connections=1)
    async with Simulator(FAST, smtp=rules) as simulator:
        for _ in range(2):
            client = aiosmtplib.SMTP(
                hostname="localhost", port=simulator.smtp_port, use_tls=tls == "implicit", start_tls=tls == "starttls"
            )
            with pytest.raises((aiosmtplib.SMTPException, ssl.SSLError), match=r"(?i)certificate"):
                await client.connect()
            client.close()
            assert await settled() == 0
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("words", [b"", b"EHLO client\r\n"])
async def test_a_client_that_shakes_no_hands_is_closed(words: bytes, server_tls: ssl.SSLContext) -> None:
    """Implicit TLS: silence ends with the idle time, and words in clear at once; nothing is said in clear."""
    rules = SMTPRules(tls="implicit", ssl_context=server_tls, idle_timeout=0.05)
    async with Simulator(FAST, smtp=rules) as simulator, connected(simulator) as conversation:
        conversation.writer.write(words)
        async with asyncio.timeout(30):
            assert b"451" not in await conversation.reader.read()
        assert await settled() == 0


async def test_a_delay_in_the_content_is_not_the_clients_idleness() -> None:
    """A fault takes its time, and the idle time waits."""
    faults = [Fault("body", delay=0.12, at_byte=1)]
    async with Simulator(FAST, faults=faults, smtp=SMTPRules(idle_timeout=0.1)) as simulator:
        assert (await mail(simulator)).startswith("250 Ok ")


async def test_no_idle_time_after_a_silence_in_the_content() -> None:
    """Whatever else comes of the content: the door is like one that has gone away."""
    faults = [Fault("body", silent=True, at_byte=1)]
    rules = SMTPRules(idle_timeout=0.05)
    async with Simulator(FAST, faults=faults, smtp=rules) as simulator, logged_in(simulator) as conversation:
        await conversation.give()
        for line in (b"one\r\n", b"two\r\n"):
            conversation.writer.write(line)
            await asyncio.sleep(0.01)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await conversation.reader.read(1)


async def test_idle_over_tls(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    """The text comes through TLS."""
    rules = SMTPRules(tls="implicit", ssl_context=server_tls, idle_timeout=0.05)
    async with Simulator(FAST, smtp=rules) as simulator, connected(simulator, client_tls) as conversation:
        assert (await conversation.hear()).startswith("220 ")
        assert await conversation.hear() == SMTPText.IDLE
        assert await conversation.hear() == ""


async def test_connection_cap_over_tls(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    """The refusal too comes through TLS."""
    rules = SMTPRules(tls="implicit", ssl_context=server_tls, max_connections=0)
    async with Simulator(FAST, smtp=rules) as simulator, connected(simulator, client_tls) as conversation:
        assert await conversation.hear() == SMTPText.TOO_MANY_CONNECTIONS


@pytest.mark.parametrize("options", [{"tls": "starttls"}, {"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}])
def test_tls_needs_a_context_and_a_context_tls(options: dict[str, Any]) -> None:
    """A certificate is the caller's to bring."""
    with pytest.raises(ValueError, match="ssl_context"):
        SMTPRules(**options)


# Faults.

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
ORDINARY = {"connect": "220", "ehlo": "250", "auth": "235", "data": "354", "quit": "221", "starttls": "220"}
STAGES = ["connect", "starttls", "body", *STEPS]
DECIDING = [stage for stage in STAGES if stage not in ("connect", "body")]
"""The stages at which there is something to decide."""
AFTER = {End.KEEP: "open", End.CLOSE: "ended", End.CUT: "ended", End.RESET: "reset"}


def replies_and_ends(reply: Any) -> list[tuple[Any, End]]:
    """A reply, or none, with every end of the connection; without either, nothing would go wrong."""
    return [(text, end) for text in (reply, None) for end in End if text is not None or end is not End.KEEP]


PATIENCE = 0.1
"""Seconds after which a silence is one."""


def lines_up_to(stage: str) -> list[str]:
    """What a client says until it is at a stage."""
    if stage == "connect":
        return []
    if stage == "starttls":
        return ["EHLO client", "STARTTLS"]
    names = list(STEPS)
    return [STEPS[name] for name in names[: names.index("dot" if stage == "body" else stage) + 1]]


async def met(stage: str, simulator: Simulator, *, ends: bool = True, patience: float = 5) -> tuple[str, str]:
    """What a client meets at a stage: the reply, and how it stands with the connection afterwards."""
    async with connected(simulator) as conversation:
        try:
            async with asyncio.timeout(patience):
                reply = await conversation.hear()
                for line in lines_up_to(stage):
                    reply = await conversation.say(line)
        except ConnectionError:
            return "", "reset"
        except TimeoutError:
            return "", "open"
        try:
            async with asyncio.timeout(5 if ends else 0.01):
                assert await conversation.reader.read(1) == b""
        except ConnectionError:
            return reply, "reset"
        except TimeoutError:
            return reply, "open"
        return reply, "ended"


def rules_for(stage: str, server_tls: ssl.SSLContext) -> SMTPRules:
    """A door that has the stage."""
    return SMTPRules(tls="starttls", ssl_context=server_tls) if stage == "starttls" else SMTPRules()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("reply", "end"), replies_and_ends(SMTPText.NOT_AVAILABLE))
async def test_replies_and_ends_at_every_smtp_stage(
    stage: str, end: End, reply: str | None, server_tls: ssl.SSLContext
) -> None:
    """The reply, if there is one, instead of the ordinary one; then the end; nothing is accepted, no task is left."""
    fault = Fault(stage, reply=reply, end=end, at_byte=1)
    async with Simulator(FAST, faults=[fault], smtp=rules_for(stage, server_tls)) as simulator:
        assert await met(stage, simulator, ends=end is not End.KEEP) == (reply or "", AFTER[end])
        assert (simulator.faults.struck, simulator.faults.pending) == ([fault], [])
        assert simulator.counts.accepted == (stage == "quit")
        assert await settled() == 0


@pytest.mark.parametrize("decided", [True, False])
@pytest.mark.parametrize("stage", STAGES)
async def test_silence_at_every_smtp_stage(stage: str, decided: bool, server_tls: ssl.SSLContext) -> None:
    """No reply, the connection stays, and no task stays when the client has gone."""
    fault = Fault(stage, silent=True, decided=decided, at_byte=1)
    rules = attrs.evolve(rules_for(stage, server_tls), idle_timeout=PATIENCE * 0.8)
    async with Simulator(FAST, faults=[fault], smtp=rules) as simulator:
        expected = ("", "ended") if stage == "quit" and decided else ("", "open")
        assert await met(stage, simulator, patience=PATIENCE) == expected
        assert simulator.counts.accepted == (stage == "quit" or (stage == "dot" and decided))
        assert await settled() == 0


@pytest.mark.parametrize("decided", [True, False])
@pytest.mark.parametrize("stage", STAGES)
async def test_delay_at_every_smtp_stage(stage: str, decided: bool, server_tls: ssl.SSLContext) -> None:
    """The ordinary reply, later."""
    fault = Fault(stage, delay=0.03, decided=decided, at_byte=1)
    async with Simulator(FAST, faults=[fault], smtp=rules_for(stage, server_tls)) as simulator:
        began = asyncio.get_running_loop().time()
        reply, after = await met(stage, simulator, ends=stage == "quit")
        assert asyncio.get_running_loop().time() - began >= 0.03
        assert (reply[:3], after) == (ORDINARY.get(stage, "250"), "ended" if stage == "quit" else "open")


@pytest.mark.parametrize("end", [End.CLOSE, End.CUT, End.RESET])
@pytest.mark.parametrize("stage", DECIDING)
async def test_ends_after_the_decision_at_every_smtp_stage(stage: str, end: End, server_tls: ssl.SSLContext) -> None:
    """The client sees what it sees without the decision; a message was accepted all the same; no task is left."""
    fault = Fault(stage, end=end, decided=True)
    async with Simulator(FAST, faults=[fault], smtp=rules_for(stage, server_tls)) as simulator:
        assert await met(stage, simulator) == ("", AFTER[end])
        assert simulator.counts.accepted == (stage in ("dot", "quit"))
        assert await settled() == 0


@pytest.mark.parametrize("stage", [stage for stage in DECIDING if stage not in ("starttls", "quit")])
async def test_replies_after_the_decision_at_every_smtp_stage(stage: str) -> None:
    """The client is told otherwise, and yet it is done: the session can go on from there."""
    fault = Fault(stage, reply="250 otherwise", decided=True)
    async with Simulator(FAST, faults=[fault]) as simulator, connected(simulator) as conversation:
        await conversation.hear()
        names = [name for name in STEPS if name != "quit"]
        told = {name: await conversation.say(STEPS[name]) for name in names}
        assert told[stage] == "250 otherwise"
        assert [told[name][:3] for name in names if name != stage] == [
            ORDINARY.get(name, "250") for name in names if name != stage
        ]
        assert simulator.counts.accepted == 1


async def test_the_challenges_of_a_login_are_not_its_reply() -> None:
    """A fault after the decision strikes the reply to the password."""
    faults = [Fault("auth", reply=SMTPText.TEMPORARY_AUTH_FAILURE, decided=True)]
    async with Simulator(FAST, faults=faults) as simulator, connected(simulator) as conversation:
        await conversation.hear()
        await conversation.say("EHLO client")
        said = [await conversation.say(line) for line in ("AUTH LOGIN", "dXNlcg==", "cGFzc3dvcmQ=")]
        assert said == ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", SMTPText.TEMPORARY_AUTH_FAILURE]


@pytest.mark.parametrize("stage", ["dot", "send"])
async def test_skip_and_times_at_both_doors(stage: str) -> None:
    """One message passes, two are struck, and the next passes."""
    reply = SMTPText.TEMPORARY_FAILURE if stage == "dot" else APIReply(503, "ServiceUnavailable")
    async with Simulator(FAST, faults=[Fault(stage, reply=reply, skip=1, times=2)]) as simulator:
        passed = [
            (await mail(simulator)).startswith("250") if stage == "dot" else status(await request(simulator)) == 200
            for _ in range(4)
        ]
        assert passed == [True, False, False, True]


async def test_accepted_but_told_otherwise() -> None:
    """A refusal after the decision: the ledger has the message, and a retry is a duplicate."""
    async with Simulator(FAST, faults=[Fault("dot", reply=SMTPText.TEMPORARY_FAILURE, decided=True)]) as simulator:
        assert await mail(simulator) == SMTPText.TEMPORARY_FAILURE
        assert (await mail(simulator)).startswith("250 Ok ")
        assert list(simulator.duplicates().values()) == [1]


async def test_told_accepted_but_not() -> None:
    """An acceptance without a decision: nothing is in the ledger, and the session goes on."""
    faults = [Fault("dot", reply="250 Ok lost")]
    async with Simulator(FAST, faults=faults) as simulator, logged_in(simulator) as conversation:
        assert await conversation.send() == "250 Ok lost"
        assert simulator.accepted == []
        assert await conversation.send() == f"250 Ok {simulator.accepted[0].message_id}"


async def test_garbage() -> None:
    """Bytes go out as they are."""
    faults = [Fault("mail", reply=b"\xff\x00nonsense", end="close")]
    async with Simulator(FAST, faults=faults) as simulator, logged_in(simulator) as conversation:
        conversation.writer.write(b"MAIL FROM:<sender@example.org>\r\n")
        assert await conversation.reader.read() == b"\xff\x00nonsense"


@pytest.mark.parametrize("secure", [False, True])
async def test_cut_in_the_content(secure: bool, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    """At so many bytes of content the connection is lost, and nothing is accepted; over TLS it is no clean end."""
    rules = SMTPRules(tls="implicit", ssl_context=server_tls) if secure else SMTPRules()
    fault = Fault("body", end="cut", at_byte=1000)
    async with Simulator(FAST, faults=[fault], smtp=rules) as simulator:
        async with connected(simulator, client_tls if secure else None) as conversation:
            await conversation.hear()
            await conversation.log_in()
            await conversation.give()
            conversation.writer.write(b"x" * 999)
            await asyncio.sleep(0.02)
            assert simulator.faults.struck == [fault]
            assert not conversation.reader.at_eof()
            conversation.writer.write(b"x")
            async with asyncio.timeout(30):
                assert await conversation.reader.read() == b""
        assert simulator.counts.accepted == 0


@pytest.mark.parametrize("end", [End.CLOSE, End.CUT])
def test_close_says_so_over_tls_and_cut_does_not(
    end: End, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """A connection that is closed ends with TLS's own notice; one that is cut ends without."""
    rules = SMTPRules(tls="implicit", ssl_context=server_tls)
    with (
        Simulator(FAST, faults=[Fault("ehlo", end=end)], smtp=rules).in_thread() as simulator,
        socket.create_connection(("127.0.0.1", simulator.smtp_port), timeout=5) as plain,
        client_tls.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as secure,
    ):
        assert secure.recv(1000).startswith(b"220 ")
        secure.sendall(b"EHLO client\r\n")
        if end is End.CLOSE:
            assert secure.recv(1000) == b""
        else:
            with pytest.raises(ssl.SSLEOFError):
                secure.recv(1000)


async def test_a_content_shorter_than_the_fault_wants() -> None:
    """It strikes when the content has ended, at the latest."""
    async with Simulator(FAST, faults=[Fault("body", reply=SMTPText.TOO_LONG, at_byte=10**6)]) as simulator:
        assert await mail(simulator) == SMTPText.TOO_LONG
        assert simulator.counts.accepted == 0


async def test_a_reply_in_the_middle_of_the_content() -> None:
    """What comes of the content afterwards is passed over, and is not taken for commands."""
    faults = [Fault("body", reply=SMTPText.TEMPORARY_FAILURE, at_byte=4)]
    async with Simulator(FAST, faults=faults) as simulator, logged_in(simulator) as conversation:
        await conversation.give()
        assert await conversation.say("1234") == SMTPText.TEMPORARY_FAILURE
        conversation.writer.write(b"QUIT\r\n.\r\n")
        assert await conversation.say("RSET") == "250 Ok"
        assert (await conversation.send()).startswith("250 Ok ")


@pytest.mark.parametrize("text", SMTPText)
async def test_every_text_can_be_said(text: SMTPText) -> None:
    """As the reply to the dot, in one line."""
    async with Simulator(FAST, faults=[Fault("dot", reply=text)]) as simulator, logged_in(simulator) as conversation:
        await conversation.give()
        conversation.writer.write(b".\r\n")
        assert await conversation.reader.readline() == text.encode() + b"\r\n"


def test_a_plan_goes_through_its_faults() -> None:
    """`skip` and `times` count the times of the stage; the first that is due strikes, and others wait their turn."""
    first, second, third = Fault("dot", skip=1, times=2), Fault("dot", skip=2), Fault("mail")
    plan = Faults([first, second, third])
    assert [plan.draw(Stage.DOT) for _ in range(6)] == [None, first, first, second, None, None]
    assert plan.struck == [first, first, second]
    assert plan.pending == [third]
    plan.clear()
    assert plan.draw(Stage.MAIL) is None


def test_a_fault_for_ever() -> None:
    """`times=None` never ends."""
    plan = Faults([Fault("dot", times=None)])
    assert all(plan.draw(Stage.DOT) for _ in range(100))
    assert len(plan.pending) == 1


def test_chances_come_from_the_seed() -> None:
    """About as often as the probability says, and the same with the same seed."""

    def strikes(seed: int) -> list[bool]:
        plan = Faults([Fault("dot", probability=0.2, times=None)], seed)
        return [plan.draw(Stage.DOT) is not None for _ in range(1000)]

    assert strikes(1) == strikes(1) != strikes(2)
    assert 150 < sum(strikes(1)) < 250


@pytest.mark.parametrize(("stage", "reply"), [("dot", APIReply(500)), ("send", "500 no"), ("account", b"")])
def test_a_reply_fits_its_door(stage: str, reply: Any) -> None:
    """Text and bytes for SMTP, an APIReply for the API."""
    with pytest.raises(ValueError, match="answers with"):
        Fault(stage, reply=reply)


@pytest.mark.parametrize("options", [{"stage": "dott"}, {"stage": "dot", "end": "gone"}])
def test_a_fault_of_no_known_stage(options: dict[str, Any]) -> None:
    """A misspelt plan fails where it is made."""
    with pytest.raises(ValueError, match="is not a valid"):
        Fault(**options)


@pytest.mark.parametrize("path", [SEND, ACCOUNT])
@pytest.mark.parametrize("decided", [False, True])
@pytest.mark.parametrize(("reply", "end"), replies_and_ends(APIReply(503, "ServiceUnavailable", "Try later.")))
async def test_replies_and_ends_at_the_api_door(
    path: str, decided: bool, end: End, reply: APIReply | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The reply, if there is one, then the end; a decided send is accepted; no task is left, and no log."""
    fault = Fault("send" if path == SEND else "account", reply=reply, end=end, decided=decided)
    async with Simulator(FAST, faults=[fault]) as simulator:
        try:
            answer = await request(simulator, path)
        except ConnectionError:
            assert end is End.RESET
        else:
            assert (reply is not None) is answer.startswith(b"HTTP/1.1 503 ")
        assert simulator.faults.struck == [fault]
        assert simulator.counts.accepted == (decided and path == SEND)
        assert await settled() == 0
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("end", [End.KEEP, End.CLOSE])
async def test_a_reply_of_the_api_keeps_or_closes_the_connection(end: End) -> None:
    """For a client that would go on with the connection, it goes on or ends."""
    async with Simulator(FAST, faults=[Fault("account", reply=APIReply(500, body=b""), end=end)]) as simulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.api_port)
        asked = f"GET {ACCOUNT} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        writer.write(asked)
        assert status(await reader.readuntil(b"\r\n\r\n")) == 500
        if end is End.KEEP:
            writer.write(asked)
            assert status(await reader.readuntil(b"\r\n\r\n")) == 200
        else:
            async with asyncio.timeout(30):
                assert await reader.read() == b""
        writer.transport.abort()


@pytest.mark.parametrize("stage", ["send", "account"])
@pytest.mark.parametrize("decided", [False, True])
async def test_silence_of_the_api(stage: str, decided: bool) -> None:
    """No answer, until the client gives up; then no task is left."""
    async with Simulator(FAST, faults=[Fault(stage, silent=True, decided=decided)]) as simulator:
        async with api(simulator, patience=PATIENCE) as client:
            with pytest.raises(ReadTimeoutError):
                await (post(client) if stage == "send" else client.get_account())
        assert await settled() == 0
        assert simulator.counts.accepted == (decided and stage == "send")


@pytest.mark.parametrize("path", [SEND, ACCOUNT])
@pytest.mark.parametrize("decided", [False, True])
async def test_delay_of_the_api(path: str, decided: bool) -> None:
    """The ordinary answer, later."""
    fault = Fault("send" if path == SEND else "account", delay=0.05, decided=decided)
    async with Simulator(FAST, faults=[fault]) as simulator:
        began = asyncio.get_running_loop().time()
        assert status(await request(simulator, path)) == 200
        assert asyncio.get_running_loop().time() - began >= 0.05


async def test_reset_of_the_api_as_the_sdk_sees_it() -> None:
    """A connection error, and the message may have been accepted."""
    faults = [Fault("send", end="reset", decided=True)]
    async with Simulator(FAST, faults=faults) as simulator, api(simulator) as client:
        with pytest.raises(BotoConnectionError):
            await post(client)
        assert simulator.counts.accepted == 1


@pytest.mark.parametrize("body", [b"<html>", b"{}"])
async def test_odd_bodies_of_the_api(body: bytes) -> None:
    """They go out as they are, with the status that is asked for."""
    async with Simulator(FAST, faults=[Fault("send", reply=APIReply(200, body=body))]) as simulator:
        assert (await request(simulator)).endswith(b"\r\n\r\n" + body)
        assert simulator.counts.accepted == 0


async def test_a_fault_of_the_sends_spares_other_requests() -> None:
    """Neither GetAccount nor an unknown operation uses it up."""
    async with Simulator(FAST, faults=[Fault("send", reply=APIReply(500))]) as simulator:
        assert status(await request(simulator, ACCOUNT)) == 200
        assert status(await request(simulator, "/v2/email/identities")) == 404
        assert status(await request(simulator)) == 500


# The API door.


async def test_send_email_as_the_sdk_sees_it() -> None:
    """A message id of the service's form, and the message in the ledger."""
    async with Simulator(FAST, keep_content=True) as simulator, api(simulator) as client:
        message_id = await post(client, "a@example.com", "b@example.com")
        assert MESSAGE_ID.fullmatch(message_id)
        (message,) = simulator.accepted
        assert (message.message_id, message.door, message.mail_from) == (message_id, "api", "sender@example.org")
        assert (message.recipients, message.content) == (("a@example.com", "b@example.com"), CONTENT.encode())


async def test_recipients_of_every_kind() -> None:
    """To, Cc and Bcc count alike."""
    destination = {"ToAddresses": ["a@x.org"], "CcAddresses": ["b@x.org"], "BccAddresses": ["c@x.org"]}
    async with Simulator(FAST) as simulator, api(simulator) as client:
        await client.send_email(Destination=destination, Content={"Raw": {"Data": CONTENT.encode()}})
        (message,) = simulator.accepted
        assert (message.recipients, message.mail_from) == (("a@x.org", "b@x.org", "c@x.org"), "sender@example.org")


async def test_fifty_recipients_are_not_too_many() -> None:
    """By the API as by SMTP."""
    async with Simulator(FAST) as simulator:
        assert status(await request(simulator, body=raw(*(f"r{n}@x.org" for n in range(50))))) == 200
        assert simulator.counts.recipients == 50


async def test_recipients_from_the_headers() -> None:
    """Without a destination, those that the message names."""
    content = "From: s@example.org\r\nTo: A <a@x.org>, b@x.org\r\nBcc: c@x.org\r\n\r\nHello\r\n"
    async with Simulator(FAST) as simulator:
        assert status(await request(simulator, body=raw(content=content))) == 200
        assert simulator.accepted[0].recipients == ("a@x.org", "b@x.org", "c@x.org")


async def test_errors_as_the_sdk_parses_them() -> None:
    """The rate and the day are one exception with two messages."""
    quota: dict[str, Any] = {"max_24_hour_send": 1, "depth": 3 / FEW}
    async with Simulator(FEW) as simulator, api(simulator) as client:
        await post(client)
        assert await error(post(client)) == (429, "TooManyRequestsException", "Maximum sending rate exceeded.")
    async with Simulator(FEW, **quota) as simulator, api(simulator) as client:
        await post(client)
        assert await error(post(client)) == (429, "TooManyRequestsException", "Daily message quota exceeded.")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "MessageRejected"),
        (400, "AccountSuspendedException"),
        (400, "SendingPausedException"),
        (400, "MailFromDomainNotVerifiedException"),
        (404, "NotFoundException"),
        (500, "InternalServiceErrorException"),
    ],
)
async def test_errors_on_command(status: int, code: str) -> None:
    """Every error of the service's model arrives in the SDK with its code and its message."""
    faults = [Fault("send", reply=APIReply(status, code, "So it is."))]
    async with Simulator(FAST, faults=faults) as simulator, api(simulator) as client:
        assert await error(post(client)) == (status, code, "So it is.")


@pytest.mark.parametrize(
    ("credentials", "code"), [("unknown", "UnrecognizedClientException"), ("expired", "ExpiredTokenException")]
)
async def test_credentials_of_the_api(credentials: Any, code: str) -> None:
    """Refused signatures, for both operations."""
    async with Simulator(FAST, api=APIRules(credentials=credentials)) as simulator, api(simulator) as client:
        assert (await error(post(client)))[:2] == (403, code)
        assert (await error(client.get_account()))[:2] == (403, code)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "The simulator takes JSON"),
        (b"[]", "The simulator takes JSON"),
        (b'{"Content": {"Simple": {}}}', "The simulator takes JSON"),
        (b'{"Content": {"Raw": {"Data": "###"}}}', "The simulator takes JSON"),
        (b'{"Content": {"Raw": {"Data": ""}}, "Destination": "a@x.org"}', "The simulator takes JSON"),
        (raw(content="Subject: to nobody\r\n\r\n"), "Missing required destination."),
        (raw("postmaster"), "Missing final '@domain'"),
        (raw(*(f"r{n}@x.org" for n in range(51))), "Recipient count exceeds 50."),
        (raw("a@x.org", content="x" * 101), "Message length"),
    ],
)
async def test_requests_that_make_no_sense(body: bytes, words: str) -> None:
    """400 BadRequestException, and nothing is charged."""
    async with Simulator(FAST, api=APIRules(max_size=100)) as simulator:
        answer = await request(simulator, body=body)
        assert status(answer) == 400
        assert b"x-amzn-ErrorType: BadRequestException\r\n" in answer
        assert told(answer)["message"].startswith(words)
        assert (simulator.counts.accepted, simulator.counts.invalid) == (0, 1)


@pytest.mark.parametrize("head", [b"Content-Length: 999999999", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("path", [SEND, "/v2/email/unheard-of"])
async def test_a_request_that_is_too_long(head: bytes, path: str) -> None:
    """It is not read to its end: the answer comes before, and nothing of it is kept."""
    chunk = b"%x\r\n%s\r\n" % (2**20, b"x" * 2**20) if head.startswith(b"Transfer") else b"x" * 2**20
    async with Simulator(FAST, api=APIRules(max_size=100)) as simulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.api_port)
        writer.write(b"POST %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n" % (path.encode(), head))
        for _ in range(4):
            writer.write(chunk)
        async with asyncio.timeout(30):
            answer = await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
        assert status(answer) == (413 if path == SEND else 404)
        assert simulator.counts.invalid == (path == SEND)


async def test_a_request_as_long_as_it_may_be() -> None:
    """A message of the greatest size goes through with all that may be beside it; a byte more does not."""
    async with Simulator(FAST, api=APIRules(max_size=3_000)) as simulator:
        beside = [f"{'r' * 200}{number}@example.org" for number in range(50)]
        assert status(await request(simulator, body=raw(*beside, content="x" * 3_000))) == 200
        answer = await request(simulator, body=raw(content="x" * 3_001))
        assert told(answer)["message"] == "Message length is more than 3000 bytes long: '3001'."


async def test_a_large_message() -> None:
    """Ten megabytes go through either door."""
    content = CONTENT + "x" * 78 * 128_000 + "\r\n"
    async with Simulator(FAST) as simulator:
        assert status(await request(simulator, body=raw("a@x.org", content=content))) == 200
        assert (await mail(simulator, "a@x.org", content=content)).startswith("250 Ok ")
        assert [message.size for message in simulator.accepted] == [len(content)] * 2


async def test_get_account_as_the_sdk_sees_it() -> None:
    """The three figures of the quota and the state of the account."""
    async with Simulator(14, max_24_hour_send=50_000, sent_last_24_hours=7) as simulator, api(simulator) as client:
        await post(client, "a@x.org", "b@x.org")
        account = await client.get_account()
        assert account["SendQuota"] == {"Max24HourSend": 50_000.0, "MaxSendRate": 14.0, "SentLast24Hours": 9.0}
        assert (account["SendingEnabled"], account["ProductionAccessEnabled"]) == (True, True)
        assert account["EnforcementStatus"] == "HEALTHY"


async def test_what_was_sent_before_is_told_from_the_start() -> None:
    """Before the first message too."""
    async with Simulator(14, sent_last_24_hours=7) as simulator:
        assert told(await request(simulator, ACCOUNT))["SendQuota"]["SentLast24Hours"] == 7


async def test_get_account_tells_what_it_is_told() -> None:
    """Every figure that can be made to differ from the truth."""
    rules = APIRules(
        max_send_rate=20, sending_enabled=False, production_access_enabled=False, enforcement_status="PROBATION"
    )
    async with Simulator(14, api=rules) as simulator:
        account = told(await request(simulator, ACCOUNT))
        assert account["SendQuota"]["MaxSendRate"] == 20
        assert (account["SendingEnabled"], account["ProductionAccessEnabled"]) == (False, False)
        assert account["EnforcementStatus"] == "PROBATION"


async def test_get_account_follows_the_schedule() -> None:
    """MaxSendRate is the rate in force."""
    rules = APIRules(get_account_rate=100)
    async with Simulator(Schedule(((0, 100), (0.15, 50))), api=rules) as simulator:
        await request(simulator)
        assert told(await request(simulator, ACCOUNT))["SendQuota"]["MaxSendRate"] == 100
        await asyncio.sleep(0.16)
        assert told(await request(simulator, ACCOUNT))["SendQuota"]["MaxSendRate"] == 50


async def test_get_account_has_its_own_limit() -> None:
    """One a second is answered; the next is told so; sending is not touched."""
    async with Simulator(FAST) as simulator, api(simulator) as client:
        await client.get_account()
        assert await error(client.get_account()) == (429, "TooManyRequestsException", "Rate exceeded")
        await post(client)


@pytest.mark.parametrize("rate", [0.5, 10])
async def test_get_accounts_limit_is_a_knob(rate: float) -> None:
    """So many requests/s: a burst of one second's worth, and the next when its time has come."""
    async with Simulator(FAST, api=APIRules(get_account_rate=rate)) as simulator:
        answers = [status(await request(simulator, ACCOUNT)) for _ in range(int(rate) + 4)]
        assert answers[: max(1, int(rate))] == [200] * max(1, int(rate))
        assert 429 in answers
        await asyncio.sleep(0.15)
        assert status(await request(simulator, ACCOUNT)) == (200 if rate > 1 else 429)


@pytest.mark.parametrize(
    ("rule", "expected"), [("denied", (403, "AccessDeniedException")), ("throttled", (429, "TooManyRequestsException"))]
)
async def test_get_account_may_be_refused(rule: Any, expected: tuple[int, str]) -> None:
    """Denied by policy, or throttled by somebody else's requests."""
    async with Simulator(FAST, api=APIRules(get_account=rule)) as simulator, api(simulator) as client:
        assert (await error(client.get_account()))[:2] == expected


async def test_sent_last_24_hours_lags() -> None:
    """The figure is as old as the rule allows."""
    rules = APIRules(sent_lag=0.15, get_account_rate=100)
    async with Simulator(FAST, api=rules) as simulator:
        told_before = told(await request(simulator, ACCOUNT))
        await request(simulator)
        told_at_once = told(await request(simulator, ACCOUNT))
        await asyncio.sleep(0.16)
        told_later = told(await request(simulator, ACCOUNT))
        answers = (told_before, told_at_once, told_later)
        assert [answer["SendQuota"]["SentLast24Hours"] for answer in answers] == [0, 0, 1]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_unknown_operations(method: str) -> None:
    """The simulator says which two it has."""
    async with Simulator(FAST) as simulator:
        answer = await request(simulator, "/v2/email/identities", method=method)
        assert (status(answer), told(answer)["message"]) == (404, "The simulator has SendEmail and GetAccount only.")


# One account behind both doors.


async def test_both_doors_draw_on_one_bucket() -> None:
    """Three tokens: one by SMTP, one by the API, one by SMTP, and then neither."""
    async with Simulator(FEW, depth=3 / FEW) as simulator:
        assert (await mail(simulator)).startswith("250 Ok ")
        assert status(await request(simulator)) == 200
        assert (await mail(simulator)).startswith("250 Ok ")
        assert await mail(simulator) == "454 Throttling failure: Maximum sending rate exceeded."
        assert status(await request(simulator)) == 429
        counts = simulator.counts
        assert (counts.accepted, counts.throttled, counts.api_requests, counts.smtp_connections) == (3, 2, 2, 3)


async def test_recipients_are_what_the_bucket_counts() -> None:
    """A message of 30 recipients empties a bucket of 20 and ten more."""
    async with Simulator(100, depth=0.2) as simulator:
        assert (await mail(simulator, *(f"r{n}@example.com" for n in range(30)))).startswith("250 Ok ")
        assert await mail(simulator) == SMTPText.RATE_EXCEEDED
        await asyncio.sleep(0.12)
        assert (await mail(simulator)).startswith("250 Ok ")


async def test_the_rate_over_a_stretch_of_time() -> None:
    """Whoever empties the bucket, and then never stops asking, has the bucket and the rate accepted, to one message."""
    async with Simulator(100, depth=0.5) as simulator, logged_in(simulator) as conversation:
        clock = asyncio.get_running_loop().time
        before = clock()
        reply = await conversation.send(*(f"r{n}@example.com" for n in range(50)))
        emptied = asked = clock()
        while asked < emptied + 0.2 or reply.startswith("250"):
            asked = clock()
            reply = await conversation.send()
            await conversation.say("RSET")
        recipients = simulator.counts.recipients
        assert 49 + 100 * (asked - emptied) <= recipients <= 50 + 100 * (clock() - before)


async def test_the_rate_follows_a_schedule() -> None:
    """Seconds are counted from the first message."""
    schedule = Schedule(((0, FEW), (0.15, FAST)))
    async with Simulator(schedule) as simulator, logged_in(simulator) as conversation:
        assert (await conversation.send()).startswith("250")
        assert await conversation.send() == SMTPText.RATE_EXCEEDED
        await conversation.say("RSET")
        await asyncio.sleep(0.16)
        assert (await conversation.send()).startswith("250")


async def test_refusals_may_cost_tokens() -> None:
    """A refusal at a high price puts the next acceptance off."""
    async with Simulator(5, depth=0.2, refusal_cost=100) as simulator, logged_in(simulator) as conversation:
        await conversation.send()
        assert await conversation.send() == SMTPText.RATE_EXCEEDED
        await asyncio.sleep(0.2)
        await conversation.say("RSET")
        assert await conversation.send() == SMTPText.RATE_EXCEEDED


async def test_the_day_rolls_on_a_scaled_clock() -> None:
    """Refused by both doors, then quota comes back."""
    async with Simulator(FAST, max_24_hour_send=1, day=0.18) as simulator:
        assert (await mail(simulator)).startswith("250 Ok ")
        assert await mail(simulator) == "454 Throttling failure: Daily message quota exceeded."
        assert told(await request(simulator))["message"] == "Daily message quota exceeded."
        assert simulator.counts.quota_exceeded == 2
        await asyncio.sleep(0.19)
        assert (await mail(simulator)).startswith("250 Ok ")


async def test_what_was_sent_before_counts_for_the_day() -> None:
    """An account that starts at its quota is told so."""
    async with Simulator(FAST, max_24_hour_send=5, sent_last_24_hours=5) as simulator:
        assert await mail(simulator) == SMTPText.QUOTA_EXCEEDED


@pytest.mark.parametrize("latency", [0.02, (0.02, 0.025)])
async def test_latency_before_every_reply(latency: Any) -> None:
    """Of either door; the message is decided before it."""
    async with Simulator(FAST, latency=latency) as simulator, connected(simulator) as conversation:
        loop = asyncio.get_running_loop()
        took: list[float] = []
        began = loop.time()
        await conversation.hear()
        took.append(loop.time() - began)
        for line in list(STEPS.values()):
            began = loop.time()
            await conversation.say(line)
            took.append(loop.time() - began)
        began = loop.time()
        await request(simulator, ACCOUNT)
        assert min(*took, loop.time() - began) >= 0.0199


async def test_a_message_is_decided_before_the_latency() -> None:
    """It is in the ledger while its client still waits."""
    async with Simulator(FAST, latency=0.1) as simulator:
        sending = asyncio.create_task(request(simulator))
        await until(lambda: simulator.counts.accepted == 1)
        assert not sending.done()
        assert status(await sending) == 200


async def test_the_seed_makes_message_ids() -> None:
    """The same seed, the same ids."""

    async def first_id(seed: int) -> str:
        async with Simulator(FAST, seed=seed) as simulator:
            await mail(simulator)
            return simulator.accepted[0].message_id

    assert await first_id(1) == await first_id(1) != await first_id(2)


# The ledger.


def keyed(key: str) -> str:
    """Content with a key."""
    return f"X-Seslimit-Key: {key}\r\n{CONTENT}"


async def test_what_the_ledger_knows_of_a_message() -> None:
    """Envelope, key, size and door, and no content unless asked."""
    async with Simulator(FAST) as simulator:
        reply = await mail(simulator, "a@x.org", "b@x.org", content=keyed("ada-7"))
        (message,) = simulator.accepted
        assert reply == f"250 Ok {message.message_id}"
        assert (message.key, message.mail_from, message.recipients) == (
            "ada-7",
            "sender@example.org",
            ("a@x.org", "b@x.org"),
        )
        assert (message.size, message.content, message.door) == (len(keyed("ada-7")), None, "smtp")
        assert message.at <= asyncio.get_running_loop().time()


async def test_duplicates_and_missing_by_key() -> None:
    """A key that came three times is there twice too often, through whichever door."""
    async with Simulator(FAST) as simulator:
        for key in ("a", "b", "b"):
            await mail(simulator, content=keyed(key))
        await request(simulator, body=raw("a@x.org", content=keyed("b")))
        assert simulator.duplicates() == {"b": 2}
        assert simulator.missing(["c", "a", "d"]) == ["c", "d"]


async def test_without_a_key_content_and_recipients_say_which_message_it_is() -> None:
    """The same content to somebody else is another message; a key in the body is none."""
    async with Simulator(FAST) as simulator:
        await mail(simulator, "a@x.org")
        await mail(simulator, "b@x.org")
        await mail(simulator, content=CONTENT + keyed("x"))
        assert simulator.duplicates() == {}
        assert simulator.missing(["x"]) == ["x"]
        await mail(simulator, "a@x.org")
        assert list(simulator.duplicates().values()) == [1]


async def test_tally() -> None:
    """Figures of a stretch of time since the first decision."""
    async with Simulator(FEW, depth=3 / FEW) as simulator:
        await mail(simulator, "a@x.org", "b@x.org", "c@x.org")
        await mail(simulator)
        assert simulator.tally(0, 5) == Tally(recipients=3, accepted=1, throttled=1, quota_exceeded=0)
        assert simulator.tally(5, 10) == Tally(0, 0, 0, 0)


@pytest.mark.parametrize(("limit", "kept"), [(None, ["a", "b", "c"]), (2, ["b", "c"]), (0, [])])
async def test_the_ledger_keeps_the_latest(limit: int | None, kept: list[str]) -> None:
    """Counts and keys cover all messages all the same."""
    async with Simulator(FAST, ledger_limit=limit) as simulator:
        for key in ("a", "b", "c"):
            await mail(simulator, content=keyed(key))
        assert [message.key for message in simulator.accepted] == kept
        assert (simulator.counts.accepted, simulator.missing(["a", "b", "c"])) == (3, [])


# Opening, closing, threads.


async def test_closing_breaks_off_what_is_open(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """Idle, silent, half-sent, delayed, and before the handshake: closing takes no time, and leaves no task."""
    faults = [Fault("send", silent=True), Fault("noop", silent=True), Fault("account", delay=60)]
    secure = Simulator(FAST, smtp=SMTPRules(tls="implicit", ssl_context=server_tls))
    async with contextlib.AsyncExitStack() as clients:
        await secure.open()
        simulator = Simulator(FAST, faults=faults)
        await simulator.open()
        idle, silent, half = [await clients.enter_async_context(logged_in(simulator)) for _ in range(3)]
        silent.writer.write(b"NOOP\r\n")
        await half.give()
        half.writer.write(b"half a message")
        await clients.enter_async_context(connected(secure, client_tls))
        await clients.enter_async_context(connected(secure))
        unanswered = [asyncio.create_task(request(simulator, path)) for path in (SEND, ACCOUNT)]
        _, keep_alive = await asyncio.open_connection("127.0.0.1", simulator.api_port)
        await until(lambda: len(simulator.faults.struck) == 3)
        began = asyncio.get_running_loop().time()
        await asyncio.gather(simulator.aclose(), secure.aclose())
        assert asyncio.get_running_loop().time() - began < 0.5
        assert await idle.hear() == ""
        keep_alive.transport.abort()
        await asyncio.gather(*unanswered, return_exceptions=True)
    assert await settled() == 0
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_closing_twice_and_before_opening() -> None:
    """It does nothing."""
    simulator = Simulator()
    await simulator.aclose()
    await simulator.open()
    await simulator.aclose()
    await simulator.aclose()


async def test_a_simulator_can_be_opened_again() -> None:
    """With the ledger it had."""
    simulator = Simulator(FAST)
    for number in (1, 2):
        async with simulator:
            await mail(simulator)
            assert simulator.counts.accepted == number


@pytest.mark.parametrize("door", ["smtp_port", "api_port"])
async def test_a_port_that_is_taken(door: str) -> None:
    """The error reaches who opens, and the other door is closed again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        simulator = Simulator(**{door: taken.getsockname()[1]})
        with pytest.raises(OSError, match="in use"):
            await simulator.open()
    assert await settled() == 0
    if door == "api_port":
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", simulator.smtp_port)


@pytest.mark.parametrize("door", ["smtp_port", "api_port"])
def test_a_port_that_is_taken_in_a_thread(door: str) -> None:
    """The error reaches the thread that asked, and no other."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        before = threading.active_count()
        with (
            pytest.raises(OSError, match="in use"),
            Simulator(**{door: taken.getsockname()[1]}).in_thread(),
        ):
            pytest.fail("it has started")
        assert threading.active_count() == before


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_in_a_thread(host: str) -> None:
    """A blocking client hands a message over; the thread ends with the block."""
    before = threading.active_count()
    with Simulator(FAST, host=host).in_thread() as simulator:
        with smtplib.SMTP(host, simulator.smtp_port) as client:
            client.login("user", "password")
            client.sendmail("sender@example.org", "reader@example.com", CONTENT)
        assert simulator.counts == Counts(accepted=1, recipients=1, smtp_connections=1)
    assert threading.active_count() == before


def test_an_error_in_the_block_ends_the_thread() -> None:
    """And passes through."""
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), Simulator().in_thread():
        raise ZeroDivisionError
    assert threading.active_count() == before


def test_the_ledger_can_be_read_while_it_is_written() -> None:
    """From another thread, again and again, and it is never in the middle of something."""
    with Simulator(1e9, ledger_limit=50).in_thread() as simulator:

        async def flood() -> None:
            async with logged_in(simulator) as conversation:
                for number in range(200):
                    await conversation.send(content=keyed(str(number // 2)))

        flooding = threading.Thread(target=lambda: asyncio.run(flood()))
        flooding.start()
        while flooding.is_alive():
            assert len(simulator.accepted) <= 50
            assert sum(simulator.duplicates().values()) <= 100
            assert simulator.tally(0, 100).accepted <= 200
            simulator.missing(["0"])
            flooding.join(0.0005)
        assert (simulator.counts.accepted, len(simulator.duplicates())) == (200, 100)


def test_fixture(ses_simulator: Callable[..., Simulator]) -> None:
    """It makes simulators that run, as many as a test wants, with any option."""
    first, second = ses_simulator(FAST), ses_simulator(rate=FEW, depth=0)
    for simulator in (first, second):
        with smtplib.SMTP("127.0.0.1", simulator.smtp_port) as client:
            client.login("user", "password")
            client.send_message(letter())
    with smtplib.SMTP("127.0.0.1", second.smtp_port) as client:
        client.login("user", "password")
        with pytest.raises(smtplib.SMTPDataError, match="Maximum sending rate exceeded"):
            client.send_message(letter())
    assert (first.counts.accepted, second.counts.throttled) == (1, 1)


def letter() -> EmailMessage:
    """A message of the standard library."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "sender@example.org", "reader@example.com", "hello"
    message.set_content("Good morning.")
    return message


def test_the_example_of_the_documentation(pytester: pytest.Pytester) -> None:
    """The first block of the page on the simulator is a test that passes as it stands."""
    page = (Path(__file__).parent.parent / "docs" / "simulator.md").read_text()
    pytester.makepyfile(page.partition("```python\n")[2].partition("```")[0])
    options = ("-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function")
    pytester.runpytest_inprocess(*options).assert_outcomes(passed=1)


def test_the_fixture_closes_its_simulators(pytester: pytest.Pytester) -> None:
    """After the test; any project that has seslimit installed has the fixture."""
    pytester.makepyfile(
        """
        import socket, threading
        import pytest

        started = []

        def test_start(ses_simulator):
            started.append(ses_simulator(rate=14))
            socket.create_connection(("127.0.0.1", started[0].smtp_port)).close()

        def test_gone():
            assert [thread.name for thread in threading.enumerate()] == ["MainThread"]
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", started[0].smtp_port))
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:randomly").assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("rules", "pattern"),
    [
        (SMTPRules(), r"smtp://user:password@127\.0\.0\.1:\d+\?tls=none"),
        (SMTPRules(credentials=("a@b", "p/w")), r"smtp://a%40b:p%2Fw@127\.0\.0\.1:\d+\?tls=none"),
        (
            SMTPRules(tls="starttls", ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)),
            r"smtp://user:password@127\.0\.0\.1:\d+",
        ),
        (
            SMTPRules(tls="implicit", ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)),
            r"smtps://user:password@127\.0\.0\.1:\d+",
        ),
    ],
)
async def test_urls(rules: SMTPRules, pattern: str) -> None:
    """What to give to a transport."""
    async with Simulator(smtp=rules) as simulator:
        assert re.fullmatch(pattern, simulator.smtp_url)
        assert simulator.api_url == f"http://127.0.0.1:{simulator.api_port}"
        assert simulator.ses_url.startswith("ses://us-east-1?endpoint_url=http%3A%2F%2F127.0.0.1%3A")


def test_urls_of_an_ipv6_address() -> None:
    """In brackets, or its colons would be the port's."""
    simulator = Simulator(host="::1")
    assert simulator.smtp_url == "smtp://user:password@[::1]:0?tls=none"
    assert simulator.api_url == "http://[::1]:0"


async def test_many_connections_at_once() -> None:
    """Two hundred clients come in the same moment, and all are served."""
    async with Simulator(FAST) as simulator:
        replies: Sequence[str] = await asyncio.gather(*(mail(simulator) for _ in range(200)))
        assert all(reply.startswith("250 Ok ") for reply in replies)
        assert simulator.counts.accepted == simulator.counts.smtp_connections == 200
        assert await settled() == 0


@pytest.mark.parametrize("package", ["aiosmtpd", "aiohttp"])
def test_without_the_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence that names the package and the remedy."""
    for name in [name for name in sys.modules if name.startswith(("seslimit.testing._", f"{package}."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError, match=rf"needs the package {package}.*seslimit\[sim\]"):
        seslimit.testing.Simulator  # noqa: B018


def test_a_misspelt_name() -> None:
    """The module has what it has."""
    with pytest.raises(AttributeError, match="Simulatr"):
        seslimit.testing.Simulatr  # noqa: B018


def test_without_the_extra_the_account_can_be_used() -> None:
    """Nothing but `Simulator` imports the servers."""
    script = "import sys, seslimit.testing; seslimit.testing.SimulatedAccount(14); print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"aiosmtpd", "aiohttp"} & set(printed)
