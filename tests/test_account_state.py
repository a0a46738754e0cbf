"""What is believed about an account: when it rests, what ends a rest, and that the control law is frozen meanwhile."""

from __future__ import annotations

import math

import pytest

from seslimit import Outcome, SendQuota
from seslimit._law.account import (
    BLOCK_PROBES,
    ENDPOINT_PROBES,
    FIRST_ALONE,
    FIRST_FAILURES,
    QUOTA_PROBES,
    Account,
)
from seslimit._law.rate import AdaptiveRate
from seslimit._model.meaning import Meaning

pytestmark = pytest.mark.once

RATE = 10.0


class Law(AdaptiveRate):
    """A control law that remembers what it heard and whether it is frozen."""

    def __init__(self) -> None:
        super().__init__(RATE)
        self.frozen = False
        self.heard: list[str] = []

    def freeze(self, now: float) -> None:
        """Remember."""
        super().freeze(now)
        self.frozen = True

    def thaw(self, now: float) -> None:
        """Remember."""
        super().thaw(now)
        self.frozen = False

    def accepted(self, now: float, cost: float, *, admitted_at: float, decided_at: float) -> None:
        """Remember."""
        super().accepted(now, cost, admitted_at=admitted_at, decided_at=decided_at)
        self.heard.append("accepted")

    def throttled(self, now: float, cost: float, *, admitted_at: float, decided_at: float, pause: float = 0.0) -> None:
        """Remember."""
        super().throttled(now, cost, admitted_at=admitted_at, decided_at=decided_at, pause=pause)
        self.heard.append("throttled")


@pytest.fixture
def law() -> Law:
    """The law of the account."""
    return Law()


@pytest.fixture
def account(law: Law) -> Account:
    """An account that was reached before."""
    account = Account(law)
    attempt(account, 0.0, Outcome.ACCEPTED)
    law.heard.clear()
    return account


def attempt(
    account: Account,
    at: float,
    outcome: Outcome | None,
    *,
    took: float = 0.1,
    retry_after: float = 0.0,
    blocks: bool = False,
) -> None:
    """One admission and what became of it."""
    account.admitted(at, 1, waited=True)
    settle(account, at, at + took, outcome, retry_after=retry_after, blocks=blocks)


def settle(
    account: Account, at: float, now: float, outcome: Outcome | None, *, retry_after: float = 0.0, blocks: bool = False
) -> None:
    """What became of an admission at `at` is read at `now`."""
    meaning = None if outcome is None else Meaning(outcome, retry_after=retry_after, blocks_endpoint=blocks)
    account.settle(now, meaning, cost=1, admitted_at=at, decided_at=at)


@pytest.mark.parametrize(
    ("outcome", "heard"),
    [
        (Outcome.ACCEPTED, "accepted"),
        (Outcome.THROTTLED, "throttled"),
        (Outcome.QUOTA_EXCEEDED, None),
        (Outcome.NOT_SENT, None),
        (Outcome.TRANSIENT, None),
        (Outcome.PERMANENT, None),
        (Outcome.ACCOUNT_BLOCKED, None),
        (Outcome.UNKNOWN, None),
        (None, None),
    ],
)
def test_the_law_hears_of_the_rate_only(account: Account, law: Law, outcome: Outcome | None, heard: str | None) -> None:
    """What was accepted and what was throttled; anything else says nothing of the rate."""
    attempt(account, 1.0, outcome)
    assert law.heard == ([] if heard is None else [heard])


def test_a_throttle_is_no_rest(account: Account) -> None:
    """The law slows down and nothing else."""
    attempt(account, 1.0, Outcome.THROTTLED)
    assert account.paused is None


def test_a_throttle_with_a_wait_holds_everything_so_long(account: Account) -> None:
    """The service asked for it."""
    attempt(account, 1.0, Outcome.THROTTLED, took=0.1, retry_after=60.0)
    assert account.opens_at() >= 61.1


def test_an_exceeded_quota_rests_and_freezes_the_law(account: Account, law: Law) -> None:
    """Nothing is learnt of the rate while the day refuses."""
    attempt(account, 1.0, Outcome.QUOTA_EXCEEDED)
    assert (account.paused, account.opens_at(), law.frozen) == ("quota exceeded", 1.1 + QUOTA_PROBES[0], True)


def test_an_accepted_probe_ends_the_rest_and_thaws_the_law(account: Account, law: Law) -> None:
    """Sending goes on at the rate of before."""
    attempt(account, 1.0, Outcome.QUOTA_EXCEEDED)
    attempt(account, account.opens_at(), Outcome.ACCEPTED)
    assert (account.paused, account.opens_at(), law.frozen) == (None, 0.0, False)
    assert law.rate(20.0) == pytest.approx(RATE, rel=0.01)


def test_only_the_probe_may_go(account: Account) -> None:
    """Until it is settled, or was forgotten, nobody else is let through."""
    attempt(account, 1.0, Outcome.QUOTA_EXCEEDED)
    at = account.opens_at()
    account.admitted(at, 1, waited=True)
    assert account.opens_at() == at + QUOTA_PROBES[1]


@pytest.mark.parametrize("outcome", [None, Outcome.TRANSIENT, Outcome.PERMANENT, Outcome.UNKNOWN, Outcome.NOT_SENT])
def test_a_probe_that_says_nothing_of_the_day_is_followed_by_another(account: Account, outcome: Outcome | None) -> None:
    """Otherwise the rest would never end."""
    attempt(account, 1.0, Outcome.QUOTA_EXCEEDED)
    at = account.opens_at()
    attempt(account, at, outcome)
    assert account.paused == "quota exceeded"
    assert account.opens_at() == pytest.approx(at + 0.1)


def test_refusals_under_way_do_not_lengthen_the_rest(account: Account) -> None:
    """Fifty in flight make one rest with one wait."""
    for number in range(50):
        account.admitted(number / 100, 1, waited=True)
    for number in range(50):
        settle(account, number / 100, 1.0 + number / 100, Outcome.QUOTA_EXCEEDED)
    assert account.opens_at() == 1.0 + QUOTA_PROBES[0]


def test_acceptances_under_way_neither_end_nor_lengthen_a_rest(account: Account) -> None:
    """They were decided before it began."""
    account.figures(0.5, SendQuota(200, RATE, 195))
    for number in range(8):
        account.admitted(1 + number / 100, 1, waited=True)
    for number in range(8):
        settle(account, 1 + number / 100, 2.0 + number / 100, Outcome.ACCEPTED)
    assert (account.paused, account.quota_pause.failures) == ("quota exceeded", 1)
    assert account.opens_at() == 2.04 + QUOTA_PROBES[0]


def test_figures_without_a_remainder_begin_a_rest(account: Account, law: Law) -> None:
    """No message has to find out."""
    account.figures(1.0, SendQuota(200, RATE, 200))
    assert (account.paused, law.frozen) == ("quota exceeded", True)


def test_figures_with_a_remainder_let_a_probe_go_at_once(account: Account) -> None:
    """The probe ends the rest; the figures alone do not, for they lag."""
    attempt(account, 1.0, Outcome.QUOTA_EXCEEDED)
    account.figures(5.0, SendQuota(200, RATE, 150))
    assert (account.paused, account.opens_at()) == ("quota exceeded", 5.0)
    attempt(account, 5.0, Outcome.ACCEPTED)
    assert account.paused is None


def test_an_accepted_probe_shows_that_the_figures_are_out_of_date(account: Account) -> None:
    """Otherwise every acceptance would begin the next rest."""
    account.figures(1.0, SendQuota(200, RATE, 200))
    states = []
    for _ in range(3):
        attempt(account, max(20.0, account.opens_at()), Outcome.ACCEPTED)
        states.append(account.paused)
    assert states == [None, None, None]


def test_what_is_left_by_the_figures_is_used_to_the_end_and_no_further(account: Account) -> None:
    """Five are left: five are accepted, then the rest begins without a refusal."""
    account.figures(1.0, SendQuota(200, RATE, 195))
    states = []
    for number in range(5):
        attempt(account, 2.0 + number, Outcome.ACCEPTED)
        states.append(account.paused)
    assert states == [None, None, None, None, "quota exceeded"]


def test_figures_cap_the_rate(account: Account) -> None:
    """In both directions of time: fresh ones replace it."""
    account.figures(1.0, SendQuota(-1, 4.0, 0))
    assert account.law.rate(1.0) == 4.0


def test_an_unreachable_endpoint_rests_and_is_tried_again(account: Account, law: Law) -> None:
    """Twice as long after each failure."""
    attempt(account, 1.0, Outcome.NOT_SENT, took=0.0, blocks=True)
    assert (account.paused, account.opens_at()) == ("endpoint unreachable", 1.0 + ENDPOINT_PROBES[0])
    attempt(account, 1.5, Outcome.NOT_SENT, took=0.0, blocks=True)
    assert account.opens_at() == 1.5 + 2 * ENDPOINT_PROBES[0]
    assert law.frozen


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.QUOTA_EXCEEDED, Outcome.ACCOUNT_BLOCKED}))
def test_any_reply_shows_that_the_endpoint_is_reached(account: Account, law: Law, outcome: Outcome) -> None:
    """Even a refusal, for it came over a connection."""
    attempt(account, 1.0, Outcome.NOT_SENT, blocks=True)
    attempt(account, account.opens_at(), outcome)
    assert (account.paused, law.frozen) == (None, False)


def test_a_lost_connection_is_no_rest(account: Account) -> None:
    """A new one mends it."""
    attempt(account, 1.0, Outcome.NOT_SENT)
    assert account.paused is None


def test_two_reasons_to_rest_end_one_by_one(account: Account, law: Law) -> None:
    """The law stays frozen until both are over."""
    attempt(account, 1.0, Outcome.QUOTA_EXCEEDED)
    attempt(account, account.opens_at(), Outcome.NOT_SENT, blocks=True)
    seen = []
    for outcome in (Outcome.TRANSIENT, Outcome.ACCEPTED):
        attempt(account, account.opens_at(), outcome)
        seen.append((account.quota_pause.active, account.endpoint_pause.active, law.frozen))
    assert seen == [(True, False, True), (False, False, False)]


def test_an_endpoint_never_reached_is_given_up_soon() -> None:
    """After three failures it is the configuration that is wrong."""
    account = Account(AdaptiveRate(RATE))
    waited = []
    for _ in range(FIRST_FAILURES):
        at = account.opens_at()
        attempt(account, at, Outcome.NOT_SENT, took=0.0, blocks=True)
        waited.append(account.unreachable_for(at))
    assert waited == [0.0, 0.5, math.inf]


def test_an_endpoint_once_reached_is_waited_for(account: Account) -> None:
    """However many attempts fail, the time counts."""
    at = 1.0
    for _ in range(10):
        attempt(account, at, Outcome.NOT_SENT, took=0.0, blocks=True)
        at = account.opens_at()
    assert account.unreachable_for(at) == at - 1.0


def test_a_cancelled_probe_of_the_endpoint_is_followed_by_another(account: Account) -> None:
    """At once."""
    attempt(account, 1.0, Outcome.NOT_SENT, blocks=True)
    at = account.opens_at()
    attempt(account, at, None)
    assert account.opens_at() == pytest.approx(at + 0.1)


def test_an_endpoint_in_reach_is_unreachable_for_no_time(account: Account) -> None:
    """Also after a rest is over."""
    attempt(account, 1.0, Outcome.NOT_SENT, blocks=True)
    attempt(account, account.opens_at(), Outcome.ACCEPTED)
    assert account.unreachable_for(100.0) == 0.0


def test_the_first_message_goes_alone() -> None:
    """A wrong password fails one login, not a hundred."""
    account = Account(AdaptiveRate(RATE))
    account.admitted(1.0, 1, waited=False)
    assert account.opens_at() == 1.0 + FIRST_ALONE


@pytest.mark.parametrize("outcome", [None, *sorted(set(Outcome) - {Outcome.ACCOUNT_BLOCKED})])
def test_after_the_first_message_others_may_go(outcome: Outcome | None) -> None:
    """Whatever became of it; where it did not get through, the next one goes alone again."""
    account = Account(AdaptiveRate(RATE))
    attempt(account, 1.0, outcome, blocks=outcome is Outcome.NOT_SENT)
    at = max(2.0, account.opens_at())
    assert at <= 1.1 + QUOTA_PROBES[0]
    account.admitted(at, 1, waited=False)
    alone = outcome in (None, Outcome.NOT_SENT, Outcome.QUOTA_EXCEEDED)
    assert (account.opens_at() >= at + ENDPOINT_PROBES[1]) == alone


def test_a_caller_that_will_not_tell_lets_the_others_go() -> None:
    """The face of aiolimiter knows no outcomes."""
    account = Account(AdaptiveRate(RATE))
    account.admitted(1.0, 1, waited=False)
    account.reached()
    assert account.opens_at() == 0.0


def test_a_blocked_account_rests_and_is_tried_again(account: Account, law: Law) -> None:
    """After half a minute at first: somebody has to act before it can be over."""
    attempt(account, 1.0, Outcome.ACCOUNT_BLOCKED, took=0.0)
    assert (account.paused, account.opens_at()) == ("account blocked", 1.0 + BLOCK_PROBES[0])
    assert account.blocked(1.0 + BLOCK_PROBES[0] - 0.1)
    assert not account.blocked(1.0 + BLOCK_PROBES[0])
    assert law.frozen


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.ACCEPTED, Outcome.ACCOUNT_BLOCKED}))
def test_only_an_accepted_message_ends_a_block(account: Account, outcome: Outcome) -> None:
    """Everything else may be said to a blocked account as well."""
    attempt(account, 1.0, Outcome.ACCOUNT_BLOCKED)
    attempt(account, 40.0, outcome)
    assert account.block_pause.active
    attempt(account, 60.0, Outcome.ACCEPTED)
    assert not account.block_pause.active
