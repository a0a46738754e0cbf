"""The options of `seslimit simulate` that say which events come back; they are many, and belong together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def _share(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Make 0.03 of `3%` or `0.03`."""
    if value is None:
        return None
    text = value.strip()
    try:
        found = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no share: write 3% or 0.03", context, parameter) from None
    if not 0.0 <= found <= 1.0:
        raise click.BadParameter(f"{text!r} is not from 0% to 100%", context, parameter)
    return found


_OPTIONS = (
    click.option(
        "--events",
        metavar="URL",
        help="Tell what becomes of messages: http://HOST:PORT/sns posts as SNS does, sqs://QUEUE?region=… puts into a "
        "queue.",
    ),
    click.option(
        "--bounce",
        metavar="SHARE",
        callback=_share,
        help="Share of recipients that bounce for good: 3%.  [default: 0%]",
    ),
    click.option("--soft", metavar="SHARE", callback=_share, help="Share that bounces for now.  [default: 0%]"),
    click.option("--complaint", metavar="SHARE", callback=_share, help="Share that complains.  [default: 0%]"),
    click.option("--copies", type=click.IntRange(min=1), help="Send each event so many times.  [default: 1]"),
    click.option("--spread", type=click.FloatRange(min=0), help="Within so many seconds, at random.  [default: 0]"),
    click.option("--raw", is_flag=True, help="Put bare documents into the queue, without SNS's envelope."),
    click.option(
        "--events-cert",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Sign posts with the key in FILE; made where there is none.  [default: one of this run]",
    ),
)


def event_options(function: F) -> F:
    """Add them to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
