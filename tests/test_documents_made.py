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
    """Each is in the table of the benchmarks that its column is named after."""
    measured = (ROOT / "docs" / "benchmarks.md").read_text()
    page = (ROOT / "docs" / "comparison.md").read_text()
    figures = page.partition("<!-- figures:begin -->")[2].partition("<!-- figures:end -->")[0]
    titles, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in figures.split("\n") if line]
    assert rows
    compared = 0
    for peer, *told in rows:
        for title, figure in zip(titles[1:], told, strict=True):
            if not figure:
                continue
            table = measured.partition(f"<!-- {title}:begin -->")[2].partition("<!-- ")[0]
            lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n")]
            (cells,) = [cells for cells in lines if cells[0].rstrip("†‡ ") == peer]
            assert f"{cells[5]}, {cells[2]} lost" == figure
            compared += 1
    assert compared > len(rows)
