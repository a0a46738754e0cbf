"""
The outbox: messages in a database, and what became of them.

Start reading here. What is kept of a message is in `_forms`, what a database is asked in `_adding`, `_leasing`,
`_settling`, `_looking` and `_housekeeping`, how many writes become one commit in `_writer`, and who has leased what in
`_leases`; how it is opened is in `_opening`, and what is told and changed by hand in `_ledger`. It must not know how a
message is sent.

Invariant: what a call returned from is on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from .._model.history import History
from .._model.journal import Queued
from .._model.message import Message
from .._model.options import number
from .._model.report import Report
from . import _adding, _forms, _looking
from ._adding import Addition, Fresh
from ._ledger import Ledger
from ._rows import Fields
from ._taking import moment, prepared
from ._values import ENDS, State

POLL = 1.0
"""Seconds after which somebody who waits looks for what other programs added."""


class Outbox(Ledger):
    """
    Messages in a database, and an exact account of what became of each recipient.

    Use as an asynchronous context manager, or call `aclose` at the end. Any number of programs may use one PostgreSQL
    database, and those of one machine one SQLite file.

    Args:
        url: the name of a SQLite file, `sqlite:///FILE`, or `postgresql://USER@HOST/DATABASE`. What is not there yet is
            made, but for a PostgreSQL database.
        lease: seconds after which messages that somebody leased who is not heard of any more go to others, at least 1.
            Where the outbox is a file, those of a process that ended go at once.
        patience: seconds for which a database that is locked or does not answer is tried again before that is an error.
        clock: seconds since the epoch.
        create: whether one that is not there is made; otherwise to open it is a `ConfigurationError`.

    Raises:
        ConfigurationError: the URL means no database that an outbox can be in, or an option is out of its range.
    """

    # Adding

    async def add(
        self,
        messages: Iterable[Message],
        *,
        connection: AsyncConnection | sa.Connection | None = None,
        send_at: datetime | float | None = None,
        priority: float = 0.0,
    ) -> int:
        """
        Put messages into the queue, durably, all or none.

        One that is there already, by its key or, without one, by a digest of all that it holds, is passed over,
        whatever has become of it.

        Args:
            messages: the messages.
            connection: a connection to the same database, in whose transaction it is done: the messages are there if
                and only if that is committed. A transaction of its own when left out.
            send_at: before which they are not sent, as an aware datetime or seconds since the epoch.
            priority: of two that are due, the one with the higher priority goes first.

        Returns:
            how many were new.

        Raises:
            KeyReused: one has the key of another message; none was added.
            InvalidMessage: its key is none that can be kept; none was added.
        """
        addition = Addition(
            await prepared(messages), self._clock(), moment(send_at), number("priority", priority, "a number", low=-1e9)
        )
        if connection is None:
            await self.open()
            return await self._leases.add(addition)
        if isinstance(connection, sa.Connection):
            return _adding.add_within(connection, addition)
        return await connection.run_sync(_adding.add_within, addition)

    async def known(self, messages: Iterable[Message]) -> list[State | None]:
        """
        How far messages have come, by key or digest as `add` finds them; None for one that is not there.

        Raises:
            KeyReused: one has the key of another message.
        """
        return await self._read(partial(_adding.known, messages=await prepared(messages)))

    # As a journal

    async def take(self, message: Message) -> Queued | Report:
        """Put one message into the queue, durably, and lease it, due or not; see `Journal.take`."""
        addition = Addition(await prepared([message]), self._clock())
        await self._lease()
        row = await self._leases.take(addition)
        return _forms.report_of(message, row) if row["state"] in ENDS else _forms.queued_of(row, message)

    async def claim(self, most: int) -> Sequence[Queued]:
        """Lease what is due, in order; see `Journal.claim`."""
        await self._lease()
        claimed = await self._leases.claim(most)
        return [_queued(row, claimed.contents) for row in claimed.rows]

    async def wait(self, timeout: float) -> None:
        """Return when there may be something to claim that there was not; see `Journal.wait`."""
        due = await self._read(_looking.next_due)
        longest = min(timeout, POLL, POLL if due is None else max(0.0, due - self._clock()))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._leases.news.wait(), longest)

    async def queued(self) -> int:
        """How many messages are leased to nobody, due or not; see `Journal.queued`."""
        return await self._read(_looking.waiting)

    async def begins(self, queued: Queued) -> None:
        """Record that a message is handed over now; see `Journal.begins`."""
        await self._leases.hand_over(queued)

    async def ends(self, queued: Queued, report: Report) -> None:
        """Record what became of a message; see `Journal.ends`."""
        unknowns = max(queued.history.unknowns, _forms.unknowns_of(report))
        accepted = 0 if report.receipt is None else report.message.cost - len(report.refused)
        await self._leases.settle(queued, _forms.end_columns(report, unknowns), accepted)

    async def postpones(self, queued: Queued, history: History, not_before: float, *, keep: bool = False) -> None:
        """Record that a message is tried again; see `Journal.postpones`."""
        state = State.CLAIMED if keep else self._waiting(not_before)
        await self._leases.settle(queued, _forms.open_columns(queued, history, state, not_before), keep=keep)

    async def returns(self, queued: Queued) -> None:
        """Give back a lease; see `Journal.returns`."""
        not_before = self._leases.of(queued).not_before
        state = self._waiting(not_before)
        await self._leases.settle(queued, _forms.open_columns(queued, queued.history, state, not_before))

    async def check(self) -> None:
        """Return if results can be recorded; see `Journal.check`."""
        await self._lease()
        await self._leases.renew()

    def _waiting(self, not_before: float) -> State:
        return State.LATER if not_before > self._clock() else State.QUEUED


def _queued(row: Fields | Fresh, contents: Mapping[int, bytes]) -> Queued:
    """The lease of a message that was claimed."""
    if isinstance(row, Fresh):
        return Queued(row.message, History(row.at), row.id)
    return _forms.queued_of(row, _forms.message_of(row, contents[row["content"]]))
