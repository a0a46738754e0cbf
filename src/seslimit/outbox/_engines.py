"""
How a SQLite file and a PostgreSQL server are reached: connections, transactions, and who waits for them.

Whoever wants something of a database hands over a function that works on a connection, and hears what it returned once
that is committed. For SQLite it runs in a thread, as a whole: a thread for each statement would cost more than the
statements. It must not know what is kept, nor what an error means.

Invariants: a SQLite file has one connection that writes, and it begins every transaction as a writer, so that none
fails half-way for another's sake; no connection makes a file that is not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import QueuePool

from .._model.errors import ConfigurationError

T = TypeVar("T")

CONNECTS_WITHIN = 10.0
"""Seconds after which a PostgreSQL that takes no connection counts as away."""

SLOWEST = 60.0
"""Seconds after which a PostgreSQL that does not answer counts as away."""

CACHE = 16 * 1024
"""KiB of a SQLite file that are kept in memory: what the indexes of a million messages need at a time."""

PAGES = 500
"""Pages of a SQLite file that are given back at a time, while nothing else is written: a few milliseconds."""

STATEMENTS = 512
"""Statements that a connection to a SQLite file keeps ready: each of a few for each of ten lengths, and room."""

READERS = 2
"""Looks at a SQLite file at the same time."""

LEAST_SQLITE = (3, 35)
"""The first SQLite whose UPDATE returns what it changed."""


class PostgreSQL:
    """
    A server.

    Args:
        url: where it is.
    """

    def __init__(self, url: sa.URL) -> None:
        arguments = {"timeout": CONNECTS_WITHIN, "command_timeout": SLOWEST}
        self._engine = create_async_engine(url, pool_size=4, max_overflow=4, connect_args=arguments)

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """What some work returns, when all that it wrote is on the disk."""
        async with self._engine.begin() as connection:
            return await connection.run_sync(work)

    async def read(self, look: Callable[[sa.Connection], T]) -> T:
        """What a look gives, beside whoever writes."""
        async with self._engine.connect() as connection:
            return await connection.run_sync(look)

    async def aclose(self) -> None:
        """Close the connections; one that is used again is opened anew."""
        await self._engine.dispose()


class SQLite:
    """
    A file.

    Args:
        path: where it is; the file is there.
        busy: seconds for which another program's lock is waited for, in the thread.
    """

    def __init__(self, path: Path, busy: float) -> None:
        if sqlite3.sqlite_version_info < LEAST_SQLITE:
            wanted = ".".join(map(str, LEAST_SQLITE))
            raise ConfigurationError(f"this Python has SQLite {sqlite3.sqlite_version}: an outbox needs {wanted}.")
        if not _knows_json():
            raise ConfigurationError("this Python has a SQLite that was made without JSON, which an outbox needs.")
        self._path = path
        self._busy = busy
        self._writing = sa.create_engine(
            "sqlite://", creator=self._connect, poolclass=QueuePool, pool_size=1, max_overflow=0
        )
        self._reading = sa.create_engine(
            "sqlite://", creator=self._connect, poolclass=QueuePool, pool_size=READERS, max_overflow=0
        )
        event.listen(self._writing, "connect", _writes)
        event.listen(self._writing, "begin", _begin_immediate)
        event.listen(self._reading, "connect", _reads)
        self._writer, self._readers = _threads()

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """What some work returns, when all that it wrote is on the disk."""
        return await self._in(self._writer, partial(_committed, self._writing, work))

    async def read(self, look: Callable[[sa.Connection], T]) -> T:
        """What a look gives, beside whoever writes."""
        return await self._in(self._readers, partial(_seen, self._reading, look))

    async def shrink_log(self) -> None:
        """Write what is in the log into the file, so that the log can begin anew; as far as that goes now."""
        with contextlib.suppress(exc.DBAPIError, sqlite3.Error):
            await self._in(self._writer, partial(_run, self._writing, "wal_checkpoint(TRUNCATE)"))

    async def shrink(self) -> None:
        """Give space of the file that is not used any more back to the disk, a little at a time."""
        before = math.inf
        while True:
            await self._in(self._writer, partial(_run, self._writing, f"incremental_vacuum({PAGES})"))
            unused = await self.read(_unused)
            if unused == 0 or unused >= before:  # a file of another program may not be made to shrink
                return
            before = unused

    async def aclose(self) -> None:
        """Close the connections; one that is used again is opened anew."""
        (writer, readers), (self._writer, self._readers) = (self._writer, self._readers), _threads()
        for threads, engine in ((readers, self._reading), (writer, self._writing)):
            await self._in(threads, engine.dispose)
            threads.shutdown(wait=False)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=self._busy,
            isolation_level=None,  # the driver begins no transaction by itself
            check_same_thread=False,
            cached_statements=STATEMENTS,
        )

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work)


@cache
def _knows_json() -> bool:
    """Whether SQLite has what it has had by itself since 3.38, and before where whoever made it wanted it."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("SELECT value FROM json_each('[]')")
        except sqlite3.OperationalError:
            return False
    return True


def _threads() -> tuple[ThreadPoolExecutor, ThreadPoolExecutor]:
    """One that writes, and a few that read; begun when they are used."""
    return ThreadPoolExecutor(1, "outbox writer"), ThreadPoolExecutor(READERS, "outbox reader")


def _committed(engine: sa.Engine, work: Callable[[sa.Connection], T]) -> T:
    with engine.begin() as connection:
        return work(connection)


def _seen(engine: sa.Engine, look: Callable[[sa.Connection], T]) -> T:
    with engine.connect() as connection:
        return look(connection)


def _run(engine: sa.Engine, pragma: str) -> None:
    """Run a pragma to its end, outside of a transaction."""
    raw = engine.raw_connection()
    try:
        raw.cursor().execute(f"PRAGMA {pragma}").fetchall()
    finally:
        raw.close()


def _unused(connection: sa.Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())


def _writes(connection: sqlite3.Connection, _: object) -> None:
    _set(
        connection,
        "auto_vacuum = INCREMENTAL",  # says something only to a new file
        "journal_mode = WAL",
        "synchronous = FULL",
        "mmap_size = 0",
        f"cache_size = -{CACHE}",
        "journal_size_limit = 4194304",
        "temp_store = MEMORY",
    )


def _reads(connection: sqlite3.Connection, _: object) -> None:
    _set(connection, "mmap_size = 0", "query_only = ON")


def _set(connection: sqlite3.Connection, *pragmas: str) -> None:
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()  # nobody else would: it never came into the pool
        raise


def _begin_immediate(connection: sa.Connection) -> None:
    # To the driver as it is: this is done for every transaction, and nothing is to be looked at.
    cast("sqlite3.Connection", connection.connection.dbapi_connection).execute("BEGIN IMMEDIATE")
