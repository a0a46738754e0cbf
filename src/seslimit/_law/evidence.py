"""
What the attempts show of the service: how late its decisions are known, and what one emptiness of its bucket measures.

Decides which rate an event allows to believe in. It must not know at what rate anybody sends next, nor when.

Invariants: an event measures by the service's moments (when it decided), never by when a reply was read; a cohort that
measures nothing changes nothing.
"""

from __future__ import annotations

import math

import attrs

START_RATE = 1.0
"""Recipients/s of an unknown account: the sandbox's send rate, the lowest that SES gives."""
ASSUMED_DELAY = 0.1
"""Seconds from admission to reply until the first reply was read: SES from the same continent."""
SMOOTHING = 0.05
"""Weight of the newest value in the means of delays and costs."""
LEAN = 8.0
"""Messages by which a measurement leans on the estimate of before: a short one must not throw it over."""
DOUBT = 2.0
"""The same for a measurement that shows that the rate has changed: one message at each end."""
FAR = 2.0
"""A pace so many times the measured average had climbed away from it: the average mixes two rates."""
BARREN = 0.2
"""Share of the expected recipients below which a cohort measures nothing: throttles may cost tokens, too."""
MARGIN = 0.015
"""Share taken off the estimate by a throttle that measures nothing: more than the jitter of arrivals at 1/s."""


@attrs.define
class Arrivals:
    """
    How messages arrive at the service, in running means.

    Args:
        delay: seconds from an admission to the reply.
        jitter: mean deviation of the delay, seconds.
    """

    delay: float = ASSUMED_DELAY
    jitter: float = 0.0
    _costs: float = 1.0
    _squares: float = 1.0

    @property
    def quantum(self) -> float:
        """Recipients that one decision is about, as a recipient sees it: 1, or 42 where a tenth has 50."""
        return self._squares / self._costs

    def cushion(self, rate: float) -> float:
        """Recipients by which the order of arrivals may empty a bucket that is drawn exactly as it fills."""
        return 2.0 * math.sqrt(rate * self.jitter * self.quantum)

    def sent(self, cost: float) -> None:
        """A message with `cost` recipients is on its way."""
        self._costs += SMOOTHING * (cost - self._costs)
        self._squares += SMOOTHING * (cost * cost - self._squares)

    def observe(self, seconds: float) -> None:
        """A reply was read `seconds` after the admission."""
        self.jitter += SMOOTHING * (abs(seconds - self.delay) - self.jitter)
        self.delay += SMOOTHING * (seconds - self.delay)


@attrs.define
class Event:
    """
    One emptiness of the bucket: the first throttle, and its cohort, which is what was under way when it was read.

    Args:
        opened: when the first throttle was read.
        first, last: when the service decided on the first and on the last throttle.
        pace: what was paced at when it opened, recipients/s.
        prior: the estimate of before, recipients/s; None in the start.
        seconds: from the anchor to `first`; None without an anchor.
        before: recipients accepted in these seconds.
        after: what was accepted after `first`, as (decided at, recipients).
        arrivals: how messages arrive.
        throttles, refused: the throttles, and their recipients.
        changed: whether the rate is another than before.
        barren: whether next to nothing was accepted, so that the cohort measures nothing.
        lost: whether nothing was accepted for so long that nothing is known any more.
    """

    opened: float
    first: float
    last: float
    pace: float
    prior: float | None
    seconds: float | None
    before: float
    after: list[tuple[float, float]]
    arrivals: Arrivals
    throttles: int = 0
    refused: float = 0.0
    changed: bool = False
    barren: bool = False
    lost: bool = False

    @property
    def lean(self) -> float:
        """Recipients by which `measured` leans on `prior`."""
        return LEAN * self.arrivals.quantum

    def measured(self) -> float | None:
        """Recipients/s accepted from the anchor to the first throttle; None where there is no such time."""
        if self.seconds is None:
            return None
        if self.prior is None:
            return max(START_RATE, self.before / self.seconds) if self.seconds else None
        return (self.before + self.lean) / (self.seconds + self.lean / self.prior)

    def within(self) -> float:
        """Recipients accepted from the first throttle to the last."""
        return sum(cost for decided_at, cost in self.after if decided_at <= self.last)

    def judged(self) -> float:
        """The rate that the event allows to believe in so far, recipients/s."""
        measured = self.measured()
        base = measured or self.prior or self.pace
        span, within = self.last - self.first, self.within()
        missing = min(self.refused, base * span - within)
        surprising = self.prior is None or abs(missing) > 2.0 * self.arrivals.quantum + self.arrivals.cushion(base)
        climbed = self.prior is not None and self.pace > FAR * base
        self.barren = self.throttles > 1 and within < BARREN * base * span
        self.changed = not self.barren and (surprising or climbed)
        if self.barren:
            return base
        if self.changed:
            base = math.sqrt(base * self.pace) if climbed else base
            doubt = DOUBT * self.arrivals.quantum
            return (within + doubt) / (span + doubt / base)
        return self._lowered(measured)

    def _lowered(self, measured: float | None) -> float:
        """What is measured, or a margin less than before where the throttle may be the jitter of a lone message."""
        prior = self.prior or self.pace
        margin = prior * (1.0 - MARGIN)
        if measured is None:
            return margin
        error = 2.0 * self.arrivals.quantum / (self.before + self.lean)
        alone = prior * self.arrivals.delay < 1.0 and measured > prior * (1.0 - error)
        return max(measured, margin) if alone else measured
