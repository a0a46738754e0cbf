"""The relay: what its clients hear, and what SES gets."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seslimit import Message, Outcome, TransportError
from seslimit.testing import APIReply, Fault, Simulator, SMTPRules, SMTPText

from .relaying import CONTENT, FAST, Service, client_of, left_during_attempt, readers, relay_to, session, stuffed, until


@pytest.fixture
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any AWS credentials will do, and none may be looked for on a network."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ):
        monkeypatch.setenv(name, value)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nobody listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


async def _reply(*faults: Fault, **rules: Any) -> str:
    async with Simulator(FAST, faults=faults, smtp=SMTPRules(**rules)) as simulator, session(simulator) as client:
        return await client.send()


# Replies


async def test_an_accepted_message_has_the_message_id_of_ses() -> None:
    """The reply comes after SES has the message, in SES's style."""
    async with Simulator(FAST) as simulator, session(simulator) as client:
        reply = await client.send()
        assert f"250 2.0.0 Ok {simulator.accepted[0].message_id}" == reply


async def test_the_reply_is_held_until_ses_has_accepted() -> None:
    """No reply before, and exactly one after."""
    service = Service(held=True)
    async with session(service) as client:
        await client.hand_over()
        await service.begun.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.reader.readline()
        service.gate.set()
        assert await client.reply() == "250 2.0.0 Ok id-1"
        assert (await client.say("NOOP")).startswith("250")


async def test_a_permanent_refusal_over_smtp_is_passed_on_as_it_came() -> None:
    """Code and words of SES."""
    assert await _reply(Fault("dot", reply=SMTPText.BLACKLISTED)) == SMTPText.BLACKLISTED


@pytest.mark.usefixtures("_credentials")
async def test_a_permanent_refusal_over_the_api_has_the_name_of_the_error() -> None:
    """554, the name and the words."""
    fault = Fault("send", reply=APIReply(400, "MessageRejected", "Address blacklisted"))
    async with Simulator(FAST, faults=[fault]) as simulator, session(simulator.ses_url) as client:
        assert await client.send() == "554 5.0.0 MessageRejected Address blacklisted"


async def test_a_throttle_is_never_heard() -> None:
    """The message is sent again until it is accepted."""
    fault = Fault("dot", reply=SMTPText.RATE_EXCEEDED, times=3)
    async with Simulator(FAST, faults=[fault]) as simulator, relay_to(simulator) as relay:
        async with client_of(relay.port) as client:
            assert (await client.send()).startswith("250")
        assert (relay.counts.throttled, relay.counts.accepted, relay.counts.deferred) == (3, 1, 0)


async def test_an_exceeded_quota_is_answered_with_the_time_of_its_end() -> None:
    """452, at once, with a time of day in UTC that lies ahead."""
    reply = await _reply(Fault("dot", reply=SMTPText.QUOTA_EXCEEDED))
    found = re.match(r"452 4\.3\.1 Daily sending quota used up until (\S+ \S+) UTC or later: 454 Throttling", reply)
    assert found
    until_when = datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    assert timedelta() < until_when - datetime.now(UTC) + timedelta(seconds=1) < timedelta(days=1)


async def test_an_exceeded_quota_asks_ses_once() -> None:
    """The next message is answered without an attempt."""
    fault = Fault("dot", reply=SMTPText.QUOTA_EXCEEDED, times=None)
    async with Simulator(FAST, faults=[fault]) as simulator, relay_to(simulator) as relay:
        async with client_of(relay.port) as client:
            assert [(await client.send())[:3] for _ in range(3)] == ["452"] * 3
        assert relay.counts.attempts == 1


@pytest.mark.parametrize(
    "reply", [SMTPText.QUOTA_EXCEEDED, SMTPText.PAUSED, "connection"], ids=["quota", "blocked", "unreachable"]
)
async def test_a_relay_that_holds_tells_nothing_until_it_is_over(reply: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five clients, whose programs would lose what they are given back, wait for the end of the pause."""
    monkeypatch.setattr("seslimit.companion.relay._held.LOOK_AGAIN", 0.02)
    for pause in ("QUOTA_PROBES", "ENDPOINT_PROBES", "BLOCK_PROBES"):
        monkeypatch.setattr(f"seslimit._law.account.{pause}", (0.2, 0.2))
    fault = Fault("connect", end="reset", times=3) if reply == "connection" else Fault("dot", reply=reply, times=2)
    async with Simulator(FAST, faults=[fault]) as simulator, relay_to(simulator, hold=20.0) as relay:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client_of(relay.port)) for _ in range(5)]
            assert {(await each)[:3] for each in asyncio.as_completed([client.send() for client in clients])} == {"250"}
        assert (relay.counts.accepted, relay.counts.deferred) == (5, 0)


async def test_what_was_held_long_enough_is_told() -> None:
    """The reply says why."""
    fault = Fault("dot", reply=SMTPText.QUOTA_EXCEEDED, times=None)
    async with Simulator(FAST, faults=[fault]) as simulator, session(simulator, hold=1.2) as client:
        assert (await client.send()).startswith("452 4.3.1")


async def test_an_unknown_outcome_says_that_it_may_have_been_accepted() -> None:
    """451, and the relay does not send it again by itself."""
    fault = Fault("dot", end="reset", decided=True)
    async with Simulator(FAST, faults=[fault]) as simulator, session(simulator) as client:
        assert (await client.send()).startswith("451 4.4.2 The message may have been accepted")
        assert len(simulator.accepted) == 1


async def test_a_transient_failure_is_tried_again() -> None:
    """The client does not hear of one that passes."""
    assert (await _reply(Fault("dot", reply=SMTPText.TEMPORARY_FAILURE, times=2))).startswith("250")


async def test_a_transient_failure_that_lasts_is_answered_451() -> None:
    """With SES's words."""
    reply = await _reply(Fault("dot", reply=SMTPText.TEMPORARY_FAILURE, times=None))
    assert reply == "451 4.3.0 Not sent after 3 attempts: 451 Temporary service failure"


async def test_a_blocked_account_leaves_the_message_with_its_client(caplog: pytest.LogCaptureFixture) -> None:
    """451 for every message, one attempt, one error in the log."""
    fault = Fault("dot", reply=SMTPText.PAUSED, times=None)
    async with Simulator(FAST, faults=[fault]) as simulator, relay_to(simulator) as relay:
        async with client_of(relay.port) as client:
            replies = [await client.send() for _ in range(3)]
        assert relay.counts.attempts == 1
    assert all(reply.startswith("451 4.3.0 SES takes nothing from this account now") for reply in replies)
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


async def test_a_refused_login_leaves_the_message_with_its_client() -> None:
    """451 with SES's words."""
    reply = await _reply(Fault("auth", reply=SMTPText.CREDENTIALS_INVALID, times=None))
    assert re.match(r"451 4\.3\.0 .*535 Authentication Credentials Invalid", reply)


async def test_no_connection_to_ses_is_answered_451(closed_port: int) -> None:
    """After the time that the policy allows for it."""
    async with session(f"smtp://127.0.0.1:{closed_port}?tls=none") as client:
        assert (await client.send()).startswith("451 4.4.1 No connection to SES, the message was not sent: ")


async def test_refused_recipients_are_named(caplog: pytest.LogCaptureFixture) -> None:
    """In the reply, which is 250 since SES took the message, and in the log."""
    fault = Fault("rcpt", reply="550 no such user", skip=1)
    async with Simulator(FAST, faults=[fault]) as simulator, session(simulator) as client:
        reply = await client.send(recipients=readers(3))
        assert re.match(r"250 2\.0\.0 Ok \S+; refused for reader1@example\.net \(550 no such user\)$", reply)
        assert simulator.accepted[0].recipients == ("reader0@example.net", "reader2@example.net")
    assert "reader1@example.net" in caplog.text


async def test_a_nul_byte_is_refused() -> None:
    """No mail may have one, and SES's reply would be no clearer."""
    async with session(Service()) as client:
        assert (await client.send(b"Subject: x\r\n\r\nnull \0 byte\r\n")).startswith(
            "554 5.6.0 content holds a NUL byte"
        )
        assert (await client.send()).startswith("250")


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("MAIL FROM:<>", "550 5.1.7 SES takes no message without a return address"),
        ("MAIL FROM:<news@example.org> SMTPUTF8", "550 5.6.7 SES takes ASCII addresses only"),
        ("MAIL FROM:<nëws@example.org>", "553 5.6.7 SES takes ASCII addresses only"),
        ("MAIL FROM:<nëws@bücher.example>", "553 5.6.7 SES takes ASCII addresses only"),
        ("MAIL FROM:<news@bücher.example> BÖDY=8BITMIME", "553 5.6.7 SES takes ASCII addresses only"),
        ("MAIL FROM:<news@example.org> SIZE=99999999999", "552 5.3.4 The message is longer than"),
        ("MAIL FROM:<news@example.org> SIZE=many", "555 5.5.4"),
        ("MAIL FROM:<news@example.org> BODY=BINARYMIME", "555 5.5.4"),
        ("MAIL FROM:<news@example.org> RET=FULL ENVID=QQ314159", "250 "),
        ("MAIL FROM:<news>", "550 5.1.7 mail_from 'news' is not an address"),
        ("MAIL FROM:<a@example.org\rRCPT TO:<b@example.org>", "501 5.5.4"),
        ("MAIL news@example.org", "501 5.5.4"),
        ("MAIL", "501 5.5.4"),
        ("MAIL FROM:<news@example.org> BODY=8BITMIME SIZE=100", "250 "),
        ("mail from: <news@example.org> AUTH=<>", "250 "),
        ('MAIL FROM:<"a b"@example.org>', "250 "),
    ],
)
async def test_reverse_paths(command: str, reply: str) -> None:
    """What SES could not take is refused with the reason, in the first reply that can say so."""
    async with session(Service()) as client:
        assert (await client.say(command)).startswith(reply)


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("RCPT TO:<postmaster>", "550 5.1.3 recipient 'postmaster' is not an address"),
        ("RCPT TO:<>", "550 5.1.3"),
        ("RCPT TO:<réader@example.net>", "553 5.6.7"),
        ("RCPT TO:<a@example.net> XYZ=1", "555 5.5.4 The parameter XYZ=1"),
        ("RCPT TO:<a@example.net> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a@example.net", "250 "),
        ("RCPT TO:a@example.net", "501 5.5.4"),
        ("RCPT TO:<@relay.example.org:a@example.net>", "550 5.1.3"),
        (f"RCPT TO:<{'a' * 400}@example.net>", "550 5.1.3"),
        ("RCPT TO:<a@example.net>", "250 "),
    ],
)
async def test_forward_paths(command: str, reply: str) -> None:
    """What SES could not take is refused, and the transaction goes on."""
    async with session(Service()) as client:
        await client.say("MAIL FROM:<news@example.org>")
        assert (await client.say(command)).startswith(reply)
        assert (await client.say("RCPT TO:<b@example.net>")).startswith("250")


@pytest.mark.parametrize(
    ("commands", "reply"),
    [
        (["RCPT TO:<a@example.net>"], "503"),
        (["DATA"], "503"),
        (["MAIL FROM:<a@example.org>", "DATA"], "503"),
        (["MAIL FROM:<a@example.org>", "MAIL FROM:<b@example.org>"], "503"),
        (["MAIL FROM:<a@example.org>", "RSET", "MAIL FROM:<b@example.org>"], "250"),
        (["MAIL FROM:<a@example.org>", "RCPT TO:<a@example.net>", "EHLO again", "DATA"], "503"),
        (["STARTTLS"], "503"),
        (["AUTH PLAIN"], "503"),
        (["VRFY somebody"], "252"),
        (["EXPN list"], "500"),
        (["HELP"], "214"),
        (["QUIT"], "221"),
    ],
)
async def test_order_of_commands(commands: list[str], reply: str) -> None:
    """Out of order is 503, and unknown 500."""
    async with session(Service()) as client:
        replies = [await client.say(command) for command in commands]
        assert replies[-1].startswith(reply)


async def test_what_was_dropped_is_in_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever asks for delivery reports hears of it, and not with every message."""
    async with session(Service()) as client:
        for _ in range(3):
            await client.say("MAIL FROM:<a@example.org> RET=HDRS")
            await client.say("RCPT TO:<b@example.net> NOTIFY=NEVER")
            await client.say("DATA")
            client.write(stuffed(CONTENT))
            assert (await client.reply()).startswith("250")
    assert caplog.text.count("delivery status notifications (NOTIFY, RET)") == 1


@pytest.mark.parametrize("name", ["büro-pc", "\udcfc\udcff", "[192.0.2.1]"])
@pytest.mark.parametrize("command", ["EHLO", "HELO"])
async def test_a_client_may_be_called_anything(command: str, name: str) -> None:
    """Windows greets with the machine's name, whatever its letters; only addresses go anywhere."""
    async with session(Service()) as client:
        assert (await client.say(f"{command} {name}".encode("utf-8", "surrogateescape"))).startswith("250")
        assert (await client.send()).startswith("250")


async def test_commands_may_be_pipelined() -> None:
    """Also behind a final dot; each is answered in its turn."""
    service = Service()
    async with session(service) as client:
        head = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
        client.write((head + stuffed(CONTENT)) * 3 + b"QUIT\r\n")
        replies = [(await client.reply())[:3] for _ in range(13)]
    assert replies == ["250", "250", "354", "250"] * 3 + ["221"]
    assert len(service.accepted) == 3


# Content


_LINES = st.lists(
    st.one_of(
        st.binary(max_size=80).map(lambda line: line.translate(None, b"\0\r\n")),
        st.sampled_from([b"", b".", b"..", b".QUIT", b"Bcc: hidden@example.net", "Grüße".encode(), b"x" * 5000]),
    ),
    max_size=20,
)


async def _through(content: bytes, cut: int) -> bytes:
    service = Service()
    async with session(service) as client:
        await client.begin()
        wire = stuffed(content)
        for begin in range(0, len(wire), cut):
            client.write(wire[begin : begin + cut])
            await asyncio.sleep(0)
        assert (await client.reply()).startswith("250")
    return service.accepted[0].as_bytes()


@settings(max_examples=60)
@given(lines=_LINES, cut=st.integers(min_value=7, max_value=4000))
def test_the_content_goes_through_byte_for_byte(lines: list[bytes], cut: int) -> None:
    """Dots, eight bits, Bcc and long lines included, however the bytes are cut."""
    content = b"".join(line + b"\r\n" for line in lines)
    assert asyncio.run(_through(content, cut)) == content


async def test_the_content_that_ses_gets_is_the_client_s() -> None:
    """Through both ends: the relay's and the transport's."""
    content = CONTENT + b".\r\n..\r\n" + bytes(range(128, 256)) + b"\r\n" + b"y" * 100_000 + b"\r\n"
    async with Simulator(FAST, keep_content=True, strict=False) as simulator, session(simulator) as client:
        await client.send(content)
        assert simulator.accepted[0].content == content


async def test_a_bare_line_end_becomes_crlf() -> None:
    """As in every message that seslimit sends; nothing else is changed."""
    assert await _through(b"a\nb\rc\r\nd\r\r\n", 100) == b"a\r\nb\r\nc\r\nd\r\n\r\n"


async def test_an_empty_content_goes_through() -> None:
    """A dot and nothing before it."""
    assert await _through(b"", 100) == b""


_ENDS = [b"\n", b"\r", b"\r\n"]
_SMUGGLED = [
    before + dot + after
    for before in (*_ENDS, b"\n\n", b"\r\r", b"\n\r", b"\0\n", b" \n")
    for dot in (b".", b" .", b".\0")
    for after in (*_ENDS, b"\n\r", b"\0\n")
    if not (before + dot + after).endswith(b"\r\n.\r\n")
]


@pytest.mark.parametrize("end", _SMUGGLED, ids=repr)
async def test_only_crlf_dot_crlf_ends_a_message(end: bytes) -> None:
    """What looks like another end is content, and so are the commands behind it."""
    service = Service()
    async with session(service) as client:
        await client.begin()
        client.write(
            b"Subject: a\r\n\r\nbefore" + end + b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<victim@example.net>\r\n"
            b"DATA\r\nSubject: b\r\n\r\nsmuggled\r\n.\r\nNOOP\r\n"
        )
        reply = await client.reply()
        assert reply[:3] == ("554" if b"\0" in end else "250")
        assert await client.reply() == "250 2.0.0 Ok"
    assert len(service.accepted) == (b"\0" not in end)
    assert all(b"smuggled" in message.as_bytes() for message in service.accepted)
    assert "victim@example.net" not in service.recipients


# Recipients


async def test_many_recipients_are_split() -> None:
    """At most fifty a message, in order, and the reply has every message id."""
    service = Service()
    async with session(service) as client:
        assert await client.send(recipients=readers(120)) == "250 2.0.0 Ok id-1 id-2 id-3"
    assert [message.cost for message in service.accepted] == [50, 50, 20]
    assert service.recipients == readers(120)


async def test_a_recipient_that_is_named_twice_gets_one_copy() -> None:
    """In the same part or in another one."""
    service = Service()
    async with session(service) as client:
        reply = await client.send(recipients=["reader0@example.net", *readers(60), *readers(3)])
    assert reply == "250 2.0.0 Ok id-1 id-2"
    assert service.recipients == readers(60)


def _fails_for(recipient: str, outcome: Outcome, reply: str, times: int | None = None) -> Service:
    """A service that refuses messages with this recipient."""
    attempts = count()

    def refuse(message: Message) -> Exception | None:
        if recipient in message.recipients and (times is None or next(attempts) < times):
            return TransportError(outcome, reply)
        return None

    return Service(refuse)


async def test_a_later_part_that_fails_for_now_is_the_only_one_that_is_sent_again() -> None:
    """The reply names what was accepted; the client sends to all again, and nobody gets it twice."""
    service = _fails_for("reader110@example.net", Outcome.TRANSIENT, "451 Temporary service failure", times=3)
    async with session(service) as client:
        assert await client.send(recipients=readers(120)) == (
            "451 4.3.0 Accepted for 100 of 120 recipients (send again to all, those are left out: id-1 id-2); "
            "for the others: Not sent after 3 attempts: 451 Temporary service failure"
        )
        assert await client.send(recipients=readers(120)) == "250 2.0.0 Ok id-1 id-2 id-3"
    assert sorted(service.recipients) == sorted(readers(120))


async def test_what_was_accepted_is_remembered_for_that_message_alone() -> None:
    """Another content, or another return address, is another message."""
    service = _fails_for("reader50@example.net", Outcome.TRANSIENT, "451 Temporary service failure", times=3)
    async with session(service) as client:
        assert (await client.send(recipients=readers(51))).startswith("451")
        assert (await client.send(CONTENT + b"P.S.\r\n", recipients=readers(51))).startswith("250")
    assert len(service.recipients) == 101


async def test_a_message_whose_client_has_heard_of_it_is_forgotten() -> None:
    """Sent once more on purpose, it is sent."""
    service = _fails_for("reader50@example.net", Outcome.TRANSIENT, "451 Temporary service failure", times=3)
    async with session(service) as client:
        assert [(await client.send(recipients=readers(51)))[:3] for _ in range(3)] == ["451", "250", "250"]
    assert len(service.recipients) == 102


async def test_a_part_that_is_refused_for_good_does_not_hold_up_the_others() -> None:
    """The reply is SES's 5xx, and says for whom it was accepted."""
    service = _fails_for("reader10@example.net", Outcome.PERMANENT, "554 Message rejected: Address blacklisted")
    async with session(service) as client:
        assert await client.send(recipients=readers(120)) == (
            "554 5.0.0 Accepted for 70 of 120 recipients (do not send to those again: id-1 id-2); "
            "for the others: Message rejected: Address blacklisted"
        )


async def test_an_exceeded_quota_ends_the_splitting() -> None:
    """No further part is attempted."""
    service = _fails_for("reader60@example.net", Outcome.QUOTA_EXCEEDED, "454 Daily message quota exceeded.")
    async with session(service) as client:
        assert re.match(r"452 4\.3\.1 Accepted for 50 of 200 recipients", await client.send(recipients=readers(200)))
    assert service.attempts == 2


async def test_ten_thousand_recipients() -> None:
    """A thousand in one transaction, the others are told 452; who sends to those again reaches everybody once."""
    service = Service()
    wanted = readers(10_000)
    async with session(service) as client:
        left = list(wanted)
        while left:
            await client.say("MAIL FROM:<news@example.org>")
            client.write(b"".join(f"RCPT TO:<{recipient}>\r\n".encode() for recipient in left))
            replies = [await client.reply() for _ in left]
            assert {reply[:9] for reply in replies} <= {"250 2.1.5", "452 4.5.3"}
            left = [recipient for recipient, reply in zip(left, replies, strict=True) if reply.startswith("452")]
            await client.say("DATA")
            client.write(stuffed(CONTENT))
            assert (await client.reply()).startswith("250")
    assert service.recipients == wanted


# Clients that go away


async def test_a_client_that_breaks_off_while_its_message_waits_takes_it_back() -> None:
    """It would send it again, and then it would be sent twice."""
    service = Service()
    async with relay_to(service, rate=0.5) as relay:
        async with client_of(relay.port) as first:
            await first.send()
            async with client_of(relay.port) as second:
                await second.hand_over()
                await until(lambda: relay.limiter.waiting)
                second.reset()
            await until(lambda: not relay.limiter.waiting)
        await until(lambda: relay.held == 0 and relay.connections == 0)
        assert (service.attempts, relay.counts.abandoned) == (1, 1)


async def test_a_client_that_leaves_during_the_attempt_does_not_break_it_off() -> None:
    """It is remembered, so that the client's next attempt is answered with what became of the first."""
    service = Service(held=True)
    async with relay_to(service) as relay:
        await left_during_attempt(relay, service)
        service.gate.set()
        await until(lambda: relay.held == 0)
        async with client_of(relay.port) as again:
            assert await again.send() == "250 2.0.0 Ok id-1"
    assert service.attempts == 1


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_client_that_comes_back_during_the_attempt_waits_for_it(accepted: bool) -> None:
    """The same message is not sent beside itself; what became of the first attempt counts, and others do not wait."""
    service = Service()
    if not accepted:
        service = _fails_for("reader@example.net", Outcome.THROTTLED, SMTPText.RATE_EXCEEDED, times=1)
    async with relay_to(service) as relay:
        async with client_of(relay.port) as client:
            await client.send(recipients=["first@example.net"])
            service.gate.clear()
            service.begun.clear()
            await client.hand_over()
            await service.begun.wait()
            client.reset()
        await until(lambda: relay.connections == 0)
        async with client_of(relay.port) as again, client_of(relay.port) as other:
            await again.hand_over()
            await other.hand_over(CONTENT + b"Another one.\r\n")
            await until(lambda: service.attempts == 3)
            await asyncio.sleep(0.05)
            assert service.attempts == 3
            service.gate.set()
            assert (await again.reply()).startswith("250 2.0.0 Ok id-")
            assert (await other.reply()).startswith("250 2.0.0 Ok id-")
    assert len(service.accepted) == 3
    assert service.attempts == 3 + (not accepted)


async def test_a_client_that_waits_for_its_own_first_attempt_may_leave_as_well() -> None:
    """However often it comes back, there is one copy."""
    service = Service(held=True)
    async with relay_to(service) as relay:
        for waiting in range(3):
            async with client_of(relay.port) as client:
                await client.hand_over()
                await until(lambda: len(relay._sessions.handover._under_way) > waiting)  # type: ignore[union-attr]  # noqa: B023
                client.reset()
            await until(lambda: relay.connections == 0)
        async with client_of(relay.port) as last:
            await last.hand_over()
            await until(lambda: relay.held == 4)
            service.gate.set()
            assert await last.reply() == "250 2.0.0 Ok id-1"
        await until(lambda: relay.held == 0)
        assert (relay.counts.abandoned, relay.counts.recipients) == (3, 1)
        async with client_of(relay.port) as new:
            assert await new.send() == "250 2.0.0 Ok id-2"


async def test_a_client_that_has_left_gets_no_second_attempt() -> None:
    """The attempt under way was the last."""
    service = _fails_for("reader@example.net", Outcome.THROTTLED, SMTPText.RATE_EXCEEDED)
    service.gate.clear()
    async with relay_to(service) as relay:
        await left_during_attempt(relay, service)
        service.gate.set()
        await until(lambda: relay.held == 0)
    assert service.attempts == 1


async def test_a_message_that_has_waited_too_long_is_given_back() -> None:
    """Before its client gives up, so that it hears that it was not sent."""
    service = Service()
    async with relay_to(service, rate=0.1, patience=0.2) as relay, client_of(relay.port) as client:
        await client.send()
        assert (await client.send()).startswith("451 4.3.2 The message has waited too long")
        assert service.attempts == 1
        assert (await client.say("NOOP")).startswith("250")


async def test_an_attempt_under_way_is_not_given_up_for_the_time() -> None:
    """Its outcome would be lost."""
    service = Service(held=True)
    async with relay_to(service, patience=0.1) as relay, client_of(relay.port) as client:
        await client.hand_over()
        await asyncio.sleep(0.3)
        service.gate.set()
        assert (await client.reply()).startswith("250")


async def test_a_domain_beyond_ascii_is_written_in_punycode(caplog: pytest.LogCaptureFixture) -> None:
    """In return address and recipients, by IDNA 2008, where "ß" stays itself (RFC 5891); the log says so once."""
    service = Service()
    async with session(service) as client:
        for _ in range(2):
            assert (await client.send(recipients=["leser@straße.example", "ada@example.net"])).startswith("250")
        assert (await client.say("MAIL FROM:<news@bücher.example>")).startswith("250")
        assert (await client.say("RCPT TO:<b@example.net>")).startswith("250")
        await client.say("DATA")
        client.write(stuffed(CONTENT))
        assert (await client.reply()).startswith("250")
    assert service.accepted[0].recipients == ("leser@xn--strae-oqa.example", "ada@example.net")
    assert service.accepted[-1].mail_from == "news@xn--bcher-kva.example"
    assert sum("straße.example" in line for line in caplog.messages) == 1


async def test_an_address_that_is_no_utf8() -> None:
    """It is said so; what it was meant to be is not guessed."""
    async with session(Service()) as client:
        assert (await client.say(b"MAIL FROM:<news@b\xfccher.example>")).startswith("553 5.6.7 The address is neither")
        assert (await client.send()).startswith("250")
