"""
The start, while no limit is known: which throttles end the search for it.

A pace that grows fivefold a second has passed the limit by half and more when the bucket is empty, so most of what
follows is throttled. Throttles that come by chance are as frequent at one pace as at another, and far fewer. Decides by
the likelihood of the one against the other. It must not know the pace.

Invariants: one throttle never ends the search; a service that takes nothing ends it within three.
"""

from __future__ import annotations

import math

import attrs

BY_CHANCE = 0.1
"""Share of the attempts that may be throttled whatever the pace: as much as anybody would go on sending with."""
BEYOND = 0.45
"""Share of them at a pace beyond the limit, when the bucket is empty."""
SURE = 3.0
"""Logarithm of how much likelier the second must be."""
FAR = 0.5
"""Share of the limit below which no throttle was the rate's."""
SOME = 2
"""Throttles of the search that are no chance to have had any, if it ends later."""


@attrs.define
class Search:
    """What was throttled on the way up."""

    _score: float = attrs.field(default=0.0, init=False)
    _attempts: int = attrs.field(default=0, init=False)
    _throttles: int = attrs.field(default=0, init=False)
    _passed: list[tuple[float, int, int]] = attrs.field(factory=list, init=False)

    @property
    def over(self) -> bool:
        """Whether the pace is beyond the limit."""
        return self._score >= SURE

    def share(self, limit: float) -> float:
        """Share of the attempts that was throttled far below the limit, recipients/s; 0 where it may have been none."""
        throttles, attempts = max(((t, a) for pace, t, a in self._passed if pace < FAR * limit), default=(0, 0))
        return throttles / attempts if throttles >= SOME else 0.0

    def attempted(self, *, throttled: bool) -> None:
        """An attempt was answered."""
        self._attempts += 1
        self._throttles += throttled
        chance = math.log(BEYOND / BY_CHANCE) if throttled else math.log((1.0 - BEYOND) / (1.0 - BY_CHANCE))
        self._score = max(0.0, self._score + chance)

    def goes_on(self, pace: float) -> None:
        """An event at that pace, recipients/s, was none of the rate's."""
        self._passed.append((pace, self._throttles, self._attempts))
