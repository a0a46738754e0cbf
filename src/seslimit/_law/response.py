"""
The dose and the response: whether throttles get fewer at a lower pace.

Decides what share of the attempts is throttled whatever the pace. Where throttles come again and again without being
looked for, the pace is lowered for a while, which is a trial: those that are the pace's stop, those that are not go on.
It must not know the rate, nor what follows from a throttle.

Invariants: nothing is put down to chance that did not go on at a lower pace; what is put down to it is doubted as soon
as there is more of it, and forgotten as it gets less.
"""

from __future__ import annotations

import math

import attrs

SUDDEN = 3
"""Sudden events before another one begins a trial."""
WEAK = 6
"""How many more of them where the limit is not well known, or has just fallen: that is the simpler reason."""
DOUBTED = 2
"""How many more of them the next trial waits for, after one that found the pace guilty."""
SOON = 120
"""Attempts within which, on average, one sudden event follows another."""
LOWERED = 0.8
"""Share of what was accepted since the first of them that a trial paces at."""
SEEN = 4.5
"""Throttles that a trial waits for, were there as many as before: it sees less than two of them in 6 % of all cases."""
FLAT = 0.55
"""Share of the throttles of before that go on in a trial where they are not the pace's."""
MOST = 0.2
"""The greatest share that is put down to chance: beyond it, attempts had better be fewer whatever the reason."""
NOTABLE = 0.004
"""Share below which every throttle is taken for the rate's."""
SIGMAS = 3.5
"""Standard deviations by which the throttles of one cohort must be more than chance has them."""
SPARE = 1.3
"""Throttles that a cohort may have beyond that."""
GREATER = 0.01
"""Share by which a share is greater at least that one is alarmed about; otherwise it is twice the one known."""
ALARM = 4.0
"""Logarithm of how much likelier a greater share must be than the one known."""
SMOOTHING = 1.0 / 400.0
"""Weight of an attempt in the share of chance."""


@attrs.define
class Trial:
    """
    A pace lowered to see whether throttles go on.

    Args:
        began: when.
        pace: recipients/s meanwhile.
        limit: the limit of before the throttles, recipients/s.
        share: of the attempts, throttled before it.
        strong: whether that limit was well known.
        known: the share that was known and is doubted; 0 where none was.
    """

    began: float
    pace: float
    limit: float
    share: float
    strong: bool
    known: float = 0.0
    attempts: int = 0
    throttles: int = 0

    @property
    def over(self) -> bool:
        """Whether enough was seen."""
        return self.attempts * self.share >= SEEN or self.throttles >= 2.0 * SEEN

    @property
    def innocent(self) -> bool:
        """Whether throttles went on as before: the pace is not their reason."""
        return self.throttles >= 2 and FLAT * self.share <= self.throttles / self.attempts <= MOST


@attrs.define
class Response:
    """What the throttles have to do with the pace."""

    share: float = attrs.field(default=0.0, init=False)
    """Share of the attempts that is throttled at any pace, as far as it is known."""
    trial: Trial | None = attrs.field(default=None, init=False)
    """What is going on, if anything."""
    _needed: int = attrs.field(default=SUDDEN, init=False)
    _sudden: int = attrs.field(default=0, init=False)
    _weak: bool = attrs.field(default=False, init=False)
    _limit: float = attrs.field(default=0.0, init=False)
    _first_at: float = attrs.field(default=0.0, init=False)
    _accepted: float = attrs.field(default=0.0, init=False)
    _attempts: int = attrs.field(default=0, init=False)
    _alarm: float = attrs.field(default=0.0, init=False)
    _doubted: bool = attrs.field(default=False, init=False)

    def attempted(self, admitted_at: float, accepted: float, *, throttled: bool, above: bool) -> Trial | None:
        """
        An attempt was answered.

        Args:
            admitted_at: when it was let through.
            accepted: its recipients, if it was accepted.
            throttled: whether it was throttled.
            above: whether the pace is above the limit.

        Returns:
            the trial that is over with it, if one is.
        """
        self._attempts += 1
        self._accepted += accepted
        if self.share:
            self._watch(throttled, above)
        trial = self.trial
        if trial is None or admitted_at <= trial.began:
            return None
        trial.attempts += 1
        trial.throttles += throttled
        if not trial.over:
            return None
        self.trial, self._attempts, self._alarm = None, 0, 0.0
        self.share = trial.throttles / trial.attempts if trial.innocent else trial.known
        self._needed = SUDDEN if trial.innocent else self._needed + DOUBTED
        return trial

    def event(self, now: float, limit: float, *, sudden: bool, strong: bool) -> None:
        """
        An event has closed.

        Args:
            now: when it had opened.
            limit: the limit of before, recipients/s.
            sudden: whether nobody had looked for it.
            strong: whether the limit is well known: throttles below one that is not have a simpler reason.
        """
        self._alarm = 0.0
        if self.trial is not None:
            return
        if self._doubted:
            self._doubted, self._limit, self._weak = False, limit, not strong
            greater = self.share + max(self.share, GREATER)
            self.trial = Trial(now, LOWERED * limit, limit, greater, strong, known=self.share)
            self._sudden = 0
            return
        if not sudden or (self._sudden and self._attempts > SOON * self._sudden):
            self._sudden = self._attempts = 0
        if not self._sudden:
            self._limit, self._first_at, self._accepted, self._weak = limit, now, 0.0, not strong
        self._sudden += sudden
        if self._sudden > self._needed + WEAK * self._weak:
            passed = self._accepted / max(1e-3, now - self._first_at)
            share = (self._sudden - 1) / max(self._sudden, self._attempts)
            self.trial = Trial(now, LOWERED * min(limit, passed), self._limit, share, not self._weak)
            self._sudden = 0

    def explains(self, throttles: int, attempts: int) -> bool:
        """Whether so many throttles among the attempts of a cohort, and those of late, come whatever the pace."""
        share = self.share if self.trial is None else max(self.share, self.trial.share)
        expected = share * attempts
        few = throttles <= expected + SIGMAS * math.sqrt(expected) + SPARE
        return share >= NOTABLE and few and self._alarm < ALARM

    def _watch(self, throttled: bool, above: bool) -> None:
        """Doubt the share that is known: by the likelihood of a greater one, and by what is seen."""
        greater = self.share + max(self.share, GREATER)
        if throttled:
            self._alarm += math.log(greater / self.share)
        else:
            self._alarm = max(0.0, self._alarm + math.log((1.0 - greater) / (1.0 - self.share)))
        if not above:
            self.share += SMOOTHING * (throttled - self.share)
            self._doubted = self._doubted or self._alarm >= ALARM
        if not NOTABLE <= self.share <= MOST:
            self.share = 0.0
