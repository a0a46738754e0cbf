"""
A way from threads into one event loop: a thread waits, the loop works.

Decides nothing about mail. The loop runs in a daemon thread, which starts with the first call. A fork finds it between
two callbacks, so that what it was doing is whole in the child: the thread rests before a fork, goes on in the parent,
and the child begins a loop of its own.

Invariants: a call ends before the thread that made it goes on, an interrupted one by being cancelled; what a call asks
of its thread is done in that thread, and nowhere else.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import queue
import threading
import weakref
from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar, copy_context
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

REST = 5.0
"""Seconds that a fork waits for a callback under way: longer than any takes that does not wait for the fork itself."""

_PORTALS: weakref.WeakSet[Portal] = weakref.WeakSet()
_ABANDONED: list[object] = []
"""Loops of the process that this one was forked from, and their tasks. To close one here would close it there, by the
poll that they share; a task of one that is let go of complains of its end, and has none here."""


class Portal:
    """
    An event loop in a thread of its own, for callers in other threads.

    Any thread may call, one with a running event loop of its own as well; it blocks until the call has ended. As a
    context manager it is closed at the end; otherwise when the program ends.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str = "seslimit") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: _Loop | None = None
        self._thread: threading.Thread | None = None
        self._at_end: dict[object, Callable[[], Awaitable[object]]] = {}
        _PORTALS.add(self)

    def __enter__(self) -> Portal:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop; another one in a process that was forked, and after `close`."""
        with self._lock:
            if self._loop is None:
                self._loop = _Loop()
                self._go_on(self._loop)
                atexit.register(self.close)
            return self._loop

    @property
    def inside(self) -> bool:
        """Whether the running code is the loop's own, and would wait for itself."""
        return threading.current_thread() is self._thread

    def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Run an asynchronous function in the loop; its result is returned, its exception raised.

        It runs in the caller's context (`contextvars`), and what it changes there stays changed. What interrupts the
        caller, as `KeyboardInterrupt` does, cancels it; the interruption goes on when it has ended.

        Raises:
            RuntimeError: called by the loop itself, from a hook for example.
        """
        return Caller(self).call(function, *args, **kwargs)

    def do(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an ordinary function in the loop's thread; by the loop itself, at once."""
        if self.inside:
            return function(*args, **kwargs)

        async def done() -> T:
            return function(*args, **kwargs)

        return self.call(done)

    def at_end(self, key: object, ending: Callable[[], Awaitable[object]] | None) -> None:
        """Have something awaited before the loop is closed, or no more; to be called in the loop."""
        if ending is None:
            self._at_end.pop(key, None)
        else:
            self._at_end[key] = ending

    def close(self) -> None:
        """Cancel what is under way and close the loop; a later call begins another one."""
        with self._lock:
            loop, thread = self._loop, self._thread
            if loop is None or thread is None:
                return
            if self.inside:
                raise RuntimeError("an event loop cannot close itself: close it from another thread.")
            asyncio.run_coroutine_threadsafe(self._end(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
            self._loop = self._thread = None
            atexit.unregister(self.close)

    async def _end(self) -> None:
        endings, self._at_end = list(self._at_end.values()), {}
        await asyncio.gather(*(ending() for ending in endings), return_exceptions=True)
        loop = asyncio.get_running_loop()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await loop.shutdown_asyncgens()
        await loop.shutdown_default_executor()

    def _go_on(self, loop: _Loop) -> None:
        before = self._thread

        def run() -> None:
            if before is not None:
                before.join()
            loop.run_forever()

        self._thread = threading.Thread(target=run, name=self._name, daemon=True)
        self._thread.start()

    def before_fork(self) -> None:
        """Let the loop rest between two callbacks, and nobody begin or close one."""
        if self.inside:
            return
        self._lock.acquire()
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(REST)

    def after_fork(self) -> None:
        """Go on in the process that forked."""
        if self.inside:
            return
        if self._loop is not None:
            self._go_on(self._loop)
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Have no loop in the process that was forked."""
        if self._loop is not None:
            self._loop.abandoned = True
            _ABANDONED.extend((self._loop, *asyncio.all_tasks(self._loop)))
        self._lock = threading.Lock()
        self._loop = self._thread = None
        self._at_end = {}


PORTAL = Portal()
"""The process's. It has no thread before something is called."""


class Caller:
    """
    A thread as the loop sees it: it waits for its calls, and meanwhile does what they ask of it.

    Args:
        portal: the way to the loop.
    """

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()

    def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an asynchronous function in the loop, as `Portal.call` does."""
        if self._portal.inside:
            raise RuntimeError(
                "a blocking call was made by the event loop that would have to carry it out, from a hook perhaps, and "
                "would wait for itself for ever."
            )
        loop, context = self._portal.loop, copy_context()
        begun: list[asyncio.Task[T]] = []

        async def run() -> T:
            return await function(*args, **kwargs)

        def begin() -> None:
            task = loop.create_task(run(), context=context)
            begun.append(task)
            task.add_done_callback(lambda _: self._asked.put(None))

        def cancel() -> None:
            if begun:
                begun[0].cancel()
            else:
                self._asked.put(None)

        try:
            loop.call_soon_threadsafe(begin)
            while (asked := self._asked.get()) is not None:
                asked.do()
        except BaseException:
            loop.call_soon_threadsafe(cancel)
            while (asked := self._asked.get()) is not None:
                asked.drop()
            raise
        finally:
            _adopt(context)
        return begun[0].result()

    async def ask(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """
        Let the thread run a function, now if it waits for a call, otherwise in its next one.

        Cancelling:
            the function may have been run.
        """
        asked: _Asked = _Asked(partial(function, *args, **kwargs))
        self._asked.put(asked)
        result: T = await asked.answer
        return result


class _Asked:
    """Something that a call asks of its thread."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Any] = self._loop.create_future()

    def do(self) -> None:
        if self.answer.cancelled():
            return
        try:
            result = self._function()
        except StopIteration as error:
            # What asynchronous code makes of one that it raises; a future takes none.
            raised = RuntimeError("the function raised StopIteration")
            raised.__cause__ = error
            self._settle(self.answer.set_exception, raised)
        except Exception as error:  # noqa: BLE001  # it belongs to the one that asked
            self._settle(self.answer.set_exception, error)
        except BaseException:
            self.drop()
            raise
        else:
            self._settle(self.answer.set_result, result)

    def drop(self) -> None:
        self._settle(lambda _: self.answer.cancel(), None)

    def _settle(self, how: Callable[[Any], object], what: Any) -> None:
        self._loop.call_soon_threadsafe(lambda: self.answer.done() or how(what))


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that says it is closed where it was abandoned: what belonged to it may belong to another one."""

    abandoned = False

    def is_closed(self) -> bool:
        return self.abandoned or super().is_closed()


def _adopt(context: Context) -> None:
    """Make the changes in a context those of the running one."""
    missing = object()
    variable: ContextVar[Any]
    for variable, value in context.items():
        if variable.get(missing) is not value:
            variable.set(value)


def _each(step: Callable[[Portal], None]) -> Callable[[], None]:
    def all_of_them() -> None:
        for portal in tuple(_PORTALS):
            step(portal)

    return all_of_them


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_each(Portal.before_fork),
        after_in_parent=_each(Portal.after_fork),
        after_in_child=_each(Portal.after_fork_in_child),
    )

__all__ = ["PORTAL", "Caller", "Portal"]
