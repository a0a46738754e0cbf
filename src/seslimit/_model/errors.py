"""
What is wrong: with a message, with the configuration, or with one attempt.

Each error says in one sentence what is wrong and, where somebody can do something about it, what to do. All of them
pickle, and none holds a credential: texts of a service are shortened and their control characters escaped on the way
in. How a message, or all sending, comes to an end is in `endings`.
"""

from __future__ import annotations

from typing import Any

from .meaning import Meaning
from .outcome import Outcome, Stage

MAX_REPLY_LENGTH = 512
"""Characters of a service's text that are kept: enough for every known reply, too few to flood a log."""


def printable(text: str) -> str:
    """The text on one line, control characters escaped, at most `MAX_REPLY_LENGTH` characters."""
    if len(text) <= MAX_REPLY_LENGTH and text.isprintable():
        return text
    escaped = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return escaped if len(escaped) <= MAX_REPLY_LENGTH else escaped[: MAX_REPLY_LENGTH - 1] + "…"


def words_of(error: BaseException) -> str:
    """What an exception says; its name where it says nothing."""
    return str(error) or ("timed out" if isinstance(error, TimeoutError) else type(error).__name__)


class SESLimitError(Exception):
    """Base of every error that seslimit raises on purpose."""


class InvalidMessage(SESLimitError, ValueError):
    """A message that no service could accept: the sentence names the field and the remedy."""


class ConfigurationError(SESLimitError, ValueError):
    """An option, a URL or an installed extra that is wrong or missing: the sentence names it and the remedy."""


class TransportError(SESLimitError):
    """
    An attempt that was not accepted; raised by transports.

    Args:
        outcome: what the attempt meant.
        reply: the service's words, or one sentence about what happened.
        retry_after: seconds that the service, or its documents, ask to wait before the next message; 0 for none.
        stage: how far the attempt had come; None when the transport cannot tell.
        handed_over_at: event-loop time (seconds) at which the content had been handed over, so that the service could
            decide; None when it never was, or when the transport cannot tell.
        blocks_endpoint: for `NOT_SENT`, True when the next attempt would meet the same obstacle (no connection, no
            login), so that the endpoint has to be given time; False when a new connection fixes it (idle, session cap).
        decided_at: the former name of `handed_over_at`.
    """

    def __init__(
        self,
        outcome: Outcome,
        reply: str,
        *,
        retry_after: float = 0.0,
        stage: Stage | None = None,
        handed_over_at: float | None = None,
        blocks_endpoint: bool = False,
        decided_at: float | None = None,
    ) -> None:
        self.meaning = Meaning(
            Outcome(outcome),
            retry_after=retry_after,
            stage=stage,
            handed_over_at=handed_over_at if decided_at is None else decided_at,
            blocks_endpoint=blocks_endpoint,
        )
        """All that the attempt said, as one value."""
        self.reply = printable(reply)
        super().__init__(self.reply)

    @classmethod
    def of(cls, meaning: Meaning, reply: str) -> TransportError:
        """The error that says what a meaning says, in these words."""
        error = cls(meaning.outcome, reply)
        error.meaning = meaning
        return error

    @property
    def outcome(self) -> Outcome:
        """What the attempt meant."""
        return self.meaning.outcome

    @property
    def retry_after(self) -> float:
        """Seconds that the service asks to wait before the next message; 0 for none."""
        return self.meaning.retry_after

    @property
    def stage(self) -> Stage | None:
        """How far the attempt had come."""
        return self.meaning.stage

    @property
    def handed_over_at(self) -> float | None:
        """Event-loop time at which the content had been handed over."""
        return self.meaning.handed_over_at

    @property
    def decided_at(self) -> float | None:
        """The former name of `handed_over_at`."""
        return self.meaning.handed_over_at

    @property
    def blocks_endpoint(self) -> bool:
        """Whether the next attempt would meet the same obstacle."""
        return self.meaning.blocks_endpoint

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.outcome, self.reply), self.__dict__)
