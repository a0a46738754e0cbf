"""
Who is connected, from where, and who goes when there are too many.

Decides. It must not know what a client says, but whether it has proved to be one: by its login, or by a message where
none is needed.

Invariants: whoever has proved to be a client never goes for one that has not; of the others, the network with the most
of them loses its oldest first, so that many connections from one place cost only that place.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Generic, TypeVar

C = TypeVar("C")

PREFIX = 64
"""Bits of an IPv6 address that are one customer's; the rest of them are the customer's to choose."""


@lru_cache(maxsize=4096)
def network(host: str) -> str:
    """What counts as one place: an address of IPv4, a /64 of IPv6; what is no address is a place of its own."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address.packed, PREFIX), strict=False))


class Clients(Generic[C]):
    """
    The connections of one server.

    Args:
        most: how many there may be.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._proven: set[C] = set()
        self._unproven: dict[str, dict[C, None]] = {}
        self._networks: dict[C, str] = {}

    def __len__(self) -> int:
        return len(self._networks)

    @property
    def are_too_many(self) -> bool:
        """Whether there are more than there may be."""
        return len(self._networks) > self.most

    def arrived(self, client: C, host: str) -> None:
        """One has come, and is nobody yet."""
        place = self._networks[client] = network(host)
        self._unproven.setdefault(place, {})[client] = None

    def proved(self, client: C) -> None:
        """It has shown what no stranger can, and counts no more among those that have not."""
        if self._forget_unproven(client):
            self._proven.add(client)

    def left(self, client: C) -> None:
        """It has gone, or is about to."""
        self._forget_unproven(client)
        self._proven.discard(client)
        self._networks.pop(client, None)

    def oldest_unproven(self) -> C | None:
        """The one that goes first when there are too many; None where all have proved to be clients."""
        if not self._unproven:
            return None
        busiest = max(self._unproven.values(), key=len)
        return next(iter(busiest))

    def _forget_unproven(self, client: C) -> bool:
        place = self._networks.get(client, "")
        there = self._unproven.get(place, {})
        if client not in there:
            return False
        del there[client]
        if not there:
            del self._unproven[place]
        return True
