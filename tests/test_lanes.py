"""Lanes: what is urgent waits for nobody, and nobody starves."""

from __future__ import annotations

import asyncio
import random

import pytest

from seslimit import ConfigurationError, Limiter, Message, Outcome, Sender

from .service_model import ScriptedService, message, messages
from .virtual_time import on_virtual_time


def now() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


async def took(sender: Sender, one: Message) -> float:
    """Seconds until a message's attempt begins, sent now in the urgent lane."""
    service = sender.transport
    assert isinstance(service, ScriptedService)
    begun = now()
    await sender.send(one, lane="urgent")
    return service.times[service.attempts.index(one.key)] - begun


def in_lane(key: object, lane: str | None) -> Message:
    """A message of this lane."""
    return Message("a@example.com", ["b@example.org"], b"x", str(key), lane=lane)


@pytest.mark.parametrize("max_in_flight", [100, 4], ids=["places to spare", "no place to spare"])
@on_virtual_time
async def test_an_urgent_message_beside_three_hundred_waits_a_tenth_of_a_second(max_in_flight: int) -> None:
    """At 50/s; place and turn are one decision, so those that wait for a place are in nobody's way."""
    limiter = Limiter(50, max_rate=50)
    limiter.lane("urgent", priority=1)
    service = ScriptedService(delay=0.04)
    async with Sender(service, limiter=limiter, max_in_flight=max_in_flight) as sender:
        campaign = [asyncio.create_task(sender.send(one)) for one in messages(300)]
        await asyncio.sleep(1.0)
        waited = []
        for number in range(20):
            waited.append(await took(sender, in_lane(f"urgent {number}", None)))
            await asyncio.sleep(random.Random(number).uniform(0.0, 0.1))
        assert max(waited) <= 0.1
        await asyncio.wait(campaign)


@on_virtual_time
async def test_an_urgent_message_goes_before_a_list() -> None:
    """`send_many` has one message in hand; the same by the message's own lane."""
    limiter = Limiter(50, max_rate=50)
    limiter.lane("urgent", priority=1)
    service = ScriptedService()
    async with Sender(service, limiter=limiter) as sender:

        async def read() -> None:
            async for _ in sender.send_many(messages(200)):
                pass

        reading = asyncio.create_task(read())
        await asyncio.sleep(1.0)
        begun = now()
        await sender.send(in_lane("urgent", "urgent"))
        assert now() - begun <= 0.1 + 1.5 * service.delay
        await reading


@pytest.mark.parametrize(("reserve", "share"), [(None, 0.05), (0.2, 0.2), (0.0, 0.0)])
@on_virtual_time
async def test_a_lane_keeps_its_share_beside_one_that_never_ends(reserve: float | None, share: float) -> None:
    """Whatever goes before it: by default a twentieth, so that none starves."""
    limiter = Limiter(100, max_rate=100)
    limiter.lane("urgent", priority=1)
    limiter.lane("", reserve=reserve)
    service = ScriptedService(delay=0.05)
    async with Sender(service, limiter=limiter) as sender:
        sends = [sender.send(in_lane(f"campaign {number}", None)) for number in range(600)]
        sends += [sender.send(in_lane(f"urgent {number}", "urgent")) for number in range(1200)]
        tasks = [asyncio.create_task(send) for send in sends]
        await asyncio.sleep(10.0)
        went = [str(key).startswith("campaign") for key in service.attempts[10:]]
        assert sum(went) / len(went) == pytest.approx(share, abs=0.01)
        sender.stop()
        await asyncio.wait(tasks)
        for task in tasks:
            task.exception()


@on_virtual_time
async def test_a_lane_that_is_alone_has_the_whole_rate() -> None:
    """A reserve is kept for nobody who does not wait."""
    limiter = Limiter(50, max_rate=50)
    limiter.lane("urgent", priority=1, reserve=0.9)
    async with Sender(ScriptedService(), limiter=limiter) as sender:
        async for _ in sender.send_many(messages(500)):
            pass
    assert now() < 10.5


@on_virtual_time
async def test_a_throttled_message_goes_first_in_its_lane_and_after_the_urgent() -> None:
    """It had its turn before those of its own lane alone."""
    limiter = Limiter(10, max_rate=10)
    limiter.lane("urgent", priority=1)
    order: list[str] = []

    async def go(name: str, lane: str | None, *, front: bool = False) -> None:
        admission = limiter.admit(lane=lane)
        await limiter.enter(admission, front=front)
        order.append(name)
        limiter.settle(admission, Outcome.ACCEPTED)

    await go("first", None)
    tasks = [asyncio.create_task(go("head", None))]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(go("second", None)), asyncio.create_task(go("back", None, front=True))]
    tasks += [asyncio.create_task(go("urgent", "urgent"))]
    await asyncio.gather(*tasks)
    assert order == ["first", "urgent", "back", "head", "second"]


@on_virtual_time
async def test_two_senders_of_one_limiter_are_not_in_each_others_way() -> None:
    """One has no place left for a minute; the other goes on, in the order in which they came."""
    limiter = Limiter(100, max_rate=100)
    slow, quick = ScriptedService(delay=60.0), ScriptedService(delay=0.05)
    async with Sender(slow, limiter=limiter, max_in_flight=1) as first, Sender(quick, limiter=limiter) as second:
        await second.send(message("reached"))
        held = [asyncio.create_task(first.send(message(number))) for number in range(3)]
        await asyncio.sleep(1.0)
        await asyncio.gather(*(second.send(message(number)) for number in range(50)))
        assert now() < 2.5
        first.stop()
        await asyncio.wait(held)
        for task in held:
            task.exception()


@on_virtual_time
async def test_a_lane_that_does_not_exist_is_named() -> None:
    """A slip of the pen is no lane."""
    limiter = Limiter(100)
    with pytest.raises(ConfigurationError, match="there is no lane 'urgnet': make it first"):
        limiter.admit(lane="urgnet")
    async with Sender(ScriptedService(), limiter=limiter) as sender:
        with pytest.raises(ConfigurationError, match="urgnet"):
            await sender.send(message("a"), lane="urgnet")


@pytest.mark.parametrize(("option", "value"), [("reserve", 1.5), ("reserve", -0.1), ("priority", float("nan"))])
def test_a_lane_out_of_range_is_refused(option: str, value: float) -> None:
    """In one sentence that names it."""
    with pytest.raises(ConfigurationError, match=f"{option} is"):
        Limiter(100).lane("urgent", **{option: value})


@pytest.mark.parametrize("seed", range(6))
@on_virtual_time
async def test_cancelled_at_random_in_lanes_strands_nobody(seed: int) -> None:
    """Of 400 sends in three lanes and two senders a half is cancelled: the rest end, and every place is free."""
    rng = random.Random(seed)
    limiter = Limiter(100, max_rate=100)
    limiter.lane("urgent", priority=1)
    limiter.lane("last", priority=-1)
    services = ScriptedService(delay=0.2), ScriptedService(delay=0.05)
    async with (
        Sender(services[0], limiter=limiter, max_in_flight=3) as one,
        Sender(services[1], limiter=limiter, max_in_flight=5) as two,
    ):
        tasks = []
        for number in range(400):
            sending = rng.choice([one, two]).send(message(number), lane=rng.choice([None, "urgent", "last"]))
            tasks.append(asyncio.create_task(sending))
            if number % 40 == 0:
                await asyncio.sleep(rng.uniform(0.0, 0.5))
        for task in rng.sample(tasks, 200):
            asyncio.get_running_loop().call_later(rng.uniform(0.0, 5.0), task.cancel)
        await asyncio.wait(tasks)
        assert limiter.waiting == 0
        begun = now()
        await asyncio.gather(*(sender.send(message("after")) for sender in (one, two) for _ in range(8)))
        assert now() - begun < 3.0
