"""
How it ends: a message that was given up, or sending that has to stop.

These leave `Sender` and `Limiter`; what a transport raises about one attempt is in `errors`. All of them pickle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .errors import SESLimitError, printable
from .message import Message
from .report import Report


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
    """The service refuses everything from this account or login; `__cause__` holds the refusal."""


class IdentityBlocked(AccountBlocked):
    """
    The service refuses everything of this message's sender, and takes what others send.

    `__cause__` holds the refusal, which names the identity. A while later one message finds out whether it still does.
    """


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
