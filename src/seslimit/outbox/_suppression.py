"""
Addresses that nothing is sent to, in the outbox's database.

Keeps them and finds them; why an address is here, and what follows from it, is decided by others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

import attrs
import sqlalchemy as sa

from . import _forms
from ._rows import MOST_AT_ONCE, chunks, insert_into
from ._schema import suppressed
from ._values import Suppressed

T = TypeVar("T")


class _Run(Protocol):
    def __call__(self, statement: Callable[[sa.Connection], T], /) -> Coroutine[Any, Any, T]: ...


@attrs.frozen
class Suppression:
    """The addresses, each in lower case; of an outbox, as `outbox.suppression`."""

    _read: _Run = attrs.field(repr=False)
    _write: _Run = attrs.field(repr=False)

    async def add(self, entries: Iterable[Suppressed]) -> None:
        """Keep addresses, durably; one that is there is replaced."""
        await self._write(partial(_suppress, entries=list(entries)))

    async def remove(self, addresses: Collection[str]) -> int:
        """Forget addresses; returns how many were there."""
        return await self._write(partial(_allow, addresses=addresses))

    async def find(self, addresses: Collection[str]) -> dict[str, Suppressed]:
        """Those of the addresses that nothing is sent to, by the address in lower case."""
        return await self._read(partial(_find, addresses=addresses))

    async def __aiter__(self) -> AsyncIterator[Suppressed]:
        after = ""
        while page := await self._read(partial(_page, after=after)):
            for entry in page:
                yield entry
            after = page[-1].address


def _suppress(connection: sa.Connection, entries: Sequence[Suppressed]) -> None:
    """Keep addresses; one that is there is replaced."""
    insert = insert_into(connection.dialect.name, suppressed)
    changed = {name: insert.excluded[name] for name in ("reason", "at", "detail")}
    rows = {entry.address: {**attrs.asdict(entry), "detail": _forms.kept_text(entry.detail)} for entry in entries}
    if rows:
        insert = insert.on_conflict_do_update(index_elements=["address"], set_=changed)
        connection.execute(insert, [rows[address] for address in sorted(rows)])


def _allow(connection: sa.Connection, addresses: Collection[str]) -> int:
    """Forget addresses; how many were there."""
    delete = sa.delete(suppressed).where(suppressed.c.address.in_(sa.bindparam("addresses", expanding=True)))
    forgotten = 0
    for chunk in chunks({address.lower() for address in addresses}):
        forgotten += connection.execute(delete, {"addresses": chunk}).rowcount
    return forgotten


def _find(connection: sa.Connection, addresses: Collection[str]) -> dict[str, Suppressed]:
    """Those of the addresses that nothing is sent to, in lower case."""
    select = sa.select(suppressed).where(suppressed.c.address.in_(sa.bindparam("addresses", expanding=True)))
    found = {}
    for chunk in chunks({address.lower() for address in addresses}):
        found.update({row.address: Suppressed(*row) for row in connection.execute(select, {"addresses": chunk})})
    return found


def _page(connection: sa.Connection, after: str) -> list[Suppressed]:
    """Some of the addresses, after one, in their order."""
    select = (
        sa.select(suppressed).where(suppressed.c.address > after).order_by(suppressed.c.address).limit(MOST_AT_ONCE)
    )
    return [Suppressed(*row) for row in connection.execute(select)]
