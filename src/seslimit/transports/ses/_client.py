"""
One client for all attempts, made when the first of them needs it, and made again when its credentials have ended.

It must not know what the client is, only how one is opened.

Invariants: however many tasks ask at once, one client is made; one that is replaced is closed after its last user left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Generic, TypeVar

import attrs

C = TypeVar("C")


@attrs.define(eq=False)
class Opened(Generic[C]):
    """A client that is open, and how many attempts use it."""

    client: C
    stack: AsyncExitStack
    users: int = 0
    replaced: bool = False

    async def leave(self) -> None:
        """Stop using it."""
        self.users -= 1
        if self.replaced and not self.users:
            await self.stack.aclose()


class SharedClient(Generic[C]):
    """
    The client that all attempts share.

    Args:
        opening: makes a new client, with credentials that are looked up anew.
    """

    def __init__(self, opening: Callable[[], AbstractAsyncContextManager[C]]) -> None:
        self._opening = opening
        self._lock = asyncio.Lock()
        self._current: Opened[C] | None = None

    async def opened(self) -> Opened[C]:
        """The client; `leave` it afterwards."""
        if self._current is None:
            async with self._lock:
                if self._current is None:
                    self._current = await self._open()
        self._current.users += 1
        return self._current

    async def renewed(self, ended: Opened[C]) -> Opened[C]:
        """A client that is newer than `ended`; `leave` it afterwards."""
        async with self._lock:
            if self._current is ended:
                self._current = await self._open()
                ended.replaced = True
                ended.users += 1
                await ended.leave()
        return await self.opened()

    async def aclose(self) -> None:
        """Close the client."""
        current, self._current = self._current, None
        if current is not None:
            await current.stack.aclose()

    async def _open(self) -> Opened[C]:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(self._opening())
            return Opened(client, stack.pop_all())
