"""
Messages that are tried again, but not yet: each is kept with the moment before which it is not.

Holds no task and no place in flight: the event loop's heap of moments is the only thing that remembers when. What
becomes of a message then is its owner's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .outgoing import Outgoing


class Later:
    """The messages of one sender that wait out a backoff."""

    def __init__(self) -> None:
        self._timers: dict[Outgoing, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._timers)

    def put(self, outgoing: Outgoing, not_before: float, go: Callable[[Outgoing], object]) -> None:
        """Keep a message; `go` is called with it at `not_before`, in seconds of the event loop's clock."""
        self._timers[outgoing] = asyncio.get_running_loop().call_at(not_before, self._due, outgoing, go)

    def take_back(self, outgoing: Outgoing) -> None:
        """Forget a message, if it is here."""
        if timer := self._timers.pop(outgoing, None):
            timer.cancel()

    async def wait(self, outgoing: Outgoing, not_before: float) -> None:
        """Keep a message, and return when its moment has come."""
        come = asyncio.get_running_loop().create_future()
        self.put(outgoing, not_before, lambda _: come.set_result(None))
        try:
            await come
        finally:
            self.take_back(outgoing)

    def _due(self, outgoing: Outgoing, go: Callable[[Outgoing], object]) -> None:
        del self._timers[outgoing]
        go(outgoing)
