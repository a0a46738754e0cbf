"""The example package: installed as anybody would, it is found by its scheme and keeps the contract."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

EXAMPLE = Path(__file__).parents[1] / "examples" / "seslimit-postbox"
LEAST_CHECKS = 80
"""Tests of the conformance kit, less some: a run that collected next to nothing must not pass."""

USE = """
from seslimit import transport_from_url

print(transport_from_url("postbox://:tok-secret@mail.example.org?timeout=5"))
"""


def python(*arguments: str | Path, installed: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with the example installed, and leave nothing in its folder; a pytest has no plug-in but its own."""
    path = os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that pip installed the example in, with nothing but what is here already."""
    target = tmp_path_factory.mktemp("installed")
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    subprocess.run([sys.executable, "-m", "pip", "install", *offline, "--target", target, EXAMPLE], check=True)
    return target


def test_the_scheme_of_an_installed_plugin_is_known(installed: Path, tmp_path: Path) -> None:
    """`transport_from_url` finds the entry point, and the transport shows no token."""
    ended = python("-W", "error", "-c", USE, installed=installed, folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "PostboxTransport('https://mail.example.org')\n"), ended.stderr


def test_the_scheme_of_a_plugin_that_is_not_installed_is_unknown(tmp_path: Path) -> None:
    """Without the package there is no `postbox://`, so that the test above proves something."""
    ended = python("-c", USE, installed=tmp_path, folder=tmp_path)
    assert ended.returncode == 1
    assert "unknown scheme 'postbox'" in ended.stderr


def test_the_example_passes_its_tests_and_skips_none(installed: Path, tmp_path: Path) -> None:
    """Its own suite, with the conformance kit in it, in a pytest of its own."""
    results = tmp_path / "results.xml"
    ended = python(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={results}"), installed=installed, folder=EXAMPLE
    )
    assert ended.returncode == 0, ended.stdout[-4000:]
    suite = ET.parse(results).getroot().find("testsuite")  # noqa: S314  # written by the line above
    assert suite is not None
    assert (suite.get("errors"), suite.get("failures"), suite.get("skipped")) == ("0", "0", "0")
    assert int(suite.get("tests", 0)) >= LEAST_CHECKS
