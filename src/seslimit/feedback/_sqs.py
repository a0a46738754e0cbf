"""
A queue of SQS that events come from, through SNS, EventBridge or by hand.

Takes messages, hands their events over, and deletes those that are taken. What is not deleted comes again when its
visibility time-out ends, and goes to the queue's dead-letter queue where it has one.

Invariant: a message is deleted only when its event is taken, or when it is none and never will be.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import attrs
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError

from .._model.errors import ConfigurationError, printable
from ..transports._url import TransportURL
from ._envelope import NOTIFICATION
from ._events import Event, InvalidFeedback
from ._feed import Feed, NotTaken
from ._reading import event_of, load, read

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger("seslimit")

AT_ONCE = 10
"""Messages of one request, the most that SQS gives."""

LONG_POLL = 20
"""Seconds that a request waits for a message, the longest that SQS waits."""

VISIBILITY = 60
"""Seconds for which a message that was given is nobody else's: longer than destinations are tried."""

AFTER_ERROR = 5.0
"""Seconds until the queue is asked again after it could not be."""


def read_message(body: str) -> Event:
    """
    The event in a message of a queue: SES's document as it is, in an envelope of SNS, or in EventBridge's.

    The envelope's signature is not asked for: whoever may write to the queue is decided by the queue's policy.

    Raises:
        InvalidFeedback: it is none of them.
    """
    document = load(body)
    if document.get("Type") == NOTIFICATION and isinstance(document.get("Message"), str):
        return read(document["Message"])
    return event_of(document)


@attrs.frozen(kw_only=True)
class SQSOptions:
    """
    Which queue, and how it is reached.

    Args:
        queue: its name.
        region: its Region; that of the AWS configuration when left out.
        endpoint_url: instead of AWS's own.
        wait: seconds that a request waits for a message, 0 to 20.
    """

    queue: str
    region: str | None = None
    endpoint_url: str | None = None
    wait: int = LONG_POLL

    @classmethod
    def from_url(cls, url: str) -> SQSOptions:
        """
        The queue that `sqs://QUEUE?region=…&endpoint_url=…` names.

        Raises:
            ConfigurationError: it names none, or has an option that is unknown.
        """
        parsed = TransportURL.parse(url)
        # Not `parsed.host`, which has no capitals: names of queues do.
        queue = url.partition("://")[2].partition("?")[0].strip("/")
        if parsed.scheme != "sqs" or not queue:
            raise ConfigurationError("a queue is named as sqs://NAME?region=eu-west-1.")
        options = parsed.take("region", "endpoint_url")
        return cls(queue=queue, region=options.get("region"), endpoint_url=options.get("endpoint_url"))


class SQSSource:
    """
    Takes events from a queue until it is stopped.

    Args:
        feed: takes the events.
        options: the queue.
        session: credentials and configuration; aiobotocore's own when left out.
    """

    def __init__(self, feed: Feed, options: SQSOptions, *, session: AioSession | None = None) -> None:
        self._feed = feed
        self._options = options
        self._session: Any = session or AioSession()  # its annotations know the services whose stubs are installed
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Take no more messages; `run` returns when those that were taken have come to their end."""
        self._stopping.set()

    async def run(self) -> None:
        """
        Take messages until `stop`.

        Raises:
            ConfigurationError: there is no such queue, or it may not be read with these credentials.
        """
        async with AsyncExitStack() as stack:
            client, url = await self._opened(stack)
            while not self._stopping.is_set():
                messages = await self._received(client, url)
                if messages:
                    await self._worked_off(client, url, messages)

    async def _opened(self, stack: AsyncExitStack) -> tuple[Any, str]:
        config = AioConfig(read_timeout=LONG_POLL + 15, connect_timeout=10, retries={"total_max_attempts": 3})
        try:
            client = await stack.enter_async_context(
                self._session.create_client(
                    "sqs",
                    region_name=self._options.region,
                    endpoint_url=self._options.endpoint_url,
                    config=config,
                )
            )
            return client, (await client.get_queue_url(QueueName=self._options.queue))["QueueUrl"]
        except (BotoCoreError, ClientError) as error:
            raise ConfigurationError(
                f"the queue {self._options.queue} cannot be used: {printable(str(error))}"
            ) from error

    async def _received(self, client: Any, url: str) -> list[Mapping[str, Any]]:
        asking = asyncio.ensure_future(
            client.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=AT_ONCE,
                WaitTimeSeconds=self._options.wait,
                VisibilityTimeout=VISIBILITY,
            )
        )
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([asking, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                return []  # what it would have given stays in the queue, at the latest until its visibility ends
            return list(asking.result().get("Messages", ()))
        except (BotoCoreError, ClientError) as error:
            logger.warning(
                "the queue could not be asked, and is again in %.0f s: %s", AFTER_ERROR, printable(str(error))
            )
            await asyncio.wait([stopping], timeout=AFTER_ERROR)
            return []
        finally:
            asking.cancel()
            stopping.cancel()

    async def _worked_off(self, client: Any, url: str, messages: list[Mapping[str, Any]]) -> None:
        done = await asyncio.gather(*(self._done(message) for message in messages))
        entries = [
            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
            for number, (message, deletes) in enumerate(zip(messages, done, strict=True))
            if deletes
        ]
        if not entries:
            return
        try:
            answer = await client.delete_message_batch(QueueUrl=url, Entries=entries)
            failed = len(answer.get("Failed", ()))
        except (BotoCoreError, ClientError) as error:
            logger.debug("delete_message_batch: %s", error)
            failed = len(entries)
        if failed:
            logger.warning("%d messages could not be deleted from the queue; they come again, and count once", failed)

    async def _done(self, message: Mapping[str, Any]) -> bool:
        """Hand the event of a message over; whether the message may go."""
        try:
            event = read_message(message.get("Body", ""))
        except InvalidFeedback as error:
            # Left in the queue it goes to the dead-letter queue, where somebody can look at it.
            self._feed.counts.invalid += 1
            logger.warning("message %s of the queue is no event: %s", printable(str(message.get("MessageId"))), error)
            return False
        try:
            await self._feed.take(event)
        except NotTaken:
            return False
        return True
