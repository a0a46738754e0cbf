"""`seslimit simulate`: the simulator alone, until it is interrupted."""

from __future__ import annotations

import asyncio
import json
import ssl
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import attrs
from rich.console import Console

from .._model.errors import ConfigurationError
from ..testing import EventRules, Simulator, SMTPRules
from ..testing._certificate import given_certificate, own_certificate
from ..testing._events import TOPIC
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
        profile: file with what is not said here; None for the simulator's defaults.
        rate: the hidden limit in recipients/s.
        counting: how they are counted, as text.
        depth: seconds of the rate that a bucket holds.
        daily: recipients in 24 hours; -1 for no limit.
        rtt: seconds before each reply.
        session_cap: messages in one SMTP session; None for no cap.
        tls: of the SMTP door: `none`, `starttls` or `implicit`.
        cert, key: files in PEM; without them a certificate is made for the run.
        events: where bounces and complaints are sent; None for none.
        bounce, soft, complaint: shares of the recipients.
        copies: how many times each event is sent.
        spread: seconds within which it is, at random.
        raw: whether a queue gets bare documents.
        events_cert: file with the key and the certificate that posts are signed with; made where there is none.
        as_json: whether the addresses and the end are JSON.
    """

    smtp_port: int = 2525
    api_port: int = 2526
    profile: Path | None = None
    rate: float | None = None
    counting: str | None = None
    depth: float | None = None
    daily: float | None = None
    rtt: float = 0.0
    session_cap: int | None = None
    tls: Literal["none", "starttls", "implicit"] = "none"
    cert: Path | None = None
    key: Path | None = None
    events: str | None = None
    bounce: float = 0.0
    soft: float = 0.0
    complaint: float = 0.0
    copies: int = 1
    spread: float = 0.0
    raw: bool = False
    events_cert: Path | None = None
    as_json: bool = False


async def simulate(options: SimulateOptions, console: Console) -> None:
    """
    Serve until a signal comes; the ledger's figures are the last thing that is printed.

    Args:
        options: what to do.
        console: where to print.

    Raises:
        ConfigurationError: a port is taken, a certificate is no good, or the extra `seslimit[sim]` is not installed.
    """
    with TemporaryDirectory(prefix="seslimit-simulate-") as directory:
        authority = Path(directory, "authority.pem")
        if options.events_cert is None:
            options = attrs.evolve(options, events_cert=Path(directory, "sns.pem"))
        simulator = _simulator(options, _certificate(options, authority))
        made = options.tls != "none" and options.cert is None
        await _serve(options, console, simulator, authority if made else None)


async def _serve(options: SimulateOptions, console: Console, simulator: Simulator, authority: Path | None) -> None:
    stopped = asyncio.Event()
    try:
        await simulator.open()
    except OSError as error:
        raise ConfigurationError(
            f"port {options.smtp_port} or {options.api_port} cannot be opened ({error.strerror or error}): give others "
            "with --smtp-port and --api-port, or 0 for free ones."
        ) from None
    try:
        with stop_signals(stopped.set, Status.ALL_ACCEPTED):
            print_line(console, _addresses(options, simulator, authority))
            tell = None if options.as_json else partial(print_line, console)
            await serve(stopped, lambda: _told(simulator), tell)
    finally:
        await simulator.aclose()
    print_line(console, json.dumps(_figures(simulator)) if options.as_json else _told(simulator))


def _certificate(options: SimulateOptions, authority: Path) -> ssl.SSLContext | None:
    """The SMTP door's certificate; one that is made here is signed by an authority that is written to a file."""
    if options.tls == "none":
        if options.cert or options.key:
            raise ConfigurationError("--cert and --key need --tls starttls or --tls implicit.")
        return None
    if options.cert is not None:
        return given_certificate(options.cert, options.key)
    if options.key is not None:
        raise ConfigurationError("--key needs --cert.")
    return own_certificate(authority)


def _simulator(options: SimulateOptions, certificate: ssl.SSLContext | None) -> Simulator:
    asked = {
        "rate": options.rate,
        "counting": options.counting,
        "depth": options.depth,
        "max_24_hour_send": options.daily,
    }
    figures: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    figures["smtp"] = SMTPRules(session_cap=options.session_cap, tls=options.tls, ssl_context=certificate)
    figures |= {"latency": options.rtt, "ledger_limit": 0}
    figures |= {"smtp_port": options.smtp_port, "api_port": options.api_port}
    if options.events is not None:
        names = ("bounce", "soft", "complaint", "copies", "spread", "raw")
        shares: dict[str, Any] = {name: getattr(options, name) for name in names}
        figures["events"] = EventRules(url=options.events, certificate=options.events_cert, **shares)
    return Simulator(**figures) if options.profile is None else Simulator.from_profile(options.profile, **figures)


def _addresses(options: SimulateOptions, simulator: Simulator, authority: Path | None) -> str:
    if options.as_json:
        trusted = {} if authority is None else {"authority": str(authority)}
        signed = {"sns_certificate": str(options.events_cert)} if _signs(options) else {}
        return json.dumps({"smtp": simulator.smtp_url, "ses": simulator.ses_url, **trusted, **signed})
    trusting = "" if authority is None else f"SSL_CERT_FILE={authority} "
    return (
        f"A simulator of SES that takes {number(simulator.account.rate.at(0.0))} recipients/s; Ctrl-C ends it.\n"
        f"{trusting}seslimit send INPUT --to '{simulator.smtp_url}'\n"
        f"seslimit send INPUT --to '{simulator.ses_url}'  (with any AWS credentials)" + _events(options)
    )


def _signs(options: SimulateOptions) -> bool:
    return options.events is not None and options.events.startswith("http")


def _events(options: SimulateOptions) -> str:
    if options.events is None:
        return ""
    believed = f"\nseslimit feedback --topic {TOPIC} --sns-certificate {options.events_cert} --listen …"
    return f"\nevents go to {options.events.partition('?')[0]}" + (believed if _signs(options) else "")


def _told(simulator: Simulator) -> str:
    counts, events = simulator.counts, simulator.events
    came_back = ""
    if events is not None:
        of = events.counts
        came_back = f"; {of.hard:,} bounced, {of.soft:,} for now, {of.complaints:,} complained, {of.sent:,} events sent"
    return (
        f"{counts.accepted:,} messages accepted ({counts.recipients:,} recipients), {counts.throttled:,} throttled, "
        f"{counts.quota_exceeded:,} over the daily quota, {counts.invalid:,} invalid{came_back}"
    )


def _figures(simulator: Simulator) -> dict[str, Any]:
    events = {} if simulator.events is None else {"events": attrs.asdict(simulator.events.counts)}
    return {**attrs.asdict(simulator.counts), "duplicates": sum(simulator.duplicates().values()), **events}
