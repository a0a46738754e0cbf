"""
What the relay answers: from what became of a message to one line of SMTP.

Pure: a table of words. It must not know how anything was sent, and is told the time.

Invariants: a reply is one line of printable ASCII and at most `MAX_LINE` bytes; only what SES refused for good, or what
no service could take, is answered 5xx; nothing is answered 250 unless SES took it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import attrs

from seslimit import (
    AccountBlocked,
    EndpointUnreachable,
    InvalidMessage,
    Outcome,
    QuotaExceeded,
    Receipt,
    SendFailed,
    SESLimitError,
)
from seslimit.outbox import JournalError

MAX_LINE = 510
"""Bytes of a reply without its CRLF. Source: RFC 5321, 4.5.3.1.5."""

MAX_NAMED = 5
"""Recipients, or message ids, that one reply names; the others are counted, and are in the log."""

STOPPING = "421 4.3.2 The relay is stopping; the message was not sent, send it again later"
LEFT = "451 4.3.2 The client closed the connection before the message had its turn, and it was not sent"
WAITED = "451 4.3.2 The message has waited too long for its turn and was not sent; send it again later"

_SES_REPLY = re.compile(r"5\d\d .")
_UNPRINTABLE = re.compile(r"[^ -~]+")


class Refused(Exception):
    """A command, or a message, that is answered with something else than the go-ahead."""

    def __init__(self, reply: str, *, last: bool = False) -> None:
        self.reply = one_line(reply)
        self.last = last
        """Whether the connection ends after this reply."""
        super().__init__(self.reply)


@attrs.define
class TransactionResult:
    """
    What became of one transaction, part by part.

    Args:
        recipients: how many it has.
        accepted: recipient → message id, of those that SES took, now or at an earlier attempt.
        refused: recipient → SES's words, of those that it would not take.
        failure: the reply for the first part that was not taken; None where every part was.
    """

    recipients: int
    accepted: dict[str, str] = attrs.field(factory=dict)
    refused: dict[str, str] = attrs.field(factory=dict)
    failure: str | None = None

    @property
    def done(self) -> bool:
        """Whether every part was taken."""
        return self.failure is None

    @property
    def is_for_now(self) -> bool:
        """Whether a part failed in a way that may pass, so that the client will come back."""
        return self.failure is not None and self.failure.startswith("4")

    def took(self, part: Iterable[str], receipt: Receipt) -> None:
        """SES took a part."""
        self.accepted.update((each, receipt.message_id) for each in part if each not in receipt.refused)
        self.refused.update(receipt.refused)

    def failed(self, reply: str) -> None:
        """A part was not taken. What may pass counts more than what is for good: then the client comes back."""
        if self.failure is None or reply.startswith("4"):
            self.failure = reply

    def reply(self) -> str:
        """The reply to the final dot."""
        ids = _listed(list(dict.fromkeys(self.accepted.values())))
        if self.failure is None:
            also = f"; refused for {_named(self.refused)}" if self.refused else ""
            return one_line(f"250 2.0.0 Ok {ids}{also}")
        if not self.accepted:
            return self.failure
        code, words = self.failure[:3], self.failure[4:]
        again = "send again to all, those are left out" if code.startswith("4") else "do not send to those again"
        if code == STOPPING[:3]:
            # The relay forgets what it knows.
            again = "sent again to all, those get it twice"
        enhanced, rest = _split(words, code)
        return one_line(
            f"{code} {enhanced} Accepted for {len(self.accepted)} of {self.recipients} recipients ({again}: {ids}); "
            f"for the others: {rest}"
        )


def one_line(text: str) -> str:
    """The text in ASCII, without line ends, and cut to what a reply's line may have."""
    line = _UNPRINTABLE.sub(" ", text.encode("ascii", "backslashreplace").decode())
    return line if len(line) <= MAX_LINE else line[: MAX_LINE - 3] + "..."


def too_many_failed(again: int | None = None) -> str:
    """The reply to whoever guesses; `again` is in how many seconds its next login is looked at."""
    when = "" if again is None else f", come back in {again} s"
    return f"421 4.7.0 Too many logins failed from your address{when}"


def for_error(error: SESLimitError, now: datetime) -> str:
    """
    The reply for a message, or a part of it, that was not accepted.

    Args:
        error: what `Sender.send` raised, or `Message`.
        now: the time of day, with its zone.
    """
    match error:
        case InvalidMessage():
            reply = f"554 5.6.0 {error}"
        case JournalError():
            reply = f"451 4.3.0 The outbox cannot be written, the message was not taken: {error.reply}"
        case QuotaExceeded():
            until = now + timedelta(seconds=error.retry_after)
            reply = f"452 4.3.1 Daily sending quota used up until {until:%Y-%m-%d %H:%M:%S} UTC or later: {error.reply}"
        case AccountBlocked():
            reply = f"451 4.3.0 SES takes nothing from this account now, the message was not sent: {error.reply}"
        case EndpointUnreachable():
            reply = f"451 4.4.1 No connection to SES, the message was not sent: {error.reply}"
        case SendFailed():
            reply = _given_up(error)
        case _:
            reply = STOPPING
    return one_line(reply)


def _given_up(error: SendFailed) -> str:
    words = str(error.report.error)
    match error.report.outcome:
        case Outcome.PERMANENT if isinstance(error.report.error, InvalidMessage):
            return f"554 5.6.0 {words}"
        case Outcome.PERMANENT:
            return words if _SES_REPLY.match(words) else f"554 5.0.0 {words}"
        case Outcome.UNKNOWN:
            return f"451 4.4.2 The message may have been accepted, the connection to SES broke: {words}"
        case Outcome.TRANSIENT:
            return f"451 4.3.0 Not sent after {error.report.attempts} attempts: {words}"
    # Anything else is repeated without end, unless the relay stops.
    return STOPPING


def _split(words: str, code: str) -> tuple[str, str]:
    """The enhanced code that the words begin with, or the plainest one, and the rest."""
    found = re.match(r"([245]\.\d{1,3}\.\d{1,3}) ", words)
    return (found[1], words[found.end() :]) if found else (f"{code[0]}.0.0", words)


def _listed(words: Sequence[str]) -> str:
    more = len(words) - MAX_NAMED
    return " ".join(words[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _named(refused: Mapping[str, str]) -> str:
    named = [f"{recipient} ({words})" for recipient, words in list(refused.items())[:MAX_NAMED]]
    more = len(refused) - MAX_NAMED
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")
