"""
What `send` and `work` do for an account's reputation: a warm-up, a guard, and a rate that is remembered.

Puts together what `seslimit.feedback` has; decides only which of it an option asks for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from .._model.allowance import Store
from .._model.errors import ConfigurationError
from .._model.events import Learnt
from .._pacing.limiter import Limiter
from ..transports import Transport
from ._ending import shown

if TYPE_CHECKING:
    from ..feedback import Plan, ReputationGuard, StateFile, WarmUp

FRESH = 7 * 86_400.0
"""Seconds for which a remembered rate is worth beginning with: SES changes it now and then."""

SAVED_EVERY = 60.0
"""Seconds between two times that the rate is written down."""


@attrs.frozen(kw_only=True)
class CareOptions:
    """
    What a command that sends is asked for, as far as the rate and the account's reputation are concerned.

    Args:
        rate, max_rate: recipients/s to start with, None when unknown; and that are never exceeded, None for no bound.
        shared: keeps the rate for other processes too; None for this one's alone.
        warm_up: a plan, or the file of one; None for none.
        state: remembers the warm-up and the rate; None for nothing.
        guard: whether SES's own figures of the account slow and hold.
    """

    rate: float | None = None
    max_rate: float | None = None
    shared: Store | None = attrs.field(default=None, repr=False)
    warm_up: str | None = None
    state: Path | None = None
    guard: bool = False


@attrs.frozen
class Care:
    """
    What a sender is given.

    Args:
        limiter: the account's, as it was left.
        transport: with the warm-up's cap in front of it.
        guard: knows what is held; None where nothing is guarded.
    """

    limiter: Limiter
    transport: Transport
    guard: ReputationGuard | None = None

    @property
    def hooks(self) -> tuple[ReputationGuard, ...]:
        """What hears of every message."""
        return () if self.guard is None else (self.guard,)


@asynccontextmanager
async def careful(transport: Transport, to: str, options: CareOptions) -> AsyncIterator[Care]:
    """
    A limiter that begins where the last run has left it, and what keeps the account's reputation.

    Args:
        transport: where to.
        to: its URL.
        options: what is asked for.

    Raises:
        ConfigurationError: an option is wrong, needs another one, or the state file cannot be used.
    """
    if options.warm_up is not None and options.state is None:
        raise ConfigurationError("--warm-up needs --state FILE: the next run has to know what went out today.")
    async with AsyncExitStack() as stack:
        file = None if options.state is None else stack.enter_context(_opened(options.state))
        rate = options.rate or remembered(file, to, options.max_rate)
        limiter = Limiter(rate, max_rate=options.max_rate, shared=options.shared)
        if file is not None:
            saving = _Saving(file, to, limiter, rate)
            stack.callback(saving.remember)
            stack.callback(limiter.listen([saving]))
        warming = None
        if options.warm_up is not None:
            from ..feedback import WarmUp

            warming = WarmUp(plan_of(options.warm_up), limiter, state=file)
        guarding = _guard(limiter, to) if options.guard else None
        await _watch(transport, warming, guarding, stack)
        yield Care(limiter, transport if warming is None else warming.transport(transport), guarding)


def plan_of(text: str) -> Plan:
    """
    The plan that `--warm-up` names: `14d`, `14d:200-50000`, or a file.

    Raises:
        ConfigurationError: it names none.
    """
    from ..feedback import Plan

    path = Path(text)
    if not path.is_file():
        return Plan.parse(text)
    try:
        return Plan.table(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{text} cannot be read: {error}.") from None


def remembered(file: StateFile | None, to: str, max_rate: float | None) -> float | None:
    """The rate that the last run to the same place has found, recipients/s; None where there is none."""
    kept: Any = None if file is None else file.get("rate")
    with suppress(TypeError, ValueError, KeyError):
        if kept["to"] == shown(to) and time.time() - float(kept["at"]) < FRESH:
            return min(float(kept["estimate"]), max_rate or float(kept["estimate"]))
    return None


def _opened(path: Path) -> StateFile:
    from ..feedback import StateFile

    return StateFile(path)


@attrs.define(eq=False)
class _Saving:
    """Writes the rate down now and then, so that a kill forgets little."""

    file: StateFile
    to: str
    limiter: Limiter
    told: float | None
    at: float = attrs.field(factory=time.monotonic)

    def __call__(self, event: object) -> None:
        if isinstance(event, Learnt) and time.monotonic() - self.at >= SAVED_EVERY:
            self.at = time.monotonic()
            self.remember()

    def remember(self) -> None:
        """Write down what was found; what was only told, by a user or by the last run, is no finding."""
        found, most = self.limiter.estimate, self.limiter.max_rate
        if found is None or found == self.told or (most is not None and found >= most):
            return
        with suppress(OSError):  # the next start is less warm; nothing else depends on it
            self.file.put("rate", {"to": shown(self.to), "estimate": found, "at": time.time()})


def _guard(limiter: Limiter, to: str) -> ReputationGuard:
    if not to.startswith("ses://"):
        raise ConfigurationError(
            "--guard asks SES for its figures, and needs --to ses://REGION; with SMTP, take the events of SES: "
            "seslimit listmonk --guard, or ReputationGuard in a program."
        )
    from ..feedback import ReputationGuard

    return ReputationGuard(limiter)


async def _watch(
    transport: Transport, warming: WarmUp | None, guarding: ReputationGuard | None, stack: AsyncExitStack
) -> None:
    told = [each.told for each in (warming, guarding) if each is not None]
    if not told:
        return
    from ..transports.ses import SESTransport

    if isinstance(transport, SESTransport):
        from ..feedback._account_figures import watch_account

        watching = asyncio.create_task(watch_account(transport, told))
        stack.push_async_callback(_ended, watching)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
