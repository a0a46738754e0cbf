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

SNS = "/sns"


@attrs.frozen(kw_only=True)
class BackOptions:
    """
    What is asked for.

    Args:
        root_url: listmonk's own, where bounces are recorded.
        topic: ARNs of the topics of SNS that are believed.
        queue: sqs:// URL of a queue.
        seen: remembers over restarts which events were recorded.
        sns_certificate, allow_sha1: as for `seslimit feedback`.
        suppression: a list of addresses that are not sent to; events fill it.
        guard: whether a campaign that bounces too much is held.
    """

    root_url: str
    topic: Sequence[str] = ()
    queue: str | None = None
    seen: str | None = None
    sns_certificate: str | None = None
    allow_sha1: bool = False
    suppression: str | None = None
    guard: bool = False


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
    options: BackOptions, limiter: Limiter, observers: Sequence[Observer], stopped: asyncio.Event
) -> AsyncIterator[Back]:
    """
    Take events for as long as the block lasts: posts of SNS at the messenger's own address, and those of a queue.

    Args:
        options: what is asked for.
        limiter: is slowed and held by the guard.
        observers: hear every event.
        stopped: set where a queue cannot be read any more.

    Raises:
        ConfigurationError: an option is wrong or needs another one, or an extra is not installed.
        SuppressionUnavailable: the list cannot be used.
    """
    comes = bool(options.topic) or options.queue is not None
    if options.guard and not comes:
        raise ConfigurationError("--guard needs the events of SES: give --topic or --queue.")
    async with AsyncExitStack() as stack:
        suppression = await stack.enter_async_context(suppressing(options.suppression, make=comes))
        guard = _guard(limiter) if options.guard else None
        others: dict[str, Any] = {}
        if comes:
            asked = FeedbackCommand(
                listmonk=options.root_url,
                topic=options.topic,
                suppression=options.suppression,
                seen=options.seen,
                sns_certificate=options.sns_certificate,
                allow_sha1=options.allow_sha1,
            )
            hooks = [each.on_feedback for each in observers]
            feed = await stack.enter_async_context(feed_of(asked, [*hooks, *([guard.hear] if guard else [])]))
            if options.topic:
                endpoint = endpoint_of(asked, feed)
                stack.push_async_callback(endpoint.aclose)
                others[SNS] = endpoint.answer
            stack.push_async_callback(_ended, read_queue(options.queue, feed, stopped), stopped)
        yield Back(suppression, guard, others)


def _guard(limiter: Limiter) -> ReputationGuard:
    from ..feedback import ReputationGuard

    return ReputationGuard(limiter)


async def _ended(reading: asyncio.Future[None], stopped: asyncio.Event) -> None:
    stopped.set()
    await reading
