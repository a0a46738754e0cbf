"""
What an outbox tells: how far a message has come, what became of each recipient, and how much there is of everything.

Values only; nothing here knows a database.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable, Iterable, Mapping

import attrs

from .._model.message import Message


class State(enum.StrEnum):
    """
    How far a message of an outbox has come.

    The value is the word in the database, in `seslimit outbox list` and in an export.
    """

    QUEUED = "queued"
    """Due, and leased to nobody."""
    LATER = "later"
    """Leased to nobody, and not to be tried before a moment."""
    CLAIMED = "claimed"
    """Leased, and not handed over."""
    SENDING = "sending"
    """Handed over, or about to be: where whoever did so is gone, it may have been accepted."""
    ACCEPTED = "accepted"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """Given up, and it may have been accepted."""
    CANCELLED = "cancelled"
    """Taken out of the queue by hand."""

    @property
    def is_end(self) -> bool:
        """Whether nothing more becomes of such a message by itself."""
        return self in ENDS


ENDS = (State.ACCEPTED, State.FAILED, State.UNKNOWN, State.CANCELLED)
"""States in which a message stays until somebody says otherwise."""

WAITING = (State.QUEUED, State.LATER)
"""States of messages that are leased to nobody."""


@attrs.frozen
class Feedback:
    """
    What was heard of one recipient after the message had been accepted.

    Args:
        kind: `delivered`, `bounced`, `complained`, or another word of whoever reports it.
        at: when it happened, seconds since the epoch.
        detail: the words of the other side.
    """

    kind: str
    at: float
    detail: str = ""


@attrs.frozen
class Row:
    """
    What became of one recipient of one message.

    Args:
        key: the message's key; None where it was given none.
        recipient: the address.
        outcome: how far it has come. A recipient that an accepted message was not taken for has `failed`.
        message_id: the service's name for the message; empty until it is accepted.
        at: when it came to its end, seconds since the epoch; None before.
        reply: the service's last words about it; empty when accepted.
        attempts: attempts of the message that were counted.
        throttles: attempts of the message that were refused for the rate.
        feedback: what was heard of it since, in the order of time.
        mail_from: the message's return address.
        lane: the message's lane.
        added_at: when it was added, seconds since the epoch.
        not_before: when it is tried next, seconds since the epoch; None where it is not known to wait.
    """

    key: Hashable
    recipient: str
    outcome: State
    message_id: str = ""
    at: float | None = None
    reply: str = ""
    attempts: int = 0
    throttles: int = 0
    feedback: tuple[Feedback, ...] = ()
    mail_from: str = ""
    lane: str | None = None
    added_at: float = 0.0
    not_before: float | None = None


@attrs.frozen
class Count:
    """How many messages, and recipients of them."""

    messages: int = 0
    recipients: int = 0


@attrs.frozen
class Status:
    """
    How much there is of everything.

    Args:
        counts: messages and recipients in each state; a state that has none is left out.
        oldest: when the oldest message that has not come to its end was added, seconds since the epoch; None for none.
        next_due: when the next message that waits for its moment is due, seconds since the epoch; None for none.
        used: recipients accepted in the last 24 hours.
    """

    counts: Mapping[State, Count]
    oldest: float | None = None
    next_due: float | None = None
    used: int = 0

    def __getitem__(self, state: State) -> Count:
        return self.counts.get(state, Count())

    @property
    def open(self) -> Count:
        """What has not come to its end."""
        counts = [count for state, count in self.counts.items() if not state.is_end]
        return Count(sum(count.messages for count in counts), sum(count.recipients for count in counts))


def _states(states: Iterable[State | str]) -> tuple[State, ...]:
    return tuple(State(state) for state in states)


@attrs.frozen(kw_only=True)
class Filter:
    """
    Which messages are meant: those that fit everything that is given.

    Args:
        states: how far they have come; empty for all.
        key: their key; None for all.
        recipient: one of their recipients.
        message_id: the service's name for it.
        lane: their lane.
        since: added at or after, seconds since the epoch.
        until: added before, seconds since the epoch.
    """

    states: tuple[State, ...] = attrs.field(default=(), converter=_states)
    key: Hashable = None
    recipient: str | None = None
    message_id: str | None = None
    lane: str | None = None
    since: float | None = None
    until: float | None = None


def _lower(address: str) -> str:
    return address.lower()


@attrs.frozen
class Suppressed:
    """
    An address that nothing is sent to.

    Args:
        address: the address, in lower case.
        reason: why, in one word: `bounced`, `complained`, `unsubscribed`, `manual`.
        at: since when, seconds since the epoch.
        detail: more about it.
    """

    address: str = attrs.field(converter=_lower)
    reason: str
    at: float
    detail: str = ""


@attrs.frozen
class Prepared:
    """
    A message as an outbox keeps it.

    Args:
        name: what it is known by; see `_forms.name_of`.
        message: the message.
        content: its content, as it goes to the service.
        digest: of the content.
    """

    name: str
    message: Message
    content: bytes = attrs.field(repr=False)
    digest: bytes

    @property
    def recipients(self) -> str:
        """The recipients as one text."""
        return "\n".join(self.message.recipients)
