"""
Bridging: what makes synchronous methods of asynchronous ones, for `seslimit.blocking`.

Each is a function of the asynchronous method and has its signature, so that nothing is written twice. It must not know
whose methods they are.

Invariant: the asynchronous object is touched in the portal's loop alone, and what is the caller's to run (an iterable
of messages) runs in the thread that called.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
)
from functools import wraps
from typing import Any, Concatenate, Generic, Never, ParamSpec, TypeVar, overload

from ._model.message import Message
from ._portal import PORTAL, Caller

P = ParamSpec("P")
A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)
T = TypeVar("T")


class Bridge(Generic[A_co]):
    """What stands in synchronous code for an asynchronous object."""

    def _behind(self) -> A_co:
        """The asynchronous object; called in the loop."""
        raise NotImplementedError


class Value(Generic[A, T]):
    """An attribute of the asynchronous object, read in the loop."""

    def __init__(self, read: Callable[[A], T]) -> None:
        self._read = read

    @overload
    def __get__(self, bridge: None, owner: type) -> Value[A, T]: ...
    @overload
    def __get__(self, bridge: Bridge[A], owner: type) -> T: ...
    def __get__(self, bridge: Bridge[A] | None, owner: type) -> Value[A, T] | T:
        if bridge is None:
            return self
        return PORTAL.do(lambda: self._read(bridge._behind()))  # noqa: SLF001

    def __set__(self, bridge: Bridge[A], value: Never) -> None:
        raise AttributeError("it is read, and not set")


def awaited(method: Callable[Concatenate[A, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[Bridge[A], P], T]:
    """A method that is awaited in the loop."""

    @wraps(method)
    def called(bridge: Bridge[A], /, *args: P.args, **kwargs: P.kwargs) -> T:
        async def run() -> T:
            return await method(bridge._behind(), *args, **kwargs)  # noqa: SLF001

        return PORTAL.call(run)

    return called


def done(method: Callable[Concatenate[A, P], T]) -> Callable[Concatenate[Bridge[A], P], T]:
    """A method that is called in the loop."""

    @wraps(method)
    def called(bridge: Bridge[A], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return PORTAL.do(lambda: method(bridge._behind(), *args, **kwargs))  # noqa: SLF001

    return called


def streamed(
    method: Callable[[A, Iterable[Message] | AsyncIterable[Message]], AsyncGenerator[T, None]],
) -> Callable[[Bridge[A], Iterable[Message]], Generator[T, None, None]]:
    """A method that takes messages and gives reports; both in the thread that asks for the reports."""

    @wraps(method)
    def called(bridge: Bridge[A], messages: Iterable[Message]) -> Generator[T, None, None]:
        caller = Caller(PORTAL)
        pulled = messages if isinstance(messages, AsyncIterable) else _pulled(messages, caller)
        return _given(caller, lambda: method(bridge._behind(), pulled))  # noqa: SLF001

    return called


def reported(
    method: Callable[[A], AsyncGenerator[T, None]],
) -> Callable[[Bridge[A]], Generator[T, None, None]]:
    """A method that gives reports."""

    @wraps(method)
    def called(bridge: Bridge[A]) -> Generator[T, None, None]:
        return _given(Caller(PORTAL), lambda: method(bridge._behind()))  # noqa: SLF001

    return called


def _given(caller: Caller, begin: Callable[[], AsyncGenerator[T, None]]) -> Generator[T, None, None]:
    """What an asynchronous generator gives, to the thread that waits for it."""
    stream, loop = PORTAL.do(begin), PORTAL.loop

    async def step() -> T | None:
        return await anext(stream, None)

    try:
        while loop is PORTAL.loop:
            if (given := caller.call(step)) is None:
                return
            yield given
        raise RuntimeError("these reports belong to the process that this one was forked from: ask for them there.")
    finally:
        if loop is PORTAL.loop:  # otherwise it is in the process that this one was forked from
            PORTAL.call(stream.aclose)


async def _pulled(messages: Iterable[Message], caller: Caller) -> AsyncIterator[Message]:
    """Messages of an iterable, each taken in the thread that waits for reports."""
    iterator: Iterator[Message] | None = None

    def take() -> Message | None:
        nonlocal iterator
        iterator = iterator or iter(messages)
        return next(iterator, None)

    while (message := await caller.ask(take)) is not None:
        yield message
