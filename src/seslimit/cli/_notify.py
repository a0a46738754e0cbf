"""
What systemd is told: that the service is ready, what it does, and that it stops.

One datagram to the socket that `NOTIFY_SOCKET` names; without it, nothing.

Source: sd_notify(3), read 2026-11.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def notify(*assignments: str) -> None:
    """Tell systemd, as "READY=1"; whoever else started this is told nothing."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if not name or not hasattr(socket, "AF_UNIX"):
        return
    # "@" stands for the null byte of an abstract name.
    address = f"\0{name[1:]}" if name.startswith("@") else name
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.setblocking(False)
        told.sendto("\n".join(assignments).encode("utf-8", "replace"), address)
