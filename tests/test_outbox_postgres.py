"""An outbox in PostgreSQL: the caller's transactions, workers beside one another, and a server that goes and comes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from seslimit.outbox import JournalError, JournalUnavailable, KeyReused, Outbox, Queued, State
from seslimit.outbox._opening import behind
from tests.outbox_engines import accepted, message
from tests.postgres_instance import PostgresServer

pytestmark = pytest.mark.once

T = TypeVar("T")


def driver(url: str) -> str:
    """The same database, for SQLAlchemy."""
    return url.replace("://", "+asyncpg://")


@pytest.mark.parametrize("commits", [True, False])
async def test_messages_are_there_if_the_callers_transaction_is_committed(postgres_url: str, commits: bool) -> None:
    """And only if; on a connection of the caller's own engine."""
    async with Outbox(postgres_url) as outbox:
        engine = create_async_engine(driver(postgres_url))
        async with engine.connect() as connection:
            await connection.exec_driver_sql("CREATE TABLE orders (id INTEGER)")
            assert await outbox.add([message("a"), message("b")], connection=connection) == 2
            assert await outbox.add([message("a")], connection=connection) == 0
            with pytest.raises(KeyReused):
                await outbox.add([message("a", "other@example.com")], connection=connection)
            await connection.exec_driver_sql("INSERT INTO orders VALUES (1)")
            await (connection.commit() if commits else connection.rollback())
        await engine.dispose()
        assert await outbox.queued() == (2 if commits else 0)


@pytest.mark.parametrize(("commits", "new"), [(True, 0), (False, 1)])
async def test_a_message_that_another_is_adding_is_waited_for(postgres_url: str, commits: bool, new: int) -> None:
    """It is known once the other has committed, and new where he has not."""
    async with Outbox(postgres_url) as outbox:
        engine = create_async_engine(driver(postgres_url))
        async with engine.connect() as connection:
            await outbox.add([message("a")], connection=connection)
            adding = asyncio.create_task(outbox.add([message("a"), message("b")]))
            await asyncio.sleep(0.1)
            assert not adding.done()
            await (connection.commit() if commits else connection.rollback())
        assert await adding == new + 1
        await engine.dispose()
        assert await outbox.queued() == 2


async def test_a_key_that_another_is_adding_for_another_message_is_refused(postgres_url: str) -> None:
    """Found out when he commits, in a transaction that both want; nothing of the call is added."""
    async with Outbox(postgres_url) as outbox:
        engine = create_async_engine(driver(postgres_url))
        async with engine.connect() as connection:
            await outbox.add([message("a", "other@example.com")], connection=connection)
            adding = asyncio.create_task(outbox.add([message("b"), message("a")]))
            await asyncio.sleep(0.1)
            await connection.commit()
        with pytest.raises(KeyReused):
            await adding
        await engine.dispose()
        assert await outbox.queued() == 1


async def test_workers_share_what_is_due(postgres_url: str) -> None:
    """Each message goes to one of four that drain at the same time, and is handed over once."""
    handed_over: Counter[object] = Counter()
    outboxes = [Outbox(postgres_url) for _ in range(4)]
    await outboxes[0].add([message(key) for key in range(400)])
    await asyncio.gather(*(drain(outbox, handed_over) for outbox in outboxes))
    assert handed_over == dict.fromkeys(range(400), 1)
    assert (await outboxes[0].status())[State.ACCEPTED].messages == 400
    for outbox in outboxes:
        await outbox.aclose()


async def drain(outbox: Outbox, handed_over: Counter[object]) -> None:
    """Send all that is due, waiting out what passes."""

    async def send(queued: Queued) -> None:
        await whenever(outbox, lambda: outbox.begins(queued))
        handed_over[queued.message.key] += 1
        await whenever(outbox, lambda: outbox.ends(queued, accepted(queued, time.time())))

    while claimed := await whenever(outbox, lambda: outbox.claim(20)):
        await asyncio.gather(*map(send, claimed))


async def whenever(outbox: Outbox, call: Callable[[], Awaitable[T]]) -> T:
    """What a call returns, as soon as the outbox answers."""
    while True:
        try:
            return await call()
        except JournalUnavailable:
            await asyncio.sleep(0.1)


async def test_a_server_that_is_killed_and_comes_back_loses_nothing(postgres_server: PostgresServer) -> None:
    """In the middle of a run, twice: all is sent once, since what was committed is found to be."""
    url = await postgres_server.new_database()
    handed_over: Counter[object] = Counter()
    async with Outbox(url, patience=0.2) as outbox:
        await outbox.add([message(key) for key in range(600)])
        draining = asyncio.create_task(drain(outbox, handed_over))
        for _ in range(2):
            await asyncio.sleep(0.2)
            await asyncio.to_thread(postgres_server.stop)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(postgres_server.start)
        await draining
        assert handed_over == dict.fromkeys(range(600), 1)
        assert (await whenever(outbox, outbox.status))[State.ACCEPTED].messages == 600


async def test_a_server_that_is_away_is_said_to_be(postgres_server: PostgresServer) -> None:
    """As what passes by itself; the outbox that saw it go works when it is there again."""
    url = await postgres_server.new_database()
    async with Outbox(url, patience=0) as outbox:
        await outbox.add([message("a")])
        (queued,) = await outbox.claim(1)
        await asyncio.to_thread(postgres_server.stop)
        try:
            with pytest.raises(JournalUnavailable, match="does not answer"):
                await outbox.begins(queued)
            with pytest.raises(JournalUnavailable):
                await outbox.check()
            with pytest.raises(JournalUnavailable):
                await outbox.queued()
        finally:
            await asyncio.to_thread(postgres_server.start)
        await whenever(outbox, outbox.check)
        await outbox.begins(queued)


async def test_a_database_that_is_not_there(postgres_server: PostgresServer) -> None:
    """It will not come by itself."""
    with pytest.raises(JournalError, match="nowhere") as error:
        await Outbox(postgres_server.url("nowhere")).open()
    assert not isinstance(error.value, JournalUnavailable)


async def test_what_a_claim_did_unheard_is_given_back(postgres_url: str) -> None:
    """The server committed it, and the connection was cut: nobody knows of the lease, and nobody else would get it."""
    async with Outbox(postgres_url) as outbox:
        await outbox.add([message("a"), message("b")])
        await outbox.claim(1)
        outbox._leases._held.clear()
        outbox._leases._in_doubt()
        claimed = await outbox.claim(2)
        assert [each.message.key for each in claimed] == ["a", "b"]


class SlowServer:
    """A server whose clock is 5 s ahead, and whose first answer is on its way for 3 s."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._ways = [(0.0, 3.0), (0.25, 0.25), (2.0, 0.0), (1.0, 1.0), (0.0, 1.5)]

    def clock(self) -> float:
        """Of this machine."""
        return self.now

    def exec_driver_sql(self, _: str) -> SlowServer:
        """Asked for the moment."""
        there, back = self._ways.pop(0)
        self.now += there
        self._answer = self.now + 5.0
        self.now += back
        return self

    def scalar_one(self) -> float:
        """The answer."""
        return self._answer


def test_a_server_that_is_slow_to_answer_does_not_set_the_clock() -> None:
    """Otherwise a process that opens the outbox on a busy server is taken for dead by the others, seconds too early."""
    server = SlowServer()
    assert behind(server, server.clock) == 5.0  # type: ignore[arg-type]
