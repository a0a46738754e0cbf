"""Faults on command, at both doors of the simulator: every stage, reply and end."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from typing import Any

import attrs
import pytest
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.exceptions import ReadTimeoutError

from seslimit.testing import (
    APIReply,
    End,
    Fault,
    Faults,
    Simulator,
    SMTPRules,
    SMTPText,
    Stage,
)
from tests.simulator_clients import (
    ACCOUNT,
    FAST,
    PATIENCE,
    SEND,
    STEPS,
    api,
    client_context,
    connected,
    logged_in,
    mail,
    post,
    request,
    server_context,
    settled,
    status,
)

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def server_tls() -> ssl.SSLContext:
    """A server's context, as a caller of the simulator brings it."""
    return server_context()


@pytest.fixture(scope="module")
def client_tls() -> ssl.SSLContext:
    """A client's context that trusts the server."""
    return client_context()


ORDINARY = {"connect": "220", "ehlo": "250", "auth": "235", "data": "354", "quit": "221", "starttls": "220"}
STAGES = ["connect", "starttls", "body", *STEPS]
DECIDING = [stage for stage in STAGES if stage not in ("connect", "body")]
"""The stages at which there is something to decide."""
AFTER = {End.KEEP: "open", End.CLOSE: "ended", End.CUT: "ended", End.RESET: "reset"}


def replies_and_ends(reply: Any) -> list[tuple[Any, End]]:
    """A reply, or none, with every end of the connection; without either, nothing would go wrong."""
    return [(text, end) for text in (reply, None) for end in End if text is not None or end is not End.KEEP]


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
            async with asyncio.timeout(120 if ends else 0.01):
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
            async with asyncio.timeout(120):
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
            async with asyncio.timeout(120):
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
