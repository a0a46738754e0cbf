"""
The service's side of the limit: one account's token bucket and rolling day, as pure arithmetic.

Decides whether a message that arrives at `now` is accepted. It knows nothing of sockets, of SMTP, of the event loop, or
of what a client may do about a refusal.

Invariants: the level never exceeds the depth; a refusal for the rate or for the day leaves the level and the day alone
(unless `refusal_cost` says otherwise); `accepted` counts exactly the recipients that were told "accepted".
"""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable

import attrs

DAY = 86_400.0
"""Length of the rolling window of the daily quota, in seconds."""


class Verdict(enum.StrEnum):
    """What the account says to one message."""

    ACCEPTED = "accepted"
    RATE_EXCEEDED = "rate exceeded"
    QUOTA_EXCEEDED = "quota exceeded"


def _sorted(steps: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    return tuple(sorted(steps))


@attrs.frozen
class Schedule:
    """
    A send rate that changes in steps: `((0, 100), (12, 50), (24, 150))`.

    Args:
        steps: pairs of seconds since the account's first second and recipients/s, sorted by time, the first at 0.
    """

    steps: tuple[tuple[float, float], ...] = attrs.field(converter=_sorted)

    def __attrs_post_init__(self) -> None:
        if not self.steps or self.steps[0][0] != 0:
            raise ValueError("a rate schedule starts at second 0, for example ((0, 100), (12, 50))")
        if any(rate <= 0 for _, rate in self.steps):
            raise ValueError("every rate of a schedule is above 0 recipients/s")

    @classmethod
    def constant(cls, rate: float) -> Schedule:
        """A schedule with one rate, in recipients/s."""
        return cls(((0.0, rate),))

    def at(self, elapsed: float) -> float:
        """The rate in force `elapsed` seconds after the start, in recipients/s."""
        index = bisect_right(self.steps, elapsed, key=lambda step: step[0]) - 1
        return self.steps[max(0, index)][1]

    def integral(self, begin: float, end: float) -> float:
        """The recipients that the schedule allows from `begin` to `end`, in seconds since the start."""
        total, at = 0.0, max(0.0, begin)
        for index in range(max(1, bisect_right(self.steps, at, key=lambda step: step[0])), len(self.steps)):
            stop = self.steps[index][0]
            if stop >= end:
                break
            total += self.steps[index - 1][1] * (stop - at)
            at = stop
        return total + self.at(at) * max(0.0, end - at)


def _schedule(rate: float | Schedule) -> Schedule:
    return rate if isinstance(rate, Schedule) else Schedule.constant(rate)


@attrs.define
class SimulatedAccount:
    """
    One SES account in one region: a token bucket with debt, charged per recipient, and a rolling 24-hour quota.

    A message is accepted when at least one token is there and then takes as many tokens as it has recipients, so the
    level may fall below zero; until it is back above one, everything is refused.

    Args:
        rate: recipients/s, or a `Schedule`.
        depth: how many seconds of the rate the bucket holds; it never holds less than one token.
        max_24_hour_send: the daily quota in recipients; -1 for no quota.
        sent_last_24_hours: recipients that count as sent just before the start.
        refusal_cost: tokens that a refusal for the rate takes, 0 as the documents suggest.
        day: length of the quota's window in seconds; shorter than a day to see it pass.

    Source:
        Amazon SES Developer Guide, "Managing your sending quotas" (recipients, rolling 24 hours, short bursts); the
        debt per recipient is from its edition of 2018-02-21. Read 2026-11.
    """

    rate: Schedule = attrs.field(converter=_schedule)
    depth: float = 1.0
    max_24_hour_send: float = -1.0
    sent_last_24_hours: float = 0.0
    refusal_cost: float = 0.0
    day: float = DAY

    accepted: int = attrs.field(default=0, init=False)
    refused: int = attrs.field(default=0, init=False)
    over_quota: int = attrs.field(default=0, init=False)
    _started: float | None = attrs.field(default=None, init=False)
    _level: float = attrs.field(default=0.0, init=False)
    _at: float = attrs.field(default=0.0, init=False)
    _sent: deque[tuple[float, float]] = attrs.field(factory=deque, init=False)
    _sent_sum: float = attrs.field(default=0.0, init=False)

    def start(self, now: float) -> None:
        """Start the clock with a full bucket; the first `decide` does it otherwise."""
        self._started = self._at = now
        self._level = self._capacity(self.rate.at(0.0))
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

    def decide(self, now: float, recipients: int) -> Verdict:
        """Say whether a message with `recipients` recipients that arrives at `now` is accepted, and charge it."""
        if self._started is None:
            self.start(now)
        self._refill(now)
        if 0 <= self.max_24_hour_send <= self.sent(now):
            self.over_quota += 1
            return Verdict.QUOTA_EXCEEDED
        if self._level < 1.0:
            self.refused += 1
            self._level -= self.refusal_cost
            return Verdict.RATE_EXCEEDED
        self._level -= recipients
        self.accepted += recipients
        self._record(now, recipients)
        return Verdict.ACCEPTED

    def take(self, now: float, recipients: int) -> bool:
        """Let another tenant of the account take tokens, uncounted here; False where the bucket has none."""
        if self._started is None:
            self.start(now)
        self._refill(now)
        if self._level < 1.0:
            return False
        self._level -= recipients
        return True

    def _refill(self, now: float) -> None:
        if self._started is None or now <= self._at:
            return
        refill = self.rate.integral(self._at - self._started, now - self._started)
        self._level = min(self._capacity(self.send_rate(now)), self._level + refill)
        self._at = now

    def _capacity(self, rate: float) -> float:
        return max(1.0, rate * self.depth)

    def _record(self, now: float, recipients: float) -> None:
        # Entries of the same hundredth of a second are one entry: a million messages must not be a million entries.
        if self._sent and now - self._sent[-1][0] < self.day / 1e7:
            self._sent[-1] = (self._sent[-1][0], self._sent[-1][1] + recipients)
        else:
            self._sent.append((now, recipients))
        self._sent_sum += recipients
