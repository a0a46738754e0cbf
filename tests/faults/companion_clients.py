"""
Clients of a mail server in processes of their own: a bare one that is as fast as it goes, and a crowd that is hostile.

`spawned` starts one and gives the pipe that it is told things through. Nothing here knows what is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import aiosmtplib
import attrs

CONTENT = b"From: news@example.org\r\nTo: reader@example.net\r\nSubject: Hello\r\n\r\n" + b"Hi, how are you?\r\n" * 100
MAIL_FROM, RECIPIENT = "news@example.org", "reader@example.net"


@contextlib.contextmanager
def spawned(target: Callable[..., None], *arguments: Any) -> Iterator[tuple[Connection, int]]:
    """A process that runs `target(pipe, *arguments)`: our end of the pipe, and its id."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=target, args=(there, *arguments), daemon=True)
    process.start()
    there.close()
    assert process.pid is not None
    try:
        yield here, process.pid
    finally:
        process.terminate()
        process.join()


# What a process has used


def cpu(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int, *, peak: bool = False) -> float:
    """MiB that a process has in memory now, or had at most."""
    wanted = "VmHWM:" if peak else "VmRSS:"
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(wanted)) / 1024


# The bare one


def bare(pipe: Connection, port: int, connections: int, login: tuple[str, str] | None) -> None:
    """For each count that comes through the pipe, send so many messages; the answer is seconds, and those of CPU."""
    while True:
        count = pipe.recv()
        wall, used = time.perf_counter(), time.process_time()
        asyncio.run(_send(port, count, connections, login))
        pipe.send((time.perf_counter() - wall, time.process_time() - used))


async def _send(port: int, count: int, connections: int, login: tuple[str, str] | None) -> None:
    left = iter(range(count))

    async def worker() -> None:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False, timeout=300)
        await client.connect()
        if login is not None:
            await client.login(*login)
        for _ in left:
            await client.sendmail(MAIL_FROM, [RECIPIENT], CONTENT)
        await client.quit()

    await asyncio.gather(*(worker() for _ in range(connections)))


# The hostile ones

Attack = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What is done on one connection until the server ends it."""

GIGABYTE = 10**9
PIECE = b"x" * 998 + b"\r\n"
AGAIN = 0.5
"""Seconds from the end of a connection to the next one."""


async def _silence(reader: asyncio.StreamReader) -> None:
    """Read what comes, and say nothing more."""
    with contextlib.suppress(OSError):
        while await reader.read(65536):
            pass


async def _opened(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *lines: bytes) -> None:
    await reader.readline()
    for line in lines:
        writer.write(line + b"\r\n")
        while (await reader.readline())[3:4] == b"-":
            pass


async def idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say hello, and then nothing."""
    await _opened(reader, writer, b"EHLO idle")
    await _silence(reader)


async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A whole message, a byte a second."""
    silence = asyncio.create_task(_silence(reader))
    dialogue = b"EHLO slow\r\nMAIL FROM:<slow@example.org>\r\nRCPT TO:<slow@example.net>\r\nDATA\r\n"
    for byte in itertools.chain(dialogue, itertools.cycle(b"Hello! ")):
        if silence.done():
            return
        writer.write(bytes([byte]))
        await asyncio.sleep(1.0)


async def half_command(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The first half of a command."""
    await _opened(reader, writer, b"EHLO half")
    writer.write(b"MAIL FROM:<half@exam")
    await _silence(reader)


async def half_content(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The first half of a content."""
    await _opened(reader, writer, b"EHLO half", b"MAIL FROM:<half@example.org>", b"RCPT TO:<half@example.net>", b"DATA")
    writer.write(CONTENT[: len(CONTENT) // 2])
    await _silence(reader)


async def endless_line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A command that does not end."""
    await _opened(reader, writer)
    silence = asyncio.create_task(_silence(reader))
    while not silence.done():
        writer.write(b"E" * 65536)
        await writer.drain()


async def gigabyte(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A content of 1 GB, and its end."""
    await _opened(reader, writer, b"EHLO big", b"MAIL FROM:<big@example.org>", b"RCPT TO:<big@example.net>", b"DATA")
    silence = asyncio.create_task(_silence(reader))
    for _ in range(GIGABYTE // (len(PIECE) * 64)):
        if silence.done():
            return
        writer.write(PIECE * 64)
        await writer.drain()
    writer.write(b".\r\n")
    await silence


async def ten_thousand_recipients(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One message for ten thousand recipients, without waiting for a reply, that is taken back at the end."""
    await _opened(reader, writer, b"EHLO many", b"MAIL FROM:<many@example.org>")
    silence = asyncio.create_task(_silence(reader))
    for number in range(10_000):
        if silence.done():
            return
        writer.write(b"RCPT TO:<many%d@example.net>\r\n" % number)
        await writer.drain()
    writer.write(b"RSET\r\n")
    await writer.drain()
    await silence


@attrs.frozen
class Crowd:
    """How many of each do it at the same time."""

    attacks: tuple[tuple[Attack, int], ...] = (
        (idle, 200),
        (slow, 50),
        (half_command, 3),
        (half_content, 3),
        (endless_line, 4),
        (gigabyte, 5),
        (ten_thousand_recipients, 5),
    )


def hostile(pipe: Connection, port: int, crowd: Crowd) -> None:
    """Do it, again and again, until something comes through the pipe; the answer is how many connections each made."""
    asyncio.run(_besiege(pipe, port, crowd))


async def _besiege(pipe: Connection, port: int, crowd: Crowd) -> None:
    made = Counter[str]()

    async def client(attack: Attack) -> None:
        while True:
            with contextlib.suppress(OSError, EOFError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                made[getattr(attack, "__name__", "")] += 1
                try:
                    await attack(reader, writer)
                finally:
                    writer.transport.abort()
            await asyncio.sleep(AGAIN)

    clients = [asyncio.create_task(client(attack)) for attack, count in crowd.attacks for _ in range(count)]
    told = asyncio.Event()
    asyncio.get_running_loop().add_reader(pipe.fileno(), told.set)
    await told.wait()
    asyncio.get_running_loop().remove_reader(pipe.fileno())
    for task in clients:
        task.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    pipe.send(dict(made))
