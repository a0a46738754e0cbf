"""
A long run with faults, over both doors at once: `python -m benchmarks.soak` for 30 minutes, `--minutes 5` for a look.

At 200/s, one message in a hundred meets a fault: a reply of either kind, a connection that is reset before the service
has decided or after it, a slow reply. Each door has a sender and a simulator in processes of their own. Every ten
seconds the sender looks at its memory, its file descriptors and its tasks; at the end its reports are held against the
simulator's ledger, message by message.

What it does not show: the network, TLS, and what a day does. Memory is what the kernel says the process holds (RSS):
the allocator gives little of it back, so what grows without end shows, and what is held for a moment shows as well.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import os
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import attrs
from tests.faults.simulator_process import simulated

from seslimit import Message, Outcome, RetryPolicy, Sender, transport_from_url
from seslimit.testing import APIReply, Fault

RATE = 200
EVERY = 10.0
"""Seconds between looks."""

SMTP = [
    Fault("mail", reply="421 4.4.2 Connection closed", end="close", times=None, probability=0.001),
    Fault("dot", reply="451 4.3.0 Temporary service failure", times=None, probability=0.003),
    Fault("dot", reply="554 Message rejected: Email address is not verified", times=None, probability=0.001),
    Fault("dot", end="reset", times=None, probability=0.001),
    Fault("dot", end="reset", decided=True, times=None, probability=0.001),
    Fault("body", end="reset", times=None, probability=0.001),
    Fault("dot", delay=2.0, times=None, probability=0.002),
]
API = [
    Fault("send", reply=APIReply(500, "InternalFailure"), times=None, probability=0.002),
    Fault("send", reply=APIReply(503, "ServiceUnavailable"), times=None, probability=0.002),
    Fault("send", reply=APIReply(400, "MessageRejected", "Rejected."), times=None, probability=0.001),
    Fault("send", end="reset", times=None, probability=0.001),
    Fault("send", end="reset", decided=True, times=None, probability=0.001),
    Fault("send", reply=APIReply(200, body=b"<html>"), times=None, probability=0.001),
    Fault("send", delay=2.0, times=None, probability=0.002),
]
DOORS = {"smtp": SMTP, "api": API}


@attrs.frozen
class Look:
    """What the process held at one time."""

    memory: float
    """MiB."""
    files: int
    tasks: int


@attrs.frozen
class Result:
    """One door's run."""

    door: str
    seconds: float
    looks: list[Look]
    outcomes: dict[str, int]
    lost: int
    """Reported as accepted, and not in the ledger."""
    unsaid: int
    """In the ledger, and reported as not accepted, with no attempt in its history whose outcome is unknown."""
    doubled: int

    def row(self) -> str:
        """A line of the table; the first fifth of the looks is the start, and not compared."""
        settled = self.looks[len(self.looks) // 5 :]
        third = max(1, len(settled) // 3)
        early, late = settled[:third], settled[-third:]
        grown = statistics.median(each.memory for each in late) - statistics.median(each.memory for each in early)
        files, tasks = (
            f"{min(each)} to {max(each)}" for each in zip(*((look.files, look.tasks) for look in settled), strict=True)
        )
        said = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        rate = sum(self.outcomes.values()) / self.seconds
        return (
            f"| {self.door} | {said} | {rate:.1f}/s | {late[-1].memory:.1f} MiB, {grown:+.2f} | {files} | {tasks} "
            f"| {self.lost} | {self.unsaid} | {self.doubled} |"
        )


def look() -> Look:
    """Now."""
    resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return Look(resident / 2**20, len(list(Path("/proc/self/fd").iterdir())), len(asyncio.all_tasks()))


def messages(count: int) -> Iterator[Message]:
    """Each to a reader of its own, so that the ledger names it."""
    content = b"From: news@example.org\r\nSubject: Hello\r\n\r\n" + b"Hi!\r\n" * 400
    for number in range(count):
        yield Message("news@example.org", [f"reader{number}@example.net"], content, number)


def run(door: str, minutes: float) -> Result:
    """One door, from the first message to the last."""
    count = int(minutes * 60 * RATE)
    with simulated(rate=RATE, faults=DOORS[door], seed=1, ledger_limit=None) as simulator:
        url = simulator.smtp_url if door == "smtp" else simulator.ses_url
        said = bytearray(count)
        begun = time.monotonic()
        doubtful: set[int] = set()
        looks = asyncio.run(_send(url, said, doubtful, count))
        seconds = time.monotonic() - begun
        taken = {int(to.removeprefix("reader").partition("@")[0]) for to, _ in simulator.arrivals()}
        doubled = simulator.doubled()
    names = list(Outcome)
    outcomes = Counter(str(names[each - 1]) if each else "no report" for each in said)
    accepted = {number for number, each in enumerate(said) if each and names[each - 1] is Outcome.ACCEPTED}
    unknown = {number for number, each in enumerate(said) if each and names[each - 1] is Outcome.UNKNOWN}
    unsaid = len(taken - accepted - unknown - doubtful)
    return Result(door, seconds, looks, dict(outcomes), len(accepted - taken), unsaid, doubled)


async def _send(url: str, said: bytearray, doubtful: set[int], count: int) -> list[Look]:
    """
    The looks; `said` gets the outcome of each message, by its place in the enumeration, and `doubtful` the messages
    that had an attempt whose outcome is unknown.
    """
    numbers = {outcome: place for place, outcome in enumerate(Outcome, 1)}
    looks: list[Look] = []

    async def watch() -> None:
        while True:
            await asyncio.sleep(EVERY)
            gc.collect()
            looks.append(look())

    # Short waits, so that the end is not one message's backoff.
    policy = RetryPolicy(first_wait=1.0, max_wait=5.0)
    async with Sender(transport_from_url(url), retry=policy) as sender:
        watching = asyncio.create_task(watch())
        async for report in sender.send_many(messages(count)):
            assert isinstance(report.message.key, int)
            said[report.message.key] = numbers[report.outcome]
            if any(attempt.outcome is Outcome.UNKNOWN for attempt in report.history):
                doubtful.add(report.message.key)
        watching.cancel()
    return looks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--only", choices=list(DOORS), nargs="+", default=list(DOORS))
    options = parser.parse_args()
    doors, minutes = options.only, options.minutes
    print("| door | reported | rate | memory at the end, growth | files | tasks | lost | unsaid | doubled |")
    print("|---|---|---|---|---|---|---|---|---|")
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for result in pool.map(run, doors, [minutes] * len(doors)):
            print(result.row(), flush=True)


if __name__ == "__main__":
    main()
