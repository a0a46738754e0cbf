"""
When a sender's bounces or complaints are too many: figures in, a verdict out.

SES reviews an account above 5 % bounces or 0.1 % complaints, and may pause it above 10 % or 0.5 %, over what it calls a
representative volume. Whether a share is *certainly* above a threshold is asked again after every event, so an ordinary
confidence interval would be wrong sooner or later; here the bound holds for all times together. For k events among n
recipients, a threshold p and a Beta(1/2, 1/2) mixture, the evidence against "p or less" is

    E = B(k + 1/2, n - k + 1/2) / B(1/2, 1/2) / (p^k · (1 - p)^(n - k)),     and P(E ever reaches 1/a) is at most a.

Invariants: a share below a threshold is never evidence for being above it; a verdict only gets worse with more events
among as many recipients.

Source:
    Robbins, "Statistical methods related to the law of the iterated logarithm", Ann. Math. Statist. 41 (1970). Howard
    and others, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Ann. Statist. 49 (2021). Thresholds:
    Amazon SES Developer Guide, "Reputation dashboard messages" and the sending review FAQ; read 2026-11.
"""

from __future__ import annotations

import enum
import math
from collections import deque

import attrs

from .._model.errors import ConfigurationError

MISTAKE = 0.001
"""Chance that a list which is exactly at a threshold is ever called certainly above it."""

DOUBT = 0.05
"""The same for "probably above it"."""

FEWEST = 5
"""Events that decide anything: the first complaint of a day is a person, not a share."""


class Level(enum.IntEnum):
    """What is to be done, from nothing to everything."""

    FINE = 0
    WARN = 1
    """Above what SES asks for, below what it acts on: somebody should look."""
    SLOW = 2
    """Probably above what SES reviews accounts for: go on slower, so that what comes back is heard in time."""
    HOLD = 3
    """Certainly above it: send no more."""


@attrs.frozen
class Threshold:
    """
    Shares that mean something to SES.

    Args:
        aim: what SES asks to stay below.
        review: where it puts an account under review.
        pause: where it may pause it.
    """

    aim: float
    review: float
    pause: float

    def __attrs_post_init__(self) -> None:
        if not 0.0 < self.aim <= self.review <= self.pause < 1.0:
            raise ConfigurationError("thresholds are shares above 0 and below 1: aim, review and pause in this order.")

    @property
    def last(self) -> float:
        """Half-way from review to pause: where an account as a whole is held, before SES does it."""
        return (self.review + self.pause) / 2


BOUNCES = Threshold(0.02, 0.05, 0.10)
COMPLAINTS = Threshold(0.0005, 0.001, 0.005)


@attrs.frozen
class Verdict:
    """
    What figures say.

    Args:
        level: what is to be done.
        reason: one sentence; empty where all is fine.
    """

    level: Level = Level.FINE
    reason: str = ""


@attrs.frozen
class Figures:
    """
    What came back of what was sent.

    Args:
        sent: recipients.
        bounces: hard bounces among them.
        complaints: complaints among them.
    """

    sent: float = 0
    bounces: float = 0
    complaints: float = 0

    def plus(self, other: Figures) -> Figures:
        """Both together."""
        return Figures(self.sent + other.sent, self.bounces + other.bounces, self.complaints + other.complaints)


@attrs.frozen
class Share:
    """
    Events that are judged.

    Args:
        events: how many.
        threshold: what SES thinks of them.
        word: what the recipients did.
    """

    events: float
    threshold: Threshold
    word: str


def evidence(events: float, recipients: float, share: float) -> float:
    """
    The logarithm of the evidence that the true share is above `share`; 0 where there is none.

    Args:
        events: bounces or complaints.
        recipients: among how many.
        share: the threshold, above 0 and below 1.
    """
    events = min(events, recipients)
    if recipients <= 0 or events <= share * recipients:
        return 0.0
    others = recipients - events
    mixture = math.lgamma(events + 0.5) + math.lgamma(others + 0.5) - math.lgamma(recipients + 1.0) - math.log(math.pi)
    return max(0.0, mixture - events * math.log(share) - others * math.log1p(-share))


def least_share(events: float, recipients: float, mistake: float = MISTAKE) -> float:
    """
    The share that the true one is certainly not below; 0 where nothing is certain.

    Args:
        events: bounces or complaints.
        recipients: among how many.
        mistake: chance that it is below at any time.
    """
    if recipients <= 0 or events <= 0:
        return 0.0
    enough, low, high = -math.log(mistake), 0.0, min(events, recipients) / recipients
    for _ in range(50):
        middle = (low + high) / 2
        if 0.0 < middle < 1.0 and evidence(events, recipients, middle) >= enough:
            low = middle
        else:
            high = middle
    return low


def judge(figures: Figures, what: str, *, whole: bool = False) -> Verdict:
    """
    What is to be done about a list or an account, and why.

    Args:
        figures: what came back.
        what: the words for it in the sentence: "campaign 7", "the account".
        whole: as for `level_of`.
    """
    level, share = level_of(figures, whole=whole)
    return Verdict(level, _sentence(share, figures.sent, what, level)) if level else Verdict()


def level_of(figures: Figures, *, whole: bool = False) -> tuple[Level, Share]:
    """
    What is to be done about a list or an account, and which share says so.

    Args:
        figures: what came back.
        whole: whether it is the account as a whole, which is held only shortly before SES would.
    """
    shares = (Share(figures.bounces, BOUNCES, "bounced"), Share(figures.complaints, COMPLAINTS, "complained"))
    levels = [_level(share, figures.sent, whole=whole) for share in shares]
    return (levels[0], shares[0]) if levels[0] >= levels[1] else (levels[1], shares[1])


def _level(share: Share, sent: float, *, whole: bool) -> Level:
    events, threshold = share.events, share.threshold
    if events < FEWEST:
        return Level.FINE
    surely, perhaps = -math.log(MISTAKE), -math.log(DOUBT)
    if evidence(events, sent, threshold.last if whole else threshold.review) >= surely:
        return Level.HOLD
    if evidence(events, sent, threshold.review) >= (surely if whole else perhaps):
        return Level.SLOW
    return Level.WARN if evidence(events, sent, threshold.aim) >= perhaps else Level.FINE


def _sentence(share: Share, sent: float, what: str, level: Level) -> str:
    events, threshold = share.events, share.threshold
    least = least_share(events, sent, DOUBT if level < Level.HOLD else MISTAKE)
    meaning = {
        Level.WARN: f"SES asks to stay below {_percent(threshold.aim)}",
        Level.SLOW: f"SES reviews an account above {_percent(threshold.review)}",
        Level.HOLD: f"SES reviews an account above {_percent(threshold.review)} and may pause it above "
        f"{_percent(threshold.pause)}",
    }[level]
    return (
        f"{what}: {events:,.0f} of {sent:,.0f} recipients {share.word} ({_percent(events / max(sent, 1))}, at least "
        f"{_percent(least)} beyond doubt), and {meaning}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + " %"


def judge_told(bounces: float, complaints: float, enforcement: str = "HEALTHY") -> Verdict:
    """
    What is to be done about an account by SES's own figures, which are over its own representative volume.

    Args:
        bounces: share of bounces, `Reputation.BounceRate` of CloudWatch.
        complaints: share of complaints, `Reputation.ComplaintRate`.
        enforcement: `EnforcementStatus` of GetAccount: HEALTHY, PROBATION or SHUTDOWN.
    """
    if enforcement == "SHUTDOWN":
        return Verdict(Level.HOLD, "SES has shut the account's sending down: see the account's messages from AWS")
    found = [Verdict(Level.SLOW, "SES has the account under review")] if enforcement == "PROBATION" else []
    for share, threshold, word in ((bounces, BOUNCES, "bounces"), (complaints, COMPLAINTS, "complaints")):
        for level, bound in ((Level.HOLD, threshold.last), (Level.SLOW, threshold.review), (Level.WARN, threshold.aim)):
            if share >= bound:
                found.append(
                    Verdict(
                        level,
                        f"SES counts {_percent(share)} {word} for the account; it reviews one above "
                        f"{_percent(threshold.review)} and may pause it above {_percent(threshold.pause)}",
                    )
                )
                break
    return max(found, key=lambda verdict: verdict.level, default=Verdict())


@attrs.define
class Window:
    """
    The figures of the last so many recipients: what SES calls a representative volume.

    Args:
        volume: recipients; a tenth of it is forgotten at a time.
    """

    volume: float
    _blocks: deque[Figures] = attrs.field(factory=lambda: deque([Figures()]), init=False)

    def add(self, figures: Figures) -> None:
        """Count more."""
        if self._blocks[-1].sent >= self.volume / 10:
            self._blocks.append(Figures())
            if len(self._blocks) > 10:
                self._blocks.popleft()
        self._blocks[-1] = self._blocks[-1].plus(figures)

    @property
    def figures(self) -> Figures:
        """All that is not forgotten."""
        total = Figures()
        for block in self._blocks:
            total = total.plus(block)
        return total
