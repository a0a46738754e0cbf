"""
What `seslimit doctor --measure` has seen, as values: a figure with how sure it is, or how far it was looked for.

Pure: it knows neither experiments nor a service.
"""

from __future__ import annotations

import enum

import attrs

from ..._model.errors import TransportError, printable
from ..._model.outcome import Outcome
from .._ending import Status

STOPPING = frozenset({Outcome.QUOTA_EXCEEDED, Outcome.ACCOUNT_BLOCKED})
"""What no other message would escape either."""


class Confidence(enum.StrEnum):
    """How sure a figure is."""

    SURE = "sure"
    """It was seen and can be nothing else."""
    LIKELY = "likely"
    """Something else would look the same; the words say what."""
    OPEN = "open"
    """It was not seen; the words say within what."""


@attrs.frozen
class Seen:
    """
    One figure.

    Args:
        value: it; None where it was not seen.
        confidence: how sure it is.
        words: the same for people, with what it rests on.
    """

    value: float | None
    confidence: Confidence
    words: str = attrs.field(converter=printable)

    def line(self, name: str) -> str:
        """The figure for people."""
        return f"{self.confidence:<8} {name:<12} {self.words}"

    @property
    def note(self) -> str:
        """What a profile says behind it."""
        return f"{self.confidence}: {self.words}"


class Ended(Exception):
    """
    The measuring cannot go on; one sentence, and the exit status.

    Args:
        words: the sentence.
        status: the exit status.
    """

    def __init__(self, words: str, status: Status) -> None:
        self.words = words
        self.status = status
        super().__init__(words)

    @classmethod
    def by(cls, error: TransportError) -> Ended:
        """The end that an attempt came to that no other message would escape."""
        if error.outcome is Outcome.QUOTA_EXCEEDED:
            return cls(f"nothing is left of the daily quota ({error.reply.rstrip('.')})", Status.REMAINING)
        if error.outcome is Outcome.ACCOUNT_BLOCKED:
            return cls(
                f"the service takes nothing from this account or sender ({error.reply.rstrip('.')})",
                Status.ACCOUNT_BLOCKED,
            )
        status = Status.REMAINING if error.outcome in (Outcome.NOT_SENT, Outcome.TRANSIENT) else Status.WRONG_USAGE
        return cls(f"the service could not be measured ({error.outcome}: {error.reply.rstrip('.')})", status)
