"""
Stand-ins for the service, as transports on virtual time.

`ModelService` decides by an account's token bucket after the delays of a door; `ScriptedService` does as a test says.
Both keep the service's own ledger: what it accepted, whoever has or has not read its reply.
"""

from __future__ import annotations

import asyncio
import enum
import math
import random
from collections import Counter
from collections.abc import Callable, Hashable, Iterator

import attrs

from seslimit import Message, Outcome, Receipt, SendQuota, TransportError
from seslimit.testing._account import SimulatedAccount, Verdict

OUTCOMES = {Verdict.RATE_EXCEEDED: Outcome.THROTTLED, Verdict.QUOTA_EXCEEDED: Outcome.QUOTA_EXCEEDED}
ANYBODY = ("somebody@example.org",)
FIFTY = tuple(f"r{number}@example.org" for number in range(50))


def message(key: Hashable = None, recipients: tuple[str, ...] = ANYBODY) -> Message:
    """A small valid message."""
    return Message("sender@example.com", recipients, b"Subject: hello\r\n\r\nhello\r\n", key)


def messages(count: int, *, heavy: float = 0.0, seed: int = 0) -> Iterator[Message]:
    """So many messages with keys from 0; a share of `heavy`, chosen at random, has 50 recipients."""
    rng = random.Random(seed)
    for number in range(count):
        yield message(number, FIFTY if heavy and rng.random() < heavy else ANYBODY)


class Door(enum.Enum):
    """How an attempt's time is spent until the content is handed over, the service decides, and the reply is read."""

    API = "api"
    """One request: 50 to 200 ms, around 90; handed over at once, decided half-way."""
    SMTP = "smtp"
    """Four replies of 30 to 40 ms until the final dot; decided as the dot arrives, half a round trip later."""
    NEAR = "near"
    """One request to the same region: decided after 40 to 60 ms."""

    def delays(self, rng: random.Random) -> tuple[float, float, float]:
        """Seconds of one attempt: to the handing over, then to the decision, then to the reply."""
        if self is Door.API:
            reply = min(0.2, max(0.05, rng.lognormvariate(math.log(0.09), 0.35)))
            return 0.0, reply / 2, reply / 2
        if self is Door.NEAR:
            return 0.0, rng.uniform(0.04, 0.06), 0.04
        half = rng.uniform(0.015, 0.02)
        return sum(rng.uniform(0.03, 0.04) for _ in range(4)), half, half


@attrs.frozen
class Decision:
    """The service's word on one attempt: when, on how many recipients, and what."""

    at: float
    cost: int
    verdict: Verdict


@attrs.define(eq=False)
class ModelService:
    """
    A transport to a simulated account.

    Args:
        account: decides.
        door: gives the delays.
        seed: fixes them.
    """

    account: SimulatedAccount
    door: Door = Door.API
    seed: int = 0
    ledger: Counter[Hashable] = attrs.field(factory=Counter, init=False)
    """How often each key was accepted."""
    decisions: list[Decision] = attrs.field(factory=list, init=False)
    taken: list[float] = attrs.field(factory=list, init=False)
    """When the account's other user got a token."""
    _rng: random.Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._rng = random.Random(self.seed)

    async def send(self, message: Message) -> Receipt:
        """Make one attempt."""
        loop = asyncio.get_running_loop()
        handing_over, deciding, replying = self.door.delays(self._rng)
        await asyncio.sleep(handing_over)
        handed_over = loop.time()
        await asyncio.sleep(deciding)
        verdict = self.account.decide(loop.time(), message.cost)
        self.decisions.append(Decision(loop.time(), message.cost, verdict))
        self.ledger[message.key] += verdict is Verdict.ACCEPTED
        await asyncio.sleep(replying)
        if verdict is Verdict.ACCEPTED:
            return Receipt(f"id-{message.key}", decided_at=handed_over)
        raise TransportError(OUTCOMES[verdict], verdict, decided_at=handed_over)

    async def aclose(self) -> None:
        """Nothing to release."""

    async def compete(self, rate: float, begin: float, end: float) -> None:
        """Be another user of the account, who takes `rate` recipients/s from `begin` to `end`."""
        loop = asyncio.get_running_loop()
        for number in range(int((end - begin) * rate)):
            await asyncio.sleep(begin + number / rate - loop.time())
            if self.account.take(loop.time(), 1):
                self.taken.append(loop.time())


Script = Callable[[Message, int], Outcome | Exception]


def always_accept(message: Message, attempt: int) -> Outcome:
    """Accept every message."""
    return Outcome.ACCEPTED


def first_attempts(*outcomes: Outcome | Exception) -> Script:
    """Answer each message's first attempts so, and accept the next."""
    return lambda _, attempt: outcomes[attempt - 1] if attempt <= len(outcomes) else Outcome.ACCEPTED


@attrs.define(eq=False)
class ScriptedService:
    """
    A transport that answers as a script says.

    Args:
        script: the answer to an attempt, from the message and the number of its attempt (from 1): an outcome, which is
            raised unless accepted, or an exception to raise.
        delay: seconds from the attempt's start to the decision, and half that from there to the reply.
    """

    script: Script = always_accept
    delay: float = 0.1
    ledger: Counter[Hashable] = attrs.field(factory=Counter, init=False)
    attempts: list[Hashable] = attrs.field(factory=list, init=False)
    """Keys in the order in which attempts began."""
    times: list[float] = attrs.field(factory=list, init=False)
    """When attempts began."""
    in_flight: int = attrs.field(default=0, init=False)
    most_in_flight: int = attrs.field(default=0, init=False)
    closed: int = attrs.field(default=0, init=False)
    _count: Counter[Hashable] = attrs.field(factory=Counter, init=False)

    async def send(self, message: Message) -> Receipt:
        """Make one attempt."""
        self.attempts.append(message.key)
        self.times.append(asyncio.get_running_loop().time())
        self._count[message.key] += 1
        answer = self.script(message, self._count[message.key])
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.delay)
            self.ledger[message.key] += answer is Outcome.ACCEPTED
            await asyncio.sleep(self.delay / 2)
        finally:
            self.in_flight -= 1
        if answer is Outcome.ACCEPTED:
            return Receipt(f"id-{message.key}")
        raise TransportError(answer, f"scripted: {answer}") if isinstance(answer, Outcome) else answer

    async def aclose(self) -> None:
        """Remember that it was closed."""
        self.closed += 1


@attrs.define(eq=False)
class WithQuota(ScriptedService):
    """A scripted service that knows the account's sending quota, or refuses to tell it."""

    quotas: list[SendQuota | Exception | None] = attrs.field(factory=list, kw_only=True)
    """Answers to one question each; the last one is repeated."""
    asked: list[float] = attrs.field(factory=list, init=False)
    """When the quota was asked for."""

    async def quota(self) -> SendQuota | None:
        """Answer."""
        self.asked.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.delay)
        answer = self.quotas.pop(0) if len(self.quotas) > 1 else self.quotas[0]
        if isinstance(answer, Exception):
            raise answer
        return answer
