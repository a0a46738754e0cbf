"""An outbox in a SQLite file when the file, its disk or the process fails: said in a sentence, and nothing lost."""

# ruff: noqa: ASYNC240 - small files, in tests that do nothing else meanwhile

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from seslimit import ConfigurationError, Outcome
from seslimit.outbox import Filter, JournalError, JournalUnavailable, Outbox, Queued, State
from seslimit.outbox._schema import MIGRATIONS, metadata, migrate
from tests.outbox_engines import accepted, message

CHILD = Path(__file__).with_name("outbox_process.py")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the outbox is."""
    return tmp_path / "mail.db"


async def filled(path: Path, count: int = 300) -> bytes:
    """An outbox with messages, closed; what is in its file."""
    async with Outbox(path) as outbox:
        await outbox.add([message(key, content=b"\r\n%d" % key) for key in range(count)])
    return path.read_bytes()


async def refused(path: Path) -> str:
    """The sentence with which an outbox is not opened."""
    with pytest.raises(JournalError) as error:
        async with Outbox(path):
            pass
    return str(error.value)


# Damage


@pytest.mark.parametrize(
    ("at", "bytes_"),
    [(0, b"SQLite format 9\0"), (100, b"\xff" * 64), (8 * 4096, b"\x5a" * 4096), (0, b"To: somebody\n" * 40)],
    ids=["header", "definitions", "a page", "another file"],
)
async def test_a_damaged_file_is_refused_and_left_as_it_is(path: Path, at: int, bytes_: bytes) -> None:
    """With what to do; nothing new is begun in its place."""
    damaged = bytearray(await filled(path))
    damaged[at : at + len(bytes_)] = bytes_
    path.write_bytes(damaged)
    assert "is damaged" in await refused(path)
    assert path.read_bytes() == damaged


async def test_no_new_file_where_one_is_gone(path: Path) -> None:
    """What lies beside it shows that there was one."""
    await filled(path)
    path.unlink()
    assert "is gone or empty" in await refused(path)
    path.touch()
    assert "is gone or empty" in await refused(path)
    assert path.stat().st_size == 0


@pytest.mark.parametrize("replaced", [False, True])
async def test_nothing_is_handed_over_once_the_file_is_gone(path: Path, replaced: bool) -> None:
    """SQLite would write on, into a file that nobody finds any more."""
    async with Outbox(path) as outbox:
        await outbox.add([message("a")])
        (queued,) = await outbox.claim(1)
        path.rename(path.with_suffix(".moved"))
        if replaced:
            path.touch()
        with pytest.raises(JournalError, match=r"gone|replaced") as error:
            await outbox.begins(queued)
        assert not isinstance(error.value, JournalUnavailable)


async def test_a_look_makes_no_file_where_one_was_removed(path: Path) -> None:
    """An empty one would say that nothing is left to send."""
    async with Outbox(path) as outbox:
        await outbox.add([message("a")])
        path.unlink()
        with pytest.raises(JournalError, match="is gone"):
            await outbox.queued()
        assert not path.exists()


async def test_what_went_into_a_file_that_was_removed_meanwhile_is_not_said_to_be_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction was committed, into a file that nobody finds any more."""
    async with Outbox(path) as outbox:
        write = outbox._database.engine.write

        async def removed_meanwhile(work: Any) -> Any:
            result = await write(work)
            path.unlink()
            return result

        monkeypatch.setattr(outbox._database.engine, "write", removed_meanwhile)
        with pytest.raises(JournalError, match="is gone"):
            await outbox.add([message("a")])


@pytest.mark.parametrize("left", [None, b""], ids=["none", "empty"])
async def test_an_outbox_that_is_only_looked_at_is_not_made(path: Path, left: bytes | None) -> None:
    """A wrong name is said to be one; nothing is written."""
    if left is not None:
        path.write_bytes(left)
    with pytest.raises(ConfigurationError, match="is not there"):
        await Outbox(path, create=False).open()
    assert [each.name for each in path.parent.iterdir()] == ([] if left is None else [path.name])
    assert not path.exists() or path.stat().st_size == 0


async def test_anothers_database_is_not_made_an_outbox_by_a_look(path: Path) -> None:
    """Its tables stay as they are."""
    with contextlib.closing(sqlite3.connect(path)) as own:
        own.execute("CREATE TABLE orders (id INTEGER)")
        own.commit()
    with pytest.raises(ConfigurationError, match="holds no outbox"):
        await Outbox(path, create=False).open()
    with contextlib.closing(sqlite3.connect(path)) as own:
        assert own.execute("SELECT name FROM sqlite_master").fetchall() == [("orders",)]


async def test_one_that_is_there_is_opened_without_leave_to_make_one(path: Path) -> None:
    """What is in it is found."""
    await filled(path, 3)
    async with Outbox(path, create=False) as outbox:
        assert await outbox.queued() == 3


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://host/db", "cannot be kept in mysql"),
        ("sqlite://", "MemoryOutbox"),
        ("sqlite:///:memory:", "MemoryOutbox"),
        ("://", "no URL"),
    ],
)
def test_what_is_no_outbox_is_refused(url: str, words: str) -> None:
    """Before anything is opened."""
    with pytest.raises(ConfigurationError, match=words):
        Outbox(url)


def test_a_password_is_not_shown() -> None:
    """Not in the name that is in sentences and logs."""
    assert "secret" not in repr(Outbox("postgresql://user:secret@localhost/db"))


async def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """A sentence, and no directory is made."""
    assert "there is no directory" in await refused(tmp_path / "none" / "mail.db")


# Versions of the tables


async def test_a_newer_version_is_refused(path: Path) -> None:
    """With the sentence that says what to install."""
    await filled(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE seslimit_schema SET version = 99")
        connection.commit()
    assert "version 99" in await refused(path)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.once)])
async def connection(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[AsyncConnection]:
    """A new database of each kind; to be used inside `run_sync`."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{path}"
    else:
        url = (await request.getfixturevalue("postgres_server").new_database()).replace("://", "+asyncpg://")
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        yield connection
    await engine.dispose()


async def test_the_migrations_make_the_tables_that_the_code_knows(connection: AsyncConnection) -> None:
    """Columns, whether they may be missing, and indexes: the statements never change, and what is known must fit."""

    def look(sync: sa.Connection) -> None:
        migrate(sync)
        found = sa.inspect(sync)
        for table in metadata.sorted_tables:
            columns = {column["name"]: column["nullable"] for column in found.get_columns(table.name)}
            assert columns == {column.name: column.nullable for column in table.columns}
            indexes = {index["name"] for index in found.get_indexes(table.name) if not index["unique"]}
            assert indexes == {index.name for index in table.indexes}
            primary = found.get_pk_constraint(table.name)["constrained_columns"]
            assert primary == [column.name for column in table.primary_key.columns]

    await connection.run_sync(look)


async def test_migrations_go_forward_each_once(connection: AsyncConnection) -> None:
    """From whatever version a database has; what is in it stays."""
    second = ("ALTER TABLE seslimit_owners ADD COLUMN host TEXT",)
    third = ("ALTER TABLE seslimit_owners ADD COLUMN process INTEGER", "DELETE FROM seslimit_days")

    def go(sync: sa.Connection) -> None:
        assert migrate(sync) == 0
        assert migrate(sync) == len(MIGRATIONS)
        sync.exec_driver_sql("INSERT INTO seslimit_owners VALUES ('a', 1)")
        assert migrate(sync, [*MIGRATIONS, second]) == len(MIGRATIONS)
        assert migrate(sync, [*MIGRATIONS, second, third]) == len(MIGRATIONS) + 1
        assert migrate(sync, [*MIGRATIONS, second, third]) == len(MIGRATIONS) + 2
        assert sync.exec_driver_sql("SELECT * FROM seslimit_owners").all() == [("a", 1, None, None)]
        with pytest.raises(JournalError, match="newer"):
            migrate(sync)

    await connection.run_sync(go)


async def test_many_open_a_new_outbox_at_once(path: Path) -> None:
    """One makes the tables, and all can use them."""
    outboxes = [Outbox(path, patience=10) for _ in range(5)]
    await asyncio.gather(*(outbox.open() for outbox in outboxes))
    assert sum([await outbox.add([message("a")]) for outbox in outboxes]) == 1
    for outbox in outboxes:
        await outbox.aclose()


async def test_an_outbox_is_at_home_among_other_tables(path: Path) -> None:
    """The application's own database."""
    with contextlib.closing(sqlite3.connect(path)) as own:
        own.execute("CREATE TABLE orders (id INTEGER)")
        own.commit()
    await filled(path)
    with contextlib.closing(sqlite3.connect(path)) as own:
        assert own.execute("SELECT count(*) FROM orders").fetchone() == (0,)


async def test_what_is_forgotten_gives_its_space_back(path: Path) -> None:
    """To the disk, and contents that no message has any more with it."""
    async with Outbox(path) as outbox:
        await outbox.add([message(key, content=b"\r\n%d" % key * 1000) for key in range(300)])
        await outbox.add([message("stays", content=b"\r\nstays")])
        await outbox.cancel(Filter(recipient="reader@example.com", until=time.time() + 1))
        await outbox.retry(Filter(key="stays"))
        assert await outbox.purge(time.time() + 1) == 300
        (queued,) = await outbox.claim(2)
        assert queued.message.content == b"\r\nstays"
    assert path.stat().st_size < 150_000


async def test_a_locked_file_can_be_looked_at(path: Path) -> None:
    """`status` writes nothing where the tables are those that are known."""
    await filled(path, 3)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with Outbox(path, patience=0) as outbox:
            assert (await outbox.status())[State.QUEUED].messages == 3


# The caller's own transaction


@pytest.mark.parametrize("commits", [True, False])
async def test_messages_are_there_if_the_callers_transaction_is_committed(path: Path, commits: bool) -> None:
    """And only if; on a connection of the caller's own engine."""
    async with Outbox(path) as outbox:
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
        async with engine.connect() as connection:
            await connection.exec_driver_sql("CREATE TABLE orders (id INTEGER)")
            assert await outbox.add([message("a"), message("b")], connection=connection) == 2
            assert await outbox.add([message("a")], connection=connection) == 0
            await (connection.commit() if commits else connection.rollback())
        await engine.dispose()
        assert await outbox.queued() == (2 if commits else 0)


@pytest.mark.parametrize("commits", [True, False])
async def test_the_callers_transaction_begins_with_the_addition_where_it_has_not(path: Path, commits: bool) -> None:
    """As SQLAlchemy's "begin as you go" has it: whatever is executed first begins what `commit` commits."""
    async with Outbox(path) as outbox:
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
        async with engine.connect() as connection:
            assert await outbox.add([message("a")], connection=connection) == 1
            await (connection.commit() if commits else connection.rollback())
        await engine.dispose()
        assert await outbox.queued() == (1 if commits else 0)


async def test_messages_are_added_on_a_synchronous_connection(path: Path) -> None:
    """For callers whose other tables are written without asyncio."""
    async with Outbox(path) as outbox:
        engine = sa.create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            assert await outbox.add([message("a")], connection=connection) == 1
        engine.dispose()
        assert await outbox.queued() == 1


# A lock


async def test_a_locked_file_stops_nothing_but_what_is_written(path: Path) -> None:
    """The event loop goes on, what cannot be recorded is said, and what can wait so long waits."""
    async with Outbox(path, patience=0.2) as outbox:
        await outbox.add([message("a"), message("b")])
        one, two = await outbox.claim(2)
        lags: list[float] = []
        ticker = asyncio.create_task(_tick(lags))
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalUnavailable, match="locked by another program"):
                await outbox.begins(one)
            assert await outbox.queued() == 0  # reading goes on
            waits = asyncio.create_task(outbox.begins(two))
            await asyncio.sleep(0.05)
            other.execute("ROLLBACK")
        await waits
        await outbox.begins(one)
        ticker.cancel()
        assert sorted(lags)[len(lags) // 2] < 0.05


async def _tick(lags: list[float]) -> None:
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(0.005)
        lags.append(time.perf_counter() - begun - 0.005)


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs Linux and root: it mounts a disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


async def test_on_a_full_disk_results_are_recorded_and_nothing_more_is_sent(small_disk: Path) -> None:
    """From the space that was kept for them; when there is some again, all goes on."""
    path, ballast = small_disk / "mail.db", small_disk / "ballast"
    outbox = Outbox(path, patience=0)
    await outbox.open()
    await outbox.add([message(key) for key in range(400)])
    under_way = await outbox.claim(100)
    waiting = await outbox.claim(50)
    await asyncio.gather(*map(outbox.begins, under_way))
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 1024)
    with pytest.raises(JournalUnavailable, match="is full"):
        await _begin_all(outbox, waiting)  # sooner or later: the log has a few pages left
    with pytest.raises(JournalUnavailable):
        await outbox.check()
    with pytest.raises(JournalUnavailable):
        await outbox.add([message("more", content=b"\r\nmore")])
    for queued in under_way:  # one by one, which takes the most space
        await outbox.ends(queued, accepted(queued, time.time()))
    assert (await outbox.status())[State.ACCEPTED].messages == 100
    ballast.unlink()
    await outbox.check()
    await outbox.begins(waiting[-1])
    await outbox.ends(waiting[-1], accepted(waiting[-1], time.time()))
    await outbox.aclose()
    async with Outbox(path) as again:
        assert (await again.status())[State.ACCEPTED].messages == 101


async def _begin_all(outbox: Outbox, waiting: Sequence[Queued]) -> None:
    for queued in waiting:
        await outbox.begins(queued)


# A process that is killed


async def drained(path: Path) -> dict[object, Outcome | None]:
    """What is due now, and what the last attempt of each meant."""
    async with Outbox(path) as outbox:
        return {queued.message.key: queued.history.outcome for queued in await outbox.claim(1000)}


def child(path: Path, *, kill_after: float) -> dict[str, set[int]]:
    """Let a process drain the outbox until it is killed; what it was told: claimed, begun, ended."""
    process = subprocess.Popen([sys.executable, "-P", str(CHILD), str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(kill_after)
    process.send_signal(signal.SIGKILL)
    told: dict[str, set[int]] = {"begun": set(), "ended": set()}
    for line in process.stdout:
        with contextlib.suppress(ValueError):  # the last line may be cut off
            word, key = json.loads(line)
            told[word].add(key)
    process.wait()
    process.stdout.close()
    return told


async def test_a_killed_process_loses_nothing_and_keeps_nobody_waiting(path: Path) -> None:
    """What it was told is recorded is; what it had leased is due at once, without waiting for the lease to run out."""
    await filled(path, 1000)
    randomly = random.Random(0)
    ended: set[int] = set()
    for _ in range(5):
        told = await asyncio.to_thread(child, path, kill_after=randomly.uniform(0.0, 0.15))
        assert not ended & told["begun"]
        ended |= told["ended"]
        due = await drained(path)
        assert not ended & due.keys()
        async with Outbox(path) as outbox:
            recorded = {row.key async for row in outbox.rows() if row.outcome is State.ACCEPTED}
        assert ended <= recorded
        assert recorded | due.keys() == set(range(1000))
        in_doubt = told["begun"] - recorded
        assert {due[key] for key in in_doubt} <= {Outcome.UNKNOWN}


async def test_a_look_that_is_cancelled_leaves_no_connection_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whichever turn of the loop, while it connects too."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def kept(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        opened.append(connect(*args, **kwargs | {"check_same_thread": False}))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", kept)
    async with Outbox(tmp_path / "mail.db") as outbox:
        for turns in range(12):
            look = asyncio.create_task(outbox.queued())
            for _ in range(turns):
                await asyncio.sleep(0)
            look.cancel()
            await asyncio.wait([look])
    assert len(opened) >= 2
    for each in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
            each.execute("SELECT 1")
