"""
What can go wrong with an outbox while messages are sent from it: a full disk, a locked file, a server that is away.

A run in real time, with the trouble in its middle; what is measured is the ledger of both sides, how soon sending goes
on once the trouble is over, and how long the event loop stood still.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeAlias

import attrs

from seslimit import Limiter, Message, Sender
from seslimit.outbox import Outbox, State
from seslimit.testing import FakeTransport
from tests.postgres_instance import PostgresServer

RATE = 200.0
CONTENT = b"From: a@example.com\r\nTo: b@example.org\r\nSubject: x\r\n\r\n" + b"Hello, how are you?\r\n" * 10

Trouble: TypeAlias = Callable[[Callable[[], bool]], AbstractAsyncContextManager[None]]
"""Begins a trouble on entry, and ends it on exit; it is told how to find out whether sending has stopped."""


@attrs.frozen
class Course:
    """How a run with a trouble went; times in seconds."""

    lost: int
    doubled: int
    accepted: int
    stopped: bool
    resumed_after: float
    lag: float
    median_lag: float


async def through(trouble: Trouble, outbox: Outbox, count: int = 600) -> Course:
    """Send messages, with the trouble after a quarter of them."""
    moments: list[float] = []

    async def handler(_: Message) -> None:
        await asyncio.sleep(0.02)
        moments.append(time.monotonic())

    transport = FakeTransport(handler)
    messages = [Message("a@example.com", ["b@example.org"], CONTENT, number) for number in range(count)]
    await outbox.add(messages)
    lags: list[float] = []
    ticker = asyncio.create_task(_tick(lags))
    stopped: list[bool] = []
    async with Sender(transport, limiter=Limiter(RATE, max_rate=RATE), outbox=outbox) as sender:
        draining = asyncio.create_task(_drained(sender))
        await _until(lambda: len(moments) >= count / 4)

        def has_stopped() -> bool:
            if sender.limiter.paused == "outbox unavailable":
                stopped.append(True)
            return bool(stopped)

        async with trouble(has_stopped):
            pass
        over_at = time.monotonic()
        reports = await draining
    ticker.cancel()
    out = Counter(message.key for message in transport.sent)
    accepted = (await outbox.status())[State.ACCEPTED].messages
    return Course(
        lost=len({message.key for message in messages} - set(out)) + count - len(reports),
        doubled=sum(out.values()) - len(out),
        accepted=accepted,
        stopped=bool(stopped),
        resumed_after=min((at for at in moments if at > over_at), default=over_at) - over_at,
        lag=max(lags),
        median_lag=sorted(lags)[len(lags) // 2],
    )


async def _drained(sender: Sender) -> list[object]:
    return [report.message.key async for report in sender.drain()]


async def _tick(lags: list[float]) -> None:
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(0.005)
        lags.append(time.perf_counter() - begun - 0.005)


async def _until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # of another program's doing
            await asyncio.sleep(0.01)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 2 MiB; needs Linux and root."""
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def full(disk: Path) -> Trouble:
    """The disk is filled by somebody else, and freed when sending has stopped."""

    @asynccontextmanager
    async def trouble(has_stopped: Callable[[], bool]) -> AsyncIterator[None]:
        ballast = disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 1024)
        await _until(has_stopped)
        yield
        ballast.unlink()

    return trouble


def locked(path: Path, seconds: float) -> Trouble:
    """Another program holds the file's lock for so long."""

    @asynccontextmanager
    async def trouble(has_stopped: Callable[[], bool]) -> AsyncIterator[None]:
        connected = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
        with contextlib.closing(connected) as other:
            # In a thread: whoever has the lock may need this loop to give it back.
            await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
            await asyncio.sleep(seconds)
            await _until(has_stopped)
            yield
            other.execute("ROLLBACK")

    return trouble


def away(server: PostgresServer, seconds: float) -> Trouble:
    """The database is killed, and started again."""

    @asynccontextmanager
    async def trouble(has_stopped: Callable[[], bool]) -> AsyncIterator[None]:
        await asyncio.to_thread(server.stop)
        await asyncio.sleep(seconds)
        await _until(has_stopped)
        yield
        await asyncio.to_thread(server.start)

    return trouble
