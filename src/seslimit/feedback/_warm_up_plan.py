"""
A warm-up: how much a new account or domain sends on each day, and what a day has to be like for the next to have more.

Decides caps from a plan and from what has happened; it knows no clock, moments come as seconds since the epoch. A day
is judged by plain shares and not by certainty: to wait a day longer costs little, and a young reputation is soon lost.

Invariants: a day's cap only comes from the plan; a day that was bad is never followed by a larger one; a day on which
little was sent proves nothing, and is repeated.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable
from typing import Any

import attrs

from .._model.errors import ConfigurationError
from ._reputation import BOUNCES, COMPLAINTS, Level

DAY = 86_400.0
"""Seconds of a day of the plan; the first begins with the first message."""

START = 200
"""Recipients of the first day: what an account has that was not approved yet."""

GOAL = 50_000
"""Recipients of the last day where nothing is said: what approved accounts often begin with."""

HOURS = 4.0
"""Hours over which a day's recipients are spread at least, so that providers see a stream and not a burst."""

LEAST_RATE = 1.0
"""Recipients/s that a day may have at least."""

ENOUGH = 0.8
"""Share of a day's cap that has to be sent before the next day has more."""

SOME = 5
"""Bounces or complaints of a day below which its shares mean nothing."""

KEPT = 60
"""Days that are remembered."""

_PLAN = re.compile(r"(\d{1,3})d(?::(\d{1,9})-(\d{1,9}))?")


@attrs.frozen
class Step:
    """
    One day of a plan.

    Args:
        recipients: sent to at most.
        rate: recipients/s at most.
    """

    recipients: int
    rate: float


def _steps(steps: Iterable[Step]) -> tuple[Step, ...]:
    return tuple(steps)


@attrs.frozen
class Plan:
    """
    What each day may have.

    Args:
        steps: the days, in their order.
    """

    steps: tuple[Step, ...] = attrs.field(converter=_steps)

    def __attrs_post_init__(self) -> None:
        if not self.steps:
            raise ConfigurationError("a warm-up has at least one day.")
        if any(step.recipients < 1 or not 0 < step.rate < math.inf for step in self.steps):
            raise ConfigurationError("each day of a warm-up has at least one recipient, and a rate above 0.")

    @classmethod
    def parse(cls, text: str) -> Plan:
        """
        The plan that `14d` or `14d:200-50000` means: so many days, from the one to the other by equal factors.

        Raises:
            ConfigurationError: it means none.
        """
        found = _PLAN.fullmatch(text.strip())
        if not found or not int(found[1]):
            raise ConfigurationError(
                f"{text!r} is no warm-up: write 14d, 14d:200-50000, or the name of a table (CSV: recipients, rate)."
            )
        days, start, goal = int(found[1]), int(found[2] or START), int(found[3] or GOAL)
        factor = (goal / start) ** (1 / max(1, days - 1)) if start else 0
        return cls(_step(start * factor**number) for number in range(days))

    @classmethod
    def table(cls, lines: Iterable[str]) -> Plan:
        """
        The plan of a table: one day a line, recipients and perhaps recipients/s; a line that begins with no digit is
        a heading.

        Raises:
            ConfigurationError: a line is none.
        """
        steps = []
        for row in csv.reader(lines):
            cells = [cell.strip() for cell in row]
            if not cells or not cells[0][:1].isdigit():
                continue
            try:
                recipients = int(cells[0])
                rate = float(cells[1]) if len(cells) > 1 and cells[1] else _step(recipients).rate
            except ValueError:
                raise ConfigurationError(
                    f"{','.join(cells)!r} is no day of a warm-up: write recipients, and recipients/s."
                ) from None
            steps.append(Step(recipients, rate))
        return cls(steps)

    @classmethod
    def of(cls, told: Any) -> Plan:
        """
        The plan that `as_json` gave.

        Raises:
            ConfigurationError: it is something else.
        """
        try:
            return cls(Step(int(recipients), float(rate)) for recipients, rate in told)
        except (TypeError, ValueError):
            raise ConfigurationError("the warm-up in the state file cannot be read.") from None

    def as_json(self) -> list[list[float]]:
        """The same as JSON has it."""
        return [[step.recipients, step.rate] for step in self.steps]

    def reaching(self, limit: float) -> Plan:
        """This plan, with more days where the account may send more than its last one has."""
        steps = list(self.steps)
        before = steps[-2].recipients if len(steps) > 1 else steps[-1].recipients / 2
        factor = min(2.0, max(1.2, steps[-1].recipients / before))
        while limit > steps[-1].recipients * 1.01:
            steps.append(_step(min(limit, steps[-1].recipients * factor)))
        return Plan(steps) if len(steps) > len(self.steps) else self


@attrs.frozen
class Day:
    """
    A day that is over.

    Args:
        step: which of the plan, from 0.
        sent: recipients.
        bounces: hard bounces.
        complaints: complaints.
    """

    step: int
    sent: int
    bounces: int = 0
    complaints: int = 0

    @property
    def level(self) -> Level:
        """What the figures mean for the next day: more, the same, or less."""
        worst = Level.FINE
        for events, threshold in ((self.bounces, BOUNCES), (self.complaints, COMPLAINTS)):
            share = events / max(self.sent, 1)
            few = events < (SOME if threshold is BOUNCES else 2)
            if not few and share >= threshold.review:
                worst = Level.HOLD
            elif not few and share >= threshold.aim:
                worst = max(worst, Level.WARN)
        return worst


@attrs.frozen
class Progress:
    """
    How far a warm-up is.

    Args:
        step: which day of the plan it is, from 0; the plan's length when it is over.
        began: when this day began, seconds since the epoch; None before the first message.
        sent, bounces, complaints: of this day.
        past: days before.
        told: what SES's own figures say of the account.
    """

    step: int = 0
    began: float | None = None
    sent: int = 0
    bounces: int = 0
    complaints: int = 0
    past: tuple[Day, ...] = ()
    told: Level = Level.FINE

    @property
    def today(self) -> Day:
        """This day, as far as it is."""
        return Day(self.step, self.sent, self.bounces, self.complaints)

    @property
    def level(self) -> Level:
        """What this day looks like, by what came back and by SES's own figures."""
        return max(self.today.level, Level.HOLD if self.told >= Level.SLOW else self.told)

    def cap(self, plan: Plan) -> float:
        """Recipients that this day may have; infinity where the plan is over."""
        if self.level is Level.HOLD:
            return self.sent
        return plan.steps[self.step].recipients if self.step < len(plan.steps) else math.inf

    def rate(self, plan: Plan) -> float | None:
        """Recipients/s that this day may have; None where the plan is over."""
        return plan.steps[self.step].rate if self.step < len(plan.steps) else None

    def ends(self, now: float) -> float:
        """When this day ends."""
        return (now if self.began is None else self.began) + DAY

    def at(self, now: float, plan: Plan) -> Progress:
        """The same at a moment: days that are over are closed, and the next one has what they deserve."""
        if self.began is None:
            return attrs.evolve(self, began=now)
        days = int((now - self.began) // DAY)
        if days < 1:
            return self
        return Progress(
            step=self._next(plan),
            began=self.began + days * DAY,
            past=(*self.past, self.today)[-KEPT:] if self.sent else self.past,
            told=self.told,
        )

    def _next(self, plan: Plan) -> int:
        level, step = self.level, min(self.step, len(plan.steps))
        if level is Level.HOLD:
            return max(0, step - 1)
        if step == len(plan.steps) or level is Level.WARN or self.sent < ENOUGH * plan.steps[step].recipients:
            return step
        return step + 1

    @classmethod
    def of(cls, told: Any) -> Progress:
        """
        The progress that `as_json` gave.

        Raises:
            ConfigurationError: it is something else.
        """
        try:
            past = tuple(Day(*map(int, day)) for day in told["past"])
            began = None if told["began"] is None else float(told["began"])
            counts: dict[str, Any] = {name: int(told[name]) for name in ("step", "sent", "bounces", "complaints")}
            return cls(began=began, past=past, **counts)
        except (TypeError, ValueError, KeyError):
            raise ConfigurationError("the warm-up in the state file cannot be read.") from None

    def as_json(self) -> dict[str, Any]:
        """The same as JSON has it."""
        names = ("step", "began", "sent", "bounces", "complaints")
        return {name: getattr(self, name) for name in names} | {"past": [list(attrs.astuple(day)) for day in self.past]}


def _step(recipients: float) -> Step:
    return Step(round(recipients), max(LEAST_RATE, math.ceil(recipients / (HOURS * 3600))))
