"""
Adding messages: each once, by its name, with each content once.

Invariants: all of an addition is there or nothing; what is there already is never changed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

import attrs
import sqlalchemy as sa

from .._model.journal import KeyReused
from . import _forms
from ._rows import MOST_AT_ONCE, chunks, each, insert_into
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
    for chunk in chunks(names):
        for name, mail_from, recipients, digest in connection.execute(_IDENTITY, {"names": chunk}):
            known[name] = (mail_from, recipients, bytes(digest))
    return known


_STATE = _IDENTITY.add_columns(_m.state)


def known(connection: sa.Connection, messages: Sequence[Prepared]) -> list[State | None]:
    """
    How far messages have come; None for one that is not there.

    Raises:
        KeyReused: one differs from what is there under its key.
    """
    found = {}
    for chunk in chunks({new.name for new in messages}):
        for name, mail_from, recipients, digest, state in connection.execute(_STATE, {"names": chunk}):
            found[name] = ((mail_from, recipients, bytes(digest)), State(state))
    for new in messages:
        if new.name in found and (refusal := _forms.differs(new, *found[new.name][0])):
            raise refusal
    return [found[new.name][1] if new.name in found else None for new in messages]


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


_INSERT = sa.insert(messages)


def _insert_messages(connection: sa.Connection, chosen: list[tuple[Addition, Prepared]]) -> None:
    stored = _insert_contents(connection, chosen)
    rows = [addition.row(new, stored[new.digest]) for addition, new in chosen]
    if connection.dialect.name == "sqlite":  # nobody else writes meanwhile
        each(connection, _INSERT, rows)
        return
    insert = insert_into("postgresql", messages).on_conflict_do_nothing(index_elements=["name"]).returning(_m.name)
    for begin in range(0, len(rows), MOST_AT_ONCE):
        some = rows[begin : begin + MOST_AT_ONCE]
        if len(connection.execute(insert, some).all()) != len(some):
            raise Overtaken


@cache
def _insert_content(dialect: str) -> Any:
    # One that is there is locked even where it is not changed, so that nobody takes it away for not being used.
    insert = insert_into(dialect, contents)
    return insert.on_conflict_do_update(
        index_elements=["digest"],
        set_={"used_at": insert.excluded.used_at},
        where=contents.c.used_at < insert.excluded.used_at - sa.literal_column(str(CONTENT_IN_USE / 2)),
    )


_STORED = sa.select(contents.c.digest, contents.c.id).where(
    contents.c.digest.in_(sa.bindparam("digests", expanding=True))
)


def _insert_contents(connection: sa.Connection, chosen: list[tuple[Addition, Prepared]]) -> dict[bytes, int]:
    distinct = {new.digest: (addition, new) for addition, new in chosen}
    rows = [
        {"digest": digest, "size": len(new.content), "used_at": addition.at, "content": new.content}
        for digest, (addition, new) in sorted(distinct.items())
    ]
    each(connection, _insert_content(connection.dialect.name), rows)
    stored = {}
    for chunk in chunks(list(distinct)):
        stored.update({bytes(digest): id_ for digest, id_ in connection.execute(_STORED, {"digests": chunk})})
    return stored


def add_within(connection: sa.Connection, addition: Addition) -> int:
    """Add messages inside the connection's transaction; see `Outbox.add`."""
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
        return added
