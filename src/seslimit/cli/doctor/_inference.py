"""
From what a service accepted and refused to how it counts.

Pure: it is given the verdicts of a few experiments with a service that had rested before each, and names the kind and
its figures. It sends nothing and knows no clock. Where several ways of counting explain what was seen it names them
all.

The experiments: a *flood* offers a multiple of the rate at an even pace; an *easy* and a *brisk* run offer half and
nine tenths of it; a *recovery* follows a flood after which nothing was accepted any more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from statistics import fmean, median, pstdev
from typing import Final

import attrs

from ...testing import Schedule
from ...testing._counting import CountingSpec
from ._flood import Flood, Observation
from ._hypotheses import Hypothesis, explaining, nearest_bucket
from ._seen import Confidence

FLOODS: Final = (8, 4)
"""Multiples of the rate that the two floods offer: two, since a stale count swings in time with what it is offered."""

EASY: Final = 0.5
"""The multiple of the rate that no pace-keeping service refuses."""

BRISK: Final = 0.9
"""One at which another sender of the account is in the way, and chance is as it was."""

REGULAR: Final = 0.35
"""Spread of the gaps between acceptances, relative to their mean, up to which they are one bucket's; 0.23 is the most
that a flood of four times the rate makes of a bucket, 0.39 the least that two front ends do."""

STEADY_RATE: Final = 0.05
"""Share by which a rate may seem to change that does not: some refused by chance make as much."""

RUN: Final = 4.0
"""Mean refusals in a row from which they are another sender's doing, who had many recipients at once."""

UNUSUAL: Final = 0.15
"""Share refused by chance from which another sender is as likely."""

FRONT_ENDS: Final = (2, 3, 4, 6, 8)
"""Numbers of front ends that are tried."""

SEEDS: Final = 5
"""How often chance is played for each number of front ends."""

PLAYED: Final = 1500
"""Attempts of a flood for which it is."""


@attrs.frozen
class Experiments:
    """
    What was seen.

    Args:
        rate: recipients/s that the account is told to have.
        floods: of `FLOODS` times that rate, in this order; the second is missing where the first had no end.
        paced: at `EASY` and at `BRISK` times it; none where the first flood had no end.
        recovery: after a flood after which nothing more was accepted.
    """

    rate: float
    floods: Sequence[Sequence[Observation]]
    paced: Sequence[Sequence[Observation]] = ()
    recovery: Sequence[Observation] = ()


@attrs.frozen
class Finding:
    """
    How a service counts, as far as could be seen.

    Args:
        rate: recipients/s of the model.
        counting: the kind and its figures.
        words: why, in one sentence, with what looks the same.
        confidence: how sure the kind is.
        others: what else explains what was seen.
        taken: recipients/s that it took under load.
        margins: figure → by how much it may be off.
    """

    rate: float
    counting: CountingSpec
    words: str
    confidence: Confidence = Confidence.SURE
    others: tuple[CountingSpec, ...] = ()
    taken: float = 0.0
    margins: dict[str, float] = attrs.field(factory=dict)


def infer(seen: Experiments) -> Finding:
    """Say how the service counts."""
    floods = [Flood(each) for each in seen.floods]
    if exhausted(floods[0]):
        return _of_cost(seen, floods[0])
    taken = fmean(flood.rate for flood in floods)
    found = explaining(seen.rate, floods)
    if not found and any(flood.holes for flood in floods):
        found = explaining(seen.rate, [flood.unbroken for flood in floods])
    unlimited = not any(flood.refused for flood in floods)
    if unlimited and not found:
        words = (
            f"nothing was refused at up to {FLOODS[0]} times the rate, so the limit is above, and how it counts open"
        )
        return Finding(taken, CountingSpec("bucket"), words, Confidence.OPEN, taken=taken)
    if found:
        exact = [each for each in found if _refuses_as_seen(each, floods, seen.paced)]
        if exact:
            return _of_hypotheses(floods, exact, taken)
        return _with_refusals(seen, floods, _of_hypotheses(floods, found, taken))
    if max(flood.spread for flood in floods) <= REGULAR:
        noise = _of_noise(floods, taken)
        if noise.margins["spread"] < STEADY_RATE:
            noise = _of_hypotheses(floods, [nearest_bucket(seen.rate, floods)], taken)
        return _with_refusals(seen, floods, noise)
    return _of_front_ends(seen.rate, floods, taken)


def _refuses_as_seen(hypothesis: Hypothesis, floods: Sequence[Flood], paced: Sequence[Sequence[Observation]]) -> bool:
    """Whether nobody else, and no chance, is needed for what was refused below the rate."""
    if any(flood.holes for flood in floods) and hypothesis.counting.kind == "bucket":
        return False
    expected = hypothesis.refuses(floods, paced)
    seen = [sum(not one.accepted for one in run) for run in paced]
    return all(abs(a - b) <= 0.3 * a for a, b in zip(expected, seen, strict=True))


def exhausted(flood: Flood) -> bool:
    """Whether nothing more was accepted after the first burst, though much was offered."""
    return bool(flood.refused) and len(flood.bursts) < 2 and flood.duration > 3 * (flood.accepted[-1:] or (0.0,))[0]


def _of_cost(seen: Experiments, flood: Flood) -> Finding:
    burst = len(flood.accepted)
    depth = burst * (1 - 1 / FLOODS[0]) / seen.rate
    last = flood.start + (flood.accepted[-1] if flood.accepted else 0.0)
    back = next((one.at for one in seen.recovery if one.accepted), None)
    refused = flood.refused + sum(one.at < (back or math.inf) for one in seen.recovery)
    if back is None:
        words = (
            "refusals cost tokens: after the first burst nothing more was accepted, how many they cost is above what"
        )
        return Finding(
            seen.rate,
            CountingSpec("bucket", {"depth": round(depth, 3), "refusal_cost": 1.0}),
            f"{words} {len(seen.recovery)} more attempts showed",
            Confidence.LIKELY,
        )
    cost = (seen.rate * (back - last) - 0.5) / refused
    words = f"refusals cost {cost:.2g} tokens each: it took {back - last:.0f} s until one was accepted again"
    figures = {"depth": round(max(depth, 1 / seen.rate), 3), "refusal_cost": round(cost, 3)}
    return Finding(seen.rate, CountingSpec("bucket", figures), words, margins={"depth": 1.5 / seen.rate})


def _of_hypotheses(floods: Sequence[Flood], found: list[Hypothesis], taken: float) -> Finding:
    first, *others = found
    counting = _shown(first.counting)
    rest = tuple(_shown(other.counting) for other in others)
    step = max(flood.step for flood in floods)
    margins = {"depth": max(step, 1.0 / first.rate) if counting.figures.get("depth", 2.0) * first.rate < 1.5 else step}
    if not rest:
        return Finding(first.rate, counting, said(counting, first.rate), taken=taken, margins=margins)
    told = " or ".join(said(each.counting, each.rate) for each in found)
    words = f"{told}: {'both' if len(found) == 2 else f'all {len(found)}'} explain it"
    return Finding(first.rate, counting, words, Confidence.LIKELY, rest, taken, margins)


def _shown(counting: CountingSpec) -> CountingSpec:
    """Without the beginning of a window, which is the service's clock's."""
    return CountingSpec(counting.kind, {name: value for name, value in counting.figures.items() if name != "offset"})


def said(counting: CountingSpec, rate: float) -> str:
    """A way of counting in words."""
    figures = counting.figures
    match counting.kind:
        case "bucket" if figures["depth"] * rate <= 1.001:
            return f"a bucket of one token at {rate:.3g}/s"
        case "bucket":
            return f"a bucket of {figures['depth']:.3g} s ({figures['depth'] * rate:.3g} tokens)"
        case "noisy":
            return "a bucket of unknown depth"
        case "sliding":
            return f"a sliding window of {figures['seconds']:.3g} s"
        case "fixed":
            return f"a window of {figures['seconds']:.3g} s by the service's clock"
        case "two-windows":
            return f"a window of {figures['seconds']:.3g} s, estimated from two"
        case _:
            return f"a count that is {figures['age']:.3g} s old"


def _of_noise(floods: Sequence[Flood], taken: float) -> Finding:
    """Regular, and yet no bucket: its rate changes."""
    pieces = [piece for flood in floods for piece in _pieces(flood)]
    spread = min(0.9, pstdev(pieces) / fmean(pieces) * math.sqrt(3)) if len(pieces) > 1 else 0.0
    words = f"a bucket whose rate changes by up to about {spread:.0%} within seconds, or another sender"
    margin = spread
    return Finding(
        taken,
        CountingSpec("noisy", {"spread": round(spread, 3)}),
        words,
        Confidence.LIKELY,
        (CountingSpec("rival"),),
        taken,
        {"spread": margin},
    )


def _pieces(flood: Flood) -> list[float]:
    """Rates of the flood's seconds, two at a time, once the first burst is over."""
    begin, length = flood.duration / 4, 2.0
    count = int((flood.duration - begin) / length)
    inside = [
        [at for at in flood.accepted if begin + n * length <= at < begin + (n + 1) * length] for n in range(count)
    ]
    return [(len(some) - 1) / (some[-1] - some[0]) for some in inside if len(some) > 1 and some[-1] > some[0]]


def _of_front_ends(rate: float, floods: Sequence[Flood], taken: float) -> Finding:
    floods = [Flood(flood.seen[:PLAYED]) for flood in floods]
    seen = [flood.spread for flood in floods]
    near = dict[int, float]()
    for number in FRONT_ENDS:
        spec = CountingSpec("front-ends", {"number": float(number)})
        played = [_spreads(spec, rate, floods, seed) for seed in range(SEEDS)]
        means = [fmean(each) for each in zip(*played, strict=True)]
        scatter = [max(0.04, pstdev(each)) for each in zip(*played, strict=True)]
        near[number] = fmean(abs(a - b) / c for a, b, c in zip(seen, means, scatter, strict=True))
    best = min(near, key=lambda number: near[number])
    fitting = [number for number, off in near.items() if off <= max(1.6, 1.5 * near[best])]
    many = f"{fitting[0]}" if len(fitting) == 1 else f"{fitting[0]} to {fitting[-1]}"
    words = f"several machines with a share each, one of which a message meets by chance: {many} of them explain it"
    return Finding(
        taken,
        CountingSpec("front-ends", {"number": float(best)}),
        words,
        Confidence.LIKELY,
        tuple(CountingSpec("front-ends", {"number": float(number)}) for number in fitting if number != best),
        taken,
    )


def _spreads(spec: CountingSpec, rate: float, floods: Sequence[Flood], seed: int) -> list[float]:
    model = spec.make(Schedule.constant(rate), seed)
    offered = [Flood([Observation(one.at, model.take(one.at, 1)) for one in flood.seen]) for flood in floods]
    return [flood.spread for flood in offered]


def _with_refusals(seen: Experiments, floods: Sequence[Flood], found: Finding) -> Finding:
    """The same, with what was refused below the rate, which no pace-keeping service refuses."""
    holes = [gap for flood in floods for gap in flood.holes]
    refused = [sum(not one.accepted for one in each) for each in seen.paced]
    if found.counting.kind == "stale" or not (any(refused) or holes):
        return found
    runs = [run for each in seen.paced for run in _runs(each)]
    if holes or (runs and fmean(len(run) for run in runs) >= RUN):
        return _of_heavy_rival(seen, found, runs, holes)
    if found.counting.kind != "bucket" or not seen.paced:
        return found
    shares = [part / len(each) for part, each in zip(refused, seen.paced, strict=True)]
    error = math.hypot(*(_deviation(share, len(each)) for share, each in zip(shares, seen.paced, strict=True)))
    if shares[1] - shares[0] > 2.5 * error:
        return _of_light_rival(seen.rate, found, shares[1], len(seen.paced[1]))
    return _of_chance(found, sum(refused), sum(map(len, seen.paced)))


def _runs(seen: Sequence[Observation]) -> list[list[Observation]]:
    """What was refused, by what was refused in a row."""
    return [list(run) for accepted, run in groupby(seen, key=lambda one: one.accepted) if not accepted]


def _deviation(share: float, number: int) -> float:
    """Standard error of a share, not below that of one in all."""
    share = min(max(share, 1 / number), 1 - 1 / number)
    return math.sqrt(share * (1 - share) / number)


def _of_heavy_rival(seen: Experiments, found: Finding, runs: list[list[Observation]], holes: list[float]) -> Finding:
    long = [run[-1].at - run[0].at for run in runs if len(run) >= RUN] + holes
    recipients = max(2, round(median(long) * seen.rate))
    seconds = sum(each[-1].at - each[0].at for each in (*seen.floods, *seen.paced))
    every = seconds / max(1, len(long))
    words = f"{said(found.counting, found.rate)}, and another sender who takes about {recipients} at once now and then"
    figures = {
        "every": round(every, 1),
        "recipients": float(recipients),
        "depth": found.counting.figures.get("depth", 1),
    }
    return attrs.evolve(
        found,
        counting=CountingSpec("rival", figures),
        words=f"{words} ({len(long)} times in {seconds:.0f} s): measure again when nobody else sends",
        confidence=Confidence.LIKELY,
        others=(found.counting, *found.others),
        margins={**found.margins, "every": every, "recipients": float(recipients)},
    )


def _of_light_rival(rate: float, found: Finding, share: float, number: int) -> Finding:
    rest = 1 / (1 - min(share, 0.95)) - BRISK
    half = 1.96 * _deviation(share, number) / (1 - min(share, 0.95)) ** 2
    figures = {"every": round(1 / (rest * rate), 4), "depth": found.counting.figures.get("depth", 1.0)}
    words = (
        f"{said(found.counting, found.rate)}, and another sender who takes about {rest:.0%} of it (within {half:.0%}): "
        f"{share:.0%} was refused at nine tenths of the rate, or its rate changes; measure again when nobody sends"
    )
    return attrs.evolve(
        found,
        counting=CountingSpec("rival", figures),
        words=words,
        confidence=Confidence.LIKELY,
        others=(CountingSpec("noisy"),),
        margins={**found.margins, "every": figures["every"] * half / rest},
    )


def _of_chance(found: Finding, refused: int, offered: int) -> Finding:
    share = refused / offered
    half = 1.96 * _deviation(share, offered)
    words = (
        f"{said(found.counting, found.rate)}, and {refused} of {offered} refused below the rate: {share:.1%} by chance "
        f"(within {half:.1%})" + (", or another sender who takes as much" if share > UNUSUAL else "")
    )
    return attrs.evolve(
        found,
        counting=CountingSpec("chance", {"share": round(share, 4), "depth": found.counting.figures["depth"]}),
        words=words,
        confidence=Confidence.LIKELY,
        others=(*((found.counting,) if refused == 1 else ()), *((CountingSpec("rival"),) if share > UNUSUAL else ())),
        margins={**found.margins, "share": half},
    )
