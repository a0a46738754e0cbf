"""
An account's ledger in Redis 6 or newer, or Valkey.

Two scripts on the server's clock, which keep what `seslimit._law.ledger` says; EVAL is all that they need of a server,
and all keys of one account are in one hash slot. It must not know what the answers mean.

Invariant: nothing is tried twice, and a connection with an unread answer is not used again (redis-py closes it).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import attrs

from .._model.allowance import Grant, Request
from .._model.errors import ConfigurationError
from .._model.options import shown

if TYPE_CHECKING:
    from redis.asyncio import Redis

ACCOUNT: Final = "ses"
"""Whose rate it is where there is one account only."""

SCHEMES: Final = ("redis", "rediss", "unix", "valkey", "valkeys")

NAMES: Final = ("ledger", "log", "members", "hungry", "rests", "ceilings", "parts", "kept")
"""What is kept of an account, each under a key of its own."""

KEPT: Final = 2 * 86_400
"""Seconds for which a ledger that nobody asks is kept: over a weekend without mail, what is known of the rate stays."""

CONNECTS: Final = 2.0
"""Seconds in which a connection is made, while sending goes on without it."""

ANSWERS: Final = 0.2
"""Seconds in which an answer comes; whoever asks waits a little less."""

NAME = re.compile(r"[^{}\s]{1,200}")


def _script(name: str) -> tuple[str, str]:
    text = files("seslimit.shared").joinpath(name).read_text("utf-8")
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisRate:
    """
    One account's rate in a Redis or a Valkey; see `Store`.

    Give it to every `Limiter` of the account, in whichever process and on whichever machine, with the same `account`.
    One object may serve several limiters, and several event loops.

    Args:
        server: the address (`redis://HOST:PORT/DB`, `rediss://…`, `unix:///path`), or a client of redis-py's
            `redis.asyncio`, for Sentinel or a cluster; its time-outs and retries are its own then, and should be short
            and none.
        account: the name of the account and Region, as it is to stand in the keys, for example `"123456:eu-west-1"`.

    Raises:
        ConfigurationError: the name has braces or spaces in it, the address is none, or redis-py is not installed.
    """

    def __init__(self, server: str | Redis, *, account: str = ACCOUNT) -> None:
        if not NAME.fullmatch(account):
            raise ConfigurationError(f"account is {shown(account)}: it stands in keys, without braces and spaces.")
        self._keys = [f"seslimit:{{{account}}}:{name}" for name in NAMES]
        self._server = server
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Redis] = WeakKeyDictionary()
        self._connecting: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[Any]] = WeakKeyDictionary()
        self._lease, self._congested = _script("lease.lua"), _script("congested.lua")
        if isinstance(server, str):
            self._server = re.sub("^valkey", "redis", server)
            _client(self._server)

    def __repr__(self) -> str:
        return f"<RedisRate {self._keys[0]}>"

    async def lease(self, request: Request) -> Grant:
        """See `Store`."""
        asked = json.dumps(attrs.asdict(request), separators=(",", ":"))
        return Grant.from_json(json.loads(await self._run(self._lease, self._keys, asked, KEPT)))

    async def congested(self, member: str, epoch: int, log: str) -> int:
        """See `Store`."""
        return int(await self._run(self._congested, self._keys[:2], epoch, log))

    async def aclose(self) -> None:
        """Close what the running loop has open; it may be used again."""
        loop = asyncio.get_running_loop()
        if (connecting := self._connecting.pop(loop, None)) is not None:
            connecting.cancel()
            await asyncio.wait([connecting])
        if (client := self._clients.pop(loop, None)) is not None:
            await client.aclose()

    async def _run(self, script: tuple[str, str], keys: list[str], *arguments: str | int) -> Any:
        from redis.exceptions import NoScriptError, RedisError

        text, digest = script
        client = self._connected()
        try:
            await self._connect(client)
            try:
                return await _awaited(client.evalsha(digest, len(keys), *keys, *arguments))
            except NoScriptError:
                return await _awaited(client.eval(text, len(keys), *keys, *arguments))
        except (RedisError, OSError) as error:
            self._connecting.pop(asyncio.get_running_loop(), None)
            raise ConnectionError(f"{type(error).__name__}: {error}") from error

    def _connected(self) -> Redis:
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            self._clients[loop] = _client(self._server) if isinstance(self._server, str) else self._server
        return self._clients[loop]

    async def _connect(self, client: Redis) -> None:
        """Make a connection, which may take longer than anybody waits for."""
        loop = asyncio.get_running_loop()
        connecting = self._connecting.get(loop)
        if connecting is None or (connecting.done() and (connecting.cancelled() or connecting.exception())):
            connecting = self._connecting[loop] = loop.create_task(_awaited(client.ping()))
        await asyncio.shield(connecting)


def _client(url: str) -> Redis:
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError as error:
        raise ConfigurationError("sharing through Redis needs redis-py: pip install 'seslimit[redis]'.") from error
    try:
        # redis-py's own retries would block for many seconds where the share goes on alone after a fifth of one.
        return Redis.from_url(
            url, socket_timeout=ANSWERS, socket_connect_timeout=CONNECTS, retry=Retry(NoBackoff(), 0), max_connections=4
        )
    except ValueError as error:
        raise ConfigurationError(f"that is no address of a Redis: {error}") from error


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer
