"""Send mail through Amazon SES at exactly the rate the account is allowed, and lose nothing."""

from ._classify import classify
from ._errors import (
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
from ._limiter import Admission, Limiter
from ._message import MAX_RECIPIENTS, Message, Receipt, Report, check_address
from ._outcome import Outcome
from ._quota import SendQuota
from ._retry import RetryPolicy
from ._sender import Sender
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
