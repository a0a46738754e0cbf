"""
What an outbox tells of itself: rows and counts, each from an index, in portions; and which messages a filter means.

Changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from . import _forms
from ._rows import MOST_AT_ONCE, Fields, chunks
from ._schema import days, feedback, messages, state_is
from ._values import Count, Feedback, Filter, State, Status

_m = messages.c


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
    for chunk in chunks(message_ids):
        rows.extend(connection.execute(select, {"ids": chunk}))
    return rows


def status(connection: sa.Connection, day_ago: float) -> Status:
    """How much there is of everything; the day began at `day_ago`."""
    return Status(
        counts(connection),
        oldest(connection),
        next_due(connection),
        sum(recipients for _, recipients in used_by_minute(connection, day_ago)),
    )


def page_heard(
    connection: sa.Connection, wanted: Filter, after: int
) -> list[tuple[Fields, dict[tuple[str, str], list[Feedback]]]]:
    """Some of the messages that are meant, each with what was heard of those on this page."""
    rows = page(connection, wanted, after)
    known: dict[tuple[str, str], list[Feedback]] = {}
    for each in heard(connection, {row["message_id"] for row in rows if row["message_id"]}):
        known.setdefault((each.message_id, each.recipient), []).append(Feedback(each.kind, each.at, each.detail))
    return [(row, known) for row in rows]
