"""
Feedback: what SES tells about messages after it has accepted them, and where that goes.

`SNSEndpoint` and `SQSSource` take events in, a `Feed` hands them to destinations and hooks, each once. `read` makes an
event of a document that came in some other way. A `Suppression` is a list of addresses that are not to be sent to.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .._model.clearance import CampaignHeld, Suppressed, SuppressionUnavailable
from ._events import (
    Bounce,
    Click,
    Complaint,
    Delivery,
    DeliveryDelay,
    Event,
    InvalidFeedback,
    MailInfo,
    Open,
    Recipient,
    Reject,
    RenderingFailure,
    Sent,
    Subscription,
)
from ._feed import Answering, Counts, Destination, Feed, NotTaken, Part, Refused, Unanswered, Unavailable
from ._guard import ReputationGuard
from ._reading import event_of, read
from ._reputation import Figures, Level, Verdict
from ._seen import Memory, Seen, SeenFile
from ._state_file import StateFile
from ._suppression import SuppressedAddress, Suppressing, Suppression, suppressed_by
from ._suppression_file import SuppressionFile
from ._suppression_lists import suppression_from_url
from ._warm_up import WarmUp
from ._warm_up_plan import Plan

if TYPE_CHECKING:
    from .._sqs import SQSOptions
    from ._destinations import JSONLines, Webhook
    from ._endpoint import SNSEndpoint
    from ._listmonk import Listmonk
    from ._outbox import OutboxLedger, OutboxSuppression
    from ._sqs import SQSSource, read_message
    from ._suppression_account import AccountSuppression

_LATER = {
    "AccountSuppression": "_suppression_account",
    "JSONLines": "_destinations",
    "Listmonk": "_listmonk",
    "OutboxLedger": "_outbox",
    "OutboxSuppression": "_outbox",
    "SNSEndpoint": "_endpoint",
    "SQSOptions": "_sqs",
    "SQSSource": "_sqs",
    "Webhook": "_destinations",
    "read_message": "_sqs",
}
"""Names that bring an HTTP client or AWS's: whoever only reads events needs neither."""

__all__ = [
    "AccountSuppression",
    "Answering",
    "Bounce",
    "CampaignHeld",
    "Click",
    "Complaint",
    "Counts",
    "Delivery",
    "DeliveryDelay",
    "Destination",
    "Event",
    "Feed",
    "Figures",
    "InvalidFeedback",
    "JSONLines",
    "Level",
    "Listmonk",
    "MailInfo",
    "Memory",
    "NotTaken",
    "Open",
    "OutboxLedger",
    "OutboxSuppression",
    "Part",
    "Plan",
    "Recipient",
    "Refused",
    "Reject",
    "RenderingFailure",
    "ReputationGuard",
    "SNSEndpoint",
    "SQSOptions",
    "SQSSource",
    "Seen",
    "SeenFile",
    "Sent",
    "StateFile",
    "Subscription",
    "Suppressed",
    "SuppressedAddress",
    "Suppressing",
    "Suppression",
    "SuppressionFile",
    "SuppressionUnavailable",
    "Unanswered",
    "Unavailable",
    "Verdict",
    "WarmUp",
    "Webhook",
    "event_of",
    "read",
    "read_message",
    "suppressed_by",
    "suppression_from_url",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LATER[name]}", __name__), name)
