"""
Adding messages: each once, by its name, with each content once.

Invariants: all of an addition is there or nothing; what is there already is never changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from itertools import chain
from typing import Any

import attrs
import sqlalchemy as sa

from .._model.journal import KeyReused
from .._model.message import Message
from . import _forms
from ._rows import MOST_AT_ONCE, chunks, each, insert_into, marks, named, together, with_ids
from ._schema import contents, messages
from ._values import Prepared, State

CONTENT_IN_USE = 3600.0
"""Seconds that a content is kept after it was last added: longer than a transaction that adds messages may take."""

_m = messages.c


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

    def row(self, new: Prepared, content: int | bytes) -> dict[str, Any]:
        """A message's first row; `content` is the content's id, or its digest where that is looked up."""
        return {**_forms.first_columns(new, self.at, self.not_before, self.priority), "content": content}


class Overtaken(Exception):
    """Another transaction added one of the same messages meanwhile: what was read before is not true any more."""


@attrs.frozen
class Fresh:
    """
    A message that was added just now, as it is in the database.

    Args:
        id: its place in the queue.
        name: what it is known by.
        message: the message.
        at: when it was added, seconds since the epoch.
        priority: of two that are due, the one with the higher priority goes first.
        size: bytes of its content.
    """

    id: int
    name: str
    message: Message = attrs.field(repr=False)
    at: float
    priority: float
    size: int


@attrs.frozen
class Added:
    """
    What came of an addition.

    Args:
        new: how many of its messages were not there.
        fresh: those of them that are due at once, where their ids are known.
    """

    new: int
    fresh: list[Fresh] = attrs.field(factory=list, repr=False)


def _identity(count: int) -> Any:
    return (
        sa.select(_m.name, _m.mail_from, _m.recipients, contents.c.digest)
        .join(contents, contents.c.id == _m.content)
        .where(_m.name.in_(named(count, sa.Text)))
    )


def _known(connection: sa.Connection, names: Collection[str]) -> dict[str, tuple[str, str, bytes]]:
    rows: Iterable[Any] = chain.from_iterable(with_ids(connection, _identity, names))
    return {name: (mail_from, recipients, bytes(digest)) for name, mail_from, recipients, digest in rows}


def _states(count: int) -> Any:
    return _identity(count).add_columns(_m.state)


def known(connection: sa.Connection, messages: Sequence[Prepared]) -> list[State | None]:
    """
    How far messages have come; None for one that is not there.

    Raises:
        KeyReused: one differs from what is there under its key.
    """
    found = {}
    for result in with_ids(connection, _states, {new.name for new in messages}):
        for name, mail_from, recipients, digest, state in result:
            found[name] = ((mail_from, recipients, bytes(digest)), State(state))
    for new in messages:
        if new.name in found and (refusal := _forms.differs(new, *found[new.name][0])):
            raise refusal
    return [found[new.name][1] if new.name in found else None for new in messages]


def add(connection: sa.Connection, additions: Sequence[Addition]) -> list[Added | KeyReused]:
    """
    Add messages that are not there yet.

    Returns:
        for each addition what came of it, or why nothing of it was added.

    Raises:
        Overtaken: to be done again, in a new transaction.
    """
    known = _known(connection, {new.name for addition in additions for new in addition.messages})
    results: list[Added | KeyReused] = []
    chosen: dict[str, tuple[Addition, Prepared, Added]] = {}
    for addition in additions:
        fresh: dict[str, tuple[str, str, bytes]] = {}
        refusal = None
        for new in addition.messages:
            before = known.get(new.name) or fresh.get(new.name)
            if before is None:
                fresh[new.name] = (new.message.mail_from, new.recipients, new.digest)
            elif refusal := _forms.differs(new, *before):
                break
        added = Added(len(fresh))
        results.append(refusal or added)
        if refusal is None:
            known.update(fresh)
            chosen.update((new.name, (addition, new, added)) for new in addition.messages if new.name in fresh)
    if chosen:
        _insert_messages(connection, list(chosen.values()))
    return results


def _insert_messages(connection: sa.Connection, chosen: list[tuple[Addition, Prepared, Added]]) -> None:
    distinct = {new.digest: (addition, new) for addition, new, _ in chosen}
    found = [
        {"digest": digest, "size": len(new.content), "used_at": addition.at, "content": new.content}
        for digest, (addition, new) in sorted(distinct.items())
    ]
    if connection.dialect.name == "sqlite":  # nobody else writes meanwhile
        _insert_contents(connection, found)
        rows = [addition.row(new, new.digest) for addition, new, _ in chosen]
        ids = chain.from_iterable(map(_ids, together(connection, _messages_together, rows, counted=True)))
        for id_, (addition, new, added) in zip(ids, chosen, strict=True):
            if addition.not_before == 0.0 and isinstance(new.message.content, bytes):
                added.fresh.append(_fresh(id_, new, addition))
        return
    each(connection, _insert_content(), found)
    stored = {}
    for chunk in chunks(list(distinct)):
        stored.update({bytes(digest): id_ for digest, id_ in connection.execute(_STORED, {"digests": chunk})})
    rows = [addition.row(new, stored[new.digest]) for addition, new, _ in chosen]
    insert = insert_into("postgresql", messages).on_conflict_do_nothing(index_elements=["name"]).returning(_m.name)
    for begin in range(0, len(rows), MOST_AT_ONCE):
        some = rows[begin : begin + MOST_AT_ONCE]
        if len(connection.execute(insert, some).all()) != len(some):
            raise Overtaken


def _fresh(id_: int, new: Prepared, addition: Addition) -> Fresh:
    return Fresh(id_, new.name, new.message, addition.at, addition.priority, len(new.content))


# SQLite: all in one statement, and the content's id is looked up there

SMALL = 32 * 1024
"""Bytes of a content that goes together with others: the driver copies all that one statement has."""


def _insert_contents(connection: sa.Connection, found: list[dict[str, Any]]) -> None:
    if small := [row for row in found if row["size"] <= SMALL]:
        together(connection, _contents_together, small)
    for row in found:
        if row["size"] > SMALL:
            together(connection, _contents_together, [row])


_REFRESHED = f"used_at < excluded.used_at - {CONTENT_IN_USE / 2}"
"""Whether a content that is there is to be noted as used."""


@cache
def _contents_together(columns: tuple[str, ...], rows: int) -> str:
    return (
        f"INSERT INTO {contents.name} ({', '.join(columns)}) VALUES {marks(len(columns), rows)} "  # noqa: S608
        f"ON CONFLICT (digest) DO UPDATE SET used_at = excluded.used_at WHERE {_REFRESHED}"
    )


@cache
def _messages_together(columns: tuple[str, ...], rows: int) -> str:
    *kept, digest = [f"given.column{number}" for number in range(1, len(columns) + 1)]
    return (
        f"INSERT INTO {messages.name} ({', '.join(columns)}) SELECT {', '.join(kept)}, stored.id "  # noqa: S608
        f"FROM (VALUES {marks(len(columns), rows)}) AS given CROSS JOIN {contents.name} AS stored "
        f"WHERE stored.digest = {digest} LIMIT ?"
    )


def _ids(inserted: sqlite3.Cursor) -> range:
    """The ids of rows that one statement has inserted: numbers that follow each other, since one at a time writes."""
    last = inserted.lastrowid or 0
    return range(last - inserted.rowcount + 1, last + 1)


# PostgreSQL


@cache
def _insert_content() -> Any:
    # One that is there is locked even where it is not changed, so that nobody takes it away for not being used.
    insert = insert_into("postgresql", contents)
    return insert.on_conflict_do_update(
        index_elements=["digest"],
        set_={"used_at": insert.excluded.used_at},
        where=contents.c.used_at < insert.excluded.used_at - sa.literal_column(str(CONTENT_IN_USE / 2)),
    )


_STORED = sa.select(contents.c.digest, contents.c.id).where(
    contents.c.digest.in_(sa.bindparam("digests", expanding=True))
)


def add_within(connection: sa.Connection, addition: Addition) -> int:
    """Add messages inside the connection's transaction, which begins where there is none; see `Outbox.add`."""
    if not connection.in_transaction():
        connection.begin()  # what goes to the driver as it is begins none by itself
    while True:
        try:
            if connection.dialect.name == "postgresql":
                with connection.begin_nested():
                    (added,) = add(connection, [addition])
            else:
                (added,) = add(connection, [addition])
        except Overtaken:
            continue
        if isinstance(added, KeyReused):
            raise added
        return added.new
