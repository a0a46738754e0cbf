"""What keeps an account's ledger, whichever it is: one suite for Redis and for one machine."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import multiprocessing
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from seslimit import ConfigurationError
from seslimit._law.ledger import Ledger
from seslimit._law.parts import SECOND
from seslimit._model.allowance import Grant, Request, Store
from seslimit.shared import HostRate, RedisRate, shared_from_url

from .redis_instance import MISSING, RedisServer

RATE = 100.0
"""Recipients/s of the ledgers here: two slots at once, 10 ms each."""


@pytest.fixture(params=[pytest.param("redis", marks=pytest.mark.once), "host"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty ledger is."""
    return str(request.getfixturevalue("redis_url")) if request.param == "redis" else f"host:{tmp_path}/ledger"


@pytest.fixture
async def store(address: str) -> AsyncIterator[Store]:
    """A store with an empty ledger."""
    store = shared_from_url(address)
    yield store
    await store.aclose()


def asking(member: str = "a", want: int = 1000, **told: Any) -> Request:
    """A request of a process that knows the rate."""
    return attrs.evolve(Request(member=member, want=want, rate=RATE), **told)


async def windows(store: Store, *requests: Request) -> list[tuple[float, float, Grant]]:
    """When the slots of each begin and end, on the store's clock in seconds."""
    found = []
    for request in requests:
        grant = await store.lease(request)
        begin = grant.now + grant.lead
        found.append((begin / SECOND, (begin + grant.slots * grant.slot) / SECOND, grant))
    return found


async def test_slots_follow_one_another_whoever_asks(store: Store) -> None:
    """No slot is given away twice: this is what makes the sum of all processes the rate."""
    found = await windows(store, *(asking(member) for member in "abcabc"))
    for (_, ends, _), (begins, _, _) in itertools.pairwise(found):
        assert begins >= ends - 1e-5
    assert [grant.slots for *_, grant in found] == [2] * 6


async def test_no_more_is_given_than_waits(store: Store) -> None:
    """Slots that nobody uses are lost: https://github.com/PostHog/posthog/pull/64235 burned 13 of 14."""
    assert (await store.lease(asking(want=1))).slots == 1
    assert (await store.lease(asking(want=0))).slots == 0


async def test_what_is_owed_moves_everybody(store: Store) -> None:
    """A message of fifty recipients that had one slot is paid for by the whole fleet."""
    (_, before, _), (begins, *_) = await windows(store, asking("a"), asking("b", owed=49.0))
    assert begins - before >= 49 / RATE - 1e-5


async def test_a_late_request_does_nothing(store: Store) -> None:
    """A frozen server does, when it goes on, what clients asked for that have gone: those slots would be lost."""
    first = await store.lease(asking())
    late = await store.lease(asking(sent=first.now - 0.5 * SECOND))
    assert late.stale
    (
        begins,
        *_,
    ) = (await windows(store, asking()))[0]
    assert begins == pytest.approx((first.now + first.lead + 2 * first.slot) / SECOND, abs=1e-5)


async def test_only_the_first_report_of_a_throttle_counts(store: Store) -> None:
    """Four processes whose messages were throttled by the same emptiness are one event, and one pause."""
    first = await store.lease(asking())
    epochs = [await store.congested(member, 0, "") for member in "abcd"]
    (begins, _, grant) = (await windows(store, asking("e")))[0]
    assert epochs == [1, 1, 1, 1]
    assert grant.epoch == 1
    assert begins >= (first.now / SECOND) + 3 / RATE
    assert grant.lead <= 3 / RATE * SECOND


async def test_one_leads_and_hears_what_all_told(store: Store) -> None:
    """One law for all: what became of everybody's messages reaches it once."""
    leader = await store.lease(asking("a", log="a 1 1"))
    follower = await store.lease(asking("b", log="+ 1 5 6"))
    await store.congested("c", 9, "- 1 5 6 0")
    heard = await store.lease(asking("a"))
    assert (leader.term, leader.log) == (1, "a 1 1")
    assert (follower.term, follower.log) == (0, "")
    assert heard.log == "+ 1 5 6\n- 1 5 6 0"
    assert (await store.lease(asking("a"))).log == ""


async def test_the_pace_is_the_leaders(store: Store) -> None:
    """And what others believe changes nothing."""
    await store.lease(asking("a"))
    await store.lease(asking("b", rate=7.0, limit=7.0))
    await store.lease(asking("a", term=1, rate=50.0, limit=50.0, estimate=49.0))
    grant = await store.lease(asking("b", rate=7.0))
    assert (grant.rate, grant.limit, grant.estimate, grant.slot) == (50.0, 50.0, 49.0, SECOND / 50)


async def test_another_leads_when_the_leader_is_silent(store: Store) -> None:
    """And what the former leader says when it comes back is not heard."""
    await store.lease(asking("a"))
    await asyncio.sleep(0.35)
    assert (await store.lease(asking("b"))).term == 2
    back = await store.lease(asking("a", term=1, rate=1000.0))
    assert (back.term, back.rate) == (0, RATE)


async def test_the_leaders_pause_holds_for_all(store: Store) -> None:
    """Nobody goes for so long; where it is long, nothing is given away ahead, for it may end early."""
    await store.lease(asking("a"))
    told = await store.lease(asking("a", want=0, term=1, hold=0.08 * SECOND))
    (begins, *_) = (await windows(store, asking("b")))[0]
    assert begins >= told.now / SECOND + 0.08 - 1e-5
    await store.lease(asking("a", want=0, term=1, hold=5.0 * SECOND))
    assert (await store.lease(asking("b"))).slots == 0


async def test_one_message_at_a_time_finds_out(store: Store) -> None:
    """Where the service takes nothing, one process sends one message, and the others wait for what becomes of it."""
    await store.lease(asking("a"))
    first = await store.lease(asking("a", term=1, single=True))
    assert (first.slots, (await store.lease(asking("b"))).slots) == (1, 0)


async def test_what_is_urgent_goes_before_what_is_given_away(store: Store) -> None:
    """A lane of a higher priority does not wait behind other processes' campaigns; what they have is paid later."""
    requests = [asking(member) for member in "abc"] + [asking("d", want=1, urgent=True), asking("a")]
    *_, (_, given_away, _), (begins, _, grant), (after, *_) = await windows(store, *requests)
    assert begins == pytest.approx(grant.now / SECOND, abs=1e-5)
    assert after == pytest.approx(given_away + 1 / RATE, abs=1e-5)


async def test_urgent_requests_do_not_push_the_others_away_for_good(store: Store) -> None:
    """At most two slots, or a tenth of a second, go before what was there."""
    grants = [await store.lease(asking(member, rate=1.0, urgent=member == "d")) for member in "adddd"]
    assert grants[1].lead <= 1.0
    assert grants[-1].lead > 1.5 * SECOND


async def test_figures_are_asked_for_by_one(store: Store) -> None:
    """GetAccount is rationed (1/s for the whole account): one asks, and tells the others."""
    asked = [(await store.lease(asking(member, asks=True))).ask_in for member in "abc"]
    assert asked == [0.0, 1.0, 1.0]
    await store.lease(asking("a", quota='{"x":1}', cap=14.0))
    told = await store.lease(asking("b", asks=True))
    assert (told.quota, told.cap) == ('{"x":1}', 14.0)
    assert 270 < told.ask_in <= 280
    assert (await store.lease(asking("b", quota_at=told.quota_at))).quota == ""


async def test_an_empty_ledger_begins_with_what_the_first_one_knows(store: Store) -> None:
    """After a restart nobody has to find the rate again, and no slot is given away for the time before."""
    grant = await store.lease(asking("a", rate=42.0, limit=43.0, estimate=41.0, epoch=7, term=3))
    assert (grant.fresh, grant.rate, grant.limit, grant.epoch, grant.term) == (True, 42.0, 43.0, 7, 4)
    assert grant.lead == pytest.approx(0.0, abs=10)


async def test_the_hungry_are_counted(store: Store) -> None:
    """So each knows how long a round is in which everybody has its turn."""
    counts = [(await store.lease(asking(member, hungry=member != "c"))).hungry for member in "abc"]
    assert counts == [1, 2, 2]
    assert (await store.lease(asking("a"))).hungry == 1


async def test_a_ceiling_binds_all_and_is_gone_when_it_is_not_told(store: Store) -> None:
    """A guard or a warm-up slows the account, not the process that it is in; the lowest counts."""
    both = [await store.lease(asking(member, most=most)) for member, most in (("a", 20.0), ("b", 30.0))]
    other = await store.lease(asking("c"))
    assert [(grant.most, round(grant.slot)) for grant in (*both, other)] == [(20.0, 50_000)] * 3
    await store.lease(asking("a", want=0))
    assert (await store.lease(asking("c"))).most == 30.0


async def test_a_part_is_told_and_kept_for_who_is_not_heard(store: Store) -> None:
    """Together with what goes on alone, what is given away is not above the rate."""
    parts = [(await store.lease(asking("a"))).part, (await store.lease(asking("b"))).part]
    parts += [(await store.lease(asking("a", part=1.0))).part, (await store.lease(asking("a", part=0.5))).part]
    assert parts == [1.0, 0.0, 0.5, 0.5]
    assert (await store.lease(asking("b"))).part == 0.5
    await asyncio.sleep(0.16)
    grant = await store.lease(asking("b", part=0.5))
    assert (grant.silent, grant.alive, round(grant.slot)) == ("a", 2, round(SECOND / 55.0))
    assert (await store.lease(asking("b", part=0.5, gone="a"))).slot == SECOND / RATE


async def test_accounts_are_apart(address: str) -> None:
    """One Redis, or one name, for two accounts."""
    one, two = (shared_from_url(address, account=name) for name in ("one", "two"))
    await one.lease(asking("a", rate=1.0))
    assert (await two.lease(asking("a", rate=2.0))).rate == 2.0
    await one.aclose()
    await two.aclose()


def _ask(address: str, number: int, answers: multiprocessing.Queue[list[tuple[float, float]]]) -> None:
    async def ask() -> list[tuple[float, float]]:
        store = shared_from_url(address)
        found: list[tuple[float, float]] = []
        while len(found) < 50:
            with contextlib.suppress(OSError):  # on a busy machine somebody holds the lock for longer than one waits
                found += [window[:2] for window in await windows(store, asking(str(number)))]
        await store.aclose()
        return found

    answers.put(asyncio.run(ask()))


def test_processes_do_not_get_each_others_slots(address: str) -> None:
    """Two hundred leases of four processes at once."""
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.Queue[list[tuple[float, float]]] = context.Queue()
    processes = [context.Process(target=_ask, args=(address, number, answers)) for number in range(4)]
    for process in processes:
        process.start()
    found = sorted(window for _ in processes for window in answers.get(timeout=30))
    for process in processes:
        process.join()
    assert len(found) == 200
    assert all(ends <= begins + 1e-5 for (_, ends), (begins, _) in itertools.pairwise(found))


@pytest.mark.parametrize("seed", range(3))
async def test_redis_decides_as_the_ledger_does(redis_url: str, seed: int) -> None:
    """The script and `Ledger` are two forms of the same rules: one is asked what the other was."""
    rng, ledger, store = random.Random(seed), Ledger(), RedisRate(redis_url)
    for _ in range(150):
        if rng.random() < 0.1:
            epoch = rng.choice([ledger.epoch, ledger.epoch - 1])
            await store.congested("x", epoch, "- 1 2 3 0")
            # What it holds for begins at its own now, which it does not tell: let the leader end it.
            ledger.congested(ledger.seen, epoch, "- 1 2 3 0")
            request = Request(
                member=ledger.leader, term=ledger.term, epoch=ledger.epoch, rate=ledger.rate or 1.0, limit=ledger.limit
            )
        else:
            request = Request(
                member=rng.choice("abc"),
                want=rng.choice([0, 1, 5, 1000]),
                owed=rng.choice([0.0, 0.0, 12.5]),
                most=rng.choice([0.0, 30.0]),
                urgent=rng.random() < 0.2,
                hungry=rng.random() < 0.5,
                span=rng.choice([0.0, 50_000.0, 1e6]),
                log=rng.choice(["", "a 1 1", "+ 1 2 3;a 1 0"]),
                term=rng.choice([0, ledger.term]),
                epoch=ledger.epoch,
                rate=rng.choice([14.0, 100.0, 2000.0]),
                limit=rng.choice([0.0, 90.0]),
                hold=rng.choice([0.0, 20_000.0, 300_000.0]),
                single=rng.random() < 0.1,
                cap=rng.choice([0.0, 100.0]),
                quota=rng.choice(["", "", "{}"]),
                quota_at=rng.choice([0.0, 1e18]),
                asks=rng.random() < 0.2,
                rests=rng.choice(["", "", '{"held: a guard": null}']),
                part=rng.choice([0.0, 0.0, 0.25, 0.5]),
                sends=rng.random() < 0.8,
                gone=rng.choice(["", "", "", "a", "b c"]),
            )
        if rng.random() < 0.05:  # the others are silent for once
            await asyncio.sleep(0.16)
        grant = await store.lease(request)
        expected = ledger.lease(grant.now, request)
        for name, value in attrs.asdict(expected).items():
            if isinstance(value, float):
                assert getattr(grant, name) == pytest.approx(value, rel=1e-9, abs=0.1), name
            else:
                assert getattr(grant, name) == value, name
    await store.aclose()


def test_a_clock_that_is_set_back_moves_what_is_given_away() -> None:
    """An hour back, after NTP or a failover: nobody waits an hour."""
    ledger = Ledger()
    ledger.lease(7200 * SECOND, asking())
    grant = ledger.lease(3600 * SECOND, asking())
    assert grant.lead == pytest.approx(20_000)


@pytest.mark.skipif(MISSING is not None, reason=MISSING or "")
async def test_a_redis_that_is_gone_is_told_at_once() -> None:
    """No retries: redis-py's own would block for seconds."""
    with RedisServer() as server:
        store = RedisRate(server.url)
        await store.lease(asking())
        server.kill()
        begun = time.monotonic()
        with pytest.raises(ConnectionError):
            await store.lease(asking())
        assert time.monotonic() - begun < 1.0
        server.start()
        assert (await store.lease(asking())).fresh
        await store.aclose()


async def test_a_host_ledger_that_is_damaged_is_an_empty_one(tmp_path: Path) -> None:
    """A machine that lost power in the middle of a write: sending goes on."""
    (tmp_path / "ledger").write_bytes(b"         512{not what it was")
    assert (await HostRate(f"{tmp_path}/ledger").lease(asking())).fresh


async def test_a_host_ledger_that_somebody_holds_is_out_of_reach(tmp_path: Path) -> None:
    """A process that was stopped with the lock in its hand must not stop the others."""
    import fcntl

    store = HostRate(f"{tmp_path}/ledger")
    await store.lease(asking())
    with (tmp_path / "ledger").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError):
            await store.lease(asking())
    assert (await store.lease(asking())).slots


@pytest.mark.parametrize("url", ["http://host", "mail", "host:a b", "host:", "redis://[", "file:name"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """When it is given, not at the first message."""
    with pytest.raises(ConfigurationError):
        shared_from_url(url)


@pytest.mark.parametrize("account", ["", "a{b}", "a b"])
def test_an_account_that_would_break_the_keys_is_refused(account: str) -> None:
    """Braces decide which keys of a cluster are kept together."""
    with pytest.raises(ConfigurationError):
        RedisRate("redis://localhost", account=account)


async def test_the_keys_of_an_account_are_in_one_hash_slot_and_expire(
    redis_url: str, redis_server: RedisServer
) -> None:
    """A cluster keeps them together; an account that nobody sends for is forgotten."""
    from redis.asyncio import Redis

    store = RedisRate(redis_url, account="123:eu-west-1")
    await store.lease(asking(log="a 1 1", hungry=True))
    client = Redis.from_url(redis_url)
    keys = sorted([key.decode() async for key in client.scan_iter()])
    assert keys == [f"seslimit:{{123:eu-west-1}}:{name}" for name in ("hungry", "kept", "ledger", "members", "parts")]
    assert all([0 < await client.ttl(key) <= 2 * 86_400 for key in keys])
    await client.aclose()
    await store.aclose()
