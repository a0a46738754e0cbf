"""Every fault at every stage, and a cancellation at every suspension: what comes of it is what the standards say."""

from __future__ import annotations

import asyncio
from itertools import groupby

import attrs
import pytest

from seslimit.transports.ses import SESTransport
from seslimit.transports.smtp import SMTPTransport
from tests.faults.fault_matrix import Cell, cells, message, play_all, session
from tests.scripted_server import APIServer, SMTPServer
from tests.test_transport_smtp import CancelledAt

LONGEST = 80
"""Suspensions of one attempt are fewer."""


def group(cell: Cell) -> tuple[str, str, str]:
    """What is tested together."""
    return cell.door, cell.stage, cell.connection


CELLS = cells()
GROUPS = [(key, list(members)) for key, members in groupby(sorted(CELLS, key=group), group)]


def test_size() -> None:
    """There are at least 400 cells, each with a name of its own."""
    assert len({cell.name for cell in CELLS}) == len(CELLS) >= 400


@pytest.mark.parametrize("members", [members for _, members in GROUPS], ids=["-".join(key) for key, _ in GROUPS])
async def test_faults(members: list[Cell]) -> None:
    """No cell differs from what is expected."""
    found = await play_all(members)
    assert [f"{name}: {differing}" for name, differing in found.items() if differing] == []


@pytest.mark.parametrize("size", [100, 300_000])
@pytest.mark.parametrize("pooled", [True, False])
async def test_cancelled_smtp(pooled: bool, size: int) -> None:
    """Wherever an attempt over SMTP is cancelled, nothing is left, nothing doubled, and the next goes through."""
    for number in range(1, LONGEST):
        server = SMTPServer()
        async with server.running():
            transport = SMTPTransport("127.0.0.1", server.port, tls="none", max_connections=1)
            completed = await cancelled(transport, server, number, pooled, size)
            assert (transport._pool.size, transport._pool._in_use, server.nested) == (1, 0, 0)
            await transport.aclose()
        if completed:
            break
    assert completed
    assert number > 1


@pytest.mark.parametrize("size", [100, 300_000])
@pytest.mark.parametrize("pooled", [True, False])
async def test_cancelled_api(pooled: bool, size: int) -> None:
    """Wherever a request is cancelled, nothing is left, nothing doubled, and the next goes through."""
    for number in range(1, LONGEST):
        server = APIServer()
        async with server.running():
            url = f"http://127.0.0.1:{server.port}"
            transport = SESTransport("us-east-1", endpoint_url=url, session=session(), max_connections=1)
            completed = await cancelled(transport, server, number, pooled, size)
            current = transport._doors._current
            assert current is not None
            assert current.users == 0
            await transport.aclose()
        if completed:
            break
    assert completed
    assert number > 1


async def cancelled(
    transport: SMTPTransport | SESTransport, server: SMTPServer | APIServer, number: int, pooled: bool, size: int
) -> bool:
    """Cancel an attempt at its n-th suspension, and make another; whether the first came to its end before."""
    before = asyncio.all_tasks()
    names = ["next"]
    if pooled:
        await transport.send(message("first"))
        names.insert(0, "first")
    sent = attrs.evolve(message("tested"), content=b"x" * size + b"\r\n")
    try:
        await CancelledAt(transport.send(sent), number)
        completed = True
    except asyncio.CancelledError:
        completed = False
        # A cancelled task would be woken after asyncio has taken its sockets off the selector; so is this one.
        await asyncio.sleep(0)
    async with asyncio.timeout(120):
        await transport.send(message("next"))
    accepted = [each.mail_from.partition("@")[0] for each in server.accepted]
    # What was cancelled may have been accepted, but once and whole; what came to its end was.
    assert sorted(accepted) in [sorted([*names, "tested"]), *([] if completed else [sorted(names)])]
    assert all(each.content == sent.content for each in server.accepted if each.mail_from == sent.mail_from)
    # Of the server's tasks one for each open connection is left, of the transport's none.
    async with asyncio.timeout(120):
        while server.open_now > 1 or len(asyncio.all_tasks() - before) > server.open_now:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    return completed
