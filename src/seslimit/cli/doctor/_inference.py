"""
From what a service accepted and refused to how it counts.

Pure: it is given the verdicts of a few experiments with a service that had rested before each, and names the kind and
its figures. It sends nothing and knows no clock.

The experiments: a *flood* offers a multiple of the rate at an even pace; an *easy* run offers half of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median, pstdev
from typing import Final

import attrs

from ...testing._counting import CountingSpec

FLOODS: Final = (8, 4)
"""Multiples of the rate that the two floods offer: two, since a stale count swings in time with what it is offered."""

EASY: Final = 0.5
"""The multiple of the rate that no pace-keeping service refuses."""

REGULAR: Final = 0.4
"""Spread of the gaps between acceptances, relative to their mean, up to which they are one bucket's; 0.23 is the most
that a flood of four times the rate makes of a bucket, 0.5 the least that two front ends do."""

BURSTS: Final = 1.5
"""The same, from which acceptances come in bursts; many front ends come to 1.15."""


@attrs.frozen
class Observation:
    """One attempt: its moment in seconds, and whether the service took it."""

    at: float
    accepted: bool


@attrs.frozen
class Experiments:
    """
    What was seen.

    Args:
        rate: recipients/s that the account is told to have.
        floods: of `FLOODS` times that rate, in this order.
        easy: of `EASY` times it.
    """

    rate: float
    floods: tuple[Sequence[Observation], Sequence[Observation]]
    easy: Sequence[Observation]


@attrs.frozen
class Finding:
    """
    How a service counts, as far as could be seen.

    Args:
        rate: recipients/s that it took under load.
        counting: the kind and its figures.
        words: why, in one sentence, with what looks the same.
    """

    rate: float
    counting: CountingSpec
    words: str


def infer(seen: Experiments) -> Finding:
    """Say how the service counts."""
    first, second = (_Flood.of(flood) for flood in seen.floods)
    if not second.accepted or not first.late:
        return Finding(
            seen.rate,
            CountingSpec("bucket", {"refusal_cost": 1.0}),
            "refusals cost tokens: under a flood nothing more was accepted, nor after a rest; how many is not measured",
        )
    spread = min(flood.spread for flood in (first, second))
    if max(flood.spread for flood in (first, second)) >= BURSTS:
        return _of_bursts(seen, first, second)
    if spread > REGULAR:
        return _of_front_ends(first)
    refused = sum(not one.accepted for one in seen.easy)
    bucket = _of_bucket(seen, first, second)
    if refused:
        return Finding(bucket.rate, *_by_chance(refused, len(seen.easy), bucket.counting))
    return bucket


@attrs.frozen
class _Flood:
    """One flood: moments since its start."""

    step: float
    accepted: tuple[float, ...]
    duration: float

    @classmethod
    def of(cls, seen: Sequence[Observation]) -> _Flood:
        start = seen[0].at
        duration = seen[-1].at - start
        accepted = tuple(one.at - start for one in seen if one.accepted)
        return cls(duration / (len(seen) - 1), accepted, duration)

    @property
    def late(self) -> tuple[float, ...]:
        return tuple(at for at in self.accepted if at > self.duration / 2)

    @property
    def gaps(self) -> list[float]:
        settled = [at for at in self.accepted if at > self.duration / 4]
        return [after - before for before, after in pairwise(settled)]

    @property
    def spread(self) -> float:
        gaps = self.gaps
        return pstdev(gaps) / fmean(gaps) if len(gaps) > 1 else 0.0

    @property
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
        starts = [burst[0] for burst in self.bursts[1:]]
        return median(b - a for a, b in pairwise(starts)) if len(starts) > 1 else self.first_wait

    @property
    def first_wait(self) -> float:
        bursts = self.bursts
        return bursts[1][0] - bursts[0][0] if len(bursts) > 1 else self.duration


def _of_bursts(seen: Experiments, first: _Flood, second: _Flood) -> Finding:
    if first.period > 1.3 * second.period:
        # A run lasts the age and k / (multiple - 1) more: two floods give both.
        lengths = [median(last - begin for begin, last, _ in flood.bursts[1:]) for flood in (first, second)]
        share = (1 / (FLOODS[0] - 1)) / (1 / (FLOODS[1] - 1) - 1 / (FLOODS[0] - 1))
        age = lengths[0] - (lengths[1] - lengths[0]) * share
        words = "it decides by an old count: it swings, and the more is offered the longer"
        return Finding(seen.rate, CountingSpec("stale", {"age": round(age, 3)}), words)
    period = fmean((first.period, second.period))
    worth = median(count for _, _, count in first.bursts[1:])
    figures = {"seconds": round(period, 3)}
    aligned = all(abs(flood.first_wait - period) < 0.1 * period for flood in (first, second))
    if aligned and all(flood.bursts[0][2] < 1.2 * worth + 1 for flood in (first, second)):
        words = "as much as the rate's worth in any window: the second burst came a window after the first one"
        return Finding(worth / period, CountingSpec("sliding", figures), words)
    words = "as much as the rate's worth between two ticks of a clock that does not mind when the sending begins"
    return Finding(worth / period, CountingSpec("fixed", figures), words)


def _of_front_ends(flood: _Flood) -> Finding:
    words = "several machines with a share each, one of which a message meets by chance; how many is not measured"
    return Finding(len(flood.late) / (flood.duration / 2), CountingSpec("front-ends"), words)


def _of_bucket(seen: Experiments, first: _Flood, second: _Flood) -> Finding:
    rate = fmean(1 / fmean(flood.gaps) for flood in (first, second))
    wait = first.bursts[1][0] - first.bursts[0][1] if len(first.bursts) > 1 else 0.0
    if wait > 4 / rate and first.bursts[0][2] > 3:
        seconds = first.bursts[0][2] / seen.rate
        words = "a window estimated from two: a long wait after the first burst, and then an even pace"
        return Finding(rate, CountingSpec("two-windows", {"seconds": round(seconds, 3)}), words)
    # The k-th acceptance comes with the first attempt, on the average half a step late, at which level + rate * t >= k.
    tokens = [
        number - rate * (at - flood.step / 2)
        for flood in (first, second)
        for number, at in enumerate(flood.accepted, 1)
        if at > flood.duration / 4
    ]
    depth = max(1.0, fmean(tokens)) / rate
    words = "a bucket; one that varies a little, or that another sender uses now and then, looks the same"
    return Finding(rate, CountingSpec("bucket", {"depth": round(depth, 4)}), words)


def _by_chance(refused: int, offered: int, bucket: CountingSpec) -> tuple[CountingSpec, str]:
    share = refused / offered
    half = 1.96 * (share * (1 - share) / offered) ** 0.5
    words = f"{refused} of {offered} refused at half the rate: {share:.1%} by chance (within {half:.1%})"
    return CountingSpec("chance", {"share": round(share, 4), **bucket.figures}), words
