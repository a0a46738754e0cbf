"""
The slots that one process was given and has not used yet.

Decides which slot is next, which are lost, and how those of a lease are spread over a turn. It must not know who asks
for them, nor what is sent in them.

Invariant: a slot is used once, not before its time, and not when its time has passed for longer than `LATE`.
"""

from __future__ import annotations

import math
from collections import deque

import attrs

from .._model.allowance import Grant
from .parts import SECOND

RISEN = 0.5
"""Part of the pace that it was before, where slots that are far away are not waited for."""

FAR_AWAY = 0.1
"""Seconds that are far."""

LAG = 0.01
"""Seconds by which the timeline may be behind before a process asks for more than its part of it: somebody does not."""

MANY = 8
"""Slots of a lease from which on they are spread: few messages are under way where there are fewer."""

SPREAD = 0.9
"""Share of the time until the next lease over which slots are used where others are in demand of them too: who used
them as they come would need as many messages under way as the whole account, one turn long."""

LATE = 0.03
"""Seconds after its end until which a slot may be used: with the burst that the ledger gives, no sliding second has
more than 1.05 of the rate, however late a process wakes."""

CRUMB = 1e-9
"""Slots that are none."""


@attrs.define
class Lease:
    """
    Slots that follow one another.

    Args:
        start, ends: when the first begins, and when the last is over.
        left: recipients that may still go.
        slot: seconds from one to the next.
        rate: the pace of all when it was granted.
        busy: whether others wait for slots too.
    """

    start: float
    ends: float
    left: float
    slot: float
    rate: float
    busy: bool

    @property
    def next_at(self) -> float:
        """When its next slot is."""
        return self.ends - self.left * self.slot

    def lose(self, now: float) -> None:
        """Lose the slots whose time has passed, so that who wakes late does not use them beside those that follow."""
        self.left = min(self.left, float(math.ceil((self.ends + LATE - now) / self.slot - CRUMB)))


class Slots:
    """The leases of a process, in the order of their slots; as a truth value, whether there are any."""

    def __init__(self) -> None:
        self._leases: deque[Lease] = deque()

    def __len__(self) -> int:
        return len(self._leases)

    @property
    def left(self) -> float:
        """Recipients that may still go."""
        return sum(lease.left for lease in self._leases)

    @property
    def begin(self) -> float:
        """When the first lease begins; long ago where there is none."""
        return self._leases[0].start if self._leases else -math.inf

    @property
    def busy(self) -> bool:
        """Whether others wait for slots too, as far as these tell."""
        return bool(self._leases) and self._leases[0].busy

    @property
    def pace(self) -> float:
        """The pace of all when they were granted, recipients/s."""
        return self._leases[0].rate

    def drop(self, now: float) -> float:
        """Forget the leases that are used up or over; how many of their slots were not used."""
        unused, leases = 0.0, self._leases
        while leases and (leases[0].left <= CRUMB or now > leases[0].ends + LATE):
            unused += leases.popleft().left
        return unused

    def next_at(self, now: float) -> float:
        """When the next slot is; those whose time has passed are lost."""
        self._leases[0].lose(now)
        return self._leases[0].next_at

    def use(self, cost: float) -> float:
        """Let so many recipients go; how many were too many for the lease, less than none where some are left."""
        lease = self._leases[0]
        lease.left -= cost
        missing = -lease.left if lease.left < -CRUMB or lease.left > CRUMB else 0.0
        lease.left = max(0.0, lease.left)
        return missing

    def move(self, now: float, shift: float) -> bool:
        """
        The pace of all is another one, and what is still to come moves with it.

        Args:
            now: when that was heard.
            shift: how many times as long a slot is.

        Returns:
            False where they have passed while this process did not know of the pace: others have used them.
        """
        if shift < RISEN and self._leases and self._leases[-1].start > now + FAR_AWAY:
            self._leases.clear()
            return False
        for lease in self._leases:
            if lease.start > now:
                lease.start, lease.ends = now + (lease.start - now) * shift, now + (lease.ends - now) * shift
                lease.slot, lease.rate = lease.slot * shift, lease.rate / shift
        return True

    def add(self, now: float, begins: float, way: float, turns: int, grant: Grant) -> float:
        """
        Take what was granted.

        On a way that is as long as usual the slots are used as they come. Where an answer is later than others, those
        that are past are lost: used together with the next, they would be more than the rate.

        Args:
            now: when the answer came.
            begins: when the first of them is.
            way: seconds there and back, as usual.
            turns: leases of others that come before the next one of this process, and this one.
            grant: what was granted.

        Returns:
            when they begin for this process.
        """
        slot, start = grant.slot / SECOND, max(begins, now - LATE)
        slots = max(1.0, grant.slots - max(0.0, start - begins - way / 2.0) // slot)
        pace = min(grant.rate, 1.0 / slot)
        if slots >= MANY:
            slot *= max(1.0, SPREAD * turns)
        self._leases.append(Lease(start, start + slots * slot, slots, slot, pace, grant.busy))
        return start
