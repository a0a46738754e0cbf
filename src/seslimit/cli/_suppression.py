"""`seslimit suppression`: a list of addresses that are not to be sent to, shown and changed by hand."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import attrs
import click

from ._ending import Status
from ._output import harmless, say

if TYPE_CHECKING:
    from ..feedback import SuppressedAddress, Suppression

AT_ONCE = 1000
"""Addresses that are written together: a million of them one by one would wait for the disk a million times."""

_LIST = click.argument("where", metavar="LIST")
_JSON = click.option("--json", "as_json", is_flag=True, help="JSON lines, or one JSON object.")


@click.group()
def suppression() -> None:
    """
    Show and change a list of addresses that are not to be sent to.

    LIST is a file (JSON lines; .csv and .txt: an address a line), a database's URL, as --outbox takes it, or
    ses://REGION for the list that SES keeps for the account. "seslimit feedback --suppression LIST" fills it, and
    "seslimit send --suppress LIST" heeds it.

    Exit status: 0; 1 not all were found; 2 wrong usage, or a list that cannot be used.
    """


@suppression.command("list")
@_LIST
@click.argument("addresses", metavar="[ADDRESS]...", nargs=-1)
@click.option("--reason", help="Only those with this reason: bounce, complaint, manual.")
@_JSON
def list_(where: str, addresses: tuple[str, ...], reason: str | None, as_json: bool) -> int:
    """Show the addresses of a list; or of those named the ones that are on it."""
    return asyncio.run(_list(where, addresses, reason, as_json=as_json))


@suppression.command()
@_LIST
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@click.option("--reason", default="manual", help="Why: bounce, complaint, or a word of yours.  [default: manual]")
def add(where: str, addresses: tuple[str, ...], reason: str) -> int:
    """Put addresses on a list."""
    from ..feedback import SuppressedAddress
    from ..feedback._suppression import checked

    entries = [SuppressedAddress(checked(address), reason) for address in addresses]
    return asyncio.run(_add(where, _each(entries)))


@suppression.command()
@_LIST
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
def remove(where: str, addresses: tuple[str, ...]) -> int:
    """Take addresses off a list: somebody asked to be sent to again."""
    return asyncio.run(_remove(where, addresses))


@suppression.command("import")
@_LIST
@click.argument("source", metavar="FROM")
def import_(where: str, source: str) -> int:
    """Put every address of another list on this one; FROM is a file or a URL, as LIST is."""
    return asyncio.run(_import(where, source))


@suppression.command()
@_LIST
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
def export(where: str, form: str) -> int:
    """Write a list to standard output."""
    return asyncio.run(_export(where, form))


async def _list(where: str, addresses: tuple[str, ...], reason: str | None, *, as_json: bool) -> int:
    async with _opened(where) as opened:
        if addresses:
            found = await opened.suppressed(addresses)
            for address in addresses:
                told = {"address": address, "reason": found.get(address)}
                say(json.dumps(told) if as_json else f"{address}  {found.get(address, 'not on the list')}")
            return Status.ALL_ACCEPTED if len(found) == len(set(addresses)) else Status.SOME_FAILED
        async for entry in opened.entries():
            if reason is None or entry.reason == reason:
                say(json.dumps(entry.as_dict()) if as_json else f"{entry.address}  {entry.reason}  {entry.at:%Y-%m-%d}")
    return Status.ALL_ACCEPTED


async def _add(where: str, entries: AsyncIterator[SuppressedAddress]) -> int:
    given = new = 0
    async with _opened(where) as opened:
        batch: list[SuppressedAddress] = []
        async for entry in entries:
            batch.append(entry)
            if len(batch) == AT_ONCE:
                given, new, batch = given + len(batch), new + await opened.add(batch), []
        given, new = given + len(batch), new + await opened.add(batch)
    say(f"{new:,} added, {given - new:,} were on the list before")
    return Status.ALL_ACCEPTED


async def _remove(where: str, addresses: tuple[str, ...]) -> int:
    async with _opened(where) as opened:
        gone = await opened.remove(addresses)
    say(f"{gone:,} removed, {len(addresses) - gone:,} were not on the list")
    return Status.ALL_ACCEPTED if gone == len(addresses) else Status.SOME_FAILED


async def _import(where: str, source: str) -> int:
    async with _opened(source) as other:
        return await _add(where, _dated(other.entries()))


async def _export(where: str, form: str) -> int:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if form == "csv":
        writer.writerow(["address", "reason", "at"])
    async with _opened(where) as opened:
        async for entry in opened.entries():
            told = entry.as_dict()
            if form == "csv":
                writer.writerow(map(harmless, map(str, told.values())))
            else:
                say(json.dumps(told, ensure_ascii=False))
    return Status.ALL_ACCEPTED


async def _dated(entries: AsyncIterator[SuppressedAddress]) -> AsyncIterator[SuppressedAddress]:
    """The entries, those that tell no moment with that of now."""
    now = datetime.now(UTC)
    async for entry in entries:
        yield entry if entry.at.timestamp() else attrs.evolve(entry, at=now)


async def _each(entries: Iterable[SuppressedAddress]) -> AsyncIterator[SuppressedAddress]:
    for entry in entries:
        yield entry


@asynccontextmanager
async def _opened(where: str) -> AsyncIterator[Suppression]:
    from ..feedback import suppression_from_url

    opened = suppression_from_url(where)
    try:
        yield opened
    finally:
        await opened.aclose()


@asynccontextmanager
async def suppressing(where: str | None, *, make: bool = False) -> AsyncIterator[Suppression | None]:
    """
    A suppression list for a sender; None where none is named.

    Args:
        where: its name.
        make: whether a file that is not there is made, because this process fills it as well.

    Raises:
        ConfigurationError: the name is wrong, or an extra is not installed.
        SuppressionUnavailable: it cannot be read; better known before anything is sent.
    """
    if where is None:
        yield None
        return
    async with _opened(where) as opened:
        if make:
            await opened.add(())
        await opened.suppressed(())
        yield opened
