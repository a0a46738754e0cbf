"""What each process may go on with alone: the sum is never more than the whole, whatever is lost on the way."""

from __future__ import annotations

from random import Random

import attrs
import pytest

from seslimit._law.alone import Alone, Reserve
from seslimit._law.ledger import Ledger
from seslimit._law.parts import ALONE, KEEPS, RETURNS, SECOND, SILENT, Parts
from seslimit._model.allowance import Grant, Request

RATE = 100.0


def asking(member: str, part: float = 0.0, **told: object) -> Request:
    """A request of a process that sends, at a known rate."""
    return attrs.evolve(Request(member=member, want=1, rate=RATE, part=part), **told)  # type: ignore[arg-type]


def pace(grant: Grant) -> float:
    """Recipients/s at which slots are given away."""
    return SECOND / grant.slot


def asked_until(ledger: Ledger, moment: float) -> Grant:
    """What a process hears at a moment, up to which it was heard all the time."""
    now = ledger.seen
    while (now := now + 0.1 * SECOND) < moment:
        ledger.lease(now, asking("a", 0.5))
    return ledger.lease(moment, asking("a", 0.5))


@pytest.mark.parametrize("seed", range(20))
def test_the_parts_that_are_known_are_never_more_than_the_whole(seed: int) -> None:
    """Processes come, end, fall idle and lose answers: what they believe of their parts is bounded at every moment."""
    rng, parts, now = Random(seed), Parts(), 0.0
    known: dict[str, float] = {}
    for _ in range(400):
        now += rng.uniform(0.0, 0.3) * SECOND
        member = rng.choice("abcdefgh")
        sends = rng.random() < 0.8
        if not sends:  # it counts on nothing from the moment in which it says so
            known[member] = 0.0
        told = parts.keep(now, asking(member, known.get(member, 0.0), sends=sends), away=False)
        if rng.random() < 0.7:  # the answer comes
            known[member] = told
        for name in [name for name in known if name not in parts.of]:
            known[name] = 0.0  # not heard for as long as it is kept: it counts on nothing more
        assert sum(known.values()) <= 1.0 + 1e-9


def test_the_part_of_one_that_is_not_heard_is_taken_off_the_pace_of_the_others() -> None:
    """It may be going on alone: together they are not above the rate."""
    ledger = Ledger()
    for _ in range(2):
        for member in "ab":
            part = ledger.parts.of.get(member, 0.0)
            ledger.lease(SECOND, asking(member, part if part < 1.0 else 0.5))
    moments = (SILENT - 1.0, SILENT, KEEPS - 1.0, KEEPS)
    heard, silent, kept, over = (asked_until(ledger, SECOND + moment) for moment in moments)
    assert [pace(grant) for grant in (heard, silent, kept, over)] == pytest.approx([100.0, 55.0, 55.0, 100.0])
    assert [grant.silent for grant in (heard, silent, over)] == ["", "b", ""]


def test_one_that_says_that_it_has_nothing_to_send_keeps_nothing() -> None:
    """An idle process costs the others nothing."""
    ledger = Ledger()
    ledger.lease(SECOND, asking("a"))
    ledger.lease(SECOND, asking("b"))
    left = ledger.lease(SECOND, asking("a", want=0, sends=False))
    alone = ledger.lease(2 * SECOND, asking("b"))
    assert (left.part, alone.part, pace(alone)) == (0.0, 1.0, 100.0)


def test_one_that_is_known_to_have_ended_keeps_nothing() -> None:
    """A process beside it has looked: a crash costs no more than that takes."""
    ledger = Ledger()
    ledger.lease(SECOND, asking("a"))
    ledger.lease(SECOND, asking("b"))
    silent = ledger.lease(2 * SECOND, asking("b"))
    told = ledger.lease(2 * SECOND, asking("b", gone="a"))
    assert (silent.silent, round(pace(silent)), told.silent, pace(told), told.part) == ("a", 10, "", 100.0, 1.0)


def test_an_emptied_ledger_keeps_for_the_others_what_it_has_forgotten() -> None:
    """Redis restarted with nothing: who is back first says what its part was, and the others are still alone."""
    ledger = Ledger()
    first = ledger.lease(SECOND, asking("a", 0.25))
    second = ledger.lease(SECOND, asking("b", 0.25))
    all_back = [ledger.lease(SECOND, asking(member, 0.25)) for member in "cd"][-1]
    assert [round(pace(each), 3) for each in (first, second, all_back)] == [32.5, 55.0, 100.0]
    assert [each.part for each in (first, second, all_back)] == [0.25, 0.25, 0.25]


def test_who_does_not_come_back_to_an_emptied_ledger_is_not_waited_for_long() -> None:
    """For as long as all need who were cut off together."""
    ledger = Ledger()
    ledger.lease(SECOND, asking("a", 0.25))
    waited = [asked_until(ledger, SECOND + moment) for moment in (RETURNS - 1.0, RETURNS)]
    assert [pace(grant) for grant in waited] == pytest.approx([32.5, 100.0])


def test_a_ledger_that_was_away_keeps_the_parts_however_old_they_are() -> None:
    """Nobody asked for a minute: it was Redis that was not there, and all of them are alone."""
    ledger = Ledger()
    for member in "abab":
        ledger.lease(SECOND, asking(member, 0.5))
    back = ledger.lease(60 * SECOND, asking("a", 0.5))
    later = [asked_until(ledger, 60 * SECOND + moment) for moment in (RETURNS - 1.0, RETURNS)]
    assert [pace(grant) for grant in (back, *later)] == pytest.approx([55.0, 55.0, 100.0])


def test_one_that_is_alone_goes_at_its_part_for_as_long_as_that_is_kept() -> None:
    """Then it begins again at 1/s: the others have its part."""
    alone = Alone(10.2, 0.0, Reserve(0.25, 100.0, 4, heard=10.0), None)
    ends = 10.0 + KEEPS / SECOND
    assert alone.begins == 10.2
    assert alone.rate(ends - 0.001) == ALONE * 25.0
    assert (alone.part(ends - 0.001, 0.25), alone.part(ends, 0.25)) == (0.25, 0.0)
    assert alone.steady_until(11.0) == ends
    assert alone.rate(ends) == 1.0


def test_one_that_has_no_part_finds_out_what_is_left() -> None:
    """It had nothing to send when it was last heard, and the others go on with all."""
    alone = Alone(0.2, 0.0, Reserve(0.0, 100.0, 4, heard=0.0), None)
    for step in range(2000):
        now = 0.2 + step * 0.02
        alone.admitted(now, 1.0, waited=True)
        alone.law.accepted(now + 0.01, 1.0, admitted_at=now, decided_at=now)
    assert alone.rate(0.2) <= alone.rate(41.0) == pytest.approx(ALONE * 25.0)


def test_what_went_alone_is_a_debt_when_the_ledger_is_back() -> None:
    """A message of fifty recipients an instant before: the others' slots move by what is not paid."""
    alone = Alone(0.0, 0.0, Reserve(0.25, 100.0, 4, heard=0.0), None)
    alone.admitted(1.0, 50.0, waited=True)
    assert alone.owed(1.0) == pytest.approx(50.0)
    assert alone.owed(2.0) == pytest.approx(50.0 - ALONE * 25.0)
    assert alone.owed(9.0) == 0.0


def test_what_was_owed_before_is_paid_for_alone() -> None:
    """Fifty recipients that went with one slot, and then there was no answer."""
    assert Alone(0.2, 45.0, Reserve(0.25, 100.0, 4, heard=0.0), None).begins == pytest.approx(0.2 + 45.0 / 22.5)
