"""
What the statements of an outbox have in common: lists of a few lengths, inserts that meet what is there, and changes.

What is done for every message is made ready once, and goes to the driver as it is: to look at each value again, as
`Connection.execute` does, costs more than the database.

Works on many rows at once, since what costs is the statement and the commit. It must not know what they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, TypeAlias

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ._schema import messages

Fields: TypeAlias = Mapping[Any, Any]
"""A row, by its columns' names."""

MOST_AT_ONCE = 512
"""Rows that one statement names: fewer than any database has parameters for."""

IDS: sa.BindParameter[int] = sa.bindparam("ids", expanding=True)
"""The ids that a statement names."""


def chunks(values: Collection[Any]) -> Iterable[list[Any]]:
    """The values in lists whose length is a power of two, the last one repeated: a few statements serve all."""
    listed = list(values)
    for begin in range(0, len(listed), MOST_AT_ONCE):
        chunk = listed[begin : begin + MOST_AT_ONCE]
        yield chunk + chunk[-1:] * ((1 << (len(chunk) - 1).bit_length()) - len(chunk))


@cache
def insert_into(dialect: str, table: sa.Table) -> Any:
    """The insert of a database that can say what happens to rows that are there already."""
    return (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table)


def named(count: int) -> list[sa.BindParameter[int]]:
    """The parameters of a statement that names so many ids: those that `with_ids` fills."""
    return [sa.bindparam(f"id_{number}", type_=sa.BigInteger) for number in range(count)]


def with_ids(
    connection: sa.Connection, statement: Callable[[int], Any], ids: Collection[int], **values: Any
) -> list[sa.CursorResult[Any]]:
    """
    Execute a statement that names ids, as often as it takes for all of them.

    Args:
        connection: to the database.
        statement: makes it for so many ids; a function that is always the same object.
        ids: the ids; some are named twice, to make up one of a few lengths.
        values: its other parameters.
    """
    results = []
    for some in chunks(ids):
        ready = _ready(statement, len(some), tuple(values), connection.dialect)
        given = {f"id_{number}": id_ for number, id_ in enumerate(some)} | values
        results.append(connection.exec_driver_sql(ready.text, ready.values(given)))
    return results


def each(connection: sa.Connection, statement: Any, rows: Sequence[Fields]) -> None:
    """
    Execute a statement with each row.

    Args:
        connection: to the database.
        statement: one that is always the same object.
        rows: all with the same columns.
    """
    ready = _ready(statement, 1, tuple(rows[0]), connection.dialect)
    for begin in range(0, len(rows), MOST_AT_ONCE):
        connection.exec_driver_sql(ready.text, list(map(ready.values, rows[begin : begin + MOST_AT_ONCE])))


@attrs.frozen
class _Ready:
    """A statement as the driver takes it, and what picks its values out of a row."""

    text: str
    values: Callable[[Fields], Any]


_MADE: dict[tuple[Any, int, tuple[str, ...], type[sa.Dialect]], _Ready] = {}


def _ready(statement: Any, size: int, columns: tuple[str, ...], dialect: sa.Dialect) -> _Ready:
    key = (statement, size, columns, type(dialect))
    if (made := _MADE.get(key)) is None:
        if callable(statement):
            sized: Any = statement(size)
            compiled = sized.compile(dialect=dialect)
        else:
            compiled = statement.compile(dialect=dialect, column_keys=columns)
        order = compiled.positiontup
        made = _Ready(str(compiled), dict if order is None else _picked(order))
        _MADE[key] = made
    return made


def _picked(order: list[str]) -> Callable[[Fields], tuple[Any, ...]]:
    return itemgetter(*order) if len(order) > 1 else lambda row: (row[order[0]],)


_CHANGE = sa.update(messages).where(messages.c.id == sa.bindparam("row"))


def change(connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
    """Change messages by their ids; rows that change the same columns go together."""
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=itemgetter("row")):
        by_columns.setdefault(tuple(row), []).append(row)
    for alike in by_columns.values():
        each(connection, _CHANGE, alike)
