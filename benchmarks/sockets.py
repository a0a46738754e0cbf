"""
The rate over real sockets: `python -m benchmarks.sockets [NAME …]`.

Each scenario sends through the real transports to the simulator in another process, for as long as it says, and prints
one row: how much of what the account allowed was used, how much was refused, and that nothing was lost, doubled or
charged. What it does not show: a network, and the real bucket of SES, whose depth is not published.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import attrs
from tests.faults.simulator_process import Outside, simulated

from seslimit import Limiter, Message, Report, Sender, transport_from_url
from seslimit.testing import APIRules, Schedule

REPLY = (0.03, 0.04)
"""Seconds before each reply over SMTP, four of them a message: the service decides 105 ms after the admission."""


@attrs.frozen(kw_only=True)
class Scenario:
    """
    One account and one way to use it.

    Args:
        rate: the account's send rate, recipients/s, in steps of (second, rate).
        seconds: how long messages are sent.
        door: "smtp" or "ses"; over the second, GetAccount tells the rate.
        depth: seconds of the rate that the bucket holds.
        told: where the limiter starts, recipients/s; None where it is unknown.
        max_rate: what the limiter never exceeds.
        tells: whether GetAccount may be asked.
        latency: seconds before each reply.
        places: attempts in flight at most.
        count: messages, where they are not endless.
        heavy: every so many-th message is a large one; 0 for none.
        large: its recipients.
        warm_up: seconds at the start that "used" leaves out.
    """

    rate: tuple[tuple[float, float], ...]
    seconds: float
    door: str
    depth: float = 1.0
    told: float | None = None
    max_rate: float | None = None
    tells: bool = True
    latency: Any = 0.0
    places: int = 100
    count: int = 10**9
    heavy: int = 0
    large: int = 50
    warm_up: float = 0.0


def known(rate: float, door: str) -> Scenario:
    told = None if door == "ses" else rate
    return Scenario(rate=((0, rate),), seconds=22, door=door, depth=0.1, warm_up=2, told=told, max_rate=told)


def unknown(rate: float, door: str) -> Scenario:
    seconds = 90 if rate < 50 else 40
    return Scenario(rate=((0, rate),), seconds=seconds, door=door, tells=False, warm_up=15)


def shallow(door: str) -> Scenario:
    """Every tenth message to 40 recipients, of which the bucket holds 20."""
    told = None if door == "ses" else 100
    return attrs.evolve(known(100, door), depth=0.2, told=told, max_rate=None, latency=REPLY, heavy=10, large=40)


SCENARIOS = {
    **{f"known-{rate}-{door}": known(rate, door) for rate in (14, 200, 500) for door in ("ses", "smtp")},
    "one-token-ses": Scenario(rate=((0, 1),), seconds=80, door="ses", depth=0.0, count=60),
    "one-token-smtp": Scenario(rate=((0, 1),), seconds=80, door="smtp", depth=0.0, told=1, max_rate=1, count=60),
    **{f"unknown-{rate}-{door}": unknown(rate, door) for rate in (14, 100, 500) for door in ("ses", "smtp")},
    "cold-smtp": Scenario(rate=((0, 100),), seconds=44, door="smtp", latency=REPLY, places=40),
    "steps-smtp": Scenario(
        rate=((0, 100), (12, 50), (24, 150)), seconds=44, door="smtp", told=100, latency=REPLY, places=40
    ),
    "heavy-ses": Scenario(rate=((0, 14),), seconds=120, door="ses", heavy=10),
    **{f"heavy-shallow-{door}": shallow(door) for door in ("ses", "smtp")},
}


def messages(scenario: Scenario) -> Iterator[Message]:
    """The messages, each with a key that the simulator knows it by."""
    many = [f"reader{n}@example.net" for n in range(scenario.large)]
    for number in range(scenario.count):
        recipients = many if scenario.heavy and number % scenario.heavy == 0 else ["reader@example.net"]
        content = f"X-Seslimit-Key: {number}\r\nFrom: news@example.org\r\n\r\nHi!\r\n".encode()
        yield Message("news@example.org", recipients, content, number)


async def play(scenario: Scenario, service: Outside) -> list[Report]:
    """Send for as long as the scenario says."""
    limiter = Limiter(rate=scenario.told, max_rate=scenario.max_rate)
    url = service.ses_url if scenario.door == "ses" else service.smtp_url
    async with Sender(transport_from_url(url), limiter=limiter, max_in_flight=scenario.places) as sender:
        asyncio.get_running_loop().call_later(scenario.seconds, sender.stop)
        return [report async for report in sender.send_many(messages(scenario))]


def row(name: str, scenario: Scenario, service: Outside, reports: list[Report]) -> str:
    """What came of it."""
    counts = service.counts()
    accepted = [report for report in reports if report.outcome == "accepted"]
    attempts = counts.accepted + counts.throttled
    lost = counts.accepted - service.doubled() - len(accepted)
    charged = sum(report.attempts - 1 for report in accepted)
    if scenario.count < 10**9:
        used = f"{len(accepted)} messages"
    else:
        allowed = Schedule(scenario.rate).integral(scenario.warm_up, scenario.seconds)
        used = f"{service.tally(scenario.warm_up, scenario.seconds).recipients / allowed:.1%}"
    refused = f"{counts.throttled} of {attempts} ({counts.throttled / attempts:.2%})"
    later = ""
    if scenario.warm_up > 2:
        start, steady = service.tally(0, scenario.warm_up), service.tally(scenario.warm_up, scenario.seconds)
        share = steady.throttled / (steady.accepted + steady.throttled)
        later = f"{start.throttled} in the start, {share:.2%} after; 95 % after {_reached(scenario, service):.1f} s"
    cells = (name, used, refused, later, f"{lost} lost, {service.doubled()} doubled, {charged} charged")
    return f"| {' | '.join(cells)} |"


def _reached(scenario: Scenario, service: Outside) -> float:
    """The end of the first second in which 95 % of the rate were accepted."""
    wanted = 0.95 * scenario.rate[0][1]
    for tenth in range(round(scenario.seconds * 10)):
        if service.tally(tenth / 10, tenth / 10 + 1).recipients >= wanted:
            return tenth / 10 + 1
    return float("inf")


def main(names: list[str]) -> None:
    print("| scenario | used | refused | start | |\n|---|---|---|---|---|")
    for name in names or SCENARIOS:
        scenario = SCENARIOS[name]
        with simulated(
            rate=Schedule(scenario.rate),
            depth=scenario.depth,
            latency=scenario.latency,
            api=APIRules(get_account="allowed" if scenario.tells else "denied"),
            ledger_limit=0,
        ) as service:
            reports = asyncio.run(play(scenario, service))
            print(row(name, scenario, service, reports), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
