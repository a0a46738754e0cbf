"""Pages that are made from the code, and figures that are copied from another page, are what they were made from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent


def test_the_page_of_replies_is_the_table_of_the_code() -> None:
    """Where it is not: `python docs/replies.py > docs/replies.md`."""
    made = subprocess.run([sys.executable, "docs/replies.py"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert made.stdout == (ROOT / "docs" / "replies.md").read_text()


def test_the_figures_of_the_comparison_are_those_that_were_measured() -> None:
    """Each is in the tables of the benchmarks."""
    measured = (ROOT / "docs" / "benchmarks.md").read_text()
    tables = [part.partition(":end")[0] for part in measured.split(":begin -->")[1:5]]
    page = (ROOT / "docs" / "comparison.md").read_text()
    rows = [line.strip("|").split("|") for line in page.splitlines() if " lost |" in line and "%" in line]
    assert len(rows) == 6
    for peer, *figures in rows:
        for table, figure in zip(tables, figures, strict=True):
            share, lost = figure.strip().removesuffix(" lost").split(", ")
            line = next(line for line in table.splitlines() if line.startswith(f"|{peer}|"))
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert (cells[5], cells[2]) == (share, lost)
