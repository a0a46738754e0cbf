"""`seslimit send`: exit status, report, summary and the one sentence about what went wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from seslimit import Message, Outcome, Receipt, Report
from seslimit.cli._commands import run
from seslimit.cli._tally import Tally
from seslimit.testing import APIRules, Fault, Simulator, SMTPRules, SMTPText
from tests.command_line import FAST, PATIENCE, ended, lines_of, outcomes, record, started, until, written_list

SECRET = "s3kr1t-password"


def test_everything_accepted_is_status_0(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """The report has a line for each message, the summary its keys, and the service every message once."""
    simulator = ses_simulator(FAST)
    report = tmp_path / "report.jsonl"
    arguments = [
        "send",
        str(written_list(tmp_path, 300)),
        "--to",
        simulator.smtp_url,
        "--rate",
        "2000",
        "--report",
        str(report),
    ]
    assert run([*arguments, "--json"]) == 0

    lines = lines_of(report)
    assert {line["key"] for line in lines} == {f"k{number}" for number in range(300)}
    assert set(lines[0]) == {
        "key",
        "outcome",
        "message_id",
        "attempts",
        "throttles",
        "error",
        "recipients",
        "refused",
        "at",
    }
    assert {line["message_id"] for line in lines} == {message.message_id for message in simulator.accepted}
    assert simulator.duplicates() == {}

    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    assert (summary["messages"], summary["accepted"], summary["attempts"]) == (300, 300, 300)
    assert (summary["failed"], summary["unknown"], summary["remaining"], summary["throttled"]) == (0, 0, 0, 0)
    assert summary["rate"] == pytest.approx(300 / summary["seconds"], rel=0.01)
    assert captured.err == ""


def test_throttles_are_counted_and_cost_nothing(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """Started far above the limit, some attempts are throttled; all messages are accepted all the same."""
    simulator = ses_simulator(200, depth=0.1)
    assert run(["send", str(written_list(tmp_path, 150)), "--to", simulator.smtp_url, "--rate", "1000", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["accepted"] == 150
    assert summary["throttled"] == simulator.counts.throttled > 0
    assert summary["attempts"] == 150 + summary["throttled"]


def test_without_json_the_summary_is_for_people(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """What was accepted, in what time, at what rate; no escape sequences where there is no terminal."""
    simulator = ses_simulator(FAST)
    assert run(["send", str(written_list(tmp_path, 10)), "--to", simulator.smtp_url, "--rate", "1000"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("10 of 10 messages accepted in ")
    assert "\x1b" not in out


def test_a_refused_message_is_status_1_and_named(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are accepted; the sentence has the key and the service's words."""
    simulator = ses_simulator(FAST, faults=[Fault("dot", reply=SMTPText.BLACKLISTED, skip=2)])
    report = tmp_path / "report.jsonl"
    arguments = ["send", str(written_list(tmp_path, 9)), "--to", simulator.smtp_url, "--report", str(report)]
    assert run([*arguments, "--rate", "1000"]) == 1
    assert outcomes(report) == {"accepted": 8, "permanent": 1}
    err = capsys.readouterr().err
    assert err.startswith("seslimit: k")
    assert "Address blacklisted" in err
    assert err.count("\n") == 1


def test_the_report_is_appended(tmp_path: Path, ses_simulator: Callable[..., Simulator]) -> None:
    """A second run does not wipe out the first one's report, nor go on in the middle of a line."""
    report = tmp_path / "report.jsonl"
    report.write_text('{"key": "before"}\n{"key": "cut o', encoding="utf-8")
    url = ses_simulator(FAST).smtp_url
    assert run(["send", str(written_list(tmp_path, 2)), "--to", url, "--rate", "1000", "--report", str(report)]) == 0
    before, cut_off, *new = report.read_text(encoding="utf-8").splitlines()
    assert (before, cut_off) == ('{"key": "before"}', '{"key": "cut o')
    assert len([json.loads(line) for line in new]) == 2


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_a_complete_report(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], signum: signal.Signals
) -> None:
    """Status 75; every message is on the report once, as accepted or as not sent, and the service agrees."""
    simulator = ses_simulator(FAST)
    report = tmp_path / "report.jsonl"
    process = started(
        "send", written_list(tmp_path, 1500), "--to", simulator.smtp_url, "--rate", 200, "--report", report, "--json"
    )
    until(lambda: report.exists() and report.stat().st_size > 2000)
    process.send_signal(signum)
    status, out, err = ended(process)

    assert status == 75
    assert "remain" in err
    lines = lines_of(report)
    assert {line["key"] for line in lines} == {f"k{number}" for number in range(1500)}
    assert len(lines) == 1500
    accepted = {line["key"] for line in lines if line["outcome"] == "accepted"}
    assert accepted == {message.key for message in simulator.accepted}
    assert {line["attempts"] for line in lines if line["outcome"] == "not_sent"} == {0}
    summary = json.loads(out.splitlines()[-1])
    assert (summary["accepted"], summary["remaining"]) == (len(accepted), 1500 - len(accepted))


def test_what_was_not_sent_can_be_sent_by_the_report(tmp_path: Path, ses_simulator: Callable[..., Simulator]) -> None:
    """The lines named `not_sent`, given again, are exactly what is missing."""
    simulator = ses_simulator(FAST)
    path, report = written_list(tmp_path, 400), tmp_path / "report.jsonl"
    process = started("send", path, "--to", simulator.smtp_url, "--rate", 150, "--report", report)
    until(lambda: report.exists() and report.stat().st_size > 2000)
    process.send_signal(signal.SIGINT)
    assert ended(process)[0] == 75

    remaining = {line["key"] for line in lines_of(report) if line["outcome"] == "not_sent"}
    rest = [line for line in path.read_text().splitlines() if json.loads(line)["key"] in remaining]
    status, _, _ = ended(started("send", "-", "--to", simulator.smtp_url, "--rate", 2000), "\n".join(rest))
    assert status == 0
    assert simulator.missing(f"k{number}" for number in range(400)) == []
    assert simulator.duplicates() == {}


def test_an_attempt_without_an_answer_is_given_ten_seconds(
    tmp_path: Path, ses_simulator: Callable[..., Simulator]
) -> None:
    """Then the run ends all the same, and the message is unknown, for it may have been accepted."""
    simulator = ses_simulator(FAST, faults=[Fault("dot", silent=True, decided=True)])
    report = tmp_path / "report.jsonl"
    process = started("send", written_list(tmp_path, 3), "--to", simulator.smtp_url, "--rate", 1, "--report", report)
    until(lambda: simulator.counts.accepted)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 75
    assert 9 < time.monotonic() - began < 60  # the transport would wait ten minutes
    assert outcomes(report) == {"unknown": 1, "not_sent": 2}


def test_a_second_signal_ends_the_program_at_once(tmp_path: Path, ses_simulator: Callable[..., Simulator]) -> None:
    """Whoever asks twice does not wait for an attempt that has no answer."""
    simulator = ses_simulator(FAST, faults=[Fault("dot", silent=True, decided=True)])
    process = started("send", written_list(tmp_path, 3), "--to", simulator.smtp_url, "--rate", 1)
    until(lambda: simulator.counts.accepted)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.7)  # within half a second they are one
    process.send_signal(signal.SIGINT)
    status, _, err = ended(process)
    assert status == 75
    assert "aborted" in err
    assert time.monotonic() - began < 9  # one signal would wait ten seconds


def test_two_signals_within_half_a_second_are_one(tmp_path: Path, ses_simulator: Callable[..., Simulator]) -> None:
    """A shell and a supervisor pass on the same Ctrl-C, each for itself: attempts under way are finished."""
    simulator, report = ses_simulator(FAST, latency=0.3), tmp_path / "report.jsonl"
    process = started(
        "send", written_list(tmp_path, 900), "--to", simulator.smtp_url, "--rate", 100, "--report", report
    )
    until(lambda: simulator.counts.accepted)
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)  # so that the program sees two
    process.send_signal(signal.SIGINT)
    status, _, err = ended(process)
    assert (status, "aborted" in err) == (75, False)
    assert outcomes(report)["accepted"] == simulator.counts.accepted


def test_a_signal_while_standard_input_gives_nothing_ends_the_run(
    tmp_path: Path, ses_simulator: Callable[..., Simulator]
) -> None:
    """A producer that neither writes nor ends is not waited for."""
    simulator = ses_simulator(FAST)
    process = started("send", "-", "--to", simulator.smtp_url, "--rate", 100)
    assert process.stdin is not None
    process.stdin.write(json.dumps(record(1)) + "\n")
    process.stdin.flush()
    until(lambda: simulator.counts.accepted)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 75
    assert process.stderr is not None
    assert "what standard input still holds" in process.stderr.read()
    process.communicate()


def test_a_bad_line_of_a_list_stops_it_before_anything_is_sent(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """Line 7,000 is malformed: it is named, with status 2, and the service has heard nothing."""
    simulator = ses_simulator(FAST)
    path = written_list(tmp_path, 6999, '{"from": "a@example.org", ', json.dumps(record(7001)))
    report = tmp_path / "report.jsonl"
    assert run(["send", str(path), "--to", simulator.smtp_url, "--report", str(report), "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("seslimit: nothing was sent, for list.jsonl:7000: the line is not JSON")
    assert captured.err.count("\n") == 1
    assert json.loads(captured.out)["remaining"] == 7001
    assert simulator.counts.smtp_connections == 0
    (line,) = lines_of(report)
    assert (line["key"], line["outcome"]) == ("list.jsonl:7000", "not_sent")
    assert "is not JSON" in line["error"]


def test_a_bad_line_of_standard_input_fails_and_the_rest_is_sent(
    tmp_path: Path, ses_simulator: Callable[..., Simulator]
) -> None:
    """A stream cannot be checked first: the bad line is on the report, and named, with status 1."""
    simulator = ses_simulator(FAST)
    lines = [json.dumps(record(number)) for number in range(5)]
    lines.insert(2, '{"from": "a@example.org"}')
    report = tmp_path / "report.jsonl"
    process = started("send", "-", "--to", simulator.smtp_url, "--rate", 1000, "--report", report)
    status, _, err = ended(process, "\n".join(lines))
    assert status == 1
    assert err == "seslimit: stdin:3: the field to is missing: add a list.\n"
    assert outcomes(report) == {"accepted": 5, "permanent": 1}


def test_an_attachment_that_goes_away_fails_its_message_only(
    tmp_path: Path, ses_simulator: Callable[..., Simulator]
) -> None:
    """What was right at the check and is wrong at its turn is reported, and the others go."""
    attachments = [{"path": "gone.pdf"}]
    lines = "".join(json.dumps(record(n, **({"attachments": attachments} if n == 1 else {}))) + "\n" for n in range(3))
    report = tmp_path / "report.jsonl"
    process = started("send", "-", "--to", ses_simulator(FAST).smtp_url, "--rate", 100, "--report", report)
    assert ended(process, lines)[0] == 1
    assert outcomes(report) == {"accepted": 2, "permanent": 1}


WRONG: dict[str, tuple[list[str], str]] = {
    "no input": (["--to", "sim://"], "Missing argument"),
    "no --to": (["LIST"], "Missing option '--to'"),
    "file not there": (["nowhere.jsonl", "--to", "sim://"], "nowhere.jsonl is not there: check the path."),
    "unknown scheme": (["LIST", "--to", f"foo://user:{SECRET}@host"], "unknown scheme 'foo': use one of "),
    "no scheme": (["LIST", "--to", f"user:{SECRET}@host"], "has no scheme"),
    "unknown option": (["LIST", "--to", "sim://?speed=3"], "unknown option 'speed'"),
    "malformed port": (["LIST", "--to", f"smtp://user:{SECRET}@host:abc"], "malformed host or port"),
    "user without password": (["LIST", "--to", "smtp://user@127.0.0.1?tls=none"], "password"),
    "no TLS": (["LIST", "--to", f"smtp://user:{SECRET}@mail.example.org?tls=none"], "tls"),
    "rate of 0": (["LIST", "--to", "sim://", "--rate", "0"], "'--rate'"),
    "rate of letters": (["LIST", "--to", "sim://", "--rate", "fast"], "'--rate'"),
    "rates crossed": (["LIST", "--to", "sim://", "--rate", "20", "--max-rate", "10"], "is above max_rate"),
    "report in a folder": (["LIST", "--to", "sim://", "--report", "."], "cannot open the report"),
    "report nowhere": (["LIST", "--to", "sim://", "--report", "no/such/report"], "cannot open the report"),
    "stdin twice": (["-", "-", "--to", "sim://"], "standard input is given twice"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_usage_is_status_2_and_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The sentence names the thing; there is no traceback, no password and nothing on standard output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SESLIMIT_SMTP_PASSWORD", raising=False)
    arguments, words = WRONG[name]
    path = str(written_list(tmp_path, 2))
    assert run(["send", *(path if argument == "LIST" else argument for argument in arguments)]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("seslimit: ")
    assert SECRET not in captured.err
    assert captured.out == ""


def _one_sentence(capsys: pytest.CaptureFixture[str], *words: str) -> None:
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert SECRET not in err
    for each in words:
        assert each in err


def test_a_wrong_smtp_password_is_status_2(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """The remedy names the variables; every message is on the report as not sent."""
    simulator = ses_simulator(FAST, smtp=SMTPRules(credentials=("user", "right")))
    url = f"smtp://user:{SECRET}@127.0.0.1:{simulator.smtp_port}?tls=none"
    report = tmp_path / "report.jsonl"
    assert run(["send", str(written_list(tmp_path, 5)), "--to", url, "--report", str(report)]) == 2
    _one_sentence(capsys, "refused the login", "SESLIMIT_SMTP_USER and SESLIMIT_SMTP_PASSWORD", "5 messages remain")
    assert outcomes(report) == {"not_sent": 5}


def test_wrong_aws_credentials_are_status_2(
    tmp_path: Path,
    ses_simulator: Callable[..., Simulator],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The remedy names the AWS chain."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    simulator = ses_simulator(FAST, api=APIRules(credentials="unknown"))
    report = tmp_path / "report.jsonl"
    assert run(["send", str(written_list(tmp_path, 5)), "--to", simulator.ses_url, "--report", str(report)]) == 2
    _one_sentence(capsys, "refused the login", "AWS_ACCESS_KEY_ID", "5 messages remain")
    assert outcomes(report) == {"not_sent": 5}


def test_a_blocked_account_is_status_3_and_keeps_what_was_accepted(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """Paused in the middle: what was accepted before stays on the report, the rest remains."""
    simulator = ses_simulator(FAST, faults=[Fault("dot", reply=SMTPText.PAUSED, skip=20, times=None)])
    report = tmp_path / "report.jsonl"
    arguments = ["send", str(written_list(tmp_path, 60)), "--to", simulator.smtp_url, "--report", str(report)]
    assert run([*arguments, "--rate", "500"]) == 3
    _one_sentence(capsys, "Sending paused for this account", "see the SES console", "40 messages remain")
    assert outcomes(report) == {"accepted": 20, "not_sent": 40}
    assert len({line["key"] for line in lines_of(report)}) == 60


def test_a_greeting_that_is_refused_is_status_2(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """Not the account is wrong, but the place: the sentence says what to look at, and everything remains."""
    simulator = ses_simulator(FAST, faults=[Fault("ehlo", reply="502 Command not implemented", times=None)])
    report = tmp_path / "report.jsonl"
    assert run(["send", str(written_list(tmp_path, 5)), "--to", simulator.smtp_url, "--report", str(report)]) == 2
    _one_sentence(capsys, "502 Command not implemented", "check the host and the port", "5 messages remain")
    assert outcomes(report) == {"not_sent": 5}


def test_no_network_is_status_75(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody listens: the sentence names the host, and everything remains."""
    report = tmp_path / "report.jsonl"
    url = f"smtp://user:{SECRET}@127.0.0.1:1?tls=none"
    assert run(["send", str(written_list(tmp_path, 5)), "--to", url, "--report", str(report)]) == 75
    _one_sentence(capsys, "no connection to smtp://127.0.0.1:1", "check the network", "5 messages remain")
    assert outcomes(report) == {"not_sent": 5}


def test_a_list_that_does_not_fit_into_the_day_is_told_at_the_start(
    tmp_path: Path,
    ses_simulator: Callable[..., Simulator],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With --on-quota stop the run ends where the quota does, with status 75 and the rest on the report."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    simulator, report = ses_simulator(100, max_24_hour_send=20), tmp_path / "report.jsonl"
    arguments = ["send", str(written_list(tmp_path, 50)), "--to", simulator.ses_url, "--report", str(report)]
    assert run([*arguments, "--on-quota", "stop"]) == 75
    captured = capsys.readouterr()
    told = (
        "50 recipients, and 20 are left of the daily quota of 20: without --on-quota stop this takes about 48 h 00 min."
    )
    assert told in captured.out
    assert "nothing is left of the daily quota" in captured.err
    assert "30 messages remain" in captured.err
    assert outcomes(report) == {"accepted": 20, "not_sent": 30}


def test_where_nobody_tells_when_there_is_quota_again_none_is_promised(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """SMTP says that the day is used up, and not for how long: what is known is when it is worth trying again."""
    simulator = ses_simulator(FAST, max_24_hour_send=3)
    arguments = ["send", str(written_list(tmp_path, 5)), "--to", simulator.smtp_url, "--rate", "100"]
    assert run([*arguments, "--on-quota", "stop"]) == 75
    assert "it is worth trying again in" in capsys.readouterr().err


def test_unknown_is_held_where_that_is_asked_for(tmp_path: Path, ses_simulator: Callable[..., Simulator]) -> None:
    """`--on-unknown hold` makes no second attempt; without it there is one."""
    for options, attempts in ((["--on-unknown", "hold"], 1), ([], 2)):
        simulator = ses_simulator(FAST, faults=[Fault("dot", end="reset", decided=True)])
        report = tmp_path / f"report{attempts}.jsonl"
        arguments = ["send", str(written_list(tmp_path, 1)), "--to", simulator.smtp_url, "--report", str(report)]
        assert run([*arguments, *options]) == (1 if options else 0)
        assert [line["attempts"] for line in lines_of(report)] == [attempts]


def test_folders_files_and_mboxes_go_through_either_door(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What arrives is what was in the file, without Bcc, for the recipients that Bcc names as well."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    content = b"From: a@example.org\r\nTo: b@example.net\r\nSubject: Hi\r\n\r\n.dot\r\n"
    (tmp_path / "one.eml").write_bytes(content.replace(b"Subject", b"Bcc: c@example.net\r\nSubject"))
    (tmp_path / "box.mbox").write_bytes(b"From x\n" + content.replace(b"\r\n", b"\n") + b"\n")
    for door in ("smtp_url", "ses_url"):
        simulator = ses_simulator(FAST, keep_content=True)
        inputs = [str(tmp_path), str(tmp_path / "box.mbox")]
        assert run(["send", *inputs, "--to", getattr(simulator, door), "--rate", "100"]) == 0
        arrived = {(message.content, message.recipients) for message in simulator.accepted}
        assert arrived == {(content, ("b@example.net", "c@example.net")), (content, ("b@example.net",))}


def test_the_embedded_simulator_is_a_url(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`sim://` needs nothing else."""
    assert run(["send", str(written_list(tmp_path, 20)), "--to", "sim://?rate=1000", "--rate", "500", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accepted"] == 20


def _program(code: str) -> tuple[int, str, str]:
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return process.returncode, process.stdout, process.stderr


@pytest.mark.parametrize(
    ("absent", "arguments", "words"),
    [
        ("click", ["send"], "pip install 'seslimit[cli]'"),
        ("rich", ["--help"], "pip install 'seslimit[cli]'"),
        ("aiohttp", ["demo"], "pip install 'seslimit[sim]'"),
        ("aiohttp", ["simulate"], "pip install 'seslimit[sim]'"),
    ],
)
def test_a_missing_extra_is_status_2_with_the_command_that_installs_it(
    absent: str, arguments: Iterable[str], words: str
) -> None:
    """One sentence instead of an ImportError."""
    status, out, err = _program(
        f"import sys; sys.modules[{absent!r}] = None; sys.argv = ['seslimit', *{arguments!r}]; "
        "from seslimit.cli import main; main()"
    )
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert words in err


def test_output_that_nobody_reads_is_no_traceback(tmp_path: Path) -> None:
    """`seslimit send … | head -0` ends without a word."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [
        sys.executable,
        "-m",
        "seslimit",
        "send",
        str(written_list(tmp_path, 3)),
        "--to",
        "sim://?rate=500",
        "--rate=100",
    ]
    process = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write_end)
    assert process.stderr == ""


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`seslimit` alone is its help; every command has one, with the units of its options."""
    assert run([]) == 0
    assert "Commands:" in capsys.readouterr().out
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("seslimit 0.")
    for command in ("send", "demo", "simulate"):
        assert run([command, "--help"]) == 0
        assert "ecipients/s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("outcome", "stopping", "kind", "word"),
    [
        (Outcome.ACCEPTED, False, "accepted", "accepted"),
        (Outcome.PERMANENT, False, "failed", "permanent"),
        (Outcome.TRANSIENT, False, "failed", "transient"),
        (Outcome.TRANSIENT, True, "remaining", "not_sent"),
        (Outcome.UNKNOWN, True, "unknown", "unknown"),
        (Outcome.THROTTLED, True, "remaining", "not_sent"),
        (Outcome.QUOTA_EXCEEDED, True, "remaining", "not_sent"),
        (Outcome.NOT_SENT, True, "remaining", "not_sent"),
    ],
)
def test_every_end_counts_once(outcome: Outcome, stopping: bool, kind: str, word: str) -> None:
    """A message is accepted, failed, unknown or remaining, and whatever remains has one word on the report."""
    tally = Tally()
    receipt = Receipt("id") if outcome is Outcome.ACCEPTED else None
    report = Report(Message("a@example.org", ["b@example.net"], b"\r\n"), outcome, receipt)
    assert tally.ended(report, stopping=stopping) == word
    assert (getattr(tally, kind), tally.messages) == (1, 1)


def test_the_limit_is_said_only_where_it_was_found(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """A rate that was told and never refused is no finding; in the figures it is what the limiter goes by."""
    simulator = ses_simulator(FAST)
    command = ["send", str(written_list(tmp_path, 5)), "--to", simulator.smtp_url, "--rate", "2000"]
    assert run(command) == 0
    assert "the limit is about" not in capsys.readouterr().out
