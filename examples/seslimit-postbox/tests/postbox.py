"""
Postbox, as far as its transport sees it: a server on loopback that does what a test tells it.

POST /messages with `{"from", "to", "content"}` (content in base64) and a bearer token answers 202 with `{"id"}`, or
with `{"error"}` 429 (with Retry-After), 401, 403, another 4xx, or 503.
"""

from __future__ import annotations

import asyncio
import base64
import json
from types import TracebackType

from aiohttp import web
from seslimit_postbox import PostboxTransport

from seslimit import Transport
from seslimit.testing.conformance import Lever, Received

TOKEN = "tok-5f2c9e71"

REFUSALS = {
    Lever.THROTTLE: (429, "too_fast"),
    Lever.EXCEED_QUOTA: (429, "daily_quota"),
    Lever.REFUSE_TRANSIENTLY: (503, "try_later"),
    Lever.REFUSE_PERMANENTLY: (422, "bad_recipient"),
    Lever.BLOCK_ACCOUNT: (403, "account_suspended"),
}


class Postbox:
    """
    The service, with a transport that talks to it.

    Args:
        timeout: of the transport, in seconds.
    """

    secrets = (TOKEN,)

    def __init__(self, timeout: float) -> None:
        self.attempts = 0
        self.accepted: list[Received] = []
        self._timeout = timeout
        self._lever = Lever.ACCEPT
        self._server = web.Server(self._answer, handler_cancellation=True)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=0.05)

    async def __aenter__(self) -> Postbox:
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await self._site.start()
        self._port: int = self._runner.addresses[0][1]
        self.transport: Transport = PostboxTransport(f"http://127.0.0.1:{self._port}", TOKEN, timeout=self._timeout)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._break_connections()
        await self._runner.cleanup()

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return len(self._server.connections)

    async def behave(self, lever: Lever) -> None:
        """Do this with every message from now on."""
        if Lever.BREAK_BEFORE_CONTENT in (lever, self._lever) and lever is not self._lever:
            await self._listen(lever is not Lever.BREAK_BEFORE_CONTENT)
        self._lever = lever

    async def _listen(self, listening: bool) -> None:
        if listening:
            self._site = web.TCPSite(self._runner, "127.0.0.1", self._port)
            await self._site.start()
        else:
            await self._site.stop()
            self._break_connections()
            await asyncio.sleep(0.01)  # the transport's idle connections hear of it in the loop's next turns

    def _break_connections(self) -> None:
        for connection in self._server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"error": "bad_token"}, status=401)
        if request.path == "/account":
            return web.json_response({"daily_quota": 50_000, "rate": 14, "sent_today": len(self.accepted)})
        submitted = json.loads(await request.content.read())
        self.attempts += 1
        if self._lever in REFUSALS:
            status, error = REFUSALS[self._lever]
            retry_after = {"Retry-After": "2"} if status == 429 else {}
            return web.json_response({"error": error}, status=status, headers=retry_after)
        if self._lever is Lever.STALL:
            await asyncio.get_running_loop().create_future()
        message_id = self._accept(submitted["from"], submitted["to"], base64.b64decode(submitted["content"]))
        if self._lever is Lever.BREAK_AFTER_CONTENT and request.transport is not None:
            request.transport.abort()
        return web.json_response({"id": message_id}, status=202)

    def _accept(self, mail_from: str, recipients: list[str], content: bytes) -> str:
        message_id = f"pb-{len(self.accepted) + 1}"
        self.accepted.append(Received(message_id, mail_from, tuple(recipients), content))
        return message_id
