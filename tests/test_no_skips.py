"""Where everything that the tests need is installed, a skipped test is a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
