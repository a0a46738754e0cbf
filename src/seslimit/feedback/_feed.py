"""
From a source to every destination, once: what `SNSEndpoint` and `SQSSource` hand events to.

Decides when an event counts as taken, and nothing about where it came from. SNS and SQS deliver at least once and in no
order, so each part of an event that a destination has is remembered, and not delivered again.

A destination that can be asked gets each part once, also where the process was killed between its answer and our note
of it, or where its answer was lost.

Invariants: an event is taken when every destination has it, or has refused it for good; what is not taken is not
acknowledged, so the service that delivered it does so again; one event is never under way twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

import attrs
import backoff

from .._model.errors import printable
from ._events import Event
from ._seen import Forgetful, Mark, Memory, Seen

logger = logging.getLogger("seslimit")

PATIENCE = 10.0
"""Seconds for which a destination is tried before the event goes back: SNS waits 15 s for an answer."""

FIRST_WAIT = 0.2
LONGEST_WAIT = 5.0
"""Seconds between two tries at a destination, doubled from one to the other, with full jitter."""


class Unavailable(Exception):  # it is a moment of the destination's, not a fault of the event
    """The destination cannot take anything now."""


class Unanswered(Unavailable):
    """The destination cannot say now whether it has taken it."""


class Refused(Exception):  # likewise
    """The destination will never take this."""


class NotTaken(Exception):  # likewise
    """A destination does not have the event yet; it has to be delivered again."""


@attrs.frozen
class Part:
    """
    One of the things that an event comes to for a destination.

    Args:
        id: tells it from the event's other parts; the same whenever the event comes.
        payload: what the destination delivers.
    """

    id: str
    payload: Any = attrs.field(repr=False)


class Destination(Protocol):
    """Where events go."""

    name: str
    """Tells it from other destinations, also after a restart."""

    def parts(self, event: Event) -> Sequence[Part]:
        """What an event comes to; nothing where it does not concern the destination."""
        ...

    async def deliver(self, part: Part) -> None:
        """
        Deliver a part, and return when it is safe.

        Raises:
            Unavailable: not now; it does not have it.
            Unanswered: it may have it.
            Refused: never.
        """
        ...

    async def aclose(self) -> None:
        """Let go of what is open."""
        ...


@runtime_checkable
class Answering(Destination, Protocol):
    """A destination that can be asked what it has."""

    async def has(self, part: Part) -> bool:
        """
        Whether it has a part that may have been delivered to it before.

        Raises:
            Unavailable: it does not say now.
        """
        ...


@attrs.define
class Counts:
    """
    What became of events so far.

    Args:
        taken: events that every destination has.
        again: events that came once more.
        delivered: parts that a destination took.
        refused: parts that a destination refused for good.
        not_taken: times that an event went back because a destination was not available.
        invalid: documents that were no event, or not to be trusted.
    """

    taken: int = 0
    again: int = 0
    delivered: int = 0
    refused: int = 0
    not_taken: int = 0
    invalid: int = 0


class Feed:
    """
    Hands events to destinations.

    Args:
        destinations: where every event goes.
        hooks: asynchronous functions that hear every event; one that raises has not taken it, and hears it again.
        seen: remembers what was delivered; in memory when left out, so that a restart may deliver the last few again.
        patience: seconds for which a destination is tried before the event goes back.
    """

    def __init__(
        self,
        destinations: Iterable[Destination] = (),
        *,
        hooks: Iterable[Callable[[Event], Awaitable[object]]] = (),
        seen: Seen | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._destinations: tuple[Destination, ...] = (
            *destinations,
            *(_Hook(f"hook {number}", hook) for number, hook in enumerate(hooks)),
        )
        self.counts = Counts()
        self._seen = seen if seen is not None else Memory()
        self._patience = patience
        self._under_way: dict[Hashable, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Feed:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def take(self, event: Event) -> None:
        """
        Return when every destination has the event.

        Raises:
            NotTaken: one of them does not; deliver it again later.

        Cancelling:
            the event comes to its end all the same: others may wait for it.
        """
        task = self._under_way.get(event.id)
        if task is None:
            task = asyncio.create_task(self._to_all(event))
            self._under_way[event.id] = task
            task.add_done_callback(lambda _: self._under_way.pop(event.id, None))
        await asyncio.shield(task)

    async def aclose(self) -> None:
        """Wait for what is under way, and close the destinations."""
        if self._under_way:
            await asyncio.wait(list(self._under_way.values()))
        for destination in self._destinations:
            await destination.aclose()
        await self._seen.aclose()

    async def _to_all(self, event: Event) -> None:
        parts = [(destination, part) for destination in self._destinations for part in destination.parts(event)]
        keys = [f"{destination.name}\n{event.id}\n{part.id}" for destination, part in parts]
        try:
            marks = await self._seen.begin(keys)
        except Forgetful as error:
            self.counts.not_taken += 1
            logger.warning("a %s goes back, for what is delivered cannot be remembered: %s", event.name, error)
            raise NotTaken(f"{event.name} {printable(event.id)} cannot be remembered") from error
        due = [
            self._one(destination, event, part, key, doubtful=mark is Mark.BEGUN)
            for (destination, part), key, mark in zip(parts, keys, marks, strict=True)
            if mark is not Mark.DONE
        ]
        if not due:
            self.counts.again += 1
            return
        if not all(await asyncio.gather(*due)):
            self.counts.not_taken += 1
            raise NotTaken(f"{event.name} {printable(event.id)} has not reached every destination")
        self.counts.taken += 1

    async def _one(self, destination: Destination, event: Event, part: Part, key: str, *, doubtful: bool) -> bool:
        """Deliver a part that the destination may have already; whether it has it now, or never will."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._patience
        waits = backoff.expo(base=2, factor=FIRST_WAIT, max_value=LONGEST_WAIT)
        next(waits)  # the first value of a backoff generator is no wait
        while True:
            try:
                if not (doubtful and isinstance(destination, Answering) and await destination.has(part)):
                    doubtful = False
                    await destination.deliver(part)
                self.counts.delivered += 1
            except Refused as error:
                self.counts.refused += 1
                logger.warning("%s refused a %s: %s", destination.name, event.name, printable(str(error)))
            except Unavailable as error:
                doubtful = doubtful or isinstance(error, Unanswered)
                wait = float(backoff.full_jitter(next(waits)))
                if loop.time() + wait >= ends_at:
                    logger.warning("%s took no %s: %s", destination.name, event.name, printable(str(error)))
                    if not doubtful:
                        await self._noted(self._seen.undo(key), event)
                    return False
                await asyncio.sleep(wait)
                continue
            await self._noted(self._seen.end(key), event)
            return True

    async def _noted(self, noting: Awaitable[None], event: Event) -> None:
        """Note what is so all the same where it cannot be: the part stays begun, and the destination is asked."""
        try:
            await noting
        except Forgetful as error:
            logger.warning("what became of a %s cannot be remembered: %s", event.name, error)


class _Hook:
    """A destination that is a function of the user's."""

    def __init__(self, name: str, hook: Callable[[Event], Awaitable[object]]) -> None:
        self.name = name
        self._hook = hook

    def parts(self, event: Event) -> Sequence[Part]:
        return (Part("", event),)

    async def deliver(self, part: Part) -> None:
        try:
            await self._hook(part.payload)
        except Exception as error:
            logger.exception("the hook %r failed; the event comes again", self._hook)
            raise Unavailable(type(error).__name__) from error

    async def aclose(self) -> None:
        """Nothing is open."""
