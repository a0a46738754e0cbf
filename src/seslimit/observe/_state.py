"""
What a sender is doing now, for whoever asks: in its event loop, or in a thread that collects metrics.

Invariant: another thread never waits for long, and never touches what belongs to the event loop.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Protocol

import attrs

from .._model.events import State

PATIENCE = 1.0
"""Seconds that another thread waits for the event loop to tell."""


class HasState(Protocol):
    """A sender, a limiter, a relay: whatever tells what it is doing."""

    def state(self) -> State:
        """What is going on now, as a value."""
        ...


@attrs.define(eq=False)
class StateSource:
    """Asks one sender or limiter, once there is one."""

    loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, init=False)
    """The event loop that the sender belongs to; None while it is not known."""
    _source: HasState | None = attrs.field(default=None, init=False)
    _last: State | None = attrs.field(default=None, init=False)

    def watch(self, source: HasState) -> None:
        """Ask this one from now on."""
        self._source = source
        self.loop = self.loop or _running()

    def here(self) -> State | None:
        """What is going on now; None where nothing is watched. For the event loop's own thread."""
        if self._source is not None:
            self._last = self._source.state()
        return self._last

    def from_anywhere(self) -> State | None:
        """As `here`, for any thread; what was last known where the event loop is closed or stands still."""
        running = _running()
        if running is not None and self.loop in (None, running):
            return self.here()
        if self.loop is None or self.loop.is_closed() or self._source is None:
            return self._last
        answered = threading.Event()

        def answer() -> None:
            self.here()
            answered.set()

        try:
            self.loop.call_soon_threadsafe(answer)
        except RuntimeError:  # it was closed in the meantime
            return self._last
        if self.loop.is_running():
            answered.wait(PATIENCE)
        return self._last


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
