"""
The experiments of `seslimit doctor --measure`: what is offered at which pace, and what the service makes of it.

Sends and watches; what the verdicts mean is `_inference`'s. One after the other, so that none disturbs another; only a
connection is left idle beside the floods.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

import attrs

from ..._model.errors import TransportError
from ..._model.outcome import Outcome
from ...transports import Transport
from .._ending import Status
from ._connections import Connections
from ._flood import Flood, Observation
from ._inference import BRISK, EASY, FLOODS, Experiments, Finding, exhausted, infer
from ._plan import FLOOD, REST, Letters, Plan
from ._seen import STOPPING, Confidence, Ended, Seen
from ._sessions import SETTLE, Habits, idle_timeout, most_connections, session_cap

LOST: Final = 0.02
"""The share of attempts that may end otherwise than accepted or throttled."""

PATIENCE: Final = 20.0
"""Seconds that replies may take once everything was offered."""

IN_A_ROW: Final = 40
"""Refusals in a row that a service has to give before it counts as taking nothing more."""

RECOVERY: Final = 150.0
"""Seconds for which a service is asked now and then that takes nothing after a flood."""

NOW_AND_THEN: Final = 2.0
"""How often, times a second, at most."""


@attrs.define(eq=False)
class Measuring:
    """
    One measuring.

    Args:
        transport: sends.
        connections: its connections; None where nothing is known of them.
        plan: what is sent.
        letters: makes messages.
        tell: called with each figure as it is found, and its name.
    """

    transport: Transport
    connections: Connections | None
    plan: Plan
    letters: Letters
    tell: Callable[[str, Seen], None]

    async def run(self) -> tuple[Finding, Habits | None]:
        """
        Make all experiments.

        Raises:
            Ended: the service takes nothing, or says something else than accepted and throttled.

        Cancelling:
            what is under way is dropped; what was found has been told.
        """
        await self._begin()
        if self.connections is None:
            await asyncio.sleep(REST)
            return self._counting(await self._pace(self.transport)), None
        await asyncio.sleep(SETTLE)
        connections = await most_connections(self.connections)
        self.tell("connections", connections)
        await asyncio.sleep(REST)
        transport = self.transport
        if connections.value is not None:
            # One of them is left idle.
            transport = self.connections.at_most(max(1, int(connections.value) - 1))
        idling = asyncio.create_task(idle_timeout(self.connections, self.letters))
        try:
            finding = self._counting(await self._pace(transport))
            idle = await idling
        finally:
            idling.cancel()
            await asyncio.gather(idling, return_exceptions=True)
            if transport is not self.transport:
                await transport.aclose()
        self.tell("idle", idle)
        cap = await session_cap(self.connections, self.letters, EASY * self.plan.rate, idle.value)
        self.tell("session", cap)
        return finding, Habits(connections, idle, cap)

    def _counting(self, seen: Experiments) -> Finding:
        finding = infer(seen)
        sure = Confidence.OPEN if finding.confidence is Confidence.OPEN else Confidence.SURE
        taken = finding.taken or finding.rate
        self.tell("rate", Seen(finding.rate, sure, f"{taken:.4g} recipients/s under load, {seen.rate:g} told"))
        self.tell("counting", Seen(None, finding.confidence, finding.words))
        return finding

    async def _begin(self) -> None:
        """See that one message is accepted, on a connection that is gone afterwards."""
        line = None
        try:
            line = None if self.connections is None else await self.connections.line()
            await (line or self.transport).send(self.letters())
        except TransportError as error:
            ended = Ended.by(error)
            words = f"the first message was not accepted, so nothing was measured: {ended.words}"
            raise Ended(words, ended.status) from None
        finally:
            if line is not None:
                await line.aclose()

    async def _pace(self, transport: Transport) -> Experiments:
        rate, floods, paced = self.plan.rate, list[list[Observation]](), list[list[Observation]]()
        for multiple in FLOODS:
            offer = Offer(transport, self.letters, math.ceil(multiple * rate * self.plan.flood), multiple * rate)
            floods.append(await offer.made(quiet=FLOOD))
            if exhausted(Flood(floods[-1])):
                return Experiments(rate, floods, (), await self._recovery(transport))
            await asyncio.sleep(REST)
        for share in (EASY, BRISK):
            paced.append(await Offer(transport, self.letters, self.plan.paced(share), share * rate).made())
            await asyncio.sleep(REST)
        return Experiments(rate, floods, paced)

    async def _recovery(self, transport: Transport) -> list[Observation]:
        pace = min(self.plan.rate / 8, NOW_AND_THEN)
        offer = Offer(transport, self.letters, max(1, int(pace * RECOVERY)), pace)
        return await offer.made(until_accepted=True)


@attrs.define(eq=False)
class Offer:
    """
    Attempts at an even pace, whatever becomes of those before.

    Args:
        transport: sends.
        letters: makes messages.
        number: attempts.
        pace: attempts/s.
    """

    transport: Transport
    letters: Letters
    number: int
    pace: float
    _seen: list[Observation] = attrs.field(factory=list, init=False)
    _others: list[str] = attrs.field(factory=list, init=False)
    _ended: Ended | None = attrs.field(default=None, init=False)
    _accepted_at: float = attrs.field(default=0.0, init=False)
    _refused: int = attrs.field(default=0, init=False)
    """How many since the last acceptance."""

    async def made(self, *, quiet: float = math.inf, until_accepted: bool = False) -> list[Observation]:
        """
        Make them; returns them in the order in which the service met them.

        Args:
            quiet: seconds without an acceptance after which it is enough.
            until_accepted: whether one acceptance is enough.

        Raises:
            Ended: too many ended otherwise than accepted or throttled.
        """
        loop = asyncio.get_running_loop()
        self._accepted_at = begin = loop.time()
        attempts = set[asyncio.Task[None]]()
        try:
            for number in range(self.number):
                await asyncio.sleep(max(0.0, begin + number / self.pace - loop.time()))
                enough = until_accepted and self._accepted_at > begin
                # Refusals, and not time alone: this machine may have been held up.
                silent = self._refused >= IN_A_ROW and loop.time() - self._accepted_at > quiet
                if enough or self._failed or silent:
                    break
                attempt = loop.create_task(self._attempt())
                attempts.add(attempt)
                attempt.add_done_callback(attempts.discard)
            if attempts:
                await asyncio.wait(set(attempts), timeout=PATIENCE)
        finally:
            for attempt in attempts:
                attempt.cancel()
        if self._ended or self._failed:
            raise self._ended or self._otherwise()
        if len(self._seen) < min(self.number, 2):
            raise Ended(f"{self.number - len(self._seen)} of {self.number} attempts had no answer", Status.REMAINING)
        return sorted(self._seen, key=lambda one: one.at)

    @property
    def _failed(self) -> bool:
        return self._ended is not None or len(self._others) > max(1, LOST * self.number)

    def _otherwise(self) -> Ended:
        made = len(self._seen) + len(self._others)
        words = f"{len(self._others)} of {made:,} attempts were neither accepted nor throttled, for example: "
        return Ended(words + self._others[0], Status.REMAINING)

    async def _attempt(self) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            receipt = await self.transport.send(self.letters())
        except TransportError as error:
            if error.outcome is Outcome.THROTTLED:
                self._refused += 1
                self._seen.append(Observation(error.handed_over_at or begun, accepted=False))
            elif error.outcome in STOPPING:
                self._ended = self._ended or Ended.by(error)
            else:
                self._others.append(f"{error.outcome}: {error.reply.rstrip('.')}")
            return
        self._accepted_at, self._refused = loop.time(), 0
        self._seen.append(Observation(receipt.handed_over_at or begun, accepted=True))
