"""
How much of the account's rolling 24 hours is left.

Decides how many recipients may still be sent and when more will be. The service's own figures lag and the account may
have other senders, so what is counted here since the last figures is added to them.

Invariants: never more left than the service's last figures less what was accepted since; time comes as an argument.
"""

from __future__ import annotations

import math
from collections import deque

import attrs

from .._model.quota import SendQuota

DAY = 86_400.0
"""Seconds of the rolling window. Source: Amazon SES Developer Guide, "Service quotas", read 2026-11."""

GRAIN = 60.0
"""Seconds that share one entry of the window: 1,440 entries hold a day, whatever the rate."""


@attrs.define
class RollingDay:
    """Recipients accepted in the last 24 hours, as far as this process saw them, and the service's last figures."""

    _quota: SendQuota | None = attrs.field(default=None, init=False)
    _since_figures: float = attrs.field(default=0, init=False)
    _believed: bool = attrs.field(default=False, init=False)
    _window: deque[tuple[float, float]] = attrs.field(factory=deque, init=False)

    @property
    def quota(self) -> SendQuota | None:
        """The service's last figures; None before the first."""
        return self._quota

    def figures(self, quota: SendQuota) -> None:
        """Take the service's figures."""
        self._quota = quota
        self._since_figures = 0
        self._believed = True

    def overtaken(self) -> None:
        """Messages go although nothing should be left: the figures are out of date, wait for the next."""
        self._believed = False

    def accepted(self, now: float, cost: float) -> None:
        """Count a message that was accepted at `now`."""
        self._since_figures += cost
        if self._window and now - self._window[-1][0] < GRAIN:
            begin, count = self._window[-1]
            self._window[-1] = (begin, count + cost)
        else:
            self._window.append((now, cost))
        if self._window[0][0] + DAY <= now:
            self._forget(now)

    @property
    def is_used_up(self) -> bool:
        """Whether nothing is left."""
        return self._believed and self.remaining() < 1

    def remaining(self) -> float:
        """Recipients that may still be sent, as far as is known; infinity where nothing limits or nothing is known."""
        if self._quota is None or not self._believed:
            return math.inf
        return max(0.0, self._quota.remaining - self._since_figures)

    def frees_at(self, now: float) -> float | None:
        """When the oldest recipients seen here leave the window, the next sure gain; None where none were seen."""
        self._forget(now)
        return self._window[0][0] + DAY if self._window else None

    def _forget(self, now: float) -> None:
        while self._window and self._window[0][0] + DAY <= now:
            self._window.popleft()
