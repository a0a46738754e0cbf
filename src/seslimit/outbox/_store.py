"""
The outbox: messages in a database, and what became of them.

Puts together what is kept (`_forms`), the statements (`_statements`), group commit (`_writer`) and the database
(`_database`), and leases messages to itself. It must not know how a message is sent.

Invariants: what a call returned from is on the disk; a message is leased to one at a time, and given back when that one
is gone; how often a message was handed over is known for each, so that nothing is recorded for an attempt of another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import attrs
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from .._model.history import History
from .._model.journal import JournalError, KeyReused, LeaseLost, Queued
from .._model.message import Message
from .._model.options import number
from .._model.report import Report
from . import _forms, _statements
from ._database import Database
from ._schema import migrate
from ._statements import Addition, Change, Fields
from ._suppression import Suppression
from ._taking import moment, prepared
from ._values import ENDS, WAITING, Feedback, Filter, Row, State, Status
from ._writer import Writer

logger = logging.getLogger("seslimit")

T = TypeVar("T")

LEASE = 30.0
"""Seconds after which messages of somebody who is not heard of go to others."""

PATIENCE = 1.0
"""Seconds for which a locked or absent database is tried again before that is told."""

POLL = 1.0
"""Seconds after which somebody who waits looks for what other programs added."""

CLAIMED_AT_ONCE = 16 * 1024 * 1024
"""Bytes of content that one claim takes into memory, at most, beside one message."""

CACHED = 8 * 1024 * 1024
"""Bytes of contents that are kept for the next messages that have the same."""


@attrs.frozen
class _Held:
    """What is known of a message that is leased here."""

    begun: int
    not_before: float


@attrs.frozen
class _Claimed:
    """Messages that were leased, and the contents that they have, by id."""

    rows: Sequence[Fields]
    contents: Mapping[int, bytes]


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
    ) -> None:
        self._lease = number("lease", lease, "seconds", low=1)
        patience = number("patience", patience, "seconds", low=0)
        self._database = Database.of(url, busy=patience)
        self._writer = Writer(self._database, patience, self._in_doubt)
        self._clock = clock
        self._behind = 0.0
        self._owner = secrets.token_hex(8)
        self._held: dict[int, _Held] = {}
        self._doubt = False
        self._contents: OrderedDict[int, bytes] = OrderedDict()
        self._news = asyncio.Event()
        self._opening = asyncio.Lock()
        self._open = False
        self._leasing: asyncio.Task[None] | None = None
        self.suppression = Suppression(self._read, self._write_one)
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
        """
        async with self._opening:
            if not self._open:
                try:
                    await self._make_ready()
                except BaseException:
                    await self._database.aclose()
                    raise
                self._writer.start()
                self._open = True

    async def _make_ready(self) -> None:
        files = self._database.files
        await self._database.check()
        async with self._database.writing() as connection:
            await connection.run_sync(migrate)
            if files is None:
                clock = await connection.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())"))
                self._behind = float(clock.scalar_one()) - time.time()
        if files is not None:
            files.remember()
            if not await asyncio.to_thread(files.take_reserve):
                logger.warning("the disk of the outbox %s has hardly any space left", self._database.shown)

    async def aclose(self) -> None:
        """Give back what is leased and was not handed over, write what is pending, and close the database."""
        if self._leasing is not None:
            self._leasing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._leasing
            try:
                await self._write_one(partial(_statements.leave, me=self._owner))
            except JournalError as error:
                logger.warning("what was leased goes back when the lease runs out: %s", error)
        await self._writer.aclose()
        if self._leasing is not None and self._database.files:
            self._database.files.die(self._owner)
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
            return await self._writer.write(_statements.add, addition, committed=self._news_of)
        if isinstance(connection, sa.Connection):
            return add_within(connection, addition)
        return await connection.run_sync(add_within, addition)

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
        await self._begin_leasing()
        addition = Addition(await prepared([message]), self._clock())
        row = await self._writer.write(self._take, addition, committed=self._hold)
        return _forms.report_of(message, row) if row["state"] in ENDS else _forms.queued_of(row, message)

    async def claim(self, most: int) -> Sequence[Queued]:
        """
        Lease what is due, in order, at most so many; nothing where nothing is due.

        A lease lasts until `ends`, `returns`, or `postpones` without `keep`, as long as the process lives.
        """
        await self._begin_leasing()
        self._news.clear()
        claimed = await self._writer.write(self._claim, most, committed=self._hold_all)
        self._remember(claimed.contents)
        return [_forms.queued_of(row, _forms.message_of(row, claimed.contents[row["content"]])) for row in claimed.rows]

    async def wait(self, timeout: float) -> None:
        """Return when there may be something to claim that there was not, and after `timeout` seconds at most."""
        due = await self._read(_statements.next_due)
        longest = min(timeout, POLL, POLL if due is None else max(0.0, due - self._clock()))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), longest)

    async def queued(self) -> int:
        """How many messages are in the queue, due or not, and leased to nobody."""
        return await self._read(_statements.waiting)

    # One attempt

    async def begins(self, queued: Queued) -> None:
        """
        Record that the message is handed over now.

        Raises:
            LeaseLost: it is not the caller's any more.
        """
        id_, held = self._lease_of(queued)
        begun = attrs.evolve(held, begun=held.begun + 1)
        await self._writer.write(self._begin, id_, committed=lambda _: self._held.__setitem__(id_, begun))

    async def ends(self, queued: Queued, report: Report) -> None:
        """
        Record what became of a message.

        Raises:
            LeaseLost: it is not the caller's any more; an acceptance is recorded all the same.
        """
        unknowns = max(queued.history.unknowns, _forms.unknowns_of(report))
        accepted = 0 if report.receipt is None else report.message.cost - len(report.refused)
        await self._settle(queued, {"owner": None, **_forms.end_columns(report, unknowns)}, accepted)

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
        columns = _forms.open_columns(queued, history, state, not_before)
        await self._settle(queued, {"owner": self._owner if keep else None, **columns}, keep=keep)

    async def returns(self, queued: Queued) -> None:
        """Give back a lease, with `queued.history`: the message keeps its place, and its not-before if it has one."""
        _, held = self._lease_of(queued)
        columns = _forms.open_columns(queued, queued.history, self._waiting(held.not_before), held.not_before)
        await self._settle(queued, {"owner": None, **columns})

    async def check(self) -> None:
        """Return if results can be recorded, by recording something; otherwise it raises, as the others do."""
        await self._begin_leasing()
        await self._renew()

    # Looking, and changing by hand

    async def status(self) -> Status:
        """How much there is of everything."""
        return await self._read(partial(_status, day_ago=self._clock() - 86_400.0))

    async def used_since(self, at: float) -> int:
        """Recipients that were accepted since a moment (seconds since the epoch), to the minute."""
        return sum(recipients for _, recipients in await self.used_by_minute(at))

    async def used_by_minute(self, since: float) -> list[tuple[float, int]]:
        """When, by the minute in seconds since the epoch, how many recipients were accepted; of the last 48 hours."""
        return await self._read(partial(_statements.used_by_minute, since=since))

    async def rows(self, wanted: Filter | None = None) -> AsyncIterator[Row]:
        """What became of each recipient of the messages that are meant; of all when left out. In order of adding."""
        after = 0
        while page := await self._read(partial(_page, wanted=wanted or Filter(), after=after)):
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
        self._news.set()
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
        while some := await self._write_one(partial(_statements.purge_messages, before=before)):
            purged += some
        unused = self._clock() if self._database.files else self._clock() - _statements.CONTENT_IN_USE
        after: int | None = 0
        while after is not None:
            after = await self._write_one(partial(_statements.purge_contents, after=after, unused_since=unused))
        await self._write_one(partial(_statements.purge_rest, before=before, now=self._clock()))
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
        await self._writer.write(_hear, row)

    # What the above stands on

    async def _read(self, look: Callable[[sa.Connection], T]) -> T:
        await self.open()
        async with self._database.reading() as connection:
            return await connection.run_sync(look)

    async def _write_one(self, change: Callable[[sa.Connection], T]) -> T:
        await self.open()
        return await self._writer.write(partial(_alone, change), None)

    async def _move(self, wanted: Filter | None, sources: Collection[State], columns: Fields) -> int:
        moved, after = 0, 0
        move = partial(_statements.move, wanted=wanted or Filter(), sources=sources, columns=columns)
        while ids := await self._write_one(partial(move, after=after)):
            moved += len(ids)
            after = ids[-1]
        return moved

    def _lease_of(self, queued: Queued) -> tuple[int, _Held]:
        held = self._held.get(queued.id) if isinstance(queued.id, int) else None
        if held is None or not isinstance(queued.id, int):
            raise _statements.lost()
        return queued.id, held

    async def _settle(self, queued: Queued, columns: dict[str, Any], accepted: int = 0, *, keep: bool = False) -> None:
        id_, held = self._lease_of(queued)

        def settled(_: object) -> None:
            if keep:
                self._held[id_] = attrs.evolve(held, not_before=columns["not_before"])
            else:
                self._held.pop(id_, None)
                self._news_of(columns["state"] in WAITING)

        change = Change(id_, held.begun, columns, accepted)
        try:
            await self._writer.write(self._settle_all, change, is_result=True, committed=settled)
        except LeaseLost:
            self._held.pop(id_, None)
            raise

    def _waiting(self, not_before: float) -> State:
        return State.LATER if not_before > self._clock() else State.QUEUED

    def _news_of(self, some: object) -> None:
        if some:
            self._news.set()

    def _hold(self, row: Fields) -> None:
        if row["state"] in WAITING:
            self._held[row["id"]] = _Held(row["begun"], row["not_before"])

    def _hold_all(self, claimed: _Claimed) -> None:
        self._doubt = False
        for row in claimed.rows:
            self._hold(row)

    def _in_doubt(self) -> None:
        self._doubt = True

    # Batches, as the writer takes them

    def _begin(self, connection: sa.Connection, ids: Sequence[int]) -> Sequence[LeaseLost | None]:
        return _statements.begin(connection, self._owner, ids)

    def _settle_all(self, connection: sa.Connection, changes: Sequence[Change]) -> Sequence[LeaseLost | None]:
        return _statements.settle(connection, self._owner, self._clock(), changes)

    def _take(self, connection: sa.Connection, additions: Sequence[Addition]) -> Sequence[Fields | Exception]:
        results: list[Any] = list(_statements.add(connection, additions))
        names = {each.messages[0].name for each, new in zip(additions, results, strict=True) if isinstance(new, int)}
        found = _statements.take(connection, self._owner, names)
        for place, (addition, added) in enumerate(zip(additions, results, strict=True)):
            if not isinstance(added, KeyReused):
                row = found.pop(addition.messages[0].name, None)  # the second of two in one transaction gets none
                leased_to_another = row is None or row["owner"] is not None
                results[place] = _statements.lost() if leased_to_another else row
        return results

    def _claim(self, connection: sa.Connection, most: Sequence[int]) -> Sequence[_Claimed]:
        if self._doubt:
            _statements.give_back(connection, self._owner, self._held)
        claimed = []
        for each in most:
            rows = _statements.claim(connection, self._owner, self._clock(), each, CLAIMED_AT_ONCE)
            wanted = {row["content"] for row in rows}
            found = _statements.contents_of(connection, wanted - self._contents.keys())
            found.update((id_, self._contents[id_]) for id_ in wanted & self._contents.keys())
            claimed.append(_Claimed(rows, found))
        return claimed

    def _remember(self, contents: Mapping[int, bytes]) -> None:
        """Keep contents for the next messages that have the same; those that were used last."""
        for id_, content in contents.items():
            self._contents[id_] = content
            self._contents.move_to_end(id_)
        kept = sum(map(len, self._contents.values()))
        while kept > CACHED:
            kept -= len(self._contents.popitem(last=False)[1])

    # Leases

    async def _begin_leasing(self) -> None:
        await self.open()
        if self._leasing is None:
            async with self._opening:
                if self._leasing is None:
                    if self._database.files:
                        self._database.files.live(self._owner)
                    await self._renew()
                    self._leasing = asyncio.create_task(self._keep_leases(), name="outbox leases")

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            try:
                await self._renew()
            except JournalError as error:
                logger.warning("the leases of messages could not be renewed: %s", error)

    async def _renew(self) -> None:
        back = await self._writer.write(partial(_alone, self._renew_and_recover), None)
        if back:
            logger.info("%d messages of somebody who is gone are in the queue again", back)
            self._news.set()

    def _renew_and_recover(self, connection: sa.Connection) -> int:
        _statements.renew(connection, self._owner, self._until())
        known, alive = _statements.holders(connection, self._clock() + self._behind)
        if self._database.files:
            alive -= self._database.files.dead(alive - {self._owner})
        gone = known - alive - {self._owner}
        return _statements.recover(connection, gone, self._clock()) if gone else 0

    def _until(self) -> float:
        return self._clock() + self._behind + self._lease


def add_within(connection: sa.Connection, addition: Addition) -> int:
    """Add messages inside the connection's transaction; see `Outbox.add`."""
    while True:
        try:
            if connection.dialect.name == "postgresql":
                with connection.begin_nested():
                    (added,) = _statements.add(connection, [addition])
            else:
                (added,) = _statements.add(connection, [addition])
        except _statements.Overtaken:
            continue
        if isinstance(added, KeyReused):
            raise added
        return added


def _alone(change: Callable[[sa.Connection], T], connection: sa.Connection, items: Sequence[None]) -> Sequence[T]:
    return [change(connection) for _ in items]


def _hear(connection: sa.Connection, rows: Sequence[Fields]) -> Sequence[None]:
    _statements.hear(connection, rows)
    return [None] * len(rows)


def _status(connection: sa.Connection, day_ago: float) -> Status:
    return Status(
        _statements.counts(connection),
        _statements.oldest(connection),
        _statements.next_due(connection),
        sum(recipients for _, recipients in _statements.used_by_minute(connection, day_ago)),
    )


def _page(
    connection: sa.Connection, wanted: Filter, after: int
) -> list[tuple[Fields, dict[tuple[str, str], list[Feedback]]]]:
    rows = _statements.page(connection, wanted, after)
    heard: dict[tuple[str, str], list[Feedback]] = {}
    for each in _statements.heard(connection, {row["message_id"] for row in rows if row["message_id"]}):
        heard.setdefault((each.message_id, each.recipient), []).append(Feedback(each.kind, each.at, each.detail))
    return [(row, heard) for row in rows]
