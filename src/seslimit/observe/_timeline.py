"""
The last minutes, second by second: what the live page draws.

Pure: it is told the time. It must not know who draws it, or how.

Invariant: it holds at most `KEPT` seconds, however long it goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

import attrs

from .._model.events import State
from ._counts import Counts

KEPT = 600
"""Seconds that are kept: ten minutes, 50 kB."""


@attrs.frozen
class Second:
    """
    About one second.

    Args:
        number: counts up from 1, so that whoever has some asks for those after them.
        at: its end, seconds since the epoch.
        accepted: recipients/s that the service accepted.
        rate: recipients/s that were let through; None where nobody tells.
        estimate: the service's limit in recipients/s, as far as it was known.
        throttles: attempts that were throttled.
        queue: messages that waited, for their turn or for a backoff's end.
        in_flight: attempts under way.
    """

    number: int
    at: float
    accepted: float
    rate: float | None
    estimate: float | None
    throttles: int
    queue: int
    in_flight: int


@attrs.define(eq=False)
class Timeline:
    """The last seconds, the youngest at the end."""

    _seconds: deque[Second] = attrs.field(factory=lambda: deque(maxlen=KEPT), init=False)
    _number: int = attrs.field(default=0, init=False)
    _at: float | None = attrs.field(default=None, init=False)
    _recipients: float = attrs.field(default=0.0, init=False)
    _throttles: int = attrs.field(default=0, init=False)

    def note(self, at: float, counts: Counts, state: State | None) -> None:
        """
        Take down what happened since the last time.

        Args:
            at: seconds since the epoch.
            counts: what happened so far.
            state: what goes on now; None where nobody tells.
        """
        recipients, throttles = counts.recipients, counts.throttles
        length = None if self._at is None else at - self._at
        if length is None or length > 0:
            self._number += 1
            self._seconds.append(
                Second(
                    number=self._number,
                    at=at,
                    accepted=(recipients - self._recipients) / length if length else 0.0,
                    rate=state.rate if state else None,
                    estimate=state.estimate if state else None,
                    throttles=throttles - self._throttles,
                    queue=state.waiting + state.later if state else 0,
                    in_flight=state.in_flight if state else 0,
                )
            )
            self._at, self._recipients, self._throttles = at, recipients, throttles

    def after(self, number: int) -> Sequence[Second]:
        """The seconds that came after the one of that number, as far as they are kept; all for 0."""
        new = min(len(self._seconds), max(0, self._number - number))
        return list(islice(self._seconds, len(self._seconds) - new, None))
