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
USUAL = 0.8
"""Share of the time for which the service is usually closed to wait for the first canary."""
FADING = 0.7
"""What is left of the usual time where the first canary came through: it may have been open for long."""
SMOOTHING = 0.5
"""Weight of the newest time in the usual one."""
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
    """Seconds for which it is usually closed."""

    def event(self, decided_at: float) -> None:
        """One more event begins."""
        self.throttled += 1
        if self.throttled == 1:
            self.since = decided_at

    def wait(self, now: float, least: float) -> float:
        """
        Close, and say how many seconds the next canary waits.

        Args:
            now: when the newest throttle was read.
            least: seconds that it waits at any rate.
        """
        self.closed = True
        passed = now - self.since if self.throttled > 1 else 0.0
        return min(LONGEST_HOLD, max(least, BACKOFF * passed, USUAL * self.usual - passed))

    def canary(self, now: float, delay: float) -> float:
        """A canary goes; the moment until which nobody follows."""
        return now + max(LEAST_PATIENCE, PATIENCE * delay)

    def opened(self, admitted_at: float) -> None:
        """A canary that went at that moment came through."""
        seconds = max(0.0, admitted_at - self.since)
        if self.throttled == 1:
            seconds *= FADING
        self.usual += SMOOTHING * (seconds - self.usual)
        self.closed, self.throttled = False, 0

    def accepted(self) -> None:
        """Something was accepted."""
        self.throttled = 0

    def denied(self) -> None:
        """It was not closed after all."""
        self.closed = False
