"""
The errors that leave seslimit.

Each says in one sentence what is wrong and, where somebody can do something about it, what to do. All of them pickle,
and none holds a credential: texts of a service are shortened and their control characters escaped on the way in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .outcome import Outcome, Stage

if TYPE_CHECKING:
    from .message import Message, Report

MAX_REPLY_LENGTH = 512
"""Characters of a service's text that are kept: enough for every known reply, too few to flood a log."""


def printable(text: str) -> str:
    """The text on one line, control characters escaped, at most `MAX_REPLY_LENGTH` characters."""
    if len(text) <= MAX_REPLY_LENGTH and text.isprintable():
        return text
    escaped = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return escaped if len(escaped) <= MAX_REPLY_LENGTH else escaped[: MAX_REPLY_LENGTH - 1] + "…"


class SESLimitError(Exception):
    """Base of every error that seslimit raises on purpose."""


class InvalidMessage(SESLimitError, ValueError):
    """A message that no service could accept: the sentence names the field and the remedy."""


class ConfigurationError(SESLimitError, ValueError):
    """An option, a URL or an installed extra that is wrong or missing: the sentence names it and the remedy."""


class TransportError(SESLimitError):
    """
    An attempt that was not accepted; raised by transports.

    Args:
        outcome: what the attempt meant.
        reply: the service's words, or one sentence about what happened.
        retry_after: seconds that the service, or its documents, ask to wait before the next message; 0 for none.
        stage: how far the attempt had come; None when the transport cannot tell.
        decided_at: event-loop time (seconds) at which the content had been handed over, so that the service could
            decide; None when it never was, or when the transport cannot tell.
        blocks_endpoint: for `NOT_SENT`, True when the next attempt would meet the same obstacle (no connection, no
            login), so that the endpoint has to be given time; False when a new connection mends it (idle, session cap).
    """

    def __init__(
        self,
        outcome: Outcome,
        reply: str,
        *,
        retry_after: float = 0.0,
        stage: Stage | None = None,
        decided_at: float | None = None,
        blocks_endpoint: bool = False,
    ) -> None:
        self.outcome = Outcome(outcome)
        self.reply = printable(reply)
        self.retry_after = retry_after
        self.stage = stage
        self.decided_at = decided_at
        self.blocks_endpoint = blocks_endpoint
        super().__init__(self.reply)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.outcome, self.reply), self.__dict__)


class SendFailed(SESLimitError):
    """
    A message that was given up, with the report that says why.

    Raised by `Sender.send`; `Sender.send_many` yields the report instead.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        super().__init__(f"{report.outcome} after {report.attempts} counted attempts: {report.error}")

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.report,))


class SendingStopped(SESLimitError):
    """
    Sending has stopped as a whole, and nothing is lost.

    Args:
        reply: the service's words, or one sentence about what happened.
        unsent: the messages that were taken from the caller and neither accepted nor given up, in their order.
    """

    def __init__(self, reply: str, unsent: Sequence[Message] = ()) -> None:
        self.reply = printable(reply)
        self.unsent = tuple(unsent)
        super().__init__(self.reply)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.reply, self.unsent))


class AccountBlocked(SendingStopped):
    """The service refuses everything from this account, identity or login; `__cause__` holds the refusal."""


class EndpointUnreachable(SendingStopped):
    """No connection to the service could be made for as long as the retry policy waits; `__cause__` says why."""


class QuotaExceeded(SendingStopped):
    """
    Nothing is left of the rolling 24 hours, and the retry policy does not wait for it.

    Args:
        reply: the service's words, or one sentence about what happened.
        unsent: as for every `SendingStopped`.
        retry_after: seconds after which it is worth trying again: until the oldest of what was sent leaves the 24
            hours, where that is known, and until the next probe where it is not.
    """

    def __init__(self, reply: str, unsent: Sequence[Message] = (), *, retry_after: float = 0.0) -> None:
        self.retry_after = retry_after
        super().__init__(reply, unsent)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.reply, self.unsent), self.__dict__)
