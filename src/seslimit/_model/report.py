"""
What comes back: the service's receipt for a message, and the report of what became of it.

Values only. A report is made when a message came to its end; nothing here decides when that is.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from .history import Attempt
from .message import Message
from .outcome import Outcome


@attrs.frozen(init=False)
class Receipt:
    """
    The service's word that it accepted a message.

    Args:
        message_id: the service's name for it; the same as `mail.messageId` in every event about it.
        refused: recipients that the service would not take, each with its reply; empty when it took all.
        handed_over_at: event-loop time (seconds) at which the content had been handed over; None when not known.
        decided_at: the former name of `handed_over_at`.
    """

    message_id: str
    refused: Mapping[str, str] = attrs.field(factory=dict)
    handed_over_at: float | None = attrs.field(default=None, eq=False, repr=False)

    def __init__(
        self,
        message_id: str,
        refused: Mapping[str, str] | None = None,
        handed_over_at: float | None = None,
        *,
        decided_at: float | None = None,
    ) -> None:
        self.__attrs_init__(  # pyright: ignore[reportAttributeAccessIssue]  # attrs makes it beside an own __init__
            message_id, {} if refused is None else refused, handed_over_at if decided_at is None else decided_at
        )

    @property
    def decided_at(self) -> float | None:
        """The former name of `handed_over_at`."""
        return self.handed_over_at


@attrs.frozen
class Report:
    """
    What became of one message: accepted, given up, or unsent because sending stopped.

    Args:
        message: the message.
        outcome: what its last attempt meant; `NOT_SENT` where none was made.
        receipt: the service's receipt; None unless accepted.
        attempts: attempts that were counted: accepted, transient, permanent and unknown ones.
        throttles: attempts that the service refused for the rate; never counted.
        error: the last error; None when accepted.
        history: its last attempts, each with its time, outcome and reply.
        at: when it came to its end, seconds since the epoch.
    """

    message: Message
    outcome: Outcome
    receipt: Receipt | None = None
    attempts: int = 0
    throttles: int = 0
    error: Exception | None = None
    history: tuple[Attempt, ...] = attrs.field(default=(), eq=False, repr=False)
    at: float = attrs.field(default=0.0, eq=False, repr=False)

    @property
    def refused(self) -> Mapping[str, str]:
        """Recipients that an accepted message was not taken for, each with the service's words."""
        return {} if self.receipt is None else self.receipt.refused
