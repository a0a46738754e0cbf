"""The status lines of the commands that serve until a signal."""

from __future__ import annotations

import asyncio

import pytest

from seslimit.cli._serving import OTHER_FILES, STATUS_EVERY, allow_connections, serve

from .virtual_time import on_virtual_time


@on_virtual_time
async def test_a_line_is_said_when_there_is_news() -> None:
    """Not while the words are those from before, and not twice."""
    news = iter(["0 accepted", "0 accepted", "3 accepted", "3 accepted", "4 accepted"])
    lines: list[str] = []
    stopped = asyncio.Event()
    asyncio.get_running_loop().call_later(5.5 * STATUS_EVERY, stopped.set)
    await serve(stopped, lambda: next(news), lines.append, before="0 accepted")
    assert lines == ["30 s: 3 accepted", "50 s: 4 accepted"]


@on_virtual_time
async def test_the_first_line_comes_where_nothing_was_said_before() -> None:
    """Then a line that says that nothing came is news too."""
    lines: list[str] = []
    stopped = asyncio.Event()
    asyncio.get_running_loop().call_later(2.5 * STATUS_EVERY, stopped.set)
    await serve(stopped, lambda: "0 accepted", lines.append)
    assert lines == ["10 s: 0 accepted"]


@on_virtual_time
async def test_nothing_is_said_where_nobody_is_to_be_told() -> None:
    """And it ends all the same."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().call_later(2.5 * STATUS_EVERY, stopped.set)
    await serve(stopped, lambda: "3 accepted", None)
    assert asyncio.get_running_loop().time() >= 2.5 * STATUS_EVERY


def test_the_limit_of_open_files_is_raised_for_many_clients() -> None:
    """As far as the system lets it, and never lowered: 1,024 are usual at first (getrlimit(2))."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1000, before[1]))
        allow_connections(10)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 1000
        allow_connections(1000)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 1000 + OTHER_FILES
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
