"""
Logins that fail: how long their answers take, and what is said of them.

Decides, with the time told to it. Each network is answered one wrong login a second, however many it tries at once;
beyond ten that wait for their answers, no login from there is looked at. A network that a right login came from is
looked at all the same: behind a proxy, everybody has the address of the one who guesses.

Invariants: memory is bounded; the log gets at most `LINES` lines in `TELL_EVERY` seconds, whoever tries what.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict

import attrs

from ._clients import network

WAIT = 1.0
"""Seconds from one answer to a wrong login to the next one, for one network."""

LONGEST = 10.0
"""Seconds that such an answer is waited for at most."""

TELL_EVERY = 10.0
"""Seconds between two lines in the log about one network."""

LINES = 20
"""Lines in so many seconds, about all of them."""

TRUSTED_FOR = 86_400.0
"""Seconds after a right login for which its network is looked at."""

NETWORKS = 10_000
"""Networks that are remembered: about 3 MB."""


@attrs.define
class _Network:
    next_at: float = -math.inf
    """When the next wrong login may be answered."""
    trusted_until: float = -math.inf
    told_at: float = -math.inf
    untold: int = 0
    """Wrong logins since the last line."""


class FailedLogins:
    """
    The wrong logins of one server.

    Args:
        logger: hears of them.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._networks: OrderedDict[str, _Network] = OrderedDict()
        self._lines = 0
        self._untold = 0
        self._period = -math.inf

    def refuses(self, host: str, now: float) -> int | None:
        """Seconds after which a login from there is looked at again; None where it is looked at now."""
        found = self._networks.get(network(host))
        if found is None or found.next_at - now <= LONGEST - WAIT or found.trusted_until > now:
            return None
        self._tell(host, found, now)
        return math.ceil(found.next_at - now)

    def failed(self, host: str, now: float) -> float | None:
        """A login was wrong; returns seconds until it is answered, None where so many wait that it is at once."""
        found = self._network(host)
        self._tell(host, found, now)
        if found.next_at - now > LONGEST - WAIT:
            return None
        found.next_at = max(found.next_at, now) + WAIT
        return found.next_at - now

    def right(self, host: str, now: float) -> None:
        """A login was right."""
        self._network(host).trusted_until = now + TRUSTED_FOR

    def _network(self, host: str) -> _Network:
        place = network(host)
        found = self._networks.get(place)
        if found is None:
            found = self._networks[place] = _Network()
            if len(self._networks) > NETWORKS:
                self._networks.popitem(last=False)
        else:
            self._networks.move_to_end(place)
        return found

    def _tell(self, host: str, found: _Network, now: float) -> None:
        found.untold += 1
        if now - self._period >= TELL_EVERY:
            if self._untold:
                self._logger.warning("%s more logins failed, from many other addresses", f"{self._untold:,}")
            self._period, self._lines, self._untold = now, 0, 0
        if now - found.told_at < TELL_EVERY:
            return
        if self._lines >= LINES:
            self._untold += 1
            return
        self._lines += 1
        more = f"; {found.untold:,} since the last line" if found.untold > 1 else ""
        self._logger.warning("a login failed, from %s%s", network(host) or "nowhere", more)
        found.told_at, found.untold = now, 0
