"""
An outbox in memory: as one in a database, for tests and for trying things out.

Keeps rows in the same form as the databases do, and does with each what the statements do there, so that one suite of
tests holds for all. It needs no thread and no file, and runs on virtual time.

Invariant: as for every outbox, but that nothing outlives the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import math
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import attrs

from .._model.history import History
from .._model.journal import LeaseLost, Queued
from .._model.message import Message
from .._model.report import Report
from .._with_block import WithBlock
from . import _forms
from ._taking import moment, prepared
from ._values import ENDS, WAITING, Count, Feedback, Filter, Prepared, Row, State, Status, Suppressed


@attrs.define(eq=False)
class Memory:
    """What several outboxes in memory have in common, as those on one database have."""

    rows: dict[int, dict[str, Any]] = attrs.field(factory=dict, init=False)
    by_name: dict[str, int] = attrs.field(factory=dict, init=False)
    owners: dict[str, float] = attrs.field(factory=dict, init=False)
    days: dict[int, int] = attrs.field(factory=dict, init=False)
    heard: dict[tuple[str, str], list[Feedback]] = attrs.field(factory=dict, init=False)
    suppressed: dict[str, Suppressed] = attrs.field(factory=dict, init=False)
    numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1), init=False)
    ready: list[tuple[float, int]] = attrs.field(factory=list, init=False)
    later: list[tuple[float, int]] = attrs.field(factory=list, init=False)
    news: list[asyncio.Event] = attrs.field(factory=list, init=False)

    def put(self, row: dict[str, Any]) -> None:
        """A message waits, for its turn or for its moment."""
        if row["state"] == State.LATER:
            heapq.heappush(self.later, (row["not_before"], row["id"]))
        else:
            heapq.heappush(self.ready, (-row["priority"], row["id"]))
        for event in self.news:
            event.set()

    def due(self, now: float) -> Iterator[dict[str, Any]]:
        """Take out what is due, in order."""
        while self.later and self.later[0][0] <= now:
            not_before, id_ = heapq.heappop(self.later)
            row = self.rows.get(id_)
            if row is not None and row["state"] == State.LATER and row["not_before"] == not_before:
                row["state"] = State.QUEUED.value
                self.put(row)
        while self.ready:
            row = self.rows.get(heapq.heappop(self.ready)[1])
            if row is not None and row["state"] == State.QUEUED:
                yield row

    def select(self, wanted: Filter, states: Collection[State] = tuple(State)) -> list[dict[str, Any]]:
        """The messages that are meant, in order of adding."""
        return [row for row in self.rows.values() if row["state"] in states and _fits(row, wanted)]


class _Suppression:
    """The addresses that nothing is sent to."""

    def __init__(self, addresses: dict[str, Suppressed]) -> None:
        self._addresses = addresses

    async def add(self, entries: Iterable[Suppressed]) -> None:
        """Keep addresses; one that is there is replaced."""
        self._addresses.update((entry.address, entry) for entry in entries)

    async def remove(self, addresses: Collection[str]) -> int:
        """Forget addresses; returns how many were there."""
        return sum(self._addresses.pop(address, None) is not None for address in {each.lower() for each in addresses})

    async def find(self, addresses: Collection[str]) -> dict[str, Suppressed]:
        """Those of the addresses that nothing is sent to, by the address in lower case."""
        lower = {address.lower() for address in addresses}
        return {address: entry for address, entry in self._addresses.items() if address in lower}

    async def __aiter__(self) -> AsyncIterator[Suppressed]:
        for address in sorted(self._addresses):
            yield self._addresses[address]


class MemoryOutbox(WithBlock):
    """
    An outbox in memory: what `Outbox` does, until the process ends.

    Args:
        memory: what it has in common with others; its own when left out.
        lease: seconds after which messages of an outbox that makes no call any more go to others.
        clock: seconds since the epoch.
    """

    def __init__(
        self, memory: Memory | None = None, *, lease: float = 30.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._memory = memory or Memory()
        self._lease = lease
        self._clock = clock
        self._held: dict[int, tuple[int, float]] = {}
        self._news = asyncio.Event()
        self._memory.news.append(self._news)
        self._owner = f"memory-{next(self._memory.numbers)}"
        self.suppression = _Suppression(self._memory.suppressed)
        """Addresses that nothing is sent to."""

    async def open(self) -> None:
        """Nothing: it is open."""

    async def aclose(self) -> None:
        """Give back what is leased and was not handed over."""
        for id_ in self._held:
            row = self._memory.rows[id_]
            if row["owner"] == self._owner and row["state"] == State.CLAIMED:
                self._change(row, {"state": State.QUEUED.value, "owner": None})
        self._held.clear()
        self._memory.owners.pop(self._owner, None)
        if self._news in self._memory.news:
            self._memory.news.remove(self._news)

    async def add(
        self, messages: Iterable[Message], *, send_at: datetime | float | None = None, priority: float = 0.0
    ) -> int:
        """Put messages into the queue, all or none; see `Outbox.add`."""
        return self._add(await prepared(messages), moment(send_at), priority)

    async def known(self, messages: Iterable[Message]) -> list[State | None]:
        """How far messages have come; None for one that is not there; see `Outbox.known`."""
        states: list[State | None] = []
        for new in await prepared(messages):
            row = self._memory.rows.get(self._memory.by_name.get(new.name, 0))
            if row is not None and (refusal := _forms.differs(new, row["mail_from"], row["recipients"], row["digest"])):
                raise refusal
            states.append(None if row is None else State(row["state"]))
        return states

    async def take(self, message: Message) -> Queued | Report:
        """Put one message into the queue, and lease it to the caller at once; see `Outbox.take`."""
        (new,) = await prepared([message])
        self._begin_leasing()
        self._add([new], 0.0, 0.0)
        row = self._memory.rows[self._memory.by_name[new.name]]
        if row["state"] in ENDS:
            return _forms.report_of(message, row)
        if row["owner"] is not None:
            raise _lost()
        return self._claimed(row, message)

    async def claim(self, most: int) -> Sequence[Queued]:
        """Lease what is due, in order, at most so many; see `Outbox.claim`."""
        self._begin_leasing()
        self._news.clear()
        due = itertools.islice(self._memory.due(self._clock()), most)
        return [self._claimed(row, _forms.message_of(row, row["bytes"])) for row in due]

    async def wait(self, timeout: float) -> None:
        """Return when there may be something to claim that there was not, and after `timeout` seconds at most."""
        due = self._memory.later[0][0] - self._clock() if self._memory.later else timeout
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), min(timeout, max(0.0, due)))

    async def queued(self) -> int:
        """How many messages are in the queue, due or not, and leased to nobody."""
        return sum(row["state"] in WAITING for row in self._memory.rows.values())

    async def begins(self, queued: Queued) -> None:
        """Record that the message is handed over now; see `Outbox.begins`."""
        begun, not_before = self._lease_of(queued)
        row = self._memory.rows.get(int(queued.id))
        if row is None or row["owner"] != self._owner or row["state"] not in (State.CLAIMED, State.SENDING):
            raise _lost()
        if row["state"] == State.CLAIMED:
            row.update(state=State.SENDING.value, begun=begun + 1)
            self._held[row["id"]] = (begun + 1, not_before)

    async def ends(self, queued: Queued, report: Report) -> None:
        """Record what became of a message; see `Outbox.ends`."""
        unknowns = max(queued.history.unknowns, _forms.unknowns_of(report))
        accepted = 0 if report.receipt is None else report.message.cost - len(report.refused)
        self._settle(queued, {"owner": None, **_forms.end_columns(report, unknowns)}, accepted)

    async def postpones(self, queued: Queued, history: History, not_before: float, *, keep: bool = False) -> None:
        """Record that the message was refused, and is in the queue again; see `Outbox.postpones`."""
        state = State.CLAIMED if keep else self._waiting(not_before)
        columns = _forms.open_columns(queued, history, state, not_before)
        self._settle(queued, {"owner": self._owner if keep else None, **columns}, keep=keep)

    async def returns(self, queued: Queued) -> None:
        """Give back a lease, with `queued.history`; see `Outbox.returns`."""
        _, not_before = self._lease_of(queued)
        columns = _forms.open_columns(queued, queued.history, self._waiting(not_before), not_before)
        self._settle(queued, {"owner": None, **columns})

    async def check(self) -> None:
        """Return: results can be recorded."""
        self._begin_leasing()

    async def status(self) -> Status:
        """How much there is of everything."""
        counts: dict[State, Count] = {}
        for row in self._memory.rows.values():
            count = counts.get(State(row["state"]), Count())
            counts[State(row["state"])] = Count(count.messages + 1, count.recipients + row["cost"])
        rows = self._memory.rows.values()
        return Status(
            counts,
            min((row["added_at"] for row in rows if row["state"] not in ENDS), default=None),
            min((row["not_before"] for row in rows if row["state"] == State.LATER), default=None),
            await self.used_since(self._clock() - 86_400.0),
        )

    async def used_since(self, at: float) -> int:
        """Recipients that were accepted since a moment, to the minute."""
        return sum(recipients for _, recipients in await self.used_by_minute(at))

    async def used_by_minute(self, since: float) -> list[tuple[float, int]]:
        """When, by the minute, how many recipients were accepted."""
        used = sorted(self._memory.days.items())
        return [(minute * 60.0, count) for minute, count in used if minute >= math.floor(since / 60)]

    async def rows(self, wanted: Filter | None = None) -> AsyncIterator[Row]:
        """What became of each recipient of the messages that are meant; see `Outbox.rows`."""
        for row in self._memory.select(wanted or Filter()):
            for each in _forms.recipient_rows(row, self._memory.heard):
                yield each

    async def retry(self, wanted: Filter | None = None) -> int:
        """Put messages that failed, are unknown or were cancelled into the queue again; see `Outbox.retry`."""
        rows = self._memory.select(wanted or Filter(), (State.FAILED, State.UNKNOWN, State.CANCELLED))
        for row in rows:
            self._change(row, _forms.again_columns(self._clock()))
        return len(rows)

    async def cancel(self, wanted: Filter | None = None) -> int:
        """Take messages that were not handed over out of the queue; see `Outbox.cancel`."""
        rows = self._memory.select(wanted or Filter(), (*WAITING, State.CLAIMED))
        for row in rows:
            row.update(_forms.cancelled_columns(self._clock()))
        return len(rows)

    async def purge(self, before: float) -> int:
        """Forget messages that came to their end before a moment; see `Outbox.purge`."""
        old = [row for row in self._memory.select(Filter(), ENDS) if row["ended_at"] < before]
        for row in old:
            del self._memory.rows[row["id"]], self._memory.by_name[row["name"]]
        for place, heard in list(self._memory.heard.items()):
            self._memory.heard[place] = [each for each in heard if each.at >= before]
        return len(old)

    async def feedback(self, message_id: str, recipient: str, kind: str, at: float, detail: str = "") -> None:
        """Keep what was heard of a recipient after the message had been accepted; see `Outbox.feedback`."""
        heard = self._memory.heard.setdefault((message_id, recipient.lower()), [])
        if all(each.kind != kind for each in heard):
            heard.append(Feedback(kind, at, detail))

    def _add(self, messages: Sequence[Prepared], not_before: float, priority: float) -> int:
        fresh: dict[str, dict[str, Any]] = {}
        for new in messages:
            row = fresh.get(new.name) or self._memory.rows.get(self._memory.by_name.get(new.name, 0))
            if row is None:
                columns = _forms.first_columns(new, self._clock(), not_before, priority)
                fresh[new.name] = {**_forms.NOTHING_YET, **columns, "digest": new.digest, "bytes": new.content}
            elif refusal := _forms.differs(new, row["mail_from"], row["recipients"], row["digest"]):
                raise refusal
        for row in fresh.values():
            row["id"] = next(self._memory.numbers)
            self._memory.rows[row["id"]] = row
            self._memory.by_name[row["name"]] = row["id"]
            self._memory.put(row)
        return len(fresh)

    def _begin_leasing(self) -> None:
        now = self._clock()
        memory = self._memory
        memory.owners[self._owner] = now + self._lease
        gone = {row["owner"] for row in memory.rows.values()} - {None, self._owner}
        gone -= {owner for owner, until in memory.owners.items() if until >= now}
        for row in memory.rows.values() if gone else ():
            if row["owner"] in gone:
                unknown = _forms.interrupted(row, now) if row["state"] == State.SENDING else {}
                self._change(row, {"state": State.QUEUED.value, "owner": None, **unknown})

    def _claimed(self, row: dict[str, Any], message: Message) -> Queued:
        self._held[row["id"]] = (row["begun"], row["not_before"])
        row.update(state=State.CLAIMED.value, owner=self._owner)
        return _forms.queued_of(row, message)

    def _lease_of(self, queued: Queued) -> tuple[int, float]:
        held = self._held.get(queued.id) if isinstance(queued.id, int) else None
        if held is None:
            raise _lost()
        return held

    def _settle(self, queued: Queued, columns: dict[str, Any], accepted: int = 0, *, keep: bool = False) -> None:
        begun, _ = self._lease_of(queued)
        id_ = int(queued.id)
        row = self._memory.rows.get(id_)
        mine = row is not None and row["owner"] == self._owner and row["state"] in (State.CLAIMED, State.SENDING)
        late = accepted > 0 and row is not None and row["state"] not in (State.SENDING, State.ACCEPTED)
        known = mine or (row is not None and _forms.is_done(row, begun, columns))
        if row is not None and (mine or late):
            self._change(row, columns)
            if accepted:
                minute = math.floor(self._clock() / 60)
                self._memory.days[minute] = self._memory.days.get(minute, 0) + accepted
        if keep and known:
            self._held[id_] = (begun, columns["not_before"])
        else:
            del self._held[id_]
        if not known:
            raise _lost()

    def _change(self, row: dict[str, Any], columns: dict[str, Any]) -> None:
        row.update(columns)
        if row["state"] in WAITING:
            self._memory.put(row)

    def _waiting(self, not_before: float) -> State:
        return State.LATER if not_before > self._clock() else State.QUEUED


def _lost() -> LeaseLost:
    return LeaseLost(_forms.LOST)


def _fits(row: dict[str, Any], wanted: Filter) -> bool:
    recipients = row["recipients"].lower().split("\n")
    return (
        (not wanted.states or row["state"] in wanted.states)
        and (wanted.key is None or row["name"] == _forms.name_of(wanted.key))
        and (wanted.recipient is None or wanted.recipient.lower() in recipients)
        and wanted.message_id in (None, row["message_id"])
        and wanted.lane in (None, row["lane"])
        and (wanted.since is None or row["added_at"] >= wanted.since)
        and (wanted.until is None or row["added_at"] < wanted.until)
    )
