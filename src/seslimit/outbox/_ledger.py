"""
What an outbox tells of its messages, and what is changed by hand: status, rows, retry, cancel, forget, feedback.

It must not know how a message is sent, nor who has leased it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from functools import partial

from . import _adding, _forms, _housekeeping, _looking
from ._opening import Opened
from ._rows import Fields
from ._values import WAITING, Filter, Row, State, Status


class Ledger(Opened):
    """What became of messages, one row a recipient, and what is done about it by hand."""

    async def status(self) -> Status:
        """How much there is of everything."""
        return await self._read(partial(_looking.status, day_ago=self._clock() - 86_400.0))

    async def used_since(self, at: float) -> int:
        """Recipients that were accepted since a moment (seconds since the epoch), to the minute."""
        return sum(recipients for _, recipients in await self.used_by_minute(at))

    async def used_by_minute(self, since: float) -> list[tuple[float, int]]:
        """When, by the minute in seconds since the epoch, how many recipients were accepted; of the last 48 hours."""
        return await self._read(partial(_looking.used_by_minute, since=since))

    async def rows(self, wanted: Filter | None = None) -> AsyncIterator[Row]:
        """What became of each recipient of the messages that are meant; of all when left out. In order of adding."""
        after = 0
        while page := await self._read(partial(_looking.page_heard, wanted=wanted or Filter(), after=after)):
            for row, heard in page:
                for each in _forms.recipient_rows(row, heard):
                    yield each
            after = page[-1][0]["id"]

    async def retry(self, wanted: Filter | None = None) -> int:
        """
        Put messages that failed, are unknown or were cancelled into the queue again, at their former places.

        Their attempts begin anew; what became of the former ones stays in the history.

        Returns:
            how many messages that were.
        """
        columns = _forms.again_columns(self._clock())
        moved = await self._move(wanted, (State.FAILED, State.UNKNOWN, State.CANCELLED), columns)
        self._leases.news.set()
        return moved

    async def cancel(self, wanted: Filter | None = None) -> int:
        """
        Take messages that were not handed over out of the queue; one that is being sent comes to its end.

        Returns:
            how many messages that were.
        """
        columns = _forms.cancelled_columns(self._clock())
        return await self._move(wanted, (*WAITING, State.CLAIMED), columns)

    async def purge(self, before: float) -> int:
        """
        Forget messages that came to their end before a moment, in seconds since the epoch, with all about them.

        Whoever adds one of them again sends it again. What the day was used for is not forgotten.

        Returns:
            how many messages that were.
        """
        purged = 0
        while some := await self._write(partial(_housekeeping.purge_messages, before=before)):
            purged += some
        unused = self._clock() if self._database.files else self._clock() - _adding.CONTENT_IN_USE
        after: int | None = 0
        while after is not None:
            after = await self._write(partial(_housekeeping.purge_contents, after=after, unused_since=unused))
        await self._write(partial(_housekeeping.purge_rest, before=before, now=self._clock()))
        await self._database.shrink()
        return purged

    async def feedback(self, message_id: str, recipient: str, kind: str, at: float, detail: str = "") -> None:
        """
        Keep what was heard of a recipient after the message had been accepted; the same once more changes nothing.

        Args:
            message_id: the service's name for the message.
            recipient: the address.
            kind: `delivered`, `bounced`, `complained`, or another word.
            at: when it happened, seconds since the epoch.
            detail: the words of the other side.
        """
        await self.open()
        row = {"message_id": message_id, "recipient": recipient.lower(), "kind": kind, "at": at, "detail": detail}
        row.update({name: _forms.kept_text(value) for name, value in row.items() if isinstance(value, str)})
        await self._leases.writer.write(_housekeeping.hear, row)

    async def _move(self, wanted: Filter | None, sources: Collection[State], columns: Fields) -> int:
        moved, after = 0, 0
        move = partial(_housekeeping.move, wanted=wanted or Filter(), sources=sources, columns=columns)
        while ids := await self._write(partial(move, after=after)):
            moved += len(ids)
            after = ids[-1]
        return moved
