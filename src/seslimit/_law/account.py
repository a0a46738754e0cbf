"""
Everything that is believed about one account: its rate, its day, and whether it rests.

Decides when the next message may go and at what price, and learns from what became of each. It knows no clock, no event
loop and no queue; moments come as arguments, in seconds of one monotonic clock.

Invariants: while it rests, the control law is frozen; one refusal never counts twice.
"""

from __future__ import annotations

import math

import attrs

from .._model.events import Reason
from .._model.meaning import Meaning
from .._model.outcome import Outcome
from .._model.quota import SendQuota
from .day import RollingDay
from .pause import Pause
from .rate import AdaptiveRate

QUOTA_PROBES = (10.0, 600.0)
"""Seconds until the first probe of an exhausted daily quota, and between probes at most: quota comes back in small
amounts around the clock, and a long sleep would waste it."""

ENDPOINT_PROBES = (0.5, 60.0)
"""Seconds until the first new attempt at an unreachable endpoint, and between attempts at most."""

BLOCK_PROBES = (30.0, 600.0)
"""Seconds until the first new attempt of a blocked account, and between attempts at most: somebody has to act first."""

FIRST_ALONE = 60.0
"""Seconds that the very first message is waited for: longer than an attempt takes, and an end for one that its caller
forgets."""

FIRST_FAILURES = 3
"""Failures to connect, before any success, after which it is the configuration that is wrong; a service that answers
"later" has been reached."""


@attrs.define
class Account:
    """
    One account in one region, as the limiter sees it.

    Args:
        law: the control law for its rate.
    """

    law: AdaptiveRate
    day: RollingDay = attrs.field(factory=RollingDay, init=False)
    quota_pause: Pause = attrs.field(factory=lambda: Pause(*QUOTA_PROBES), init=False)
    endpoint_pause: Pause = attrs.field(factory=lambda: Pause(*ENDPOINT_PROBES), init=False)
    block_pause: Pause = attrs.field(factory=lambda: Pause(*BLOCK_PROBES), init=False)
    paused: Reason | None = attrs.field(default=None, init=False)
    """Why it rests, None when it does not: kept, because every message asks for it."""
    _reached: bool = attrs.field(default=False, init=False)
    _first: float | None = attrs.field(default=None, init=False)

    def opens_at(self) -> float:
        """The moment from which the next message may go; late while a probe, or the very first message, is out."""
        first = 0.0 if self._first is None or self._reached else self._first + FIRST_ALONE
        rest = 0.0 if self.paused is None else max(pause.opens_at() for pause in self._pauses)
        return max(self.law.held_until, first, rest)

    def blocked(self, now: float) -> bool:
        """Whether the account is blocked, and it is too early to look whether it still is."""
        return self.block_pause.opens_at() > now

    def out_of_quota(self, now: float) -> bool:
        """Whether nothing is left of the day, and it is too early to look whether there is again."""
        return self.quota_pause.opens_at() > now

    def quota_back_in(self, now: float) -> float:
        """Seconds until there is quota again for sure; until the next probe where that is not known."""
        frees_at = self.day.frees_at(now)
        return max(0.0, (self.quota_pause.opens_at() if frees_at is None else frees_at) - now)

    def given_up(self, now: float, max_unreachable: float) -> bool:
        """Whether there was no connection for longer than that, and it is too early for another attempt."""
        return self.endpoint_pause.opens_at() > now and self.unreachable_for(now) > max_unreachable

    def unreachable_for(self, now: float) -> float:
        """Seconds without a connection; infinity where none was ever made and the first few attempts failed."""
        if self.endpoint_pause.began_at is None:
            return 0.0
        if not self._reached and self.endpoint_pause.failures >= FIRST_FAILURES:
            return math.inf
        return now - self.endpoint_pause.began_at

    def admitted(self, now: float, cost: int, *, waited: bool) -> None:
        """
        A message was let through; while there is a pause, it is the probe.

        So is the very first one: with a wrong password one login fails, not a hundred, and those that would have waited
        for the first connection do not arrive all at once.
        """
        if not self._reached:
            self._first = now
        if self.paused is not None:
            for pause in self._pauses:
                if pause.active:
                    pause.probe(now)
        self.law.admitted(now, cost, waited=waited)

    def figures(self, now: float, quota: SendQuota) -> None:
        """Take the service's figures: its rate caps ours, and what is left of the day begins or ends a pause."""
        self.law.cap(now, quota.max_send_rate if quota.max_send_rate > 0 else None)
        self.day.figures(quota)
        if quota.remaining < 1:
            self._rest(self.quota_pause, now, now)
        else:
            self.quota_pause.look_now(now)

    def settle(self, now: float, meaning: Meaning | None, *, cost: int, admitted_at: float, decided_at: float) -> None:
        """
        Learn what became of an admission.

        Args:
            now: when its reply was read.
            meaning: what the attempt meant; None when it told nothing, because it was cancelled or never made.
            cost: the message's recipients.
            admitted_at: when it was let through.
            decided_at: when the service decided: when it had the whole message, or `admitted_at` where nothing better
                is known.
        """
        if self._first == admitted_at:
            self._first = None
        if meaning is None:
            pass
        elif meaning.outcome is Outcome.ACCEPTED:
            self._settle_accepted(now, cost, admitted_at, decided_at)
        else:
            self._settle_refused(now, meaning, cost, admitted_at, decided_at)
        if self.paused is not None:
            for pause in self._pauses:
                pause.told_nothing(now, admitted_at=admitted_at)

    def reached(self) -> None:
        """The caller will not tell what became of the first message: let the others go without it."""
        self._reached = True

    @property
    def _pauses(self) -> tuple[Pause, ...]:
        return (self.quota_pause, self.endpoint_pause, self.block_pause)

    def _settle_accepted(self, now: float, cost: int, admitted_at: float, decided_at: float) -> None:
        self._reached = True
        self.law.accepted(now, cost, admitted_at=admitted_at, decided_at=decided_at)
        self.day.accepted(now, cost)
        if self.paused is not None:
            self.block_pause.end(admitted_at=admitted_at)
            self.endpoint_pause.end(admitted_at=admitted_at)
            if self.quota_pause.end(admitted_at=admitted_at):
                self.day.overtaken()
            self._resume(now)
        if self.day.remaining() < 1 and not self.quota_pause.active:
            self._rest(self.quota_pause, now, now)

    def _settle_refused(self, now: float, meaning: Meaning, cost: int, admitted_at: float, decided_at: float) -> None:
        wait = meaning.retry_after
        match meaning.outcome:
            case Outcome.THROTTLED:
                self.law.throttled(now, cost, admitted_at=admitted_at, decided_at=decided_at, pause=wait)
            case Outcome.ACCOUNT_BLOCKED:
                self._rest(self.block_pause, now, admitted_at)
            case Outcome.QUOTA_EXCEEDED:
                self._rest(self.quota_pause, now, admitted_at, wait)
            case Outcome.NOT_SENT if meaning.blocks_endpoint:
                # Who says when to come again is there: that is no wrong configuration, also at the very start.
                self._reached = self._reached or wait > 0
                self._rest(self.endpoint_pause, now, admitted_at, wait)
                return
        # Whatever else it was refused for, the endpoint was reached.
        self._reached = True
        if self.endpoint_pause.end(admitted_at=admitted_at):
            self._resume(now)

    def _rest(self, pause: Pause, now: float, admitted_at: float, at_least: float = 0.0) -> None:
        pause.begin(now, admitted_at=admitted_at, at_least=at_least)
        self.paused = self._why()
        self.law.freeze(now)

    def _resume(self, now: float) -> None:
        """Go on, unless there is another reason to rest."""
        self.paused = self._why()
        if self.paused is None:
            self.law.thaw(now)

    def _why(self) -> Reason | None:
        if self.block_pause.active:
            return Reason.ACCOUNT_BLOCKED
        if self.quota_pause.active:
            return Reason.QUOTA_EXCEEDED
        return Reason.ENDPOINT_UNREACHABLE if self.endpoint_pause.active else None
