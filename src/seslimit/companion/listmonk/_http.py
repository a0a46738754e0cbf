"""
The HTTP surface of the messenger: who is let in, and what is answered before anybody looks at a message.

It must not know what a message is: a body goes in, an answer comes out; nor how bytes come and go (`.._http`).

Invariants: a request that is refused is not read; whoever goes away before the answer does not end what was begun; an
address that guesses at the login costs a connection, and nothing is read of it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import attrs
from aiohttp import web

from .._http import FIXED, Bodies, HTTPServer, Unreadable, said
from .._logins import FailedLogins

logger = logging.getLogger("seslimit.listmonk")

KEEP_ALIVE = 3600.0
"""Seconds that an idle connection stays open: longer than any time-out of listmonk, which would lose a message to a
connection that closes under it."""

MAX_READING = 256_000_000
"""Bytes of all bodies that are being read; beyond that, a further one is refused."""

READ_TIME = 60.0
"""Seconds in which a body has to arrive."""

MESSAGES: Final = "/"
HEALTH: Final = "/health"
METHODS: Final = {MESSAGES: ("POST",), HEALTH: ("GET", "HEAD")}


Other: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""What answers at a path that is not the messenger's own."""


@attrs.frozen
class Answer:
    """
    What a request is told.

    Args:
        status: the HTTP status.
        body: goes out as JSON.
        headers: further headers.
        last: whether the connection ends with it.
    """

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = attrs.field(factory=dict)
    last: bool = False

    @classmethod
    def refusal(cls, status: int, error: str, **more: Any) -> Answer:
        """An answer that says what is wrong."""
        return cls(status, {"error": error, **more})


@attrs.frozen
class Login:
    """Who may post."""

    user: str
    password: str = attrs.field(repr=False)

    def admits(self, authorization: str) -> bool:
        """Whether an Authorization header holds this login; takes as long for a wrong one as for a nearly right one."""
        scheme, _, encoded = authorization.partition(" ")
        try:
            given = base64.b64decode(encoded.strip(), validate=True) if scheme.lower() == "basic" else b""
        except (binascii.Error, ValueError):
            given = b""
        return hmac.compare_digest(given, f"{self.user}:{self.password}".encode())


class Door:
    """
    Hands each body that may come in to `post`.

    Args:
        login: who may post; None for everybody.
        max_size: bytes of a body.
        post: answers a body.
        health: answers whether all is well.
        left: called for each body whose sender had gone when the answer came.
        others: what answers at other paths; it sees to it by itself who may ask.
    """

    def __init__(
        self,
        login: Login | None,
        max_size: int,
        *,
        post: Callable[[bytes], Awaitable[Answer]],
        health: Callable[[], Answer],
        left: Callable[[Answer], None],
        others: Mapping[str, Other] | None = None,
    ) -> None:
        self.server = HTTPServer(self._answer, logger, keep_alive=KEEP_ALIVE, turns_away=self._turns_away)
        self.shutting = False
        """Whether each connection ends with its next answer."""
        self._login = login
        self._bodies = Bodies(max_size, READ_TIME, MAX_READING)
        self._post = post
        self._health = health
        self._left = left
        self._others = others or {}
        self._logins = FailedLogins(logger)

    def _turns_away(self, host: str) -> bytes | None:
        """The answer to whoever guesses, before it has asked; where others answer as well, they see to it."""
        if self._login is None or self._others:
            return None
        again = self._logins.refuses(host, asyncio.get_running_loop().time())
        return None if again is None else _written(_too_many_failed(again))

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if (other := self._others.get(request.path)) is not None:
            return await other(request)
        answer = self._misdirected(request) or await self._shut_out(request) or self._unreadable(request)
        if answer is None and request.path == HEALTH:
            answer = self._health()
        if answer is None:
            answer = await self._read_and_post(request)
            if request.transport is None:
                self._left(answer)
        return said(
            answer.status,
            json.dumps(answer.body),
            answer.headers,
            content_type="application/json",
            last=answer.last or self.shutting,
        )

    def _misdirected(self, request: web.BaseRequest) -> Answer | None:
        allowed = METHODS.get(request.path)
        if allowed is None:
            return Answer.refusal(404, f"There is nothing at this path; messages are posted to {MESSAGES} alone.")
        if request.method not in allowed:
            return Answer(405, {"error": f"Use {allowed[0]}."}, {"Allow": ", ".join(allowed)}, last=True)
        return None

    async def _shut_out(self, request: web.BaseRequest) -> Answer | None:
        """The answer to whoever may not post, which takes its time."""
        if request.path == HEALTH:
            return None
        if self._login is not None:
            host, now = request.remote or "", asyncio.get_running_loop().time()
            if (again := self._logins.refuses(host, now)) is not None:
                return _too_many_failed(again)
            given = request.headers.get("Authorization", "")
            if not self._login.admits(given):
                # Whoever gives none asks what is wanted.
                wait = self._logins.failed(host, now) if given else 0.0
                if wait is None:
                    return _too_many_failed(1)
                await asyncio.sleep(wait)
                challenge = {"WWW-Authenticate": 'Basic realm="seslimit", charset="UTF-8"'}
                return Answer(401, {"error": "User or password is missing or wrong."}, challenge, last=True)
            self._logins.right(host, now)
        self.server.proved(request)
        return None

    def _unreadable(self, request: web.BaseRequest) -> Answer | None:
        if request.path == HEALTH:
            return None
        if request.content_type != "application/json" or (request.charset or "utf-8").lower() != "utf-8":
            return attrs.evolve(Answer.refusal(415, "Post application/json in UTF-8."), last=True)
        if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            return attrs.evolve(Answer.refusal(415, "Post the body as it is, without Content-Encoding."), last=True)
        return None

    async def _read_and_post(self, request: web.BaseRequest) -> Answer:
        try:
            body = await self._bodies.read(request)
        except Unreadable as unreadable:
            return attrs.evolve(Answer.refusal(unreadable.status, unreadable.words), last=True)
        return await self._post(body)


def _written(answer: Answer) -> bytes:
    """An answer as it goes over the wire, where nothing was read; the connection ends behind it."""
    body = json.dumps(answer.body).encode()
    fields = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **answer.headers,
        **FIXED,
    }
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}", *map(": ".join, fields.items()), "", ""]
    return "\r\n".join(lines).encode("ascii") + body


def _too_many_failed(again: int) -> Answer:
    words = {"error": "Too many logins failed from your address.", "retry_after": again}
    return Answer(429, words, {"Retry-After": str(again)}, last=True)
