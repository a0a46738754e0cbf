"""What is open for as long as an `async with` block lasts: doors, stores, servers."""

from __future__ import annotations

import abc
from types import TracebackType
from typing import Self


class WithBlock(abc.ABC):
    """Opened on entry of an `async with` block, and closed at its end."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    @abc.abstractmethod
    async def open(self) -> None:
        """Begin; what it raises, entering the block raises."""

    @abc.abstractmethod
    async def aclose(self) -> None:
        """End, and give back what is held."""
