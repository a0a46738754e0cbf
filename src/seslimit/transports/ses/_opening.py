"""
From nothing to a connection that takes requests: connect, perhaps through a proxy, and TLS.

Everything that goes wrong here is about the endpoint or the way to it, never about a message.

Invariants: certificates and host names are verified; a connection that fails at any step, or on which anything came
that nobody asked for, is dropped.
"""

from __future__ import annotations

import asyncio
import ssl

import attrs

from ._answers import NoAnswer
from ._connection import HTTPConnection


class ProxyRefused(ConnectionError):
    """The proxy does not let us through; `status` is its answer's."""

    def __init__(self, proxy: Place, status: int) -> None:
        self.status = status
        super().__init__(f"the proxy {proxy} answered {status} to CONNECT")


@attrs.frozen
class Place:
    """
    A host that is connected to.

    Args:
        host: its name or address.
        port: its port.
        tls: verifies its certificate; None to do without TLS.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = attrs.field(default=None, repr=False)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@attrs.frozen
class Way:
    """
    How requests get to the service.

    Args:
        service: where it is.
        proxy: what stands in between; None for nothing.
        authorization: header lines for the proxy, which must never be shown.
    """

    service: Place
    proxy: Place | None = None
    authorization: bytes = attrs.field(default=b"", repr=False)

    @property
    def tunnels(self) -> bool:
        """Whether the proxy only passes on what it cannot read."""
        return self.proxy is not None and self.service.tls is not None


async def open_connection(way: Way, seconds: float) -> HTTPConnection:
    """
    A connection that takes requests.

    Args:
        way: how to get to the service.
        seconds: for all steps together.

    Raises:
        OSError: it cannot be made.

    Cancelling:
        the connection is dropped.
    """
    loop, first = asyncio.get_running_loop(), way.proxy or way.service
    name = first.host if first.tls else None
    connection = HTTPConnection()
    done = False
    try:
        async with asyncio.timeout(seconds):
            await loop.create_connection(
                lambda: connection, first.host, first.port, ssl=first.tls, server_hostname=name
            )
            if way.tunnels:
                await _tunnel(way, connection)
        done = True
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"no connection to {first} within {seconds:g} s") from None
    finally:
        if not done:
            connection.abort()
    return connection


async def _tunnel(way: Way, connection: HTTPConnection) -> None:
    """Ask the proxy to pass on everything from here on, and begin TLS with the service. Source: RFC 9110, 9.3.6."""
    place = str(way.service).encode("ascii")
    answer = connection.expect(tunnel=True)
    if connection.transport is not None:
        connection.transport.write(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (place, place, way.authorization))
    found = await answer
    if not 200 <= found.status < 300:
        raise ProxyRefused(way.proxy or way.service, found.status)
    if found.last or connection.transport is None or way.service.tls is None:
        # What came before TLS would be read as if it came with it.
        raise NoAnswer("Something came between CONNECT and TLS.")
    encrypted = await asyncio.get_running_loop().start_tls(
        connection.transport, connection, way.service.tls, server_hostname=way.service.host
    )
    if encrypted is None:
        raise NoAnswer("The service closed the connection.")
    connection.connection_made(encrypted)
