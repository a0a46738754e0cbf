"""What is remembered, so that nothing is sent twice, and what is not, so that nobody is left out."""

from __future__ import annotations

import attrs
import pytest

from seslimit.companion.listmonk._memory import OTHERS, PAUSE, Memory, Runs, key_of
from seslimit.companion.listmonk._post import Attachment, Campaign, Post, Recipient

pytestmark = pytest.mark.once

POST = Post(
    subject="Notes",
    from_name="",
    from_address="news@example.net",
    content_type="html",
    body="<p>Hello</p>",
    recipient=Recipient("r1", "ada@example.net", "Ada"),
    campaign=Campaign("c1", "October", ()),
    attachments=(Attachment("a.txt", "text/plain", "", b"x"),),
)


def _posts(runs: Runs, count: int, at: float = 0.0) -> list[bool]:
    running = [runs.arrived(at, "c", f"s{number}") for number in range(count)]
    for _ in range(count):
        runs.answered(at, "c")
    return running


def test_a_message_of_a_run_counts_after_enough_others() -> None:
    """The first ones could be test sends."""
    assert _posts(Runs(), OTHERS + 5) == [False] * OTHERS + [True] * 5


def test_the_same_subscriber_again_is_no_other() -> None:
    """Ever so many test sends to oneself are not a run."""
    runs = Runs()
    assert not any(runs.arrived(0.0, "c", "me") for _ in range(10 * OTHERS))


def test_a_pause_ends_a_run() -> None:
    """A test send after the campaign is not one of it."""
    runs = Runs()
    assert _posts(runs, OTHERS + 1)[-1]
    assert runs.arrived(PAUSE, "c", "new")
    runs.answered(PAUSE, "c")
    assert not runs.arrived(2 * PAUSE + 0.1, "c", "newer")


def test_a_message_that_is_held_keeps_its_run_alive() -> None:
    """At a low rate, all workers wait, and nothing is posted meanwhile."""
    runs = Runs()
    _posts(runs, OTHERS + 1)
    assert runs.arrived(1.0, "c", "held")
    assert runs.arrived(1.0 + 5 * PAUSE, "c", "next")


def test_campaigns_do_not_count_for_one_another() -> None:
    """Each has a run of its own."""
    runs = Runs()
    _posts(runs, OTHERS + 1)
    assert not runs.arrived(0.0, "other", "s0")


def test_memory_is_bounded() -> None:
    """The oldest are forgotten, half of them at a time."""
    memory = Memory(most=10)
    for number in range(1000):
        memory.keep(b"%d" % number, f"id{number}")
        assert len(memory) <= 10
    assert memory.message_id(b"999") == "id999"
    assert [memory.message_id(b"%d" % number) for number in range(995, 1000)] == [f"id{n}" for n in range(995, 1000)]
    assert memory.message_id(b"900") is None


@pytest.mark.parametrize(
    "other",
    [
        attrs.evolve(POST, body="<p>Hello!</p>"),
        attrs.evolve(POST, subject="Notes!"),
        attrs.evolve(POST, from_address="desk@example.net"),
        attrs.evolve(POST, recipient=Recipient("r2", "ada@example.net", "Ada")),
        attrs.evolve(POST, recipient=Recipient("r1", "bo@example.net", "Ada")),
        attrs.evolve(POST, campaign=Campaign("c2", "October", ())),
        attrs.evolve(POST, attachments=()),
        attrs.evolve(POST, subject="", body="Notes<p>Hello</p>"),
    ],
)
def test_another_content_or_person_is_another_message(other: Post) -> None:
    """What was not sent like this is sent."""
    assert key_of(other) != key_of(POST)


def test_the_same_message_is_the_same() -> None:
    """Whatever its name and its attributes are by now."""
    assert key_of(attrs.evolve(POST, recipient=Recipient("r1", "ada@example.net", "Ada L."))) == key_of(POST)


def test_a_transactional_message_has_no_key() -> None:
    """Two alike are two."""
    assert key_of(attrs.evolve(POST, campaign=None)) is None
