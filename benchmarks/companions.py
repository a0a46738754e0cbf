"""
The companions under listmonk, under load and under attack: `python -m benchmarks.companions [--only NAME]`.

Client, companion and simulator are processes of their own on this machine. listmonk is the double of
`tests/listmonk_double.py`, at listmonk's defaults; the account takes 14 recipients/s, 14 of them at once, and answers a
command in 20 ms, and nobody is told but by `--rate` where it says so. A row says what was promised and whether it was
kept; the line below it is the same as JSON. Exit status 1: a promise was broken.

"used" is (accepted recipients - those that the full bucket held at the start) / (seconds from the first to the last one
accepted x rate). It is 98.7 % where 1,000 recipients come at exactly 14/s from the first one on: who never spends what
the bucket held cannot do better. What it does not show: a network, listmonk itself, and the real bucket of SES.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import random
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Final, Literal

import attrs
from tests.answered import CLIENTS, Answers
from tests.companion_process import Companion, companion
from tests.faults.companion_clients import Crowd, bare, cpu, hostile, memory, spawned
from tests.faults.simulator_process import Outside, simulated
from tests.listmonk_double import (
    Campaign,
    MailPool,
    Postback,
    Push,
    Result,
    Session,
    Subscriber,
    mail,
    subscribers,
)

from seslimit.testing import APIRules, SMTPRules

from .sink_process import Sink, sinking

RATE: Final = 14.0
DEPTH: Final = 1.0
LATENCY: Final = 0.02
MESSAGES: Final = 1000
LOGIN: Final = ("user", "password")
ROOT_URL: Final = "https://lists.example.net"
UNLIMITED: Final = 1e6
"""Recipients/s that are in nobody's way."""


@attrs.frozen
class Promise:
    """What was promised, and whether it was kept."""

    words: str
    kept: bool


@attrs.frozen
class Finding:
    """What came of one scenario."""

    figures: dict[str, Any]
    promises: tuple[Promise, ...] = ()

    @property
    def kept(self) -> bool:
        return all(promise.kept for promise in self.promises)

    def row(self, name: str) -> str:
        promises = "; ".join(f"{promise.words} {'✓' if promise.kept else '**✗**'}" for promise in self.promises)
        figures = ", ".join(f"{what} {_shown(figure)}" for what, figure in self.figures.items())
        return f"| {name} | {figures} | {promises} |"

    def as_json(self, name: str) -> str:
        promises = {promise.words: promise.kept for promise in self.promises}
        return json.dumps({"scenario": name, "figures": self.figures, "promises": promises})


def _shown(figure: Any) -> str:
    return f"{figure:.4g}" if isinstance(figure, float) and abs(figure) < 1000 else str(figure)


# A campaign


def account(rate: float = RATE, **options: Any) -> contextlib.AbstractContextManager[Outside]:
    """The simulator, whose answers take what those of a service do."""
    rules = SMTPRules(auth_required=False)
    return simulated(**{"rate": rate, "depth": DEPTH, "latency": LATENCY, "smtp": rules, **options})


def arrived(service: Outside, depth: float = DEPTH * RATE, rate: float = RATE) -> dict[str, Any]:
    """What the service accepted, how many times, and how much of the rate that was."""
    arrivals = service.arrivals()
    copies = Counter(recipient for recipient, _ in arrivals)
    seconds = arrivals[-1][1] - arrivals[0][1]
    return {
        "accepted": len(copies),
        "doubled": sum(copies.values()) - len(copies),
        "throttled": service.counts().throttled,
        "seconds": round(seconds, 2),
        "used": round((len(arrivals) - depth) / seconds / rate, 4),
    }


def told(result: Result) -> dict[str, Any]:
    """What listmonk shows of a campaign."""
    return {"listmonk": f"{result.status} {result.sent}/{result.to_send}", "longest push": round(result.longest, 2)}


@contextlib.asynccontextmanager
async def pool(port: int) -> AsyncIterator[Push]:
    """The SMTP messenger."""
    client = MailPool("127.0.0.1", port)
    yield client.push
    await client.aclose()


@contextlib.asynccontextmanager
async def postback(port: int) -> AsyncIterator[Push]:
    """The HTTP messenger."""
    client = Postback("127.0.0.1", port)
    yield client.push
    await client.aclose()


async def direct() -> Finding:
    """Straight to the service, as listmonk does by itself."""
    with account() as service:
        async with pool(service.smtp_port) as push:
            result = await Campaign().run(subscribers(MESSAGES), push)
        figures = {"lost": len(result.lost), "attempts/s": round(result.attempted / result.seconds, 1)}
        return Finding({**told(result), **figures, **arrived(service)})


def campaign(command: str, *options: str, door: str = "smtp", used: float = 0.0) -> Callable[[], Awaitable[Finding]]:
    """The scenario of one campaign through a companion, and what is promised of it."""
    messenger = {"relay": pool, "listmonk": postback}[command]
    more = ("--root-url", ROOT_URL) if command == "listmonk" else ()

    async def run() -> Finding:
        with account(api=APIRules()) as service:
            url = service.smtp_url if door == "smtp" else service.ses_url
            async with companion(command, url, *options, *more) as server, messenger(server.port) as push:
                result = await Campaign().run(subscribers(MESSAGES), push)
                rss = memory(server.process.pid)
            figures = {**told(result), "lost": len(result.lost), **arrived(service), "RSS MiB": round(rss, 1)}
        promises = (
            Promise("all accepted", result.sent == figures["accepted"] == MESSAGES),
            Promise("none doubled", figures["doubled"] == 0),
            *([Promise(f"used ≥ {used:.0%}", figures["used"] >= used)] if used else []),
        )
        return Finding(figures, promises)

    return run


# How fast, and at what price


FEW_CONNECTIONS: Final = 10
MANY_CONNECTIONS: Final = 50
BLOCK: Final = 2_000
BLOCKS: Final = 3
SETS: Final = 7
"""How often all processes are started anew. Without any latency, client and server fall into one of two rhythms, for as
long as they run: many events at a time, or few. The same client then sends 5,500 messages/s straight, or 4,000."""
LEAST_RATIO: Final = 0.6


def _fast(service: Outside | Sink, connections: int) -> str:
    """The service's URL, over as few and as long connections as the bare client has."""
    return f"{service.smtp_url}&max_connections={connections}&max_messages_per_connection=1000"


@contextlib.asynccontextmanager
async def relayed_sink(connections: int) -> AsyncIterator[tuple[Sink, Companion]]:
    """A server that takes everything and costs little, and the relay in front of it."""
    with sinking() as sink:
        async with companion("relay", _fast(sink, connections), "--rate", str(UNLIMITED)) as relay:
            yield sink, relay


@contextlib.asynccontextmanager
async def unlimited_relay(connections: int, latency: float = 0.0) -> AsyncIterator[tuple[Outside, Companion]]:
    """The simulator without a limit, and the relay in front of it."""
    with simulated(rate=UNLIMITED, latency=latency, ledger_limit=0) as service:
        async with companion("relay", _fast(service, connections), "--rate", str(UNLIMITED)) as relay:
            yield service, relay


Unlimited = contextlib.AbstractAsyncContextManager[tuple[Sink | Outside, Companion]]
"""Where messages go to and the relay on the way."""


@attrs.define
class Path:
    """
    One way to the service: who is asked to send over it, and what its blocks took.

    Args:
        client: the pipe to the client.
        processes: the others on the way, by name.
    """

    client: Connection
    processes: dict[str, int]
    rates: list[float] = attrs.field(factory=list, init=False)
    used: defaultdict[str, float] = attrs.field(factory=lambda: defaultdict(float), init=False)
    """Seconds of processor time of each process, in all blocks."""

    async def block(self, *, counts: bool) -> None:
        """Send a block of messages."""
        before = {process: cpu(pid) for process, pid in self.processes.items()}
        self.client.send(BLOCK)
        seconds, client = await asyncio.to_thread(self.client.recv)
        if counts:
            self.rates.append(BLOCK / seconds)
            self.used["client"] += client / BLOCK
            for process, pid in self.processes.items():
                self.used[process] += (cpu(pid) - before[process]) / BLOCK


def _figures(name: str, paths: Sequence[Path]) -> dict[str, Any]:
    """The median of all blocks, and microseconds of processor time a message."""
    rates = [rate for path in paths for rate in path.rates]
    used = {each: round(sum(path.used[each] for path in paths) / len(rates) * 1e6) for each in paths[0].used}
    return {f"{name} msg/s": round(statistics.median(rates)), f"{name} µs CPU/msg": used}


def throughput(
    way: Callable[[int], Unlimited], connections: int, *, promised: bool = True
) -> Callable[[], Awaitable[Finding]]:
    """The scenario of one bare client in turn straight to the service and through the relay, in blocks of one run."""

    async def once() -> tuple[Path, Path, bool]:
        async with way(connections) as (service, relay):
            with (
                spawned(bare, service.smtp_port, connections, LOGIN) as (to_service, _),
                spawned(bare, relay.port, connections, None) as (to_relay, _),
            ):
                straight = Path(to_service, {"service": service.pid})
                relayed = Path(to_relay, {"service": service.pid, "relay": relay.process.pid})
                for block in range(BLOCKS + 1):
                    # The first one imports, connects and fills caches.
                    await straight.block(counts=block > 0)
                    await relayed.block(counts=block > 0)
            accepted = service.accepted() if isinstance(service, Sink) else service.counts().accepted
        return straight, relayed, accepted == 2 * (BLOCKS + 1) * BLOCK

    async def run() -> Finding:
        straight, relayed, complete = zip(*[await once() for _ in range(SETS)], strict=True)
        pairs = zip(straight, relayed, strict=True)
        ratios = sorted(statistics.median(two.rates) / statistics.median(one.rates) for one, two in pairs)
        median = statistics.median(ratios)
        figures = {
            "ratio": round(median, 3),
            "of each set": [round(ratio, 2) for ratio in ratios],
            **_figures("direct", straight),
            **_figures("relay", relayed),
        }
        ratio = [Promise(f"median ratio ≥ {LEAST_RATIO}", median >= LEAST_RATIO)] if promised else []
        return Finding(figures, (*ratio, Promise("all accepted", all(complete))))

    return run


FEW, MANY = 5_000, 100_000
FLAT: Final = 8.0
"""MiB by which a process that keeps nothing may grow, for allocators round up and the interpreter still warms."""


async def memory_of_many() -> Finding:
    """The relay's memory after a few messages and after many."""
    async with unlimited_relay(FEW_CONNECTIONS) as (service, relay):
        with spawned(bare, relay.port, FEW_CONNECTIONS, None) as (client, _):
            client.send(FEW)
            await asyncio.to_thread(client.recv)
            few = memory(relay.process.pid)
            client.send(MANY - FEW)
            seconds, _ = await asyncio.to_thread(client.recv)
            many, peak = memory(relay.process.pid), memory(relay.process.pid, peak=True)
        accepted = service.counts().accepted
    figures = {
        f"MiB after {FEW}": round(few, 1),
        f"MiB after {MANY}": round(many, 1),
        "peak MiB": round(peak, 1),
        "msg/s": round((MANY - FEW) / seconds),
    }
    promises = (
        Promise(f"grows by ≤ {FLAT:g} MiB", many - few <= FLAT),
        Promise("all accepted", accepted == MANY),
    )
    return Finding(figures, promises)


# Beside those who do not keep to the protocol

GOOD: Final = 10
GOOD_RATE: Final = 50.0
WARM_UP: Final = 5.0
STRETCH: Final = 25.0
"""Seconds that the good clients are measured for, alone and then in company."""
LEAST_KEPT: Final = 0.95
MOST_MEMORY: Final = 400.0
"""MiB that the relay may need under attack: a hundred times less than it is sent."""


async def besieged() -> Finding:
    """Ten good clients at 50/s, alone and beside 270 others."""
    with account(GOOD_RATE, ledger_limit=None) as service:
        async with companion("relay", service.smtp_url, "--rate", str(GOOD_RATE)) as relay:
            left = subscribers(10**6)
            clients = [asyncio.create_task(_steady(relay.port, left)) for _ in range(GOOD)]
            await asyncio.sleep(WARM_UP)
            begins = [time.monotonic()]
            await asyncio.sleep(STRETCH)
            alone_rss = memory(relay.process.pid)
            with spawned(hostile, relay.port, Crowd()) as (pipe, _):
                await asyncio.sleep(WARM_UP)
                begins.append(time.monotonic())
                await asyncio.sleep(STRETCH)
                pipe.send("enough")
                made = await asyncio.to_thread(pipe.recv)
            peak = memory(relay.process.pid, peak=True)
            used = cpu(relay.process.pid)
            for client in clients:
                client.cancel()
            ends = await asyncio.gather(*clients, return_exceptions=True)
            failures = [end for end in ends if not isinstance(end, asyncio.CancelledError)]
            errors = relay.errors
            running = relay.process.returncode is None
        # Event loops and `time` tell the same monotonic clock, in every process.
        good = [at for recipient, at in service.arrivals() if recipient.startswith("reader")]
        alone, beside = (sum(begin <= at < begin + STRETCH for at in good) / STRETCH for begin in begins)
    figures = {
        "alone/s": round(alone, 2),
        "beside/s": round(beside, 2),
        "kept": round(beside / alone, 4),
        "RSS alone MiB": round(alone_rss, 1),
        "peak MiB": round(peak, 1),
        "relay CPU s": round(used, 1),
        "their connections": made,
        "good clients that failed": [repr(failure) for failure in failures],
        "tracebacks": errors.count("Traceback"),
    }
    promises = (
        Promise(f"keep ≥ {LEAST_KEPT:.0%}", beside >= LEAST_KEPT * alone),
        Promise("no good client failed", not failures),
        Promise("no crash", running and "Traceback" not in errors),
        Promise(f"peak ≤ {MOST_MEMORY:g} MiB", peak <= MOST_MEMORY),
    )
    return Finding(figures, promises)


async def _steady(port: int, left: Iterator[Subscriber]) -> None:
    """One well-behaved client: a message after another, on one connection."""
    session = await Session.open("127.0.0.1", port)
    try:
        for subscriber in left:
            await session.send(mail(subscriber))
    finally:
        session.close()


# Ended in the middle

ROUNDS: Final = 50
AT_ONCE: Final = 20
BUSY_RATE: Final = 60.0
ENDS_WITHIN: Final = 10.0
AT_LEAST, AT_MOST = 0.1, 1.0
"""Seconds from the first client to the signal."""


@attrs.define
class Rounds:
    """What was seen in all rounds."""

    answers: Counter[str] = attrs.field(factory=Counter)
    statuses: Counter[int] = attrs.field(factory=Counter)
    longest: float = 0.0
    missing: list[str] = attrs.field(factory=list)
    doubled: list[str] = attrs.field(factory=list)
    accepted_although_refused: list[str] = attrs.field(factory=list)
    unknown_and_accepted: int = 0
    tracebacks: int = 0

    def add(self, answers: Answers, copies: Counter[str]) -> None:
        """Compare what the clients were told with the ledger."""
        self.answers.update({name: len(value) for name, value in attrs.asdict(answers).items()})
        self.missing += answers.missing(copies)
        self.doubled += answers.doubled(copies)
        self.accepted_although_refused += answers.accepted_although_refused(copies)
        self.unknown_and_accepted += sum(copies[email] for email in answers.unknown)

    def finding(self) -> Finding:
        figures = {
            **self.answers,
            "unknown and accepted": self.unknown_and_accepted,
            "exit statuses": dict(self.statuses),
            "longest end s": round(self.longest, 2),
            "missing": self.missing[:5],
            "doubled": self.doubled[:5],
            "accepted although refused": self.accepted_although_refused[:5],
            "tracebacks": self.tracebacks,
        }
        promises = (
            Promise(
                f"ends within {ENDS_WITHIN:g} s with status 0", self.longest <= ENDS_WITHIN and {*self.statuses} == {0}
            ),
            Promise("each yes is accepted once", not self.missing and not self.doubled),
            Promise("no no is accepted", not self.accepted_although_refused),
            Promise("no traceback", not self.tracebacks),
            Promise("both happened", bool(self.answers["accepted"] and self.answers["refused"])),
        )
        return Finding(figures, promises)


def sigterm(command: Literal["relay", "listmonk"], rounds: int = ROUNDS) -> Callable[[], Awaitable[Finding]]:
    """The scenario of a companion that is told to end under load, at a random moment of a fixed seed, many times."""
    more = ("--root-url", ROOT_URL) if command == "listmonk" else ()

    async def run() -> Finding:
        chance = random.Random(rounds)
        seen = Rounds()
        with account(BUSY_RATE, latency=(0.005, 0.03)) as service:
            left = subscribers(10**6)
            for _ in range(rounds):
                answers = Answers()
                async with companion(command, service.smtp_url, "--rate", str(BUSY_RATE), *more) as server:
                    clients = [CLIENTS[command](server.port, left, answers) for _ in range(AT_ONCE)]
                    answered = asyncio.gather(*clients)
                    await asyncio.sleep(chance.uniform(AT_LEAST, AT_MOST))
                    began = time.monotonic()
                    status = await server.ended()
                    seen.longest = max(seen.longest, time.monotonic() - began)
                    seen.statuses[status] += 1
                    await answered
                    seen.tracebacks += server.errors.count("Traceback")
                seen.add(answers, Counter(recipient for recipient, _ in service.arrivals()))
        return seen.finding()

    return run


TOLD: Final = ("--rate", f"{RATE:g}")

SCENARIOS: Final[dict[str, Callable[[], Awaitable[Finding]]]] = {
    "direct": direct,
    "relay": campaign("relay", *TOLD, used=0.98),
    "relay-api": campaign("relay", door="api", used=0.98),
    "relay-not-told": campaign("relay"),
    "messenger": campaign("listmonk", *TOLD, used=0.98),
    "messenger-api": campaign("listmonk", door="api", used=0.98),
    "messenger-not-told": campaign("listmonk"),
    "throughput": throughput(relayed_sink, MANY_CONNECTIONS),
    "throughput-10": throughput(relayed_sink, FEW_CONNECTIONS, promised=False),
    "throughput-simulator": throughput(unlimited_relay, FEW_CONNECTIONS, promised=False),
    "throughput-5ms": throughput(partial(unlimited_relay, latency=0.005), FEW_CONNECTIONS),
    "memory": memory_of_many,
    "hostile": besieged,
    "sigterm-relay": sigterm("relay"),
    "sigterm-messenger": sigterm("listmonk"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"scenarios whose names hold this: {', '.join(SCENARIOS)}")
    only = parser.parse_args().only
    logging.disable(logging.CRITICAL)
    return tabulated(SCENARIOS, only, with_json=True)


def tabulated(
    scenarios: Mapping[str, Callable[[], Awaitable[Finding]]], only: str = "", *, with_json: bool = False
) -> int:
    """Run those whose names hold `only`, and print a row of each; returns the exit status."""
    broken = []
    print("| scenario | figures | promises |\n|---|---|---|", flush=True)
    for name, scenario in scenarios.items():
        if only not in name:
            continue
        finding = asyncio.run(_awaited(scenario()))
        print(finding.row(name), *[finding.as_json(name)] * with_json, sep="\n", flush=True)
        if not finding.kept:
            broken.append(name)
    print(f"\nBroken promises: {', '.join(broken) or 'none'}.")
    return int(bool(broken))


async def _awaited(scenario: Awaitable[Finding]) -> Finding:
    return await scenario


if __name__ == "__main__":
    sys.exit(main())
