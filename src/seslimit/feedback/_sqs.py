"""
A queue of SQS that events come from, through SNS, EventBridge or by hand.

Takes messages, hands their events over, and deletes those that are taken. What is not deleted comes again when its
visibility time-out ends, and goes to the queue's dead-letter queue where it has one.

Invariant: a message is deleted only when its event is taken, or when it is none and never will be.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from .._model.errors import printable
from .._sqs import AT_ONCE, SQSOptions, opened
from ._envelope import NOTIFICATION
from ._events import Event, InvalidFeedback
from ._feed import Feed, NotTaken
from ._reading import event_of, load, read

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger("seslimit")

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


class SQSSource:
    """
    Takes events from a queue until it is stopped.

    Args:
        feed: takes the events.
        options: the queue.
        session: credentials and configuration; aiobotocore's own when left out.
    """

    def __init__(self, feed: Feed, options: SQSOptions, *, session: Any = None) -> None:
        self._feed = feed
        self._options = options
        self._session = session
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
        async with opened(self._options, self._session) as (client, url):
            while not self._stopping.is_set():
                messages = await self._received(client, url)
                if messages:
                    await self._worked_off(client, url, messages)

    async def _received(self, client: Any, url: str) -> list[Mapping[str, Any]]:
        asking = asyncio.ensure_future(
            client.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=AT_ONCE,
                WaitTimeSeconds=self._options.wait,
                VisibilityTimeout=self._options.visibility,
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
