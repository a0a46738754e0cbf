"""
An outbox's database, opened once by whoever needs it first, and closed at the end.

Decides whether there is an outbox, and when its tables are made or brought up to date. It must not know what is done
with it.

Invariant: one that is looked at is not made by that.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from .._model.errors import ConfigurationError
from .._model.options import number
from .._with_block import WithBlock
from ._database import Database
from ._leases import Leases
from ._schema import MIGRATIONS, migrate, version_of
from ._suppression import Suppression
from ._writer import alone

logger = logging.getLogger("seslimit")

T = TypeVar("T")

LEASE = 30.0
"""Seconds after which messages of somebody who is not heard of go to others."""

ANSWERS = 5
"""Times that a server is asked for its clock when it is opened: one of them is quick, also where it is busy."""

PATIENCE = 1.0
"""Seconds for which a locked or absent database is tried again before that is told."""


class Opened(WithBlock):
    """A database that an outbox is in, and who has leased what of it; its options are those of `Outbox`."""

    def __init__(
        self,
        url: str | Path,
        *,
        lease: float = LEASE,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.time,
        create: bool = True,
    ) -> None:
        lease = number("lease", lease, "seconds", low=1)
        patience = number("patience", patience, "seconds", low=0)
        self._database = Database.of(url, busy=patience)
        self._clock = clock
        self._create = create
        self._leases = Leases(self._database, clock, lease, patience)
        self._opening = asyncio.Lock()
        self._open = False
        self.suppression = Suppression(self._read, self._write)
        """Addresses that nothing is sent to."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._database.shown!r})"

    async def open(self) -> None:
        """
        Look at the database, and bring its tables to the version that is known here.

        The first call that needs it does so by itself.

        Raises:
            JournalUnavailable: it is locked, or does not answer.
            JournalError: it is damaged, or of a newer version, or it is gone.
            ConfigurationError: there is none, and none is to be made.
        """
        async with self._opening:
            if not self._open:
                await self._leases.writer.patiently(self._make_ready)
                self._leases.writer.start()
                self._open = True

    async def _make_ready(self) -> None:
        try:
            await self._set_up()
        except BaseException:
            await self._database.aclose()
            raise

    async def _set_up(self) -> None:
        database, files = self._database, self._database.files
        found = files is None or await database.check()
        version = await database.read(version_of) if found else 0
        if version == 0 and not self._create:
            what = "holds no outbox" if found else "is not there"
            raise ConfigurationError(f"the outbox {database.shown} {what}: check the name.")
        if files is None:
            self._leases.behind = await database.read(behind)
        elif not found:
            files.begin()
        if version != len(MIGRATIONS):
            await database.write(migrate)
        if files is not None:
            files.remember()
            if not await asyncio.to_thread(files.take_reserve):
                logger.warning("the disk of the outbox %s has hardly any space left", database.shown)

    async def aclose(self) -> None:
        """Give back what is leased and was not handed over, write what is pending, and close the database."""
        await self._leases.aclose()
        await self._database.aclose()

    async def _lease(self) -> None:
        await self.open()
        await self._leases.begin()

    async def _read(self, look: Callable[[sa.Connection], T]) -> T:
        await self.open()
        return await self._database.read(look)

    async def _write(self, change: Callable[[sa.Connection], T]) -> T:
        await self.open()
        return await self._leases.writer.write(partial(alone, change), None)


def behind(connection: sa.Connection, clock: Callable[[], float] = time.time) -> float:
    """
    Seconds that this machine's clock is behind a server's, by the quickest of a few answers.

    It is out by at most half the time that this answer took: to take the first one would be out by what a busy server
    takes for it, and others would find this process dead by as much too early.

    Args:
        connection: to the server, open already.
        clock: this machine's, seconds since the epoch.
    """
    answers = []
    for _ in range(ANSWERS):
        asked_at = clock()
        theirs = float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar_one())
        heard_at = clock()
        answers.append((heard_at - asked_at, theirs - (asked_at + heard_at) / 2))
    return min(answers)[1]
