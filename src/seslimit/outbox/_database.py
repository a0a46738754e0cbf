"""
The databases that an outbox can stand on: what a URL means, and what their errors mean.

Decides which errors pass by themselves and which do not. It must not know what is kept; how each is reached is in
`_engines`.

Invariants: a third party's exception leaves here as a `JournalError`; a damaged file is never changed; nobody is told
that something is written into a file that is not the outbox's any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import attrs
import sqlalchemy as sa
from sqlalchemy import exc

from .._model.errors import ConfigurationError, printable
from .._model.journal import JournalError, JournalUnavailable
from ._engines import PostgreSQL, SQLite
from ._files import Files

BUSY = 1.0
"""Seconds that SQLite waits for another program's lock, in its own thread, before it is tried again; at most."""

_PASSING = ("08", "40", "53", "55", "57")
"""Classes of PostgreSQL's errors that pass: connection, serialisation, resources, locks, shutdown. Source: PostgreSQL
documentation, Appendix A, read 2026-11."""


class DiskFull(JournalUnavailable):
    """There is no space left to record anything."""


T = TypeVar("T")


@attrs.define(eq=False)
class Database:
    """
    A database, which one at a time writes and some read.

    Args:
        engine: how it is reached.
        files: what belongs to it in the file system; None for a server.
        shown: its name in sentences, without a password.
    """

    engine: PostgreSQL | SQLite
    files: Files | None
    shown: str
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
            parsed = sa.URL.create("sqlite", database=text)
        else:
            try:
                parsed = sa.make_url(text)
            except exc.ArgumentError:
                raise ConfigurationError(f"the outbox {printable(text.partition('://')[0])}://… is no URL.") from None
        kind = parsed.drivername.partition("+")[0]
        if kind in ("postgres", "postgresql"):
            return cls(PostgreSQL(parsed.set(drivername="postgresql+asyncpg")), None, parsed.render_as_string())
        if kind != "sqlite":
            raise ConfigurationError(
                f"an outbox cannot be kept in {printable(kind)}: give the name of a file, sqlite:///FILE or "
                "postgresql://HOST/DATABASE."
            )
        if parsed.database in (None, "", ":memory:"):
            raise ConfigurationError("an outbox in memory is seslimit.outbox.MemoryOutbox(): give the name of a file.")
        path = Path(str(parsed.database))
        return cls(SQLite(path, min(busy, BUSY)), Files(path), str(path))

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """
        What some work on a connection returns, in one transaction; all that it wrote is on the disk then.

        Raises:
            JournalError: it could not be written, for the reason that it names.
        """
        self._check_files()
        with self._translated():
            result = await self.engine.write(work)
        self._check_files()  # what went into a file that was removed meanwhile is nowhere
        return result

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
        self._check_files()
        with self._translated():
            return await self.engine.read(look)

    def _check_files(self) -> None:
        if self.files:
            self.files.check()

    async def shrink_log(self) -> None:
        """Write what is in SQLite's log into its file, so that the log can begin anew; as far as that goes now."""
        if isinstance(self.engine, SQLite):
            await self.engine.shrink_log()

    async def shrink(self) -> None:
        """Give space of a SQLite file that is not used any more back to the disk, a little at a time."""
        if isinstance(self.engine, SQLite):
            with self._translated():
                await self.engine.shrink()

    async def check(self) -> bool:
        """
        Look whether the file is sound, a large one only as far as the tables' definitions; and whether there is one.

        Raises:
            JournalError: it is damaged, or it is gone.
        """
        if self.files is None or not self.files.is_old():
            return False
        found = await self.read(_found_whole if self.files.is_small() else _found_defined)
        if found != "ok":
            raise self._damaged(found)
        return True

    async def aclose(self) -> None:
        """Close the connections."""
        if self._looks:
            await asyncio.wait(self._looks)
        await self.engine.aclose()

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


def _found_defined(connection: sa.Connection) -> str:
    connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
    return "ok"


def _found_whole(connection: sa.Connection) -> str:
    _found_defined(connection)
    return str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
