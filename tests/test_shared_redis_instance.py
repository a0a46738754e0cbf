"""The Redis of the tests: empty for each, and able to fail as one does."""

from __future__ import annotations

import pytest

from .redis_instance import MISSING, RedisServer

pytestmark = pytest.mark.once


@pytest.mark.parametrize("time", ["first", "second"])
def test_each_test_finds_it_empty(redis_server: RedisServer, redis_url: str, time: str) -> None:
    """What one test has left, the next does not see."""
    assert redis_url == redis_server.url
    assert redis_server.command("DBSIZE") == ":0"
    redis_server.command("SET", "left", time)


@pytest.mark.skipif(MISSING is not None, reason=MISSING or "")
def test_it_restarts_with_nothing_in_it() -> None:
    """On the port of before, as a crashed one without a disk does."""
    with RedisServer() as server:
        url = server.url
        server.command("SET", "key", "value")
        server.restart_empty()
        assert (server.url, server.command("DBSIZE")) == (url, ":0")
