"""
The HTTP of one request to the API: what it is answered with is its answer, and nothing else is.

aiohttp follows redirections, up to ten of them, and repeats the whole request at each after a 307 or a 308: each
perhaps a message sent twice. And it keeps a connection on which more came than the answer: a second answer would be
taken for the answer to the next request, and a message would count as accepted that never was. Neither aiobotocore nor
botocore nor aiohttp has an option for either.

Invariants: a connection on which anything came while no answer was awaited, or behind one, carries no further request;
where that cannot be told it carries none either.
"""

from __future__ import annotations

import asyncio
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeAlias

from aiobotocore.httpsession import AIOHTTPSession
from aiohttp import StreamReader
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage

END_OF_HEAD = b"\r\n\r\n"

LAST_CHUNK = b"0\r\n\r\n"
"""The end of a content in chunks, without trailers. Source: RFC 9112, 7.1."""

FINAL = 200
"""Status from which on an answer is the last one to its request. Source: RFC 9110, 15.2."""

Answer: TypeAlias = tuple[RawResponseMessage, StreamReader]
"""The head of an answer, and its content as it comes."""


class AnswersOnly(ResponseHandler):
    """One connection: says that it is none any more when the service said anything but its answers."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._said = bytearray()
        self._answers: list[Answer] = []
        self._awaited = False
        self._in_step = True

    def set_response_params(self, **params: Any) -> None:
        """Begin to wait for the answer to the next request."""
        self._said.clear()
        self._answers.clear()
        self._awaited = True
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Take what came; nothing, where aiohttp goes on with what it has."""
        if not self._awaited:
            if data:
                self._in_step = False
                self.close()
            return
        self._said += data
        super().data_received(data)
        if self._answers and self._answers[-1][1].is_eof():
            self._awaited = False
            if not self._is_whole():
                # aiohttp may not have read it yet, so the connection is closed when it has.
                self._in_step = False
                self.force_close()

    def feed_data(self, data: Answer, size: int = 0) -> None:
        """Take an answer of which the head is complete."""
        if data[0].code >= FINAL:
            self._answers.append(data)
        super().feed_data(data, size)

    def is_connected(self) -> bool:
        """Whether a request can be written to it; aiohttp asks before it uses it again."""
        return self._in_step and super().is_connected()

    def _is_whole(self) -> bool:
        """Whether what came is one answer from its first byte to its last."""
        head, *more = self._answers
        content = self._said.partition(END_OF_HEAD)[2]
        if head[0].chunked:
            return not more and content.endswith(LAST_CHUNK)
        return head[0].headers.get("Content-Length") == str(len(content))


class OneRequestSession(AIOHTTPSession):  # type: ignore[misc] # aiobotocore has no types
    """aiobotocore's HTTP session, which makes one request and no second, and takes one answer and no second."""

    async def _get_session(self, proxy_url: str | None) -> Any:
        session = await super()._get_session(proxy_url)
        # There is no public way to have connections of one's own kind.
        connector: Any = session.connector
        connector._factory = partial(AnswersOnly, asyncio.get_running_loop())  # noqa: SLF001
        return SimpleNamespace(request=partial(session.request, allow_redirects=False))
