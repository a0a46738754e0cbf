"""
Everything that is believed about one account: its rate, its day, and whether it rests.

Decides when the next message may go and at what price, and learns from what became of each. It knows no clock, no event
loop and no queue; moments come as arguments, in seconds of one monotonic clock.

Invariants: while it rests, the control law is frozen; one refusal never counts twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs

from .._model.allowance import Allowance
from .._model.events import Reason
from .._model.meaning import Meaning, Scope
from .._model.outcome import Outcome, Stage
from .._model.quota import SendQuota
from .day import RollingDay
from .pause import Pause

QUOTA_PROBES = (10.0, 600.0)
"""Seconds until the first probe of an exhausted daily quota, and between probes at most: quota comes back in small
amounts around the clock, and a long sleep would waste it."""

ENDPOINT_PROBES = (0.5, 60.0)
"""Seconds until the first new attempt at an unreachable endpoint, and between attempts at most."""

BLOCK_PROBES = (30.0, 600.0)
"""Seconds until the first new attempt of a blocked account, and between attempts at most: somebody has to act first."""

UNKNOWN_PROBES = (1.0, 60.0)
"""Seconds until the first new attempt after a row of unknown outcomes, and between attempts at most: each may be a
message that is sent twice."""

UNKNOWNS = 3
"""Unknown outcomes in a row, with nothing certain in between, that are no chance."""

IDENTITIES = 1000
"""Blocked identities that are remembered; the oldest is forgotten, and finds out again."""

FIRST_ALONE = 60.0
"""Seconds that the very first message is waited for: longer than an attempt takes, and an end for one that its caller
forgets."""

HELD = "held: "
"""What others are told before the reason of a hold."""

GRACE = 3.0
"""Seconds that a rest is waited for which another process told of: its probe goes first, and then it tells again."""

NOTHING: Mapping[str, float] = {}

FIRST_FAILURES = 3
"""Failures to connect, before any success, after which it is the configuration that is wrong; a service that answers
"later" has been reached."""


@attrs.define
class Account:
    """
    One account in one region, as the limiter sees it.

    Args:
        law: what knows its rate: the control law, or a share of what many processes have in common.
        headroom: share of the service's limit, as far as that is known, that is left to others.
    """

    law: Allowance
    headroom: float = 0.0
    day: RollingDay = attrs.field(factory=RollingDay, init=False)
    quota_pause: Pause = attrs.field(factory=lambda: Pause(*QUOTA_PROBES), init=False)
    endpoint_pause: Pause = attrs.field(factory=lambda: Pause(*ENDPOINT_PROBES), init=False)
    block_pause: Pause = attrs.field(factory=lambda: Pause(*BLOCK_PROBES), init=False)
    unknown_pause: Pause = attrs.field(factory=lambda: Pause(*UNKNOWN_PROBES), init=False)
    identities: dict[str, Pause] = attrs.field(factory=dict, init=False)
    """Senders that the service refuses, while it takes what others send."""
    _ceiling: float = attrs.field(default=math.inf, init=False)
    _ceilings: dict[str, float] = attrs.field(factory=dict, init=False)
    _held: dict[str, None] = attrs.field(factory=dict, init=False)
    _of_service: set[str] = attrs.field(factory=set, init=False)
    """Reasons to rest that the service itself has given, to this process."""
    _elsewhere: Mapping[str, float] = attrs.field(factory=dict, init=False)
    """The same that other processes tell of, and holds of theirs, each with the moment until which it lasts."""
    paused: str | None = attrs.field(default=None, init=False)
    """Why it rests, None when it does not: kept, because every message asks for it."""
    _reached: bool = attrs.field(default=False, init=False)
    _first: float | None = attrs.field(default=None, init=False)
    _unknowns: int = attrs.field(default=0, init=False)

    def rate(self, now: float) -> float:
        """Recipients/s to pace at."""
        return min(self.law.rate(now), self.ceiling if self.headroom else self._ceiling)

    def terms(self, now: float, *, owing: bool = True) -> tuple[float, float, float]:
        """
        On what terms the next message may go, while something is owed for those before it or not.

        Returns:
            two moments before which nobody goes, seconds: waiting for the first pays for nothing, for the second it
            pays for what went; and the recipients/s at which that is paid for, 0 where nothing is owed.
        """
        law = self.law
        opens_at = law.held_until if self._reached and self.paused is None else self.opens_at()
        rate = min(law.rate(now), self.ceiling if self.headroom else self._ceiling) if owing else 0.0
        return opens_at, law.turn_at(now), rate

    @property
    def ceiling(self) -> float:
        """The least of the bounds that were set, and what the headroom leaves, recipients/s; infinity for none."""
        if not self.headroom or (limit := self.law.limit or self.law.estimate) is None:
            return self._ceiling
        return min(self._ceiling, (1.0 - self.headroom) * limit)

    @property
    def bounded(self) -> bool:
        """Whether a bound was set, beside the headroom."""
        return bool(self._ceilings)

    def bound(self, name: str, rate: float | None) -> None:
        """Set a bound on the rate, or take it away; the least of all counts."""
        if rate is None:
            self._ceilings.pop(name, None)
        else:
            self._ceilings[name] = rate
        self._ceiling = min(self._ceilings.values(), default=math.inf)

    def hold(self, now: float, reason: str) -> None:
        """Let nothing through until `release` with the same reason."""
        self._held[reason] = None
        self.paused = self._why()
        self.law.freeze(now)

    def release(self, now: float, reason: str) -> None:
        """End a hold; others, and other reasons to rest, stay."""
        if reason in self._held:
            del self._held[reason]
            self._resume(now)

    def rests(self) -> Mapping[str, float]:
        """Why the whole account rests, as this process has found or was told, and until when: what others may hear."""
        if self.paused is None:
            return NOTHING
        known = {HELD + reason: math.inf for reason in self._held}
        known |= {why: pause.opens_at() for why, pause in self._shared.items() if why in self._of_service}
        return known

    def others_rest(self, now: float, rests: Mapping[str, float]) -> None:
        """Other processes rest, for these reasons and until then, or do so no more."""
        if not rests and not self._elsewhere:
            return
        self._elsewhere = {why: until + GRACE for why, until in rests.items() if until + GRACE > now}
        for why, pause in self._shared.items():
            if why in self._elsewhere:
                pause.hear(now)
        self.paused = self._why()
        if self.paused is None:
            self.law.thaw(now)
        else:
            self.law.freeze(now)

    def opens_at(self) -> float:
        """The moment from which the next message may go; late while a probe, or the very first message, is out."""
        if self._held:
            return math.inf
        elsewhere = max(self._elsewhere.values()) if self._elsewhere else 0.0
        first = 0.0 if self._first is None or self._reached else self._first + FIRST_ALONE
        rest = 0.0 if self.paused is None else max(pause.opens_at() for pause in self._pauses)
        return max(self.law.held_until, first, rest, elsewhere)

    def blocked(self, now: float) -> bool:
        """Whether the account is blocked, and it is too early to look whether it still is."""
        return self.block_pause.closed(now) or self._elsewhere.get(Reason.ACCOUNT_BLOCKED, 0.0) > now

    def out_of_quota(self, now: float) -> bool:
        """Whether nothing is left of the day, and it is too early to look whether there is again."""
        return self.quota_pause.closed(now) or self._elsewhere.get(Reason.QUOTA_EXCEEDED, 0.0) > now

    def quota_back_in(self, now: float) -> float:
        """Seconds until there is quota again for sure; until the next probe where that is not known."""
        frees_at = self.day.frees_at(now)
        return max(0.0, (self.quota_pause.opens_at() if frees_at is None else frees_at) - now)

    def given_up(self, now: float, max_unreachable: float) -> bool:
        """Whether there was no connection for longer than that, and it is too early for another attempt."""
        return self.endpoint_pause.closed(now) and self.unreachable_for(now) > max_unreachable

    def unreachable_for(self, now: float) -> float:
        """Seconds without a connection; infinity where none was ever made and the first few attempts failed."""
        if self.endpoint_pause.began_at is None:
            return 0.0
        if not self._reached and self.endpoint_pause.failures >= FIRST_FAILURES:
            return math.inf
        return now - self.endpoint_pause.began_at

    def blocks(self, identity: str, now: float) -> bool:
        """Whether a sender is refused, and it is too early, or somebody else's turn, to look whether it still is."""
        pause = self.identities.get(identity)
        return pause is not None and pause.opens_at() > now

    def admitted(self, now: float, cost: float, *, waited: bool, identity: str = "") -> None:
        """
        A message was let through; while there is a pause, it is the probe.

        So is the very first one: with a wrong password one login fails, not a hundred, and those that would have waited
        for the first connection do not arrive all at once.
        """
        if not self._reached:
            self._first = now
        if self.paused is not None:
            for pause in self._pauses:
                if pause.active:
                    pause.probe(now)
        if identity in self.identities:
            self.identities[identity].probe(now)
        # Below the law's own pace nothing tests it.
        ceiling = self.ceiling if self.headroom else self._ceiling
        self.law.admitted(now, cost, waited=waited and (ceiling == math.inf or self.law.rate(now) <= ceiling))

    def figures(self, now: float, quota: SendQuota) -> None:
        """Take the service's figures: its rate caps ours, and what is left of the day begins or ends a pause."""
        self.law.cap(now, quota.max_send_rate if quota.max_send_rate > 0 else None)
        self.day.figures(quota)
        if quota.remaining < 1:
            self._rest(self.quota_pause, now, now)
        else:
            self.quota_pause.look_now(now)

    def settle(
        self,
        now: float,
        meaning: Meaning | None,
        *,
        cost: float,
        admitted_at: float,
        decided_at: float,
        identity: str = "",
    ) -> None:
        """
        Learn what became of an admission.

        Args:
            now: when its reply was read.
            meaning: what the attempt meant; None when it told nothing, because it was cancelled or never made.
            cost: the message's recipients.
            admitted_at: when it was let through.
            decided_at: when the service decided: when it had the whole message, or `admitted_at` where nothing better
                is known.
            identity: the sender, where it is known.
        """
        if identity in self.identities:
            self._settle_identity(now, meaning, admitted_at, identity)
        if self._first == admitted_at:
            self._first = None
        if meaning is None:
            pass
        elif meaning.outcome is Outcome.ACCEPTED:
            self._settle_accepted(now, cost, admitted_at, decided_at)
        else:
            self._settle_refused(now, meaning, cost, admitted_at, decided_at, identity)
        if self.paused is not None:
            for pause in self._pauses:
                pause.told_nothing(now, admitted_at=admitted_at)

    def reached(self) -> None:
        """The caller will not tell what became of the first message: let the others go without it."""
        self._reached = True

    def begin_anew(self, now: float) -> None:
        """Of what was let through before, nobody will tell what became of it: it is not waited for."""
        self._first = None
        for pause in (*self._pauses, *self.identities.values()):
            if pause.probing:
                pause.look_now(now)

    @property
    def _shared(self) -> Mapping[str, Pause]:
        return {Reason.ACCOUNT_BLOCKED: self.block_pause, Reason.QUOTA_EXCEEDED: self.quota_pause}

    @property
    def _pauses(self) -> tuple[Pause, ...]:
        return (self.quota_pause, self.endpoint_pause, self.block_pause, self.unknown_pause)

    def _settle_accepted(self, now: float, cost: float, admitted_at: float, decided_at: float) -> None:
        self._reached = True
        self._unknowns = 0
        self.law.accepted(now, cost, admitted_at=admitted_at, decided_at=decided_at)
        self.day.accepted(now, cost)
        if self.paused is not None:
            self.block_pause.end(admitted_at=admitted_at)
            self.endpoint_pause.end(admitted_at=admitted_at)
            self.unknown_pause.end(admitted_at=admitted_at)
            if self.quota_pause.end(admitted_at=admitted_at):
                self.day.overtaken()
            self._resume(now)
        if self.day.is_used_up and not self.quota_pause.active:
            self._rest(self.quota_pause, now, now)

    def _settle_refused(
        self, now: float, meaning: Meaning, cost: float, admitted_at: float, decided_at: float, identity: str
    ) -> None:
        wait = meaning.retry_after
        self._note_for_others(meaning, identity)
        match meaning.outcome:
            case Outcome.THROTTLED:
                self.law.throttled(now, cost, admitted_at=admitted_at, decided_at=decided_at, pause=wait)
            case Outcome.ACCOUNT_BLOCKED if identity and meaning.scope is Scope.IDENTITY:
                self._block(now, admitted_at, identity)
            case Outcome.ACCOUNT_BLOCKED:
                self._rest(self.block_pause, now, admitted_at)
            case Outcome.QUOTA_EXCEEDED:
                self._rest(self.quota_pause, now, admitted_at, wait)
            case Outcome.UNKNOWN:
                self._unknowns += not meaning.foreign
                if self._unknowns >= UNKNOWNS:
                    self._rest(self.unknown_pause, now, admitted_at, wait)
            case Outcome.NOT_SENT if meaning.blocks_endpoint:
                # Who says when to come again is there: that is no wrong configuration, also at the very start.
                self._reached = self._reached or wait > 0
                self._rest(self.endpoint_pause, now, admitted_at, wait)
                return
        # Whatever else it was refused for, the endpoint was reached.
        self._reached = True
        ended = self.endpoint_pause.end(admitted_at=admitted_at)
        if meaning.outcome not in (Outcome.UNKNOWN, Outcome.NOT_SENT):
            self._unknowns = 0
            ended = self.unknown_pause.end(admitted_at=admitted_at) or ended
        if ended:
            self._resume(now)

    def _note_for_others(self, meaning: Meaning, identity: str) -> None:
        """Keep that it was the service that said so; what is kept back on this side is nothing to others."""
        if meaning.stage is Stage.BEFORE:
            return
        if meaning.outcome is Outcome.QUOTA_EXCEEDED:
            self._of_service.add(Reason.QUOTA_EXCEEDED)
        elif meaning.outcome is Outcome.ACCOUNT_BLOCKED and not (identity and meaning.scope is Scope.IDENTITY):
            self._of_service.add(Reason.ACCOUNT_BLOCKED)

    def _block(self, now: float, admitted_at: float, identity: str) -> None:
        if identity not in self.identities and len(self.identities) >= IDENTITIES:
            del self.identities[next(iter(self.identities))]
        self.identities.setdefault(identity, Pause(*BLOCK_PROBES)).begin(now, admitted_at=admitted_at)

    def _settle_identity(self, now: float, meaning: Meaning | None, admitted_at: float, identity: str) -> None:
        """What became of a message of a blocked sender: accepted, it is blocked no more."""
        pause = self.identities[identity]
        if meaning is not None and meaning.outcome is Outcome.ACCEPTED and pause.end(admitted_at=admitted_at):
            del self.identities[identity]
        else:
            pause.told_nothing(now, admitted_at=admitted_at)

    def _rest(self, pause: Pause, now: float, admitted_at: float, at_least: float = 0.0) -> None:
        pause.begin(now, admitted_at=admitted_at, at_least=at_least)
        self.paused = self._why()
        self.law.freeze(now)

    def _resume(self, now: float) -> None:
        """Go on, unless there is another reason to rest."""
        self._of_service &= {why for why, pause in self._shared.items() if pause.active}
        self.paused = self._why()
        if self.paused is None:
            self.law.thaw(now)

    def _why(self) -> str | None:
        if self._held:
            return next(iter(self._held))
        if self.block_pause.active:
            return Reason.ACCOUNT_BLOCKED
        if self.quota_pause.active:
            return Reason.QUOTA_EXCEEDED
        if self.endpoint_pause.active:
            return Reason.ENDPOINT_UNREACHABLE
        if self._elsewhere:
            return next(iter(self._elsewhere)).removeprefix(HELD)
        return Reason.OUTCOMES_UNKNOWN if self.unknown_pause.active else None
