"""
What an account asks of whoever knows its rate, and what many processes tell one another of it.

Interfaces and values only. In one process the control law is the allowance; where an account is shared it is a share of
a rate that a `Store` keeps for all. Moments of an allowance are seconds of its process's clock; those of a store are
microseconds of the store's own, since no two machines agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import attrs


class Allowance(Protocol):
    """How fast an account may send, and what is learnt from what becomes of it."""

    @property
    def estimate(self) -> float | None:
        """The service's limit as far as it is known, recipients/s."""
        ...

    @property
    def limit(self) -> float | None:
        """The limit that is remembered while the pace is below it, recipients/s."""
        ...

    @property
    def held_until(self) -> float:
        """Nobody is to be admitted before this moment, and waiting for it pays for nothing."""
        ...

    @property
    def spaced_until(self) -> float:
        """Nobody is to be admitted before this moment even when all is paid."""
        ...

    def turn_at(self, now: float) -> float:
        """When the next turn of this process is, which its waiting pays for; infinity until one is given."""
        ...

    def rate(self, now: float) -> float:
        """Recipients/s to pace at."""
        ...

    def ahead(self, now: float, cost: float) -> float:
        """Recipients of a message of this cost that are paid for before it goes, and not after."""
        ...

    def steady_until(self, now: float) -> float:
        """The moment until which `rate` stays as it is, if nothing is told meanwhile."""
        ...

    def admitted(self, now: float, cost: float, *, waited: bool) -> None:
        """One message was let through; `waited` where it was this allowance that it waited for."""
        ...

    def accepted(self, now: float, cost: float, *, admitted_at: float, decided_at: float) -> None:
        """The service took a message."""
        ...

    def throttled(self, now: float, cost: float, *, admitted_at: float, decided_at: float, pause: float = 0.0) -> None:
        """The service refused a message for the rate, and asks for a pause of so many seconds."""
        ...

    def cap(self, now: float, max_send_rate: float | None) -> None:
        """What the account is allowed, as GetAccount says, recipients/s."""
        ...

    def freeze(self, now: float) -> None:
        """Sending pauses for another reason than the rate: nothing is learnt until `thaw`."""
        ...

    def thaw(self, now: float) -> None:
        """Sending goes on."""
        ...


@attrs.frozen(kw_only=True)
class Request:
    """
    What a process asks of an account's ledger, and tells it.

    Args:
        member: the process's own name.
        sent: when it was sent, on the ledger's clock; 0 where that is not known. What comes late is not done.
        want: recipients that wait; 0 for none.
        owed: recipients that went beyond what was granted.
        most: recipients/s that are not exceeded, by nobody while this process is there; 0 for no bound.
        part: what it may go on with alone as it knows, of the whole; 0 for nothing.
        sends: whether it has, or had of late, something to send, so that a part is kept for it.
        gone: names of processes that have ended as it knows, with spaces between.
        urgent: whether who waits goes before what waits elsewhere.
        span: microseconds of the account's timeline that it wants at most; more than usual where the way is long.
        hungry: whether it used up what it was granted, and wants more.
        log: what became of messages, for whoever leads.
        term: of the one who leads, the number of its term; 0 for others.
        epoch: the last congestion that the process knows of.
        rate: recipients/s: of the leader the pace of all, of others what they know, for a ledger that is empty.
        limit: the service's limit as known, recipients/s; 0 for unknown.
        estimate: what is believed of it now, recipients/s; 0 for unknown.
        hold: of the leader, microseconds for which nobody goes.
        single: of the leader, whether only one message goes at a time, to find out.
        cap: what GetAccount allows, recipients/s; 0 where this process has no news of it.
        quota: the service's own figures, as text; empty where this process has no news of them.
        quota_at: when the figures that it knows were told.
        asks: whether it would ask the service for figures.
        rests: why the whole account rests as this process knows, as text; empty where it does not.
    """

    member: str
    sent: float = 0.0
    want: int = 0
    owed: float = 0.0
    most: float = 0.0
    part: float = 0.0
    sends: bool = True
    gone: str = ""
    urgent: bool = False
    span: float = 0.0
    hungry: bool = False
    log: str = ""
    term: int = 0
    epoch: int = 0
    rate: float = 1.0
    limit: float = 0.0
    estimate: float = 0.0
    hold: float = 0.0
    single: bool = False
    cap: float = 0.0
    quota: str = ""
    quota_at: float = 0.0
    asks: bool = False
    rests: str = ""


@attrs.frozen(kw_only=True)
class Grant:
    """
    What the ledger answers.

    Args:
        now: when, on its clock.
        stale: whether the request came too late, and nothing was done.
        fresh: whether the ledger had been empty.
        slots: recipients that may go.
        lead: microseconds from `now` to the first of them.
        slot: microseconds from one to the next.
        busy: whether the slots of the account are in demand: who waited, waited for the rate.
        rate: the pace of all, recipients/s.
        limit, estimate, cap: as in `Request`.
        epoch: the number of congestions.
        term: where this process leads, its term's number; else 0.
        part: what the process may go on with alone from now on, of the whole.
        alive: processes that send.
        silent: names of those among them that were not heard of late, with spaces between.
        most: recipients/s that are not exceeded, as any of them told; 0 for no bound.
        hungry: those among them that want more than they get.
        log: for the leader, what the others told.
        quota, quota_at: figures that are news to this process, and when they were told.
        ask_in: seconds until it may ask the service for figures; negative where it did not ask to.
        rests: what the others told of why the account rests, one a line.
    """

    now: float
    stale: bool = False
    fresh: bool = False
    slots: int = 0
    lead: float = 0.0
    slot: float = 0.0
    busy: bool = False
    rate: float = 1.0
    limit: float = 0.0
    estimate: float = 0.0
    cap: float = 0.0
    epoch: int = 0
    term: int = 0
    part: float = 0.0
    alive: int = 1
    silent: str = ""
    most: float = 0.0
    hungry: int = 0
    log: str = ""
    quota: str = ""
    quota_at: float = 0.0
    ask_in: float = -1.0
    rests: str = ""

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Grant:
        """As a ledger elsewhere has written it; large numbers are texts there."""
        return cls(**{**told, "now": float(told["now"]), "quota_at": float(told.get("quota_at", 0))})


class Store(Protocol):
    """
    Keeps one account's ledger for many processes: what `Limiter(shared=…)` takes.

    A failure of any kind, a late answer among them, means to the limiter that the others are out of reach: it goes on
    alone, with its last share. So a store tries nothing twice, and never waits for long.
    """

    async def lease(self, request: Request) -> Grant:
        """
        Report, and get slots.

        Raises:
            OSError: the ledger is out of reach. (`TimeoutError` is one.)
        """
        ...

    async def congested(self, member: str, epoch: int, log: str) -> int:
        """
        Report a throttle; only the first report of an epoch counts, and begins the next.

        Returns:
            the epoch now.

        Raises:
            OSError: as `lease` does.
        """
        ...

    async def aclose(self) -> None:
        """Give back what the running loop holds of it; it may be used again."""
        ...
