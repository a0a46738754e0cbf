"""The SMTP transport against servers that speak SMTP on loopback, as SES does and as SES does not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import ssl
import struct
import traceback
from collections.abc import AsyncIterator, Generator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme

from seslimit._model.errors import ConfigurationError, TransportError
from seslimit._model.message import Message
from seslimit._model.outcome import Outcome, Stage
from seslimit._model.report import Receipt
from seslimit.transports import _pool, transport_from_url
from seslimit.transports._secret import HIDDEN, encoded
from seslimit.transports.smtp import SMTPTransport, derive_smtp_password

RATE = "454 Throttling failure: Maximum sending rate exceeded."
DAY = "454 Throttling failure: Daily message quota exceeded."
IDLE = "451 4.4.2 Timeout waiting for data from client."
SESSION_CAP = "421 Connection closed by server. Maximum message count per session reached."
TOO_MANY = "421 Too many concurrent SMTP connections"
PASSWORD = "BLBM/9hSUELfq8Gw"
CONTENT = b"From: sender@example.org\r\nSubject: hello\r\n\r\nGood morning.\r\n"

CLOSE = object()
"""Instead of a reply: close the connection."""
RESET = object()
"""Instead of a reply: reset the connection."""
SILENCE = object()
"""Instead of a reply: say nothing, and keep the connection."""


@attrs.define(eq=False)
class ScriptedServer:
    """
    An SMTP server that follows a script where there is one, and takes everything else as SES does.

    Args:
        script: for a stage, what happens instead of the ordinary reply, one entry for each time it is reached: text,
            one of the words above, or None for the ordinary reply.
        tls: for STARTTLS, or from the first byte where `implicit`.
        latency: seconds before the reply to the dot.
    """

    script: dict[str, list[Any]] = attrs.field(factory=dict)
    tls: ssl.SSLContext | None = None
    implicit: bool = False
    latency: float = 0.0
    offers: tuple[str, ...] = ("8BITMIME", "SIZE 10485760", "AUTH PLAIN LOGIN")
    port: int = 0
    lines: list[list[str]] = attrs.field(factory=list)
    """For each connection, the lines that came."""
    contents: int = 0
    """Contents that came as a whole, dot included."""
    accepted: list[tuple[str, tuple[str, ...], bytes]] = attrs.field(factory=list)
    open_now: int = 0
    most_open: int = 0
    _tasks: set[asyncio.Task[None]] = attrs.field(factory=set)

    def commands(self, connection: int = -1) -> list[str]:
        """The first words that came over a connection."""
        return [line.split()[0].upper() for line in self.lines[connection]]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[ScriptedServer]:
        """Listen, on a port that is then known."""
        context = self.tls if self.implicit else None
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context, limit=2**26)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            if self._tasks:
                # What the client wrote last is still to be read.
                await asyncio.wait(self._tasks, timeout=0.02)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        lines: list[str] = []
        self.lines.append(lines)
        try:
            await self._converse(reader, writer, lines)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            self.open_now -= 1
            self._tasks.discard(task)
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lines: list[str]) -> None:
        mail_from, recipients = "", list[str]()
        await self._reply(writer, "connect", "220 email-smtp.example.org ESMTP")
        while line := (await reader.readline()).decode().rstrip("\r\n"):
            lines.append(line)
            stage, ordinary = self._ordinary(line, writer)
            if stage == "mail":
                mail_from, recipients = line[11:].partition(">")[0], []
            reply = await self._reply(writer, stage, ordinary)
            if stage == "rcpt" and reply.startswith("250"):
                recipients.append(line[9:-1])
            elif stage == "starttls" and reply.startswith("220"):
                assert self.tls is not None
                await writer.start_tls(self.tls)
            elif stage == "data" and reply.startswith("354"):
                content = await reader.readuntil(b"\r\n.\r\n")
                self.contents += 1
                if (await self._reply(writer, "dot", f"250 Ok {len(self.accepted):016x}-000000")).startswith("250"):
                    self.accepted.append((mail_from, tuple(recipients), content[:-3]))

    def _ordinary(self, line: str, writer: asyncio.StreamWriter) -> tuple[str, str]:
        secure = writer.get_extra_info("sslcontext") is not None
        offers = (*self.offers, *(("STARTTLS",) if self.tls and not secure else ()))
        greeting = "".join(f"250-{offer}\r\n" for offer in offers)
        return {
            "EHLO": ("ehlo", f"250-email-smtp.example.org\r\n{greeting}250 Ok"),
            "STARTTLS": ("starttls", "220 Ready to start TLS"),
            "AUTH": ("auth", "235 Authentication successful."),
            "MAIL": ("mail", "250 Ok"),
            "RCPT": ("rcpt", "250 Ok"),
            "DATA": ("data", "354 End data with <CR><LF>.<CR><LF>"),
            "RSET": ("rset", "250 Ok"),
            "QUIT": ("quit", "221 Bye"),
        }[re.split("[: ]", line)[0].upper()]

    async def _reply(self, writer: asyncio.StreamWriter, stage: str, ordinary: str) -> str:
        if stage == "dot" and self.latency:
            await asyncio.sleep(self.latency)
        planned = self.script.get(stage)
        reply = planned.pop(0) if planned else None
        if reply is CLOSE:
            raise ConnectionError
        if reply is RESET:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            raise ConnectionError
        if reply is SILENCE:
            await asyncio.Event().wait()
        text = ordinary if reply is None else str(reply)
        writer.write(text.encode() + b"\r\n")
        await writer.drain()
        if text.startswith("421") or text == IDLE:
            raise ConnectionError
        return text


def message(*recipients: str, content: bytes | EmailMessage = CONTENT) -> Message:
    """A message to the recipients, or to one."""
    return Message("sender@example.org", recipients or ("reader@example.com",), content)


@contextlib.asynccontextmanager
async def serving(server: ScriptedServer, **options: Any) -> AsyncIterator[SMTPTransport]:
    """A transport to a server that runs."""
    async with server.running():
        transport = SMTPTransport("127.0.0.1", server.port, **{"tls": "none", **options})
        try:
            yield transport
        finally:
            await transport.aclose()


async def outcome_of(transport: SMTPTransport, sent: Message | None = None) -> TransportError:
    """The error of an attempt that is not accepted."""
    with pytest.raises(TransportError) as caught:
        await transport.send(sent or message())
    return caught.value


async def eventually(condition: Any) -> None:
    """Wait until something of another task's is true; at most half a minute."""
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110 - what the server saw sets no event
            await asyncio.sleep(0.005)


# The plain path.


async def test_message_id() -> None:
    """The receipt holds the id that the service gave."""
    server = ScriptedServer({"dot": ["250 Ok 0107017033dbb64d-be13a01e-dbf1-44b7-b876-3622165dacc1-000000"]})
    async with serving(server) as transport:
        receipt = await transport.send(message())
    assert receipt == Receipt("0107017033dbb64d-be13a01e-dbf1-44b7-b876-3622165dacc1-000000")


async def test_accepted_without_an_id() -> None:
    """250 alone is the proof: a server without ids is quoted."""
    async with serving(ScriptedServer({"dot": ["250 2.0.0 queued"]})) as transport:
        assert await transport.send(message()) == Receipt("2.0.0 queued")


async def test_envelope_and_content_arrive() -> None:
    """The service gets the envelope and the content as they were given."""
    server = ScriptedServer()
    async with serving(server) as transport:
        await transport.send(message("a@example.com", "b@example.com"))
    assert server.accepted == [("sender@example.org", ("a@example.com", "b@example.com"), CONTENT)]


async def test_lines_with_dots_arrive() -> None:
    """A line that begins with a dot, or is one, is stuffed; nothing ends the content early."""
    body = b".first\r\n\r\n.\r\n..two\r\nx.\r\n"
    server = ScriptedServer({"dot": [None]})
    async with serving(server) as transport:
        await transport.send(message(content=body))
    assert server.accepted[0][2] == b"..first\r\n\r\n..\r\n...two\r\nx.\r\n"


@pytest.mark.parametrize("size", [10, 200_000])
@pytest.mark.parametrize(
    ("offers", "letters", "said"),
    [
        (("8BITMIME",), "Grüße", " BODY=8BITMIME"),
        (("8BITMIME",), "Gruesse", ""),
        (("SIZE 10485760",), "Grüße", ""),
    ],
)
async def test_eight_bit_content_is_declared(offers: tuple[str, ...], letters: str, said: str, size: int) -> None:
    """A content that is not ASCII is announced where the service offers that, and only then (RFC 6152)."""
    server = ScriptedServer(offers=offers)
    content = f"Subject: hi\r\n\r\n{letters}\r\n".encode() + b"x" * size
    async with serving(server) as transport:
        await transport.send(message(content=content))
    assert server.lines[0][1] == f"MAIL FROM:<sender@example.org>{said}"
    assert server.accepted[0][0] == "sender@example.org"


async def test_missing_line_end() -> None:
    """Content without a line end at its end gets one before the dot."""
    server = ScriptedServer()
    async with serving(server) as transport:
        await transport.send(message(content=b"Subject: x\r\n\r\nend"))
    assert server.accepted[0][2] == b"Subject: x\r\n\r\nend\r\n"


async def test_decided_at() -> None:
    """The receipt says when the content had been handed over."""
    async with serving(ScriptedServer()) as transport:
        begin = asyncio.get_running_loop().time()
        receipt = await transport.send(message())
        assert receipt.decided_at is not None
        assert begin <= receipt.decided_at <= asyncio.get_running_loop().time()


async def test_headers_for_the_service() -> None:
    """Configuration set, tenant and tags go before the content as the service's headers."""
    server = ScriptedServer()
    labels = {"configuration_set": "news", "tenant": "t1", "tags": {"campaign": "spring", "kind": "x"}}
    async with serving(server, **labels) as transport:
        await transport.send(message())
    assert (
        server.accepted[0][2]
        == (b"X-SES-CONFIGURATION-SET: news\r\nX-SES-TENANT: t1\r\nX-SES-MESSAGE-TAGS: campaign=spring, kind=x\r\n")
        + CONTENT
    )


@pytest.mark.parametrize("own", [b"X-SES-CONFIGURATION-SET: own", b"x-ses-configuration-set: own"])
async def test_a_messages_own_label_wins(own: bytes) -> None:
    """SES refuses a header that is there twice ("Duplicate header"); one in the text of a message is none."""
    server = ScriptedServer()
    content = b"Subject: x\r\n" + own + b"\r\n\r\nX-SES-TENANT: x\r\n"
    async with serving(server, configuration_set="news", tenant="t1") as transport:
        await transport.send(Message("a@example.org", ["b@example.net"], content))
    assert server.accepted[0][2] == b"X-SES-TENANT: t1\r\n" + content


async def test_one_connection_for_messages_in_turn() -> None:
    """Messages one after another share a connection, and are not reset in between."""
    server = ScriptedServer()
    async with serving(server) as transport:
        for _ in range(3):
            await transport.send(message())
    assert [server.commands()] == [["EHLO", *["MAIL", "RCPT", "DATA"] * 3, "QUIT"]]


async def test_connections_as_needed() -> None:
    """Messages at the same time get connections of their own, up to the limit."""
    server = ScriptedServer(latency=0.02)
    async with serving(server, max_connections=4) as transport:
        await asyncio.gather(*(transport.send(message()) for _ in range(20)))
    assert (len(server.accepted), server.most_open) == (20, 4)


async def test_recycled() -> None:
    """A connection is replaced after its number of messages."""
    server = ScriptedServer()
    async with serving(server, max_messages_per_connection=2) as transport:
        for _ in range(5):
            await transport.send(message())
    assert [commands.count("MAIL") for commands in map(server.commands, range(len(server.lines)))] == [2, 2, 1]


async def test_idle_connection_is_closed() -> None:
    """A connection that nobody uses is closed before the service does it."""
    server = ScriptedServer()
    async with serving(server, idle_timeout=0.05) as transport:
        await transport.send(message())
        await eventually(lambda: server.open_now == 0)
        assert server.commands()[-1] == "QUIT"


async def test_large_content_arrives() -> None:
    """Content of many chunks arrives whole."""
    body = b"Subject: x\r\n\r\n" + b"0123456789abcde\r\n" * 100_000
    server = ScriptedServer()
    async with serving(server) as transport:
        await transport.send(message(content=body))
    assert server.accepted[0][2] == body


# Refusals.


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (RATE, "throttled"),
        (DAY, "quota_exceeded"),
        ("454 Temporary service failure", "transient"),
        ("554 Transaction failed: Missing final '@domain'", "permanent"),
        ("554 Message rejected: Sending paused for this account.", "account_blocked"),
    ],
)
async def test_refused_at_the_dot(reply: str, outcome: str) -> None:
    """A refusal at the end of the content has its outcome, its words, its stage and its time."""
    async with serving(ScriptedServer({"dot": [reply]})) as transport:
        error = await outcome_of(transport)
    assert (error.outcome, error.reply, error.stage) == (outcome, reply, Stage.DOT)
    assert error.decided_at is not None


async def test_reset_after_a_refusal() -> None:
    """After a refusal the same connection goes on, with RSET before the next message."""
    server = ScriptedServer({"dot": [RATE]})
    async with serving(server) as transport:
        await outcome_of(transport)
        await transport.send(message())
    assert [server.commands()] == [["EHLO", "MAIL", "RCPT", "DATA", "RSET", "MAIL", "RCPT", "DATA", "QUIT"]]


@pytest.mark.parametrize("reply", [SESSION_CAP, IDLE, CLOSE, RESET, SILENCE])
@pytest.mark.parametrize("stage", ["rset", "mail", "rcpt", "data"])
async def test_old_connection_ends_before_the_content(stage: str, reply: Any) -> None:
    """An old connection that ends before the content costs nothing: not sent, and a new one mends it."""
    first = {"rset": [], "dot": [RATE]} if stage == "rset" else {}
    server = ScriptedServer({**first, stage: [reply] if stage == "rset" else [None, reply]})
    async with serving(server, command_timeout=0.05) as transport:
        if stage == "rset":
            await outcome_of(transport)
        else:
            await transport.send(message())
        error = await outcome_of(transport)
        assert (error.outcome, error.blocks_endpoint, error.decided_at) == (Outcome.NOT_SENT, False, None)
        assert (await transport.send(message())).message_id


async def test_new_connection_ends_before_the_content() -> None:
    """A connection that ends before it carried any message says that the endpoint needs time."""
    async with serving(ScriptedServer({"mail": [CLOSE]})) as transport:
        error = await outcome_of(transport)
    assert (error.outcome, error.blocks_endpoint) == (Outcome.NOT_SENT, True)


@pytest.mark.parametrize("reply", [CLOSE, RESET, SILENCE, "250", "\xff\xfe", "999 nonsense", "354 go on"])
async def test_no_word_after_the_dot(reply: Any) -> None:
    """Whatever breaks after the dot is unknown, and the connection is not used again."""
    server = ScriptedServer({"dot": [reply if reply != "250" else CLOSE]})
    async with serving(server, dot_timeout=0.05) as transport:
        error = await outcome_of(transport)
        assert (error.outcome, error.stage) == (Outcome.UNKNOWN, Stage.DOT)
        assert error.decided_at is not None
        await transport.send(message())
    assert len(server.lines) == 2


async def test_session_cap_at_the_dot() -> None:
    """A session that ends in place of an acceptance did not accept."""
    async with serving(ScriptedServer({"dot": [SESSION_CAP]})) as transport:
        error = await outcome_of(transport)
    assert error.outcome is Outcome.NOT_SENT


async def test_reply_at_the_last_moment() -> None:
    """A reply that arrived while the event loop was held up past the deadline counts."""
    server = ScriptedServer()
    async with serving(server, dot_timeout=0.05) as transport:
        sending = asyncio.create_task(transport.send(message()))
        await eventually(lambda: server.accepted)
        time_stands_still = asyncio.get_running_loop().time() + 0.1
        while asyncio.get_running_loop().time() < time_stands_still:
            pass
        assert (await sending).message_id


async def test_reply_in_the_middle_of_the_content() -> None:
    """A service that refuses before it has the whole content is heard, and the connection is dropped."""

    class Impatient(ScriptedServer):
        async def _converse(self, reader: Any, writer: Any, lines: list[str]) -> None:
            if len(self.lines) > 1:
                await super()._converse(reader, writer, lines)
                return
            writer.write(b"220 x\r\n")
            for reply in (b"250-x\r\n250 Ok", b"250 Ok", b"250 Ok", b"354 go"):
                await reader.readline()
                writer.write(reply + b"\r\n")
            await reader.readexactly(100_000)
            writer.write(b"552 Message is too long.\r\n")
            await asyncio.sleep(0.1)

    server = Impatient()
    async with serving(server) as transport:
        error = await outcome_of(transport, message(content=b"Subject: x\r\n\r\n" + b"x" * 20_000_000))
        assert (error.outcome, error.decided_at) == (Outcome.PERMANENT, None)
        await transport.send(message())
    assert len(server.lines) == 2


async def test_old_credentials(caplog: pytest.LogCaptureFixture) -> None:
    """A throttle of old SMTP credentials is logged, once, with what to do."""
    reply = "454 Throttling failure: Maximum SigV2 SMTP sending rate exceeded."
    async with serving(ScriptedServer({"dot": [reply, reply]})) as transport:
        with caplog.at_level(logging.WARNING):
            assert [(await outcome_of(transport)).outcome for _ in range(2)] == [Outcome.THROTTLED] * 2
    assert len([record for record in caplog.records if "create new ones" in record.message]) == 1


# Recipients.


async def test_some_recipients_refused() -> None:
    """Those that are accepted get the message; the receipt names the others."""
    server = ScriptedServer({"rcpt": [None, "553 <b> address unknown"]})
    async with serving(server) as transport:
        receipt = await transport.send(message("a@example.com", "b@example.com"))
    assert receipt.refused == {"b@example.com": "553 <b> address unknown"}
    assert server.accepted[0][1] == ("a@example.com",)


@pytest.mark.parametrize(
    ("replies", "outcome"),
    [
        (["553 no", "553 no"], "permanent"),
        (["553 no", "451 Temporary service failure"], "transient"),
        ([RATE], "throttled"),
        ([None, RATE], "throttled"),
    ],
)
async def test_no_recipient_left(replies: list[str | None], outcome: str) -> None:
    """When all are refused, or one for a reason that concerns all, nothing is sent."""
    server = ScriptedServer({"rcpt": replies})
    async with serving(server) as transport:
        error = await outcome_of(transport, message("a@example.com", "b@example.com"))
        assert (error.outcome, error.stage, server.accepted) == (outcome, Stage.RCPT, [])
        await transport.send(message())


# Replies that say it otherwise.


@pytest.mark.parametrize("reply", ["251 Ok id-1", "252 Ok id-1", "200 Ok id-1", "250-Ok\r\n250 id-1"])
async def test_accepted_in_other_words(reply: str) -> None:
    """Any 2xx at the dot is an acceptance, since the first digit decides (RFC 5321, 4.2.1)."""
    async with serving(ScriptedServer({"dot": [reply]})) as transport:
        assert "id-1" in (await transport.send(message())).message_id


@pytest.mark.parametrize("reply", ["220 hello", "221 Bye", "211 status", "235 Authentication successful."])
async def test_answer_to_another_command_at_the_dot(reply: str) -> None:
    """A code that answers another command is no acceptance (RFC 5321, 4.2.2), whatever its first digit."""
    async with serving(ScriptedServer({"dot": [reply]})) as transport:
        assert (await outcome_of(transport)).outcome is Outcome.UNKNOWN


@attrs.define(eq=False)
class BareServer(ScriptedServer):
    """Ends its replies in a bare LF, from a stage on."""

    bare: str = "dot"

    async def _reply(self, writer: asyncio.StreamWriter, stage: str, ordinary: str) -> str:
        if stage != self.bare:
            return await super()._reply(writer, stage, ordinary)
        writer.write(ordinary.encode() + b"\n")
        return ordinary


async def test_bare_line_feed_at_the_dot() -> None:
    """Once a message is at stake a bare LF is read, so that it is not sent twice; the connection is not used again."""
    server = BareServer()
    async with serving(server) as transport:
        assert (await transport.send(message())).message_id == "0000000000000000-000000"
        await transport.send(message())
    assert (len(server.accepted), len(server.lines)) == (2, 2)


@pytest.mark.parametrize("stage", ["connect", "ehlo"])
async def test_bare_line_feed_at_the_greeting(stage: str) -> None:
    """A server that ends its replies in a bare LF is refused before a message is at stake (RFC 5321, 2.3.8)."""
    server = BareServer(bare=stage)
    async with serving(server) as transport:
        error = await outcome_of(transport)
    assert (error.outcome, error.stage) == (Outcome.ACCOUNT_BLOCKED, Stage(stage))
    assert "bare LF" in error.reply


@pytest.mark.parametrize(
    "echo",
    [
        "535 bad login {line}",
        "535-bad login\r\n535 {line}",
        "535 bad login {upper}",
        "535 bad login {cut}",
        "535 bad password {password}",
        "454 later: {line}",
    ],
)
async def test_repeated_secrets_are_not_shown(echo: str) -> None:
    """What a service repeats of the login is taken out of its words, whole or cut short, in any case."""
    line = "AUTH PLAIN " + encoded(f"\0AKIAEXAMPLE\0{PASSWORD}")
    said = echo.format(line=line, upper=line.upper(), cut=line[:30], password=PASSWORD)
    async with serving(ScriptedServer({"auth": [said]}), user="AKIAEXAMPLE", password=PASSWORD) as transport:
        error = await outcome_of(transport)
    assert HIDDEN in error.reply
    assert not any(secret.lower() in error.reply.lower() for secret in (PASSWORD, line[11:25], encoded(PASSWORD)[:12]))


async def test_secrets_are_not_shown_later() -> None:
    """A reply to a message is read like one to the login."""
    server = ScriptedServer({"mail": [f"554 {encoded(PASSWORD)} is not welcome"]})
    async with serving(server, user="AKIAEXAMPLE", password=PASSWORD) as transport:
        assert (await outcome_of(transport)).reply == f"554 {HIDDEN} is not welcome"


async def test_connections_take_turns() -> None:
    """Of the idle connections the one that rested longest is next, so that none of the service's front ends has all."""
    server = ScriptedServer(latency=0.02)
    async with serving(server) as transport:
        await asyncio.gather(*(transport.send(message()) for _ in range(4)))
        await eventually(lambda: len(transport._pool._idle) == 4)
        before = [server.commands(number).count("MAIL") for number in range(4)]
        for _ in range(8):
            await transport.send(message())
        after = [server.commands(number).count("MAIL") for number in range(4)]
    assert [late - early for late, early in zip(after, before, strict=True)] == [2, 2, 2, 2]


# Opening a connection.


async def test_nobody_listens() -> None:
    """Without a server nothing was sent, and the endpoint needs time."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    transport = SMTPTransport("127.0.0.1", port, tls="none")
    error = await outcome_of(transport)
    assert (error.outcome, error.stage, error.blocks_endpoint) == (Outcome.NOT_SENT, Stage.CONNECT, True)


@pytest.mark.parametrize(
    ("script", "stage"),
    [
        ({"connect": [TOO_MANY]}, Stage.CONNECT),
        ({"connect": [CLOSE]}, Stage.CONNECT),
        ({"connect": [SILENCE]}, Stage.CONNECT),
        ({"connect": ["hello"]}, Stage.CONNECT),
        ({"ehlo": ["421 no"]}, Stage.EHLO),
        ({"ehlo": [SILENCE]}, Stage.EHLO),
        ({"auth": ["454 Temporary authentication failure"]}, Stage.AUTH),
        ({"auth": [SILENCE]}, Stage.AUTH),
        ({"auth": [RESET]}, Stage.AUTH),
    ],
)
async def test_not_opened(script: dict[str, list[Any]], stage: Stage) -> None:
    """A connection that cannot be opened for now sent nothing, and the endpoint needs time."""
    server = ScriptedServer(script)
    async with serving(server, user="u", password=PASSWORD, connect_timeout=0.1) as transport:
        error = await outcome_of(transport)
    assert (error.outcome, error.stage, error.blocks_endpoint) == (Outcome.NOT_SENT, stage, True)


async def test_a_port_that_begins_with_tls(authority: trustme.CA) -> None:
    """One that greets nobody and waits for TLS is no passing fault: the sentence names the other kind of URL."""
    server = ScriptedServer(tls=server_context(authority), implicit=True)
    async with serving(server, tls="starttls", connect_timeout=1.0) as transport:
        error = await outcome_of(transport)
    assert (error.outcome, error.stage) == (Outcome.ACCOUNT_BLOCKED, Stage.CONNECT)
    assert "smtps://" in error.reply


async def test_a_port_that_says_nothing() -> None:
    """One that says nothing to either kind of greeting may be overloaded."""
    async with serving(ScriptedServer({"connect": [SILENCE] * 2}), tls="starttls", connect_timeout=0.1) as transport:
        assert (await outcome_of(transport)).outcome is Outcome.NOT_SENT


async def test_hint_at_starttls() -> None:
    """A port that does not begin with TLS is one for STARTTLS: the sentence says so."""
    async with serving(ScriptedServer(), tls="implicit") as transport:
        assert "smtp://" in (await outcome_of(transport)).reply


async def test_wrong_password() -> None:
    """A refused login blocks the account, said to all who wait after one try."""
    server = ScriptedServer({"auth": ["535 Authentication Credentials Invalid"] * 3})
    async with serving(server, user="u", password=PASSWORD, max_connections=1) as transport:
        errors = await asyncio.gather(*(outcome_of(transport) for _ in range(3)))
    assert [(error.outcome, error.stage) for error in errors] == [(Outcome.ACCOUNT_BLOCKED, Stage.AUTH)] * 3
    assert len(server.lines) == 1


async def test_refused_greeting() -> None:
    """What refuses EHLO for good is not the service that was meant: said to all who wait after one try."""
    server = ScriptedServer({"ehlo": ["502 Command not implemented"] * 3})
    async with serving(server, user="u", password=PASSWORD, max_connections=1) as transport:
        errors = await asyncio.gather(*(outcome_of(transport) for _ in range(3)))
    assert [(error.outcome, error.stage) for error in errors] == [(Outcome.ACCOUNT_BLOCKED, Stage.EHLO)] * 3
    assert server.commands() == ["EHLO"]
    assert len(server.lines) == 1


@pytest.mark.parametrize(("offer", "lines"), [("AUTH LOGIN PLAIN", 1), ("AUTH LOGIN", 3)])
async def test_login(offer: str, lines: int) -> None:
    """The login uses PLAIN, or LOGIN where there is no other."""

    class Asking(ScriptedServer):
        def _ordinary(self, line: str, writer: Any) -> tuple[str, str]:
            if line == "AUTH LOGIN dQ==":
                return "auth", "334 UGFzc3dvcmQ6"
            return super()._ordinary(line if " " in line or len(line) < 9 else "AUTH x", writer)

    server = Asking(offers=(offer,))
    async with serving(server, user="u", password=PASSWORD) as transport:
        await transport.send(message())
    assert "AUTH" in server.commands()


async def test_no_login_offered() -> None:
    """A server without logins is not SES's: no password is sent."""
    server = ScriptedServer(offers=())
    async with serving(server, user="u", password=PASSWORD) as transport:
        error = await outcome_of(transport)
    assert (error.outcome, error.stage) == (Outcome.ACCOUNT_BLOCKED, Stage.AUTH)
    assert server.commands() == ["EHLO"]


async def test_too_many_connections() -> None:
    """A refused connection is made do without: the messages go over those there are."""
    server = ScriptedServer({"connect": [None, None, *[TOO_MANY] * 8]}, latency=0.02)
    async with serving(server, max_connections=10) as transport:
        receipts = await asyncio.gather(*(transport.send(message()) for _ in range(30)))
        assert len(receipts) == 30
        assert transport._pool.limit == 2


async def test_pool_grows_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while the pool tries one more connection than it was left with."""
    monkeypatch.setattr(_pool, "GROW_AFTER", 0.15)
    server = ScriptedServer({"connect": [None, TOO_MANY]}, latency=0.02)
    async with serving(server, max_connections=2) as transport:
        await asyncio.gather(*(transport.send(message()) for _ in range(4)))
        assert transport._pool.limit == 1
        await asyncio.sleep(0.16)
        await asyncio.gather(*(transport.send(message()) for _ in range(4)))
        assert transport._pool.limit == 2


# Cancelling.


@pytest.mark.parametrize("stage", ["connect", "ehlo", "mail", "rcpt", "data", "dot"])
async def test_cancelled(stage: str) -> None:
    """A cancelled attempt drops its connection; the next message gets a new one and is not confused."""
    server = ScriptedServer({stage: [SILENCE]})
    async with serving(server, max_connections=1) as transport:
        sending = asyncio.create_task(transport.send(message()))
        words = None if stage == "connect" else stage.upper()
        await eventually(
            (lambda: server.contents)
            if stage == "dot"
            else (lambda: server.lines and (words is None or words in server.commands()))
        )
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        if stage in ("connect", "ehlo"):
            await transport.aclose()
        else:
            await transport.send(message())
            assert server.commands(1)[:3] == ["EHLO", "MAIL", "RCPT"]


@attrs.define(eq=False)
class CancelledAt:
    """Awaits a coroutine, and cancels it where it suspends for the n-th time."""

    coroutine: Any
    number: int

    def __await__(self) -> Generator[Any, Any, Any]:
        """Run until the n-th suspension, or to the end."""
        steps = self.coroutine.__await__()
        waited: Any = None
        for left in reversed(range(self.number)):
            try:
                waited = steps.send(None)
            except StopIteration as done:
                return done.value
            if left:
                yield waited
        if waited is not None:
            waited._asyncio_future_blocking = False
            waited.cancel()
        return steps.throw(asyncio.CancelledError())


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("size", [100, 300_000])
async def test_cancelled_at_every_suspension(pooled: bool, size: int) -> None:
    """Wherever an attempt is cancelled, no connection is poisoned, none is lost, and the next message goes through."""
    completed = False
    for number in range(1, 60):
        server = ScriptedServer()
        async with serving(server, max_connections=1) as transport:
            if pooled:
                await transport.send(message(content=b"first\r\n"))
            try:
                await CancelledAt(transport.send(message(content=b"x" * size + b"\r\n")), number)
                completed = True
            except asyncio.CancelledError:
                pass
            async with asyncio.timeout(120):
                await transport.send(message(content=b"next\r\n"))
            assert transport._pool.size == 1
        contents = [content for _, _, content in server.accepted]
        assert contents[-1] == b"next\r\n"
        assert all(content in (b"first\r\n", b"next\r\n", b"x" * size + b"\r\n") for content in contents)
        if completed:
            break
    assert completed
    assert number > 1


async def test_cancelled_upload_is_not_completed() -> None:
    """Cancelling in the middle of a content never lets the service see its end."""
    server = ScriptedServer()
    async with serving(server) as transport:
        sending = asyncio.create_task(transport.send(message(content=b"Subject: x\r\n\r\n" + b"x" * 30_000_000)))
        await eventually(lambda: server.lines and "DATA" in server.commands())
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await eventually(lambda: server.open_now == 0)
    assert server.accepted == []


async def test_cancelled_while_waiting() -> None:
    """Cancelling one who waits for a connection strands nobody behind."""
    server = ScriptedServer({"dot": [None]})
    async with serving(server, max_connections=1) as transport:
        tasks = [asyncio.create_task(transport.send(message())) for _ in range(5)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, Receipt) for result in results] == [True, False, True, True, True]


async def test_closed() -> None:
    """A transport that was closed says so instead of waiting for a connection."""
    transport = SMTPTransport("127.0.0.1", tls="none")
    await transport.aclose()
    assert (await outcome_of(transport)).outcome is Outcome.NOT_SENT


async def test_closing_wakes_who_waits() -> None:
    """Closing leaves nobody waiting for a connection."""
    async with serving(ScriptedServer({"connect": [SILENCE]})) as transport:
        sending = asyncio.create_task(outcome_of(transport))
        await asyncio.sleep(0.02)
        await transport.aclose()
        assert (await sending).outcome is Outcome.NOT_SENT


# TLS.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority of our own."""
    return trustme.CA()


def server_context(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    """A server's TLS with a certificate for that name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def client_context(authority: trustme.CA) -> ssl.SSLContext:
    """TLS that trusts our own authority."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    authority.configure_trust(context)
    return context


def secured(authority: trustme.CA, **options: Any) -> dict[str, Any]:
    """Options for a login over TLS."""
    return {"tls": "starttls", "user": "u", "password": PASSWORD, "tls_context": client_context(authority), **options}


async def test_starttls(authority: trustme.CA) -> None:
    """With STARTTLS the login comes after TLS, and a second greeting."""
    server = ScriptedServer(tls=server_context(authority))
    async with serving(server, **secured(authority)) as transport:
        await transport.send(message())
    assert server.commands()[:5] == ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL"]


async def test_implicit_tls(authority: trustme.CA) -> None:
    """With implicit TLS everything is encrypted from the first byte."""
    server = ScriptedServer(tls=server_context(authority), implicit=True)
    async with serving(server, **secured(authority, tls="implicit")) as transport:
        await transport.send(message())
    assert server.commands()[:3] == ["EHLO", "AUTH", "MAIL"]


async def test_large_content_over_tls(authority: trustme.CA) -> None:
    """Content of many chunks arrives whole over TLS."""
    body = b"Subject: x\r\n\r\n" + b"0123456789abcde\r\n" * 100_000
    server = ScriptedServer(tls=server_context(authority))
    async with serving(server, **secured(authority)) as transport:
        await transport.send(message(content=body))
    assert server.accepted[0][2] == body


async def test_stripped_starttls(authority: trustme.CA) -> None:
    """Where STARTTLS is not offered no login is tried, and the sentence says so."""
    server = ScriptedServer()
    async with serving(server, **secured(authority)) as transport:
        error = await outcome_of(transport)
    assert (error.outcome, error.stage) == (Outcome.ACCOUNT_BLOCKED, Stage.STARTTLS)
    assert server.commands() == ["EHLO"]


@pytest.mark.parametrize("reply", ["454 TLS not available", "501 no", "250 Ok", CLOSE])
async def test_refused_starttls(authority: trustme.CA, reply: Any) -> None:
    """A refused STARTTLS sends nothing more."""
    server = ScriptedServer({"starttls": [reply]}, tls=server_context(authority))
    async with serving(server, **secured(authority)) as transport:
        error = await outcome_of(transport)
    assert (error.outcome, error.stage, error.blocks_endpoint) == (Outcome.NOT_SENT, Stage.STARTTLS, True)
    assert server.commands() == ["EHLO", "STARTTLS"]


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("wrong", ["authority", "name"])
async def test_untrusted_certificate(authority: trustme.CA, tls: str, wrong: str) -> None:
    """A certificate from elsewhere, or for another host, is refused and no password is sent."""
    issuer, name = (trustme.CA(), "127.0.0.1") if wrong == "authority" else (authority, "example.org")
    server = ScriptedServer(tls=server_context(issuer, name), implicit=tls == "implicit")
    async with serving(server, **secured(authority, tls=tls)) as transport:
        error = await outcome_of(transport)
    assert (error.outcome, error.blocks_endpoint) == (Outcome.NOT_SENT, True)
    assert "certificate" in error.reply.lower()
    assert not any("AUTH" in server.commands(number) for number in range(len(server.lines)))


@pytest.mark.parametrize("host", ["192.0.2.1", "example.org", "127.0.0.1.example.org", "localhost.example.org"])
def test_no_tls_off_this_machine(host: str) -> None:
    """Without TLS only to this machine."""
    with pytest.raises(ConfigurationError, match="unencrypted"):
        SMTPTransport(host, 25, tls="none")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_no_tls_on_this_machine(host: str) -> None:
    """This machine may be talked to without TLS."""
    assert SMTPTransport(host, 25, tls="none").tls == "none"


def unverifying() -> ssl.SSLContext:
    """A context that takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def test_no_authorities_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TLS the certificate authorities of this machine are not read, which takes some 20 ms."""
    read: list[str] = []
    monkeypatch.setattr(ssl, "create_default_context", lambda *_, **__: read.append("authorities"))
    server = ScriptedServer()
    async with serving(server) as transport:
        assert transport.tls == "none"
        assert (await transport.send(message())).message_id
    assert read == []


def test_context_must_verify() -> None:
    """A TLS context that verifies nothing is refused."""
    with pytest.raises(ConfigurationError, match="verify"):
        SMTPTransport("example.org", tls_context=unverifying())


# Options and URLs.


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("smtp://u:p%40ss@email-smtp.eu-west-1.amazonaws.com", "email-smtp.eu-west-1.amazonaws.com", 587, "starttls"),
        ("smtp://u:p%40ss@example.org:2587", "example.org", 2587, "starttls"),
        ("smtps://u:p%40ss@example.org", "example.org", 465, "implicit"),
        ("smtp://u:p%40ss@localhost:2525?tls=none", "localhost", 2525, "none"),
    ],
)
def test_url(url: str, host: str, port: int, tls: str) -> None:
    """A URL names host, port, login and the kind of TLS."""
    transport: Any = transport_from_url(url)
    assert (transport.host, transport.port, transport.tls, transport.user) == (host, port, tls, "u")
    assert transport.password.reveal() == "p@ss"


def test_url_options() -> None:
    """A URL's options are the transport's."""
    transport: Any = transport_from_url(
        "smtp://example.org?configuration_set=news&tenant=t&tags=a=1,b=2&max_connections=3&max_messages_per_connection=9"
    )
    assert (transport.configuration_set, transport.tenant, transport.tags) == ("news", "t", {"a": "1", "b": "2"})
    assert (transport.max_connections, transport.max_messages_per_connection) == (3, 9)


def test_login_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """User and password may come from the environment."""
    monkeypatch.setenv("SESLIMIT_SMTP_USER", "AKIA")
    monkeypatch.setenv("SESLIMIT_SMTP_PASSWORD", "p")
    transport: Any = transport_from_url("smtp://example.org")
    assert (transport.user, transport.password.reveal()) == ("AKIA", "p")


@pytest.mark.parametrize("written", [PASSWORD, PASSWORD + "\n", PASSWORD + "\r\n"])
def test_password_from_a_file(written: str, tmp_path: Path) -> None:
    """The password may come from a file, so that the process list does not show it; a line end is the file's."""
    file = tmp_path / "password"
    file.write_text(written, newline="")
    transport: Any = transport_from_url(f"smtp://u@example.org?password_file={file}")
    assert (transport.user, transport.password.reveal()) == ("u", PASSWORD)


def test_password_with_a_line_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password from the environment that ends in a newline is refused before any login, without being shown."""
    monkeypatch.setenv("SESLIMIT_SMTP_PASSWORD", PASSWORD + "\n")
    with pytest.raises(ConfigurationError, match="newline") as caught:
        transport_from_url("smtp://u@example.org")
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("smtp://u@example.org?password_file=/nowhere", "password_file '/nowhere' cannot be read: No such file"),
        ("smtp://u:p@example.org?password_file=/nowhere", "leave one out"),
        ("smtp://u:p@example.org:465", "smtps://"),
        ("smtp://u:p@example.org:2465", "smtps://"),
        ("smtp://u@example.org", "password"),
        ("smtp://example.org?tls=none", "unencrypted"),
        ("smtp://example.org?tls=maybe", "starttls"),
        ("smtp://example.org?colour=red", "colour"),
        ("smtp://example.org?max_connections=0", "max_connections"),
        ("smtp://example.org?max_connections=2.5", "whole number"),
        ("smtp://example.org?max_messages_per_connection=2.5", "whole number"),
        ("smtp://example.org:0", "port 0"),
        ("smtp://example.org?configuration_set=a%0d%0aBcc:x", "configuration_set"),
        ("smtp://example.org?tags=a", "name=value"),
        ("smtp://example.org?tags=a=b%0d%0a", "tag"),
        ("smtp://example.org?tenant=a b", "tenant"),
        ("smtp://", "host"),
    ],
)
def test_wrong_url(url: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong option is named in a sentence."""
    monkeypatch.delenv("SESLIMIT_SMTP_PASSWORD", raising=False)
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        transport_from_url(url)


def test_password_is_not_shown() -> None:
    """No repr of a transport shows the password."""
    transport = SMTPTransport("example.org", user="u", password=PASSWORD)
    assert PASSWORD not in repr(transport) + repr(vars(type(transport)))


async def test_password_is_not_in_a_traceback() -> None:
    """The traceback of a refused login, with the values of its frames, does not hold the password in any form."""
    server = ScriptedServer({"auth": ["535 Authentication Credentials Invalid"]})
    async with serving(server, user="u", password=PASSWORD) as transport:
        error = await outcome_of(transport)
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    sent = next(line for line in server.lines[0] if line.startswith("AUTH PLAIN")).split()[-1]
    assert PASSWORD not in shown
    assert sent not in shown


@pytest.mark.parametrize(
    ("region", "password"),
    [
        ("us-east-1", "BLBM/9hSUELfq8Gw+rU1YcBjkOxGbhT2XG763xVLGWL9"),
        ("us-west-2", "BF2PynzbSCAjX08zhZZnP/kW+T9P5zs/1Er0pi5vTEmd"),
        ("eu-west-1", "BMW5RDrXmmVs0lV7GpI4oLkHXpZ4stDsk6q91z1g38Pk"),
    ],
)
def test_derived_password(region: str, password: str) -> None:
    """The password made from AWS's example secret is the one that AWS's algorithm makes."""
    assert derive_smtp_password("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", region) == password
