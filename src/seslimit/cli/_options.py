"""Options that several commands have, each declared once, and what makes of them what a command was asked to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from ._output import View

POSITIVE = click.FloatRange(min=0, min_open=True)
"""A rate in recipients/s, or a time in seconds."""

JSON = click.option("--json", "as_json", is_flag=True, help="The last line of standard output is one JSON object.")

TO = click.option(
    "--to", required=True, metavar="URL", help="ses://REGION, smtp://USER:PASSWORD@HOST:587, smtps://, sim://"
)
RATE = click.option("--rate", type=POSITIVE, help="Recipients/s to start with; found out when left out.")
MAX_RATE = click.option("--max-rate", type=POSITIVE, help="Recipients/s that are never exceeded.")
WARM_UP = click.option(
    "--warm-up",
    metavar="PLAN",
    help="Raise the volume day by day: 14d, 14d:200-50000, or a table; seslimit warm-up show shows it.",
)
STATE = click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Remember the rate that was found, and the warm-up, for the next run.",
)
GUARD = click.option("--guard", is_flag=True, help="Slow down, and hold, before SES pauses the account (ses:// only).")
KEEP_DAILY = click.option(
    "--keep-daily", type=click.IntRange(min=0), metavar="N", help="Leave N recipients of the daily quota to others."
)
SUPPRESS = click.option(
    "--suppress", metavar="LIST", help="Do not send to the addresses of a list: a file, or ses://REGION."
)
LISTEN = click.option("--listen", required=True, metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")
KEPT = click.option(
    "--outbox",
    metavar="FILE|URL",
    help="Keep messages there, answer when they are durable, and send from there.",
)
TAKEOVER = click.option(
    "--takeover",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Unix socket by which the next process takes over, without a connection refused between them.",
)


def console_of(*, as_json: bool) -> Console:
    """Where progress is shown: on standard error where the results are JSON."""
    return View(stderr=as_json)


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given: a default value is written once, in the options object."""
    return {name: value for name, value in options.items() if value is not None}
