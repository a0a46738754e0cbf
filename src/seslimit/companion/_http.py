"""
An HTTP server for one program: connections, bodies, and a log that says nothing of what strangers sent.

What the messenger for listmonk and the endpoint for SNS have in common. It must not know what a request is for, nor who
may make it.

Invariants: a body is never longer than allowed, and never unpacked; of all bodies that are being read, no more is kept
than allowed; a connection that says nothing does not last; nothing of a malformed request is logged.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from ._accepting import Acceptor, host_of
from ._address import Address
from ._clients import Clients
from ._listening import handed_over, not_listening

HEAD_TIME = 60.0
"""Seconds in which the head of a connection's first request has to arrive."""

MAX_CONNECTIONS = 2000
"""Connections at once; see `Clients` for who goes when there is one more."""

LINGER: Final = 2.0
"""Seconds for which a body is still taken off the wire whose answer is given already."""

FIXED: Final = {"Cache-Control": "no-store", "Server": "seslimit"}
"""Headers of every answer."""


def said(
    status: int,
    text: str,
    headers: Mapping[str, str] | None = None,
    *,
    content_type: str = "text/plain",
    last: bool = False,
) -> web.Response:
    """An answer; `last` ends the connection behind it."""
    response = web.Response(status=status, text=text, content_type=content_type, headers={**(headers or {}), **FIXED})
    if last:
        response.force_close()
    return response


class Unreadable(Exception):
    """
    A body that is not read to its end; the connection ends with the answer.

    Args:
        status: what is answered.
        words: why, in one sentence.
    """

    def __init__(self, status: int, words: str) -> None:
        super().__init__(status, words)
        self.status = status
        self.words = words


class Bodies:
    """
    Reads bodies.

    Args:
        max_size: bytes of one.
        within: seconds in which it has to arrive.
        at_once: bytes of all that are being read.
    """

    def __init__(self, max_size: int, within: float, at_once: int) -> None:
        self._max_size = max_size
        self._within = within
        self._at_once = at_once
        self._reading = 0

    async def read(self, request: web.BaseRequest) -> bytes:
        """
        Read a body.

        Raises:
            Unreadable: it is too long, comes too slowly, or has no end, or too much is being read.
        """
        if (request.content_length or 0) > self._max_size:
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(self._within):
                async for chunk in request.content.iter_any():
                    body += chunk
                    self._reading += len(chunk)
                    if len(body) > self._max_size:
                        raise self._too_large()
                    if self._reading > self._at_once:
                        raise Unreadable(503, "Too much is being read already.")
        except TimeoutError:
            raise Unreadable(408, f"The body did not come within {self._within:.0f} s.") from None
        except (ConnectionError, ClientPayloadError):
            # Nobody hears it; raised, it would be an error of ours in aiohttp's log.
            raise Unreadable(400, "The body has no end.") from None
        finally:
            self._reading -= len(body)
        return bytes(body)

    def _too_large(self) -> Unreadable:
        return Unreadable(413, f"The body has more than {self._max_size:,} bytes.")


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's log without what a client sent: of a malformed request it would log all, the login and the content."""

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        exc = kwargs.get("exc_info")
        if isinstance(exc, HttpProcessingError):
            self.debug("a request was no HTTP: %s", type(exc).__name__)
        else:
            super().exception(msg, *args, **kwargs)

    def debug(self, msg: object, *args: object, **kwargs: Any) -> None:
        super().debug(msg, *args, **{**kwargs, "exc_info": None})


class _Connections(web.Server):
    """
    aiohttp's server, with bounds on those that connect.

    A connection on which no request has come in time ends; aiohttp would wait an hour. When there are too many, the
    oldest on which no request was let in ends, from the address with the most of those.
    """

    def __init__(
        self,
        answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        turns_away: Callable[[str], bytes | None],
        **options: Any,
    ) -> None:
        super().__init__(answer, **options)
        self.turns_away = turns_away
        self._silent: dict[web.RequestHandler, asyncio.TimerHandle] = {}
        self._clients: Clients[asyncio.Transport] = Clients(MAX_CONNECTIONS)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._silent[handler] = asyncio.get_running_loop().call_later(HEAD_TIME, transport.abort)
        self._clients.arrived(transport, host_of(transport.get_extra_info("peername")))
        if self._clients.are_too_many:
            self.shed()

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self.spoke(handler)
        if handler.transport is not None:
            self._clients.left(handler.transport)
        super().connection_lost(handler, exc)

    async def room(self) -> None:
        """There is: another one ends for a new one, or there are some more than usual."""

    def shed(self) -> bool:
        """End the connection that goes first; returns whether there was one."""
        goes = self._clients.oldest_unproven()
        if goes is None:
            return False
        self._clients.left(goes)
        goes.abort()
        return True

    def spoke(self, handler: web.RequestHandler) -> None:
        """A request came, or nothing comes any more."""
        timer = self._silent.pop(handler, None)
        if timer is not None:
            timer.cancel()

    def proved(self, request: web.BaseRequest) -> None:
        """A request may be made by whoever makes it."""
        if request.transport is not None:
            self._clients.proved(request.transport)


class HTTPServer:
    """
    Listens, and has each request answered.

    Args:
        answer: answers a request.
        logger: hears what aiohttp has to say.
        keep_alive: seconds that an idle connection stays open.
        turns_away: what to write to whoever comes from an address, before anything of it is read; None where it is let
            in. Everybody is when left out.
    """

    def __init__(
        self,
        answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        logger: logging.Logger,
        *,
        keep_alive: float,
        turns_away: Callable[[str], bytes | None] = lambda _: None,
    ) -> None:
        self.port = 0
        """The port that is listened on, or was."""
        self._answer = answer
        self._options = {
            "access_log": None,
            "logger": _Quiet(logger, {}),
            "keepalive_timeout": keep_alive,
            "auto_decompress": False,
            "lingering_time": LINGER,
        }
        self._turns_away = turns_away
        self._connections: _Connections | None = None
        self._acceptor: Acceptor | None = None

    @property
    def listening(self) -> list[socket.socket]:
        """The socket that is listened on; none while that is not open."""
        listening = None if self._acceptor is None else self._acceptor.listening
        return [] if listening is None else [listening]

    @property
    def was_handed_over(self) -> bool:
        """Whether somebody else goes on with the listening socket when this one stops."""
        return self._acceptor is not None and self._acceptor.was_handed_over

    def passed_on(self) -> None:
        """Somebody else goes on with the listening socket."""
        if self._acceptor is not None:
            self._acceptor.was_handed_over = True

    async def open(self, address: Address, given: socket.socket | None = None) -> None:
        """
        Listen: on the socket that is given, or that systemd has handed over, or else on a new one.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        if given is None:
            try:
                given = _one_of(handed_over())
            except OSError as error:
                raise not_listening(address, error) from None
        self._connections = _Connections(self._count, self._turns_away, **self._options)
        self._acceptor = Acceptor(self._connections)
        await self._acceptor.open(address, given)
        self.port = self.listening[0].getsockname()[1]

    async def shut(self) -> None:
        """Let no new connection in; those that are there stay."""
        if self._acceptor is not None:
            await self._acceptor.close()

    async def close(self, timeout: float) -> None:
        """End every connection, those with an answer to write when it is written, or after so many seconds."""
        await self.shut()
        connections, self._connections = self._connections, None
        if connections is not None:
            # Requests that have come are begun, and connections without one end.
            await asyncio.sleep(0)
            connections.pre_shutdown()
            await connections.shutdown(timeout)

    def proved(self, request: web.BaseRequest) -> None:
        """A request may be made by whoever makes it: its connection does not end for others."""
        if self._connections is not None:
            self._connections.proved(request)

    async def _count(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._connections is not None:
            self._connections.spoke(request.protocol)
        return await self._answer(request)


def _one_of(given: list[socket.socket]) -> socket.socket | None:
    for unwanted in given[1:]:
        unwanted.close()
    return given[0] if given else None
