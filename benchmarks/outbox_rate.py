"""
What durability costs: `python -m benchmarks.outbox_rate [--rounds N] [--messages N] [--directory FOLDER]`.

The same messages without an outbox, put into one on SQLite (full sync) and drained, and drained alone, in turn, several
rounds, over SMTP to a sink in another process that takes everything. The ratio of the medians is what counts; the
figures themselves are this machine's. What is drained alone was put there by another, so that each message is read from
the file; what is put and drained goes from hand to hand, as it does in `seslimit send`. The CPU is that of the client's
process, threads and putting included; how fast the disk of `--directory` is, which bounds what is durable, is measured
beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import attrs

from seslimit import Limiter, Sender, transport_from_url
from seslimit.outbox import Outbox

from .outbox import fsyncs
from .sink_process import Sink, sinking
from .throughput import messages

CONNECTIONS = 20


def sender(sink: Sink, outbox: Outbox | None) -> Sender:
    """One that the rate is not in the way of."""
    transport = transport_from_url(f"{sink.smtp_url}&max_connections={CONNECTIONS}&max_messages_per_connection=1000")
    return Sender(transport, limiter=Limiter(rate=1e6), outbox=outbox)


async def without(sink: Sink, _: Path, count: int) -> float:
    """Messages/s without an outbox."""
    async with sender(sink, None) as sending:
        began_at = time.perf_counter()
        async for _report in sending.send_many(messages(count)):
            pass
        return count / (time.perf_counter() - began_at)


async def put_and_drained(sink: Sink, folder: Path, count: int) -> float:
    """Messages/s from the list to the service."""
    async with Outbox(folder / "mail.db") as outbox, sender(sink, outbox) as sending:
        began_at = time.perf_counter()
        async for _report in sending.send_many(messages(count)):
            pass
        return count / (time.perf_counter() - began_at)


async def drained(sink: Sink, folder: Path, count: int) -> float:
    """Messages/s of what another has put into the outbox."""
    async with Outbox(folder / "mail.db") as other:
        await other.add(messages(count))
    async with Outbox(folder / "mail.db") as outbox, sender(sink, outbox) as sending:
        began_at = time.perf_counter()
        async for _report in sending.drain():
            pass
        return count / (time.perf_counter() - began_at)


@attrs.frozen
class Round:
    """Messages/s, and milliseconds of this process's CPU a message."""

    rate: float
    cpu: float


def once(way: Callable[[Sink, Path, int], Awaitable[float]], sink: Sink, count: int, directory: Path | None) -> Round:
    """One round."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        used = time.process_time()
        rate = asyncio.run(_awaited(way(sink, Path(folder), count)))
        return Round(rate, (time.process_time() - used) / count * 1000)


async def _awaited(figure: Awaitable[float]) -> float:
    return await figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=4_000)
    parser.add_argument("--directory", type=Path, help="where the file is, and so on which disk")
    asked = parser.parse_args()
    ways = {"without an outbox": without, "put into it and drained": put_and_drained, "drained": drained}
    with tempfile.TemporaryDirectory(dir=asked.directory) as folder:
        print(f"4 KiB made durable: {fsyncs(Path(folder)):,.0f}/s\n")
    with sinking() as sink:
        for way in ways.values():  # imports, statements that are made once, the server's first connections
            once(way, sink, 1000, asked.directory)
        rounds = [
            {name: once(way, sink, asked.messages, asked.directory) for name, way in ways.items()}
            for _ in range(asked.rounds)
        ]
    rates = {name: statistics.median(each[name].rate for each in rounds) for name in ways}
    cpus = {name: statistics.median(each[name].cpu for each in rounds) for name in ways}
    print("| way | messages/s | ratio | CPU ms a message | ratio |\n|---|---|---|---|---|")
    for name in ways:
        ratio, of_cpu = rates[name] / rates["without an outbox"], cpus["without an outbox"] / cpus[name]
        print(f"| {name} | {rates[name]:,.0f} | {ratio:.2f} | {cpus[name]:.2f} | {of_cpu:.2f} |")


if __name__ == "__main__":
    main()
