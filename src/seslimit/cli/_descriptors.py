"""
What a report needs of the operating system: to append, to keep others out, and never to wait for a reader.

Where a platform lacks one of these, it is left out: the rest still holds.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl
    import select


def opened_to_append(path: Path) -> int:
    """
    A descriptor that appends to the file, which is made if need be.

    Raises:
        OSError: it cannot be opened; ENXIO for a named pipe that nobody reads, which would otherwise be waited for.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)
    if sys.platform != "win32":
        os.set_blocking(descriptor, True)
    return descriptor


def locked(descriptor: int) -> bool:
    """Lock a file for as long as it is open; returns False where another process has locked it."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks: nobody can tell
    return True


def is_ready(descriptor: int) -> bool:
    """Whether a pipe, a terminal or a device takes some bytes without waiting."""
    if sys.platform == "win32":
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))


def is_cut_off(path: Path) -> bool:
    """Whether the file ends in the middle of a line."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"
