"""
The ledger of one account that many processes share: whose slots are when.

Decides which recipients of the account's timeline a process may use, who leads, and which throttle is news. It must not
know what a message is, nor how the rate is found: the leader tells it. It is the same on every store; the form of it
that Redis runs is in `shared/lease.lua`, and a test holds the two against each other.

How it is decided. The timeline is one moment, up to which everything is given away. A process that asks gets the next
slots on it, a fiftieth of a second's worth, and is never told to come again: the line of those that wait is the
timeline itself. What is in the past by more than a burst is gone.

Invariants: no slot is given away twice; a request that comes late does nothing; a clock that is set back moves
everything with it; only the leader of the current term sets the pace; what may go on alone, see `parts`, is no slot.
"""

from __future__ import annotations

import math

import attrs

from .._model.allowance import Grant, Request
from .parts import SECOND, Parts, parts_from

LEASE = 0.02 * SECOND
"""Length of the slots that are given away at once: some fifty requests a second, whatever the rate and however many
processes; so much of the account is lost in a crash at most."""

BURST = 0.02 * SECOND
"""Slots that are so far in the past may still be used at once."""

AHEAD = 0.1 * SECOND
"""The timeline is at most so far ahead where an urgent request goes before it."""

LATE = 0.17 * SECOND
"""A request that took longer to come is not done: nobody waits for its answer any more."""

ALIVE = 3.0 * SECOND
"""For so long after a request what a process told of the account counts: why it rests, and how fast it goes at most."""

AWAY = 0.25 * SECOND
"""Nobody asked for so long while there were some that send: the ledger was away, or its clock was set."""

HUNGRY = 1.0 * SECOND
"""For so long after a request in which it was, a process counts as one of those that want more than they get."""

LEADS = 0.3 * SECOND
"""For so long after a request its leader leads: it asks more often, or another follows."""

HOLD = (3.0 * SECOND, 0.1 * SECOND)
"""Nobody goes after a throttle until the leader has thought: this divided by the rate, and at most."""

SINGLE = 1.0 * SECOND
"""The same after the one message that goes to find out."""

FIGURES = 280.0 * SECOND
"""Figures of the service that are so old may be asked for again."""

ASKING = 12.0 * SECOND
"""For so long one who asks the service is waited for."""

ROUNDING = 1e-9
"""Slots that are none: the rounding of a division."""

ENTRIES = 1000
"""Entries of the log that wait for a leader; older ones say nothing of now."""


@attrs.define
class Ledger:
    """
    One account's ledger. Moments are microseconds of one clock; rates are recipients/s, 0 where they are not known.

    Args:
        timeline: everything before this moment is given away.
        urgent: the same among what is urgent.
        hold: no slot begins before this moment.
        seen: when it was last asked.
        rate: the pace of all.
        epoch: the number of congestions.
        leader, term, leads_until: who sets the pace, the how manieth it is, and until when.
        members: when each process last asked.
        parts: what each of those that send may go on with alone.
        ceilings: recipients/s that are not exceeded, as each process tells it; gone with that process.
        hungry: when each of those that want more last asked.
        log: what the leader has not read yet.
        asking_until: until when somebody asks the service.
        rests: why the account rests, as each process that knows tells it; gone with that process.
    """

    timeline: float = 0.0
    urgent: float = 0.0
    hold: float = 0.0
    seen: float = 0.0
    rate: float = 0.0
    limit: float = 0.0
    estimate: float = 0.0
    cap: float = 0.0
    single: bool = False
    epoch: int = 0
    leader: str = ""
    term: int = 0
    leads_until: float = 0.0
    members: dict[str, float] = attrs.field(factory=dict)
    parts: Parts = attrs.field(factory=Parts, converter=parts_from)
    ceilings: dict[str, float] = attrs.field(factory=dict)
    hungry: dict[str, float] = attrs.field(factory=dict)
    log: list[str] = attrs.field(factory=list)
    quota: str = ""
    quota_at: float = 0.0
    asking_until: float = 0.0
    rests: dict[str, str] = attrs.field(factory=dict)

    def lease(self, now: float, request: Request) -> Grant:
        """Hear a report, and give slots away; see `Store.lease`."""
        if request.sent and now - request.sent > LATE:
            return Grant(now=now, stale=True)
        if fresh := not self.rate:
            self.timeline, self.rate, self.limit, self.estimate = now, request.rate, request.limit, request.estimate
            self.epoch, self.term = request.epoch, request.term
        away = now > self.seen + AWAY
        self._see(now, request)
        part = self.parts.keep(now, request, away=away)
        silent, kept = self.parts.silent(now, request.member, self.members)
        term = self._led(now, request)
        self._figures(now, request)
        if request.log:
            self.log = [*self.log, request.log][-ENTRIES:]
        told = ""
        if term:
            told, self.log = "\n".join(self.log), []
        most = min(self.ceilings.values(), default=0.0)
        bounded = 0.0 < most < self.rate
        slot = SECOND / ((most if bounded else self.rate) * (1.0 - kept))
        # Below the law's own pace nothing tests it.
        busy = not bounded and not kept and max(self.timeline, self.hold + AHEAD) > now - BURST
        self.timeline = max(self.timeline, now - BURST) + request.owed * slot
        slots, start = self._slots(now, request, slot)
        news = self.quota_at > request.quota_at
        return Grant(
            now=now,
            fresh=fresh,
            slots=slots,
            lead=start - now,
            slot=slot,
            busy=busy,
            rate=self.rate,
            limit=self.limit,
            estimate=self.estimate,
            cap=self.cap,
            epoch=self.epoch,
            term=term,
            part=part,
            alive=max(1, len(self.parts.of)),
            silent=" ".join(silent),
            most=most,
            hungry=len(self.hungry),
            log=told,
            quota=self.quota if news else "",
            quota_at=self.quota_at,
            ask_in=self._ask_in(now) if request.asks else -1.0,
            rests="\n".join(self.rests[name] for name in sorted(self.rests) if name != request.member),
        )

    def congested(self, now: float, epoch: int, log: str) -> int:
        """Hear of a throttle; see `Store.congested`."""
        if log:
            self.log = [*self.log, log][-ENTRIES:]
        if self.rate and epoch == self.epoch:
            self.epoch += 1
            self.hold = max(self.hold, now + min(HOLD[0] / self.rate, HOLD[1]))
        return self.epoch

    def _see(self, now: float, request: Request) -> None:
        if now < self.seen:  # the clock was set back
            back = self.seen - now
            self.timeline -= back
            self.urgent -= back
            self.hold -= back
            self.leads_until -= back
            self.asking_until -= back
            self.quota_at -= back
            self.parts.set_back(back)
            self.members = {name: at - back for name, at in self.members.items()}
            self.hungry = {}
        self.seen = now
        self.members[request.member] = now
        if request.hungry:
            self.hungry[request.member] = now
        elif request.want:
            self.hungry.pop(request.member, None)
        self.members = {name: at for name, at in self.members.items() if at > now - ALIVE}
        self.ceilings = {
            name: most
            for name, most in {**self.ceilings, request.member: request.most}.items()
            if most and name in self.members
        }
        self.hungry = {name: at for name, at in self.hungry.items() if at > now - HUNGRY}
        if request.rests or self.rests:
            told = {**self.rests, request.member: request.rests}
            self.rests = {name: text for name, text in told.items() if text and name in self.members}

    def _led(self, now: float, request: Request) -> int:
        """Hear the leader, or make one of whoever asks where there is none; its term, or 0 for another."""
        if self.leader != request.member:
            if self.leads_until > now:
                return 0
            self.leader, self.term = request.member, self.term + 1
        self.leads_until = now + LEADS
        if request.term == self.term:
            if self.timeline > now:  # what is given away is recipients, and moves with the pace
                self.timeline = now + (self.timeline - now) * self.rate / request.rate
            self.rate, self.limit, self.estimate = request.rate, request.limit, request.estimate
            self.single = request.single
            if request.epoch == self.epoch:
                self.hold = now + request.hold if request.hold else min(self.hold, now)
        return self.term

    def _figures(self, now: float, request: Request) -> None:
        if request.cap:
            self.cap = request.cap
        if request.quota:
            self.quota, self.quota_at, self.asking_until = request.quota, now, 0.0

    def _slots(self, now: float, request: Request, slot: float) -> tuple[int, float]:
        """How many, and when the first of them is; none, and when to come again, where nobody goes for long."""
        if not request.want:
            return 0, now
        if self.hold > now + AHEAD:
            return 0, now + AHEAD
        span = min(max(LEASE, request.span), LATE)
        slots = 1 if self.single else max(1, min(request.want, math.ceil(span / slot - ROUNDING)))
        start = next_up = max(self.timeline, self.hold)
        if request.urgent and self.timeline < now + max(AHEAD, 2 * slot):
            start = max(now, self.hold, min(self.timeline, self.urgent))
            self.urgent = start + slots * slot
        self.timeline = next_up + slots * slot
        if self.single:
            self.epoch += 1
            self.hold = now + SINGLE
        return slots, start

    def _ask_in(self, now: float) -> float:
        """Seconds until the process may ask the service for figures; 0 makes it the one who asks."""
        known_until = self.quota_at + FIGURES if self.quota else 0.0
        if known_until > now:
            return (known_until - now) / SECOND
        if self.asking_until > now:
            return 1.0
        self.asking_until = now + ASKING
        return 0.0
