"""Send mail through Amazon SES at exactly the rate the account is allowed, and lose nothing."""

from ._law.retry import RetryPolicy
from ._meaning.classify import classify
from ._model.errors import (
    AccountBlocked,
    ConfigurationError,
    EndpointUnreachable,
    InvalidMessage,
    QuotaExceeded,
    SendFailed,
    SendingStopped,
    SESLimitError,
    TransportError,
)
from ._model.message import MAX_RECIPIENTS, Message, Receipt, Report, check_address
from ._model.outcome import Outcome
from ._model.quota import SendQuota
from ._pacing.limiter import Admission, Limiter
from ._sending.sender import Sender
from .transports import Transport, transport_from_url

__all__ = [
    "AccountBlocked",
    "Admission",
    "ConfigurationError",
    "EndpointUnreachable",
    "InvalidMessage",
    "Limiter",
    "MAX_RECIPIENTS",
    "Message",
    "Outcome",
    "QuotaExceeded",
    "Receipt",
    "Report",
    "RetryPolicy",
    "SESLimitError",
    "SendFailed",
    "SendQuota",
    "Sender",
    "SendingStopped",
    "Transport",
    "TransportError",
    "check_address",
    "classify",
    "transport_from_url",
]
