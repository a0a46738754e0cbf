"""
What the command line and the relay cost: `python -m benchmarks.surfaces [--rounds N]`.

The command line beside `Sender`: a list of JSON lines by `seslimit send`, and the same messages by a program of ten
lines, both as processes of their own to a server that takes everything; the CPU of the whole process, imports included.
The relay beside aiosmtpd: a client that pipelines an envelope (MAIL, RCPT, RCPT, RSET) and waits for the replies.
Ratios count; the figures are this machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink as Nobody

from seslimit import Limiter
from seslimit.companion.relay import Relay, RelayOptions
from seslimit.testing import FakeTransport

from .sink_process import Sink, sinking

MESSAGES = 5_000
CONNECTIONS, ENVELOPES = 4, 90  # fewer than a hundred: the relay takes no more commands in a row that lead to nothing
ENVELOPE = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<c@example.net>\r\nRSET\r\n"
TEXT = "Hi, how are you?\n" * 100

PROGRAM = """
import asyncio, sys
from seslimit import Limiter, Message, Sender, transport_from_url
content = ("From: news@example.org\\r\\nTo: reader@example.net\\r\\nSubject: Hello\\r\\n\\r\\n"
           + "Hi, how are you?\\r\\n" * 100).encode()
messages = (Message("news@example.org", ["reader@example.net"], content, key=n) for n in range(int(sys.argv[2])))
async def main():
    async with Sender(transport_from_url(sys.argv[1]), limiter=Limiter(rate=1e6)) as sender:
        async for report in sender.send_many(messages):
            assert report.outcome == "accepted"
asyncio.run(main())
"""


def cpu_of(command: list[str]) -> float:
    """Seconds of CPU that a process used."""
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def command_line(sink: Sink, rounds: int) -> None:
    """Print the CPU of `seslimit send` beside that of the program."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "list.jsonl")
        line = {"from": "news@example.org", "to": ["reader@example.net"], "subject": "Hello", "text": TEXT}
        listed.write_text("".join(json.dumps({"key": str(n), **line}) + "\n" for n in range(MESSAGES)))
        url = sink.smtp_url
        main = "from seslimit.cli import main; main()"
        ours = [sys.executable, "-c", main, "send", str(listed), "--to", url, "--rate", "1000000", "--json"]
        bare = [sys.executable, "-c", PROGRAM, url, str(MESSAGES)]
        pairs = [(cpu_of(ours), cpu_of(bare)) for _ in range(rounds)]
    ours_cpu, bare_cpu = (statistics.median(column) for column in zip(*pairs, strict=True))
    each = 1e6 / MESSAGES
    print(f"| command line, {MESSAGES:,} messages | {ours_cpu * each:.0f} µs | {bare_cpu * each:.0f} µs "
          f"| {ours_cpu / bare_cpu:.2f} |", flush=True)  # fmt: skip


def envelopes(port: int) -> float:
    """Milliseconds that a pipelined envelope takes: the median."""
    return statistics.median(took for _ in range(CONNECTIONS) for took in envelopes_on_one(port))


def envelopes_on_one(port: int) -> Iterator[float]:
    """The same of each on one connection."""
    with socket.create_connection(("127.0.0.1", port)) as client, client.makefile("rb") as replies:
        replies.readline()
        client.sendall(b"EHLO [127.0.0.1]\r\n")
        while replies.readline()[3:4] == b"-":
            pass
        for _ in range(ENVELOPES):
            began_at = time.perf_counter()
            client.sendall(ENVELOPE)
            for _ in range(ENVELOPE.count(b"\n")):
                assert replies.readline().startswith(b"250")
            yield (time.perf_counter() - began_at) * 1000


@contextmanager
def aiosmtpd() -> Iterator[int]:
    """A server of aiosmtpd in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as free:  # it cannot look for one itself
        port = free.getsockname()[1]
    controller = Controller(Nobody(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


async def in_relay(measure: Callable[[int], float]) -> float:
    """Measure a relay that sends to nobody, from another thread."""
    async with Relay(FakeTransport(), RelayOptions(listen="127.0.0.1:0"), limiter=Limiter(rate=1e6)) as relay:
        return await asyncio.to_thread(measure, relay.port)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print("| what | seslimit | beside it | ratio |\n|---|---|---|---|")
    with sinking() as sink:
        command_line(sink, rounds)
    pairs = []
    for _ in range(rounds):
        ours = asyncio.run(in_relay(envelopes))
        with aiosmtpd() as port:
            pairs.append((ours, envelopes(port)))
    relay, beside = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"| pipelined envelope | {relay:.2f} ms | aiosmtpd: {beside:.2f} ms | {relay / beside:.2f} |")


if __name__ == "__main__":
    main()
