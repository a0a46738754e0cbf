"""
The outbox: messages in a database, and what became of them.

Start reading here. What is kept of a message is in `_forms`, what a database is asked in `_adding`, `_leasing`,
`_settling`, `_looking` and `_housekeeping`, how many writes become one commit in `_writer`, and who has leased what in
`_leases`. It must not know how a message is sent.

Invariant: what a call returned from is on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from .._model.errors import ConfigurationError
from .._model.history import History
from .._model.journal import Queued
from .._model.message import Message
from .._model.options import number
from .._model.report import Report
from . import _adding, _forms, _housekeeping, _looking
from ._adding import Addition
from ._database import Database
from ._leases import Leases
from ._rows import Fields
from ._schema import MIGRATIONS, migrate, version_of
from ._suppression import Suppression
from ._taking import moment, prepared
from ._values import ENDS, WAITING, Filter, Row, State, Status
from ._writer import alone

logger = logging.getLogger("seslimit")

T = TypeVar("T")

LEASE = 30.0
"""Seconds after which messages of somebody who is not heard of go to others."""

PATIENCE = 1.0
"""Seconds for which a locked or absent database is tried again before that is told."""

POLL = 1.0
"""Seconds after which somebody who waits looks for what other programs added."""


class Outbox:
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

    def __init__(
        self,
        url: str | Path,
        *,
        lease: float = LEASE,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.time,
        create: bool = True,
    ) -> None:
        lease = number("lease", lease, "seconds", low=1)
        patience = number("patience", patience, "seconds", low=0)
        self._database = Database.of(url, busy=patience)
        self._clock = clock
        self._create = create
        self._leases = Leases(self._database, clock, lease, patience)
        self._opening = asyncio.Lock()
        self._open = False
        self.suppression = Suppression(self._read, self._write)
        """Addresses that nothing is sent to."""

    def __repr__(self) -> str:
        return f"Outbox({self._database.shown!r})"

    async def __aenter__(self) -> Outbox:
        await self.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def open(self) -> None:
        """
        Look at the database, and bring its tables to the version that is known here.

        The first call that needs it does so by itself.

        Raises:
            JournalUnavailable: it is locked, or does not answer.
            JournalError: it is damaged, or of a newer version, or it is gone.
            ConfigurationError: there is none, and none is to be made.
        """
        async with self._opening:
            if not self._open:
                await self._leases.writer.patiently(self._make_ready)
                self._leases.writer.start()
                self._open = True

    async def _make_ready(self) -> None:
        try:
            await self._set_up()
        except BaseException:
            await self._database.aclose()
            raise

    async def _set_up(self) -> None:
        database, files = self._database, self._database.files
        found = files is None or await database.check()
        version = await database.read(version_of) if found else 0
        if version == 0 and not self._create:
            what = "holds no outbox" if found else "is not there"
            raise ConfigurationError(f"the outbox {database.shown} {what}: check the name.")
        if files is None:
            self._leases.behind = await database.read(_clock_of) - time.time()
        elif not found:
            files.begin()
        if version != len(MIGRATIONS):
            await database.write(migrate)
        if files is not None:
            files.remember()
            if not await asyncio.to_thread(files.take_reserve):
                logger.warning("the disk of the outbox %s has hardly any space left", database.shown)

    async def aclose(self) -> None:
        """Give back what is leased and was not handed over, write what is pending, and close the database."""
        await self._leases.aclose()
        await self._database.aclose()

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
            return await self._leases.writer.write(_adding.add, addition, committed=self._added)
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

    # Leasing

    async def take(self, message: Message) -> Queued | Report:
        """
        Put one message into the queue, durably, and lease it to the caller at once, due or not.

        Returns:
            the lease; or the report of one that came to its end before.

        Raises:
            KeyReused: it has the key of another message.
            LeaseLost: it is there, and another is sending it.
        """
        addition = Addition(await prepared([message]), self._clock())
        await self._lease()
        row = await self._leases.take(addition)
        return _forms.report_of(message, row) if row["state"] in ENDS else _forms.queued_of(row, message)

    async def claim(self, most: int) -> Sequence[Queued]:
        """
        Lease what is due, in order, at most so many; nothing where nothing is due.

        A lease lasts until `ends`, `returns`, or `postpones` without `keep`, as long as the process lives.
        """
        await self._lease()
        claimed = await self._leases.claim(most)
        return [_forms.queued_of(row, _forms.message_of(row, claimed.contents[row["content"]])) for row in claimed.rows]

    async def wait(self, timeout: float) -> None:
        """Return when there may be something to claim that there was not, and after `timeout` seconds at most."""
        due = await self._read(_looking.next_due)
        longest = min(timeout, POLL, POLL if due is None else max(0.0, due - self._clock()))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._leases.news.wait(), longest)

    async def queued(self) -> int:
        """How many messages are in the queue, due or not, and leased to nobody."""
        return await self._read(_looking.waiting)

    # One attempt

    async def begins(self, queued: Queued) -> None:
        """
        Record that the message is handed over now.

        Raises:
            LeaseLost: it is not the caller's any more.
        """
        await self._leases.hand_over(queued)

    async def ends(self, queued: Queued, report: Report) -> None:
        """
        Record what became of a message.

        Raises:
            LeaseLost: it is not the caller's any more; an acceptance is recorded all the same.
        """
        unknowns = max(queued.history.unknowns, _forms.unknowns_of(report))
        accepted = 0 if report.receipt is None else report.message.cost - len(report.refused)
        await self._leases.settle(queued, _forms.end_columns(report, unknowns), accepted)

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
        state = State.CLAIMED if keep else self._waiting(not_before)
        await self._leases.settle(queued, _forms.open_columns(queued, history, state, not_before), keep=keep)

    async def returns(self, queued: Queued) -> None:
        """Give back a lease, with `queued.history`: the message keeps its place, and its not-before if it has one."""
        not_before = self._leases.of(queued).not_before
        state = self._waiting(not_before)
        await self._leases.settle(queued, _forms.open_columns(queued, queued.history, state, not_before))

    async def check(self) -> None:
        """Return if results can be recorded, by recording something; otherwise it raises, as the others do."""
        await self._lease()
        await self._leases.renew()

    # Looking, and changing by hand

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

    async def _lease(self) -> None:
        await self.open()
        await self._leases.begin()

    async def _read(self, look: Callable[[sa.Connection], T]) -> T:
        await self.open()
        return await self._database.read(look)

    async def _write(self, change: Callable[[sa.Connection], T]) -> T:
        await self.open()
        return await self._leases.writer.write(partial(alone, change), None)

    async def _move(self, wanted: Filter | None, sources: Collection[State], columns: Fields) -> int:
        moved, after = 0, 0
        move = partial(_housekeeping.move, wanted=wanted or Filter(), sources=sources, columns=columns)
        while ids := await self._write(partial(move, after=after)):
            moved += len(ids)
            after = ids[-1]
        return moved

    def _waiting(self, not_before: float) -> State:
        return State.LATER if not_before > self._clock() else State.QUEUED

    def _added(self, new: int) -> None:
        if new:
            self._leases.news.set()


def _clock_of(connection: sa.Connection) -> float:
    """What a server takes for the moment, in seconds since the epoch."""
    return float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar_one())
