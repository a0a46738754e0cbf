"""
One limiter among those that share an account: asks the store when its share says so, and hands the answers on.

The input and output of `_law.share`. It must not know how the rate is found, nor what a store is made of.

Invariants: one request at a time, none of them waited for longer than `PATIENCE`; the task ends when there is nothing
to ask and nothing to tell; whatever the store does, sending goes on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Callable, Mapping
from random import Random
from weakref import WeakValueDictionary

import attrs

from .._law.ledger import LATE
from .._law.parts import SECOND
from .._law.share import Demand, Share
from .._model.allowance import Grant, Store
from .._model.errors import words_of
from .._model.quota import SendQuota
from .presence import has_ended, is_here, new_name

logger = logging.getLogger("seslimit")

PATIENCE = LATE / SECOND
"""Seconds that an answer is waited for: so long, at most, nothing is admitted because of the store."""

IDLE = 2.0
"""Seconds without anything to ask or tell after which the task ends; the next message begins another."""


living: WeakValueDictionary[str, Member] = WeakValueDictionary()
"""The members of this process: one that is none of these, or whose event loop is closed, sends no more."""


class Member:
    """
    A limiter's membership.

    Args:
        store: keeps the account's ledger.
        start: what the limiter was told of the rate, recipients/s.
        max_rate: recipients/s that are never exceeded.
        demand: tells what the limiter has to send.
        changed: called with what has happened where more or less may go than before.
        figures: takes the service's figures that another process has asked for.
        others_rest: called with why the whole account rests as others know, and until when.
    """

    def __init__(
        self,
        store: Store,
        start: float | None,
        max_rate: float | None,
        *,
        demand: Callable[[], Demand],
        changed: Callable[[], None],
        figures: Callable[[SendQuota], None],
        others_rest: Callable[[Mapping[str, float]], None],
    ) -> None:
        self.share = Share(new_name(), start, max_rate, Random())  # noqa: S311  # no secret: when to ask again
        self._store = store
        self._demand, self._changed, self._figures, self._others_rest = demand, changed, figures, others_rest
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._turn = asyncio.Lock()
        self._quota = ""
        self._quota_at = 0.0
        self._told_lost = False
        self._loop: asyncio.AbstractEventLoop | None = None
        living[self.share.member] = self

    @property
    def ended(self) -> bool:
        """Whether its event loop is closed: it tells nothing any more."""
        return self._loop is not None and self._loop.is_closed()

    def begin_anew(self) -> None:
        """The event loop is another one, perhaps in a process that was forked: it gets slots of its own."""
        before = self.share.member
        living.pop(before, None)
        self.share.begin_anew(new_name(), ended=is_here(before))
        living[self.share.member] = self
        self._task, self._woken, self._turn = None, asyncio.Event(), asyncio.Lock()

    def wake(self) -> None:
        """There may be something to ask or to tell."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        self._woken.set()

    def tell(self, quota: SendQuota) -> None:
        """Tell the others the service's figures."""
        self._quota = json.dumps(attrs.asdict(quota))
        self.wake()

    async def may_ask(self) -> float:
        """Seconds until this process is the one to ask the service for figures; 0 for now."""
        grant = await self._exchange(asks=True)
        return 0.0 if grant is None else max(0.0, grant.ask_in)

    async def aclose(self) -> None:
        """Tell what is left to tell, and ask no more."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self.share.alone:
                await self._exchange(leaves=True)
        self._task = None
        await self._store.aclose()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._woken.clear()
            now = loop.time()
            due = now if self._quota and not self.share.alone else self.share.due(now, self._demand())
            if due <= now:
                await self._exchange()
                continue
            try:
                async with asyncio.timeout_at(min(due, now + IDLE)):
                    await self._woken.wait()
            except TimeoutError:
                if math.isinf(due):
                    return

    async def _exchange(self, *, asks: bool = False, leaves: bool = False) -> Grant | None:
        """Ask once; nothing is returned where there was no answer."""
        loop = self._loop = asyncio.get_running_loop()
        async with self._turn:
            try:
                async with asyncio.timeout(PATIENCE):
                    if self.share.congested:
                        epoch = await self._store.congested(*self.share.congestion())
                        self.share.heard_epoch(loop.time(), epoch)
                        return None
                    grant = await self._lease(loop, asks, leaves)
            except OSError as error:
                self._lost(loop.time(), error)
                grant = None
        self._others_rest(self.share.elsewhere)
        self._changed()
        return grant

    async def _lease(self, loop: asyncio.AbstractEventLoop, asks: bool, leaves: bool) -> Grant:
        sent_at, told = loop.time(), self._quota
        request = self.share.request(sent_at, self._demand(), asks=asks, leaves=leaves)
        grant = await self._store.lease(attrs.evolve(request, quota=told, quota_at=self._quota_at))
        if grant.stale:
            raise TimeoutError("the request came late")
        if self._told_lost:
            self._told_lost = False
            logger.info("the shared rate is in reach again")
        if told:
            self._quota = ""
        elif grant.quota:
            self._figures(SendQuota(**json.loads(grant.quota)))
        self._quota_at = grant.quota_at
        self.share.granted(sent_at, loop.time(), grant)
        self.share.gone |= {name for name in self.share.silent if has_ended(name) or _sends_no_more(name)}
        return grant

    def _lost(self, now: float, error: OSError) -> None:
        self.share.lost(now)
        if not self._told_lost:
            self._told_lost = True
            logger.warning(
                "the shared rate is out of reach (%s): sending goes on alone, with the last share",
                words_of(error) or type(error).__name__,
            )


def _sends_no_more(name: str) -> bool:
    """Whether it was a limiter of this process that is forgotten, or whose event loop is closed."""
    if not is_here(name):
        return False
    member = living.get(name)
    return member is None or member.ended
