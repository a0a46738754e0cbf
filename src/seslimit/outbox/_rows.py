"""
What the statements of an outbox have in common: lists of a few lengths, inserts that meet what is there, and changes.

Works on many rows at once, since what costs is the statement and the commit. It must not know what they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ._schema import messages

Fields: TypeAlias = Mapping[Any, Any]
"""A row, by its columns' names."""

MOST_AT_ONCE = 500
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


def each(connection: sa.Connection, statement: Any, rows: Sequence[Fields]) -> None:
    """
    Execute a statement with each row, as `execute` does that has a look at each value of each row.

    Args:
        connection: to the database.
        statement: one that is always the same object, since it is made ready once.
        rows: all with the same columns.
    """
    text, values = _ready(statement, tuple(rows[0]), connection.dialect)
    for begin in range(0, len(rows), MOST_AT_ONCE):
        connection.exec_driver_sql(text, [values(row) for row in rows[begin : begin + MOST_AT_ONCE]])


@cache
def _ready(statement: Any, columns: tuple[str, ...], dialect: sa.Dialect) -> tuple[str, Callable[[Fields], Any]]:
    """The statement as the driver takes it, and what picks its values out of a row."""
    compiled = statement.compile(dialect=dialect, column_keys=columns)
    return str(compiled), itemgetter(*compiled.positiontup)


_CHANGE = sa.update(messages).where(messages.c.id == sa.bindparam("row"))


def change(connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
    """Change messages by their ids; rows that change the same columns go together."""
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=itemgetter("row")):
        by_columns.setdefault(tuple(row), []).append(row)
    for alike in by_columns.values():
        each(connection, _CHANGE, alike)
