"""
How far the limit that is known is trusted: when to look for a higher one, and how large a step from it may be.

Decides after how many recipients to pace above the limit, and after how many to go back to one that was not reached. It
must not know what the limit is made of, nor what the pace is.

Invariants: what is confirmed is looked at ever more seldom, until what looking costs is the budget; what fails is tried
again ever later.
"""

from __future__ import annotations

import attrs

from .evidence import LEAN, STEP, Arrivals, Event

FIRST_PLAN = 30.0
"""Recipients from a change to the next throttle looked for: they measure the rate within 3 %."""
PLAN_SECONDS = 1.0
"""The same in seconds, at least: several delays, or the jitter of the decisions spoils the measurement."""
PLAN_GROWTH = 1.5
"""Each confirmation of the limit makes the next plan so much longer, until the budget is met."""
PROBE_BEGINS = 0.7
"""Share of a plan before which its probe never begins; the probe takes the rest."""
CONFIRMED = 0.05
"""A limit that moved by no more than this share has not moved."""
STRONG = 3
"""Confirmations after which a limit is left in small steps only, as one is that was told."""
FALLEN_SECONDS = 4.0
"""A limit below a former one is probed so often at least, in seconds: whoever took the difference may give it back."""
FADING = 0.99
"""What is left of a former limit with each confirmation of a lower one: forgotten after a few minutes."""
RETURNS = (0.5, 3.0)
"""Seconds until the first return to a limit after a fall, and between returns at most."""
CREDIT = (7.0, -10.0)
"""Throttles that looking may cost in advance, and that it may owe at most."""
HOPEFUL = 0.3
"""Share that a throttle counts where the limit had been higher and may be again."""
OTHER = (0.8, 1.25)
"""A limit that moved beyond these shares of itself is another one."""
APPROACH = 0.5
"""Share of its distance to a failed return that the limit gives up, where that was too short to measure the rate."""
CLOSE = 0.1
"""Share by which a long measurement may be off the limit and still measure it."""


def step_from(limit: float, event: Event, estimate: float, *, confirmed: bool) -> float:
    """
    The limit after an event, recipients/s: the less is known of it, the more what was measured counts.

    A climb that ended says nothing of what was known below it; a return that failed moves the limit towards what it
    found, the further the longer it went on; what a confirmed limit loses at once is a step, and one that nothing has
    confirmed is what was measured.

    Args:
        limit: the limit of before, recipients/s.
        event: what closed, and was nobody else's.
        estimate: the rate that it allows to believe in, recipients/s.
        confirmed: whether anything has confirmed the limit.
    """
    measured = event.measured()
    if event.climbed and event.pace > limit:
        return max(estimate, (1.0 - STEP) * limit)
    if event.pace < (1.0 - CONFIRMED) * limit:
        found = max(estimate, min(limit, measured or 0.0))
        return found if event.before >= FIRST_PLAN else limit - APPROACH * (limit - found)
    if not event.changed:
        return estimate
    long = measured if measured is not None and event.before >= FIRST_PLAN else 0.0
    if abs(long - limit) < CLOSE * limit:
        return max(estimate, long)
    return max(estimate, (1.0 - STEP) * limit if confirmed else min(limit, long))


@attrs.define
class Trust:
    """
    What the limit that is known has shown.

    Args:
        budget: throttles per attempt that looking for a higher limit may cost.
        strength: confirmations that it has; each that fails takes one away.
    """

    budget: float
    strength: int = 0
    due: float = attrs.field(init=False)
    """Recipients from the last event after which to look."""
    sudden: float = attrs.field(init=False)
    """Recipients from the last event before which nobody looks for the next."""
    _plan: float = attrs.field(init=False)
    _throttles: float = attrs.field(default=1.0, init=False)
    _first: bool = attrs.field(default=True, init=False)
    """Whether nothing has been planned since the beginning."""
    _failed: int = attrs.field(default=0, init=False)
    _former: float = attrs.field(default=0.0, init=False)
    _credit: float = attrs.field(default=CREDIT[0], init=False)

    def __attrs_post_init__(self) -> None:
        self.due = self.sudden = self._plan = 1.0 / self.budget

    def strong(self, limit: float) -> bool:
        """Whether the limit, recipients/s, is as good as told, and none that has just fallen."""
        return self.strength >= STRONG and not self._fallen(limit)

    def _fallen(self, limit: float) -> bool:
        return limit < (1.0 - 2.0 * CONFIRMED) * self._former

    def earned(self) -> None:
        """One more attempt was answered, which is worth its share of a throttle."""
        self._credit = min(CREDIT[0], self._credit + self.budget)

    def spent(self, event: Event, before: float | None, limit: float) -> None:
        """Take an event off what looking may cost; a limit that fell, or is another one, is worth its cost."""
        if before is None:
            return
        fallen = self._fallen(limit)
        if fallen and not self._fallen(before):
            self._credit = max(0.0, self._credit)
        elif OTHER[0] < limit / before < OTHER[1]:
            self._credit = max(CREDIT[1], self._credit - (HOPEFUL if fallen else 1.0) * event.throttles)

    def rested(self, limit: float, arrivals: Arrivals) -> None:
        """Nothing was sent for so long that the limit, recipients/s, may well be another: look soon."""
        self._credit = CREDIT[0]
        self._first = False
        self._plan = 0.0
        self.due = self.sudden = self.shortest(limit, arrivals)

    def told(self) -> None:
        """The limit is what the account says."""
        self.strength = STRONG

    def learn(self, event: Event, before: float | None, limit: float) -> None:
        """
        Take what an event says of the limit.

        Args:
            event: what closed.
            before: the limit of before, recipients/s; None where none was known.
            limit: the limit since, recipients/s.
        """
        if event.aftermath:
            self._throttles += 0.25 * event.throttles
        elif before is None:
            self._plan, self._failed = 0.0, 0
        elif event.pace < (1.0 - CONFIRMED) * before:
            self._failed += 1
            if limit < (1.0 - CONFIRMED) * before:
                self.strength = 0
        else:
            moved, found = abs(limit - before) / before, event.measured()
            kept = moved < 0.9 * STEP and (found is None or found > (1.0 - STEP) * before)
            self.strength = min(STRONG, self.strength + 1) if kept else max(0, self.strength - 1)
            self._throttles = self._throttles**0.75 * event.throttles**0.25
            self._plan = PLAN_GROWTH * self._plan if moved <= CONFIRMED else 0.0
            self._failed = 0
        if self.strength:
            self._former = max(FADING * self._former, limit)

    def look_later(self, limit: float, arrivals: Arrivals, overdue: float) -> None:
        """
        Plan the next probe.

        Args:
            limit: recipients/s that are paced at until then.
            arrivals: how messages arrive.
            overdue: seconds that the probe takes.
        """
        shortest = self.shortest(limit, arrivals)
        self._first = False
        self._plan = min(max(self._plan, shortest), max(self._throttles * arrivals.cost / self.budget, shortest))
        owed = max(0.0, -self._credit)
        cycle = max(self._plan, owed * arrivals.cost / self.budget)
        if self._fallen(limit):
            cycle = min(cycle, (1.0 + owed) * FALLEN_SECONDS * limit)
        self.due = self.sudden = max(PROBE_BEGINS * cycle, cycle - overdue * limit)

    def shortest(self, limit: float, arrivals: Arrivals) -> float:
        """Recipients of the shortest plan: less would cost more throttles than it shows."""
        return max(FIRST_PLAN * self._throttles, LEAN * arrivals.quantum, PLAN_SECONDS * limit)

    def returned(self) -> None:
        """The limit was reached again."""
        self._failed = 0

    def ready(self, arrivals: Arrivals) -> bool:
        """Whether the plan is over; the very first was made in recipients, before it was known what a message has."""
        first = arrivals.cost / self.budget
        if not self._first or first <= self.due:
            return True
        self.due = self.sudden = self._plan = first
        return False

    def look_soon(self, arrivals: Arrivals) -> None:
        """Look as soon as a few messages have passed: next to nothing is known."""
        if self._credit > 0.0:
            self._first = False
            self.due = LEAN * arrivals.quantum

    def return_soon(self, pace: float, arrivals: Arrivals) -> None:
        """Plan the return to the limit from a lower pace, recipients/s."""
        first, longest = RETURNS
        self.due = max(LEAN * arrivals.quantum, min(2.0**self._failed * first, longest) * pace)
