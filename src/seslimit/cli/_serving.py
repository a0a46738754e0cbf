"""What the commands that serve until a signal have in common: a status line now and then, while there is news."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from pathlib import Path
from typing import Protocol

from rich.console import Console

from .. import outbox
from ..companion._kept import Outbox
from ..companion._takeover import Takeover
from ._notify import notify
from ._view import duration

STATUS_EVERY = 10.0
"""Seconds between two status lines, where there is anything new."""


class Server(Protocol):
    """A companion, as far as it is one in a line."""

    @property
    def listening(self) -> Sequence[socket.socket]:
        """Its listening sockets, for the next process; empty before `open`."""
        ...

    async def open(self, listening: Sequence[socket.socket] = ()) -> None:
        """Listen, on these sockets where there are any."""
        ...

    async def aclose(self) -> None:
        """Close it."""
        ...

    def passed_on(self) -> None:
        """Somebody else goes on with its listening sockets."""
        ...


class Line:
    """
    A server as one in a line of processes, each of which takes the listening sockets over from the one before.

    Args:
        path: the Unix socket by which they go on; None where there is no line.
        server: what serves.
        stopped: set when the next process serves.
    """

    def __init__(self, path: Path | None, server: Server, stopped: asyncio.Event) -> None:
        self._takeover = None if path is None else Takeover(path)
        self._server = server
        self._stopped = stopped

    async def open(self) -> None:
        """Open the server, in place of the one before."""
        if self._takeover is None:
            await self._server.open()
            return
        try:
            given = await self._takeover.inherit()
        except BaseException:
            await self._server.aclose()
            raise
        await self._server.open(given)
        listening = self._server.listening
        if listening:
            try:
                await self._takeover.serve(listening, self._taken)
            except BaseException:
                await self._server.aclose()
                raise

    async def aclose(self) -> None:
        """Hand the sockets on no more."""
        if self._takeover is not None:
            await self._takeover.aclose()

    def _taken(self) -> None:
        self._server.passed_on()
        self._stopped.set()


def outbox_at(url: str | None) -> AbstractAsyncContextManager[Outbox | None]:
    """
    The outbox at a file or URL, for as long as the block lasts; none for None.

    Raises:
        ConfigurationError: it cannot be used, or the extra `seslimit[outbox]` is not installed.
    """
    return nullcontext() if url is None else outbox.Outbox(url)


OTHER_FILES = 256
"""Files beside the connections of clients: those to the service, the program's own."""


def allow_connections(count: int) -> None:
    """Let the process have so many connections, as far as the system lets it: 1,024 files are usual at first."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = count + OTHER_FILES if hard == resource.RLIM_INFINITY else min(count + OTHER_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def serve(
    stopped: asyncio.Event, told: Callable[[], str], tell: Callable[[str], None] | None, *, before: str = ""
) -> None:
    """
    Return when `stopped` is set, and say meanwhile what has changed: to whoever looks, and to systemd.

    Args:
        stopped: set at the end.
        told: what has happened so far; a line is due when these words are others than before.
        tell: gets the elapsed time and the words, as the line begins; None where nothing is to be said.
        before: words that are no news at the start.
    """
    began_at = asyncio.get_running_loop().time()
    notify("READY=1")
    while not stopped.is_set():
        try:
            async with asyncio.timeout(STATUS_EVERY):
                await stopped.wait()
        except TimeoutError:
            words = told()
            if words != before:
                before = words
                line = f"{duration(round(asyncio.get_running_loop().time() - began_at))}: {words}"
                notify(f"STATUS={line}")
                if tell is not None:
                    tell(line)
    notify("STOPPING=1")


def print_line(console: Console, text: str) -> None:
    """Print a line as it is, whatever the width of the terminal."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)
