"""
An account's ledger on one machine: a file that one process at a time reads and writes, and no server.

The ledger is `seslimit._law.ledger` itself, on the machine's monotonic clock, which is the same in all processes. It
must not know what the answers mean.

Invariants: the lock is held for some 0.1 ms and never across an await; the system takes it from a process that ends;
a file that cannot be read counts as an empty ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import attrs

from .._law.ledger import Ledger
from .._law.parts import SECOND
from .._model.allowance import Grant, Request
from .._model.errors import ConfigurationError
from .._model.options import shown
from ._redis import ACCOUNT

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

T = TypeVar("T")

NAME = re.compile(r"[A-Za-z0-9._@:+-]{1,100}")

AGAIN: Final = 0.001
"""Seconds until a lock that another process holds is tried again."""

LOCKED: Final = 0.15
"""Seconds for which it is tried: who holds it longer was stopped in the middle."""

HEADER: Final = 12
"""Bytes before the ledger, which say how long it is: so one write replaces a long one by a short one."""


class HostRate:
    """
    One account's rate among the processes of one machine; see `Store`.

    For the workers of a web server or of a queue on one machine. They need to see the same file: give a path where they
    run as different users, or have temporary directories of their own (systemd's `PrivateTmp`).

    Args:
        name: of the account and Region; or the path of a file, which is made where there is none.
        account: a second part of the name, where one name stands for several accounts.

    Raises:
        ConfigurationError: the name is none, its directory is another user's, or the system has no file locks.
    """

    def __init__(self, name: str, *, account: str = ACCOUNT) -> None:
        if fcntl is None:
            raise ConfigurationError("sharing on one machine needs file locks as on Linux or macOS; use Redis.")
        file = name if account == ACCOUNT else f"{name}-{account}"
        if "/" in name:
            self._path, self._mode = Path(file), 0o660
        elif NAME.fullmatch(file):
            self._path, self._mode = _own_directory() / file, 0o600
        else:
            raise ConfigurationError(f"{shown(file)} is no name: letters, digits and ._@:+- make one, or a path.")

    def __repr__(self) -> str:
        return f"<HostRate {self._path}>"

    async def lease(self, request: Request) -> Grant:
        """See `Store`."""
        return await self._ask(lambda ledger, now: ledger.lease(now, request))

    async def congested(self, member: str, epoch: int, log: str) -> int:
        """See `Store`."""
        return await self._ask(lambda ledger, now: ledger.congested(now, epoch, log))

    async def aclose(self) -> None:
        """Nothing is held between two requests."""

    async def _ask(self, question: Callable[[Ledger, float], T]) -> T:
        # Opened each time: a lock belongs to the open file, which processes that fork would have in common.
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, self._mode)
        try:
            ends = time.monotonic() + LOCKED
            while not _locked(file):
                if time.monotonic() > ends:
                    raise TimeoutError(f"{self._path} is locked")
                await asyncio.sleep(AGAIN)
            ledger = _read(file)
            answer = question(ledger, time.monotonic() * SECOND)
            _write(file, ledger)
            return answer
        finally:
            os.close(file)  # which unlocks it


def _own_directory() -> Path:
    """A directory that nobody else can have made for us."""
    path = Path(tempfile.gettempdir()) / f"seslimit-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    status = path.lstat()
    if status.st_uid != os.getuid() or not path.is_dir() or path.is_symlink():
        raise ConfigurationError(f"{path} is not this user's directory: give the path of a file instead of a name.")
    return path


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # pyright: ignore[reportOptionalMemberAccess]  # was looked for
    except BlockingIOError:
        return False
    return True


def _read(file: int) -> Ledger:
    length = os.pread(file, HEADER, 0)
    try:
        return Ledger(**json.loads(os.pread(file, int(length), HEADER)))
    except (ValueError, TypeError):
        return Ledger()


def _write(file: int, ledger: Ledger) -> None:
    text = json.dumps(attrs.asdict(ledger), separators=(",", ":")).encode()
    os.pwrite(file, b"%*d" % (HEADER, len(text)) + text, 0)
