"""
Names by which the processes of one machine see that one of them has ended.

A process that is killed says nothing, and to a ledger elsewhere it is one that cannot ask. Those beside it can look.
Decides nothing about what follows. It must not know what the names are for.

Invariant: in doubt, a process goes on.
"""

from __future__ import annotations

import os
import platform
import secrets
from functools import cache
from hashlib import sha256
from pathlib import Path

ENDED = "ZX"
"""States in which a process of Linux is over, though its parent has not looked."""


def new_name() -> str:
    """A name that nobody else has, which tells the machine and the process."""
    return f"{_machine()}.{os.getpid()}.{secrets.token_hex(4)}"


def is_here(name: str) -> bool:
    """Whether it is a name of this very process."""
    return name.split(".")[:2] == [_machine(), str(os.getpid())]


def has_ended(name: str) -> bool:
    """Whether it is the name of a process of this machine that is no more."""
    machine, _, rest = name.partition(".")
    process = rest.partition(".")[0]
    if machine != _machine() or machine == "elsewhere" or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:  # another user's
        return False
    try:
        # proc_pid_stat(5): the name, in brackets, may have any character in it.
        return Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(") ")[2][:1] in ENDED
    except OSError:
        return False


@cache
def _machine() -> str:
    """What the processes have in common that can see one another; "elsewhere" where that is not known."""
    try:
        boot, space = Path("/proc/sys/kernel/random/boot_id").read_text("ascii"), Path("/proc/self/ns/pid").readlink()
    except (OSError, ValueError):
        if platform.system() != "Darwin":
            return "elsewhere"
        boot, space = platform.node(), Path()
    return sha256(f"{boot.strip()} {space}".encode()).hexdigest()[:12]
