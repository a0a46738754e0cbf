"""
What a campaign loses when something happens: `python -m benchmarks.outages [--only NAME]`, about five minutes.

Beside these, 1,000 messages through companions with `--outbox`: killed with SIGKILL five times, and with the quota used
up for 60 s. Everything that was answered is accepted, and at most as many are doubled as were in flight; in the rows of
the kills, lost and doubled are those beyond that. What had no answer when the companion was killed is failed for
listmonk, which posts nothing twice: some of it was kept and is accepted, the rest nobody has.

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
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import attrs
from tests.outages import HAPPENINGS, Ended, after_a_rest, ended, in_mid_campaign, killed_often, stage

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


KILLS: Final = 5
KEPT: Final = 1000
KEPT_RATE: Final = 50.0


async def kills(command: str) -> Ended:
    """A companion with an outbox that is killed again and again; lost are those that had an answer."""
    with tempfile.TemporaryDirectory() as folder:
        outbox = Path(folder) / "outbox.sqlite"
        async with stage(command, KEPT_RATE, "--outbox", str(outbox)) as play:
            found = await killed_often(play, outbox, KILLS, KEPT)
    flew = f"{found.in_flight} were in flight, {found.ended.doubled} doubled"
    told = (
        f"{found.ended.told}; without an answer {found.unheard} were accepted and {found.nowhere} kept nowhere, {flew}"
    )
    return attrs.evolve(
        found.ended, told=told, lost=found.answered_lost, doubled=max(0, found.ended.doubled - found.in_flight)
    )


async def no_quota(command: str) -> Ended:
    """A companion with an outbox whose quota is used up in mid-campaign: listmonk is done before it frees."""
    with tempfile.TemporaryDirectory() as folder:
        async with stage(command, KEPT_RATE, "--outbox", f"{folder}/outbox.sqlite") as play:
            running = asyncio.create_task(play.campaign(KEPT))
            await play.accepted(KEPT // 10)
            quota = asyncio.create_task(HAPPENINGS["quota used up"](play, SECONDS["quota used up"]))
            result = await running
            told_early = not quota.done()
            await quota
            async with asyncio.timeout(300.0):
                await play.accepted(KEPT)
            found = ended(play, result, KEPT)
            return attrs.evolve(found, told=f"{found.told}{' before it freed' if told_early else ''}")


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
        found[f"{command} with an outbox: killed {KILLS} times"] = partial(kills, command)
        found[f"{command} with an outbox: quota used up 60 s"] = partial(no_quota, command)
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
