"""
Leave to go: what a loop over attempts asks of a limiter, and the account of one message that was let through.

Interface only: nothing here waits or decides. Whoever lets messages through, a limiter of this process or a share of
one elsewhere, is a `Gate`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from contextvars import ContextVar
from types import TracebackType
from typing import Protocol

import attrs

from .._law.retry import RetryPolicy
from .._model.endings import SendingStopped
from .._model.meaning import Meaning
from .._model.outcome import Outcome
from .hooks import Hearing
from .lanes import Lane, Places


class Gate(Protocol):
    """Lets messages through, and learns from what becomes of them."""

    async def enter(
        self,
        admission: Admission,
        *,
        front: bool = False,
        patience: RetryPolicy | None = None,
        places: Places | None = None,
    ) -> None:
        """Wait for an admission's turn, and for a place; see `Limiter.enter`."""
        ...

    def conclude(self, admission: Admission, exc: BaseException | None) -> Meaning | None:
        """Learn what became of an admission; see `Limiter.conclude`."""
        ...

    def give_back(self, admission: Admission) -> None:
        """Learn that no attempt was made with an admission."""
        ...

    def stopped_by(self, outcome: Outcome) -> SendingStopped:
        """The error for sending that has to stop because of such an outcome, in the service's words."""
        ...


AROUND: ContextVar[Gate | None] = ContextVar("seslimit_around", default=None)
"""The gate inside whose admission the running code is: it may ask that gate for another before it tells of this one."""


@attrs.define(eq=False)
class Admission:
    """
    Leave for one message to go, and the account of what became of it.

    As an asynchronous context manager it waits its turn on entry and settles on exit: the exception that leaves the
    block is classified, slows the limiter if it is a throttle, and is raised on unchanged.

    Args:
        gate: lets it through, and is told what became of it.
        cost: its recipients.
        lane: where it waits; the gate's nameless one when left out.
        key: the message's own name.
        identity: its sender; empty where it is not known.
        transport: what makes the attempt, by its name.
        hooks: who hears of the attempt, beside the gate's own hooks.
    """

    gate: Gate = attrs.field(repr=False)
    cost: float
    lane: Lane | None = attrs.field(default=None, repr=False)
    key: Hashable = None
    identity: str = ""
    transport: str = ""
    hooks: tuple[Hearing, ...] = attrs.field(default=(), repr=False)
    asked_at: float = attrs.field(default=0.0, init=False)
    """Event-loop time (seconds) at which it began to wait for its turn."""
    admitted_at: float = attrs.field(default=0.0, init=False)
    """Event-loop time at which it was let through."""
    handed_over_at: float | None = attrs.field(default=None, init=False)
    """Event-loop time at which the service had the whole message; None where that is not known."""
    _around: Gate | None = attrs.field(default=None, init=False, repr=False)

    @property
    def decided_at(self) -> float | None:
        """The former name of `handed_over_at`."""
        return self.handed_over_at

    def handed_over(self) -> None:
        """
        Say that the service has the whole message now.

        Optional. The control law places the service's decision at this moment; without it, at the admission.
        """
        self.handed_over_at = asyncio.get_running_loop().time()

    async def __aenter__(self) -> Admission:
        self._around = AROUND.get()
        await self.gate.enter(self)
        AROUND.set(self.gate)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        AROUND.set(self._around)
        self.gate.conclude(self, exc)
