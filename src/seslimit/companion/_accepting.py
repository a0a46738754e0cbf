"""
Where clients arrive: a listening socket, and who is let in.

Decides when the next connection is accepted. It must not know what is said.

Invariant: whoever is turned away costs a connection of the system's and nothing else: no protocol, no task, no timer.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from typing import Final, Protocol

from ._address import Address
from ._listening import listening_on, not_listening

logger = logging.getLogger("seslimit")

OUT_OF_FILES: Final = 1.0
"""Seconds before the next attempt to accept, when the system has no more files for it."""

AT_ONCE: Final = 16
"""Connections in a row that are turned away before others have their turn."""

REST: Final = 0.005
"""Seconds without a look at who comes, after some were turned away: few to wait, and a flood costs half."""

UNREAD: Final = 2**16
"""Bytes that somebody may have said who is turned away: unread, they would make the system break off the answer."""


class Server(Protocol):
    """What serves the connections."""

    def turns_away(self, host: str, /) -> bytes | None:
        """The last words for whoever comes from there; None where it is let in."""
        ...

    async def room(self) -> None:
        """Return when another connection may be accepted."""
        ...

    def shed(self) -> bool:
        """End one connection for a new one; returns whether there was one that could."""
        ...

    def __call__(self) -> asyncio.BaseProtocol:
        """The protocol of a new connection."""
        ...


class Acceptor:
    """
    Accepts connections.

    Args:
        server: serves them.
    """

    def __init__(self, server: Server) -> None:
        self.was_handed_over = False
        """Whether somebody else goes on with the socket when this one stops."""
        self._server = server
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    @property
    def listening(self) -> socket.socket | None:
        """What it listens on; None while it is not open."""
        return self._socket

    async def open(self, address: Address, given: socket.socket | None = None) -> None:
        """
        Listen, on the socket that is given, or on a new one.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        self.was_handed_over = given is not None
        try:
            self._socket = given or await listening_on(address)
        except OSError as error:
            raise not_listening(address, error) from None
        self._socket.setblocking(False)
        self._accepting = asyncio.get_running_loop().create_task(self._accept(self._socket))

    async def close(self) -> None:
        """Accept no more."""
        listening, self._socket = self._socket, None
        if listening is None or self._accepting is None:
            return
        await no_more_of(listening)
        self._accepting.cancel()
        await asyncio.gather(self._accepting, return_exceptions=True)
        listening.close()

    async def _accept(self, listening: socket.socket) -> None:
        turned_away = 0
        while True:
            try:
                arrived = await _next(listening, rest=turned_away > 0)
            except OSError as error:
                if not isinstance(error, ConnectionError) and not self._server.shed():
                    logger.warning("no connection can be accepted now: %s", error)
                    await asyncio.sleep(OUT_OF_FILES)
                else:
                    await asyncio.sleep(0)
                continue
            if arrived is None:
                turned_away = 0
                continue
            accepted, where = arrived
            accepted.setblocking(False)
            words = self._server.turns_away(host_of(where))
            if words is None:
                await self._let_in(accepted)
                continue
            _turn_away(accepted, words)
            turned_away += 1
            if turned_away % AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _let_in(self, accepted: socket.socket) -> None:
        try:
            await self._server.room()
        except asyncio.CancelledError:
            accepted.close()
            raise
        with suppress(OSError):
            # asyncio does so by itself only where the socket knows that it is TCP's, and an accepted one does not; the
            # reply behind a pipelined one would wait 40 ms for an acknowledgement.
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._server, accepted)
        except OSError:
            accepted.close()


async def _next(listening: socket.socket, *, rest: bool) -> tuple[socket.socket, object] | None:
    """The next connection and where it comes from; None after a rest in which none was there."""
    try:
        return listening.accept()
    except BlockingIOError:
        if rest:
            # More will come that is turned away: all of it that comes meanwhile costs one turn of the loop.
            await asyncio.sleep(REST)
            return None
    return await asyncio.get_running_loop().sock_accept(listening)


async def no_more_of(listening: socket.socket) -> None:
    """
    Return when what awaits `sock_accept` may be cancelled.

    A connection that arrives in that very moment would be handed to a future that is cancelled, and stay open.
    """
    with suppress(NotImplementedError):
        asyncio.get_running_loop().remove_reader(listening)
    await asyncio.sleep(0)


def host_of(peer: object) -> str:
    """The address of whoever is at the other end, as sockets and transports tell it; empty where there is none."""
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""


def _turn_away(accepted: socket.socket, words: bytes) -> None:
    with accepted, suppress(OSError):
        with suppress(BlockingIOError):
            accepted.recv(UNREAD)
        accepted.send(words)
