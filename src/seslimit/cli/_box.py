"""
The outbox of one run of `seslimit send`: what of the input is in it already, and what is left of it at the end.

Decides nothing about sending. Where an input was changed since it was put there, the run is refused before anything of
it is added.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
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
    from ..outbox import Count, Outbox

BEFORE = {
    "accepted": State.ACCEPTED,
    "failed": State.FAILED,
    "unknown": State.UNKNOWN,
    "cancelled": State.FAILED,
}
"""How a message is counted that came to its end in a run before."""


@attrs.define
class Box:
    """
    An outbox as one run sees it.

    Args:
        outbox: the outbox.
        policy: says whether a message whose last attempt is in doubt is tried again.
    """

    outbox: Outbox
    policy: RetryPolicy
    before: dict[State, int] = attrs.field(factory=dict, init=False)
    """Messages of the input that came to their end in a run before."""
    new: int = attrs.field(default=0, init=False)
    """Messages of the input that are not there yet."""
    new_recipients: int = attrs.field(default=0, init=False)

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

    async def left(self) -> AsyncIterator[list[Name]]:
        """The keys of what has not come to its end, in pieces."""
        from ..outbox import Filter

        piece: list[Name] = []
        last: tuple[object, ...] = ()
        async for row in self.outbox.rows(Filter(states=("queued", "later", "claimed", "sending"))):
            this = (row.key, row.added_at, row.mail_from)
            if this != last:  # one row for each recipient
                piece.append(Name(row.key if isinstance(row.key, str | int) else str(row.key)))
            last = this
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


async def _some(source: Input, entries: AsyncIterator[Entry]) -> list[Message]:
    some: list[Message] = []
    while len(some) < BREATH and (entry := await taken(source, entries)) is not None:
        if isinstance(entry, Message):
            some.append(entry)
    return some
