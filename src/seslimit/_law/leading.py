"""
Leading: one law for many processes, and everybody's evidence.

Decides in which order the law of one process hears what became of the messages of all. It must not know who told it,
nor how the pace reaches the others.

Invariant: after a throttle the law hears of what went before it from everybody first.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs

from .rate import AdaptiveRate

SETTLES = 0.15
"""Seconds in which all have told what became of messages that went before a throttle."""


@attrs.define
class Leadership:
    """
    One process's term as the one who sets the pace of all.

    Args:
        term: the how manieth it is.
        law: the control law, begun with what is known.
    """

    term: int
    law: AdaptiveRate
    _cap: float = attrs.field(default=0.0, init=False)
    _opened: float = attrs.field(default=-math.inf, init=False)
    """When the last throttle was heard that begins a congestion."""
    _kept_back: list[tuple[float, float, str, float, float]] = attrs.field(factory=list, init=False)
    """Outcomes that the law is told of when all have told of what went before the last throttle."""

    def allowed(self, now: float, cap: float) -> bool:
        """Take what GetAccount allows, recipients/s; whether that is news."""
        if cap == self._cap:
            return False
        self._cap = cap
        self.law.cap(now, cap)
        return True

    def hear(self, now: float, log: str, ours: Callable[[float], float]) -> bool:
        """
        Tell the law what became of everybody's messages.

        Args:
            now: seconds of this process's clock.
            log: what all have told, as the ledger kept it.
            ours: makes a moment of this process's clock of one of the ledger's.

        Returns:
            whether there was a throttle among it.
        """
        law = self.law
        outcomes, self._kept_back = self._kept_back, []
        for entry in log.replace("\n", ";").split(";") if log else ():
            kind, cost, *rest = entry.split()
            if kind == "a":
                law.admitted(now, float(cost), waited=rest[0] == "1")
            else:
                admitted_at, decided_at = (min(now, ours(float(moment))) for moment in rest[:2])
                pause = float(rest[2]) if kind == "-" else 0.0
                outcomes.append((decided_at, admitted_at, kind, float(cost), pause))
        throttled = False
        for outcome in sorted(outcomes):
            decided_at, admitted_at, kind, paid, pause = outcome
            if admitted_at > self._opened and now < self._opened + SETTLES:
                self._kept_back.append(outcome)
            elif kind == "+":
                law.accepted(now, paid, admitted_at=admitted_at, decided_at=decided_at)
            else:
                throttled = True
                if admitted_at > self._opened:
                    self._opened = now
                law.throttled(now, paid, admitted_at=admitted_at, decided_at=decided_at, pause=pause)
        return throttled
