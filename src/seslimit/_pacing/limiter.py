"""
The limiter: what a program waits on before it sends, and tells what became of it.

Turns admissions and exceptions into what the account's pure state understands, on the running event loop. The waiting
is in `line`, the deciding in `_law.account`; what a loop over attempts looks like is in `attempts`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import partial, wraps
from types import TracebackType
from typing import Any, Never, ParamSpec, Protocol, TypeVar

from .._law.account import Account
from .._law.rate import AdaptiveRate
from .._law.retry import RetryPolicy
from .._meaning.classify import meaning
from .._model.endings import SendingStopped
from .._model.errors import ConfigurationError, printable, words_of
from .._model.events import Attempted, Learnt, State
from .._model.history import History
from .._model.meaning import Meaning
from .._model.message import MAX_RECIPIENTS
from .._model.options import number, shown, whole
from .._model.outcome import Outcome
from .._model.quota import SendQuota
from .attempts import Attempts
from .gate import AROUND, Admission
from .hooks import EventHook, Hearing, event_hooks, tell
from .lanes import Lane, Places
from .line import Line
from .stops import Stops

UNSETTLED = 1000
"""Admissions by `acquire` that are remembered for `accepted` and `throttled`: more than any loop has in flight."""

ACCEPTED = Meaning(Outcome.ACCEPTED)
INTERRUPTED = Meaning(Outcome.UNKNOWN)

DAY = 86_400.0
"""Seconds; a rate below one recipient in so many is no rate."""

FASTEST = 1e6
"""Recipients/s: three thousand times what any account was granted."""

PER_SECOND = "recipients per second"

UNTOLD = 200
"""Messages let through with no word of what became of them, after which something is wrong with who should tell."""

SUSPICIOUS = 500.0
"""Recipients/s at which a service that never refused anything while its rate is not known is hardly a service."""

logger = logging.getLogger("seslimit")

P = ParamSpec("P")
T = TypeVar("T")


class Wrapper(Protocol):
    """What `Limiter.wrap` returns: a decorator of asynchronous functions."""

    def __call__(self, function: Callable[P, Awaitable[T]], /) -> Callable[P, Coroutine[Any, Any, T]]:
        """Wrap a function that makes one attempt."""
        ...


class Limiter:
    """
    Admits messages at the rate that the service takes them, and finds that rate.

    One object stands for one account in one region; share it among everything in the process that sends for that
    account. It belongs to one event loop.

    An exception that is caught inside `async with limiter` or `limiter.admit()` looks like an accepted message: let it
    leave the block.

    Args:
        rate: recipients/s to start with, and to adapt from; None when unknown: it starts low and finds the rate.
        time_period: seconds for which `rate` counts, so that `AsyncLimiter(14, 1)` of aiolimiter becomes `Limiter(14,
            1)`. What is called `max_rate` there is where this one starts.
        max_rate: recipients/s that are never exceeded; None for no bound of yours.
        hooks: each called with every event of the limiter (`Attempted`, `Paused`, `Resumed`, `Learnt`), or its
            `on_event` is, where it has one.

    Raises:
        ConfigurationError: a rate is not from one recipient a day to 1,000,000 a second, `rate` is above `max_rate`, or
            a hook is asynchronous.
    """

    def __init__(
        self,
        rate: float | None = None,
        time_period: float = 1.0,
        *,
        max_rate: float | None = None,
        hooks: Iterable[EventHook] = (),
    ) -> None:
        period = number("time_period", time_period, "seconds", low=0, above=True, high=DAY)
        if rate is not None:
            rate = _rate("rate", number("rate", rate, "a number of recipients", low=0, above=True) / period, rate)
        if max_rate is not None:
            max_rate = _rate("max_rate", number("max_rate", max_rate, PER_SECOND, low=0, above=True), max_rate)
        if rate is not None and max_rate is not None and rate > max_rate:
            raise ConfigurationError(f"rate {rate:g} is above max_rate {max_rate:g}: lower the one or raise the other.")
        self.time_period = period
        self._max_rate = max_rate
        self._account = Account(AdaptiveRate(rate, max_rate))
        self._line = Line(self._account)
        self._stops = Stops(self._account)
        self._hooks = event_hooks(hooks)
        self._listeners = self._hooks
        self._in_flight = 0
        self._suspicious = True
        self._loop: asyncio.AbstractEventLoop | None = None
        self._by_hand: deque[Admission] = deque(maxlen=UNSETTLED)
        self._entered: dict[asyncio.Task[object] | None, list[Admission]] = {}

    def __repr__(self) -> str:
        known = "limit unknown" if self.estimate is None else f"{self.estimate:g} recipients/s"
        return f"<Limiter {known}, {self.paused or f'{self.waiting} waiting'}>"

    @property
    def rate(self) -> float:
        """Recipients/s that are let through now."""
        return self._account.rate(_now())

    @property
    def estimate(self) -> float | None:
        """The service's limit in recipients/s, as far as it is known; None before anything is."""
        return self._account.law.estimate

    @property
    def max_rate(self) -> float | None:
        """Recipients/s that are never exceeded, as it was told; None for no bound."""
        return self._max_rate

    @property
    def paused(self) -> str | None:
        """Why nothing is admitted: a `Reason`, or the words that `hold` was given; None when it is."""
        return self._account.paused

    @property
    def quota(self) -> SendQuota | None:
        """The account's sending quota as last heard from the service; None where it was not heard."""
        return self._account.day.quota

    @property
    def waiting(self) -> int:
        """Callers that wait for their turn."""
        return len(self._line)

    @property
    def unreachable_for(self) -> float:
        """Seconds without a connection; infinity where none was ever made and the first few attempts failed."""
        return self._account.unreachable_for(_now())

    def lane(self, name: str, *, priority: float | None = None, reserve: float | None = None) -> Lane:
        """
        Make a lane, or change it: messages in it go before or after those of other lanes.

        Whatever is not put into a lane is in the nameless one, of priority 0; its name is the empty text.

        Args:
            name: for `lane=` of `admit`, `wrap`, `Sender.send` and `Message`.
            priority: the lane with the higher one goes first; 0 for a new lane.
            reserve: share of the rate, from 0 to 1, that the lane gets while it waits, whatever goes before it; 0.05
                for a new lane, so that none starves.

        Raises:
            ConfigurationError: a number is out of its range.
        """
        return self._line.queue.lane(name, priority, reserve)

    def find_lane(self, name: str | None) -> Lane:
        """
        The lane of that name; the nameless one for None.

        Raises:
            ConfigurationError: there is none.
        """
        return self._line.queue.find(name)

    def admit(self, recipients: int = 1, *, lane: str | None = None) -> Admission:
        """
        Let one message through and learn from what becomes of it: `async with limiter.admit(recipients=3): …`.

        Args:
            recipients: the message's cost; more than the rate is no error, it only makes the next one wait longer.
            lane: the name of the lane that it waits in.

        Raises:
            ConfigurationError: `recipients` is not from 1 to 50, or there is no such lane.
            AccountBlocked: on entry, when a message before was refused for the account. From half a minute later on,
                one message now and then is let through to see whether it still is.

        Cancelling:
            while it waits: no token is lost and the next in line moves up. Inside the block: the attempt counts as one
            that told nothing.
        """
        cost = whole("recipients", recipients, "the recipients of one message", low=1, high=MAX_RECIPIENTS)
        return Admission(self, cost, lane=self.find_lane(lane))

    async def acquire(self, cost: float = 1) -> None:
        """
        Wait for the turn of a message of this cost; `aiolimiter.AsyncLimiter.acquire`, with the rate that adapts.

        A fraction costs a fraction.

        Tell the limiter what became of it by `accepted` or `throttled`, or use `admit`, which does so by itself.
        """
        self._by_hand.append(
            await self._enter_by_hand(number("cost", cost, "recipients", low=0, above=True, high=FASTEST))
        )

    def has_capacity(self, cost: float = 1) -> bool:
        """Whether a message would be let through at once; its own cost does not matter, for it is paid afterwards."""
        return self._line.is_open(_now())

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

    def wrap(
        self,
        *bare: Never,
        cost: Callable[..., int] | int = 1,
        retry: RetryPolicy | None = None,
        lane: str | None = None,
    ) -> Wrapper:
        """
        Decorate an asynchronous function that makes one attempt: it is admitted, and tried again as the policy says.

        Args:
            bare: nothing; `@limiter.wrap` without its parentheses comes here, and is told so.
            cost: recipients of one call, or a function of the call's arguments that returns them.
            retry: the retry policy; `RetryPolicy()` when left out.
            lane: the name of the lane that it waits in.

        Returns:
            a decorator. The decorated function returns what the function returns, raises its last exception unchanged
            when the message is given up, and `AccountBlocked` or `EndpointUnreachable` when sending has to stop. An
            exception that neither a network nor a client library raises leaves at once: a bug is not repeated.

        Raises:
            ConfigurationError: the function is not asynchronous, a cost is not from 1 to 50, or the parentheses are
                missing.
        """
        if bare:
            raise ConfigurationError("wrap makes a decorator: write @limiter.wrap() with its parentheses.")
        policy = retry or RetryPolicy()
        if not callable(cost):
            _recipients(cost)

        def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
            if not _is_asynchronous(function):
                raise ConfigurationError(
                    f"wrap is for asynchronous functions, and {shown(function)} is none: what it did could not be "
                    "awaited, and would be repeated. Make it `async def`."
                )

            @wraps(function)
            async def paced(*args: P.args, **kwargs: P.kwargs) -> T:
                recipients = _recipients(cost(*args, **kwargs) if callable(cost) else cost)
                history = History(time.time())
                attempt = partial(self._around, function, *args, **kwargs)
                attempts = Attempts(self, policy, recipients, attempt, history, lane=self.find_lane(lane))
                return await attempts.to_the_end(_until)

            return paced

        return decorate

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

    def quota_figures(self, quota: SendQuota) -> None:
        """Take the account's sending quota, fresh from the service: its rate caps ours, and it may end a pause."""
        before = self.estimate
        self._account.figures(now := _now(), quota)
        self._line.changed()
        self._tell_change(now, before, "quota")

    def ceiling(self, name: str, rate: float | None) -> None:
        """
        Set a bound on the rate beside `max_rate`, or take it away with None; the least of all counts.

        For whatever has a reason of its own to be slow: a warm-up, a guard of the reputation, headroom for others.

        Args:
            name: whose bound it is.
            rate: recipients/s.

        Raises:
            ConfigurationError: it is no rate.
        """
        if rate is not None:
            rate = _rate("rate", number("rate", rate, PER_SECOND, low=0, above=True), rate)
        self._account.bound(name, rate)

    def hold(self, reason: str) -> None:
        """
        Admit nothing until `release` with the same reason; everybody waits.

        Args:
            reason: why, in words for the log, for hooks and for `paused`.
        """
        self._account.hold(now := _now(), reason)
        self._line.changed()
        self._tell_change(now, self.estimate, reason)

    def release(self, reason: str) -> None:
        """End a hold by its reason; nothing happens where there is none."""
        self._account.release(now := _now(), reason)
        self._line.changed()
        self._tell_change(now, self.estimate, reason)

    def settle(
        self,
        admission: Admission,
        outcome: Outcome | None,
        *,
        handed_over_at: float | None = None,
        retry_after: float = 0.0,
        blocks_endpoint: bool = False,
        decided_at: float | None = None,
    ) -> None:
        """
        Tell what became of an admission.

        Args:
            admission: as `admit` gave it.
            outcome: what the attempt meant; None when it told nothing (it was cancelled, or never made).
            handed_over_at: event-loop time at which the service had the message; the admission's own when left out.
            retry_after: seconds that the service asks to wait.
            blocks_endpoint: for `NOT_SENT`, whether the next attempt would meet the same obstacle.
            decided_at: the former name of `handed_over_at`.
        """
        meaning = (
            None
            if outcome is None
            else Meaning(
                outcome,
                retry_after=retry_after,
                blocks_endpoint=blocks_endpoint,
                handed_over_at=handed_over_at if decided_at is None else decided_at,
            )
        )
        self._learn(admission, meaning)

    def conclude(self, admission: Admission, exc: BaseException | None) -> Meaning | None:
        """
        Tell what became of an admission by what the attempt raised: None when it was accepted.

        Returns:
            what it meant; None where it told nothing, since it was cancelled.
        """
        if exc is None:
            self._learn(admission, ACCEPTED)
            return ACCEPTED
        if not isinstance(exc, Exception):
            self._learn(admission, None)
            self._tell_attempt(admission, INTERRUPTED, exc)
            return None
        meant = meaning(exc)
        self._stops.heard(meant, exc, admission.identity)
        self._learn(admission, meant, exc)
        return meant

    def give_back(self, admission: Admission) -> None:
        """Tell that no attempt was made with an admission."""
        self._learn(admission, None)

    def stopped_by(self, outcome: Outcome) -> SendingStopped:
        """The error for sending that has to stop because of such an outcome, in the service's words."""
        return self._stops.stopped_by(outcome, _now())

    def state(self) -> State:
        """What is going on now, as a value."""
        return State(
            rate=self.rate,
            estimate=self.estimate,
            waiting=self.waiting,
            in_flight=self._in_flight,
            paused=self._stops.paused(),
            quota=self.quota,
        )

    def listen(self, hooks: Sequence[Hearing]) -> Callable[[], None]:
        """
        Let hooks hear of pauses and of what is learnt, for as long as the one who asks for it lives.

        Returns:
            ends it.
        """
        added = tuple(hook for hook in hooks if hook not in self._listeners)
        self._listeners += added

        def end() -> None:
            self._listeners = tuple(hook for hook in self._listeners if hook not in added)

        return end

    def _learn(self, admission: Admission, meant: Meaning | None, exc: Exception | None = None) -> None:
        now = _now()
        self._in_flight -= 1
        before = self.estimate if self._listeners else None
        self._account.settle(
            now,
            meant,
            cost=admission.cost,
            admitted_at=admission.admitted_at,
            decided_at=(meant and meant.handed_over_at) or admission.handed_over_at or admission.admitted_at,
            identity=admission.identity,
        )
        self._line.changed()
        if meant is not None and (admission.hooks or self._hooks):
            self._tell_attempt(admission, meant, exc)
        self._tell_change(now, before, meant.outcome if meant else "")

    def _tell_attempt(self, admission: Admission, meant: Meaning, exc: BaseException | None) -> None:
        attempted = Attempted(
            key=admission.key,
            cost=admission.cost,
            outcome=meant.outcome,
            scope=meant.scope,
            admitted_at=admission.admitted_at,
            handed_over_at=meant.handed_over_at or admission.handed_over_at,
            settled_at=_now(),
            waited=admission.admitted_at - admission.asked_at,
            reply="" if exc is None else printable(words_of(exc)),
            transport=admission.transport,
        )
        tell(self._hooks, attempted)
        tell((hook for hook in admission.hooks if hook not in self._hooks), attempted)

    def _tell_change(self, now: float, before: float | None, cause: str) -> None:
        """Say what has changed, to the log and to those who listen."""
        for event in self._stops.changes(now):
            tell(self._listeners, event)
        if self._listeners and self.estimate != before:
            tell(self._listeners, Learnt(self.estimate, cause))

    async def _enter_by_hand(self, cost: float) -> Admission:
        admission = Admission(self, cost)
        await self.enter(admission)
        self._in_flight -= 1  # nobody has to tell when it ends
        # Who uses this face may hold an admission for long, ask for another inside it, or never tell what became of it.
        self._go_beside()
        return admission

    def _go_beside(self) -> None:
        """Let others go beside the very first message, whose end may depend on them."""
        self._account.reached()
        self._line.changed()

    async def _around(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        around = AROUND.get()
        AROUND.set(self)
        try:
            return await function(*args, **kwargs)
        finally:
            AROUND.set(around)

    def _oldest(self, recipients: float | None) -> Admission:
        self._in_flight += 1
        told = None if recipients is None else number("recipients", recipients, "recipients", low=0, above=True)
        if self._by_hand:
            admission = self._by_hand.popleft()
            admission.cost = told or admission.cost
            return admission
        admission = Admission(self, told or 1)
        admission.admitted_at = _now()
        return admission

    def _bind(self) -> None:
        """Belong to the running loop; it may be another one when the former is closed."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and not self._loop.is_closed():
            raise RuntimeError(
                "this limiter is used from two event loops, or two threads, and would wait in one for what happens in "
                "the other: make one Limiter for each, or run everything that sends in one loop."
            )
        if self._loop is not None:
            self._line.begin_anew()
            self._account.begin_anew(loop.time())
            self._in_flight = 0
        self._loop = loop

    def _look_suspicious(self) -> None:
        """Say once that nobody seems to tell what becomes of messages, while the rate is not known."""
        if self.estimate is None and (len(self._by_hand) >= UNTOLD or self.rate >= SUSPICIOUS):
            self._suspicious = False
            logger.warning(
                "nothing was ever refused, and the rate is not known: if an exception is caught inside `async with "
                "limiter`, or `accepted` and `throttled` are not called after `acquire`, the limiter cannot learn, and "
                "messages are lost without a word; let exceptions leave the block, or use `wrap`"
            )

    def places(self, count: int) -> Places:
        """Room for so many attempts at the same time, to be given to `enter`."""
        return Places(count, self._line.freed)

    async def enter(
        self,
        admission: Admission,
        *,
        front: bool = False,
        patience: RetryPolicy | None = None,
        places: Places | None = None,
    ) -> None:
        """
        Wait for an admission's turn; `admit` and `acquire` do so by themselves.

        Args:
            admission: what to admit.
            front: at the head of its lane, for a message that had its turn before.
            patience: says what is not waited out: an exceeded quota, a long time without a connection. Everybody is
                asked at the head of the line, so those with less patience than the head learn it after the head.
            places: where it takes a place together with its turn, and gives it back itself; None for no bound.

        Raises:
            AccountBlocked: as `admit` does.
            QuotaExceeded, EndpointUnreachable: as `patience` says.
            RuntimeError: it is used from a second event loop.
        """
        if self._loop is not asyncio.get_running_loop():
            self._bind()
        if self._suspicious and patience is None:
            self._look_suspicious()
        if AROUND.get() is self:
            self._go_beside()
        admission.handed_over_at = None
        admission.asked_at = _now()
        admission.admitted_at = await self._line.go_through(
            admission.cost,
            identity=admission.identity,
            lane=admission.lane,
            front=front,
            places=places,
            refuse=lambda: self._stops.refuse(_now(), patience, admission.identity),
        )
        self._in_flight += 1


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _until(when: float) -> None:
    await asyncio.sleep(when - _now())


def _rate(name: str, rate: float, given: object) -> float:
    if not 1.0 / DAY <= rate <= FASTEST:
        raise ConfigurationError(
            f"{name} is {shown(given)}: it is {PER_SECOND}, from one a day (0.0000116) to {FASTEST:,.0f}."
        )
    return rate


def _recipients(cost: object) -> int:
    return whole("cost", cost, "the recipients of one message", low=1, high=MAX_RECIPIENTS)


def _is_asynchronous(function: Callable[..., Any]) -> bool:
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
