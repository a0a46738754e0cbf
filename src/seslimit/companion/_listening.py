"""
The listening sockets of a companion: its own, or ones that outlive it.

Decides where it comes from. Whoever comes between two processes waits in the queue of a socket that outlives them, and
is not refused.
"""

from __future__ import annotations

import asyncio
import os
import socket

from seslimit import ConfigurationError

from ._address import Address

BACKLOG = 1024
"""Connections that may wait to be accepted."""

FIRST_HANDED_OVER = 3
"""The number of the first socket that systemd hands over. Source: sd_listen_fds(3), read 2026-11."""


def handed_over() -> list[socket.socket]:
    """
    The listening sockets that systemd has opened for this process, in its order; none where it has not.

    They outlive the process, so that whoever comes while there is none waits, and is not refused.

    Raises:
        OSError: what was handed over is no socket.
    """
    count = int(os.environ.get("LISTEN_FDS", "0") or 0)
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not count:
        return []
    # Each is told once: a child would take them for its own.
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    return [waiting_on(FIRST_HANDED_OVER + number) for number in range(count)]


def waiting_on(number: int) -> socket.socket:
    """
    The listening socket that a file of this process is.

    Raises:
        OSError: it is no socket.
    """
    listening = socket.socket(fileno=number)
    listening.setblocking(False)
    return listening


async def listening_on(address: Address) -> socket.socket:
    """
    A new listening socket; a name of several addresses, as "localhost", is listened on at its first one of IPv4.

    Raises:
        OSError: the address cannot be listened on.
    """
    found = await asyncio.get_running_loop().getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, _, _, _, where = min(found, key=lambda each: each[0] != socket.AF_INET)
    listening = socket.create_server(where[:2], family=family, backlog=BACKLOG)
    listening.setblocking(False)
    return listening


def not_listening(address: Address, error: OSError) -> ConfigurationError:
    """What to raise where an address cannot be listened on."""
    # asyncio and socket.create_server put the address into their words, once more.
    words = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
    return ConfigurationError(
        f"{address} cannot be listened on ({words}): give another HOST:PORT, or port 0 for a free one."
    )
