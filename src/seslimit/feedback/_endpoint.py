"""
An HTTP endpoint for SNS: reads, checks, confirms subscriptions, and answers when the event is taken.

It must not know what happens to events (`_feed`). A message is believed when `_envelope` and `_signature` say so, and
answered 200 when every destination has it; any other answer makes SNS deliver it again.

Invariants: nothing is fetched for a message that is not believed, but the certificate it is checked with; no request
makes more than one fetch; what a stranger sends costs little and is never logged as it came.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime

import aiohttp
from aiohttp import web
from aiolimiter import AsyncLimiter

from .._model.errors import ConfigurationError, printable
from .._with_block import WithBlock
from ..companion._address import Address
from ..companion._http import Bodies, HTTPServer, Unreadable, said
from ._envelope import CONFIRMATIONS, Envelope, check_topic
from ._events import InvalidFeedback
from ._feed import Feed, NotTaken
from ._reading import load, read
from ._signature import MAX_CERTIFICATE, CertificateUnavailable, Verifier

logger = logging.getLogger("seslimit")

PATH = "/sns"
HEALTH = "/health"

MAX_BODY = 640 * 1024
"""Bytes of a request: SNS carries 256 kB, and JSON may double them."""

READ_TIME = 20.0
"""Seconds in which a body has to arrive."""

FETCH_TIME = 5.0
"""Seconds for a certificate or a confirmation: SNS waits 15 s for the answer."""

FETCHES_A_MINUTE = 30
"""Certificates and confirmations that are fetched: strangers may ask for more, and wait."""

AT_ONCE = 64_000_000
"""Bytes of all bodies that are being read."""

KEEP_ALIVE = 75.0
"""Seconds that an idle connection stays open."""

ANSWER_TIME = 15.0
"""Seconds for the last answers at the end: SNS waits as long."""


class SNSEndpoint(WithBlock):
    """
    Takes what SNS posts to `/sns`.

    Args:
        feed: takes the events.
        topics: ARNs of the topics that are believed; at least one.
        host, port: where to listen; port 0 takes a free one, which is then in `port`.
        signature_versions: "2" rests on SHA-256, "1" on SHA-1 and is what a topic uses until it is told otherwise.
        fetch: the body behind an HTTPS URL of SNS; an HTTP client of its own when left out.

    Raises:
        ConfigurationError: no topic, or one that is none.
    """

    def __init__(
        self,
        feed: Feed,
        topics: Collection[str],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        signature_versions: Collection[str] = ("2",),
        fetch: Callable[[str], Awaitable[bytes]] | None = None,
    ) -> None:
        if not topics:
            raise ConfigurationError("no topic is allowed: name those whose events are to be believed.")
        self.port = port
        self._address = Address(host, port)
        self._server = HTTPServer(self.answer, logger, keep_alive=KEEP_ALIVE)
        self._bodies = Bodies(MAX_BODY, READ_TIME, AT_ONCE)
        self._feed = feed
        self._topics = frozenset(map(check_topic, topics))
        self._versions = frozenset(signature_versions)
        self._client: aiohttp.ClientSession | None = None
        self._fetch_one = fetch or self._fetch
        self._verifier = Verifier(self._rationed)
        self._ration = AsyncLimiter(FETCHES_A_MINUTE, 60.0)

    async def open(self) -> None:
        """
        Listen.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        await self._server.open(self._address)
        self.port = self._server.port

    async def aclose(self) -> None:
        """Take no new request, answer those that are there, and close."""
        await self._server.close(ANSWER_TIME)
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request: for a server of your own, where this endpoint is not opened."""
        if request.path == HEALTH and request.method in ("GET", "HEAD"):
            return _said(200, "ok")
        if request.path != PATH:
            return _said(404, f"There is nothing at this path; SNS posts to {PATH}.")
        if request.method != "POST":
            return _said(405, "Use POST.", {"Allow": "POST"})
        try:
            body = await self._bodies.read(request)
        except Unreadable as unreadable:
            return said(unreadable.status, f"{unreadable.words}\n", last=True)
        return await self._taken(body)

    async def _taken(self, body: bytes) -> web.Response:
        try:
            envelope = Envelope.of(load(body))
            now = datetime.now(UTC)
            envelope.check(now, self._topics, self._versions)
            await self._verifier.check(envelope, now)
            if envelope.kind in CONFIRMATIONS:
                return await self._confirmed(envelope)
        except InvalidFeedback as error:
            self._feed.counts.invalid += 1
            logger.warning("a post to %s is not believed: %s", PATH, error)
            return _said(403, f"This is not believed: {error}")
        except CertificateUnavailable as error:
            logger.warning("a post to %s cannot be checked now: %s", PATH, error)
            return _said(503, "This cannot be checked now; deliver it again.")
        try:
            event = read(envelope.message)
        except InvalidFeedback as error:
            # SES posts a sentence for people when the topic is set up. It is genuine, and nothing more will come of it.
            self._feed.counts.invalid += 1
            logger.info("a message of SNS is no event of SES: %s", error)
            return _said(200, "This is no event; it is not needed again.")
        try:
            await self._feed.take(event)
        except NotTaken as error:
            return _said(503, f"Not now; deliver it again: {error}.")
        return _said(200, "Taken.")

    async def _confirmed(self, envelope: Envelope) -> web.Response:
        topic = printable(envelope.fields["TopicArn"])
        if envelope.kind == "UnsubscribeConfirmation":
            # Its URL would subscribe again: whoever ended the subscription meant it.
            logger.warning("the subscription to %s was ended", topic)
            return _said(200, "Noted.")
        await self._rationed(envelope.confirm_url())
        logger.info("subscribed to %s", topic)
        return _said(200, "Confirmed.")

    async def _rationed(self, url: str) -> bytes:
        if not self._ration.has_capacity():
            raise CertificateUnavailable(f"more than {FETCHES_A_MINUTE} fetches a minute were asked for")
        await self._ration.acquire()
        return await self._fetch_one(url)

    async def _fetch(self, url: str) -> bytes:
        if self._client is None:
            self._client = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=FETCH_TIME), cookie_jar=aiohttp.DummyCookieJar()
            )
        try:
            async with self._client.get(url, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise CertificateUnavailable(f"SNS answered {answer.status}")
                body = await answer.content.read(MAX_CERTIFICATE + 1)
                while len(body) <= MAX_CERTIFICATE and (more := await answer.content.read(MAX_CERTIFICATE)):
                    body += more
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CertificateUnavailable(f"SNS could not be asked: {type(error).__name__}") from error
        if len(body) > MAX_CERTIFICATE:
            raise InvalidFeedback("what is behind its URL is too long.")
        return body


def _said(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return said(status, f"{text}\n", headers)
