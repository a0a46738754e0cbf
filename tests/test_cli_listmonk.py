"""`seslimit listmonk`: what it prints, what it refuses to start with, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from seslimit.cli._commands import run
from seslimit.testing import Simulator

pytestmark = pytest.mark.once

PAYLOAD: dict[str, Any] = json.loads((Path(__file__).parent / "listmonk" / "transactional.json").read_text())
ARGUMENTS = ("listmonk", "--listen", "127.0.0.1:0", "--root-url", "https://lists.example.net")


def _post(url: str, number: int) -> int:
    payload = PAYLOAD | {"recipients": [{"email": f"reader{number}@example.net", "uuid": f"s{number}", "name": ""}]}
    return requests.post(url, json=payload, timeout=30).status_code


def _posts(url: str, count: int) -> tuple[list[threading.Thread], list[int]]:
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda n=n: statuses.append(_post(url, n))) for n in range(count)]
    for thread in threads:
        thread.start()
    return threads, statuses


@contextmanager
def _started(to: str, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "seslimit", *ARGUMENTS, "--to", to, *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline()
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def _held(url: str) -> int:
    return int(requests.get(f"{url}health", timeout=5).json()["held"])


def test_sigterm_sends_what_is_held_and_ends_with_0(ses_simulator: Callable[..., Simulator]) -> None:
    """Every post is answered; with --json the address and the totals are one object each."""
    simulator = ses_simulator(20)
    with _started(simulator.smtp_url, "--rate", "20", "--json") as (process, line):
        address = json.loads(line)
        assert address["url"] == f"http://{address['listen']}/"
        threads, statuses = _posts(address["url"], 40)
        deadline = time.monotonic() + 120
        while _held(address["url"]) + len(statuses) < 40:
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=120)
        for thread in threads:
            thread.join()
    totals = json.loads(out)
    assert process.returncode == 0, err
    assert statuses == [200] * 40
    assert (totals["posts"], totals["accepted"], totals["unsent"]) == (40, 40, 0)
    assert 0 < totals["longest_hold"] < 10
    assert simulator.counts.accepted == 40


def test_what_is_not_sent_in_time_is_named(ses_simulator: Callable[..., Simulator]) -> None:
    """After ten seconds at most: answered with 503, and on standard error by its subscriber."""
    simulator = ses_simulator(2)
    with _started(simulator.smtp_url, "--rate", "2") as (process, line):
        url = line.split(" at ")[1].split(" ")[0]
        threads, statuses = _posts(url, 40)
        deadline = time.monotonic() + 120
        while _held(url) + len(statuses) < 40:
            assert time.monotonic() < deadline
        began_at = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=120)
        took = time.monotonic() - began_at
        for thread in threads:
            thread.join()
    assert process.returncode == 0
    assert took < 19  # all of them would take 20
    assert set(statuses) == {200, 503}
    assert statuses.count(200) == simulator.counts.accepted
    assert len(re.findall(r"^not sent, campaign -, subscriber s\d+: ", err, re.MULTILINE)) == statuses.count(503)
    assert f"{statuses.count(503)} unsent" in out


def test_for_people_it_says_where_it_listens_and_what_came_of_it(ses_simulator: Callable[..., Simulator]) -> None:
    """Without the password of the transport; advice goes to standard error."""
    simulator = ses_simulator(1000)
    options = ("--rate", "1000", "--concurrency", "4", "--message-rate", "1", "--timeout", "2.5")
    with _started(simulator.smtp_url, *options) as (process, line):
        assert re.fullmatch(
            r"A messenger for listmonk at http://127\.0\.0\.1:\d+/ in front of smtp://127\.0\.0\.1:\d+; "
            r"Ctrl-C ends it\.\n",
            line,
        )
        assert _post(line.split(" at ")[1].split(" ")[0], 1) == 200
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0
    assert re.fullmatch(r"1 message posted, 1 accepted, 0 throttled; longest hold \d\.\d s\n", out)
    assert "with Concurrency 4 and Message rate 1 it posts about 2.87 messages/s" in err
    assert "gives up after 2.5 s" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--listen", "0.0.0.0:0"], "everybody could send"),
        (["--listen", "nowhere"], "write HOST:PORT"),
        (["--listen", "192.0.2.1:8899"], "cannot be listened on"),
        (["--root-url", "lists"], "root URL 'lists' is not the address of a listmonk"),
        (["--to", "gopher://x"], "unknown scheme"),
        (["--rate", "5", "--max-rate", "2"], "above max_rate"),
    ],
)
def test_a_wrong_set_up_is_status_2_and_one_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is opened."""
    for name in ("USER", "PASSWORD"):
        monkeypatch.delenv(f"SESLIMIT_LISTMONK_{name}", raising=False)
    if words == "cannot be listened on":
        monkeypatch.setenv("SESLIMIT_LISTMONK_USER", "u")
        monkeypatch.setenv("SESLIMIT_LISTMONK_PASSWORD", "s3kr1t")
    assert run([*ARGUMENTS, "--to", "sim://", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert "s3kr1t" not in error


def test_a_port_that_is_taken_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    """It says which, and what to do."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        assert run([*ARGUMENTS, "--to", "sim://", "--listen", listen]) == 2
    assert f"{listen} cannot be listened on" in capsys.readouterr().err


def test_the_login_comes_from_the_environment(ses_simulator: Callable[..., Simulator]) -> None:
    """Whoever does not have it is told so."""
    simulator = ses_simulator(1000)
    os.environ["SESLIMIT_LISTMONK_USER"], os.environ["SESLIMIT_LISTMONK_PASSWORD"] = "u", "p"
    try:
        with _started(simulator.smtp_url, "--json") as (process, line):
            assert _post(json.loads(line)["url"], 1) == 401
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=120)
    finally:
        del os.environ["SESLIMIT_LISTMONK_USER"], os.environ["SESLIMIT_LISTMONK_PASSWORD"]
