"""
aiolimiter's face: `acquire`, `has_capacity` and `async with limiter`, for programs that have it already.

Keeps what was let through by hand until somebody tells what became of it. It must not know how a turn is waited for,
nor what is learnt.

Invariant: an admission is settled once; the oldest one is taken to be meant.
"""

from __future__ import annotations

import abc
import asyncio
import logging
from collections import deque
from types import TracebackType

from .._model.options import number
from .._model.outcome import Outcome
from .gate import Admission, Gate

UNSETTLED = 1000
"""Admissions by `acquire` that are remembered for `accepted` and `throttled`: more than any loop has in flight."""

UNTOLD = 200
"""Messages let through with no word of what became of them, after which something is wrong with who should tell."""

SUSPICIOUS = 500.0
"""Recipients/s at which a service that never refused anything while its rate is not known is hardly a service."""

DEAREST = 1e6
"""Recipients of one acquisition: more is no message's."""

logger = logging.getLogger("seslimit")


class ByHand(Gate, abc.ABC):
    """What `Limiter` has in common with `aiolimiter.AsyncLimiter`, and what tells it how an attempt ended."""

    def __init__(self) -> None:
        self._suspicious = True
        self._by_hand: deque[Admission] = deque(maxlen=UNSETTLED)
        self._entered: dict[asyncio.Task[object] | None, list[Admission]] = {}

    async def acquire(self, cost: float = 1) -> None:
        """
        Wait for the turn of a message of this cost; `aiolimiter.AsyncLimiter.acquire`, with the rate that adapts.

        A fraction costs a fraction.

        Tell the limiter what became of it by `accepted` or `throttled`, or use `admit`, which does so by itself.
        """
        self._by_hand.append(
            await self._enter_by_hand(number("cost", cost, "recipients", low=0, above=True, high=DEAREST))
        )

    @abc.abstractmethod
    def has_capacity(self, cost: float = 1) -> bool:
        """Whether a message would be let through at once; its own cost does not matter, for it is paid afterwards."""

    async def __aenter__(self) -> None:
        admission = await self._enter_by_hand(1)
        self._entered.setdefault(asyncio.current_task(), []).append(admission)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        admissions = self._entered[task]
        admission = admissions.pop()
        if not admissions:
            del self._entered[task]
        self.conclude(admission, exc)

    def accepted(self, recipients: float | None = None) -> None:
        """
        Tell that a message let through by `acquire` was accepted; the oldest one is taken to be meant.

        Args:
            recipients: how many it had, where that is not what was acquired for it.
        """
        self.settle(self._oldest(recipients), Outcome.ACCEPTED)

    def throttled(self, recipients: float | None = None, *, retry_after: float = 0.0) -> None:
        """Tell that a message let through by `acquire` was throttled; as `accepted`."""
        self.settle(self._oldest(recipients), Outcome.THROTTLED, retry_after=retry_after)

    @abc.abstractmethod
    def settle(self, admission: Admission, outcome: Outcome | None, *, retry_after: float = 0.0) -> None:
        """Tell what became of an admission."""

    @abc.abstractmethod
    def _let_go(self) -> None:
        """Forget that an attempt is under way: nobody has to tell when it ends, and nobody waits for it."""

    @abc.abstractmethod
    def _taken_up(self) -> float:
        """Count an attempt as under way again, since what became of it is told now; the moment."""

    async def _enter_by_hand(self, cost: float) -> Admission:
        admission = Admission(self, cost)
        await self.enter(admission)
        self._let_go()
        return admission

    def _oldest(self, recipients: float | None) -> Admission:
        now = self._taken_up()
        told = None if recipients is None else number("recipients", recipients, "recipients", low=0, above=True)
        if self._by_hand:
            admission = self._by_hand.popleft()
            admission.cost = told or admission.cost
            return admission
        admission = Admission(self, told or 1)
        admission.admitted_at = now
        return admission

    def _look_suspicious(self, estimate: float | None, rate: float) -> None:
        """Say once that nobody seems to tell what becomes of messages, while the rate is not known."""
        if estimate is None and (len(self._by_hand) >= UNTOLD or rate >= SUSPICIOUS):
            self._suspicious = False
            logger.warning(
                "nothing was ever refused, and the rate is not known: if an exception is caught inside `async with "
                "limiter`, or `accepted` and `throttled` are not called after `acquire`, the limiter cannot learn, and "
                "messages are lost without a word; let exceptions leave the block, or use `wrap`"
            )
