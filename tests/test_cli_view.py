"""The live view, the plain lines and the plot, drawn into memory."""

from __future__ import annotations

import asyncio
import io
import math
import re

import attrs
import pytest
from rich.console import Console

from seslimit import Limiter, Outcome, SendQuota
from seslimit._model.events import Attempted, Resumed
from seslimit._model.meaning import Scope
from seslimit.cli._chart import MOST, Course, plot
from seslimit.cli._tally import Tally
from seslimit.cli._view import Snapshot, duration, live_view, plain_line, seconds_for
from seslimit.cli._watch import Watch
from tests.virtual_time import on_virtual_time

pytestmark = pytest.mark.once


def _tally() -> Tally:
    tally = Tally(total=1000, total_recipients=1000)
    tally.accepted = tally.recipients = tally.ended_recipients = 400
    tally.throttled = 3
    return tally


def _look(tally: Tally) -> Snapshot:
    return Snapshot(title="send to ses://eu-west-1", elapsed=30, tally=tally, rate=13.9, estimate=14.0, in_flight=7)


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


@pytest.mark.parametrize("width", [30, 40, 60, 80, 200])
def test_the_live_view_fits_its_terminal(width: int) -> None:
    """No line is wider than the terminal."""
    lines = _drawn(_look(_tally()), _steady(14, 100), width).splitlines()
    assert max(len(line) for line in lines) <= width
    assert len(lines) == (11 if width > 65 else 12)


def test_on_a_narrow_terminal_no_figure_is_cut() -> None:
    """At 40 columns two of them stand side by side, and the heading leaves out the time that has passed."""
    drawn = _drawn(_look(_tally()), _steady(14, 30), 40)
    for words in ("send to ses://eu-west-1", "43 s left", "limit, about", "throttled", "in flight", "14.0/s"):
        assert words in drawn


def test_the_live_view_has_colors_only_where_they_are_wanted() -> None:
    """Without a color system (a pipe, NO_COLOR) there is no escape sequence."""
    assert "\x1b" not in _drawn(_look(_tally()), _steady(14, 10))
    assert "\x1b" in _drawn(_look(_tally()), _steady(14, 10), color=True)


def test_the_live_view_names_a_pause() -> None:
    """While the daily quota is used up there is no time left to tell, but a reason."""
    look = Snapshot(title="send", elapsed=1, tally=_tally(), rate=0.0, paused="quota exceeded")
    assert "paused: quota exceeded" in _drawn(look, Course(0.0))
    assert plain_line(look).endswith(", paused: quota exceeded")
    look = attrs.evolve(look, resumes_in=310.0)
    assert "paused: quota exceeded, next try in 5 min 10 s" in _drawn(look, Course(0.0))


@pytest.mark.parametrize(
    ("recipients", "rate", "left_today", "each_day", "seconds"),
    [
        (1400, 14, math.inf, math.inf, 100),
        (1400, 14, 1400, 50_000, 100),
        (1400, 14, 0, -1, 100),
        (200_000, 14, 50_000, 50_000, 3 * 86_400 + 50_000 / 14),
        (50_001, 14, 50_000, 50_000, 86_400 + 1 / 14),
        (100, 10, 0, 100, 86_400 + 10),
        (100, 10, 0, 0, None),
        (100, 0, 100, 100, None),
    ],
)
def test_the_time_left_knows_the_daily_quota(
    recipients: float, rate: float, left_today: float, each_day: float, seconds: float | None
) -> None:
    """200,000 recipients at 14/s and 50,000 a day take three days and an hour, not four hours."""
    assert seconds_for(recipients, rate, left_today, each_day) == seconds


async def test_a_watch_takes_the_quota_from_the_limiter() -> None:
    """What was accepted since the service's figures is no longer left."""
    tally, limiter = _tally(), Limiter(14)
    watch = Watch("send", tally, limiter, Console(file=io.StringIO()))
    limiter.quota_figures(SendQuota(1000, 14, 500))
    watch._look()
    tally.recipients += 100
    look = watch._snapshot(0.0)
    assert (look.left_today, look.each_day) == (400, 1000)


def test_a_plain_line_says_the_same() -> None:
    """One line, for a log."""
    expected = "30 s: 400 of 1,000 accepted, 13.9/s (limit 14.0/s as told or found), 3 throttled, 7 in flight"
    assert plain_line(_look(_tally())) == f"{expected}, 43 s left"


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


async def test_a_dumb_terminal_is_given_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot move its cursor, and would show nothing until the end."""
    monkeypatch.setenv("TERM", "dumb")
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    async with Watch("send", _tally(), Limiter(14), console, line_every=0.0) as watch:
        watch._look()
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().startswith("0 s: 400 of 1,000 accepted")


async def test_the_last_view_after_a_stop_says_what_remains() -> None:
    """Not "done"."""
    tally = _tally()
    tally.remaining = 189
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    async with Watch("send", tally, Limiter(14), console):
        pass
    assert isinstance(console.file, io.StringIO)
    assert "stopped, 189 remain" in console.file.getvalue()
    assert "done" not in console.file.getvalue()


@on_virtual_time
async def test_after_a_standstill_missed_lines_are_not_made_up_for() -> None:
    """A program that was stopped for 20 s prints one line, not four."""
    console = Console(file=io.StringIO(), width=80)
    watch = Watch("send", _tally(), Limiter(14), console, line_every=5.0)
    await asyncio.sleep(21)
    for _ in range(4):
        watch._look()
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("\n") == 1


def test_the_tally_counts_attempts_as_they_end() -> None:
    """Throttled ones are attempts as well; nothing else is."""
    tally = Tally()
    for outcome in (Outcome.ACCEPTED, Outcome.THROTTLED, Outcome.TRANSIENT):
        attempted = Attempted(
            key="k",
            cost=1,
            outcome=outcome,
            scope=Scope.MESSAGE,
            admitted_at=0.0,
            handed_over_at=None,
            settled_at=1.0,
            waited=0.0,
        )
        tally.on_event(attempted)
    tally.on_event(Resumed("quota exceeded"))
    assert (tally.attempts, tally.throttled, tally.messages) == (3, 1, 0)


async def test_a_watch_elsewhere_prints_plain_lines() -> None:
    """No escape sequences, a line now and then."""
    console = Console(file=io.StringIO(), width=80)
    watch = Watch("send", _tally(), Limiter(14), console, line_every=0.0)
    async with watch:
        watch._look()
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().startswith("0 s: 400 of 1,000 accepted")
    assert "\x1b" not in console.file.getvalue()
