"""
How fast a pace may grow: as fast as the throttles of its overshoot are worth.

Decides what a pace becomes in some seconds. It must not know why it grows, or whether it may.

Invariants: time alone never lowers a pace, and it does not matter how often it is asked.
"""

from __future__ import annotations

import math

START_GROWTH = math.log(5.0)
"""Before the first throttle, 1/s: fivefold a second, so 100/s after 2.9 s of waiting messages."""
START_REFUSALS = 33.0
"""Throttles that the overshoot of the start may cost."""
RETURN_GROWTH = 0.7
"""Back to a limit that is remembered, 1/s: doubled in a second."""
CLIMB_GROWTH = 0.5
"""After a probe that found no limit, 1/s: threefold in 2.2 s."""
CLIMB_REFUSALS = 10.0
"""Throttles that the overshoot of a climb may cost: less makes the climb slower, and costs more than it saves."""
LEAST_GROWTH = 0.07
"""Growth that no rate falls short of, 1/s: doubled in 10 s, even where the overshoot then costs more."""


def grown(rate: float, seconds: float, growth: float, stride: float) -> float:
    """
    The rate after some seconds of dr/dt = max(LEAST_GROWTH·r, min(growth·r, stride²/2r)).

    To empty a bucket that holds one second of the rate takes an overshoot of sqrt(2·r·dr/dt), and every second of delay
    then costs as many throttles. The term `stride²/2r` makes that overshoot `stride`, whatever the rate.

    Args:
        rate: recipients/s to begin with.
        seconds: for which it grows.
        growth: of low rates, 1/s.
        stride: overshoot to allow, recipients/s.
    """
    low, high = stride / math.sqrt(2.0 * growth), stride / math.sqrt(2.0 * LEAST_GROWTH)
    if rate < low:
        steep = min(seconds, math.log(low / rate) / growth)
        rate, seconds = rate * math.exp(growth * steep), seconds - steep
    if rate < high:
        even = min(seconds, (high * high - rate * rate) / (stride * stride))
        rate, seconds = math.sqrt(rate * rate + stride * stride * even), seconds - even
    return rate * math.exp(LEAST_GROWTH * max(0.0, seconds))
