"""
What letting a message through costs, and how well a rate is held: `python -m benchmarks.admission [--rounds N]`.

seslimit's limiter beside those of other packages, each as its documentation has it, in turn in one process. First with
a rate that is in nobody's way, which leaves what an admission costs. Then 50 tasks, which have 20 ms to do for each, at
200/s for a few seconds: how many were let through, at most in any one second, and the CPU of it.

What it does not show: what a service answers. The others are told a rate and hold it; seslimit's limiter also hears how
each attempt ended, counts what is under way, and changes its rate, which is in its cost. `limits` says no and does not
wait; who uses it waits by himself, here with its own `get_window_stats`.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path

import aiolimiter
import attrs
import limits.aio.storage
import limits.aio.strategies
import pyrate_limiter
import throttled.asyncio
from throttled import RateLimiterType, per_sec

from seslimit import Limiter

from .peers import DOCS, written

FAST = 1_000_000
"""Admissions/s that are in nobody's way."""

ADMISSIONS = 5_000
RATE, TASKS, SECONDS = 200, 50, 5.0

WORK = 0.02
"""Seconds that a message takes."""

Admit = Callable[[float], Awaitable[None]]
"""Is let through, and then has so many seconds to do."""


def seslimit_limiter(rate: int) -> Admit:
    limiter = Limiter(rate=rate, max_rate=rate)

    async def admit(work: float) -> None:
        async with limiter.admit():
            if work:
                await asyncio.sleep(work)

    return admit


def aiolimiter_limiter(rate: int) -> Admit:
    limiter = aiolimiter.AsyncLimiter(rate, 1)

    async def admit(work: float) -> None:
        async with limiter:
            if work:
                await asyncio.sleep(work)

    return admit


def pyrate_limiter_limiter(rate: int) -> Admit:
    limiter = pyrate_limiter.Limiter(pyrate_limiter.Rate(rate, pyrate_limiter.Duration.SECOND))

    async def admit(work: float) -> None:
        await limiter.try_acquire_async("mail")
        if work:
            await asyncio.sleep(work)

    return admit


def throttled_limiter(rate: int) -> Admit:
    kind = RateLimiterType.TOKEN_BUCKET.value
    limiter = throttled.asyncio.Throttled(using=kind, quota=per_sec(rate, burst=rate), timeout=60)

    async def admit(work: float) -> None:
        while (await limiter.limit("mail")).limited:
            pass
        if work:
            await asyncio.sleep(work)

    return admit


def limits_limiter(rate: int) -> Admit:
    strategy = limits.aio.strategies.MovingWindowRateLimiter(limits.aio.storage.MemoryStorage())
    item = limits.RateLimitItemPerSecond(rate)

    async def admit(work: float) -> None:
        while not await strategy.hit(item, "mail"):
            until = (await strategy.get_window_stats(item, "mail")).reset_time
            await asyncio.sleep(max(0.001, until - time.time()))
        if work:
            await asyncio.sleep(work)

    return admit


LIMITERS: dict[str, Callable[[int], Admit]] = {
    "seslimit": seslimit_limiter,
    "aiolimiter": aiolimiter_limiter,
    "pyrate-limiter": pyrate_limiter_limiter,
    "throttled-py": throttled_limiter,
    "limits": limits_limiter,
}


async def free(make: Callable[[int], Admit]) -> float:
    """Microseconds of an admission that waits for nothing."""
    admit = make(FAST)
    for _ in range(200):
        await admit(0.0)
    begun = time.perf_counter()
    for _ in range(ADMISSIONS):
        await admit(0.0)
    return (time.perf_counter() - begun) / ADMISSIONS * 1e6


@attrs.frozen
class Held:
    """What came of a rate that was to be held."""

    let_through: float
    """Admissions/s after the first second, in which the burst is."""
    most: int
    """In any one second."""
    cpu: float
    """Microseconds of an admission."""


async def held(make: Callable[[int], Admit]) -> Held:
    """Many tasks that wait for the same rate."""
    admit, times = make(RATE), list[float]()
    begun, cpu = time.perf_counter(), time.process_time()

    async def task() -> None:
        while time.perf_counter() - begun < SECONDS:
            await admit(WORK)
            times.append(time.perf_counter() - begun)

    tasks = [asyncio.create_task(task()) for _ in range(TASKS)]
    await asyncio.sleep(SECONDS)
    used = time.process_time() - cpu
    for each in tasks:
        each.cancel()
    await asyncio.wait(tasks)
    kept = [each for each in times if each <= SECONDS]
    later = sum(each > 1.0 for each in kept) / (SECONDS - 1.0)
    most, first = 0, 0
    for last, at in enumerate(kept):
        while kept[first] <= at - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return Held(later, most, used / len(kept) * 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, nargs="?", const=DOCS / "benchmarks.md", help="the page with the table")
    options = parser.parse_args()
    costs: dict[str, list[float]] = {name: [] for name in LIMITERS}
    for _ in range(options.rounds):
        for name, make in LIMITERS.items():
            costs[name].append(asyncio.run(free(make)))
    base = statistics.median(costs["seslimit"])
    lines = [
        f"| | an admission | of seslimit's | at {RATE}/s with {TASKS} tasks | most in a second | CPU an admission |",
        "|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for name, make in LIMITERS.items():
        cost, kept = statistics.median(costs[name]), asyncio.run(held(make))
        lines.append(
            f"| {name} {version(name)} | {cost:.1f} µs | {cost / base:.2f} | {kept.let_through:.1f}/s | {kept.most} "
            f"| {kept.cpu:.0f} µs |"
        )
        print(lines[-1], flush=True)
    if options.write:
        written(options.write, "admission", "\n".join(lines))


if __name__ == "__main__":
    main()
