"""
While the service takes nothing: one message at a time finds out whether it does again.

A bucket that somebody else has emptied, refusals that cost tokens and counts that are a second old look the same from
outside: for a while everything is refused. Going on at the rate buys nothing but throttles, and says nothing of the
rate either. Decides when the next canary goes. It must not know the rate.

Invariants: one canary at a time; none waits longer than `LONGEST_HOLD` for its turn, nor for a reply that never comes.
"""

from __future__ import annotations

import attrs

BACKOFF = 0.5
"""Share of the time since the service closed to wait until the next canary: it is found open at most half later."""
PRECISE = 0.3
"""Share of the usual time within which it is known well enough: to know it better costs more canaries than it saves."""
SHORTER = 0.9
"""Each time that the first canary comes through, the service may have been open before that much more of the time."""
LONGEST_HOLD = 10.0
"""Seconds after which another canary goes, however many were throttled in a row."""
PATIENCE = 4.0
"""Delays after which a canary that was not heard of is given up."""
LEAST_PATIENCE = 1.0
"""The same in seconds, at least."""


@attrs.define
class Closure:
    """Whether the service is closed, since when, and for how long it usually is."""

    closed: bool = attrs.field(default=False, init=False)
    """Whether whoever goes next is a canary."""
    throttled: int = attrs.field(default=0, init=False)
    """Events in a row with nothing accepted in between."""
    since: float = attrs.field(default=0.0, init=False)
    """When the service decided on the first throttle of the newest row."""
    usual: float = attrs.field(default=0.0, init=False)
    """Seconds after which it is usually found open."""
    closed_for: float = attrs.field(default=0.0, init=False)
    """Seconds after which it is usually found closed still."""
    _failed: float = attrs.field(default=0.0, init=False)
    """Seconds after which it was found closed this time."""

    def event(self, decided_at: float) -> None:
        """One more event begins."""
        self.throttled += 1
        if self.throttled == 1:
            self.since, self._failed = decided_at, 0.0
        elif self.closed:
            self._failed = decided_at - self.since

    def wait(self, now: float, least: float) -> float:
        """
        Close, and say how many seconds the next canary waits.

        Args:
            now: when the newest throttle was read.
            least: seconds that it waits at any rate.
        """
        self.closed = True
        passed = now - self.since if self.throttled > 1 else 0.0
        return min(LONGEST_HOLD, max(least, BACKOFF * passed, self._expected() - passed))

    def _expected(self) -> float:
        """Seconds after which it may be open: half-way between what is known, until that is known well enough."""
        if self._failed > self.closed_for or self.usual - self.closed_for < PRECISE * self.usual:
            return self.usual
        return (self.closed_for + self.usual) / 2.0

    def canary(self, now: float, delay: float) -> float:
        """A canary goes; the moment until which nobody follows."""
        return now + max(LEAST_PATIENCE, PATIENCE * delay)

    def opened(self, admitted_at: float, *, usual: bool) -> None:
        """A canary that went at that moment came through; `usual` where it says something of other times."""
        if usual:
            self.usual = max(0.0, admitted_at - self.since)
            self.closed_for = self._failed or SHORTER * min(self.closed_for, self.usual)
        self._failed = 0.0
        self.closed, self.throttled = False, 0

    def accepted(self) -> None:
        """Something was accepted."""
        self.throttled = 0

    def denied(self) -> None:
        """It was not closed after all."""
        self.closed = False
