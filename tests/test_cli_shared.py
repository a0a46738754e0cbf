"""`--shared`: commands that send for the same account, each in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from seslimit.testing import Simulator

pytestmark = pytest.mark.once

LINE = {"from": "a@example.com", "to": ["b@example.org"], "subject": "x", "text": "y"}


async def sent(messages: Path, to: str, *options: str) -> tuple[int | None, str, str]:
    """Exit status, standard output and error of one `seslimit send`."""
    command = [sys.executable, "-m", "seslimit", "send", str(messages), "--to", to, "--json", *options]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, error = await process.communicate()
    return process.returncode, output.decode(), error.decode()


@pytest.mark.parametrize("kind", ["redis", "host"])
async def test_two_commands_keep_one_rate(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    """
    Sixty messages in two processes at 20/s together: each alone would have sent at 20/s.

    From the first to the last that the service saw it takes as long, whenever each of the processes begins.
    """
    address = str(request.getfixturevalue("redis_url")) if kind == "redis" else f"host:{tmp_path}/rate"
    messages = tmp_path / "list.jsonl"
    messages.write_text("".join(json.dumps(LINE | {"key": str(number)}) + "\n" for number in range(30)))
    async with Simulator(rate=200) as simulator:
        options = ("--rate", "20", "--max-rate", "20", "--shared", address, "--account", "one")
        ends = await asyncio.gather(*(sent(messages, simulator.smtp_url, *options) for _ in range(2)))
    figures = [json.loads(output.splitlines()[-1]) for _, output, _ in ends]
    assert [status for status, *_ in ends] == [0, 0], ends
    assert [each["accepted"] for each in figures] == [30, 30]
    moments = [message.at for message in simulator.accepted]
    assert max(moments) - min(moments) >= 2.3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--account", "one"), "give --shared URL"),
        (("--shared", "http://host"), "host:NAME"),
        (("--shared", "host:a b"), "is no name"),
    ],
)
async def test_what_cannot_be_shared_is_said_in_a_sentence(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    """Before anything is sent."""
    messages = tmp_path / "list.jsonl"
    messages.write_text(json.dumps(LINE) + "\n")
    status, _, error = await sent(messages, "smtp://127.0.0.1:1", *options)
    assert status == 2
    assert words in error
