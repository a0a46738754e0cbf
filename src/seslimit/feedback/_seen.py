"""
What was delivered already, and what may have been: in memory, or in a file that survives a restart.

A part is begun, then delivered, then done. What is begun and not done when a process ends is in doubt: the destination
may have it, and is asked before it gets it once more.

Invariant: what a file said of a part is on the disk when it has answered; what is asked at the same time is written
together.
"""

from __future__ import annotations

import asyncio
import enum
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from .._model.errors import ConfigurationError

T = TypeVar("T")

MOST = 100_000
"""Parts that memory remembers: an hour at 28 a second, longer than SNS repeats anything."""

KEPT = 15 * 86_400.0
"""Seconds for which a file remembers a part: longer than SQS keeps a message (14 days)."""

TABLES = (
    "CREATE TABLE IF NOT EXISTS seslimit_seen (key BLOB PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS seslimit_begun (key BLOB PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID",
)


class Mark(enum.Enum):
    """What is known of a part."""

    NEW = "new"
    BEGUN = "begun"
    DONE = "done"


class Forgetful(Exception):  # it is a moment of the disk's
    """What is to be remembered cannot be written now."""


class Seen(Protocol):
    """Remembers keys."""

    async def begin(self, keys: Sequence[str]) -> Sequence[Mark]:
        """
        Begin what is new.

        Returns:
            what each key was before.

        Raises:
            Forgetful: it cannot be remembered.
        """
        ...

    async def end(self, key: str) -> None:
        """
        Remember that a key is done.

        Raises:
            Forgetful: it cannot be remembered.
        """
        ...

    async def undo(self, key: str) -> None:
        """
        Forget that a key was begun: it is certain that nothing has come of it.

        Raises:
            Forgetful: it cannot be written.
        """
        ...

    async def aclose(self) -> None:
        """Let go of what is open."""
        ...


class Memory:
    """
    Remembers the last keys of this process.

    Args:
        most: keys.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._marks: dict[str, Mark] = {}

    async def begin(self, keys: Sequence[str]) -> Sequence[Mark]:
        """See `Seen`; the oldest is forgotten where there are too many."""
        before = [self._marks.get(key, Mark.NEW) for key in keys]
        for key in keys:
            self._marks.setdefault(key, Mark.BEGUN)
        while len(self._marks) > self._most:
            del self._marks[next(iter(self._marks))]
        return before

    async def end(self, key: str) -> None:
        """See `Seen`."""
        self._marks[key] = Mark.DONE

    async def undo(self, key: str) -> None:
        """See `Seen`."""
        self._marks.pop(key, None)

    async def aclose(self) -> None:
        """Nothing is open."""


class SeenFile:
    """
    Remembers keys in a file of SQLite, for 15 days.

    Args:
        path: the file; made where there is none, readable by its owner alone.

    Raises:
        ConfigurationError: it cannot be opened, or is something else.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._steps: list[tuple[Callable[[], object], asyncio.Future[Any]]] = []
        self._writing: asyncio.Task[None] | None = None
        try:
            Path(path).touch(mode=0o600)
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(f"{self._path} cannot be used to remember events: {error}.") from error
        try:
            self._connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + ";".join(TABLES))
            for table in ("seslimit_seen", "seslimit_begun"):
                self._connection.execute(f"DELETE FROM {table} WHERE at < ?", (time.time() - KEPT,))  # noqa: S608  # ours
        except sqlite3.Error as error:
            self._connection.close()
            raise ConfigurationError(f"{self._path} cannot be used to remember events: {error}.") from error

    async def begin(self, keys: Sequence[str]) -> Sequence[Mark]:
        """See `Seen`; by this process or one before."""
        return await self._together(lambda: [self._begin(_digest(key)) for key in keys])

    async def end(self, key: str) -> None:
        """See `Seen`."""
        await self._together(lambda: self._end(_digest(key)))

    async def undo(self, key: str) -> None:
        """See `Seen`."""
        await self._together(lambda: self._undo(_digest(key)))

    async def aclose(self) -> None:
        """Close the file, when what is being written is."""
        while self._writing is not None:
            await asyncio.wait([self._writing])
        self._connection.close()

    def _begin(self, key: bytes) -> Mark:
        if self._connection.execute("SELECT 1 FROM seslimit_seen WHERE key = ?", (key,)).fetchone():
            return Mark.DONE
        begun = self._connection.execute("INSERT OR IGNORE INTO seslimit_begun VALUES (?, ?)", (key, time.time()))
        return Mark.NEW if begun.rowcount else Mark.BEGUN

    def _end(self, key: bytes) -> None:
        self._connection.execute("INSERT OR IGNORE INTO seslimit_seen VALUES (?, ?)", (key, time.time()))
        self._undo(key)

    def _undo(self, key: bytes) -> None:
        self._connection.execute("DELETE FROM seslimit_begun WHERE key = ?", (key,))

    async def _together(self, step: Callable[[], T]) -> T:
        """Do a step in one transaction with those that come meanwhile."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._steps.append((step, done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return await done

    async def _write(self) -> None:
        try:
            while self._steps:
                steps, self._steps = self._steps, []
                ends = await asyncio.to_thread(self._transaction, [step for step, _ in steps])
                for number, (_, done) in enumerate(steps):
                    if done.done():  # nobody waits any more
                        continue
                    if isinstance(ends, Forgetful):
                        done.set_exception(ends)
                    else:
                        done.set_result(ends[number])
        finally:
            self._writing = None

    def _transaction(self, steps: Sequence[Callable[[], object]]) -> Sequence[object] | Forgetful:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            ends = [step() for step in steps]
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):  # there may be none to undo
                self._connection.execute("ROLLBACK")
            return Forgetful(f"{self._path}: {error}")
        return ends


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
