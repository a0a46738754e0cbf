"""The account's sending quota, as the service names it."""

from __future__ import annotations

import math

import attrs


def _no_limit(figure: float) -> float:
    return figure if 0.0 <= figure < math.inf else -1.0


def _nothing(figure: float) -> float:
    return figure if 0.0 <= figure < math.inf else 0.0


@attrs.frozen
class SendQuota:
    """
    The sending quota of an account in one region, in recipients, as `GetAccount` reports it.

    Args:
        max_24_hour_send: recipients in any 24 hours; -1 for no limit.
        max_send_rate: recipients/s; 0 where it is not known.
        sent_last_24_hours: recipients of the last 24 hours; the service's figure lags by minutes.

    A figure that is no number a service can mean (not a number, infinite, or negative where that says nothing) is taken
    as not known: no limit, no rate, nothing sent.

    Source:
        SES API v2, `GetAccount`, `SendQuota`; read 2026-11.
    """

    max_24_hour_send: float = attrs.field(converter=_no_limit)
    max_send_rate: float = attrs.field(converter=_nothing)
    sent_last_24_hours: float = attrs.field(converter=_nothing)

    @property
    def remaining(self) -> float:
        """Recipients left in the rolling 24 hours; infinity where there is no limit."""
        if self.max_24_hour_send < 0:
            return math.inf
        return max(0.0, self.max_24_hour_send - self.sent_last_24_hours)
