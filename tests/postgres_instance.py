"""
A real PostgreSQL of our own: a socket in a directory that goes with the tests, no port, nothing shared.

`postgres_url` is what most tests want: the address of an empty database. A test that stops or kills its server makes
one for itself by `PostgresServer`. Needs Debian's package `postgresql`; as root it runs as another user, for PostgreSQL
refuses to be root.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

BINARIES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda path: int(path.parent.name))
if BINARIES is None and (found := shutil.which("pg_ctl")):
    BINARIES = Path(found).parent

MISSING = None if BINARIES else "needs a PostgreSQL: apt-get install postgresql"
"""Why there can be no PostgreSQL here; None where there can."""

SETTINGS = "-c listen_addresses='' -c shared_buffers=32MB -c max_connections=60 -c log_min_messages=fatal"


def _user() -> str | None:
    """Who runs it: whoever we are, but not root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class PostgresServer:
    """
    A PostgreSQL that can be stopped, killed and started again with what it has.

    Args:
        fsync: whether what is committed survives a power failure; without it the tests take half the time, and a killed
            process loses nothing either way.
    """

    def __init__(self, *, fsync: bool = False) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="pg-"))
        self._user = _user()
        self._settings = f"{SETTINGS} -c fsync={'on' if fsync else 'off'} -c unix_socket_directories={self._directory}"
        self._numbers = itertools.count(1)
        if self._user is not None:
            shutil.chown(self._directory, self._user)
        self._directory.chmod(0o755)
        self._run("initdb", "-D", self._data, "-U", "outbox", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")

    @property
    def _data(self) -> str:
        return str(self._directory / "data")

    def __enter__(self) -> PostgresServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Begin, with what it had; returns when it answers."""
        self._run("pg_ctl", "start", "-w", "-D", self._data, "-o", self._settings, "-l", str(self._directory / "log"))

    def stop(self, mode: str = "immediate") -> None:
        """End it: `immediate` as a crash does, `fast` as an administrator."""
        self._run("pg_ctl", "stop", "-w", "-D", self._data, "-m", mode)

    def close(self) -> None:
        """End it for good."""
        if (self._directory / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """Where a database is, for an outbox and for asyncpg."""
        return f"postgresql://outbox@/{database}?host={self._directory}"

    async def new_database(self) -> str:
        """Where a new, empty database is."""
        name = f"outbox_{next(self._numbers)}"
        await self._execute(f"CREATE DATABASE {name} STRATEGY file_copy")
        return self.url(name)

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url())
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def _run(self, program: str, *arguments: str) -> None:
        assert BINARIES is not None
        command = [str(BINARIES / program), *arguments]
        if self._user is not None:
            command = ["setpriv", f"--reuid={self._user}", "--regid=nogroup", "--clear-groups", *command]
        done = subprocess.run(
            command,
            cwd=self._directory,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} ended with {done.returncode}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The worker's PostgreSQL."""
    if MISSING:
        pytest.skip(MISSING)
    with PostgresServer() as server:
        yield server


@pytest.fixture
async def postgres_url(postgres_server: PostgresServer) -> str:
    """Where an empty database is."""
    return await postgres_server.new_database()
