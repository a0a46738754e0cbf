"""A client's last word is not its end: the relay answers whoever may still listen, and knows who does not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from seslimit.companion.relay import Relay
from seslimit.companion.relay._connection import RelayConnection
from seslimit.testing import Fault, Simulator, SMTPText

from .relaying import CONTENT, FAST, Client, Service, client_of, login_of, options, readers, relay_to, stuffed, until


async def _last_words(client: Client, content: bytes = CONTENT) -> None:
    """Hand a message over with QUIT behind it, and close the side that speaks, as Exim does."""
    assert (await client.begin()).startswith("354")
    client.write(stuffed(content) + b"QUIT\r\n")
    client.writer.write_eof()


async def test_a_message_with_quit_behind_it_is_answered_however_long_it_waits() -> None:
    """Both replies, in order (RFC 5321, 4.1.1.10; RFC 2920, 3.1)."""
    service = Service(held=True)
    async with relay_to(service) as relay, client_of(relay.port) as client:
        await _last_words(client)
        await service.begun.wait()
        await asyncio.sleep(0.05)
        service.gate.set()
        assert await client.reply() == "250 2.0.0 Ok id-1"
        assert (await client.reply()).startswith("221")
        assert await client.closed()
        assert (relay.counts.accepted, relay.counts.abandoned) == (1, 0)


async def test_a_last_word_that_comes_in_one_piece_with_the_message_is_answered() -> None:
    """Everything is there before the first attempt."""
    async with relay_to(Service()) as relay, client_of(relay.port) as client:
        await client.begin()
        (connection,) = relay._sessions.connected  # type: ignore[union-attr]
        assert isinstance(connection, RelayConnection)
        connection.data_received(stuffed(CONTENT) + b"QUIT\r\n")
        connection.eof_received()
        assert await client.reply() == "250 2.0.0 Ok id-1"
        assert (await client.reply()).startswith("221")


async def test_a_message_that_has_just_arrived_as_a_whole_is_sent_before_the_end() -> None:
    """The end comes in the very turn of the loop in which the conversation is woken for it."""
    async with relay_to(Service()) as relay, client_of(relay.port) as client:
        await client.begin()
        (connection,) = relay._sessions.connected  # type: ignore[union-attr]
        assert isinstance(connection, RelayConnection)
        connection.data_received(stuffed(CONTENT))
        ending = asyncio.create_task(relay.aclose())
        connection.dismiss("421 4.3.2 The relay is stopping")
        assert await client.reply() == "250 2.0.0 Ok id-1"
        assert (await client.reply()).startswith("421")
        await ending


async def test_every_part_of_a_message_is_sent_after_the_last_word() -> None:
    """To a hundred and twenty recipients, at a rate that makes them wait."""
    service = Service()
    async with relay_to(service, rate=1000.0) as relay, client_of(relay.port) as client:
        await client.begin(readers(120))
        client.write(stuffed(CONTENT) + b"QUIT\r\n")
        client.writer.write_eof()
        assert await client.reply() == "250 2.0.0 Ok id-1 id-2 id-3"
    assert service.recipients == readers(120)


async def test_a_throttle_after_the_last_word_is_waited_out() -> None:
    """The client still listens."""
    fault = Fault("dot", reply=SMTPText.RATE_EXCEEDED, times=2)
    async with Simulator(FAST, faults=[fault]) as simulator, relay_to(simulator) as relay:
        async with client_of(relay.port) as client:
            await _last_words(client)
            assert (await client.reply()).startswith("250")
        assert relay.counts.throttled == 2
    assert len(simulator.accepted) == 1


async def test_who_still_listens_may_send_the_same_again() -> None:
    """It has heard of the first one, so it means a second."""
    service = Service()
    async with relay_to(service) as relay:
        for number in (1, 2):
            async with client_of(relay.port) as client:
                await _last_words(client)
                assert await client.reply() == f"250 2.0.0 Ok id-{number}"
            await until(lambda: relay.connections == 0)


async def test_who_no_longer_listens_and_comes_back_gets_one_copy() -> None:
    """Its time was up: the reply came back, and what it stands for counts for the same message."""
    service = Service(held=True)
    async with relay_to(service) as relay:
        async with client_of(relay.port) as client:
            await client.hand_over()
            await service.begun.wait()
        service.gate.set()
        await until(lambda: relay.connections == 0)
        assert (relay.counts.accepted, relay.counts.abandoned) == (1, 1)
        async with client_of(relay.port) as again:
            assert await again.send() == "250 2.0.0 Ok id-1"
            assert await again.send() == "250 2.0.0 Ok id-2"


async def test_who_comes_back_before_its_first_message_had_its_turn_gets_one_copy() -> None:
    """The second waits for the first."""
    service = Service()
    async with relay_to(service, rate=2.0) as relay:
        async with client_of(relay.port) as other:
            await other.send(CONTENT + b"Another one.\r\n")
        async with client_of(relay.port) as client:
            await client.hand_over()
            await until(lambda: relay.limiter.waiting)
        async with client_of(relay.port) as again:
            assert await again.send() == "250 2.0.0 Ok id-2"
    assert len(service.accepted) == 2


async def test_a_last_word_without_a_message_is_the_end() -> None:
    """In the middle of a command, of an envelope, of a content, and while a place is waited for."""
    service = Service(held=True)
    head = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\n"
    async with relay_to(service, max_pending=2) as relay, client_of(relay.port) as first:
        await first.hand_over()
        await service.begun.wait()
        for said in (b"", b"NOO", head, head + b"DATA\r\nSubject: half\r\n.\r"):
            async with client_of(relay.port) as client:
                client.write(said)
                client.writer.write_eof()
                assert await client.closed()
        async with client_of(relay.port) as second:
            await second.hand_over()
            await until(lambda: relay.held == 2)
            async with client_of(relay.port) as third:
                third.write(head + b"DATA\r\n")
                third.writer.write_eof()
                assert await third.closed()
            service.gate.set()
            assert (await second.reply()).startswith("250")
    assert len(service.accepted) == 2


async def test_the_replies_are_not_held_back_by_the_system() -> None:
    """TCP_NODELAY: otherwise the second of two small replies waits for an acknowledgement, 40 ms (RFC 896)."""
    async with relay_to(Service()) as relay, client_of(relay.port):
        (connection,) = relay._sessions.connected  # type: ignore[union-attr]
        assert isinstance(connection, RelayConnection)
        connected = connection._wire.get_extra_info("socket")  # type: ignore[union-attr]
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


# TLS from the first byte


@contextlib.asynccontextmanager
async def _over_tls(relay: Relay, context: ssl.SSLContext) -> AsyncIterator[Client]:
    """A client that begins with TLS."""
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port, ssl=context, server_hostname="localhost")
    client = Client(reader, writer)
    try:
        yield client
    finally:
        await client.aclose()


async def test_tls_from_the_first_byte(certificate: Path, client_tls: ssl.SSLContext) -> None:
    """RFC 8314, 3.3: no STARTTLS is offered, and a login is, also on an address that needs both."""
    given: dict[str, Any] = {"listen": "0.0.0.0:0", "user": "somebody", "password": "s3kr1t"}
    service = Service()
    async with (
        relay_to(service, tls_cert=certificate, tls_implicit=True, **given) as relay,
        _over_tls(relay, client_tls) as client,
    ):
        assert (await client.reply()).startswith("220")
        hello = await client.say("EHLO client.example.org")
        assert "AUTH PLAIN LOGIN" in hello
        assert "STARTTLS" not in hello
        assert (await client.say("STARTTLS")).startswith("503")
        assert (await client.say(login_of("somebody", "s3kr1t"))).startswith("235")
        assert (await client.send()).startswith("250")
    assert len(service.accepted) == 1


@pytest.mark.parametrize("hello", [b"EHLO client.example.org\r\n", b"", b"\x16\x03\x01"])
async def test_who_does_not_begin_with_tls_is_cut_off(certificate: Path, hello: bytes) -> None:
    """It hears nothing in clear, and its connection is free again."""
    async with (
        relay_to(Service(), tls_cert=certificate, tls_implicit=True, idle_timeout=0.2) as relay,
        client_of(relay.port, greet=False) as client,
    ):
        client.write(hello)
        assert not (await client.reader.read(100)).startswith(b"220")
        await until(lambda: relay.connections == 0)


def test_tls_from_the_first_byte_needs_a_certificate() -> None:
    """One sentence."""
    with pytest.raises(Exception, match="give --tls-cert as well"):
        options(tls_implicit=True)


async def test_over_tls_too_the_last_word_is_not_the_end(certificate: Path, client_tls: ssl.SSLContext) -> None:
    """The client's close_notify ends what it says, not what it hears (RFC 8446, 6.1)."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_tls.wrap_bio(incoming, outgoing, server_hostname="localhost")
    service = Service(held=True)
    async with relay_to(service, tls_cert=certificate, tls_implicit=True) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)

        async def until_read(step: str, *arguments: object) -> bytes:
            while True:
                try:
                    done = getattr(tls, step)(*arguments)
                except ssl.SSLWantReadError:
                    if outgoing.pending:
                        writer.write(outgoing.read())
                    async with asyncio.timeout(120):
                        incoming.write(await reader.read(65536))
                else:
                    if outgoing.pending:
                        writer.write(outgoing.read())
                    return bytes(done or b"")

        await until_read("do_handshake")
        assert (await until_read("read", 1000)).startswith(b"220")
        said = b"EHLO x\r\n", b"MAIL FROM:<a@example.org>\r\n", b"RCPT TO:<b@example.net>\r\n", b"DATA\r\n"
        for line in said:
            tls.write(line)
            await until_read("read", 1000)
        tls.write(stuffed(CONTENT) + b"QUIT\r\n")
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()
        writer.write(outgoing.read())
        await service.begun.wait()
        await asyncio.sleep(0.05)
        service.gate.set()
        assert await until_read("read", 1000) == b"250 2.0.0 Ok id-1\r\n"
        assert (await until_read("read", 1000)).startswith(b"221")
        writer.close()
        await until(lambda: relay.connections == 0)
        assert relay.counts.abandoned == 0
