"""
When everything will be done, with a daily quota: the rolling 24 hours played forward.

Pure: moments come as arguments. What was sent leaves the 24 hours a day later and makes room; what others send with the
account is taken to go on as it did.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from datetime import datetime

from .._model.quota import SendQuota

DAY = 86_400.0
"""Seconds of the rolling window. Source: Amazon SES Developer Guide, "Service quotas", read 2026-11."""

MOST_DAYS = 400
"""Days after which it is no forecast any more."""


def done_at(
    now: float, recipients: float, rate: float, quota: SendQuota | None, used: Iterable[tuple[float, float]]
) -> float | None:
    """
    When so many recipients will have been sent to, seconds since the epoch; None where that is not to be said.

    Args:
        now: seconds since the epoch.
        recipients: how many are left to be sent to.
        rate: recipients/s.
        quota: the account's, fresh; None or no daily limit for none.
        used: when, in seconds since the epoch, how many recipients were sent to in the 24 hours before.
    """
    if rate <= 0:
        return None
    if quota is None or quota.max_24_hour_send < 0:
        return now + recipients / rate
    leaving = [(at + DAY, count) for at, count in used if at + DAY > now]
    heapq.heapify(leaving)
    left, at = max(0.0, quota.remaining), now
    while recipients > 0:
        if left < 1:
            if not leaving or leaving[0][0] - now > MOST_DAYS * DAY:
                return None
            at = max(at, leaving[0][0])
        while leaving and leaving[0][0] <= at:
            left += heapq.heappop(leaving)[1]
        if left >= 1:
            some = min(recipients, left, rate * 600.0)
            at += some / rate
            left, recipients = left - some, recipients - some
            heapq.heappush(leaving, (at + DAY, some))
    return at


def day_words(at: float, now: float) -> str:
    """A moment for people, in local time: "14:10", "tomorrow 14:10", "Mon 30 Nov 14:10"."""
    when, today = datetime.fromtimestamp(at).astimezone(), datetime.fromtimestamp(now).astimezone()
    days = (when.date() - today.date()).days
    clock = f"{when:%H:%M}"
    return clock if days == 0 else f"tomorrow {clock}" if days == 1 else f"{when:%a} {when.day} {when:%b} {clock}"


def forecast(
    now: float, recipients: float, rate: float, quota: SendQuota | None, used: Iterable[tuple[float, float]]
) -> str:
    """The same in words: "9,200 of 50,000 left; done tomorrow 14:10"; empty where there is nothing to say."""
    left = ""
    if quota is not None and quota.max_24_hour_send >= 0:
        left = f"{max(0, math.floor(quota.remaining)):,} of {quota.max_24_hour_send:,.0f} left"
    at = done_at(now, recipients, rate, quota, used) if recipients else None
    done = "" if at is None else f"done {day_words(at, now)}"
    return "; ".join(filter(None, (left, done)))
