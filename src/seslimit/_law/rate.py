"""
The control law: finds the rate at which an account may send, from nothing but what was accepted and what was throttled.

It decides how many recipients/s to pace at, and before which moment nobody is admitted. It must not know what time it
is (it is told), who waits, or what a message is. What it rests on: a throttle means that the service's token bucket is
empty at that moment, so between two such moments the recipients accepted divided by the seconds *are* the rate.

Invariants: the rate is above zero and never above a cap; all throttles of what was under way when the first was read
are one event; nothing grows and nothing is learnt while frozen, nor while the limiter is not what messages wait for.
"""

from __future__ import annotations

import math
from collections import deque

import attrs

from .evidence import LEAN, START_RATE, Arrivals, Event

# Where the search begins.
ASSUMED_DEPTH = 1.0
"""Seconds of the rate that a full bucket is taken to hold: more costs throttles, less a little of the rate."""
FLOOR = 0.1
"""The lowest estimate, recipients/s: an attempt every ten seconds finds out whether the service is back."""

# How the rate grows. All growth is bounded by the throttles that the overshoot will cost.
START_GROWTH = math.log(5.0)
"""Before the first throttle, 1/s: fivefold a second, so 100/s after 2.9 s of waiting messages."""
START_REFUSALS = 33.0
"""Throttles that the overshoot of the start may cost."""
CLIMB_GROWTH = 0.5
"""After a probe that found no limit, 1/s: threefold in 2.2 s."""
CLIMB_REFUSALS = 10.0
"""Throttles that the overshoot of a climb may cost: less makes the climb slower, and costs more than it saves."""
LEAST_GROWTH = 0.07
"""Growth that no rate falls short of, 1/s: doubled in 10 s, even where the overshoot then costs more."""
GROWTH_SECONDS = 1.0
"""Seconds for which the rate grows without an admission: a pace that nothing tests proves nothing."""

# When and how to look for a limit that has risen.
FIRST_PLAN = 30.0
"""Recipients from a change to the next throttle looked for: they measure the rate within 3 %."""
PLAN_SECONDS = 1.0
"""The same in seconds, at least: several delays, or the jitter of the decisions spoils the measurement."""
PLAN_GROWTH = 1.5
"""Each confirmation of the estimate makes the next plan so much longer, until the budget is met."""
PROBE_BEGINS = 0.7
"""Share of a plan before which its probe never begins; the probe takes the rest."""
PROBE_REFUSALS = 0.5
"""Throttles that a probe may cost besides the one it looks for: it paces so many per delay above the estimate."""
FULL_REFUSALS = 2.0
"""The same where the bucket may be full, and a whole second of the rate has to be drawn down first."""
PROBE_SHARE = 0.3
"""A probe paces at most this share above the estimate: it binds where few messages are under way."""
FALLEN_SECONDS = 4.0
"""A rate below a former one is probed so often at least, in seconds: whoever took the difference may give it back."""
FADING = 0.99
"""What is left of a former rate with each confirmation of a lower one: forgotten after a few minutes."""

# What follows from an event.
CONFIRMED = 0.05
"""An estimate that moved by no more than this share, and the error of measurement, is confirmed."""
LOST = 4
"""So many events in a row with nothing accepted in between, and the search begins anew."""
STRAY = 8.0
"""Messages accepted after a lone throttle out of the blue that show it to be none of the rate's."""
SLOWED = 0.5
"""Share of the estimate to pace at while the bucket gains its cushion."""
LONGEST_HOLD = 10.0
"""Seconds after which another message is risked, however many were throttled in a row."""

AFTER_HOLD = 0.1
"""Seconds after a hold in which messages need not wait because of it: two of the limiter's slices."""
HORIZON = 4.0
"""Seconds for which single decisions are remembered: longer than a reply takes to come."""


@attrs.frozen
class RateOptions:
    """
    What a user may want to set of the control law.

    Args:
        refused_share: throttled attempts per attempt that the search for a higher rate may cost in the long run; the
            less, the later a higher rate is found (0.002: within 500 messages).
    """

    refused_share: float = attrs.field(default=0.002, validator=[attrs.validators.gt(0.0), attrs.validators.lt(1.0)])


def grown(rate: float, seconds: float, growth: float, stride: float) -> float:
    """
    The rate after some seconds of dr/dt = max(LEAST_GROWTH·r, min(growth·r, stride²/2r)).

    To empty a bucket that holds one second of the rate takes an overshoot of sqrt(2·r·dr/dt), and every second of delay
    then costs as many throttles. The term `stride²/2r` makes that overshoot `stride`, whatever the rate.

    Args:
        rate: recipients/s to begin with.
        seconds: for which it grows.
        growth: of low rates, 1/s.
        stride: overshoot to allow, recipients/s.
    """
    low, high = stride / math.sqrt(2.0 * growth), stride / math.sqrt(2.0 * LEAST_GROWTH)
    if rate < low:
        steep = min(seconds, math.log(low / rate) / growth)
        rate, seconds = rate * math.exp(growth * steep), seconds - steep
    if rate < high:
        even = min(seconds, (high * high - rate * rate) / (stride * stride))
        rate, seconds = math.sqrt(rate * rate + stride * stride * even), seconds - even
    return rate * math.exp(LEAST_GROWTH * max(0.0, seconds))


class AdaptiveRate:
    """
    The rate to pace at, learnt from which messages were accepted and which throttled.

    All times are seconds of one monotonic clock and never run backwards in `now`; all costs are recipients.

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
        self._former = 0.0
        self._pace = START_RATE if start is None else start
        self._paced_at = math.inf  # nothing grows before the first admission
        self._held_until = self._slow_until = self._overdue_at = 0.0
        self._frozen = False

        self._plan = self._due = 1.0 / self._budget
        self._since = 0.0
        self._event: Event | None = None
        self._opened = -math.inf
        self._streak = 0
        self._ignored = False

        self._anchor: float | None = None
        self._settled = 0.0
        self._recent: deque[tuple[float, float]] = deque()
        self._arrivals = Arrivals()
        self._throttles = 1.0

    @property
    def held_until(self) -> float:
        """Nobody is to be admitted before this moment; 0.0 where nothing was ever held."""
        return self._held_until

    @property
    def estimate(self) -> float | None:
        """The service's limit as far as it is known, recipients/s."""
        known = self._cap if self._estimate is None else min(self._estimate, self._cap)
        return None if math.isinf(known) else known

    def rate(self, now: float) -> float:
        """Recipients/s to pace at."""
        pace = self._grown(now)
        if now < self._slow_until and self._estimate is not None:
            pace = min(pace, SLOWED * self._estimate)
        return min(pace, self._cap, self._max_rate)

    def admitted(self, now: float, cost: float, *, waited: bool) -> None:
        """
        One message was let through.

        Args:
            now: when.
            cost: its recipients.
            waited: whether it was this law that it waited for; False where there was nothing to send or no place.
        """
        if self._frozen:
            return
        if waited or 0.0 < self._held_until > now - AFTER_HOLD:
            self._advance(now, cost)
        else:
            self._forget()
        self._paced_at = now
        self._arrivals.sent(cost)

    def accepted(self, now: float, cost: float, *, admitted_at: float, decided_at: float) -> None:
        """
        The service took a message.

        Args:
            now: when its reply was read.
            cost: its recipients.
            admitted_at: the `now` of its `admitted`.
            decided_at: when the service decided, as well as it is known: over SMTP when the final dot was handed over.
        """
        self._arrivals.observe(now - admitted_at)
        if self._frozen:
            return
        self._streak = 0
        self._remember(now, cost, decided_at)
        event = self._event
        if event is None:
            return
        if admitted_at > event.opened:
            self._close(event)
        else:
            self._add(event, cost, decided_at)

    def throttled(self, now: float, cost: float, *, admitted_at: float, decided_at: float, pause: float = 0.0) -> None:
        """
        The service refused a message for the rate.

        Args:
            now: when its reply was read.
            cost: its recipients.
            admitted_at: the `now` of its `admitted`.
            decided_at: when the service decided, as for `accepted`.
            pause: seconds for which nobody is to be admitted, at least.
        """
        self._arrivals.observe(now - admitted_at)
        if pause > 0.0:
            self._held_until = max(self._held_until, now + pause)
        if self._frozen:
            return
        event = self._event
        if admitted_at > self._opened:
            if event is not None:
                self._close(event)
            event = self._open(now, decided_at)
        elif event is None:
            return
        event.throttles += 1
        event.refused += cost
        event.last = max(event.last, decided_at)
        self._believe(event)
        self._recover(now, event)

    def cap(self, now: float, max_send_rate: float | None) -> None:
        """
        What the account is allowed, as GetAccount says; a raise lifts the pace at once.

        Args:
            now: when.
            max_send_rate: recipients/s; None where it is not known.
        """
        before, self._cap = self._cap, math.inf if max_send_rate is None else max_send_rate
        if max_send_rate is None:
            return
        unknown = self._estimate is None and not self._told and math.isinf(before)
        if unknown or (before < self._cap and self._pace >= (1.0 - CONFIRMED) * before):
            self._estimate = self._pace = max_send_rate
            self._since, self._paced_at = 0.0, now
        elif self._estimate is not None:
            self._estimate, self._pace = min(self._estimate, max_send_rate), min(self._pace, max_send_rate)

    def freeze(self, now: float) -> None:
        """Sending pauses for another reason than the rate: until `thaw` nothing is learnt and nothing grows."""
        self._pace = self._grown(now)
        self._frozen = True

    def thaw(self, now: float) -> None:
        """Sending goes on, at the pace of before; what is still to be read of before the pause says nothing."""
        self._frozen = False
        self._event = None
        self._opened = self._paced_at = now
        self._forget()

    def _grown(self, now: float) -> float:
        """The pace, with what it has grown by since it was last tested."""
        if self._frozen or self._event is not None or (self._estimate is not None and self._since < self._due):
            return self._pace
        begin = max(self._paced_at, self._held_until, self._slow_until, self._overdue_at)
        seconds = min(now - begin, GROWTH_SECONDS)
        if seconds <= 0.0:
            return self._pace
        if self._estimate is None:
            return grown(self._pace, seconds, START_GROWTH, START_REFUSALS / self._arrivals.delay)
        return grown(self._pace, seconds, CLIMB_GROWTH, CLIMB_REFUSALS / self._arrivals.delay)

    def _advance(self, now: float, cost: float) -> None:
        """Keep what the pace has grown by, and begin a probe where one is due."""
        self._pace = min(self._grown(now), self._cap, self._max_rate)
        self._since += cost
        if self._estimate is None and self._anchor is None:
            # A full bucket now is an empty one a depth ago, if nothing had been sent since.
            self._anchor = now - ASSUMED_DEPTH
        elif self._estimate is not None and self._since - cost < self._due <= self._since:
            excess, seconds = self._probe()
            self._pace, self._overdue_at = self._pace + excess, now + seconds

    def _probe(self) -> tuple[float, float]:
        """How far above the estimate to pace, recipients/s, and after how many seconds a throttle is overdue."""
        level, refusals = 2.0 * (self._arrivals.quantum + self._arrivals.cushion(self._pace)), PROBE_REFUSALS
        if self._anchor is None:
            level, refusals = max(level, ASSUMED_DEPTH * self._pace), FULL_REFUSALS
        excess = min(PROBE_SHARE * self._pace, refusals / self._arrivals.delay)
        return excess, level / excess

    def _open(self, now: float, decided_at: float) -> Event:
        """The first throttle of an event."""
        anchor = -math.inf if self._anchor is None else self._anchor
        self._opened = now
        self._streak += 1
        lost = self._streak >= LOST
        self._event = Event(
            opened=now,
            first=decided_at,
            last=decided_at,
            pace=START_RATE if lost else self._pace,
            prior=None if lost else self._estimate,
            seconds=None if self._anchor is None else max(0.0, decided_at - anchor),
            before=self._settled + sum(cost for at, cost in self._recent if anchor < at <= decided_at),
            after=[entry for entry in self._recent if entry[0] > decided_at],
            arrivals=self._arrivals,
            lost=lost,
        )
        return self._event

    def _add(self, event: Event, cost: float, decided_at: float) -> None:
        """One more of the event's cohort was accepted."""
        if decided_at <= event.first:
            event.before += cost
        else:
            event.after.append((decided_at, cost))
        self._believe(event)

    def _believe(self, event: Event) -> None:
        """Take the estimate that the event allows so far."""
        self._estimate = self._pace = max(FLOOR, event.judged())

    def _recover(self, now: float, event: Event) -> None:
        """Let the bucket gain a cushion against the jitter of arrivals, and work off what it may owe."""
        estimate = self._pace
        cushion = self._arrivals.cushion(estimate) / estimate
        wait = event.refused / estimate if event.barren else 0.0
        if self._streak > 1:
            wait = max(wait, 2.0 ** min(self._streak - 1, 30) / estimate)
        if wait or event.changed:
            self._held_until = max(self._held_until, now + cushion + min(wait, LONGEST_HOLD))
        if event.changed or event.throttles == 1:
            self._slow_until = max(now, self._held_until) + cushion / (1.0 - SLOWED)

    def _close(self, event: Event) -> None:
        """A reply to a message admitted after the event: what was under way is answered, so plan the next."""
        self._believe(event)
        self._event = None
        if event.lost or self._stray(event):
            self._estimate, self._pace, self._ignored = event.prior, event.pace, True
            return
        self._ignored = False
        self._since = 0.0
        self._anchor, self._settled = event.last, 0.0
        self._recent = deque(entry for entry in self._recent if entry[0] > event.last)
        self._schedule(event)

    def _stray(self, event: Event) -> bool:
        """Whether this is one throttle out of the blue, the bucket being far from empty."""
        if event.throttles > 1 or sum(cost for _, cost in event.after) < STRAY * self._arrivals.quantum:
            return False
        climbing = event.prior is None or event.pace > (1.0 + PROBE_SHARE) * event.prior
        return climbing or (self._since < self._due and not self._ignored)

    def _schedule(self, event: Event) -> None:
        """Recipients until the next probe: the longer an estimate has stood, the longer it is trusted."""
        estimate, prior = self._pace, event.prior
        error = CONFIRMED + self._arrivals.quantum / (event.before + event.lean)
        kept = not event.changed and prior is not None and abs(estimate - prior) <= error * prior
        if kept:
            self._throttles = self._throttles**0.75 * event.throttles**0.25
            self._former = max(FADING * self._former, estimate)
        shortest = max(FIRST_PLAN * self._throttles, LEAN * self._arrivals.quantum, PLAN_SECONDS * estimate)
        longest = max(self._throttles / self._budget, shortest)
        self._plan = min(max(PLAN_GROWTH * self._plan if kept else 0.0, shortest), longest)
        fallen = estimate < (1.0 - 2.0 * CONFIRMED) * self._former
        cycle = min(self._plan, FALLEN_SECONDS * estimate) if fallen else self._plan
        _, seconds = self._probe()
        self._due = max(PROBE_BEGINS * cycle, cycle - seconds * estimate)

    def _remember(self, now: float, cost: float, decided_at: float) -> None:
        if self._anchor is not None and decided_at <= self._anchor:
            return
        self._recent.append((decided_at, cost))
        while self._recent and self._recent[0][0] < now - HORIZON:
            self._settled += self._recent.popleft()[1]

    def _forget(self) -> None:
        """From here on the bucket may be anything up to full."""
        self._anchor, self._settled = None, 0.0
