"""
Which connection carries the next message, and when one more is opened.

Decides in synchronous code; only opening a connection waits, in tasks of its own. It must not know messages, replies or
protocols.

Invariants: a connection is idle, in use or being opened, never two of these, and their sum stays within the limit; one
that is not usable is dropped, never kept; who waits first is served first; nobody waits while nothing is in use or
being opened.
"""

from __future__ import annotations

import asyncio
import copy
import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

import attrs
from aiolimiter import AsyncLimiter

from .._model.errors import TransportError
from .._model.outcome import Outcome

OPENINGS = 50
"""New connections a second at most: each costs the service a TLS handshake and a login. 500/s at 0.15 s a message need
75, and 10 a second to replace those that have carried their 50 messages."""

GROW_AFTER = 10.0
"""Seconds after a refused connection until the pool tries one more than it has."""

GROW_EVERY = 1.0
"""Seconds between one more and the next, while none is refused."""


class Pooled(Protocol):
    """A connection, as far as the pool knows it."""

    transactions: int
    """Messages that it was given."""
    idle_since: float
    """Event-loop time (seconds) at which it was last used."""
    usable: bool
    """Whether the last message has left it in order."""

    @property
    def alive(self) -> bool:
        """Whether it is usable, and the service has not closed it."""
        ...

    def quit(self) -> None:
        """Take leave of the service, and drop it."""
        ...

    def abort(self) -> None:
        """Drop it at once, without leave."""
        ...


C = TypeVar("C", bound=Pooled)


@attrs.frozen
class PoolOptions:
    """
    How many connections, and how long.

    Args:
        max_connections: connections at most.
        idle_timeout: seconds after which an unused connection is closed.
        max_messages: messages after which a connection is replaced.
    """

    max_connections: int
    idle_timeout: float
    max_messages: float = math.inf


class Pool(Generic[C]):
    """
    The connections of one transport, opened as messages wait for them, the one that rested longest first.

    So all of them stay in use, and with them as many front ends of the service. Were it the one used last, a single one
    would carry everything at a low rate, and meet the share of the send rate that one front end grants.

    Args:
        opening: opens a connection; what it raises is told to those who wait.
        options: how many, and how long.
    """

    def __init__(self, opening: Callable[[], Awaitable[C]], options: PoolOptions) -> None:
        self.connect = opening
        """Opens a connection beside the pool, for whoever only looks how many there may be."""
        self._options = options
        self._idle: deque[C] = deque()
        self._in_use = 0
        self._opening: set[asyncio.Task[C]] = set()
        self._waiting: deque[asyncio.Future[C]] = deque()
        self.limit = options.max_connections
        """Connections at most for now; fewer than allowed after the service refused one."""
        self._grow_at = 0.0
        self._pace = AsyncLimiter(OPENINGS, 1.0)
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def size(self) -> int:
        """Connections that are idle, in use or being opened."""
        return len(self._idle) + self._in_use + len(self._opening)

    async def acquire(self) -> C:
        """
        A connection for one message; give it back with `release`.

        Raises:
            TransportError: no connection can be had.

        Cancelling:
            leaves the line; a connection that was just assigned goes to the next.
        """
        session = self._take_idle()
        if session is not None:
            return session
        if self._closed:
            raise _closed()
        waiter: asyncio.Future[C] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._open_as_needed()
        try:
            return await waiter
        except asyncio.CancelledError:
            self._leave(waiter)
            raise

    def release(self, session: C) -> None:
        """Take a connection back, keep it if it is good for another message, and serve who waits."""
        self._in_use -= 1
        if session.transactions >= self._options.max_messages:
            session.quit()
        elif session.alive if self._waiting else session.usable:  # one that rests is looked at when it is taken
            self._assign(session)
        else:
            session.abort()
        self._open_as_needed()

    async def aclose(self) -> None:
        """Drop every connection."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        self._fail_waiting(_closed())
        while self._idle:
            self._idle.pop().quit()
        # Sockets are closed in the loop's next turn.
        await asyncio.sleep(0)

    def _take_idle(self) -> C | None:
        oldest = asyncio.get_running_loop().time() - self._options.idle_timeout
        while self._idle:
            session = self._idle.popleft()
            if session.alive and session.idle_since >= oldest:
                self._in_use += 1
                return session
            session.quit()
        return None

    def _assign(self, session: C) -> None:
        """Give a good connection to whoever waits first, or let it rest."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._in_use += 1
                waiter.set_result(session)
                return
        if self._closed:
            session.quit()
            return
        loop = asyncio.get_running_loop()
        session.idle_since = loop.time()
        self._idle.append(session)
        if self._sweeping is None:
            self._sweeping = loop.call_later(self._options.idle_timeout, self._sweep)

    def _leave(self, waiter: asyncio.Future[C]) -> None:
        if waiter.cancelled() or not waiter.done():
            self._waiting = deque(other for other in self._waiting if other is not waiter)
        elif waiter.exception() is None:
            self.release(waiter.result())

    def _sweep(self) -> None:
        """Close what has been idle for too long, before the service does."""
        self._sweeping = None
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._options.idle_timeout
        while self._idle and (self._idle[0].idle_since <= oldest or not self._idle[0].alive):
            self._idle.popleft().quit()
        if self._idle:
            due = self._idle[0].idle_since + self._options.idle_timeout
            self._sweeping = loop.call_at(due, self._sweep)

    def _grow(self) -> None:
        now = asyncio.get_running_loop().time()
        if self.limit < self._options.max_connections and now >= self._grow_at:
            self.limit += 1
            self._grow_at = now + GROW_EVERY

    def _open_as_needed(self) -> None:
        """Open one connection for each who waits, as far as the limit allows."""
        self._grow()
        while not self._closed and len(self._opening) < len(self._waiting) and self.size < self.limit:
            task = asyncio.get_running_loop().create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    async def _open(self) -> C:
        await self._pace.acquire()
        return await self.connect()

    def _opened(self, task: asyncio.Task[C]) -> None:
        self._opening.discard(task)
        if task.cancelled():
            return
        failure = task.exception()
        if failure is None:
            self._assign(task.result())
        else:
            self._refused(failure)

    def _refused(self, failure: BaseException) -> None:
        """A connection could not be opened: make do with those there are, or tell everybody who waits."""
        left = self.size
        if left:
            self.limit = left
            self._grow_at = asyncio.get_running_loop().time() + GROW_AFTER
        else:
            # Nothing works, so how many would work is not known.
            self.limit = self._options.max_connections
        blocked = isinstance(failure, TransportError) and failure.outcome is Outcome.ACCOUNT_BLOCKED
        if blocked or not left:
            self._fail_waiting(failure)

    def _fail_waiting(self, failure: BaseException) -> None:
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            if not waiter.done():
                waiter.set_exception(copy.copy(failure))


def _closed() -> TransportError:
    return TransportError(Outcome.NOT_SENT, "The transport is closed.", blocks_endpoint=True)
