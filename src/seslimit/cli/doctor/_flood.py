"""
What can be read off one flood: which attempts were accepted, in which bursts, after which gaps.

Pure figures; what they mean is `_inference`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from statistics import fmean, median, pstdev
from typing import Final

import attrs

HOLE: Final = 5.0
"""Times the usual gap from which a gap is somebody else's doing."""


ENOUGH: Final = 6
"""Acceptances that a part of a flood has to have."""


@attrs.frozen
class Observation:
    """One attempt: its moment in seconds, and whether the service took it."""

    at: float
    accepted: bool


@attrs.frozen(slots=False)
class Flood:
    """
    One flood.

    Args:
        seen: its attempts, in order.
    """

    seen: Sequence[Observation]

    @property
    def start(self) -> float:
        """The moment of its first attempt."""
        return self.seen[0].at

    @property
    def duration(self) -> float:
        """Seconds from the first to the last attempt."""
        return self.seen[-1].at - self.start

    @property
    def step(self) -> float:
        """Mean seconds between two attempts."""
        return self.duration / (len(self.seen) - 1)

    @cached_property
    def accepted(self) -> tuple[float, ...]:
        """Moments of what was accepted, in seconds since the start."""
        return tuple(one.at - self.start for one in self.seen if one.accepted)

    @property
    def refused(self) -> int:
        """How many were not."""
        return len(self.seen) - len(self.accepted)

    @property
    def late(self) -> tuple[float, ...]:
        """What was accepted in the second half."""
        return tuple(at for at in self.accepted if at > self.duration / 2)

    @cached_property
    def gaps(self) -> list[float]:
        """Seconds between acceptances once the first burst is over, without the holes that others made."""
        settled = [after - before for before, after in pairwise(at for at in self.accepted if at > self.duration / 4)]
        holes = self.holes
        return [gap for gap in settled if gap not in holes]

    @cached_property
    def holes(self) -> list[float]:
        """Gaps that do not fit among the others: at most two, and none where bursts are the rule."""
        settled = [after - before for before, after in pairwise(at for at in self.accepted if at > self.duration / 4)]
        if len(settled) < 4:
            return []
        usual = median(settled)
        large = [gap for gap in settled if gap > HOLE * max(usual, 2 * self.step)]
        return large if len(large) <= 2 else []

    @property
    def unbroken(self) -> Flood:
        """As far as its first hole, where that leaves enough of it."""
        for before, after in pairwise(self.accepted):
            if after - before in self.holes:
                part = [one for one in self.seen if one.at - self.start <= before + self.step]
                return Flood(part) if sum(one.accepted for one in part) >= ENOUGH else self
        return self

    @property
    def rate(self) -> float:
        """Acceptances/s once the first burst is over."""
        return 1 / fmean(self.gaps) if self.gaps else len(self.accepted) / self.duration

    @property
    def spread(self) -> float:
        """How irregular the gaps are: their deviation by their mean."""
        return pstdev(self.gaps) / fmean(self.gaps) if len(self.gaps) > 1 else 0.0

    @cached_property
    def bursts(self) -> list[tuple[float, float, int]]:
        """First and last moment and number of acceptances that follow each other closely."""
        found: list[tuple[float, float, int]] = []
        for at in self.accepted:
            if found and at - found[-1][1] <= 4.5 * self.step:
                found[-1] = (found[-1][0], at, found[-1][2] + 1)
            else:
                found.append((at, at, 1))
        return found

    @property
    def period(self) -> float:
        """Seconds from burst to burst."""
        starts = [burst[0] for burst in self.bursts[1:]]
        return median(b - a for a, b in pairwise(starts)) if len(starts) > 1 else self.first_wait

    @property
    def first_wait(self) -> float:
        """Seconds from the first to the second burst."""
        return self.bursts[1][0] - self.bursts[0][0] if len(self.bursts) > 1 else self.duration
