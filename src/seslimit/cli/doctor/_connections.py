"""
Single connections to the service: `seslimit doctor --measure` looks at how many there may be and how long they last.

Knows how a transport's pool is made to use one connection. It decides nothing about what is seen.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Literal, cast

import attrs

from ..._model.errors import TransportError
from ..._model.message import Message
from ..._model.outcome import Outcome
from ..._model.report import Receipt
from ...transports import Transport
from ...transports._pool import Pool, Pooled

_DOORS: dict[str, Literal["smtp", "api"]] = {"SMTPTransport": "smtp", "SESTransport": "api"}


@attrs.frozen(eq=False)
class Connections:
    """
    The connections of one transport.

    Args:
        transport: one of seslimit's own two.
        door: which of the service's it goes through.
    """

    transport: Transport
    door: Literal["smtp", "api"]

    async def open(self) -> Pooled:
        """
        Open one that nothing is sent on.

        Raises:
            TransportError: it cannot be had.
        """
        return await _pool(self.transport).connect()

    async def line(self) -> Line:
        """
        Open one that messages are sent on, and close it with the line.

        Raises:
            TransportError: it cannot be had.
        """
        transport = self._only_one()
        try:
            return Line(transport, await _pool(transport).acquire())
        except BaseException:
            await transport.aclose()
            raise

    def at_most(self, number: int) -> Transport:
        """The same transport, with fewer connections."""
        return cast("Transport", attrs.evolve(cast("Any", self.transport), max_connections=number))

    def _only_one(self) -> Transport:
        transport: Any = self.at_most(1)
        if self.door == "smtp":
            transport = attrs.evolve(transport, max_messages_per_connection=sys.maxsize)
        return cast("Transport", transport)


@attrs.frozen(eq=False)
class Line:
    """
    One connection that is kept until the service ends it.

    Args:
        transport: sends on it, and would on another after it.
        connection: it, taken from the transport's pool, which would close it for being idle.
    """

    transport: Transport
    connection: Pooled

    @property
    def alive(self) -> bool:
        """Whether the service has not ended it, as far as was read."""
        return self.connection.alive

    async def send(self, message: Message) -> Receipt:
        """
        Make one attempt on this connection.

        Raises:
            TransportError: the message was not accepted, or the connection has ended.
        """
        if not self.alive:
            raise TransportError(Outcome.NOT_SENT, "The service closed the connection.")
        pool = _pool(self.transport)
        pool.release(self.connection)
        try:
            return await self.transport.send(message)
        finally:
            if self.alive:
                await pool.acquire()
            # What the service says or ends behind its reply has to be read.
            await asyncio.sleep(0)

    async def aclose(self) -> None:
        """End it."""
        self.connection.abort()
        await self.transport.aclose()


async def connections_of(transport: Transport) -> Connections | None:
    """A transport's connections; None for a plug-in's, of which nothing is known."""
    if type(transport).__name__ == "SimulatedTransport":
        from ...testing.transport import SimulatedTransport

        transport = await cast("SimulatedTransport", transport).front()
    door = _DOORS.get(type(transport).__name__)
    return None if door is None else Connections(transport, door)


def _pool(transport: Transport) -> Pool[Pooled]:
    return cast("Pool[Pooled]", transport._pool)  # type: ignore[attr-defined]  # noqa: SLF001  # both have one
