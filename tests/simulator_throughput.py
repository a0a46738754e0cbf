"""How many messages a second the simulator takes: `python -m tests.simulator_throughput smtp` (or `api`)."""

from __future__ import annotations

import asyncio
import base64
import json
import multiprocessing
import os
import sys
import time

from seslimit.testing import Simulator

MESSAGES = 4000
CONNECTIONS = 8
CONTENT = b"From: a@example.org\r\nSubject: hello\r\n\r\n" + b"Good morning, this is text.\r\n" * 30


async def by_smtp(port: int, number: int) -> None:
    """Hand over messages in one session, on bare streams, so that the client costs as little as it can."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    writer.write(b"EHLO client\r\n")
    while (await reader.readline())[3:4] != b" ":
        pass
    for line in (b"AUTH PLAIN " + base64.b64encode(b"\0user\0password"), b"NOOP"):
        writer.write(line + b"\r\n")
        await reader.readline()
    for _ in range(number):
        for line in (b"MAIL FROM:<a@example.org>", b"RCPT TO:<b@example.org>", b"DATA", CONTENT + b"."):
            writer.write(line + b"\r\n")
            reply = await reader.readline()
        assert reply.startswith(b"250 Ok "), reply
    writer.close()


async def by_api(port: int, number: int) -> None:
    """The same by HTTP."""
    data = base64.b64encode(CONTENT).decode()
    body = json.dumps({"Destination": {"ToAddresses": ["b@example.org"]}, "Content": {"Raw": {"Data": data}}}).encode()
    head = f"POST /v2/email/outbound-emails HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(number):
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in answer, answer
        await reader.readexactly(int(answer.lower().partition(b"content-length: ")[2].split()[0]))
    writer.close()


def flood(door: str, port: int) -> None:
    """Be all clients, in a process of its own."""

    async def clients() -> None:
        client = by_smtp if door == "smtp" else by_api
        await asyncio.gather(*(client(port, MESSAGES // CONNECTIONS) for _ in range(CONNECTIONS)))

    asyncio.run(clients())


async def measure(door: str) -> None:
    """Print messages/s by the clock, and by the simulator's own processor time, which the clients do not touch."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    async with Simulator(1e9, ledger_limit=0) as simulator:
        port = simulator.smtp_port if door == "smtp" else simulator.api_port
        process = multiprocessing.get_context("fork").Process(target=flood, args=(door, port))
        process.start()
        began, used = time.perf_counter(), time.process_time()
        await asyncio.to_thread(process.join)
        seconds, processor = time.perf_counter() - began, time.process_time() - used
        assert simulator.counts.accepted == MESSAGES
    print(  # noqa: T201
        f"{door}: {MESSAGES / seconds:,.0f} messages/s with the clients on the same core; "
        f"{MESSAGES / processor:,.0f} per second of the simulator's processor time"
    )


if __name__ == "__main__":
    asyncio.run(measure(sys.argv[1]))
