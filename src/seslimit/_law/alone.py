"""
Going on without the ledger: what one process of many sends while it cannot ask.

Decides the pace from what was reserved for this process when it was last heard, and from when on it counts. It must not
know how the ledger is reached, nor when it is asked again.

Two times. For as long as its part is kept, which begins with the last request that may have been heard, it goes at 0.9
of its part, under a law of its own: the others leave that much. After that nobody does any more. It begins again at
1/s, as one that was told nothing, and finds by its own law what is left, up to the same 0.9 of its last share.

Invariants: nothing goes before the others have made room; what went is a debt when the ledger is back.
"""

from __future__ import annotations

import math

import attrs

from .parts import ALONE, KEEPS, SECOND
from .rate import AdaptiveRate


@attrs.define
class Reserve:
    """
    What a process may count on without asking.

    Args:
        part: of the whole; 0 for nothing.
        pace: recipients/s of the whole, as it knows them.
        senders: how many share it.
        heard: when the last request was sent that the ledger has answered.
    """

    part: float
    pace: float
    senders: int
    heard: float


class Alone:
    """
    The allowance of a process that cannot ask; what a law answers, this does.

    Args:
        begins: the moment from which on the others leave it its part.
        owed: recipients that went before and are not paid for.
        reserve: what it counts on; None for one that never had an answer.
        max_rate: recipients/s that are never exceeded, where it has no reserve.
    """

    def __init__(self, begins: float, owed: float, reserve: Reserve | None, max_rate: float | None) -> None:
        self._ends, self._share = math.inf, max_rate
        part = 0.0
        if reserve is not None:
            part = reserve.part
            self._ends = reserve.heard + KEEPS / SECOND
            self._share = ALONE * reserve.pace * (part or 1.0 / reserve.senders)
        # What was told of the rate is for all of them: who knows nothing of the others finds out what is left.
        self.law = AdaptiveRate(self._share if part else None, self._share)
        self._reserved = part > 0.0
        self.begins = begins + owed / self.law.rate(begins)
        self._frozen = False
        self._paid_until = -math.inf

    def rate(self, now: float) -> float:
        """Recipients/s to pace at."""
        if self._reserved and now >= self._ends:
            self._reserved, self.law = False, AdaptiveRate(None, self._share)
            if self._frozen:
                self.law.freeze(now)
        return self.law.rate(now)

    def steady_until(self, now: float) -> float:
        """The moment until which `rate` stays as it is, if nothing is told meanwhile."""
        until = self.law.steady_until(now)
        return min(until, self._ends) if self._reserved else until

    def admitted(self, now: float, cost: float, *, waited: bool) -> None:
        """One message was let through."""
        self._paid_until = max(self._paid_until, now) + cost / self.rate(now)
        self.law.admitted(now, cost, waited=waited)

    def owed(self, now: float) -> float:
        """Recipients that went and are not paid for yet, for the ledger to charge."""
        return max(0.0, self._paid_until - now) * self.law.rate(now)

    def part(self, now: float, part: float) -> float:
        """What of its part is still kept for it: all, or nothing."""
        return part if now < self._ends else 0.0

    def freeze(self, now: float) -> None:
        """Sending pauses for another reason than the rate."""
        self._frozen = True
        self.law.freeze(now)

    def thaw(self, now: float) -> None:
        """Sending goes on."""
        self._frozen = False
        self.law.thaw(now)
