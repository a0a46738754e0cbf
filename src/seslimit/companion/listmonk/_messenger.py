"""
listmonk's HTTP messenger: each message that a campaign posts is held until the service has accepted it.

Assembles, and says what there is to say. What a post means (`_post`), what message it comes to (`_content`), what
becomes of it (`_held`) and how it came in (`_http`) is in the modules beside it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import Iterable, Mapping, Sequence
from email.utils import formatdate

from seslimit import Guards, Limiter, Report, Sender, State, Suppresses, Transport

from ..._with_block import WithBlock
from .._endpoint import ask_for_service
from .._kept import PATIENT, Kept, Outbox, told
from .._listener import Listener
from ._advice import Adviser
from ._content import Composed, compose
from ._held import REST, RETRY, TRANSACTIONAL, Counts, Held
from ._http import Answer, Door, Other
from ._options import ListmonkOptions
from ._post import BadPost, Post, parse

logger = logging.getLogger("seslimit.listmonk")

UNKNOWN_SETTING = (
    "the headers to unsubscribe are added to the messages of campaigns: what listmonk posts does not tell whether its "
    "own setting for them is on. Where it is off, start with --no-unsubscribe-headers."
)

MAX_TOLD = 1000
"""Sentences that are remembered as said; after so many there is something else wrong."""

WATCH_EVERY = 5.0
"""Seconds between two looks at the account's rate."""

QUIET = 1.5
"""Seconds without a post after which listmonk is not in the middle of a run: its workers nap for one second."""

ANSWER_TIME = 1.0
"""Seconds for the last answers to be written at the end."""

LAST_ATTEMPTS = 2.0
"""Seconds at the end of the deadline that are left to the attempts under way."""

IN_THREAD = 64_000
"""Bytes of a request from which it is read in a thread, so that the other requests are not kept waiting."""


class ListmonkMessenger(WithBlock):
    """
    Takes listmonk's messages over HTTP, holds each until the service accepted it, and answers then.

    Use as an asynchronous context manager, or call `open` and `aclose`.

    Args:
        transport: where to; closed together with the messenger.
        options: how it is set up.
        limiter: the account's limiter; a new one that finds the rate when left out.
        hooks: hear every event of the messenger's sender.
        suppression, guard: as for `Sender`. A recipient who is suppressed counts as dealt with, and costs listmonk no
            error.
        others: what answers at other paths than the messenger's own, such as `/sns`.
        outbox: where messages are kept, so that they are answered as soon as they are durable, and sent from there; it
            is opened and closed by its owner.
    """

    def __init__(
        self,
        transport: Transport,
        options: ListmonkOptions,
        *,
        limiter: Limiter | None = None,
        hooks: Iterable[Listener] = (),
        suppression: Suppresses | None = None,
        guard: Guards | None = None,
        others: Mapping[str, Other] | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self.limiter = limiter or Limiter()
        self.limiter.lane(TRANSACTIONAL, priority=1.0)
        self.counts = Counts()
        """What became of the messages so far."""
        self._options = options
        self._sender = Sender(
            transport,
            limiter=self.limiter,
            retry=RETRY if outbox is None else PATIENT,
            hooks=[self._count, *hooks, *([] if outbox is None else [told])],
            outbox=outbox,
            suppression=suppression,
            guard=guard,
        )
        self._kept = None if outbox is None else Kept(outbox, self._sender)
        self._door = Door(
            options.login,
            options.max_size,
            post=self._posted,
            health=self._health,
            left=self._left,
            others=others,
        )
        self._held = Held(self._sender, self.counts, options.settings.timeout, self._kept)
        self._told: set[str] = set()
        self._watch: asyncio.Task[None] | None = None
        self._turning_away = False
        """Whether nothing is sent any more that comes now."""
        self._over = asyncio.Event()

    @property
    def port(self) -> int:
        """The TCP port, which the system has chosen for port 0."""
        return self._door.server.port

    @property
    def held(self) -> int:
        """Messages that wait for the service now."""
        return len(self._held)

    def state(self) -> State:
        """What is going on now, as a value."""
        return self._sender.state()

    @property
    def listening(self) -> Sequence[socket.socket]:
        """The listening socket; none while it is not open."""
        return self._door.server.listening

    def passed_on(self) -> None:
        """Another process goes on with the listening socket: when this one stops, nobody is turned away for it."""
        self._door.server.passed_on()

    async def open(self, listening: Sequence[socket.socket] = ()) -> None:
        """
        Listen.

        Args:
            listening: a socket that listens already, and that somebody goes on with when this one stops; one that
                systemd has handed over, or else a new one where there is none.

        Raises:
            ConfigurationError: the address is taken, or is not of this machine. The transport is then closed.
        """
        try:
            await self._door.server.open(self._options.listen, *listening[:1])
        except BaseException:
            await self._sender.aclose()
            raise
        if self._kept is not None:
            self._kept.open()
        self._watch = asyncio.create_task(self._watch_settings())

    async def aclose(self, deadline: float = 10.0) -> None:
        """
        Take no new message, send what is held for at most `deadline` seconds, answer, and close everything.

        listmonk posts nothing twice, so what is held goes on being sent at the account's rate; what is left at the end
        is answered with 503, and named in the log. Where somebody goes on with the listening socket, each connection
        may bring one more post, and ends with its answer.

        Args:
            deadline: seconds that the messages held are given, the attempts under way included.
        """
        self._held.closing = True
        loop = asyncio.get_running_loop()
        until = loop.time() + deadline - LAST_ATTEMPTS
        self._door.shutting = True
        await self._door.server.shut()
        if self._door.server.was_handed_over:
            await self._held.quiet(QUIET, until)
        self._turning_away = True
        await self._held.ended(max(0.0, until - loop.time()))
        if self._kept is not None:
            await self._kept.aclose(min(deadline, LAST_ATTEMPTS))
        await self._sender.aclose(min(deadline, LAST_ATTEMPTS))
        await self._held.ended(None)
        self._over.set()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        await self._door.server.close(ANSWER_TIME)

    async def _posted(self, body: bytes) -> Answer:
        self.counts.posts += 1
        try:
            if len(body) > IN_THREAD:
                post, composed = await asyncio.to_thread(self._read, body)
            else:
                post, composed = self._read(body)
        except BadPost as bad:
            self.counts.invalid += 1
            if bad.label:
                # listmonk posts it once: each is named, as the messages are that SES would not take.
                logger.warning("a post was not taken (%s): %s", bad.label, bad)
            else:
                self._tell([f"a post was not taken: {bad}"])
            return Answer.refusal(400, str(bad), field=bad.field)
        self._tell(composed.dropped)
        if post.campaign is not None and self._options.unsubscribe_headers:
            self._tell([UNKNOWN_SETTING])
        if self._turning_away or (self._held.closing and not self._door.server.was_handed_over):
            # listmonk loses what is refused, and would go through its list meanwhile: its workers are kept waiting.
            await self._over.wait()
            return self._held.turn_away(post)
        return await self._held.answer(post, composed.message, len(body))

    def _read(self, body: bytes) -> tuple[Post, Composed]:
        post = parse(body)
        return post, compose(post, self._options.rules, formatdate(localtime=False))

    def _left(self, answer: Answer) -> None:
        self.counts.late += answer.status == 200

    def _count(self, report: Report) -> None:
        self.counts.throttled += report.throttles

    def _health(self) -> Answer:
        paused = self.limiter.paused
        well = not self._held.closing and paused != "account blocked"
        status = "stopping" if self._held.closing else paused or "ok"
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
        await ask_for_service(self._sender)
        adviser = Adviser(self._options.settings)
        told_late = 0
        while True:
            if self.limiter.estimate is not None:
                rate = min(self.limiter.estimate, self.limiter.max_rate or math.inf)
                self._tell_at_once(adviser.look(rate, self.counts.most_held))
            if self.counts.late > told_late:
                told_late = self.counts.late
                self._tell_at_once(
                    f"sent although listmonk had given up on them: {told_late:,} "
                    f"{'messages' if told_late > 1 else 'message'}, which it counts as failed. Raise the messenger's "
                    "Idle timeout in listmonk."
                )
            await asyncio.sleep(WATCH_EVERY)

    def _tell_at_once(self, sentence: str) -> None:
        if sentence:
            logger.warning("%s", sentence)
