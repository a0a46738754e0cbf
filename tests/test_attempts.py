"""One message's way: what it holds at each moment, and that it gives everything back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from seslimit import Limiter, Outcome, RetryPolicy, TransportError
from seslimit._model.history import History
from seslimit._model.meaning import Meaning
from seslimit._pacing.attempts import Attempts, Postponed
from seslimit._pacing.gate import Admission
from seslimit._pacing.lanes import Places

from .virtual_time import on_virtual_time

IN_FLIGHT = 2


class Counting(Limiter):
    """A limiter that counts what is admitted and what is settled."""

    def __init__(self, rate: float = 1000.0) -> None:
        super().__init__(rate, max_rate=rate)
        self._account.reached()
        self.admitted: list[Admission] = []
        self.settled: list[Admission] = []

    async def enter(
        self,
        admission: Admission,
        *,
        front: bool = False,
        patience: RetryPolicy | None = None,
        places: Places | None = None,
    ) -> None:
        """Count."""
        await super().enter(admission, front=front, patience=patience, places=places)
        self.admitted.append(admission)

    def conclude(self, admission: Admission, exc: BaseException | None) -> Meaning | None:
        """Count."""
        self.settled.append(admission)
        return super().conclude(admission, exc)

    def give_back(self, admission: Admission) -> None:
        """Count."""
        self.settled.append(admission)
        super().give_back(admission)


Attempt = Callable[[], Awaitable[str]]


def attempts(
    limiter: Limiter, attempt: Attempt, places: Places | None = None, policy: RetryPolicy | None = None
) -> Attempts[str]:
    """The attempts of a message with one recipient."""
    history = History(0.0)
    return Attempts(Admission(limiter, 1), policy or RetryPolicy(), attempt, history, places)


def answers(*outcomes: Outcome | BaseException, delay: float = 0.1) -> Attempt:
    """An attempt that ends so, one after the other, and then is accepted."""
    left = list(outcomes)

    async def attempt() -> str:
        await asyncio.sleep(delay)
        answer = left.pop(0) if left else Outcome.ACCEPTED
        if isinstance(answer, BaseException):
            raise answer
        if answer is not Outcome.ACCEPTED:
            raise TransportError(answer, answer)
        return "accepted"

    return attempt


async def until(when: float) -> None:
    """Wait out a backoff."""
    await asyncio.sleep(when - asyncio.get_running_loop().time())


@on_virtual_time
async def test_accepted_attempts_return_what_the_last_one_returned() -> None:
    """And say that they have ended, without an error."""
    one = attempts(Counting(), answers(Outcome.THROTTLED))
    assert await one.run() == "accepted"
    assert (one.ended, one.error, one.history.throttles) == (True, None, 1)
    assert one.accepted_at is not None


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
async def test_every_admission_is_concluded_once(outcomes: tuple[Outcome | BaseException, ...]) -> None:
    """Whatever becomes of it, and every place is given back."""
    limiter = Counting()
    places = limiter.places(IN_FLIGHT)
    one = attempts(limiter, answers(*outcomes), places)
    await asyncio.gather(one.to_the_end(until), return_exceptions=True)
    assert limiter.settled == limiter.admitted
    assert places.free == IN_FLIGHT


@on_virtual_time
async def test_a_message_waits_for_a_place_and_its_turn_together() -> None:
    """No admission is used up by one that has no place."""
    limiter = Counting()
    places = limiter.places(1)
    tasks = [asyncio.create_task(attempts(limiter, answers(delay=1.0), places).run()) for _ in range(3)]
    await asyncio.sleep(0.5)
    assert (len(limiter.admitted), limiter.waiting) == (1, 2)
    await asyncio.wait(tasks)


@on_virtual_time
async def test_a_requeued_message_keeps_its_place() -> None:
    """Another one does not take it meanwhile."""
    limiter = Counting()
    places = limiter.places(1)
    order: list[str] = []

    async def named(name: str, *outcomes: Outcome) -> None:
        await attempts(limiter, answers(*outcomes), places).run()
        order.append(name)

    await asyncio.gather(named("first", *[Outcome.THROTTLED] * 5), named("second"))
    assert order == ["first", "second"]


@on_virtual_time
async def test_a_message_for_later_is_handed_back_without_its_place() -> None:
    """With the moment before which it is not tried; whoever keeps it, here or in a store, calls again."""
    limiter, policy = Counting(), RetryPolicy(first_wait=1000.0)
    places = limiter.places(1)
    one = attempts(limiter, answers(Outcome.TRANSIENT), places, policy)
    postponed = await one.run()
    assert isinstance(postponed, Postponed)
    assert 0.1 < postponed.not_before <= asyncio.get_running_loop().time() + 1000.0
    assert (places.free, one.unsent) == (1, True)
    assert await one.run() == "accepted"
    assert (one.history.attempts, one.ended) == (1, True)


@on_virtual_time
async def test_a_message_that_never_ran_gives_back_what_it_holds() -> None:
    """It had its place and its turn, and its task was cancelled before it began; closing twice changes nothing."""
    limiter = Counting()
    places = limiter.places(1)
    one = attempts(limiter, answers(), places)
    await one.admit()
    task = asyncio.create_task(one.run())
    task.cancel()
    await asyncio.wait([task])
    one.close()
    one.close()
    assert limiter.settled == limiter.admitted
    assert places.free == 1


@on_virtual_time
async def test_a_cancelled_attempt_may_have_been_accepted() -> None:
    """It is marked so, and is not for sending again."""
    one = attempts(Counting(), answers(delay=1.0))
    task = asyncio.create_task(one.run())
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), one.history.outcome, one.unsent) == (True, Outcome.UNKNOWN, False)


@on_virtual_time
async def test_a_message_cancelled_between_attempts_was_not_accepted() -> None:
    """It waits for its turn."""
    limiter = Counting(1.0)
    await attempts(limiter, answers()).run()
    one = attempts(limiter, answers(Outcome.THROTTLED, Outcome.THROTTLED))
    task = asyncio.create_task(one.run())
    await asyncio.sleep(1.5)
    task.cancel()
    await asyncio.wait([task])
    assert (one.unsent, one.history.outcome) == (True, Outcome.THROTTLED)


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
    one = attempts(limiter, answers(outcome))
    one.last_attempt = True
    await asyncio.gather(one.run(), return_exceptions=True)
    assert (one.unsent, len(limiter.admitted)) == (unsent, 1)


@on_virtual_time
async def test_an_exception_of_the_limiter_is_no_attempt() -> None:
    """It leaves at once, where a retry would never end."""

    class Broken(Limiter):
        async def enter(
            self,
            admission: Admission,
            *,
            front: bool = False,
            patience: RetryPolicy | None = None,
            places: Places | None = None,
        ) -> None:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await attempts(Broken(), answers()).run()


@pytest.mark.parametrize("seed", range(5))
@on_virtual_time
async def test_random_cancellation_gives_everything_back(seed: int) -> None:
    """Of 300 messages with every kind of failure a half is cancelled: each admission is concluded, each place free."""
    rng = random.Random(seed)
    loop = asyncio.get_running_loop()
    limiter = Counting(100.0)
    places = limiter.places(10)
    kinds = [Outcome.ACCEPTED, Outcome.THROTTLED, Outcome.TRANSIENT, Outcome.PERMANENT, Outcome.NOT_SENT]
    tasks = []
    for _ in range(300):
        attempt = answers(*rng.choices(kinds, k=3), delay=rng.uniform(0.0, 0.3))
        tasks.append(asyncio.create_task(attempts(limiter, attempt, places).to_the_end(until)))
    for task in rng.sample(tasks, 150):
        loop.call_later(rng.uniform(0.0, 10.0), task.cancel)
    await asyncio.wait(tasks)
    assert sorted(map(id, limiter.settled)) == sorted(map(id, limiter.admitted))
    assert places.free == 10
    assert (limiter.waiting, limiter.paused) == (0, None)
