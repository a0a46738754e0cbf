"""
The outbox of one run of `seslimit send`: what of the input is in it already, and what is left of it at the end.

Decides nothing about sending. Where an input was changed since it was put there, the run is refused before anything of
it is added.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from .._law.retry import Retry, RetryPolicy
from .._model.history import History
from .._model.message import Message
from .._model.outcome import Outcome
from .._model.report import Report
from ._inputs import Entry, Input, Kept, Name, Reading
from ._past import State
from ._supply import BREATH, taken
from ._tally import ENDED

if TYPE_CHECKING:
    from ..outbox import Count, Outbox, Row

BEFORE = {
    "accepted": State.ACCEPTED,
    "failed": State.FAILED,
    "unknown": State.UNKNOWN,
    "cancelled": State.FAILED,
}
"""How a message is counted that came to its end in a run before."""

OUTCOMES = {
    "accepted": Outcome.ACCEPTED,
    "failed": Outcome.PERMANENT,
    "unknown": Outcome.UNKNOWN,
    "cancelled": Outcome.NOT_SENT,
}
"""The word on a report for an end that the outbox knows."""


@attrs.frozen
class Ended:
    """
    What an outbox knows of a message that came to its end in a run before.

    Args:
        key: the message's.
        outcome: the word for its end.
        message_id: the service's name for it; None where it was not accepted.
        attempts: that were counted.
        throttles: attempts that were refused for the rate.
        error: the service's last words; None for none.
        recipients: all of them.
        refused: recipients of an accepted message that it was not taken for, each with the reply.
        at: when, in seconds since the epoch.
    """

    key: Hashable
    outcome: Outcome
    message_id: str | None
    attempts: int
    throttles: int
    error: str | None
    recipients: tuple[str, ...]
    refused: Mapping[str, str]
    at: float | None

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Ended:
        """The message of these recipients."""
        taken = [row for row in rows if row.outcome == "accepted"]
        row = (taken or rows)[0]
        cancelled = "cancelled in the outbox" if row.outcome == "cancelled" else None
        return cls(
            row.key,
            OUTCOMES[row.outcome],
            row.message_id or None,
            row.attempts,
            row.throttles,
            None if taken else row.reply or cancelled,
            tuple(each.recipient for each in rows),
            {each.recipient: each.reply for each in rows if taken and each.outcome != "accepted"},
            row.at,
        )


@attrs.define
class Box:
    """
    An outbox as one run sees it.

    Args:
        outbox: the outbox.
        policy: says whether a message whose last attempt is in doubt is tried again.
        file: the outbox's; None where it is a database elsewhere.
    """

    outbox: Outbox
    policy: RetryPolicy
    file: Path | None = None
    before: dict[State, int] = attrs.field(factory=dict, init=False)
    """Messages of the input that came to their end in a run before."""
    new: int = attrs.field(default=0, init=False)
    """Messages of the input that are not there yet."""
    new_recipients: int = attrs.field(default=0, init=False)
    _ended: array[int] = attrs.field(factory=lambda: array("q"), init=False)
    """The hashes of the keys of those, eight bytes each, for an input may have millions."""
    _was_cancelled: int = attrs.field(default=0, init=False)
    _identity: tuple[int, int] | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._identity = _identity_of(self.file)

    @property
    def was_taken_away(self) -> bool:
        """Whether the outbox's file is not the one any more that was opened."""
        return _identity_of(self.file) != self._identity

    async def others(self) -> int:
        """Messages that are being sent; once nothing is under way here, by other processes."""
        found = await self.outbox.status()
        return sum(count.messages for state, count in found.counts.items() if state in ("claimed", "sending"))

    async def due(self) -> int:
        """Messages that wait for their turn, and for no later moment."""
        found = await self.outbox.status()
        return sum(count.messages for state, count in found.counts.items() if state == "queued")

    async def cancelled(self) -> int:
        """Messages that were cancelled since the run began."""
        return await self._all_cancelled() - self._was_cancelled

    async def _all_cancelled(self) -> int:
        counts = (await self.outbox.status()).counts
        return sum(count.messages for state, count in counts.items() if state == "cancelled")

    async def compare(
        self,
        inputs: Sequence[Input],
        stopping: Callable[[], bool],
        progress: Callable[[int], None],
        limit: int | None = None,
        kept: Kept | None = None,
    ) -> None:
        """
        Look for what can be read twice, `limit` messages of it at most, by what is `kept` of it.

        Raises:
            KeyReused: a message was changed since it was put there.
        """
        self._was_cancelled = await self._all_cancelled()
        count = 0
        for number, each in enumerate(inputs):
            entries = each.read(Reading(kept=kept, number=number)) if each.repeatable else None
            while entries and not stopping() and (some := await _some(each, entries)):
                if limit is not None:
                    some = some[: limit - count]
                count += len(some)
                progress(count)
                await self._count(some)

    async def missing(self, messages: Sequence[Message]) -> list[Message]:
        """Those of the messages that are not in the outbox."""
        known = await self.outbox.known(messages)
        return [message for message, state in zip(messages, known, strict=True) if state is None]

    async def add(self, messages: Sequence[Message]) -> None:
        """Put messages into it, to be sent by a later run."""
        await self.outbox.add(messages)

    async def waiting(self) -> Count:
        """What has not come to its end."""
        return (await self.outbox.status()).open

    async def used(self) -> list[tuple[float, int]]:
        """When, by the minute, how many recipients were accepted in the last 24 hours."""
        return await self.outbox.used_by_minute(time.time() - 86_400.0)

    def settles(self, report: Report, *, stopping: bool) -> bool:
        """Whether a report is of a message that came to its end, and did not go back into the queue."""
        if report.outcome not in ENDED:
            return False
        if not stopping or report.outcome not in (Outcome.TRANSIENT, Outcome.UNKNOWN):
            return True
        unknowns = sum(attempt.outcome is Outcome.UNKNOWN for attempt in report.history)
        history = History(report.at, report.attempts, report.throttles, report.outcome, unknowns)
        return not isinstance(self.policy.decide(history, report.at), Retry)

    async def ended_before(self) -> AsyncIterator[Ended]:
        """Messages of the input that came to their end in a run before."""
        ended = sorted(self._ended)
        if not ended:
            return
        async for rows in self._messages(tuple(OUTCOMES)):
            place = bisect_left(ended, hash(rows[0].key))
            if place < len(ended) and ended[place] == hash(rows[0].key):
                yield Ended.of(rows)

    async def _messages(self, states: tuple[str, ...]) -> AsyncIterator[list[Row]]:
        """The messages in these states, each as its recipients' rows."""
        from ..outbox import Filter

        rows: list[Row] = []
        async for row in self.outbox.rows(Filter(states=states)):
            if rows and (row.key, row.added_at, row.mail_from) != (rows[0].key, rows[0].added_at, rows[0].mail_from):
                yield rows
                rows = []
            rows.append(row)
        if rows:
            yield rows

    async def left(self) -> AsyncIterator[list[Name]]:
        """The keys of what has not come to its end, in pieces."""
        piece: list[Name] = []
        async for rows in self._messages(("queued", "later", "claimed", "sending")):
            key = rows[0].key
            piece.append(Name(key if isinstance(key, str | int) else str(key)))
            if len(piece) >= BREATH:
                yield piece
                piece = []
        yield piece

    async def _count(self, messages: Sequence[Message]) -> None:
        known = await self.outbox.known(messages)
        for message, found in zip(messages, known, strict=True):
            if found is None:
                self.new += 1
                self.new_recipients += message.cost
            elif (state := BEFORE.get(found)) is not None:
                self.before[state] = self.before.get(state, 0) + 1
                self._ended.append(hash(message.key))


def _identity_of(file: Path | None) -> tuple[int, int] | None:
    try:
        found = None if file is None else file.stat()
    except OSError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)


async def _some(source: Input, entries: AsyncIterator[Entry]) -> list[Message]:
    some: list[Message] = []
    while len(some) < BREATH and (entry := await taken(source, entries)) is not None:
        if isinstance(entry, Message):
            some.append(entry)
    return some
