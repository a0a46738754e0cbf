"""What the commands that serve until a signal have in common: a status line now and then, while there is news."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from rich.console import Console

from ._view import duration

STATUS_EVERY = 10.0
"""Seconds between two status lines, where there is anything new."""


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
    Return when `stopped` is set, and say meanwhile what has changed.

    Args:
        stopped: set at the end.
        told: what has happened so far; a line is due when these words are others than before.
        tell: gets the elapsed time and the words, as the line begins; None where nothing is to be said.
        before: words that are no news at the start.
    """
    began_at = asyncio.get_running_loop().time()
    while not stopped.is_set():
        try:
            async with asyncio.timeout(STATUS_EVERY):
                await stopped.wait()
        except TimeoutError:
            words = told()
            if words != before and tell is not None:
                before = words
                tell(f"{duration(round(asyncio.get_running_loop().time() - began_at))}: {words}")


def print_line(console: Console, text: str) -> None:
    """Print a line as it is, whatever the width of the terminal."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)
