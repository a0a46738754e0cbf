"""`seslimit report`: who did not get it, and the rest as a list."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seslimit.cli._commands import run
from seslimit.testing import Simulator
from tests.command_line import FAST, record

pytestmark = pytest.mark.once

LINES: list[dict[str, Any]] = [
    {"key": "k0", "outcome": "accepted", "attempts": 1, "recipients": ["reader0@example.net"], "refused": {}},
    {"key": "k1", "outcome": "not_sent", "attempts": 0, "error": None},
    {
        "key": "k2",
        "outcome": "accepted",
        "attempts": 1,
        "recipients": ["reader2@example.net", "no@example.net"],
        "refused": {"no@example.net": "550 No such user"},
    },
    {"key": "k3", "outcome": "permanent", "attempts": 1, "error": "554 no", "recipients": ["reader3@example.net"]},
    {"key": "k4", "outcome": "unknown", "attempts": 1, "error": "broken", "recipients": None},
    {"key": "k5", "outcome": "transient", "attempts": 5, "error": "421 later", "recipients": ["reader5@example.net"]},
    {"key": "k1", "outcome": "not_sent", "attempts": 0, "error": None},
]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """A report with every kind of line, the last one cut off."""
    path = tmp_path / "report.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES) + '{"key": "k6", "outcome": "acc', "utf-8")
    return path


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """What was sent, one message more than the report names."""
    path = tmp_path / "list.jsonl"
    lines = [record(number) for number in range(8)]
    lines[2]["cc"] = ["no@example.net"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def test_the_report_in_figures_and_by_name(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What failed, or is in doubt, is named with who did not get it and why; what remains is counted."""
    assert run(["report", str(report)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{report}: 7 messages; 2 accepted (1 for some of their recipients only), 1 failed, 2 unknown, 2 remaining",
        "k2: accepted, but not for no@example.net: 550 No such user",
        "k3: permanent for reader3@example.net: 554 no",
        "k4: unknown: broken",
        "k6: unknown: the line is cut off",
    ]


def test_a_suppressed_message_has_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It cost no attempt, and is no line that was bad: `--resume` does not try it again."""
    path = tmp_path / "report.jsonl"
    line = {"key": "k0", "outcome": "permanent", "attempts": 0, "error": "bounced", "recipients": ["a@example.net"]}
    path.write_text(json.dumps(line) + "\n")
    assert run(["report", str(path)]) == 0
    assert "1 failed, 0 unknown, 0 remaining" in capsys.readouterr().out


def test_the_report_as_one_object(report: Path, inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the input, what has no line remains as well."""
    assert run(["report", str(report), "--json", "--input", str(inputs)]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "accepted": 2,
        "in_part": 1,
        "failed": 1,
        "unknown": 2,
        "remaining": 3,
    }


@pytest.mark.parametrize(("which", "keys"), [("--failed", ["k2", "k3", "k4", "k6"]), ("--remaining", ["k1", "k5"])])
def test_the_lines_of_one_kind(report: Path, capsys: pytest.CaptureFixture[str], which: str, keys: list[str]) -> None:
    """Without the input, they are those of the report, one for each message."""
    assert run(["report", str(report), which]) == 0
    assert [json.loads(line)["key"] for line in capsys.readouterr().out.splitlines()] == keys


def test_the_rest_is_a_list_that_can_be_sent(
    tmp_path: Path,
    report: Path,
    inputs: Path,
    capsys: pytest.CaptureFixture[str],
    ses_simulator: Callable[..., Simulator],
) -> None:
    """What goes out is what would have gone out, byte for byte, and only to those who did not get it."""
    asked = ses_simulator(FAST, keep_content=True)
    assert run(["send", str(inputs), "--to", asked.smtp_url, "--rate", "500"]) == 0
    whole = {message.key: message for message in asked.accepted}
    for which, expected in (
        ("--failed", {"k2": ["no@example.net"], "k3": ["reader3@example.net"], "k4": ["reader4@example.net"]}),
        ("--remaining", {f"k{number}": [f"reader{number}@example.net"] for number in (1, 5, 7)}),
    ):
        capsys.readouterr()
        assert run(["report", str(report), which, "--input", str(inputs)]) == 0
        rest = tmp_path / "rest.jsonl"
        rest.write_text(capsys.readouterr().out)
        simulator = ses_simulator(FAST, keep_content=True)
        assert run(["send", str(rest), "--to", simulator.smtp_url, "--rate", "500"]) == 0
        arrived = {str(message.key): message for message in simulator.accepted}
        arrived.pop("k6", None)
        assert {key: list(message.recipients) for key, message in arrived.items()} == expected
        assert all(message.content == whole[key].content for key, message in arrived.items())


def test_bad_lines_of_the_input_are_named(report: Path, inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They cannot be on the list; the status is 1."""
    with inputs.open("a", encoding="utf-8") as file:
        file.write("{\n")
    assert run(["report", str(report), "--remaining", "--input", str(inputs)]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("seslimit: list.jsonl:9: the line is not JSON")
    assert len(captured.out.splitlines()) == 3


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read: No such file"), ("From: a@example.org\n\nHi\n", "is no report")]
)
def test_what_is_no_report_is_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, words: str
) -> None:
    """In one sentence."""
    path = tmp_path / "report.jsonl"
    if content is not None:
        path.write_text(content)
    assert run(["report", str(path)]) == 2
    assert words in capsys.readouterr().err
