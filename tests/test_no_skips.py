"""Which tests run: where everything that they need is installed, a skipped test is a failure; and what runs once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import pytest_ignore_collect

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent

SUITE = """
import pytest

def test_passes(): pass
def test_skips(): pytest.skip("nobody is here")
@pytest.mark.skipif(True, reason="nor there")
def test_is_marked(): pass
@pytest.mark.xfail
def test_is_expected_to_fail(): assert False
"""


@pytest.mark.parametrize(
    ("forbidden", "counts"), [("", "1 passed, 2 skipped, 1 xfailed"), ("1", "1 failed, 1 passed, 1 xfailed, 1 error")]
)
def test_a_skip_fails_only_where_skips_are_forbidden(tmp_path: Path, forbidden: str, counts: str) -> None:
    """The variable is what `.ci/run` sets; the reason is told either way."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_runtest_makereport\n")
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", "-p", "no:schemathesis", "test_suite.py"],
        cwd=tmp_path,
        env=os.environ | {"SESLIMIT_NO_SKIPS": forbidden, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert counts in ended.stdout
    assert "nobody is here" in ended.stdout
    assert "nor there" in ended.stdout


@pytest.mark.parametrize(
    ("mark", "chosen", "ignored"),
    [
        ("pytestmark = pytest.mark.once", "not once", True),
        ("pytestmark = [pytest.mark.once, pytest.mark.timeout(9)]", "not once", True),
        ("pytestmark = pytest.mark.once", "", None),
        ("@pytest.mark.once", "not once", None),
        ("", "not once", None),
    ],
)
def test_a_file_that_runs_once_is_not_even_imported_elsewhere(
    tmp_path: Path, mark: str, chosen: str, ignored: bool | None
) -> None:
    """What costs most of the collection there; a file that has tests for every Python is, whatever else it has."""
    path = tmp_path / "test_one.py"
    path.write_text(f"import pytest\n\n{mark}\n")
    config: Any = SimpleNamespace(option=SimpleNamespace(markexpr=chosen))
    assert pytest_ignore_collect(path, config) is ignored
