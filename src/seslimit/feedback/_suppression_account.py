"""
SES's own list: the addresses that an account suppresses, read and changed through the API.

SES takes about one such request a second, so nobody is asked for by itself: the list is read whole, 1000 addresses a
request, before the first message, and what was added since is read every few minutes.

Invariants: nothing is said before the list was read to its end; nor when the last look is too long ago.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import backoff
from aiolimiter import AsyncLimiter
from botocore.exceptions import BotoCoreError, ClientError

from .._model.clearance import SuppressionUnavailable
from .._model.errors import printable
from ..transports import transport_from_url
from ._suppression import BOUNCE, COMPLAINT, SuppressedAddress, normalised

if TYPE_CHECKING:
    from ..transports.ses._transport import SESTransport

logger = logging.getLogger("seslimit")

PAGE = 1000
"""Addresses of one answer. Source: SES API v2, ListSuppressedDestinations, PageSize; read 2026-11."""

PER_SECOND = 1.0
"""Requests: all but those that send are throttled at one a second.

Source: Amazon SES Developer Guide, "Service quotas"; read 2026-11."""

REFRESH = 300.0
"""Seconds from one look at what was added to the next."""

STALE = 3600.0
"""Seconds after which a list that could not be read again is not believed any more."""

OVERLAP = timedelta(minutes=5)
"""How much of the time before is read again: clocks differ, and an address shows up a while after its time."""

TRIES = 5
"""Times that one request is made before it is given up."""

_BROKEN = (ClientError, BotoCoreError, OSError, asyncio.TimeoutError)


class AccountSuppression:
    """
    The suppression list of an account in one region, which SES keeps itself.

    SES does not deliver to these anyhow, but a message to one of them counts for the quota and comes back as a bounce.
    The credentials need `ses:ListSuppressedDestinations`, to ask for one address `ses:GetSuppressedDestination`, and to
    change the list `ses:PutSuppressedDestination` and `ses:DeleteSuppressedDestination`.

    Args:
        transport: names region, profile and endpoint; closed together with the list.
        refresh: seconds from one look at what was added to the next.
    """

    def __init__(self, transport: SESTransport, *, refresh: float = REFRESH) -> None:
        self._transport = transport
        self._refresh = refresh
        self._pace = AsyncLimiter(1, 1.0 / PER_SECOND)
        self._entries: dict[str, SuppressedAddress] = {}
        self._read_at: float | None = None
        self._since: datetime | None = None
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    def from_url(cls, url: str) -> AccountSuppression:
        """
        The list of the account that `ses://REGION` names, with the options of the transport.

        Raises:
            ConfigurationError: it names none.
        """
        from ..transports.ses._transport import SESTransport

        transport = transport_from_url(url)
        assert isinstance(transport, SESTransport)  # noqa: S101  # it is what the scheme names
        return cls(transport)

    async def suppressed(self, addresses: Sequence[str]) -> Mapping[str, str]:
        """
        Those of the addresses that SES suppresses; the first call reads the list.

        Raises:
            SuppressionUnavailable: the list could not be read, or not for an hour.
        """
        now = asyncio.get_running_loop().time()
        if self._read_at is None:
            # One who is cancelled does not end it for the others.
            await asyncio.shield(self._look())
        elif now - self._read_at >= self._refresh:
            # Messages need not wait for it; but for those of a list that is too old.
            looking = self._look()
            if now - self._read_at >= STALE:
                await asyncio.shield(looking)
        found = ((address, self._entries.get(normalised(address))) for address in addresses)
        return {address: entry.reason for address, entry in found if entry is not None}

    async def find(self, address: str) -> SuppressedAddress | None:
        """
        Ask SES for one address, now.

        Raises:
            SuppressionUnavailable: it did not answer.
        """
        try:
            told = await self._ask("get_suppressed_destination", EmailAddress=address)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NotFoundException":
                return None
            raise _unavailable(error) from None
        return _entry(told["SuppressedDestination"])

    async def add(self, entries: Iterable[SuppressedAddress]) -> int:
        """Put addresses on SES's list, one a second; any reason but a complaint is a bounce there."""
        new = 0
        for entry in entries:
            reason = COMPLAINT if entry.reason == COMPLAINT else BOUNCE
            await self._change("put_suppressed_destination", EmailAddress=entry.address, Reason=reason.upper())
            new += entry.key not in self._entries
            self._entries[entry.key] = entry
        return new

    async def remove(self, addresses: Iterable[str]) -> int:
        """Take addresses off SES's list, one a second."""
        gone = 0
        for address in addresses:
            gone += await self._change("delete_suppressed_destination", EmailAddress=address)
            self._entries.pop(normalised(address), None)
        return gone

    async def entries(self) -> AsyncIterator[SuppressedAddress]:
        """Every address that SES suppresses, as it is now."""
        async for entry in self._pages():
            yield entry

    async def aclose(self) -> None:
        """Close the client."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        await self._transport.aclose()

    def _look(self) -> asyncio.Task[None]:
        """Read the list, once for all who ask meanwhile."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(_say)
        return self._reading

    async def _read(self) -> None:
        began, began_at = datetime.now(UTC), asyncio.get_running_loop().time()
        since = None if self._since is None else self._since - OVERLAP
        read = {entry.key: entry async for entry in self._pages(since)}
        self._entries.update(read)
        self._since, self._read_at = began, began_at

    async def _pages(self, since: datetime | None = None) -> AsyncIterator[SuppressedAddress]:
        asked: dict[str, Any] = {"PageSize": PAGE}
        if since is not None:
            asked["StartDate"] = since
        while True:
            try:
                page = await self._ask("list_suppressed_destinations", **asked)
            except ClientError as error:
                raise _unavailable(error) from None
            for told in page.get("SuppressedDestinationSummaries", ()):
                yield _entry(told)
            if not page.get("NextToken"):
                return
            asked["NextToken"] = page["NextToken"]

    async def _change(self, operation: str, **asked: Any) -> bool:
        try:
            await self._ask(operation, **asked)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NotFoundException":
                return False
            raise _unavailable(error) from None
        return True

    async def _ask(self, operation: str, **asked: Any) -> Mapping[str, Any]:
        """
        One request, made again where the service had no time for it.

        Raises:
            ClientError: the service says no.
            SuppressionUnavailable: there was no answer.
        """
        waits = backoff.expo(base=2, factor=1, max_value=10)
        next(waits)  # the first value of a backoff generator is no wait
        for last in [False] * (TRIES - 1) + [True]:
            await self._pace.acquire()
            try:
                async with asyncio.timeout(self._transport.timeout), self._transport.client() as client:
                    answer: Mapping[str, Any] = await getattr(client, operation)(**asked)
                    return answer
            except ClientError as error:
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
                if last or not (status == 429 or status >= 500):
                    raise
            except _BROKEN as error:
                if last:
                    raise _unavailable(error) from error
            await asyncio.sleep(float(backoff.full_jitter(next(waits))))
        raise AssertionError  # the last one returns or raises


def _entry(told: Mapping[str, Any]) -> SuppressedAddress:
    return SuppressedAddress(str(told["EmailAddress"]), str(told["Reason"]).lower(), told["LastUpdateTime"])


def _unavailable(error: BaseException) -> SuppressionUnavailable:
    if isinstance(error, ClientError):
        described = error.response.get("Error", {})
        words = f"{described.get('Code', '')} {described.get('Message', '')}".strip()
    else:
        words = str(error) or type(error).__name__
    return SuppressionUnavailable(
        f"the account's suppression list cannot be read ({printable(words)}), so nothing is sent"
    )


def _say(reading: asyncio.Task[None]) -> None:
    """Say that a look failed; whoever waits for it hears it anyhow."""
    if not reading.cancelled() and (error := reading.exception()) is not None:
        logger.warning("%s", error)
