"""
The service behind both doors: one account, one ledger, one plan of faults.

Decides, at the moment a message has arrived, whether it is accepted, and writes that down in the same step, so that
what a client is told can be lost but never wrong. It is told the time; its randomness is seeded.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Final

import attrs

from ._account import SimulatedAccount, Verdict
from ._faults import Faults
from ._ledger import Ledger, Submission

MAX_RECIPIENTS: Final = 50
"""Recipients of one message. Source: Amazon SES Developer Guide, "Service quotas"; read 2026-11."""

MAX_SIZE: Final = 40 * 1024 * 1024
"""Bytes of one message. Source: as above."""

UNCOUNTED: Final = "@simulator.amazonses.com"
"""How addresses end that the daily quota does not count. Source: Amazon SES Developer Guide, "Using the mailbox
simulator"; read 2026-11."""

Latency = float | tuple[float, float]
"""Seconds, or the lowest and the highest of uniformly random seconds."""


@attrs.frozen
class Decision:
    """What the account said, and the message id where it said "accepted"."""

    verdict: Verdict
    message_id: str = ""


@attrs.define
class Service:
    """
    What both doors share.

    Args:
        account: the hidden bucket and the rolling day.
        ledger: what was accepted.
        faults: what goes wrong on command.
        latency: seconds before every reply of either door.
        seed: of the random latencies and of the message ids.
        strict: whether malformed addresses and contents are refused; False takes every byte as it comes.
        accepted: called with the id of every message that was accepted, and the message.
    """

    account: SimulatedAccount
    ledger: Ledger
    faults: Faults
    latency: Latency
    seed: int
    strict: bool = True
    accepted: Callable[[str, Submission], object] | None = None

    _chance: random.Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def decide(self, now: float, submission: Submission) -> Decision:
        """Decide on a message that arrived at `now`, and write the decision down."""
        uncounted = sum(recipient.lower().endswith(UNCOUNTED) for recipient in submission.recipients)
        verdict = self.account.decide(now, len(submission.recipients), uncounted)
        if verdict is not Verdict.ACCEPTED:
            self.ledger.refuse(now, verdict)
            return Decision(verdict)
        message_id = self._message_id()
        self.ledger.accept(now, message_id, submission)
        if self.accepted is not None:
            self.accepted(message_id, submission)
        return Decision(verdict, message_id)

    def wait(self) -> float:
        """The seconds before the next reply."""
        return self._chance.uniform(*self.latency) if isinstance(self.latency, tuple) else self.latency

    def _message_id(self) -> str:
        # The form of the service's own ids, so that clients which parse them find what they expect.
        unique = uuid.UUID(int=self._chance.getrandbits(128), version=4)
        return f"{self._chance.getrandbits(64):016x}-{unique}-000000"
