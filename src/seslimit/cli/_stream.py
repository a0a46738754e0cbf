"""
Lines from a pipe, without stopping the event loop while none come.

A thread reads, because standard input may be a pipe, a terminal or a file, and no event loop can wait for all of them.
It is a daemon and reads the descriptor itself: a thread that waits for a line for ever must not keep the program alive,
nor hold a lock of a buffered file at its end.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable

CHUNK = 65_536
"""Bytes that are read at once: what a pipe holds."""

AHEAD = 4
"""Chunks that are read before they are asked for."""


class LineStream(AsyncIterator[bytes]):
    """
    The lines of a descriptor, without their ends; the last one need not have one.

    Args:
        open_descriptor: gives a descriptor to read, which stays open; it may wait, as a named pipe does for a writer.
    """

    def __init__(self, open_descriptor: Callable[[], int]) -> None:
        self._open_descriptor = open_descriptor
        self._lines: deque[bytes] = deque()
        self._begun: list[bytes] = []
        self._ended = False
        self._room = threading.Semaphore(AHEAD)
        self._chunks: asyncio.Queue[bytes | OSError] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, daemon=True, name="seslimit-input").start()

    async def __anext__(self) -> bytes:
        while not self._lines:
            if self._ended:
                raise StopAsyncIteration
            chunk = await self._chunks.get()
            if isinstance(chunk, OSError):
                self._ended = True
                raise chunk
            self._take(chunk)
        return self._lines.popleft()

    def _take(self, chunk: bytes) -> None:
        self._room.release()
        *whole, rest = chunk.split(b"\n")
        if whole:
            self._lines.append(b"".join([*self._begun, whole[0]]))
            self._lines.extend(whole[1:])
            self._begun = []
        self._begun.append(rest)
        if not chunk:
            self._ended = True
            if last := b"".join(self._begun):
                self._lines.append(last)

    def _read(self) -> None:
        try:
            descriptor = self._open_descriptor()
            while self._give(os.read(descriptor, CHUNK)):
                self._room.acquire()
        except OSError as error:
            self._give(error)

    def _give(self, chunk: bytes | OSError) -> bool:
        """Pass on what was read; returns whether to go on."""
        try:
            self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
        except RuntimeError:  # the event loop is closed: nobody wants the rest
            return False
        return bool(chunk)
