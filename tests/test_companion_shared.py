"""Companions that share one account's rate with other processes, by Redis and by a file of the host."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from seslimit.testing import Simulator

from .companion_process import companion
from .listmonk_double import Postback
from .listmonk_double import subscribers as people
from .relaying import CONTENT, client_of

pytestmark = pytest.mark.once

RATE = 8.0
"""Together; what a machine does beside much else."""

FOR = 3.0
"""Seconds for which both have more than they may send."""


async def _by_smtp(port: int, until: float) -> int:
    """As many messages over one connection as go until then; returns how many were answered 250."""
    sent = 0
    async with client_of(port) as client:
        while time.monotonic() < until:
            assert (await client.send()).startswith("250")
            sent += 1
    return sent


async def _by_http(port: int, until: float, first: int) -> int:
    sent, client = 0, Postback("127.0.0.1", port, timeout=60.0)
    for subscriber in people(1000, first=first):
        if time.monotonic() >= until:
            break
        await client.push(subscriber)
        sent += 1
    await client.aclose()
    return sent


async def _sent(command: str, port: int, until: float) -> int:
    clients = [_by_smtp(port, until) if command == "relay" else _by_http(port, until, 1000 * each) for each in range(4)]
    return sum(await asyncio.gather(*clients))


@pytest.mark.parametrize("kind", ["redis", "host"])
@pytest.mark.parametrize("commands", [("relay", "relay"), ("listmonk", "relay")], ids="+".join)
async def test_two_companions_keep_one_rate(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, kind: str, commands: tuple[str, str]
) -> None:
    """Two processes with four busy clients each send what the account takes, together, and neither starves."""
    if kind == "redis":
        address = str(request.getfixturevalue("redis_url"))
    else:
        address = f"host:{tmp_path_factory.mktemp('shared')}/rate"
    shared = ("--rate", f"{RATE:g}", "--max-rate", f"{RATE:g}", "--shared", address, "--account", "one")
    async with Simulator(rate=200) as simulator, contextlib.AsyncExitStack() as stack:
        running = []
        for command in commands:
            more = ("--root-url", "https://lists.example.net") if command == "listmonk" else ()
            running.append(await stack.enter_async_context(companion(command, simulator.smtp_url, *shared, *more)))
        until = time.monotonic() + FOR
        began = time.monotonic()
        sent = await asyncio.gather(
            *(_sent(command, each.port, until) for command, each in zip(commands, running, strict=True))
        )
        seconds = time.monotonic() - began
    # A second of burst at the start, and what was held when the time was over.
    assert sum(sent) <= RATE * (seconds + 1.0) * 1.05
    assert sum(sent) >= 0.7 * RATE * seconds
    assert min(sent) >= 0.2 * sum(sent)


async def test_a_relay_whose_redis_is_away_goes_on() -> None:
    """At its own rate; `--shared` is a promise to others, not a condition."""
    async with Simulator(rate=200) as simulator:
        options = ("--rate", "50", "--max-rate", "50", "--shared", "redis://127.0.0.1:1")
        async with companion("relay", simulator.smtp_url, *options) as relay, client_of(relay.port) as client:
            assert (await client.send()).startswith("250")


async def test_lanes_count_over_processes(redis_url: str) -> None:
    """A campaign in one relay, an urgent message in the other one: it does not wait for the campaign's turn."""
    shared = ("--rate", f"{RATE:g}", "--max-rate", f"{RATE:g}", "--shared", redis_url)
    async with (
        Simulator(rate=200) as simulator,
        companion("relay", simulator.smtp_url, *shared) as campaign,
        companion("relay", simulator.smtp_url, *shared) as urgent,
    ):
        until = time.monotonic() + FOR
        busy = asyncio.create_task(_sent("relay", campaign.port, until))
        await asyncio.sleep(1.0)
        waits = []
        async with client_of(urgent.port) as client:
            for _ in range(5):
                began = time.monotonic()
                content = b"X-Seslimit-Lane: transactional\r\n" + CONTENT
                assert (await client.send(content)).startswith("250")
                waits.append(time.monotonic() - began)
                await asyncio.sleep(0.2)
        await busy
    assert sorted(waits)[-2] < 0.5, waits
