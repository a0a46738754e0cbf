"""What others do to an outbox while `seslimit send` sends from it: send too, cancel, take its file away."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from seslimit.cli._commands import run
from seslimit.testing import Simulator
from tests.command_line import FAST, ended, lines_of, outcomes, started, until, written_list

pytestmark = pytest.mark.once


def _keys(simulator: Simulator) -> Counter[str]:
    return Counter(str(message.key) for message in simulator.accepted)


def test_two_processes_send_one_list_together(tmp_path: Path, ses_simulator: Callable[..., Simulator]) -> None:
    """Each message once, and both end well: whoever comes to the end first waits for what the other has in hand."""
    simulator = ses_simulator(60)
    command = ("send", written_list(tmp_path, 120), "--to", simulator.smtp_url, "--rate", "30", "--json")
    both = [started(*command, "--outbox", tmp_path / "mail.db") for _ in range(2)]
    ends = [ended(each) for each in both]
    assert [status for status, *_ in ends] == [0, 0], ends
    assert sum(json.loads(out.splitlines()[-1])["accepted"] for _, out, _ in ends) == 120
    assert set(_keys(simulator).values()) == {1}


def test_what_is_cancelled_meanwhile_is_said(tmp_path: Path, ses_simulator: Callable[..., Simulator]) -> None:
    """Not all was accepted, so the status is 1; the sentence names how many, and how they come back."""
    simulator, box = ses_simulator(FAST), tmp_path / "mail.db"
    process = started("send", written_list(tmp_path, 200), "--to", simulator.smtp_url, "--rate", "40", "--outbox", box)
    until(lambda: len(simulator.accepted) > 10)
    assert run(["outbox", "cancel", str(box), "--all"]) == 0
    status, _, err = ended(process)
    assert (status, len(err.splitlines())) == (1, 1)
    cancelled = 200 - len(simulator.accepted)
    assert f"{cancelled:,} messages were cancelled in the outbox" in err
    assert "seslimit outbox retry" in err


def test_an_outbox_that_is_taken_away_is_said_and_nothing_accepted_is_forgotten(
    tmp_path: Path, ses_simulator: Callable[..., Simulator]
) -> None:
    """The same command would send everything again: it is wrong usage, and the report names what was accepted."""
    simulator, box, report = ses_simulator(FAST), tmp_path / "mail.db", tmp_path / "report"
    command = ("send", written_list(tmp_path, 200), "--to", simulator.smtp_url, "--rate", "40", "--outbox", box)
    process = started(*command, "--report", report, "--json")
    until(lambda: len(simulator.accepted) > 10)
    for file in tmp_path.glob("mail.db*"):
        file.unlink()
    status, out, err = ended(process)
    assert status == 2, err
    assert "was removed or replaced" in err
    figures = json.loads(out.splitlines()[-1])
    assert figures["accepted"] + figures["remaining"] + figures["unknown"] == 200
    accepted = {line["key"] for line in lines_of(report) if line["outcome"] == "accepted"}
    assert accepted == {*_keys(simulator)}


def test_a_report_has_what_the_outbox_knows(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """A report that is asked for when all is sent is not empty; what it names already is not written again."""
    simulator, report = ses_simulator(FAST), tmp_path / "report"
    command = ["send", str(written_list(tmp_path, 5)), "--to", simulator.smtp_url, "--rate", "2000"]
    command += ["--outbox", str(tmp_path / "mail.db")]
    assert run(command) == 0
    for _ in range(2):
        assert run([*command, "--report", str(report)]) == 0
    assert outcomes(report) == {"accepted": 5}
    assert {line["message_id"] for line in lines_of(report)} == {each.message_id for each in simulator.accepted}
    assert lines_of(report)[0]["recipients"] == ["reader0@example.net"]
    capsys.readouterr()


@pytest.mark.parametrize("command", [["work", "--to", "sim://1", "--outbox"], ["outbox", "status"]])
def test_only_what_fills_an_outbox_makes_one(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that was mistyped makes no file, and an empty file stays as it is."""
    empty = tmp_path / "empty.db"
    empty.touch()
    assert run([*command, str(tmp_path / "typo.db")]) == 2
    assert run([*command, str(empty)]) == 2
    assert run([*command, str(tmp_path)]) == 2
    said = capsys.readouterr().err.splitlines()
    for line, words in zip(said, ("is not there", "is an empty file", "is a folder"), strict=True):
        assert words in line
    assert [*tmp_path.iterdir()] == [empty]
    assert empty.stat().st_size == 0
