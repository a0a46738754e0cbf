"""Lists, reports and processes for the tests of the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 120.0
"""Seconds for what always happens, on a machine that does much else; only a test that fails waits for so long."""

FAST = 5000
"""Recipients/s of a simulator that never gets in the way."""


def record(number: int, **fields: Any) -> dict[str, Any]:
    """One message of a list."""
    record = {
        "key": f"k{number}",
        "from": "news@example.org",
        "to": [f"reader{number}@example.net"],
        "subject": "Hello",
        "text": "Hi!\n",
        "headers": {"X-Seslimit-Key": f"k{number}"},
    }
    return record | fields


def written_list(folder: Path, count: int, *more: str) -> Path:
    """A list of so many messages, with further lines at its end."""
    path = folder / "list.jsonl"
    lines = [json.dumps(record(number)) for number in range(count)]
    path.write_text("\n".join([*lines, *more]) + "\n", encoding="utf-8")
    return path


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a report."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def outcomes(path: Path) -> dict[str, int]:
    """How often a report has each outcome."""
    return dict(Counter(line["outcome"] for line in lines_of(path)))


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait for what another process or thread does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def started(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """The command line as a process of its own."""
    command = [sys.executable, "-m", "seslimit", *map(str, arguments)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def ended(process: subprocess.Popen[str], given: str | None = None) -> tuple[int, str, str]:
    """Exit status, standard output and standard error, which never has a traceback."""
    out, err = process.communicate(given, timeout=PATIENCE)
    assert "Traceback" not in err
    return process.returncode, out, err
