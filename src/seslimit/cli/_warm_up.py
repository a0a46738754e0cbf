"""`seslimit warm-up`: a plan, and how far it is, as a table with a small plot."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .._model.errors import ConfigurationError
from ._ending import Status
from ._output import say
from ._reputation import plan_of

if TYPE_CHECKING:
    from ..feedback import Plan
    from ..feedback._warm_up_plan import Progress

WIDTH = 30
"""Characters of the longest bar."""


@click.group("warm-up")
def warm_up() -> None:
    """Show how a new account's volume is raised: "seslimit send --warm-up 14d --state FILE" does it."""


@warm_up.command()
@click.argument("plan", required=False)
@click.option(
    "--state",
    type=click.Path(path_type=Path, exists=True),
    metavar="FILE",
    help="The state file of a run: its plan, and how far it is.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(plan: str | None, state: Path | None, as_json: bool) -> int:
    """
    Show a plan, or how far one is.

    PLAN is 14d (200 to 50,000 recipients a day), 14d:200-100000, or a table in a file: a day a line, with recipients
    and perhaps recipients/s.
    """
    found, progress = _found(plan, state)
    if as_json:
        say(json.dumps({"plan": found.as_json(), "progress": progress.as_json()}))
        return Status.ALL_ACCEPTED
    for line in table(found, progress):
        say(line)
    return Status.ALL_ACCEPTED


def _found(plan: str | None, state: Path | None) -> tuple[Plan, Progress]:
    from ..feedback import Plan, StateFile
    from ..feedback._warm_up_plan import Progress

    if state is None:
        if plan is None:
            raise ConfigurationError("nothing to show: give a plan, for example 14d, or --state FILE.")
        return plan_of(plan), Progress()
    kept = StateFile(state, lock=False).get("warm_up")
    if not isinstance(kept, dict):
        raise ConfigurationError(f"{state} has no warm-up: a run with --warm-up and --state writes it.")
    found, progress = Plan.of(kept.get("plan")), Progress.of(kept.get("progress"))
    return found, progress if progress.began is None else progress.at(time.time(), found)


def table(plan: Plan, progress: Progress) -> list[str]:
    """
    One line for each day of the plan: its caps as a bar, and what was sent on it the last time that it was played.

    `#` is what was sent, `.` what the cap leaves.
    """
    played = {day.step: day for day in progress.past}
    if progress.began is not None and progress.sent:
        played[progress.step] = progress.today
    most = max(step.recipients for step in plan.steps)
    lines = [f"{'day':>4} {'cap':>9} {'per s':>6} {'sent':>9} {'bounced':>8} {'complained':>10}"]
    for number, step in enumerate(plan.steps):
        day = played.get(number)
        told = f"{day.sent:>9,} {day.bounces:>8,} {day.complaints:>10,}" if day else " " * 29
        whole = max(1, round(WIDTH * step.recipients / most))
        done = min(whole, round(whole * day.sent / step.recipients)) if day else 0
        here = " <- today" if number == progress.step and progress.began is not None else ""
        lines.append(
            f"{number + 1:>4} {step.recipients:>9,} {step.rate:>6g} {told}  {'#' * done}{'.' * (whole - done)}{here}"
        )
    if progress.step >= len(plan.steps):
        lines.append("the warm-up is over: the account's own quota is what limits")
    return lines
