"""
The transport: one message, once, through one POST request.

Decides whether the content had left when something broke. What answers mean is in `_answers`.

Invariants: one request for one attempt, without redirects; the token goes over TLS, except to this machine.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from seslimit import ConfigurationError, Message, Outcome, Receipt, SendQuota, TransportError
from seslimit.transports import TransportURL

from ._answers import ACCEPTED, refusal

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class PostboxTransport:
    """
    Hands messages to Postbox.

    Args:
        base_url: "https://mail.example.org"; http:// is accepted for this machine only.
        token: the account's token; never shown.
        timeout: seconds for one attempt in all.
        max_connections: connections at most; have at least as many as messages in flight.

    Raises:
        ConfigurationError: the token would go unencrypted over a network, it holds a control character, or the URL
            holds a user or a password.
    """

    def __init__(self, base_url: str, token: str, *, timeout: float = 60.0, max_connections: int = 100) -> None:
        url = urlsplit(base_url)
        if url.username is not None or url.password is not None:
            # The URL is shown in `repr`; the token is not.
            raise ConfigurationError("base_url holds a user or a password: pass the token as token.")
        if url.scheme != "https" and not (url.scheme == "http" and url.hostname in LOOPBACK):
            raise ConfigurationError("the token would go unencrypted over a network: use https://.")
        if not (token.isascii() and token.isprintable()):
            raise ConfigurationError("the token holds a control character or is not ASCII.")
        self._base_url = base_url.rstrip("/")
        self._token = token
        self._timeout = timeout
        self._max_connections = max_connections
        self._opened: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"PostboxTransport({self._base_url!r})"

    async def send(self, message: Message) -> Receipt:
        """
        Make one attempt.

        Raises:
            TransportError: the message was not accepted; its outcome says what that means.

        Cancelling:
            the request is dropped with its connection; the message may have been accepted.
        """
        # In a thread, since ten megabytes would keep the event loop for a good tenth of a second.
        body = await asyncio.to_thread(_body, message)
        attempt = SimpleNamespace(written_at=None)
        try:
            status, answer, retry_after = await self._request("POST", "messages", body, attempt)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _broken(error, attempt.written_at) from error
        message_id = str(answer.get("id") or "")
        if status == ACCEPTED and message_id:
            return Receipt(message_id, decided_at=attempt.written_at)
        if 200 <= status < 300:
            raise TransportError(
                Outcome.UNKNOWN, f"{status} without an id: it may be accepted", decided_at=attempt.written_at
            )
        raise refusal(status, str(answer.get("error") or ""), retry_after, decided_at=attempt.written_at)

    async def quota(self) -> SendQuota | None:
        """
        The account's sending quota now; None where the service does not tell.

        Raises:
            TransportError: the question failed.
        """
        try:
            status, answer, _ = await self._request("GET", "account", None, SimpleNamespace())
            if status != 200:
                return None
            return SendQuota(float(answer["daily_quota"]), float(answer["rate"]), float(answer["sent_today"]))
        except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError) as error:
            raise TransportError(Outcome.NOT_SENT, f"the quota is not known: {_words(error)}") from error

    async def aclose(self) -> None:
        """Close all connections."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()

    async def _request(
        self, method: str, path: str, body: bytes | None, attempt: SimpleNamespace
    ) -> tuple[int, Mapping[str, Any], str]:
        async with self._session().request(
            method,
            f"{self._base_url}/{path}",
            data=None if body is None else io.BytesIO(body),
            headers={"Content-Type": "application/json"},
            trace_request_ctx=attempt,
            allow_redirects=False,
        ) as response:
            answer = await response.read()
            return response.status, _object(answer), response.headers.get("Retry-After", "")

    def _session(self) -> aiohttp.ClientSession:
        # Made when it is first needed, since it wants a running event loop and a transport does not.
        if self._opened is None:
            tracing = aiohttp.TraceConfig()
            tracing.on_request_chunk_sent.append(_note_writing)
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections),
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                headers={"Authorization": f"Bearer {self._token}"},
                trace_configs=[tracing],
            )
        return self._opened


def from_url(url: TransportURL) -> PostboxTransport:
    """
    The transport of `postbox://:TOKEN@HOST`; `tls=none` is for this machine only, `timeout` is in seconds.

    Raises:
        ConfigurationError: an option is unknown or wrong, or the host or the token is missing.
    """
    options = url.take("tls", "timeout", "max_connections")
    if not url.host or url.user or not url.password:
        raise ConfigurationError("a postbox URL is postbox://:TOKEN@HOST.")
    if options.get("tls", "required") not in ("required", "none"):
        raise ConfigurationError("option 'tls' of a postbox URL is none, or left out.")
    host = f"[{url.host}]" if ":" in url.host else url.host
    port = "" if url.port is None else f":{url.port}"
    return PostboxTransport(
        f"{'http' if options.get('tls') == 'none' else 'https'}://{host}{port}",
        url.password,
        timeout=url.number("timeout", 60.0, least=0.1),
        max_connections=int(url.number("max_connections", 100, least=1)),
    )


async def _note_writing(_: object, context: SimpleNamespace, __: object) -> None:
    """Handle aiohttp's signal that a piece of the content is about to be written: the service may have it from now."""
    attempt = context.trace_request_ctx
    attempt.written_at = asyncio.get_running_loop().time()


def _body(message: Message) -> bytes:
    content = base64.b64encode(message.as_bytes()).decode()
    return json.dumps({"from": message.mail_from, "to": message.recipients, "content": content}).encode()


def _broken(error: Exception, written_at: float | None) -> TransportError:
    """The error for a request without an answer."""
    if written_at is None:
        return TransportError(Outcome.NOT_SENT, f"No request was made: {_words(error)}", blocks_endpoint=True)
    return TransportError(
        Outcome.UNKNOWN, f"No answer, it may have been accepted: {_words(error)}", decided_at=written_at
    )


def _object(body: bytes) -> Mapping[str, Any]:
    """The JSON object of an answer; empty where it is something else, such as a gateway's page."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
