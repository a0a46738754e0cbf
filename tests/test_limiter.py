"""The limiter: what a loop of somebody's waits on, and what it learns from what becomes of each message."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from aiolimiter import AsyncLimiter

from seslimit import (
    AccountBlocked,
    ConfigurationError,
    EndpointUnreachable,
    Limiter,
    Outcome,
    Paused,
    Resumed,
    RetryPolicy,
    SendQuota,
    TransportError,
)
from seslimit.testing._account import SimulatedAccount, Verdict

from .service_model import OUTCOMES
from .virtual_time import on_virtual_time

SOON = 1e-3
"""Seconds that count as at once."""


def now() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


async def reached(limiter: Limiter) -> None:
    """Let one message be accepted, so that the others need not wait for it."""
    async with limiter.admit():
        pass


class Service:
    """What a wrapped function sends to: answers one attempt after the other from a list, then accepts."""

    def __init__(self, *answers: Outcome | Exception, delay: float = 0.05) -> None:
        self.answers = list(answers)
        self.delay = delay
        self.times: list[float] = []

    async def __call__(self, *_: object) -> str:
        """Make one attempt."""
        self.times.append(now())
        answer = self.answers.pop(0) if self.answers else Outcome.ACCEPTED
        await asyncio.sleep(self.delay)
        if answer is Outcome.ACCEPTED:
            return "accepted"
        raise refusal(answer) if isinstance(answer, Outcome) else answer


def refusal(outcome: Outcome) -> TransportError:
    """A refusal with this outcome; of a connection, one that a new connection would not mend."""
    return TransportError(outcome, f"so it is: {outcome}", blocks_endpoint=outcome is Outcome.NOT_SENT)


# What it is made of


@pytest.mark.parametrize(
    ("rate", "max_rate", "words"),
    [
        (0, None, "rate is 0"),
        (-1, None, "rate is -1"),
        (float("nan"), None, "rate is nan"),
        (None, 0, "max_rate is 0"),
        (20, 14, "rate 20 is above max_rate 14"),
        (1e-9, None, "rate is 1e-09: .* from one a day"),
        (10**400, None, "rate is 1000"),
        (float("inf"), None, "rate is inf"),
        ("14", None, "rate is '14'"),
        (None, Decimal("NaN"), "max_rate is Decimal"),
    ],
)
def test_a_rate_out_of_range_is_refused(rate: Any, max_rate: Any, words: str) -> None:
    """In one sentence that names it."""
    with pytest.raises(ConfigurationError, match=words):
        Limiter(rate, max_rate=max_rate)


@pytest.mark.parametrize("rate", [Decimal(14), Fraction(14), 14], ids=repr)
@on_virtual_time
async def test_a_rate_is_any_number(rate: Any) -> None:
    """As configuration files and databases have them."""
    limiter = Limiter(rate, max_rate=rate)
    for _ in range(15):
        async with limiter.admit():
            pass
    assert limiter.rate == 14.0
    assert now() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("recipients", [0, -1, 51, 2.5, float("nan"), "3", 10**400], ids=str)
def test_recipients_out_of_range_are_refused(recipients: Any) -> None:
    """None went free, and a negative number gave tokens away; the length of a text is a slip."""
    with pytest.raises(ConfigurationError, match="recipients is"):
        Limiter(14).admit(recipients=recipients)
    with pytest.raises(ConfigurationError, match="cost is"):
        Limiter(14).wrap(cost=recipients)


@on_virtual_time
async def test_a_cost_that_a_function_says_is_checked() -> None:
    """Before anything is sent."""
    service = Service()
    wrapped = Limiter(14).wrap(cost=lambda to: len(to))(service)
    with pytest.raises(ConfigurationError, match="cost is 60"):
        await wrapped("somebody@example.org" * 3)
    assert service.times == []


def test_what_is_not_asynchronous_is_not_wrapped() -> None:
    """It would have sent before anything could be awaited, and again for the error that follows."""

    def sends(_: str) -> str:
        return "sent"

    with pytest.raises(ConfigurationError, match="wrap is for asynchronous functions"):
        Limiter(14).wrap()(sends)  # type: ignore[arg-type]  # the mistake


@on_virtual_time
async def test_the_constructor_of_aiolimiter_fits() -> None:
    """`AsyncLimiter(max_rate, time_period)`: so many in so many seconds; what it never exceeds is told apart."""
    limiter = Limiter(28, 2)
    assert (limiter.rate, limiter.time_period, limiter.max_rate) == (14, 2, None)


@on_virtual_time
async def test_a_fraction_costs_a_fraction() -> None:
    """Half a recipient takes half the time."""
    limiter = Limiter(10, max_rate=10)
    for _ in range(41):
        await limiter.acquire(0.5)
    assert now() == pytest.approx(2.0, abs=0.05)


@on_virtual_time
async def test_what_was_accepted_counts_as_it_is_told() -> None:
    """`acquire(1)` and `accepted(50)` were one recipient of the day."""
    limiter = Limiter(100)
    limiter.quota_figures(SendQuota(100, 100, 0))
    await limiter.acquire()
    limiter.accepted(50)
    await limiter.acquire(50)
    limiter.accepted()
    assert limiter.paused == "quota exceeded"


def test_a_second_loop_is_refused_with_the_cause() -> None:
    """It hung for ever without a word; after the first loop was closed there is nobody left to wait for."""
    limiter = Limiter(14)

    async def one() -> None:
        async with limiter.admit():
            pass

    first = asyncio.new_event_loop()
    first.run_until_complete(one())
    with pytest.raises(RuntimeError, match="two event loops, or two threads"):
        asyncio.run(one())
    first.close()
    asyncio.run(one())


@on_virtual_time
async def test_an_exception_caught_inside_the_block_is_suspected(caplog: pytest.LogCaptureFixture) -> None:
    """It looks like an accepted message, half of them are lost, and the limiter learns nothing: that is said, once."""
    limiter, account = Limiter(), SimulatedAccount(14)
    lost = 0
    for _ in range(4000):
        async with limiter:
            lost += account.decide(now(), 1) is not Verdict.ACCEPTED  # and an `except` that says nothing
    assert lost > 2000
    assert caplog.text.count("let exceptions leave the block") == 1


@on_virtual_time
async def test_nobody_is_suspected_who_tells(caplog: pytest.LogCaptureFixture) -> None:
    """The rate is soon known."""
    limiter, account = Limiter(), SimulatedAccount(14)
    for _ in range(300):
        await limiter.acquire()
        if account.decide(now(), 1) is Verdict.ACCEPTED:
            limiter.accepted()
        else:
            limiter.throttled()
    assert caplog.text == ""


@pytest.mark.parametrize("figure", [float("nan"), float("inf"), -5.0], ids=str)
@on_virtual_time
async def test_figures_that_mean_nothing_are_not_known(figure: float) -> None:
    """They neither stop sending nor make it slow."""
    limiter = Limiter(50)
    limiter.quota_figures(SendQuota(figure, figure, figure))
    assert (limiter.rate, limiter.paused, limiter.quota) == (50, None, SendQuota(-1, 0, 0))


def test_a_limiter_is_made_outside_a_loop() -> None:
    """At import, as a global, like an `AsyncLimiter`; it shows itself there too."""
    assert repr(Limiter(14)) == "<Limiter 14 recipients/s, 0 waiting>"


def test_a_limit_that_is_not_known_is_not_shown_as_nothing() -> None:
    """0 recipients/s would be a limiter that lets nothing through."""
    assert repr(Limiter()) == "<Limiter limit unknown, 0 waiting>"


def test_a_truth_value_is_no_rate() -> None:
    """It is a number to Python, and would be one recipient a second."""
    with pytest.raises(ConfigurationError, match="rate is True: it is a number of recipients"):
        Limiter(True)


def test_wrap_without_its_parentheses_is_told_so() -> None:
    """Python's own words would be about positional arguments."""
    with pytest.raises(ConfigurationError, match=r"write @limiter.wrap\(\) with its parentheses"):

        @Limiter().wrap  # type: ignore[arg-type]
        async def send() -> None: ...


@on_virtual_time
async def test_an_unknown_rate_starts_low() -> None:
    """At one recipient a second, and says that nothing is known."""
    limiter = Limiter()
    assert (limiter.rate, limiter.estimate, limiter.quota, limiter.paused) == (1.0, None, None, None)


@on_virtual_time
async def test_figures_of_the_service_cap_the_rate() -> None:
    """And are remembered."""
    limiter = Limiter(100)
    figures = SendQuota(50_000, 14, 0)
    limiter.quota_figures(figures)
    assert (limiter.rate, limiter.quota) == (14, figures)


@on_virtual_time
async def test_the_maximum_is_never_exceeded() -> None:
    """However much is accepted."""
    limiter = Limiter(100, max_rate=100)
    begun = now()
    for _ in range(3000):
        async with limiter.admit():
            pass
    assert limiter.rate == 100
    assert now() - begun == pytest.approx(30.0, rel=0.002)


# One message


@on_virtual_time
async def test_admit_waits_for_what_went_before() -> None:
    """Three recipients at 2/s make the next wait for a second and a half."""
    limiter = Limiter(2, max_rate=2)
    async with limiter.admit(recipients=3):
        pass
    async with limiter.admit() as admission:
        assert admission.admitted_at == now() == pytest.approx(1.5, abs=SOON)


@pytest.mark.parametrize(
    "error", [refusal(Outcome.THROTTLED), refusal(Outcome.PERMANENT), ValueError("mine"), ConnectionResetError("gone")]
)
@on_virtual_time
async def test_an_exception_leaves_the_block_unchanged(error: Exception) -> None:
    """The very same object."""
    with pytest.raises(type(error)) as raised:
        async with Limiter(14).admit():
            raise error
    assert raised.value is error


@on_virtual_time
async def test_a_throttle_slows_the_limiter() -> None:
    """As soon as it leaves the block."""
    limiter = Limiter(14)
    await reached(limiter)
    with pytest.raises(TransportError):
        async with limiter.admit():
            raise refusal(Outcome.THROTTLED)
    assert limiter.rate < 14


@on_virtual_time
async def test_a_throttle_inside_a_group_slows_the_limiter() -> None:
    """As a task group raises it."""
    limiter = Limiter(14)
    await reached(limiter)
    with pytest.raises(ExceptionGroup):
        async with limiter.admit(), asyncio.TaskGroup() as group:
            group.create_task(Service(Outcome.THROTTLED)())
    assert limiter.rate < 14


@pytest.mark.parametrize("error", [refusal(Outcome.TRANSIENT), refusal(Outcome.PERMANENT), ValueError("mine")])
@on_virtual_time
async def test_another_failure_does_not_slow_the_limiter(error: Exception) -> None:
    """It says nothing of the rate."""
    limiter = Limiter(14)
    await reached(limiter)
    with pytest.raises(type(error)):
        async with limiter.admit():
            raise error
    assert (limiter.rate, limiter.paused) == (14, None)


@on_virtual_time
async def test_a_cancelled_block_tells_nothing() -> None:
    """Neither that it was accepted nor that it failed; the next one goes."""
    limiter = Limiter(14)

    async def attempt() -> None:
        async with limiter.admit():
            await asyncio.sleep(10.0)

    task = asyncio.create_task(attempt())
    await asyncio.sleep(1.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    async with limiter.admit():
        assert now() == pytest.approx(1.0, abs=SOON)
    assert (limiter.rate, limiter.paused) == (14, None)


@on_virtual_time
async def test_a_throttle_is_placed_where_the_content_was_handed_over() -> None:
    """Said by the caller, or by the exception."""
    limiter = Limiter(14)
    async with limiter.admit() as admission:
        await asyncio.sleep(0.3)
        admission.handed_over()
        await asyncio.sleep(0.3)
    assert admission.decided_at == pytest.approx(0.3, abs=SOON)


@on_virtual_time
async def test_the_first_message_goes_alone_until_it_is_answered() -> None:
    """Then the others follow at the rate."""
    limiter = Limiter(100, max_rate=100)
    times = []

    async def attempt() -> None:
        async with limiter.admit():
            times.append(now())
            await asyncio.sleep(2.0)

    await asyncio.gather(*(attempt() for _ in range(3)))
    assert times == pytest.approx([0.0, 2.0, 2.0], abs=0.05)


# The face of aiolimiter


@pytest.mark.parametrize("make", [lambda: AsyncLimiter(1, 0.1), lambda: Limiter(10, max_rate=10)])
@on_virtual_time
async def test_a_loop_over_aiolimiter_runs_with_either(make: Callable[[], AsyncLimiter | Limiter]) -> None:
    """The same lines, the same pace, and nothing that the loop would have to tell."""
    limiter = make()
    times = []
    for _ in range(10):
        await limiter.acquire()
        times.append(now())
        async with limiter:
            times.append(now())
    assert times[-1] - times[0] == pytest.approx(1.9, rel=0.01)


@on_virtual_time
async def test_acquire_takes_more_than_a_second_is_worth() -> None:
    """Where aiolimiter refuses; the next one waits for it."""
    limiter = Limiter(10, max_rate=10)
    await limiter.acquire(50)
    await limiter.acquire(0.5)
    await limiter.acquire()
    assert now() == pytest.approx(5.05, abs=SOON)


@on_virtual_time
async def test_capacity_is_there_when_the_next_would_go_at_once() -> None:
    """Whatever it costs itself."""
    limiter = Limiter(10, max_rate=10)
    assert limiter.has_capacity(50)
    await limiter.acquire()
    assert not limiter.has_capacity()
    await asyncio.sleep(0.1)
    assert limiter.has_capacity()


@on_virtual_time
async def test_many_tasks_are_inside_one_limiter_at_the_same_time() -> None:
    """Each leaves its own admission, whatever the order, nested ones too."""
    limiter = Limiter(100, max_rate=100)
    rng = random.Random(1)

    async def attempt() -> None:
        async with limiter:
            await asyncio.sleep(rng.uniform(0.0, 1.0))
            async with limiter:
                await asyncio.sleep(rng.uniform(0.0, 1.0))

    await asyncio.gather(*(attempt() for _ in range(50)))
    assert (limiter.waiting, limiter._entered) == (0, {})


@on_virtual_time
async def test_a_throttle_that_leaves_the_limiter_itself_slows_it() -> None:
    """`async with limiter` classifies like `admit`."""
    limiter = Limiter(14)
    await reached(limiter)
    with pytest.raises(TransportError):
        async with limiter:
            raise refusal(Outcome.THROTTLED)
    assert limiter.rate < 14


@on_virtual_time
async def test_a_loop_that_classifies_by_itself_tells_of_throttles() -> None:
    """After `acquire`."""
    limiter = Limiter(14)
    await limiter.acquire()
    limiter.accepted()
    await limiter.acquire()
    limiter.throttled()
    assert limiter.rate < 14


@on_virtual_time
async def test_a_wait_that_the_service_asks_for_is_kept() -> None:
    """As it was told."""
    limiter = Limiter(14)
    await limiter.acquire()
    limiter.throttled(retry_after=30.0)
    await limiter.acquire()
    assert now() >= 30.0


@on_virtual_time
async def test_what_was_not_acquired_may_be_told_of() -> None:
    """Of a message sent past the limiter."""
    limiter = Limiter(14)
    limiter.accepted(3)
    limiter.throttled()
    assert limiter.rate <= 14


@on_virtual_time
async def test_a_caller_that_never_tells_keeps_no_memory() -> None:
    """Admissions that nobody settles are forgotten after a while."""
    limiter = Limiter(10_000, max_rate=10_000)
    for _ in range(3000):
        await limiter.acquire()
    assert len(limiter._by_hand) <= 1000


@on_virtual_time
async def test_those_that_wait_are_counted() -> None:
    """Nobody after they went or were cancelled."""
    limiter = Limiter(10, max_rate=10)
    tasks = [asyncio.create_task(limiter.acquire()) for _ in range(10)]
    await asyncio.sleep(0.01)
    waiting = limiter.waiting
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert (waiting, limiter.waiting) == (9, 0)


# The whole policy around a function


@on_virtual_time
async def test_a_wrapped_function_returns_what_it_returns() -> None:
    """And keeps its name."""

    @Limiter(14).wrap()
    async def send(word: str, *, times: int) -> str:
        """Send."""
        return word * times

    assert await send("a", times=2) == "aa"
    assert (send.__name__, send.__doc__) == ("send", "Send.")


@on_virtual_time
async def test_a_wrapped_function_costs_its_recipients() -> None:
    """A number, or computed from the call."""
    limiter = Limiter(10, max_rate=10)
    service = Service(delay=0.0)
    fixed = limiter.wrap(cost=5)(service)
    computed = limiter.wrap(cost=lambda recipients: len(recipients))(service)
    await fixed()
    await computed(["a", "b"])
    await fixed()
    assert service.times == pytest.approx([0.0, 0.5, 0.7], abs=SOON)


@on_virtual_time
async def test_throttles_cost_a_wrapped_function_no_attempt() -> None:
    """Twenty of them and one attempt allowed: it is accepted."""
    service = Service(*[Outcome.THROTTLED] * 20)
    assert await Limiter(14).wrap(retry=RetryPolicy(max_attempts=1))(service)() == "accepted"


@on_virtual_time
async def test_transient_failures_are_counted_and_waited_for() -> None:
    """Two of three attempts fail: two waits of at most 5 and 10 s."""
    service = Service(Outcome.TRANSIENT, Outcome.TRANSIENT)
    assert await Limiter(14).wrap(retry=RetryPolicy(max_attempts=3))(service)() == "accepted"
    assert len(service.times) == 3
    assert 0.2 < service.times[-1] <= 15.2


@on_virtual_time
async def test_giving_up_raises_the_last_exception_unchanged() -> None:
    """The very same object, after as many attempts as are allowed."""
    errors = [refusal(Outcome.TRANSIENT) for _ in range(3)]
    service = Service(*errors)
    with pytest.raises(TransportError) as raised:
        await Limiter(14).wrap(retry=RetryPolicy(max_attempts=3))(service)()
    assert raised.value is errors[2]
    assert len(service.times) == 3


@on_virtual_time
async def test_a_permanent_failure_is_raised_at_once() -> None:
    """There is no second attempt."""
    service = Service(Outcome.PERMANENT)
    with pytest.raises(TransportError):
        await Limiter(14).wrap()(service)()
    assert len(service.times) == 1


@pytest.mark.parametrize(("on_unknown", "attempts"), [("hold", 1), ("resend", 2)])
@on_virtual_time
async def test_an_unknown_outcome_is_treated_as_the_policy_says(on_unknown: str, attempts: int) -> None:
    """A connection that was reset may hide an accepted message."""
    service = Service(ConnectionResetError("reset"))
    policy = RetryPolicy(on_unknown=on_unknown, max_attempts=2)  # type: ignore[arg-type]
    result = await asyncio.gather(Limiter(14).wrap(retry=policy)(service)(), return_exceptions=True)
    assert len(service.times) == attempts
    assert isinstance(result[0], ConnectionResetError) == (on_unknown == "hold")


@pytest.mark.parametrize("error", [KeyError("id"), ZeroDivisionError(), ValueError("mine"), AssertionError()], ids=repr)
@on_virtual_time
async def test_a_bug_is_not_repeated(error: Exception) -> None:
    """
    It comes after the message was accepted as well as before: five copies went out for a KeyError in the line below.

    To send rather twice is about a lost reply (RFC 5321, 4.5.4.1); only a network or a client library loses one.
    """
    service = Service(error, delay=0.1)
    with pytest.raises(type(error)) as raised:
        await Limiter(14).wrap(retry=RetryPolicy(max_attempts=5))(service)()
    assert (raised.value, len(service.times)) == (error, 1)
    assert "not tried again" in raised.value.__notes__[0]


class HttpxError(Exception):
    """As a client library's, by the module that it says it is from."""

    __module__ = "httpx._exceptions"


@pytest.mark.parametrize(
    "error",
    [TimeoutError(), OSError("broken"), asyncio.IncompleteReadError(b"", 1), HttpxError(), ConnectionAbortedError()],
    ids=repr,
)
@on_virtual_time
async def test_a_lost_reply_is_repeated(error: Exception) -> None:
    """Whatever a network or a client library raises, also where no table has its class."""
    service = Service(error)
    assert await Limiter(14).wrap()(service)() == "accepted"
    assert len(service.times) == 2


@on_virtual_time
async def test_a_blocked_account_is_raised_with_its_cause() -> None:
    """`AccountBlocked`, whose cause is the refusal."""
    error = refusal(Outcome.ACCOUNT_BLOCKED)
    with pytest.raises(AccountBlocked) as raised:
        await Limiter(14).wrap()(Service(error))()
    assert raised.value.__cause__ is error


@on_virtual_time
async def test_an_endpoint_never_reached_is_raised_with_its_cause() -> None:
    """After three attempts."""
    service = Service(*[Outcome.NOT_SENT] * 9)
    with pytest.raises(EndpointUnreachable) as raised:
        await Limiter(14).wrap()(service)()
    assert isinstance(raised.value.__cause__, TransportError)
    assert len(service.times) == 3


@on_virtual_time
async def test_an_endpoint_once_reached_is_waited_for_as_long_as_the_policy_says() -> None:
    """With attempts further and further apart, and by all callers together."""
    limiter = Limiter(100)
    service = Service(Outcome.ACCEPTED, *[Outcome.NOT_SENT] * 1000)
    send = limiter.wrap(retry=RetryPolicy(max_unreachable=300.0))(service)
    await send()
    results = await asyncio.gather(*(send() for _ in range(20)), return_exceptions=True)
    assert all(isinstance(result, EndpointUnreachable) for result in results)
    before = [at for at in service.times if at <= 300.0]
    assert len(before) <= 20 + 12
    assert now() > 300.0


@on_virtual_time
async def test_an_endpoint_that_comes_back_ends_the_rest_for_all() -> None:
    """Nobody is lost and no attempt is counted."""
    service = Service(Outcome.ACCEPTED, *[Outcome.NOT_SENT] * 15)
    limiter = Limiter(100)
    send = limiter.wrap(retry=RetryPolicy(max_attempts=1))(service)
    await send()
    assert await asyncio.gather(*(send() for _ in range(20))) == ["accepted"] * 20
    assert limiter.paused is None


@on_virtual_time
async def test_a_cancelled_call_makes_no_other_attempt() -> None:
    """Neither in its wait for the turn, nor in its attempt, nor in its backoff."""
    for moment in (0.01, 0.3):
        service = Service(*[Outcome.TRANSIENT] * 9)
        limiter = Limiter(14)
        patient = limiter.wrap(retry=RetryPolicy(jitter=lambda bound: bound))
        task = asyncio.create_task(patient(service)())
        await asyncio.sleep(moment)
        task.cancel()
        await asyncio.sleep(60.0)
        assert task.cancelled()
        assert len(service.times) == 1
        assert limiter.waiting == 0


@on_virtual_time
async def test_a_daily_quota_is_probed_until_it_frees() -> None:
    """A day of 100 s: what is over the quota waits with few probes and goes when the first recipients leave it."""
    account = SimulatedAccount(20, max_24_hour_send=200, day=100.0)
    limiter = Limiter(20, max_rate=20)
    over: list[float] = []

    @limiter.wrap(retry=RetryPolicy(max_attempts=1))
    async def send() -> float:
        await asyncio.sleep(0.05)
        verdict = account.decide(now(), 1)
        if verdict is Verdict.ACCEPTED:
            return now()
        if verdict is Verdict.QUOTA_EXCEEDED:
            over.append(now())
        raise TransportError(OUTCOMES[verdict], verdict)

    went = sorted(await asyncio.gather(*(send() for _ in range(260))))
    assert 9.0 < went[199] < 12.0
    assert 100.0 < went[200] < 170.0
    assert len(over) <= 20
    assert limiter.paused is None


@pytest.mark.parametrize("seed", range(4))
@on_virtual_time
async def test_probes_cancelled_at_random_never_stop_everything(seed: int) -> None:
    """While the quota is exceeded and callers come and go, some probe always ends the rest."""
    rng = random.Random(seed)
    loop = asyncio.get_running_loop()
    account = SimulatedAccount(50, max_24_hour_send=100, day=60.0)
    limiter = Limiter(50, max_rate=50)

    @limiter.wrap()
    async def send() -> None:
        await asyncio.sleep(rng.uniform(0.01, 1.0))
        verdict = account.decide(now(), 1)
        await asyncio.sleep(rng.uniform(0.01, 1.0))
        if verdict is not Verdict.ACCEPTED:
            raise TransportError(OUTCOMES[verdict], verdict)

    tasks = [asyncio.create_task(send()) for _ in range(300)]
    for task in rng.sample(tasks, 150):
        loop.call_later(rng.uniform(0.0, 150.0), task.cancel)
    await asyncio.wait(tasks)
    assert {type(task.exception()) for task in tasks if not task.cancelled()} == {type(None)}
    assert sum(not task.cancelled() for task in tasks) >= 150


# Bounds and holds


@on_virtual_time
async def test_the_least_ceiling_counts() -> None:
    """Each has its owner; taken away, the rate is what it was, and nothing was learnt meanwhile."""
    limiter = Limiter(50, max_rate=50)
    limiter.ceiling("warm-up", 10)
    limiter.ceiling("guard", 5)
    assert limiter.rate == 5
    begun = now()
    for _ in range(11):
        async with limiter.admit():
            pass
    assert now() - begun == pytest.approx(2.0, abs=0.1)
    limiter.ceiling("guard", None)
    assert limiter.rate == 10
    limiter.ceiling("warm-up", None)
    assert (limiter.rate, limiter.estimate) == (50, 50)
    with pytest.raises(ConfigurationError, match="rate is 0"):
        limiter.ceiling("guard", 0)


@on_virtual_time
async def test_a_hold_holds_everybody_until_it_is_released() -> None:
    """By its reason: two of them do not end each other. Hooks hear it, and `paused` says it."""
    heard: list[object] = []
    limiter = Limiter(1000, hooks=[heard.append])
    limiter.hold("complaints at 0.4 %")
    limiter.hold("by hand")
    task = asyncio.create_task(reached(limiter))
    await asyncio.sleep(100.0)
    assert (task.done(), limiter.paused) == (False, "complaints at 0.4 %")
    assert heard == [Paused("complaints at 0.4 %", None)]
    limiter.release("complaints at 0.4 %")
    await asyncio.sleep(100.0)
    assert (task.done(), limiter.paused) == (False, "by hand")
    limiter.release("by hand")
    await task
    assert now() == pytest.approx(200.0, abs=0.1)
    assert heard[-2] == Resumed("by hand")


@pytest.mark.parametrize("shared", ["host:mail", 7])
def test_what_keeps_no_rate_is_refused_at_once(shared: Any) -> None:
    """An address is no store; every admission would wait for ever."""
    with pytest.raises(ConfigurationError, match=r"shared is .*shared_from_url"):
        Limiter(14, shared=shared)
