"""
Which account a backend sends for: what the settings say, and the one sender of the process for it.

Django makes a backend for each call of `send_mail`; the sender behind them, with its connections and what it knows of
the rate, is one for the process.
"""

from __future__ import annotations

import threading
from typing import Any

import attrs
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from ..._law.retry import RetryPolicy
from ..._model.errors import ConfigurationError
from ...blocking import Limiter, Sender

UNREACHABLE = 30.0
"""Seconds without any connection after which a call gives up: somebody waits for the page."""

_senders: dict[Account, Sender] = {}
_making = threading.Lock()


@attrs.frozen(kw_only=True)
class Account:
    """
    What a backend was told, by its options or by the settings `SESLIMIT_URL`, `SESLIMIT_RATE` and so on.

    Args:
        url: where to, as `transport_from_url` takes it.
        rate: recipients/s to start with; found out when left out.
        max_rate: recipients/s that are never exceeded.
    """

    url: str
    rate: float | None = None
    max_rate: float | None = None

    @classmethod
    def told(cls, **options: Any) -> Account:
        """
        What is told by options; a setting counts where there is no option.

        Raises:
            ImproperlyConfigured: there is no URL.
        """
        names = [field.name for field in attrs.fields(cls)]
        found: dict[str, Any] = {
            name: getattr(settings, f"SESLIMIT_{name.upper()}", None) if options.get(name) is None else options[name]
            for name in names
        }
        if not found["url"]:
            raise ImproperlyConfigured("SESLIMIT_URL is not set: give it a URL, for example ses://eu-west-1.")
        return cls(**found)

    def sender(self) -> Sender:
        """
        The process's sender for this account.

        Raises:
            ImproperlyConfigured: the URL or a rate is wrong.
        """
        with _making:
            if self not in _senders:
                try:
                    limiter = Limiter(self.rate, max_rate=self.max_rate)
                    # A request is not kept waiting for tomorrow's quota.
                    policy = RetryPolicy(on_quota_exceeded="stop", max_unreachable=UNREACHABLE)
                    _senders[self] = Sender(self.url, limiter=limiter, retry=policy)
                except ConfigurationError as error:
                    raise ImproperlyConfigured(f"SESLIMIT_URL, SESLIMIT_RATE or SESLIMIT_MAX_RATE: {error}") from error
            return _senders[self]
