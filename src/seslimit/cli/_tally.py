"""
The counts of one run.

Decides what a message's end is called: accepted, failed, unknown or remaining. It knows no clock and no terminal.

Invariant: every message that ended is in exactly one of the four.
"""

from __future__ import annotations

import attrs

from .._model.events import Attempted, Event
from .._model.outcome import Outcome
from .._model.report import Report

ENDED = {
    Outcome.ACCEPTED: "accepted",
    Outcome.PERMANENT: "failed",
    Outcome.TRANSIENT: "failed",
    Outcome.UNKNOWN: "unknown",
}
"""How a message counts by its last outcome; any other one leaves it remaining."""


@attrs.define
class Tally:
    """
    What became of the messages of one run.

    Args:
        total: messages to be sent; None while that is not known.
        total_recipients: their recipients; None while that is not known.
    """

    total: int | None = None
    total_recipients: int | None = None
    accepted: int = attrs.field(default=0, init=False)
    failed: int = attrs.field(default=0, init=False)
    unknown: int = attrs.field(default=0, init=False)
    remaining: int = attrs.field(default=0, init=False)
    in_part: int = attrs.field(default=0, init=False)
    """Accepted messages that the service would not take for some of their recipients."""
    recipients: int = attrs.field(default=0, init=False)
    """Accepted recipients."""
    refused: int = attrs.field(default=0, init=False)
    """Recipients that were refused of accepted messages."""
    ended_recipients: int = attrs.field(default=0, init=False)
    """Recipients of messages that came to an end, whatever the end."""
    attempts: int = attrs.field(default=0, init=False)
    """Attempts that were made, whatever they meant."""
    throttled: int = attrs.field(default=0, init=False)
    in_flight: int = attrs.field(default=0, init=False)
    """Attempts under way, where no limiter knows them."""

    @property
    def messages(self) -> int:
        """Messages that came to an end, or remain."""
        return self.accepted + self.failed + self.unknown + self.remaining

    def on_event(self, event: Event) -> None:
        """Count an attempt that has ended; messages are counted by `ended`."""
        if isinstance(event, Attempted):
            self.attempts += 1
            self.throttled += event.outcome is Outcome.THROTTLED

    def ended(self, report: Report, *, stopping: bool) -> Outcome:
        """
        Count a message that came to an end.

        Args:
            report: what became of it.
            stopping: whether sending was being stopped, so that a transient failure is no end.

        Returns:
            the outcome to report: `not_sent` for every message that remains, so that one word finds them all.
        """
        kind = ENDED.get(report.outcome, "remaining")
        if stopping and report.outcome is Outcome.TRANSIENT:
            kind = "remaining"
        setattr(self, kind, getattr(self, kind) + 1)
        if kind == "remaining":
            return Outcome.NOT_SENT
        self.ended_recipients += report.message.cost
        if report.receipt is not None:
            refused = len(report.receipt.refused)
            self.recipients += report.message.cost - refused
            self.refused += refused
            self.in_part += refused > 0
        return report.outcome
