"""
Whether listmonk's settings work with the account's rate, and which do.

listmonk has C workers; each posts R messages as fast as they are answered and then sleeps one second. They began
together and are answered in turn, so they also sleep together, but for the C / rate seconds between the first one's
answer and the last one's. C·R messages so take R·L seconds, with L those that one takes, or C·R / rate where the
account is what is waited for, and then 1 + L - C / rate in which nothing is posted. A post is held until its turn
comes: C / rate seconds. Pure arithmetic and the words for it.
"""

from __future__ import annotations

import math

import attrs

LATENCY = 0.2
"""Seconds from handing one message to SES to its answer, at the slower door."""

RETRY_TIME = 15.0
"""Seconds that a message may take longer than its turn because SES has to be asked again: four waits, 1 + 2 + 4 + 8."""

NAP = 1.0
"""Seconds that a worker sleeps after each `message_rate` messages."""

ENOUGH = 0.9
"""Part of the rate that has to be posted: the defaults reach more at 14/s, and what is missing there is made up for by
the account, which lets a second's worth pass at once."""

RARELY = 1000
"""Message rate with which the workers hardly ever sleep. Nothing else is needed of listmonk's own pace here."""

HEADROOM = 1.25
"""How many times more workers there should be than are waiting for an answer at the account's rate."""

NOTICEABLE = 0.1
"""Part of the rate by which it has to change before it is spoken of again."""

CROWDED = 1.5
"""How many times more messages have to be held than before, until it is spoken of again."""

TIMEOUT_STEP = 30
"""Seconds. The time-outs that are recommended are multiples of it, and twice what is needed."""


@attrs.frozen
class Settings:
    """
    listmonk's settings that count here; the defaults are its own.

    Args:
        concurrency: Settings, Performance, Concurrency: workers.
        message_rate: Settings, Performance, Message rate: messages that a worker posts between two naps of a second.
        timeout: Settings, Messengers, Idle timeout: seconds that listmonk waits for an answer.
    """

    concurrency: int = 10
    message_rate: int = 10
    timeout: float = 5.0


@attrs.frozen
class Advice:
    """
    What is wrong with the settings, and settings with which it is not.

    Args:
        problems: one clause for each; empty where nothing is wrong.
        better: settings that work; those that were asked about where they do.
    """

    problems: tuple[str, ...]
    better: Settings

    def sentence(self) -> str:
        """For the log; empty where nothing is wrong."""
        if not self.problems:
            return ""
        better = self.better
        return (
            f"listmonk's settings do not fit the account's rate: {'; '.join(self.problems)}. Set in listmonk: "
            f"Concurrency {better.concurrency}, Message rate {better.message_rate}; and for this messenger: "
            f"Idle timeout {better.timeout:.0f}s, Max. connections {max(25, better.concurrency)}."
        )


def posted(settings: Settings, rate: float) -> float:
    """
    Messages/s that listmonk posts with these settings to an account of this rate.

    Source:
        The double of listmonk before a limiter on virtual time reaches at least as much, and 0 to 20 % more where the
        account makes up for a nap; a real one reached 22 % of 200/s with 10 workers and 10 messages.
    """
    burst = settings.concurrency * settings.message_rate
    nap = max(0.0, NAP + LATENCY - settings.concurrency / rate)
    return burst / (max(settings.message_rate * LATENCY, burst / rate) + nap)


def needed_timeout(rate: float, concurrency: int) -> float:
    """Seconds in which a post is answered: its turn among as many as there are workers, and time to try again."""
    return concurrency / rate + RETRY_TIME


def advice(rate: float, settings: Settings) -> Advice:
    """
    Whether listmonk's settings work at this rate.

    Args:
        rate: recipients/s that the account takes.
        settings: listmonk's.
    """
    problems = []
    better = settings
    if posted(settings, rate) < ENOUGH * rate:
        problems.append(
            f"with Concurrency {settings.concurrency} and Message rate {settings.message_rate} it posts about "
            f"{_figure(posted(settings, rate))} messages/s, since its workers sleep together, and the account takes "
            f"{_figure(rate)}/s"
        )
        better = _fast_enough(rate, settings)
    if needed_timeout(rate, better.concurrency) > settings.timeout:
        problems.append(
            f"with Concurrency {better.concurrency} a post is held for up to {better.concurrency / rate:.2g} s until "
            f"its turn, and for {RETRY_TIME:.0f} s more where SES has to be asked again, and listmonk gives up after "
            f"{settings.timeout:g} s"
        )
        enough = 2 * needed_timeout(rate, better.concurrency)
        better = attrs.evolve(better, timeout=float(math.ceil(enough / TIMEOUT_STEP) * TIMEOUT_STEP))
    return Advice(tuple(problems), better)


def _figure(rate: float) -> str:
    return f"{rate:.3g}" if rate < 100 else f"{rate:,.0f}"


def _fast_enough(rate: float, settings: Settings) -> Settings:
    concurrency = max(settings.concurrency, math.ceil(HEADROOM * rate * LATENCY))
    return attrs.evolve(settings, concurrency=concurrency, message_rate=max(settings.message_rate, RARELY))


@attrs.define
class Adviser:
    """
    Says what there is to say about listmonk's settings, each thing once.

    Args:
        settings: listmonk's, as far as they were told.
    """

    settings: Settings
    _rate: float = attrs.field(default=0.0, init=False)
    _concurrency: int = attrs.field(default=0, init=False)
    _told: Advice | None = attrs.field(default=None, init=False)

    def look(self, rate: float, most_held: int) -> str:
        """
        What is new; empty where nothing is.

        Args:
            rate: recipients/s that the account takes now.
            most_held: the most messages that were held at once: listmonk has at least so many workers.
        """
        concurrency = max(self.settings.concurrency, most_held)
        if abs(rate - self._rate) <= NOTICEABLE * self._rate and concurrency <= CROWDED * self._concurrency:
            return ""
        self._rate, self._concurrency = rate, concurrency
        found = advice(rate, attrs.evolve(self.settings, concurrency=concurrency))
        before, self._told = self._told, found
        if not found.problems:
            mended = before is not None and before.problems
            return f"listmonk's settings fit the account's rate of {_figure(rate)}/s now." if mended else ""
        same = before is not None and before.better == found.better and len(before.problems) == len(found.problems)
        return "" if same else found.sentence()
