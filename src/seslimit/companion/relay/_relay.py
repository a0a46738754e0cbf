"""
The relay: an SMTP server in front of SES, for programs that speak SMTP and cannot wait for a rate by themselves.

Puts together where clients arrive (`_port`), what is said (`_session`) and how a message gets to SES (`_handover`).

Invariant: a message is answered 250 after SES has accepted it, or, with an outbox, when it is durable; never before.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress

from seslimit import Limiter, RetryPolicy, Sender, State, Transport

from ..._with_block import WithBlock
from .._accepting import Acceptor
from .._endpoint import ask_for_service
from .._kept import PATIENT, Kept, Outbox, told
from .._listener import Listener
from .._listening import handed_over, not_listening
from ._handover import Counts, Handover
from ._options import RelayOptions
from ._port import Port
from ._sessions import Sessions

POLICY = RetryPolicy(
    max_attempts=5,
    first_wait=5.0,
    max_wait=60.0,
    on_unknown="hold",
    on_quota_exceeded="stop",
    max_unreachable=60.0,
)
"""The client is somebody who can be told, and who waits for ten minutes at most: five attempts with at most 75 s of
waits among them, then it hears of the failure and comes back later. Whether a message is sent again that may have been
accepted is the client's to decide; it will, and twice is enough."""

LAST_ATTEMPTS = 2.0
"""Seconds at the end of the deadline for attempts that began in it."""

GOODBYE = 2.0
"""Seconds for the last replies to be written when the relay stops."""


class Relay(WithBlock):
    """
    An SMTP server that answers a message when SES has accepted it.

    A client is slowed to the account's rate by waiting for its replies, and is never refused for it. Use as an
    asynchronous context manager, or call `open` and `aclose`.

    The content goes through as it came, byte for byte: only a bare CR or LF becomes CRLF, and lines of any length are
    left to SES to judge. The envelope says who gets it; a Bcc header is part of the content, as for every SMTP server.

    Memory: contents take at most `max_pending` times 1 MiB, and 4 times `max_size` for those that are longer; each
    connection up to 160 KiB, over TLS 420 KiB. While it is sent, the transport has up to two copies of a content
    in addition over SMTP, and three over the API. Messages beyond that wait before they are received.

    Args:
        transport: makes the attempts; closed together with the relay.
        options: where to listen, whom to let in, how much to take.
        limiter: the account's limiter; a new one that finds the rate when left out.
        retry: the retry policy, `POLICY` when left out; what it waits for, the client waits for.
        hooks: hear every event of the relay's sender.
        outbox: where messages are kept, so that they are answered as soon as they are durable, and sent from there; it
            is opened and closed by its owner. `retry` is `PATIENT` then, when left out.
    """

    def __init__(
        self,
        transport: Transport,
        options: RelayOptions,
        *,
        limiter: Limiter | None = None,
        retry: RetryPolicy | None = None,
        hooks: Iterable[Listener] = (),
        outbox: Outbox | None = None,
    ) -> None:
        self.options = options
        self.limiter = limiter or Limiter()
        for name, priority in options.lanes.items():
            self.limiter.lane(name, priority=priority)
        self.counts = Counts()
        """What became of the messages so far."""
        self._sender = Sender(
            transport,
            limiter=self.limiter,
            retry=retry or (POLICY if outbox is None else PATIENT),
            hooks=[self.counts, *hooks, *([] if outbox is None else [told])],
            outbox=outbox,
            max_in_flight=options.max_pending,
        )
        self._kept = None if outbox is None else Kept(outbox, self._sender)
        self._sessions: Sessions | None = None
        self._acceptors: list[Acceptor] = []
        self._asking: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def port(self) -> int:
        """The port of `listen`; 0 while it is not open."""
        return self.ports[0] if self.ports else 0

    @property
    def ports(self) -> Sequence[int]:
        """The ports that are listened on: that of `listen`, and those of `lane_listen` in their order."""
        return [each.getsockname()[1] for each in self.listening]

    @property
    def listening(self) -> Sequence[socket.socket]:
        """The listening sockets; none while it is not open."""
        return [each.listening for each in self._acceptors if each.listening is not None]

    def passed_on(self) -> None:
        """Another process goes on with the listening sockets: when this one stops, nobody is sent away for it."""
        for each in self._acceptors:
            each.was_handed_over = True

    @property
    def held(self) -> int:
        """Messages that are received or held now."""
        return self._sessions.storage.held if self._sessions else 0

    @property
    def connections(self) -> int:
        """Clients that are connected now."""
        return len(self._sessions.connected) if self._sessions else 0

    def state(self) -> State:
        """What is going on now, as a value; what clients wait for is among what waits."""
        return self._sender.state()

    async def open(self, listening: Sequence[socket.socket] = ()) -> None:
        """
        Listen, and ask for the service: what is wrong with credentials or region is then in the log.

        Args:
            listening: sockets that listen already, and that somebody goes on with when this one stops, in the order of
                `ports`; those that systemd has handed over when left out. What is not among them is opened anew.

        Raises:
            ConfigurationError: an address is taken, or the certificate cannot be used. The transport is then closed.
        """
        try:
            lanes = frozenset(self.options.lanes)
            handover = Handover(self._sender, self.counts, self.options.hold, lanes, self._kept)
            sessions = Sessions(self.options, self.options.tls_context(), handover)
            await self._listen(sessions, listening)
        except BaseException:
            await self._accept_no_more()
            await self._sender.aclose()
            raise
        self._sessions = sessions
        if self._kept is not None:
            self._kept.open()
        self._asking = asyncio.create_task(ask_for_service(self._sender))
        self._watching = asyncio.create_task(sessions.watch())

    async def _listen(self, sessions: Sessions, listening: Sequence[socket.socket]) -> None:
        doors = [(self.options.listen, ""), *((address, lane) for lane, address in self.options.lane_listen.items())]
        try:
            given = list(listening or handed_over())
        except OSError as error:
            raise not_listening(self.options.listen, error) from None
        for unwanted in given[len(doors) :]:
            unwanted.close()
        for number, (address, lane) in enumerate(doors):
            acceptor = Acceptor(Port(sessions, lane))
            self._acceptors.append(acceptor)
            await acceptor.open(address, given[number] if number < len(given) else None)

    async def _accept_no_more(self) -> None:
        for acceptor in self._acceptors:
            await acceptor.close()

    async def aclose(self, deadline: float = 10.0) -> None:
        """
        Take no more messages, send and answer what is held as far as there is time, and give back the rest.

        Many clients, listmonk for one, lose what is given back. What waits for its turn goes on at the account's rate;
        what waits for the end of a pause is given back at once. Where somebody goes on with the listening socket, each
        connection may bring one more message, and is not closed under a client that is about to.

        Args:
            deadline: seconds that this is given.
        """
        if self._closed:
            return
        self._closed = True
        if self._asking is not None:
            self._asking.cancel()
        sessions = self._sessions
        if sessions is None:
            await self._sender.aclose(deadline)
            return
        sessions.stopping = True
        until = asyncio.get_running_loop().time() + deadline - LAST_ATTEMPTS
        try:
            if any(each.was_handed_over for each in self._acceptors):
                # Whoever comes now waits in the system's queue for the next one.
                await self._accept_no_more()
                sessions.finish()
                await sessions.quiet(until)
            sessions.dismiss()
            await sessions.contents_ended()
            await sessions.handover.ended(max(0.0, until - asyncio.get_running_loop().time()))
            sessions.handover.dismiss()
            if self._kept is not None:
                await self._kept.aclose(min(deadline, LAST_ATTEMPTS))
            await self._sender.aclose(min(deadline, LAST_ATTEMPTS))
            await _last_words(sessions)
        finally:
            await self._accept_no_more()
            if self._watching is not None:
                self._watching.cancel()
            await _cut(sessions)


async def _last_words(sessions: Sessions) -> None:
    """Wait until everybody has heard the last reply and gone, but not for ever."""
    with suppress(TimeoutError):
        async with asyncio.timeout(GOODBYE):
            await sessions.empty.wait()


async def _cut(sessions: Sessions) -> None:
    conversations = [each.conversation for each in sessions.connected if each.conversation is not None]
    for session in list(sessions.connected):
        session.cut()
    await asyncio.gather(*conversations, return_exceptions=True)
    await asyncio.sleep(0)
