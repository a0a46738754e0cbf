"""Every Python block of the README and the documentation runs, all of it, and every link leads somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def name(path: Path) -> str:
    """The page's path in the repository."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in page.read_text()], ids=name)
def test_the_python_blocks_of_a_page_run_and_what_they_define_is_called(page: Path, tmp_path: Path) -> None:
    """A block that is only defined says nothing: README's first lost nine tenths of a list. A warning is an error."""
    command = [sys.executable, "-W", "error", "-m", "tests.docs_runner", str(page)]
    # Away from the repository, for the files that a page makes.
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": path}
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_function_that_is_never_called_fails_its_page(tmp_path: Path) -> None:
    """Methods and inner functions are functions too."""
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nclass A:\n    def used(self): ...\n    async def unused(self): ...\n\n\nA().used()\n```\n"
    )
    command = [sys.executable, "-m", "tests.docs_runner", str(page)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (1, "page.md defines what it never calls: A.unused\n")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_links_of_a_page_lead_to_files_that_exist(page: Path) -> None:
    """A link that is not a web address is a path from the page."""
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []


def test_the_readme_has_the_two_commands() -> None:
    """One command sets up and runs the demo; another sets up and passes the tests."""
    commands = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("python3 -m venv")]
    assert [line.rpartition("/")[2] for line in commands] == ["seslimit demo", "nox"]
