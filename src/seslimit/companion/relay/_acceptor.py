"""
Where clients arrive: the listening socket, and how many are let in.

Decides when the next connection is accepted and when one has lasted too long. It must not know what is said.

Invariant: a connection is greeted at once, unless every other one is at work; then it waits, and further ones wait in
the system's queue.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress

from .._address import Address
from .._listening import handed_over, listening_on, not_listening
from ._session import RelaySession
from ._sessions import Sessions

logger = logging.getLogger("seslimit")

LOOK_EVERY = 1.0
"""Seconds between two looks at how long everybody has been waiting, and never more than a quarter of what is waited."""

OUT_OF_FILES = 1.0
"""Seconds before the next attempt to accept, when the system has no more files for it."""


class Acceptor:
    """
    Accepts the connections of one relay.

    Args:
        sessions: what their sessions share.
    """

    def __init__(self, sessions: Sessions) -> None:
        self.was_handed_over = False
        """Whether somebody else goes on with the socket when this one stops."""
        self._sessions = sessions
        self._socket: socket.socket | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def listening(self) -> socket.socket | None:
        """What it listens on; None while it is not open."""
        return self._socket

    async def open(self, address: Address, given: socket.socket | None = None) -> None:
        """
        Listen: on the socket that is given, or that systemd has handed over, or else on a new one.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        try:
            self._socket = given or handed_over()
            self.was_handed_over = self._socket is not None
            if self._socket is None:
                self._socket = await listening_on(address)
        except OSError as error:
            raise not_listening(address, error) from None
        self._tasks = [loop.create_task(self._accept(self._socket)), loop.create_task(self._look())]

    async def close(self) -> None:
        """Accept no more."""
        listening, self._socket = self._socket, None
        if listening is None:
            return
        # A connection that arrives in this very moment would be handed to a future that is cancelled below.
        with suppress(NotImplementedError):
            asyncio.get_running_loop().remove_reader(listening)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        listening.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listening)
            except OSError as error:
                if not isinstance(error, ConnectionError) and not self._sessions.shed():
                    logger.warning("no connection can be accepted now: %s", error)
                    await asyncio.sleep(OUT_OF_FILES)
                else:
                    await asyncio.sleep(0)
                continue
            try:
                while not self._sessions.takes_more:
                    self._sessions.changed.clear()
                    await self._sessions.changed.wait()
            except asyncio.CancelledError:
                accepted.close()
                raise
            with suppress(OSError):
                # asyncio does so by itself only where the socket knows that it is TCP's, and an accepted one does not;
                # the reply behind a pipelined one would wait 40 ms for an acknowledgement.
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = RelaySession(self._sessions, loop)
            try:
                await loop.connect_accepted_socket(lambda: session, accepted)  # noqa: B023  # it is called at once
            except OSError:
                accepted.close()

    async def _look(self) -> None:
        loop, options = asyncio.get_running_loop(), self._sessions.options
        shortest = min(options.idle_timeout, options.login_timeout, options.content_timeout, options.patience)
        while True:
            await asyncio.sleep(min(LOOK_EVERY, shortest / 4))
            now = loop.time()
            for session in list(self._sessions.connected):
                session.look(now)
            self._sessions.relieve()
            # Somebody may have become idle.
            self._sessions.changed.set()
