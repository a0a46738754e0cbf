"""
listmonk's HTTP messenger: each message that a campaign posts is held until the service has accepted it.

Assembles: what a post means, what message it comes to, what is remembered and what is answered over HTTP is in the
modules beside it. The way a message takes is `_posted`, `_once`, `_deliver`.

Invariants: 200 means accepted, and nothing else does; what was begun is finished, whether or not listmonk still waits;
every message that is not sent is in the log, by campaign and subscriber.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable
from email.utils import formatdate
from urllib.parse import urlsplit

import attrs

from seslimit import (
    ConfigurationError,
    Limiter,
    Message,
    Outcome,
    QuotaExceeded,
    Report,
    RetryPolicy,
    Sender,
    SendFailed,
    SendingStopped,
    Transport,
)

from ._address import Address
from ._listmonk_advice import Settings, advice
from ._listmonk_content import Composed, compose
from ._listmonk_http import Answer, Door, Login
from ._listmonk_memory import Memory, Runs, key_of
from ._listmonk_post import BadPost, Post, parse

__all__ = ["Counts", "ListmonkMessenger", "ListmonkOptions", "Settings"]

logger = logging.getLogger("seslimit.listmonk")

MAX_SIZE = 55_000_000
"""Bytes of a request: what SES takes (40 MB), which is base64 in the request as well, and room for the rest."""

MAX_HELD = 1000
"""Messages held at once. listmonk holds as many as it has workers; more are there only when it had given up on some."""

MAX_HELD_BYTES = 256_000_000
"""Bytes of the messages held at once, unless there is only one."""

PATIENCE = 0.8
"""Part of listmonk's time-out for which a message is held when nothing can be sent at all, before it is refused."""

LOOK_AGAIN = 1.0
"""Seconds between two looks at whether anything can be sent again."""

REST = 60
"""Seconds of Retry-After where nothing better is known."""

MAX_TOLD = 1000
"""Sentences that are remembered as said; after so many there is something else wrong."""

WATCH_EVERY = 5.0
"""Seconds between two looks at the account's rate."""

NOTICEABLE = 0.1
"""Part of the rate by which it has to change before it is spoken of."""

LAST_ATTEMPTS = 2.0
"""Seconds at the end of the deadline that are left to the attempts under way."""

IN_THREAD = 200_000
"""Bytes of a request from which it is read in a thread, so that the other requests are not kept waiting."""

RETRY = RetryPolicy(first_wait=1.0, max_wait=30.0, on_quota_exceeded="stop")
"""Short waits, since listmonk waits too; an exceeded quota is told, for it lasts longer than a request is held."""


def _root_url(url: str) -> str:
    parts = urlsplit(url)
    plain = url.isascii() and url.isprintable() and not set(url) & set(' <>"\\^`{|}')
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or not plain:
        raise ConfigurationError(
            f"root URL {url[:200]!a} is not the address of a listmonk: write it as in listmonk's settings, for "
            "example https://lists.example.net."
        )
    return url.rstrip("/")


@attrs.frozen(kw_only=True)
class ListmonkOptions:
    """
    How the messenger is set up.

    Args:
        listen: where to listen.
        root_url: listmonk's own root URL, for List-Unsubscribe.
        user, password: the login that listmonk uses; both or neither. Beyond loopback there has to be one.
        settings: listmonk's.
        max_size: bytes of a request.

    Raises:
        ConfigurationError: the root URL is none, or the login is missing or incomplete.
    """

    listen: Address
    root_url: str = attrs.field(converter=_root_url)
    user: str = ""
    password: str = attrs.field(default="", repr=False)
    settings: Settings = attrs.field(factory=Settings)
    max_size: int = MAX_SIZE

    def __attrs_post_init__(self) -> None:
        if bool(self.user) != bool(self.password) or ":" in self.user:
            raise ConfigurationError(
                "a login is a user (without a colon) and a password: set both SESLIMIT_LISTMONK_USER and "
                "SESLIMIT_LISTMONK_PASSWORD, or neither."
            )
        if not self.user and not self.listen.is_loopback:
            raise ConfigurationError(
                f"on {self.listen} everybody could send: set SESLIMIT_LISTMONK_USER and SESLIMIT_LISTMONK_PASSWORD, "
                "and the same user and password in listmonk, or listen on 127.0.0.1."
            )

    @property
    def login(self) -> Login | None:
        """Who may post; None for everybody on this machine."""
        return Login(self.user, self.password) if self.user else None


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
    unsent: int = 0
    late: int = 0
    throttled: int = 0
    longest_hold: float = 0.0
    most_held: int = 0


class ListmonkMessenger:
    """
    Takes listmonk's messages over HTTP, holds each until the service accepted it, and answers then.

    Args:
        transport: where to; closed together with the messenger.
        options: how it is set up.
        limiter: the account's limiter; a new one that finds the rate when left out.
    """

    def __init__(self, transport: Transport, options: ListmonkOptions, *, limiter: Limiter | None = None) -> None:
        self.limiter = limiter or Limiter()
        self.counts = Counts()
        self._options = options
        self._sender = Sender(transport, limiter=self.limiter, retry=RETRY, hooks=[self._count])
        self._door = Door(
            options.listen, options.login, options.max_size, post=self._posted, health=self._health, left=self._left
        )
        self._memory = Memory()
        self._runs = Runs()
        self._under_way: dict[bytes, asyncio.Task[Answer]] = {}
        self._deliveries: set[asyncio.Task[Answer]] = set()
        self._held_bytes = 0
        self._closing = False
        self._told: set[str] = set()
        self._watch: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._door.port

    @property
    def held(self) -> int:
        """Messages that wait for the service now."""
        return len(self._deliveries)

    async def open(self) -> None:
        """
        Listen.

        Raises:
            OSError: the address is taken, or is not of this machine.
        """
        await self._door.open()
        self._watch = asyncio.create_task(self._watch_settings())

    async def aclose(self, deadline: float = 10.0) -> None:
        """
        Take no new message, send what is held for at most `deadline` seconds, answer, and close everything.

        listmonk posts nothing twice, so what is held goes on being sent at the account's rate; what is left at the end
        is answered with 503, and named in the log.
        """
        self._closing = True
        await self._door.shut()
        if self._deliveries:
            await asyncio.wait(self._deliveries, timeout=max(0.0, deadline - LAST_ATTEMPTS))
        await self._sender.aclose(min(deadline, LAST_ATTEMPTS))
        if self._deliveries:
            await asyncio.wait(self._deliveries)
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        await self._door.close()

    async def _posted(self, body: bytes) -> Answer:
        if self._closing:
            return _unsent("The messenger is being stopped.", REST, last=True)
        self.counts.posts += 1
        try:
            if len(body) > IN_THREAD:
                post, composed = await asyncio.to_thread(self._read, body)
            else:
                post, composed = self._read(body)
        except BadPost as bad:
            self.counts.invalid += 1
            self._tell([f"a post was not taken: {bad}"])
            return Answer.refusal(400, str(bad), field=bad.field)
        self._tell(composed.dropped)
        return await self._once(post, composed.message, len(body))

    def _read(self, body: bytes) -> tuple[Post, Composed]:
        post = parse(body)
        return post, compose(post, self._options.root_url, formatdate(localtime=False))

    async def _once(self, post: Post, message: Message, size: int) -> Answer:
        """Deliver a message, unless the same one is under way or was sent in the run before."""
        key = key_of(post)
        if key is None or post.campaign is None:
            return await self._held(self._begin(post, message, size, None))
        running = self._runs.arrived(_now(), post.campaign.uuid, post.recipient.uuid)
        try:
            message_id = self._memory.message_id(key)
            if message_id is not None:
                self.counts.repeated += 1
                return _accepted(message_id)
            task = self._under_way.get(key)
            if task is not None:
                self.counts.repeated += 1
            else:
                task = self._under_way[key] = self._begin(post, message, size, key if running else None)
                task.add_done_callback(lambda _: self._under_way.pop(key))
            return await self._held(task)
        finally:
            self._runs.answered(_now(), post.campaign.uuid)

    async def _held(self, task: asyncio.Task[Answer]) -> Answer:
        # Whoever waits may go away; the message stays.
        return await asyncio.shield(task)

    def _begin(self, post: Post, message: Message, size: int, key: bytes | None) -> asyncio.Task[Answer]:
        task = asyncio.create_task(self._deliver(post, message, size, key))
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)
        self.counts.most_held = max(self.counts.most_held, len(self._deliveries))
        return task

    async def _deliver(self, post: Post, message: Message, size: int, key: bytes | None) -> Answer:
        """Send one message; returns what listmonk is told."""
        began_at = _now()
        if self.held > MAX_HELD or (self._held_bytes and self._held_bytes + size > MAX_HELD_BYTES):
            return self._give_back(
                post, "too many messages are held already: listmonk gives up on them too soon.", REST
            )
        self._held_bytes += size
        try:
            return self._took(await self._send(message, began_at), key)
        except SendFailed as failed:
            return self._refuse(post, failed.report)
        except QuotaExceeded as stopped:
            return self._give_back(post, stopped.reply, math.ceil(stopped.retry_after))
        except SendingStopped as stopped:
            return self._give_back(post, stopped.reply, REST)
        finally:
            self._held_bytes -= size
            self.counts.longest_hold = max(self.counts.longest_hold, _now() - began_at)

    async def _send(self, message: Message, began_at: float) -> str:
        until = began_at + PATIENCE * self._options.settings.timeout
        while True:
            try:
                return (await self._sender.send(message)).message_id
            except SendingStopped:
                # listmonk would post the next message at once, and lose that one as well: hold this one for a while.
                if self._closing or _now() + LOOK_AGAIN > until:
                    raise
                await asyncio.sleep(LOOK_AGAIN)

    def _took(self, message_id: str, key: bytes | None) -> Answer:
        self.counts.accepted += 1
        if key is not None:
            self._memory.keep(key, message_id)
        return _accepted(message_id)

    def _refuse(self, post: Post, report: Report) -> Answer:
        self.counts.refused += 1
        logger.warning("not sent, %s: %s: %s", post.label, report.outcome, report.error)
        status = 422 if report.outcome is Outcome.PERMANENT else 502
        return Answer.refusal(status, str(report.error), outcome=str(report.outcome))

    def _give_back(self, post: Post, reason: str, retry_after: int) -> Answer:
        self.counts.unsent += 1
        logger.warning("not sent, %s: %s", post.label, reason)
        return _unsent(reason, retry_after, last=self._closing)

    def _left(self, answer: Answer) -> None:
        self.counts.late += answer.status == 200

    def _count(self, report: Report) -> None:
        self.counts.throttled += report.throttles

    def _health(self) -> Answer:
        paused = self.limiter.paused
        well = not self._closing and paused != "account blocked"
        status = "stopping" if self._closing else paused or "ok"
        return Answer(
            200 if well else 503,
            {"status": status, "rate": self.limiter.rate, "paused": paused, "held": self.held},
            {} if well else {"Retry-After": str(REST)},
        )

    def _tell(self, sentences: Iterable[str]) -> None:
        """Log what was not said before."""
        for sentence in sentences:
            if sentence not in self._told and len(self._told) < MAX_TOLD:
                self._told.add(sentence)
                logger.warning("%s", sentence)

    async def _watch_settings(self) -> None:
        """Say when listmonk's settings do not fit the account's rate, whenever that changes."""
        await self._sender.__aenter__()
        told_rate, told_late, told = 0.0, 0, ""
        while True:
            rate = self.limiter.estimate
            if rate is not None and abs(rate - told_rate) > NOTICEABLE * told_rate:
                told_rate = rate
                words = advice(rate, self._settings()).sentence()
                if words and words != told:
                    logger.warning("%s", words)
                elif told and not words:
                    logger.warning("listmonk's settings fit the account's rate of %.3g/s now.", rate)
                told = words
            if self.counts.late > told_late:
                told_late = self.counts.late
                logger.warning(
                    "sent although listmonk had given up on them: %d %s, which it counts as failed. Raise the "
                    "messenger's Timeout in listmonk.",
                    told_late,
                    "messages" if told_late > 1 else "message",
                )
            await asyncio.sleep(WATCH_EVERY)

    def _settings(self) -> Settings:
        given = self._options.settings
        return attrs.evolve(given, concurrency=max(given.concurrency, self.counts.most_held))


def _accepted(message_id: str) -> Answer:
    return Answer(200, {"message_id": message_id})


def _unsent(reason: str, retry_after: int, *, last: bool) -> Answer:
    seconds = max(1, retry_after)
    return Answer(503, {"error": reason, "retry_after": seconds}, {"Retry-After": str(seconds)}, last=last)


def _now() -> float:
    return asyncio.get_running_loop().time()
