"""
What an outbox asks of its database: each function is some statements inside the caller's transaction.

Works on many messages at once, since what costs is the statement and the commit. It must not know where a connection
comes from, when its transaction ends, or what time it is.

Invariants: a message changes its state only from one that was looked at in the same transaction and under its lock; a
message that another holds is never changed, but for an acceptance that comes late.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from .._model.journal import KeyReused, LeaseLost
from . import _forms
from ._schema import END_WORDS, contents, days, feedback, messages, owners, state_is, suppressed
from ._values import Count, Filter, Prepared, State, Suppressed

Fields: TypeAlias = Mapping[Any, Any]

MOST_AT_ONCE = 500
"""Rows that one statement names: fewer than any database has parameters for."""

CONTENT_IN_USE = 3600.0
"""Seconds that a content is kept after it was last added: longer than a transaction that adds messages may take."""

_m = messages.c
_ids: sa.BindParameter[int] = sa.bindparam("ids", expanding=True)


def _chunks(values: Collection[Any]) -> Iterable[list[Any]]:
    """The values in lists whose length is a power of two, the last one repeated: a few statements serve all."""
    listed = list(values)
    for begin in range(0, len(listed), MOST_AT_ONCE):
        chunk = listed[begin : begin + MOST_AT_ONCE]
        yield chunk + chunk[-1:] * ((1 << (len(chunk) - 1).bit_length()) - len(chunk))


@cache
def _insert(dialect: str, table: sa.Table) -> Any:
    return (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table)


# Adding


@attrs.frozen
class Addition:
    """
    Messages that are added together or not at all.

    Args:
        messages: the messages.
        at: the moment, seconds since the epoch.
        not_before: when they may be tried, seconds since the epoch; 0 for at once.
        priority: of two that are due, the one with the higher priority goes first.
    """

    messages: Sequence[Prepared] = attrs.field(repr=False)
    at: float
    not_before: float = 0.0
    priority: float = 0.0

    def row(self, new: Prepared, content: int) -> dict[str, Any]:
        """A message's first row."""
        return {**_forms.first_columns(new, self.at, self.not_before, self.priority), "content": content}


class Overtaken(Exception):
    """Another transaction added one of the same messages meanwhile: what was read before is not true any more."""


_IDENTITY = (
    sa.select(_m.name, _m.mail_from, _m.recipients, contents.c.digest)
    .join(contents, contents.c.id == _m.content)
    .where(_m.name.in_(sa.bindparam("names", expanding=True)))
)


def _known(connection: sa.Connection, names: Collection[str]) -> dict[str, tuple[str, str, bytes]]:
    known = {}
    for chunk in _chunks(names):
        for name, mail_from, recipients, digest in connection.execute(_IDENTITY, {"names": chunk}):
            known[name] = (mail_from, recipients, bytes(digest))
    return known


def add(connection: sa.Connection, additions: Sequence[Addition]) -> list[int | KeyReused]:
    """
    Add messages that are not there yet.

    Returns:
        for each addition how many were new, or why nothing of it was added.

    Raises:
        Overtaken: to be done again, in a new transaction.
    """
    known = _known(connection, {new.name for addition in additions for new in addition.messages})
    results: list[int | KeyReused] = []
    chosen: dict[str, tuple[Addition, Prepared]] = {}
    for addition in additions:
        fresh: dict[str, tuple[str, str, bytes]] = {}
        refusal = None
        for new in addition.messages:
            before = known.get(new.name) or fresh.get(new.name)
            if before is None:
                fresh[new.name] = (new.message.mail_from, new.recipients, new.digest)
            elif refusal := _forms.differs(new, *before):
                break
        results.append(refusal or len(fresh))
        if refusal is None:
            known.update(fresh)
            chosen.update((new.name, (addition, new)) for new in addition.messages if new.name in fresh)
    if chosen:
        _insert_messages(connection, list(chosen.values()))
    return results


def _insert_messages(connection: sa.Connection, chosen: list[tuple[Addition, Prepared]]) -> None:
    dialect = connection.dialect.name
    stored = _insert_contents(connection, chosen)
    insert = _insert(dialect, messages).on_conflict_do_nothing(index_elements=["name"]).returning(_m.name)
    for begin in range(0, len(chosen), MOST_AT_ONCE):
        rows = [addition.row(new, stored[new.digest]) for addition, new in chosen[begin : begin + MOST_AT_ONCE]]
        if len(connection.execute(insert, rows).all()) != len(rows):
            raise Overtaken


def _insert_contents(connection: sa.Connection, chosen: list[tuple[Addition, Prepared]]) -> dict[bytes, int]:
    # One that is there is locked even where it is not changed, so that nobody takes it away for not being used.
    insert = _insert(connection.dialect.name, contents)
    insert = insert.on_conflict_do_update(
        index_elements=["digest"],
        set_={"used_at": insert.excluded.used_at},
        where=contents.c.used_at < insert.excluded.used_at - CONTENT_IN_USE / 2,
    )
    distinct = {new.digest: (addition, new) for addition, new in chosen}
    rows = [
        {"digest": digest, "size": len(new.content), "used_at": addition.at, "content": new.content}
        for digest, (addition, new) in sorted(distinct.items())
    ]
    for begin in range(0, len(rows), MOST_AT_ONCE):
        connection.execute(insert, rows[begin : begin + MOST_AT_ONCE])
    stored = {}
    select = sa.select(contents.c.digest, contents.c.id).where(
        contents.c.digest.in_(sa.bindparam("digests", expanding=True))
    )
    for chunk in _chunks(list(distinct)):
        stored.update({bytes(digest): id_ for digest, id_ in connection.execute(select, {"digests": chunk})})
    return stored


# Leasing

_PROMOTE = (
    sa.update(messages)
    .where(
        _m.id.in_(
            sa.select(_m.id)
            .where(state_is(State.LATER), _m.not_before <= sa.bindparam("now"))
            .order_by(_m.not_before)
            .limit(sa.bindparam("most"))
            .with_for_update(skip_locked=True)
        )
    )
    .values(state=State.QUEUED.value)
)

_DUE = (
    sa.select(messages, contents.c.size)
    .join(contents, contents.c.id == _m.content)
    .where(state_is(State.QUEUED))
    .order_by(_m.priority.desc(), _m.id)
    .limit(sa.bindparam("most"))
    .with_for_update(skip_locked=True, of=messages)
)

_CLAIM = sa.update(messages).where(_m.id.in_(_ids)).values(state=State.CLAIMED.value, owner=sa.bindparam("me"))


def claim(connection: sa.Connection, me: str, now: float, most: int, size: int) -> list[Fields]:
    """
    Lease what is due, in order.

    Args:
        connection: to the database.
        me: who leases it.
        now: the moment, seconds since the epoch.
        most: how many messages at most.
        size: bytes of content after which it is enough.
    """
    connection.execute(_PROMOTE, {"now": now, "most": 2 * max(most, MOST_AT_ONCE)})
    taken: list[Fields] = []
    for row in connection.execute(_DUE, {"most": most}).mappings():
        if taken and size < row["size"]:
            break
        size -= row["size"]
        taken.append(row)
    for chunk in _chunks([row["id"] for row in taken]):
        connection.execute(_CLAIM, {"ids": chunk, "me": me})
    return taken


_NAMED = (
    sa.select(messages)
    .where(_m.name.in_(sa.bindparam("names", expanding=True)))
    .order_by(_m.id)
    .with_for_update(of=messages)
)


def take(connection: sa.Connection, me: str, names: Collection[str]) -> dict[str, Fields]:
    """
    Lease messages by their names, due or not.

    Returns:
        each one's row as it was before; what another holds, or what has come to its end, is not leased.
    """
    found: dict[str, Fields] = {}
    for chunk in _chunks(names):
        found.update({row["name"]: row for row in connection.execute(_NAMED, {"names": chunk}).mappings()})
    free = [row["id"] for row in found.values() if row["state"] in (State.QUEUED, State.LATER)]
    for chunk in _chunks(free):
        connection.execute(_CLAIM, {"ids": chunk, "me": me})
    return found


_CONTENTS = sa.select(contents.c.id, contents.c.content).where(contents.c.id.in_(_ids))


def contents_of(connection: sa.Connection, ids: Collection[int]) -> dict[int, bytes]:
    """Contents by their ids."""
    found = {}
    for chunk in _chunks(ids):
        found.update({id_: bytes(content) for id_, content in connection.execute(_CONTENTS, {"ids": chunk})})
    return found


def renew(connection: sa.Connection, me: str, until: float) -> None:
    """Say that one who leases messages is alive."""
    insert = _insert(connection.dialect.name, owners).values(owner=me, until=until)
    connection.execute(insert.on_conflict_do_update(index_elements=["owner"], set_={"until": until}))


def holders(connection: sa.Connection, now: float) -> tuple[set[str], set[str]]:
    """Those that have leased messages: all that are named, and of them those whose time is not up."""
    held = set(connection.execute(sa.select(_m.owner).where(_m.owner.is_not(None)).distinct()).scalars())
    rows = connection.execute(sa.select(owners.c.owner, owners.c.until)).all()
    return held | {owner for owner, _ in rows}, {owner for owner, until in rows if until >= now}


def recover(connection: sa.Connection, gone: Collection[str], now: float) -> int:
    """
    Put what somebody who is gone had leased into the queue again: what was being sent with an attempt that is unknown.

    Returns:
        how many messages that was.
    """
    who = _m.owner.in_(sorted(gone))
    free = {"state": State.QUEUED.value, "owner": None}
    claimed = connection.execute(sa.update(messages).where(who, state_is(State.CLAIMED)).values(free))
    sending = sa.select(messages).where(who, state_is(State.SENDING)).with_for_update(skip_locked=True)
    rows = connection.execute(sending).mappings().all()
    _update(connection, [{"row": row["id"], **free, **_forms.interrupted(row, now)} for row in rows])
    connection.execute(sa.delete(owners).where(owners.c.owner.in_(sorted(gone))))
    return claimed.rowcount + len(rows)


def give_back(connection: sa.Connection, me: str, held: Collection[int]) -> None:
    """Put what is leased to somebody who does not know of it into the queue: its claim was made, and not heard of."""
    leased = connection.execute(sa.select(_m.id).where(_m.owner == me, state_is(State.CLAIMED))).scalars().all()
    forgotten = set(leased) - set(held)
    free = sa.update(messages).where(_m.id.in_(_ids)).values(state=State.QUEUED.value, owner=None)
    for chunk in _chunks(forgotten):
        connection.execute(free, {"ids": chunk})


def leave(connection: sa.Connection, me: str) -> None:
    """Put what is leased to somebody who goes into the queue, and forget him: what he was sending is unknown then."""
    connection.execute(
        sa.update(messages).where(_m.owner == me, state_is(State.CLAIMED)).values(state=State.QUEUED.value, owner=None)
    )
    connection.execute(sa.delete(owners).where(owners.c.owner == me))


# One attempt

_BEGIN = (
    sa.update(messages)
    .where(_m.id.in_(_ids), _m.owner == sa.bindparam("me"), state_is(State.CLAIMED))
    .values(state=State.SENDING.value, begun=_m.begun + 1)
    .returning(_m.id)
)

_BEGUN = sa.select(_m.id).where(_m.id.in_(_ids), _m.owner == sa.bindparam("me"), state_is(State.SENDING))


def begin(connection: sa.Connection, me: str, ids: Sequence[int]) -> list[LeaseLost | None]:
    """Record that messages are handed over; for each that is not leased to `me` why it is not to be."""
    begun: set[int] = set()
    for statement in (_BEGIN, _BEGUN):
        for chunk in _chunks([id_ for id_ in ids if id_ not in begun]):
            begun.update(connection.execute(statement, {"ids": chunk, "me": me}).scalars())
    return [None if id_ in begun else lost() for id_ in ids]


def lost() -> LeaseLost:
    """What is said of a message that is another's."""
    return LeaseLost(_forms.LOST)


@attrs.frozen
class Change:
    """
    What becomes of a message that somebody holds.

    Args:
        id: the message's.
        begun: how often it was handed over, as its holder knows.
        columns: what changes.
        accepted: recipients that have it now.
    """

    id: int
    begun: int
    columns: dict[str, Any]
    accepted: int = 0


_LOCKED = (
    sa.select(_m.id, _m.state, _m.owner, _m.begun, _m.ended_at)
    .where(_m.id.in_(_ids))
    .order_by(_m.id)
    .with_for_update(of=messages)
)


def settle(connection: sa.Connection, me: str, now: float, changes: Sequence[Change]) -> list[LeaseLost | None]:
    """
    Record what became of messages.

    Returns:
        for each one that is not leased to `me` that it is not. An acceptance is recorded all the same, unless another
        is sending the message now.
    """
    rows: dict[int, Fields] = {}
    for chunk in _chunks([change.id for change in changes]):
        rows.update({row["id"]: row for row in connection.execute(_LOCKED, {"ids": chunk}).mappings()})
    results: list[LeaseLost | None] = []
    applied: dict[int, Change] = {}
    for change in changes:
        row = rows.get(change.id)
        if row is None:
            results.append(lost())
            continue
        mine = row["owner"] == me and row["state"] in (State.CLAIMED, State.SENDING)
        late = change.accepted > 0 and row["state"] not in (State.SENDING, State.ACCEPTED)
        if mine or late:
            applied[change.id] = change
        known = mine or _forms.is_done(row, change.begun, change.columns)
        results.append(None if known else lost())
    _update(connection, [{"row": change.id, **change.columns} for change in applied.values()])
    if accepted := sum(change.accepted for change in applied.values()):
        _count(connection, me, now, accepted)
    return results


def _update(connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
    """Change messages by their ids; rows that change the same columns go together."""
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["row"]):
        by_columns.setdefault(tuple(sorted(row)), []).append(row)
    for alike in by_columns.values():
        connection.execute(sa.update(messages).where(_m.id == sa.bindparam("row")), alike)


def _count(connection: sa.Connection, me: str, now: float, recipients: int) -> None:
    insert = _insert(connection.dialect.name, days)
    insert = insert.on_conflict_do_update(
        index_elements=["minute", "owner"], set_={"recipients": days.c.recipients + insert.excluded.recipients}
    )
    connection.execute(insert, {"minute": math.floor(now / 60), "owner": me, "recipients": recipients})


# By hand


def where(wanted: Filter) -> list[sa.ColumnElement[bool]]:
    """What a filter says, as conditions on messages."""
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.states:
        conditions.append(_m.state.in_([state.value for state in wanted.states]))
    if wanted.key is not None:
        conditions.append(_m.name == _forms.name_of(wanted.key))
    if wanted.recipient is not None:
        framed = sa.literal("\n") + sa.func.lower(_m.recipients) + sa.literal("\n")
        conditions.append(framed.contains(f"\n{wanted.recipient.lower()}\n", autoescape=True))
    for column, value in ((_m.message_id, wanted.message_id), (_m.lane, wanted.lane)):
        if value is not None:
            conditions.append(column == value)
    if wanted.since is not None:
        conditions.append(_m.added_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(_m.added_at < wanted.until)
    return conditions


def move(connection: sa.Connection, wanted: Filter, sources: Iterable[State], columns: Fields, after: int) -> list[int]:
    """
    Change some of the messages that are meant, in their order.

    Args:
        connection: to the database.
        wanted: which are meant.
        sources: states out of which they are moved.
        columns: what changes.
        after: the id after which to go on.

    Returns:
        the ids of those that were moved; as many as `MOST_AT_ONCE` where there may be more.
    """
    select = (
        sa.select(_m.id)
        .where(*where(wanted), _m.state.in_([state.value for state in sources]), _m.id > after)
        .order_by(_m.id)
        .limit(MOST_AT_ONCE)
        .with_for_update(of=messages)
    )
    ids = list(connection.execute(select).scalars())
    for chunk in _chunks(ids):
        connection.execute(sa.update(messages).where(_m.id.in_(chunk)).values(**columns))
    return ids


def purge_messages(connection: sa.Connection, before: float) -> int:
    """Forget some of the messages that came to their end before a moment; how many that were."""
    old = sa.select(_m.id).where(_m.ended_at < before, _m.state.in_(END_WORDS)).limit(MOST_AT_ONCE)
    return connection.execute(sa.delete(messages).where(_m.id.in_(old))).rowcount


def purge_contents(connection: sa.Connection, after: int, unused_since: float) -> int | None:
    """Forget contents that no message has, of some; the id after which to go on, None at the end."""
    ids = list(
        connection.execute(
            sa.select(contents.c.id).where(contents.c.id > after).order_by(contents.c.id).limit(MOST_AT_ONCE)
        ).scalars()
    )
    if not ids:
        return None
    used = sa.exists().where(_m.content == contents.c.id)
    connection.execute(
        sa.delete(contents).where(contents.c.id.between(ids[0], ids[-1]), contents.c.used_at <= unused_since, ~used)
    )
    return int(ids[-1])


def purge_rest(connection: sa.Connection, before: float, now: float) -> None:
    """Forget feedback from before a moment, and what days that are over were used for."""
    connection.execute(sa.delete(feedback).where(feedback.c.at < before))
    connection.execute(sa.delete(days).where(days.c.minute < math.floor((now - 2 * 86_400.0) / 60)))


# Looking


def counts(connection: sa.Connection) -> dict[State, Count]:
    """Messages and recipients in each state; asked for in parts, each of which one index answers."""
    parts = (state_is(State.QUEUED), state_is(State.LATER), _m.owner.is_not(None), _m.ended_at.is_not(None))
    found = {}
    for part in parts:
        select = sa.select(_m.state, sa.func.count(), sa.func.sum(_m.cost)).where(part).group_by(_m.state)
        found.update({State(state): Count(number, int(cost)) for state, number, cost in connection.execute(select)})
    return found


def oldest(connection: sa.Connection) -> float | None:
    """When the oldest message that has not come to its end was added."""
    open_ = [
        sa.select(sa.func.min(_m.added_at)).where(condition)
        for condition in (state_is(State.QUEUED), state_is(State.LATER), _m.owner.is_not(None))
    ]
    found = [at for select in open_ if (at := connection.execute(select).scalar()) is not None]
    return min(found, default=None)


def waiting(connection: sa.Connection) -> int:
    """How many messages are leased to nobody, and not at their end."""
    select = [
        sa.select(sa.func.count()).select_from(messages).where(state_is(state)) for state in (State.QUEUED, State.LATER)
    ]
    return sum(connection.execute(each).scalar_one() for each in select)


def next_due(connection: sa.Connection) -> float | None:
    """When the next message that waits for its moment is due."""
    return connection.execute(sa.select(sa.func.min(_m.not_before)).where(state_is(State.LATER))).scalar()


def used_by_minute(connection: sa.Connection, since: float) -> list[tuple[float, int]]:
    """Recipients accepted, by the minute, since a moment."""
    select = (
        sa.select(days.c.minute, sa.func.sum(days.c.recipients))
        .where(days.c.minute >= math.floor(since / 60))
        .group_by(days.c.minute)
        .order_by(days.c.minute)
    )
    return [(minute * 60.0, int(recipients)) for minute, recipients in connection.execute(select)]


def page(connection: sa.Connection, wanted: Filter, after: int) -> Sequence[Fields]:
    """Some of the messages that are meant, after an id, in their order."""
    select = sa.select(messages).where(*where(wanted), _m.id > after).order_by(_m.id).limit(MOST_AT_ONCE)
    return connection.execute(select).mappings().all()


def heard(connection: sa.Connection, message_ids: Collection[str]) -> Sequence[Any]:
    """Feedback about messages."""
    rows: list[Any] = []
    select = sa.select(feedback).where(feedback.c.message_id.in_(sa.bindparam("ids", expanding=True)))
    for chunk in _chunks(message_ids):
        rows.extend(connection.execute(select, {"ids": chunk}))
    return rows


def hear(connection: sa.Connection, rows: Sequence[Fields]) -> None:
    """Keep feedback; what was heard before is not changed."""
    connection.execute(_insert(connection.dialect.name, feedback).on_conflict_do_nothing(), list(rows))


# Addresses that nothing is sent to


def suppress(connection: sa.Connection, entries: Sequence[Suppressed]) -> None:
    """Keep addresses; one that is there is replaced."""
    insert = _insert(connection.dialect.name, suppressed)
    changed = {name: insert.excluded[name] for name in ("reason", "at", "detail")}
    rows = {entry.address: {**attrs.asdict(entry), "detail": _forms.kept_text(entry.detail)} for entry in entries}
    if rows:
        insert = insert.on_conflict_do_update(index_elements=["address"], set_=changed)
        connection.execute(insert, [rows[address] for address in sorted(rows)])


def allow(connection: sa.Connection, addresses: Collection[str]) -> int:
    """Forget addresses; how many were there."""
    delete = sa.delete(suppressed).where(suppressed.c.address.in_(sa.bindparam("addresses", expanding=True)))
    chunks = _chunks({address.lower() for address in addresses})
    return sum(connection.execute(delete, {"addresses": chunk}).rowcount for chunk in chunks)


def find_suppressed(connection: sa.Connection, addresses: Collection[str]) -> dict[str, Suppressed]:
    """Those of the addresses that nothing is sent to, in lower case."""
    select = sa.select(suppressed).where(suppressed.c.address.in_(sa.bindparam("addresses", expanding=True)))
    found = {}
    for chunk in _chunks({address.lower() for address in addresses}):
        found.update({row.address: Suppressed(*row) for row in connection.execute(select, {"addresses": chunk})})
    return found


def page_suppressed(connection: sa.Connection, after: str) -> list[Suppressed]:
    """Some of the addresses, after one, in their order."""
    select = (
        sa.select(suppressed).where(suppressed.c.address > after).order_by(suppressed.c.address).limit(MOST_AT_ONCE)
    )
    return [Suppressed(*row) for row in connection.execute(select)]
