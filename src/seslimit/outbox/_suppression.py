"""
Addresses that nothing is sent to, in the outbox's database.

Keeps them and finds them; why an address is here, and what follows from it, is decided by others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable
from functools import partial
from typing import Any, Protocol, TypeVar

import attrs
import sqlalchemy as sa

from . import _statements
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
        await self._write(partial(_statements.suppress, entries=list(entries)))

    async def remove(self, addresses: Collection[str]) -> int:
        """Forget addresses; returns how many were there."""
        return await self._write(partial(_statements.allow, addresses=addresses))

    async def find(self, addresses: Collection[str]) -> dict[str, Suppressed]:
        """Those of the addresses that nothing is sent to, by the address in lower case."""
        return await self._read(partial(_statements.find_suppressed, addresses=addresses))

    async def __aiter__(self) -> AsyncIterator[Suppressed]:
        after = ""
        while page := await self._read(partial(_statements.page_suppressed, after=after)):
            for entry in page:
                yield entry
            after = page[-1].address
