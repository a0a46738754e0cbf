"""What the check of a list made is sent: nothing is composed twice that fits into the memory set apart for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from seslimit import Message
from seslimit.cli._inputs import APIECE, Entry, Input, Kept, Reading, Ready, known_by_content, open_input
from seslimit.cli._supply import Supply, check

pytestmark = pytest.mark.once

CONTENT = b"Subject: Hi\r\n\r\nText\r\n"


@attrs.define
class Counted:
    """An input of so many messages that counts how many it made."""

    count: int
    made: list[int] = attrs.field(factory=list)

    def input(self) -> Input:
        """As an argument of the command line."""
        return Input("counted", lambda reading: Ready(self._entries(reading)))

    def _entries(self, reading: Reading) -> Iterator[Entry]:
        for number in range(self.count):
            yield reading.entry(str(number), str(number), str(number), lambda: self._made(number))  # noqa: B023

    def _made(self, number: int) -> Message:
        self.made.append(number)
        return Message("a@example.org", ["b@example.net"], CONTENT, str(number))


async def _sent(inputs: list[Input], kept: Kept) -> list[Message]:
    found = await check(inputs, lambda: False, kept=kept)
    assert not found.bad
    return [message async for message in Supply(inputs, lambda _: None, kept=kept)]


async def test_what_was_checked_is_not_composed_again() -> None:
    """Composing takes as long as sending: twice would be most of the command line's cost."""
    source = Counted(5)
    assert [message.key for message in await _sent([source.input()], Kept())] == ["0", "1", "2", "3", "4"]
    assert source.made == [0, 1, 2, 3, 4]


async def test_what_does_not_fit_is_composed_again() -> None:
    """So that a million lines take no more memory than those that fit, and every one is sent once, in its order."""
    source, kept = Counted(5), Kept(2 * (len(CONTENT) + APIECE))
    assert [message.key for message in await _sent([source.input()], kept)] == ["0", "1", "2", "3", "4"]
    assert source.made == [0, 1, 2, 3, 4, 2, 3, 4]


def _line(**fields: object) -> str:
    return json.dumps({"from": "a@example.org", "to": ["b@example.net"], "text": "Hi"} | fields) + "\n"


async def test_a_line_that_was_changed_after_the_check_is_composed_anew(tmp_path: Path) -> None:
    """As ever: a list that is edited meanwhile is sent as it is then, each line once."""
    path = tmp_path / "list.jsonl"
    path.write_text(_line(subject="one") + _line(subject="two"))
    inputs, kept = [open_input(str(path))], Kept()
    await check(inputs, lambda: False, kept=kept)
    path.write_text(_line(subject="zero") + _line(subject="one") + _line(subject="two"))
    sent = [message.as_bytes() async for message in Supply(inputs, lambda _: None, kept=kept)]
    assert [content.partition(b"Subject: ")[2].split(b"\r\n")[0] for content in sent] == [b"zero", b"one", b"two"]


async def test_the_same_line_of_two_lists_attaches_the_file_beside_each(tmp_path: Path) -> None:
    """Lists of one name in two folders are two inputs: a kept message is never taken for another one."""
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.txt").write_text(name * 30)
        (tmp_path / name / "list.jsonl").write_text(_line(attachments=[{"path": "file.txt"}]))
    inputs = [open_input(str(tmp_path / name / "list.jsonl")) for name in ("x", "y")]
    sent = [message.as_bytes() for message in await _sent(inputs, Kept())]
    assert [b"eHh4" in content for content in sent] == [True, False]
    assert [b"eXl5" in content for content in sent] == [False, True]


async def test_a_key_made_of_the_content_is_made_once(tmp_path: Path) -> None:
    """With an outbox, a message without a key has that key at every reading."""
    (tmp_path / "list.jsonl").write_text(_line())
    source = known_by_content(open_input(str(tmp_path / "list.jsonl")))
    kept = Kept()
    await check([source], lambda: False, kept=kept)
    (first,) = [entry async for entry in source.read(Reading(kept=kept))]
    (again,) = [entry async for entry in source.read(Reading(kept=kept))]
    assert first is again
    assert str(first.key).startswith("content-")
