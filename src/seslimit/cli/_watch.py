"""
Looks at a run while it goes on, and shows it: a live view on a terminal, a plain line now and then elsewhere.

Decides how often. What a look shows is in `_view`. It must not change anything: it reads counts and the limiter, and
whatever goes wrong with showing them ends the view and nothing else.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

import attrs
from rich.console import Console
from rich.live import Live

from .._model.events import State
from .._model.quota import SendQuota
from .._pacing.limiter import Limiter
from ._chart import Course
from ._forecast import forecast
from ._tally import Tally
from ._view import Snapshot, live_view, plain_line

TICK = 0.25
"""Seconds between two looks."""

NOW = 2.0
"""Seconds that "the rate now" is taken over."""

RECKONED = 5.0
"""Seconds for which a forecast holds."""

GONE = (OSError, ValueError)
"""A terminal that went away, a pipe that nobody reads, a full disk, an encoding without bars: the end of the view, and
of nothing else."""


class Watch:
    """
    Looks at a run until it ends; use it as an asynchronous context manager.

    Args:
        title: what is done, in a few words.
        tally: its counts.
        limiter: its limiter; None for a run without one.
        console: where to show it.
        line_every: seconds between plain lines, in the first minute.
    """

    def __init__(
        self, title: str, tally: Tally, limiter: Limiter | None, console: Console, *, line_every: float = 5.0
    ) -> None:
        self.phase: str | None = None
        """What is going on other than sending, in a few words."""
        self.used: Sequence[tuple[float, float]] = ()
        """When, in seconds since the epoch, how many recipients were accepted before this run, as far as is known."""
        self._forecast = ""
        self._reckon_at = 0.0
        self._title = title
        self._tally = tally
        self._limiter = limiter
        self._console = console
        self._line_every = line_every
        self._quota: SendQuota | None = None
        self._recipients_at_quota = 0  # accepted here when the service's figures were heard
        self._began_at = asyncio.get_running_loop().time()
        self._next_line = self._began_at + line_every
        self.course = Course(self._began_at)
        self._recent: deque[tuple[float, int]] = deque([(self._began_at, 0)], maxlen=round(NOW / TICK) + 1)
        self._live = Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._ticker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Watch:
        if self._is_live:
            with suppress(*GONE):
                self._live.start()
        self._ticker = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            with suppress(asyncio.CancelledError, *GONE):
                await self._ticker
        self.phase = self.phase or self._ending()
        with suppress(*GONE):
            if self._is_live:
                self._look()
                self._live.stop()

    def say(self, sentence: str) -> None:
        """Show a sentence above the view, or between its lines."""
        with suppress(*GONE):
            self._console.print(sentence, highlight=False, soft_wrap=True, markup=False)

    def elapsed(self) -> float:
        """Seconds since the run began."""
        return asyncio.get_running_loop().time() - self._began_at

    @property
    def _is_live(self) -> bool:
        # A dumb terminal cannot move its cursor: it is given lines, as a file is.
        return self._console.is_terminal and not self._console.is_dumb_terminal

    def _ending(self) -> str:
        remaining = self._tally.remaining
        return f"stopped, {remaining:,} {'remains' if remaining == 1 else 'remain'}" if remaining else "done"

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self._look()

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        estimate = self._limiter.estimate if self._limiter else None
        self.course.note(now, self._tally.recipients, self._tally.throttled, estimate)
        self._recent.append((now, self._tally.recipients))
        if self._limiter is not None and self._limiter.quota is not self._quota:
            self._quota, self._recipients_at_quota = self._limiter.quota, self._tally.recipients
        if self._is_live:
            self._live.update(live_view(self._snapshot(now), self.course, self._console.width), refresh=True)
        elif now >= self._next_line:
            # From now on, not from when it was due: a program that stood still has nothing to make up for.
            self._next_line = now + (self._line_every if now - self._began_at < 60 else 6 * self._line_every)
            self._console.print(plain_line(self._snapshot(now)), highlight=False, soft_wrap=True, markup=False)

    def _snapshot(self, now: float) -> Snapshot:
        (begin, before), (end, after) = self._recent[0], self._recent[-1]
        look = Snapshot(
            title=self._title,
            elapsed=now - self._began_at,
            tally=self._tally,
            rate=(after - before) / (end - begin) if end > begin else 0.0,
            in_flight=self._tally.in_flight,
            phase=self.phase,
        )
        return look if self._limiter is None else self._with_state(look, self._limiter.state(), now)

    def _with_state(self, look: Snapshot, state: State, now: float) -> Snapshot:
        left_today = math.inf
        if state.quota is not None:
            left_today = max(0.0, state.quota.remaining - (self._tally.recipients - self._recipients_at_quota))
        until = state.paused.until if state.paused else None
        look = attrs.evolve(
            look,
            estimate=state.estimate,
            in_flight=state.in_flight,
            paused=str(state.paused.reason) if state.paused else None,
            resumes_in=None if until is None else max(0.0, until - now),
            left_today=left_today,
            each_day=state.quota.max_24_hour_send if state.quota else math.inf,
        )
        return attrs.evolve(look, forecast=self._forecasted(look, state.quota, now))

    def _forecasted(self, look: Snapshot, quota: SendQuota | None, now: float) -> str:
        """When a list that does not fit into the day will be done; reckoned now and then."""
        total = self._tally.total_recipients
        left = 0 if total is None else total - self._tally.ended_recipients
        if quota is None or left <= look.left_today:
            return ""
        if now >= self._reckon_at:
            self._reckon_at = now + RECKONED
            at, here = time.time(), self._tally.recipients
            fresh = attrs.evolve(quota, sent_last_24_hours=quota.max_24_hour_send - look.left_today)
            pace = max(look.rate, quota.max_send_rate)
            self._forecast = forecast(at, left, pace, fresh, [*self.used, (at - look.elapsed / 2, here)])
        return self._forecast
