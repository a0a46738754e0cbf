"""
A real Redis of our own: a free port on loopback, nothing on disk, gone with the tests.

`redis_url` is what most tests want: the address of an empty server, one for each worker of the suite. A test that
freezes, ends or restarts its server makes one for itself by `RedisServer`. Needs `redis-server` or `valkey-server`.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

BINARY = shutil.which("redis-server") or shutil.which("valkey-server")

MISSING = None if BINARY else "needs a Redis: apt-get install redis-server"
"""Why there can be no Redis here; None where there can."""

BEGINS_WITHIN = 60.0
"""Seconds until it answers."""

ENDS_WITHIN = 30.0
"""Seconds until it has ended, before it is killed."""


class RedisServer:
    """
    A Redis that can be frozen, ended and restarted.

    As a context manager it runs until the end of the block. It keeps its port from one start to the next.
    """

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._directory = Path(tempfile.mkdtemp(prefix="seslimit-redis-"))

    @property
    def url(self) -> str:
        """Where it is, for any client."""
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Begin, with nothing in it; returns when it answers."""
        assert BINARY is not None
        self._process = subprocess.Popen(
            [
                *(BINARY, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory)),
                *("--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0", "--loglevel", "warning"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ends = time.monotonic() + BEGINS_WITHIN
        while time.monotonic() < ends:
            with contextlib.suppress(OSError):
                if self.command("PING") == "+PONG":
                    return
            time.sleep(0.02)
        self.close()
        raise RuntimeError("redis-server does not answer")

    def command(self, *words: str) -> str:
        """One command; returns the first line of its answer, for tests that have no client at hand."""
        line = b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words)
        with socket.create_connection(("127.0.0.1", self.port), timeout=BEGINS_WITHIN) as connection:
            connection.sendall(b"*%d\r\n%s" % (len(words), line))
            return connection.makefile("rb").readline().decode().strip()

    def info(self, section: str) -> str:
        """What it tells of itself."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=BEGINS_WITHIN) as connection:
            connection.sendall(f"INFO {section}\r\n".encode())
            answer = connection.makefile("rb")
            return answer.read(int(answer.readline()[1:])).decode()

    def freeze(self) -> None:
        """Let it neither answer nor fail, as a machine that swaps."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash does."""
        self._signal(signal.SIGKILL)
        self._wait()

    def restart_empty(self) -> None:
        """End it as a crash does, and begin anew with nothing in it."""
        self.kill()
        self.start()

    def empty(self) -> None:
        """Forget everything, and cut whoever is connected."""
        self.command("FLUSHALL")
        self.command("CLIENT", "KILL", "TYPE", "normal")

    def close(self) -> None:
        """End it for good."""
        if self._process is not None:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
            self._wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _wait(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The worker's Redis; whoever freezes it thaws it."""
    if MISSING:
        pytest.skip(MISSING)
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> Iterator[str]:
    """Where an empty Redis is."""
    redis_server.empty()
    yield redis_server.url
    redis_server.empty()
