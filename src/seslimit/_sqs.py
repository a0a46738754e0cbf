"""
A queue of SQS: which one, how it is reached, and requests of ten at a time.

What its messages mean is its users' business: `feedback` reads events from one, `outbox` messages to be sent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs

from ._model.errors import ConfigurationError, printable
from ._model.options import whole
from .transports._url import TransportURL

AT_ONCE = 10
"""Messages of one request, the most that SQS gives, and takes."""

LONG_POLL = 20
"""Seconds that a request waits for a message, the longest that SQS waits."""

VISIBILITY = 60
"""Seconds for which a message that was given is nobody else's."""

LONGEST = 12 * 3600
"""Seconds for which SQS keeps a message from others at most."""

REQUESTS = 8
"""Requests of one kind under way at the same time: 400 messages/s at 0.2 s each."""


@attrs.frozen(kw_only=True)
class SQSOptions:
    """
    Which queue, and how it is reached.

    Args:
        queue: its name.
        region: its Region; that of the AWS configuration when left out.
        endpoint_url: instead of AWS's own.
        wait: seconds that a request waits for a message, 0 to 20.
        visibility: seconds for which a message that was given is nobody else's, 3 to 43,200.
    """

    queue: str
    region: str | None = None
    endpoint_url: str | None = None
    wait: int = LONG_POLL
    visibility: int = VISIBILITY

    @classmethod
    def from_url(cls, url: str) -> SQSOptions:
        """
        The queue that `sqs://QUEUE?region=…&endpoint_url=…&visibility=…` names.

        Raises:
            ConfigurationError: it names none, or has an option that is unknown or out of range.
        """
        parsed = TransportURL.parse(url)
        # Not `parsed.host`, which has no capitals: names of queues do.
        queue = url.partition("://")[2].partition("?")[0].strip("/")
        if parsed.scheme != "sqs" or not queue:
            raise ConfigurationError("a queue is named as sqs://NAME?region=eu-west-1.")
        options = parsed.take("region", "endpoint_url", "visibility")
        visibility = whole("visibility", parsed.number("visibility", VISIBILITY), "seconds", low=3, high=LONGEST)
        return cls(
            queue=queue,
            region=options.get("region"),
            endpoint_url=options.get("endpoint_url"),
            visibility=visibility,
        )


@asynccontextmanager
async def opened(options: SQSOptions, session: Any = None) -> AsyncIterator[tuple[Any, str]]:
    """
    A client, and the queue's URL.

    Raises:
        ConfigurationError: there is no such queue, or it may not be used with these credentials.
    """
    from aiobotocore.config import AioConfig
    from aiobotocore.session import AioSession
    from botocore.exceptions import BotoCoreError, ClientError

    config = AioConfig(
        read_timeout=LONG_POLL + 15,
        connect_timeout=10,
        max_pool_connections=3 * REQUESTS,
        retries={"total_max_attempts": 3},
    )
    # Its annotations know the services whose stubs are installed, and a session is whatever behaves as one.
    made: Any = session or AioSession()
    creating = made.create_client("sqs", region_name=options.region, endpoint_url=options.endpoint_url, config=config)
    try:
        client = await creating.__aenter__()
    except (BotoCoreError, ClientError, ValueError) as error:
        raise ConfigurationError(f"the queue {options.queue} cannot be used: {printable(str(error))}") from error
    try:
        try:
            url = (await client.get_queue_url(QueueName=options.queue))["QueueUrl"]
        except (BotoCoreError, ClientError) as error:
            raise ConfigurationError(f"the queue {options.queue} cannot be used: {printable(str(error))}") from error
        yield client, url
    finally:
        await creating.__aexit__(None, None, None)


@attrs.frozen
class EntryFailed(Exception):  # it says what has become of one entry
    """
    SQS did what a request asked, but not for this entry.

    Args:
        code: SQS's word for it.
        words: in more words.
        ours: whether asking again cannot help.
    """

    code: str
    words: str
    ours: bool


class Batches:
    """
    Entries that go out ten in a request: those that come while requests are under way go together.

    Args:
        request: sends entries, and returns SQS's answer, with `Successful` and `Failed`.
    """

    def __init__(self, request: Callable[[Sequence[Mapping[str, Any]]], Awaitable[Mapping[str, Any]]]) -> None:
        self._request = request
        self._waiting: deque[tuple[Mapping[str, Any], asyncio.Future[None]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    async def one(self, **entry: Any) -> None:
        """
        Send one entry.

        Raises:
            EntryFailed: SQS would not have it.
            Exception: the request failed, with all its entries.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, done))
        if len(self._tasks) < REQUESTS:
            task = asyncio.create_task(self._go())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await done

    async def _go(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            entries = [{"Id": str(number), **entry} for number, (entry, _) in enumerate(batch)]
            try:
                answer = await self._request(entries)
                failed = {each["Id"]: each for each in answer.get("Failed", ())}
            except Exception as error:  # noqa: BLE001  # each of those that wait has to hear of it
                for _, done in batch:
                    _settle(done, error)
                continue
            for number, (_, done) in enumerate(batch):
                one = failed.get(str(number))
                _settle(
                    done,
                    one and EntryFailed(one.get("Code", ""), printable(one.get("Message", "")), one["SenderFault"]),
                )


def _settle(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
