"""
One account's rate, shared by many processes: `Limiter(shared=RedisRate("redis://…"))`.

The limit belongs to the account and Region, not to a process. `RedisRate` shares it among machines, `HostRate` among
the processes of one machine, without a server. What they keep, and why, is told in the chapter "One account, many
processes" of the documentation.
"""

from __future__ import annotations

from .._model.allowance import Store
from .._model.errors import ConfigurationError
from .._model.options import shown
from ._host import HostRate
from ._redis import ACCOUNT, SCHEMES, RedisRate

__all__ = ["HostRate", "RedisRate", "shared_from_url"]


def shared_from_url(url: str, *, account: str = ACCOUNT) -> Store:
    """
    What keeps an account's rate, by its address.

    Args:
        url: `redis://…`, `rediss://…`, `unix://…` or `valkey://…` for a Redis or a Valkey; `host:NAME` for the
            processes of this machine.
        account: whose rate it is, where more than one is kept there.

    Raises:
        ConfigurationError: it is none of these, or the extra `redis` is not installed.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "host":
        return HostRate(rest, account=account)
    if scheme in SCHEMES:
        return RedisRate(url, account=account)
    raise ConfigurationError(
        f"{shown(scheme)} is nothing that keeps a rate: it is redis://HOST:PORT or host:NAME, for example host:mail."
    )
