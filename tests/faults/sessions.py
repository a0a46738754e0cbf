"""
Long sending over short sessions: `python -m tests.faults.sessions [--count N] [--seed N]`.

1,500 messages through `Sender` to the simulator in another process, which ends each session after 50 messages, allows 6
connections, closes what is idle for 3 seconds, leaves a refused transaction open (MAIL without RSET gets 503), tells
nobody its rate, and lowers it to a fifth on the way. Once with a client of default options, and twice with one that
would keep its connections for longer, so that the service ends them: at MAIL, and at the final dot. Every reply of the
service is counted on the wire, by a relay between the two. The exit status is 1 where a promise is broken.

What it does not show: a network, and when SES itself ends a session, which it does not document.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Literal
from urllib.parse import urlsplit

import attrs

from seslimit import Message, Report, Sender, transport_from_url
from seslimit.testing import Schedule, SMTPRules

from .simulator_process import Outside, simulated

COUNT = 1_500
MOST_ATTEMPTS = 1.01
"""Counted attempts a message."""

# The account and its service


@attrs.frozen(kw_only=True)
class Service:
    """
    How the service is, for the whole of a run.

    Args:
        rate: recipients/s at first.
        lower: recipients/s later.
        lowered: seconds after which it is lowered.
        cap: messages of one session.
        connections: at a time.
        idle: seconds without a command after which a session ends.
        latency: seconds before each reply, lowest and highest.
    """

    rate: float = 100.0
    lower: float = 20.0
    lowered: float = 9.0
    cap: int = 50
    connections: int = 6
    idle: float = 3.0
    latency: tuple[float, float] = (0.005, 0.015)


@attrs.frozen
class Client:
    """
    How the client is.

    Args:
        name: what it is.
        options: of its URL.
        cap_at: where the service ends a session.
    """

    name: str
    options: str
    cap_at: Literal["mail", "rset", "dot"] = "mail"


CLIENTS = (
    Client("default options", ""),
    Client("cap not known, ends at MAIL", "&max_messages_per_connection=1000"),
    Client("cap not known, ends at the dot", "&max_messages_per_connection=1000", "dot"),
)


@attrs.define(eq=False)
class Relay:
    """Passes bytes on between clients and the service, and counts the service's replies."""

    to: int
    port: int = 0
    replies: Counter[str] = attrs.field(factory=Counter)
    """Code and words of each reply → how often it came."""
    resets: int = 0
    """RSET commands, without which a refusal would be followed by 503."""
    opened: int = 0
    _tasks: set[asyncio.Task[None]] = attrs.field(factory=set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen, on a port that is then known."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.opened += 1
        answers, onward = await asyncio.open_connection("127.0.0.1", self.to)
        try:
            asking = asyncio.ensure_future(self._pass(reader, onward, self._asked))
            answering = asyncio.ensure_future(self._pass(answers, writer, self._answered))
            await asyncio.wait((asking, answering), return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                # What the service said last is on its way.
                writer.close()
            asking.cancel()
            answering.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            onward.transport.abort()
            if not writer.is_closing():
                writer.transport.abort()
            self._tasks.discard(task)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: Callable[[list[bytes]], None]
    ) -> None:
        unread = b""
        # Either end may break off.
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                *lines, unread = (unread + data).split(b"\r\n")
                note(lines)

    def _asked(self, lines: list[bytes]) -> None:
        self.resets += lines.count(b"RSET")

    def _answered(self, lines: list[bytes]) -> None:
        self.replies.update(line.decode("latin-1") for line in lines if line[3:4] != b"-")

    def count(self, begin: str, words: str = "") -> int:
        """How many replies began with a code, and held some words."""
        return sum(count for reply, count in self.replies.items() if reply.startswith(begin) and words in reply)


@attrs.frozen
class Run:
    """
    What came of a run.

    Args:
        client: who sent.
        count: messages.
        reports: of the sender.
        accepted: messages by the service's ledger, each once.
        doubled: acceptances beyond the first of a message.
        throttled: by the service's ledger.
        relay: has counted the replies.
        seconds: how long it took.
        failure: what ended it early; empty where nothing did.
    """

    client: Client
    count: int
    reports: list[Report]
    accepted: int
    doubled: int
    throttled: int
    relay: Relay
    seconds: float
    failure: str = ""

    @property
    def lost(self) -> int:
        """Messages that are not accepted, or were only said to be."""
        said = sum(report.outcome == "accepted" for report in self.reports)
        return self.count - min(said, self.accepted)

    @property
    def attempts(self) -> float:
        """Counted attempts a message; throttles are none."""
        return sum(report.attempts for report in self.reports) / self.count

    @property
    def out_of_order(self) -> int:
        """503 replies."""
        return self.relay.count("503")

    @property
    def broken(self) -> list[str]:
        """The promises that are."""
        promises = {
            "nothing lost": self.lost == 0,
            "nothing doubled": self.doubled == 0,
            "counted attempts within 1 %": 1.0 <= self.attempts <= MOST_ATTEMPTS,
            "no 503": self.out_of_order == 0,
            f"all were sent ({self.failure})": not self.failure,
        }
        return [promise for promise, kept in promises.items() if not kept]

    def row(self) -> str:
        """What is printed."""
        cells = (
            self.client.name,
            f"{self.accepted:,} of {self.count:,}",
            self.lost,
            self.doubled,
            f"{self.attempts:.4f}",
            self.throttled,
            self.relay.resets,
            self.out_of_order,
            f"{self.relay.count('421', 'session')} cap, {self.relay.count('421', 'concurrent')} connections",
            self.relay.count("451"),
            self.relay.count("220"),
            f"{self.seconds:.1f}",
        )
        return f"| {' | '.join(map(str, cells))} |"


HEAD = (
    "| client | accepted | lost | doubled | counted attempts a message | throttles | RSET | 503 | 421 | 451 idle "
    f"| sessions | seconds |\n{'|---' * 12}|"
)


def messages(count: int) -> Iterator[Message]:
    """The messages, each with a key that the simulator knows it by."""
    for number in range(count):
        content = f"X-Seslimit-Key: {number}\r\nFrom: news@example.org\r\n\r\nHi!\r\n".encode()
        yield Message("news@example.org", ["reader@example.net"], content, number)


async def send(client: Client, service: Outside, count: int, *, progress: bool) -> Run:
    """Send through the relay."""
    relay = Relay(service.smtp_port)
    reports, failure = list[Report](), ""
    begin = time.perf_counter()
    async with relay.running():
        login = urlsplit(service.smtp_url).netloc.rpartition("@")[0]
        url = f"smtp://{login}@127.0.0.1:{relay.port}?tls=none{client.options}"
        async with Sender(transport_from_url(url)) as sender:
            try:
                async for report in sender.send_many(messages(count)):
                    reports.append(report)
                    if progress and len(reports) % max(1, count // 5) == 0:
                        print(f"{client.name}: {len(reports):,} messages", file=sys.stderr, flush=True)
            except Exception as error:  # noqa: BLE001 - printed, and a promise broken
                failure = repr(error)
        seconds = time.perf_counter() - begin
    counts, doubled = service.counts(), service.doubled()
    return Run(client, count, reports, counts.accepted - doubled, doubled, counts.throttled, relay, seconds, failure)


def play(client: Client, service: Service, count: int, seed: int, *, progress: bool = False) -> Run:
    """One run, with a simulator of its own."""
    # The limiter's jitter is drawn from the global numbers.
    random.seed(seed)
    rules = SMTPRules(
        idle_timeout=service.idle,
        session_cap=service.cap,
        session_cap_at=client.cap_at,
        max_connections=service.connections,
        sticky=True,
    )
    rate = Schedule(((0, service.rate), (service.lowered, service.lower)))
    with simulated(rate=rate, smtp=rules, latency=service.latency, ledger_limit=0, seed=seed) as outside:
        return asyncio.run(send(client, outside, count, progress=progress))


def main(arguments: list[str]) -> int:
    """Print a row for each client; 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=COUNT, help="messages of each run")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    # That it makes do with fewer connections is logged, and expected.
    logging.disable(logging.CRITICAL)
    print(HEAD, flush=True)
    broken = False
    for client in CLIENTS:
        run = play(client, Service(), asked.count, asked.seed, progress=True)
        print(run.row(), flush=True)
        for promise in run.broken:
            broken = True
            print(f"broken: {promise}", flush=True)
    return int(broken)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
