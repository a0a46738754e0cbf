"""
What a campaign loses when something happens: `python -m benchmarks.outages [--only NAME]`, about five minutes.

500 messages of listmonk's double, at listmonk's defaults (the messenger's Idle timeout at 300 s, as the advice has it),
through the relay and the messenger, to an account of 14/s. A third of the way through, the service goes down for 90 s,
the quota is used up for 60 s, the account blocked or the login lost for 30 s, or the companion is restarted with 3 s
in between, while its listening socket goes on. "after a rest" is a campaign that begins when such a pause is over.
Promised: none lost, and at most ten doubled, which are as many as are in flight. Exit status 1: a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from tests.outages import HAPPENINGS, Ended, after_a_rest, in_mid_campaign, stage

RATE: Final = 14.0
COUNT: Final = 500
AT_ONCE: Final = 6
"""Plays on this machine at the same time; each takes a few percent of a processor."""
IN_FLIGHT: Final = 10
SECONDS: Final = {
    "service down": 90.0,
    "quota used up": 60.0,
    "account blocked": 30.0,
    "login lost": 30.0,
    "restart": 3.0,
}
RESTS: Final = ("service down", "quota used up", "login lost")
REST: Final = 20.0


async def one(command: str, name: str, rest: bool) -> Ended:
    """One play."""
    async with stage(command, RATE) as play:
        if rest:
            return await after_a_rest(play, HAPPENINGS[name], REST, COUNT)
        return await in_mid_campaign(play, HAPPENINGS[name], SECONDS[name], COUNT)


def plays() -> dict[str, Callable[[], Awaitable[Ended]]]:
    """All of them by name."""
    found: dict[str, Callable[[], Awaitable[Ended]]] = {}
    for command in ("relay", "listmonk"):
        for name, seconds in SECONDS.items():
            found[f"{command}: {name} {seconds:g} s"] = partial(one, command, name, rest=False)
        for name in RESTS:
            found[f"{command}: after a rest, {name}"] = partial(one, command, name, rest=True)
    return found


async def play_all(only: str) -> list[str]:
    """Play those whose names hold `only`; the names of those that broke a promise."""
    places = asyncio.Semaphore(AT_ONCE)
    broken = []

    async def play(name: str, one_of_them: Callable[[], Awaitable[Ended]]) -> None:
        async with places:
            found = await one_of_them()
        kept = not found.lost and found.doubled <= IN_FLIGHT
        if not kept:
            broken.append(name)
        row = (name, found.told, f"{found.lost}", f"{found.doubled}", f"{found.longest:g}", "✓" if kept else "**✗**")
        print(f"| {' | '.join(row)} |", flush=True)

    print("| what happens | listmonk says | lost | doubled | longest push s | |\n|---|---|---|---|---|---|", flush=True)
    await asyncio.gather(*(play(name, each) for name, each in plays().items() if only in name))
    return broken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="those whose names hold this")
    logging.disable(logging.CRITICAL)
    broken = asyncio.run(play_all(parser.parse_args().only))
    print(f"\nBroken promises: {', '.join(broken) or 'none'}.")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
