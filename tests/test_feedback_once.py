"""
Delivered once where a destination can be asked: after a kill, and where its answer was lost.

What listmonk does is in its documentation, "Bounce processing" and "API / Bounces": it writes down a bounce as often as
it is told, and gives pages of at most 50 records.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest

from seslimit.feedback import (
    Event,
    Feed,
    JSONLines,
    Listmonk,
    NotTaken,
    Part,
    SeenFile,
    Unanswered,
    Unavailable,
    event_of,
)
from seslimit.feedback._seen import Forgetful, Mark, Memory

from .bounce_book import BounceBook, bounce_book
from .sns_authority import bounce_document
from .virtual_time import on_virtual_time

pytestmark = pytest.mark.once

AT = datetime(2026, 11, 1, tzinfo=UTC)


def bounce(number: int = 0, at: datetime | None = None) -> Event:
    """A bounce of one subscriber."""
    return event_of(bounce_document(number, at or AT + timedelta(seconds=number)))


@attrs.define
class Careful:
    """A destination that takes what it is given, then fails as it is told, and can be asked."""

    fails: list[Exception] = attrs.field(factory=list)
    got: list[str] = attrs.field(factory=list)
    asked: int = 0
    name: str = "careful"

    def parts(self, event: Event) -> Sequence[Part]:
        """The event."""
        return (Part("", event.id),)

    async def deliver(self, part: Part) -> None:
        """Take it, or say why not."""
        error = self.fails.pop(0) if self.fails else None
        if error is None or isinstance(error, Unanswered):
            self.got.append(part.payload)
        if error is not None:
            raise error

    async def has(self, part: Part) -> bool:
        """Whether it was taken."""
        self.asked += 1
        return part.payload in self.got

    async def aclose(self) -> None:
        """Nothing is open."""


async def killed(seen: SeenFile, event: Event, part: Part, destination: str) -> None:
    """What a process leaves that is killed between an answer and its note of it."""
    await seen.begin([f"{destination}\n{event.id}\n{part.id}"])
    await seen.aclose()


@on_virtual_time
async def test_a_lost_answer_is_asked_for() -> None:
    """The destination had it: nothing is delivered again."""
    careful = Careful([Unanswered("time-out")])
    feed = Feed([careful])
    await feed.take(bounce())
    assert (careful.got, careful.asked, feed.counts.delivered) == (["Bounce:feedback-0"], 1, 1)


@on_virtual_time
async def test_who_certainly_does_not_have_it_is_not_asked() -> None:
    """Also not when the event comes again: a destination that was away for an hour is asked nothing."""
    careful = Careful([Unavailable("closed")] * 2)
    feed = Feed([careful], patience=0.0)
    for _ in range(2):
        with pytest.raises(NotTaken):
            await feed.take(bounce())
    await feed.take(bounce())
    assert (careful.got, careful.asked) == (["Bounce:feedback-0"], 0)


async def test_what_was_under_way_at_a_kill_is_asked_for(tmp_path: Path) -> None:
    """The file has that it was begun."""
    careful, event = Careful(got=["Bounce:feedback-0"]), bounce()
    await killed(SeenFile(tmp_path / "seen.db"), event, careful.parts(event)[0], careful.name)
    async with Feed([careful], seen=SeenFile(tmp_path / "seen.db")) as feed:
        await feed.take(event)
        await feed.take(bounce(1))
        await feed.take(event)
    assert (careful.got, careful.asked) == (["Bounce:feedback-0", "Bounce:feedback-1"], 1)


async def test_a_file_has_a_line_once(tmp_path: Path) -> None:
    """A line that was written before a kill is found, wherever in the file it is."""
    path = tmp_path / "events.jsonl"
    async with Feed([JSONLines(path)]) as feed:
        for number in range(3):
            await feed.take(bounce(number))
    for number in range(3):
        event = bounce(number)
        lines = JSONLines(path)
        await killed(SeenFile(tmp_path / "seen.db"), event, lines.parts(event)[0], lines.name)
        async with Feed([lines], seen=SeenFile(tmp_path / "seen.db")) as feed:
            await feed.take(event)
    assert len(path.read_text().splitlines()) == 3


async def told(book: BounceBook, *events: Event) -> None:
    """Record events."""
    async with Feed([Listmonk(book.url, "api", "token")]) as feed:
        for event in events:
            await feed.take(event)


@pytest.mark.parametrize("number", [0, 1, 60, 123, 199])
async def test_listmonk_is_found_to_have_a_bounce(number: int) -> None:
    """By its moment, on whichever page it is; a few pages are read."""
    async with bounce_book() as book:
        await told(book, *map(bounce, range(200)))
        listmonk = Listmonk(book.url, "api", "token")
        event = bounce(number)
        assert await listmonk.has(listmonk.parts(event)[0])
        assert book.asked <= 5
        await listmonk.aclose()


async def test_listmonk_is_found_not_to_have_a_bounce() -> None:
    """Neither one of its own moment, nor one among many of the same, nor any where there is none."""
    async with bounce_book() as book:
        listmonk = Listmonk(book.url, "api", "token")
        assert not await listmonk.has(listmonk.parts(bounce(7))[0])
        await told(book, *(bounce(number, AT) for number in range(120) if number != 7), bounce(200), bounce(201))
        for event in (bounce(7, AT), bounce(150), bounce(300), bounce(8, AT - timedelta(days=1))):
            assert not await listmonk.has(listmonk.parts(event)[0])
        assert await listmonk.has(listmonk.parts(bounce(119, AT))[0])
        await listmonk.aclose()


async def test_a_lost_answer_of_listmonk_records_nothing_twice() -> None:
    """It hangs up after it has written the bounce down."""
    async with bounce_book(mute=1) as book:
        await told(book, bounce())
        assert len(book.records) == 1


async def test_listmonk_that_does_not_show_its_records_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Then what was under way may be recorded twice, and nothing is lost."""
    async with bounce_book(readable=False, mute=2) as book:
        with caplog.at_level(logging.WARNING, "seslimit"):
            await told(book, bounce(), bounce(1))
        assert len(book.records) == 4
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "the role needs bounces:get" in said[0]


async def test_what_cannot_be_remembered_goes_back() -> None:
    """A full disk: the event is not taken, and not delivered."""

    class Full(Memory):
        async def begin(self, keys: Sequence[str]) -> Sequence[Mark]:
            raise Forgetful("no space left on device")

    careful = Careful()
    with pytest.raises(NotTaken):
        await Feed([careful], seen=Full()).take(bounce())
    assert careful.got == []


async def test_a_file_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """SQLite's words are an error of ours, and the next note may succeed."""
    seen = SeenFile(tmp_path / "seen.db")
    seen._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(Forgetful, match=r"seen\.db"):
        await seen.begin(["a"])
    seen._connection.execute("PRAGMA query_only = OFF")
    assert await seen.begin(["a", "b"]) == [Mark.NEW, Mark.NEW]
    await seen.end("a")
    await seen.undo("b")
    assert await seen.begin(["a", "b", "b"]) == [Mark.DONE, Mark.NEW, Mark.BEGUN]
    await seen.aclose()
