"""`seslimit simulate`: the simulator alone, until it is interrupted."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import attrs
from rich.console import Console

from .._model.errors import ConfigurationError
from ..testing import Counts, Simulator, SMTPRules
from ._ending import Status
from ._serving import print_line, serve
from ._signals import stop_signals
from ._view import number


@attrs.frozen(kw_only=True)
class SimulateOptions:
    """
    What `seslimit simulate` is asked to do.

    Args:
        smtp_port, api_port: ports on loopback; 0 takes a free one.
        rate: the hidden limit in recipients/s.
        depth: seconds of the rate that the bucket holds.
        daily: recipients in 24 hours; -1 for no limit.
        rtt: seconds before each reply.
        session_cap: messages in one SMTP session; None for no cap.
        as_json: whether the addresses and the end are JSON.
    """

    smtp_port: int = 2525
    api_port: int = 2526
    rate: float = 14.0
    depth: float = 1.0
    daily: float = -1.0
    rtt: float = 0.0
    session_cap: int | None = None
    as_json: bool = False


async def simulate(options: SimulateOptions, console: Console) -> None:
    """
    Serve until a signal comes; the ledger's figures are the last thing that is printed.

    Args:
        options: what to do.
        console: where to print.

    Raises:
        ConfigurationError: a port is taken, or the extra `seslimit[sim]` is not installed.
    """
    stopped = asyncio.Event()
    simulator = Simulator(
        options.rate,
        depth=options.depth,
        max_24_hour_send=options.daily,
        latency=options.rtt,
        smtp=SMTPRules(session_cap=options.session_cap),
        ledger_limit=0,
        smtp_port=options.smtp_port,
        api_port=options.api_port,
    )
    try:
        await simulator.open()
    except OSError as error:
        raise ConfigurationError(
            f"port {options.smtp_port} or {options.api_port} cannot be opened ({error.strerror or error}): give others "
            "with --smtp-port and --api-port, or 0 for free ones."
        ) from None
    try:
        with stop_signals(stopped.set, Status.ALL_ACCEPTED):
            print_line(console, _addresses(options, simulator))
            tell = None if options.as_json else partial(print_line, console)
            await serve(stopped, lambda: _told(simulator.counts), tell)
    finally:
        await simulator.aclose()
    print_line(console, json.dumps(_figures(simulator)) if options.as_json else _told(simulator.counts))


def _addresses(options: SimulateOptions, simulator: Simulator) -> str:
    if options.as_json:
        return json.dumps({"smtp": simulator.smtp_url, "ses": simulator.ses_url})
    return (
        f"A simulator of SES that takes {number(options.rate)} recipients/s; Ctrl-C ends it.\n"
        f"seslimit send INPUT --to '{simulator.smtp_url}'\n"
        f"seslimit send INPUT --to '{simulator.ses_url}'  (with any AWS credentials)"
    )


def _told(counts: Counts) -> str:
    return (
        f"{counts.accepted:,} messages accepted ({counts.recipients:,} recipients), {counts.throttled:,} throttled, "
        f"{counts.quota_exceeded:,} over the daily quota, {counts.invalid:,} invalid"
    )


def _figures(simulator: Simulator) -> dict[str, Any]:
    return {**attrs.asdict(simulator.counts), "duplicates": sum(simulator.duplicates().values())}
