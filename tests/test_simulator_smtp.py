"""The simulator's SMTP door: its words, what it makes of contents, the habits of its sessions, TLS."""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
from typing import Any

import aiosmtplib
import pytest

from seslimit._dialogue.content import Content
from seslimit.testing import (
    Fault,
    Simulator,
    SMTPRules,
    SMTPText,
)
from tests.simulator_clients import (
    CONTENT,
    FAST,
    FEW,
    LOGIN,
    MESSAGE_ID,
    PATIENCE,
    client_context,
    connected,
    logged_in,
    mail,
    server_context,
    settled,
    until,
)


@pytest.fixture(scope="module")
def server_tls() -> ssl.SSLContext:
    """A server's context, as a caller of the simulator brings it."""
    return server_context()


@pytest.fixture(scope="module")
def client_tls() -> ssl.SSLContext:
    """A client's context that trusts the server."""
    return client_context()


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
    """It is what every conversation does."""
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
    async with Simulator(FAST, keep_content=True, strict=False) as simulator:
        assert (await mail(simulator, content=sent)).startswith("250 Ok ")
        assert [message.content for message in simulator.accepted] == [content]


async def test_content_that_comes_byte_by_byte() -> None:
    """The final dot is found however it is cut."""
    async with Simulator(FAST, keep_content=True, strict=False) as simulator, logged_in(simulator) as conversation:
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
        content = CONTENT.ljust(size - 2, "x") + "\r\n"
        assert (await conversation.send(content=content)).startswith(reply)
        await conversation.say("RSET")
        assert (await conversation.send()).startswith("250 Ok ")


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
        for line in CONTENT.splitlines(keepends=True):
            conversation.writer.write(line.encode())
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
        async with asyncio.timeout(120):
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


@pytest.mark.parametrize(
    ("lines", "reply"),
    [
        (["HELO"], "501 "),
        (["HELO client", LOGIN], "500 "),
        (["EHLO client", LOGIN, LOGIN], "503 Already authenticated"),
        (["EHLO client", "AUTH CRAM-MD5"], "504 "),
        (["EHLO client", "AUTH PLAIN ="], "501 "),
        (["EHLO client", "STARTTLS"], SMTPText.TLS_NOT_AVAILABLE),
        (["EHLO client", LOGIN, "MAIL FROM:<a@example.org> BODY=BINARYMIME"], "501 "),
        (["EHLO client", LOGIN, "MAIL FROM:<a@example.org> SIZE=many"], SMTPText.INVALID_MAIL_FROM),
        (["EHLO client", LOGIN, "MAIL FROM:<a@example.org> SMTPUTF8"], "555 "),
        (["EHLO client", LOGIN, "RCPT TO:<a@example.org>"], "503 Error: need MAIL command"),
        (["EHLO client", LOGIN, "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.org> NOTIFY=NEVER"], "555 "),
        (["EHLO client", LOGIN, "MAIL FROM:<a@example.org>", "RCPT"], "501 "),
        (["NOOP " + "x" * 5000], "500 Command line too long"),
        (["x" * 200_000], "500 Command line too long"),
        (["WRONG"] * 5, "500 "),
    ],
)
async def test_what_is_out_of_order_or_malformed_has_its_reply(lines: list[str], reply: str) -> None:
    """Codes as RFC 5321 (4.2.2), RFC 3207 and RFC 4954 have them; the words of the service where they are known."""
    async with Simulator(FAST) as simulator, connected(simulator) as conversation:
        await conversation.hear()
        said = [await conversation.say(line) for line in lines]
        assert said[-1].startswith(reply)


async def test_commands_that_no_server_knows_end_the_session() -> None:
    """After the fifth; whoever speaks another protocol goes away."""
    async with Simulator(FAST) as simulator, connected(simulator) as conversation:
        await conversation.hear()
        for _ in range(5):
            await conversation.say("WRONG")
        assert await conversation.hear() == ""


async def test_commands_that_come_at_once_are_answered_in_their_order() -> None:
    """Those behind a content too, however they are cut."""
    async with Simulator(FAST) as simulator, logged_in(simulator) as conversation:
        envelope = "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"
        conversation.writer.write(f"{envelope}{CONTENT}.\r\nNOOP\r\nQUIT\r\n".encode())
        assert [(await conversation.hear())[:3] for _ in range(6)] == ["250", "250", "354", "250", "250", "221"]
        assert simulator.counts.accepted == 1


async def test_what_was_said_in_clear_behind_starttls_counts_no_more(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """Source: RFC 3207, 4.2."""
    rules = SMTPRules(tls="starttls", ssl_context=server_tls)
    async with Simulator(FAST, smtp=rules) as simulator, connected(simulator) as conversation:
        await conversation.hear()
        conversation.writer.write(b"STARTTLS\r\nNOOP\r\n")
        assert await conversation.hear() == SMTPText.START_TLS
        await conversation.writer.start_tls(client_tls, server_hostname="localhost")
        assert (await conversation.say("EHLO client")).startswith("250-")


async def test_a_client_may_close_its_side_before_the_reply() -> None:
    """It said QUIT, so to say, and waits for the reply (RFC 5321, 4.1.1.10); the message is accepted and told."""
    async with Simulator(FAST, latency=0.01) as simulator, logged_in(simulator) as conversation:
        await conversation.give()
        conversation.writer.write(f"{CONTENT}.\r\n".encode())
        conversation.writer.write_eof()
        assert (await conversation.hear()).startswith("250 Ok ")
        assert await conversation.hear() == ""
