"""`seslimit send --outbox`, `seslimit outbox` and `seslimit work`: killed at any time, and the same command goes on."""

from __future__ import annotations

import asyncio
import csv
import json
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from seslimit import Message, SendQuota
from seslimit.cli._commands import run
from seslimit.cli._forecast import day_words, done_at, forecast
from seslimit.outbox import Outbox, State
from seslimit.testing import Simulator
from tests.command_line import FAST, ended, lines_of, outcomes, record, started, until, written_list

pytestmark = pytest.mark.once

DAY = 86_400.0


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


def _keys(simulator: Simulator) -> Counter[str]:
    return Counter(str(message.key) for message in simulator.accepted)


def _states(path: Path) -> dict[str, int]:
    """How many messages are in which state, read beside whoever writes."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return dict(connection.execute("SELECT state, count(*) FROM seslimit_messages GROUP BY state"))


def _figures(out: str) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(out.splitlines()[-1])
    return figures


def test_the_same_input_twice_is_sent_once(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """The second run says how many had come to their end before; more of the input is sent."""
    simulator, box = ses_simulator(FAST), str(tmp_path / "mail.db")
    command = ["send", "--to", simulator.smtp_url, "--rate", "2000", "--outbox", box, "--json"]
    assert run([*command, str(written_list(tmp_path, 20))]) == 0
    assert _figures(capsys.readouterr().out)["accepted"] == 20
    assert run([*command, str(written_list(tmp_path, 25))]) == 0
    figures = _figures(capsys.readouterr().out)
    assert (figures["messages"], figures["accepted"], figures["before"]) == (5, 5, 20)
    assert _keys(simulator) == Counter(f"k{number}" for number in range(25))


def test_a_limit_is_one_with_an_outbox_too(tmp_path: Path, ses_simulator: Callable[..., Simulator]) -> None:
    """The first messages of the input, however often it is given."""
    simulator, box = ses_simulator(FAST), str(tmp_path / "mail.db")
    command = ["send", str(written_list(tmp_path, 20)), "--to", simulator.smtp_url, "--rate", "2000", "--outbox", box]
    for _ in range(2):
        assert run([*command, "--limit", "3"]) == 0
        assert _keys(simulator) == Counter(["k0", "k1", "k2"])
    assert run(command) == 0
    assert len(simulator.accepted) == 20


def test_what_has_no_key_is_known_by_what_it_holds(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """Not by its place: two folders have a list of one name, and a list gets a line in front of the others."""
    simulator, box = ses_simulator(FAST), str(tmp_path / "mail.db")
    lines = []
    for number in range(3):
        fields = record(number)
        del fields["key"]
        lines.append(json.dumps(fields))
    command = ["send", "--to", simulator.smtp_url, "--rate", "2000", "--outbox", box, "--json"]
    for name, given in (("monday", [lines[0]]), ("tuesday", [lines[1]]), ("wednesday", [lines[2], lines[0]])):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "list.jsonl"
        path.write_text("\n".join(given) + "\n")
        assert run([*command, str(path)]) == 0
    assert _figures(capsys.readouterr().out)["before"] == 1
    assert _keys(simulator) == Counter(["k0", "k1", "k2"])


def test_no_cell_of_an_export_is_a_formula(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Addresses and keys come from strangers. Source: OWASP, "CSV Injection"."""
    box = tmp_path / "mail.db"

    async def filled() -> None:
        async with Outbox(box) as outbox:
            await outbox.add([Message("a@example.com", ["=1+1@example.org"], CONTENT, "=2+2")])

    asyncio.run(filled())
    assert run(["outbox", "export", str(box)]) == 0
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert (row["key"], row["recipient"]) == ("'=2+2", "'=1+1@example.org")


def test_a_message_with_parts_is_the_same_in_the_next_run(
    tmp_path: Path, ses_simulator: Callable[..., Simulator]
) -> None:
    """What is made of a line has nothing of chance in it."""
    simulator, box = ses_simulator(FAST), str(tmp_path / "mail.db")
    parts = record(0, html="<p>Hi!</p>", attachments=[{"filename": "a.txt", "content": "aGk="}])
    path = written_list(tmp_path, 0, json.dumps(parts))
    for _ in range(2):
        assert run(["send", str(path), "--to", simulator.smtp_url, "--outbox", box]) == 0
    assert len(simulator.accepted) == 1


def test_a_changed_input_is_refused_before_any_of_it_is_sent(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence names the key."""
    simulator, box = ses_simulator(FAST), str(tmp_path / "mail.db")
    command = ["send", "--to", simulator.smtp_url, "--rate", "2000", "--outbox", box]
    assert run([*command, str(written_list(tmp_path, 3))]) == 0
    capsys.readouterr()
    path = written_list(tmp_path, 0, json.dumps(record(9)), json.dumps(record(1, to=["other@example.net"])))
    assert run([*command, str(path)]) == 2
    assert "nothing was sent, for the key 'k1' stands for another message already" in capsys.readouterr().err
    assert len(simulator.accepted) == 3
    assert _states(Path(box)) == {"accepted": 3}


@pytest.mark.parametrize("on_unknown", ["resend", "hold"])
def test_after_a_kill_the_same_command_goes_on(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], on_unknown: str
) -> None:
    """Nothing is lost; doubled is at most what was under way, and nothing where that is held."""
    simulator, box = ses_simulator(FAST, latency=0.05), tmp_path / "mail.db"
    rate = ("--rate", 300, "--max-rate", 300)
    where = ("--to", simulator.smtp_url, "--outbox", box)
    command = ("send", written_list(tmp_path, 300), *where, *rate, "--on-unknown", on_unknown, "--json")
    process = started(*command)
    until(lambda: len(simulator.accepted) > 80)
    process.kill()
    process.communicate()
    in_doubt = _states(box).get("sending", 0)
    status, out, err = ended(started(*command))
    keys = _keys(simulator)
    doubled = sum(keys.values()) - len(keys)
    if on_unknown == "resend":
        assert status == 0, err
        assert set(keys) == {f"k{number}" for number in range(300)}
        assert doubled <= in_doubt
    else:
        assert _figures(out)["unknown"] == in_doubt
        assert status == (1 if in_doubt else 0)
        assert doubled == 0
        assert len(keys) >= 300 - in_doubt
    assert "sending" not in _states(box)


def test_what_remains_after_a_stop_is_on_the_report_and_in_the_outbox(
    tmp_path: Path, ses_simulator: Callable[..., Simulator]
) -> None:
    """Each message of the input once; the second run sends the rest."""
    simulator, box, report = ses_simulator(FAST), tmp_path / "mail.db", tmp_path / "report.jsonl"
    command = ("send", written_list(tmp_path, 300), "--to", simulator.smtp_url, "--outbox", box, "--json")
    process = started(*command, "--report", report, "--rate", 100, "--max-rate", 100)
    until(lambda: len(simulator.accepted) > 50)
    process.send_signal(signal.SIGTERM)
    status, out, _ = ended(process)
    figures = _figures(out)
    assert status == 75
    assert figures["messages"] == 300 == figures["accepted"] + figures["remaining"]
    assert outcomes(report) == {"accepted": figures["accepted"], "not_sent": figures["remaining"]}
    assert len({line["key"] for line in lines_of(report)}) == 300
    status, out, _ = ended(started(*command, "--rate", 2000))
    assert (status, _figures(out)["before"]) == (0, figures["accepted"])
    assert _keys(simulator) == Counter(f"k{number}" for number in range(300))


def test_what_a_stream_gave_is_durable(tmp_path: Path, ses_simulator: Callable[..., Simulator]) -> None:
    """It cannot be read twice: after a stop it is all in the outbox, and sent without it."""
    simulator, box = ses_simulator(FAST), tmp_path / "mail.db"
    command = ("send", "-", "--to", simulator.smtp_url, "--outbox", box, "--json")
    process = started(*command, "--rate", 20, "--max-rate", 20)
    assert process.stdin is not None
    process.stdin.write("".join(json.dumps(record(number)) + "\n" for number in range(200)))
    process.stdin.flush()
    until(lambda: len(simulator.accepted) > 5)
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 75
    status, _, err = ended(started(*command, "--rate", 2000), given="")
    assert status == 0, err
    assert _keys(simulator) == Counter(f"k{number}" for number in range(200))


CONTENT = b"From: a@example.com\r\nTo: b@example.org\r\nSubject: x\r\n\r\nx\r\n"


async def _filled(path: Path, count: int = 4) -> None:
    messages = [
        Message("a@example.com", [f"r{each}@example.org", "b@example.org"], CONTENT, each) for each in range(count)
    ]
    async with Outbox(path) as outbox:
        await outbox.add(messages)


def test_an_export_has_one_row_a_recipient(
    tmp_path: Path, ses_simulator: Callable[..., Simulator], capsys: pytest.CaptureFixture[str]
) -> None:
    """CSV, or JSON lines; of all, or of what is meant."""
    simulator, box = ses_simulator(FAST), tmp_path / "mail.db"
    asyncio.run(_filled(box))
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    assert run(["send", str(empty), "--to", simulator.smtp_url, "--rate", "100", "--outbox", str(box)]) == 0
    capsys.readouterr()
    assert run(["outbox", "export", str(box)]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [(row["key"], row["recipient"]) for row in rows] == [
        (str(key), recipient) for key in range(4) for recipient in (f"r{key}@example.org", "b@example.org")
    ]
    assert {row["outcome"] for row in rows} == {"accepted"}
    assert {row["message_id"] for row in rows} == {message.message_id for message in simulator.accepted}
    assert all(row["at"].endswith("Z") and row["attempts"] == "1" for row in rows)
    assert run(["outbox", "export", str(box), "--json", "--recipient", "r2@example.org"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["key"] for row in found} == {2}


def test_messages_are_cancelled_queued_again_and_forgotten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By hand; each says how many it was."""
    box = tmp_path / "mail.db"
    asyncio.run(_filled(box))
    assert run(["outbox", "cancel", str(box)]) == 2
    assert run(["outbox", "cancel", str(box), "--recipient", "r1@example.org"]) == 0
    assert _states(box) == {"queued": 3, "cancelled": 1}
    assert run(["outbox", "retry", str(box)]) == 2
    assert run(["outbox", "retry", str(box), "--all"]) == 0
    assert _states(box) == {"queued": 4}
    assert run(["outbox", "cancel", str(box), "--all"]) == 0
    assert run(["outbox", "purge", str(box), "--older-than", "0"]) == 0
    assert _states(box) == {}
    assert "4 messages forgotten" in capsys.readouterr().out
    assert run(["outbox", "list", str(box)]) == 1


def test_status_says_how_much_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For people, and as one object."""
    box = tmp_path / "mail.db"
    asyncio.run(_filled(box))
    assert run(["outbox", "status", str(box), "--rate", "1"]) == 0
    said = capsys.readouterr().out
    assert "queued                4 messages            8 recipients" in said
    assert "done " in said
    assert run(["outbox", "status", str(box), "--json"]) == 0
    assert _figures(capsys.readouterr().out)["states"] == {"queued": {"messages": 4, "recipients": 8}}


def test_an_outbox_that_is_not_there_is_not_made_to_be_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt path is told."""
    assert run(["outbox", "status", str(tmp_path / "none.db")]) == 2
    assert "is not there" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_worker_sends_what_is_there_and_what_comes_and_drains_at_a_signal(
    tmp_path: Path, ses_simulator: Callable[..., Simulator]
) -> None:
    """Two of them on one file: each message goes once."""
    simulator, box = ses_simulator(FAST), tmp_path / "mail.db"
    asyncio.run(_filled(box, 50))
    command = ("work", "--outbox", box, "--to", simulator.smtp_url, "--rate", 200, "--json")
    workers = [started(*command) for _ in range(2)]
    until(lambda: len(simulator.accepted) == 50)
    asyncio.run(_filled(box, 80))
    until(lambda: _states(box) == {"accepted": 80})
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    ends = [ended(worker) for worker in workers]
    assert [status for status, _, _ in ends] == [0, 0]
    assert sum(_figures(out)["accepted"] for _, out, _ in ends) == 80 == len(simulator.accepted)


def test_a_part_of_the_day_is_kept_for_others(tmp_path: Path, ses_simulator: Callable[..., Simulator]) -> None:
    """Sending stops short of it, and waits."""
    simulator, box = ses_simulator(FAST, max_24_hour_send=100), tmp_path / "mail.db"
    command = ("send", written_list(tmp_path, 90), "--to", simulator.ses_url, "--outbox", box, "--keep-daily", 60)
    process = started(*command)
    until(lambda: len(simulator.accepted) >= 40)
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 75
    assert len(simulator.accepted) == 40


def test_the_day_played_forward() -> None:
    """
    Worked by hand: 10/s, 1,000 a day, 400 left, 600 used 20 h ago; 1,500 to go.

    400 go in 40 s; at +4 h the 600 are free and go in 60 s; the last 500: 400 of them at +24 h, 100 more at +24 h 40 s
    where the 600 have not left yet: they leave at +28 h, the last of them a minute later.
    """
    quota = SendQuota(1000.0, 10.0, 600.0)
    at = done_at(0.0, 1500, 10.0, quota, [(-20 * 3600.0, 600.0)])
    assert at is not None
    assert at == pytest.approx(28 * 3600 + 70, abs=1)
    assert done_at(0.0, 50, 10.0, None, []) == 5.0
    assert done_at(0.0, 50, 0.0, None, []) is None
    assert done_at(0.0, 50, 10.0, SendQuota(10.0, 10.0, 10.0), []) is None


def test_a_forecast_in_words() -> None:
    """What is left, and the day and the hour of the end."""
    now = 1_796_000_000.0
    assert forecast(now, 0, 1.0, SendQuota(50_000.0, 14.0, 40_800.0), []) == "9,200 of 50,000 left"
    assert "; done " in forecast(now, 9_000, 14.0, SendQuota(50_000.0, 14.0, 40_800.0), [])
    assert day_words(now + DAY, now).startswith("tomorrow ")
    assert day_words(now + 60 * 3600, now)[:3] in {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}


def test_every_state_can_be_asked_for() -> None:
    """The words of the command line are those of the outbox."""
    from seslimit.cli._outbox import STATES

    assert set(STATES) == {str(state) for state in State}
