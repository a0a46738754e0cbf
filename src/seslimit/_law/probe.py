"""
A probe: how far above the limit to pace to see whether it is still the limit, and for how long.

The excess draws down what the bucket may have saved, so a small one takes long, and a large one is met with as many
throttles as are under way. It must not know when the next one is due, nor what it finds.

Invariants: it costs about the throttles that it is given, whatever the rate and the delay.
"""

from __future__ import annotations

from .evidence import Arrivals
from .taken import ASSUMED_DEPTH

REFUSALS = 0.5
"""Throttles that a probe may cost besides the one it looks for: it paces so many per delay above the limit."""
FULL_REFUSALS = 2.0
"""The same where the bucket may be full, and a whole second of the rate has to be drawn down first."""
SHARE = 0.3
"""A probe paces at most this share above the limit: it binds where few messages are under way."""


def probe(pace: float, arrivals: Arrivals, *, full: bool) -> tuple[float, float]:
    """
    A probe from a pace.

    Args:
        pace: recipients/s.
        arrivals: how messages arrive.
        full: whether the bucket may be anything up to full.

    Returns:
        how far above the limit to pace, recipients/s, and after how many seconds a throttle is overdue.
    """
    level, refusals = 2.0 * (arrivals.quantum + arrivals.cushion(pace)), REFUSALS
    if full:
        level, refusals = max(level, ASSUMED_DEPTH * pace), FULL_REFUSALS
    excess = min(SHARE * pace, refusals / arrivals.delay)
    return excess, level / excess
