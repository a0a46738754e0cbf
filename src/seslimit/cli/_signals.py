"""
What a signal does to a run: the first one asks it to stop, the second one ends the program at once.

On a platform without signals in the event loop, an interrupt is a `KeyboardInterrupt`, and `main` ends the program.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

ONE_PRESS = 0.5
"""Seconds in which two signals are one: a shell and a supervisor may pass on the same Ctrl-C, each for itself."""


@contextmanager
def stop_signals(
    stop: Callable[[], None], status: int, last_words: Callable[[], Iterable[str]] = tuple
) -> Iterator[None]:
    """
    While inside, call `stop` at the first signal.

    Args:
        stop: asks the run to come to its end.
        status: exit status at the second signal.
        last_words: lines for standard error at the second signal.
    """
    loop = asyncio.get_running_loop()
    asked_at: float | None = None

    def received() -> None:
        nonlocal asked_at
        if asked_at is None:
            asked_at = loop.time()
            stop()
        elif loop.time() - asked_at > ONE_PRESS:
            _abort(status, last_words())

    handled = [each for each in SIGNALS if not _is_ignored(each)]
    with suppress(NotImplementedError):
        for each in handled:
            loop.add_signal_handler(each, received)
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            for each in handled:
                loop.remove_signal_handler(each)


def _is_ignored(signum: signal.Signals) -> bool:
    # nohup. A shell ignores SIGINT for what it runs in the background; a SIGINT that comes all the same is meant.
    return signum.name == "SIGHUP" and signal.getsignal(signum) is signal.SIG_IGN


def _abort(status: int, last_words: Iterable[str]) -> None:
    cursor = "\x1b[?25h" if sys.stdout.isatty() or sys.stderr.isatty() else ""
    lines = [f"{cursor}\nseslimit: aborted at the second signal.", *last_words]
    with suppress(OSError, AttributeError):  # a closed standard error is None
        os.write(sys.stderr.fileno(), "".join(f"{line}\n" for line in lines).encode())
    os._exit(status)
