"""
What happens to a service, and to a companion in front of it, in the middle of a campaign; and how that ends.

Decides nothing about what a companion should do. Used by `benchmarks/outages.py` and, in short versions, by the tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import attrs

from seslimit.testing import APIRules, Fault, Simulator, SMTPRules

from .companion_process import Companion, activated
from .listmonk_double import Campaign, MailPool, Postback, Result, subscribers

SENDING: Final = "SELECT count(*) FROM seslimit_messages WHERE state = 'sending'"
ROOT_URL: Final = "https://lists.example.net"
QUOTA: Final = "454 Throttling failure: Daily message quota exceeded."
LOGIN: Final = "535 Authentication Credentials Invalid"
BLOCKED: Final = "554 Message rejected: Sending paused for this account."


@attrs.define(eq=False)
class Gate:
    """
    The way to a service, which can be shut: who is connected is cut off, and who comes is refused.

    Args:
        port: the service's port.
    """

    port: int
    entrance: int = attrs.field(default=0, init=False)
    _server: asyncio.Server | None = attrs.field(default=None, init=False)
    _writers: set[asyncio.StreamWriter] = attrs.field(factory=set, init=False)
    _carriers: set[asyncio.Task[None]] = attrs.field(factory=set, init=False)

    async def open(self) -> None:
        """Let everybody through, at the same port as before."""
        self._server = await asyncio.start_server(self._let_through, "127.0.0.1", self.entrance)
        self.entrance = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Let nobody through."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _let_through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers |= {writer, to}
        try:
            await asyncio.gather(_carry(reader, to), _carry(there, writer))
        finally:
            self._writers -= {writer, to}
            writer.close()
            to.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()


@attrs.define(eq=False)
class Stage:
    """
    Service, companion and listmonk in one play.

    Args:
        command: "relay" or "listmonk".
        simulator: the service.
        gate: the way to it.
        listening: the companion's listening socket, which outlives it.
        options: more options of the companion.
    """

    command: str
    simulator: Simulator
    gate: Gate
    listening: socket.socket
    options: tuple[str, ...]
    server: Companion | None = attrs.field(default=None, init=False)
    _running: contextlib.AsyncExitStack = attrs.field(factory=contextlib.AsyncExitStack, init=False)

    @property
    def port(self) -> int:
        """The companion's port."""
        port: int = self.listening.getsockname()[1]
        return port

    async def start(self) -> None:
        """Start the companion."""
        more = ("--root-url", ROOT_URL, "--timeout", "300") if self.command == "listmonk" else ()
        url = self.simulator.smtp_url.replace(f":{self.simulator.smtp_port}", f":{self.gate.entrance}")
        running = activated(self.listening, self.command, url, *more, *self.options)
        self.server = await self._running.enter_async_context(running)

    async def end(self, sent: signal.Signals = signal.SIGTERM) -> int:
        """End the companion, and wait for its end."""
        assert self.server is not None
        status = await self.server.ended(sent)
        await self._running.aclose()
        return status

    async def campaign(self, count: int, **settings: int) -> Result:
        """One campaign, at listmonk's defaults unless told otherwise; `retries` are those of SMTP."""
        retries = settings.pop("retries", 2)
        if self.command == "relay":
            delay = 1.0 if retries > 2 else 0.01
            client: MailPool | Postback = MailPool(
                "127.0.0.1", self.port, max_msg_retries=retries, msg_retry_delay=delay
            )
        else:
            client = Postback("127.0.0.1", self.port, timeout=300.0)
        try:
            return await Campaign(**settings).run(subscribers(count), client.push)
        finally:
            await client.aclose()

    async def accepted(self, count: int) -> None:
        """Return when the service has accepted so many."""
        while len(self.simulator.accepted) < count:  # noqa: ASYNC110  # it is told by a count alone
            await asyncio.sleep(0.02)

    @property
    def copies(self) -> Counter[str]:
        """How many times each recipient's message was accepted."""
        return Counter(recipient for message in self.simulator.accepted for recipient in message.recipients)


@contextlib.asynccontextmanager
async def stage(command: str, rate: float, *options: str, told: bool = True) -> AsyncIterator[Stage]:
    """A companion in front of a service of this rate, which it is told unless it has to find it."""
    rules = SMTPRules(auth_required=False)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        async with Simulator(rate, latency=0.01, smtp=rules, api=APIRules()) as simulator:
            gate = Gate(simulator.smtp_port)
            await gate.open()
            play = Stage(command, simulator, gate, listening, (*(("--rate", f"{rate:g}") if told else ()), *options))
            try:
                await play.start()
                yield play
            finally:
                await play._running.aclose()
                await gate.shut()


Happening = Callable[[Stage, float], Coroutine[Any, Any, None]]
"""What happens, for so many seconds."""


async def down(play: Stage, seconds: float) -> None:
    """The service cannot be reached."""
    await play.gate.shut()
    await asyncio.sleep(seconds)
    await play.gate.open()


def refused(stage: str, reply: str) -> Happening:
    """The happening of a service that says the same to everybody at one stage of the conversation."""

    async def happens(play: Stage, seconds: float) -> None:
        play.simulator.faults.add(Fault(stage, reply=reply, times=None, end="close" if stage == "ehlo" else "keep"))
        if stage == "ehlo":
            # What has begun before goes on; everybody has to begin anew.
            await play.gate.shut()
            await play.gate.open()
        await asyncio.sleep(seconds)
        play.simulator.faults.clear()

    return happens


async def restart(play: Stage, seconds: float) -> None:
    """The companion is ended, and started again later."""
    await play.end()
    await asyncio.sleep(seconds)
    await play.start()


HAPPENINGS: Final[dict[str, Happening]] = {
    "service down": down,
    "quota used up": refused("dot", QUOTA),
    "account blocked": refused("dot", BLOCKED),
    "login lost": refused("ehlo", LOGIN),
    "restart": restart,
}


@attrs.frozen
class Ended:
    """
    How a campaign ended.

    Args:
        told: what listmonk shows of it.
        lost: recipients that the service did not accept.
        doubled: copies beyond the first.
        longest: seconds of the longest push.
    """

    told: str
    lost: int
    doubled: int
    longest: float


def ended(play: Stage, result: Result, count: int) -> Ended:
    """How a campaign of so many subscribers ended."""
    copies = play.copies
    told = f"{result.status} {result.sent}/{result.to_send}"
    return Ended(told, count - len(copies), sum(copies.values()) - len(copies), round(result.longest, 1))


async def in_mid_campaign(play: Stage, happening: Happening, seconds: float, count: int) -> Ended:
    """A third of the way through a campaign, something happens."""
    running = asyncio.create_task(play.campaign(count))
    await play.accepted(count // 3)
    await happening(play, seconds)
    return ended(play, await running, count)


async def after_a_rest(play: Stage, happening: Happening, seconds: float, count: int) -> Ended:
    """Something happens to one message, and when that is over, a campaign begins."""
    first = asyncio.create_task(play.campaign(1))
    await happening(play, seconds)
    await first
    before = len(play.copies)
    found = ended(play, await play.campaign(count), count)
    return attrs.evolve(found, doubled=found.doubled - before)


@attrs.frozen
class Killed:
    """
    How a campaign ended whose companion was killed.

    Args:
        ended: as every campaign.
        answered_lost: messages that were answered for, and not accepted by the service.
        unheard: messages that listmonk has no answer for, and counts as failed, though they were kept and accepted.
        nowhere: messages that listmonk has no answer for, and that were not kept when the companion was killed.
        in_flight: messages that were being sent when it was killed, by the outbox; all kills together.
    """

    ended: Ended
    answered_lost: int
    unheard: int
    nowhere: int
    in_flight: int


async def killed_often(play: Stage, outbox: Path, times: int, count: int) -> Killed:
    """
    A companion with an outbox is killed so many times in the middle of a campaign, and started again at once.

    The campaign has ended when everything that was answered is accepted.
    """
    running = asyncio.create_task(play.campaign(count, retries=60))
    in_flight = 0
    for number in range(times):
        await play.accepted((number + 1) * count // (times + 2))
        await play.end(signal.SIGKILL)
        with contextlib.closing(sqlite3.connect(outbox)) as connection:
            in_flight += connection.execute(
                "SELECT count(*) FROM seslimit_messages WHERE state = 'sending'"
            ).fetchone()[0]
        await play.start()
    result = await running
    before = -1
    while len(play.copies) != before or len(play.copies) < result.sent:
        before = len(play.copies)
        await asyncio.sleep(3.0)
    unheard = sum(subscriber.email in play.copies for subscriber in result.lost)
    nowhere = len(result.lost) - unheard
    found = ended(play, result, count)
    return Killed(found, found.lost - nowhere, unheard, nowhere, in_flight)
