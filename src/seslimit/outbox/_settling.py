"""
One attempt: that it begins, and what became of it.

Invariants: a message changes its state only from one that was looked at in the same transaction and under its lock; a
message that another holds is never changed, but for an acceptance that comes late.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import attrs
import sqlalchemy as sa

from .._model.journal import LeaseLost
from . import _forms
from ._rows import IDS, Fields, change, chunks, insert_into
from ._schema import days, messages, state_is
from ._values import State

_m = messages.c

_BEGIN = (
    sa.update(messages)
    .where(_m.id.in_(IDS), _m.owner == sa.bindparam("me"), state_is(State.CLAIMED))
    .values(state=State.SENDING.value, begun=_m.begun + 1)
    .returning(_m.id)
)

_BEGUN = sa.select(_m.id).where(_m.id.in_(IDS), _m.owner == sa.bindparam("me"), state_is(State.SENDING))


def begin(connection: sa.Connection, me: str, ids: Sequence[int]) -> list[LeaseLost | None]:
    """Record that messages are handed over; for each that is not leased to `me` why it is not to be."""
    begun: set[int] = set()
    for statement in (_BEGIN, _BEGUN):
        for chunk in chunks([id_ for id_ in ids if id_ not in begun]):
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
    rows: dict[int, Fields] = {}
    for chunk in chunks([each.id for each in changes]):
        rows.update({row["id"]: row for row in connection.execute(_LOCKED, {"ids": chunk}).mappings()})
    results: list[LeaseLost | None] = []
    applied: dict[int, Change] = {}
    for each in changes:
        row = rows.get(each.id)
        if row is None:
            results.append(lost())
            continue
        mine = row["owner"] == me and row["state"] in (State.CLAIMED, State.SENDING)
        late = each.accepted > 0 and row["state"] not in (State.SENDING, State.ACCEPTED)
        if mine or late:
            applied[each.id] = each
        known = mine or _forms.is_done(row, each.begun, each.columns)
        results.append(None if known else lost())
    change(connection, [{"row": each.id, **each.columns} for each in applied.values()])
    if accepted := sum(each.accepted for each in applied.values()):
        _count(connection, me, now, accepted)
    return results


def _count(connection: sa.Connection, me: str, now: float, recipients: int) -> None:
    insert = insert_into(connection.dialect.name, days)
    insert = insert.on_conflict_do_update(
        index_elements=["minute", "owner"], set_={"recipients": days.c.recipients + insert.excluded.recipients}
    )
    connection.execute(insert, {"minute": math.floor(now / 60), "owner": me, "recipients": recipients})
