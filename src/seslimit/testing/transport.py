"""
The transport behind `sim://`: a simulator of its own, and the real transport in front of it.

It starts the simulator in the running loop when the first message is sent, so that a URL alone costs nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, get_args

import attrs

from .._model.errors import ConfigurationError
from .._model.message import Message
from .._model.quota import SendQuota
from .._model.report import Receipt
from ..transports import KnowsQuota, Transport, TransportURL

if TYPE_CHECKING:
    from . import Simulator

__all__ = ["SimulatedTransport", "from_url"]

Door: TypeAlias = Literal["smtp", "api"]
"""The door of the simulator that messages go through."""


@attrs.frozen(eq=False)
class SimulatedTransport:
    """
    Hands messages to an embedded simulator, over loopback, through the same code that talks to SES.

    Args:
        simulator: not yet open; this transport opens and closes it.
        door: "smtp", or "api", which also tells the sending quota.
    """

    simulator: Simulator
    door: Door = "smtp"
    _started: list[Transport] = attrs.field(factory=list, init=False, repr=False)
    _starting: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False, repr=False)

    async def send(self, message: Message) -> Receipt:
        """
        Make one attempt.

        Raises:
            TransportError: the simulator did not accept the message; its outcome says what that means.
        """
        return await (await self.front()).send(message)

    async def quota(self) -> SendQuota | None:
        """The simulated account's sending quota; None through the SMTP door, which does not tell."""
        transport = await self.front()
        return await transport.quota() if isinstance(transport, KnowsQuota) else None

    async def aclose(self) -> None:
        """Close the connections, then the simulator."""
        if self._started:
            await self._started.pop().aclose()
            await self.simulator.aclose()

    async def front(self) -> Transport:
        """The transport in front of the simulator, which runs from now on."""
        if not self._started:
            async with self._starting:
                if not self._started:
                    await self.simulator.open()
                    self._started.append(self._front())
        return self._started[0]

    def _front(self) -> Transport:
        if self.door == "api":
            from ..transports.ses import SESTransport, session_with

            return SESTransport(
                "us-east-1", endpoint_url=self.simulator.api_url, session=session_with("simulated", "simulated")
            )
        from ..transports.smtp import from_url as smtp_from_url

        return smtp_from_url(TransportURL.parse(self.simulator.smtp_url))


def from_url(url: TransportURL) -> SimulatedTransport:
    """
    The transport of `sim://?rate=14`.

    Options: `rate` (recipients/s), `depth` (seconds of it in the bucket), `door=smtp` or `api`, `daily` (recipients a
    day), `rtt` (seconds before each reply), `counting` (how it counts: `fixed`, `stale:age=0.5`, …).

    Raises:
        ConfigurationError: an option is unknown or wrong, or the extra `seslimit[sim]` is not installed.
    """
    from . import Simulator

    options = url.take("rate", "depth", "door", "daily", "rtt", "counting")
    door = options.get("door", "smtp")
    if door not in get_args(Door):
        raise ConfigurationError("option 'door' of a sim URL is smtp or api.")
    rate = url.number("rate", 14.0)
    if rate <= 0:
        raise ConfigurationError("option 'rate' of a sim URL is above 0, in recipients per second.")
    simulator = Simulator(
        rate,
        depth=url.number("depth", 1.0),
        counting=options.get("counting", "bucket"),
        max_24_hour_send=url.number("daily", -1.0, least=-1.0),
        latency=url.number("rtt", 0.0),
        ledger_limit=0,
    )
    return SimulatedTransport(simulator, cast("Door", door))
