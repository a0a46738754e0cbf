"""One message's way: what it holds at each moment, and that it gives everything back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from seslimit import Limiter, Outcome, RetryPolicy, TransportError
from seslimit._law.retry import History
from seslimit._pacing.delivery import Delivery, Places
from seslimit._pacing.limiter import Admission

from .virtual_time import on_virtual_time

IN_FLIGHT = 2
BACKING_OFF = 3


class Counting(Limiter):
    """A limiter that counts what is admitted and what is settled."""

    def __init__(self, rate: float = 1000.0) -> None:
        super().__init__(rate, max_rate=rate)
        self._account.reached()
        self.admitted: list[Admission] = []
        self.settled: list[Admission] = []
        self.outcomes: list[Outcome | None] = []

    async def enter(self, admission: Admission, *, front: bool = False, patience: RetryPolicy | None = None) -> None:
        """Count."""
        await super().enter(admission, front=front, patience=patience)
        self.admitted.append(admission)

    def settle(
        self,
        admission: Admission,
        outcome: Outcome | None,
        *,
        decided_at: float | None = None,
        retry_after: float = 0.0,
        blocks_endpoint: bool = False,
    ) -> None:
        """Count."""
        self.settled.append(admission)
        self.outcomes.append(outcome)
        super().settle(
            admission, outcome, decided_at=decided_at, retry_after=retry_after, blocks_endpoint=blocks_endpoint
        )


def delivery(limiter: Limiter, places: Places | None = None, policy: RetryPolicy | None = None) -> Delivery:
    """The delivery of a message with one recipient."""
    return Delivery(limiter, policy or RetryPolicy(), 1, History(asyncio.get_running_loop().time()), places)


def answers(*outcomes: Outcome | BaseException, delay: float = 0.1) -> Callable[[Admission], Awaitable[str]]:
    """An attempt that ends so, one after the other, and then is accepted."""
    left = list(outcomes)

    async def attempt(_: Admission) -> str:
        await asyncio.sleep(delay)
        answer = left.pop(0) if left else Outcome.ACCEPTED
        if isinstance(answer, BaseException):
            raise answer
        if answer is not Outcome.ACCEPTED:
            raise TransportError(answer, answer)
        return "accepted"

    return attempt


def free(semaphore: asyncio.Semaphore) -> int:
    """Places that are free."""
    return semaphore._value


@on_virtual_time
async def test_an_accepted_delivery_returns_what_the_attempt_returned() -> None:
    """And says that it has ended, without an error."""
    one = delivery(Counting())
    assert await one.run(answers(Outcome.THROTTLED)) == "accepted"
    assert (one.ended, one.error, one.history.attempts, one.history.throttles) == (True, None, 1, 1)


@pytest.mark.parametrize(
    "outcomes",
    [
        (),
        (Outcome.THROTTLED, Outcome.THROTTLED),
        (Outcome.TRANSIENT,),
        (Outcome.PERMANENT,),
        (Outcome.ACCOUNT_BLOCKED,),
        (asyncio.CancelledError(),),
    ],
    ids=str,
)
@on_virtual_time
async def test_every_admission_is_settled_once(outcomes: tuple[Outcome | BaseException, ...]) -> None:
    """Whatever becomes of it, and every place is given back."""
    limiter, places = Counting(), Places(IN_FLIGHT, BACKING_OFF)
    await asyncio.gather(delivery(limiter, places).run(answers(*outcomes)), return_exceptions=True)
    assert limiter.settled == limiter.admitted
    assert (free(places.in_flight), free(places.backing_off)) == (IN_FLIGHT, BACKING_OFF)


@on_virtual_time
async def test_a_delivery_waits_for_a_place_before_its_turn() -> None:
    """No admission is used up by one that has no place."""
    limiter, places = Counting(), Places(1, 1)
    tasks = [asyncio.create_task(delivery(limiter, places).run(answers(delay=1.0))) for _ in range(3)]
    await asyncio.sleep(0.5)
    assert (len(limiter.admitted), limiter.waiting) == (1, 0)
    await asyncio.wait(tasks)


@on_virtual_time
async def test_a_requeued_message_keeps_its_place() -> None:
    """Another one does not take it meanwhile."""
    places = Places(1, 1)
    order: list[str] = []

    async def named(name: str, *outcomes: Outcome) -> None:
        await delivery(Counting(), places).run(answers(*outcomes))
        order.append(name)

    await asyncio.gather(named("first", *[Outcome.THROTTLED] * 5), named("second"))
    assert order == ["first", "second"]


@on_virtual_time
async def test_a_backoff_is_waited_out_without_a_place() -> None:
    """Others go meanwhile."""
    places = Places(1, 1)
    policy = RetryPolicy(first_wait=1000.0)
    slow = asyncio.create_task(delivery(Counting(), places, policy).run(answers(Outcome.TRANSIENT)))
    await asyncio.sleep(0.15)
    assert (free(places.in_flight), free(places.backing_off)) == (1, 0)
    await delivery(Counting(), places).run(answers())
    assert not slow.done()
    await slow


@on_virtual_time
async def test_one_too_many_backs_off_in_its_place() -> None:
    """So that a service in trouble stops the supply of new messages."""
    places = Places(9, 1)
    policy = RetryPolicy(first_wait=1000.0)
    tasks = [
        asyncio.create_task(delivery(Counting(), places, policy).run(answers(Outcome.TRANSIENT))) for _ in range(9)
    ]
    await asyncio.sleep(0.15)
    assert (free(places.in_flight), free(places.backing_off)) == (1, 0)
    await asyncio.wait(tasks)
    assert asyncio.get_running_loop().time() < 1001.0
    assert (free(places.in_flight), free(places.backing_off)) == (9, 1)


@on_virtual_time
async def test_a_delivery_that_never_ran_gives_back_what_it_holds() -> None:
    """It had its place and its turn, and its task was cancelled before it began; closing twice changes nothing."""
    limiter, places = Counting(), Places(1, 1)
    one = delivery(limiter, places)
    await one.admit()
    task = asyncio.create_task(one.run(answers()))
    task.cancel()
    await asyncio.wait([task])
    one.close()
    one.close()
    assert limiter.settled == limiter.admitted
    assert free(places.in_flight) == 1


@on_virtual_time
async def test_a_cancelled_attempt_may_have_been_accepted() -> None:
    """It is marked so, and is not for sending again."""
    one = delivery(Counting())
    task = asyncio.create_task(one.run(answers(delay=1.0)))
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), one.interrupted, one.unsent) == (True, True, False)


@on_virtual_time
async def test_a_delivery_cancelled_between_attempts_was_not_accepted() -> None:
    """It waits out a backoff, or for its turn."""
    one = delivery(Counting(), policy=RetryPolicy(first_wait=1000.0))
    task = asyncio.create_task(one.run(answers(Outcome.TRANSIENT)))
    await asyncio.sleep(0.15)
    task.cancel()
    await asyncio.wait([task])
    assert (one.interrupted, one.unsent, one.history.outcome) == (False, True, Outcome.TRANSIENT)


@pytest.mark.parametrize(
    ("outcome", "unsent"),
    [
        (Outcome.ACCEPTED, False),
        (Outcome.THROTTLED, True),
        (Outcome.QUOTA_EXCEEDED, True),
        (Outcome.NOT_SENT, True),
        (Outcome.TRANSIENT, True),
        (Outcome.PERMANENT, False),
        (Outcome.ACCOUNT_BLOCKED, True),
        (Outcome.UNKNOWN, False),
    ],
)
@on_virtual_time
async def test_after_a_last_attempt_it_is_known_what_is_unsent(outcome: Outcome, unsent: bool) -> None:
    """What is neither accepted nor given up, and certainly was not taken; there is no other attempt."""
    limiter = Counting()
    one = delivery(limiter)
    one.last_attempt = True
    await asyncio.gather(one.run(answers(outcome)), return_exceptions=True)
    assert (one.unsent, len(limiter.admitted)) == (unsent, 1)


@on_virtual_time
async def test_an_exception_of_the_limiter_is_no_attempt() -> None:
    """It leaves at once, where a retry would never end."""

    class Broken(Limiter):
        async def enter(
            self, admission: Admission, *, front: bool = False, patience: RetryPolicy | None = None
        ) -> None:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await delivery(Broken()).run(answers())


@pytest.mark.parametrize("seed", range(5))
@on_virtual_time
async def test_random_cancellation_gives_everything_back(seed: int) -> None:
    """Of 300 deliveries with every kind of failure a half is cancelled: each admission is settled, each place free."""
    rng = random.Random(seed)
    loop = asyncio.get_running_loop()
    limiter, places = Counting(100.0), Places(10, 5)
    kinds = [Outcome.ACCEPTED, Outcome.THROTTLED, Outcome.TRANSIENT, Outcome.PERMANENT, Outcome.NOT_SENT]
    tasks = []
    for _ in range(300):
        attempt = answers(*rng.choices(kinds, k=3), delay=rng.uniform(0.0, 0.3))
        tasks.append(asyncio.create_task(delivery(limiter, places).run(attempt)))
    for task in rng.sample(tasks, 150):
        loop.call_later(rng.uniform(0.0, 10.0), task.cancel)
    await asyncio.wait(tasks)
    assert sorted(map(id, limiter.settled)) == sorted(map(id, limiter.admitted))
    assert (free(places.in_flight), free(places.backing_off)) == (10, 5)
    assert (limiter.waiting, limiter.paused) == (0, None)
