"""
A process that drains an outbox, says what it was told, and is killed.

`outbox_process.py FILE|URL [MILLISECONDS]`: how long each attempt takes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from seslimit import Attempt, Outcome, Receipt, Report
from seslimit.outbox import Outbox, Queued

IN_FLIGHT = 20


def say(word: str, queued: Queued) -> None:
    """One line, written at once: a kill keeps what was said."""
    os.write(1, (json.dumps([word, queued.message.key]) + "\n").encode())


async def send(outbox: Outbox, queued: Queued, seconds: float, place: asyncio.Semaphore) -> None:
    """Send a message to nobody."""
    await outbox.begins(queued)
    say("begun", queued)
    await asyncio.sleep(seconds)
    at = time.time()
    receipt = Receipt(f"id-{queued.message.key}")
    history = (Attempt(at, Outcome.ACCEPTED),)
    await outbox.ends(queued, Report(queued.message, Outcome.ACCEPTED, receipt, 1, history=history, at=at))
    say("ended", queued)
    place.release()


async def main(url: str, seconds: float) -> None:
    """Drain it."""
    place = asyncio.Semaphore(IN_FLIGHT)
    async with Outbox(url) as outbox, asyncio.TaskGroup() as tasks:
        os.write(1, b"ready\n")
        while claimed := await outbox.claim(50):
            for queued in claimed:
                await place.acquire()
                tasks.create_task(send(outbox, queued, seconds, place))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]) / 1000 if len(sys.argv) > 2 else 0.005))
