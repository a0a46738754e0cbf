"""
The service's side of the limit: how one account's rate is counted, and its rolling day, as pure arithmetic.

Decides whether a message that arrives at `now` is accepted. It knows nothing of sockets, of SMTP, of the event loop, or
of what a client may do about a refusal.

Invariants: what the day refuses is not counted for the rate, and what the rate refuses is not counted for the day;
`accepted` counts exactly the recipients that were told "accepted".
"""

from __future__ import annotations

import enum
from collections import deque

import attrs

from ._schedule import Schedule, schedule_of
from .services import Counting, DebtBucket

__all__ = ["DAY", "Schedule", "SimulatedAccount", "Verdict"]

DAY = 86_400.0
"""Length of the rolling window of the daily quota, in seconds."""


class Verdict(enum.StrEnum):
    """What the account says to one message."""

    ACCEPTED = "accepted"
    RATE_EXCEEDED = "rate exceeded"
    QUOTA_EXCEEDED = "quota exceeded"


@attrs.define
class SimulatedAccount:
    """
    One SES account in one region: a way to count the recipients of each second, and a rolling 24-hour quota.

    Unless told otherwise it counts by a token bucket with debt: a message is accepted when at least one token is there
    and then takes as many tokens as it has recipients, so the level may fall below zero; until it is back above one,
    everything is refused.

    Args:
        rate: recipients/s, or a `Schedule`.
        depth: how many seconds of the rate the bucket holds; it never holds less than one token.
        max_24_hour_send: the daily quota in recipients; -1 for no quota.
        sent_last_24_hours: recipients that count as sent just before the start.
        refusal_cost: tokens that a refusal for the rate takes, 0 as the documents suggest.
        day: length of the quota's window in seconds; shorter than a day to see it pass.
        counting: how the rate is counted; None for the bucket that `depth` and `refusal_cost` describe.

    Source:
        Amazon SES Developer Guide, "Managing your sending quotas" (recipients, rolling 24 hours, short bursts); the
        debt per recipient is from its edition of 2018-02-21. Read 2026-11.
    """

    rate: Schedule = attrs.field(converter=schedule_of)
    depth: float = 1.0
    max_24_hour_send: float = -1.0
    sent_last_24_hours: float = 0.0
    refusal_cost: float = 0.0
    day: float = DAY
    counting: Counting | None = None

    accepted: int = attrs.field(default=0, init=False)
    refused: int = attrs.field(default=0, init=False)
    over_quota: int = attrs.field(default=0, init=False)
    _counted_by: Counting = attrs.field(init=False)
    _started: float | None = attrs.field(default=None, init=False)
    _sent: deque[tuple[float, float]] = attrs.field(factory=deque, init=False)
    _sent_sum: float = attrs.field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._counted_by = self.counting or DebtBucket(self.rate, self.depth, refusal_cost=self.refusal_cost)

    def start(self, now: float) -> None:
        """Start the clock; the first `decide` does it otherwise."""
        self._started = now
        if self.sent_last_24_hours:
            self._record(now, self.sent_last_24_hours)

    def send_rate(self, now: float) -> float:
        """The rate in force at `now`, in recipients/s."""
        return self.rate.at(0.0 if self._started is None else now - self._started)

    def sent(self, now: float) -> float:
        """Recipients accepted in the rolling window that ends at `now`."""
        if self._started is None:
            return self.sent_last_24_hours
        while self._sent and self._sent[0][0] <= now - self.day:
            self._sent_sum -= self._sent.popleft()[1]
        return self._sent_sum

    def decide(self, now: float, recipients: int, uncounted: int = 0) -> Verdict:
        """
        Say whether a message that arrives at `now` is accepted, and charge it.

        Args:
            now: seconds.
            recipients: of the message.
            uncounted: those among them that the daily quota does not count.
        """
        elapsed = self._elapsed(now)
        if uncounted < recipients and 0 <= self.max_24_hour_send <= self.sent(now):
            self.over_quota += 1
            return Verdict.QUOTA_EXCEEDED
        if not self._counted_by.take(elapsed, recipients):
            self.refused += 1
            return Verdict.RATE_EXCEEDED
        self.accepted += recipients
        if uncounted < recipients:
            self._record(now, recipients - uncounted)
        return Verdict.ACCEPTED

    def take(self, now: float, recipients: int) -> bool:
        """Let another tenant of the account send, uncounted here; False where it is refused for the rate."""
        return self._counted_by.take(self._elapsed(now), recipients)

    def _elapsed(self, now: float) -> float:
        if self._started is None:
            self.start(now)
        return max(0.0, now - (self._started or 0.0))

    def _record(self, now: float, recipients: float) -> None:
        # Entries of the same hundredth of a second are one entry: a million messages must not be a million entries.
        if self._sent and now - self._sent[-1][0] < self.day / 1e7:
            self._sent[-1] = (self._sent[-1][0], self._sent[-1][1] + recipients)
        else:
            self._sent.append((now, recipients))
        self._sent_sum += recipients
