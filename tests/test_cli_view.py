"""The live view, the plain lines and the plot, drawn into memory."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from seslimit import Limiter
from seslimit.cli._chart import MOST, Course, plot
from seslimit.cli._tally import Tally
from seslimit.cli._view import Snapshot, Watch, duration, live_view, plain_line


def _tally() -> Tally:
    tally = Tally(total=1000, total_recipients=1000)
    tally.accepted = tally.recipients = tally.ended_recipients = 400
    tally.throttled, tally.in_flight = 3, 7
    return tally


def _look(tally: Tally) -> Snapshot:
    return Snapshot(title="send to ses://eu-west-1", elapsed=30, tally=tally, rate=13.9, estimate=14.0)


def _drawn(look: Snapshot, course: Course, width: int = 80, *, color: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=color, color_system="standard" if color else None)
    console.print(live_view(look, course, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _steady(rate: float, seconds: int, throttled_at: int | None = None) -> Course:
    course = Course(100.0)
    for tick in range(seconds * 4 + 1):
        refused = int(throttled_at is not None and tick >= throttled_at * 4)
        course.note(100 + tick / 4, round(rate * tick / 4), refused, rate)
    return course


def test_the_live_view_shows_all_figures() -> None:
    """Rate now, estimate of the limit, accepted, throttled, in flight and time left, each with its name."""
    drawn = _drawn(_look(_tally()), _steady(14, 30))
    words = re.sub(r"\s+", " ", drawn)
    for expected in (
        "rate now 13.9/s",
        "limit, about 14.0/s",
        "accepted 400",
        "throttled 3",
        "in flight 7",
        "43 s left",
    ):
        assert expected in words


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_the_live_view_fits_its_terminal(width: int) -> None:
    """No line is wider than the terminal, and the number of lines does not depend on it."""
    lines = _drawn(_look(_tally()), _steady(14, 100), width).splitlines()
    assert max(len(line) for line in lines) <= width
    assert len(lines) == 11


def test_the_live_view_has_colors_only_where_they_are_wanted() -> None:
    """Without a color system (a pipe, NO_COLOR) there is no escape sequence."""
    assert "\x1b" not in _drawn(_look(_tally()), _steady(14, 10))
    assert "\x1b" in _drawn(_look(_tally()), _steady(14, 10), color=True)


def test_the_live_view_names_a_pause() -> None:
    """While the daily quota is used up there is no time left to tell, but a reason."""
    look = Snapshot(title="send", elapsed=1, tally=_tally(), rate=0.0, paused="quota exceeded")
    assert "paused: quota exceeded" in _drawn(look, Course(0.0))
    assert "paused: quota exceeded" in plain_line(look)


def test_a_plain_line_says_the_same() -> None:
    """One line, for a log."""
    expected = "30 s: 400 of 1,000 accepted, 13.9/s (limit about 14.0/s), 3 throttled, 7 in flight, 43 s left"
    assert plain_line(_look(_tally())) == expected


def test_the_plot_rises_to_the_limit_and_marks_refusals() -> None:
    """Bars as high as the rate, a mark below where attempts were throttled."""
    rows = plot(_steady(50, 4, throttled_at=1), 60).plain.splitlines()
    assert rows[0].startswith("   60/s ┤")
    assert rows[-2].endswith("████████")
    assert rows[-1] == "refused  " + "  ▴     "


def test_the_plot_shows_the_estimate_where_no_bar_reaches_it() -> None:
    """The limit is a line above lower bars."""
    course = Course(0.0)
    for tick in range(9):
        course.note(tick / 2, tick * 5, 0, 50.0)
    assert "────────" in plot(course, 60).plain


def test_the_course_keeps_its_size_and_its_sums() -> None:
    """Over a day, samples are merged instead of kept, and none is lost."""
    course = _steady(14, 24 * 3600 // 4)
    assert len(course.samples) <= MOST
    assert sum(sample.recipients for sample in course.samples) == 14 * 24 * 3600 // 4


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0 s"), (1.39, "1.4 s"), (42.4, "42 s"), (125, "2 min 05 s"), (7800, "2 h 10 min")]
)
def test_durations_are_for_people(seconds: float, expected: str) -> None:
    """Seconds, then minutes, then hours."""
    assert duration(seconds) == expected


async def test_a_watch_on_a_terminal_leaves_its_last_view() -> None:
    """The view stays when the run is over, and the cursor is shown again."""
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    async with Watch("send", _tally(), Limiter(14), console):
        pass
    assert isinstance(console.file, io.StringIO)
    assert "done" in console.file.getvalue()
    assert console.file.getvalue().rstrip("\n").endswith("\x1b[?25h")


async def test_a_watch_elsewhere_prints_plain_lines() -> None:
    """No escape sequences, a line now and then."""
    console = Console(file=io.StringIO(), width=80)
    watch = Watch("send", _tally(), Limiter(14), console, line_every=0.0)
    async with watch:
        watch._look()
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().startswith("0 s: 400 of 1,000 accepted")
    assert "\x1b" not in console.file.getvalue()
