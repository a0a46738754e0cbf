"""
The outbox's part in feedback: its list of addresses that are not sent to, and what came back of its messages.

Nothing is kept here; the outbox does that, and `seslimit outbox export` then says delivered, bounced or complained
beside accepted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .._model.clearance import SuppressionUnavailable
from .._model.errors import printable
from .._model.journal import JournalError
from ..outbox import Suppressed
from ._events import Bounce, Complaint, Delivery, Event, Reject
from ._feed import Part, Unavailable
from ._suppression import SuppressedAddress, normalised

if TYPE_CHECKING:
    from ..outbox import Outbox

MOST_WORDS = 500
"""Characters of a receiving server's words that are kept."""


class OutboxSuppression:
    """
    The list of addresses in an outbox's database.

    Args:
        outbox: has the list; closed together with it.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def suppressed(self, addresses: Sequence[str]) -> Mapping[str, str]:
        """
        Those of the addresses that are on the list.

        Raises:
            SuppressionUnavailable: the database does not answer.
        """
        keys = {address: normalised(address) for address in addresses}
        try:
            found = await self._outbox.suppression.find(set(keys.values()))
        except JournalError as error:
            raise _unavailable(error) from error
        return {address: found[key].reason for address, key in keys.items() if key in found}

    async def add(self, entries: Iterable[SuppressedAddress]) -> int:
        """Put addresses on the list; one that is there keeps its reason."""
        wanted = {entry.key: entry for entry in entries}
        try:
            there = await self._outbox.suppression.find(wanted.keys())
            new = [entry for key, entry in wanted.items() if key not in there]
            await self._outbox.suppression.add(Suppressed(one.key, one.reason, one.at.timestamp()) for one in new)
        except JournalError as error:
            raise _unavailable(error) from error
        return len(new)

    async def remove(self, addresses: Iterable[str]) -> int:
        """Take addresses off the list."""
        try:
            return await self._outbox.suppression.remove({normalised(address) for address in addresses})
        except JournalError as error:
            raise _unavailable(error) from error

    async def entries(self) -> AsyncIterator[SuppressedAddress]:
        """Every address on the list."""
        try:
            async for entry in self._outbox.suppression:
                yield SuppressedAddress(entry.address, entry.reason, datetime.fromtimestamp(entry.at, UTC))
        except JournalError as error:
            raise _unavailable(error) from error

    async def aclose(self) -> None:
        """Close the outbox."""
        await self._outbox.aclose()


class OutboxLedger:
    """
    Writes down what came back of an outbox's messages.

    Args:
        outbox: has the messages; closed together with the feed.
    """

    name = "outbox"

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def parts(self, event: Event) -> Sequence[Part]:
        """One for each recipient who got it, bounced or complained."""
        kind, words = _told(event)
        if not kind or not event.mail.message_id:
            return ()
        at = (event.at or datetime.now(UTC)).timestamp()
        named = {one.address: one.diagnostic for one in event.recipients} or dict.fromkeys(event.mail.destination, "")
        return [
            Part(address, (event.mail.message_id, address, kind, at, printable(diagnostic or words)[:MOST_WORDS]))
            for address, diagnostic in named.items()
        ]

    async def deliver(self, part: Part) -> None:
        """Write it down; on the disk when this returns."""
        try:
            await self._outbox.feedback(*part.payload)
        except JournalError as error:
            raise Unavailable(str(error)) from error

    async def aclose(self) -> None:
        """Close the outbox."""
        await self._outbox.aclose()


def _told(event: Event) -> tuple[str, str]:
    """What the outbox calls an event, and more about it; empty where it has no word for it."""
    match event:
        case Delivery():
            return "delivered", event.response
        case Bounce():
            word = "bounced" if event.permanent else "bounced_for_now"
            return word, f"{event.bounce_type} {event.bounce_subtype}".strip()
        case Complaint() if event.feedback_type != "not-spam":
            return "complained", event.feedback_type
        case Reject():
            return "rejected", event.reason
    return "", ""


def _unavailable(error: JournalError) -> SuppressionUnavailable:
    return SuppressionUnavailable(f"the suppression list cannot be used ({error}), so nothing is sent")
