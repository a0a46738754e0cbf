"""
Who may send a message: what is due goes to one at a time, and comes back when that one is gone.

Invariants: order is that of priority, then of adding; what was being sent by somebody who is gone comes back with an
attempt whose outcome is unknown, everything else as if nothing had happened.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from itertools import chain

import sqlalchemy as sa

from . import _forms
from ._adding import Fresh
from ._rows import IDS, MOST_AT_ONCE, Fields, change, chunks, insert_into, named, with_ids
from ._schema import contents, messages, owners, state_is
from ._values import State

_m = messages.c

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

_NAMES = (*messages.c.keys(), "size")


_UNTOUCHED = sa.and_(
    _m.begun == sa.literal_column("0"),
    _m.outcome.is_(None),
    _m.message_id.is_(None),
    _m.not_before == sa.literal_column("0.0"),
    _m.first_at == _m.added_at,
)
_FIRST = (
    sa.select(
        sa.case(
            (_UNTOUCHED, sa.cast(_m.id, sa.Text) + sa.literal_column("' '") + _m.name),
            else_=sa.cast(_m.id, sa.Text),
        ).label("one")
    )
    .where(state_is(State.QUEUED))
    .order_by(_m.priority.desc(), _m.id)
    .limit(sa.bindparam("most"))
    .subquery()
)
_DUE_NAMES = sa.select(sa.func.group_concat(_FIRST.c.one, sa.literal_column("char(10)")))
"""
The ids of what is due, in one value, each with the name of one that is as it was added: with a row for each, the thread
that reads them would wait for the loop as often. No name has a line end in it.
"""

_FIRST_NAMES = ("id", "name", "mail_from", "recipients", "lane", "content", "size", "priority", "added_at")


def _exact(column: sa.ColumnElement[float]) -> sa.ColumnElement[str]:
    """In as many digits as bring it back as it was: JSON would shorten it."""
    return sa.cast(sa.func.printf(sa.literal_column("'%!.17g'"), column), sa.Text)


_FIRST_ROW = (
    sa.select(
        sa.case(
            (
                _UNTOUCHED,
                sa.func.json_array(
                    *(_m[name] for name in _FIRST_NAMES[:6]), contents.c.size, _exact(_m.priority), _exact(_m.added_at)
                ),
            ),
            else_=sa.literal_column("'null'"),
        ).label("one")
    )
    .join_from(messages, contents, contents.c.id == _m.content)
    .where(state_is(State.QUEUED))
    .order_by(_m.priority.desc(), _m.id)
    .limit(sa.bindparam("most"))
    .subquery()
)
_DUE_FIRST = sa.select(sa.func.group_concat(_FIRST_ROW.c.one, sa.literal_column("','")))
"""
What is due, in one value as `_DUE_NAMES`: of a message that is as it was added what is not the same of all such, and of
another nothing.
"""


def _lease(count: int) -> sa.Update:
    state: sa.ColumnElement[str] = sa.literal_column(f"'{State.CLAIMED.value}'")
    return sa.update(messages).where(_m.id.in_(named(count))).values(owner=sa.bindparam("me"), state=state)


def _fresh_due(connection: sa.Connection, most: int, fresh: Mapping[int, Fresh]) -> list[Fresh]:
    """What is due, in order, where all of it is known as it was added; otherwise nothing."""
    listed = connection.execute(_DUE_NAMES, {"most": most}).scalar_one() or ""
    due: list[Fresh] = []
    for line in listed.split("\n"):
        id_, _, name = line.partition(" ")
        known = fresh.get(int(id_ or 0))
        if known is None or known.name != name:
            return []
        due.append(known)
    return sorted(due, key=lambda each: (-each.priority, each.id))


def _due(connection: sa.Connection, most: int) -> list[Fields]:
    """What is due, in order; where all of it is as it was added, with less, see `first_of`."""
    if connection.dialect.name == "sqlite":
        listed = connection.execute(_DUE_FIRST, {"most": most}).scalar_one() or ""
        found = json.loads(f"[{listed}]")
        if None not in found:
            rows = [dict(zip(_FIRST_NAMES, values, strict=True)) for values in found]
            return sorted(rows, key=lambda row: (-float(row["priority"]), row["id"]))
    return [dict(zip(_NAMES, values, strict=True)) for values in connection.execute(_DUE, {"most": most}).all()]


def first_of(row: Fields | Fresh, contents: Mapping[int, bytes]) -> Fields | Fresh:
    """What was claimed; with its message, where it is as it was added and so has no more in its row."""
    if isinstance(row, Fresh) or "state" in row:
        return row
    message = _forms.message_of(row, contents[row["content"]])
    at, priority = float(row["added_at"]), float(row["priority"])
    return Fresh(row["id"], row["name"], message, at, priority, row["size"])


def claim(
    connection: sa.Connection, me: str, now: float, most: int, size: int, fresh: Mapping[int, Fresh]
) -> Sequence[Fields | Fresh]:
    """
    Lease what is due, in order.

    Args:
        connection: to the database.
        me: who leases it.
        now: the moment, seconds since the epoch.
        most: how many messages at most.
        size: bytes of content after which it is enough.
        fresh: messages that this process has added, by their ids: where what is due is still as it was added, it need
            not be read.
    """
    connection.execute(_PROMOTE, {"now": now, "most": 2 * max(most, MOST_AT_ONCE)})
    if fresh and (due := _fresh_due(connection, most, fresh)):
        with_ids(connection, _lease, [each.id for each in due], me=me)
        return due
    taken: list[Fields] = []
    for row in _due(connection, most):
        if taken and size < row["size"]:
            break
        size -= row["size"]
        taken.append(row)
    with_ids(connection, _lease, [row["id"] for row in taken], me=me)
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
    for chunk in chunks(names):
        found.update({row["name"]: row for row in connection.execute(_NAMED, {"names": chunk}).mappings()})
    free = [row["id"] for row in found.values() if row["state"] in (State.QUEUED, State.LATER)]
    with_ids(connection, _lease, free, me=me)
    return found


def _contents(count: int) -> sa.Select[int, bytes]:
    return sa.select(contents.c.id, contents.c.content).where(contents.c.id.in_(named(count)))


def contents_of(connection: sa.Connection, ids: Collection[int]) -> dict[int, bytes]:
    """Contents by their ids."""
    rows = chain.from_iterable(with_ids(connection, _contents, ids))
    return {id_: bytes(content) for id_, content in rows}


def renew(connection: sa.Connection, me: str, until: float) -> None:
    """Say that one who leases messages is alive."""
    insert = insert_into(connection.dialect.name, owners).values(owner=me, until=until)
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
    change(connection, [{"row": row["id"], **free, **_forms.interrupted(row, now)} for row in rows])
    connection.execute(sa.delete(owners).where(owners.c.owner.in_(sorted(gone))))
    return claimed.rowcount + len(rows)


def give_back(connection: sa.Connection, me: str, held: Collection[int]) -> None:
    """Put what is leased to somebody who does not know of it into the queue: its claim was made, and not heard of."""
    leased = connection.execute(sa.select(_m.id).where(_m.owner == me, state_is(State.CLAIMED))).scalars().all()
    forgotten = set(leased) - set(held)
    free = sa.update(messages).where(_m.id.in_(IDS)).values(state=State.QUEUED.value, owner=None)
    for chunk in chunks(forgotten):
        connection.execute(free, {"ids": chunk})


def leave(connection: sa.Connection, me: str) -> None:
    """Put what is leased to somebody who goes into the queue, and forget him: what he was sending is unknown then."""
    connection.execute(
        sa.update(messages).where(_m.owner == me, state_is(State.CLAIMED)).values(state=State.QUEUED.value, owner=None)
    )
    connection.execute(sa.delete(owners).where(owners.c.owner == me))
