"""
seslimit beside what people use: `python -m benchmarks.peers [--quick]` (or `nox -s bench`).

Every peer sends the same messages to a fresh simulator with the same hidden limit, one after the other in one run. What
it counts is taken at the simulator, so attempts that a client hides are in it. It writes the table and the plot of
docs/benchmarks.md. What it does not show: a network, and the real bucket of SES, whose depth is not published.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiolimiter
import aiosmtplib
import attrs
import backoff
import boto3
import botocore.exceptions
import matplotlib as mpl
from botocore.config import Config
from tests.faults.simulator_process import Outside, simulated

from seslimit import Limiter, Message, Sender, transport_from_url
from seslimit.testing import APIRules, Schedule

DOCS = Path(__file__).parent.parent / "docs"
THREADS = 50
CONNECTIONS = 10
LATENCY = 0.02
"""Seconds before each reply of either door."""


@attrs.frozen(kw_only=True)
class Work:
    """
    What is to be sent, and the limit that nobody is told but those who ask.

    Args:
        name: of the work, in the table.
        rate: the send rate, recipients/s, in steps of (second, rate).
        depth: seconds of the rate that the bucket holds.
        count: messages.
        asks: whether GetAccount answers.
    """

    name: str
    rate: tuple[tuple[float, float], ...]
    depth: float
    count: int
    asks: bool = True


WORKS = (
    Work(name="14/s", rate=((0, 14),), depth=1, count=280),
    Work(name="1/s, one token", rate=((0, 1),), depth=0, count=30),
    Work(name="200/s", rate=((0, 200),), depth=1, count=3000),
    Work(name="100, then 50, then 150/s", rate=((0, 100), (12, 50), (24, 150)), depth=1, count=4200, asks=False),
)
PLOTTED = WORKS[-1]
QUICK = (Work(name="100/s", rate=((0, 100),), depth=1, count=300),)

MAIL_FROM, RECIPIENT = "news@example.org", "reader@example.net"


def content(number: int) -> bytes:
    return f"X-Seslimit-Key: {number}\r\nFrom: {MAIL_FROM}\r\nSubject: Hello\r\n\r\nHi!\r\n".encode()


def messages(count: int) -> Iterator[Message]:
    return (Message(MAIL_FROM, (RECIPIENT,), content(number), number) for number in range(count))


def seslimit_over(door: str, *, told: bool = False) -> Callable[[Work, Outside], None]:
    """Send as the README says; over SMTP the rate has to be found, unless it is told that of the first second."""

    async def send(work: Work, service: Outside) -> None:
        url = service.ses_url if door == "api" else service.smtp_url
        limiter = Limiter(rate=work.rate[0][1] if told else None)
        async with Sender(transport_from_url(url), limiter=limiter) as sender:
            async for _ in sender.send_many(messages(work.count)):
                pass

    return lambda work, service: asyncio.run(send(work, service))


def boto3_in(mode: Any) -> Callable[[Work, Outside], None]:
    """One client for 50 threads, with the SDK's own retries."""

    def send(work: Work, service: Outside) -> None:
        config = Config(retries={"mode": mode}, max_pool_connections=THREADS)
        client = boto3.client("sesv2", region_name="us-east-1", endpoint_url=service.api_url, config=config)

        def one(number: int) -> None:
            with suppress(botocore.exceptions.ClientError):  # the retries are used up: the message is lost
                client.send_email(
                    FromEmailAddress=MAIL_FROM,
                    Destination={"ToAddresses": [RECIPIENT]},
                    Content={"Raw": {"Data": content(number)}},
                )

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(one, range(work.count)))

    return send


def three_libraries(work: Work, service: Outside) -> None:
    """Use AsyncLimiter at the rate of the first second, backoff's decorator and aiosmtplib, as people do."""

    async def send() -> None:
        limiter = aiolimiter.AsyncLimiter(work.rate[0][1], 1)
        left = iter(range(work.count))

        async def worker() -> None:
            client = aiosmtplib.SMTP(hostname="127.0.0.1", port=service.smtp_port, start_tls=False)
            await client.connect()
            await client.login("user", "password")

            @backoff.on_exception(backoff.expo, aiosmtplib.SMTPException, max_tries=3)
            async def attempt(number: int) -> None:
                async with limiter:
                    await client.rset()
                    await client.sendmail(MAIL_FROM, [RECIPIENT], content(number))

            for number in left:
                with suppress(aiosmtplib.SMTPException):
                    await attempt(number)
            await client.quit()

        await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))

    asyncio.run(send())


def django_ses_default(work: Work, service: Outside) -> None:
    """django-ses with its own throttling, at its default of half the rate."""
    import django.conf

    if not django.conf.settings.configured:
        django.conf.settings.configure(USE_SES_V2=True, AWS_SES_REGION_NAME="us-east-1")
    import django_ses
    from django.core.mail import EmailMessage

    django_ses.cached_rate_limits.clear()
    backend = django_ses.SESBackend(
        aws_region_endpoint=service.api_url, aws_access_key="simulated", aws_secret_key="simulated", use_ses_v2=True
    )
    backend.open()
    for _ in range(work.count):
        with suppress(botocore.exceptions.ClientError):
            backend.send_messages([EmailMessage("Hello", "Hi!", MAIL_FROM, [RECIPIENT])])


PEERS: dict[str, Callable[[Work, Outside], None]] = {
    "seslimit, SES API": seslimit_over("api"),
    "seslimit, SMTP": seslimit_over("smtp"),
    "seslimit, SES API, told the first rate": seslimit_over("api", told=True),
    "boto3 adaptive": boto3_in("adaptive"),
    "boto3 standard": boto3_in("standard"),
    "aiolimiter + backoff + aiosmtplib": three_libraries,
    "django-ses": django_ses_default,
}


@attrs.frozen
class Result:
    """What the simulator counted while a peer worked."""

    work: Work
    peer: str
    seconds: float
    accepted: int
    refused: int
    timeline: list[int]

    def row(self) -> str:
        allowed = Schedule(self.work.rate).integral(0, self.seconds)
        cells = (
            self.peer,
            f"{self.seconds:.1f} s",
            str(self.work.count - self.accepted),
            str(self.refused),
            f"{self.accepted / self.seconds:.1f}/s",
            f"{min(1.0, self.accepted / allowed):.0%}",
            str(max(self.timeline)),
        )
        return f"| {' | '.join(cells)} |"


def measured(work: Work, peer: str) -> Result:
    """Let a peer do the work."""
    # Those who cannot do without GetAccount may ask it; the others are not told what the work keeps from them.
    told = work.asks or peer == "django-ses"
    with simulated(
        rate=Schedule(work.rate),
        depth=work.depth,
        latency=LATENCY,
        api=APIRules(get_account="allowed" if told else "denied", max_send_rate=work.rate[0][1]),
        ledger_limit=0,
    ) as service:
        begin = time.perf_counter()
        PEERS[peer](work, service)
        seconds = time.perf_counter() - begin
        counts = service.counts()
        timeline = [service.tally(second, second + 1).recipients for second in range(int(seconds) + 1)]
    return Result(work, peer, seconds, counts.accepted, counts.throttled, timeline)


HEAD = (
    "| {name}: {count:,} messages | time | lost | refused | accepted | of what was allowed | most in a second |\n"
    "|---|---|---|---|---|---|---|"
)


def plot(results: list[Result], path: Path) -> None:
    """Accepted recipients a second over time, with the limit that was hidden."""
    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "seslimit", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(results), 1, figsize=(8, 1.45 * len(results)), sharex=True, sharey=True)
    end = max(len(result.timeline) for result in results)
    edges = [second for second, _ in PLOTTED.rate] + [float(end)]
    for result, axis in zip(results, axes, strict=True):
        axis.stairs(result.timeline, fill=True, color="#3b76af", alpha=0.85)
        axis.stairs([rate for _, rate in PLOTTED.rate], edges, baseline=None, color="#c23b22", linewidth=1.4)
        lost = PLOTTED.count - result.accepted
        axis.set_title(
            f"{result.peer}: {result.seconds:.0f} s, {lost} lost, {result.refused} refused", loc="left", fontsize=9
        )
        axis.set_ylabel("accepted/s")
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("seconds; the red line is the hidden limit")
    axes[-1].set_xlim(0, end)
    axes[-1].set_ylim(0, 320)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def written(page: Path, name: str, text: str) -> None:
    """Put a text between the markers of a page."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="works whose names hold this")
    parser.add_argument("--quick", action="store_true", help="a little work, and nothing is written")
    arguments = parser.parse_args()
    for work in QUICK if arguments.quick else WORKS:
        if arguments.only not in work.name:
            continue
        lines = [HEAD.format(name=work.name, count=work.count)]
        print(lines[0], flush=True)
        results = []
        for peer in PEERS:
            results.append(measured(work, peer))
            lines.append(results[-1].row())
            print(lines[-1], flush=True)
        if not arguments.quick:
            written(DOCS / "benchmarks.md", work.name, "\n".join(lines))
        if work is PLOTTED:
            plot(results, DOCS / "benchmarks.svg")


if __name__ == "__main__":
    main()
