"""
The databases that an outbox can stand on: how each is reached, and what its errors mean.

Decides what a URL means, which errors pass by themselves and which do not. It must not know what is kept.

Invariants: a third party's exception leaves here as a `JournalError`; a SQLite file has one connection that writes, and
it begins every transaction as a writer, so that none fails half-way for another's sake; a damaged file is never
changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import attrs
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from .._model.errors import ConfigurationError, printable
from .._model.journal import JournalError, JournalUnavailable
from ._files import Files

BUSY = 1.0
"""Seconds that SQLite waits for another program's lock, in its own thread, before it is tried again; at most."""

CONNECTS_WITHIN = 10.0
"""Seconds after which a PostgreSQL that takes no connection counts as away."""

SLOWEST = 60.0
"""Seconds after which a PostgreSQL that does not answer counts as away."""

CACHE = 16 * 1024
"""KiB of a SQLite file that are kept in memory: what the indexes of a million messages need at a time."""

PAGES = 500
"""Pages of a SQLite file that are given back at a time, while nothing else is written: a few milliseconds."""

LEAST_SQLITE = (3, 35)
"""The first SQLite whose UPDATE returns what it changed."""

_PASSING = ("08", "40", "53", "55", "57")
"""Classes of PostgreSQL's errors that pass: connection, serialisation, resources, locks, shutdown. Source: PostgreSQL
documentation, Appendix A, read 2026-11."""


class DiskFull(JournalUnavailable):
    """There is no space left to record anything."""


T = TypeVar("T")


@attrs.define(eq=False)
class Database:
    """
    A database, through one connection that writes and some that read.

    Args:
        url: where it is.
        files: what belongs to it in the file system; None for a server.
        shown: its name in sentences, without a password.
        busy: seconds for which SQLite waits for another program's lock, in its own thread.
    """

    url: sa.URL
    files: Files | None
    shown: str
    busy: float = BUSY
    _writing: AsyncEngine = attrs.field(init=False)
    _reading: AsyncEngine = attrs.field(init=False)
    _looks: set[asyncio.Task[Any]] = attrs.field(factory=set, init=False)

    @classmethod
    def of(cls, url: str | Path, busy: float = BUSY) -> Database:
        """
        The database that a URL, or the name of a file, means.

        Raises:
            ConfigurationError: it means none.
        """
        text = str(url)
        if "://" not in text:
            parsed = sa.URL.create("sqlite+aiosqlite", database=text)
        else:
            try:
                parsed = sa.make_url(text)
            except exc.ArgumentError:
                raise ConfigurationError(f"the outbox {printable(text.partition('://')[0])}://… is no URL.") from None
        kind = parsed.drivername.partition("+")[0]
        if kind in ("postgres", "postgresql"):
            return cls(parsed.set(drivername="postgresql+asyncpg"), None, parsed.render_as_string())
        if kind != "sqlite":
            raise ConfigurationError(
                f"an outbox cannot be kept in {printable(kind)}: give the name of a file, sqlite:///FILE or "
                "postgresql://HOST/DATABASE."
            )
        if parsed.database in (None, "", ":memory:"):
            raise ConfigurationError("an outbox in memory is seslimit.outbox.MemoryOutbox(): give the name of a file.")
        path = Path(str(parsed.database))
        return cls(parsed.set(drivername="sqlite+aiosqlite"), Files(path), str(path), min(busy, BUSY))

    def __attrs_post_init__(self) -> None:
        if self.files is None:
            arguments = {"timeout": CONNECTS_WITHIN, "command_timeout": SLOWEST}
            self._writing = create_async_engine(self.url, pool_size=4, max_overflow=4, connect_args=arguments)
            self._reading = self._writing
            return
        if sqlite3.sqlite_version_info < LEAST_SQLITE:
            wanted = ".".join(map(str, LEAST_SQLITE))
            raise ConfigurationError(f"this Python has SQLite {sqlite3.sqlite_version}: an outbox needs {wanted}.")
        arguments = {"timeout": self.busy}
        self._writing = create_async_engine(self.url, pool_size=1, max_overflow=0, connect_args=arguments)
        self._reading = create_async_engine(self.url, poolclass=NullPool, connect_args=arguments)
        event.listen(self._writing.sync_engine, "connect", _writes)
        event.listen(self._writing.sync_engine, "begin", _begin_immediate)
        event.listen(self._reading.sync_engine, "connect", _reads)

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """
        A transaction that writes; committed, and on the disk, when this is left.

        Raises:
            JournalError: it could not be, for the reason that it names.
        """
        if self.files:
            self.files.check()
        with self._translated():
            async with self._writing.begin() as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that reads, beside one that writes."""
        with self._translated():
            async with self._reading.connect() as connection:
                yield connection

    async def read(self, look: Callable[[sa.Connection], T]) -> T:
        """
        What a look at the database gives.

        Cancelling:
            the look goes on, beside: a connection that is cancelled while it is opened would never be closed.
        """
        looking = asyncio.create_task(self._look(look))
        self._looks.add(looking)
        looking.add_done_callback(self._looks.discard)
        return await asyncio.shield(looking)

    async def _look(self, look: Callable[[sa.Connection], T]) -> T:
        async with self.reading() as connection:
            return await connection.run_sync(look)

    async def shrink_log(self) -> None:
        """Write what is in SQLite's log into its file, so that the log can begin anew; as far as that goes now."""
        if self.files:
            with contextlib.suppress(exc.DBAPIError, sqlite3.Error):
                await self._run("PRAGMA wal_checkpoint(TRUNCATE)")

    async def shrink(self) -> None:
        """Give space of a SQLite file that is not used any more back to the disk, a little at a time."""
        before = math.inf
        while self.files:
            with self._translated():
                await self._run(f"PRAGMA incremental_vacuum({PAGES})")
            async with self.reading() as connection:
                unused = (await connection.exec_driver_sql("PRAGMA freelist_count")).scalar_one()
            if unused == 0 or unused >= before:  # a file of another program may not be made to shrink
                return
            before = unused

    async def _run(self, pragma: str) -> None:
        """Run a pragma to its end, outside of a transaction."""
        async with self._writing.connect() as connection:
            raw = await connection.get_raw_connection()
            await raw.driver_connection.executescript(pragma)  # type: ignore[union-attr]

    async def check(self) -> bool:
        """
        Look whether the file is sound, a large one only as far as the tables' definitions; and whether there is one.

        Raises:
            JournalError: it is damaged, or it is gone.
        """
        if self.files is None or not self.files.is_old():
            return False
        async with self.reading() as connection:
            await connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
            if self.files.is_small():
                found = (await connection.exec_driver_sql("PRAGMA quick_check(1)")).scalar()
                if found != "ok":
                    raise self._damaged(str(found))
        return True

    async def aclose(self) -> None:
        """Close the connections."""
        if self._looks:
            await asyncio.wait(self._looks)
        await self._reading.dispose()
        await self._writing.dispose()

    @contextlib.contextmanager
    def _translated(self) -> Any:
        try:
            yield
        except exc.DBAPIError as error:
            raise self._meaning(error) from error
        except sqlite3.Error as error:  # raised while a connection was set up
            raise self._sqlite_meaning(error) from error
        except (OSError, TimeoutError, exc.TimeoutError) as error:
            raise self._away(error) from error

    def _meaning(self, error: exc.DBAPIError) -> Exception:
        if isinstance(error.orig, sqlite3.Error):
            return self._sqlite_meaning(error.orig)
        code = getattr(error.orig, "sqlstate", None) or ""
        if code == "53100":
            return JournalUnavailable(f"the disk of the outbox {self.shown} is full: free some space.")
        if error.connection_invalidated or not code or code[:2] in _PASSING:
            return self._away(error.orig)
        return JournalError(f"the outbox {self.shown} refused what it was asked: {printable(str(error.orig))}")

    def _away(self, error: BaseException | None) -> JournalUnavailable:
        words = printable(f"{type(error).__name__}: {error}")
        return JournalUnavailable(f"the outbox {self.shown} does not answer: {words}")

    def _sqlite_meaning(self, error: sqlite3.Error) -> Exception:
        code = getattr(error, "sqlite_errorcode", 0)
        words = printable(str(error))
        match code & 0xFF:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return JournalUnavailable(f"the outbox {self.shown} is locked by another program: {words}")
            case sqlite3.SQLITE_FULL:
                return DiskFull(f"the disk of the outbox {self.shown} is full: free some space, and sending goes on.")
            case sqlite3.SQLITE_IOERR:
                return DiskFull(f"the outbox {self.shown} cannot be written ({words}): look at its disk.")
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return self._damaged(words)
        return JournalError(f"the outbox {self.shown} refused what it was asked: {words}")

    def _damaged(self, words: str) -> JournalError:
        return JournalError(
            f"the outbox {self.shown} is damaged ({printable(words)}). It was left as it is: put a copy of it aside, "
            "and restore it from a backup, or with `sqlite3 FILE .recover`."
        )


def _writes(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver begins no transaction by itself
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


def _reads(connection: Any, _: object) -> None:
    _set(connection, "mmap_size = 0", "query_only = ON")


def _set(connection: Any, *pragmas: str) -> None:
    try:
        cursor = connection.cursor()
        try:
            for pragma in pragmas:
                cursor.execute(f"PRAGMA {pragma}")
        finally:
            cursor.close()
    except BaseException:
        connection.close()  # nobody else would: it never came into the pool
        raise


def _begin_immediate(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
