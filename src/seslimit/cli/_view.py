"""
What a run looks like: a live view for a terminal, a plain line elsewhere, and the words for times and rates.

Pure: it is given one look at a run, and gives what is shown. When to look is in `_watch`.
"""

from __future__ import annotations

import math

import attrs
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ._chart import Course, plot
from ._tally import Tally

NARROW = 66
"""Columns below which two figures stand side by side, not three."""

DAY = 86_400.0
"""Seconds of the rolling window of the daily quota."""

WIDEST = 84
"""Columns that the view takes at most."""


@attrs.frozen(kw_only=True)
class Snapshot:
    """One look at a run; rates in recipients/s, times in seconds, the daily quota in recipients."""

    title: str
    elapsed: float
    tally: Tally
    rate: float
    estimate: float | None = None
    in_flight: int = 0
    paused: str | None = None
    resumes_in: float | None = None
    phase: str | None = None
    left_today: float = math.inf
    each_day: float = math.inf
    forecast: str = ""

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the end at the rate now; None where the total or the rate is not known."""
        if self.tally.total_recipients is None:
            return None
        left = max(0, self.tally.total_recipients - self.tally.ended_recipients)
        return seconds_for(left, self.rate, self.left_today, self.each_day)

    @property
    def pause(self) -> str:
        """Why nothing is sent, and when it is tried again; empty while it is."""
        if self.paused is None:
            return ""
        until = f", next try in {duration(round(self.resumes_in))}" if self.resumes_in is not None else ""
        return f"paused: {self.paused}{until}"


def seconds_for(recipients: float, rate: float, left_today: float, each_day: float) -> float | None:
    """
    Seconds that so many recipients take; None where they never end.

    What does not fit into today comes in portions of a day's quota, each as soon as the one before has left the rolling
    24 hours; where those of today began is not known, so the first one is counted from now.

    Args:
        recipients: how many.
        rate: recipients/s.
        left_today: recipients that are left of the daily quota; infinity for no limit.
        each_day: the daily quota in recipients; infinity, or below 0, for no limit.
    """
    if rate <= 0:
        return None
    if recipients <= left_today or each_day < 0:
        return recipients / rate
    if each_day < 1:
        return None
    days = math.ceil((recipients - left_today) / each_day)
    return days * DAY + (recipients - left_today - (days - 1) * each_day) / rate


def duration(seconds: float) -> str:
    """A length of time for people: "42 s", "3 min 05 s", "2 h 10 min"."""
    whole = round(seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s" if seconds % 1 else f"{whole} s"
    if whole < 100:
        return f"{whole} s"
    if whole < 5999:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"


def number(rate: float) -> str:
    """A rate in figures, without its unit: "13.9", "1,250"."""
    return f"{rate:,.1f}" if rate < 100 else f"{rate:,.0f}"


def per_second(rate: float) -> str:
    """A rate where it is clear that it is one of recipients: "13.9/s"."""
    return f"{number(rate)}/s"


def plain_line(look: Snapshot) -> str:
    """One look at a run, as one line."""
    tally = look.tally
    of_total = "" if tally.total is None else f" of {tally.total:,}"
    limit = "" if look.estimate is None else f" (limit {per_second(look.estimate)} as told or found)"
    parts = [
        f"{tally.accepted:,}{of_total} accepted",
        f"{per_second(look.rate)}{limit}",
        f"{tally.throttled:,} throttled",
        f"{look.in_flight:,} in flight",
    ]
    if tally.failed or tally.unknown:
        parts.insert(1, f"{tally.failed + tally.unknown:,} failed or unknown")
    if look.phase or look.pause:
        parts.append(look.phase or look.pause)
    if look.forecast:
        parts.append(look.forecast)
    elif look.phase or look.pause:
        pass
    elif look.seconds_left is not None:
        parts.append(f"{duration(round(look.seconds_left))} left")
    return f"{duration(round(look.elapsed))}: {', '.join(parts)}"


def live_view(look: Snapshot, course: Course, width: int) -> RenderableType:
    """One look at a run, for a terminal of this width."""
    width = min(width, WIDEST)
    parts: list[RenderableType] = [_heading(look, width)]
    if look.tally.total:
        bar = Table.grid()  # gives the bar its line end
        bar.add_row(ProgressBar(look.tally.total, min(look.tally.messages, look.tally.total), width=width))
        parts.append(bar)
    return Group(*parts, _figures(look, width), plot(course, width))


def _heading(look: Snapshot, width: int) -> Table:
    left = "; ".join(filter(None, (look.pause, look.forecast)))
    if look.seconds_left is not None:
        left = left or f"{duration(round(look.seconds_left))} left"
    heading = Table.grid(expand=True)
    heading.width = width
    heading.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    heading.add_column(justify="right", no_wrap=True, overflow="ellipsis")
    right = look.phase or left
    if width >= NARROW:
        right = f"{duration(round(look.elapsed))}  {right}".rstrip()
    heading.add_row(Text(look.title, style="bold"), right or duration(round(look.elapsed)))
    return heading


def _figures(look: Snapshot, width: int) -> Table:
    tally = look.tally
    limit = "?" if look.estimate is None else per_second(look.estimate)
    cells = [
        ("rate now", Text(per_second(look.rate))),
        ("accepted", Text(f"{tally.accepted:,}")),
        ("throttled", Text(f"{tally.throttled:,}", style="red" if tally.throttled else "")),
        ("limit, about", Text(limit, style="yellow")),
        ("failed", Text(f"{tally.failed + tally.unknown + tally.in_part:,}")),
        ("in flight", Text(f"{look.in_flight:,}")),
    ]
    pairs = 3 if width >= NARROW else 2
    figures = Table.grid(padding=(0, 2) if width >= NARROW else (0, 1))
    for _ in range(pairs):
        figures.add_column(style="dim", no_wrap=True)
        figures.add_column(justify="right", no_wrap=True, min_width=9 if width >= NARROW else 7)
    for begin in range(0, len(cells), pairs):
        figures.add_row(*(part for cell in cells[begin : begin + pairs] for part in cell))
    return figures
