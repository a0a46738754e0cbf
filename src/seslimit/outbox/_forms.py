"""
The form in which an outbox keeps messages, keys and histories, and back.

Pure: every engine keeps them in the same form, so that what is one message in one is one in all.

Invariants: the same key has the same name for ever, and no two keys have the same; what a history says of its attempts
comes back as it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from .._model.errors import InvalidMessage, TransportError, printable, words_of
from .._model.history import Attempt, History
from .._model.journal import KeyReused, Queued
from .._model.message import Message
from .._model.options import shown
from .._model.outcome import Outcome
from .._model.report import Receipt, Report
from ._values import Feedback, Prepared, Row, State

MAX_NAME = 1000
"""Bytes of a key's name: every database can have an index of so many."""

INTERRUPTED = "the program that sent it ended, or lost its lease, in the middle of the attempt"
"""The reply of an attempt whose end nobody saw."""


def prepared(message: Message) -> Prepared:
    """
    The message as it is kept. Takes about 10 ms a megabyte.

    Raises:
        InvalidMessage: its key is none that can be kept.
    """
    content = message.as_bytes()
    digest = hashlib.blake2b(content, digest_size=20).digest()
    return Prepared(_name(message, digest), message, content, digest)


def _name(message: Message, digest: bytes) -> str:
    if message.key is not None:
        return name_of(message.key)
    envelope = "\n".join((message.mail_from, *message.recipients)).encode()
    return f"#{hashlib.blake2b(digest + envelope, digest_size=16).hexdigest()}"


def name_of(key: Hashable) -> str:
    """
    What a message with this key is known by: the key as JSON. A message without one has the digest of all it holds.

    Raises:
        InvalidMessage: it is neither a text, a number nor a tuple of such, or it is too long.
    """
    try:
        name = json.dumps(key, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        if "\\u0000" not in name and len(name.encode()) <= MAX_NAME:
            return name
    except (TypeError, ValueError, RecursionError):
        pass
    raise InvalidMessage(
        f"key {shown(key)} cannot be kept: give a text or a number, or a tuple of such, of at most {MAX_NAME} bytes."
    )


def key_of(name: str) -> Hashable:
    """The key that a name stands for; None where the message had none."""
    return None if name.startswith("#") else _hashable(json.loads(name))


def _hashable(value: Any) -> Hashable:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def differs(new: Prepared, mail_from: str, recipients: str, digest: bytes) -> KeyReused | None:
    """What is to be said where a message is not the one that is known by its name; None where it is."""
    changed = []
    if new.message.mail_from != mail_from:
        changed.append(f"mail_from was {mail_from}")
    if new.recipients != recipients:
        changed.append(f"the recipients were {printable(recipients.replace(chr(10), ', '))[:200]}")
    if new.digest != digest:
        changed.append("the content was another")
    if not changed:
        return None
    return KeyReused(
        new.message.key,
        f"the key {shown(new.message.key)} stands for another message already ({'; '.join(changed)}): give what was "
        "changed a new key, or take the old one out.",
    )


def attempts_text(history: History) -> str | None:
    """The attempts of a history as they are kept; None where they follow from the rest."""
    if not history.recent or _is_plain(history):
        return None
    return json.dumps([[each.at, each.outcome, each.reply] for each in history.recent], separators=(",", ":"))


def _is_plain(history: History) -> bool:
    """Whether all there is to say is that it was accepted at once."""
    return len(history.recent) == 1 == history.attempts and history.outcome is Outcome.ACCEPTED


def history_of(row: Mapping[Any, Any]) -> History:
    """The history that is kept in a row."""
    outcome = None if row["outcome"] is None else Outcome(row["outcome"])
    recent: tuple[Attempt, ...] = ()
    if row["recent"] is not None:
        recent = tuple(Attempt(at, Outcome(word), reply) for at, word, reply in json.loads(row["recent"]))
    elif outcome is Outcome.ACCEPTED and row["attempts"] == 1:
        recent = (Attempt(row["ended_at"], outcome),)
    return History(row["first_at"], row["attempts"], row["throttles"], outcome, row["unknowns"], recent)


def history_columns(history: History) -> dict[str, Any]:
    """What is kept of a history, but for when it began."""
    return {
        "attempts": history.attempts,
        "throttles": history.throttles,
        "unknowns": history.unknowns,
        "outcome": None if history.outcome is None else history.outcome.value,
        "recent": attempts_text(history),
    }


def interrupted(row: Mapping[Any, Any], at: float) -> dict[str, Any]:
    """What is kept of the history of a message whose attempt nobody saw the end of."""
    return history_columns(history_of(row).after(Outcome.UNKNOWN, at, INTERRUPTED))


def receipt_of(row: Mapping[Any, Any]) -> Receipt | None:
    """The receipt of a message that was accepted, for some recipients at least."""
    return None if row["message_id"] is None else Receipt(row["message_id"], refused_of(row))


def message_of(row: Mapping[Any, Any], content: bytes) -> Message:
    """The message that a row stands for."""
    recipients = row["recipients"].split("\n")
    return Message(row["mail_from"], recipients, content, key_of(row["name"]), lane=row["lane"])


def queued_of(row: Mapping[Any, Any], message: Message) -> Queued:
    """The lease of a message."""
    return Queued(message, history_of(row), row["id"], receipt_of(row))


def open_columns(queued: Queued, history: History, state: State, not_before: float) -> dict[str, Any]:
    """What is kept of a message that has not come to its end."""
    return {
        "state": state.value,
        "not_before": not_before,
        **history_columns(history),
        **NOTHING_YET,
        **receipt_columns(queued.receipt),
    }


def receipt_columns(receipt: Receipt | None) -> dict[str, Any]:
    """What is kept of a receipt."""
    refused = receipt is not None and receipt.refused
    return {
        "message_id": None if receipt is None else printable(receipt.message_id),
        "refused": json.dumps(dict(refused)) if refused else None,
    }


def first_columns(new: Prepared, at: float, not_before: float, priority: float) -> dict[str, Any]:
    """What is kept of a message that is new, but for its content."""
    return {
        "name": new.name,
        "mail_from": new.message.mail_from,
        "recipients": new.recipients,
        "cost": new.message.cost,
        "lane": None if new.message.lane is None else kept_text(new.message.lane),
        "priority": priority,
        "state": (State.LATER if not_before > at else State.QUEUED).value,
        "owner": None,
        "begun": 0,
        "not_before": not_before,
        "added_at": at,
        "first_at": at,
        "attempts": 0,
        "throttles": 0,
        "unknowns": 0,
        "outcome": None,
        "recent": None,
    }


def again_columns(at: float) -> dict[str, Any]:
    """What changes where a message that came to its end is to be sent all the same, as if it were new."""
    return {
        "state": State.QUEUED.value,
        "owner": None,
        "not_before": 0.0,
        "first_at": at,
        "attempts": 0,
        "throttles": 0,
        "unknowns": 0,
        "outcome": None,
        "ended_at": None,
        "reply": None,
    }


def cancelled_columns(at: float) -> dict[str, Any]:
    """What changes where a message is taken out of the queue."""
    return {"state": State.CANCELLED.value, "owner": None, "ended_at": at, "not_before": 0.0}


def is_done(row: Mapping[Any, Any], begun: int, columns: Mapping[str, Any]) -> bool:
    """
    Whether what is to be recorded of a message is on record already: whoever repeats a call did not hear the answer.

    Args:
        row: the message's.
        begun: how often it was handed over, as the caller knows.
        columns: what is to be recorded.
    """
    if row["owner"] is not None or row["begun"] != begun:
        return False
    same = (row["state"], row["ended_at"]) == (columns["state"], columns["ended_at"])
    return same or (row["state"] == State.QUEUED and columns["state"] == State.LATER)  # due since


LOST = "the message is not leased to this sender any more: another has it, or it was cancelled."
"""What is said of a message that is another's."""

NOTHING_YET = {"ended_at": None, "message_id": None, "refused": None, "reply": None}
"""What is kept of the end of a message that has not come to it."""


def end_columns(report: Report, unknowns: int) -> dict[str, Any]:
    """What is kept of a report, and the state that it leaves the message in."""
    if report.outcome is Outcome.ACCEPTED and report.attempts == 1 == len(report.history) and report.error is None:
        at_once = {"throttles": report.throttles, "unknowns": unknowns, "ended_at": report.at}
        return _AT_ONCE | at_once | receipt_columns(report.receipt)
    state = _ENDS.get(report.outcome, State.FAILED)
    history = History(0.0, report.attempts, report.throttles, report.outcome, unknowns, report.history)
    return {
        "state": state.value,
        "not_before": 0.0,
        **history_columns(history),
        "ended_at": report.at,
        **receipt_columns(report.receipt),
        "reply": None if report.error is None else printable(words_of(report.error)),
    }


_AT_ONCE = {
    "state": State.ACCEPTED.value,
    "not_before": 0.0,
    "attempts": 1,
    "throttles": 0,
    "unknowns": 0,
    "outcome": Outcome.ACCEPTED.value,
    "recent": None,
    **NOTHING_YET,
}
"""What is kept of a message that was accepted by its first attempt, as almost all are."""

_ENDS = {Outcome.ACCEPTED: State.ACCEPTED, Outcome.UNKNOWN: State.UNKNOWN}


def unknowns_of(report: Report) -> int:
    """How many of a report's attempts may have been accepted, as far as it tells."""
    return sum(attempt.outcome is Outcome.UNKNOWN for attempt in report.history)


def report_of(message: Message, row: Mapping[Any, Any]) -> Report:
    """The report of a message that came to its end."""
    history = history_of(row)
    outcome = history.outcome or Outcome.NOT_SENT
    accepted = row["state"] == State.ACCEPTED
    reply = "it was cancelled" if row["state"] == State.CANCELLED else row["reply"] or ""
    return Report(
        message,
        Outcome.ACCEPTED if accepted else outcome,
        receipt=receipt_of(row) if accepted else None,
        attempts=history.attempts,
        throttles=history.throttles,
        error=None if accepted else TransportError(outcome, reply),
        history=history.recent,
        at=row["ended_at"],
    )


def refused_of(row: Mapping[Any, Any]) -> dict[str, str]:
    """Recipients that an accepted message was not taken for, each with the service's words."""
    refused: dict[str, str] = {} if row["refused"] is None else json.loads(row["refused"])
    return refused


def recipient_rows(row: Mapping[Any, Any], heard: Mapping[tuple[str, str], Iterable[Feedback]]) -> Iterable[Row]:
    """
    What became of each recipient of a message.

    Args:
        row: the message's.
        heard: feedback by message id and address in lower case.
    """
    refused = refused_of(row)
    message_id = row["message_id"] or ""
    state = State(row["state"])
    for recipient in row["recipients"].split("\n"):
        words = refused.get(recipient)
        yield Row(
            key_of(row["name"]),
            recipient,
            state if words is None else State.FAILED,
            message_id,
            row["ended_at"],
            (row["reply"] or "") if words is None else words,
            row["attempts"],
            row["throttles"],
            tuple(sorted(heard.get((message_id, recipient.lower()), ()), key=lambda each: each.at)),
            row["mail_from"],
            row["lane"],
            row["added_at"],
            row["not_before"] if state is State.LATER else None,
        )


def kept_text(text: str) -> str:
    """A text that every database takes."""
    return text.replace("\0", "").encode("utf-8", "backslashreplace").decode()
