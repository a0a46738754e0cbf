"""
The companions under abuse: `python -m benchmarks.abuse [--only NAME]`, about five minutes.

Guesses at the login, silent and stalled clients, and a crowd that comes at once. Companion, attackers and service are
processes of their own on this machine; the attackers have addresses of loopback for themselves (127.0.1.x), the good
clients 127.0.0.1, but for "shared", where both have that one, and "many", where a thousand addresses guess. The one who
guesses has the lowest priority (`guesser`). A row says what was promised and whether it was kept. Exit status 1: a
promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Final

from tests.companion_process import Companion, companion
from tests.faults.companion_clients import cpu, spawned
from tests.listmonk_double import Postback, Session, Subscriber, as_go, campaign_payload, mail, subscribers

from .companions import Finding, Promise, account, tabulated
from .guesser import guess

LOGIN: Final = ("somebody", "s3kr1t")
ROOT_URL: Final = "https://lists.example.net"
GOOD: Final = 10
RATE: Final = 50.0
WARM_UP: Final = 5.0
ALONE: Final = 20.0
GUESSES: Final = 1000.0
"""Wrong logins a second."""
GUESSED_FOR: Final = float(os.environ.get("SESLIMIT_GUESSED_FOR", "60"))
HOSTS: Final = tuple(f"127.0.1.{1 + number}" for number in range(50))
"""Where guesses come from."""
MANY_HOSTS: Final = tuple(f"127.0.{2 + number // 250}.{1 + number % 250}" for number in range(1000))
"""The same for somebody who has many machines."""
SHARED_HOST: Final = ("127.0.0.1",)
"""That of the good clients, as behind a proxy or one router."""
PROBE_EVERY: Final = 1.0
"""Seconds between two new good clients."""
LEAST_KEPT: Final = 0.95
MOST_ANSWERED: Final = 1.1
"""Wrong logins of one address that are answered as such, a second: one, and the first of a queue at the end."""
MAX_LINES: Final = 25
"""Lines of the log in ten seconds."""


# Guessing


async def _logging_in(command: str, port: int, seconds: list[float]) -> None:
    """A new good client now and then: it connects, logs in, sends one message and leaves."""
    for subscriber in subscribers(10**6, first=10**6):
        began = time.perf_counter()
        await _once(command, port, subscriber, LOGIN)
        seconds.append(time.perf_counter() - began)
        await asyncio.sleep(PROBE_EVERY)


def guessed(command: str, rate: float, hosts: Sequence[str], *, slowed: bool) -> Callable[[], Awaitable[Finding]]:
    """
    The scenario of guesses at the login, beside ten good clients at 127.0.0.1 and a new one now and then.

    Args:
        command: the companion.
        rate: guesses a second.
        hosts: where they come from.
        slowed: whether those addresses are nobody else's, so that each is held to its one a second.
    """

    async def run() -> Finding:
        # Hardly a burst: what a full bucket gives at first would count as what the good have when they are alone.
        with account(RATE, depth=0.1, ledger_limit=None) as service:
            async with _companion(command, service.smtp_url, "--rate", str(RATE), login=True) as server:
                clients = _good_clients(command, server.port, LOGIN)
                await asyncio.sleep(WARM_UP)
                alone = time.monotonic(), cpu(server.process.pid)
                await asyncio.sleep(ALONE)
                alone_cpu = (cpu(server.process.pid) - alone[1]) / ALONE
                new: list[float] = []
                with spawned(guess, command, server.port, rate, GUESSED_FOR, hosts) as (pipe, _):
                    await asyncio.sleep(WARM_UP)
                    clients.append(asyncio.create_task(_logging_in(command, server.port, new)))
                    beside = time.monotonic(), cpu(server.process.pid)
                    found = await asyncio.to_thread(pipe.recv)
                    ended = time.monotonic()
                    beside_cpu = (cpu(server.process.pid) - beside[1]) / (ended - beside[0])
                failures = await _ended(clients)
                lines = [line for line in server.errors.splitlines() if "login" in line]
            times = [at for _, at in service.arrivals()]
        before = sum(alone[0] <= at < alone[0] + ALONE for at in times) / ALONE
        meanwhile = sum(beside[0] <= at < ended for at in times) / (ended - beside[0])
        wrong = found.answers["535"] + found.answers["401"]
        a_second = wrong / len(hosts) / found.seconds
        figures = {
            "guesses/s": round(found.begun / found.seconds),
            "answered/s": round(found.answered / found.seconds),
            "answers": dict(found.answers),
            "told wrong, per address and s": round(a_second, 2),
            "good alone/s": round(before, 2),
            "good beside/s": round(meanwhile, 2),
            "kept": round(meanwhile / before, 4),
            "new ones": len(new),
            "longest for a new one s": round(max(new), 3),
            "CPU alone": round(alone_cpu, 2),
            "CPU beside": round(beside_cpu, 2),
            "CPU of the guesser": round(found.cpu, 2),
            "lines in the log": len(lines),
            "failed": failures,
        }
        promises = [
            Promise(f"the good keep ≥ {LEAST_KEPT:.0%}", meanwhile >= LEAST_KEPT * before and not failures),
            Promise("the log is bounded", len(lines) <= MAX_LINES * (found.seconds / 10 + 2)),
            Promise("each address is slowed to one a second", 0 < a_second <= MOST_ANSWERED),
        ]
        if slowed:
            promises.append(
                Promise(f"the rate was reached ({rate:,.0f}/s)", found.begun >= 0.95 * rate * found.seconds)
            )
        return Finding(figures, tuple(promises))

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


async def _once(command: str, port: int, subscriber: Subscriber, login: tuple[str, str] = ("", "")) -> None:
    if command == "relay":
        session = await Session.open("127.0.0.1", port, login)
        await session.send(mail(subscriber))
        session.close()
    else:
        client = Postback("127.0.0.1", port, login=login, timeout=60.0)
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
async def _companion(command: str, to: str, *options: str, login: bool = False) -> AsyncIterator[Companion]:
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
        "guesses-relay": guessed("relay", guesses, HOSTS, slowed=True),
        "guesses-messenger": guessed("listmonk", guesses, HOSTS, slowed=True),
        "shared-relay": guessed("relay", guesses, SHARED_HOST, slowed=False),
        "shared-messenger": guessed("listmonk", guesses, SHARED_HOST, slowed=False),
        "many-relay": guessed("relay", guesses, MANY_HOSTS, slowed=False),
        "many-messenger": guessed("listmonk", guesses, MANY_HOSTS, slowed=False),
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
    return tabulated(scenarios(given.guesses), given.only)


if __name__ == "__main__":
    sys.exit(main())
