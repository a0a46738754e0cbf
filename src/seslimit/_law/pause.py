"""
When a whole account or endpoint is at rest, and who may find out that it is over.

Decides whether the next message may go, given the moment. While a pause lasts, one message at a time is let through as
a probe, after waits that double; whatever was under way when the pause began is neither new evidence for it nor the end
of it. It knows no clock and no reason: a daily quota and an unreachable endpoint rest in the same way.

Invariants: at most one probe is out, except that one that is never settled is given up after the longest wait; a pause
ends only by something admitted after it began.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from .retry import waits


@attrs.define
class Pause:
    """
    One reason to rest.

    Args:
        first: seconds until the first probe.
        longest: seconds between probes at most.
    """

    first: float
    longest: float
    began_at: float | None = attrs.field(default=None, init=False)
    """When the pause began; None while there is none."""
    failures: int = attrs.field(default=0, init=False)
    """Refusals that lengthened this pause, the first included."""
    _waits: Iterator[float] = attrs.field(init=False, repr=False)
    _opens_at: float = attrs.field(default=0.0, init=False)
    _probe: float | None = attrs.field(default=None, init=False)
    _fresh_from: float = attrs.field(default=0.0, init=False)

    @property
    def active(self) -> bool:
        """Whether sending rests."""
        return self.began_at is not None

    @property
    def probing(self) -> bool:
        """Whether a probe is out: what comes of it is known soon."""
        return self._probe is not None

    def closed(self, now: float) -> bool:
        """Whether it is too early to look whether it is over: a probe that is out is no such time."""
        return self.opens_at() > now and not self.probing

    def opens_at(self) -> float:
        """The moment from which the next message may go: 0 without a pause, late while a probe is out."""
        return self._opens_at if self.active else 0.0

    def begin(self, now: float, *, admitted_at: float, at_least: float = 0.0) -> None:
        """
        Rest, because a message that was admitted at `admitted_at` was refused.

        A message that was under way when the pause began, or when its last probe failed, tells nothing new.

        Args:
            now: when the refusal was read, in seconds.
            admitted_at: when the refused message was let through.
            at_least: seconds to rest at least.
        """
        if self.began_at is None:
            self.began_at = now
            self._waits = waits(self.first, self.longest)
        elif admitted_at < self._fresh_from:
            return
        self.failures += 1
        self._fresh_from = now
        self._probe = None
        self._opens_at = now + max(next(self._waits), at_least)

    def hear(self, now: float) -> None:
        """Somebody else rests for it: when that is over, one message goes first here too."""
        if self.began_at is None:
            self.began_at = self._fresh_from = self._opens_at = now
            self._waits = waits(self.first, self.longest)

    def probe(self, admitted_at: float) -> None:
        """One message is let through to find out; nobody else until it is settled, or for the longest wait."""
        self._probe = admitted_at
        self._opens_at = admitted_at + self.longest

    def told_nothing(self, now: float, *, admitted_at: float) -> None:
        """The message admitted at `admitted_at` is settled; if it was the probe, the next message may be one."""
        if self._probe == admitted_at:
            self.look_now(now)

    def look_now(self, now: float) -> None:
        """There is reason to look at once: the next message may be the probe."""
        if self.active:
            self._probe = None
            self._opens_at = now

    def end(self, *, admitted_at: float) -> bool:
        """End the pause, because a message that was admitted at `admitted_at` got past it; returns whether it ended."""
        if self.began_at is None or admitted_at < self._fresh_from:
            return False
        self.began_at = self._probe = None
        self.failures = 0
        return True
