"""What the answers to `SendEmail`, and the lack of one, mean: receipts and errors of a transport."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import attrs

from ..._meaning.classify import meaning_of_api_error
from ..._model.errors import TransportError
from ..._model.meaning import Meaning
from ..._model.outcome import Outcome, Stage
from ..._model.report import Receipt
from .._refusal import error_of, reason_of, words_of
from ._answers import Answer
from ._connection import HTTPConnection

SKEW = 60.0
"""Seconds that a clock is off before it is told; AWS refuses from five minutes on."""

_ENDED = frozenset({"ExpiredToken", "ExpiredTokenException"})
_UNREACHABLE = Meaning(Outcome.NOT_SENT, blocks_endpoint=True, stage=Stage.CONNECT)


@attrs.frozen
class Said:
    """
    What an answer says.

    Args:
        code: the name of its error, or its status where it names none.
        words: its message.
        fields: all that its content holds; empty where that is no JSON object.
        status: of HTTP.
        date: when the service answered, by its clock, as it writes it.
        handed_over_at: event-loop time at which the whole request was written; None where it was answered before.
        hide: takes secrets out of the service's words.
    """

    code: str
    words: str
    fields: dict[str, Any]
    status: int
    date: str
    handed_over_at: float | None
    hide: Callable[[str], str]

    @property
    def ended(self) -> bool:
        """Whether the credentials were good once, and new ones may be."""
        return self.status >= 300 and self.code in _ENDED


def said(answer: Answer, handed_over_at: float | None, hide: Callable[[str], str]) -> Said:
    """
    Read an answer.

    Args:
        answer: the answer.
        handed_over_at: when the whole request was written.
        hide: takes secrets out of the service's words.

    Source:
        AWS rest-json protocol, "Operation error serialization": the header x-amzn-errortype, else `code` or `__type`
        of the content; what stands before a "#" and behind a ":" is no part of the name. Read 2026-11.
    """
    try:
        content = json.loads(answer.content.decode())
    except (ValueError, RecursionError):
        content = {}
    fields = content if isinstance(content, dict) else {}
    name = answer.fields.get("x-amzn-errortype") or fields.get("code") or fields.get("__type") or ""
    code = str(name).partition(":")[0].rpartition("#")[2] or str(answer.status)
    words = fields.get("message") or fields.get("Message") or fields.get("errorMessage") or ""
    return Said(code, str(words), fields, answer.status, answer.fields.get("date", ""), handed_over_at, hide)


def receipt_of(found: Said, recipients: Collection[str]) -> Receipt:
    """
    The receipt for an answer.

    Args:
        found: the answer.
        recipients: the envelope's recipients.

    Raises:
        TransportError: it is no acceptance, or says not of what.
    """
    if not 200 <= found.status < 300:
        meant = meaning_of_api_error(found.code, found.words, found.status, recipients)
        words = f"{found.code} {found.words}".strip() + _about_the_clock(found, meant)
        raise error_of(meant, found.hide(words), decided_at=found.handed_over_at)
    message_id = found.fields.get("MessageId")
    if not isinstance(message_id, str) or not message_id:
        raise error_of(
            Meaning(Outcome.UNKNOWN, stage=Stage.REQUEST),
            "The service answered without a message id; it may have accepted the message.",
            decided_at=found.handed_over_at,
        )
    return Receipt(message_id, decided_at=found.handed_over_at)


def unreachable(error: Exception) -> TransportError:
    """The error for a connection that could not be made."""
    return error_of(_UNREACHABLE, f"No request was made: {reason_of(error)}")


def broken(error: Exception, connection: HTTPConnection) -> TransportError:
    """The error for a request without an answer: it cannot have been taken, or nobody can tell."""
    at = connection.handed_over_at
    if at is None:
        # A connection that never worked says something about the endpoint; one that did, only about itself.
        fresh = connection.transactions <= 1
        unwritten = Meaning(Outcome.NOT_SENT, blocks_endpoint=fresh, stage=Stage.REQUEST)
        return error_of(
            unwritten, f"The connection broke before the request was written, nothing was sent: {words_of(error)}"
        )
    words = "The connection broke after the request was written, the message may have been accepted"
    return error_of(Meaning(Outcome.UNKNOWN, stage=Stage.REQUEST), f"{words}: {words_of(error)}", decided_at=at)


def _about_the_clock(found: Said, meant: Meaning) -> str:
    """What a refused login has to do with this machine's clock, where that is off."""
    served_at = _time_of(found.date) if meant.stage is Stage.AUTH else None
    off = 0.0 if served_at is None else (datetime.now(UTC) - served_at).total_seconds()
    if abs(off) < SKEW:
        return ""
    return f" (this machine's clock is {abs(off):,.0f} s {'ahead of' if off > 0 else 'behind'} the service's)"


def _time_of(field: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(field)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
