"""`--web`: the live page beside a command that sends, the same for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..observe import HasState, Observer

WEB = click.option(
    "--web",
    metavar="HOST:PORT",
    help="A live page, /metrics and /health there; a port alone is for this machine only.",
)
"""The option of a command; `web: str | None` of what it is asked to do."""


def observer(web: str | None, title: str) -> list[Observer]:
    """The hooks that `--web` asks for: one observer of what is done, or none, which then costs nothing."""
    if web is None:
        return []
    from ..observe import Observer

    return [Observer(title)]


@asynccontextmanager
async def shown_live(
    web: str | None, observers: list[Observer], source: HasState | None, tell: Callable[[str], None] | None
) -> AsyncIterator[None]:
    """
    Serve the live page for as long as the block lasts.

    Args:
        web: as `--web` was given; None for no page.
        observers: as `observer` made them.
        source: tells what is going on now: a sender, a limiter, a relay; None for what only counts.
        tell: is told where the page is; None where nothing is to be said.

    Raises:
        ConfigurationError: the address is none, or cannot be had.
    """
    if web is None:
        yield
        return
    from ..observe import serve

    (observer,) = observers
    if source is not None:
        observer.watch(source)
    async with serve(web, observer) as server:
        if tell is not None:
            tell(f"Live page: {server.url}")
        yield
