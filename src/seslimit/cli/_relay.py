"""`seslimit relay`: an SMTP server in front of SES, until it is interrupted."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console

from .._model.allowance import Store
from .._pacing.limiter import Limiter
from ..companion._address import Address
from ..companion._kept import Outbox
from ..companion.relay import Relay, RelayOptions
from ..companion.relay._options import PASSWORD, USER
from ..transports import transport_from_url
from ._ending import Status, shown
from ._serving import Line, allow_connections, outbox_at, print_line, serve
from ._signals import stop_signals
from ._view import duration, per_second
from ._web import observer, shown_live


@attrs.frozen(kw_only=True)
class RelayCommand:
    """
    What `seslimit relay` is asked to do.

    Args:
        listen: where to listen.
        to: the transport's URL.
        rate: recipients/s to start with; None when unknown.
        max_rate: recipients/s that are never exceeded; None for no bound.
        shared: keeps the rate for other processes too; None for this one's alone.
        tls_cert, tls_key, tls_implicit, max_connections, max_pending, max_size, hold: as in `RelayOptions`; None for
            its defaults.
        lane: names and priorities of the lanes; empty for the default.
        lane_listen: names of lanes, and where to listen for what is in them.
        outbox: file or URL of the database that messages are kept in; None to send them before they are answered.
        web: where the live page is; None for none.
        takeover: Unix socket by which the listening socket goes from one process to the next; None for none.
        as_json: whether the address and the end are JSON.
    """

    listen: str
    to: str = attrs.field(repr=False)
    rate: float | None = None
    max_rate: float | None = None
    shared: Store | None = attrs.field(default=None, repr=False)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_implicit: bool = False
    max_connections: int | None = None
    max_pending: int | None = None
    max_size: int | None = None
    hold: float | None = None
    lane: tuple[tuple[str, float], ...] = ()
    lane_listen: tuple[tuple[str, str], ...] = ()
    outbox: str | None = attrs.field(default=None, repr=False)
    web: str | None = None
    takeover: Path | None = None
    as_json: bool = False

    def options(self) -> RelayOptions:
        """The relay's options, with the login from the environment."""
        names = ("tls_cert", "tls_key", "tls_implicit", "max_connections", "max_pending", "max_size", "hold")
        given: dict[str, Any] = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.lane:
            given["lanes"] = dict(self.lane)
        lane_listen = {name: Address.parse(address) for name, address in self.lane_listen}
        user, password = os.environ.get(USER), os.environ.get(PASSWORD)
        listen = Address.parse(self.listen)
        return RelayOptions(listen=listen, lane_listen=lane_listen, user=user, password=password, **given)


async def relay(command: RelayCommand, console: Console) -> int:
    """
    Serve until a signal comes; what became of the messages is the last thing that is printed.

    Args:
        command: what to do.
        console: where to print.

    Raises:
        ConfigurationError: the relay could not begin.
    """
    options = command.options()
    async with outbox_at(command.outbox) as outbox:
        return await _serve(command, console, options, outbox)


async def _serve(command: RelayCommand, console: Console, options: RelayOptions, outbox: Outbox | None) -> int:
    allow_connections(options.max_connections)
    limiter = Limiter(command.rate, max_rate=command.max_rate, shared=command.shared)
    observers = observer(command.web, f"relay to {shown(command.to)}")
    server = Relay(transport_from_url(command.to), options, limiter=limiter, hooks=observers, outbox=outbox)
    stopped = asyncio.Event()
    line = Line(command.takeover, server, stopped)

    def tell(line: str) -> None:
        print_line(console, f"{line}{_state(server)}")

    def say(line: str) -> None:
        print_line(console, line)

    began_at = asyncio.get_running_loop().time()
    with _warnings(), stop_signals(stopped.set, Status.ALL_ACCEPTED):
        await line.open()
        try:
            print_line(console, _address(command, server))
            async with shown_live(command.web, observers, server, None if command.as_json else say):
                await serve(stopped, lambda: _told(server), None if command.as_json else tell, before=_told(server))
        finally:
            await line.aclose()
            await server.aclose()
    seconds = asyncio.get_running_loop().time() - began_at
    figures = json.dumps(_figures(server, seconds))
    print_line(console, figures if command.as_json else f"{duration(seconds)}: {_told(server)}")
    return Status.ALL_ACCEPTED


def _address(command: RelayCommand, server: Relay) -> str:
    given = (server.options.listen, *server.options.lane_listen.values())
    listen, *others = [str(attrs.evolve(each, port=port)) for each, port in zip(given, server.ports, strict=True)]
    lanes = dict(zip(server.options.lane_listen, others, strict=True))
    if command.as_json:
        return json.dumps({"listen": listen, **({"lanes": lanes} if lanes else {})})
    also = "".join(f", on {address} for the lane {lane}" for lane, address in lanes.items())
    return f"Listening on {listen} for mail to {shown(command.to)}{also}; Ctrl-C ends it."


def _told(server: Relay) -> str:
    counts = server.counts
    return (
        f"{counts.accepted:,} accepted ({counts.recipients:,} recipients), {counts.throttled:,} throttled, "
        f"{counts.refused:,} refused, {counts.deferred:,} to come back"
    )


def _state(server: Relay) -> str:
    limiter = server.limiter
    paused = f", paused: {limiter.paused}" if limiter.paused else ""
    return f"; {server.held:,} held, {server.connections:,} clients, rate {per_second(limiter.rate)}{paused}"


def _figures(server: Relay, seconds: float) -> dict[str, Any]:
    rate = server.counts.recipients / seconds if seconds else 0.0
    return {**attrs.asdict(server.counts), "seconds": round(seconds, 3), "rate": round(rate, 3)}


@contextmanager
def _warnings() -> Iterator[None]:
    """What the library has to say, on standard error."""
    told = logging.StreamHandler(sys.stderr)
    told.setLevel(logging.WARNING)
    told.setFormatter(logging.Formatter("seslimit: %(message)s"))
    logger = logging.getLogger("seslimit")
    logger.addHandler(told)
    try:
        yield
    finally:
        logger.removeHandler(told)
