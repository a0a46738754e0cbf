"""
What durability costs: `python -m benchmarks.outbox_rate [--rounds N] [--messages N]`.

The same messages without an outbox, put into one on SQLite (full sync) and drained, and drained alone, in turn, several
rounds, over SMTP to a sink in another process that takes everything. The ratio of the medians is what counts; the
figures themselves are this machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from seslimit import Limiter, Sender, transport_from_url
from seslimit.outbox import Outbox

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
    """Messages/s of what is in the outbox already."""
    async with Outbox(folder / "mail.db") as outbox, sender(sink, outbox) as sending:
        await outbox.add(messages(count))
        began_at = time.perf_counter()
        async for _report in sending.drain():
            pass
        return count / (time.perf_counter() - began_at)


def once(way: Callable[[Sink, Path, int], Awaitable[float]], sink: Sink, count: int) -> float:
    """One round."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_awaited(way(sink, Path(folder), count)))


async def _awaited(figure: Awaitable[float]) -> float:
    return await figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=4_000)
    asked = parser.parse_args()
    ways = {"without an outbox": without, "put into it and drained": put_and_drained, "drained": drained}
    with sinking() as sink:
        once(without, sink, 500)
        rounds = [{name: once(way, sink, asked.messages) for name, way in ways.items()} for _ in range(asked.rounds)]
    medians = {name: statistics.median(each[name] for each in rounds) for name in ways}
    print("| way | messages/s | ratio |\n|---|---|---|")
    for name, rate in medians.items():
        print(f"| {name} | {rate:,.0f} | {rate / medians['without an outbox']:.2f} |")


if __name__ == "__main__":
    main()
