"""
No limit in the way: `python -m benchmarks.throughput [--rounds N]`.

seslimit and a bare client, in turn, several rounds, on as many connections, against a server in another process: a sink
that takes everything, so that it is the client that is waited for, and the simulator too. The ratio of the medians is
what counts; the figures themselves are this machine's. The CPU is that of the client's process.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiosmtplib
import attrs
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from tests.faults.simulator_process import Outside, simulated

from seslimit import Limiter, Message, Sender, transport_from_url

from .sink_process import Sink, sinking

CONNECTIONS = 10
SMTP_MESSAGES, API_MESSAGES = 4_000, 4_000
CONTENT = b"From: news@example.org\r\nTo: reader@example.net\r\nSubject: Hello\r\n\r\n" + b"Hi, how are you?\r\n" * 100
MAIL_FROM, RECIPIENT = "news@example.org", "reader@example.net"


def messages(count: int) -> Iterator[Message]:
    return (Message(MAIL_FROM, (RECIPIENT,), CONTENT, number) for number in range(count))


async def seslimit_smtp(service: Outside | Sink) -> None:
    await _seslimit(f"{service.smtp_url}&max_connections={CONNECTIONS}&max_messages_per_connection=1000", SMTP_MESSAGES)


async def seslimit_ses(service: Outside | Sink) -> None:
    await _seslimit(f"{service.ses_url}&max_connections={CONNECTIONS}", API_MESSAGES)


async def _seslimit(url: str, count: int) -> None:
    limiter = Limiter(rate=1e6)
    async with Sender(transport_from_url(url), limiter=limiter, max_in_flight=CONNECTIONS) as sender:
        async for report in sender.send_many(messages(count)):
            assert report.outcome == "accepted"


async def bare_aiosmtplib(service: Outside | Sink) -> None:
    left = iter(range(SMTP_MESSAGES))

    async def worker() -> None:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=service.smtp_port, start_tls=False)
        await client.connect()
        await client.login("user", "password")
        for _ in left:
            await client.sendmail(MAIL_FROM, [RECIPIENT], CONTENT)
        await client.quit()

    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))


async def bare_aiobotocore(service: Outside | Sink) -> None:
    left = iter(range(API_MESSAGES))
    config = AioConfig(retries={"total_max_attempts": 1}, max_pool_connections=CONNECTIONS)
    session = get_session()
    async with session.create_client(
        "sesv2", region_name="us-east-1", endpoint_url=service.api_url, config=config
    ) as client:

        async def worker() -> None:
            for _ in left:
                await client.send_email(
                    FromEmailAddress=MAIL_FROM,
                    Destination={"ToAddresses": [RECIPIENT]},
                    Content={"Raw": {"Data": CONTENT}},
                )

        await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))


def timed(send: Callable[[Any], Awaitable[None]], service: Outside | Sink, count: int) -> tuple[float, float]:
    """Messages/s, and microseconds of CPU a message."""
    wall, cpu = time.perf_counter(), time.process_time()
    asyncio.run(_awaited(send(service)))
    return count / (time.perf_counter() - wall), (time.process_time() - cpu) / count * 1e6


async def _awaited(sending: Awaitable[None]) -> None:
    await sending


@attrs.frozen
class Pair:
    """Two ways to send as many messages: a bare client's and ours."""

    door: str
    name: str
    bare: Callable[[Any], Awaitable[None]]
    ours: Callable[[Any], Awaitable[None]]
    count: int

    def measure(self, service: Outside | Sink, rounds: int) -> None:
        """Send in turn, and print the medians."""
        timed(self.ours, service, self.count)  # imports, and the server's first connections
        results = [
            (timed(self.bare, service, self.count), timed(self.ours, service, self.count)) for _ in range(rounds)
        ]
        (bare_rate, bare_cpu), (rate, cpu) = (
            tuple(statistics.median(result[who][what] for result in results) for what in (0, 1)) for who in (0, 1)
        )
        print(
            f"| {self.door} | {self.name}: {bare_rate:,.0f}/s | {rate:,.0f}/s | {rate / bare_rate:.2f} "
            f"| {bare_cpu:.0f} and {cpu:.0f} µs |",
            flush=True,
        )


SMTP = ("aiosmtplib", bare_aiosmtplib, seslimit_smtp, SMTP_MESSAGES)
API = ("aiobotocore", bare_aiobotocore, seslimit_ses, API_MESSAGES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print("| door | bare client | seslimit | ratio | CPU a message, bare and seslimit |\n|---|---|---|---|---|")
    with sinking() as sink:
        Pair("SMTP, to a sink", *SMTP).measure(sink, rounds)
        Pair("SES API, to a sink", *API).measure(sink, rounds)
    with simulated(rate=1e9, ledger_limit=0) as service:
        Pair("SMTP, to the simulator", *SMTP).measure(service, rounds)
        Pair("SES API, to the simulator", *API).measure(service, rounds)


if __name__ == "__main__":
    main()
