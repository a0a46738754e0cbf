"""
What an attempt meant, and the words of the service that said so.

Values only: nothing here decides (that is `_meaning` and `_law.retry`), waits or talks to a network.
"""

from __future__ import annotations

import enum

import attrs


class Outcome(enum.StrEnum):
    """
    What one attempt meant: whether the service took the message, and if not, what stands in the way.

    The value is the word used in reports, in JSON and in metrics.
    """

    ACCEPTED = "accepted"
    """The service took responsibility and gave a message id."""
    THROTTLED = "throttled"
    """Refused for the rate; the message was not taken and may be sent again at once, slower."""
    QUOTA_EXCEEDED = "quota_exceeded"
    """Refused for the day; nothing is accepted until the rolling 24 hours free some quota."""
    NOT_SENT = "not_sent"
    """Certainly not accepted, and for no fault of the message: connection, session, idle time-out, login."""
    TRANSIENT = "transient"
    """Refused, and may succeed if repeated unchanged."""
    PERMANENT = "permanent"
    """Refused, and will not succeed if repeated unchanged."""
    ACCOUNT_BLOCKED = "account_blocked"
    """Refused for the account, its credentials or its identity: every message would be."""
    UNKNOWN = "unknown"
    """The connection broke after the content was handed over: it may have been accepted."""


class Door(enum.StrEnum):
    """The interface of the service that an attempt went through; tables of replies differ by it."""

    SMTP = "smtp"
    API = "api"


class Stage(enum.StrEnum):
    """How far an attempt had come when the reply was read."""

    BEFORE = "before"
    """Nothing was asked of the service: a bound on this side let it not go, and it counts as no attempt."""
    CONNECT = "connect"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    """The DATA command: no content was handed over yet."""
    DOT = "dot"
    """The content was handed over; the reply to the final dot, or to the HTTP request."""
    RSET = "rset"
    REQUEST = "request"
    """An API call."""


@attrs.frozen
class Reply:
    """
    One reply of the service, as it was read.

    Args:
        door: which interface it came through.
        stage: how far the attempt had come.
        code: the SMTP reply code ("454") or the error name of the API ("TooManyRequestsException").
        text: the service's words, without the code.
    """

    door: Door
    stage: Stage
    code: str
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}".strip()
