"""
The messages that listmonk waits for: each is sent once, and its answer is what became of it.

Decides who shares an answer, how long a message is held when nothing can be sent, and what listmonk is told. It must
not know HTTP beyond a status, nor how a message came in.

Invariants: 200 means accepted, and nothing else does; what was begun is finished, whether or not listmonk still waits;
every message that is not sent is in the log, by campaign and subscriber.
"""

from __future__ import annotations

import asyncio
import logging
import math

import attrs

from seslimit import (
    Message,
    Outcome,
    QuotaExceeded,
    Report,
    RetryPolicy,
    Sender,
    SendFailed,
    SendingStopped,
    Suppressed,
)
from seslimit.outbox import JournalError

from .._kept import Kept, name
from ._http import Answer
from ._memory import Memory, Runs, key_of
from ._post import Post

logger = logging.getLogger("seslimit.listmonk")

TRANSACTIONAL = "transactional"
"""The lane of what belongs to no campaign: it goes first, and campaigns keep a twentieth of the rate."""

MAX_HELD = 1000
"""Messages held at once. listmonk holds as many as it has workers; more are there only when it had given up on some."""

MAX_HELD_BYTES = 256_000_000
"""Bytes of the messages held at once, unless there is only one."""

PATIENCE = 0.8
"""Part of listmonk's time-out for which a message is held when nothing can be sent at all, before it is refused."""

SOON = 0.02
"""Seconds between two looks at whether all has gone quiet."""

LOOK_AGAIN = 1.0
"""Seconds between two looks at whether anything can be sent again."""

REST = 60
"""Seconds of Retry-After where nothing better is known."""

RETRY = RetryPolicy(first_wait=1.0, max_wait=30.0, on_quota_exceeded="stop")
"""Short waits, since listmonk waits too; an exceeded quota is told, for it lasts longer than a request is held."""


@attrs.define
class Counts:
    """
    What came in and what became of it, in messages.

    Args:
        posts: messages that were posted.
        accepted: accepted by the service, each once.
        repeated: posted again, and answered with the first one's message id.
        refused: refused by the service for good, or given up.
        invalid: not taken, because the request was malformed.
        suppressed: not sent, since the recipient is suppressed.
        unsent: given back, because nothing could be sent.
        late: of the accepted ones, those that listmonk had given up on.
        throttled: attempts that the service refused for the rate.
        longest_hold: the longest time from a post to its answer, in seconds.
        most_held: the most messages that were held at once.
    """

    posts: int = 0
    accepted: int = 0
    repeated: int = 0
    refused: int = 0
    invalid: int = 0
    suppressed: int = 0
    unsent: int = 0
    late: int = 0
    throttled: int = 0
    longest_hold: float = 0.0
    most_held: int = 0


class Held:
    """
    The messages under way.

    Args:
        sender: sends them.
        counts: is told what became of each.
        timeout: seconds after which listmonk gives up.
        kept: keeps the messages, which are then answered for; None where they are sent first.
    """

    def __init__(self, sender: Sender, counts: Counts, timeout: float, kept: Kept | None = None) -> None:
        self.closing = False
        """Whether nothing new is taken, and nothing is waited for that does not go by itself."""
        self._sender = sender
        self._kept = kept
        self._counts = counts
        self._patience = PATIENCE * timeout
        self._memory = Memory()
        self._runs = Runs()
        self._under_way: dict[bytes, asyncio.Task[Answer]] = {}
        self._deliveries: set[asyncio.Task[Answer]] = set()
        self._bytes = 0
        self._last_at = -math.inf

    def __len__(self) -> int:
        return len(self._deliveries)

    async def quiet(self, seconds: float, until: float) -> None:
        """Return when so many seconds have gone by without a message, or at that moment."""
        while (now := _now()) < until and (self._deliveries or now - self._last_at < seconds):  # noqa: ASYNC110  # clock
            await asyncio.sleep(SOON)

    async def ended(self, timeout: float | None) -> None:
        """Return when every message has its answer, or after `timeout` seconds."""
        if self._deliveries:
            await asyncio.wait(self._deliveries, timeout=timeout)

    async def answer(self, post: Post, message: Message, size: int) -> Answer:
        """
        Send a message, unless the same one is under way or was sent before in a run of its campaign.

        Args:
            post: what it was made of.
            message: what to send.
            size: bytes of the request.

        Returns:
            what listmonk is told.

        Cancelling:
            the message is sent all the same.
        """
        key = key_of(post)
        if self._kept is not None:
            keeping = asyncio.create_task(self._keep(self._kept, post, message, key))
            self._deliveries.add(keeping)
            keeping.add_done_callback(self._deliveries.discard)
            return await asyncio.shield(keeping)
        if key is None or post.campaign is None:
            return await asyncio.shield(self._begin(post, message, size, None))
        running = self._runs.arrived(_now(), post.campaign.uuid, post.recipient.uuid)
        try:
            message_id = self._memory.message_id(key)
            if message_id is not None:
                self._counts.repeated += 1
                return _accepted(message_id)
            task = self._under_way.get(key)
            if task is not None:
                self._counts.repeated += 1
            else:
                task = self._under_way[key] = self._begin(post, message, size, key if running else None)
                task.add_done_callback(lambda _: self._under_way.pop(key))
            # Whoever waits may go away; the message stays.
            return await asyncio.shield(task)
        finally:
            self._runs.answered(_now(), post.campaign.uuid)

    async def _keep(self, kept: Kept, post: Post, message: Message, key: bytes | None) -> Answer:
        """Keep a message, once for its campaign, subscriber and content; returns what listmonk is told."""
        began_at = _now()
        try:
            known = await self._known(kept, post, key)
            called = known or name()
            lane = TRANSACTIONAL if post.campaign is None else None
            if await kept.keep(attrs.evolve(message, key=called, lane=lane)):
                self._counts.accepted += 1
            else:
                self._counts.repeated += 1
            return _accepted(called)
        except JournalError as error:
            return self._give_back(post, error.reply, REST)
        finally:
            self._last_at = _now()
            self._counts.longest_hold = max(self._counts.longest_hold, self._last_at - began_at)

    async def _known(self, kept: Kept, post: Post, key: bytes | None) -> str | None:
        """The name by which a message is the same as one before; None for one that may be a test."""
        if key is None or post.campaign is None:
            return None
        running = self._runs.arrived(_now(), post.campaign.uuid, post.recipient.uuid)
        self._runs.answered(_now(), post.campaign.uuid)
        called = f"listmonk-{key.hex()}"
        return called if running or await kept.has(called) else None

    def turn_away(self, post: Post) -> Answer:
        """The answer for a message that came when the messenger had begun to stop."""
        return self._give_back(post, "the messenger is being stopped.", REST)

    def _begin(self, post: Post, message: Message, size: int, key: bytes | None) -> asyncio.Task[Answer]:
        task = asyncio.create_task(self._deliver(post, message, size, key))
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)
        self._counts.most_held = max(self._counts.most_held, len(self._deliveries))
        return task

    async def _deliver(self, post: Post, message: Message, size: int, key: bytes | None) -> Answer:
        """Send one message; returns what listmonk is told."""
        began_at = _now()
        if len(self) > MAX_HELD or (self._bytes and self._bytes + size > MAX_HELD_BYTES):
            return self._give_back(
                post, "too many messages are held already: listmonk gives up on them too soon.", REST
            )
        self._bytes += size
        try:
            return self._took(await self._send(message, began_at, post.campaign is None), key)
        except SendFailed as failed:
            return self._refuse(post, failed.report)
        except QuotaExceeded as stopped:
            return self._give_back(post, stopped.reply, math.ceil(stopped.retry_after))
        except SendingStopped as stopped:
            return self._give_back(post, stopped.reply, REST)
        finally:
            self._bytes -= size
            self._last_at = _now()
            self._counts.longest_hold = max(self._counts.longest_hold, self._last_at - began_at)

    async def _send(self, message: Message, began_at: float, first: bool) -> str:
        until = began_at + self._patience
        while True:
            try:
                return (await self._sender.send(message, lane=TRANSACTIONAL if first else "")).message_id
            except SendingStopped:
                # listmonk would post the next message at once, and lose that one as well: hold this one for a while.
                if self.closing or _now() + LOOK_AGAIN > until:
                    raise
                await asyncio.sleep(LOOK_AGAIN)

    def _took(self, message_id: str, key: bytes | None) -> Answer:
        self._counts.accepted += 1
        if key is not None:
            self._memory.keep(key, message_id)
        return _accepted(message_id)

    def _refuse(self, post: Post, report: Report) -> Answer:
        if isinstance(report.error, Suppressed):
            # Not an error of listmonk's campaign, which enough of them would pause.
            self._counts.suppressed += 1
            return Answer(200, {"suppressed": str(report.error)})
        self._counts.refused += 1
        logger.warning("not sent, %s: %s: %s", post.label, report.outcome, report.error)
        status = 422 if report.outcome is Outcome.PERMANENT else 502
        return Answer.refusal(status, str(report.error), outcome=str(report.outcome))

    def _give_back(self, post: Post, reason: str, retry_after: int) -> Answer:
        self._counts.unsent += 1
        logger.warning("not sent, %s: %s", post.label, reason)
        return _unsent(reason, retry_after, last=self.closing)


def _accepted(message_id: str) -> Answer:
    return Answer(200, {"message_id": message_id})


def _unsent(reason: str, retry_after: int, *, last: bool) -> Answer:
    """The answer for a message that is given back."""
    seconds = max(1, retry_after)
    return Answer(503, {"error": reason, "retry_after": seconds}, {"Retry-After": str(seconds)}, last=last)


def _now() -> float:
    return asyncio.get_running_loop().time()
