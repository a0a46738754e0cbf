"""
What one process has leased, and that others know it is alive.

Knows of every message here how often it was handed over, so that nothing is recorded for somebody else's attempt. It
must not know what is in a message.

Invariants: a lease lasts as long as the process renews it; what was leased and not heard of, since the answer was lost,
goes back; after a process that is gone, its messages are leased to another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import attrs
import sqlalchemy as sa

from .._model.journal import JournalError, KeyReused, LeaseLost, Queued
from . import _adding, _leasing, _settling
from ._adding import Added, Addition, Fresh
from ._database import Database
from ._fresh import FreshMessages
from ._rows import Fields
from ._settling import Change, lost
from ._values import WAITING
from ._writer import Writer, alone

logger = logging.getLogger("seslimit")

CLAIMED_AT_ONCE = 16 * 1024 * 1024
"""Bytes of content that one claim takes into memory, at most, beside one message."""

CACHED = 8 * 1024 * 1024
"""Bytes of contents that are kept for the next messages that have the same."""


@attrs.frozen
class Held:
    """
    What is known of a message that is leased here.

    Args:
        begun: how often it was handed over.
        not_before: when it was due, seconds since the epoch.
    """

    begun: int
    not_before: float


FIRST = Held(0, 0.0)
"""A message that was added to be sent at once, and not handed over yet."""

ONCE = Held(1, 0.0)
"""It, when it was."""


@attrs.frozen
class _Wanted:
    """
    What a claim is to bring.

    Args:
        most: messages.
        contents: contents that need not be read, by id.
    """

    most: int
    contents: Mapping[int, bytes] = attrs.field(repr=False)


@attrs.frozen
class Claimed:
    """
    Messages that were leased.

    Args:
        rows: in order; of those that are as they were added, no more than that.
        contents: those that the rows have, by id.
    """

    rows: Sequence[Fields | Fresh]
    contents: Mapping[int, bytes] = attrs.field(repr=False)


@attrs.define(eq=False)
class Leases:
    """
    The leases of one outbox that is open.

    Args:
        database: where the messages are.
        clock: seconds since the epoch.
        lease: seconds after which messages of somebody who is not heard of go to others.
        patience: see `Writer`.
    """

    database: Database
    clock: Callable[[], float]
    lease: float
    patience: float
    behind: float = attrs.field(default=0.0, init=False)
    """Seconds that this machine's clock is behind that of the database, which all can see."""
    news: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    """Set where there may be something to claim that there was not."""
    writer: Writer = attrs.field(init=False)
    _owner: str = attrs.field(factory=lambda: secrets.token_hex(8), init=False)
    _held: dict[int, Held] = attrs.field(factory=dict, init=False)
    _doubt: bool = attrs.field(default=False, init=False)
    _contents: OrderedDict[int, bytes] = attrs.field(factory=OrderedDict, init=False)
    _fresh: FreshMessages = attrs.field(factory=FreshMessages, init=False)
    _beginning: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)
    _task: asyncio.Task[None] | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.writer = Writer(self.database, self.patience, self._in_doubt)

    # Alive

    async def begin(self) -> None:
        """Show that this process is alive from now on, and see who is not; once."""
        async with self._beginning:
            if self._task is None:
                if self.database.files:
                    self.database.files.live(self._owner)
                await self.renew()
                self._task = asyncio.create_task(self._keep(), name="outbox leases")

    async def renew(self) -> None:
        """Show that this process is alive, and put what somebody had leased who is not into the queue."""
        back = await self.writer.write(partial(alone, self._renew), None)
        if back:
            logger.info("%d messages of somebody who is gone are in the queue again", back)
            self.news.set()

    async def aclose(self) -> None:
        """Give back what was not handed over, and be gone."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            try:
                await self.writer.write(partial(alone, partial(_leasing.leave, me=self._owner)), None)
            except JournalError as error:
                logger.warning("what was leased goes back when the lease runs out: %s", error)
        await self.writer.aclose()
        if self.database.files:
            self.database.files.die(self._owner)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self.lease / 3)
            try:
                await self.renew()
            except JournalError as error:
                logger.warning("the leases of messages could not be renewed: %s", error)

    def _renew(self, connection: sa.Connection) -> int:
        now = self.clock() + self.behind
        _leasing.renew(connection, self._owner, now + self.lease)
        known, alive = _leasing.holders(connection, now)
        if self.database.files:
            alive -= self.database.files.dead(alive - {self._owner})
        gone = known - alive - {self._owner}
        return _leasing.recover(connection, gone, self.clock()) if gone else 0

    # Leasing

    async def add(self, addition: Addition) -> int:
        """
        Add messages; how many were new.

        Raises:
            KeyReused: one has the key of another message; none was added.
        """
        added = await self.writer.write(_adding.add, addition, committed=self._added)
        return added.new

    async def take(self, addition: Addition) -> Fields:
        """
        Add one message, and lease it.

        Returns:
            its row as it was before; one that came to its end is not leased.

        Raises:
            KeyReused: it has the key of another message.
            LeaseLost: another is sending it.
        """
        return await self.writer.write(self._take, addition, committed=self._hold)

    async def claim(self, most: int) -> Claimed:
        """Lease what is due, in order."""
        self.news.clear()
        wanted = _Wanted(most, dict(self._contents))
        claimed = await self.writer.write(self._claim, wanted, committed=self._hold_all)
        self._remember(claimed.contents)
        return claimed

    def of(self, queued: Queued) -> Held:
        """
        What is known of a message that is leased here.

        Raises:
            LeaseLost: it is not.
        """
        held = self._held.get(queued.id) if isinstance(queued.id, int) else None
        if held is None:
            raise lost()
        return held

    async def hand_over(self, queued: Queued) -> None:
        """
        Record that a message is handed over.

        Raises:
            LeaseLost: it is not leased here any more.
        """
        held, id_ = self.of(queued), int(queued.id)
        begun = ONCE if held is FIRST else Held(held.begun + 1, held.not_before)
        await self.writer.write(self._begin, id_, committed=lambda _: self._held.__setitem__(id_, begun))

    async def settle(self, queued: Queued, columns: dict[str, Any], accepted: int = 0, *, keep: bool = False) -> None:
        """
        Record what became of a message.

        Args:
            queued: the message.
            columns: what changes.
            accepted: recipients that have it now.
            keep: whether it stays leased here.

        Raises:
            LeaseLost: it is not leased here any more.
        """
        held, id_ = self.of(queued), int(queued.id)
        changed = {"row": id_, "owner": self._owner if keep else None, **columns}

        def settled(_: object) -> None:
            if keep:
                self._held[id_] = Held(held.begun, columns["not_before"])
                return
            self._held.pop(id_, None)
            if columns["state"] in WAITING:
                self.news.set()

        try:
            change = Change(id_, held.begun, changed, accepted)
            await self.writer.write(self._settle, change, is_result=True, committed=settled)
        except LeaseLost:
            self._held.pop(id_, None)
            raise

    def _added(self, added: Added) -> None:
        if added.new:
            self._fresh.keep(added.fresh)
            self.news.set()

    def _hold(self, row: Fields) -> None:
        if row["state"] in WAITING:
            self._held[row["id"]] = Held(row["begun"], row["not_before"])

    def _hold_all(self, claimed: Claimed) -> None:
        self._doubt = False
        last = 0
        for row in claimed.rows:
            if isinstance(row, Fresh):
                last = row.id
                self._held[last] = FIRST
            else:
                last = row["id"]
                self._hold(row)
        self._fresh.forget(last)

    def _in_doubt(self) -> None:
        self._doubt = True

    def _remember(self, contents: Mapping[int, bytes]) -> None:
        """Keep contents for the next messages that have the same; those that were used last."""
        for id_, content in contents.items():
            self._contents[id_] = content
            self._contents.move_to_end(id_)
        kept = sum(map(len, self._contents.values()))
        while kept > CACHED:
            kept -= len(self._contents.popitem(last=False)[1])

    # Batches, as the writer takes them

    def _take(self, connection: sa.Connection, additions: Sequence[Addition]) -> Sequence[Fields | Exception]:
        results: list[Any] = list(_adding.add(connection, additions))
        names = {each.messages[0].name for each, new in zip(additions, results, strict=True) if isinstance(new, Added)}
        found = _leasing.take(connection, self._owner, names)
        for place, (addition, added) in enumerate(zip(additions, results, strict=True)):
            if not isinstance(added, KeyReused):
                row = found.pop(addition.messages[0].name, None)  # the second of two in one transaction gets none
                leased_to_another = row is None or row["owner"] is not None
                results[place] = lost() if leased_to_another else row
        return results

    def _claim(self, connection: sa.Connection, wanted: Sequence[_Wanted]) -> Sequence[Claimed]:
        if self._doubt:
            _leasing.give_back(connection, self._owner, frozenset(self._held))  # one step: this may be a thread
        claimed = []
        for each in wanted:
            rows = _leasing.claim(connection, self._owner, self.clock(), each.most, CLAIMED_AT_ONCE, self._fresh)
            ids = {row["content"] for row in rows if not isinstance(row, Fresh)}
            found = {id_: each.contents[id_] for id_ in ids & each.contents.keys()}
            found.update(_leasing.contents_of(connection, ids - found.keys()))
            claimed.append(Claimed([_leasing.first_of(row, found) for row in rows], found))
        return claimed

    def _begin(self, connection: sa.Connection, ids: Sequence[int]) -> Sequence[LeaseLost | None]:
        return _settling.begin(connection, self._owner, ids)

    def _settle(self, connection: sa.Connection, changes: Sequence[Change]) -> Sequence[LeaseLost | None]:
        return _settling.settle(connection, self._owner, self.clock(), changes)
