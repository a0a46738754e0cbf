"""Group commit: what many write at about the same moment is one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from seslimit.outbox._writer import WINDOW, Writer
from tests.virtual_time import on_virtual_time


class _Disk:
    """A database whose commits take no time, or so many seconds."""

    files = None
    transactions = 0

    def __init__(self, takes: float = 0.0) -> None:
        self._takes = takes

    async def write(self, work: Callable[[Any], Any]) -> Any:
        self.transactions += 1
        if self._takes:
            await asyncio.sleep(self._takes)
        return work(None)


def _written(connection: object, items: Sequence[int]) -> Sequence[int]:
    return list(items)


@pytest.mark.once
@on_virtual_time
async def test_on_a_fast_disk_a_transaction_waits_for_others() -> None:
    """Where several write: 210 items in 40 ms are some twenty transactions, though each could have had one of its own.

    Source: PostgreSQL documentation, commit_delay and commit_siblings.
    """
    disk: Any = _Disk()
    writer = Writer(disk, 1.0, lambda: None)
    writer.start()

    async def write(number: int) -> int:
        await asyncio.sleep(max(0, number - 10) * 0.0002)
        return await writer.write(_written, number)

    assert await asyncio.gather(*map(write, range(210))) == list(range(210))
    assert disk.transactions <= 30
    await writer.aclose()


@pytest.mark.once
@pytest.mark.parametrize(("takes", "cycle"), [(0.006, 0.012), (0.05, 0.058)])
@on_virtual_time
async def test_a_transaction_waits_for_as_long_as_the_one_before_took(takes: float, cycle: float) -> None:
    """So that at most half of the time goes into commits; but not longer than a service would notice."""
    disk: Any = _Disk(takes)
    writer = Writer(disk, 1.0, lambda: None)
    writer.start()

    async def write(number: int) -> int:
        await asyncio.sleep(number * 0.0002)
        return await writer.write(_written, number)

    count = 3000
    await asyncio.gather(*map(write, range(count)))
    assert disk.transactions == pytest.approx(count * 0.0002 / cycle, abs=2)
    await writer.aclose()


@pytest.mark.once
@on_virtual_time
async def test_who_writes_alone_does_not_wait() -> None:
    """One after another, none waits for what will not come."""
    disk: Any = _Disk()
    writer = Writer(disk, 1.0, lambda: None)
    writer.start()
    began_at = asyncio.get_running_loop().time()
    for number in range(10):
        assert await writer.write(_written, number) == number
    assert asyncio.get_running_loop().time() < began_at + WINDOW
    assert disk.transactions == 10
    await writer.aclose()
