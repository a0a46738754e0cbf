"""
A network in memory: connections of an event loop on virtual time to a server that is a synchronous object.

Nothing waits and nothing is random, so ten thousand conversations with delays and time-outs take seconds and are alike
in every run. Every connection keeps what passed the client's edge, for `strict_replies` to read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from .faults.strict_replies import Event
from .virtual_time import VirtualTimeLoop

STEP = 1e-6
"""Seconds between two things that come to the client, at least: so they come in their order."""

FULL = 32 * 1024
"""Bytes written at once from which on there is no room for more for a while."""

LATER = 0.01
"""Seconds until there is."""


class Peer(Protocol):
    """The server's end of a connection."""

    def begin(self, wire: Wire) -> None:
        """Take the connection, and greet."""

    def received(self, data: bytes) -> None:
        """Take what the client wrote."""


class Wire(asyncio.Transport):
    """The client's end of a connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol, peer: Peer) -> None:
        super().__init__({"sockname": ("127.0.0.1", 1)})
        self._loop = loop
        self._protocol = protocol
        self._peer = peer
        self._last = 0.0
        self._closing = False
        self.events: list[Event] = []
        """What passed this end, until it was closed."""

    # What the client does

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write, unless the connection has ended."""
        if not self._closing:
            self.events.append(("wrote", bytes(data)))
            self._loop.call_soon(self._peer.received, bytes(data))
            if len(data) >= FULL:
                self._protocol.pause_writing()
                self._loop.call_later(LATER, self._protocol.resume_writing)

    def is_closing(self) -> bool:
        """Whether it has ended."""
        return self._closing

    def close(self) -> None:
        """End the connection."""
        self._end(None)

    def abort(self) -> None:
        """End the connection."""
        self._end(None)

    def _end(self, error: Exception | None) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._protocol.connection_lost, error)

    # What the server does

    def later(self, delay: float, what: Callable[..., None], *arguments: Any) -> None:
        """Do something that the client sees, behind all that was to be done before."""
        self._last = max(self._last + STEP, self._loop.time() + delay)
        self._loop.call_at(self._last, what, *arguments)

    def say(self, data: bytes, delay: float = 0.0) -> None:
        """Let bytes come to the client."""
        self.later(delay, self._come, data)

    def _come(self, data: bytes) -> None:
        if not self._closing:
            self.events.append(("read", data))
            self._protocol.data_received(data)

    def hang_up(self, delay: float = 0.0, *, reset: bool = False) -> None:
        """Close or reset the connection."""
        self.later(delay, self._reset if reset else self._eof)

    def _eof(self) -> None:
        if not self._closing:
            self._protocol.eof_received()
            self._end(None)

    def _reset(self) -> None:
        self._end(ConnectionResetError("Connection reset by peer"))


class MemoryLoop(VirtualTimeLoop):
    """An event loop whose connections all lead to the peer that `accept` makes."""

    def __init__(self) -> None:
        super().__init__()
        self.accept: Callable[[], Peer] | None = None
        self.prepare: Callable[[asyncio.Protocol], None] = lambda _protocol: None
        """Called with the client's protocol of every new connection."""
        self.wires: list[Wire] = []

    async def create_connection(self, protocol_factory: Callable[[], Any], *_where: Any, **_how: Any) -> Any:
        """Connect, in memory."""
        assert self.accept is not None
        protocol, peer = protocol_factory(), self.accept()
        self.prepare(protocol)
        wire = Wire(self, protocol, peer)
        self.wires.append(wire)
        protocol.connection_made(wire)
        peer.begin(wire)
        return wire, protocol
