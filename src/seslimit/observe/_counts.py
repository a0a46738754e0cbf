"""
What happened so far, in numbers: every event of a sender or a limiter goes in, and counts come out.

Pure: it adds, and knows no clock and no format. Prometheus, the live page and whoever else shows numbers read the same
ones from here.

Invariants: a number never falls; what it is kept by is a word of the library, never an address or a key, so that it
takes the same memory however much is sent.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import Final, Protocol

import attrs

from .._model.events import Attempted, Event, Paused, Reason
from .._model.outcome import Outcome
from .._model.report import Report

WAITS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Seconds: upper bounds of what a message waits for its turn; a pause lasts long."""

ATTEMPTS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds: upper bounds of what an attempt takes; SES answers in 0.02 to 0.2."""

BY_HAND = "by hand"
"""The word for every pause by `Limiter.hold`: its own words are the caller's, and could be any number of them."""

REASONS = (*(reason.value for reason in Reason), BY_HAND)
"""Why nothing is sent, as far as numbers are kept by it."""

OTHER: Final = "other"

FEEDBACK = (
    "bounce",
    "complaint",
    "delivery",
    "delay",
    "reject",
    "rendering_failure",
    "send",
    "open",
    "click",
    "subscription",
    OTHER,
)
"""What SES tells afterwards, by the names of the events in `seslimit.feedback`."""


class Named(Protocol):
    """An event of `seslimit.feedback`."""

    @property
    def name(self) -> str:
        """The word for it in metrics."""
        ...


@attrs.define
class Distribution:
    """
    How long something took: how often up to each bound, and the sum.

    Args:
        bounds: upper bounds in seconds, rising; what is above the last one is counted beside them.
    """

    bounds: tuple[float, ...]
    total: float = attrs.field(default=0.0, init=False)
    """Seconds, all together."""
    _counts: list[int] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._counts = [0] * (len(self.bounds) + 1)

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def cumulated(self) -> list[int]:
        """How many took up to each bound, and all of them at the end."""
        return list(accumulate(self._counts))


def reason_word(reason: str) -> str:
    """A pause's reason as numbers are kept by it."""
    return str(reason) if reason in REASONS else BY_HAND


@attrs.define(eq=False)
class Counts:
    """
    What happened so far; a hook, for `Sender(hooks=[counts])`.

    A limiter alone tells of attempts and pauses; reports of whole messages come from a sender.
    """

    messages: dict[Outcome, int] = attrs.field(init=False)
    """Messages that came to an end, by their last outcome."""
    attempts: dict[Outcome, int] = attrs.field(init=False)
    """Attempts that ended, by their outcome."""
    pauses: dict[str, int] = attrs.field(init=False)
    """How often sending stopped, by its reason; see `REASONS`."""
    feedback: dict[str, int] = attrs.field(init=False)
    """Events that SES told afterwards, by their kind; see `FEEDBACK`."""
    recipients: float = attrs.field(default=0.0, init=False)
    """Recipients of accepted attempts."""
    wait: Distribution = attrs.field(init=False)
    """Seconds that messages waited for their turn."""
    attempt: Distribution = attrs.field(init=False)
    """Seconds that attempts took."""
    _paused: str | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        # Every word is there from the start: a counter that appears with its first event hides that event's increase.
        self.messages = dict.fromkeys(Outcome, 0)
        self.attempts = dict.fromkeys(Outcome, 0)
        self.pauses = dict.fromkeys(REASONS, 0)
        self.feedback = dict.fromkeys(FEEDBACK, 0)
        self.wait, self.attempt = Distribution(WAITS), Distribution(ATTEMPTS)

    @property
    def throttles(self) -> int:
        """Attempts that the service refused for the rate."""
        return self.attempts[Outcome.THROTTLED]

    @property
    def ended(self) -> int:
        """Messages that came to an end."""
        return sum(self.messages.values())

    def on_event(self, event: Event) -> None:
        """Count one event of a sender or a limiter."""
        if isinstance(event, Attempted):
            outcome = event.outcome
            self.attempts[outcome] += 1
            self.wait.add(event.waited)
            self.attempt.add(event.settled_at - event.admitted_at)
            if outcome is Outcome.ACCEPTED:
                self.recipients += event.cost
        elif isinstance(event, Report):
            self.messages[event.outcome] += 1
        elif isinstance(event, Paused):
            # Told again when its end moves: that is the same pause.
            if event.reason != self._paused:
                self.pauses[reason_word(event.reason)] += 1
            self._paused = event.reason
        else:
            self._paused = None

    def on_feedback(self, event: Named) -> None:
        """Count one event of `seslimit.feedback`."""
        self.feedback[event.name if event.name in self.feedback else OTHER] += 1
