"""
The companions under abuse: `python -m benchmarks.abuse [--only NAME]`, about five minutes.

Guesses at the login, silent and stalled clients, and a crowd that comes at once. Companion, attackers and service are
processes of their own on this machine; the attackers have addresses of loopback for themselves (127.0.1.x), the good
clients 127.0.0.1. A row says what was promised and whether it was kept. Exit status 1: a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import logging
import socket
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, Final

from tests.companion_process import companion
from tests.faults.companion_clients import cpu, spawned
from tests.listmonk_double import Postback, Session, Subscriber, as_go, campaign_payload, mail, subscribers

from .companions import Finding, Promise, account

LOGIN: Final = ("somebody", "s3kr1t")
ROOT_URL: Final = "https://lists.example.net"
GOOD: Final = 10
RATE: Final = 50.0
WARM_UP: Final = 5.0
ALONE: Final = 20.0
GUESSES: Final = 1000.0
"""Wrong logins a second."""
GUESSED_FOR: Final = 60.0
NETWORKS: Final = 50
LEAST_KEPT: Final = 0.95
MOST_ANSWERED: Final = 1.1
"""Wrong logins of one address that are answered as such, a second: one, and the first of a queue at the end."""
MOST_LINES: Final = 25
"""Lines of the log in ten seconds."""


# Guessing


def guess(pipe: Connection, command: str, port: int, rate: float) -> None:
    """Guess at the login for a while, so many times a second, from many addresses; the answer is what came of it."""
    pipe.send(asyncio.run(_guess({"relay": _guess_relay, "listmonk": _guess_messenger}[command], port, rate)))


async def _guess(one: Callable[[str, int], Awaitable[str]], port: int, rate: float) -> dict[str, Any]:
    answers: Counter[str] = Counter()
    tasks: set[asyncio.Task[None]] = set()
    loop = asyncio.get_running_loop()

    async def try_once(number: int) -> None:
        try:
            async with asyncio.timeout(15.0):
                answers[await one(f"127.0.1.{1 + number % NETWORKS}", port)] += 1
        except (OSError, EOFError, TimeoutError) as error:
            answers[type(error).__name__] += 1

    began = loop.time()
    made = 0
    while (now := loop.time()) < began + GUESSED_FOR:
        while made < (now - began) * rate:
            task = loop.create_task(try_once(made))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            made += 1
        await asyncio.sleep(0.005)
    seconds = loop.time() - began
    for task in tasks:
        task.cancel()
    return {"made": made, "seconds": seconds, "answers": dict(answers), "CPU": time.process_time() / seconds}


@contextlib.asynccontextmanager
async def _connected(host: str, port: int) -> AsyncIterator[socket.socket]:
    """A bare socket: streams would cost the attacker more than the attacked."""
    with socket.socket() as client:
        client.setblocking(False)
        client.bind((host, 0))
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
        yield client


async def _guess_relay(host: str, port: int) -> str:
    loop = asyncio.get_running_loop()
    async with _connected(host, port) as client:
        if (greeting := await loop.sock_recv(client, 1000))[:3] != b"220":
            return greeting[:3].decode() or "closed"
        await loop.sock_sendall(client, b"EHLO guess\r\n")
        await loop.sock_recv(client, 1000)
        await loop.sock_sendall(client, b"AUTH PLAIN " + base64.b64encode(b"\0somebody\0guess") + b"\r\n")
        return (await loop.sock_recv(client, 1000))[:3].decode() or "closed"


async def _guess_messenger(host: str, port: int) -> str:
    loop = asyncio.get_running_loop()
    async with _connected(host, port) as client:
        head = Postback("127.0.0.1", port, login=("somebody", "guess")).head(2)
        await loop.sock_sendall(client, head + b"{}")
        return (await loop.sock_recv(client, 1000))[9:12].decode() or "closed"


def guessed(command: str, rate: float) -> Callable[[], Awaitable[Finding]]:
    """The scenario of guesses at the login, beside ten good clients."""

    async def run() -> Finding:
        with account(RATE, ledger_limit=None) as service:
            async with _companion(command, service.smtp_url, "--rate", str(RATE), login=True) as server:
                clients = _good_clients(command, server.port, LOGIN)
                await asyncio.sleep(WARM_UP)
                alone = time.monotonic(), cpu(server.process.pid)
                await asyncio.sleep(ALONE)
                alone_cpu = (cpu(server.process.pid) - alone[1]) / ALONE
                with spawned(guess, command, server.port, rate) as (pipe, _):
                    await asyncio.sleep(WARM_UP)
                    beside = time.monotonic(), cpu(server.process.pid)
                    found = await asyncio.to_thread(pipe.recv)
                    ended = time.monotonic()
                    beside_cpu = (cpu(server.process.pid) - beside[1]) / (ended - beside[0])
                failures = await _ended(clients)
                lines = [line for line in server.errors.splitlines() if "login" in line]
            times = [at for _, at in service.arrivals()]
        before = sum(alone[0] <= at < alone[0] + ALONE for at in times) / ALONE
        meanwhile = sum(beside[0] <= at < ended for at in times) / (ended - beside[0])
        wrong = found["answers"].get("535", 0) + found["answers"].get("401", 0)
        a_second = wrong / NETWORKS / found["seconds"]
        figures = {
            "guesses/s": round(found["made"] / found["seconds"]),
            "answers": found["answers"],
            "told wrong, per address and s": round(a_second, 2),
            "good alone/s": round(before, 2),
            "good beside/s": round(meanwhile, 2),
            "kept": round(meanwhile / before, 4),
            "CPU alone": round(alone_cpu, 2),
            "CPU beside": round(beside_cpu, 2),
            "CPU of the guesser": round(found["CPU"], 2),
            "lines in the log": len(lines),
            "failed": failures,
        }
        promises = (
            Promise(f"the good keep ≥ {LEAST_KEPT:.0%}", meanwhile >= LEAST_KEPT * before and not failures),
            Promise("each address is slowed to one a second", 0 < a_second <= MOST_ANSWERED),
            Promise("the log is bounded", len(lines) <= MOST_LINES * (found["seconds"] / 10 + 2)),
        )
        return Finding(figures, promises)

    return run


# Silence

SILENT: Final = 500
STALLED: Final = 100
PROBES: Final = 20
WITHIN: Final = 1.0


def silent(command: str) -> Callable[[], Awaitable[Finding]]:
    """The scenario of clients that say nothing, or stop in the middle of a content, and new good ones beside them."""

    async def run() -> Finding:
        with account(1000.0, latency=0.0, ledger_limit=0) as service:
            async with _companion(command, service.smtp_url, "--rate", "1000") as server:
                writers = [await _open(server.port) for _ in range(SILENT)]
                stall = {"relay": _stalled_content, "listmonk": _stalled_post}[command]
                writers += await asyncio.gather(*(stall(server.port) for _ in range(STALLED)))
                await asyncio.sleep(3.0)
                seconds = []
                for subscriber in subscribers(PROBES):
                    began = time.perf_counter()
                    await _once(command, server.port, subscriber)
                    seconds.append(time.perf_counter() - began)
                for writer in writers:
                    writer.transport.abort()
        figures = {"median s": round(statistics.median(seconds), 3), "longest s": round(max(seconds), 3)}
        return Finding(figures, (Promise(f"each new one is served within {WITHIN:g} s", max(seconds) <= WITHIN),))

    return run


async def _open(port: int) -> asyncio.StreamWriter:
    return (await asyncio.open_connection("127.0.0.1", port))[1]


async def _stalled_content(port: int) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for line in (b"", b"EHLO x\r\n", b"MAIL FROM:<a@example.org>\r\n", b"RCPT TO:<b@example.net>\r\n", b"DATA\r\n"):
        writer.write(line)
        while (await reader.readline())[3:4] == b"-":
            pass
    writer.write(b"Subject: half")
    return writer


async def _stalled_post(port: int) -> asyncio.StreamWriter:
    writer = await _open(port)
    writer.write(Postback("127.0.0.1", port).head(50_000) + b'{"subject": "half')
    return writer


async def _once(command: str, port: int, subscriber: Subscriber) -> None:
    if command == "relay":
        session = await Session.open("127.0.0.1", port)
        await session.send(mail(subscriber))
        session.close()
    else:
        client = Postback("127.0.0.1", port)
        await client.post(as_go(campaign_payload(subscriber)))
        await client.aclose()


# All at once

CROWD: Final = 1500
GREETED_WITHIN: Final = 5.0


async def crowd() -> Finding:
    """1,500 clients, each with a connection of its own and one message, as nodemailer makes them."""
    with account(1000.0, latency=0.0, ledger_limit=None) as service:
        async with _companion("relay", service.smtp_url, "--rate", "1000") as server:
            greeted: list[float] = []
            began = time.perf_counter()

            async def one(subscriber: Subscriber) -> None:
                session = await Session.open("127.0.0.1", server.port, dial=60.0)
                greeted.append(time.perf_counter() - began)
                await session.send(mail(subscriber))
                session.close()

            ends = await asyncio.gather(*map(one, subscribers(CROWD)), return_exceptions=True)
            seconds = time.perf_counter() - began
        accepted = len({recipient for recipient, _ in service.arrivals()})
    failures = Counter(type(end).__name__ for end in ends if end is not None)
    figures = {
        "last greeting s": round(max(greeted), 2),
        "all sent s": round(seconds, 2),
        "accepted": accepted,
        "failed": dict(failures),
    }
    promises = (
        Promise(
            f"all are greeted within {GREETED_WITHIN:g} s", len(greeted) == CROWD and max(greeted) <= GREETED_WITHIN
        ),
        Promise("all are accepted", accepted == CROWD and not failures),
    )
    return Finding(figures, promises)


# Those who mean it


@contextlib.asynccontextmanager
async def _companion(command: str, to: str, *options: str, login: bool = False) -> Any:
    more = ("--root-url", ROOT_URL, "--timeout", "300") if command == "listmonk" else ()
    prefix = f"SESLIMIT_{command.upper()}_"
    environment = {f"{prefix}USER": LOGIN[0], f"{prefix}PASSWORD": LOGIN[1]} if login else {}
    async with companion(command, to, *options, *more, **environment) as server:
        yield server


def _good_clients(command: str, port: int, login: tuple[str, str]) -> list[asyncio.Task[None]]:
    left = subscribers(10**6)
    one = {"relay": _steady_mail, "listmonk": _steady_posts}[command]
    return [asyncio.create_task(one(port, login, left)) for _ in range(GOOD)]


async def _steady_mail(port: int, login: tuple[str, str], left: Iterator[Subscriber]) -> None:
    session = await Session.open("127.0.0.1", port, login)
    try:
        for subscriber in left:
            await session.send(mail(subscriber))
    finally:
        session.close()


async def _steady_posts(port: int, login: tuple[str, str], left: Iterator[Subscriber]) -> None:
    client = Postback("127.0.0.1", port, login=login, timeout=60.0)
    for subscriber in left:
        await client.post(as_go(campaign_payload(subscriber)))


async def _ended(clients: list[asyncio.Task[None]]) -> list[str]:
    for client in clients:
        client.cancel()
    ends = await asyncio.gather(*clients, return_exceptions=True)
    return [repr(end) for end in ends if not isinstance(end, asyncio.CancelledError)]


def scenarios(guesses: float) -> dict[str, Callable[[], Awaitable[Finding]]]:
    """All of them by name."""
    return {
        "guesses-relay": guessed("relay", guesses),
        "guesses-messenger": guessed("listmonk", guesses),
        "silent-relay": silent("relay"),
        "silent-messenger": silent("listmonk"),
        "crowd": crowd,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"scenarios whose names hold this: {', '.join(scenarios(GUESSES))}")
    parser.add_argument("--guesses", type=float, default=GUESSES, help="wrong logins a second")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    broken = []
    print("| scenario | figures | promises |\n|---|---|---|", flush=True)
    for name, scenario in scenarios(given.guesses).items():
        if given.only in name:
            finding = asyncio.run(_awaited(scenario()))
            print(finding.row(name), flush=True)
            broken += [] if finding.kept else [name]
    print(f"\nBroken promises: {', '.join(broken) or 'none'}.")
    return int(bool(broken))


async def _awaited(scenario: Awaitable[Finding]) -> Finding:
    return await scenario


if __name__ == "__main__":
    sys.exit(main())
