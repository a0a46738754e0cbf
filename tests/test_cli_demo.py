"""`seslimit demo` and `seslimit simulate`."""

from __future__ import annotations

import json
import signal
import smtplib
import subprocess
import sys

import pytest

from seslimit.cli._commands import run

pytestmark = pytest.mark.once

SEND_KEYS = {
    "messages",
    "accepted",
    "failed",
    "unknown",
    "remaining",
    "attempts",
    "throttled",
    "seconds",
    "rate",
}


@pytest.mark.parametrize("transport", ["smtp", "ses"])
def test_the_demo_accepts_everything(capsys: pytest.CaptureFixture[str], transport: str) -> None:
    """Status 0; the last line has the keys of `send`, and those of the plain loop beside them."""
    assert run(["demo", "--rate", "40", "--messages", "120", "--transport", transport, "--json"]) == 0
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    figures = json.loads(line)
    assert figures.keys() >= SEND_KEYS
    assert figures["plain"].keys() >= SEND_KEYS
    assert (figures["messages"], figures["accepted"], figures["remaining"]) == (120, 120, 0)
    assert figures["plain"]["throttled"] > figures["throttled"]
    assert "seslimit" not in captured.err.splitlines()[-1]


def test_the_demo_needs_no_other_smtp_client() -> None:
    """Neither does the plain loop."""
    script = (
        "import sys; sys.modules['aiosmtplib'] = None\n"
        "from seslimit.cli._commands import run\n"
        "sys.exit(run(['demo', '--rate', '150', '--messages', '30', '--json']))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    assert json.loads(ended.stdout)["plain"]["attempts"] == 30


def test_the_plain_loop_of_the_demo_loses_what_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Over SMTP each refusal is a lost message, and the table says so."""
    assert run(["demo", "--rate", "40", "--messages", "120"]) == 0
    out = capsys.readouterr().out
    plain, paced = (line for line in out.splitlines() if line.startswith("│"))
    accepted, lost = (int(cell) for cell in plain.split("│")[2:4])
    assert accepted + lost == 120
    assert lost > 0
    assert [cell.strip() for cell in paced.split("│")[2:4]] == ["120", "0"]


def _simulate(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "seslimit", "simulate", "--smtp-port=0", "--api-port=0", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_simulator_runs_until_a_signal_and_tells_what_came(signum: signal.Signals) -> None:
    """It prints a URL for each door, serves, and ends with status 0 and its counts."""
    process = _simulate("--rate", "1", "--json")
    assert process.stdout is not None
    addresses = json.loads(process.stdout.readline())
    assert addresses["ses"].startswith("ses://us-east-1?endpoint_url=http")
    port = int(addresses["smtp"].partition("?")[0].rpartition(":")[2])
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.login("user", "password")
        client.sendmail("a@example.org", ["b@example.net"], "From: a@example.org\n\nHi\n")
        with pytest.raises(smtplib.SMTPDataError, match="Maximum sending rate exceeded"):
            client.sendmail("a@example.org", ["b@example.net"], "From: a@example.org\n\nHo\n")
    process.send_signal(signum)
    out, err = process.communicate(timeout=120)
    counts = json.loads(out.splitlines()[-1])
    assert (process.returncode, err) == (0, "")
    assert (counts["accepted"], counts["throttled"], counts["duplicates"]) == (1, 1, 0)


def test_the_simulator_says_how_to_use_it() -> None:
    """Without --json the addresses are commands."""
    process = _simulate()
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(3)]
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert told[1].startswith("seslimit send INPUT --to 'smtp://user:password@127.0.0.1:")
    assert told[2].startswith("seslimit send INPUT --to 'ses://us-east-1?endpoint_url=")
    assert out == "0 messages accepted (0 recipients), 0 throttled, 0 over the daily quota, 0 invalid\n"


def test_a_port_that_is_taken_is_status_2() -> None:
    """With the options that choose another."""
    process = _simulate("--json")
    assert process.stdout is not None
    port = json.loads(process.stdout.readline())["smtp"].partition("?")[0].rpartition(":")[2]
    second = subprocess.run(
        [sys.executable, "-m", "seslimit", "simulate", "--smtp-port", port, "--api-port", "0"],
        capture_output=True,
        text=True,
        check=False,
    )
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert (second.returncode, second.stdout, second.stderr.count("\n")) == (2, "", 1)
    assert "--smtp-port and --api-port" in second.stderr
