"""
The control law: finds the rate at which an account may send, from nothing but what was accepted and what was throttled.

It decides how many recipients/s to pace at, and before which moment nobody is admitted. It must not know what time it
is (it is told), who waits, or what a message is. It knows a limit, which it trusts by what the limit has stood; a
throttle lowers the pace at once, and the limit by what the evidence is worth.

Invariants: the rate is finite, above zero and never above a cap; all throttles of what was under way when the first was
read are one event; nothing grows beyond what replies confirm; nothing is learnt while frozen, nor while the limiter is
not what messages wait for.
"""

from __future__ import annotations

import math

import attrs

from .closure import Closure
from .elsewhere import Elsewhere
from .evidence import START_RATE, STEP, Arrivals, Event
from .growth import CLIMB_GROWTH, CLIMB_REFUSALS, RETURN_GROWTH, START_GROWTH, START_REFUSALS, grown
from .probe import SHARE, probe
from .response import Response, Trial
from .search import Search
from .taken import Taken
from .trust import CONFIRMED, FIRST_PLAN, Trust, step_from

FLOOR = 0.1
"""The lowest estimate, recipients/s: an attempt every ten seconds finds out whether the service is back."""
GROWTH_SECONDS = 1.0
"""Seconds for which the rate grows without an admission: a pace that nothing tests proves nothing."""
UNHEARD = 4.0
"""Delays for which it grows without a reply: a pace of which nothing is heard proves nothing either."""

STRAY = 8.0
"""Messages accepted after a lone throttle out of the blue that show it to be none of the rate's."""
SLOWED = 0.5
"""Share of the estimate to pace at while the bucket gains its cushion."""

REST = 600.0
"""Seconds without a message after which the limit may be another, and is looked at soon."""
AFTER_HOLD = 0.1
"""Seconds after a hold in which messages need not wait because of it."""
OFTEN = 4.0
"""Delays for which the service was closed before, where a first throttle may well be the first of many."""
ALONE = 0.5
"""Messages under way on average below which each goes alone, and the service sees the gaps between them."""

SPACED = 0.025
"""Seconds: the shortest gap that the service has to see whole. Timers are late by a millisecond now and then; what that
costs of a shorter gap is more of the rate than a service that counts over less than a few messages would refuse."""


@attrs.frozen
class RateOptions:
    """
    What a user may want to set of the control law.

    Args:
        refused_share: throttled attempts per attempt that the search for a higher rate may cost in the long run; the
            less, the later a higher rate is found (0.002: within 500 messages).
    """

    refused_share: float = attrs.field(default=0.002, validator=[attrs.validators.gt(0.0), attrs.validators.lt(1.0)])


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
        self._limit = self._estimate = start
        self._pace = START_RATE if start is None else start
        self._trust = Trust(options.refused_share)
        if start is not None:
            self._trust.told()
        self._since = 0.0
        self._wary = False
        self._next_stair = 0.0

        self._paced_at = math.inf  # nothing grows before the first admission
        self._heard_at = -math.inf  # nor before the first reply
        self._held_until = self._asked_until = self._slow_until = self._overdue_at = 0.0
        self._spaced_until = 0.0
        self._frozen = False

        self._event: Event | None = None
        self._opened = -math.inf
        self._closure = Closure()
        self._elsewhere = Elsewhere()
        self._search = Search()
        self._response = Response()
        self._ignored = False
        self._accepted = 0

        self._taken = Taken()
        self._arrivals = Arrivals()

    @property
    def held_until(self) -> float:
        """Nobody is to be admitted before this moment; 0.0 where nothing was ever held."""
        return max(self._held_until, self._asked_until)

    @property
    def spaced_until(self) -> float:
        """Nobody is to be admitted before this moment even when all is paid, or the service sees the gap too short."""
        return self._spaced_until

    @property
    def estimate(self) -> float | None:
        """The service's limit as far as it is known, recipients/s."""
        known = self._cap if self._estimate is None else min(self._estimate, self._cap)
        return None if math.isinf(known) else known

    @property
    def limit(self) -> float | None:
        """The limit that is remembered while the pace is below it, recipients/s."""
        return self._limit

    @property
    def closed(self) -> bool:
        """Whether the service takes nothing, and one message at a time finds out whether it does again."""
        return self._closure.closed

    def turn_at(self, now: float) -> float:
        """Nobody has to wait for a turn of its own: all of the rate is this process's."""
        return 0.0

    def rate(self, now: float) -> float:
        """Recipients/s to pace at."""
        pace = self._grown(now)
        if now < self._slow_until and self._estimate is not None:
            pace = min(pace, SLOWED * self._estimate)
        if self._response.trial is not None:
            pace = min(pace, max(FLOOR, self._response.trial.pace))
        return min(pace, self._cap, self._max_rate)

    def ahead(self, now: float, cost: float) -> float:
        """Recipients of such a message to wait for before it goes, and not after: what went before arrives before."""
        return self._arrivals.ahead(cost, self.rate(now))

    def steady_until(self, now: float) -> float:
        """The moment until which `rate` stays as it is at `now`, if nothing is told meanwhile; `now` where it grows."""
        if now < self._slow_until:
            return self._slow_until
        return now if self._growing() and now < self._heard() else math.inf

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
        if self._closure.closed:
            self._held_until = self._closure.canary(now, self._arrivals.delay)
        elif waited or 0.0 < self.held_until > now - AFTER_HOLD:
            self._advance(now, cost)
        else:
            self._taken.forget()
            if self._limit is not None and now > self._paced_at + REST:
                self._since = 0.0
                self._trust.rested(self._limit, self._arrivals)
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
        self._heard_at = now
        self._accepted += 1
        # One that is alone was decided, as nearly as can be said, between the service's having it and its reply.
        alone = self._pace * self._arrivals.delay < ALONE
        late = self._arrivals.decided(((decided_at + now) / 2.0 if alone else decided_at) - admitted_at)
        rate = self.rate(now)
        if cost >= SPACED * rate:
            after = cost - self._arrivals.ahead(cost, rate)
            self._spaced_until = max(self._spaced_until, admitted_at + late + after / rate)
        above = self._above()
        self._trust.earned()
        self._taken.add(now, cost, decided_at)
        if self._limit is None:
            self._search.attempted(throttled=False)
        canary = self._closure.closed and admitted_at > self._opened
        if canary:
            self._closure.opened(admitted_at, usual=self._trust.strength > 0)
            self._held_until = now
        if self._closure.throttled:
            self._closure.accepted()
        if trial := self._response.attempted(admitted_at, cost, throttled=False, above=above):
            self._conclude(now, trial)
        event = self._event
        if event is not None and admitted_at > event.opened:
            self._close(event)
            if canary:
                self._taken.opened(decided_at)
        elif event is not None:
            self._add(now, event, cost, decided_at)

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
            self._asked_until = max(self._asked_until, now + pause)
        if self._frozen:
            return
        event = self._event
        if admitted_at > self._opened:
            if event is not None:
                self._close(event)
            event = self._open(now, decided_at)
        elif event is None:
            return
        if self._limit is None:
            self._search.attempted(throttled=True)
        event.throttles += 1
        event.refused += cost
        event.last = max(event.last, decided_at)
        if trial := self._response.attempted(admitted_at, 0.0, throttled=True, above=self._above()):
            self._conclude(now, trial)
            return
        attempts = event.throttles + event.accepted
        event.explained = not event.again and self._response.explains(event.throttles, attempts)
        if not event.explained:
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
            self._limit = self._estimate = self._pace = max_send_rate
            self._trust.told()
            self._since, self._paced_at = 0.0, now
        elif self._limit is not None and self._estimate is not None:
            self._limit, self._estimate = min(self._limit, max_send_rate), min(self._estimate, max_send_rate)
            self._pace = min(self._pace, max_send_rate)

    def freeze(self, now: float) -> None:
        """Sending pauses for another reason than the rate: until `thaw` nothing is learnt and nothing grows."""
        self._pace = self._grown(now)
        self._frozen = True

    def thaw(self, now: float) -> None:
        """Sending goes on, at the pace of before; what is still to be read of before the pause says nothing."""
        self._frozen = False
        self._event = None
        self._closure.denied()
        self._opened = self._paced_at = now
        self._taken.forget()

    # The pace: what it grows by, and when it is raised above the limit to see whether that is still the limit.

    def _growing(self) -> bool:
        """Whether time raises the pace."""
        if self._frozen or self._response.trial is not None:
            return False
        if self._event is not None and not self._event.explained:
            return False
        if self._estimate is None:
            return True
        return self._since >= self._trust.due and not (self._wary and self._reached())

    def _reached(self) -> bool:
        """Whether the pace is at the limit, or above."""
        return self._limit is None or self._pace >= self._limit

    def _above(self) -> bool:
        """Whether the pace is above the limit, so that its throttles are no measure of what chance has."""
        return self._limit is not None and self._pace > (1.0 + CONFIRMED) * self._limit

    def _heard(self) -> float:
        """The moment until which what was heard allows to grow."""
        return self._heard_at + max(GROWTH_SECONDS, UNHEARD * self._arrivals.delay)

    def _grown(self, now: float) -> float:
        """The pace, with what it has grown by since it was last tested."""
        if not self._growing():
            return self._pace
        begin = max(self._paced_at, self._held_until, self._slow_until, self._overdue_at)
        seconds = min(min(now, self._heard()) - begin, GROWTH_SECONDS)
        if seconds <= 0.0:
            return self._pace
        if self._limit is None:
            return grown(self._pace, seconds, START_GROWTH, START_REFUSALS / self._arrivals.delay)
        if not self._reached():
            return min(self._limit, self._pace * math.exp(RETURN_GROWTH * seconds))
        return grown(self._pace, seconds, CLIMB_GROWTH, CLIMB_REFUSALS / self._arrivals.delay)

    def _advance(self, now: float, cost: float) -> None:
        """Keep what the pace has grown by, and begin a probe where one is due."""
        was_below = not self._reached()
        self._pace = min(self._grown(now), self._cap, self._max_rate)
        if was_below and self._limit is not None and self._pace >= self._limit:
            self._return(self._limit)
        elif self._wary and now > self._overdue_at and self._since >= self._next_stair:
            self._begin_probe(now)
        before, self._since = self._since, self._since + cost
        if self._estimate is None and self._taken.since is None:
            self._taken.begin(now)
        elif self._estimate is None or self._response.trial is not None:
            return
        elif before < self._trust.due <= self._since and self._reached() and self._trust.ready(self._arrivals):
            self._begin_probe(now)

    def _return(self, limit: float) -> None:
        """The limit that is remembered is reached again."""
        fell = self._estimate is None or self._estimate <= (1.0 - 2.0 * CONFIRMED) * limit
        self._estimate = limit
        self._trust.returned()
        if fell:
            self._pace, self._since = limit, 0.0
            self._look_later()

    def _begin_probe(self, now: float) -> None:
        self._next_stair = self._since + self._trust.shortest(self._pace, self._arrivals)
        excess, seconds = probe(self._pace, self._arrivals, full=self._taken.since is None)
        self._pace, self._overdue_at = self._pace + excess, now + seconds

    def _look_later(self) -> None:
        _, overdue = probe(self._pace, self._arrivals, full=self._taken.since is None)
        self._trust.look_later(self._pace, self._arrivals, overdue)

    # Events: what the throttles of one cohort say.

    def _open(self, now: float, decided_at: float) -> Event:
        """The first throttle of an event."""
        self._opened = now
        self._closure.event(decided_at)
        self._event = Event(
            opened=now,
            first=decided_at,
            last=decided_at,
            pace=self._pace,
            prior=self._estimate,
            strong=self._trust.strength > 0 and self._estimate == self._limit,
            seconds=self._taken.seconds(decided_at),
            before=self._taken.before(decided_at),
            drawn=self._taken.drawn(decided_at),
            after=self._taken.after(decided_at),
            arrivals=self._arrivals,
            share=self._response.share,
            again=self._closure.throttled > 1,
        )
        return self._event

    def _add(self, now: float, event: Event, cost: float, decided_at: float) -> None:
        """One more of the event's cohort was accepted."""
        event.accepted += 1
        if decided_at <= event.first:
            event.before += cost
        else:
            event.after.append((decided_at, cost))
        if event.explained:
            return
        self._believe(event)
        if self._closure.closed and not event.barren:
            self._closure.denied()
            self._held_until = min(self._held_until, now)
        elif event.throttles == 1 and not event.changed:
            self._held_until = min(self._held_until, now)

    def _believe(self, event: Event) -> None:
        """Take the estimate that the event allows so far."""
        self._estimate = self._pace = max(FLOOR, event.judged())

    def _recover(self, now: float, event: Event) -> None:
        """Let the bucket gain a cushion against the jitter of arrivals, and work off what it may owe."""
        if event.prior is None and not self._search.over and event.pace * self._arrivals.delay < 1.0:
            return  # one at a time: the next attempt tells more than a pause, and costs no more than itself
        cushion, owed = self._arrivals.cushion(self._pace) / self._pace, event.refused / self._pace
        wait = 0.0
        if event.barren:
            if event.again:
                self._held_until = 0.0
            wait = self._closure.wait(now, 1.0 / self._pace if event.again else owed)
        elif event.throttles > 1 and not event.within():
            wait = self._closure.wait(now, owed) if self._closure.usual > 2.0 * owed else owed
        elif event.throttles == 1 and not event.again and self._often_closed():  # hear the next first
            self._held_until = max(self._held_until, now + 1.0 / self._pace)
        if wait or event.changed:
            self._held_until = max(self._held_until, now + cushion + wait)
        if event.changed or event.throttles == 1:
            self._slow_until = max(now, self._held_until) + cushion / (1.0 - SLOWED)

    def _often_closed(self) -> bool:
        """Whether the rest of what is under way is worth waiting for: somebody else has emptied the bucket before."""
        delay = self._arrivals.delay
        return self._pace * delay >= 1.0 and self._closure.usual > OFTEN * delay

    def _close(self, event: Event) -> None:
        """A reply to a message admitted after the event: what was under way is answered, so plan the next."""
        self._event = None
        if event.explained:
            return
        self._believe(event)
        limit = self._limit
        if limit is not None and not event.aftermath and event.lone:
            sudden = self._since < self._trust.sudden
            self._response.event(event.opened, limit, sudden=sudden, strong=self._trust.strong(limit))
        if self._stray(event):
            if self._limit is None:
                self._search.goes_on(event.pace)
            self._estimate, self._pace, self._ignored, self._accepted = event.prior, event.pace, True, 0
            return
        self._ignored = False
        self._learn(event)
        self._since = 0.0
        if event.throttles > 1 or event.seconds is None or event.again or event.before >= FIRST_PLAN:
            self._taken.empty(event.last)

    def _stray(self, event: Event) -> bool:
        """Whether this is one throttle out of the blue, the bucket being far from empty."""
        ignored = self._ignored and self._accepted <= STRAY
        if event.prior is None:
            return not self._search.over
        if event.throttles > 1 or event.again:
            return False
        if sum(cost for _, cost in event.after) < STRAY * self._arrivals.quantum:
            return False
        climbing = event.pace > (1.0 + SHARE) * event.prior
        return climbing or (self._since < self._trust.due and not ignored)

    def _learn(self, event: Event) -> None:
        """Take what the event says of the limit, and plan when to look again."""
        before = self._limit
        if before is not None and not event.aftermath and self._excused(event, before):
            self._estimate = self._pace = before
            self._look_later()
            return
        self._limit = limit = self._pace if before is None else self._limited(event, before)
        if before is None:
            self._response.share = self._search.share(limit)
        if event.climbed or event.changed:
            self._wary = event.barren
        self._trust.learn(event, before, limit)
        if not event.changed:
            self._trust.spent(event, before, limit)
        if self._pace <= (1.0 - CONFIRMED) * limit:
            self._trust.return_soon(self._pace, self._arrivals)
            return
        self._estimate = self._pace = limit
        self._look_later()
        if not self._trust.strength and event.throttles == 1 and not event.aftermath:
            self._trust.look_soon(self._arrivals)

    def _excused(self, event: Event, limit: float) -> bool:
        """Whether somebody else has emptied the bucket, as before."""
        return self._elsewhere.empties(event, limit, self._trust.strength, self._closure.closed_for)

    def _limited(self, event: Event, limit: float) -> float:
        """The limit after an event that was paced at below it, at it or above it."""
        if event.aftermath:
            if not self._elsewhere.goes_on(event):
                return limit
            self._trust.strength = max(self._trust.strength, self._elsewhere.strength)
            return max(limit, self._elsewhere.limit)
        return step_from(limit, event, self._pace, confirmed=self._trust.strength > 0)

    def _conclude(self, now: float, trial: Trial) -> None:
        """A trial is over: where throttles went on at a lower pace, back to where they began."""
        self._event, self._opened, self._since = None, now, 0.0
        if trial.innocent:
            self._limit = min(trial.limit, self._cap)
            self._trust.told()
        elif trial.known and self._limit is not None:
            self._limit *= 1.0 - STEP
        self._estimate = self._pace = self._limit or self._pace
        self._look_later()
        if trial.innocent and not trial.strong:
            self._trust.look_soon(self._arrivals)
        self._taken.forget()
