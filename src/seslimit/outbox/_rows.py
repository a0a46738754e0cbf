"""
What the statements of an outbox have in common: lists of a few lengths, inserts that meet what is there, and changes.

What is done for every message is made ready once, and goes to the driver as it is: to look at each value again, as
`Connection.execute` does, costs more than the database. On SQLite it is one statement for many rows, in one step: the
driver lets go of the interpreter for each step, so that with a row at a time it would wait as often for the loop.

Works on many rows at once, since what costs is the statement and the commit. It must not know what they mean.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Any, TypeAlias, cast

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
        yield chunk + chunk[-1:] * (_power_of_two(len(chunk)) - len(chunk))


@cache
def insert_into(dialect: str, table: sa.Table) -> Any:
    """The insert of a database that can say what happens to rows that are there already."""
    return (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table)


def named(count: int, kind: type[sa.types.TypeEngine[Any]] = sa.BigInteger) -> Any:
    """
    What a statement names so many ids by, or what else is of a kind, for `with_ids` to fill.

    With a count of 0 it is one parameter for however many, a JSON array, as SQLite takes it.
    """
    if count == 0:
        return sa.text("SELECT value FROM json_each(:ids)")
    return [sa.bindparam(f"id_{number}", type_=kind) for number in range(count)]


def with_ids(connection: sa.Connection, statement: Callable[[int], Any], ids: Collection[Any], **values: Any) -> Any:
    """
    Execute a statement that names ids, as often as it takes for all of them.

    Args:
        connection: to the database.
        statement: makes it for so many ids; a function that is always the same object.
        ids: the ids; some are named twice, to make up one of a few lengths.
        values: its other parameters.

    Returns:
        a list of results, each with its rows and its `rowcount`.
    """
    if not ids:
        return []
    if connection.dialect.name == "sqlite":
        ready = _ready(statement, 0, tuple(values), connection.dialect)
        return [_driver(connection).execute(ready.text, ready.values({"ids": json.dumps(list(ids))} | values))]
    results = []
    for some in chunks(ids):
        ready = _ready(statement, len(some), tuple(values), connection.dialect)
        given = {f"id_{number}": id_ for number, id_ in enumerate(some)} | values
        results.append(connection.exec_driver_sql(ready.text, ready.values(given)))
    return results


def _driver(connection: sa.Connection) -> sqlite3.Connection:
    """
    What runs the statements of every message on SQLite, inside the connection's transaction.

    It is what SQLAlchemy itself works on: a connection of aiosqlite's is not to be spoken to without its adapter.
    """
    return cast("sqlite3.Connection", connection.connection.dbapi_connection)


def each(connection: sa.Connection, statement: Any, rows: Sequence[Fields]) -> None:
    """
    Execute a statement with each row.

    Args:
        connection: to the database.
        statement: one that is always the same object.
        rows: all with the same columns.
    """
    ready = _ready(statement, 1, tuple(rows[0]), connection.dialect)
    if connection.dialect.name == "sqlite":
        _driver(connection).cursor().executemany(ready.text, list(map(ready.values, rows)))
        return
    for begin in range(0, len(rows), MOST_AT_ONCE):
        connection.exec_driver_sql(ready.text, list(map(ready.values, rows[begin : begin + MOST_AT_ONCE])))


def together(
    connection: sa.Connection,
    text: Callable[[tuple[str, ...], int], str],
    rows: Sequence[Fields],
    *,
    counted: bool = False,
) -> list[sqlite3.Cursor]:
    """
    Execute a statement of SQLite that has the values of many rows in it, as often as it takes for all of them.

    Args:
        connection: to the database.
        text: makes it for the columns, and so many rows; always the same object for the same.
        rows: all with the same columns, in order; the last one is given more than once, to make up a few lengths.
        counted: whether the statement is told, as its last parameter, how many of its rows are meant.
    """
    columns = tuple(rows[0])
    values = itemgetter(*columns)
    driver = _driver(connection)
    results = []
    for begin in range(0, len(rows), MOST_AT_ONCE):
        some = list(map(values, rows[begin : begin + MOST_AT_ONCE]))
        count = len(some)
        some += some[-1:] * (_power_of_two(count) - count)
        given = chain.from_iterable(some)
        last = (count,) if counted else ()
        results.append(driver.execute(text(columns, len(some)), (*given, *last)))
    return results


def _power_of_two(number: int) -> int:
    """The smallest that is not below the number: a few statements serve all."""
    return 1 << (number - 1).bit_length()


def marks(columns: int, rows: int) -> str:
    """The places of so many rows in a statement of SQLite."""
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)


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


@cache
def _changes(columns: tuple[str, ...], rows: int) -> str:
    # SQLite names the columns of VALUES column1, column2, and so on; the first is the row's id.
    sets = ", ".join(f"{name} = given.column{number}" for number, name in enumerate(columns[1:], 2))
    given = f"(VALUES {marks(len(columns), rows)}) AS given"
    return f"UPDATE {messages.name} SET {sets} FROM {given} WHERE id = given.column1"  # noqa: S608


def change(connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
    """Change messages by their ids, which each row begins with; rows that change the same columns go together."""
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=itemgetter("row")):
        by_columns.setdefault(tuple(row), []).append(row)
    for alike in by_columns.values():
        if connection.dialect.name == "sqlite":
            together(connection, _changes, alike)
        else:
            each(connection, _CHANGE, alike)
