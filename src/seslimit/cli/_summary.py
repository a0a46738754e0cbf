"""
The end of a run, in figures and in words.

Decides the keys of `--json`, which are a contract, and the words for people. It must not know how sending works.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from ._past import State
from ._tally import Tally
from ._view import duration, number


@attrs.frozen(kw_only=True)
class Summary:
    """
    The end of a run, in figures.

    Args:
        tally: its counts.
        seconds: from the first message to the end of the last one.
        estimate: the service's limit in recipients/s, as far as it was found out.
        was_found: whether that was found out in this run, and not told.
        error: one sentence about what stopped the run; None when nothing did.
        notes: sentences that a reader should know of.
        unwritten: lines of the report that could not be written.
        before: messages of the input that a run before had brought to their end, by how.
    """

    tally: Tally
    seconds: float
    estimate: float | None = None
    was_found: bool = True
    error: str | None = None
    notes: tuple[str, ...] = ()
    unwritten: tuple[str, ...] = ()
    before: Mapping[State, int] = attrs.field(factory=dict)

    def figures(self) -> dict[str, Any]:
        """The object of `--json`; the first nine keys are a contract."""
        tally = self.tally
        return {
            "messages": tally.messages,
            "accepted": tally.accepted,
            "failed": tally.failed,
            "unknown": tally.unknown,
            "remaining": tally.remaining,
            "attempts": tally.attempts,
            "throttled": tally.throttled,
            "seconds": round(self.seconds, 3),
            "rate": round(self._rate(), 3),
            "recipients": tally.recipients,
            "limit": self.estimate and round(self.estimate, 3),
            "error": self.error,
            "in_part": tally.in_part,
            "refused": tally.refused,
            "before": sum(self.before.values()),
            "notes": list(self.notes),
        }

    def text(self) -> str:
        """The same for people, a few lines."""
        tally = self.tally
        took = f"accepted in {duration(self.seconds)}, {number(self._rate())} recipients/s"
        lines = [
            f"{tally.accepted:,} of {tally.messages:,} messages {took}",
            f"{tally.attempts:,} attempts, {tally.throttled:,} throttled",
        ]
        if self.estimate is not None and self.was_found:
            lines[-1] += f"; the limit is about {number(self.estimate)} recipients/s"
        if before := sum(self.before.values()):
            lines.append(f"{before:,} more had come to their end in a run before")
        for count, words in (
            (tally.in_part, f"accepted in part: {tally.refused:,} of their recipients were refused"),
            (tally.failed, "failed"),
            (tally.unknown, "unknown: they may have been accepted"),
            (tally.remaining, "remaining: not sent"),
        ):
            if count:
                lines.append(f"{count:,} {words}")
        return "\n".join(lines + [f"note: {note}" for note in self.notes])

    def _rate(self) -> float:
        return self.tally.recipients / self.seconds if self.seconds > 0 else 0.0
