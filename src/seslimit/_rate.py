"""
The control law: finds the rate at which an account may send, from nothing but what was accepted and what was throttled.

It decides recipients/s to pace at, and moments before which nobody is admitted. It must not know what time it is (it is
told), who waits, or what a message is. What it uses of the service: a throttle means "the token bucket is empty now", so
between two throttles the accepted recipients divided by the seconds *are* the rate (the anchor).

Invariants: the rate is above zero and never above a cap; throttles of messages admitted before an event opened belong to
that event; nothing is learnt and nothing grows while frozen or while the caller is the bottleneck.
"""

from __future__ import annotations

import math
from collections import deque

import attrs

START_RATE = 1.0
"""Where an unknown rate begins, recipients/s: the lowest send rate that SES gives (the sandbox)."""
FLOOR = 0.1
"""The estimate never falls below this, recipients/s: an attempt every ten seconds finds out whether the service is back."""
ASSUMED_DELAY = 0.1
"""Seconds from admission to reply, until the first reply was read: SES from the same continent."""
ASSUMED_DEPTH = 1.0
"""Seconds of the rate that the service's bucket is taken to hold where nothing better is known."""
START_GROWTH = math.log(4.0)
"""Growth before the first throttle, 1/s: fourfold a second, 100/s after 3.3 s."""
START_REFUSALS = 34.0
"""Throttles that the overshoot of the start may cost: with it the growth slows down as the rate rises."""
LEAST_GROWTH = 0.1
"""Growth that no rate falls short of, 1/s: doubled in 7 s even where the overshoot then costs more."""
CLIMB_GROWTH = 0.4
"""Growth after the rate has outlived its plan, 1/s: threefold in 3 s."""
CLIMB_REFUSALS = 12.0
"""Throttles that the overshoot of a climb may cost."""
PROBE_REFUSALS = 0.5
"""Throttles that a probe may cost besides the one that it looks for: it paces so many per delay above the estimate."""
FULL_REFUSALS = 3.0
"""The same where the bucket may be full: a whole second of the rate has to be drawn down."""
PROBE_SHARE = 0.3
"""A probe paces at most this share above the estimate."""
GROWTH_SECONDS = 1.0
"""Seconds for which the rate grows without another admission: a rate that nothing tests says nothing."""
LONGEST_HOLD = 10.0
"""Seconds after which another message is risked, however long everything was throttled."""
FALLEN_SECONDS = 4.0
"""A rate that has fallen is probed this often at least, in seconds."""
FADING = 0.97
"""What is left of the memory of a higher rate after each confirmation of the lower one."""
FIRST_PLAN = 30.0
"""Recipients until the first probe after a change: enough to measure the rate within 3 %."""
PLAN_SECONDS = 1.0
"""No probe is planned sooner than this, in seconds: several replies' time."""
PLAN_GROWTH = 1.5
"""Each probe that finds the estimate unchanged makes the next plan so much longer."""
CONFIRMED = 0.05
"""An estimate that moved by no more than this share is confirmed."""
BLOCKED = 0.7
"""Share of the estimate that is left when nothing at all was accepted: that measures no rate."""
SOME = 0.2
"""Share of what should have been accepted below which an event measures no rate: throttles may cost tokens."""
IGNORED = 8.0
"""Recipients accepted after a lone throttle that nobody looked for, to take it for a stray one."""
MARGIN = 0.015
"""Share taken off the estimate by a throttle that measures nothing: more than the jitter of the arrivals, at 1/s."""
SLOWED = 0.5
"""Share of the estimate to pace at while the cushion fills."""
SHRINK = 8.0
"""Recipients by which a short measurement leans on what was known before."""
DOUBT = 2.0
"""The same for the measurement of a rate that has changed."""
FAR = 2.0
"""A pace that outgrew the measured average by so much was climbing: the average is of the rates of before and after."""
HORIZON = 4.0
"""Seconds for which single replies are remembered, longer than a reply takes."""
SMOOTHING = 0.05
"""Weight of the newest reply time in their mean and deviation."""


@attrs.frozen
class RateOptions:
    """
    What a user could want to set of the control law.

    Args:
        refused_share: throttled attempts per attempt that the search for a higher rate may cost in the long run.
    """

    refused_share: float = attrs.field(default=0.0025, validator=attrs.validators.gt(0.0))


@attrs.define
class _Event:
    """
    One emptiness of the service's bucket: the first throttle, and what was under way when it was read.

    Args:
        opened: when the first throttle was read.
        first: when the service decided on it.
        prior: the estimate of before, recipients/s; None in the start.
        seconds: from the anchor to `first`, None without an anchor.
        before: recipients accepted in these seconds.
        after: what was accepted later than `first`, as (decided at, recipients).
        pace: what was paced at when it opened, recipients/s.
        last: when the service decided on the last throttle.
        lean: recipients by which a measurement leans on what was known before.
    """

    opened: float
    first: float
    prior: float | None
    pace: float
    seconds: float | None
    before: float
    after: list[tuple[float, float]]
    last: float
    lean: float
    refused: int = 1

    def measured(self) -> float | None:
        """Recipients/s from the anchor to the first throttle, leaning on the estimate of before."""
        if self.seconds is None:
            return None
        if self.prior is None:
            return max(START_RATE, self.before / self.seconds)
        return (self.before + self.lean) / (self.seconds + self.lean / self.prior)

    def within(self) -> float:
        """Recipients accepted from the first throttle to the last."""
        return sum(cost for at, cost in self.after if at <= self.last)


def grown(rate: float, seconds: float, growth: float, stride: float) -> float:
    """
    The rate after growing for some seconds: dr/dt = max(LEAST_GROWTH·r, min(growth·r, stride²/2r)).

    An overshoot of a bucket that holds one second of the rate costs `sqrt(2·r·dr/dt)` times the delay in throttles: the
    term in the middle of the range keeps that at `stride` times the delay, whatever the rate.
    """
    first, last = stride / math.sqrt(2.0 * growth), stride / math.sqrt(2.0 * LEAST_GROWTH)
    if rate < first:
        steep = min(seconds, math.log(first / rate) / growth)
        rate, seconds = rate * math.exp(growth * steep), seconds - steep
    if rate < last:
        even = min(seconds, (last * last - rate * rate) / (stride * stride))
        rate, seconds = math.sqrt(rate * rate + stride * stride * even), seconds - even
    return rate * math.exp(LEAST_GROWTH * max(0.0, seconds))


class AdaptiveRate:
    """
    Recipients/s to pace at, learnt from accepted and throttled messages.

    Args:
        start: where to begin, recipients/s (the user's rate, a stored estimate); None begins at 1/s and finds the rate.
        max_rate: never above this, recipients/s.
        options: what else may be set.
    """

    def __init__(
        self, start: float | None = None, max_rate: float | None = None, options: RateOptions = RateOptions()
    ) -> None:
        self._max_rate = math.inf if max_rate is None else max_rate
        self._cap = math.inf
        self._told = start is not None
        self._budget = options.refused_share
        self._estimate = start
        self._pace = START_RATE if start is None else start
        self._paced_at = 0.0
        self._held_until = 0.0
        self._slow_until = 0.0
        self._frozen = False
        self._delay = ASSUMED_DELAY
        self._jitter = 0.0
        self._refusals = 1.0
        self._streak = 0
        self._ignored = False
        self._costs = self._squares = 1.0
        self._plan = 1.0 / self._budget
        self._due = self._plan
        self._former = 0.0
        self._since = 0.0
        self._anchor: float | None = None
        self._settled = 0.0
        self._log: deque[tuple[float, float]] = deque()
        self._opened = -math.inf
        self._event: _Event | None = None

    @property
    def held_until(self) -> float:
        """Nobody is to be admitted before this moment, seconds of the monotonic clock; 0.0 when nothing is held."""
        return self._held_until

    @property
    def estimate(self) -> float | None:
        """The best estimate of the service's limit in recipients/s, None before anything is known."""
        if self._estimate is None:
            return None if math.isinf(self._cap) else self._cap
        return min(self._estimate, self._cap)

    def rate(self, now: float) -> float:
        """Recipients/s to pace at."""
        pace = self._grown(now)
        if now < self._slow_until:
            pace = min(pace, SLOWED * (self._estimate or pace))
        return min(pace, self._cap, self._max_rate)

    def admitted(self, now: float, cost: float, *, waited: bool) -> None:
        """One message with `cost` recipients was let through; `waited`: the limiter was what it waited for."""
        if self._frozen:
            return
        if not waited:
            self._forget_anchor()
        else:
            if self._estimate is None and self._anchor is None:
                self._anchor = now - ASSUMED_DEPTH
            self._pace = min(self._grown(now), self._cap, self._max_rate)
            self._since += cost
            if self._estimate is not None and self._since - cost < self._due <= self._since:
                self._probe(now)
        self._paced_at = max(now, self._paced_at)
        self._costs += SMOOTHING * (cost - self._costs)
        self._squares += SMOOTHING * (cost * cost - self._squares)

    def accepted(self, now: float, cost: float, *, admitted_at: float, decided_at: float) -> None:
        """The service took a message: `now` is when that was read, `decided_at` when the service decided."""
        self._observe(now - admitted_at)
        if self._frozen:
            return
        self._remember(now, cost, decided_at)
        self._streak = 0
        event = self._event
        if event is None:
            return
        if admitted_at > event.opened:
            self._close(event)
            return
        if decided_at <= event.first:
            event.before += cost
        else:
            event.after.append((decided_at, cost))
        self._judge(event)

    def throttled(
        self, now: float, cost: float, *, admitted_at: float, decided_at: float, pause: float = 0.0
    ) -> None:
        """The service refused a message for the rate; admit nobody for `pause` seconds at least."""
        self._observe(now - admitted_at)
        if pause > 0.0:
            self._held_until = max(self._held_until, now + pause)
        if self._frozen:
            return
        event = self._event
        if admitted_at > self._opened:
            if event is not None:
                self._close(event)
            event = self._open(now, decided_at)
            self._streak += 1
        elif event is None:
            return
        else:
            event.refused += 1
            event.last = max(event.last, decided_at)
        self._recover(now, event, self._judge(event))

    def abandoned(self, now: float, *, admitted_at: float) -> None:
        """An attempt ended with neither: it says nothing of the rate."""

    def cap(self, now: float, max_send_rate: float | None) -> None:
        """The account's `max_send_rate` as it is known now, recipients/s; None where it is not."""
        before, self._cap = self._cap, math.inf if max_send_rate is None else max_send_rate
        if max_send_rate is None:
            return
        untaught = self._estimate is None and not self._told
        if untaught or (self._estimate is not None and before < self._cap and self._pace >= 0.95 * before):
            self._estimate = self._pace = max_send_rate
            self._since, self._paced_at = 0.0, now

    def freeze(self, now: float) -> None:
        """Sending pauses for another reason than the rate: learn nothing, grow nothing."""
        self._pace = self._grown(now)
        self._paced_at = now
        self._frozen = True

    def thaw(self, now: float) -> None:
        """Sending goes on, at the rate of before."""
        self._frozen = False
        self._paced_at = now
        self._event = None
        self._opened = now
        self._forget_anchor()

    def _grown(self, now: float) -> float:
        if self._frozen or self._event is not None:
            return self._pace
        seconds = now - max(self._paced_at, self._held_until, self._slow_until)
        seconds = min(max(0.0, seconds), GROWTH_SECONDS)
        if self._estimate is None:
            return grown(self._pace, seconds, START_GROWTH, START_REFUSALS / self._delay)
        if self._since < self._due:
            return self._pace
        return grown(self._pace, seconds, CLIMB_GROWTH, CLIMB_REFUSALS / self._delay)

    def _probe(self, now: float) -> None:
        """Look for the refusal that is due: draw the bucket down gently, and grow when it does not come."""
        excess, seconds = self._probing()
        self._pace += excess
        self._paced_at = now + seconds

    def _probing(self) -> tuple[float, float]:
        """How much faster to pace in a probe, recipients/s, and for how many seconds before the rate grows."""
        level, refusals = 2.0 * (self._quantum + self._cushion(self._pace)), PROBE_REFUSALS
        if self._anchor is None:
            level, refusals = max(level, ASSUMED_DEPTH * self._pace), FULL_REFUSALS
        excess = min(PROBE_SHARE * self._pace, refusals / self._delay)
        return excess, level / excess

    @property
    def _quantum(self) -> float:
        """Recipients of the message that a typical recipient is in: what a single decision says no more precisely."""
        return self._squares / self._costs

    def _open(self, now: float, decided_at: float) -> _Event:
        anchor = self._anchor
        self._opened = now
        self._event = event = _Event(
            opened=now,
            first=decided_at,
            prior=self._estimate,
            pace=self._pace,
            seconds=None if anchor is None else max(0.0, decided_at - anchor),
            before=self._settled + sum(cost for at, cost in self._log if at <= decided_at),
            after=[entry for entry in self._log if entry[0] > decided_at],
            last=decided_at,
            lean=SHRINK * self._quantum,
        )
        return event

    def _judge(self, event: _Event) -> bool:
        """Set estimate and pace by what the event has shown so far; true where the rate has changed."""
        measured = event.measured()
        base = measured or event.prior or event.pace
        span = event.last - event.first
        within = event.within()
        missing = min(event.refused, base * span - within)
        climbed = event.prior is not None and event.pace > FAR * base
        changed = event.prior is None or climbed or abs(missing) > 2.0 * self._quantum + self._cushion(base)
        if climbed:
            base = math.sqrt(base * event.pace)
        if changed and missing > 0.0 and within < SOME * base * span:
            changed = self._streak > 1
            estimate = base * (BLOCKED if changed else 1.0)
        elif changed:
            estimate = (within + DOUBT * self._quantum) / (span + DOUBT * self._quantum / base)
        elif measured is not None:
            estimate = measured
        else:
            estimate = base * (1.0 - MARGIN)
        self._estimate = self._pace = max(FLOOR, estimate)
        return changed

    def _recover(self, now: float, event: _Event, changed: bool) -> None:
        """Let the bucket gain a cushion against the jitter of arrivals."""
        estimate = self._pace
        cushion = self._cushion(estimate) / estimate
        if changed or event.refused > 1 and not event.within():
            debt = 0.0 if event.within() > 1.0 else event.refused / estimate
            self._held_until = max(self._held_until, now + cushion + debt)
        if self._streak > 1 and event.refused == 1:
            self._held_until = max(self._held_until, now + min(LONGEST_HOLD, 2.0 ** (self._streak - 1) / estimate))
        if changed or event.refused == 1:
            self._slow_until = max(now, self._held_until) + cushion / (1.0 - SLOWED)

    def _close(self, event: _Event) -> None:
        """Every reply of what was under way is in: choose anchor and plan."""
        changed = self._judge(event)
        self._event = None
        if self._stray(event):
            self._estimate, self._pace, self._paced_at = event.prior, event.pace, self._slow_until
            self._ignored = True
            return
        self._ignored = False
        self._paced_at = max(self._slow_until, event.opened)
        self._since = 0.0
        self._anchor = event.last
        estimate = self._pace
        kept = not changed and event.prior is not None
        kept = kept and abs(estimate - event.prior) <= (CONFIRMED + self._quantum / (event.before + event.lean)) * event.prior
        if kept:
            self._refusals += 0.25 * (min(event.refused, 25) - self._refusals)
            self._former = max(FADING * self._former, estimate)
        longest = max(self._refusals / self._budget, PLAN_SECONDS * estimate)
        self._plan = min(PLAN_GROWTH * self._plan if kept else 0.0, longest)
        shortest = max(FIRST_PLAN * self._refusals, 8.0 * self._quantum, PLAN_SECONDS * estimate)
        self._plan = max(self._plan, shortest)
        cycle = self._plan
        if estimate < 0.9 * self._former:
            cycle = min(cycle, FALLEN_SECONDS * estimate)
        excess, seconds = self._probing()
        self._due = max(0.5 * cycle, cycle - seconds * estimate)
        self._settled = 0.0
        self._log = deque(entry for entry in self._log if entry[0] > event.last)

    def _stray(self, event: _Event) -> bool:
        """Whether the event is one throttle out of the blue, with the bucket far from empty."""
        if event.refused > 1 or sum(cost for _, cost in event.after) < IGNORED * self._quantum:
            return False
        climbing = event.prior is None or event.pace > (1.0 + PROBE_SHARE) * event.prior
        return climbing or self._since < self._due and not self._ignored

    def _cushion(self, rate: float) -> float:
        return 2.0 * math.sqrt(rate * self._jitter * self._quantum)

    def _observe(self, seconds: float) -> None:
        self._jitter += SMOOTHING * (abs(seconds - self._delay) - self._jitter)
        self._delay += SMOOTHING * (seconds - self._delay)

    def _remember(self, now: float, cost: float, decided_at: float) -> None:
        if self._anchor is not None and decided_at <= self._anchor:
            return
        self._log.append((decided_at, cost))
        while self._log[0][0] < now - HORIZON:
            self._settled += self._log.popleft()[1]

    def _forget_anchor(self) -> None:
        self._anchor = None
        self._settled = 0.0
