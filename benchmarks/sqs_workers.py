"""
Four workers on one queue of SQS, two of them killed in the middle: what was lost, and what was sent twice.

`python -m benchmarks.sqs_workers [--messages N] [--rate R]`, on moto's SQS and the simulator, all on this machine. The
workers are `seslimit work`; two get SIGKILL when a third of the messages is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import time
from typing import Any

from aiobotocore.session import AioSession
from moto.backends import get_backend
from tests.sqs_server import AWS, sqs_server

from seslimit.testing import Simulator

WORKERS, KILLED = 4, 2


def body(number: int) -> str:
    """One message."""
    return json.dumps(
        {
            "from": "news@example.com",
            "to": [f"reader{number}@example.net"],
            "subject": "Hello",
            "text": "Hi!",
            "headers": {"X-Seslimit-Key": str(number)},
        }
    )


async def left(client: Any, queue: str) -> int:
    """How many messages are in the queue, seen or not."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    told = await client.get_queue_attributes(QueueUrl=queue, AttributeNames=names)
    return sum(map(int, told["Attributes"].values()))


async def measure(server: str, count: int, rate: float) -> dict[str, Any]:
    """One run."""
    async with AioSession().create_client("sqs", region_name="eu-west-1", endpoint_url=server) as made:
        client: Any = made
        queue = (await client.create_queue(QueueName="mail"))["QueueUrl"]
        backend = get_backend("sqs")["123456789012"]["eu-west-1"]
        for number in range(count):  # by the server's own function: ten a request would take minutes
            backend.send_message("mail", body(number))
        with Simulator(rate).in_thread() as simulator:
            begun = time.monotonic()
            workers = [
                await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "seslimit", "work", "--json"),
                    *("--queue", f"sqs://mail?region=eu-west-1&endpoint_url={server}&visibility=10"),
                    *("--to", simulator.smtp_url, "--rate", str(rate / WORKERS), "--max-rate", str(rate / WORKERS)),
                    stdout=asyncio.subprocess.DEVNULL,
                )
                for _ in range(WORKERS)
            ]
            while simulator.counts.accepted < count // 3:  # noqa: ASYNC110  # a server's count wakes nobody
                await asyncio.sleep(0.05)
            for worker in workers[:KILLED]:
                worker.kill()
            while await left(client, queue):  # noqa: ASYNC110  # likewise
                await asyncio.sleep(0.5)
            seconds = time.monotonic() - begun
            for worker in workers[KILLED:]:
                worker.terminate()
            await asyncio.gather(*(worker.wait() for worker in workers))
            return {
                "messages": count,
                "lost": len(simulator.missing(map(str, range(count)))),
                "doubled": sum(simulator.duplicates().values()),
                "throttled": simulator.counts.throttled,
                "seconds": round(seconds, 1),
            }


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--messages", type=int, default=2000)
    options.add_argument("--rate", type=float, default=100.0)
    asked = options.parse_args()
    os.environ.update(AWS)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with sqs_server() as server:
        print(json.dumps(asyncio.run(measure(server, asked.messages, asked.rate))))


if __name__ == "__main__":
    main()
