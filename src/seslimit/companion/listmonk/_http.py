"""
The HTTP surface of the messenger: who is let in, what is read, and what is answered before anybody looks at a message.

It must not know what a message is: a body goes in, an answer comes out.

Invariants: a request that is refused is not read; a body is never longer than allowed, and never unpacked; whoever goes
away before the answer does not end what was begun; a connection that says nothing does not last.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import attrs
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from .._address import Address
from .._clients import Clients
from .._listening import BACKLOG, handed_over, listening_on
from .._logins import FailedLogins

KEEP_ALIVE = 3600.0
"""Seconds that an idle connection stays open: longer than any time-out of listmonk, which would lose a message to a
connection that closes under it."""

MAX_READING = 256_000_000
"""Bytes of all bodies that are being read; beyond that, a further one is refused."""

READ_TIME = 60.0
"""Seconds in which a body has to arrive."""

HEAD_TIME = 60.0
"""Seconds in which the head of a connection's first request has to arrive."""

MAX_CONNECTIONS = 2000
"""Connections at once; see `Clients` for who goes when there is one more."""

ANSWER_TIME = 1.0
"""Seconds for the last answers to be written when the door closes."""

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


class _Log(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's log without what a client sent: of a malformed request it would log all, the login and the content."""

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        exc = kwargs.get("exc_info")
        if isinstance(exc, HttpProcessingError):
            self.debug("a request was no HTTP: %s", type(exc).__name__)
        else:
            super().exception(msg, *args, **kwargs)

    def debug(self, msg: object, *args: object, **kwargs: Any) -> None:
        super().debug(msg, *args, **{**kwargs, "exc_info": None})


class _Server(web.Server):
    """
    aiohttp's server, with bounds on those that connect.

    A connection on which no request has come in time ends; aiohttp would wait an hour. When there are too many, the
    oldest on which no request was let in ends, from the address with the most of those.
    """

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], **options: Any) -> None:
        super().__init__(handler, **options)
        self._silent: dict[web.RequestHandler, asyncio.TimerHandle] = {}
        self._clients: Clients[asyncio.Transport] = Clients(MAX_CONNECTIONS)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._silent[handler] = asyncio.get_running_loop().call_later(HEAD_TIME, transport.abort)
        peer = transport.get_extra_info("peername")
        self._clients.arrived(transport, str(peer[0]) if peer else "")
        if self._clients.are_too_many and (goes := self._clients.oldest_unproven()) is not None:
            self._clients.left(goes)
            goes.abort()

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self.spoke(handler)
        if handler.transport is not None:
            self._clients.left(handler.transport)
        super().connection_lost(handler, exc)

    def spoke(self, handler: web.RequestHandler) -> None:
        """A request came, or nothing comes any more."""
        timer = self._silent.pop(handler, None)
        if timer is not None:
            timer.cancel()

    def proved(self, request: web.BaseRequest) -> None:
        """A request may be made by whoever makes it."""
        if request.transport is not None:
            self._clients.proved(request.transport)


class Door:
    """
    Listens, and hands each body that may come in to `post`.

    Args:
        address: where to listen.
        login: who may post; None for everybody.
        max_size: bytes of a body.
        post: answers a body.
        health: answers whether all is well.
        left: called for each body whose sender had gone when the answer came.
        others: what answers at other paths; it sees to it by itself who may ask.
    """

    def __init__(
        self,
        address: Address,
        login: Login | None,
        max_size: int,
        *,
        post: Callable[[bytes], Awaitable[Answer]],
        health: Callable[[], Answer],
        left: Callable[[Answer], None],
        others: Mapping[str, Other] | None = None,
    ) -> None:
        self.port = address.port
        self.was_handed_over = False
        """Whether somebody else goes on with the listening socket when this one stops."""
        self.listening: socket.socket | None = None
        """What it listens on; None while it is not open."""
        self._shutting = False
        self._address = address
        self._login = login
        self._max_size = max_size
        self._post = post
        self._health = health
        self._left = left
        self._others = others or {}
        self._logins = FailedLogins(logging.getLogger("seslimit.listmonk"))
        self._reading = 0
        self._server: _Server | None = None
        self._runner: web.ServerRunner | None = None
        self._site: web.BaseSite | None = None

    async def open(self, given: socket.socket | None = None) -> None:
        """Listen, on the socket that is given or handed over, or a new one; raises OSError where that cannot be."""
        listening = given or handed_over()
        self.was_handed_over = listening is not None
        self.listening = listening or await listening_on(self._address)
        self._server = _Server(
            self._answer,
            access_log=None,
            logger=_Log(logging.getLogger("seslimit.listmonk"), {}),
            keepalive_timeout=KEEP_ALIVE,
            auto_decompress=False,
            lingering_time=2.0,
        )
        self._runner = web.ServerRunner(self._server, shutdown_timeout=ANSWER_TIME)
        await self._runner.setup()
        self._site = web.SockSite(self._runner, self.listening, backlog=BACKLOG)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    async def shut(self) -> None:
        """Let no new connection in; those that are there stay, each until its next answer."""
        self._shutting = True
        if self._site is not None:
            await self._site.stop()
            self._site = self.listening = None

    async def close(self) -> None:
        """End every connection, those with an answer to write as soon as it is written."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._server is not None:
            self._server.spoke(request.protocol)
        if (other := self._others.get(request.path)) is not None:
            return await other(request)
        answer = self._misdirected(request) or await self._shut_out(request) or self._unreadable(request)
        if answer is None and request.path == HEALTH:
            answer = self._health()
        if answer is None:
            answer = await self._read_and_post(request)
            if request.transport is None:
                self._left(answer)
        response = web.Response(
            status=answer.status,
            text=json.dumps(answer.body),
            content_type="application/json",
            headers={**answer.headers, "Cache-Control": "no-store", "Server": "seslimit"},
        )
        if answer.last or self._shutting:
            response.force_close()
        return response

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
        if self._server is not None:
            self._server.proved(request)
        return None

    def _unreadable(self, request: web.BaseRequest) -> Answer | None:
        if request.path == HEALTH:
            return None
        if request.content_type != "application/json" or (request.charset or "utf-8").lower() != "utf-8":
            return attrs.evolve(Answer.refusal(415, "Post application/json in UTF-8."), last=True)
        if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            return attrs.evolve(Answer.refusal(415, "Post the body as it is, without Content-Encoding."), last=True)
        if (request.content_length or 0) > self._max_size:
            return self._too_large()
        return None

    def _too_large(self) -> Answer:
        return attrs.evolve(Answer.refusal(413, f"The body has more than {self._max_size:,} bytes."), last=True)

    async def _read_and_post(self, request: web.BaseRequest) -> Answer:
        body = bytearray()
        try:
            async with asyncio.timeout(READ_TIME):
                async for chunk in request.content.iter_any():
                    body += chunk
                    self._reading += len(chunk)
                    if len(body) > self._max_size:
                        return self._too_large()
                    if self._reading > MAX_READING:
                        return attrs.evolve(Answer.refusal(503, "Too much is being read already."), last=True)
        except TimeoutError:
            return attrs.evolve(Answer.refusal(408, f"The body did not come within {READ_TIME:.0f} s."), last=True)
        except ConnectionError:
            # Nobody hears it; raised, it would be an error of ours in aiohttp's log.
            return attrs.evolve(Answer.refusal(400, "The body has no end."), last=True)
        finally:
            self._reading -= len(body)
        return await self._post(bytes(body))


def _too_many_failed(again: int) -> Answer:
    words = {"error": "Too many logins failed from your address.", "retry_after": again}
    return Answer(429, words, {"Retry-After": str(again)}, last=True)
