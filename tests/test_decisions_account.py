"""
What is believed about an account, decision by decision: `seslimit._law.account`, worked by hand.

What is right is in the module's docstrings and in `docs/sharing.md`; how it behaves with a limiter is in
`test_account_state`.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from seslimit import Outcome, SendQuota
from seslimit._law.account import (
    BLOCK_PROBES,
    ENDPOINT_PROBES,
    FIRST_ALONE,
    GRACE,
    IDENTITIES,
    QUOTA_PROBES,
    UNKNOWN_PROBES,
    UNKNOWNS,
    Account,
)
from seslimit._law.day import DAY
from seslimit._law.rate import AdaptiveRate
from seslimit._model.events import Reason
from seslimit._model.meaning import Meaning
from seslimit._model.outcome import Stage


class Law(AdaptiveRate):
    """A law at 100/s that keeps what it was told."""

    def __init__(self) -> None:
        super().__init__(100.0)
        self.told: list[tuple[Any, ...]] = []

    def admitted(self, now: float, cost: float, *, waited: bool) -> None:
        """Keep it."""
        self.told.append(("admitted", now, cost, waited))

    def accepted(self, now: float, cost: float, *, admitted_at: float, decided_at: float) -> None:
        """Keep it."""
        self.told.append(("accepted", now, cost, admitted_at, decided_at))

    def throttled(self, now: float, cost: float, *, admitted_at: float, decided_at: float, pause: float = 0.0) -> None:
        """Keep it."""
        self.told.append(("throttled", now, cost, admitted_at, decided_at, pause))

    def freeze(self, now: float) -> None:
        """Keep it."""
        self.told.append(("freeze", now))

    def thaw(self, now: float) -> None:
        """Keep it."""
        self.told.append(("thaw", now))


@pytest.fixture
def law() -> Law:
    """The law of the account."""
    return Law()


@pytest.fixture
def account(law: Law) -> Account:
    """An account that was reached at 1 s."""
    account = Account(law)
    heard(account, Outcome.ACCEPTED, 0.9, 1.0)
    law.told.clear()
    return account


def heard(
    account: Account,
    outcome: Outcome,
    admitted_at: float,
    now: float,
    *,
    sender: str = "",
    cost: float = 1.0,
    **told: Any,
) -> None:
    """What became of a message."""
    meaning = Meaning(outcome, **told)
    account.settle(now, meaning, cost=cost, admitted_at=admitted_at, decided_at=admitted_at + 0.05, identity=sender)


def why(account: Account) -> str | None:
    """Why it rests."""
    return account.paused


class TestRate:
    """What is paced at."""

    def test_the_least_bound_counts(self, account: Account) -> None:
        """Each has a name, under which it is changed and taken away."""
        assert account.rate(2.0) == 100.0
        account.bound("a", 50.0)
        account.bound("b", 20.0)
        assert (account.rate(2.0), account.terms(2.0)[2], account.ceiling) == (20.0, 20.0, 20.0)
        account.bound("b", 60.0)
        assert account.rate(2.0) == 50.0
        account.bound("a", None)
        assert account.rate(2.0) == 60.0
        account.bound("b", None)
        account.bound("c", None)
        assert (account.rate(2.0), account.ceiling) == (100.0, math.inf)

    def test_what_is_left_to_others_is_taken_off_the_limit(self, law: Law) -> None:
        """A quarter; a lower bound counts, a higher one does not."""
        account = Account(law, headroom=0.25)
        assert (account.rate(2.0), account.terms(2.0)[2], account.ceiling) == (75.0, 75.0, 75.0)
        account.bound("a", 80.0)
        assert account.ceiling == 75.0
        account.bound("a", 70.0)
        assert account.rate(2.0) == 70.0

    def test_without_a_limit_nothing_is_left_to_others(self) -> None:
        """There is nothing to take a share of."""
        account = Account(AdaptiveRate(), headroom=0.25)
        assert (account.ceiling, account.rate(0.0)) == (math.inf, 1.0)

    @pytest.mark.parametrize(
        ("bound", "waited", "told"),
        [(None, True, True), (None, False, False), (100.0, True, True), (99.0, True, False)],
    )
    def test_below_the_laws_own_pace_nothing_tests_it(
        self, account: Account, law: Law, bound: float | None, waited: bool, told: bool
    ) -> None:
        """Whoever waited for a bound says nothing of the law's pace."""
        account.bound("a", bound)
        account.admitted(2.0, 3.0, waited=waited)
        assert law.told == [("admitted", 2.0, 3.0, told)]

    def test_where_nothing_is_owed_there_is_no_price(self, account: Account) -> None:
        """And a turn is the law's to give."""
        assert account.terms(2.0, owing=False) == (0.0, 0.0, 0.0)
        assert account.terms(2.0) == (0.0, 0.0, 100.0)


class TestFirst:
    """The first message of all."""

    def test_it_goes_alone(self, law: Law) -> None:
        """For a minute at most, or until it is settled."""
        account = Account(law)
        assert account.opens_at() == 0.0
        account.admitted(5.0, 1.0, waited=False)
        assert account.opens_at() == account.terms(6.0)[0] == 5.0 + FIRST_ALONE
        account.settle(6.0, None, cost=1.0, admitted_at=4.0, decided_at=4.0)
        assert account.opens_at() == 5.0 + FIRST_ALONE
        account.settle(6.0, None, cost=1.0, admitted_at=5.0, decided_at=5.0)
        assert account.opens_at() == 0.0

    def test_in_another_process_it_is_not_waited_for(self, law: Law) -> None:
        """Nor is any other probe."""
        account = Account(law)
        account.admitted(5.0, 1.0, waited=False)
        account.begin_anew(6.0)
        assert account.opens_at() == 0.0
        heard(account, Outcome.QUOTA_EXCEEDED, 5.0, 6.0)
        heard(account, Outcome.ACCOUNT_BLOCKED, 5.0, 6.0, sender="a@example.org", identity="a@example.org")
        account.begin_anew(7.0)
        assert (account.opens_at(), account.blocks("a@example.org", 7.0)) == (6.0 + QUOTA_PROBES[0], True)
        account.admitted(20.0, 1.0, waited=False, identity="a@example.org")
        account.begin_anew(21.0)
        assert (account.opens_at(), account.blocks("a@example.org", 21.0)) == (21.0, False)


class TestRests:
    """What stops all, for how long, and why."""

    @pytest.mark.parametrize(
        ("outcome", "told", "first", "reason"),
        [
            (Outcome.QUOTA_EXCEEDED, {}, QUOTA_PROBES[0], Reason.QUOTA_EXCEEDED),
            (Outcome.QUOTA_EXCEEDED, {"retry_after": 50.0}, 50.0, Reason.QUOTA_EXCEEDED),
            (Outcome.ACCOUNT_BLOCKED, {}, BLOCK_PROBES[0], Reason.ACCOUNT_BLOCKED),
            (Outcome.NOT_SENT, {"blocks_endpoint": True}, ENDPOINT_PROBES[0], Reason.ENDPOINT_UNREACHABLE),
            (Outcome.NOT_SENT, {"blocks_endpoint": True, "retry_after": 9.0}, 9.0, Reason.ENDPOINT_UNREACHABLE),
        ],
    )
    def test_a_refusal_of_all_rests(
        self, account: Account, law: Law, outcome: Outcome, told: dict[str, Any], first: float, reason: Reason
    ) -> None:
        """From when it was read, for the first wait or what the service asks for; the law is frozen."""
        heard(account, outcome, 1.9, 2.0, **told)
        assert (why(account), account.opens_at(), account.terms(2.0)[0]) == (reason, 2.0 + first, 2.0 + first)
        assert law.told == [("freeze", 2.0)]

    def test_three_unknown_outcomes_in_a_row_are_no_chance(self, account: Account) -> None:
        """Anything certain in between begins the row anew; what is foreign to us is not of it."""
        for _ in range(UNKNOWNS - 1):
            heard(account, Outcome.UNKNOWN, 1.9, 2.0)
        heard(account, Outcome.UNKNOWN, 1.9, 2.0, foreign=True)
        assert why(account) is None
        heard(account, Outcome.NOT_SENT, 1.9, 2.0)
        heard(account, Outcome.PERMANENT, 1.9, 2.0)
        for _ in range(UNKNOWNS - 1):
            heard(account, Outcome.UNKNOWN, 2.1, 2.2)
        assert why(account) is None
        heard(account, Outcome.UNKNOWN, 2.1, 2.2, retry_after=7.0)
        assert (why(account), account.opens_at()) == (Reason.OUTCOMES_UNKNOWN, 2.2 + max(7.0, UNKNOWN_PROBES[0]))

    @pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.THROTTLED, Outcome.TRANSIENT, Outcome.PERMANENT])
    def test_anything_certain_ends_a_rest_for_unknown_outcomes(
        self, account: Account, law: Law, outcome: Outcome
    ) -> None:
        """Of a message that went after it began."""
        for _ in range(UNKNOWNS):
            heard(account, Outcome.UNKNOWN, 1.9, 2.0)
        heard(account, outcome, 1.95, 2.1)
        assert why(account) == Reason.OUTCOMES_UNKNOWN
        account.admitted(3.0, 1.0, waited=False)
        heard(account, outcome, 3.0, 3.1)
        assert why(account) is None
        assert ("thaw", 3.1) in law.told

    def test_an_accepted_message_ends_the_row_of_unknown_ones(self, account: Account) -> None:
        """It begins anew."""
        for _ in range(2):
            for _ in range(UNKNOWNS - 1):
                heard(account, Outcome.UNKNOWN, 1.9, 2.0)
            heard(account, Outcome.ACCEPTED, 1.9, 2.0)
        assert why(account) is None

    def test_an_accepted_message_ends_every_rest_and_the_belief_in_the_figures(
        self, account: Account, law: Law
    ) -> None:
        """Of one that went after they began; those that were under way end none."""
        account.figures(1.5, SendQuota(max_24_hour_send=100.0, sent_last_24_hours=100.0, max_send_rate=14.0))
        heard(account, Outcome.ACCOUNT_BLOCKED, 1.9, 2.0)
        for _ in range(UNKNOWNS):
            heard(account, Outcome.UNKNOWN, 1.9, 2.0)
        heard(account, Outcome.NOT_SENT, 1.9, 2.0, blocks_endpoint=True)
        assert account.day.remaining() == 0.0
        heard(account, Outcome.ACCEPTED, 1.4, 2.1)
        assert why(account) == Reason.ACCOUNT_BLOCKED
        account.admitted(99.0, 1.0, waited=False)
        law.told.clear()
        heard(account, Outcome.ACCEPTED, 99.0, 99.1, cost=2.0)
        assert (why(account), account.day.remaining(), account.opens_at()) == (None, math.inf, 0.0)
        assert law.told == [("accepted", 99.1, 2.0, 99.0, 99.05), ("thaw", 99.1)]

    def test_the_first_of_the_reasons_is_told(self, account: Account) -> None:
        """A hold, a block, the day, the endpoint, what others tell, then the unknown."""
        for _ in range(UNKNOWNS):
            heard(account, Outcome.UNKNOWN, 1.9, 2.0)
        reasons = [why(account)]
        account.others_rest(2.0, {"held: by another": math.inf})
        reasons.append(why(account))
        heard(account, Outcome.NOT_SENT, 2.0, 2.0, blocks_endpoint=True)
        reasons.append(why(account))
        heard(account, Outcome.QUOTA_EXCEEDED, 1.9, 2.0)
        reasons.append(why(account))
        heard(account, Outcome.ACCOUNT_BLOCKED, 1.9, 2.0)
        reasons.append(why(account))
        account.hold(2.0, "mine")
        account.hold(2.0, "mine too")
        reasons.append(why(account))
        assert reasons == [
            Reason.OUTCOMES_UNKNOWN,
            "by another",
            Reason.ENDPOINT_UNREACHABLE,
            Reason.QUOTA_EXCEEDED,
            Reason.ACCOUNT_BLOCKED,
            "mine",
        ]

    def test_a_hold_lasts_until_it_is_released(self, account: Account, law: Law) -> None:
        """By its own reason; the law thaws with the last."""
        account.hold(2.0, "a")
        account.hold(2.5, "b")
        assert (account.opens_at(), account.rests()) == (math.inf, {"held: a": math.inf, "held: b": math.inf})
        account.release(3.0, "c")
        account.release(3.5, "a")
        assert (why(account), account.opens_at()) == ("b", math.inf)
        assert law.told == [("freeze", 2.0), ("freeze", 2.5)]
        account.release(4.0, "b")
        assert (why(account), account.opens_at()) == (None, 0.0)
        assert law.told[2:] == [("thaw", 4.0)]

    def test_the_latest_of_all_moments_opens(self, account: Account) -> None:
        """The day's probe is earlier than the block's."""
        heard(account, Outcome.QUOTA_EXCEEDED, 1.9, 2.0)
        heard(account, Outcome.ACCOUNT_BLOCKED, 1.9, 3.0)
        assert account.opens_at() == 3.0 + BLOCK_PROBES[0]
        assert (account.blocked(4.0), account.out_of_quota(4.0)) == (True, True)
        assert (account.blocked(13.0), account.out_of_quota(13.0)) == (True, False)
        account.admitted(40.0, 1.0, waited=False)
        assert not account.blocked(40.0)
        assert account.opens_at() == 40.0 + QUOTA_PROBES[1]
        heard(account, Outcome.PERMANENT, 40.0, 41.0)
        assert account.opens_at() == 41.0


class TestQuota:
    """The day."""

    def test_figures_cap_the_rate_and_begin_and_end_a_rest(self, account: Account) -> None:
        """Less than one recipient left is none; a rate of nothing is no rate."""
        account.figures(2.0, SendQuota(max_24_hour_send=100.0, sent_last_24_hours=99.0, max_send_rate=14.0))
        assert (why(account), account.rate(2.0)) == (None, 14.0)
        account.figures(3.0, SendQuota(max_24_hour_send=100.0, sent_last_24_hours=99.5, max_send_rate=0.0))
        assert (why(account), account.opens_at()) == (Reason.QUOTA_EXCEEDED, 3.0 + QUOTA_PROBES[0])
        account.figures(4.0, SendQuota(max_24_hour_send=100.0, sent_last_24_hours=50.0, max_send_rate=14.0))
        assert account.opens_at() == 4.0

    def test_what_is_left_is_used_up(self, account: Account, law: Law) -> None:
        """The last recipient begins the rest; what others send is not known."""
        account.figures(2.0, SendQuota(max_24_hour_send=100.0, sent_last_24_hours=97.0, max_send_rate=14.0))
        heard(account, Outcome.ACCEPTED, 2.0, 2.1, cost=2.0)
        assert why(account) is None
        heard(account, Outcome.ACCEPTED, 2.0, 2.2, cost=1.0)
        assert (why(account), account.opens_at()) == (Reason.QUOTA_EXCEEDED, 2.2 + QUOTA_PROBES[0])
        heard(account, Outcome.ACCEPTED, 2.0, 2.3, cost=1.0)
        assert account.opens_at() == 2.2 + QUOTA_PROBES[0]

    def test_quota_is_back_when_the_first_of_a_day_ago_leave(self, account: Account, law: Law) -> None:
        """Or with the next probe, where nothing was seen to be sent."""
        assert account.quota_back_in(2.0) == pytest.approx(1.0 + DAY - 2.0)
        unseen = Account(law)
        heard(unseen, Outcome.QUOTA_EXCEEDED, 1.9, 2.0)
        assert unseen.quota_back_in(5.0) == 2.0 + QUOTA_PROBES[0] - 5.0
        assert unseen.quota_back_in(50.0) == 0.0


class TestEndpoint:
    """Whether anybody is there."""

    def test_an_endpoint_is_given_up_after_so_long(self, account: Account) -> None:
        """Counted from the first failure, and while it is too early for another attempt."""
        assert account.unreachable_for(2.0) == 0.0
        heard(account, Outcome.NOT_SENT, 1.9, 2.0, blocks_endpoint=True)
        assert account.unreachable_for(2.4) == pytest.approx(0.4)
        assert account.given_up(2.4, 0.3)
        assert not account.given_up(2.4, 0.5)
        assert not account.given_up(2.6, 0.3)  # it is time for another attempt

    @pytest.mark.parametrize(("failures", "wait", "given_up"), [(2, 0.0, False), (3, 0.0, True), (3, 0.1, False)])
    def test_one_never_reached_is_given_up_after_three_failures(
        self, law: Law, failures: int, wait: float, given_up: bool
    ) -> None:
        """One that says when to come again is there."""
        account, now = Account(law), 0.0
        for _ in range(failures):
            account.admitted(now, 1.0, waited=False)
            heard(account, Outcome.NOT_SENT, now, now + 0.1, blocks_endpoint=True, retry_after=wait)
            now += 10.0
        assert math.isinf(account.unreachable_for(now)) is given_up


class TestIdentities:
    """A sender that is refused, while others go."""

    def test_one_sender_is_refused_alone(self, account: Account) -> None:
        """Until a message of its own is accepted; a probe at a time."""
        heard(account, Outcome.ACCOUNT_BLOCKED, 1.9, 2.0, sender="a@example.org", identity="a@example.org")
        assert why(account) is None
        assert (account.blocks("a@example.org", 3.0), account.blocks("b@example.org", 3.0)) == (True, False)
        opens_at = 2.0 + BLOCK_PROBES[0]
        assert not account.blocks("a@example.org", opens_at)
        account.admitted(opens_at, 1.0, waited=False, identity="a@example.org")
        assert account.blocks("a@example.org", opens_at + 1.0)
        heard(account, Outcome.TRANSIENT, opens_at, opens_at + 1.0, sender="a@example.org")
        assert not account.blocks("a@example.org", opens_at + 1.0)
        heard(account, Outcome.ACCEPTED, opens_at + 2.0, opens_at + 3.0, sender="b@example.org")
        assert "a@example.org" in account.identities
        heard(account, Outcome.ACCEPTED, 1.0, opens_at + 3.0, sender="a@example.org")
        assert "a@example.org" in account.identities
        heard(account, Outcome.ACCEPTED, opens_at + 2.0, opens_at + 3.0, sender="a@example.org")
        assert account.identities == {}

    def test_without_a_known_sender_the_account_rests(self, account: Account) -> None:
        """Nobody can be told from anybody."""
        heard(account, Outcome.ACCOUNT_BLOCKED, 1.9, 2.0, identity="a@example.org")
        assert why(account) == Reason.ACCOUNT_BLOCKED
        assert account.rests() == {Reason.ACCOUNT_BLOCKED: 2.0 + BLOCK_PROBES[0]}

    def test_the_oldest_of_a_thousand_is_forgotten(self, account: Account) -> None:
        """It finds out again."""
        for number in range(IDENTITIES):
            heard(account, Outcome.ACCOUNT_BLOCKED, 1.9, 2.0, sender=f"{number}", identity=f"{number}")
        heard(account, Outcome.ACCOUNT_BLOCKED, 1.9, 2.0, sender="0", identity="0")
        assert len(account.identities) == IDENTITIES
        assert "0" in account.identities
        heard(account, Outcome.ACCOUNT_BLOCKED, 1.9, 2.0, sender="new", identity="new")
        assert len(account.identities) == IDENTITIES
        assert ("0" in account.identities, "1" in account.identities, "new" in account.identities) == (
            False,
            True,
            True,
        )


class TestOthers:
    """What other processes are told, and tell."""

    @pytest.mark.parametrize(
        ("outcome", "stage", "sender", "told"),
        [
            (Outcome.QUOTA_EXCEEDED, None, "", [Reason.QUOTA_EXCEEDED]),
            (Outcome.QUOTA_EXCEEDED, Stage.BEFORE, "", []),
            (Outcome.ACCOUNT_BLOCKED, Stage.DOT, "", [Reason.ACCOUNT_BLOCKED]),
            (Outcome.ACCOUNT_BLOCKED, Stage.BEFORE, "", []),
        ],
    )
    def test_they_hear_what_the_service_said(
        self, account: Account, outcome: Outcome, stage: Stage | None, sender: str, told: list[str]
    ) -> None:
        """Not what is kept back on this side."""
        assert account.rests() == {}
        heard(account, outcome, 1.9, 2.0, stage=stage, sender=sender)
        assert list(account.rests()) == told

    def test_they_hear_when_it_is_over(self, account: Account) -> None:
        """What the service said of one rest says nothing of a later one that it did not begin."""
        heard(account, Outcome.QUOTA_EXCEEDED, 1.9, 2.0)
        assert account.rests() == {Reason.QUOTA_EXCEEDED: 2.0 + QUOTA_PROBES[0]}
        account.admitted(20.0, 1.0, waited=False)
        heard(account, Outcome.ACCEPTED, 20.0, 20.1)
        assert account.rests() == {}
        heard(account, Outcome.QUOTA_EXCEEDED, 21.0, 21.1, stage=Stage.BEFORE)
        assert account.rests() == {}

    def test_one_refused_sender_is_nothing_to_others(self, account: Account) -> None:
        """They may send as another."""
        heard(account, Outcome.ACCOUNT_BLOCKED, 1.9, 2.0, sender="a@example.org", identity="a@example.org")
        account.hold(2.0, "mine")
        assert account.rests() == {"held: mine": math.inf}

    def test_what_they_tell_rests_here_too(self, account: Account, law: Law) -> None:
        """For three seconds longer: who told it has the probe, and tells again."""
        account.others_rest(2.0, {})
        assert law.told == []
        account.others_rest(2.0, {Reason.QUOTA_EXCEEDED: 5.0})
        assert (why(account), account.opens_at(), law.told) == (Reason.QUOTA_EXCEEDED, 5.0 + GRACE, [("freeze", 2.0)])
        assert (account.out_of_quota(7.9), account.out_of_quota(8.0), account.blocked(7.9)) == (True, False, False)
        account.others_rest(2.5, {Reason.ACCOUNT_BLOCKED: 5.0})
        assert (account.blocked(7.9), account.blocked(8.0)) == (True, False)
        account.others_rest(3.0, {})
        assert (why(account), account.opens_at()) == (Reason.ACCOUNT_BLOCKED, 2.5)  # one message goes first

    def test_what_is_over_is_not_waited_for(self, account: Account, law: Law) -> None:
        """Three seconds after its end."""
        account.others_rest(9.0, {"held: by another": 6.0})
        assert (why(account), account.opens_at()) == (None, 0.0)
        law.told.clear()
        account.others_rest(9.0, {"held: by another": 6.1})
        assert (why(account), account.opens_at()) == ("by another", 6.1 + GRACE)
        account.others_rest(9.5, {})
        assert (why(account), law.told) == (None, [("freeze", 9.0), ("thaw", 9.5)])
