"""
What is done by hand, or by the calendar: retry, cancel, forget; and what is heard of recipients afterwards.

In portions, each in a transaction of its own, so that sending goes on beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from ._looking import where
from ._rows import MOST_AT_ONCE, Fields, chunks, insert_into
from ._schema import END_WORDS, contents, days, feedback, messages
from ._values import Filter, State

_m = messages.c


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
    for chunk in chunks(ids):
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


def hear(connection: sa.Connection, rows: Sequence[Fields]) -> list[None]:
    """Keep feedback; what was heard before is not changed."""
    connection.execute(insert_into(connection.dialect.name, feedback).on_conflict_do_nothing(), list(rows))
    return [None] * len(rows)
