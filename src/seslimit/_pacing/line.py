"""
The wait itself: a line of callers and a bucket that is paid in seconds of sending.

The one subtle module. Decides who goes next (first come, first served, at any cost) and makes the head of the line wait
until what was let through before is paid for. It must not know why the rate is what it is, or what is sent.

How it is paid. The bucket of aiolimiter leaks one second of sending every second, whatever the rate, so it never has to
be told of a change. Each admission is paid for afterwards: whoever is at the head first pays what earlier ones owe, in
slices of at most `SLICE` seconds, each priced at the rate in force at that moment.

Invariants: at most one caller is inside the bucket; a cancellation loses nothing that was paid and strands nobody; no
more than `DEPTH` seconds' worth ever go at once, after a blocked event loop included.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from aiolimiter import AsyncLimiter

from .._law.account import Account

DEPTH = 0.05
"""Seconds of sending that the bucket holds: what may go at once after the event loop was blocked."""

SLICE = DEPTH / 2
"""Seconds of sending that are paid at once: a change of the rate reaches every waiter within this. Slices as large as
the bucket would fit only when it is empty, and lose the time by which each timer is late, 1 % of a rate of 14/s."""

LATE = DEPTH / 2
"""Seconds of room in the bucket that a late timer explains; with more of it, nobody was there to use the rate."""

CRUMB = 1e-9
"""Recipients that are no debt: the rounding of a paid one."""


class Line:
    """
    Lets callers through one by one, as fast as the account may send.

    Args:
        account: tells the rate in force and until when it rests.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._bucket = AsyncLimiter(DEPTH, DEPTH)
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._returning: deque[asyncio.Future[None]] = deque()
        self._taken = False
        self._owed = 0.0
        self._paid_at = -math.inf
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._returning) + len(self._waiting) + self._taken

    def changed(self) -> None:
        """The account may open earlier than it said."""
        self._changed.set()

    def is_open(self, now: float) -> bool:
        """Whether a newcomer would be let through at once."""
        if self._taken or self._account.opens_at() > now:
            return False
        seconds = self._owed_after_vacancy(now) / self._account.law.rate(now)
        if now - self._paid_at >= DEPTH:
            return seconds <= CRUMB
        return seconds <= DEPTH and self._bucket.has_capacity(seconds)

    async def go_through(self, cost: int, *, front: bool = False, refuse: Callable[[], None] = lambda: None) -> float:
        """
        Wait for the turn of a message of this cost.

        Args:
            cost: recipients; paid by those who come after.
            front: stand before everybody who does not, for a message that had its turn before.
            refuse: called at the head of the line before a rest, and whenever the account has changed; raises to wait
                no longer.

        Returns:
            the moment of the admission, seconds of the event loop's clock.

        Cancelling:
            nothing is owed for this message and the next in line moves up.
        """
        if self._taken:
            await self._stand(front)
        else:
            self._taken = True
        try:
            now, waited = await self._pay(refuse)
            self._account.admitted(now, cost, waited=waited)
            self._owed += cost
            return now
        finally:
            self._pass_on()

    async def _stand(self, front: bool) -> None:
        turn = asyncio.get_running_loop().create_future()
        line = self._returning if front else self._waiting
        line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with suppress(ValueError):  # the head may have passed over it already, in this very turn of the loop
                    line.remove(turn)
            else:  # cancelled in the very moment in which the turn had come
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        for line in (self._returning, self._waiting):
            while line:
                turn = line.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._taken = False

    async def _pay(self, refuse: Callable[[], None]) -> tuple[float, bool]:
        """Pay what is owed and sit out every rest; returns when, and whether the rate was what held the message up."""
        loop = asyncio.get_running_loop()
        now, waited = loop.time(), False
        if now - self._paid_at >= DEPTH:
            await self._credit_vacancy(now)
        while True:
            opens_at = self._account.opens_at()
            if opens_at > now:
                refuse()
                waited = True
                await self._rest_until(opens_at)
                now = loop.time()
            elif self._owed > CRUMB:
                rate = self._account.law.rate(now)
                seconds = min(self._owed / rate, SLICE)
                waited = waited or not self._bucket.has_capacity(max(seconds, LATE))
                await self._bucket.acquire(seconds)
                self._owed -= seconds * rate
                self._paid_at = now = loop.time()
            else:
                self._owed = 0.0
                return now, waited

    def _owed_after_vacancy(self, now: float) -> float:
        vacant = now - self._paid_at
        return self._owed if vacant < DEPTH else max(0.0, self._owed - vacant * self._account.law.rate(now))

    async def _credit_vacancy(self, now: float) -> None:
        # Time in which nobody stood here has paid for itself. The bucket has seen the same time, and what it would now
        # let through for nothing is taken away, so that it counts once. It has run empty, so this never waits.
        self._owed = self._owed_after_vacancy(now)
        await self._bucket.acquire(DEPTH)
        self._paid_at = now

    async def _rest_until(self, when: float) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout_at(when):
                await self._changed.wait()
        except TimeoutError:
            pass
        finally:  # a rest pays for nothing
            self._paid_at = asyncio.get_running_loop().time()
