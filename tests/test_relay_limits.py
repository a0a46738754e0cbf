"""The relay: whom it lets in, and how much of anything it takes."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from seslimit import ConfigurationError
from seslimit.companion.relay import Relay, RelayOptions
from seslimit.companion.relay._storage import LARGE, SMALL, OutOfStorage, Quantity, Storage

from .relaying import Service, client_of, holding, login_of, options, relay_to, session, stuffed, until

LOGIN = {"user": "somebody", "password": "s3kr1t"}
MIB = 1024 * 1024


@pytest.fixture
def public(certificate: Path) -> dict[str, Any]:
    """The options of a relay that other machines can reach."""
    return {"listen": "0.0.0.0:0", "tls_cert": certificate, **LOGIN}


def _plain(user: str = LOGIN["user"], password: str = LOGIN["password"]) -> str:
    return login_of(user, password)


# Whom it lets in


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"listen": "0.0.0.0:2587"}, "--tls-cert and a login (SESLIMIT_RELAY_USER and SESLIMIT_RELAY_PASSWORD)"),
        ({"listen": "[::]:2587", **LOGIN}, "needs --tls-cert:"),
        ({"listen": "192.0.2.1:2587", "tls_cert": Path("x.pem")}, "needs a login"),
        ({"listen": "mail.example.org:2587"}, "needs --tls-cert and a login"),
        ({"listen": "127.0.0.1:0", "user": "somebody"}, "set both SESLIMIT_RELAY_USER and SESLIMIT_RELAY_PASSWORD"),
        ({"listen": "127.0.0.1:0", "user": "somebody", "password": ""}, "set both"),
        ({"listen": "127.0.0.1:0", "tls_key": Path("x.pem")}, "give --tls-cert as well"),
        ({"listen": "nowhere"}, "no address to listen on"),
    ],
)
def test_options_without_which_anybody_could_send(given: dict[str, Any], words: str) -> None:
    """One sentence that names what is missing."""
    with pytest.raises(ConfigurationError, match=r"^[^\n]*$") as raised:
        RelayOptions(**given)
    assert words in str(raised.value)


def test_the_password_is_not_shown() -> None:
    """Not in the options' repr."""
    assert "s3kr1t" not in repr(options(**LOGIN))


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_certificate_that_cannot_be_used(tmp_path: Path, content: str | None) -> None:
    """One sentence."""
    path = tmp_path / "relay.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        await Relay(Service(), options(tls_cert=path)).open()


async def test_a_taken_port() -> None:
    """One sentence, and the transport is closed."""
    async with relay_to(Service()) as relay:
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{relay.port} cannot be listened on"):
            await Relay(Service(), options(listen=f"127.0.0.1:{relay.port}")).open()


async def test_on_loopback_no_login_is_offered_unless_there_is_one() -> None:
    """And no TLS without a certificate."""
    async with session(Service()) as client:
        assert await client.say("EHLO x") == ("250-seslimit-relay\n250-8BITMIME\n250-SIZE 41943040\n250 PIPELINING")
    async with session(Service(), **LOGIN) as client:
        assert "AUTH PLAIN LOGIN" in await client.say("EHLO x")


async def test_a_login_that_is_set_is_required() -> None:
    """On loopback too: somebody set it."""
    async with session(Service(), **LOGIN) as client:
        assert (await client.say("MAIL FROM:<a@example.org>")).startswith("530")
        assert (await client.say(_plain())).startswith("235")
        assert (await client.send()).startswith("250")


@pytest.mark.parametrize(
    ("user", "password"),
    [("somebody", "wrong"), ("nobody", "s3kr1t"), ("somebody", ""), ("", ""), ("somebody", "s3kr1t\u00e9")],
)
async def test_a_wrong_login(user: str, password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """535, and nothing can be sent."""
    monkeypatch.setattr("seslimit.companion._logins.WAIT", 0.01)
    async with session(Service(), **LOGIN) as client:
        assert (await client.say(_plain(user, password))).startswith("535")
        assert (await client.say("MAIL FROM:<a@example.org>")).startswith("530")


async def test_the_mechanism_login() -> None:
    """User and password one after the other; the mechanism's name in any case."""
    async with session(Service(), **LOGIN) as client:
        assert (await client.say("auth login")).startswith("334")
        assert (await client.say(base64.b64encode(b"somebody"))).startswith("334")
        assert (await client.say(base64.b64encode(b"s3kr1t"))).startswith("235")
        assert (await client.say(_plain())).startswith("503")


@pytest.mark.parametrize("line", ["AUTH", "AUTH CRAM-MD5", "AUTH PLAIN !", "AUTH PLAIN eA==", "AUTH PLAIN a b c"])
async def test_malformed_logins(line: str) -> None:
    """5xx, and the conversation goes on."""
    async with session(Service(), **LOGIN) as client:
        assert (await client.say(line)).startswith("5")
        assert (await client.say(_plain())).startswith("235")


async def test_a_login_without_an_end() -> None:
    """An endless line in the middle of a login ends the connection."""
    async with session(Service(), **LOGIN) as client:
        await client.say("AUTH PLAIN")
        client.write(b"x" * 200_000)
        assert await client.closed()


async def test_from_other_machines_nothing_goes_without_tls_and_login(
    public: dict[str, Any], client_tls: ssl.SSLContext
) -> None:
    """In this order."""
    service = Service()
    async with session(service, **public) as client:
        hello = await client.say("EHLO x")
        assert "STARTTLS" in hello
        assert "AUTH" not in hello
        for command in ("MAIL FROM:<a@example.org>", _plain(), "VRFY x"):
            assert (await client.say(command)).startswith("530")
        await client.start_tls(client_tls)
        hello = await client.say("EHLO x")
        assert "STARTTLS" not in hello
        assert "AUTH PLAIN LOGIN" in hello
        assert (await client.say("MAIL FROM:<a@example.org>")).startswith("530 5.7.0 Authentication")
        assert (await client.say("STARTTLS")).startswith("503")
        assert (await client.say(_plain())).startswith("235")
        assert (await client.send()).startswith("250")
    assert len(service.accepted) == 1


@pytest.mark.parametrize("behind", [b"EHLO x\r\n", b"EHLO x\r\nMAIL FROM:<evil@example.org>\r\n", b"N"])
async def test_what_is_said_behind_starttls_is_refused(public: dict[str, Any], behind: bytes) -> None:
    """It would be taken for what was said over TLS (CVE-2011-0411)."""
    async with session(Service(), **public) as client:
        client.write(b"STARTTLS\r\n" + behind)
        assert (await client.reply()).startswith("554")
        assert await client.closed()


async def test_what_was_said_before_tls_does_not_count(certificate: Path, client_tls: ssl.SSLContext) -> None:
    """Neither the greeting, nor the login, nor the transaction (RFC 3207, 4.2)."""
    async with session(Service(), tls_cert=certificate, **LOGIN) as client:
        await client.say(_plain())
        await client.say("MAIL FROM:<a@example.org>")
        assert (await client.say("STARTTLS")).startswith("220")
        await client.writer.start_tls(client_tls, server_hostname="localhost")
        assert (await client.say("MAIL FROM:<a@example.org>")).startswith("503")
        await client.say("EHLO x")
        assert (await client.say("MAIL FROM:<a@example.org>")).startswith("530")


@pytest.mark.parametrize("hello", [b"not TLS at all, and longer than a record's head\r\n", b"\x16\x03\x01"])
async def test_a_handshake_that_fails_frees_its_connection(public: dict[str, Any], hello: bytes) -> None:
    """Also one that is broken off."""
    async with relay_to(Service(), max_connections=1, **public) as relay:
        for _ in range(3):
            async with client_of(relay.port) as client:
                assert (await client.say("STARTTLS")).startswith("220")
                client.write(hello)
        await until(lambda: relay.connections == 0)
        async with client_of(relay.port) as client:
            assert (await client.say("NOOP")).startswith("250")


@pytest.mark.parametrize("line", ["GET / HTTP/1.1", "POST / HTTP/1.1", "Host: localhost:2587", "CONNECT a:25 HTTP/1.1"])
async def test_a_browser_is_sent_away_at_once(line: str) -> None:
    """A page could make it send mail from this machine."""
    service = Service()
    async with relay_to(service) as relay, client_of(relay.port, greet=False) as client:
        await client.reply()
        client.write(f"{line}\r\n\r\nEHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\n".encode())
        assert (await client.reply()).startswith("421")
        assert await client.closed()


# How much it takes


async def test_messages_beyond_the_limit_wait_for_the_go_ahead() -> None:
    """And do not count as idle meanwhile."""
    service = Service(held=True)
    async with (
        relay_to(service, max_pending=1, idle_timeout=0.2) as relay,
        client_of(relay.port) as first,
        client_of(relay.port) as second,
    ):
        await first.hand_over()
        await service.begun.wait()
        beginning = asyncio.create_task(second.begin())
        await asyncio.sleep(0.4)
        assert not beginning.done()
        service.gate.set()
        assert (await first.reply()).startswith("250")
        assert (await beginning).startswith("354")


async def test_a_client_that_leaves_the_queue_frees_its_turn() -> None:
    """The next one gets the place."""
    service = Service()
    async with holding(service, max_pending=1) as (relay, first):
        async with client_of(relay.port) as second:
            second.write(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
            await second.reply()
            await second.reply()
        service.gate.set()
        assert (await first.reply()).startswith("250")
        async with client_of(relay.port) as third:
            assert (await third.send()).startswith("250")


async def test_a_content_beyond_the_limit_is_refused_behind_its_end() -> None:
    """And the conversation goes on."""
    service = Service()
    async with session(service, max_size=1000) as client:
        assert (await client.send(b"x" * 1500 + b"\r\n")).startswith("552 5.3.4 The message is longer than 1000 bytes")
        assert (await client.send()).startswith("250")
    assert len(service.accepted) == 1


async def test_a_content_at_the_limit_is_taken() -> None:
    """Its stuffed dots count."""
    async with session(Service(), max_size=1000) as client:
        assert (await client.send(b"x" * 998 + b"\r\n")).startswith("250")
        assert (await client.send(b"x" * 999 + b"\r\n")).startswith("552")


async def test_a_content_without_an_end_is_not_read_for_ever() -> None:
    """Refused where it has twice the size, and the connection ends."""
    async with session(Service(), max_size=1000) as client:
        await client.begin()
        client.write(b"x" * 100_000)
        assert (await client.reply()).startswith("552")
        assert await client.closed()


async def test_a_large_content_of_unknown_size_is_taken() -> None:
    """It takes more room as it grows."""
    service = Service()
    content = (b"y" * 76 + b"\r\n") * 40_000
    async with relay_to(service) as relay:
        async with client_of(relay.port) as client:
            assert (await client.send(content)).startswith("250")
        await until(lambda: relay.held == 0)
    assert service.accepted[0].as_bytes() == content


async def test_a_content_far_beyond_its_declared_size_is_refused() -> None:
    """Room was taken for what was declared."""
    async with session(Service()) as client:
        await client.say(f"MAIL FROM:<a@example.org> SIZE={2 * MIB}")
        await client.say("RCPT TO:<b@example.net>")
        await client.say("DATA")
        client.write(stuffed((b"z" * 98 + b"\r\n") * 40_000))
        assert (await client.reply()).startswith("552 5.3.4 The message is longer than its SIZE said")
        assert (await client.send()).startswith("250")


@pytest.mark.parametrize("data", [b"x" * 300_000, b"MAIL FROM:<" + b"a" * 300_000])
async def test_a_line_without_an_end(data: bytes) -> None:
    """Is not waited for."""
    async with session(Service()) as client:
        client.write(data)
        assert (await client.reply()).startswith("500")
        assert await client.closed()


async def test_a_long_command() -> None:
    """Is refused, and the conversation goes on."""
    async with session(Service()) as client:
        assert (await client.say("NOOP " + "x" * 5000)).startswith("500 5.5.2 Line too long")
        assert (await client.say("NOOP")).startswith("250")


async def test_a_half_sent_command() -> None:
    """Whoever leaves in the middle of a command has said nothing."""
    async with relay_to(Service()) as relay:
        for half in (b"MAIL FROM:<a@exam", b"", b"\r", b"EHLO"):
            async with client_of(relay.port, greet=False) as client:
                await client.reply()
                client.write(half)
        await until(lambda: relay.connections == 0)
        assert relay.counts.attempts == 0


async def test_a_half_sent_content_is_not_sent() -> None:
    """Whoever leaves in the middle of a content has sent nothing."""
    service = Service()
    async with relay_to(service) as relay:
        for end in (b"", b"\r\n", b"\r\n.", b"\r\n.\r"):
            async with client_of(relay.port) as client:
                await client.begin()
                client.write(b"Subject: half" + end)
        await until(lambda: relay.connections == 0 and relay.held == 0)
    assert service.attempts == 0


async def test_too_many_errors() -> None:
    """End the connection."""
    async with session(Service()) as client:
        client.write(b"NONSENSE\r\n" * 40)
        replies = [await client.reply() for _ in range(22)]
        assert replies[-1].startswith("421 4.7.0 Too many errors")
        assert await client.closed()


async def test_too_many_commands_without_a_message() -> None:
    """End the connection; those between messages do not add up."""
    async with session(Service()) as client:
        for _ in range(150):
            assert (await client.say("RSET")).startswith("250")
            assert (await client.send()).startswith("250")
        client.write(b"NOOP\r\n" * 110)
        replies = [await client.reply() for _ in range(103)]
        assert any(reply.startswith("421 4.7.0 Too many commands") for reply in replies)
        assert await client.closed()


async def test_too_many_recipients() -> None:
    """452 for each beyond the limit: the client sends to those in another transaction."""
    async with session(Service(), max_recipients=2) as client:
        await client.say("MAIL FROM:<a@example.org>")
        replies = [(await client.say(f"RCPT TO:<r{number}@example.net>"))[:3] for number in range(4)]
        assert replies == ["250", "250", "452", "452"]


async def test_a_silent_client_is_sent_away() -> None:
    """And told why."""
    async with session(Service(), idle_timeout=0.1) as client:
        assert (await client.reply()).startswith("421 4.4.2 Timeout waiting for data from client")
        assert await client.closed()


async def test_a_client_that_is_silent_in_the_content_is_sent_away() -> None:
    """Its place is free again."""
    async with relay_to(Service(), idle_timeout=0.1, max_pending=1) as relay:
        async with client_of(relay.port) as client:
            await client.begin()
            client.write(b"Subject: half\r\n")
            assert (await client.reply()).startswith("421 4.4.2")
        await until(lambda: relay.held == 0)


async def test_a_content_that_drips_is_not_waited_for() -> None:
    """However regularly."""
    async with session(Service(), content_timeout=0.3) as client:
        await client.begin()
        ended = asyncio.create_task(client.reply())
        while not ended.done():
            client.write(b"x\r\n")
            await asyncio.sleep(0.02)
        assert (await ended).startswith("421 4.4.2 The content took too long to arrive")


async def test_a_login_that_is_not_gone_on_with_is_idle() -> None:
    """The challenge waits no longer than a command."""
    async with session(Service(), idle_timeout=0.1, **LOGIN) as client:
        await client.say("AUTH LOGIN")
        assert (await client.reply()).startswith("421 4.4.2")


async def test_a_client_that_reads_nothing_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot fill the relay with replies, nor keep its connection by not reading the last one."""
    monkeypatch.setattr("seslimit.companion.relay._connection.LINGER", 0.1)
    async with (
        relay_to(Service(), idle_timeout=0.2, max_recipients=1) as relay,
        client_of(relay.port) as client,
    ):
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        client.write(b"MAIL FROM:<a@example.org>\r\n" + b"RCPT TO:<a@example.net>\r\n" * 100_000)
        await until(lambda: relay.connections == 0, seconds=30)


# Storage


@asynccontextmanager
async def _storage(places: int = 10, max_size: int = 10 * MIB) -> AsyncIterator[Storage]:
    storage = Storage(places, max_size)
    yield storage
    assert storage.held == 0


async def test_small_messages_take_a_place_and_no_room() -> None:
    """However many."""
    async with _storage() as storage, storage.place(None) as place, storage.place(SMALL):
        assert place.fits(SMALL)
        assert not place.fits(SMALL + 1)


async def test_large_messages_share_what_there_is() -> None:
    """Beyond that the next one waits, first come, first served."""
    async with _storage() as storage:
        order: list[str] = []

        async def hold(name: str, declared: int, until_set: asyncio.Event) -> None:
            async with storage.place(declared):
                order.append(name)
                await until_set.wait()

        leave = asyncio.Event()
        tasks = [asyncio.create_task(hold(f"large{number}", 10 * MIB, leave)) for number in range(LARGE + 1)]
        await asyncio.sleep(0)
        small = asyncio.create_task(hold("small", 100, leave))
        next_large = asyncio.create_task(hold("next", 2 * MIB, leave))
        await asyncio.sleep(0)
        assert order == [f"large{number}" for number in range(LARGE)] + ["small"]
        leave.set()
        await asyncio.gather(*tasks, small, next_large)
        assert order[-2:] == [f"large{LARGE}", "next"]


async def test_messages_that_all_grow_at_once_come_to_an_end() -> None:
    """They hold places while they wait for room, and who has room waits for nothing."""
    async with _storage(places=5) as storage:

        async def grow() -> None:
            async with storage.place(None) as place:
                await asyncio.sleep(0)
                await place.grow()
                assert place.fits(10 * MIB)
                await asyncio.sleep(0)

        await asyncio.gather(*(grow() for _ in range(20)))


async def test_a_message_grows_only_once() -> None:
    """One that has told its size has what it told."""
    async with _storage() as storage, storage.place(2 * MIB) as place:
        with pytest.raises(OutOfStorage):
            await place.grow()


async def test_whoever_leaves_the_line_for_room_loses_none() -> None:
    """At the head of it, in the middle, and in the very moment of its turn."""
    quantity = Quantity(40)
    for _ in range(3):
        await quantity.take(40)
        waiting = [asyncio.create_task(quantity.take(amount)) for amount in (10, 5, 5)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        quantity.give_back(40)
        waiting[0].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert not waiting[2].cancelled()
        quantity.give_back(5)
    assert quantity.free == 40


async def test_a_place_at_once() -> None:
    """It is entered where nothing has to be waited for, holds nothing otherwise, and is left once."""
    async with _storage(places=2) as storage:
        first, second = storage.place(None), storage.place(9 * MIB)
        await storage.large.take(35 * MIB)
        assert (first.enter_at_once(), second.enter_at_once(), storage.held) == (True, False, 1)
        storage.large.give_back(35 * MIB)
        assert (second.enter_at_once(), storage.place(None).enter_at_once(), storage.held) == (True, False, 2)
        async with first, second:
            assert storage.held == 2
        assert (storage.free.free, storage.large.free) == (2, LARGE * 10 * MIB)
