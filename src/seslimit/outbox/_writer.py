"""
Group commit: what many tasks write at the same moment goes into one transaction, and each hears when it is on the disk.

What arrives while one transaction is committed goes with the next, so that the more there is to write, the less each
costs. It must not know what is written.

Invariants: whoever is told that something is written can pull the plug; what cannot be written is told to those whose
it is, within `patience`; results are written before anything else where there is hardly any space.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

import attrs
import sqlalchemy as sa

from .._model.journal import JournalError, JournalUnavailable
from ._adding import Overtaken
from ._database import Database, DiskFull

logger = logging.getLogger("seslimit")

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")

Batch: TypeAlias = Callable[[sa.Connection, Sequence[I]], Sequence[R | Exception]]
"""Writes items in one transaction, and says of each what came of it. An exception in the place of a result is raised to
the item's owner alone; one that is raised undoes the transaction."""

MOST = 1000
"""Items of one transaction: a tenth of a second at most."""

WINDOW, LONGEST_WINDOW = 0.002, 0.008
"""Seconds that a transaction waits for more to write where the one before had several items: as long as that one took,
so that half of the time at most goes into writing, and within these. A disk that is fast would otherwise be given one
for each. A service takes ten times as long for a message at least."""

SEVERAL = 5
"""Items of a transaction at which others are to be expected. Source: PostgreSQL's `commit_siblings`."""

FIRST_WAIT = 0.05
LONGEST_WAIT = 0.5
"""Seconds before a transaction that failed for a passing reason is tried again."""


@attrs.define(eq=False)
class _Work(Generic[I, R]):
    batch: Batch[I, R]
    item: I
    is_result: bool
    committed: Callable[[R], object] | None
    done: asyncio.Future[R]


@attrs.define(eq=False)
class Writer:
    """
    The one that writes.

    Args:
        database: where to.
        patience: seconds for which something that cannot be written for a passing reason is tried again.
        doubt: called where a transaction may have been committed although it failed.
    """

    database: Database
    patience: float
    doubt: Callable[[], object]
    _pending: deque[_Work[Any, Any]] = attrs.field(factory=deque, init=False)
    _some: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _task: asyncio.Task[None] | None = attrs.field(default=None, init=False)
    _full: bool = attrs.field(default=False, init=False)
    _closing: bool = attrs.field(default=False, init=False)

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._run(), name="outbox writer")

    async def patiently(self, call: Callable[[], Awaitable[None]]) -> None:
        """Make a call, and again where it fails for a passing reason, until that has lasted too long."""
        pause = self._pause()
        while True:
            try:
                return await call()
            except JournalUnavailable as error:
                await pause(error)

    def write(
        self,
        batch: Batch[I, R],
        item: I,
        *,
        is_result: bool = False,
        committed: Callable[[R], object] | None = None,
    ) -> asyncio.Future[R]:
        """
        Write one item, together with others that have the same `batch`; what comes of it is to be awaited.

        Args:
            batch: writes some.
            item: what to write.
            is_result: whether it goes first where there is hardly any space left.
            committed: called with the result as soon as it is on the disk, also where nobody waits for it any more.

        Raises:
            JournalError: it could not be written.

        Cancelling:
            it is written all the same.
        """
        if self._task is None or self._closing:
            raise JournalError("the outbox is closed.")
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._pending.append(_Work(batch, item, is_result, committed, done))
        if not self._some.is_set():
            self._some.set()
        return done

    async def aclose(self) -> None:
        """Write what is pending, and end."""
        self._closing = True
        if self._task is not None:
            self._some.set()
            await self._task

    async def _run(self) -> None:
        works: list[_Work[Any, Any]] = []
        loop = asyncio.get_running_loop()
        took = 0.0
        while True:
            while not self._pending:
                if self._closing:
                    return
                self._some.clear()
                await self._some.wait()
            if len(works) >= SEVERAL and not self._closing:
                await asyncio.sleep(min(max(WINDOW, took), LONGEST_WINDOW))
            works = [self._pending.popleft() for _ in range(min(MOST, len(self._pending)))]
            began_at = loop.time()
            try:
                await self._write(works)
            except Exception as error:  # noqa: BLE001  # whatever it is, those who wait hear of it
                _fail(works, error)
            took = loop.time() - began_at

    async def _write(self, works: list[_Work[Any, Any]]) -> None:
        pause = self._pause()
        if self._full and not await self._has_space():
            works = self._results_only(works)
        while works:
            try:
                results = await self._commit(works)
            except Overtaken:
                pass  # again, with what is there now
            except DiskFull as error:
                works = await self._make_room(works, error)
            except JournalUnavailable as error:
                self.doubt()
                await pause(error)
            except Exception:
                if len(works) == 1:
                    raise
                await self._one_by_one(works)
                return
            else:
                _tell(works, results)
                return

    def _pause(self) -> Callable[[JournalUnavailable], Awaitable[None]]:
        """What waits before something is tried again; it raises where it was tried for long enough."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.patience
        wait = FIRST_WAIT

        async def pause(error: JournalUnavailable) -> None:
            nonlocal wait
            if self._closing or loop.time() + wait > deadline:
                raise error
            logger.info("%s: trying again", error)
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

        return pause

    async def _commit(self, works: Sequence[_Work[Any, Any]]) -> list[Any]:
        return await self.database.write(partial(_apply, works=works))

    async def _one_by_one(self, works: list[_Work[Any, Any]]) -> None:
        """Find out whose fault it is that a transaction failed."""
        for work in works:
            try:
                _tell([work], await self._commit([work]))
            except Exception as error:  # noqa: BLE001  # its owner hears of it
                _fail([work], error)

    # A full disk

    async def _make_room(self, works: list[_Work[Any, Any]], error: DiskFull) -> list[_Work[Any, Any]]:
        """What to try again after the disk was found to be full; the others hear of it."""
        was_full, self._full = self._full, True
        results = [work for work in works if work.is_result]
        _fail([work for work in works if not work.is_result], error)
        if self.database.files and not self.database.files.is_reserved() and len(results) == len(works):
            _fail(results, error)
            return []
        if not was_full:
            logger.warning("%s Results are still recorded.", error)
        if results and self.database.files:
            await asyncio.to_thread(self.database.files.free_reserve)
        await self.database.shrink_log()
        return results

    def _results_only(self, works: list[_Work[Any, Any]]) -> list[_Work[Any, Any]]:
        error = DiskFull(f"the disk of the outbox {self.database.shown} is full: free some space, and sending goes on.")
        _fail([work for work in works if not work.is_result], error)
        return [work for work in works if work.is_result]

    async def _has_space(self) -> bool:
        """Whether there is space again, the reserve's included."""
        files = self.database.files
        if files is None or await asyncio.to_thread(files.has_space):
            self._full = False
            logger.warning("there is space for the outbox %s again", self.database.shown)
        return not self._full


def alone(change: Callable[[sa.Connection], R], connection: sa.Connection, items: Sequence[None]) -> Sequence[R]:
    """A batch of one change that has nothing to do with others."""
    return [change(connection) for _ in items]


def _apply(connection: sa.Connection, works: Sequence[_Work[Any, Any]]) -> list[Any]:
    """Do all the work, what is alike together; results in the works' order."""
    alike: dict[Batch[Any, Any], list[int]] = {}
    for number, work in enumerate(works):
        alike.setdefault(work.batch, []).append(number)
    results: list[Any] = [None] * len(works)
    for batch, numbers in alike.items():
        for number, result in zip(numbers, batch(connection, [works[n].item for n in numbers]), strict=True):
            results[number] = result
    return results


def _tell(works: Sequence[_Work[Any, Any]], results: Sequence[Any]) -> None:
    for work, result in zip(works, results, strict=True):
        if isinstance(result, Exception):
            _fail([work], result)
            continue
        if work.committed is not None:
            work.committed(result)
        if not work.done.done():
            work.done.set_result(result)


def _fail(works: Sequence[_Work[Any, Any]], error: Exception) -> None:
    for work in works:
        if not work.done.done():
            own = copy.copy(error)  # each that waits raises one, and may add to it
            own.__cause__ = error.__cause__
            work.done.set_exception(own)
            work.done.exception()  # heard: whoever waited may be gone
