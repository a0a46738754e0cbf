"""A worker in a process of its own, until SIGTERM: `python -m tests.sqs_worker QUEUE TO MAX_RATE`."""

from __future__ import annotations

import asyncio
import signal
import sys

from seslimit import Limiter, Sender, transport_from_url
from seslimit.outbox import SQSQueue


async def work(url: str, to: str, max_rate: float) -> None:
    """Send."""
    async with (
        SQSQueue(url) as queue,
        Sender(transport_from_url(to), limiter=Limiter(max_rate, max_rate=max_rate), outbox=queue) as sender,
    ):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, sender.stop)
        await sender.run()


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], sys.argv[2], float(sys.argv[3])))
