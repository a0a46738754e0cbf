"""
`seslimit doctor --measure`: experiments with an account of the user's own, and a profile of what they show.

Sends to SES's mailbox simulator only, which takes every message, costs no quota and no reputation, and is billed as any
other. How many messages and how long is said before, and nothing is sent without a yes.

Source:
    Amazon SES Developer Guide, "Using the mailbox simulator", read 2026-11: limited by the send rate, not
    counted for the daily quota, labels behind a plus sign.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

import attrs

from ..._model.errors import ConfigurationError, TransportError
from ..._model.message import Message
from ..._model.outcome import Outcome
from ...testing._profile import Profile
from ...transports import KnowsQuota, Transport, transport_from_url
from ._inference import EASY, FLOODS, Experiments, Finding, Observation, infer

RECIPIENT: Final = "success+seslimit-{}@simulator.amazonses.com"

FLOOD: Final = 12.0
"""Seconds of a flood: three windows of four seconds, or the swing of a count that is a second old."""

TOKENS: Final = 84.0
"""Recipients that the rate allows in a flood at least: slow accounts are flooded for longer."""

REST: Final = 8.3
"""Seconds before each experiment, no multiple of any window that somebody would choose."""

EASY_MESSAGES: Final = 200
MOST_MESSAGES: Final = 10_000
LOST: Final = 0.02
"""The share of attempts that may end otherwise than accepted or throttled."""


@attrs.frozen
class Plan:
    """
    What will be sent.

    Args:
        rate: recipients/s that the account is told to have.
    """

    rate: float

    @property
    def flood(self) -> float:
        """Seconds of one flood."""
        return max(FLOOD, TOKENS / self.rate)

    @property
    def messages(self) -> int:
        """Attempts in all; most of the floods' are throttled."""
        return 1 + EASY_MESSAGES + sum(math.ceil(multiple * self.rate * self.flood) for multiple in FLOODS)

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return REST + len(FLOODS) * (self.flood + REST) + EASY_MESSAGES / (EASY * self.rate)

    def words(self) -> str:
        """What will be done, in one sentence."""
        return (
            f"{self.messages:,} attempts in {self.seconds:.0f} s at up to {FLOODS[0] * self.rate:g}/s, all to "
            "success@simulator.amazonses.com; those that are accepted are billed, and whoever else sends with this "
            "account meanwhile is throttled"
        )


async def measure(to: str, mail_from: str, rate: float | None, *, yes: bool, tell: Callable[[str], None]) -> str | None:
    """
    Carry the experiments out and tell what they show.

    Args:
        to: URL of the transport.
        mail_from: a sender that the account may use.
        rate: recipients/s; None to ask the service.
        yes: whether to send; else the plan is told, and nothing is done.
        tell: shows a line.

    Returns:
        the text of a profile (TOML); None where nothing was done.

    Raises:
        ConfigurationError: the rate is not known, or the service says something else than accepted and throttled.
    """
    transport = transport_from_url(to)
    try:
        quota = await transport.quota() if isinstance(transport, KnowsQuota) else None
        told = rate or (quota.max_send_rate if quota else None)
        if not told:
            raise ConfigurationError("this service does not tell its rate: give --rate.")
        plan = Plan(told)
        if plan.messages > MOST_MESSAGES:
            raise ConfigurationError(f"at {told:g}/s it would take {plan.messages:,} attempts: give a lower --rate.")
        tell(plan.words() + ("." if yes else ": say --yes to do it."))
        if not yes:
            return None
        finding = await experiment(transport, plan, mail_from)
    except TransportError as error:
        raise ConfigurationError(f"the service could not be measured: {error}.") from None
    finally:
        await transport.aclose()
    tell(f"rate      {finding.rate:.4g} recipients/s under load, {told:g} told")
    tell(f"counting  {finding.counting}: {finding.words}")
    limit = quota.max_24_hour_send if quota and quota.max_24_hour_send > 0 else None
    found = Profile(rate=round(finding.rate, 4), counting=finding.counting, max_24_hour_send=limit)
    return found.toml({"rate": f"{told:g} told", "counting": finding.words})


async def experiment(transport: Transport, plan: Plan, mail_from: str) -> Finding:
    """
    Carry a plan out.

    Raises:
        ConfigurationError: the first message was not accepted, or too many attempts ended otherwise than accepted or
            throttled.
    """
    begun = await _attempt(transport, mail_from, 0)
    if not isinstance(begun, Observation):
        raise ConfigurationError(f"the first message was not accepted, so nothing was measured ({begun}).")
    await asyncio.sleep(REST)
    floods = []
    for multiple in FLOODS:
        floods.append(await _offered(transport, mail_from, multiple * plan.rate, plan.flood))
        await asyncio.sleep(REST)
    pace = EASY * plan.rate
    easy = await _offered(transport, mail_from, pace, EASY_MESSAGES / pace)
    return infer(Experiments(plan.rate, (floods[0], floods[1]), easy))


async def _offered(transport: Transport, mail_from: str, pace: float, seconds: float) -> list[Observation]:
    """Attempts at an even pace, whatever becomes of those before; in the order in which the service met them."""
    loop = asyncio.get_running_loop()
    begin, attempts = loop.time(), list[asyncio.Task[Observation | str]]()
    async with asyncio.TaskGroup() as group:
        for number in range(math.ceil(pace * seconds)):
            await asyncio.sleep(max(0.0, begin + number / pace - loop.time()))
            attempts.append(group.create_task(_attempt(transport, mail_from, number)))
    results = [attempt.result() for attempt in attempts]
    others = [result for result in results if isinstance(result, str)]
    if len(others) > LOST * len(results):
        raise ConfigurationError(
            f"{len(others)} of {len(results)} attempts were neither accepted nor throttled, for example: {others[0]}"
        )
    return sorted((result for result in results if isinstance(result, Observation)), key=lambda one: one.at)


async def _attempt(transport: Transport, mail_from: str, number: int) -> Observation | str:
    """One attempt: its verdict, or the words of another end."""
    content = f"From: {mail_from}\r\nSubject: seslimit doctor --measure\r\n\r\n{number}\r\n".encode()
    begun = asyncio.get_running_loop().time()
    try:
        receipt = await transport.send(Message(mail_from, [RECIPIENT.format(number)], content))
    except TransportError as error:
        if error.outcome is Outcome.THROTTLED:
            return Observation(error.handed_over_at or begun, accepted=False)
        return f"{error.outcome}: {error.reply}"
    return Observation(receipt.handed_over_at or begun, accepted=True)
