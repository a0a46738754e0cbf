"""`seslimit feedback`: bounces, complaints and the rest of what SES tells, until it is interrupted."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from rich.console import Console

from .._model.errors import ConfigurationError
from ..companion._address import Address
from ._ending import Status
from ._serving import print_line, serve
from ._signals import stop_signals
from ._web import observer, shown_live

if TYPE_CHECKING:
    from ..feedback import Counts, Destination, Feed, SNSEndpoint, SQSSource

API_USER = "SESLIMIT_LISTMONK_API_USER"
API_TOKEN = "SESLIMIT_LISTMONK_API_TOKEN"  # noqa: S105  # a variable's name
WEBHOOK_SECRET = "SESLIMIT_WEBHOOK_SECRET"  # noqa: S105  # likewise


@attrs.frozen(kw_only=True)
class FeedbackCommand:
    """
    What `seslimit feedback` is asked to do.

    Args:
        listen: HOST:PORT for SNS; port 0 takes a free one.
        topic: ARNs of the topics that are believed.
        queue: sqs:// URL of a queue, instead of or beside `listen`.
        listmonk: listmonk's root URL.
        webhook: URL of the user's.
        file: JSON lines.
        suppression: a list that gets the addresses which bounced for good or complained.
        outbox: the outbox whose messages they are about; it writes down what came back.
        seen: remembers over restarts what was delivered.
        sns_certificate: file with the certificate that is believed, and no other.
        allow_sha1: whether signatures of version 1 are believed.
        web: where the live page is; None for none.
        as_json: whether the address and the end are JSON.
    """

    listen: str | None = None
    topic: Sequence[str] = ()
    queue: str | None = None
    listmonk: str | None = None
    webhook: str | None = None
    file: str | None = None
    suppression: str | None = None
    outbox: str | None = None
    seen: str | None = None
    sns_certificate: str | None = None
    allow_sha1: bool = False
    web: str | None = None
    as_json: bool = False


async def feedback(command: FeedbackCommand, console: Console) -> int:
    """
    Take events until a signal comes; the totals are the last thing that is printed.

    Args:
        command: what to do.
        console: where to print.

    Returns:
        the exit status.

    Raises:
        ConfigurationError: an option is wrong or missing, the address or the queue cannot be had, or the extra
            `seslimit[feedback]` is not installed.
    """
    _check(command)
    stopped = asyncio.Event()
    async with AsyncExitStack() as stack:
        observers = observer(command.web, "feedback")
        feed = await stack.enter_async_context(feed_of(command, [each.on_feedback for each in observers]))
        with stop_signals(stopped.set, Status.ALL_ACCEPTED):
            if command.listen is not None:
                await _listen(command, command.listen, feed, stack, console)
            told = None if command.as_json else lambda line: print_line(console, line)
            await stack.enter_async_context(shown_live(command.web, observers, None, told))
            reading = read_queue(command.queue, feed, stopped)
            try:
                await serve(stopped, lambda: _told(feed.counts), told, before=_told(feed.counts))
            finally:
                stopped.set()
                await reading
    print_line(console, json.dumps(attrs.asdict(feed.counts)) if command.as_json else _told(feed.counts))
    return Status.ALL_ACCEPTED


def _check(command: FeedbackCommand) -> None:
    if command.listen is None and command.queue is None:
        raise ConfigurationError("nothing to read from: give --listen with --topic, or --queue.")
    if command.listen is not None and not command.topic:
        raise ConfigurationError("--listen needs --topic: the ARN of the SNS topic whose events are to be believed.")
    if command.topic and command.listen is None:
        raise ConfigurationError("--topic goes with --listen: a queue's own policy says who may write to it.")
    if not (command.listmonk or command.webhook or command.file or command.suppression or command.outbox):
        raise ConfigurationError("nowhere to go: give --listmonk, --webhook, --file, --suppression or --outbox.")


def feed_of(command: FeedbackCommand, hooks: Iterable[Callable[[Any], Awaitable[object]]]) -> Feed:
    """
    Where the events of a command go.

    Args:
        command: names the destinations.
        hooks: hear every event as well.

    Raises:
        ConfigurationError: a destination is wrong, or the extra `seslimit[feedback]` is not installed.
    """
    try:
        import cryptography  # noqa: F401  # only whether it is there

        from ..feedback import Feed, JSONLines, Listmonk, SeenFile, Suppressing, Webhook, suppression_from_url
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("cryptography", "aiohttp"):
            raise
        raise ConfigurationError(
            f"feedback needs the package {error.name}: run  pip install 'seslimit[feedback]'."
        ) from None
    destinations: list[Destination] = []
    if command.listmonk is not None:
        user, token = os.environ.get(API_USER, ""), os.environ.get(API_TOKEN, "")
        destinations.append(Listmonk(command.listmonk, user, token))
    if command.webhook is not None:
        if not (secret := os.environ.get(WEBHOOK_SECRET, "")):
            raise ConfigurationError(f"--webhook needs a secret that signs what is posted: set {WEBHOOK_SECRET}.")
        destinations.append(Webhook(command.webhook, secret))
    if command.file is not None:
        destinations.append(JSONLines(command.file))
    if command.suppression is not None:
        destinations.append(Suppressing(suppression_from_url(command.suppression)))
    if command.outbox is not None:
        from ..feedback import OutboxLedger
        from ..outbox import Outbox

        destinations.append(OutboxLedger(Outbox(command.outbox)))
    return Feed(destinations, hooks=hooks, seen=None if command.seen is None else SeenFile(command.seen))


async def _listen(command: FeedbackCommand, listen: str, feed: Feed, stack: AsyncExitStack, console: Console) -> None:
    address = Address.parse(listen)
    endpoint = endpoint_of(command, feed, host=address.host, port=address.port)
    await stack.enter_async_context(endpoint)
    at = attrs.evolve(address, port=endpoint.port)
    if command.as_json:
        print_line(console, json.dumps({"listen": str(at), "url": f"http://{at}/sns"}))
    else:
        print_line(console, f"SNS posts to http://{at}/sns, through a proxy with HTTPS; Ctrl-C ends it.")


def endpoint_of(command: FeedbackCommand, feed: Feed, **address: Any) -> SNSEndpoint:
    """
    What takes the posts of SNS for a command.

    Raises:
        ConfigurationError: a topic is none, or the certificate cannot be read.
    """
    from ..feedback import SNSEndpoint

    return SNSEndpoint(
        feed,
        command.topic,
        **address,
        signature_versions=("1", "2") if command.allow_sha1 else ("2",),
        fetch=None if command.sns_certificate is None else fixed_certificate(command.sns_certificate),
    )


def fixed_certificate(file: str) -> Callable[[str], Awaitable[bytes]]:
    """
    What stands in for SNS's own certificate and confirmations, without a request to anybody.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    try:
        certificate = Path(file).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}.") from None

    async def fetch(url: str) -> bytes:
        return certificate

    return fetch


def read_queue(queue: str | None, feed: Feed, stopped: asyncio.Event) -> asyncio.Future[None]:
    """Begin to read the queue, where there is one; a queue that cannot be read ends the command."""
    if queue is None:
        nothing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        nothing.set_result(None)
        return nothing
    from ..feedback import SQSOptions, SQSSource

    source = SQSSource(feed, SQSOptions.from_url(queue))
    return asyncio.ensure_future(_until(source, stopped))


async def _until(source: SQSSource, stopped: asyncio.Event) -> None:
    reading = asyncio.ensure_future(source.run())
    reading.add_done_callback(lambda _: stopped.set())
    await stopped.wait()
    source.stop()
    await reading


def _told(counts: Counts) -> str:
    parts = [f"{counts.taken:,} events taken", f"{counts.delivered:,} delivered"]
    others = ("again", "refused", "not_taken", "invalid")
    parts += [f"{getattr(counts, name):,} {name.replace('_', ' ')}" for name in others if getattr(counts, name)]
    return ", ".join(parts)
