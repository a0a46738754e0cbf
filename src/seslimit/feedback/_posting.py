"""Posting to a destination behind HTTP: one client, and what an answer means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from .._model.errors import ConfigurationError, printable
from ._feed import Refused, Unanswered, Unavailable

TIMEOUT = 8.0
"""Seconds for one request: with it and the waits between them the answer to SNS still comes in time."""

FINAL = frozenset({400, 410, 413, 422})
"""Answers that will be the same next time."""

MOST = 10 * 2**20
"""Bytes of an answer that is read."""


class Posting:
    """
    What destinations behind HTTP have in common.

    Args:
        url: where to.

    Raises:
        ConfigurationError: it is no such URL.
    """

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
        headers = {"Content-Type": "application/json", **headers}
        try:
            status, words = await self._asked("POST", self._url, headers=headers, data=body)
        except aiohttp.ClientConnectorError as error:  # it never had the request
            raise Unavailable(printable(str(error))) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unanswered(printable(str(error)) or type(error).__name__) from error
        if 200 <= status < 300:
            return
        raise (Refused if status in FINAL else Unavailable)(self._words(status, words[:300]))

    async def _asked(self, method: str, url: str, *, headers: Mapping[str, str], **request: Any) -> tuple[int, bytes]:
        if self._client is None:
            self._client = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT), cookie_jar=aiohttp.DummyCookieJar()
            )
        headers = {"User-Agent": "seslimit", **headers}
        async with self._client.request(method, url, headers=headers, allow_redirects=False, **request) as answer:
            return answer.status, await _body(answer)

    def _words(self, status: int, words: bytes) -> str:
        return f"HTTP {status} {printable(words.decode('utf-8', 'replace').strip())}".strip()


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = b""
    while len(body) < MOST and (piece := await answer.content.read(MOST - len(body))):
        body += piece
    return body
