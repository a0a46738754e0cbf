"""`seslimit listmonk`: the messenger, until it is interrupted."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from rich.console import Console

from .._model.allowance import Store
from .._model.errors import ConfigurationError
from .._pacing.limiter import Limiter
from ..companion._address import Address
from ..companion._kept import Outbox
from ..transports import transport_from_url
from ._ending import Status, shown
from ._listmonk_feedback import Back, BackOptions, coming_back
from ._serving import Line, allow_connections, outbox_at, print_line, serve
from ._signals import stop_signals
from ._view import duration, per_second
from ._web import observer, shown_live

if TYPE_CHECKING:
    from ..companion.listmonk import Counts, ListmonkMessenger
    from ..observe import Observer

DRAIN = 10.0
"""Seconds that what is held is given after the first signal."""

MAX_CONNECTIONS = 2000
"""Connections of the messenger's at once."""


@attrs.frozen(kw_only=True)
class ListmonkCommand(BackOptions):
    """
    What `seslimit listmonk` is asked to do, what comes back included.

    Args:
        listen: HOST:PORT; port 0 takes a free one.
        to: the transport's URL.
        rate, max_rate: recipients/s to start with, and that are never exceeded.
        shared: keeps the rate for other processes too; None for this one's alone.
        concurrency, message_rate, timeout: listmonk's settings.
        max_size: bytes of one request.
        unsubscribe_headers: whether the headers to unsubscribe are added to campaigns.
        allow_ses_headers: whether campaigns may set the service's own headers.
        web: where the live page is; None for none.
        outbox: file or URL of the database that messages are kept in; None to send them before they are answered.
        takeover: Unix socket by which the listening socket goes from one process to the next; None for none.
        as_json: whether the address and the end are JSON.
    """

    listen: str
    to: str
    rate: float | None = None
    max_rate: float | None = None
    shared: Store | None = attrs.field(default=None, repr=False)
    concurrency: int | None = None
    message_rate: int | None = None
    timeout: float | None = None
    max_size: int | None = None
    unsubscribe_headers: bool = True
    allow_ses_headers: bool = False
    web: str | None = None
    outbox: str | None = attrs.field(default=None, repr=False)
    takeover: Path | None = None
    as_json: bool = False


async def listmonk(command: ListmonkCommand, console: Console) -> int:
    """
    Serve until a signal comes; the totals are the last thing that is printed.

    Args:
        command: what to do.
        console: where to print.

    Returns:
        the exit status.

    Raises:
        ConfigurationError: an option is wrong, the address cannot be had, the login is missing where there has to be
            one, or the extra `seslimit[listmonk]` is not installed.
    """
    async with outbox_at(command.outbox) as outbox:
        return await _serve(command, console, outbox)


async def _serve(command: ListmonkCommand, console: Console, outbox: Outbox | None) -> int:
    observers = observer(command.web, f"listmonk to {shown(command.to)}")
    limiter = Limiter(command.rate, max_rate=command.max_rate, shared=command.shared)
    allow_connections(MAX_CONNECTIONS)
    stopped = asyncio.Event()
    async with coming_back(command, limiter, observers, stopped) as back:
        messenger = _messenger(command, observers, limiter, back, outbox)
        line = Line(command.takeover, messenger, stopped)

        def tell(line: str) -> None:
            print_line(console, f"{line}{_state(messenger)}")

        def say(line: str) -> None:
            print_line(console, line)

        with stop_signals(stopped.set, Status.ALL_ACCEPTED):
            try:
                await line.open()
                print_line(console, _address(command, messenger.port))
                before = _told(messenger.counts)
                async with shown_live(command.web, observers, messenger, None if command.as_json else say):
                    await serve(
                        stopped, lambda: _told(messenger.counts), None if command.as_json else tell, before=before
                    )
                if messenger.held and not command.as_json:
                    print_line(console, f"Stopping: {_messages(messenger.held)} held, for at most {DRAIN:.0f} s.")
            finally:
                await line.aclose()
                await messenger.aclose(DRAIN)
    counts = messenger.counts
    print_line(console, json.dumps(attrs.asdict(counts)) if command.as_json else _told(counts))
    return Status.ALL_ACCEPTED


def _messenger(
    command: ListmonkCommand, observers: Sequence[Observer], limiter: Limiter, back: Back, outbox: Outbox | None
) -> ListmonkMessenger:
    try:
        from ..companion.listmonk import ListmonkMessenger, ListmonkOptions, Settings
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "aiohttp":
            raise
        raise ConfigurationError(
            f"the messenger needs the package {error.name}: run  pip install 'seslimit[listmonk]'."
        ) from None
    names = ("concurrency", "message_rate", "timeout")
    options = ListmonkOptions(
        listen=Address.parse(command.listen),
        root_url=command.root_url,
        user=os.environ.get("SESLIMIT_LISTMONK_USER", ""),
        password=os.environ.get("SESLIMIT_LISTMONK_PASSWORD", ""),
        settings=Settings(**_given(command, *names)),
        unsubscribe_headers=command.unsubscribe_headers,
        service_headers=command.allow_ses_headers,
        **_given(command, "max_size"),
    )
    return ListmonkMessenger(
        transport_from_url(command.to),
        options,
        limiter=limiter,
        hooks=[*observers, *back.hooks],
        suppression=back.suppression,
        guard=back.guard,
        others=back.others,
        outbox=outbox,
    )


def _given(command: ListmonkCommand, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(command, name)) is not None}


def _address(command: ListmonkCommand, port: int) -> str:
    listen = attrs.evolve(Address.parse(command.listen), port=port)
    url = f"http://{listen}/"
    if command.as_json:
        return json.dumps({"listen": str(listen), "url": url})
    return f"A messenger for listmonk at {url} in front of {shown(command.to)}; Ctrl-C ends it."


def _told(counts: Counts) -> str:
    parts = [f"{_messages(counts.posts)} posted", f"{counts.accepted:,} accepted", f"{counts.throttled:,} throttled"]
    others = ("repeated", "refused", "unsent", "invalid", "late")
    parts += [f"{getattr(counts, name):,} {name}" for name in others if getattr(counts, name)]
    return f"{', '.join(parts)}; longest hold {duration(counts.longest_hold)}"


def _state(messenger: ListmonkMessenger) -> str:
    limiter = messenger.limiter
    now = f"paused: {limiter.paused}" if limiter.paused else f"at {per_second(limiter.rate)}"
    return f"; {_messages(messenger.held)} held, {now}"


def _messages(count: int) -> str:
    return f"{count:,} message" if count == 1 else f"{count:,} messages"
