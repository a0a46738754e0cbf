"""
One process's share of an account's rate that many have in common.

Decides from what the ledger grants when the next message may go, when to ask it again, and, where this process leads,
what the pace of all is: the control law of one process, fed with what became of everybody's messages. It must not know
how the ledger is reached, nor what time it is.

While the ledger is out of reach, it uses up the slots it has, and then goes on as `alone` says.

Invariants: nothing goes without a slot while the ledger is in reach, and a slot is used once; who sends is heard of
every `REPORT`; when the ledger is in reach again, what went without it is paid for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from random import Random

import attrs

from .._model.allowance import Grant, Request
from .alone import Alone, Reserve
from .leading import Leadership
from .ledger import LATE as PATIENCE
from .parts import SECOND
from .rate import AdaptiveRate
from .slots import LAG, Slots

RETRIES = (0.5, 1.0)
"""Seconds until the ledger is asked again after it was out of reach, at least and at most."""

REPORT = 0.1
"""Seconds that what became of messages is kept back for the next request; who sends asks no less often."""

LINGERS = 0.5
"""Seconds after the last message for which a process counts as one that sends: it may only have no place free."""

LEAD = 0.1
"""Seconds between the requests of the leader, at most."""

QUIET = 1.0
"""Seconds without a message anywhere after which the leader stops to ask."""

FAR = 0.25
"""Share of the time until its slots begin after which it is asked whether they have moved."""

FARTHEST = 0.5
"""Seconds after which that is asked, at most."""

TARGET = 0.004
"""Seconds from an answer to its first slot to aim at: less would be late, more would be reserved in vain by whoever
ends, and be granted at a pace that has passed."""

AMPLE = 1.25
"""How many times what is used on the way to the ledger and back is asked for at once."""

SMOOTHING = 0.2
"""Weight of the newest way there and back in the mean."""

SOON = 0.03
"""Seconds after slots were used up within which another message comes where there are more than slots."""

UNUSED = 0.25
"""Share of a lease that was not used from which on there are more slots than messages: a late timer loses a few."""

MORE = 2.0
"""How many times the slots of the last lease to want where there are more messages than slots: those that wait are not
all, where others are under way. What is not used is lost, so it is not as many as there are."""

RENEW = 1.0
"""Seconds between two requests of who rests, or hears that others do: the ledger forgets what is not said again."""

CRUMB = 1e-9
"""Recipients that are none."""


@attrs.frozen
class Demand:
    """
    What the process has to send.

    Args:
        waiting: messages that wait for a turn.
        urgent: whether the next goes before what waits elsewhere.
        most: recipients/s that it goes at most; infinity for no bound.
        binds: whether that is a bound of the account, which the others are to hear of also while nothing is sent.
        rests: why the whole account rests as it knows, and until when; infinity until somebody says so.
    """

    waiting: int = 0
    urgent: bool = False
    most: float = math.inf
    binds: bool = False
    rests: Mapping[str, float] = attrs.field(factory=dict)


class Share:
    """
    The allowance of a process among others; see `seslimit._model.allowance.Allowance`.

    Args:
        member: its own name.
        start: what it was told of the rate, recipients/s; None for nothing.
        max_rate: recipients/s that are never exceeded.
        random: when to ask again is drawn from it.
    """

    def __init__(self, member: str, start: float | None, max_rate: float | None, random: Random) -> None:
        self.member = member
        self._start, self._max_rate, self._random = start, max_rate, random
        self._slots = Slots()
        self._owed = 0.0
        self._ask_at = 0.0
        self._way, self._hungry_others = 0.0, 1
        self._used_up_at = -math.inf
        self._hungry = False
        self._log: list[str] = []
        self._logged_at = math.inf
        self._called_at = self._active_at = -math.inf
        self._publish = False
        self._offset: float | None = None

        self._rate = AdaptiveRate(start, max_rate).rate(0.0)
        self._limit = self._estimate = start or 0.0
        self._cap = self._cap_news = 0.0
        self._most = math.inf
        self._reserve: Reserve | None = None
        self._sends = False
        """Whether the ledger counts it as one that sends, as far as it was told."""
        self._granted = 0.0
        """Slots of the last lease."""
        self._owed_told = 0.0
        self.gone: set[str] = set()
        """Names of processes that have ended, to be told."""
        self.silent: tuple[str, ...] = ()
        """Names of those of which the ledger heard nothing, of late."""
        self._epoch, self._epoch_since, self._congested = 0, 0.0, False
        self._frozen = False

        self._leading: Leadership | None = None

        self.elsewhere: Mapping[str, float] = {}
        """Why the whole account rests as others know, and until when on this process's clock."""
        self._rests_told: Mapping[str, float] = {}
        self._most_told = math.inf
        """The bound that others were told of; infinity for none."""

        self._alone: Alone | None = None
        self._retry_at = 0.0

    # The allowance.

    @property
    def estimate(self) -> float | None:
        """See `Allowance`."""
        return self._known(self._estimate)

    @property
    def limit(self) -> float | None:
        """See `Allowance`."""
        return self._known(self._limit)

    @property
    def held_until(self) -> float:
        """See `Allowance`."""
        return 0.0 if self._alone is None else self._alone.law.held_until

    @property
    def spaced_until(self) -> float:
        """See `Allowance`."""
        return 0.0 if self._alone is None else self._alone.law.spaced_until

    def ahead(self, now: float, cost: float) -> float:
        """See `Allowance`; nothing where slots are given away: who has the next one is another process."""
        return 0.0 if self._alone is None else self._alone.law.ahead(now, cost)

    @property
    def alone(self) -> bool:
        """Whether the ledger is out of reach."""
        return self._alone is not None

    @property
    def leads(self) -> bool:
        """Whether this process sets the pace of all."""
        return self._leading is not None

    def turn_at(self, now: float) -> float:
        """See `Allowance`."""
        if self._slots.drop(now) > UNUSED * self._granted:
            self._hungry = False
        if self._slots:
            return self._slots.next_at(now)
        return math.inf if self._alone is None else self._alone.begins

    def wanted(self, now: float) -> None:
        """Somebody waits for a turn that this process has not got yet."""
        if not self._slots and self._used_up_at > -math.inf:
            self._hungry, self._used_up_at = now <= self._used_up_at + SOON, -math.inf

    def rate(self, now: float) -> float:
        """See `Allowance`."""
        if self._slots:
            return self._slots.pace
        return self._rate if self._alone is None else self._alone.rate(now)

    def steady_until(self, now: float) -> float:
        """See `Allowance`."""
        return math.inf if self._alone is None or self._slots else self._alone.steady_until(now)

    def admitted(self, now: float, cost: float, *, waited: bool) -> None:
        """See `Allowance`."""
        if self._alone is not None and not self._slots:
            self._active_at = now
            self._alone.admitted(now, cost, waited=waited)
            return
        busy = self._slots.busy
        if self._slots:
            missing = self._slots.use(cost)
            self._used_up_at = now if missing >= 0.0 else self._used_up_at
            self._owed += max(0.0, missing)
        else:
            self._owed += cost
        if self._alone is None:
            # Whether the rate is tested is seen by all of them together: one has slots to spare where others wait.
            self._tell(now, f"a {cost:g} {int(busy)}")

    def accepted(self, now: float, cost: float, *, admitted_at: float, decided_at: float) -> None:
        """See `Allowance`."""
        if self._alone is not None:
            self._alone.law.accepted(now, cost, admitted_at=admitted_at, decided_at=decided_at)
        elif self._offset is not None:
            self._tell(now, f"+ {cost:g} {self._theirs(admitted_at):.0f} {self._theirs(decided_at):.0f}")

    def throttled(self, now: float, cost: float, *, admitted_at: float, decided_at: float, pause: float = 0.0) -> None:
        """See `Allowance`."""
        if self._alone is not None:
            self._alone.law.throttled(now, cost, admitted_at=admitted_at, decided_at=decided_at, pause=pause)
        elif self._offset is not None:
            self._tell(now, f"- {cost:g} {self._theirs(admitted_at):.0f} {self._theirs(decided_at):.0f} {pause:g}")
            # What went before this process heard of the last congestion is part of that one.
            self._congested = self._congested or admitted_at > self._epoch_since

    def cap(self, now: float, max_send_rate: float | None) -> None:
        """See `Allowance`."""
        self._cap = self._cap_news = max_send_rate or 0.0
        if self._alone is not None:
            self._alone.law.cap(now, max_send_rate)

    def freeze(self, now: float) -> None:
        """See `Allowance`."""
        self._frozen = True
        if self._alone is not None:
            self._alone.freeze(now)

    def thaw(self, now: float) -> None:
        """See `Allowance`."""
        self._frozen = False
        if self._alone is not None:
            self._alone.thaw(now)

    def begin_anew(self, member: str, *, ended: bool) -> None:
        """
        Be another process, which knows what this one knows of the rate, and has nothing of what it has.

        Args:
            member: its name.
            ended: whether the one that it was is no more; or else it goes on beside this one.
        """
        self.gone = {self.member} if ended else set()
        self.member = member
        self._alone = self._reserve = None
        self._sends, self._granted, self.silent = False, 0.0, ()
        self._slots = Slots()
        self._owed, self._ask_at, self._retry_at, self._offset = 0.0, 0.0, 0.0, None
        self._taken_log()
        self._congested, self._leading = False, None
        self.elsewhere, self._rests_told, self._most_told = {}, {}, math.inf

    # The requests: when, with what, and what the answers mean.

    @property
    def congested(self) -> bool:
        """Whether there is a throttle to report, before anything else."""
        return self._congested and self._reserve is not None and self._alone is None

    def due(self, now: float, demand: Demand) -> float:
        """When the next request is due; infinity where there is nothing to ask and nothing to tell."""
        told = demand.rests or self._rests_told or self.elsewhere or demand.binds or self._most_told < math.inf
        asks = demand.waiting or self._log or self._owed or self._sends or self.gone
        if not (told or asks or self._leads_at(now) < math.inf):
            return math.inf
        if self._alone is not None or now < self._retry_at:
            return self._retry_at
        due = min(self._leads_at(now), self._logged_at + REPORT)
        if self._sends:
            due = min(due, self._called_at + REPORT)
        if told:
            news = demand.rests != self._rests_told or _bound(demand) != self._most_told
            due = min(due, now if news else self._called_at + RENEW)
        if self._congested or self._owed > CRUMB or self._publish or self.gone:
            due = now
        elif self._wants(demand):
            due = min(due, now if demand.urgent and not self._slots else self._ask_at)
        elif (begins := self._slots.begin) > now + REPORT:
            # The pace may change before they come.
            due = min(due, self._called_at + max(REPORT, min(FAR * (begins - now), FARTHEST)))
        return max(due, now)

    def request(self, now: float, demand: Demand, *, asks: bool = False, leaves: bool = False) -> Request:
        """
        What to ask and tell now.

        Args:
            now: seconds.
            demand: what there is to send.
            asks: whether it would ask the service for figures.
            leaves: whether it sends no more.
        """
        # More wait than it has slots for, though it has some: it could use more than it asked for.
        self._hungry = self._hungry or 0.0 < self._slots.left < demand.waiting
        wants = self._wants(demand) and (now >= self._ask_at or (demand.urgent and not self._slots))
        self._sends = not leaves and (demand.waiting > 0 or bool(self._slots) or now < self._active_at + LINGERS)
        part = 0.0 if self._reserve is None or not self._sends else self._reserve.part
        owed = self._owed
        if self._alone is not None:
            part, owed = self._alone.part(now, part), owed + self._alone.owed(now)
        leading = self._leading
        law = None if leading is None else leading.law
        request = Request(
            member=self.member,
            sent=0.0 if self._offset is None else self._theirs(now),
            want=0 if not wants else max(demand.waiting, math.ceil(MORE * self._granted) if self._hungry else 0),
            owed=owed,
            part=part,
            sends=self._sends,
            gone=" ".join(sorted(self.gone)),
            most=0.0 if math.isinf(demand.most) else demand.most,
            urgent=wants and demand.urgent,
            hungry=wants and self._hungry,
            span=AMPLE * self._way / self._hungry_others * SECOND,
            log=self._taken_log(),
            term=0 if leading is None else leading.term,
            epoch=self._epoch,
            rate=self._rate if law is None else law.rate(now),
            limit=self._limit if law is None else law.limit or 0.0,
            estimate=self._estimate if law is None else law.estimate or 0.0,
            hold=0.0 if law is None else max(0.0, law.held_until - now) * SECOND,
            single=law is not None and law.closed,
            cap=self._cap_news,
            asks=asks,
            rests="" if self._offset is None else self._written(demand.rests),
        )
        if self._offset is not None:
            self._rests_told = demand.rests
        self._most_told = _bound(demand)
        if not self._sends and self._reserve is not None:
            self._reserve.part = 0.0  # from now on, whether the answer comes or not
        self._owed, self._owed_told = 0.0, owed
        self._cap_news, self._called_at, self._publish = 0.0, now, False
        return request

    def congestion(self) -> tuple[str, int, str]:
        """What to report of a throttle: who, the epoch it was under, and the log."""
        self._congested = False
        return self.member, self._epoch, self._taken_log()

    def heard_epoch(self, now: float, epoch: int) -> None:
        """The ledger's epoch, as a report of a throttle was answered."""
        if epoch != self._epoch:
            self._epoch, self._epoch_since = epoch, now
            self._publish = self.leads

    def granted(self, sent_at: float, now: float, grant: Grant) -> None:
        """
        The answer to a request.

        Args:
            sent_at: when it was sent.
            now: when the answer came.
            grant: the answer, not a stale one.
        """
        middle = (sent_at + now) / 2.0
        self._way += SMOOTHING * (now - sent_at - self._way)
        self._offset = grant.now / SECOND - middle
        self._alone, self.gone, self.silent = None, set(), tuple(grant.silent.split())
        self._most = grant.most or math.inf
        if grant.fresh:
            self._cap_news = self._cap
        self._hear_rests(grant.rests)
        self.heard_epoch(now, grant.epoch)
        self._move(now, grant.rate)
        self._rate, self._limit, self._estimate = grant.rate, grant.limit, grant.estimate
        self._cap = grant.cap or self._cap
        known = [rate for rate in (self._rate, self._estimate, self._cap, self._most) if rate]
        self._reserve = Reserve(grant.part if self._sends else 0.0, min(known), grant.alive, sent_at)
        if grant.slots:
            self._lease(now, middle, grant)
        elif grant.lead > 0.0:
            self._ask_at = now + grant.lead / SECOND
        self._lead(now, grant)

    def lost(self, now: float) -> None:
        """A request was not answered in time: go on alone."""
        self._retry_at = now + self._random.uniform(*RETRIES)
        if self._alone is not None:
            return
        self.elsewhere, self._rests_told, self._most_told = {}, {}, math.inf
        # That request may have been heard: until it would have been given up, the others have left no room.
        begins, owed = self._called_at + PATIENCE / SECOND, self._owed + self._owed_told
        self._alone = Alone(begins, owed, self._reserve, self._max_rate)
        self._owed, self._log, self._congested, self._leading = 0.0, [], False, None
        self._logged_at, self.silent = math.inf, ()
        if self._frozen:
            self._alone.freeze(now)

    def _written(self, rests: Mapping[str, float]) -> str:
        theirs = {why: None if math.isinf(until) else self._theirs(until) for why, until in rests.items()}
        return json.dumps(theirs) if theirs else ""

    def _hear_rests(self, told: str) -> None:
        heard: dict[str, float] = {}
        for line in told.splitlines():
            for why, until in json.loads(line).items():
                heard[why] = max(heard.get(why, 0.0), math.inf if until is None else self._ours(until))
        self.elsewhere = heard

    def _move(self, now: float, rate: float) -> None:
        """The pace of all is another one, and what is still to come moves with it."""
        shift = self._rate / rate
        if not self._slots.move(now, shift):
            self._ask_at = now
        if self._ask_at > now:
            self._ask_at = now + (self._ask_at - now) * shift

    def _lease(self, now: float, middle: float, grant: Grant) -> None:
        self._hungry_others, self._granted = max(1, grant.hungry), grant.slots
        turns = self._hungry_others if self._hungry and grant.lead / SECOND > -LAG else 1
        start = self._slots.add(now, middle + grant.lead / SECOND, self._way, turns, grant)
        # Asked so that its slots begin as the answer comes: the later, the less is reserved in vain.
        self._ask_at = start + turns * grant.slots * grant.slot / SECOND - TARGET - self._way

    def _wants(self, demand: Demand) -> bool:
        """Whether there is somebody for more slots than it has; who uses up all that comes looks a lease ahead."""
        return demand.waiting > self._slots.left or (self._hungry and demand.waiting > 0 and len(self._slots) < 2)

    # Leading: one law, and everybody's evidence.

    def _leads_at(self, now: float) -> float:
        if self._leading is None or now > self._active_at + QUIET:
            return math.inf
        return self._called_at + LEAD

    def _lead(self, now: float, grant: Grant) -> None:
        if not grant.term:
            self._leading = None
            return
        if self._leading is None or grant.term != self._leading.term:
            known = grant.limit or grant.estimate
            self._leading = Leadership(grant.term, AdaptiveRate(known or self._start, self._max_rate))
            self._active_at, self._publish = now, True
        self._publish = self._leading.allowed(now, self._cap) or self._publish
        if grant.log:
            self._active_at = now
        self._publish = self._leading.hear(now, grant.log, self._ours) or self._publish

    def _tell(self, now: float, entry: str) -> None:
        self._active_at = now
        if self._frozen:
            return
        if not self._log:
            self._logged_at = now
        self._log.append(entry)

    def _taken_log(self) -> str:
        log, self._log, self._logged_at = ";".join(self._log), [], math.inf
        return log

    def _known(self, rate: float) -> float | None:
        known = min((one for one in (rate, self._cap) if one), default=0.0)
        return known or None

    def _theirs(self, moment: float) -> float:
        return (moment + (self._offset or 0.0)) * SECOND

    def _ours(self, moment: float) -> float:
        return moment / SECOND - (self._offset or 0.0)


def _bound(demand: Demand) -> float:
    """The bound that others are to hear of; infinity for none."""
    return demand.most if demand.binds else math.inf
