"""
A real Exim before the relay, in clear, at 2/s: `python -m benchmarks.exim`, a minute.

Exim says QUIT behind its message, closes its side and waits for the reply; the relay answers when SES has accepted.
Eight messages at once, and one to a hundred and twenty recipients: promised is that all are accepted, each recipient
once, and none deferred. Exit status 1: a promise was broken; 2: there is no Exim here (see `tests/exim_instance.py`).
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final

from tests.companion_process import companion
from tests.exim_instance import MISSING, Exim, exim
from tests.relaying import readers

from seslimit.testing import Simulator

from .companions import Finding, Promise, tabulated

RATE: Final = 2.0
MAIL_FROM: Final = "bounces@news.example.org"
CONTENT: Final = b"From: news@news.example.org\r\nSubject: Hello\r\n\r\nHi!\r\n"
PATIENCE: Final = 180.0
"""Seconds for all of it."""

SCENARIOS: Final[dict[str, list[Sequence[str]]]] = {
    "8 messages": [[reader] for reader in readers(8)],
    "1 to 120 recipients": [readers(120)],
}


async def run(messages: Sequence[Sequence[str]]) -> Finding:
    """Hand the messages to Exim at once, and look what became of them."""
    async with (
        Simulator(RATE) as simulator,
        companion("relay", simulator.smtp_url, "--rate", f"{RATE:g}", "--max-rate", f"{RATE:g}") as relay,
        exim(relay.port) as instance,
    ):
        began = time.monotonic()
        for recipients in messages:
            await instance.submit(MAIL_FROM, recipients, CONTENT)
        await _ended(instance, len(messages))
        seconds = time.monotonic() - began
        got = Counter(each for message in simulator.accepted for each in message.recipients)
        expected = Counter(each for recipients in messages for each in recipients)
        figures = {
            "completed": instance.completed,
            "deferred": len(instance.deferred),
            "recipients": got.total(),
            "doubled": got.total() - len(got),
            "seconds": round(seconds, 1),
        }
        promises = (
            Promise("all are accepted, each once", got == expected and instance.completed == len(messages)),
            Promise("none is deferred", not instance.deferred),
        )
        return Finding(figures, promises)


async def _ended(instance: Exim, messages: int) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            while instance.completed + len(instance.deferred) < messages:  # noqa: ASYNC110  # another program's log
                await asyncio.sleep(0.1)
    except TimeoutError:
        print(instance.log[-3000:], file=sys.stderr)


def main() -> int:
    if MISSING is not None:
        print(MISSING, file=sys.stderr)
        return 2
    return tabulated({name: partial(run, messages) for name, messages in SCENARIOS.items()})


if __name__ == "__main__":
    sys.exit(main())
