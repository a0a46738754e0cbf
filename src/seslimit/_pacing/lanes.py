"""
Who goes next: lanes, and the order in which those that wait get their turn.

Decides in synchronous code, so that a place in flight and a turn are given in one decision: whoever has no place waits
without standing in anybody's way. It must not know the rate, nor what is sent.

How it is decided. A lane whose share is due goes first, then the lane with the highest priority; in a lane, those that
had their turn before, then first come, first served. A lane that waits earns its share of whatever is let through, and
pays with what is let through of its own, so that no lane starves.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import deque

import attrs

from .._model.errors import ConfigurationError
from .._model.options import number, shown

RESERVE = 0.05
"""Share of the rate that a lane keeps when others come before it, unless it was told otherwise."""


MOST_DUE = 50.0
"""Recipients that a lane may save up: one message of the largest kind."""


@attrs.define(eq=False)
class Lane:
    """
    Messages that go before or after those of other lanes.

    Args:
        name: what it is called.
        priority: the lane with the higher one goes first.
        reserve: share of the rate, from 0 to 1, that it gets while it waits, whatever goes before it.
    """

    name: str
    priority: float = 0.0
    reserve: float = RESERVE
    due: float = attrs.field(default=0.0, init=False)
    """Recipients that it may let through before lanes of a higher priority."""


class Places:
    """
    Room for attempts in flight.

    Args:
        count: attempts at the same time; infinity for no bound.
        queue: those who wait for it; None where nobody does.
    """

    __slots__ = ("_queue", "free")

    def __init__(self, count: float, queue: Queue | None = None) -> None:
        self.free = count
        self._queue = queue

    def release(self) -> None:
        """Give a place back; one may have waited for nothing else."""
        self.free += 1
        queue = self._queue
        if queue is not None and queue.waiting and queue.head is None:
            queue.pass_on()


ANYWHERE = Places(math.inf)
"""For whoever needs no place, or has one."""


@attrs.define(eq=False)
class Seat:
    """
    One that wants to go.

    Args:
        number: orders those that came.
        lane: where it waits.
        front: whether it had its turn before.
        places: where it needs a place.
    """

    number: int
    lane: Lane
    front: bool
    places: Places
    turn: asyncio.Future[None] | None = None


class Queue:
    """Those that wait, and whose turn it is."""

    def __init__(self) -> None:
        self.lanes: dict[str, Lane] = {"": Lane("")}
        self._ranks: dict[tuple[Lane, bool, Places], deque[Seat]] = {}
        self.numbers = itertools.count()
        """Of those that come, in their order."""
        self.waiting = 0
        """How many of them wait."""
        self.head: Seat | None = None
        """Whoever has the turn, and pays for what went before."""

    def ready(self) -> int:
        """How many of them have a place."""
        return int(sum(min(len(rank), places.free) for (*_, places), rank in self._ranks.items()))

    def next_lane(self) -> Lane | None:
        """The lane of the one whose turn is next; None where nobody has a place."""
        best = self._best()
        return None if best is None else best.lane

    def lane(self, name: str, priority: float | None, reserve: float | None) -> Lane:
        """A lane, made or changed as it is told; see `Limiter.lane`."""
        lane = self.lanes.setdefault(name, Lane(name))
        if priority is not None:
            lane.priority = number("priority", priority, "a number", low=-math.inf)
        if reserve is not None:
            lane.reserve = number("reserve", reserve, "a share of the rate", low=0, high=1)
        return lane

    def find(self, name: str | None) -> Lane:
        """
        The lane of that name.

        Raises:
            ConfigurationError: there is none.
        """
        lane = self.lanes.get(name or "")
        if lane is None:
            raise ConfigurationError(f"there is no lane {shown(name)}: make it first, by limiter.lane({shown(name)}).")
        return lane

    def add(self, seat: Seat, *, again: bool = False) -> None:
        """Let one wait; `again` for one that steps aside, and keeps its place in the line."""
        rank = self._ranks.setdefault((seat.lane, seat.front, seat.places), deque())
        self.waiting += 1
        if again:
            rank.appendleft(seat)
        else:
            rank.append(seat)

    def remove(self, seat: Seat) -> None:
        """One of them gives up."""
        rank = self._ranks.get((seat.lane, seat.front, seat.places))
        if rank is not None and seat in rank:
            rank.remove(seat)
            self._left(seat)

    def clear(self) -> None:
        """Nobody waits any more; the lanes stay."""
        self._ranks.clear()
        self.waiting = 0
        self.head = None

    def goes_first(self, seat: Seat) -> bool:
        """Whether it is this one's turn before all that wait."""
        if seat.places.free <= 0:
            return False
        best = self._best()
        if best is None:
            return True
        if best.lane is seat.lane and best.front is seat.front:
            return seat.number < best.number
        return _key(seat) < _key(best)

    def pass_on(self) -> None:
        """The turn goes to the next; nobody has it where nobody can go."""
        self.head = None
        while self.waiting and (seat := self._best()):
            self._ranks[seat.lane, seat.front, seat.places].popleft()
            self._left(seat)
            if seat.turn is not None and not seat.turn.done():
                seat.turn.set_result(None)
                self.head = seat
                return

    def went(self, lane: Lane, cost: float) -> None:
        """A message was let through: the lanes that wait have earned their share of it."""
        waiting = {rank[0] for rank in self._ranks}
        for each in self.lanes.values():
            if each is lane:
                each.due = max(-cost, each.due - (1.0 - each.reserve) * cost)
            elif each in waiting:
                each.due = min(each.due + each.reserve * cost, MOST_DUE)
            else:
                each.due = min(each.due, 0.0)

    def _left(self, seat: Seat) -> None:
        self.waiting -= 1
        key = seat.lane, seat.front, seat.places
        if not self._ranks[key]:
            del self._ranks[key]

    def _best(self) -> Seat | None:
        best = None
        for rank in self._ranks.values():
            seat = rank[0]
            if seat.places.free > 0 and (best is None or _key(seat) < _key(best)):
                best = seat
        return best


def _key(seat: Seat) -> tuple[bool, float, bool, int]:
    return (seat.lane.due < 1.0, -seat.lane.priority, not seat.front, seat.number)
