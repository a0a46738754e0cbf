"""
A warm-up at work: caps what leaves for the service, counts what comes back, and remembers both over a restart.

The day's cap stands between the sender and the transport, where every message passes at the moment that it leaves, so
that it is exact; the second's is a ceiling of the limiter. What they are is decided in `_warm_up_plan`.

Invariants: more than the day's cap is never handed over, also not by a process that was killed in between; a message
that does not go today costs no attempt, and goes tomorrow.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any

import attrs

from .._model.errors import ConfigurationError, TransportError
from .._model.message import Message
from .._model.outcome import Outcome, Stage
from .._model.quota import SendQuota
from .._model.report import Receipt
from .._pacing.limiter import Limiter
from ..transports import KnowsQuota, Transport
from ._events import Bounce, Complaint, Event
from ._reputation import Level, judge_told
from ._state_file import StateFile
from ._warm_up_plan import Day, Plan, Progress

logger = logging.getLogger("seslimit")

CEILING = "warm-up"

AHEAD = 0.02
"""Share of a day's cap that is written down before it is sent: what a kill may cost of the day, and never more."""

AHEAD_AT_LEAST = 10
"""Recipients that are written down at a time at least: each time waits for the disk."""

BEYOND_PLAN = 100
"""Recipients that are written down at a time when the plan is over, and only the count goes on."""

SURELY_NOT = frozenset(Outcome) - {Outcome.ACCEPTED, Outcome.UNKNOWN}
"""What an attempt means that certainly sent nothing."""


class WarmUp:
    """
    Raises what is sent on a day and in a second as a plan says, while what comes back is good.

    `Sender(warm_up.transport(transport), limiter=limiter)` sends under it, `Feed(hooks=[warm_up.hear])` tells it what
    came back. Where no events come, the plan goes by volume, and by SES's own figures where they are told (`told`).

    Args:
        plan: what each day may have; the same that is under way in the state file, where there is one.
        limiter: gets the second's cap.
        state: remembers over restarts, for one process at a time; without it each start is the first day.
        clock: seconds since the epoch.

    Raises:
        ConfigurationError: another plan is under way in the state file.
    """

    def __init__(
        self,
        plan: Plan,
        limiter: Limiter,
        *,
        state: StateFile | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        kept: Any = {} if state is None else state.get("warm_up") or {}
        self._plan = Plan.of(kept["plan"]) if "plan" in kept else plan
        self._asked = plan.as_json()
        if kept.get("asked", self._asked) != self._asked:
            raise ConfigurationError(
                "another warm-up plan is under way in the state file: give that plan again, or a new state file, which "
                "begins with the first day."
            )
        self._progress = Progress.of(kept["progress"]) if "progress" in kept else Progress()
        self._limiter = limiter
        self._state = state
        self._clock = clock
        self._written = self._progress.sent
        self._apply()

    @property
    def plan(self) -> Plan:
        """The plan, with the days that the account's quota has added."""
        return self._plan

    @property
    def progress(self) -> Progress:
        """How far it is now."""
        return self._progress if self._progress.began is None else self._progress.at(self._clock(), self._plan)

    def transport(self, transport: Transport) -> Transport:
        """The transport, with the day's cap in front of it; closing it closes both."""
        return _Capped(transport, self)

    async def hear(self, event: Event) -> None:
        """Count what came back of this day: hard bounces and complaints."""
        if isinstance(event, Bounce) and event.permanent:
            await self._count(bounces=len(event.recipients))
        elif isinstance(event, Complaint) and event.feedback_type != "not-spam":
            await self._count(complaints=1)

    def told(self, bounces: float, complaints: float, enforcement: str = "HEALTHY") -> None:
        """Take SES's own figures of the account, as shares."""
        verdict = judge_told(bounces, complaints, enforcement)
        self._progress = attrs.evolve(self._progress, told=verdict.level)
        self._apply()

    def quota(self, quota: SendQuota) -> None:
        """Take the account's sending quota: where it has grown beyond the plan, the plan goes on."""
        longer = self._plan.reaching(quota.max_24_hour_send)
        if longer is not self._plan:
            added = len(longer.steps) - len(self._plan.steps)
            logger.info("the account may send %d a day: the warm-up has %d more days", quota.max_24_hour_send, added)
            self._plan = longer
            self._apply()

    def take(self, recipients: int) -> float:
        """
        Take so many recipients from the day's cap.

        Returns:
            0 where they are taken; where they are not, seconds until the next day.
        """
        now = self._clock()
        self._turn(now)
        if self._progress.sent + recipients > self._progress.cap(self._plan):
            return max(1.0, self._progress.ends(now) - now)
        self._progress = attrs.evolve(self._progress, sent=self._progress.sent + recipients)
        if self._progress.sent > self._written:
            self._write()
        return 0.0

    @property
    def day(self) -> float | None:
        """When the day that is under way began, seconds since the epoch."""
        return self._progress.began

    def give_back(self, recipients: int, day: float | None) -> None:
        """Give back what was taken on a day and certainly not sent; nothing where that day is over."""
        if day == self.day:
            self._progress = attrs.evolve(self._progress, sent=max(0, self._progress.sent - recipients))

    def close(self) -> None:
        """Write down where it stands, exactly."""
        if self._progress.began is not None:
            self._write(exactly=True)

    async def _count(self, *, bounces: int = 0, complaints: int = 0) -> None:
        self._turn(self._clock())
        before = self._progress
        self._progress = attrs.evolve(
            before, bounces=before.bounces + bounces, complaints=before.complaints + complaints
        )
        if self._progress.level is Level.HOLD and before.level is not Level.HOLD:
            logger.warning("warm-up paused until tomorrow; it then steps back: %s", _words(self._progress.today))
        self._write(always=True)

    def _turn(self, now: float) -> None:
        """Begin a new day where the last one is over."""
        before, self._progress = self._progress, self._progress.at(now, self._plan)
        if self._progress is not before:
            self._written = self._progress.sent
            if before.began is not None:
                logger.info("the warm-up's day %d is over: %s", before.step + 1, _words(before.today))
            self._apply()

    def _apply(self) -> None:
        self._limiter.ceiling(CEILING, self._progress.rate(self._plan))

    def _write(self, *, always: bool = False, exactly: bool = False) -> None:
        """Write down what is sent, and a little of what will be; nothing where enough is written down already."""
        if self._state is None:
            return
        progress, cap = self._progress, self._progress.cap(self._plan)
        if not (always or exactly) and progress.sent <= self._written:
            return
        if not exactly:
            some = BEYOND_PLAN if math.isinf(cap) else max(AHEAD_AT_LEAST, math.ceil(cap * AHEAD))
            progress = attrs.evolve(progress, sent=max(progress.sent, min(progress.sent + some, int(min(cap, 1e15)))))
        kept = {"asked": self._asked, "plan": self._plan.as_json(), "progress": progress.as_json()}
        # Not in a thread: it is fifty times a day, and the next message must not overtake it.
        self._state.put("warm_up", kept)
        self._written = progress.sent


@attrs.frozen(eq=False)
class _Capped:
    """A transport behind the day's cap."""

    _transport: Transport
    _warm_up: WarmUp

    async def send(self, message: Message) -> Receipt:
        """Make one attempt, where the day has room for it."""
        try:
            wait = self._warm_up.take(message.cost)
        except OSError as error:
            words = f"the state file cannot be written ({error.strerror}), and without it the day's cap may be exceeded"
            raise TransportError(Outcome.NOT_SENT, words, blocks_endpoint=True, stage=Stage.BEFORE) from error
        if wait:
            raise TransportError(
                Outcome.QUOTA_EXCEEDED,
                f"the warm-up lets nothing more go today; the next day begins in {wait / 3600:.1f} h",
                retry_after=wait,
                stage=Stage.BEFORE,
            )
        day = self._warm_up.day
        try:
            receipt = await self._transport.send(message)
        except TransportError as error:
            if error.outcome in SURELY_NOT:
                self._warm_up.give_back(message.cost, day)
            raise
        self._warm_up.give_back(len(receipt.refused), day)
        return receipt

    async def quota(self) -> SendQuota | None:
        """What the transport knows; the plan hears it."""
        if not isinstance(self._transport, KnowsQuota):
            return None
        quota = await self._transport.quota()
        if quota is not None:
            self._warm_up.quota(quota)
        return quota

    async def aclose(self) -> None:
        """Close the transport, and write down where the warm-up stands."""
        self._warm_up.close()
        await self._transport.aclose()


def _words(day: Day) -> str:
    return f"{day.sent:,} sent, {day.bounces:,} bounced, {day.complaints:,} complained"
