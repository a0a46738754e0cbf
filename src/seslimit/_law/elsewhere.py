"""
Whether somebody else has emptied the bucket: then its emptiness says nothing of the limit.

What is paced at the limit leaves no debt: the bucket has a token again as soon as the next one comes back. If the
service stays closed for longer than that, and if much less than the limit came through since it was last closed,
another sender of the account took the rest, and no slower pace would have kept it open. Decides whether an event may
lower the limit. It must not know what the limit is made of.

Invariants: without a throttle that came later than one's own messages explain, every event counts; each such throttle
excuses the emptiness that it belongs to and the one after, whose first canary may come too late to see it.
"""

from __future__ import annotations

import attrs

from .evidence import Event

LESS = 0.9
"""Share of the limit below which what came through since the last emptiness shows that somebody else sends: several
of the steps in which a limit is left."""
NEAR = 1.05
"""A pace up to this share of the limit is no probe of a higher one."""
LASTING = 10.0
"""Seconds from one emptiness to the next that speak for a limit which nothing has confirmed: one that is too high by
the share looked for empties a bucket of a second sooner."""
REPLIES = 2.0
"""Delays for which a service may seem to be closed for no other reason than that its replies are late."""


@attrs.define
class Elsewhere:
    """What the emptinesses of late say of other senders."""

    limit: float = attrs.field(default=0.0, init=False)
    """The limit before the newest emptiness, recipients/s."""
    strength: int = attrs.field(default=0, init=False)
    """How well it was known."""
    _since: float | None = attrs.field(default=None, init=False)
    _refused: float = attrs.field(default=0.0, init=False)
    _less: bool = attrs.field(default=False, init=False)
    _lasted: bool = attrs.field(default=False, init=False)

    def empties(self, event: Event, limit: float, strength: int, closed: float) -> bool:
        """
        A new emptiness begins; whether it is to be excused already.

        Args:
            event: what shows it.
            limit: recipients/s, as far as it is known.
            strength: how well that is.
            closed: seconds after which the service was found closed still, the last times.
        """
        seconds = None if self._since is None else event.first - self._since
        self._less = seconds is not None and event.pace < NEAR * limit and event.before < LESS * limit * seconds
        self._lasted = strength > 0 or (seconds is not None and seconds > LASTING)
        self.limit, self.strength, self._since, self._refused = limit, strength, event.first, event.refused
        seen = self._lasted and self._less and event.throttles > 1 and not event.within()
        return seen and closed > self._own(event)

    def goes_on(self, event: Event) -> bool:
        """Whether one more throttle with nothing accepted since comes later than one's own messages explain."""
        own = self._own(event)
        self._refused += event.refused
        seen = event.again and self._lasted and self._less and self._since is not None
        return seen and event.first - (self._since or 0.0) > own

    def _own(self, event: Event) -> float:
        """Seconds for which one's own messages may have closed the service."""
        return (self._refused + event.arrivals.quantum) / max(self.limit, event.pace) + REPLIES * event.arrivals.delay
