"""
Where events go out of the box: a file, a webhook of the user's, and listmonk's record of bounces.

Each turns an event into the parts that it delivers, and says whether one that was not taken ever will be.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import attrs

from .._model.errors import ConfigurationError, printable
from ._events import Bounce, Complaint, Event, Recipient
from ._feed import Part, Refused, Unavailable

TIMEOUT = 8.0
"""Seconds for one request: with it and the waits between them the answer to SNS still comes in time."""

FINAL = frozenset({400, 410, 413, 422})
"""Answers that will be the same next time."""

MOST_META = 1000
"""Characters of a receiving server's words that listmonk is told."""


class JSONLines:
    """
    Appends every event to a file, one JSON object a line.

    Args:
        path: the file.

    Raises:
        ConfigurationError: it cannot be written.
    """

    name = "file"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            self._file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115  # open as long as this object
        except OSError as error:
            raise ConfigurationError(f"{os.fspath(path)} cannot be written: {error.strerror}.") from error
        self._lock = asyncio.Lock()

    def parts(self, event: Event) -> Sequence[Part]:
        """The event as a line."""
        return (Part("", json.dumps(event.as_dict(), default=str)),)

    async def deliver(self, part: Part) -> None:
        """Write the line, whole; it has reached the disk when this returns."""
        async with self._lock:
            try:
                await asyncio.to_thread(self._write, part.payload + "\n")
            except OSError as error:
                raise Unavailable(str(error.strerror)) from error

    async def aclose(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, line: str) -> None:
        begun = self._file.tell()
        try:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError:
            # A full disk takes half a line: what is not whole must not stand in front of the next.
            self._file.close()
            self._file = Path(self._file.name).open("a", encoding="utf-8")  # noqa: SIM115
            self._file.truncate(begun)
            raise


class _HTTP:
    """What destinations behind HTTP have in common: one client, and what an answer means."""

    name: str

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ConfigurationError(f"the {self.name} URL has to be http:// or https://, without a login in it.")
        self._url = url
        self._client: aiohttp.ClientSession | None = None

    async def aclose(self) -> None:
        """Close the client."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> None:
        if self._client is None:
            self._client = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT), cookie_jar=aiohttp.DummyCookieJar()
            )
        headers = {"Content-Type": "application/json", "User-Agent": "seslimit", **headers}
        try:
            async with self._client.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                status, words = answer.status, (await answer.content.read(300)).decode("utf-8", "replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(printable(str(error)) or type(error).__name__) from error
        if 200 <= status < 300:
            return
        raise (Refused if status in FINAL else Unavailable)(self._words(status, words))

    def _words(self, status: int, words: str) -> str:
        return f"HTTP {status} {printable(words.strip())}".strip()


class Webhook(_HTTP):
    """
    Posts every event as JSON to a URL of the user's, signed as Standard Webhooks has it.

    Args:
        url: where to.
        secret: signs what is posted, at least 24 characters; `whsec_` and base64 as that specification writes it, or
            any other text. Never shown.

    Raises:
        ConfigurationError: no such URL, or a secret that is too short.

    Source:
        Standard Webhooks specification 1.0: headers webhook-id, webhook-timestamp and webhook-signature, which is
        "v1," and the base64 of HMAC-SHA256 over "id.timestamp.body"; read 2026-11.
    """

    name = "webhook"

    def __init__(self, url: str, secret: str) -> None:
        super().__init__(url)
        if len(secret) < 24:
            raise ConfigurationError("the webhook's secret is shorter than 24 characters: make a longer one.")
        try:
            written = secret.removeprefix("whsec_")
            self._key = base64.b64decode(written, validate=True) if written != secret else secret.encode()
        except ValueError:
            raise ConfigurationError("the webhook's secret begins with whsec_, and no base64 follows.") from None

    def parts(self, event: Event) -> Sequence[Part]:
        """The event, with the id that the receiver tells repetitions by."""
        payload = json.dumps(event.as_dict(), default=str).encode()
        return (Part("", (hashlib.sha256(event.id.encode("utf-8", "surrogatepass")).hexdigest(), payload)),)

    async def deliver(self, part: Part) -> None:
        """Post it, with the moment and the signature of this try."""
        identity, body = part.payload
        at = str(int(time.time()))
        digest = hmac.digest(self._key, f"{identity}.{at}.".encode() + body, "sha256")
        signature = f"v1,{base64.b64encode(digest).decode()}"
        await self._post(body, {"webhook-id": identity, "webhook-timestamp": at, "webhook-signature": signature})


@attrs.frozen
class _ListmonkBounce:
    """What listmonk is told of one recipient."""

    body: bytes


class Listmonk(_HTTP):
    """
    Records bounces and complaints in listmonk, which then does what its settings say.

    Every recipient whom an event names is recorded by itself, with the campaign that is in the message's headers.

    Args:
        root_url: listmonk's root URL.
        user, token: an API user whose role has `webhooks:post_bounce`. The token is never shown.

    Raises:
        ConfigurationError: no such URL, or no user.

    Source:
        listmonk, "Bounce processing", `POST /webhooks/bounce`: one object a post, with `email` or `subscriber_uuid`,
        `campaign_uuid`, `type`, `source`, `meta` and `created_at`; 200 when it is queued; read 2026-11.
    """

    name = "listmonk"

    def __init__(self, root_url: str, user: str, token: str) -> None:
        super().__init__(f"{root_url.rstrip('/')}/webhooks/bounce")
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
            Part(recipient.address, _ListmonkBounce(self._body(event, recipient, _of(kind, recipient))))
            for recipient in dict.fromkeys(event.recipients)
        ]

    async def deliver(self, part: Part) -> None:
        """Post it."""
        await self._post(part.payload.body, self._login)

    def _words(self, status: int, words: str) -> str:
        meant = {
            401: "the API user or its token is wrong",
            403: "the API user's role lacks webhooks:post_bounce, or it is not an API user",
            404: "bounce webhooks are off: switch them on in listmonk's settings, Bounces",
            503: "bounce processing is off: switch it on in listmonk's settings, Bounces",
        }
        return meant.get(status) or super()._words(status, words)

    def _body(self, event: Event, recipient: Recipient, kind: str) -> bytes:
        meta = {
            "id": event.id,
            "message_id": event.mail.message_id,
            "type": getattr(event, "bounce_type", "") or getattr(event, "feedback_type", ""),
            "subtype": getattr(event, "bounce_subtype", "") or getattr(event, "complaint_subtype", ""),
            "status": recipient.status,
            "diagnostic": recipient.diagnostic[:MOST_META],
        }
        told: dict[str, Any] = {
            **_subscriber(event, recipient),
            "type": kind,
            "source": "ses",
            # PostgreSQL takes no NUL in JSON: with one, listmonk would say yes and keep nothing.
            "meta": {key: printable(value) for key, value in meta.items() if value},
        }
        campaign = _uuid(event.mail.header("X-Listmonk-Campaign"))
        if campaign is not None:
            told["campaign_uuid"] = campaign
        if event.at is not None:
            told["created_at"] = event.at.isoformat()
        return json.dumps(told).encode()


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


def _subscriber(event: Event, recipient: Recipient) -> dict[str, str]:
    """Who it is: the subscriber in the message's headers where it can be nobody else, the address otherwise."""
    subscriber = _uuid(event.mail.header("X-Listmonk-Subscriber"))
    alone = event.mail.destination == (recipient.address,)
    if subscriber is not None and alone and subscriber != str(uuid.UUID(int=0)):
        # The address may be spelt in another way than listmonk has it, for example with its domain in Punycode.
        return {"subscriber_uuid": subscriber}
    return {"email": recipient.address}


def _uuid(text: str | None) -> str | None:
    try:
        return str(uuid.UUID(text)) if text and len(text) <= 40 else None
    except ValueError:
        return None
