"""
An event loop whose clock jumps to the next timer instead of waiting for it: an hour of pacing takes milliseconds.

For code without sockets of its own, such as a `Sender` on a `FakeTransport`. The fixture `virtual_time` is `run`.

Each turn of the loop takes a nanosecond, as no real one takes nothing: code that waits for a rounding error of a few
attoseconds, as aiolimiter does, comes to its end here too. (looptime, the library for this, keeps its clock still.)
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

__all__ = ["VirtualTimeLoop", "block", "on_virtual_time", "run"]

P = ParamSpec("P")
T = TypeVar("T")

TURN: Final = 1e-9
"""Seconds that one turn of the loop takes."""


class _JumpingSelector(selectors.DefaultSelector):
    """Polls the sockets, and instead of waiting for them moves the clock."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now; the clock moves by `timeout` seconds when nothing is."""
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("deadlock: nothing is scheduled and nobody will wake the loop")
            self.now += timeout
        self.now += TURN
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A selector event loop on virtual time, which starts at 0."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """The virtual time, in seconds."""
        return self._jumping.now

    def pass_time(self, seconds: float) -> None:
        """Move the clock without serving a timer."""
        self._jumping.now += seconds


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)


def on_virtual_time(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make an asynchronous test an ordinary one that runs on virtual time."""

    @wraps(function)
    def test(*args: P.args, **kwargs: P.kwargs) -> T:
        return run(function(*args, **kwargs))

    return test


def block(seconds: float) -> None:
    """
    Do what a computation of so many seconds does to the running loop: time passes and no timer is served.

    Raises:
        RuntimeError: the running loop is not on virtual time.
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualTimeLoop):
        raise RuntimeError("block() is for a loop on virtual time")
    loop.pass_time(seconds)
