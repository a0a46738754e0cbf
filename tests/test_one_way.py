"""
One way for a message: how often the reader of a trace has to turn to another file.

What is counted are changes of file from one function of seslimit that is entered (or gone on with) to the next, from
`Sender.send` to the receipt, for one message of one recipient over an open connection, while nobody else waits. Those
that are left are layers, each entered for one question: sender, calls, attempts, limiter, line, account, law and its
evidence; transport, pool and session; and twice for each of four commands, since the reply is read in one file and the
next command chosen in the other.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise
from pathlib import Path
from types import FrameType

import pytest

import seslimit
from seslimit import Limiter, Message, Sender
from seslimit.transports.smtp import SMTPTransport

pytestmark = pytest.mark.once

PACKAGE = str(Path(seslimit.__file__).parent)
FAST = 1e6
"""Recipients/s at which nobody waits."""


@contextmanager
def traced() -> Iterator[list[str]]:
    """The functions that are entered meanwhile, each as its file and its name."""
    entered: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            entered.append(f"{frame.f_code.co_filename.removeprefix(PACKAGE)} {frame.f_code.co_name}")

    sys.setprofile(note)
    try:
        yield entered
    finally:
        sys.setprofile(None)


def changes(entered: list[str]) -> int:
    """How often the next one is in another file."""
    return sum(before.split()[0] != after.split()[0] for before, after in pairwise(entered))


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be a service that accepts everything."""
    writer.write(b"220 ready\r\n")
    while line := await reader.readline():
        command = line[:4].upper()
        if command == b"EHLO":
            writer.write(b"250-here\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n")
        elif command == b"AUTH":
            writer.write(b"235 Ok\r\n")
        elif command == b"DATA":
            writer.write(b"354 go on\r\n")
            await reader.readuntil(b"\r\n.\r\n")
            writer.write(b"250 Ok 0100-id\r\n")
        elif command == b"QUIT":
            break
        else:
            writer.write(b"250 Ok\r\n")
    writer.close()


@asynccontextmanager
async def sending() -> AsyncIterator[Sender]:
    """A sender that has sent before, and is logged in."""
    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    transport = SMTPTransport(host, port, user="user", password="a password", tls="none")
    async with Sender(transport, limiter=Limiter(FAST, max_rate=FAST)) as sender:
        for _ in range(3):
            await sender.send(message())
        yield sender
    server.close()
    await server.wait_closed()


def message() -> Message:
    """To one recipient."""
    return Message("news@example.org", ["ada@example.net"], b"From: news@example.org\r\n\r\nHello.\r\n")


async def test_a_message_that_is_sent_changes_files_fifty_times_at_most() -> None:
    """By `Sender.send`."""
    async with sending() as sender:
        one = message()
        with traced() as entered:
            await sender.send(one)
    assert changes(entered) <= 50, "\n".join(entered)


async def test_a_message_of_a_stream_changes_files_fifty_times_at_most_too() -> None:
    """By `Sender.send_many`: its supply, its report, and the one who reads that."""
    reported = asyncio.Event()
    traces: list[list[str]] = []

    async def supply() -> AsyncIterator[Message]:
        yield message()
        await reported.wait()
        one = message()
        with traced() as entered:
            traces.append(entered)
            yield one
            await asyncio.Event().wait()

    async with sending() as sender:
        reports = sender.send_many(supply())
        await anext(reports)
        reported.set()
        await anext(reports)
        sys.setprofile(None)
        entered = list(traces[0])
        await reports.aclose()
    assert changes(entered) <= 50, "\n".join(entered)


async def test_the_sender_is_entered_once() -> None:
    """And gone on with once, when the reply has come."""
    async with sending() as sender:
        one = message()
        with traced() as entered:
            await sender.send(one)
    files = ["", *(call.split()[0] for call in entered)]
    visits = [after for before, after in pairwise(files) if before != after]
    assert visits.count("/_sending/sender.py") == 2
