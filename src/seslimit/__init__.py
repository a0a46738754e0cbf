"""
Send mail through Amazon SES at exactly the rate the account is allowed, and lose nothing.

Values and errors are here at once; what works on them is loaded when it is first named.
"""

import typing as _typing

from ._model.addresses import check_address
from ._model.clearance import CampaignHeld, Guards, Suppressed, Suppresses, SuppressionUnavailable
from ._model.endings import (
    AccountBlocked,
    EndpointUnreachable,
    IdentityBlocked,
    QuotaExceeded,
    SendFailed,
    SendingStopped,
)
from ._model.errors import ConfigurationError, InvalidMessage, SESLimitError, TransportError
from ._model.events import Attempted, Event, Learnt, Paused, Reason, Resumed, State
from ._model.history import Attempt, History
from ._model.journal import Journal, JournalError, JournalUnavailable, KeyReused, LeaseLost, Queued
from ._model.meaning import Scope
from ._model.message import MAX_RECIPIENTS, Message
from ._model.outcome import Outcome
from ._model.quota import SendQuota
from ._model.report import Receipt, Report

if _typing.TYPE_CHECKING:
    from ._law.retry import RetryPolicy
    from ._meaning.classify import classify
    from ._pacing.gate import Admission
    from ._pacing.limiter import Limiter
    from ._sending.sender import Sender
    from .transports import Transport, transport_from_url

__all__ = [
    "AccountBlocked",
    "Admission",
    "Attempt",
    "Attempted",
    "CampaignHeld",
    "ConfigurationError",
    "EndpointUnreachable",
    "Event",
    "Guards",
    "History",
    "IdentityBlocked",
    "InvalidMessage",
    "Journal",
    "JournalError",
    "JournalUnavailable",
    "KeyReused",
    "Learnt",
    "LeaseLost",
    "Limiter",
    "MAX_RECIPIENTS",
    "Message",
    "Outcome",
    "Paused",
    "Queued",
    "QuotaExceeded",
    "Reason",
    "Receipt",
    "Report",
    "Resumed",
    "RetryPolicy",
    "SESLimitError",
    "Scope",
    "SendFailed",
    "SendQuota",
    "Sender",
    "SendingStopped",
    "State",
    "Suppressed",
    "Suppresses",
    "SuppressionUnavailable",
    "Transport",
    "TransportError",
    "check_address",
    "classify",
    "transport_from_url",
]

__version__: str
"""The version that is installed; read when it is asked for."""

_LATER = {
    "Admission": "._pacing.gate",
    "Limiter": "._pacing.limiter",
    "RetryPolicy": "._law.retry",
    "Sender": "._sending.sender",
    "Transport": ".transports",
    "classify": "._meaning.classify",
    "transport_from_url": ".transports",
}
"""Names that are loaded when they are first used, and where from: three quarters of the time that all would take."""


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not _typing.TYPE_CHECKING:  # a checker would take every misspelt name for one that is made here

    def __getattr__(name):
        if name in _LATER:
            from importlib import import_module

            globals()[name] = found = getattr(import_module(_LATER[name], __name__), name)
            return found
        if name == "__version__":
            from importlib.metadata import version

            return version("seslimit")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
