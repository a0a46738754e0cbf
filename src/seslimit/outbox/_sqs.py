"""
A queue of SQS as a journal: somebody else puts messages in, any number of workers send them.

The visibility time-out is the lease. It is extended for as long as a message waits here for its turn, for its attempt
and for a short backoff; a worker that dies lets go of its messages when it ends. An accepted message is deleted; one
that was given up, or is none, is left to SQS, which moves it to the queue's dead-letter queue.

SQS keeps no history: what was being sent when a worker died is sent again by another. What one worker accepted, or gave
up, it does not send again when SQS gives it twice.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

import attrs

from .._composing.records import Records
from .._model.errors import InvalidMessage, printable
from .._model.history import History
from .._model.journal import JournalError, LeaseLost, Queued
from .._model.message import Message
from .._model.outcome import Outcome
from .._model.report import Report
from .._sqs import AT_ONCE, LONGEST, REQUESTS, Batches, SQSOptions, opened
from .._with_block import WithBlock
from ._sqs_forms import entry, no_file
from ._sqs_words import BROKEN, done, entry_done

logger = logging.getLogger("seslimit")

REMEMBERED = 100_000
"""Messages whose end this worker remembers: SQS may give one again minutes later."""


@attrs.define(eq=False)
class _Lease:
    """A message of the queue that is ours for a while."""

    message_id: str
    handle: str
    until: float
    """Event-loop time (seconds) at which it may be somebody else's."""
    given_at: float
    history: History | None = None


class SQSQueue(WithBlock):
    """
    Messages of a queue, one JSON object each, as a line of a `.jsonl` that `seslimit send` takes.

    For `Sender(outbox=…)` and its `run` or `drain`; use as an asynchronous context manager around it. An attachment has
    `content`: a `path` would be of this machine, and whoever may write to the queue could read its files.

    Args:
        options: the queue, or its URL, `sqs://QUEUE?region=…`.
        session: credentials and configuration; aiobotocore's own when left out.
    """

    def __init__(self, options: SQSOptions | str, *, session: Any = None) -> None:
        self._options = SQSOptions.from_url(options) if isinstance(options, str) else options
        self._session = session
        self._records = Records(no_file)
        self._leases: dict[str, _Lease] = {}
        self._ready: list[Queued] = []
        self._ended: OrderedDict[str, bool] = OrderedDict()
        """By SQS's id: whether it was accepted. It was given up otherwise."""
        self._histories: OrderedDict[str, History] = OrderedDict()
        self._polling: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        """
        Find the queue, and begin to keep what will be leased.

        Raises:
            ConfigurationError: there is no such queue, or it may not be used with these credentials.
        """
        self._client, self._url = await self._stack.enter_async_context(opened(self._options, self._session))
        self._deleting = Batches(lambda entries: self._client.delete_message_batch(QueueUrl=self._url, Entries=entries))
        self._moving = Batches(
            lambda entries: self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
        )
        self._adding = Batches(lambda entries: self._client.send_message_batch(QueueUrl=self._url, Entries=entries))
        self._has_dead_letters = bool((await self._attributes("RedrivePolicy")).get("RedrivePolicy"))
        if not self._has_dead_letters:
            logger.warning(
                "the queue %s has no dead-letter queue: what cannot be sent stays in it until SQS drops it",
                printable(self._options.queue),
            )
        self._keeping = asyncio.create_task(self._keep())

    async def aclose(self) -> None:
        """Give back what is leased and was not asked for, and end."""
        if not hasattr(self, "_keeping"):
            return
        self._keeping.cancel()
        if self._polling is not None:
            self._polling.cancel()
        await asyncio.wait([self._keeping, *([self._polling] if self._polling else [])])
        await asyncio.gather(*(self.returns(queued) for queued in self._ready), return_exceptions=True)
        await self._stack.aclose()

    async def add(self, messages: Sequence[Message]) -> int:
        """
        Put messages into the queue.

        SQS may take some of them and not others, and does not know one that it has already but in a FIFO queue.

        Raises:
            JournalError: one is too large for SQS, or was refused.
        """
        fifo = self._options.queue.endswith(".fifo")
        await done(asyncio.gather(*(self._adding.one(**entry(message, fifo=fifo)) for message in messages)))
        return len(messages)

    async def take(self, message: Message) -> Queued | Report:
        """Not for a queue, which gives its messages to whoever asks next."""
        raise JournalError("a queue of SQS gives no message to whom it is from: use send_many, or send without it.")

    async def claim(self, most: int) -> Sequence[Queued]:
        """Take what the queue gives."""
        if self._polling is not None:
            if not self._polling.done():
                return []
            polling, self._polling = self._polling, None
            polling.result()
        while (missing := most - len(self._ready)) > 0:
            requests = min(REQUESTS, math.ceil(missing / AT_ONCE))
            before = len(self._ready)
            sizes = [min(AT_ONCE, missing - AT_ONCE * number) for number in range(requests)]
            await done(asyncio.gather(*(self._receive(size, 0) for size in sizes)))
            if len(self._ready) == before:
                break
        claimed, self._ready = self._ready[:most], self._ready[most:]
        return claimed

    async def wait(self, timeout: float) -> None:
        """Return when the queue gives something, and after `timeout` seconds at most."""
        if self._polling is None:
            self._polling = asyncio.create_task(done(self._receive(AT_ONCE, self._options.wait)))
        # It is not cancelled at the time-out: what it is given then would be nobody's for a while.
        await asyncio.wait([self._polling], timeout=timeout)

    async def queued(self) -> int:
        """How many messages SQS believes to be in the queue and given to nobody."""
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed")
        return sum(map(int, (await self._attributes(*names)).values())) + len(self._ready)

    async def begins(self, queued: Queued) -> None:
        """Return where the message is still ours for a while."""
        self._lease(queued)

    async def ends(self, queued: Queued, report: Report) -> None:
        """Delete an accepted message; leave another one to the dead-letter queue."""
        lease = self._leases.get(str(queued.id))
        if lease is None:
            raise LeaseLost("it was given to another worker.")
        accepted = report.outcome is Outcome.ACCEPTED
        self._remember(lease.message_id, accepted=accepted)
        await done(self._over(lease, accepted=accepted))
        self._leases.pop(str(queued.id), None)

    async def postpones(self, queued: Queued, history: History, not_before: float, *, keep: bool = False) -> None:
        """Keep the message for a short wait; otherwise let SQS keep it from everybody until then."""
        lease = self._lease(queued)
        lease.history = history
        if keep:
            return
        self._histories[lease.message_id] = history
        if len(self._histories) > REMEMBERED:
            self._histories.popitem(last=False)
        await self._let_go(lease, max(0.0, not_before - time.time()))

    async def returns(self, queued: Queued) -> None:
        """Give a message back, for whoever asks next."""
        lease = self._leases.get(str(queued.id))
        if lease is not None:
            await self._let_go(lease, 0.0)

    async def check(self) -> None:
        """Return if SQS answers."""
        await self._attributes("QueueArn")

    # What SQS is asked

    async def _attributes(self, *names: str) -> Mapping[str, str]:
        answer = await done(self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=list(names)))
        attributes: Mapping[str, str] = answer.get("Attributes", {})
        return attributes

    async def _receive(self, most: int, wait: int) -> None:
        answer = await self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=most,
            WaitTimeSeconds=wait,
            VisibilityTimeout=self._options.visibility,
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        until = asyncio.get_running_loop().time() + self._options.visibility
        for received in answer.get("Messages", ()):
            lease = _Lease(received["MessageId"], received["ReceiptHandle"], until, until - self._options.visibility)
            sent_at = int(received.get("Attributes", {}).get("SentTimestamp", time.time() * 1000)) / 1000
            mine = None if lease.message_id in self._ended else self._leases.get(lease.message_id)
            if mine is not None:
                # SQS gives a message twice now and then. Only the latest receipt deletes it for sure.
                mine.handle, mine.until = lease.handle, lease.until
                continue
            queued = self._queued(lease, received.get("Body", ""), sent_at)
            if queued is not None:
                self._leases[lease.message_id] = lease
                self._ready.append(queued)
            else:
                # Beside the others, which can be sent.
                await self._leave(lease)

    def _queued(self, lease: _Lease, body: str, sent_at: float) -> Queued | None:
        """The message that was given; None where it is none that is to be sent."""
        if lease.message_id in self._ended:
            return None
        try:
            message = self._records.message(body.encode("utf-8", "surrogatepass"), lease.message_id)
        except InvalidMessage as error:
            logger.warning("message %s of the queue is none that can be sent: %s", printable(lease.message_id), error)
            self._remember(lease.message_id, accepted=False)
            return None
        history = self._histories.pop(lease.message_id, None) or History(sent_at)
        return Queued(message, history, lease.message_id)

    async def _leave(self, lease: _Lease) -> None:
        """Finish with a message that has come to its end before, or never was one."""
        with suppress(JournalError):  # it comes again
            await done(self._over(lease, accepted=self._ended[lease.message_id]))

    async def _over(self, lease: _Lease, *, accepted: bool) -> None:
        with suppress(LeaseLost):  # an accepted one is remembered; for the others it makes no difference
            if accepted:
                await entry_done(self._deleting.one(ReceiptHandle=lease.handle))
            else:
                await self._hide(lease, 0 if self._has_dead_letters else LONGEST)

    async def _let_go(self, lease: _Lease, seconds: float) -> None:
        self._leases.pop(lease.message_id, None)
        await done(self._hide(lease, seconds))

    async def _hide(self, lease: _Lease, seconds: float) -> None:
        held = asyncio.get_running_loop().time() - lease.given_at
        hidden = min(math.ceil(seconds), LONGEST - math.ceil(held) - 1)
        await entry_done(self._moving.one(ReceiptHandle=lease.handle, VisibilityTimeout=max(hidden, 0)))

    async def _keep(self) -> None:
        """Extend the leases, as long as there are any."""
        loop, visibility = asyncio.get_running_loop(), self._options.visibility
        while True:
            await asyncio.sleep(visibility / 6)
            soon = loop.time() + visibility * 2 / 3
            await asyncio.gather(*(self._extend(lease) for lease in [*self._leases.values()] if lease.until < soon))

    async def _extend(self, lease: _Lease) -> None:
        asked_at = asyncio.get_running_loop().time()
        try:
            await self._hide(lease, self._options.visibility)
        except LeaseLost:
            lease.until = 0.0
        except BROKEN as error:
            logger.debug("a message of the queue could not be kept, and may be tried again: %s", error)
        else:
            lease.until = asked_at + self._options.visibility

    def _lease(self, queued: Queued) -> _Lease:
        lease = self._leases.get(str(queued.id))
        if lease is None or lease.until <= asyncio.get_running_loop().time():
            self._leases.pop(str(queued.id), None)
            raise LeaseLost("SQS may have given it to another worker.")
        return lease

    def _remember(self, message_id: str, *, accepted: bool) -> None:
        self._ended[message_id] = accepted
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
