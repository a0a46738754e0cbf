"""
A send rate over time, as a value.

Pure: seconds count from the start of whatever has the rate.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

import attrs


def _sorted(steps: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    return tuple(sorted(steps))


@attrs.frozen
class Schedule:
    """
    A send rate that changes in steps: `((0, 100), (12, 50), (24, 150))`.

    Args:
        steps: pairs of seconds since the account's first second and recipients/s, sorted by time, the first at 0.
    """

    steps: tuple[tuple[float, float], ...] = attrs.field(converter=_sorted)

    def __attrs_post_init__(self) -> None:
        if not self.steps or self.steps[0][0] != 0:
            raise ValueError("a rate schedule starts at second 0, for example ((0, 100), (12, 50))")
        if any(rate <= 0 for _, rate in self.steps):
            raise ValueError("every rate of a schedule is above 0 recipients/s")

    @classmethod
    def constant(cls, rate: float) -> Schedule:
        """A schedule with one rate, in recipients/s."""
        return cls(((0.0, rate),))

    def at(self, elapsed: float) -> float:
        """The rate in force `elapsed` seconds after the start, in recipients/s."""
        index = bisect_right(self.steps, elapsed, key=lambda step: step[0]) - 1
        return self.steps[max(0, index)][1]

    def integral(self, begin: float, end: float) -> float:
        """The recipients that the schedule allows from `begin` to `end`, in seconds since the start."""
        total, at = 0.0, max(0.0, begin)
        for index in range(max(1, bisect_right(self.steps, at, key=lambda step: step[0])), len(self.steps)):
            stop = self.steps[index][0]
            if stop >= end:
                break
            total += self.steps[index - 1][1] * (stop - at)
            at = stop
        return total + self.at(at) * max(0.0, end - at)


def schedule_of(rate: float | Schedule) -> Schedule:
    """A rate that may be one figure, as a schedule."""
    return rate if isinstance(rate, Schedule) else Schedule.constant(rate)
