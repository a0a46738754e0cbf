"""
Where a companion listens.

Decides what "HOST:PORT" means, and what it takes to listen there: nothing on loopback, a login everywhere else.
"""

from __future__ import annotations

import ipaddress
import os
import socket

import attrs

from seslimit import ConfigurationError


@attrs.frozen
class Address:
    """
    A host and a port to listen on.

    Args:
        host: an address of this machine, or its name; never empty.
        port: 0 takes a free one.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """
        The address that "HOST:PORT" or "[IPv6]:PORT" means.

        Raises:
            ConfigurationError: it is neither.
        """
        host, colon, port = text.rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        ambiguous = ":" in bare and bare == host
        if not (colon and bare) or ambiguous or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
            raise ConfigurationError(
                f"{text!r} is no address to listen on: write HOST:PORT, for example 127.0.0.1:2587 or [::1]:2587."
            )
        return cls(bare, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def as_address(value: Address | str) -> Address:
    """An address as it is, or as it is written; see `Address.parse`."""
    return Address.parse(value) if isinstance(value, str) else value


FIRST_HANDED_OVER = 3
"""The number of the first socket that systemd hands over. Source: sd_listen_fds(3), read 2026-11."""


def handed_over() -> socket.socket | None:
    """
    The listening socket that systemd has opened for this process; None where it has not.

    It outlives the process, so that whoever comes while there is none waits, and is not refused.

    Raises:
        OSError: what was handed over is no socket.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not int(os.environ.get("LISTEN_FDS", "0") or 0):
        return None
    # Each is told once: a child would take them for its own.
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    listening = socket.socket(fileno=FIRST_HANDED_OVER)
    listening.setblocking(False)
    return listening


def not_listening(address: Address, error: OSError) -> ConfigurationError:
    """What to raise where an address cannot be listened on."""
    # asyncio and socket.create_server put the address into their words, once more.
    words = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
    return ConfigurationError(
        f"{address} cannot be listened on ({words}): give another HOST:PORT, or port 0 for a free one."
    )
