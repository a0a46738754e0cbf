"""
What there is to see of one program that sends: its counts, its state, its last minutes and its day.

Decides what the live page and `/health` are told. It must not know HTTP, nor how anything is drawn.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable
from typing import Any

import attrs

from .._model.errors import printable
from .._model.events import Event, Reason, State
from .._model.outcome import Outcome
from .._model.quota import SendQuota
from ._counts import Counts, Named
from ._state import HasState, StateSource
from ._timeline import Second, Timeline

NOW = 3
"""Seconds that "the rate now" is taken over."""


class Observer:
    """
    Watches one program that sends; a hook, for `Sender(hooks=[observer])`, and what `serve` shows.

    Args:
        title: what is done, in a few words, for the page.
        counts: what it counts in; its own when left out.
    """

    def __init__(self, title: str = "seslimit", *, counts: Counts | None = None) -> None:
        self.title = printable(title)
        self.counts = counts or Counts()
        self.timeline = Timeline()
        self.total: Callable[[], int | None] = lambda: None
        """Tells how many messages there are in all; None while that is not known."""
        self.queue: Callable[[], int] = lambda: 0
        """Tells how many messages wait elsewhere, as in an outbox, beside those that the sender holds."""
        self._state = StateSource()
        self._run = os.urandom(8).hex()
        self._began_at = time.time()
        self._quota: SendQuota | None = None
        self._recipients_at_quota = 0.0

    def watch(self, source: HasState) -> None:
        """Ask this sender, limiter or companion what it is doing, from now on."""
        self._state.watch(source)

    def on_event(self, event: Event) -> None:
        """Hear one event of a sender or a limiter."""
        if self._state.loop is None:
            self._state.loop = asyncio.get_running_loop()
        self.counts.on_event(event)

    async def on_feedback(self, event: Named) -> None:
        """Hear one event of `seslimit.feedback`: for `Feed(hooks=[observer.on_feedback])`."""
        self.counts.on_feedback(event)

    def state(self) -> State | None:
        """What is going on now; None where nothing is watched. For the event loop's thread."""
        return self._with_queue(self._state.here())

    def state_from_anywhere(self) -> State | None:
        """As `state`, for any thread."""
        return self._with_queue(self._state.from_anywhere())

    def note(self) -> None:
        """Take down the last second; whoever shows the last minutes calls it once a second."""
        state = self.state()
        if state is not None and state.quota is not self._quota:
            self._quota, self._recipients_at_quota = state.quota, self.counts.recipients
        self.timeline.note(time.time(), self.counts, state)

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether it can send, or will by itself, and what there is to say of it."""
        state = self.state()
        reason = state.paused.reason if state is not None and state.paused else None
        well = reason != Reason.ACCOUNT_BLOCKED
        return well, {
            "status": str(reason or "ok"),
            "rate": None if state is None else _number(state.rate),
            "paused": reason,
            "waiting": None if state is None else state.waiting + state.later,
        }

    def figures(self, after: int, now: float) -> dict[str, Any]:
        """
        All that the page shows, as JSON has it.

        Args:
            after: the number of the last second that is known already; 0 for none.
            now: seconds of the event loop's clock.
        """
        counts = self.counts
        return {
            "run": self._run,
            "title": self.title,
            "now": round(time.time(), 3),
            "began": round(self._began_at, 3),
            "total": self.total(),
            "ended": counts.ended,
            "recipients": round(counts.recipients, 3),
            "rate": round(self._rate_now(), 3),
            "throttles": counts.throttles,
            "messages": {outcome.value: count for outcome, count in counts.messages.items() if count},
            "attempts": {outcome.value: count for outcome, count in counts.attempts.items() if count},
            "feedback": {kind: count for kind, count in counts.feedback.items() if count},
            "failed": counts.messages[Outcome.PERMANENT] + counts.messages[Outcome.TRANSIENT],
            "unknown": counts.messages[Outcome.UNKNOWN],
            "state": _state(self.state(), now),
            "quota": self._day(),
            "seconds": [_row(second) for second in self.timeline.after(after)],
        }

    def _with_queue(self, state: State | None) -> State | None:
        waiting = self.queue()
        return attrs.evolve(state, later=state.later + waiting) if state is not None and waiting else state

    def _rate_now(self) -> float:
        last = self.timeline.after(0)[-NOW:]
        return sum(second.accepted for second in last) / len(last) if last else 0.0

    def _day(self) -> dict[str, Any] | None:
        """The daily quota and what of it is used: the service's figure lags, so what was accepted since is added."""
        quota = self._quota
        if quota is None:
            return None
        sent = quota.sent_last_24_hours + self.counts.recipients - self._recipients_at_quota
        limit = None if quota.max_24_hour_send < 0 else quota.max_24_hour_send
        return {"limit": limit, "sent": round(sent), "rate": quota.max_send_rate}


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 3)


def _state(state: State | None, now: float) -> dict[str, Any] | None:
    if state is None:
        return None
    until = state.paused.until if state.paused else None
    return {
        "rate": _number(state.rate),
        "estimate": _number(state.estimate),
        "waiting": state.waiting,
        "later": state.later,
        "in_flight": state.in_flight,
        "paused": printable(state.paused.reason) if state.paused else None,
        "resumes_in": None if until is None else _number(max(0.0, until - now)),
    }


def _row(second: Second) -> list[float | None]:
    return [
        second.number,
        round(second.at, 2),
        round(second.accepted, 2),
        _number(second.rate),
        _number(second.estimate),
        second.throttles,
        second.queue,
        second.in_flight,
    ]
