"""
What a signal does to a run: the first one asks it to stop, the second one ends the program at once.

On a platform without signals in the event loop, an interrupt is a `KeyboardInterrupt`, and `main` ends the program.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def stop_signals(stop: Callable[[], None], status: int) -> Iterator[None]:
    """
    While inside, call `stop` at the first signal.

    Args:
        stop: asks the run to come to its end.
        status: exit status at the second signal.
    """
    loop = asyncio.get_running_loop()
    asked = False

    def received() -> None:
        nonlocal asked
        if asked:
            _abort(status)
        asked = True
        stop()

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


def _abort(status: int) -> None:
    cursor = "\x1b[?25h" if sys.stdout.isatty() or sys.stderr.isatty() else ""
    with suppress(OSError):
        os.write(sys.stderr.fileno(), f"{cursor}\nseslimit: aborted at the second signal.\n".encode())
    os._exit(status)
