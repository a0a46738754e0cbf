"""
The report against the service's own ledger: exact for each recipient, whatever happens to the run.

`SESLIMIT_MESSAGES=10000 pytest tests/test_cli_exact.py` is the same for more messages.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seslimit.testing import Fault, Simulator, SMTPText
from tests.command_line import FAST, ended, lines_of, record, started, until

pytestmark = pytest.mark.once

MESSAGES = int(os.environ.get("SESLIMIT_MESSAGES", "1500"))
NO_SUCH_USER = "550 5.1.1 No such user here"
FAULTS = [
    Fault("rcpt", reply=NO_SUCH_USER, probability=0.1, times=None),
    Fault("dot", reply=SMTPText.BLACKLISTED, probability=0.02, times=None),
]


def _list(folder: Path) -> Path:
    """Messages to one to four recipients, every seventh with a key that is no Unicode."""
    path = folder / "list.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(MESSAGES):
            to = [f"reader{number}.{each}@example.net" for each in range(1 + number % 4)]
            key = f"k{number}" + "\ud83d" * (number % 7 == 0)
            headers = {"X-Seslimit-Key": str(number)}
            file.write(json.dumps(record(number, to=to, key=key, headers=headers)) + "\n")
    return path


def _unseen(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    """Take the reader of the view away."""
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    return process


def _last(report: Path) -> dict[str, dict[str, Any]]:
    """The last line about each message."""
    return {line["key"]: line for line in lines_of(report)}


def _who_got_it(line: dict[str, Any]) -> tuple[str, ...]:
    return tuple(each for each in line["recipients"] if each not in line["refused"])


def test_the_report_equals_the_ledger(tmp_path: Path, ses_simulator: Callable[..., Simulator]) -> None:
    """With refused recipients, refused messages, keys that are no Unicode and a view that nobody sees."""
    simulator, report = ses_simulator(FAST, depth=1.0, faults=FAULTS, seed=7), tmp_path / "report.jsonl"
    process = started("send", _list(tmp_path), "--to", simulator.smtp_url, "--rate", 2000, "--report", report)
    assert ended(_unseen(process))[0] == 1
    lines = lines_of(report)
    assert len(lines) == MESSAGES
    accepted = {line["message_id"]: _who_got_it(line) for line in lines if line["outcome"] == "accepted"}
    assert accepted == {message.message_id: message.recipients for message in simulator.accepted}
    assert any(line["refused"] for line in lines)
    assert {why for line in lines for why in line["refused"].values()} <= {NO_SUCH_USER}
    assert simulator.duplicates() == {}


def test_so_it_does_over_a_kill_and_a_signal(tmp_path: Path, ses_simulator: Callable[..., Simulator]) -> None:
    """Three runs: what the kill left in doubt is named as unknown; everything else is on the report as it happened."""
    simulator, report = ses_simulator(FAST, depth=1.0, faults=FAULTS, seed=7), tmp_path / "report.jsonl"
    arguments = ("send", _list(tmp_path), "--to", simulator.smtp_url, "--report", report, "--resume", "--rate", 1000)
    process = _unseen(started(*arguments))
    until(lambda: simulator.counts.accepted > MESSAGES / 3, seconds=120)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=120)
    process = _unseen(started(*arguments))
    until(lambda: simulator.counts.accepted > MESSAGES * 2 / 3, seconds=120)
    process.send_signal(signal.SIGINT)
    assert ended(process)[0] in (1, 75)
    assert ended(_unseen(started(*arguments)))[0] == 1

    last = _last(report)
    assert len(last) == MESSAGES
    outcomes = {line["outcome"] for line in last.values()}
    assert outcomes <= {"accepted", "permanent", "unknown"}
    unknown = {key for key, line in last.items() if line["outcome"] == "unknown"}
    assert len(unknown) <= 100
    by_number = {int(key[1:].rstrip("\ud83d")): line for key, line in last.items()}
    assert simulator.duplicates() == {}
    for message in simulator.accepted:
        line = by_number[int(message.key)]
        if line["outcome"] != "unknown":
            assert (line["message_id"], _who_got_it(line)) == (message.message_id, message.recipients)
    numbers = {int(message.key) for message in simulator.accepted}
    assert {number for number, line in by_number.items() if line["outcome"] == "accepted"} <= numbers
