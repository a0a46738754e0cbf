"""
Transactional mail through the relay beside a campaign that takes all of the rate: `python -m benchmarks.lanes`.

Ten connections of a campaign have always a message each before a relay at 50/s; over another connection come the urgent
ones, named by header, by login or by port. Relay and service are processes of their own. The service time is what an
urgent message takes while nobody else sends; promised is that 99 % of them are answered within that and 100 ms, and
that the campaign has the rest of the rate. About a minute and a half; exit status 1: a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from functools import partial
from typing import Any, Final

from tests.companion_process import companion
from tests.listmonk_double import Session, mail, subscribers

from seslimit import Message

from .companions import Finding, Promise, account, tabulated

RATE: Final = 50.0
LOGIN: Final = ("somebody", "s3kr1t")
LANE: Final = "transactional"
URGENT: Final = 200
EVERY: Final = 0.1
"""Seconds between two urgent messages: a fifth of the rate."""
ALONE: Final = 20
"""Urgent messages while nobody else sends."""
WARM_UP: Final = 3.0
WITHIN: Final = 0.1
LABEL: Final = f"X-Seslimit-Lane: {LANE}\r\n".encode()
WAYS: Final = ("header", "login", "port", "none")
"""How an urgent message is known; "none" shows what it would wait otherwise, and promises nothing."""


async def run(way: str) -> Finding:
    """One way to name the lane."""
    options = ("--rate", f"{RATE:g}", "--max-rate", f"{RATE:g}", "--lane-listen", LANE, "127.0.0.1:0")
    environment = {"SESLIMIT_RELAY_USER": LOGIN[0], "SESLIMIT_RELAY_PASSWORD": LOGIN[1]}
    with account(2 * RATE, ledger_limit=0) as service:
        async with companion("relay", service.smtp_url, *options, **environment) as relay:
            port = int(relay.told["lanes"][LANE].rpartition(":")[2]) if way == "port" else relay.port
            login = (f"{LOGIN[0]}+{LANE}", LOGIN[1]) if way == "login" else LOGIN
            urgent = await Session.open("127.0.0.1", port, login)
            alone = await _send(urgent, way, ALONE)
            campaign = [0]
            tasks = [asyncio.create_task(_campaign(relay.port, worker, campaign)) for worker in range(10)]
            await asyncio.sleep(WARM_UP)
            began, before = time.monotonic(), campaign[0]
            beside = await _send(urgent, way, URGENT)
            a_second = (campaign[0] - before + URGENT) / (time.monotonic() - began)
            urgent.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    service_time = statistics.median(alone)
    over = sorted(each - service_time for each in beside)
    within = sum(each <= WITHIN for each in over) / len(over)
    figures: dict[str, Any] = {
        "service time ms": round(service_time * 1000),
        "waits beyond it ms: median": round(statistics.median(over) * 1000),
        "99 %": round(over[int(0.99 * len(over)) - 1] * 1000),
        "longest": round(over[-1] * 1000),
        "within 100 ms": within,
        "all together/s": round(a_second, 1),
    }
    promises = (
        Promise("99 % within 100 ms", within >= 0.99),
        Promise("the campaign has the rest", a_second >= 0.95 * RATE),
    )
    return Finding(figures, () if way == "none" else promises)


async def _send(session: Session, way: str, count: int) -> list[float]:
    """Seconds from the first command to the reply, of so many."""
    seconds = []
    for subscriber in subscribers(count, first=10**6):
        began = time.perf_counter()
        await session.send(_labelled(mail(subscriber)) if way == "header" else mail(subscriber))
        seconds.append(time.perf_counter() - began)
        await asyncio.sleep(EVERY)
    return seconds


def _labelled(message: Message) -> Message:
    return Message(message.mail_from, message.recipients, LABEL + message.as_bytes(), message.key)


async def _campaign(port: int, worker: int, sent: list[int]) -> None:
    session = await Session.open("127.0.0.1", port, LOGIN)
    try:
        for subscriber in subscribers(10**5, first=worker * 10**5):
            await session.send(mail(subscriber))
            sent[0] += 1
    finally:
        session.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"ways whose names hold this: {', '.join(WAYS)}")
    given = parser.parse_args()
    return tabulated({way: partial(run, way) for way in WAYS}, given.only)


if __name__ == "__main__":
    sys.exit(main())
