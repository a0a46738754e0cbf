"""
What was delivered already: in memory, or in a file that survives a restart.

Invariant: a part that is said to be remembered in a file is on the disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from .._model.errors import ConfigurationError

T = TypeVar("T")

MOST = 100_000
"""Parts that memory remembers: an hour at 28 a second, longer than SNS repeats anything."""

KEPT = 15 * 86_400.0
"""Seconds for which a file remembers a part: longer than SQS keeps a message (14 days)."""


class Seen(Protocol):
    """Remembers keys."""

    async def has(self, key: str) -> bool:
        """Whether the key is remembered."""
        ...

    async def add(self, key: str) -> None:
        """Remember a key."""
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
        self._keys: dict[str, None] = {}

    async def has(self, key: str) -> bool:
        """Whether the key is one of the last."""
        return key in self._keys

    async def add(self, key: str) -> None:
        """Remember a key, and forget the oldest where there are too many."""
        self._keys[key] = None
        while len(self._keys) > self._most:
            del self._keys[next(iter(self._keys))]

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
        self._lock = asyncio.Lock()
        try:
            Path(path).touch(mode=0o600)
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(f"{os.fspath(path)} cannot be used to remember events: {error}.") from error
        try:
            self._connection.executescript(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                "CREATE TABLE IF NOT EXISTS seslimit_seen (key BLOB PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;"
            )
            self._connection.execute("DELETE FROM seslimit_seen WHERE at < ?", (time.time() - KEPT,))
        except sqlite3.Error as error:
            self._connection.close()
            raise ConfigurationError(f"{os.fspath(path)} cannot be used to remember events: {error}.") from error

    async def has(self, key: str) -> bool:
        """Whether the key was remembered, by this process or one before."""
        asked = "SELECT 1 FROM seslimit_seen WHERE key = ?"
        return await self._run(lambda: self._connection.execute(asked, (_digest(key),)).fetchone() is not None)

    async def add(self, key: str) -> None:
        """Remember a key; on the disk when this returns."""
        added = "INSERT OR IGNORE INTO seslimit_seen VALUES (?, ?)"
        await self._run(lambda: self._connection.execute(added, (_digest(key), time.time())))

    async def aclose(self) -> None:
        """Close the file."""
        await self._run(self._connection.close)

    async def _run(self, step: Callable[[], T]) -> T:
        async with self._lock:  # one connection, one thread at a time
            return await asyncio.to_thread(step)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
