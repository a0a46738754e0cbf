"""
Feedback under damage, kills and restarts: three figures, each one command.

    python -m benchmarks.feedback mutated [--documents 100000]     damaged documents: no crash, no wrong recipient
    python -m benchmarks.feedback queue [--events 10000]           a queue whose worker is killed five times
    python -m benchmarks.feedback listmonk [--messages 1000]       a campaign whose bounces listmonk has to record, over
                                                                   SNS and over SQS, doubled and shuffled, with both
                                                                   sides restarted in the middle

A worker is killed with SIGKILL. What listmonk had taken and the worker not yet noted is asked of listmonk, so that
nothing is recorded twice, although listmonk would write down the same bounce as often as it is told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import signal
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import attrs
from tests.bounce_book import bounce_book
from tests.simulations.listmonk_round import Worker, campaign
from tests.sns_authority import PARTICULARS, document
from tests.sqs_server import AWS, sqs_server
from tests.test_feedback_reading import mutated
from tests.test_feedback_sqs import Queue, bounces, queue

from seslimit.feedback import InvalidFeedback, read

# Damaged documents


def damaged(count: int, seed: int = 14) -> tuple[int, int]:
    """Read so many mutated documents; how many were events, and how many named a recipient whom they do not name."""
    chance, events, wrong = random.Random(seed), 0, 0
    for _ in range(count):
        told = document(chance.choice(list(PARTICULARS)))
        for _ in range(chance.randint(1, 4)):
            told = mutated(told, chance) if told else told  # everything may have been removed from it
        with suppress(InvalidFeedback):
            event = read(json.dumps(told))
            events += 1
            wrong += any(recipient.address != "ada@example.net" for recipient in event.recipients)
            json.dumps(event.as_dict())
    return events, wrong


# A queue


@attrs.frozen
class FromQueue:
    """What became of a queue's events: how many, how many were lost, and how many recorded too often."""

    events: int
    lost: int
    twice: int


async def killed(sqs: str, folder: Path, events: int, kills: int) -> FromQueue:
    """Work off a queue with a worker that is killed; every message is in it twice, in no order."""
    async with bounce_book() as book, queue(sqs, f"killed-{events}-{kills}") as filled:
        bodies = bounces(events) * 2
        random.Random(3).shuffle(bodies)
        await filled.put(*bodies)
        url = f"sqs://{filled.name}?region=eu-west-1&endpoint_url={sqs}"
        worker = Worker(("--queue", url, "--listmonk", book.url, "--seen", str(folder / "seen.db")))
        for run in range(kills + 1):
            await worker.start()
            wanted = (run + 1) * events // (kills + 1)
            while len(book.counted) < wanted:  # noqa: ASYNC110  # another process's work wakes nobody
                await asyncio.sleep(0.05)
            if run < kills:
                await worker.end(signal.SIGKILL)
                await filled.show_again()
        await _emptied(filled)
        await worker.end(signal.SIGTERM)
    found = book.counted
    return FromQueue(events, events - len(found), sum(found.values()) - len(found))


async def _emptied(filled: Queue) -> None:
    while await filled.left():  # noqa: ASYNC110  # likewise
        await asyncio.sleep(0.1)


async def _main(asked: argparse.Namespace) -> None:
    began = time.monotonic()
    os.environ.update(AWS)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.what == "mutated":
            events, wrong = damaged(asked.documents)
            print(
                f"{asked.documents:,} damaged documents: {events:,} events, 0 crashes, {wrong} with a wrong recipient"
            )
        elif asked.what == "queue":
            with sqs_server() as sqs:
                found = await killed(sqs, folder, asked.events, 5)
            print(
                f"{found.events:,} events, each twice in the queue, worker killed 5 times: {found.lost} lost, "
                f"{found.twice} recorded twice"
            )
        else:
            with sqs_server() as sqs:
                for door, url in (("SNS", None), ("SQS", sqs)):
                    (folder / door).mkdir()
                    found_round = await campaign(folder / door, asked.messages, url)
                    kinds = Counter(kind for _, _, kind in found_round.told.elements())
                    print(
                        f"{door}: {found_round.accepted:,} messages, {kinds['hard']} hard, {kinds['soft']} soft, "
                        f"{kinds['complaint']} complaints; recorded once each, against the right subscriber and "
                        f"campaign: {'yes' if found_round.is_exact else 'NO'}"
                    )
    print(f"in {time.monotonic() - began:.0f} s")


def main() -> None:
    """Run one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["mutated", "queue", "listmonk"])
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--messages", type=int, default=1_000)
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
