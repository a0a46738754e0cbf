"""
Who goes next, and in which order evidence of many processes is heard: `_pacing.lanes` and `_law.leading`, by hand.

How lanes behave with a limiter is in `test_lanes`; what is right is in the modules' docstrings.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from seslimit import ConfigurationError
from seslimit._law.leading import SETTLES, Leadership
from seslimit._law.rate import AdaptiveRate
from seslimit._pacing.lanes import ANYWHERE, MOST_DUE, RESERVE, Lane, Places, Queue, Seat


def seat(queue: Queue, lane: str = "", *, front: bool = False, places: Places = ANYWHERE) -> Seat:
    """One that wants to go, and can be told that its turn has come."""
    turn = asyncio.get_running_loop().create_future()
    return Seat(next(queue.numbers), queue.lanes[lane], front, places, turn)


def waiting(queue: Queue, lane: str = "", *, front: bool = False, places: Places = ANYWHERE) -> Seat:
    """The same, and it waits."""
    one = seat(queue, lane, front=front, places=places)
    queue.add(one)
    return one


def order(queue: Queue) -> list[int]:
    """The numbers of those that wait, as their turns come."""
    numbers = []
    while queue.waiting:
        queue.pass_on()
        if queue.head is None:
            break
        numbers.append(queue.head.number)
    return numbers


def head(queue: Queue) -> Seat | None:
    """Who has the turn."""
    return queue.head


class TestQueue:
    """Those that wait."""

    async def test_first_come_first_served(self) -> None:
        """And nobody has the turn when all are gone."""
        queue = Queue()
        seats = [waiting(queue) for _ in range(3)]
        assert (queue.waiting, queue.ready()) == (3, 3)
        assert order(queue) == [0, 1, 2]
        assert all(one.turn is not None and one.turn.done() for one in seats)
        queue.pass_on()
        assert (queue.head, queue.waiting, queue.ready()) == (None, 0, 0)

    async def test_the_higher_priority_goes_first_and_then_who_had_a_turn_before(self) -> None:
        """In a lane; the order in which they came decides between equals."""
        queue = Queue()
        queue.lane("urgent", 1.0, None)
        for lane, front in (("", False), ("", True), ("urgent", False), ("urgent", True), ("", True)):
            waiting(queue, lane, front=front)
        assert order(queue) == [3, 2, 1, 4, 0]

    async def test_a_lane_whose_share_is_due_goes_before_a_higher_one(self) -> None:
        """From one recipient on."""
        queue = Queue()
        queue.lane("urgent", 1.0, None)
        waiting(queue)
        waiting(queue, "urgent")
        queue.lanes[""].due = 0.9
        assert queue.next_lane() is queue.lanes["urgent"]
        queue.lanes[""].due = 1.0
        assert queue.next_lane() is queue.lanes[""]

    async def test_who_has_no_place_is_in_nobodys_way(self) -> None:
        """It is not ready, and gets its turn when a place is given back."""
        queue = Queue()
        none, one = Places(0, queue), Places(1, queue)
        blocked = [waiting(queue, places=none) for _ in range(2)]
        for _ in range(2):
            waiting(queue, places=one)
        assert (queue.ready(), queue.waiting) == (1, 4)
        queue.pass_on()
        assert queue.head is not None
        assert queue.head.number == 2
        none.release()
        assert queue.head.number == 2  # somebody has the turn: it passes it on
        queue.head = None
        none.release()
        assert head(queue) is blocked[0]
        assert none.free == 2

    async def test_where_nobody_has_a_place_nobody_has_the_turn(self) -> None:
        """And there is no next lane."""
        queue = Queue()
        places = Places(0, queue)
        waiting(queue, places=places)
        queue.pass_on()
        assert (queue.head, queue.next_lane(), queue.waiting) == (None, None, 1)
        Places(1).release()
        other = Places(1, queue)
        other.release()
        assert (queue.head, other.free) == (None, 2)

    async def test_who_gave_up_is_passed_over(self) -> None:
        """Removed, or cancelled in this very moment; who is not there any more is no fault."""
        queue = Queue()
        gone, cancelled, last = (waiting(queue) for _ in range(3))
        queue.remove(gone)
        queue.remove(gone)
        assert queue.waiting == 2
        assert cancelled.turn is not None
        cancelled.turn.cancel()
        queue.pass_on()
        assert queue.head is last
        assert queue.waiting == 0

    async def test_who_steps_aside_keeps_its_place_in_the_line(self) -> None:
        """Before all that came later."""
        queue = Queue()
        first = seat(queue)
        waiting(queue)
        queue.add(first, again=True)
        assert order(queue) == [0, 1]

    @pytest.mark.parametrize(
        ("lane", "front", "first"),
        [("", False, False), ("", True, True), ("urgent", False, True), ("low", False, False)],
    )
    async def test_whether_a_newcomer_goes_before_all_that_wait(self, lane: str, front: bool, first: bool) -> None:
        """Only with a place, and one of the same kind only if it came before."""
        queue = Queue()
        queue.lane("urgent", 1.0, None)
        queue.lane("low", -1.0, None)
        early = seat(queue)
        waiting(queue)
        assert queue.goes_first(seat(queue, lane, front=front)) is first
        assert not queue.goes_first(seat(queue, lane, front=front, places=Places(0)))
        assert queue.goes_first(early)

    async def test_before_those_without_a_place_anybody_goes_first(self) -> None:
        """They do not wait for a turn."""
        queue = Queue()
        waiting(queue, places=Places(0, queue))
        assert queue.goes_first(seat(queue))
        queue.clear()
        assert (queue.waiting, queue.head, queue.goes_first(seat(queue))) == (0, None, True)

    async def test_lanes_that_wait_earn_their_share_of_what_is_let_through(self) -> None:
        """Who goes pays for all but its own share; who does not wait saves up nothing, and keeps its debt."""
        queue = Queue()
        for name, due in (("goes", 0.0), ("waits", 1.0), ("rich", MOST_DUE - 0.1), ("away", 3.0), ("owing", -2.0)):
            queue.lane(name, 0.0, 0.25).due = due
        for name in ("waits", "rich"):
            waiting(queue, name)
        queue.went(queue.lanes["goes"], 4.0)
        owed = {name: lane.due for name, lane in queue.lanes.items() if name}
        assert owed == {"goes": -3.0, "waits": 2.0, "rich": MOST_DUE, "away": 0.0, "owing": -2.0}
        queue.went(queue.lanes["goes"], 4.0)
        assert queue.lanes["goes"].due == -4.0  # no debt above what it has just sent

    def test_a_lane_is_made_and_changed_by_what_is_told(self) -> None:
        """What is not told stays."""
        queue = Queue()
        assert queue.lane("a", None, None) is queue.lane("a", 2.0, None)
        assert (queue.lanes["a"].priority, queue.lanes["a"].reserve) == (2.0, RESERVE)
        queue.lane("a", None, 0.5)
        queue.lane("b", -1.0, 1.0)
        assert (queue.lanes["a"].priority, queue.lanes["a"].reserve) == (2.0, 0.5)
        assert (queue.lanes["b"].priority, queue.lanes["b"].reserve) == (-1.0, 1.0)
        assert queue.find("a") is queue.lanes["a"]
        assert queue.find(None) is queue.find("") is queue.lanes[""]
        for told in ((math.nan, None), (None, 1.1), (None, -0.1)):
            with pytest.raises(ConfigurationError):
                queue.lane("c", *told)
        with pytest.raises(ConfigurationError, match=r"there is no lane 'd': make it first, by limiter\.lane\('d'\)"):
            queue.find("d")
        assert Lane("e").due == 0.0


class Told(AdaptiveRate):
    """A law that keeps what it was told."""

    def __init__(self) -> None:
        super().__init__(100.0)
        self.told: list[tuple[Any, ...]] = []

    def admitted(self, now: float, cost: float, *, waited: bool) -> None:
        """Keep it."""
        self.told.append(("a", now, cost, waited))

    def accepted(self, now: float, cost: float, *, admitted_at: float, decided_at: float) -> None:
        """Keep it."""
        self.told.append(("+", now, cost, admitted_at, decided_at))

    def throttled(self, now: float, cost: float, *, admitted_at: float, decided_at: float, pause: float = 0.0) -> None:
        """Keep it."""
        self.told.append(("-", now, cost, admitted_at, decided_at, pause))

    def cap(self, now: float, max_send_rate: float | None) -> None:
        """Keep it."""
        self.told.append(("cap", now, max_send_rate))


def ours(moment: float) -> float:
    """Our clock is ten seconds behind the ledger's, which counts in thousandths here."""
    return moment / 1000.0 - 10.0


class TestLeadership:
    """One law, and everybody's evidence."""

    def test_outcomes_are_heard_in_the_order_of_the_services_decisions(self) -> None:
        """Of all processes together, on the leader's clock; what the log has of admissions is heard as it stands."""
        law = Told()
        log = "a 2 1;+ 2 11000 11300\n- 1 11100 11200 7\na 3 0"
        assert Leadership(1, law).hear(5.0, log, ours)
        assert law.told == [
            ("a", 5.0, 2.0, True),
            ("a", 5.0, 3.0, False),
            ("-", 5.0, 1.0, pytest.approx(1.1), pytest.approx(1.2), 7.0),
            ("+", 5.0, 2.0, pytest.approx(1.0), pytest.approx(1.3)),
        ]

    def test_nothing_told_is_no_throttle(self) -> None:
        """Nor are acceptances."""
        law = Told()
        leading = Leadership(1, law)
        assert not leading.hear(5.0, "", ours)
        assert not leading.hear(5.0, "+ 1 11000 11300", ours)
        assert law.told == [("+", 5.0, 1.0, pytest.approx(1.0), pytest.approx(1.3))]

    def test_nothing_was_decided_later_than_now(self) -> None:
        """Two clocks differ by a little."""
        law = Told()
        Leadership(1, law).hear(5.0, "+ 1 15100 15300", ours)
        assert law.told == [("+", 5.0, 1.0, 5.0, 5.0)]

    def test_after_a_throttle_the_law_hears_of_what_went_before_it_first(self) -> None:
        """What went later is kept back until all have told; its own throttles and older acceptances are not."""
        law = Told()
        leading = Leadership(1, law)
        assert leading.hear(5.0, "- 1 14900 14950 0", ours)
        law.told.clear()
        assert not leading.hear(5.1, "+ 1 15010 15020\n- 2 15050 15060 0\n+ 3 14990 15000", ours)
        assert [entry[:3] for entry in law.told] == [("+", 5.1, 3.0)]
        law.told.clear()
        assert leading.hear(5.1, "- 4 14980 15090 0", ours)
        assert [entry[:3] for entry in law.told] == [("-", 5.1, 4.0)]
        law.told.clear()
        assert not leading.hear(5.0 + SETTLES - 0.01, "", ours)
        assert law.told == []
        assert leading.hear(5.0 + SETTLES, "", ours)
        assert [entry[:3] for entry in law.told] == [("+", 5.15, 1.0), ("-", 5.15, 2.0)]
        law.told.clear()
        assert not leading.hear(5.2, "+ 5 15160 15170", ours)  # the second throttle has begun another congestion
        assert law.told == []

    def test_a_cap_is_told_once(self) -> None:
        """It is news when it is another."""
        law = Told()
        leading = Leadership(1, law)
        assert not leading.allowed(1.0, 0.0)
        assert leading.allowed(2.0, 14.0)
        assert not leading.allowed(3.0, 14.0)
        assert leading.allowed(4.0, 20.0)
        assert law.told == [("cap", 2.0, 14.0), ("cap", 4.0, 20.0)]
