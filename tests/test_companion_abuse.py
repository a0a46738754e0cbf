"""Wrong logins and silent clients: what they cost those who mean it, on relay and messenger."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import json
import logging
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp import web

from seslimit import Limiter
from seslimit.companion import _logins
from seslimit.companion._clients import Clients, network
from seslimit.companion._logins import LINES, LONGEST, TELL_EVERY, WAIT, FailedLogins
from seslimit.companion.listmonk import ListmonkMessenger, ListmonkOptions
from tests.faults.relay_fuzz import stalls
from tests.listmonk_double import as_go, subscribers, transactional_payload
from tests.relaying import Client, Service, client_of, holding, login_of, relay_to, stuffed, until

pytestmark = pytest.mark.once

LOGIN: dict[str, Any] = {"user": "somebody", "password": "s3kr1t"}
logger = logging.getLogger("seslimit.tests")


def _plain(password: str) -> str:
    return login_of("somebody", password)


# Who goes


def test_the_busiest_network_loses_its_oldest() -> None:
    """And those that have proved to be clients stay."""
    clients = Clients[str](5)
    for number in range(4):
        clients.arrived(f"busy{number}", "192.0.2.1")
    clients.arrived("other", "192.0.2.2")
    clients.proved("busy0")
    clients.arrived("new", "192.0.2.3")
    assert clients.are_too_many
    assert clients.oldest_unproven() == "busy1"
    clients.left("busy1")
    assert len(clients) == 5
    for gone in ("busy2", "busy3", "other", "new"):
        clients.left(gone)
    assert {clients.oldest_unproven()} == {None}
    assert len(clients) == 1


def test_an_address_of_ipv6_is_one_of_its_network() -> None:
    """A customer has 2^64 of them (RFC 6177, 2); an IPv4 address that is written as one is itself."""
    assert len({network(host) for host in ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1")}) == 2
    assert network("::ffff:192.0.2.1") == network("192.0.2.1") == "192.0.2.1"
    assert network("") == ""


# Wrong logins


def test_wrong_logins_of_one_network_are_answered_one_a_second() -> None:
    """However many at once; beyond ten, none is looked at any more, until some have been answered."""
    logins = FailedLogins(logger)
    waits = [logins.failed("192.0.2.1", 0.0) for _ in range(10)]
    assert waits == [pytest.approx((number + 1) * WAIT) for number in range(10)]
    assert logins.failed("192.0.2.1", 0.0) is None
    assert logins.refuses("192.0.2.1", 0.0) == LONGEST
    assert logins.refuses("192.0.2.2", 0.0) is None
    assert logins.refuses("192.0.2.1", 2.0) is None
    assert logins.failed("192.0.2.1", 60.0) == WAIT


def test_a_network_of_a_right_login_is_looked_at_all_the_same() -> None:
    """Behind a proxy, listmonk has the address of whoever guesses, and must lose nothing."""
    logins = FailedLogins(logger)
    logins.right("192.0.2.1", 0.0)
    for _ in range(20):
        logins.failed("192.0.2.1", 0.0)
    assert logins.refuses("192.0.2.1", 0.0) is None
    assert logins.failed("192.0.2.1", 0.0) is None


def test_the_log_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """A line per network in ten seconds, and so many lines at all; what was left out is counted."""
    logins = FailedLogins(logger)
    for tick in range(1000):
        for host in range(100):
            logins.failed(f"192.0.2.{host}", tick * TELL_EVERY * 2 / 1000)
    assert len(caplog.messages) <= 2 * LINES + 2
    assert caplog.messages[0] == "a login failed, from 192.0.2.0"
    assert any("since the last line" in line for line in caplog.messages)
    assert any("from many other addresses" in line for line in caplog.messages)


def test_the_memory_of_networks_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has many addresses makes only others' be forgotten."""
    monkeypatch.setattr(_logins, "NETWORKS", 10)
    logins = FailedLogins(logger)
    for host in range(100):
        logins.failed(f"192.0.2.{host}", 0.0)
    assert len(logins._networks) == 10


async def test_wrong_logins_at_the_relay_wait_and_a_good_client_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve guesses at once from one address; the right login from another one is answered meanwhile."""
    monkeypatch.setattr(_logins, "WAIT", 0.3)
    monkeypatch.setattr(_logins, "LONGEST", 3.0)
    service = Service()

    together = asyncio.Barrier(12)

    async def guess(port: int) -> tuple[str, float]:
        began = time.monotonic()
        async with _from("127.0.0.2", port) as client:
            await client.say("EHLO x")
            async with together:
                pass
            return await client.say(_plain("guess")), time.monotonic() - began

    async with relay_to(service, **LOGIN) as relay:
        guesses = [asyncio.create_task(guess(relay.port)) for _ in range(12)]
        await asyncio.sleep(0.02)
        async with client_of(relay.port) as client:
            assert (await client.say(_plain("s3kr1t"))).startswith("235")
            assert (await client.send()).startswith("250")
        assert not all(each.done() for each in guesses)
        answers = await asyncio.gather(*guesses)
    replies = [reply[:3] for reply, _ in answers]
    assert replies.count("535") == 10
    assert replies.count("421") == 2
    assert max(seconds for _, seconds in answers) >= 3.0


def _guess_ten_times(logins: FailedLogins, host: str = "127.0.0.2") -> None:
    for _ in range(10):
        logins.failed(host, asyncio.get_running_loop().time())


async def test_a_network_that_guesses_is_not_even_greeted() -> None:
    """It costs a connection, and no conversation."""
    async with relay_to(Service(), **LOGIN) as relay:
        assert relay._sessions is not None
        _guess_ten_times(relay._sessions.logins)
        async with _from("127.0.0.2", relay.port, greet=False) as client:
            assert (await client.reply()).startswith("421 4.7.0 Too many logins failed from your address, come back")
            assert await client.closed()
            assert relay.connections == 0
        async with _from("127.0.0.3", relay.port):
            assert relay.connections == 1


async def test_where_tls_comes_first_a_network_that_guesses_is_told_nothing() -> None:
    """Words in clear would be no TLS."""
    async with relay_to(Service(), **LOGIN) as relay:
        sessions = relay._sessions
        assert sessions is not None
        _guess_ten_times(sessions.logins)
        sessions.options = attrs.evolve(sessions.options, tls_implicit=True, tls_cert=Path("there"))
        async with _from("127.0.0.2", relay.port, greet=False) as client:
            assert await client.reply() == ""


async def test_a_network_that_guesses_has_no_request_read_at_the_messenger() -> None:
    """It is told when to come back (RFC 6585, 4) as soon as it is connected, and others are let in meanwhile."""
    async with _messenger(**LOGIN) as messenger:
        door = messenger._door
        _guess_ten_times(door._logins)
        reader, writer = await asyncio.open_connection("127.0.0.1", messenger.port, local_addr=("127.0.0.2", 0))
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        assert head.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
        assert b"\r\nRetry-After: 10\r\n" in head
        assert json.loads(body) == {"error": "Too many logins failed from your address.", "retry_after": 10}
        assert await _post(messenger.port, ("somebody", "s3kr1t")) == (200, "")
        assert await _post(messenger.port, ("somebody", "s3kr1t"), "127.0.0.2") == (429, "10")


async def test_where_the_messenger_answers_for_others_too_a_network_that_guesses_gets_to_them() -> None:
    """Behind a proxy, SNS has the address of whoever guesses."""

    async def other(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="other")

    set_up = ListmonkOptions(listen="127.0.0.1:0", root_url="https://lists.example.net", **LOGIN)
    async with ListmonkMessenger(Service(), set_up, others={"/sns": other}) as messenger:
        _guess_ten_times(messenger._door._logins, "127.0.0.1")
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{messenger.port}/sns") as answer,
        ):
            assert (answer.status, await answer.text()) == (200, "other")
        assert (await _post(messenger.port, ("somebody", "guess")))[0] == 429


@contextlib.asynccontextmanager
async def _from(host: str, port: int, *, greet: bool = True) -> AsyncIterator[Client]:
    client = Client(*await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0)))
    try:
        if greet:
            assert (await client.reply()).startswith("220")
        yield client
    finally:
        await client.aclose()


@contextlib.asynccontextmanager
async def _messenger(**given: Any) -> AsyncIterator[ListmonkMessenger]:
    options = ListmonkOptions(listen="127.0.0.1:0", root_url="https://lists.example.net", **given)
    async with ListmonkMessenger(Service(), options, limiter=Limiter(1e6, max_rate=1e6)) as messenger:
        yield messenger


async def _post(port: int, login: tuple[str, str] | None = None, host: str = "127.0.0.1") -> tuple[int, str]:
    connector = aiohttp.TCPConnector(local_addr=(host, 0))
    (reader,) = subscribers(1)
    async with aiohttp.ClientSession(connector=connector) as session:
        url, body = f"http://127.0.0.1:{port}/", as_go(transactional_payload(reader))
        headers = {"Content-Type": "application/json"}
        if login:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(login).encode()).decode()
        async with session.post(url, data=body, headers=headers) as answer:
            return answer.status, answer.headers.get("Retry-After", "")


async def test_wrong_logins_at_the_messenger_wait_and_listmonk_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve guesses at once from one address; listmonk's post from another one is answered meanwhile."""
    monkeypatch.setattr(_logins, "WAIT", 0.3)
    monkeypatch.setattr(_logins, "LONGEST", 3.0)
    async with _messenger(**LOGIN) as messenger:
        began = time.monotonic()
        guesses = [asyncio.create_task(_post(messenger.port, ("somebody", "guess"), "127.0.0.2")) for _ in range(12)]
        await asyncio.sleep(0.02)
        assert (await _post(messenger.port, ("somebody", "s3kr1t")))[0] == 200
        assert not all(each.done() for each in guesses)
        answers = await asyncio.gather(*guesses)
        assert time.monotonic() - began >= 3.0
    assert [status for status, _ in answers].count(401) == 10
    assert answers.count((429, "3")) == 2


async def test_whoever_gives_no_login_is_told_at_once_that_one_is_wanted() -> None:
    """A client may ask first what is wanted (RFC 7617, 2); that is no guess."""
    async with _messenger(**LOGIN) as messenger:
        began = time.monotonic()
        assert [(await _post(messenger.port))[0] for _ in range(3)] == [401] * 3
        assert time.monotonic() - began < 3 * WAIT


# No more files


@pytest.mark.parametrize("at", ["accept", "sock_accept"])
async def test_a_system_that_has_no_more_files_for_now_ends_nothing(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """EMFILE (accept(2)), whether a connection was there or was waited for: the next one is served."""
    monkeypatch.setattr("seslimit.companion._accepting.OUT_OF_FILES", 0.01)
    failures = [OSError(errno.EMFILE, "Too many open files")]
    target = socket.socket if at == "accept" else asyncio.get_running_loop()
    real = getattr(target, at)

    def accept(*given: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(*given)

    monkeypatch.setattr(target, at, accept)
    async with relay_to(Service()) as relay:
        await until(lambda: not failures)
        async with client_of(relay.port) as client:
            assert (await client.send()).startswith("250")


# Silent clients


async def test_beyond_the_limit_the_oldest_silent_client_goes() -> None:
    """The new one is greeted at once; whoever has begun a message stays."""
    async with (
        relay_to(Service(), max_connections=3) as relay,
        client_of(relay.port) as busy,
        client_of(relay.port) as silent,
        client_of(relay.port) as younger,
    ):
        await busy.say("MAIL FROM:<a@example.org>")
        async with client_of(relay.port):
            assert (await silent.reply()).startswith("421 4.3.2 Too many connections")
            assert await silent.closed()
            for there in (busy, younger):
                assert (await there.say("NOOP")).startswith("250")


async def test_where_all_are_clients_the_one_that_was_idle_longest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two transactions; its next message goes over another connection (RFC 5321, 3.8)."""
    monkeypatch.setattr("seslimit.companion.relay._sessions.IDLE", 0.02)
    async with (
        relay_to(Service(), max_connections=2) as relay,
        client_of(relay.port) as idle,
        client_of(relay.port) as busy,
    ):
        assert (await idle.send()).startswith("250")
        assert (await busy.say("MAIL FROM:<a@example.org>")).startswith("250")
        await asyncio.sleep(0.05)
        async with client_of(relay.port) as third:
            assert (await third.send()).startswith("250")
            assert (await idle.reply()).startswith("421 4.3.2")


async def test_where_all_are_at_work_the_next_one_waits_to_be_accepted() -> None:
    """Nobody who sends is sent away for it."""
    service = Service()
    async with holding(service, max_connections=1) as (relay, busy):
        second = Client(*await asyncio.open_connection("127.0.0.1", relay.port))
        greeting = asyncio.create_task(second.reply())
        await asyncio.sleep(0.05)
        assert not greeting.done()
        service.gate.set()
        assert (await busy.reply()).startswith("250")
        await busy.say("QUIT")
        assert (await greeting).startswith("220")
        await second.aclose()


async def test_whoever_begins_nothing_is_sent_away_soon() -> None:
    """However much it says: the time until the login, or the first message, is a short one."""
    async with relay_to(Service(), login_timeout=0.2) as relay, client_of(relay.port) as client:
        ended = asyncio.create_task(client.closed())
        while not ended.done():
            client.write(b"NOOP\r\n")
            await asyncio.sleep(0.02)
        assert await ended


async def test_stalled_contents_make_way_for_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest stalled first; a tenth of the places may be slow in peace."""
    monkeypatch.setattr("seslimit.companion.relay._sessions.BEHIND", 0.1)
    service = Service()
    async with contextlib.AsyncExitStack() as stack:
        relay = await stack.enter_async_context(relay_to(service, max_pending=10))
        stalled = [await stack.enter_async_context(client_of(relay.port)) for _ in range(10)]
        for client in stalled:
            assert (await client.begin()).startswith("354")
            client.write(b"Subject: half")
        await asyncio.sleep(0.15)
        good = await stack.enter_async_context(client_of(relay.port))
        async with asyncio.timeout(2.0):
            assert (await good.send()).startswith("250")
        assert (await stalled[0].reply()).startswith("421 4.4.2 The content came too slowly")
        stalled[-1].write(b"\r\n.\r\n")
        assert (await stalled[-1].reply()).startswith("250")


async def test_without_anybody_who_waits_a_slow_content_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pace is its own business then."""
    monkeypatch.setattr("seslimit.companion.relay._sessions.BEHIND", 0.05)
    async with relay_to(Service()) as relay, client_of(relay.port) as client:
        await client.begin()
        client.write(b"Subject: half")
        await asyncio.sleep(0.2)
        relay._sessions.relieve()  # type: ignore[union-attr]
        client.write(stuffed(b"\r\n\r\nHi!\r\n"))
        assert (await client.reply()).startswith("250")


async def test_silent_clients_of_the_messenger_make_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest on which no request was let in."""
    monkeypatch.setattr("seslimit.companion._http.MAX_CONNECTIONS", 5)
    async with _messenger() as messenger:
        silent = [await asyncio.open_connection("127.0.0.1", messenger.port) for _ in range(5)]
        assert (await _post(messenger.port))[0] == 200
        with contextlib.suppress(ConnectionError):
            assert await silent[0][0].read() == b""
        assert not silent[1][0].at_eof()
        for _, writer in silent:
            writer.close()


async def test_hundreds_of_clients_at_once_are_all_greeted_at_once() -> None:
    """Nodemailer opens one connection a message, and calls a greeting that takes long an error."""
    async with relay_to(Service()) as relay:
        began = time.monotonic()
        sockets = [socket.socket() for _ in range(400)]
        loop = asyncio.get_running_loop()

        async def greeting(client: socket.socket) -> bytes:
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", relay.port))
            return await loop.sock_recv(client, 100)

        try:
            greetings = await asyncio.gather(*map(greeting, sockets))
        finally:
            for each in sockets:
                each.close()
        assert {each[:3] for each in greetings} == {b"220"}
        assert time.monotonic() - began < 30.0
        await until(lambda: relay.connections == 0)


async def test_no_mutated_conversation_holds_up_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every one is answered or ended; `python -m tests.faults.relay_fuzz` holds more of them."""
    monkeypatch.setattr(_logins, "WAIT", 0.0)
    monkeypatch.setattr(_logins, "LONGEST", 1e9)
    ends, longest, _ = await stalls(300)
    assert ends["places kept"] == 0
    assert ends["accepted"] > 50
    assert longest < 1.0
