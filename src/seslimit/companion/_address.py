"""
Where a companion listens.

Decides what "HOST:PORT" means, and whether somebody else can come there.
"""

from __future__ import annotations

import ipaddress

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
