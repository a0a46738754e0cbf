"""
What belongs to an outbox in the file system: its file, a reserve of space, and who is alive.

Must not know what is in the file. Calls here block for as long as the file system takes, which is why only those are
made on the event loop that take microseconds.

Invariants: where anything shows that there was an outbox, no new one is begun in its place; the space of the reserve is
taken up by nobody else.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import attrs

from .._model.journal import JournalError

if sys.platform != "win32":
    import fcntl

RESERVE = 512 * 1024
"""Bytes kept free for results when the disk is full: those of a thousand messages, with the pages that they touch."""

SPARE = 256 * 1024
"""Bytes that are free beside the reserve where a disk is not full any more: to begin with a few results at least."""

SMALL = 64 * 1024 * 1024
"""Bytes of a file that is looked at as a whole when it is opened: within half a second."""


@attrs.define(eq=False)
class Files:
    """
    The files of an outbox.

    Args:
        path: of the database.
    """

    path: Path
    _identity: tuple[int, int] | None = attrs.field(default=None, init=False)
    _life: int | None = attrs.field(default=None, init=False)

    @property
    def reserve(self) -> Path:
        """A file whose space is freed when results could otherwise not be written."""
        return self.path.with_name(f"{self.path.name}-reserve")

    def is_old(self) -> bool:
        """
        Whether there is a file already.

        Raises:
            JournalError: there is none, or an empty one, and others beside it show that there was.
        """
        if not self.path.parent.is_dir():
            raise JournalError(f"the outbox {self.path} cannot be opened: there is no directory {self.path.parent}.")
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            size = 0
        except OSError as error:
            raise JournalError(f"the outbox {self.path} cannot be opened: {error.strerror}.") from error
        log = self.path.with_name(f"{self.path.name}-wal")
        if size:
            return True
        if log.exists() and log.stat().st_size and self.path.exists():
            return True  # never written into the file yet: all of it is in the log
        if left := [other.name for other in (self.reserve, log) if other.exists()]:
            raise JournalError(
                f"the outbox {self.path} is gone or empty, and {left[0]} shows that there was one: put it back; or, to "
                f"begin anew, remove {self.path.name}* first."
            )
        return False

    def begin(self) -> None:
        """Make the file, empty, where there is none."""
        try:
            self.path.touch()
        except OSError as error:
            raise JournalError(f"the outbox {self.path} cannot be begun: {error.strerror}.") from error

    def is_small(self) -> bool:
        """Whether it can be looked at as a whole."""
        return self.path.stat().st_size <= SMALL

    def remember(self) -> None:
        """Take the file that is there for the outbox's from now on."""
        status = self.path.stat()
        self._identity = (status.st_dev, status.st_ino)

    def check(self) -> None:
        """
        See that the file is still the one that was opened.

        Raises:
            JournalError: it was removed, or another was put in its place; what is written now would be lost.
        """
        if self._identity is None:
            return
        try:
            status = self.path.stat()
        except OSError as error:
            raise JournalError(f"the outbox {self.path} is gone ({error.strerror}): nothing is sent.") from error
        if (status.st_dev, status.st_ino) != self._identity:
            raise JournalError(f"the outbox {self.path} was replaced by another file: nothing is sent; start again.")

    def take_reserve(self) -> bool:
        """Take up the reserve's space, if it can be had; whether it is taken up."""
        try:
            with self.reserve.open("ab") as file:
                missing = RESERVE - file.tell()
                if missing > 0:
                    file.write(b"\0" * missing)
                    file.flush()
                    os.fsync(file.fileno())
        except OSError:
            self.free_reserve()
            return False
        return True

    def is_reserved(self) -> bool:
        """Whether there is a reserve that can be freed."""
        try:
            return self.reserve.stat().st_size > 0
        except OSError:
            return False

    def has_space(self) -> bool:
        """Whether the disk that was full has space again, beside the reserve, which is taken up."""
        if not self.take_reserve():
            return False
        if sys.platform == "win32":
            return True
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize >= SPARE

    def free_reserve(self) -> None:
        """Give the reserve's space to whoever writes next."""
        with contextlib.suppress(OSError):
            os.truncate(self.reserve, 0)

    def live(self, owner: str) -> None:
        """Show to others that an owner of leases is alive, for as long as this process is."""
        if sys.platform == "win32":
            return
        self._life = os.open(self._life_file(owner), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._life, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def die(self, owner: str) -> None:
        """Show that an owner of leases is there no more."""
        if self._life is not None:
            self._life_file(owner).unlink(missing_ok=True)
            os.close(self._life)
            self._life = None

    def dead(self, owners: Iterable[str]) -> set[str]:
        """Those owners that are known to be dead, without waiting for their leases to run out."""
        return {owner for owner in owners if self._is_dead(owner)}

    def _is_dead(self, owner: str) -> bool:
        if sys.platform == "win32":
            return False
        file = self._life_file(owner)
        try:
            life = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        try:
            fcntl.flock(life, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        else:
            file.unlink(missing_ok=True)
            return True
        finally:
            os.close(life)

    def _life_file(self, owner: str) -> Path:
        return self.path.with_name(f"{self.path.name}-life-{owner}")
