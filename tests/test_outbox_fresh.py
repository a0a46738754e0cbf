"""What a process has put into an outbox and takes out again is not read again, unless somebody has changed it."""

from __future__ import annotations

from pathlib import Path

import pytest

from seslimit import Message, Outcome
from seslimit.outbox import Outbox
from seslimit.outbox._adding import SMALL, Fresh
from seslimit.outbox._fresh import BESIDE, MOST_BYTES, FreshMessages
from tests.outbox_engines import BEGIN

pytestmark = pytest.mark.once


def message(number: int) -> Message:
    """One of several."""
    return Message("s@example.org", ["r@example.com"], b"\r\n%d" % number, f"m{number}")


async def test_what_was_added_here_is_taken_out_as_it_was_put_in(tmp_path: Path) -> None:
    """The very object, in order, and only once."""
    given = [message(number) for number in range(5)]
    async with Outbox(tmp_path / "mail.db", clock=lambda: BEGIN) as outbox:
        await outbox.add(given[:3])
        await outbox.add(given[3:], priority=1.0)
        claimed = await outbox.claim(10)
        assert [id(each.message) for each in claimed] == [id(each) for each in (*given[3:], *given[:3])]
        assert [each.history.first_at for each in claimed] == [BEGIN] * 5
        assert await outbox.claim(10) == []


async def test_what_another_has_tried_meanwhile_is_read_again(tmp_path: Path) -> None:
    """What is remembered here is what was added; what is true is in the file."""
    async with Outbox(tmp_path / "mail.db") as here, Outbox(tmp_path / "mail.db") as there:
        await here.add([message(1), message(2)])
        (other,) = await there.claim(1)
        await there.begins(other)
        await there.postpones(other, other.history.after(Outcome.TRANSIENT, BEGIN, "451 later"), 0.0)
        first, second = await here.claim(2)
        assert (first.history.attempts, first.history.outcome) == (1, Outcome.TRANSIENT)
        assert (second.history.attempts, second.message) == (0, message(2))


async def test_what_another_took_out_is_not_given_again(tmp_path: Path) -> None:
    """A message that is remembered and gone from the queue is left where it is."""
    async with Outbox(tmp_path / "mail.db") as here, Outbox(tmp_path / "mail.db") as there:
        await here.add([message(1), message(2)])
        await there.claim(1)
        assert [each.message for each in await here.claim(2)] == [message(2)]


async def test_another_process_reads_what_was_added_here(tmp_path: Path) -> None:
    """As it was put in."""
    async with Outbox(tmp_path / "mail.db") as here, Outbox(tmp_path / "mail.db") as there:
        await here.add([message(number) for number in range(700)])
        claimed = [*await there.claim(600), *await there.claim(600)]
        assert [each.message for each in claimed] == [message(number) for number in range(700)]


async def test_small_and_large_contents_are_put_in_together(tmp_path: Path) -> None:
    """Each message has its own, in the order of adding, however they went into the file."""
    given = [
        Message("s@example.org", ["r@example.com"], b"\r\n" + bytes([97 + number]) * size, number)
        for number, size in enumerate([3, 2 * SMALL, 3, SMALL, 5, 3 * SMALL, 7])
    ]
    async with Outbox(tmp_path / "mail.db") as here, Outbox(tmp_path / "mail.db") as there:
        assert await here.add(given) == 7
        assert [each.message for each in await there.claim(10)] == given


async def test_what_another_has_added_is_as_it_was(tmp_path: Path) -> None:
    """To the last digit of its moment, in the order of priorities, with its lane and key; read from the file."""
    moments, priorities = [BEGIN + 1 / 3, 1.1e9 + 1e-6, 1764280000.1234567], [0.1, 1 / 3, 0.1 + 2**-55]
    given = [
        Message("s@example.org", ["r@example.com", "q@example.com"], b"\r\nx", ("a\u2028'\",", number), lane=lane)
        for number, lane in enumerate([None, "campaign", "x"])
    ]
    moment = iter(moments)
    async with (
        Outbox(tmp_path / "mail.db", clock=lambda: at) as here,
        Outbox(tmp_path / "mail.db") as there,
    ):
        for each, priority in zip(given, priorities, strict=True):
            at = next(moment)
            await here.add([each], priority=priority)
        claimed = await there.claim(10)
    order = sorted(range(3), key=lambda number: -priorities[number])
    assert [each.message for each in claimed] == [given[number] for number in order]
    assert [each.message.lane for each in claimed] == [given[number].lane for number in order]
    assert [each.history.first_at for each in claimed] == [moments[number] for number in order]


async def test_one_that_was_tried_is_read_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    """Also where those beside it are as they were added."""
    async with Outbox(tmp_path / "mail.db") as here:
        await here.add([message(number) for number in range(3)])
        claimed = await here.claim(3)
        history = claimed[1].history.after(Outcome.TRANSIENT, BEGIN, "450 later")
        await here.begins(claimed[1])
        await here.postpones(claimed[1], history, 0.0)
    async with Outbox(tmp_path / "mail.db") as there:
        again = await there.claim(3)
    assert [each.message for each in again] == [message(number) for number in range(3)]
    assert [each.history.attempts for each in again] == [0, 1, 0]
    assert again[1].history.recent == history.recent


def fresh(number: int, size: int = 0) -> Fresh:
    """One that was added."""
    content = b"\r\n" + b"x" * (size - 2)
    return Fresh(number, str(number), Message("s@example.org", ["r@example.com"], content), BEGIN, 0.0, len(content))


def test_memory_is_bounded() -> None:
    """Those that were added first are kept, as far as there is room."""
    kept, size = FreshMessages(), MOST_BYTES // 4 - BESIDE
    kept.keep(fresh(number, size) for number in range(1, 8))
    assert list(kept) == [1, 2, 3, 4]


def test_what_was_taken_out_makes_room() -> None:
    """Up to the last one that was claimed, also where others had claimed some of them."""
    kept, size = FreshMessages(), MOST_BYTES // 2 - BESIDE
    kept.keep([fresh(1, size), fresh(2, size)])
    kept.forget(2)
    kept.keep([fresh(3, size), fresh(4, size), fresh(5, size)])
    assert list(kept) == [3, 4]
