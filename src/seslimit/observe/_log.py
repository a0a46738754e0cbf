"""
The events as lines of the standard library's logging, each with its fields beside the words.

Decides how serious an event is. A throttle is what the limiter is for, so it is never more than information; what was
given up is a warning, and only what needs somebody to act is an error.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from .._model.errors import printable
from .._model.events import Attempted, Event, Learnt, Paused, Reason
from .._model.outcome import Outcome
from .._model.report import Report

LEVELS = {
    Outcome.ACCEPTED: logging.DEBUG,
    Outcome.THROTTLED: logging.INFO,
    Outcome.QUOTA_EXCEEDED: logging.INFO,
    Outcome.NOT_SENT: logging.INFO,
    Outcome.TRANSIENT: logging.INFO,
    Outcome.PERMANENT: logging.INFO,
    Outcome.ACCOUNT_BLOCKED: logging.INFO,
    Outcome.UNKNOWN: logging.WARNING,
}
"""Of an attempt: what comes of it for the message is in the report, and for the account in a pause."""

ENDS = {
    Outcome.ACCEPTED: logging.INFO,
    Outcome.NOT_SENT: logging.INFO,
    Outcome.THROTTLED: logging.INFO,
    Outcome.QUOTA_EXCEEDED: logging.INFO,
}
"""Of a message that came to its end; a warning for the others."""

FIELDS = "seslimit"
"""The attribute of a log record that has the fields."""


class LogHook:
    """
    A hook that logs: `Sender(hooks=[LogHook()])`.

    Each record has the event's fields as a dictionary in its attribute `seslimit`; `JSONFormatter` writes them out. No
    address and no content is among them; the message's key is.

    Args:
        logger: where to; `seslimit.events` when left out.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self.logger = logger or logging.getLogger("seslimit.events")

    def on_event(self, event: Event) -> None:
        """Log one event of a sender or a limiter."""
        level = _level(event)
        if self.logger.isEnabledFor(level):
            words, fields = _told(event)
            self.logger.log(level, words, extra={FIELDS: fields})


class JSONFormatter(logging.Formatter):
    """Writes a record as one JSON object on a line: time, level, logger, message, and the fields of an event."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _level(event: Event) -> int:
    match event:
        case Attempted():
            return LEVELS[event.outcome]
        case Report():
            return ENDS.get(event.outcome, logging.WARNING)
        case Paused(reason=Reason.ACCOUNT_BLOCKED):
            return logging.ERROR
        case Paused():
            return logging.WARNING
        case Learnt():
            return logging.DEBUG
    return logging.INFO


def _told(event: Event) -> tuple[str, dict[str, Any]]:
    """An event in words, and its fields."""
    match event:
        case Attempted():
            fields: dict[str, Any] = {
                "event": "attempted",
                "key": event.key,
                "outcome": event.outcome.value,
                "recipients": event.cost,
                "seconds": round(event.settled_at - event.admitted_at, 6),
                "waited": round(event.waited, 6),
                "reply": event.reply,
                "transport": event.transport,
            }
            return f"attempt {event.outcome}: {_key(event.key)}", fields
        case Report():
            fields = {
                "event": "report",
                "key": event.message.key,
                "outcome": event.outcome.value,
                "message_id": event.receipt.message_id if event.receipt else None,
                "attempts": event.attempts,
                "throttles": event.throttles,
                "error": printable(str(event.error)) if event.error else None,
            }
            return f"message {event.outcome}: {_key(event.message.key)}", fields
        case Paused():
            return f"paused: {printable(event.reason)}", {"event": "paused", "reason": event.reason}
        case Learnt():
            known = "unknown" if event.estimate is None else f"{event.estimate:.3g} recipients/s"
            return f"limit {known}", {"event": "learnt", "estimate": event.estimate, "cause": event.cause}
    return f"resumed after: {printable(event.reason)}", {"event": "resumed", "reason": event.reason}


def _key(key: object) -> str:
    return printable(str(key))
