"""
Those whom `benchmarks.peers` lets send, each as its documentation or its users have it.

A peer is told where the service is and what rate it has in its first second, and sends every message once, with
whatever it repeats by itself. It must not know how it is judged.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiolimiter
import aiosmtplib
import attrs
import backoff
import boto3
import botocore.exceptions
from botocore.config import Config
from tests.faults.simulator_process import Outside
from tests.listmonk_double import Campaign, MailPool, Postback, Push, subscribers

from seslimit import Limiter, Message, Sender, transport_from_url
from seslimit.companion.listmonk import ListmonkMessenger, ListmonkOptions
from seslimit.companion.relay import Relay, RelayOptions

MAIL_FROM, RECIPIENT = "news@example.org", "reader@example.net"
THREADS = 50
CONNECTIONS = 10


@attrs.frozen(kw_only=True)
class Task:
    """
    What a peer is told.

    Args:
        count: messages.
        rate: recipients/s of the first second, for those that want a constant.
    """

    count: int
    rate: float


Peer = Callable[[Task, Outside], None]


def content(number: int) -> bytes:
    return f"X-Seslimit-Key: {number}\r\nFrom: {MAIL_FROM}\r\nSubject: Hello\r\n\r\nHi!\r\n".encode()


def messages(count: int) -> Iterator[Message]:
    return (Message(MAIL_FROM, (RECIPIENT,), content(number), number) for number in range(count))


def seslimit_over(door: str, *, told: bool = False) -> Peer:
    """Send as the README says; over SMTP the rate has to be found, unless it is told that of the first second."""

    async def send(task: Task, service: Outside) -> None:
        url = service.ses_url if door == "api" else service.smtp_url
        limiter = Limiter(rate=task.rate if told else None)
        async with Sender(transport_from_url(url), limiter=limiter) as sender:
            async for _ in sender.send_many(messages(task.count)):
                pass

    return lambda task, service: asyncio.run(send(task, service))


def boto3_in(mode: Any) -> Peer:
    """One client for 50 threads, with the SDK's own retries."""

    def send(task: Task, service: Outside) -> None:
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
            list(pool.map(one, range(task.count)))

    return send


def three_libraries(task: Task, service: Outside) -> None:
    """Use AsyncLimiter at the rate of the first second, backoff's decorator and aiosmtplib, as people do."""

    async def send() -> None:
        limiter = aiolimiter.AsyncLimiter(task.rate, 1)
        left = iter(range(task.count))

        async def worker() -> None:
            client = aiosmtplib.SMTP(hostname="127.0.0.1", port=service.smtp_port, start_tls=False)

            @backoff.on_exception(backoff.expo, aiosmtplib.SMTPException, max_tries=3)
            async def attempt(number: int) -> None:
                async with limiter:
                    if not client.is_connected:  # not yet, or the service has ended an idle session
                        await client.connect()
                        await client.login("user", "password")
                    await client.rset()
                    await client.sendmail(MAIL_FROM, [RECIPIENT], content(number))

            for number in left:
                with suppress(aiosmtplib.SMTPException):
                    await attempt(number)
            with suppress(aiosmtplib.SMTPException):
                await client.quit()

        await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))

    asyncio.run(send())


def django_ses(task: Task, service: Outside) -> None:
    """django-ses with its own throttling, at its default of half the rate."""
    import django.conf

    if not django.conf.settings.configured:
        django.conf.settings.configure(USE_SES_V2=True, AWS_SES_REGION_NAME="us-east-1")
    import django_ses as package
    from django.core.mail import EmailMessage

    package.cached_rate_limits.clear()
    backend = package.SESBackend(
        aws_region_endpoint=service.api_url, aws_access_key="simulated", aws_secret_key="simulated", use_ses_v2=True
    )
    backend.open()
    for _ in range(task.count):
        with suppress(botocore.exceptions.ClientError):
            backend.send_messages([EmailMessage("Hello", "Hi!", MAIL_FROM, [RECIPIENT])])


NODEMAILER = """
const [host, port, user, pass] = process.argv[1].split(" ");
const [count, rate, connections] = process.argv.slice(2).map(Number);
const transporter = require("nodemailer").createTransport({
    host, port: Number(port), auth: user ? {user, pass} : undefined, ignoreTLS: true,
    pool: true, maxConnections: connections, ...(rate ? {rateLimit: rate, rateDelta: 1000} : {}),
});
const message = {from: "news@example.org", to: "reader@example.net", subject: "Hello", text: "Hi!"};
Promise.allSettled([...Array(count).keys()].map(() => transporter.sendMail(message))).then(() => transporter.close());
"""
"""A pool as its documentation has it, with what SES's users set. Source: nodemailer.com, "Pooled SMTP"."""


def has_nodemailer() -> bool:
    """Whether nodemailer can be run here: `nox -s clients` brings it, and says where it is."""
    return shutil.which("node") is not None and bool(os.environ.get("SESLIMIT_NODE_MODULES"))


async def _nodemailer(where: str, count: int, rate: float) -> None:
    environment = {"PATH": os.environ["PATH"], "NODE_PATH": os.environ["SESLIMIT_NODE_MODULES"]}
    told = [where, str(count), f"{rate:g}", str(CONNECTIONS)]
    process = await asyncio.create_subprocess_exec("node", "-e", NODEMAILER, *told, env=environment)
    try:
        if await process.wait():
            raise RuntimeError("nodemailer could not be run")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def nodemailer_pool(task: Task, service: Outside) -> None:
    """A pool of ten connections with `rateLimit`."""
    asyncio.run(_nodemailer(f"127.0.0.1 {service.smtp_port} user password", task.count, task.rate))


def nodemailer_relayed(task: Task, service: Outside) -> None:
    """The same pool without a rate, to a relay that finds it over SMTP."""

    async def send() -> None:
        transport = transport_from_url(service.smtp_url)
        async with Relay(transport, RelayOptions(listen="127.0.0.1:0"), limiter=Limiter()) as relay:
            await _nodemailer(f"127.0.0.1 {relay.port}", task.count, 0)

    asyncio.run(send())


async def _campaign(task: Task, push: Push) -> None:
    # As many workers as divide the rate, which is how its settings are made to give one.
    workers = next(each for each in (10, 2, 1) if task.rate % each == 0)
    await Campaign(concurrency=workers, message_rate=int(task.rate // workers)).run(subscribers(task.count), push)


def listmonk(task: Task, service: Outside) -> None:
    """A double of listmonk: workers push so many messages each, then sleep for a second; what fails is skipped."""

    async def send() -> None:
        pool = MailPool("127.0.0.1", service.smtp_port, ("user", "password"))
        await _campaign(task, pool.push)
        await pool.aclose()

    asyncio.run(send())


@asynccontextmanager
async def _messenger(service: Outside) -> AsyncIterator[Postback]:
    options = ListmonkOptions(listen="127.0.0.1:0", root_url="https://lists.example.net")
    async with ListmonkMessenger(transport_from_url(service.smtp_url), options, limiter=Limiter()) as messenger:
        client = Postback("127.0.0.1", messenger.port)
        try:
            yield client
        finally:
            await client.aclose()


def listmonk_messenger(task: Task, service: Outside) -> None:
    """The same double at listmonk's default settings, with the messenger, which finds the rate over SMTP."""

    async def send() -> None:
        async with _messenger(service) as client:
            await Campaign().run(subscribers(task.count), client.push)

    asyncio.run(send())


PEERS: dict[str, Peer] = {
    "seslimit, SES API": seslimit_over("api"),
    "seslimit, SMTP": seslimit_over("smtp"),
    "seslimit, SES API, told the first rate": seslimit_over("api", told=True),
    "boto3 legacy": boto3_in("legacy"),
    "boto3 standard": boto3_in("standard"),
    "boto3 adaptive": boto3_in("adaptive"),
    "aiolimiter + backoff + aiosmtplib": three_libraries,
    "django-ses": django_ses,
    "nodemailer pool": nodemailer_pool,
    "nodemailer pool, through the relay": nodemailer_relayed,
    "listmonk's rule": listmonk,
    "listmonk, through the messenger": listmonk_messenger,
}
