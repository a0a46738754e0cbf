"""
Ways of counting that may explain what a service accepted, and how far each is from it.

Each hypothesis is a model of `testing.services` that is offered what the service was offered, at the same moments: it
explains the floods if it would have accepted about as many by every one of them, and as irregularly. Nothing here is
random; what is by chance has no hypothesis of this kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean, median
from typing import Final

import attrs

from ...testing import Schedule
from ...testing._counting import CountingSpec
from ._flood import Flood, Observation

SECONDS: Final = (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 10.0)
"""Lengths that somebody would give a window."""

AGES: Final = (0.1, 0.25, 0.5, 1.0, 2.0)
"""Seconds by which somebody's count would be old."""

PHASES: Final = 8
"""Beginnings of a window that are tried where none can be seen."""

CLOSE: Final = 0.16
"""Messages, in the mean over all attempts, by which a model may be off and still explain them; beside that, twice what
the best one is off by, and the messages of `LATE` seconds."""

FAR: Final = 3.0
"""Times that bound from which nothing explains them, however much worse the others are."""

LATE: Final = 0.003
"""Seconds by which attempts come in another order than they were made."""

ALIKE: Final = 0.3
"""Share by which the spread of the gaps may differ, above `STEADY`."""

STEADY: Final = 0.25
"""Spread of gaps that says nothing."""


@attrs.frozen
class Hypothesis:
    """
    One way of counting.

    Args:
        counting: the kind and its figures.
        rate: recipients/s of the model.
        shift: seconds by which its clock is ahead.
    """

    counting: CountingSpec
    rate: float
    shift: float = 0.0

    def off(self, floods: Sequence[Flood], limit: float) -> tuple[float, tuple[float, ...]]:
        """
        By how many messages it is off in the mean, and the spread of its gaps in each flood.

        Args:
            floods: what was offered and accepted.
            limit: where it does not matter any more how far; infinity is returned.
        """
        model = self.counting.make(Schedule.constant(self.rate), 0)
        total, left, spreads = 0.0, limit * sum(len(flood.seen) for flood in floods), list[float]()
        for flood in floods:
            theirs = ours = 0
            seen = list[Observation]()
            for one in flood.seen:
                taken = model.take(one.at + self.shift, 1)
                seen.append(Observation(one.at, taken))
                theirs += one.accepted
                ours += taken
                total += abs(theirs - ours)
                if total > left:
                    return math.inf, ()
            spreads.append(Flood(seen).spread)
        return total / sum(len(flood.seen) for flood in floods), tuple(spreads)

    def refuses(self, floods: Sequence[Flood], paced: Sequence[Sequence[Observation]]) -> list[int]:
        """How many it would have refused of each paced run, which came after the floods."""
        model = self.counting.make(Schedule.constant(self.rate), 0)
        for flood in floods:
            for one in flood.seen:
                model.take(one.at + self.shift, 1)
        return [sum(not model.take(one.at + self.shift, 1) for one in run) for run in paced]


def explaining(rate: float, floods: Sequence[Flood]) -> list[Hypothesis]:
    """
    The hypotheses that explain two floods, the simplest first and one of each kind; none where chance was in it.

    Args:
        rate: recipients/s that the account is told to have.
        floods: what was offered and accepted.
    """
    best, found = math.inf, list[tuple[float, int, Hypothesis]]()
    in_order = sorted(floods, key=lambda flood: flood.start)
    for number, hypothesis in enumerate(_all(rate, floods)):
        off, spreads = hypothesis.off(in_order, min(_bound(best, rate), FAR * _bound(0.0, rate)))
        if off < math.inf and all(map(_alike, spreads, (flood.spread for flood in in_order))):
            best = min(best, off)
            found.append((off, number, hypothesis))
    near = [(number, off, hypothesis) for off, number, hypothesis in found if off <= _bound(best, rate)]
    kinds: dict[str, tuple[float, int, Hypothesis]] = {}
    for number, off, hypothesis in near:
        kind = hypothesis.counting.kind
        if kind not in kinds or off < kinds[kind][0] - 1e-9:
            kinds[kind] = (off, number, hypothesis)
    return [hypothesis for _, _, hypothesis in kinds.values()]


def nearest_bucket(rate: float, floods: Sequence[Flood]) -> Hypothesis:
    """The bucket that is least off, however far."""
    return min(_buckets(rate, floods), key=lambda each: each.off(floods, math.inf)[0])


def _bound(best: float, rate: float) -> float:
    return max(CLOSE + LATE * rate, 2 * best)


def _alike(model: float, seen: float) -> bool:
    return abs(model - seen) <= max(STEADY, ALIKE * seen)


def _all(rate: float, floods: Sequence[Flood]) -> Iterator[Hypothesis]:
    """What could be, as far as the floods show it: the simplest first."""
    yield from _buckets(rate, floods)
    lengths = sorted({*SECONDS, *(round(flood.period, 3) for flood in floods if len(flood.bursts) > 2)})
    within = [seconds for seconds in lengths if seconds < floods[0].duration / 2]
    for seconds in within:
        yield Hypothesis(CountingSpec("sliding", {"seconds": seconds}), rate)
    for seconds in within:
        for shift in _beginnings(seconds, rate, floods):
            yield Hypothesis(CountingSpec("fixed", {"seconds": seconds, "offset": 0.0}), rate, shift)
    for seconds in within:
        if seconds * rate >= 1:
            for number in range(PHASES):
                yield Hypothesis(CountingSpec("two-windows", {"seconds": seconds}), rate, seconds * number / PHASES)
    for age in sorted({*AGES, *_ages(rate, floods)}):
        yield Hypothesis(CountingSpec("stale", {"age": age}), rate)


def _buckets(rate: float, floods: Sequence[Flood]) -> Iterator[Hypothesis]:
    measured = fmean(flood.rate for flood in floods)
    for each in (rate, measured):
        # The k-th acceptance comes with the first attempt, on the average half a step late, at which
        # level + rate * t >= k.
        tokens = [
            number - each * (at - flood.step / 2)
            for flood in floods
            for number, at in enumerate(flood.accepted, 1)
            if at > flood.duration / 4
        ]
        if tokens:
            depth = max(1.0, fmean(tokens)) / each
            yield Hypothesis(CountingSpec("bucket", {"depth": round(depth, 4)}), each)
            if depth * each < 1.3:
                yield Hypothesis(CountingSpec("bucket", {"depth": round(1 / each, 4)}), each)


def _beginnings(seconds: float, rate: float, floods: Sequence[Flood]) -> Iterator[float]:
    """Shifts at which a window may begin where a burst was seen to."""
    # A window that has less than one recipient has none most of the time: which one has is another question.
    turns = max(1, min(10, math.ceil(1 / (rate * seconds)))) if rate * seconds < 1 else 1
    parts = (0.5,) if turns == 1 else (0.0, 0.25, 0.5, 0.75, 1.0)
    tried = set[float]()
    for flood in floods:
        for first, _, _ in flood.bursts[1:3]:
            for part in parts:
                begun = (-(flood.start + first - part * flood.step)) % seconds
                for turn in range(turns):
                    shift = round(begun + turn * seconds, 4)
                    if shift not in tried:
                        tried.add(shift)
                        yield shift


def _ages(rate: float, floods: Sequence[Flood]) -> Iterator[float]:
    """A run of a stale count lasts its age and k / (multiple - 1) more: two floods give both."""
    if all(len(flood.bursts) > 1 for flood in floods):
        lengths = [median(last - begin for begin, last, _ in flood.bursts[1:]) for flood in floods]
        first, second = (1 / max(0.1, 1 / (flood.step * rate) - 1) for flood in floods)
        age = lengths[0] - (lengths[1] - lengths[0]) * first / (second - first) if second > first else 0.0
        if age > 0.02:
            near = (age, age - floods[0].step, age + floods[0].step)
            yield from (round(each, 3) for each in near if each > 0.0)
