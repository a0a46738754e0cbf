"""
A part of the daily quota that is left to others who send with the same account.

Invariant: by what the service last said, and what was begun since and not refused, nothing of that part is used.
"""

from __future__ import annotations

import asyncio
import logging

import attrs

from .._model.events import Attempted, Event
from .._model.outcome import Outcome
from .._model.quota import SendQuota
from .._pacing.limiter import Limiter

logger = logging.getLogger("seslimit")

KEPT = "the rest of the day is kept for others"
"""Why nothing is sent; the reason of the hold on the limiter."""

USED = frozenset({Outcome.ACCEPTED, Outcome.UNKNOWN})
"""Outcomes of attempts that may have used some of the day."""


@attrs.define(eq=False)
class DailyReserve:
    """
    Holds a limiter while nothing is left of the day but what is kept.

    Args:
        limiter: the limiter.
        keep: recipients that are kept.
    """

    limiter: Limiter
    keep: int
    _left: float | None = attrs.field(default=None, init=False)
    _under_way: float = attrs.field(default=0.0, init=False)
    _held: bool = attrs.field(default=False, init=False)
    _warned: bool = attrs.field(default=False, init=False)
    _changed: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def figures(self, quota: SendQuota) -> None:
        """Take the service's figures."""
        if 0 <= quota.max_24_hour_send <= self.keep and not self._warned:
            self._warned = True
            logger.warning(
                "of a daily quota of %d recipients, %d are kept for others: nothing can be sent; keep fewer",
                quota.max_24_hour_send,
                self.keep,
            )
        self._left = quota.remaining - self.keep - self._under_way
        self._look()

    def begins(self, cost: float, *, waits: bool = True) -> bool:
        """
        Take so many recipients of the day, for an attempt that begins now; returns whether they were left.

        Args:
            cost: recipients.
            waits: whether the limiter is held until they are.
        """
        if self._left is not None and self._left < cost:
            if waits and not self._held:
                self._held = True
                self.limiter.hold(KEPT)
            self._changed.clear()
            return False
        self._under_way += cost
        if self._left is not None:
            self._left -= cost
        return True

    def refund(self, cost: float) -> None:
        """Give back what an attempt would have used that was not made, or was refused."""
        self._under_way -= cost
        if self._left is not None:
            self._left += cost
            self._look()

    def on_event(self, event: Event) -> None:
        """Learn what became of an attempt."""
        if isinstance(event, Attempted):
            if event.outcome in USED:
                self._under_way -= event.cost
            else:
                self.refund(event.cost)

    async def changes(self) -> None:
        """Return when there may be something left again."""
        await self._changed.wait()

    def _look(self) -> None:
        if self._held and self._left is not None and self._left >= 1:
            self._held = False
            self.limiter.release(KEPT)
            self._changed.set()
