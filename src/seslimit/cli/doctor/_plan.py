"""
What `seslimit doctor --measure` will send: how many messages, to whom, for how long. Pure figures and words.

Source:
    Amazon SES Developer Guide, "Using the mailbox simulator", read 2026-11: limited by the send rate, not
    counted for the daily quota, labels behind a plus sign.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

from ..._model.message import Message
from ..._model.quota import SendQuota
from .._view import duration
from ._account import LITTLE_LEFT
from ._inference import BRISK, EASY, FLOODS
from ._sessions import MOST_IN_SESSION, SESSION_SECONDS

RECIPIENT: Final = "success+seslimit-{}@simulator.amazonses.com"

FLOOD: Final = 12.0
"""Seconds of a flood: three windows of four seconds, or the swing of a count that is a second old."""

TOKENS: Final = 84.0
"""Recipients that the rate allows in a flood at least: slow accounts are flooded for longer."""

REST: Final = 8.3
"""Seconds before each experiment, no multiple of any window that somebody would choose."""

PACED: Final = 200
"""Messages of a run below the rate, at most."""

PACED_SECONDS: Final = 120.0
"""Seconds of one, at most."""

CONNECTING: Final = 15.0
"""Seconds for opening connections, usually."""

MOST_MESSAGES: Final = 20_000


@attrs.frozen
class Plan:
    """
    What will be sent.

    Args:
        rate: recipients/s that the account is told to have.
        sessions: whether connections are looked at.
    """

    rate: float
    sessions: bool = True

    @property
    def flood(self) -> float:
        """Seconds of one flood."""
        return max(FLOOD, TOKENS / self.rate)

    def paced(self, multiple: float) -> int:
        """Messages of the run at a multiple of the rate."""
        return max(1, min(PACED, int(multiple * self.rate * PACED_SECONDS)))

    @property
    def session(self) -> int:
        """Messages on one connection, at most."""
        return min(MOST_IN_SESSION, math.ceil(EASY * self.rate * SESSION_SECONDS)) if self.sessions else 0

    @property
    def messages(self) -> int:
        """Attempts in all; most of the floods' are throttled."""
        floods = sum(math.ceil(multiple * self.rate * self.flood) for multiple in FLOODS)
        return 1 + floods + self.paced(EASY) + self.paced(BRISK) + self.session + self.sessions

    @property
    def accepted(self) -> int:
        """How many of them will be accepted, about: the floods' at the rate, and all others."""
        paced = self.paced(EASY) + self.paced(BRISK)
        return math.ceil(len(FLOODS) * self.rate * (self.flood + 1)) + paced + self.session + 2

    @property
    def seconds(self) -> float:
        """How long it takes."""
        paced = self.paced(EASY) / (EASY * self.rate) + self.paced(BRISK) / (BRISK * self.rate)
        sessions = CONNECTING + self.session / (EASY * self.rate) if self.sessions else 0.0
        return REST * (3 + len(FLOODS)) + len(FLOODS) * self.flood + paced + sessions

    def words(self) -> str:
        """What will be done, in one sentence."""
        return (
            f"{self.messages:,} attempts in about {duration(round(self.seconds))}, up to {FLOODS[0] * self.rate:g}/s "
            f"and all to success@simulator.amazonses.com; about {self.accepted:,} are accepted and billed, and whoever "
            "else sends with this account meanwhile is throttled"
        )


def no_room(quota: SendQuota | None) -> str | None:
    """Why a daily quota is too near to its end; None where it is not."""
    if quota is None or quota.max_24_hour_send < 0 or quota.remaining >= LITTLE_LEFT * quota.max_24_hour_send:
        return None
    return (
        f"only {max(0, quota.remaining):,.0f} of {quota.max_24_hour_send:,.0f} recipients are left of the rolling 24 "
        "hours, and whether this would cost any of them is not certain, so nothing was sent: measure on another day"
    )


@attrs.define
class Letters:
    """
    The messages, each to a recipient of its own.

    Args:
        mail_from: a sender that the account may use.
    """

    mail_from: str
    written: int = attrs.field(default=0, init=False)

    def __call__(self) -> Message:
        """The next one."""
        self.written += 1
        content = f"From: {self.mail_from}\r\nSubject: seslimit doctor --measure\r\n\r\n{self.written}\r\n"
        return Message(self.mail_from, [RECIPIENT.format(self.written)], content.encode())
