"""
The rate over time, as a small plot of block characters.

Decides how samples become columns. Pure: it is told the time and the width, and gives styled text.

Invariant: memory and size do not grow with the length of the run; old samples are merged in pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from rich.text import Text

STEP = 0.5
"""Seconds of one sample at first: seven recipients at 14/s, so that the bars show the rate and not chance."""

MOST = 120
"""Samples that are kept; then two become one."""

BLOCKS = " ▁▂▃▄▅▆▇█"
BAR, LIMIT, REFUSED = "cyan", "yellow", "red"


@attrs.define
class Sample:
    """What happened in one step of time; recipients accepted, attempts throttled, the estimate at its end."""

    recipients: int = 0
    throttled: int = 0
    estimate: float | None = None


@attrs.define
class Course:
    """
    The course of a run.

    Args:
        began_at: when it began, seconds of the caller's clock.
    """

    began_at: float
    step: float = attrs.field(default=STEP, init=False)
    samples: list[Sample] = attrs.field(factory=lambda: [Sample()], init=False)
    _recipients: int = attrs.field(default=0, init=False)
    _throttled: int = attrs.field(default=0, init=False)

    def note(self, now: float, recipients: int, throttled: int, estimate: float | None) -> None:
        """Take the counts since the beginning of the run, as they are at `now`."""
        while now - self.began_at >= self.step * len(self.samples):
            if len(self.samples) == MOST:
                self.samples = [_merged(*self.samples[i : i + 2]) for i in range(0, MOST, 2)]
                self.step *= 2
            else:
                self.samples.append(Sample(estimate=estimate))
        last = self.samples[-1]
        last.recipients += recipients - self._recipients
        last.throttled += throttled - self._throttled
        last.estimate = estimate
        self._recipients, self._throttled = recipients, throttled


def _merged(first: Sample, second: Sample) -> Sample:
    return Sample(first.recipients + second.recipients, first.throttled + second.throttled, second.estimate)


def plot(course: Course, width: int, height: int = 6) -> Text:
    """
    The accepted recipients/s as bars, the estimate of the limit as a line, and marks below for throttled attempts.

    Args:
        course: what to plot; its last sample, which is not complete, is left out.
        width: columns, with the axis.
        height: rows of bars.
    """
    columns, seconds = _columns(course, max(1, width - 9))
    rates = [column.recipients / seconds for column in columns]
    top = _round_up(max([1.0, *rates, *(column.estimate or 0.0 for column in columns)]))
    text = Text()
    for row in reversed(range(height)):
        text.append(f"{_label(top, row, height):>7} ┤", style="dim")
        for rate, column in zip(rates, columns, strict=True):
            text.append(*_cell(rate / top * height - row, (column.estimate or -top) / top * height - row))
        text.append("\n")
    text.append(f"{'refused':>7}  ", style="dim")
    for column in columns:
        text.append("▴" if column.throttled else " ", style=REFUSED)
    return text


def _columns(course: Course, width: int) -> tuple[Sequence[Sample], float]:
    """At most `width` samples, and the seconds of each."""
    columns, seconds = course.samples[:-1], course.step
    while len(columns) > width:
        pairs = [columns[i : i + 2] for i in range(0, len(columns), 2)]
        columns = [_merged(*pair) for pair in pairs if len(pair) == 2]
        seconds *= 2
    return columns, seconds


def _cell(filled: float, limit: float) -> tuple[str, str]:
    """One character: how much of it the bar fills, and whether the limit runs through it."""
    if 0 <= limit < 1:
        return ("─", LIMIT) if filled <= limit else (_block(filled), LIMIT)
    return _block(filled), BAR


def _block(filled: float) -> str:
    return BLOCKS[max(0, min(8, round(filled * 8)))]


def _label(top: float, row: int, height: int) -> str:
    if row == height - 1:
        return f"{top:,.0f}/s"
    return "0" if row == 0 else ""


def _round_up(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten that leaves some room above `value`."""
    power = 10.0 ** (len(str(int(value))) - 1)
    return next(power * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15) if power * step >= value * 1.05)
