"""
Which account a backend sends for: what the settings say, and the one sender of the process for it.

Django makes a backend for each call of `send_mail`; the sender behind them, with its connections and what it knows of
the rate, is one for the process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from ..._law.retry import RetryPolicy
from ..._model.errors import ConfigurationError
from ..._model.message import Message
from ..._portal import PORTAL
from ...blocking import Limiter, Sender

if TYPE_CHECKING:
    from ...outbox import Outbox

UNREACHABLE = 30.0
"""Seconds without any connection after which a call gives up: somebody waits for the page."""

_senders: dict[Account, Sender] = {}
_outboxes: dict[tuple[asyncio.AbstractEventLoop, str | None], Outbox] = {}
"""By their event loops: one of a process that this one was forked from is not to be shared."""
_making = threading.Lock()


@attrs.frozen(kw_only=True)
class Account:
    """
    What a backend was told, by its options or by the settings `SESLIMIT_URL`, `SESLIMIT_RATE` and so on.

    Args:
        url: where to, as `transport_from_url` takes it.
        rate: recipients/s to start with; found out when left out.
        max_rate: recipients/s that are never exceeded.
        shared: where the account's rate is shared with other processes, as `shared_from_url` takes it.
        outbox: the file or URL of an outbox. Messages are put there, and `seslimit work` sends them.
    """

    url: str | None = None
    rate: float | None = None
    max_rate: float | None = None
    shared: str | None = None
    outbox: str | None = None

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
        if not found["url"] and not found["outbox"]:
            raise ImproperlyConfigured("SESLIMIT_URL is not set: give it a URL, for example ses://eu-west-1.")
        return cls(**found)

    def add(self, messages: Sequence[Message]) -> None:
        """
        Put messages into the outbox; they are on the disk when this returns.

        Raises:
            ImproperlyConfigured: it is none that an outbox can be in.
            JournalError: it cannot be written.
        """
        PORTAL.call(self._add, messages)

    async def _add(self, messages: Sequence[Message]) -> None:
        key = asyncio.get_running_loop(), self.outbox
        if key not in _outboxes:
            from ...outbox import Outbox

            try:
                outbox = _outboxes[key] = Outbox(self.outbox or "")
            except ConfigurationError as error:
                raise ImproperlyConfigured(f"SESLIMIT_OUTBOX: {error}") from error
            PORTAL.at_end(key, outbox.aclose)
        await _outboxes[key].add(messages)

    def sender(self) -> Sender:
        """
        The process's sender for this account.

        Raises:
            ImproperlyConfigured: the URL or a rate is wrong.
        """
        with _making:
            if self not in _senders:
                try:
                    limiter = Limiter(self.rate, max_rate=self.max_rate, shared=self.shared)
                    # A request is not kept waiting for tomorrow's quota.
                    policy = RetryPolicy(on_quota_exceeded="stop", max_unreachable=UNREACHABLE)
                    _senders[self] = Sender(self.url or "", limiter=limiter, retry=policy)
                except ConfigurationError as error:
                    raise ImproperlyConfigured(f"SESLIMIT_URL, _RATE, _MAX_RATE or _SHARED: {error}") from error
            return _senders[self]
