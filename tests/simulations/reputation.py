"""Where the guard of the reputation warns, slows and holds, on lists that are made up by a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator

from seslimit.feedback._reputation import Figures, Level, level_of


def reached(
    share: float, messages: int, seed: int, *, complaints: bool = False, whole: bool = False
) -> dict[Level, int]:
    """Each level → how many messages had been sent when it was reached first."""
    found: dict[Level, int] = {}
    for count, sent in enumerate(events(share, messages, random.Random(seed)), 1):
        figures = Figures(sent, complaints=count) if complaints else Figures(sent, bounces=count)
        level, _ = level_of(figures, whole=whole)
        if level not in found:
            found[level] = sent
        if level is Level.HOLD:
            break
    return found


def events(share: float, messages: int, chance: random.Random) -> Iterator[int]:
    """The numbers of the messages that bounce: the guard decides at these alone."""
    for number in range(1, messages + 1):
        if chance.random() < share:
            yield number


def false_holds(share: float, messages: int, seeds: int) -> int:
    """How many of so many lists are held although they are as good as they should be."""
    return sum(Level.HOLD in reached(share, messages, seed) for seed in range(seeds))
