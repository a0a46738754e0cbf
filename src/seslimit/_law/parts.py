"""
What each process may go on with alone, so that the sum is never more than the rate where some cannot ask.

A process that sends has, beside its slots, a *part* of the whole, and goes at `ALONE` of it when it gets no answer. The
parts are never more than the whole: a new one gets what is left, the others' shrink as they ask, and where an answer
may be lost the larger part counts. Who sends is heard every 0.1 s. Who is not, for `SILENT`, may be going on alone: its
part is taken off the pace of those that ask, until it is heard, has nothing to send, is known to have ended, or was not
heard for `KEEPS`, when it goes on with nothing. It begins no sooner than the others have made room. So, of those that

- one is cut off: the others have what its part leaves, at once;
- all are: the parts are less than the whole. Who is back first finds the others' kept: a ledger that was not asked at
  all was away itself, and keeps them `RETURNS` longer, however old they are;
- the ledger was emptied: who is back tells its part, and the rest is kept for `RETURNS` for those not heard yet; only a
  process that is new, and first, has the whole until then;
- failed over without the last writes: slots of then have passed, and parts are told anew;
- one was frozen and is awake: its slots have passed, and its part is kept if it slept for less than `KEEPS`;
- one was killed: its slots are lost, its part is kept until one beside it finds it gone, or for `KEEPS`.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from .._model.allowance import Request

SECOND = 1e6
"""Microseconds of a second."""

SILENT = 0.14 * SECOND
"""A process that sends and was not heard for so long may be going on alone: it asks every 0.1 s, and waits 0.17 s."""

KEEPS = 10.0 * SECOND
"""For so long after its last request its part is kept for a process that is not heard: a Redis is back within, and a
machine that is lost costs no more."""

RETURNS = 1.5 * SECOND
"""In so long all are back that were cut off together: they ask every 0.5-1 s."""

ALONE = 0.9
"""Share of its part that a process uses alone, and of the whole that is kept for such at most."""

CRUMB = 1e-9
"""Parts of the whole that are none: the rounding of a sum."""


@attrs.define
class Parts:
    """
    The parts of one account. Moments are microseconds of the ledger's clock.

    Args:
        of: each process's part, of the whole.
        until: until when each is kept at least.
        unheard, unheard_until: what is kept for those that this ledger has forgotten, of the whole, and until when.
    """

    of: dict[str, float] = attrs.field(factory=dict)
    until: dict[str, float] = attrs.field(factory=dict)
    unheard: float = 0.0
    unheard_until: float = 0.0

    def keep(self, now: float, request: Request, *, away: bool) -> float:
        """
        Keep for a process what it may go on with alone, as it knows.

        Args:
            now: when.
            request: what it says of itself, and of those that have ended.
            away: whether nobody was heard for long.

        Returns:
            what it may go on with from now on, of the whole.
        """
        if away:
            self.until = {name: max(until, now + RETURNS) for name, until in self.until.items()}
        member, gone = request.member, request.gone.split()
        before = self.of
        self.of = {
            name: part
            for name, part in sorted(before.items())
            if self.until[name] > now and name != member and name not in gone
        }
        of_others = sum(self.of.values())
        if request.part and member not in before:  # the ledger was emptied
            if self.unheard_until <= now:
                self.unheard, self.unheard_until = 1.0 - of_others, now + RETURNS
            self.unheard = max(0.0, self.unheard - request.part)
        part = max(0.0, min(1.0 / (len(self.of) + 1), 1.0 - of_others - self._forgotten(now)))
        if request.sends:
            self.of[member] = max(part, request.part)
            self.until[member] = now + KEEPS
        self.until = {name: until for name, until in self.until.items() if name in self.of}
        return part if request.sends else 0.0

    def silent(self, now: float, member: str, heard: Mapping[str, float]) -> tuple[list[str], float]:
        """
        Who may be going on alone, and what of the pace is kept for them.

        Args:
            now: when.
            member: who asks.
            heard: when each was last heard.
        """
        silent = [
            name
            for name, part in sorted(self.of.items())
            if name != member and part and heard.get(name, 0.0) <= now - SILENT
        ]
        kept = sum(self.of[name] for name in silent) + self._forgotten(now)
        return silent, ALONE * min(1.0, kept) if kept > CRUMB else 0.0

    def set_back(self, back: float) -> None:
        """The ledger's clock was set back by so much."""
        self.until = {name: until - back for name, until in self.until.items()}
        self.unheard_until -= back

    def _forgotten(self, now: float) -> float:
        return self.unheard if self.unheard_until > now else 0.0


def parts_from(told: Parts | Mapping[str, object]) -> Parts:
    """Parts as they are, or as they were written down."""
    return told if isinstance(told, Parts) else Parts(**told)  # type: ignore[arg-type]
