"""
`seslimit doctor --measure`: experiments with an account of the user's own, and a profile of what they show.

Sends to SES's mailbox simulator only, which takes every message, costs no quota and no reputation, and is billed as any
other. How many messages and how long is said before, and nothing is sent without a yes.

Invariant: there is a profile only where every experiment came to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import attrs

from ..._model.errors import ConfigurationError, TransportError
from ..._model.quota import SendQuota
from ..._replacing import replacing
from ...testing._profile import Profile
from ...transports import KnowsQuota, Transport, transport_from_url
from .._ending import Status
from .._signals import stop_signals
from ._connections import connections_of
from ._experiments import Measuring
from ._inference import Finding
from ._plan import MOST_MESSAGES, Letters, Plan, no_room
from ._seen import Ended
from ._sessions import Habits


@attrs.frozen
class Measured:
    """
    How it ended.

    Args:
        status: the exit status.
        profile: the text of a profile (TOML); None where not everything was measured.
        complaint: one sentence about what stopped it; None for nothing.
    """

    status: Status
    profile: str | None = None
    complaint: str | None = None


async def measure(to: str, mail_from: str, rate: float | None, *, yes: bool, tell: Callable[[str], None]) -> Measured:
    """
    Carry the experiments out and tell what they show, until a signal stops it.

    Args:
        to: URL of the transport.
        mail_from: a sender that the account may use.
        rate: recipients/s; None to ask the service.
        yes: whether to send; else the plan is told, and nothing is done.
        tell: shows a line.

    Raises:
        ConfigurationError: the URL is wrong, or the rate is not known or too high to be measured.
    """
    transport = transport_from_url(to)

    def stop() -> None:
        running.cancel()

    try:
        running = asyncio.ensure_future(_measured(transport, mail_from, rate, yes=yes, tell=tell))
        with stop_signals(stop, Status.REMAINING):
            return await running
    except asyncio.CancelledError:
        return Measured(
            Status.REMAINING, complaint="interrupted: what is told above was measured, and no profile made."
        )
    except Ended as ended:
        return Measured(ended.status, complaint=f"{ended.words}.")
    finally:
        await transport.aclose()


async def _measured(
    transport: Transport, mail_from: str, rate: float | None, *, yes: bool, tell: Callable[[str], None]
) -> Measured:
    quota = await _quota(transport)
    told = rate or (quota.max_send_rate if quota else None)
    if not told:
        raise ConfigurationError("this service does not tell its rate: give --rate.")
    if refusal := no_room(quota):
        raise Ended(refusal, Status.REMAINING)
    connections = await connections_of(transport)
    plan = Plan(told, sessions=connections is not None)
    if plan.messages > MOST_MESSAGES:
        raise ConfigurationError(f"at {told:g}/s it would take {plan.messages:,} attempts, which is too many to try.")
    tell(plan.words() + ("." if yes else ": say --yes to do it."))
    if not yes:
        return Measured(Status.WRONG_USAGE)
    measuring = Measuring(transport, connections, plan, Letters(mail_from), lambda name, seen: tell(seen.line(name)))
    finding, habits = await measuring.run()
    door = "smtp" if connections is None else connections.door
    return Measured(Status.ALL_ACCEPTED, _profile(finding, habits, quota, told, door))


async def _quota(transport: Transport) -> SendQuota | None:
    if not isinstance(transport, KnowsQuota):
        return None
    try:
        return await transport.quota()
    except TransportError as error:
        raise Ended.by(error) from None


def _profile(finding: Finding, habits: Habits | None, quota: SendQuota | None, told: float, door: str) -> str:
    limit = quota.max_24_hour_send if quota and quota.max_24_hour_send > 0 else None
    notes = {"rate": f"{told:g} told", "counting": f"{finding.confidence}: {finding.words}"}
    figures: dict[str, float | int | None] = {}
    if habits is not None:
        prefix = "api_" if door == "api" else ""
        for name, seen in attrs.asdict(habits, recurse=False).items():
            whole = None if seen.value is None else int(seen.value)
            figures[prefix + name] = seen.value if name == "idle_timeout" else whole
            notes[prefix + name] = seen.note
    found = Profile(
        rate=round(finding.rate, 4),
        counting=finding.counting,
        max_24_hour_send=limit,
        **figures,  # type: ignore[arg-type]
    )
    return found.toml(notes)


def write_profile(path: Path, text: str) -> None:
    """
    Write a profile, or nothing.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    with replacing(path) as file:
        file.write(text.encode())
