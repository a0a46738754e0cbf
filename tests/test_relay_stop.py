"""The end of a relay, and its command: `seslimit relay`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from seslimit import Outcome, TransportError
from seslimit.cli._commands import run
from seslimit.companion.relay import Relay
from seslimit.testing import Simulator

from .relaying import CONTENT, FAST, Client, Service, client_of, holding, options, readers, relay_to, stuffed, until


async def test_an_attempt_under_way_is_finished_and_answered() -> None:
    """With 250, if SES accepted the message."""
    service = Service()
    async with holding(service) as (relay, client):
        closing = asyncio.create_task(relay.aclose())
        await asyncio.sleep(0.05)
        assert not closing.done()
        service.gate.set()
        assert (await client.reply()).startswith("250")
        assert (await client.reply()).startswith("421 4.3.2")
        assert await client.closed()
        await closing


async def test_an_attempt_that_does_not_end_is_answered_as_unknown() -> None:
    """After the deadline; the message may have been accepted."""
    service = Service()
    async with holding(service) as (relay, client):
        await relay.aclose(deadline=0.1)
        assert (await client.reply()).startswith("451 4.4.2 The message may have been accepted")
        assert await client.closed()


async def test_a_message_that_some_have_already_is_sent_to_the_others() -> None:
    """The relay would forget who has it, and the client would send to all again."""
    service = Service()
    async with relay_to(service, rate=100.0) as relay, client_of(relay.port) as client:
        await client.hand_over(recipients=readers(120))
        await until(lambda: service.accepted)
        await relay.aclose()
        assert await client.reply() == "250 2.0.0 Ok id-1 id-2 id-3"
        assert (await client.reply()).startswith("421 4.3.2")
    assert service.recipients == readers(120)


async def test_a_message_whose_first_part_is_under_way_is_sent_to_the_others() -> None:
    """It is not known before whether that part will be accepted."""
    service = Service(held=True)
    async with relay_to(service) as relay, client_of(relay.port) as client:
        await client.hand_over(recipients=readers(60))
        await service.begun.wait()
        closing = asyncio.create_task(relay.aclose())
        await asyncio.sleep(0.05)
        service.gate.set()
        assert await client.reply() == "250 2.0.0 Ok id-1 id-2"
        await closing


async def test_a_message_for_more_than_there_is_time_for_says_who_gets_it_twice() -> None:
    """The first part has it; the reply does not promise what the relay forgets."""
    service = Service()
    async with relay_to(service, rate=5.0) as relay, client_of(relay.port) as client:
        await client.hand_over(recipients=readers(60))
        await until(lambda: service.accepted)
        await relay.aclose(deadline=0.2)
        assert (await client.reply()).startswith(
            "421 4.3.2 Accepted for 50 of 60 recipients (sent again to all, those get it twice: id-1)"
        )


async def test_closing_twice_closes_once() -> None:
    """The transport hears of it once."""
    service = Service()
    async with relay_to(service) as relay:
        await relay.aclose()
        await relay.aclose()
    assert service.closed == 1


async def test_a_message_that_waits_for_its_turn_is_given_back() -> None:
    """421: it was not sent."""
    service = Service()
    async with relay_to(service, rate=0.1) as relay, client_of(relay.port) as client:
        await client.send()
        await client.hand_over()
        await until(lambda: relay.limiter.waiting)
        await relay.aclose(deadline=2.0)
        assert (await client.reply()).startswith("421 4.3.2 The relay is stopping")
        assert await client.closed()
    assert service.attempts == 1


async def test_messages_that_are_held_are_sent_before_the_end() -> None:
    """At the account's rate: listmonk posts none of them again (ten of them, as its workers have)."""
    service = Service(held=True)
    async with contextlib.AsyncExitStack() as stack:
        relay = await stack.enter_async_context(relay_to(service, rate=20.0))
        clients = [await stack.enter_async_context(client_of(relay.port)) for _ in range(10)]
        for client in clients:
            await client.hand_over()
        await until(lambda: len(relay._sessions.handover._under_way) == 10)  # type: ignore[union-attr]
        closing = asyncio.create_task(relay.aclose())
        await asyncio.sleep(0.05)
        service.gate.set()
        await closing
        assert all([(await client.reply()).startswith("250") for client in clients])
        assert all([(await client.reply()).startswith("421 4.3.2") for client in clients])
    assert len(service.accepted) == 10


@pytest.mark.parametrize(
    "outcome", [Outcome.QUOTA_EXCEEDED, Outcome.ACCOUNT_BLOCKED, Outcome.NOT_SENT], ids=lambda each: each.name
)
async def test_what_waits_for_the_end_of_a_pause_is_given_back_at_the_end(outcome: Outcome) -> None:
    """Nobody knows how long that takes."""
    service = Service(lambda message: TransportError(outcome, "not now", blocks_endpoint=True))
    async with relay_to(service, hold=60.0) as relay, client_of(relay.port) as client:
        await client.hand_over()
        await service.begun.wait()
        await relay.aclose(deadline=5.0)
        assert (await client.reply()).startswith("4")
    assert not service.accepted


async def test_a_socket_that_systemd_hands_over_outlives_the_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes between two relays waits, and is served by the second (sd_listen_fds(3))."""
    service = Service()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        late: Client | None = None
        for _ in range(2):
            monkeypatch.setattr("seslimit.companion._listening.FIRST_HANDED_OVER", os.dup(listening.fileno()))
            monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
            monkeypatch.setenv("LISTEN_FDS", "1")
            async with relay_to(service) as relay:
                assert relay.port == port
                if late is not None:
                    assert (await late.reply()).startswith("220")
                    assert (await late.say("EHLO x")).startswith("250")
                    assert (await late.send()).startswith("250")
                    await late.aclose()
                async with client_of(port) as client:
                    assert (await client.send()).startswith("250")
            late = Client(*await asyncio.open_connection("127.0.0.1", port))
        if late is not None:
            await late.aclose()
    assert len(service.accepted) == 3


@pytest.mark.parametrize(
    "said",
    [b"", b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nhalf a content\r\n", b"AUTH LOGIN\r\n"],
)
async def test_everybody_else_is_told_to_come_back(said: bytes) -> None:
    """Whatever they are in the middle of."""
    async with relay_to(Service(), user="somebody", password="s3kr1t") as relay, client_of(relay.port) as client:
        client.write(said)
        await asyncio.sleep(0.02)
        await relay.aclose()
        replies = [reply async for reply in _rest(client)]
        assert replies[-1].startswith("421 4.3.2")


async def _rest(client: Client) -> Any:
    while reply := await client.reply():
        yield reply


async def test_a_message_that_waits_for_a_place_is_told_to_come_back() -> None:
    """It has not even been received."""
    service = Service(held=True)
    async with (
        relay_to(service, max_pending=1) as relay,
        client_of(relay.port) as first,
        client_of(relay.port) as second,
    ):
        await first.hand_over()
        await service.begun.wait()
        beginning = asyncio.create_task(second.begin())
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(relay.aclose())
        assert (await beginning).startswith("421 4.3.2")
        service.gate.set()
        assert (await first.reply()).startswith("250")
        await closing


async def test_new_connections_are_told_to_come_back() -> None:
    """As long as there is anybody to tell them."""
    service = Service()
    async with holding(service) as (relay, _):
        closing = asyncio.create_task(relay.aclose())
        await asyncio.sleep(0)
        async with client_of(relay.port, greet=False) as late:
            assert (await late.reply()).startswith("421 4.3.2")
        service.gate.set()
        await closing


async def test_a_client_that_reads_nothing_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cut off."""
    monkeypatch.setattr("seslimit.companion.relay._relay.GOODBYE", 0.1)
    async with relay_to(Service(), max_recipients=1) as relay, client_of(relay.port) as client:
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.write(b"MAIL FROM:<a@example.org>\r\n" + b"RCPT TO:<a@example.net>\r\n" * 100_000)
        await asyncio.sleep(0.1)
        async with asyncio.timeout(120):
            await relay.aclose()
        assert relay.connections == 0


async def test_an_end_under_load_loses_and_doubles_nothing() -> None:
    """Every message is answered, and SES has those that were answered 250 and no others."""
    async with Simulator(200, latency=0.005) as simulator, relay_to(simulator, rate=200) as relay:
        replies: list[str] = []

        async def flood(number: int) -> None:
            async with client_of(relay.port) as client:
                for turn in range(1000):
                    recipient = f"r{number}.{turn}@example.net"
                    for command in ("MAIL FROM:<a@example.org>", f"RCPT TO:<{recipient}>", "DATA"):
                        if (await client.say(command))[:3] not in {"250", "354"}:
                            return
                    client.write(stuffed(CONTENT))
                    replies.append(await client.reply())

        floods = [asyncio.create_task(flood(number)) for number in range(30)]
        await until(lambda: len(replies) > 60)
        await relay.aclose()
        ended = await asyncio.gather(*floods, return_exceptions=True)
        assert not [error for error in ended if error and not isinstance(error, ConnectionError)]
        accepted = [reply for reply in replies if reply.startswith("250")]
        assert {reply[:3] for reply in replies} == {"250"}
        assert sorted(each.message_id for each in simulator.accepted) == sorted(reply.split()[-1] for reply in accepted)
        assert len({each.recipients for each in simulator.accepted}) == len(accepted)


async def test_a_relay_that_was_never_opened_can_be_closed() -> None:
    """Its transport with it."""
    await Relay(Service(), options()).aclose()


# The command


@contextmanager
def _command(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "seslimit", "relay", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200", **environment},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stdout
    return int(json.loads(process.stdout.readline())["listen"].rpartition(":")[2])


async def test_the_command_serves_until_a_signal() -> None:
    """It prints its address, then its totals, and exits with 0."""
    async with Simulator(FAST) as simulator:
        with _command("--listen", "127.0.0.1:0", "--to", simulator.smtp_url, "--json") as process:
            port = await asyncio.to_thread(_port, process)
            async with client_of(port) as client:
                assert (await client.send(recipients=["b@example.net", "c@example.net"])).startswith("250")
            process.send_signal(signal.SIGTERM)
            printed, complaints = await asyncio.to_thread(process.communicate, timeout=120)
        figures = json.loads(printed.splitlines()[-1])
        assert (process.returncode, complaints) == (0, "")
        assert (figures["accepted"], figures["recipients"], figures["throttled"]) == (1, 2, 0)
        assert len(simulator.accepted) == 1


async def test_the_command_says_in_words_where_it_listens() -> None:
    """And what became of everything; no password of the URL is shown."""
    with _command("--listen", "127.0.0.1:0", "--to", "smtp://user:s3kr1t@127.0.0.1:1?tls=none") as process:
        assert process.stdout
        first = await asyncio.to_thread(process.stdout.readline)
        process.send_signal(signal.SIGINT)
        printed, complaints = await asyncio.to_thread(process.communicate, timeout=120)
    assert first.startswith("Listening on 127.0.0.1:")
    assert "for mail to smtp://127.0.0.1:1;" in first
    assert "0 accepted (0 recipients), 0 throttled, 0 refused, 0 to come back" in printed
    assert "s3kr1t" not in first + printed + complaints


async def test_what_the_owner_has_to_hear_is_on_standard_error() -> None:
    """That there is no connection, for one."""
    with _command("--listen", "127.0.0.1:0", "--to", "smtp://127.0.0.1:1?tls=none", "--hold", "0", "--json") as process:
        port = await asyncio.to_thread(_port, process)
        async with client_of(port) as client:
            assert (await client.send()).startswith("451 4.4.1")
        process.send_signal(signal.SIGTERM)
        _, complaints = await asyncio.to_thread(process.communicate, timeout=120)
    assert "seslimit: sending paused: endpoint unreachable" in complaints


@pytest.mark.parametrize(
    ("listen", "words"),
    [
        ("0.0.0.0:0", "that needs --tls-cert and a login"),
        ("nonsense", "is no address to listen on"),
        ("203.0.113.1:0", "needs --tls-cert"),
    ],
)
def test_a_relay_that_may_not_begin(
    listen: str, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence and exit status 2."""
    monkeypatch.delenv("SESLIMIT_RELAY_USER", raising=False)
    monkeypatch.delenv("SESLIMIT_RELAY_PASSWORD", raising=False)
    assert run(["relay", "--listen", listen, "--to", "sim://"]) == 2
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert words in complaint


def test_a_taken_port_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """And exit status 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert run(["relay", "--listen", f"127.0.0.1:{taken.getsockname()[1]}", "--to", "sim://"]) == 2
    assert "cannot be listened on (Address already in use)" in capsys.readouterr().err


def test_a_certificate_that_is_not_there_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And exit status 2."""
    arguments = ["relay", "--listen", "127.0.0.1:0", "--to", "sim://", "--tls-cert", str(tmp_path / "none.pem")]
    assert run(arguments) == 2
    assert "none.pem cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize("to", ["ses://eu-west-1", "ses://eu-wst-1"])
async def test_what_is_wrong_with_the_account_is_said_before_the_first_message(to: str) -> None:
    """No credentials, for one: the relay begins all the same, since they may come, and says so."""
    nothing = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent", "AWS_ACCESS_KEY_ID": ""}
    with _command("--listen", "127.0.0.1:0", "--to", to, "--json", **nothing) as process:
        assert await asyncio.to_thread(_port, process) > 0
        assert process.stderr
        complaint = await asyncio.to_thread(process.stderr.readline)
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.communicate, timeout=120)
    assert complaint.startswith("seslimit: the sending quota is not known: ")
