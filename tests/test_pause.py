"""A pause lets one probe through at a time, and only fresh evidence lengthens or ends it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seslimit._law.pause import Pause


@pytest.fixture
def pause() -> Pause:
    """A pause that began at 100 s, by a message that was admitted at 99 s."""
    pause = Pause(10.0, 60.0)
    pause.begin(100.0, admitted_at=99.0)
    return pause


def test_without_a_pause_everything_is_open() -> None:
    """From the beginning of time."""
    assert (Pause(10.0, 60.0).active, Pause(10.0, 60.0).opens_at()) == (False, 0.0)


def test_a_refusal_closes_for_the_first_wait(pause: Pause) -> None:
    """The probe may go when that is over."""
    assert (pause.active, pause.began_at, pause.opens_at()) == (True, 100.0, 110.0)


def test_nobody_goes_while_a_probe_is_out(pause: Pause) -> None:
    """One message finds out, not a crowd; one that is never settled is given up after the longest wait."""
    pause.probe(110.0)
    assert pause.opens_at() == 170.0


def test_a_refusal_of_what_was_under_way_tells_nothing_new(pause: Pause) -> None:
    """However many were in flight, they make one pause with one wait."""
    for admitted_at in (97.0, 98.0, 99.9):
        pause.begin(101.0, admitted_at=admitted_at)
    assert (pause.failures, pause.opens_at()) == (1, 110.0)


def test_a_refused_probe_doubles_the_wait_up_to_the_longest(pause: Pause) -> None:
    """10, 20, 40, 60, 60 seconds."""
    now, gaps = 100.0, [pause.opens_at() - 100.0]
    for _ in range(4):
        admitted_at = pause.opens_at()
        pause.probe(admitted_at)
        now = admitted_at + 0.1
        pause.begin(now, admitted_at=admitted_at)
        gaps.append(pause.opens_at() - now)
    assert gaps == pytest.approx([10.0, 20.0, 40.0, 60.0, 60.0])


def test_what_the_service_asks_for_is_waited_at_least(pause: Pause) -> None:
    """A longer wait of its own stays."""
    pause.probe(110.0)
    pause.begin(111.0, admitted_at=110.0, at_least=45.0)
    assert pause.opens_at() == 156.0
    pause.probe(156.0)
    pause.begin(157.0, admitted_at=156.0, at_least=1.0)
    assert pause.opens_at() == 197.0


def test_an_accepted_probe_ends_the_pause(pause: Pause) -> None:
    """And the next pause begins with the first wait again."""
    pause.probe(110.0)
    assert pause.end(admitted_at=110.0)
    assert (pause.active, pause.opens_at(), pause.failures) == (False, 0.0, 0)
    pause.begin(200.0, admitted_at=199.0)
    assert pause.opens_at() == 210.0


def test_an_acceptance_of_what_was_under_way_does_not_end_it(pause: Pause) -> None:
    """It was decided before the pause began."""
    assert not pause.end(admitted_at=99.5)
    assert pause.active


def test_an_acceptance_from_before_the_last_refused_probe_does_not_end_it(pause: Pause) -> None:
    """The refusal is newer."""
    pause.probe(110.0)
    pause.begin(115.0, admitted_at=110.0)
    assert not pause.end(admitted_at=112.0)


def test_a_probe_that_told_nothing_lets_the_next_one_go(pause: Pause) -> None:
    """It was cancelled, or failed for another reason: nobody would wait for it for ever."""
    pause.probe(110.0)
    pause.told_nothing(112.0, admitted_at=110.0)
    assert pause.opens_at() == 112.0


def test_another_message_that_told_nothing_leaves_the_probe_out(pause: Pause) -> None:
    """Only the probe is waited for."""
    pause.probe(110.0)
    pause.told_nothing(112.0, admitted_at=99.5)
    assert pause.opens_at() == 170.0


def test_there_may_be_reason_to_look_at_once(pause: Pause) -> None:
    """Fresh figures, for example."""
    pause.look_now(103.0)
    assert pause.opens_at() == 103.0


def test_a_reason_to_look_begins_no_pause() -> None:
    """Where there is none."""
    idle = Pause(10.0, 60.0)
    idle.look_now(5.0)
    assert (idle.active, idle.opens_at()) == (False, 0.0)


EVENTS = st.lists(st.sampled_from(["refused", "accepted", "nothing", "stale", "look"]), max_size=30)


@given(EVENTS)
def test_a_pause_always_opens_again(events: list[str]) -> None:
    """Whatever becomes of the probes, the next message may go within the longest wait."""
    pause, now = Pause(10.0, 60.0), 0.0
    pause.begin(now, admitted_at=now)
    for event in events:
        now = max(now, pause.opens_at())
        admitted_at = now
        if pause.active:
            pause.probe(admitted_at)
        now += 0.5
        match event:
            case "refused":
                pause.begin(now, admitted_at=admitted_at)
            case "accepted":
                pause.end(admitted_at=admitted_at)
            case "stale":
                pause.begin(now, admitted_at=-1.0)
            case "look":
                pause.look_now(now)
        pause.told_nothing(now, admitted_at=admitted_at)
        assert pause.opens_at() <= now + 60.0
