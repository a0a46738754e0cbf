"""What comes back of listmonk's messages, in the process that sends them: bounces recorded, suppressed, and guarded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs

from .._model.clearance import Suppresses
from .._model.errors import ConfigurationError
from .._pacing.limiter import Limiter
from ._feedback import FeedbackCommand, endpoint_of, feed_of, read_queue
from ._suppression import suppressing

if TYPE_CHECKING:
    from ..feedback import ReputationGuard
    from ..observe import Observer
    from ._listmonk import ListmonkCommand

SNS = "/sns"


@attrs.frozen
class Back:
    """
    What a messenger is given.

    Args:
        suppression: knows who is not sent to.
        guard: hears what is sent, and knows which campaign is held.
        others: what answers beside the messenger.
    """

    suppression: Suppresses | None = None
    guard: ReputationGuard | None = None
    others: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def hooks(self) -> tuple[ReputationGuard, ...]:
        """What hears of every message."""
        return () if self.guard is None else (self.guard,)


@asynccontextmanager
async def coming_back(
    command: ListmonkCommand, limiter: Limiter, observers: Sequence[Observer], stopped: asyncio.Event
) -> AsyncIterator[Back]:
    """
    Take events for as long as the block lasts: posts of SNS at the messenger's own address, and those of a queue.

    Args:
        command: what was asked for.
        limiter: is slowed and held by the guard.
        observers: hear every event.
        stopped: set where a queue cannot be read any more.

    Raises:
        ConfigurationError: an option is wrong or needs another one, or an extra is not installed.
        SuppressionUnavailable: the list cannot be used.
    """
    comes = bool(command.topic) or command.queue is not None
    if command.guard and not comes:
        raise ConfigurationError("--guard needs the events of SES: give --topic or --queue.")
    async with AsyncExitStack() as stack:
        suppression = await stack.enter_async_context(suppressing(command.suppression, make=comes))
        guard = _guard(limiter) if command.guard else None
        others: dict[str, Any] = {}
        if comes:
            asked = FeedbackCommand(
                listmonk=command.root_url,
                topic=command.topic,
                suppression=command.suppression,
                seen=command.seen,
                sns_certificate=command.sns_certificate,
                allow_sha1=command.allow_sha1,
            )
            hooks = [each.on_feedback for each in observers]
            feed = await stack.enter_async_context(feed_of(asked, [*hooks, *([guard.hear] if guard else [])]))
            if command.topic:
                endpoint = endpoint_of(asked, feed)
                stack.push_async_callback(endpoint.aclose)
                others[SNS] = endpoint.answer
            stack.push_async_callback(_ended, read_queue(command.queue, feed, stopped), stopped)
        yield Back(suppression, guard, others)


def _guard(limiter: Limiter) -> ReputationGuard:
    from ..feedback import ReputationGuard

    return ReputationGuard(limiter)


async def _ended(reading: asyncio.Future[None], stopped: asyncio.Event) -> None:
    stopped.set()
    await reading
