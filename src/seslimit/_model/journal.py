"""
What a sender asks of whoever keeps its messages: an outbox, a file, a list in memory.

Interface and values only. A message in a journal is queued, leased to one who sends it, being sent, or at its end; each
step from one to the next is one call here, and one compare-and-set in the store. It must not know how sending works.

Invariants: `begins` is on record before a message is handed over, and its result before anybody else hears of it; so
that whatever ends the program, what was being sent is known by name, and everything else is still queued.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

import attrs

from .endings import SendingStopped
from .errors import SESLimitError, printable
from .history import History
from .message import Message
from .report import Receipt, Report


@attrs.frozen
class Queued:
    """
    A message of a journal, leased to whoever has this.

    Args:
        message: the message.
        history: what happened to it so far, in runs before as well; `first_at` is when it was added. Where a run was
            killed, or lost its lease, while it was being sent, the last outcome is `UNKNOWN`.
        id: the journal's own name for it.
        receipt: of a message that was accepted for some recipients: it is tried again for those that the receipt names
            as refused for now, by a reply that begins with 4.
    """

    message: Message
    history: History
    id: int | str = ""
    receipt: Receipt | None = None


class JournalError(SendingStopped):
    """What becomes of messages cannot be recorded, so nothing is sent: a damaged file, a schema that is too new."""


class JournalUnavailable(JournalError):
    """It cannot be recorded now, and may be later: a full disk, a locked file, a database that is away."""


class LeaseLost(SESLimitError):
    """A message is not this sender's: its lease ran out and another has it, or somebody cancelled it."""


class KeyReused(SESLimitError, ValueError):
    """
    A message has the key of another one that is in the journal already, and differs from it.

    Args:
        key: the key.
        reply: one sentence about it.
    """

    def __init__(self, key: Hashable, reply: str = "") -> None:
        self.key = key
        self.reply = reply or (
            f"the key {printable(str(key))} stands for another message already: give what was changed a new key, or "
            "take the old one out."
        )
        super().__init__(self.reply)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.key, self.reply))


class Journal(Protocol):
    """
    Keeps messages and what became of them, so that a process that ends in the middle loses nothing.

    Every method raises `JournalError` where it could not do its work; one that raised may be called again with the same
    arguments, and does nothing twice. A call that is cancelled may have done its work.
    """

    async def add(self, messages: Sequence[Message]) -> int:
        """
        Put messages into the queue, durably, all or none.

        One that is there already, by its key or, without one, by a digest of all that it holds, is passed over,
        whatever has become of it.

        Returns:
            how many were new.

        Raises:
            KeyReused: one has the key of another message; none was added.
        """
        ...

    async def take(self, message: Message) -> Queued | Report:
        """
        Put one message into the queue, durably, and lease it to the caller at once, due or not.

        Returns:
            the lease; or the report of one that came to its end before.

        Raises:
            KeyReused: it has the key of another message.
            LeaseLost: it is in the journal, and another is sending it.
        """
        ...

    async def claim(self, most: int) -> Sequence[Queued]:
        """
        Lease what is due, in order, at most so many; nothing where nothing is due.

        A lease lasts until `ends`, `returns`, or `postpones` without `keep`, as long as the process lives.
        """
        ...

    async def wait(self, timeout: float) -> None:
        """Return when there may be something to claim that there was not, and after `timeout` seconds at most."""
        ...

    async def queued(self) -> int:
        """How many messages are in the queue, due or not, and leased to nobody."""
        ...

    async def begins(self, queued: Queued) -> None:
        """
        Record that the message is handed over now; awaited between its turn and the connection.

        Raises:
            LeaseLost: it is not the caller's any more.
        """
        ...

    async def ends(self, queued: Queued, report: Report) -> None:
        """
        Record what became of a message; nobody has heard of it before.

        Raises:
            LeaseLost: it is not the caller's any more; an acceptance is recorded all the same.
        """
        ...

    async def postpones(self, queued: Queued, history: History, not_before: float, *, keep: bool = False) -> None:
        """
        Record that the message was refused, and is in the queue again, at its former place.

        Args:
            queued: the message.
            history: what happened to it so far, the refusal included.
            not_before: seconds since the epoch before which it is not given to anybody.
            keep: whether it stays leased, since the caller tries it again by itself.

        Raises:
            LeaseLost: it is not the caller's any more.
        """
        ...

    async def returns(self, queued: Queued) -> None:
        """Give back a lease, with `queued.history`: the message keeps its place, and its not-before if it has one."""
        ...

    async def check(self) -> None:
        """Return if results can be recorded, by recording something; otherwise it raises, as the others do."""
        ...
