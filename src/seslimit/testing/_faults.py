"""
Faults on command: at which stage, which time, and what then happens instead of the ordinary reply.

Decides whether a fault is due; the doors carry it out. Pure: knows no socket and no clock, its randomness is seeded.

Invariants: one step of a conversation meets at most one fault, the first in the plan that is due, and counts as a step
for all of them; a fault that is used up never comes again.
"""

from __future__ import annotations

import enum
import json
import random
from collections.abc import Iterable

import attrs


class Stage(enum.StrEnum):
    """A step of a conversation, named after what the client has just done; the last two are the API's."""

    CONNECT = "connect"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    DOT = "dot"
    RSET = "rset"
    NOOP = "noop"
    QUIT = "quit"
    SEND = "send"
    ACCOUNT = "account"


class End(enum.StrEnum):
    """What becomes of the connection: kept, closed (FIN), cut (FIN, over TLS without notice) or reset (RST)."""

    KEEP = "keep"
    CLOSE = "close"
    CUT = "cut"
    RESET = "reset"


@attrs.frozen
class APIReply:
    """
    A reply of the API door.

    Args:
        status: the HTTP status.
        error: the error type that goes into `x-amzn-ErrorType`, or None for no such header.
        message: the error's message.
        body: the bytes to send instead of the JSON made from `message`; for garbage and for a 200 without a message id.
    """

    status: int
    error: str | None = None
    message: str = ""
    body: bytes | None = None

    def payload(self) -> bytes:
        """The bytes of the body."""
        return json.dumps({"message": self.message}).encode() if self.body is None else self.body


@attrs.frozen
class Fault:
    """
    One thing that goes wrong at one stage: an answer, an end of the connection, a silence or a delay.

    With a `reply` that is sent; else with `silent` or an `end` nothing is; else the ordinary reply, after the `delay`.
    `Fault("dot", end="reset", decided=True)` is "accepted, and the reply was lost"; without `decided` it is "not
    accepted, connection lost".

    Args:
        stage: where it strikes.
        reply: sent instead of the ordinary reply. SMTP: text gets its CRLF, bytes go out as they are. API: an
            `APIReply`.
        end: what becomes of the connection afterwards.
        silent: no reply, and the connection stays open.
        decided: True lets the service do its part first (accept the message, start TLS), so that only the reply
            suffers; False strikes before anything was decided.
        delay: seconds before it strikes.
        at_byte: at stage `body`: strikes when that many bytes of content have arrived, or its end.
        skip: how many times the stage passes before the fault is due: `skip=2` strikes the third time.
        times: how often it strikes; None for ever.
        probability: chance that it strikes when it is due, from the seeded random numbers of its plan.
    """

    stage: Stage = attrs.field(converter=Stage)
    reply: str | bytes | APIReply | None = attrs.field(default=None, kw_only=True)
    end: End = attrs.field(default=End.KEEP, converter=End, kw_only=True)
    silent: bool = attrs.field(default=False, kw_only=True)
    decided: bool = attrs.field(default=False, kw_only=True)
    delay: float = attrs.field(default=0.0, kw_only=True)
    at_byte: int = attrs.field(default=0, kw_only=True)
    skip: int = attrs.field(default=0, kw_only=True)
    times: int | None = attrs.field(default=1, kw_only=True)
    probability: float = attrs.field(default=1.0, kw_only=True)

    def __attrs_post_init__(self) -> None:
        over_http = self.stage in (Stage.SEND, Stage.ACCOUNT)
        if self.reply is not None and isinstance(self.reply, APIReply) is not over_http:
            kind = "an APIReply" if over_http else "text or bytes"
            raise ValueError(f"a fault at stage {self.stage} answers with {kind}")

    @property
    def replaces(self) -> bool:
        """Whether the ordinary reply is not sent."""
        return self.reply is not None or self.silent or self.end is not End.KEEP

    def wire(self) -> bytes:
        """The bytes that an SMTP door writes; none where the fault has no reply."""
        if isinstance(self.reply, str):
            return self.reply.encode() + b"\r\n"
        return self.reply if isinstance(self.reply, bytes) else b""


@attrs.define
class _Planned:
    """A fault and what has become of it."""

    fault: Fault
    passed: int = 0
    struck: int = 0

    @property
    def spent(self) -> bool:
        return self.fault.times is not None and self.struck >= self.fault.times

    def due(self, chance: random.Random) -> bool:
        if self.spent or self.passed <= self.fault.skip:
            return False
        return self.fault.probability >= 1 or chance.random() < self.fault.probability


class Faults:
    """
    The plan of a simulator's faults, in order; it can be added to while the simulator runs.

    Args:
        plan: the faults; at each step the first one that is due strikes.
        seed: of the random numbers behind `Fault.probability`.
    """

    def __init__(self, plan: Iterable[Fault] = (), seed: int = 0) -> None:
        self._chance = random.Random(seed)
        self._planned: dict[Stage, list[_Planned]] = {}
        self.struck: list[Fault] = []
        """Every fault that struck, in order."""
        self.add(*plan)

    def add(self, *faults: Fault) -> None:
        """Plan more faults, behind those that are planned."""
        for fault in faults:
            self._planned.setdefault(fault.stage, []).append(_Planned(fault))

    def clear(self) -> None:
        """Forget what is planned."""
        self._planned.clear()

    @property
    def pending(self) -> list[Fault]:
        """The faults that have strikes left."""
        return [planned.fault for stage in self._planned.values() for planned in stage if not planned.spent]

    def draw(self, stage: Stage) -> Fault | None:
        """Count one step at `stage`, and return the fault that strikes it."""
        plan = self._planned.get(stage, [])
        for planned in plan:
            planned.passed += 1
        for planned in plan:
            if planned.due(self._chance):
                planned.struck += 1
                self.struck.append(planned.fault)
                return planned.fault
        return None
