"""
What the attempts show of the service: how late its decisions are known, and what one emptiness of its bucket measures.

Decides which rate an event allows to believe in. It must not know at what rate anybody sends next, nor when.

Invariants: an event measures by the service's moments (when it decided), never by when a reply was read; a cohort that
measures nothing changes nothing; what is well known is left in small steps; every figure is finite and above zero.
"""

from __future__ import annotations

import math

import attrs

START_RATE = 1.0
"""Recipients/s of an unknown account: the sandbox's send rate, the lowest that SES gives."""
ASSUMED_DELAY = 0.1
"""Seconds from admission to reply until the first reply was read: SES from the same continent."""
LEAST_DELAY = 0.001
"""Seconds that a reply takes at least: a blocked event loop makes admission and reply one moment, and no network is."""
LEAST_COST = 0.01
"""Recipients that a message has at least: a mean of nothing has no spread."""
SMOOTHING = 0.05
"""Weight of the newest value in the means of delays and costs."""
LEAN = 8.0
"""Messages by which a measurement leans on the estimate of before: a short one must not throw it over."""
SHORT = 30.0
"""Messages without which a measurement may lower the estimate, not raise it."""
SETTLED = 6.0
"""The same in delays: decisions are placed in time no better than that, and a short measurement is all ends."""
DOUBT = 2.0
"""The same for a measurement that shows that the rate has changed: one message at each end."""
FAR = 2.0
"""A pace so many times the measured average had climbed away from it: the average mixes two rates."""
CLIMBED = 1.33
"""A pace so many times the estimate is no probe of it any more: a probe stays within 30 %."""
ORDER = 2.0
"""Mean deviations of the delay by which a large message goes later than what was sent just before it: nearly all of
that then arrives first, and meets no debt."""
CLOSED = 3
"""Throttles without which a cohort says nothing of a service that takes nothing."""
BARREN = 0.2
"""Share of the expected recipients below which a cohort measures nothing: nobody's rate is seen in a closed door."""
LONE = 0.25
"""Share of a cohort throttled after the first throttle, at most, where that may be chance."""
AFTERMATH = 6.0
"""Delays within which nearly nothing was accepted since the event before, where it is the same emptiness still."""
RIPPLE = 3.0
"""Delays within which a lone throttle belongs to the emptiness before it."""
MARGIN = 0.0175
"""Share taken off a well-known limit by a lone throttle: more than the jitter of arrivals at 1/s."""
STEP = 0.03
"""The same by several throttles."""
EXCESS = 2.0
"""How many times the throttled share a limit that is not well known may be too high: some throttles were saved up."""
DEEPEST_FALL = 0.5
"""Share of pace and estimate that one cohort leaves at least: some tens of decisions cannot show more."""


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
    lag: float = math.inf
    """Seconds from an admission to the decision, the short ones: longer ones are a new connection, or a reset first."""
    _costs: float = 1.0
    _squares: float = 1.0

    @property
    def cost(self) -> float:
        """Recipients of a message."""
        return self._costs

    @property
    def quantum(self) -> float:
        """Recipients that one decision is about, as a recipient sees it: 1, or 42 where a tenth has 50."""
        return self._squares / self._costs

    def cushion(self, rate: float) -> float:
        """Recipients by which the order of arrivals may empty a bucket that is drawn exactly as it fills."""
        if rate * self.delay < 1.0:  # one at a time: there is no order that could change
            return 2.0 * rate * self.jitter
        return 2.0 * math.sqrt(rate * self.jitter * self.quantum)

    def ahead(self, cost: float, rate: float) -> float:
        """Recipients of a message dearer than most that are paid for before it goes, at `rate`, not after."""
        if rate * self.delay < 1.0:  # one at a time: there is no order that could change
            return 0.0
        return max(0.0, min(cost - self._costs, ORDER * self.jitter * rate))

    def sent(self, cost: float) -> None:
        """A message with `cost` recipients is on its way."""
        cost = max(LEAST_COST, cost)
        self._costs += SMOOTHING * (cost - self._costs)
        self._squares += SMOOTHING * (cost * cost - self._squares)

    def decided(self, seconds: float) -> float:
        """The service decided `seconds` after the admission; how much later that was than it mostly is."""
        seconds = max(0.0, seconds)
        self.lag = seconds if seconds < self.lag else self.lag + SMOOTHING * (seconds - self.lag)
        return max(0.0, seconds - self.lag)

    def observe(self, seconds: float) -> None:
        """A reply was read `seconds` after the admission."""
        seconds = max(LEAST_DELAY, seconds)
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
        strong: whether that is a limit that is well known.
        seconds: from the anchor to `first`; None without an anchor.
        before: recipients accepted in these seconds.
        drawn: the lowest rate at which a bucket had not been empty before, recipients/s.
        after: what was accepted after `first`, as (decided at, recipients).
        arrivals: how messages arrive.
        share: of the attempts, throttled whatever the pace.
        again: whether nothing was accepted since the event before.
        throttles, refused: the throttles, and their recipients.
        accepted: messages of the cohort that were accepted.
        explained: whether its throttles come whatever the pace.
        changed: whether the rate is another than before.
        barren: whether next to nothing was accepted, so that the cohort measures nothing.
    """

    opened: float
    first: float
    last: float
    pace: float
    prior: float | None
    strong: bool
    seconds: float | None
    before: float
    drawn: float
    after: list[tuple[float, float]]
    arrivals: Arrivals
    share: float = 0.0
    again: bool = False
    throttles: int = 0
    refused: float = 0.0
    accepted: int = 0
    explained: bool = False
    changed: bool = False
    barren: bool = False

    @property
    def brief(self) -> bool:
        """Whether what was accepted since the anchor is so little, or so short, that jitter may have made it more."""
        short = self.seconds is not None and self.seconds < SETTLED * self.arrivals.delay
        return short or self.before < SHORT * self.arrivals.quantum

    @property
    def lean(self) -> float:
        """Recipients by which `measured` leans on `prior`."""
        return LEAN * self.arrivals.quantum

    @property
    def aftermath(self) -> bool:
        """Whether next to nothing was accepted since the event before: it is the same emptiness still."""
        if self.prior is None or self.seconds is None:
            return self.again
        few, soon = self.before < DOUBT * self.arrivals.quantum, self.seconds < AFTERMATH * self.arrivals.delay
        return self.again or (few and soon)

    @property
    def climbed(self) -> bool:
        """Whether the pace had left the estimate behind."""
        return self.prior is not None and self.pace > CLIMBED * self.prior

    @property
    def lone(self) -> bool:
        """Whether what followed the first throttle was mostly accepted, as it is where throttles come by chance."""
        return self.throttles - 1 <= LONE * (self.throttles - 1 + self.accepted)

    def measured(self) -> float | None:
        """Recipients/s accepted from the anchor to the first throttle; None where there is no such time."""
        if self.seconds is None:
            return None
        if self.prior is None:
            return max(START_RATE, self.before / self.seconds, self.drawn) if self.seconds else None
        before = self.before / (1.0 - self.share)
        measured = max((before + self.lean) / (self.seconds + self.lean / self.prior), self.drawn)
        return min(measured, self.prior) if self.brief else measured

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
        surprising = surprising or (self.throttles > CLOSED and self.refused >= within)
        shut = self.throttles >= CLOSED and within < BARREN * min(base * span, self.refused)
        self.barren = self.aftermath or shut
        self.changed = surprising and not self.barren
        if self.changed:
            return self._cohort(base, span, within)
        if self.prior is None:
            return base
        return self.prior if self.aftermath else self._lowered(self.prior, measured)

    def _cohort(self, base: float, span: float, within: float) -> float:
        """What the cohort itself shows."""
        if self.prior is not None and self.pace > FAR * base:
            base = math.sqrt(base * self.pace)
        doubt = DOUBT * self.arrivals.quantum
        found = (within + doubt) / (span + doubt / base)
        return found if self.prior is None else max(found, DEEPEST_FALL * min(self.prior, self.pace))

    def _lowered(self, prior: float, measured: float | None) -> float:
        """What is measured, but not more below the estimate of before than its throttles speak for."""
        if measured is None:
            return prior * (1.0 - MARGIN)
        if self.throttles == 1 and self.seconds is not None and self.seconds < RIPPLE * self.arrivals.delay:
            return prior  # so soon after the last, it is the same emptiness
        step = MARGIN if self.throttles == 1 else STEP
        if not self.strong:
            attempts = self.throttles + self.before / self.arrivals.quantum
            step = 1.0 if self.throttles >= CLOSED else max(step, EXCESS * self.throttles / attempts)
        return max(measured, prior * (1.0 - step))
