"""
Who may be sent to: what is asked before a message is tried, and how it ends where the answer is no.

Protocols and errors only. A list of addresses that are not to be sent to answers for recipients, a guard of the
reputation for messages; both are asked before a message waits for its turn, so that what they refuse costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .endings import SendingStopped
from .errors import SESLimitError, printable
from .message import Message


class Suppresses(Protocol):
    """Knows addresses that are not to be sent to."""

    async def suppressed(self, addresses: Sequence[str]) -> Mapping[str, str]:
        """
        Those of the addresses that are not to be sent to, as they were written, each with the reason.

        Raises:
            SuppressionUnavailable: it cannot be said; nothing is to be sent then.
        """
        ...


class Guards(Protocol):
    """Knows messages that are not to be sent now."""

    def check(self, message: Message) -> None:
        """
        Return where the message may be sent.

        Raises:
            CampaignHeld: it may not, for now.
        """
        ...


class Suppressed(SESLimitError):
    """
    A message that was not tried, since every one of its recipients is suppressed.

    Args:
        recipients: each with the reason.
    """

    def __init__(self, recipients: Mapping[str, str]) -> None:
        self.recipients = dict(recipients)
        told = "; ".join(f"{printable(address)}: {reason}" for address, reason in self.recipients.items())
        super().__init__(printable(told))

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.recipients,))


class SuppressionUnavailable(SendingStopped):
    """Whether an address is suppressed cannot be said, so nothing is sent; the sentence says why."""


class CampaignHeld(SendingStopped):
    """What this message belongs to is held, to keep the account's reputation; others are sent."""
