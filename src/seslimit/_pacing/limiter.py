"""
The limiter: what a program waits on before it sends, and tells what became of it.

Turns admissions and exceptions into what the account's pure state understands, on the running event loop. The waiting
is in `line`, the deciding in `_law.account`; `by_hand` is aiolimiter's face, `wrapping` a decorator, and `member` keeps
in touch with other processes; what happened is said by `telling`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Never

from .._law.account import Account
from .._law.rate import AdaptiveRate
from .._law.retry import RetryPolicy
from .._meaning.classify import meaning
from .._model.endings import SendingStopped
from .._model.errors import ConfigurationError
from .._model.events import State
from .._model.meaning import Meaning
from .._model.message import MAX_RECIPIENTS
from .._model.options import having, number, shown, whole
from .._model.outcome import Outcome, Stage
from .._model.quota import SendQuota
from .by_hand import ByHand
from .gate import AROUND, Admission
from .hooks import EventHook, Hearing, event_hooks
from .lanes import Lane, Places
from .line import Line
from .stops import Stops
from .telling import Telling
from .wrapping import Wrapper, wrapper

if TYPE_CHECKING:
    from .._law.share import Demand
    from .._model.allowance import Store
    from .member import Member

ACCEPTED = Meaning(Outcome.ACCEPTED)
INTERRUPTED = Meaning(Outcome.UNKNOWN)

MOST_HEADROOM = 0.99
"""Share of the limit that may be left to others: with all of it, nothing would ever go."""

DAY = 86_400.0
"""Seconds; a rate below one recipient in so many is no rate."""

FASTEST = 1e6
"""Recipients/s: three thousand times what any account was granted."""

PER_SECOND = "recipients per second"


class Limiter(ByHand):
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
        headroom: share of the service's limit, from 0 to below 1, that is left to others as soon as the limit is known:
            0.1 for a tenth.
        shared: what keeps the rate of an account that other processes send for too, such as
            `seslimit.shared.RedisRate`; give all of them the same rates and headroom. None for an account of its own.
        hooks: each called with every event of the limiter (`Attempted`, `Paused`, `Resumed`, `Learnt`), or its
            `on_event` is, where it has one.

    Raises:
        ConfigurationError: a rate is not from one recipient a day to 1,000,000 a second, `rate` is above `max_rate`,
            the headroom is no share, or a hook is asynchronous.
    """

    def __init__(
        self,
        rate: float | None = None,
        time_period: float = 1.0,
        *,
        max_rate: float | None = None,
        headroom: float = 0.0,
        shared: Store | None = None,
        hooks: Iterable[EventHook] = (),
    ) -> None:
        super().__init__()
        period = number("time_period", time_period, "seconds", low=0, above=True, high=DAY)
        if rate is not None:
            rate = _rate("rate", number("rate", rate, "a number of recipients", low=0, above=True) / period, rate)
        if max_rate is not None:
            max_rate = _rate("max_rate", number("max_rate", max_rate, PER_SECOND, low=0, above=True), max_rate)
        if rate is not None and max_rate is not None and rate > max_rate:
            raise ConfigurationError(f"rate {rate:g} is above max_rate {max_rate:g}: lower the one or raise the other.")
        self.time_period = period
        self._max_rate = max_rate
        headroom = number("headroom", headroom, "a share of the limit", low=0, high=MOST_HEADROOM)
        self._member: Member | None = None
        having("shared", shared, "lease", "what seslimit.shared.shared_from_url makes of an address, or a RedisRate")
        if shared is not None:
            from .member import Member  # with all that sharing needs, which few do

            self._member = Member(
                shared,
                rate,
                max_rate,
                demand=self._demand,
                changed=self._news,
                figures=self._others_figures,
                others_rest=self._others_rest,
            )
        law = AdaptiveRate(rate, max_rate) if self._member is None else self._member.share
        self._account = Account(law, headroom)
        self._line = Line(self._account, ask=self._wake)
        self._stops = Stops(self._account)
        self._telling = Telling(self._stops, event_hooks(hooks))
        self._in_flight = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told: float | None = None
        """The estimate that was last told to those who listen."""

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

    def has_capacity(self, cost: float = 1) -> bool:
        """Whether a message would be let through at once; its own cost does not matter, for it is paid afterwards."""
        return self._line.is_open(_now())

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
        return wrapper(self, cost, retry or RetryPolicy(), partial(self.find_lane, lane))

    def quota_figures(self, quota: SendQuota) -> None:
        """Take the account's sending quota, fresh from the service: its rate caps ours, and it may end a pause."""
        self._others_figures(quota)
        if self._member is not None:
            self._member.tell(quota)

    def _others_figures(self, quota: SendQuota) -> None:
        """Take figures of the service that another process has asked for."""
        before = self.estimate
        self._account.figures(now := _now(), quota)
        self._line.changed.set()
        self._telling.change(now, before, self.estimate, "quota")

    async def may_ask_quota(self) -> float:
        """Seconds until it is for this process to ask the service for its figures: 0 for now, also of one alone."""
        return 0.0 if self._member is None else await self._member.may_ask()

    async def aclose(self) -> None:
        """
        Give back what `shared` holds for the running loop; nothing to do without it.

        What became of the last messages is told to the others. The limiter may be used again.
        """
        if self._member is not None:
            await self._member.aclose()

    def ceiling(self, name: str, rate: float | None) -> None:
        """
        Set a bound on the rate beside `max_rate`, or take it away with None; the least of all counts.

        For whatever has a reason of its own to be slow: a warm-up, a guard of the reputation, headroom for others.
        Where the rate is shared it binds the others too, for as long as this process is there.

        Args:
            name: whose bound it is.
            rate: recipients/s.

        Raises:
            ConfigurationError: it is no rate.
        """
        if rate is not None:
            rate = _rate("rate", number("rate", rate, PER_SECOND, low=0, above=True), rate)
        self._account.bound(name, rate)
        if self._loop is not None and not self._loop.is_closed():
            self._rest_changed()

    def hold(self, reason: str) -> None:
        """
        Admit nothing until `release` with the same reason; everybody waits.

        Where the rate is shared, the others wait too, for as long as this process holds or until it is gone.

        Args:
            reason: why, in words for the log, for hooks and for `paused`.
        """
        self._account.hold(now := _now(), reason)
        self._rest_changed()
        self._telling.change(now, self.estimate, self.estimate, reason)

    def release(self, reason: str) -> None:
        """End a hold by its reason; nothing happens where there is none."""
        self._account.release(now := _now(), reason)
        self._rest_changed()
        self._telling.change(now, self.estimate, self.estimate, reason)

    def _rest_changed(self) -> None:
        self._line.changed.set()
        if self._member is not None:
            self._member.wake()

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
            self._telling.attempt(admission, INTERRUPTED, exc)
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
        return self._telling.listen(hooks)

    def _learn(self, admission: Admission, meant: Meaning | None, exc: Exception | None = None) -> None:
        now, telling = _now(), self._telling
        self._in_flight -= 1
        before = self.estimate if telling.listeners else None
        self._account.settle(
            now,
            meant,
            cost=admission.cost,
            admitted_at=admission.admitted_at,
            decided_at=(meant and meant.handed_over_at) or admission.handed_over_at or admission.admitted_at,
            identity=admission.identity,
        )
        self._line.changed.set()
        if self._member is not None:
            self._member.wake()
        if meant is not None and meant.stage is not Stage.BEFORE and (admission.hooks or telling.hooks):
            telling.attempt(admission, meant, exc)
        if telling.listeners or self._account.paused is not None or self._stops.told is not None:
            telling.change(now, before, self.estimate, meant.outcome if meant else "")

    def _let_go(self) -> None:
        self._in_flight -= 1
        # Who uses aiolimiter's face may hold an admission for long, ask for another inside it, or never tell its end.
        self._go_beside()

    def _taken_up(self) -> float:
        self._in_flight += 1
        return _now()

    def _go_beside(self) -> None:
        """Let others go beside the very first message, whose end may depend on them."""
        self._account.reached()
        self._line.changed.set()

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Belong to the running loop; it may be another one when the former is closed."""
        if self._loop is not None and not self._loop.is_closed():
            raise RuntimeError(
                "this limiter is used from two event loops, or two threads, and would wait in one for what happens in "
                "the other: make one Limiter for each, or run everything that sends in one loop."
            )
        if self._loop is not None:
            self._line.begin_anew()
            self._account.begin_anew(loop.time())
            self._in_flight = 0
            if self._member is not None:
                self._member.begin_anew()
        self._loop = loop

    # What is shared with other processes: what there is to send, and what they tell.

    def _demand(self) -> Demand:
        from .._law.share import Demand

        account = self._account
        rests, ceiling, bounded = account.rests(), account.ceiling, account.bounded
        if account.opens_at() > _now():
            return Demand(most=ceiling, binds=bounded, rests=rests)
        waiting, urgent = self._line.demand()
        return Demand(waiting, urgent, ceiling, bounded, rests)

    def _others_rest(self, rests: Mapping[str, float]) -> None:
        self._account.others_rest(now := _now(), rests)
        self._telling.change(now, self.estimate, self.estimate, "shared")

    def _wake(self) -> None:
        if self._member is not None:
            self._member.share.wanted(_now())
            self._member.wake()

    def _news(self) -> None:
        before, self._told = self._told, self.estimate
        self._line.changed.set()
        if self._told != before:
            self._telling.change(_now(), before, self._told, "shared")

    def places(self, count: int) -> Places:
        """Room for so many attempts at the same time, to be given to `enter`."""
        return Places(count, self._line.queue)

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
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._bind(loop)
        if self._suspicious and patience is None:
            self._look_suspicious(self.estimate, self.rate)
        if AROUND.get() is self:
            self._go_beside()
        admission.handed_over_at = None
        admission.asked_at = loop.time()
        admission.admitted_at = await self._line.go_through(
            admission.cost,
            identity=admission.identity,
            lane=admission.lane,
            front=front,
            places=places,
            refuse=lambda: self._stops.refuse(_now(), patience, admission.identity),
        )
        self._in_flight += 1
        if self._member is not None:
            self._member.wake()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _rate(name: str, rate: float, given: object) -> float:
    if not 1.0 / DAY <= rate <= FASTEST:
        raise ConfigurationError(
            f"{name} is {shown(given)}: it is {PER_SECOND}, from one a day (0.0000116) to {FASTEST:,.0f}."
        )
    return rate
