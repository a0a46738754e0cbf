"""`seslimit send --resume`: a run that was cut short is ended by another, and nobody gets two copies."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seslimit import Message
from seslimit.cli._commands import run
from seslimit.cli._inflight import InFlight
from seslimit.cli._past import Choice, Past, State, rows
from seslimit.cli._reporting import ReportFile
from seslimit.testing import Fault, Simulator, SMTPText
from tests.command_line import FAST, ended, lines_of, outcomes, record, started, until, written_list

pytestmark = pytest.mark.once

DOORS = pytest.mark.parametrize("door", ["smtp_url", "ses_url"])


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


def _keys(simulator: Simulator) -> Counter[str]:
    return Counter(str(message.key) for message in simulator.accepted)


@DOORS
def test_after_ctrl_c_the_rest_is_sent(tmp_path: Path, ses_simulator: Callable[..., Simulator], door: str) -> None:
    """Every message once, on the service and in the end on the report; the second run says what was done before."""
    simulator, report = ses_simulator(FAST), tmp_path / "report.jsonl"
    arguments = ("send", written_list(tmp_path, 300), "--to", getattr(simulator, door), "--report", report, "--resume")
    process = started(*arguments, "--rate", 150)
    until(lambda: report.exists() and report.stat().st_size > 5000)
    process.send_signal(signal.SIGINT)
    assert ended(process)[0] == 75
    status, out, _ = ended(started(*arguments, "--rate", 2000, "--json"))
    figures = json.loads(out.splitlines()[-1])
    assert status == 0
    assert _keys(simulator) == Counter(f"k{number}" for number in range(300))
    assert figures["accepted"] + figures["before"] == 300
    assert figures["messages"] == figures["accepted"] > 0


@DOORS
def test_after_a_kill_only_what_was_under_way_is_in_doubt(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], door: str
) -> None:
    """It is named as unknown and not sent again; everything else is accepted once."""
    simulator, report = ses_simulator(FAST, latency=0.1), tmp_path / "report.jsonl"
    arguments = ("send", written_list(tmp_path, 300), "--to", getattr(simulator, door), "--report", report, "--resume")
    process = started(*arguments, "--rate", 200)
    until(lambda: report.exists() and report.stat().st_size > 5000)
    process.kill()
    process.communicate()
    status, _, err = ended(started(*arguments, "--rate", 2000))
    unknown = {line["key"] for line in lines_of(report) if line["outcome"] == "unknown"}
    assert (status, f"{len(unknown)} of the input did not get through" in err) == (1, True)
    assert 0 < len(unknown) <= 100
    keys = _keys(simulator)
    assert max(keys.values()) == 1
    assert {f"k{number}" for number in range(300)} - keys.keys() <= unknown
    # What is in doubt is sent again by whoever asks for it; and then nothing is.
    assert ended(started(*arguments, "--rate", 2000, "--on-unknown", "resend"))[0] == 0
    assert simulator.missing(f"k{number}" for number in range(300)) == []
    assert run([str(each) for each in arguments]) == 0


@DOORS
def test_after_a_full_disk_the_rest_is_sent(tmp_path: Path, ses_simulator: Callable[..., Simulator], door: str) -> None:
    """What was accepted and has no line is in doubt, for the file beside the report names it; nothing is doubled."""
    simulator, report = ses_simulator(FAST), tmp_path / "report.jsonl"
    arguments = ("send", written_list(tmp_path, 400), "--to", getattr(simulator, door), "--report", report, "--resume")
    process = started(
        *arguments, "--rate", 1000, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    )
    status, _, err = ended(process)
    named = {json.loads(line)["key"] for line in err.splitlines() if line.startswith("{")}
    assert status == 75
    assert ended(started(*arguments, "--rate", 2000))[0] == 1
    assert named == {line["key"] for line in lines_of(report) if line["outcome"] == "unknown"}
    assert _keys(simulator) == Counter(f"k{number}" for number in range(400))


def test_a_report_that_names_messages_of_the_input_is_refused_without_it(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """The same command a second time sends nothing a second time, and says what to give."""
    simulator, report = ses_simulator(FAST), tmp_path / "report.jsonl"
    arguments = ["send", str(written_list(tmp_path, 5)), "--to", simulator.smtp_url, "--rate", "500"]
    assert run([*arguments, "--report", str(report)]) == 0
    assert run([*arguments, "--report", str(report)]) == 2
    err = capsys.readouterr().err
    assert err == (
        f"seslimit: the report {report} names k0 already: give --resume to send what has not come to its end, or "
        "another --report.\n"
    )
    assert simulator.counts.accepted == 5


def test_so_is_one_that_names_a_line_of_standard_input(tmp_path: Path, ses_simulator: Callable[..., Simulator]) -> None:
    """A stream cannot be looked at first: sending ends where such a line comes."""
    simulator, report = ses_simulator(FAST), tmp_path / "report.jsonl"
    arguments = ("send", "-", "--to", simulator.smtp_url, "--rate", 500, "--report", report)
    first, second = json.dumps(record(1)) + "\n", json.dumps(record(2)) + "\n"
    assert ended(started(*arguments), first)[0] == 0
    status, _, err = ended(started(*arguments), first + second)
    assert (status, err[:37]) == (2, "seslimit: nothing was sent, for the r")
    assert ended(started(*arguments), second + first)[0] == 75
    assert ended(started(*arguments, "--resume"), second + first)[0] == 0
    assert _keys(simulator) == Counter(["k1", "k2"])


def test_a_run_in_which_nothing_was_sent_needs_no_resume(
    tmp_path: Path, ses_simulator: Callable[..., Simulator]
) -> None:
    """What remains is open: whoever mends the password gives the same command again."""
    path, report = str(written_list(tmp_path, 3)), tmp_path / "report.jsonl"
    assert run(["send", path, "--to", "smtp://u:p@127.0.0.1:1?tls=none", "--report", str(report)]) == 75
    assert run(["send", path, "--to", ses_simulator(FAST).smtp_url, "--rate", "500", "--report", str(report)]) == 0
    assert outcomes(report) == {"not_sent": 3, "accepted": 3}


def test_what_failed_for_good_is_told_again_and_not_sent_again(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """The status is that of the whole input."""
    simulator, report = ses_simulator(FAST, faults=[Fault("dot", reply=SMTPText.BLACKLISTED)]), tmp_path / "r.jsonl"
    arguments = ["send", str(written_list(tmp_path, 3)), "--to", simulator.smtp_url, "--rate", "500"]
    assert run([*arguments, "--report", str(report)]) == 1
    capsys.readouterr()
    assert run([*arguments, "--report", str(report), "--resume"]) == 1
    assert f"'seslimit report {report}' names them" in capsys.readouterr().err
    assert simulator.counts.accepted == 2


def test_a_changed_list_without_keys_is_refused(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """With a line put before the others, list.jsonl:1 is somebody else; recipients tell."""
    simulator, report, path = ses_simulator(FAST), tmp_path / "report.jsonl", tmp_path / "list.jsonl"
    lines = [json.dumps({**record(number), "key": None}).replace('"key": null, ', "") + "\n" for number in range(3)]
    path.write_text("".join(lines[:2]))
    arguments = ["send", str(path), "--to", simulator.smtp_url, "--rate", "500", "--report", str(report), "--resume"]
    assert run(arguments) == 0
    path.write_text("".join(lines))
    assert run(arguments) == 0
    path.write_text("".join(reversed(lines)))
    assert run(arguments) == 2
    assert "list.jsonl:1 has other recipients than on the report" in capsys.readouterr().err
    assert simulator.counts.accepted == 3


def test_keys_that_repeat_are_named(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """The first run names them; a second one cannot tell which was sent, and does not guess."""
    path, report = written_list(tmp_path, 3, json.dumps(record(1))), tmp_path / "report.jsonl"
    arguments = ["send", str(path), "--to", ses_simulator(FAST).smtp_url, "--rate", "500", "--report", str(report)]
    assert run([*arguments, "--json"]) == 0
    (note,) = json.loads(capsys.readouterr().out)["notes"]
    assert note == "keys that come more than once, which the report cannot tell apart: k1"
    assert run([*arguments, "--resume"]) == 2
    assert "the key k1 comes more than once" in capsys.readouterr().err


@pytest.mark.parametrize("report", [[], ["--report", "-"], ["--report", "/dev/null"]])
def test_resume_needs_a_report_that_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], report: list[str]
) -> None:
    """Nothing is sent where nothing can be read of what was sent."""
    assert run(["send", str(written_list(tmp_path, 1)), "--to", "sim://", "--resume", *report]) == 2
    assert "give --report FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ('{"key": "a", "outcome": "accepted", "attempts": 1, "refused": {}}', State.ACCEPTED),
        ('{"key": "a", "outcome": "accepted", "refused": {"b@example.net": "550 no"}}', State.IN_PART),
        ('{"key": "a", "outcome": "permanent", "attempts": 1}', State.FAILED),
        ('{"key": "a", "outcome": "permanent", "attempts": 0}', State.OPEN),
        ('{"key": "a", "outcome": "unknown", "attempts": 2}', State.UNKNOWN),
        ('{"key": "a", "outcome": "transient", "attempts": 5}', State.OPEN),
        ('{"key": "a", "outcome": "not_sent"}', State.OPEN),
        ('{"key": "a", "outcome": "accepted", "message_id": "01', State.ACCEPTED),
        ('{"key": "a", "outcome": "perm', State.UNKNOWN),
        ('{"key": "a", ', State.UNKNOWN),
        ('{"key": "a"', None),
        ('{"key": "a"}', None),
        ('{"key": ["a"], "outcome": "accepted"}', None),
        ('{"key": true, "outcome": "accepted"}', None),
        ('{"key": "a", "outcome": "wonderful"}', None),
        ('["a"]', None),
        ("\x00\x00\x00", None),
        ("[" * 100_000, None),
        ("", None),
    ],
)
def test_the_last_word_about_a_message(tmp_path: Path, line: str, state: State | None) -> None:
    """Of whole lines, of one that a kill cut off, and of what is no line of a report."""
    report = tmp_path / "report.jsonl"
    report.write_text('{"key": "b", "outcome": "not_sent"}\n' + line + "\n")
    past = Past.read(report)
    assert (past.state("a"), past.state("b")) == (state, State.OPEN)
    assert past.unreadable == (state is None and line != "")


def test_of_several_lines_the_last_counts(tmp_path: Path) -> None:
    """A message that remained and was accepted later is accepted."""
    report = tmp_path / "report.jsonl"
    report.write_text('{"key": 7, "outcome": "not_sent"}\n{"key": 7, "outcome": "accepted"}\n')
    past = Past.read(report)
    assert (past.state(7), past.state("7")) == (State.ACCEPTED, None)
    assert [row.state for row in rows(report) if row] == [State.OPEN, State.ACCEPTED]


def _message(key: object, *recipients: str) -> Message:
    return Message("a@example.org", recipients or ["b@example.net"], b"\r\n", key)


def test_a_choice_counts_what_it_passes_over(tmp_path: Path) -> None:
    """Once for each message, by how it ended."""
    report = tmp_path / "report.jsonl"
    lines: list[dict[str, Any]] = [
        {"key": "a", "outcome": "accepted", "attempts": 1},
        {"key": "u", "outcome": "unknown", "attempts": 1},
        {"key": "o", "outcome": "not_sent"},
    ]
    report.write_text("".join(json.dumps(line) + "\n" for line in lines))
    choice = Choice(Past.read(report), "r", resume=True)
    assert [choice.takes(_message(key)) for key in "auox"] == [False, False, True, True]
    assert choice.before == {State.ACCEPTED: 1, State.UNKNOWN: 1}


def test_attempts_under_way_are_in_the_file_until_their_end(tmp_path: Path) -> None:
    """Whatever ends the program: they are read back from another object."""
    path = tmp_path / "report.in-flight"
    in_flight = InFlight(path)
    in_flight.begin()
    for key in ("a", "b\ud83d", 7, "c"):
        in_flight.begins(key)
    in_flight.refused("c")
    assert InFlight(path).left_behind() == ["a", "b\ud83d", 7]
    with path.open("ab") as file:
        file.write(b'+"cut of')
    assert InFlight(path).left_behind() == ["a", "b\ud83d", 7]
    in_flight.begin()
    in_flight.ended("a")
    in_flight.close()
    assert InFlight(path).left_behind() == ["a", "b\ud83d", 7]
    again = InFlight(path)
    again.begin()
    again.close()
    assert not path.exists()


def test_an_attempt_that_is_not_made_is_in_no_doubt(tmp_path: Path) -> None:
    """Once the report has failed, those that were about to begin remain to be sent: the next run sends them."""
    report = ReportFile(tmp_path / "report.jsonl")
    with report:
        assert report.begins(_message("attempted"))
        report.give_up("No space left on device")
        assert not report.begins(_message("not attempted"))
    assert InFlight(tmp_path / "report.jsonl.in-flight").left_behind() == ["attempted"]


def test_the_file_of_attempts_does_not_grow_with_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written anew now and then, with what is under way."""
    monkeypatch.setattr("seslimit.cli._inflight.MOST_LINES", 50)
    path = tmp_path / "report.in-flight"
    in_flight = InFlight(path)
    in_flight.begin()
    for number in range(1000):
        in_flight.begins(number)
        in_flight.ended(number - 3)
    assert path.stat().st_size < 1000
    assert set(InFlight(path).left_behind()) >= {997, 998, 999}
    assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208  # nothing else is left
