"""
What the service has taken since its bucket was last seen empty: half of the measurement of a rate.

Between two moments at which the bucket is empty, the recipients taken divided by the seconds are the rate. Decides what
counts between them. It must not know the pace, nor what ends the stretch.

Invariants: nothing decided before the beginning counts; without a beginning nothing measures.
"""

from __future__ import annotations

import math
from collections import deque

import attrs

ASSUMED_DEPTH = 1.0
"""Seconds of the rate that a full bucket is taken to hold: more costs throttles, less a little of the rate."""
HORIZON = 4.0
"""Seconds for which single decisions are remembered: longer than a reply takes to come."""


@attrs.define
class Taken:
    """Recipients taken since the bucket was last empty."""

    since: float | None = attrs.field(default=None, init=False)
    """When the service's bucket was empty, by its decisions; None where it may be anything up to full."""
    _settled: float = attrs.field(default=0.0, init=False)
    """Recipients of decisions that are too old to be remembered one by one."""
    _recent: deque[tuple[float, float]] = attrs.field(factory=deque, init=False)
    """(decided at, recipients) of the others."""

    def add(self, now: float, cost: float, decided_at: float) -> None:
        """A message was taken, as its reply says that was read at `now`."""
        if self.since is not None and decided_at <= self.since:
            return
        self._recent.append((decided_at, cost))
        while self._recent and self._recent[0][0] < now - HORIZON:
            self._settled += self._recent.popleft()[1]

    def forget(self) -> None:
        """From here on the bucket may be anything up to full."""
        self.since, self._settled = None, 0.0

    def begin(self, now: float) -> None:
        """Nothing had been sent yet: a full bucket now is an empty one a depth ago."""
        self.since = now - ASSUMED_DEPTH

    def empty(self, at: float) -> None:
        """The bucket was empty at that moment: what was decided before counts no more."""
        self.since, self._settled = at, 0.0
        self._recent = deque(entry for entry in self._recent if entry[0] > at)

    def opened(self, decided_at: float) -> None:
        """Somebody's debt is paid; when it was is not known, so that the middle is right in the mean."""
        if self.since is not None:
            self.since = (self.since + decided_at) / 2.0

    def seconds(self, until: float) -> float | None:
        """Seconds from the beginning until that moment; None without a beginning."""
        return None if self.since is None else max(0.0, until - self.since)

    def before(self, until: float) -> float:
        """Recipients from the beginning until that moment."""
        since = -math.inf if self.since is None else self.since
        return self._settled + sum(cost for at, cost in self._recent if since < at <= until)

    def after(self, at: float) -> list[tuple[float, float]]:
        """What was taken after that moment, as (decided at, recipients)."""
        return [entry for entry in self._recent if entry[0] > at]

    def drawn(self, at: float) -> float:
        """The lowest rate, recipients/s, at which a bucket of the assumed depth had not been empty before."""
        total = lowest = 0.0
        for decided_at, cost in reversed(self._recent):
            if decided_at <= at:
                total += cost
                lowest = max(lowest, total / (at - decided_at + ASSUMED_DEPTH))
        return lowest
