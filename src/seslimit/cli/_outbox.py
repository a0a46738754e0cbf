"""`seslimit outbox`: what an outbox holds, shown, exported and changed by hand."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs
import click

from .._model.errors import ConfigurationError, printable
from .._model.quota import SendQuota
from ._ending import Status
from ._forecast import forecast
from ._opened import existing
from ._output import harmless, say

if TYPE_CHECKING:
    from ..outbox import Filter, Outbox, Row

COLUMNS = (
    "key",
    "recipient",
    "outcome",
    "message_id",
    "at",
    "reply",
    "attempts",
    "throttles",
    "feedback",
    "mail_from",
    "added_at",
    "not_before",
)
"""Of an export, in their order; a contract."""

AT_ONCE = 500
"""Lines that are written together."""

STATES = ("queued", "later", "claimed", "sending", "accepted", "failed", "unknown", "cancelled")

_WHERE = click.argument("where", metavar="FILE|URL")
_JSON = click.option("--json", "as_json", is_flag=True, help="JSON lines, or one JSON object.")


def _chosen(command: Callable[..., int]) -> Callable[..., int]:
    """Add the options that say which messages are meant."""
    for option in reversed(
        (
            click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="In this state; repeat."),
            click.option("--key", help="Of this key."),
            click.option("--recipient", metavar="ADDRESS", help="To this recipient."),
            click.option("--message-id", metavar="ID", help="Of this name at the service."),
            click.option("--lane", help="In this lane."),
            click.option("--since", type=click.DateTime(), help="Added at or after, in local time."),
            click.option("--until", type=click.DateTime(), help="Added before."),
        )
    ):
        command = option(command)
    return command


@click.group()
def outbox() -> None:
    """
    Show and change what an outbox holds: messages, and what became of each recipient.

    FILE is a SQLite file, as "seslimit send --outbox" takes it; URL is postgresql://USER@HOST/DATABASE.

    Exit status: 0; 1 nothing was found that is meant; 2 wrong usage, or an outbox that cannot be used; 75 it is locked
    or does not answer now.
    """


@outbox.command()
@_WHERE
@click.option("--to", metavar="URL", help="Ask this account for its daily quota, to say when all will be done.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Recipients/s that are reckoned with.")
@_JSON
def status(where: str, to: str | None, rate: float | None, as_json: bool) -> int:
    """How many messages are in which state, and when all will be done."""
    return _in(where, lambda box: _status(box, to, rate, as_json=as_json))


@outbox.command("list")
@_WHERE
@_chosen
@_JSON
def list_(where: str, as_json: bool, **chosen: Any) -> int:
    """One line a recipient: key, recipient, what became of it, when, and the service's words."""
    return _in(where, lambda box: _told(box, chosen, _line_json if as_json else _line_text))


@outbox.command()
@_WHERE
@_chosen
@click.option("--json", "as_json", is_flag=True, help="JSON lines instead of CSV.")
def export(where: str, as_json: bool, **chosen: Any) -> int:
    """
    One row a recipient, as CSV: what an auditor or a support desk asks for.

    Times are UTC (ISO 8601). "feedback" has what was heard since: bounces, complaints, deliveries.
    """
    if as_json:
        return _in(where, lambda box: _told(box, chosen, _line_json))
    return _in(where, lambda box: _told(box, chosen, _line_csv, first=_csv(COLUMNS)))


@outbox.command()
@_WHERE
@_chosen
@click.option("--all", "every", is_flag=True, help="Everything: what is unknown may then be sent twice.")
def retry(where: str, every: bool, **chosen: Any) -> int:
    """Send messages again that failed, are unknown or were cancelled; they go out at the next send or work."""
    if not every and not any(chosen.values()):
        raise ConfigurationError(
            "this would send again what failed, what was cancelled, and what is unknown and may have been accepted: "
            "say which (--state failed, --key, …), or --all."
        )
    return _in(where, lambda box: _changed(box.retry(_filter(chosen)), "queued again"))


@outbox.command()
@_WHERE
@_chosen
@click.option("--all", "every", is_flag=True, help="Everything that waits.")
def cancel(where: str, every: bool, **chosen: Any) -> int:
    """Take messages out of the queue that were not handed over."""
    if not every and not any(chosen.values()):
        raise ConfigurationError("this would cancel everything that waits: say which (--key, …), or --all.")
    return _in(where, lambda box: _changed(box.cancel(_filter(chosen)), "cancelled"))


@outbox.command()
@_WHERE
@click.option(
    "--older-than", "days", type=click.FloatRange(min=0), required=True, metavar="DAYS", help="Ended so long ago."
)
def purge(where: str, days: float) -> int:
    """Forget messages that came to their end, with all about them; the same input would be sent again."""
    return _in(where, lambda box: _changed(box.purge(time.time() - days * 86_400), "forgotten", may_be_none=True))


def _in(where: str, work: Callable[[Outbox], Awaitable[int]]) -> int:
    async def opened() -> int:
        async with existing(where) as box:
            return await work(box)

    return asyncio.run(opened())


async def _status(box: Outbox, to: str | None, rate: float | None, *, as_json: bool) -> int:
    found, now = await box.status(), time.time()
    quota = None if to is None else await _quota(to)
    pace = rate or (quota.max_send_rate if quota else 0.0)
    used = await box.used_by_minute(now - 86_400)
    words = forecast(now, found.open.recipients, pace, quota, used)
    if as_json:
        counts = {str(state): attrs.asdict(count) for state, count in found.counts.items()}
        figures = {"open": found.open.messages, "used": found.used, "oldest": found.oldest, "next_due": found.next_due}
        say(json.dumps({"states": counts, **figures, "forecast": words or None}))
        return Status.ALL_ACCEPTED
    for state, count in found.counts.items():
        say(f"{state:<10} {count.messages:>12,} messages {count.recipients:>12,} recipients")
    say(f"{found.used:,} recipients accepted in the last 24 hours")
    if found.oldest is not None:
        say(f"the oldest that waits was added {_utc(found.oldest)}")
    if words:
        say(words)
    return Status.ALL_ACCEPTED


async def _quota(url: str) -> SendQuota | None:
    from ..transports import KnowsQuota, transport_from_url

    transport = transport_from_url(url)
    try:
        return await transport.quota() if isinstance(transport, KnowsQuota) else None
    finally:
        await transport.aclose()


async def _told(box: Outbox, chosen: dict[str, Any], line: Callable[[Row], str], first: str | None = None) -> int:
    count, lines = 0, [] if first is None else [first]
    async for row in box.rows(_filter(chosen)):
        count += 1
        lines.append(line(row))
        if len(lines) == AT_ONCE:
            say("\n".join(lines))
            lines = []
    if lines:
        say("\n".join(lines))
    return Status.ALL_ACCEPTED if count else Status.SOME_FAILED


async def _changed(change: Awaitable[int], words: str, *, may_be_none: bool = False) -> int:
    count = await change
    say(f"{count:,} {'message' if count == 1 else 'messages'} {words}")
    return Status.ALL_ACCEPTED if count or may_be_none else Status.SOME_FAILED


def _filter(chosen: dict[str, Any]) -> Filter:
    from ..outbox import Filter

    moments = {name: chosen[name].timestamp() for name in ("since", "until") if chosen.get(name) is not None}
    return Filter(**{**chosen, **moments})


def _fields(row: Row) -> dict[str, Any]:
    heard = [attrs.asdict(each) for each in row.feedback]
    return {name: heard if name == "feedback" else getattr(row, name) for name in COLUMNS} | {
        "outcome": str(row.outcome)
    }


def _line_json(row: Row) -> str:
    return json.dumps(_fields(row), ensure_ascii=False, default=str)


def _line_csv(row: Row) -> str:
    fields = _fields(row)
    for name in ("at", "added_at", "not_before"):
        fields[name] = "" if fields[name] is None else _utc(fields[name])
    fields["feedback"] = "; ".join(f"{each.kind} {_utc(each.at)} {each.detail}".rstrip() for each in row.feedback)
    fields |= {name: harmless(text) for name, text in fields.items() if isinstance(text, str)}
    return _csv(fields[name] for name in COLUMNS)


def _csv(cells: Iterable[object]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow("" if cell is None else cell for cell in cells)
    return written.getvalue()


def _line_text(row: Row) -> str:
    when = "" if row.at is None else f" {_utc(row.at)}"
    heard = "".join(f"; {each.kind} {_utc(each.at)}" for each in row.feedback)
    reply = f": {printable(row.reply)}" if row.reply else ""
    key = "-" if row.key is None else printable(str(row.key))
    return f"{key} {printable(row.recipient)} {row.outcome}{when}{reply}{heard}"


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
