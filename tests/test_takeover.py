"""A listening socket that goes from one process to the next, and what systemd is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from seslimit import ConfigurationError
from seslimit.cli._notify import notify
from seslimit.cli._serving import STATUS_EVERY, Line, serve
from seslimit.companion import _takeover
from seslimit.companion._takeover import Takeover
from seslimit.companion.relay import Relay
from seslimit.testing import Simulator, SMTPRules
from tests.companion_process import companion
from tests.listmonk_double import Campaign, MailPool, Postback, subscribers
from tests.relaying import Service, client_of, options, until
from tests.virtual_time import on_virtual_time


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose name is short enough for a Unix socket (108 bytes)."""
    with tempfile.TemporaryDirectory(prefix="ses") as folder:
        yield Path(folder)


@contextlib.asynccontextmanager
async def _relay(path: Path, service: Service, **given: Any) -> AsyncIterator[tuple[Relay, asyncio.Event]]:
    stopped = asyncio.Event()
    relay = Relay(service, options(**given))
    line = Line(path, relay, stopped)
    await line.open()
    try:
        yield relay, stopped
    finally:
        await line.aclose()
        await relay.aclose()


async def test_the_next_relay_takes_the_socket_over(short: Path) -> None:
    """The first one is told, its connections go on, and the Unix socket is the next one's."""
    path, service = short / "relay", Service()
    async with contextlib.AsyncExitStack() as first:
        relay, stopped = await first.enter_async_context(_relay(path, service))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        async with client_of(relay.port) as kept:
            assert (await kept.send()).startswith("250")
            async with _relay(path, service) as (second, _):
                assert second.port == relay.port
                await asyncio.wait_for(stopped.wait(), 5)
                ending = asyncio.create_task(first.aclose())
                assert (await kept.send()).startswith("250")
                assert (await kept.reply()).startswith("421 4.3.2")
                async with client_of(second.port) as client:
                    assert (await client.send()).startswith("250")
                await ending
                assert path.exists()
    assert not path.exists()
    assert len(service.accepted) == 3


async def test_the_ports_of_lanes_are_taken_over_too(short: Path) -> None:
    """In their order, with the first one."""
    path, lanes = short / "relay", {"lane_listen": {"transactional": "127.0.0.1:0"}}
    async with _relay(path, Service(), **lanes) as (first, stopped), _relay(path, Service(), **lanes) as (second, _):
        await asyncio.wait_for(stopped.wait(), 5)
        assert second.ports == first.ports
        assert len(second.ports) == 2


async def test_where_nobody_serves_a_new_socket_is_made(short: Path) -> None:
    """Also where a process left its Unix socket behind."""
    path = short / "relay"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with _relay(path, Service()) as (relay, _), client_of(relay.port) as client:
        assert (await client.send()).startswith("250")


async def test_a_process_that_asks_and_does_not_serve_changes_nothing(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that serves goes on, and the next one that asks is given the socket."""
    path = short / "relay"
    async with _relay(path, Service()) as (relay, stopped):
        asking = Takeover(path)
        (given,) = await asking.inherit()
        given.close()
        await asking.aclose()
        async with client_of(relay.port) as client:
            assert (await client.send()).startswith("250")
        assert not stopped.is_set()
        async with _relay(path, Service()):
            await asyncio.wait_for(stopped.wait(), 5)


async def test_the_socket_goes_to_nobody_else(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of another user is given nothing (SO_PEERCRED, unix(7)); one that asks another user stops."""
    path = short / "relay"
    async with _relay(path, Service()):
        monkeypatch.setattr(_takeover.os, "geteuid", lambda: 12345)  # type: ignore[attr-defined]
        monkeypatch.setattr(_takeover.struct, "unpack", lambda *_: (1, 54321, 1))  # type: ignore[attr-defined]
        with pytest.raises(ConfigurationError, match="the user 54321"):
            await Takeover(path).inherit()


async def test_a_path_that_cannot_be_is_said_in_one_sentence(short: Path) -> None:
    """And the relay is closed."""
    service = Service()
    with pytest.raises(ConfigurationError, match="cannot be a Unix socket"):
        await Line(short / "nowhere" / "relay", Relay(service, options()), asyncio.Event()).open()
    assert service.closed == 1


@pytest.mark.parametrize("command", ["relay", "listmonk"])
async def test_a_deploy_in_mid_campaign_loses_nothing(command: str, short: Path) -> None:
    """A new process takes over while listmonk sends at its defaults, and the old one ends by itself with status 0."""
    more: tuple[str, ...] = ("--rate", "80", "--takeover", str(short / command))
    if command == "listmonk":
        more += ("--root-url", "https://lists.example.net")
    rules = SMTPRules(auth_required=False)
    async with (
        Simulator(80.0, depth=0.2, smtp=rules) as simulator,
        companion(command, simulator.smtp_url, *more) as first,
    ):
        client = MailPool("127.0.0.1", first.port) if command == "relay" else Postback("127.0.0.1", first.port)
        running = asyncio.create_task(Campaign().run(subscribers(200), client.push))
        await until(lambda: len(simulator.accepted) > 40)
        async with companion(command, simulator.smtp_url, *more) as second:
            assert second.port == first.port
            assert await first.ended(None) == 0
            result = await running
            await client.aclose()
        assert (result.status, result.sent, result.errors) == ("finished", 200, [])
        assert len(simulator.accepted) == 200


# systemd


@pytest.mark.parametrize("abstract", [False, True])
@on_virtual_time
async def test_systemd_is_told(short: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    """That it is ready, what it does, and that it stops (sd_notify(3)); by a path or an abstract name."""
    name = f"\0seslimit-{os.getpid()}" if abstract else str(short / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name)
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", name.replace("\0", "@"))
        stopped = asyncio.Event()
        asyncio.get_running_loop().call_later(1.5 * STATUS_EVERY, stopped.set)
        await serve(stopped, lambda: "3 accepted", None)
        told = [systemd.recv(1000).decode() for _ in range(3)]
    assert told == ["READY=1", "STATUS=10 s: 3 accepted", "STOPPING=1"]


def test_where_nobody_listens_nothing_is_told(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    """Neither without systemd nor where its socket has gone."""
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(short / "gone"))
    notify("READY=1")
