"""
The API door's side of HTTP: connections and how long they last, requests read within a limit, replies written.

Decides when a connection ends, by the rules and by the faults. It must not know what a request asks for.

Invariants: one who is turned away does not count, and so keeps nobody out; of a request beyond the limit nothing is
kept.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import uuid
from typing import Any, NoReturn

from aiohttp import HttpVersion11, web

from ._faults import APIReply, End, Fault
from ._query import Query
from ._rules import APIRules


class Connections(web.Server):
    """
    The connections of the door.

    Args:
        answer: gives the response to a request.
        rules: how many connections, for how many requests, and for how long.
    """

    def __init__(self, answer: Any, rules: APIRules) -> None:
        # A request ends with its connection, or one that is never answered would stay until the door closes.
        super().__init__(answer, access_log=None, handler_cancellation=True, keepalive_timeout=rules.idle_timeout)
        self._rules = rules
        self._open: dict[web.RequestHandler, int] = {}
        """Those that were let in → requests that they have had."""

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Let a connection in, or close it."""
        super().connection_made(handler, transport)
        cap = self._rules.max_connections
        if cap is None or len(self._open) < cap:
            self._open[handler] = 0
        else:
            transport.close()

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        super().connection_lost(handler, exc)
        self._open.pop(handler, None)

    def is_last(self, request: web.BaseRequest) -> bool:
        """Count a request, and say whether its connection takes no other."""
        handler, cap = request.protocol, self._rules.session_cap
        had = self._open[handler] = self._open.get(handler, 0) + 1
        return cap is not None and had >= cap

    def break_off(self) -> None:
        """End every connection at once."""
        for connection in self.connections:
            if connection.transport is not None:
                connection.transport.abort()


async def read(request: web.BaseRequest, limit: int) -> bytes | None:
    """The request's content; None where it is beyond the limit, and the rest is thrown away as it comes."""
    if (request.content_length or 0) > limit:
        return None
    if request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        # Without it a client waits before it sends the content: curl a second. Source: RFC 9110, 10.1.1.
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    content = bytearray()
    async for chunk in request.content.iter_any():
        content += chunk
        if len(content) > limit:
            return None
    return bytes(content)


async def struck(request: web.BaseRequest, fault: Fault, query: Query | None) -> web.StreamResponse:
    """Carry out a fault that replaces the reply."""
    if not isinstance(fault.reply, APIReply):
        return await _unanswered(request, fault.end)
    response = response_of(fault.reply, query)
    if fault.end is End.KEEP:
        return response
    response.force_close()
    if fault.end is not End.CLOSE:
        await response.prepare(request)
        await response.write_eof()
        _break_off(request, fault.end)
    return response


async def _unanswered(request: web.BaseRequest, end: End) -> NoReturn:
    """Say nothing, until the connection ends and this request with it."""
    _break_off(request, end)
    while True:
        await asyncio.get_running_loop().create_future()


def _break_off(request: web.BaseRequest, end: End) -> None:
    transport = request.transport
    if transport is None or end is End.KEEP:
        return
    if end is End.RESET:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def response_of(reply: APIReply, query: Query | None) -> web.Response:
    headers = {"x-amzn-RequestId": (request_id := str(uuid.uuid4()))}
    if query is not None:
        written = query.written(reply, request_id)
        return web.Response(status=written.status, body=written.payload(), headers=headers, content_type="text/xml")
    if reply.error is not None:
        headers["x-amzn-ErrorType"] = reply.error
    return web.Response(status=reply.status, body=reply.payload(), headers=headers, content_type="application/json")
