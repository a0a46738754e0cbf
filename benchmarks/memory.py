"""
Memory of a long list: `python -m benchmarks.memory`.

The same sender, once with 5,000 messages and once with 200,000 from a generator, each in a process of its own, through
a transport that accepts everything at once. What it does not show: the memory of large messages in flight.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from collections.abc import Iterator

from seslimit import Limiter, Message, Receipt, Sender

COUNTS = (5_000, 200_000)


class Accepting:
    """Accepts everything after a turn of the event loop."""

    async def send(self, message: Message) -> Receipt:
        await asyncio.sleep(0)
        return Receipt(str(message.key))

    async def aclose(self) -> None:
        """Nothing to release."""


def messages(count: int) -> Iterator[Message]:
    content = b"From: news@example.org\r\n\r\n" + b"Hi!\r\n" * 400
    for number in range(count):
        yield Message("news@example.org", ["reader@example.net"], b"X-Key: %d\r\n" % number + content, number)


async def send(count: int) -> None:
    async with Sender(Accepting(), limiter=Limiter(rate=1e6)) as sender:
        accepted = 0
        async for report in sender.send_many(messages(count)):
            accepted += report.outcome == "accepted"
    assert accepted == count
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> None:
    peaks = {}
    for count in COUNTS:
        command = [sys.executable, "-m", "benchmarks.memory", str(count)]
        peaks[count] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024
        print(f"| {count:,} messages | peak {peaks[count]:.1f} MiB |")
    print(f"| difference | {peaks[COUNTS[1]] - peaks[COUNTS[0]]:.1f} MiB |")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(send(int(sys.argv[1])))
    else:
        main()
