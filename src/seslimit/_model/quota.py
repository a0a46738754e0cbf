"""The account's sending quota, as the service names it."""

from __future__ import annotations

import math

import attrs


@attrs.frozen
class SendQuota:
    """
    The sending quota of an account in one region, in recipients, as `GetAccount` reports it.

    Args:
        max_24_hour_send: recipients in any 24 hours; -1 for no limit.
        max_send_rate: recipients/s.
        sent_last_24_hours: recipients of the last 24 hours; the service's figure lags by minutes.

    Source:
        SES API v2, `GetAccount`, `SendQuota`; read 2026-11.
    """

    max_24_hour_send: float
    max_send_rate: float
    sent_last_24_hours: float

    @property
    def remaining(self) -> float:
        """Recipients left in the rolling 24 hours; infinity where there is no limit."""
        if self.max_24_hour_send < 0:
            return math.inf
        return max(0.0, self.max_24_hour_send - self.sent_last_24_hours)
