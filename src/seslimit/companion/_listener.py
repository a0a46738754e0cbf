"""Who hears what happens in a companion, as `Sender(hooks=…)` takes it."""

from __future__ import annotations

from typing import Protocol

from seslimit import Event


class Listener(Protocol):
    """A hook that hears every event."""

    def on_event(self, event: Event, /) -> object:
        """Hear one event; it returns at once."""
        ...
