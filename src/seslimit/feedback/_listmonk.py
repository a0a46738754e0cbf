"""
Bounces and complaints in listmonk, each recorded once.

listmonk answers when it has a bounce in its queue, and writes down the same one twice when it is told twice. So it is
asked where it may have been told: after a kill, and where its answer was lost.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import attrs

from .._model.errors import ConfigurationError, printable
from ._events import Bounce, Complaint, Event, Recipient
from ._feed import Part, Unavailable
from ._posting import Posting

logger = logging.getLogger("seslimit")

MOST_META = 1000
"""Characters of a receiving server's words that listmonk is told."""

SOURCE = "ses"
"""What listmonk is told of where a bounce comes from, and shows its records by."""

SAME = timedelta(milliseconds=1)
"""A record's moment is the event's, rounded."""

BESIDE = 20
"""Pages, of 50 records each, that are read for one event: so many may have happened at the same moment."""


@attrs.frozen
class _Told:
    """
    What listmonk is told of one recipient, and finds it by.

    Args:
        body: as it is posted.
        event: the event's id, as it is in the record.
        subscriber: an address, or the subscriber's UUID.
        at: when it happened; None where that is not known.
    """

    body: bytes
    event: str
    subscriber: str
    at: datetime | None

    def is_in(self, row: Mapping[str, Any]) -> bool:
        """Whether a record of listmonk's is it."""
        meta = row.get("meta")
        names = {str(row.get(name, "")).casefold() for name in ("email", "subscriber_uuid")}
        return isinstance(meta, Mapping) and meta.get("id") == self.event and self.subscriber.casefold() in names


@attrs.frozen
class _Page:
    """
    Some of listmonk's records.

    Args:
        rows: the records.
        pages: how many pages there are.
        oldest: the moment of the last record.
    """

    rows: Sequence[Mapping[str, Any]]
    pages: int
    oldest: datetime

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> _Page:
        """As listmonk writes it; where there is nothing, it gives no numbers either."""
        rows = data["results"] or ()
        if not rows:
            return cls((), 1, datetime.min.replace(tzinfo=UTC))
        return cls(rows, -(-data["total"] // data["per_page"]), datetime.fromisoformat(rows[-1]["created_at"]))


class _MayNot(Exception):  # it is the operator's to change
    """listmonk does not show its records."""


class Listmonk(Posting):
    """
    Records bounces and complaints in listmonk, which then does what its settings say.

    Every recipient whom an event names is recorded by itself, with the campaign that is in the message's headers. Since
    listmonk writes down the same bounce twice when it is told twice, it is asked first where it may have been told.

    Args:
        root_url: listmonk's root URL.
        user, token: an API user whose role has `webhooks:post_bounce`, and `bounces:get` to be asked. The token is
            never shown.

    Raises:
        ConfigurationError: no such URL, or no user.

    Source:
        listmonk, "Bounce processing", `POST /webhooks/bounce`: one object a post, with `email` or `subscriber_uuid`,
        `campaign_uuid`, `type`, `source`, `meta` and `created_at`; 200 when it is queued. "API / Bounces", `GET
        /api/bounces`: pages of what is recorded, ordered by `created_at`; read 2026-11.
    """

    name = "listmonk"

    def __init__(self, root_url: str, user: str, token: str) -> None:
        root = root_url.rstrip("/")
        super().__init__(f"{root}/webhooks/bounce")
        self._records = f"{root}/api/bounces"
        self._silent = False
        if not user or not token or ":" in user:
            raise ConfigurationError(
                "listmonk needs an API user: set SESLIMIT_LISTMONK_API_USER and SESLIMIT_LISTMONK_API_TOKEN."
            )
        self._login = {"Authorization": f"token {user}:{token}"}

    def parts(self, event: Event) -> Sequence[Part]:
        """One for each recipient who bounced or complained; none for other events."""
        kind = _listmonk_type(event)
        if kind is None:
            return ()
        return [
            Part(recipient.address, self._told(event, recipient, _of(kind, recipient)))
            for recipient in dict.fromkeys(event.recipients)
        ]

    async def deliver(self, part: Part) -> None:
        """Post it."""
        await self._post(part.payload.body, self._login)

    async def has(self, part: Part) -> bool:
        """
        Whether it is among what listmonk has recorded.

        The records are read in the order of their moments, the newest first: the page on which it would begin is found
        by halving. Whoever may not read them cannot say, and that is said once.
        """
        told: _Told = part.payload
        try:
            first = 1 if told.at is None else await self._first(told.at + SAME)
            for number in range(first, first + BESIDE):
                page = await self._page(number)
                if any(map(told.is_in, page.rows)):
                    return True
                if number >= page.pages or (told.at is not None and page.oldest < told.at - SAME):
                    break
        except _MayNot as error:
            if not self._silent:
                logger.warning("what was under way at a kill may be recorded twice: %s", error)
            self._silent = True
        return False

    async def _first(self, at: datetime) -> int:
        """The first page that has a record of this moment or an older one."""
        first, last = 1, (await self._page(1)).pages
        while first < last:
            middle = (first + last) // 2
            if (await self._page(middle)).oldest > at:
                first = middle + 1
            else:
                last = middle
        return first

    async def _page(self, number: int) -> _Page:
        query = {"source": SOURCE, "order_by": "created_at", "order": "desc", "page": str(number), "per_page": "50"}
        try:
            status, body = await self._asked("GET", self._records, headers=self._login, params=query)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(printable(str(error)) or type(error).__name__) from error
        if status in (401, 403, 404):
            raise _MayNot(f"listmonk answers HTTP {status} to GET /api/bounces, for which the role needs bounces:get")
        try:
            return _Page.read(json.loads(body)["data"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unavailable(f"HTTP {status} to GET /api/bounces") from error

    def _words(self, status: int, words: bytes) -> str:
        meant = {
            401: "the API user or its token is wrong",
            403: "the API user's role lacks webhooks:post_bounce, or it is not an API user",
            404: "bounce webhooks are off: switch them on in listmonk's settings, Bounces",
            503: "bounce processing is off: switch it on in listmonk's settings, Bounces",
        }
        return meant.get(status) or super()._words(status, words)

    def _told(self, event: Event, recipient: Recipient, kind: str) -> _Told:
        meta = {
            "id": event.id,
            "message_id": event.mail.message_id,
            "type": getattr(event, "bounce_type", "") or getattr(event, "feedback_type", ""),
            "subtype": getattr(event, "bounce_subtype", "") or getattr(event, "complaint_subtype", ""),
            "status": recipient.status,
            "diagnostic": recipient.diagnostic[:MOST_META],
        }
        field, subscriber = _subscriber(event, recipient)
        told: dict[str, Any] = {
            field: subscriber,
            "type": kind,
            "source": SOURCE,
            # PostgreSQL takes no NUL in JSON: with one, listmonk would say yes and keep nothing.
            "meta": {key: printable(value) for key, value in meta.items() if value},
        }
        campaign = _uuid(event.mail.header("X-Listmonk-Campaign"))
        if campaign is not None:
            told["campaign_uuid"] = campaign
        if event.at is not None:
            told["created_at"] = event.at.isoformat()
        return _Told(json.dumps(told).encode(), printable(event.id), subscriber, event.at)


def _listmonk_type(event: Event) -> str | None:
    if isinstance(event, Bounce):
        return "hard" if event.permanent else "soft"
    if isinstance(event, Complaint):
        # Somebody told the provider that the message is *not* spam; SES passes that on as well.
        return None if event.feedback_type == "not-spam" else "complaint"
    return None


def _of(kind: str, recipient: Recipient) -> str:
    # "Unable to route": SES calls it transient, listmonk's own reading of SES calls it hard, and it is.
    return "hard" if kind == "soft" and recipient.status == "5.4.4" else kind


def _subscriber(event: Event, recipient: Recipient) -> tuple[str, str]:
    """Who it is: the subscriber in the message's headers where it can be nobody else, the address otherwise."""
    subscriber = _uuid(event.mail.header("X-Listmonk-Subscriber"))
    alone = event.mail.destination == (recipient.address,)
    if subscriber is not None and alone and subscriber != str(uuid.UUID(int=0)):
        # The address may be spelt in another way than listmonk has it, for example with its domain in Punycode.
        return "subscriber_uuid", subscriber
    return "email", recipient.address


def _uuid(text: str | None) -> str | None:
    try:
        return str(uuid.UUID(text)) if text and len(text) <= 40 else None
    except ValueError:
        return None
