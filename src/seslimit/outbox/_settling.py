"""
One attempt: that it begins, and what became of it.

Invariants: a message changes its state only from one that was looked at in the same transaction and under its lock; a
message that another holds is never changed, but for an acceptance that comes late.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import attrs
import sqlalchemy as sa

from .._model.journal import LeaseLost
from . import _forms
from ._rows import IDS, Fields, change, chunks, each, insert_into, named, with_ids
from ._schema import days, messages, state_is
from ._values import State

_m = messages.c


def _mine(count: int, *states: State) -> list[sa.ColumnElement[bool]]:
    """Whether messages are among so many, leased to `me`, and in one of the states."""
    return [_m.id.in_(named(count)), _m.owner == sa.bindparam("me"), sa.or_(*map(state_is, states))]


def _begin(count: int) -> sa.Update:
    now = {"state": sa.literal_column(f"'{State.SENDING.value}'"), "begun": _m.begun + sa.literal_column("1")}
    return sa.update(messages).where(*_mine(count, State.CLAIMED)).values(now)


def _begun(count: int) -> sa.Select[int]:
    return sa.select(_m.id).where(*_mine(count, State.SENDING))


def begin(connection: sa.Connection, me: str, ids: Sequence[int]) -> list[LeaseLost | None]:
    """Record that messages are handed over; for each that is not leased to `me` why it is not to be."""
    distinct = sorted(set(ids))
    if sum(result.rowcount for result in with_ids(connection, _begin, distinct, me=me)) == len(ids):
        return [None] * len(ids)
    begun = {id_ for result in with_ids(connection, _begun, distinct, me=me) for (id_,) in result}
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
        columns: what changes; the first one is `row`, its id.
        accepted: recipients that have it now.
    """

    id: int
    begun: int
    columns: dict[str, Any]
    accepted: int = 0


def _held(count: int) -> sa.Select[int]:
    held = sa.select(_m.id).where(*_mine(count, State.CLAIMED, State.SENDING)).order_by(_m.id)
    return sa.select(sa.func.count()).select_from(held.with_for_update(of=messages).subquery())


_LOCKED = (
    sa.select(_m.id, _m.state, _m.owner, _m.begun, _m.ended_at)
    .where(_m.id.in_(IDS))
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
    applied = {one.id: one for one in changes}
    results: list[LeaseLost | None] = [None] * len(changes)
    held = sum(count for result in with_ids(connection, _held, sorted(applied), me=me) for (count,) in result)
    if held < len(changes):  # some are another's, or on record already
        results = _looked_at(connection, me, changes, applied)
    change(connection, [one.columns for one in applied.values()])
    if accepted := sum(one.accepted for one in applied.values()):
        _count(connection, me, now, accepted)
    return results


def _looked_at(
    connection: sa.Connection, me: str, changes: Sequence[Change], applied: dict[int, Change]
) -> list[LeaseLost | None]:
    """What is to be said of each change; those that are not to be made are taken out of `applied`."""
    rows: dict[int, Fields] = {}
    for chunk in chunks(applied):
        rows.update({row["id"]: row for row in connection.execute(_LOCKED, {"ids": chunk}).mappings()})
    results: list[LeaseLost | None] = []
    applied.clear()
    for one in changes:
        row = rows.get(one.id)
        if row is None:
            results.append(lost())
            continue
        mine = row["owner"] == me and row["state"] in (State.CLAIMED, State.SENDING)
        late = one.accepted > 0 and row["state"] not in (State.SENDING, State.ACCEPTED)
        if mine or late:
            applied[one.id] = one
        known = mine or _forms.is_done(row, one.begun, one.columns)
        results.append(None if known else lost())
    return results


@cache
def _counted(dialect: str) -> Any:
    insert = insert_into(dialect, days)
    return insert.on_conflict_do_update(
        index_elements=["minute", "owner"], set_={"recipients": days.c.recipients + insert.excluded.recipients}
    )


def _count(connection: sa.Connection, me: str, now: float, recipients: int) -> None:
    row = {"minute": math.floor(now / 60), "owner": me, "recipients": recipients}
    each(connection, _counted(connection.dialect.name), [row])
