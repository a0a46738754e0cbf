"""
What it costs to lose nothing: `python -m benchmarks.outbox [speed | sender | workers | million | kills | locked]`.

Speeds are said of the same work with and without an outbox, in turns in one run, since a machine is never the same
twice. The disk is that of `--directory`; nothing is sent anywhere.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import resource
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import TypeVar

from tests.postgres_instance import PostgresServer

from seslimit import Attempt, Limiter, Message, Outcome, Receipt, Report, Sender, transport_from_url
from seslimit.outbox import Filter, JournalUnavailable, Outbox, Queued, State

from .sink_process import Sink, sinking

T = TypeVar("T")

IN_FLIGHT = 100
PORTION = 1000
CHILD = Path(__file__).parent.parent / "tests" / "outbox_process.py"
TEXT = b"Subject: news\r\nFrom: sender@example.org\r\nTo: reader\r\n\r\n" + b"A line of a letter.\r\n" * 50


def message(number: int) -> Message:
    """One of many, each with a content of its own of about 1 kB."""
    content = TEXT + b"%d\r\n" % number
    return Message("sender@example.org", [f"reader{number}@example.com"], content, f"letter-{number}")


async def fill(outbox: Outbox, count: int, first: int = 0) -> float:
    """Add messages; messages/s."""
    begun = time.perf_counter()
    for begin in range(first, first + count, PORTION):
        await outbox.add([message(number) for number in range(begin, min(first + count, begin + PORTION))])
    return count / (time.perf_counter() - begun)


async def attempt() -> None:
    """What is measured is all but this."""
    await asyncio.sleep(0)


async def send(outbox: Outbox, queued: Queued) -> None:
    """Hand a message over to nobody, on record."""
    await outbox.begins(queued)
    await attempt()
    at = time.time()
    history = (Attempt(at, Outcome.ACCEPTED),)
    receipt = Receipt(f"010001-{queued.id}-000000")
    await outbox.ends(queued, Report(queued.message, Outcome.ACCEPTED, receipt, 1, history=history, at=at))


async def drain(outbox: Outbox, claims: list[float] | None = None, told: int = 0) -> int:
    """Send all that is due, `IN_FLIGHT` at a time; how many that was. Of `told`, memory is said at each quarter."""
    places = asyncio.Semaphore(IN_FLIGHT)
    sent = 0

    async def one(queued: Queued) -> None:
        await send(outbox, queued)
        places.release()

    async with asyncio.TaskGroup() as tasks:
        while True:
            begun = time.perf_counter()
            claimed = await outbox.claim(200)
            if claims is not None:
                claims.append(time.perf_counter() - begun)
            if told and sent * 4 // told != (sent - 200) * 4 // told:
                print(f"  {100 * sent // told} % done: memory {memory():.0f} MiB", flush=True)
            if not claimed:
                return sent
            for queued in claimed:
                await places.acquire()
                tasks.create_task(one(queued))
                sent += 1


def fsyncs(directory: Path) -> float:
    """How many times a second 4 KiB can be made durable there: what any outbox is relative to."""
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        begun, count = time.perf_counter(), 0
        while time.perf_counter() - begun < 1:
            file.write(b"\0" * 4096)
            file.flush()
            os.fdatasync(file.fileno())
            count += 1
    return float(count)


async def speed(directory: Path, count: int) -> None:
    """The outbox alone, on SQLite and on PostgreSQL, both with full sync."""
    print(f"4 KiB made durable: {fsyncs(directory):,.0f}/s")
    with PostgresServer(fsync=True) as server:
        for name, url in (("SQLite", str(directory / "speed.db")), ("PostgreSQL", await server.new_database())):
            async with Outbox(url) as outbox:
                added = await fill(outbox, count)
                begun = time.perf_counter()
                sent = await drain(outbox)
                rate = sent / (time.perf_counter() - begun)
                print(f"{name}: {added:,.0f} messages/s added, {rate:,.0f}/s claimed, begun and ended")


async def sender(directory: Path, count: int) -> None:
    """A whole sender over SMTP to a server that takes everything, with and without an outbox, in turns."""
    print(f"a Sender with {IN_FLIGHT} in flight over SMTP; with an outbox, to add is part of it")
    ratios: list[float] = []
    costs: list[float] = []
    with sinking() as sink:
        for turn in range(5):
            without, cost_without = await _sender_rate(sink, count, None)
            with_it, cost_with = await _sender_rate(sink, count, directory / f"sender-{turn}.db")
            ratios.append(with_it / without)
            costs.append(cost_without / cost_with)
            print(
                f"without {without:,.0f} messages/s ({cost_without * 1000:.2f} ms of processor each), "
                f"with {with_it:,.0f}/s ({cost_with * 1000:.2f} ms): {ratios[-1]:.2f}"
            )
    print(f"rate with to without, median: {statistics.median(ratios):.2f}; by processor {statistics.median(costs):.2f}")


async def _sender_rate(sink: Sink, count: int, path: Path | None) -> tuple[float, float]:
    """Messages/s, and seconds of this process's processor a message."""
    outbox = None if path is None else Outbox(path)
    transport = transport_from_url(f"{sink.smtp_url}&max_connections={IN_FLIGHT}&max_messages_per_connection=1000")
    begun, used, accepted = time.perf_counter(), time.process_time(), 0
    limiter = Limiter(rate=1e6)
    async with Sender(transport, limiter=limiter, outbox=outbox, max_in_flight=IN_FLIGHT) as sending:
        async for report in sending.send_many(map(message, range(count))):
            accepted += report.outcome is Outcome.ACCEPTED
    assert accepted == count
    measured = count / (time.perf_counter() - begun), (time.process_time() - used) / count
    if outbox is not None:
        await outbox.aclose()
    return measured


async def workers(count: int) -> None:
    """Four processes on one PostgreSQL."""
    with PostgresServer(fsync=True) as server:
        url = await server.new_database()
        async with Outbox(url) as outbox:
            await fill(outbox, count)
            begun = time.perf_counter()
            processes = [
                await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "benchmarks.outbox", "drain", "--url", url),
                    stdout=subprocess.PIPE,
                )
                for _ in range(4)
            ]
            told = await asyncio.gather(*(process.communicate() for process in processes))
            seconds = time.perf_counter() - begun
            shares = [int(out) for out, _ in told]
            status = await outbox.status()
            print(
                f"4 workers, one PostgreSQL: {count / seconds:,.0f} messages/s together, their start included; "
                f"each {shares}"
            )
            print(f"accepted on record {status[State.ACCEPTED].messages} of {count}, handed over {sum(shares)}")


def memory() -> float:
    """Resident memory now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def million(directory: Path, count: int) -> None:
    """Many added and drained: memory, the time of a claim, bytes a message."""
    path = directory / "million.db"
    size = len(message(0).as_bytes())
    print(f"{count:,} messages of {size} bytes, each its own")
    async with Outbox(path) as outbox:
        print(f"open: memory {memory():.0f} MiB", flush=True)
        tenth, begun = max(1, count // 10), time.perf_counter()
        for first in range(0, count, tenth):
            rate = await fill(outbox, min(tenth, count - first), first)
            print(f"added {min(count, first + tenth):,}: {rate:,.0f}/s; memory {memory():.0f} MiB", flush=True)
        print(f"added: {count / (time.perf_counter() - begun):,.0f}/s; {_on_disk(path) / count:,.0f} bytes a message")
        claims: list[float] = []
        begun = time.perf_counter()
        sent = await drain(outbox, claims, count)
        seconds = time.perf_counter() - begun
        print(f"sent {sent:,}: {sent / seconds:,.0f}/s; memory {memory():.0f} MiB")
        tenth = max(1, len(claims) // 10)
        deciles = [statistics.median(claims[n : n + tenth]) * 1000 for n in range(0, tenth * 10, tenth)]
        print("a claim of 200, ms, median of each tenth:", *(f"{each:.1f}" for each in deciles))
        begun = time.perf_counter()
        status = await outbox.status()
        print(f"status in {time.perf_counter() - begun:.2f} s: {status[State.ACCEPTED]}")
        print(f"file: {_on_disk(path) / count:,.0f} bytes a message, {size} of them content")
        begun = time.perf_counter()
        rows = 0
        async for _ in outbox.rows(Filter(states=[State.ACCEPTED])):
            rows += 1
        print(f"export: {rows / (time.perf_counter() - begun):,.0f} rows/s; memory {memory():.0f} MiB")


def _on_disk(path: Path) -> int:
    """Bytes of the file and its log."""
    return sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*") if not each.name.endswith("-reserve"))


def killed_child(path: Path, after: float) -> tuple[set[str], set[str]]:
    """Let a process drain the outbox until it is killed; what it handed over, and what it was told is on record."""
    process = subprocess.Popen([sys.executable, "-P", str(CHILD), str(path), "2"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    told: dict[str, set[str]] = {"begun": set(), "ended": set()}
    for line in process.stdout:
        with contextlib.suppress(ValueError):  # the last line may be cut off
            word, key = json.loads(line)
            told[word].add(key)
    process.wait()
    return told["begun"], told["ended"]


async def kills(directory: Path, count: int) -> None:
    """A process that is killed 200 times at random moments."""
    path = directory / "kills.db"
    messages = count * 40
    async with Outbox(path) as outbox:
        await fill(outbox, messages)
    randomly = random.Random(1)
    attempts: dict[str, int] = {}
    acknowledged: set[str] = set()
    unexpected = most_in_doubt = killed = 0
    while killed < count:
        begun, ended = await asyncio.to_thread(killed_child, path, randomly.uniform(0, 0.1))
        killed += 1
        unexpected += len(acknowledged & begun)
        for key in begun:
            attempts[key] = attempts.get(key, 0) + 1
        acknowledged |= ended
        most_in_doubt = max(most_in_doubt, len(begun - ended))
    async with Outbox(path) as outbox:
        recovered = 0
        recorded = {str(row.key) async for row in outbox.rows(Filter(states=[State.ACCEPTED]))}
        while claimed := await outbox.claim(500):
            for queued in claimed:
                recovered += queued.history.outcome is Outcome.UNKNOWN
                attempts[str(queued.message.key)] = attempts.get(str(queued.message.key), 0) + 1
                await send(outbox, queued)
        lost = messages - (await outbox.status())[State.ACCEPTED].messages
    doubled = sum(number - 1 for number in attempts.values())
    print(
        f"{killed} kills: attempts {sum(attempts.values())}, acknowledged {len(acknowledged)}, "
        f"acknowledged and not recorded {len(acknowledged - recorded)}, lost {lost}, unexpected {unexpected}, "
        f"duplicated {doubled}, recovered as unknown in the end {recovered}; "
        f"most in doubt at one kill {most_in_doubt}, in flight 20"
    )


async def locked(directory: Path, seconds: int) -> None:
    """Another program has the file locked: how late the event loop is, and how soon all goes on."""
    path = directory / "locked.db"
    async with Outbox(path) as outbox:
        await fill(outbox, 20_000)
        draining = asyncio.create_task(_drain_whatever(outbox))
        lags: list[float] = []
        ticking = asyncio.create_task(_tick(lags))
        await asyncio.sleep(0.5)
        before = lags[:]
        lags.clear()
        with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as other:
            other.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(seconds)
            locked_lags = lags[:]
            other.execute("ROLLBACK")
        begun = time.perf_counter()
        accepted = (await outbox.status())[State.ACCEPTED].messages
        while (await outbox.status())[State.ACCEPTED].messages == accepted:
            await outbox.wait(0.01)
        resumed = time.perf_counter() - begun
        draining.cancel()
        ticking.cancel()
        await asyncio.gather(draining, ticking, return_exceptions=True)
        print(
            f"locked for {seconds} s: event loop late by at most {max(locked_lags) * 1000:.0f} ms "
            f"(sending: {max(before) * 1000:.0f} ms); sending again after {resumed:.2f} s"
        )


async def _drain_whatever(outbox: Outbox) -> None:
    while claimed := await whenever(partial(outbox.claim, 50)):
        for queued in claimed:
            await whenever(partial(send, outbox, queued))


async def whenever(call: Callable[[], Awaitable[T]]) -> T:
    """What a call returns, as soon as the outbox can be written."""
    while True:
        try:
            return await call()
        except JournalUnavailable:
            await asyncio.sleep(0.2)


async def _tick(lags: list[float]) -> None:
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(0.01)
        lags.append(time.perf_counter() - begun - 0.01)


async def drained(url: str) -> None:
    """What a worker does."""
    async with Outbox(url) as outbox:
        print(await drain(outbox))


PARTS: dict[str, tuple[int, Callable[[Path, int], Coroutine[None, None, None]]]] = {
    "speed": (20_000, speed),
    "sender": (5_000, sender),
    "workers": (20_000, lambda _, count: workers(count)),
    "kills": (200, kills),
    "locked": (30, locked),
    "million": (1_000_000, million),
}


def main() -> None:
    """Measure what is asked for, or all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "drain", []], default=list(PARTS))
    parser.add_argument("--count", type=int, help="how many messages, kills or seconds, instead of each part's own")
    parser.add_argument("--directory", type=Path, help="where the files are, and so on which disk")
    parser.add_argument("--url", help="of the outbox that a worker drains")
    options = parser.parse_args()
    if options.parts == ["drain"]:
        asyncio.run(drained(options.url))
        return
    for part in options.parts:
        count, measure = PARTS[part]
        print(f"\n{part}", flush=True)
        with tempfile.TemporaryDirectory(dir=options.directory) as directory:
            asyncio.run(measure(Path(directory), options.count or count))


if __name__ == "__main__":
    main()
