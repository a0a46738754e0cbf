"""
Addresses that are not to be sent to: what a list of them is, and how an address is compared.

Decides who belongs on a list: whoever bounced for good or complained. How a list is kept is in the modules beside it.

Invariants: an address is compared without regard to capitals; a list that cannot be read raises, and is never taken for
an empty one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Protocol

import attrs

from .._model.addresses import check_address
from .._model.clearance import SuppressionUnavailable
from .._model.errors import ConfigurationError, InvalidMessage
from ._events import Bounce, Complaint, Event
from ._feed import Part, Unavailable

BOUNCE = "bounce"
COMPLAINT = "complaint"
BY_HAND = "manual"


def _moment() -> datetime:
    return datetime.now(UTC)


@attrs.frozen
class SuppressedAddress:
    """
    One address that is not to be sent to.

    Args:
        address: as it was written.
        reason: why: "bounce", "complaint", "manual", or a word of yours.
        at: since when.
    """

    address: str
    reason: str = BY_HAND
    at: datetime = attrs.field(factory=_moment)

    @property
    def key(self) -> str:
        """The form in which addresses are compared: `normalised`."""
        return normalised(self.address)

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return {"address": self.address, "reason": self.reason, "at": self.at.isoformat(timespec="seconds")}


class Suppression(Protocol):
    """A list of addresses that are not to be sent to."""

    async def suppressed(self, addresses: Sequence[str]) -> Mapping[str, str]:
        """
        Those of the addresses that are on the list, as they were written, each with the reason.

        Raises:
            SuppressionUnavailable: it cannot be said.
        """
        ...

    async def add(self, entries: Iterable[SuppressedAddress]) -> int:
        """
        Put addresses on the list; it is safe when this returns.

        Returns:
            how many were not on it before.

        Raises:
            SuppressionUnavailable: the list cannot be written.
        """
        ...

    async def remove(self, addresses: Iterable[str]) -> int:
        """
        Take addresses off the list.

        Returns:
            how many were on it.

        Raises:
            SuppressionUnavailable: the list cannot be written.
        """
        ...

    def entries(self) -> AsyncIterator[SuppressedAddress]:
        """
        Every address of the list.

        Raises:
            SuppressionUnavailable: the list cannot be read.
        """
        ...

    async def aclose(self) -> None:
        """Let go of what is open."""
        ...


def normalised(address: str) -> str:
    """
    What an address is compared by: without regard to capitals, the domain in Punycode and without a dot at its end.

    The local part may differ by capitals in theory. No provider of mailboxes makes use of it, what SES does is not
    documented, and to leave out a twin is the lesser mistake.
    """
    local, at, domain = address.strip().rpartition("@")
    domain = domain.rstrip(".")
    if not domain.isascii():
        with suppress(UnicodeError):
            domain = domain.encode("idna").decode()
    return f"{local}{at}{domain}".lower()


def checked(address: str) -> str:
    """
    An address that may be put on a list.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        return check_address("the address", address.strip())
    except InvalidMessage as error:
        raise ConfigurationError(str(error)) from None


def suppressed_by(event: Event) -> list[SuppressedAddress]:
    """The addresses that should not be sent to any more because of an event: hard bounces and complaints."""
    if isinstance(event, Bounce) and event.permanent:
        reason = BOUNCE
    elif isinstance(event, Complaint) and event.feedback_type != "not-spam":
        reason = COMPLAINT
    else:
        return []
    at = event.at or _moment()
    return [SuppressedAddress(recipient.address, reason, at) for recipient in dict.fromkeys(event.recipients)]


class Suppressing:
    """
    Puts whoever bounced for good or complained on a list.

    Args:
        suppression: the list; closed together with the feed.
    """

    name = "suppression"

    def __init__(self, suppression: Suppression) -> None:
        self._suppression = suppression

    def parts(self, event: Event) -> Sequence[Part]:
        """One for each address."""
        return [Part(entry.address, entry) for entry in suppressed_by(event)]

    async def deliver(self, part: Part) -> None:
        """Put it on the list."""
        try:
            await self._suppression.add([part.payload])
        except SuppressionUnavailable as error:
            raise Unavailable(str(error)) from error

    async def aclose(self) -> None:
        """Close the list."""
        await self._suppression.aclose()
