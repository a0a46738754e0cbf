"""What an import brings along, and what it does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.once


def test_it_is_imported_in_development_mode_without_a_warning() -> None:
    """With everything that is installed beside it: `python -X dev -W error`."""
    names = "seslimit, seslimit.observe, seslimit.feedback, seslimit.testing, seslimit.cli._commands"
    found = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", f"import {names}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize("module", ["seslimit", "seslimit.observe", "seslimit_pytest"])
def test_an_import_brings_no_client_server_or_database(module: str) -> None:
    """They come when they are used."""
    heavy = {
        "aiobotocore", "botocore", "aiohttp", "sqlalchemy", "redis", "prometheus_client", "opentelemetry", "jinja2",
        "django", "click", "rich", "cryptography",
    }  # fmt: skip
    script = f"import sys, {module}; print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert {name.partition(".")[0] for name in printed} & heavy == set()


def test_the_pytest_plugin_brings_nothing_of_seslimit() -> None:
    """Every run of pytest imports it, whatever is tested: it costs those that do not use it nothing."""
    script = "import sys, pytest; before = set(sys.modules); import seslimit_pytest; print(*set(sys.modules) - before)"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert printed == ["seslimit_pytest"]
