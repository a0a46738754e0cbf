"""`seslimit send --report`: whatever goes wrong with what is said, what was sent is written down."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seslimit import Limiter
from seslimit.cli._commands import run
from seslimit.cli._output import View
from seslimit.cli._tally import Tally
from seslimit.cli._watch import Watch
from seslimit.testing import Fault, Simulator
from tests.command_line import FAST, ended, lines_of, outcomes, record, started, until, written_list

pytestmark = pytest.mark.once


def _shell(redirection: str, *arguments: object) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command with a redirection of the shell."""
    command = ["sh", "-c", f'exec "$0" -m seslimit "$@" {redirection}', sys.executable, *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert "Traceback" not in process.stderr
    return process.returncode, process.stdout, process.stderr


def _altered(statements: str, *arguments: object) -> subprocess.Popen[str]:
    """The command line as a process of its own, after these statements: with less patience than in earnest."""
    command = [sys.executable, "-c", f"{statements}; from seslimit.cli import main; main()", *map(str, arguments)]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _at_most(size: int) -> Callable[[], None]:
    """Let no file of a process grow beyond this size: a disk that is full, for whoever is not root."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _named(err: str) -> list[dict[str, Any]]:
    """The lines of a report that standard error holds instead."""
    return [json.loads(line) for line in err.splitlines() if line.startswith("{")]


def test_a_key_that_is_no_unicode_has_its_line(tmp_path: Path, ses_simulator: Callable[..., Simulator]) -> None:
    """Half of a surrogate pair is a string of JSON (RFC 8259, 8.2); it comes back from the report as it was."""
    path, report = tmp_path / "list.jsonl", tmp_path / "report.jsonl"
    keys = ["k0", "k\ud83d", "ü", "\U0001f600", 7]
    path.write_text("".join(json.dumps(record(number, key=key)) + "\n" for number, key in enumerate(keys)))
    url = ses_simulator(FAST).smtp_url
    assert run(["send", str(path), "--to", url, "--rate", "500", "--report", str(report)]) == 0
    assert sorted(map(str, keys)) == sorted(str(line["key"]) for line in lines_of(report))


def test_a_file_name_in_another_encoding_has_its_line(tmp_path: Path, ses_simulator: Callable[..., Simulator]) -> None:
    """A file name is bytes; the report names it so that Python finds the file again."""
    folder, report = tmp_path / "mail", tmp_path / "report.jsonl"
    folder.mkdir()
    names = [b"one.eml", b"gr\xfc\xdfe.eml"]
    for name in names:
        (folder / os.fsdecode(name)).write_bytes(b"From: a@example.org\r\nTo: b@example.net\r\n\r\nHi\r\n")
    url = ses_simulator(FAST).smtp_url
    assert run(["send", str(folder), "--to", url, "--rate", "500", "--report", str(report)]) == 0
    assert sorted(names) == sorted(os.fsencode(line["key"]) for line in lines_of(report))


class _Gone(io.StringIO):
    """A stream whose reader has gone, or whose disk is full."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


@pytest.mark.parametrize("terminal", [True, False], ids=["live", "lines"])
@pytest.mark.parametrize(
    "error",
    [BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left"), UnicodeEncodeError("ascii", "█", 0, 1, "no")],
    ids=lambda error: type(error).__name__,
)
async def test_a_view_that_cannot_be_shown_ends_nothing_but_itself(error: Exception, *, terminal: bool) -> None:
    """Neither rich's SystemExit nor an error of the stream leaves the view."""
    console = View(file=_Gone(error), force_terminal=terminal, width=80)
    async with Watch("send", Tally(), Limiter(14), console, line_every=0.0) as watch:
        assert watch.elapsed() >= 0


def test_a_view_without_a_reader_sends_on(tmp_path: Path, ses_simulator: Callable[..., Simulator]) -> None:
    """`seslimit send … | head -1`: every message is sent and on the report, and the status is that of the messages."""
    simulator, report = ses_simulator(FAST), tmp_path / "report.jsonl"
    process = _altered(
        "import seslimit.cli._watch as watch; watch.Watch.__init__.__kwdefaults__['line_every'] = 0.3",
        *("send", written_list(tmp_path, 100), "--to", simulator.smtp_url, "--rate", 50, "--report", report),
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    status, _, err = ended(process)
    assert (status, err) == (0, "")
    assert outcomes(report) == {"accepted": 100}


@pytest.mark.parametrize(
    ("redirection", "words"), [(">/dev/full", "cannot write the result to standard output"), (">&-", "")]
)
def test_a_summary_that_cannot_be_written_is_one_sentence(tmp_path: Path, redirection: str, words: str) -> None:
    """The status says what became of the messages, as ever: all were accepted, and sent again they would be doubled."""
    status, _, err = _shell(
        redirection, "send", written_list(tmp_path, 3), "--to", "sim://?rate=500", "--rate", 100, "--json"
    )
    assert (status, err.count("\n")) == (0, bool(words))
    assert words in err


def test_closed_standard_error_says_nothing(tmp_path: Path) -> None:
    """The sentence is not written to standard output instead."""
    assert _shell("2>&-", "send", tmp_path / "nowhere.jsonl", "--to", "sim://") == (2, "", "")


def test_closed_standard_input_is_one_sentence() -> None:
    """`seslimit send - <&-`."""
    status, out, err = _shell("<&-", "send", "-", "--to", "sim://")
    assert (status, out, err) == (
        2,
        "",
        "seslimit: standard input is closed: give - something to read, or a file.\n",
    )


def test_a_full_disk_stops_the_run_and_loses_no_line(tmp_path: Path, ses_simulator: Callable[..., Simulator]) -> None:
    """Each accepted message has a whole line in the file or on standard error; the JSON is there; the status is 75."""
    simulator, report = ses_simulator(FAST), tmp_path / "report.jsonl"
    path = written_list(tmp_path, 900)
    process = started(
        *("send", path, "--to", simulator.smtp_url, "--rate", 1000, "--report", report, "--json"),
        preexec_fn=_at_most(50_000),
    )
    status, out, err = ended(process)
    assert status == 75
    assert err.startswith(f"seslimit: the report {report} cannot be written (File too large); sending was stopped; ")
    written, named = lines_of(report), _named(err)
    assert named
    assert {line["outcome"] for line in written + named} == {"accepted"}
    keys = [line["key"] for line in written + named]
    assert sorted(keys) == sorted(str(message.key) for message in simulator.accepted)
    assert json.loads(out.splitlines()[-1])["remaining"] == 900 - len(keys)


def test_a_report_that_fails_at_the_last_message_is_status_2(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """All is accepted, nothing remains, and the report that was asked for is not there: the place is wrong."""
    url = ses_simulator(FAST).smtp_url
    assert run(["send", str(written_list(tmp_path, 1)), "--to", url, "--report", "/dev/full"]) == 2
    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert [line["outcome"] for line in _named(err)] == ["accepted"]


def test_a_failure_of_messages_counts_more_than_one_of_the_report(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """One message, refused: status 1, and both are told."""
    simulator = ses_simulator(FAST, faults=[Fault("dot", reply="554 Transaction failed: no")])
    assert run(["send", str(written_list(tmp_path, 1)), "--to", simulator.smtp_url, "--report", "/dev/full"]) == 1
    err = capsys.readouterr().err
    assert "cannot be written" in err
    assert "Transaction failed" in err


def test_a_named_pipe_without_a_reader_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not waited for, and nothing was sent."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert run(["send", str(written_list(tmp_path, 1)), "--to", "sim://", "--report", str(fifo)]) == 2
    assert "cannot open the report" in capsys.readouterr().err


def test_a_named_pipe_has_all_lines(tmp_path: Path, ses_simulator: Callable[..., Simulator]) -> None:
    """Also where they are more than it holds, and the reader is slow to begin."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    simulator = ses_simulator(FAST)
    process = started("send", written_list(tmp_path, 900), "--to", simulator.smtp_url, "--rate", 2000, "--report", fifo)
    until(lambda: simulator.counts.accepted > 300)
    os.set_blocking(reader, True)
    with os.fdopen(reader, encoding="utf-8") as lines:
        keys = {json.loads(line)["key"] for line in lines}
    assert ended(process)[0] == 0
    assert len(keys) == 900


def test_a_reader_who_reads_no_further_keeps_no_run_from_its_end(
    tmp_path: Path, ses_simulator: Callable[..., Simulator]
) -> None:
    """A signal ends the run all the same; what the pipe did not take is on standard error."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    simulator = ses_simulator(FAST)
    process = _altered(
        "import seslimit.cli._run as run; run.DRAIN = 0.5",
        *("send", written_list(tmp_path, 900), "--to", simulator.smtp_url, "--rate", 2000, "--report", fifo),
    )
    until(lambda: simulator.counts.accepted > 300)
    process.send_signal(signal.SIGINT)
    status, _, err = ended(process)
    taken = os.read(reader, 1_000_000).decode()
    os.close(reader)
    assert status == 75
    assert "nobody reads on" in err
    whole = [json.loads(line)["key"] for line in taken.split("\n")[:-1]]
    assert {*whole, *(line["key"] for line in _named(err))} == {message.key for message in simulator.accepted}


def test_the_report_on_standard_output(tmp_path: Path) -> None:
    """`--report -`: a line for each message and, with --json, the summary as the last one."""
    status, out, err = _shell(
        "", *("send", written_list(tmp_path, 5), "--to", "sim://?rate=500", "--rate=100", "--report=-", "--json")
    )
    *lines, summary = map(json.loads, out.splitlines())
    assert (status, err, summary["accepted"]) == (0, "", 5)
    assert sorted(line["key"] for line in lines) == [f"k{number}" for number in range(5)]


def test_the_report_on_standard_output_has_nothing_else_beside_it(tmp_path: Path) -> None:
    """Without --json, progress and summary go to standard error."""
    status, out, err = _shell(
        "", "send", written_list(tmp_path, 2), "--to", "sim://?rate=500", "--rate=100", "--report", "-"
    )
    assert (status, len(out.splitlines()), err.splitlines()[0][:23]) == (0, 2, "2 of 2 messages accepte")


@pytest.mark.parametrize("other", ["list.jsonl", "link.jsonl", "-"])
def test_a_report_that_is_an_input_is_refused(tmp_path: Path, other: str) -> None:
    """It would grow as it is read, without an end; nothing is sent and nothing appended."""
    path = written_list(tmp_path, 3)
    (tmp_path / "link.jsonl").symlink_to(path)
    before = path.read_text()
    name = other if other == "-" else tmp_path / other
    status, _, err = _shell(f"<'{path}'", "send", name, "--to", "sim://", "--report", path)
    assert (status, err.count("\n"), path.read_text()) == (2, 1, before)
    assert "is an input as well" in err


def test_two_runs_do_not_share_a_report(tmp_path: Path, ses_simulator: Callable[..., Simulator]) -> None:
    """Each would take the other's messages for sent, or send them as well."""
    simulator, report = ses_simulator(FAST), tmp_path / "report.jsonl"
    path = written_list(tmp_path, 100)
    first = started("send", path, "--to", simulator.smtp_url, "--rate", 20, "--report", report)
    until(lambda: report.exists() and report.stat().st_size)
    status, _, err = _shell("", "send", path, "--to", simulator.smtp_url, "--report", report)
    first.send_signal(signal.SIGINT)
    ended(first)
    assert (status, "another run writes this report" in err) == (2, True)


def test_ctrl_c_while_the_input_is_checked_ends_at_once(
    tmp_path: Path, ses_simulator: Callable[..., Simulator]
) -> None:
    """Nothing was sent, so nothing has to be named; the view says how far it came."""
    simulator, report = ses_simulator(FAST), tmp_path / "report.jsonl"
    process = _altered(
        "import time; from seslimit.cli._inputs import Reading; entry = Reading.entry; "
        "Reading.entry = lambda *given: (time.sleep(0.001), entry(*given))[1]; "
        "import seslimit.cli._watch as watch; watch.Watch.__init__.__kwdefaults__['line_every'] = 0.3",
        *("send", written_list(tmp_path, 20_000), "--to", simulator.smtp_url, "--report", report),
    )
    assert process.stdout is not None
    assert "checking the input: " in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    status, _, err = ended(process)
    assert time.monotonic() - began < 18  # the check would take 20
    assert (status, err) == (75, "seslimit: stopped while the input was checked; nothing was sent.\n")
    assert (report.read_text(), simulator.counts.smtp_connections) == ("", 0)
