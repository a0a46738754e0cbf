"""
What a campaign loses when something happens in the middle of it: nothing.

Short versions of `benchmarks/outages.py`, with companions as processes.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.listmonk_double import Campaign, Refused, Subscriber, subscribers
from tests.outages import HAPPENINGS, in_mid_campaign, stage

pytestmark = pytest.mark.once


@pytest.mark.parametrize("command", ["relay", "listmonk"])
@pytest.mark.parametrize(("happening", "seconds"), [("service down", 2.0), ("restart", 0.5)])
async def test_nothing_is_lost_in_mid_campaign(command: str, happening: str, seconds: float) -> None:
    """At listmonk's defaults; doubled is at most what was in flight at ten workers."""
    async with stage(command, 30.0) as play:
        found = await in_mid_campaign(play, HAPPENINGS[happening], seconds, 60)
    assert found.lost == 0
    assert found.doubled <= 10


async def test_the_double_goes_on_behind_its_checkpoint() -> None:
    """What failed before it is never posted again, as a real listmonk was measured to do."""
    posted: list[int] = []

    async def push(subscriber: Subscriber) -> None:
        posted.append(subscriber.number)
        await asyncio.sleep(0)
        if 3 <= subscriber.number < 8:
            raise Refused(454, "no")

    campaign = Campaign(concurrency=1, message_rate=1000, max_send_errors=5, batch_size=4)
    paused = await campaign.run(subscribers(12), push)
    assert (paused.status, paused.checkpoint) == ("paused", 2)
    resumed = await campaign.resume(subscribers(12), push, paused)
    assert posted == [*range(8), *range(3, 8)]
    assert resumed.status == "paused"


async def test_without_one_success_the_double_forgets_the_batch() -> None:
    """Resumed, it calls the campaign finished: its checkpoint moved when the batch was fetched."""

    async def push(subscriber: Subscriber) -> None:
        raise Refused(454, "no")

    campaign = Campaign(concurrency=1, message_rate=1000, max_send_errors=3)
    paused = await campaign.run(subscribers(10), push)
    resumed = await campaign.resume(subscribers(10), push, paused)
    assert (paused.checkpoint, resumed.status, resumed.attempted) == (9, "finished", 0)
