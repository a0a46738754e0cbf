"""
What a limiter tells: of each attempt, of pauses, and of what is learnt of the rate.

Makes the events, and knows who hears them. It must not know how a turn is waited for, nor why the rate is what it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from .._model.errors import printable, words_of
from .._model.events import Attempted, Learnt
from .._model.meaning import Meaning
from .gate import Admission
from .hooks import Hearing, tell
from .stops import Stops


class Telling:
    """
    Those who listen to one limiter.

    Args:
        stops: knows what is to be said of pauses.
        hooks: the limiter's own, which hear everything.
    """

    def __init__(self, stops: Stops, hooks: tuple[Hearing, ...]) -> None:
        self._stops = stops
        self.hooks = hooks
        self.listeners = hooks
        """Who hears of pauses and of what is learnt: the hooks, and those of the senders."""

    def listen(self, hooks: Sequence[Hearing]) -> Callable[[], None]:
        """Let more of them hear of pauses and of what is learnt; returns what ends it."""
        added = tuple(hook for hook in hooks if hook not in self.listeners)
        self.listeners += added

        def end() -> None:
            self.listeners = tuple(hook for hook in self.listeners if hook not in added)

        return end

    def attempt(self, admission: Admission, meant: Meaning, exc: BaseException | None) -> None:
        """Tell what became of an attempt, and in which words it was refused."""
        attempted = Attempted(
            key=admission.key,
            cost=admission.cost,
            outcome=meant.outcome,
            scope=meant.scope,
            admitted_at=admission.admitted_at,
            handed_over_at=meant.handed_over_at or admission.handed_over_at,
            settled_at=asyncio.get_running_loop().time(),
            waited=admission.admitted_at - admission.asked_at,
            reply="" if exc is None else printable(words_of(exc)),
            transport=admission.transport,
        )
        tell(self.hooks, attempted)
        tell((hook for hook in admission.hooks if hook not in self.hooks), attempted)

    def change(self, now: float, before: float | None, estimate: float | None, cause: str) -> None:
        """
        Say what has changed, to the log and to those who listen.

        Args:
            now: seconds of the event loop's clock.
            before: the estimate that was told last, recipients/s.
            estimate: what it is now.
            cause: why it may have changed: an outcome, or whose news it is.
        """
        for event in self._stops.changes(now):
            tell(self.listeners, event)
        if self.listeners and estimate != before:
            tell(self.listeners, Learnt(estimate, cause))
