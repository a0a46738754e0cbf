"""
The account's sending quota, asked for before the first message and again every few minutes.

Tells the limiter what the service answers. It must not know what is sent, nor what the figures mean.

Invariant: a question that fails stops nothing; it is logged and asked again later.
"""

from __future__ import annotations

import asyncio
import logging

from .._law.retry import waits
from .._model.errors import ConfigurationError, words_of
from .._pacing.limiter import Limiter
from ..transports import KnowsQuota, Transport
from .reserve import DailyReserve

logger = logging.getLogger("seslimit")

QUOTA_REFRESH = 300.0
"""Seconds between two looks at the account's sending quota: `GetAccount` is rationed, and quotas seldom change."""

FIRST_RETRY = 1.0
"""Seconds until a question that failed is asked again, doubled from one failure to the next."""

PATIENCE = 10.0
"""Seconds that the first message waits for the answer: one that comes later is taken when it comes."""


class QuotaWatch:
    """
    Keeps a limiter's figures fresh.

    Args:
        transport: is asked, where it knows the quota.
        limiter: is told.
        reserve: is told as well; None where nothing is kept of the day.
    """

    def __init__(self, transport: Transport, limiter: Limiter, reserve: DailyReserve | None = None) -> None:
        # Asked once, not for every message: whether an object has the methods of a protocol takes 20 µs to find out.
        self._transport = transport if isinstance(transport, KnowsQuota) else None
        self._limiter = limiter
        self._reserve = reserve
        if reserve is not None and self._transport is None:
            raise ConfigurationError(
                "a part of the daily quota can be kept only where the quota is known: use ses://, or keep_daily=0."
            )
        self._asked = asyncio.Event()
        self.waits = self._transport is not None
        """Whether a first message still has to wait: see `first_answer`."""
        self._task: asyncio.Task[None] | None = None

    async def first_answer(self) -> None:
        """
        Return when the service was asked once, has not answered in time, or is not asked any more.

        The first call begins the watch.
        """
        if self._transport is None or not self.waits:
            return
        if self._task is None:
            self._task = asyncio.create_task(self._ask(self._transport))
        try:
            async with asyncio.timeout(PATIENCE):
                await self._asked.wait()
        except TimeoutError:
            if self.waits:
                self._wait_no_more()
                logger.warning("the sending quota is not known yet: no answer within %g s", PATIENCE)

    async def aclose(self) -> None:
        """Ask no more."""
        self._wait_no_more()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _ask(self, transport: KnowsQuota) -> None:
        after_failures, told = waits(FIRST_RETRY, QUOTA_REFRESH), ""
        while True:
            try:
                async with asyncio.timeout(QUOTA_REFRESH):
                    # Where other processes send for the account too, one of them asks, and tells the others.
                    others = await self._limiter.may_ask_quota()
                    quota = None if others else await transport.quota()
                wait = others or QUOTA_REFRESH
                if quota is not None:
                    self._limiter.quota_figures(quota)
                    if self._reserve is not None:
                        self._reserve.figures(quota)
            except Exception as error:  # noqa: BLE001  # a plug-in's; sending goes on without an answer
                # A network that is not up yet, or a service that is busy: five minutes at 1/s would be the price.
                wait = next(after_failures)
                if (words := words_of(error)) != told:
                    logger.warning("the sending quota is not known: %s", words)
                told = words
            else:
                after_failures, told = waits(FIRST_RETRY, QUOTA_REFRESH), ""
            finally:
                self._wait_no_more()
            await asyncio.sleep(wait)

    def _wait_no_more(self) -> None:
        self.waits = False
        self._asked.set()
