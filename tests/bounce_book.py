"""
listmonk's record of bounces: `POST /webhooks/bounce` and `GET /api/bounces`, as its documentation has them.

Like listmonk it writes down what it is told as often as it is told, and can go away and come back at the same address.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import attrs
from aiohttp import web

PER_PAGE = 50
"""The most records that listmonk gives at once."""

Recorded = tuple[str, str, str]
"""Subscriber (uuid or address), campaign, and kind."""


@attrs.define
class BounceBook:
    """
    The part of listmonk that hears of bounces.

    Args:
        port: where it listens; 0 for a free one.
        readable: whether the API user's role has `bounces:get`.
        mute: how many of the next posts are recorded, and then left without an answer.
    """

    port: int = 0
    readable: bool = True
    mute: int = 0
    records: list[dict[str, Any]] = attrs.field(factory=list, init=False)
    counted: Counter[Recorded] = attrs.field(factory=Counter, init=False)
    """What was recorded, and how often."""
    asked: int = attrs.field(default=0, init=False)
    """Pages that were read."""
    _runner: web.ServerRunner | None = attrs.field(default=None, init=False)

    async def open(self) -> None:
        """Listen."""
        self._runner = web.ServerRunner(web.Server(self._take), shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        """The root URL."""
        return f"http://127.0.0.1:{self.port}"

    async def _take(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Authorization") != "token api:token":
            return web.Response(status=403)
        if request.method == "GET" and request.path == "/api/bounces" and self.readable:
            return self._page(int(request.query["page"]), int(request.query["per_page"]))
        if request.method != "POST" or request.path != "/webhooks/bounce":
            return web.Response(status=403)
        told = await request.json()
        self.records.append({"created_at": datetime.now(UTC).isoformat(), "email": "", "subscriber_uuid": ""} | told)
        self.counted[told.get("subscriber_uuid") or told["email"], told.get("campaign_uuid", ""), told["type"]] += 1
        if self.mute:
            self.mute -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.Response(text='{"data":true}')

    def _page(self, page: int, size: int) -> web.Response:
        self.asked += 1
        size = min(size, PER_PAGE)
        rows = sorted(self.records, key=lambda row: datetime.fromisoformat(row["created_at"]), reverse=True)
        shown = rows[(page - 1) * size : page * size]
        numbers = {"total": len(rows), "per_page": size, "page": page} if shown else {}
        return web.json_response({"data": {"results": shown, **numbers}})


@asynccontextmanager
async def bounce_book(**options: Any) -> AsyncIterator[BounceBook]:
    """One that listens."""
    book = BounceBook(**options)
    await book.open()
    try:
        yield book
    finally:
        await book.close()
