"""`--shared` and `--account`: one account's rate among processes, the same for all commands that send."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

T = TypeVar("T")


def sharing(command: Callable[..., T]) -> Callable[..., T]:
    """Add the options to a command, which is given `shared`: what `Limiter(shared=…)` takes, where it was asked for."""

    @click.option(
        "--shared",
        metavar="URL",
        help="Share the account's rate with other processes: redis://HOST:PORT, or host:NAME on this machine.",
    )
    @click.option("--account", metavar="NAME", help="Whose rate it is, where more than one is kept there.")
    @wraps(command)
    def called(*, shared: str | None, account: str | None, **options: Any) -> T:
        if shared is None:
            if account is not None:
                raise click.UsageError("--account names a rate that is shared: give --shared URL as well.")
            return command(**options)
        from ..shared import shared_from_url

        named = {} if account is None else {"account": account}
        return command(shared=shared_from_url(shared, **named), **options)

    return called
