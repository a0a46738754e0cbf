"""
Standard output and standard error, which may be closed, full or read by nobody.

Decides that none of this is a reason to end a run, or to change its exit status: results that cannot be written are
one sentence on standard error, and a reader who has gone is none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import TextIO

from rich.console import Console


class View(Console):
    """A console whose reader may go away: what is shown then goes nowhere, and nobody is disturbed."""

    def on_broken_pipe(self) -> None:
        """Show nothing any more; rich would end the program."""
        self.quiet = True


def say(text: str) -> None:
    """Write results to standard output."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _close(sys.stdout)
    except (OSError, UnicodeError) as error:
        _close(sys.stdout)
        words = error.strerror if isinstance(error, OSError) else "its encoding has no word for it"
        complain(f"cannot write the result to standard output: {words or error}.")


def complain(sentence: str) -> None:
    """Write one sentence to standard error."""
    write_lines([f"seslimit: {sentence}"])


def write_lines(lines: Iterable[str]) -> None:
    """Write lines to standard error, as far as there is one."""
    for line in lines:
        if sys.stderr is not None:  # print would take standard output instead
            with suppress(OSError):
                print(line, file=sys.stderr, flush=True)


def let_go() -> None:
    """Flush both streams; Python would do it at its end, and complain where it cannot."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except (OSError, ValueError):
            _close(stream)


def _close(stream: TextIO) -> None:
    """Let what is still to be written go nowhere."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def harmless(words: str) -> str:
    """A stranger's words as a cell that no spreadsheet takes for a formula."""
    return f"'{words}" if words.startswith(("=", "+", "-", "@", "\t", "\r")) else words
