"""
`Limiter.wrap`: a function that makes one attempt becomes one that sends.

Knows what may be wrapped. It must not know how a turn is waited for, nor how the attempts follow one another.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial, wraps
from typing import Any, ParamSpec, Protocol, TypeVar

from .._law.retry import RetryPolicy
from .._model.errors import ConfigurationError
from .._model.history import History
from .._model.message import MAX_RECIPIENTS
from .._model.options import shown, whole
from .attempts import Attempts
from .gate import AROUND, Admission, Gate
from .lanes import Lane

P = ParamSpec("P")
T = TypeVar("T")


class Wrapper(Protocol):
    """What `Limiter.wrap` returns: a decorator of asynchronous functions."""

    def __call__(self, function: Callable[P, Awaitable[T]], /) -> Callable[P, Coroutine[Any, Any, T]]:
        """Wrap a function that makes one attempt."""
        ...


def wrapper(gate: Gate, cost: Callable[..., int] | int, policy: RetryPolicy, lane: Callable[[], Lane]) -> Wrapper:
    """
    A decorator; see `Limiter.wrap`.

    Args:
        gate: admits every attempt.
        cost: recipients of one call, or a function of the call's arguments that returns them.
        policy: the retry policy.
        lane: the lane that it waits in, looked up at each call.
    """
    if not callable(cost):
        _recipients(cost)

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        if not _is_asynchronous(function):
            raise ConfigurationError(
                f"wrap is for asynchronous functions, and {shown(function)} is none: what it did could not be "
                "awaited, and would be repeated. Make it `async def`."
            )

        @wraps(function)
        async def paced(*args: P.args, **kwargs: P.kwargs) -> T:
            recipients = _recipients(cost(*args, **kwargs) if callable(cost) else cost)
            attempt = partial(_inside, gate, partial(function, *args, **kwargs))
            admission = Admission(gate, recipients, lane())
            return await Attempts(admission, policy, attempt, History(time.time())).to_the_end(_until)

        return paced

    return decorate


async def _inside(gate: Gate, function: Callable[[], Awaitable[T]]) -> T:
    """Make an attempt, known to be inside an admission of the gate."""
    around = AROUND.get()
    AROUND.set(gate)
    try:
        return await function()
    finally:
        AROUND.set(around)


async def _until(when: float) -> None:
    await asyncio.sleep(when - asyncio.get_running_loop().time())


def _recipients(cost: object) -> int:
    return whole("cost", cost, "the recipients of one message", low=1, high=MAX_RECIPIENTS)


def _is_asynchronous(function: Callable[..., Any]) -> bool:
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
