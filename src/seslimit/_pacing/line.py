"""
The wait itself: a line of callers and a bucket that is paid in seconds of sending.

The one subtle module. Makes the head of the line wait until what was let through before is paid for. It must not know
why the rate is what it is, what is sent, or why somebody goes before somebody else (that is `lanes`).

How it is paid. The bucket of aiolimiter leaks one second of sending every second, whatever the rate, so it never has to
be told of a change. Each admission is paid for afterwards: whoever is at the head first pays what earlier ones owe, the
most of it asleep, until the line is told of a change, and the last slice through the bucket, which makes up for timers
that come late. A message dearer than most pays a little of its own cost before it goes, so that what went just before
it does not arrive after it, and meet its debt. What the bucket leaks meanwhile is taken away from it: the gaps between
messages that are further apart than it is deep are never shorter than they should be, and a service that saves up
nothing sees none come early.

Invariants: at most one caller is inside the bucket; a cancellation loses nothing that was paid and strands nobody; no
more than `DEPTH` seconds' worth ever go at once, after a blocked event loop included.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from aiolimiter import AsyncLimiter

from .._law.account import Account
from .lanes import ANYWHERE, Lane, Places, Queue, Seat

DEPTH = 0.05
"""Seconds of sending that the bucket holds: what may go at once after the event loop was blocked."""

SLICE = DEPTH / 2
"""Seconds of sending that are paid at once: a rate that grows reaches every waiter within this. Slices as large as the
bucket would fit only when it is empty, and lose the time by which each timer is late, 1 % of a rate of 14/s."""

LATE = DEPTH / 2
"""Seconds of room in the bucket that a late timer explains; with more of it, nobody was there to use the rate."""

CRUMB = 1e-9
"""Recipients that are no debt: the rounding of a paid one."""

ALL_BUT = 1.0 - 1e-9
"""Share of what the bucket has leaked that fits into it for certain: all but the rounding."""


class Line:
    """
    Lets callers through one by one, as fast as the account may send.

    Args:
        account: tells the rate in force and until when it rests.
        ask: called when somebody waits for a turn that this process has not got yet.
    """

    def __init__(self, account: Account, ask: Callable[[], None] = lambda: None) -> None:
        self._account = account
        self._ask = ask
        self._bucket = AsyncLimiter(DEPTH, DEPTH)
        self.queue = Queue()
        self._owed = 0.0
        self._paid_at = -math.inf
        self._waited = False
        """Whether the rate has held somebody up since the last admission, whoever goes next."""
        self.changed = asyncio.Event()
        """To be set when the account may open earlier than it said."""

    def __len__(self) -> int:
        return self.queue.waiting + (self.queue.head is not None)

    def begin_anew(self) -> None:
        """The event loop is another one; nobody of the former one's waits any more."""
        self._bucket = AsyncLimiter(DEPTH, DEPTH)
        self.changed = asyncio.Event()
        self.queue.clear()  # in a fork, those who waited are in the other process

    def demand(self) -> tuple[int, bool]:
        """How many could go now, and whether the next goes before what waits in other lanes, here or elsewhere."""
        head = self.queue.head
        waiting = self.queue.ready() + (head is not None)
        if len(self.queue.lanes) == 1 or not waiting:
            return waiting, False
        lanes = [lane for lane in (self.queue.next_lane(), None if head is None else head.lane) if lane is not None]
        least = min(lane.priority for lane in self.queue.lanes.values())
        return waiting, any(lane.priority > least for lane in lanes)

    def is_open(self, now: float) -> bool:
        """Whether a newcomer would be let through at once."""
        opens_at, turn_at, rate = self._account.terms(now)
        if self.queue.head is not None or opens_at > now or turn_at > now:
            return False
        seconds = self._owed_after_vacancy(now) / rate
        if now - self._paid_at >= DEPTH:
            return seconds <= CRUMB
        return seconds <= DEPTH and self._bucket.has_capacity(seconds)

    async def go_through(
        self,
        cost: float,
        *,
        identity: str = "",
        lane: Lane | None = None,
        front: bool = False,
        places: Places | None = None,
        refuse: Callable[[], None] = lambda: None,
    ) -> float:
        """
        Wait for the turn of a message of this cost, and for a place.

        Args:
            cost: recipients; paid by those who come after.
            identity: its sender, which may be refused alone.
            lane: where it waits; the nameless one when left out.
            front: stand before everybody of the lane who does not, for a message that had its turn before.
            places: where it takes a place together with its turn; None where it has one, or needs none.
            refuse: called at the head of the line before a rest, whenever the account has changed, and where the sender
                is refused; raises to wait no longer.

        Returns:
            the moment of the admission, seconds of the event loop's clock.

        Cancelling:
            nothing is owed for this message and the next in line moves up.
        """
        queue, places, lane = self.queue, places or ANYWHERE, lane or self.queue.lanes[""]
        if queue.head is None and not queue.waiting and places.free > 0 and not self._account.identities:
            now = asyncio.get_running_loop().time()
            seconds = self._payable(now)
            if seconds is not None and not self._ahead(now, cost):
                await self._bucket.acquire(seconds)  # which has the room, and does not wait
                self._owed, self._paid_at = 0.0, now
                self._went(now, cost, identity, lane, places)
                return now
        seat = Seat(next(queue.numbers), lane, front, places)
        if queue.head is not None or ((places.free <= 0 or queue.waiting) and not queue.goes_first(seat)):
            await self._stand(seat)
        ahead = 0.0
        while True:
            queue.head = seat
            if not ahead:  # before it stood aside, it has paid
                ahead = self._ahead(asyncio.get_running_loop().time(), cost)
                self._owed += ahead
            try:
                now = await self._pay(refuse)
            except BaseException:
                self._owed = max(0.0, self._owed - ahead)
                self.queue.pass_on()
                raise
            if self._account.identities and self._account.blocks(identity, now):
                queue.pass_on()
                refuse()
            if (places.free > 0 and not queue.waiting) or queue.goes_first(seat):
                break
            # Somebody who goes before came meanwhile, or its place is not free any more; what is paid stays paid.
            await self._stand(seat, aside=True)
        self._went(now, cost, identity, lane, places, ahead)
        queue.head = None
        if queue.waiting:
            queue.pass_on()
        return now

    def _payable(self, now: float) -> float | None:
        """Seconds of sending to be paid by whoever goes now, for which the bucket has room; None where it waits."""
        if now - self._paid_at >= DEPTH:
            return None
        opens_at, turn_at, rate = self._account.terms(now, owing=self._owed > CRUMB)
        if opens_at > now or turn_at > now:
            return None
        seconds = self._owed / rate if rate else 0.0
        if seconds and not self._bucket.has_capacity(LATE):
            self._waited = True
            if seconds > SLICE or not self._bucket.has_capacity(seconds):
                return None
        if seconds > SLICE:
            return None
        return None if self._waited and self._account.law.spaced_until > now else seconds

    def _ahead(self, now: float, cost: float) -> float:
        """Recipients that are paid for before such a message goes, and not after."""
        return self._account.law.ahead(now, cost) if cost > 1.0 else 0.0

    def _went(self, now: float, cost: float, identity: str, lane: Lane, places: Places, ahead: float = 0.0) -> None:
        self._account.admitted(now, cost, waited=self._waited, identity=identity)
        self._waited = False
        self._owed += cost - ahead
        places.free -= 1
        if len(self.queue.lanes) > 1:
            self.queue.went(lane, cost)

    async def _stand(self, seat: Seat, *, aside: bool = False) -> None:
        """Wait until one's turn has come; `aside` for the head, which lets somebody else go before."""
        turn = seat.turn = asyncio.get_running_loop().create_future()
        self.queue.add(seat, again=aside)
        if aside:
            self.queue.pass_on()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self.queue.remove(seat)  # where the head has not passed over it already, in this very turn of the loop
            else:  # cancelled in the very moment in which the turn had come
                self.queue.pass_on()
            raise

    async def _pay(self, refuse: Callable[[], None]) -> float:
        """Pay what is owed and sit out every rest; returns when that was done."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._paid_at >= DEPTH:
            await self._credit_vacancy(now)
        while True:
            opens_at, turn_at, rate = self._account.terms(now, owing=self._owed > CRUMB)
            if opens_at > now:
                refuse()
                self._waited = True
                await self._sleep_until(opens_at)  # which pays for nothing
                now = loop.time()
            elif turn_at > now:
                self._waited = True
                self._ask()
                await self._pay_asleep(rate, turn_at)
                now = loop.time()
            elif self._owed > CRUMB:
                seconds = self._owed / rate
                if seconds > 2 * SLICE:
                    self._waited = True
                    steady_until = max(now + SLICE, self._account.law.steady_until(now))
                    await self._pay_asleep(rate, min(self._paid_at + seconds - SLICE, steady_until))
                else:
                    seconds = min(seconds, SLICE)
                    self._waited = self._waited or not self._bucket.has_capacity(LATE)
                    await self._bucket.acquire(seconds)
                    self._owed -= seconds * rate
                self._paid_at = now = loop.time()
            elif self._waited and self._account.law.spaced_until > now:
                await self._sleep_until(self._account.law.spaced_until)
                now = loop.time()
            else:
                self._owed = 0.0
                return now

    def _owed_after_vacancy(self, now: float) -> float:
        vacant = now - self._paid_at
        return self._owed if vacant < DEPTH else max(0.0, self._owed - vacant * self._account.rate(now))

    async def _credit_vacancy(self, now: float) -> None:
        # Time in which nobody stood here has paid for itself. The bucket has seen the same time, and what it would now
        # let through for nothing is taken away, so that it counts once. It has run empty, so this never waits.
        self._owed = self._owed_after_vacancy(now)
        self._waited = False
        await self._bucket.acquire(DEPTH)
        self._paid_at = now

    async def _pay_asleep(self, rate: float, until: float) -> None:
        begun = self._paid_at
        try:
            await self._sleep_until(until)
        finally:
            self._owed = max(0.0, self._owed - (self._paid_at - begun) * rate)

    async def _sleep_until(self, when: float) -> None:
        """Sleep until then or until something has changed, without a gain from what the bucket leaks meanwhile."""
        self.changed.clear()
        try:
            async with asyncio.timeout_at(None if math.isinf(when) else when):
                await self.changed.wait()
        except TimeoutError:
            pass
        finally:
            now = asyncio.get_running_loop().time()
            # It has leaked as much since, so this never waits.
            await self._bucket.acquire(min(now - self._paid_at, DEPTH) * ALL_BUT)
            self._paid_at = now
