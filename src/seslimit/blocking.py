"""
`Sender` and `Limiter` for synchronous code: the same names without `await`, on one event loop in a background thread.

For loops around boto3 and smtplib, for Celery, gunicorn and whatever else has threads and forks. Nothing of the
asynchronous code is here a second time: a method is the asynchronous one, run in that loop while the calling thread
waits, and its signature is the asynchronous one's. Transports, retries and hooks run in the background thread; what is
yours to run (a wrapped function, the iterable of messages) runs in the thread that called.

After a fork the child has a loop of its own: its limiter goes on with what was learnt, its sender opens connections of
its own.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import (
    Callable,
    Iterable,
)
from contextvars import copy_context
from functools import partial, wraps
from types import TracebackType
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

from ._bridging import Bridge, Value, awaited, done, reported, streamed
from ._law.retry import RetryPolicy
from ._model.allowance import Store
from ._model.clearance import Guards, Suppresses
from ._model.errors import ConfigurationError
from ._model.journal import Journal
from ._model.options import shown
from ._pacing import limiter as _pacing
from ._pacing.gate import Admission as _Admission
from ._pacing.hooks import EventHook, Hook
from ._pacing.wrapping import Wrapper as _Wrapper
from ._portal import PORTAL, Caller
from ._sending import sender as _sending
from .transports import Transport, transport_from_url

if TYPE_CHECKING:
    from .outbox import Outbox

__all__ = ["Admission", "Limiter", "Sender"]

P = ParamSpec("P")
Q = ParamSpec("Q")
A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)
T = TypeVar("T")


class Wrapper(Protocol):
    """What `Limiter.wrap` returns: a decorator of ordinary functions."""

    def __call__(self, function: Callable[P, T], /) -> Callable[P, T]:
        """Wrap a function that makes one attempt."""
        ...


def _of_limiter(read: Callable[[_pacing.Limiter], T]) -> Value[_pacing.Limiter, T]:
    return Value(read)


def _of_sender(read: Callable[[_sending.Sender], T]) -> Value[_sending.Sender, T]:
    return Value(read)


def _admitted(
    method: Callable[Concatenate[A, P], _Admission],
) -> Callable[Concatenate[Bridge[A], P], Admission]:
    """A method that lets a message through."""

    @wraps(method)
    def called(bridge: Bridge[A], /, *args: P.args, **kwargs: P.kwargs) -> Admission:
        return Admission(method(bridge._behind(), *args, **kwargs))  # noqa: SLF001  # it only looks the lane up

    return called


def _wrapped(
    method: Callable[Concatenate[A, P], _Wrapper],
) -> Callable[Concatenate[Bridge[A], P], Wrapper]:
    """A method that decorates functions; an ordinary function is run in the thread that calls it."""

    @wraps(method)
    def called(bridge: Bridge[A], /, *args: P.args, **kwargs: P.kwargs) -> Wrapper:
        around = method(bridge._behind(), *args, **kwargs)  # noqa: SLF001

        def decorate(function: Callable[Q, T]) -> Callable[Q, T]:
            if inspect.iscoroutinefunction(function):
                raise ConfigurationError(
                    f"{shown(function)} is asynchronous: wrap it with a Limiter of seslimit, not of seslimit.blocking."
                )

            @wraps(function)
            def paced(*args: Q.args, **kwargs: Q.kwargs) -> T:
                caller = Caller(PORTAL)

                async def attempt(*args: Q.args, **kwargs: Q.kwargs) -> T:
                    # In the context of the attempt: the function may ask the same limiter for another message.
                    context = copy_context()
                    return await caller.ask(lambda: context.run(function, *args, **kwargs))

                return caller.call(around(attempt), *args, **kwargs)

            return paced

        return decorate

    return called


class Admission:
    """
    Leave for one message to go, as `seslimit.Admission`: `with limiter.admit(): …`.

    It waits its turn on entry and settles on exit: the exception that leaves the block is classified, slows the limiter
    if it is a throttle, and is raised on unchanged.
    """

    __slots__ = ("_admission", "_loop")

    def __init__(self, admission: _Admission) -> None:
        self._admission = admission

    def handed_over(self) -> None:
        """Say that the service has the whole message now; see `seslimit.Admission.handed_over`."""
        PORTAL.do(self._admission.handed_over)

    def __enter__(self) -> Admission:
        PORTAL.call(self._admission.__aenter__)
        self._loop = PORTAL.loop
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._loop is PORTAL.loop:  # otherwise it is settled in the process that this one was forked from
            PORTAL.call(self._admission.__aexit__, exc_type, exc, traceback)


class Limiter(Bridge[_pacing.Limiter]):
    """
    `seslimit.Limiter` for synchronous code: any number of threads share one.

    Takes what `seslimit.Limiter` takes, and for `shared` an address as well, as `seslimit.shared.shared_from_url` does.
    Hooks are called in the background thread.
    """

    def __init__(
        self,
        rate: float | None = None,
        time_period: float = 1.0,
        *,
        max_rate: float | None = None,
        headroom: float = 0.0,
        shared: Store | str | None = None,
        hooks: Iterable[EventHook] = (),
    ) -> None:
        if isinstance(shared, str):
            from .shared import shared_from_url

            shared = shared_from_url(shared)
        self._limiter = _pacing.Limiter(
            rate, time_period, max_rate=max_rate, headroom=headroom, shared=shared, hooks=hooks
        )
        self._entered = threading.local()

    def __repr__(self) -> str:
        return repr(self._limiter)

    def _behind(self) -> _pacing.Limiter:
        return self._limiter

    rate = _of_limiter(lambda limiter: limiter.rate)
    estimate = _of_limiter(lambda limiter: limiter.estimate)
    max_rate = _of_limiter(lambda limiter: limiter.max_rate)
    time_period = _of_limiter(lambda limiter: limiter.time_period)
    paused = _of_limiter(lambda limiter: limiter.paused)
    quota = _of_limiter(lambda limiter: limiter.quota)
    waiting = _of_limiter(lambda limiter: limiter.waiting)
    unreachable_for = _of_limiter(lambda limiter: limiter.unreachable_for)

    lane = done(_pacing.Limiter.lane)
    acquire = awaited(_pacing.Limiter.acquire)
    has_capacity = done(_pacing.Limiter.has_capacity)
    accepted = done(_pacing.Limiter.accepted)
    throttled = done(_pacing.Limiter.throttled)
    quota_figures = done(_pacing.Limiter.quota_figures)
    ceiling = done(_pacing.Limiter.ceiling)
    hold = done(_pacing.Limiter.hold)
    release = done(_pacing.Limiter.release)
    state = done(_pacing.Limiter.state)
    close = awaited(_pacing.Limiter.aclose)
    admit = _admitted(_pacing.Limiter.admit)
    wrap = _wrapped(_pacing.Limiter.wrap)

    def __enter__(self) -> None:
        admission = self.admit()
        admission.__enter__()
        self._stack().append(admission)

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack().pop().__exit__(exc_type, exc, traceback)

    def _stack(self) -> list[Admission]:
        """What this thread has entered and not left."""
        if not hasattr(self._entered, "admissions"):
            self._entered.admissions = []
        admissions: list[Admission] = self._entered.admissions
        return admissions


class Sender(Bridge[_sending.Sender]):
    """
    `seslimit.Sender` for synchronous code: any number of threads share one.

    Use as a context manager, or call `close` at the end; one that is left open is closed when the program ends. Takes
    what `seslimit.Sender` takes, but for:

    Args:
        transport: a URL, as `transport_from_url` takes it, or a function that makes a transport: a process that is
            forked makes one of its own. A transport that is made already serves in one process alone.
        limiter: of this module.
        outbox: the file or URL of an `Outbox`, which is closed with the sender. One that is made already serves in one
            process alone, and is closed by whoever made it.

    Raises:
        ConfigurationError: the URL is wrong, or as `seslimit.Sender`.
    """

    def __init__(
        self,
        transport: Transport | str | Callable[[], Transport],
        *,
        limiter: Limiter | None = None,
        retry: RetryPolicy | None = None,
        hooks: Iterable[Hook] = (),
        max_in_flight: int = _sending.MAX_IN_FLIGHT,
        suppression: Suppresses | None = None,
        guard: Guards | None = None,
        outbox: Journal | str | None = None,
        keep_daily: int = 0,
    ) -> None:
        if isinstance(limiter, _pacing.Limiter):
            raise ConfigurationError("limiter is asynchronous: give a Limiter of seslimit.blocking.")
        self._transport = transport
        self._outbox = outbox
        self._limiter = limiter or Limiter()
        self._options = partial(
            _sending.Sender,
            limiter=self._limiter._behind(),  # noqa: SLF001  # the bridge's other end, in this module
            retry=retry,
            hooks=tuple(hooks),
            max_in_flight=max_in_flight,
            suppression=suppression,
            guard=guard,
            keep_daily=keep_daily,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._make()

    @property
    def limiter(self) -> Limiter:
        """The account's limiter."""
        return self._limiter

    transport = _of_sender(lambda sender: sender.transport)
    unfinished = _of_sender(lambda sender: sender.unfinished)

    ask_quota = awaited(_sending.Sender.ask_quota)
    send = awaited(_sending.Sender.send)
    send_many = streamed(_sending.Sender.send_many)
    drain = reported(_sending.Sender.drain)
    run = awaited(_sending.Sender.run)
    withdraw = done(_sending.Sender.withdraw)
    stop = done(_sending.Sender.stop)
    state = done(_sending.Sender.state)

    def close(self, deadline: float = _sending.DRAIN) -> None:
        """
        Stop, give attempts under way at most `deadline` seconds, and close the transport; as `seslimit.Sender.aclose`.

        What could not be finished is in `unfinished`, and logged.
        """
        PORTAL.call(self._close, deadline)

    def __enter__(self) -> Sender:
        self.ask_quota()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _behind(self) -> _sending.Sender:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None:
                if not all(each is None or _can_be_made(each) for each in (self._transport, self._outbox)):
                    raise RuntimeError(
                        "the transport or the outbox of this sender was made and used before this process was forked, "
                        "and its connections are not to be shared: give a URL, or a function that makes one."
                    )
                self._make()
            self._loop = loop
            PORTAL.at_end(self, self._close)
        return self._sender

    def _make(self) -> None:
        given = self._transport
        made = transport_from_url(given) if isinstance(given, str) else given
        transport = made() if callable(made) else made
        self._opened: Outbox | None = None
        journal = self._outbox
        if isinstance(journal, str):
            from .outbox import Outbox

            journal = self._opened = Outbox(journal)
        self._sender = self._options(transport, outbox=journal)

    async def _close(self, deadline: float = _sending.DRAIN) -> None:
        sender = self._behind()
        PORTAL.at_end(self, None)
        await sender.aclose(deadline)
        if self._opened is not None:
            await self._opened.aclose()


def _can_be_made(given: object) -> bool:
    """Whether another one like it can be had."""
    return isinstance(given, str) or callable(given)
