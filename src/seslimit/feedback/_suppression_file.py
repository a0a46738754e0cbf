"""
A suppression list in a file: JSON lines, or CSV that other programs write and read.

Written by one process and read by others at the same time, so every look asks whether the file has changed. Lines are
appended whole, under a lock; to take an address off writes the file anew and puts it in the old one's place.

Invariants: an address that was added is on the disk; a line that cannot be understood makes the file unreadable, but
for the last one without its end: that is what a crash leaves of an address whose adding nobody was told of.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import attrs

from .._model.clearance import SuppressionUnavailable
from .._replacing import replacing
from ._suppression import SuppressedAddress, normalised
from ._suppression_lines import MAX_LINE, form_of

try:
    import fcntl
except ModuleNotFoundError:  # Windows: one process writes
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("seslimit")

T = TypeVar("T")


@attrs.frozen
class _Seen:
    """What a file was when it was read, and how far."""

    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, found: os.stat_result) -> _Seen:
        return cls(found.st_ino, found.st_size, found.st_mtime_ns)


class SuppressionFile:
    """
    A suppression list in a file.

    Args:
        path: the file. One that ends in `.csv` or `.txt` has an address a line, perhaps with reason and time behind
            commas and names of the columns in the first line; any other has a JSON object a line, with `address`,
            `reason` and `at`. `add` makes it where there is none; to ask one that is not there is an error.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._form = form_of(self._path)
        self._entries: dict[str, SuppressedAddress] = {}
        self._seen: _Seen | None = None
        self._read_to = 0
        self._lines = 0
        self._last = b""
        self._lock = asyncio.Lock()

    async def suppressed(self, addresses: Sequence[str]) -> Mapping[str, str]:
        """
        Those of the addresses that are in the file now.

        Raises:
            SuppressionUnavailable: the file cannot be read, or a line of it not be understood.
        """
        await self._fresh()
        found = ((address, self._entries.get(normalised(address))) for address in addresses)
        return {address: entry.reason for address, entry in found if entry is not None}

    async def add(self, entries: Iterable[SuppressedAddress]) -> int:
        """Append those that are not in the file; on the disk when this returns."""
        wanted = list(entries)
        return await self._step(lambda: self._append(wanted))

    async def remove(self, addresses: Iterable[str]) -> int:
        """Write the file without these."""
        keys = {normalised(address) for address in addresses}
        return await self._step(lambda: self._rewrite(keys))

    async def entries(self) -> AsyncIterator[SuppressedAddress]:
        """Every address in the file, in its order."""
        await self._fresh()
        for entry in list(self._entries.values()):
            yield entry

    async def aclose(self) -> None:
        """Nothing is open."""

    async def _fresh(self) -> None:
        """Read what was not read yet; one look at the file where nothing has changed."""
        try:
            now = _Seen.of(self._path.stat())
        except OSError as error:
            raise self._unavailable(error) from error
        if now != self._seen:
            await self._step(self._read)

    async def _step(self, step: Callable[[], T]) -> T:
        async with self._lock:
            try:
                return await asyncio.to_thread(step)
            except OSError as error:
                raise self._unavailable(error) from error

    def _unavailable(self, error: OSError) -> SuppressionUnavailable:
        words = error.strerror or str(error)
        return SuppressionUnavailable(f"the suppression list {self._path} cannot be used ({words}), so nothing is sent")

    # In a thread

    def _read(self) -> None:
        with self._path.open("rb") as file:
            self._read_from(file)

    def _read_from(self, file: io.BufferedReader) -> None:
        now = _Seen.of(os.fstat(file.fileno()))
        before = self._seen
        if now == before:
            return
        self._seen = None  # whatever goes wrong, the next look reads again
        # A number of a file may be another's after it was written anew; but then its last line stands elsewhere.
        file.seek(max(0, self._read_to - len(self._last)))
        grown = before is not None and before.inode == now.inode and before.size < now.size
        if not (grown and file.read(len(self._last)) == self._last):
            self._entries, self._read_to, self._lines, self._last = {}, 0, 0, b""
            file.seek(0)
        content = file.read()
        end = content.rfind(b"\n") + 1
        self._take(content[:end])
        self._read_to += end
        self._last = (self._last + content[:end])[-MAX_LINE:]
        if rest := content[end:]:
            self._take_rest(rest)
        self._seen = now

    def _take(self, content: bytes) -> None:
        for line in self._text(content).splitlines():
            self._lines += 1
            try:
                entry = self._form.entry(line, self._lines)
            except ValueError as error:
                raise SuppressionUnavailable(
                    f"line {self._lines} of the suppression list {self._path} cannot be understood ({error}), so "
                    "nothing is sent: correct it"
                ) from None
            if entry is not None:
                self._entries[entry.key] = entry

    def _take_rest(self, rest: bytes) -> None:
        """A last line without its end: one that was written by hand, or what a crash has left."""
        with suppress(ValueError, SuppressionUnavailable):
            if (entry := self._form.entry(self._text(rest), self._lines)) is not None:
                self._entries[entry.key] = entry
                return
        logger.warning("the last line of %s is not whole, and is passed over", self._path)

    def _text(self, content: bytes) -> str:
        try:
            return content.decode("utf-8-sig" if not self._read_to else "utf-8")
        except UnicodeDecodeError:
            raise SuppressionUnavailable(
                f"the suppression list {self._path} is no text in UTF-8, so nothing is sent: correct it"
            ) from None

    def _append(self, entries: list[SuppressedAddress]) -> int:
        with self._locked() as file:
            self._read_from(file)
            new = {entry.key: entry for entry in entries if entry.key not in self._entries}
            if not new:
                return 0
            begins = os.fstat(file.fileno()).st_size
            lines = "".join(map(self._form.line, new.values()))
            if begins == 0:
                lines = self._form.head + lines
            if begins > self._read_to:  # the last line has no end
                if self._form.head or self._is_whole(file):
                    lines = "\n" + lines
                else:
                    begins = self._read_to
                    os.ftruncate(file.fileno(), begins)
            try:
                _write(file.fileno(), lines.encode())
            except OSError:
                # A full disk takes half a line: what is not whole must not stand in front of the next.
                os.ftruncate(file.fileno(), begins)
                raise
            file.seek(0)
            self._read_from(file)
            return len(new)

    def _is_whole(self, file: io.BufferedReader) -> bool:
        file.seek(self._read_to)
        try:
            return self._form.entry(file.read().decode(), self._lines) is not None
        except ValueError:
            return False

    def _rewrite(self, keys: set[str]) -> int:
        with self._locked(make=False) as file:
            self._read_from(file)
            kept = [entry for key, entry in self._entries.items() if key not in keys]
            gone = len(self._entries) - len(kept)
            if not gone:
                return 0
            with replacing(self._path) as new:
                os.fchmod(new.fileno(), os.fstat(file.fileno()).st_mode & 0o777)
                _write(new.fileno(), (self._form.head + "".join(map(self._form.line, kept))).encode())
            _sync_folder(self._path)
            return gone

    @contextmanager
    def _locked(self, *, make: bool = True) -> Iterator[io.BufferedReader]:
        """The file, for this process alone to write; it may have been put in another's place while we waited."""
        flags = os.O_RDWR | os.O_APPEND | (os.O_CREAT if make else 0)
        while True:
            made = not self._path.exists()
            with os.fdopen(os.open(self._path, flags, 0o600), "rb") as file:
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_EX)
                with suppress(FileNotFoundError):
                    if self._path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                        if made:
                            _sync_folder(self._path)
                        yield file
                        return


def _write(handle: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(handle, view) :]
    os.fsync(handle)


def _sync_folder(path: Path) -> None:
    """Have a name on the disk, not only what it stands for."""
    with suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
