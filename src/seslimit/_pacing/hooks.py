"""
Hooks: who hears what happens, and that none of them stops anything.

Knows what a hook may look like. It must not know what the events mean.

Invariant: whatever a hook does, sending goes on and the next hook is called.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

from .._model.errors import ConfigurationError
from .._model.events import Event
from .._model.report import Report

logger = logging.getLogger("seslimit")

T = TypeVar("T")

_REMEDY = "make it a plain function, and put what has to wait on a queue."


@runtime_checkable
class Listener(Protocol):
    """A hook that hears everything."""

    def on_event(self, event: Event, /) -> object:
        """Hear one event. Called where it happens, so it returns at once; whatever has to wait goes on a queue."""
        ...


Hook: TypeAlias = Callable[[Report], object] | Listener
"""What `Sender(hooks=…)` takes: a callable hears every report, an object with `on_event` every event."""

EventHook: TypeAlias = Callable[[Event], object] | Listener
"""What `Limiter(hooks=…)` takes: either kind hears every event of the limiter."""

Hearing: TypeAlias = Callable[[Event], object]


def listeners(hooks: Iterable[Hook]) -> tuple[Hearing, ...]:
    """Those among a sender's hooks that hear every event."""
    return tuple(_checked(hook.on_event) for hook in hooks if isinstance(hook, Listener))


def event_hooks(hooks: Iterable[EventHook]) -> tuple[Hearing, ...]:
    """All of a limiter's hooks."""
    return tuple(_checked(hook.on_event if isinstance(hook, Listener) else hook) for hook in hooks)


def report_hooks(hooks: Iterable[Hook]) -> tuple[Callable[[Report], object], ...]:
    """All of a sender's hooks: a report is an event too."""
    return tuple(_checked(hook.on_event if isinstance(hook, Listener) else hook) for hook in hooks)


def tell(hooks: Iterable[Callable[[T], object]], event: T) -> None:
    """Call every hook; one that fails is logged."""
    for hook in hooks:
        try:
            answer = hook(event)
        except (Exception, asyncio.CancelledError):  # a hook's own: nobody can cancel what does not wait
            logger.exception("the hook %r failed; sending goes on", hook)
        else:
            if inspect.iscoroutine(answer):
                answer.close()
                logger.error("the hook %r returned a coroutine, which nobody awaits: %s", hook, _REMEDY)


def _checked(hook: Callable[[T], object]) -> Callable[[T], object]:
    called = hook if inspect.isroutine(hook) else getattr(hook, "__call__", None)  # noqa: B004  # to look at it
    if called is None:
        raise ConfigurationError(f"the hook {hook!r} is neither callable nor has it on_event.")
    if inspect.iscoroutinefunction(called):
        raise ConfigurationError(f"the hook {hook!r} is asynchronous, and hooks are not awaited: {_REMEDY}")
    return hook
