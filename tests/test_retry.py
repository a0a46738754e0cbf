"""The retry policy: which outcome leads to which decision, and after what wait."""

from __future__ import annotations

import itertools

import backoff
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seslimit import Outcome, RetryPolicy
from seslimit._law.retry import SHORTEST_WAIT, Decision, GiveUp, HoldAccount, Requeue, Retry, waits
from seslimit._model.history import COUNTED, KEPT, Attempt, History

pytestmark = pytest.mark.once

NOW = 1000.0


def decided(outcome: Outcome, *, times: int = 1, now: float = NOW, policy: RetryPolicy | None = None) -> type[Decision]:
    """The kind of decision after this outcome came so many times in a row; the message began at `NOW`."""
    history = History(NOW)
    for _ in range(times):
        history = history.after(outcome)
    return type((policy or RetryPolicy()).decide(history, now))


@pytest.mark.parametrize(
    ("outcome", "decision", "counted"),
    [
        (Outcome.THROTTLED, Requeue, False),
        (Outcome.QUOTA_EXCEEDED, Requeue, False),
        (Outcome.NOT_SENT, Requeue, False),
        (Outcome.TRANSIENT, Retry, True),
        (Outcome.PERMANENT, GiveUp, True),
        (Outcome.ACCOUNT_BLOCKED, HoldAccount, False),
        (Outcome.UNKNOWN, Retry, True),
    ],
)
def test_an_outcome_leads_to_its_decision(outcome: Outcome, decision: type[Decision], counted: bool) -> None:
    """The table of the documentation: what comes next, and whether the attempt counts."""
    assert decided(outcome) is decision
    assert History(NOW).after(outcome).attempts == counted


def test_the_table_holds_every_outcome() -> None:
    """An accepted attempt counts, and there is nothing to decide after it."""
    assert History(NOW).after(Outcome.ACCEPTED).attempts == 1
    assert set(Outcome) == COUNTED | {
        Outcome.THROTTLED,
        Outcome.QUOTA_EXCEEDED,
        Outcome.NOT_SENT,
        Outcome.ACCOUNT_BLOCKED,
    }


@pytest.mark.parametrize("outcome", [Outcome.THROTTLED, Outcome.QUOTA_EXCEEDED, Outcome.NOT_SENT])
def test_what_the_message_is_not_answerable_for_never_ends_it(outcome: Outcome) -> None:
    """Ten thousand refusals later it is still requeued."""
    assert decided(outcome, times=10_000) is Requeue


@pytest.mark.parametrize("outcome", [Outcome.TRANSIENT, Outcome.UNKNOWN])
def test_the_last_counted_failure_gives_up(outcome: Outcome) -> None:
    """Three attempts are three, not four."""
    policy = RetryPolicy(max_attempts=3, max_unknown=3)
    assert [decided(outcome, times=times, policy=policy) for times in (1, 2, 3)] == [Retry, Retry, GiveUp]


def test_throttles_between_failures_do_not_count() -> None:
    """Two failures with many throttles between them leave a third attempt."""
    history = History(NOW).after(Outcome.TRANSIENT)
    for _ in range(50):
        history = history.after(Outcome.THROTTLED)
    history = history.after(Outcome.TRANSIENT)
    assert isinstance(RetryPolicy(max_attempts=3).decide(history, NOW), Retry)
    assert (history.attempts, history.throttles) == (2, 50)


def test_unknown_may_be_held() -> None:
    """Then it is never sent twice."""
    assert decided(Outcome.UNKNOWN, policy=RetryPolicy(on_unknown="hold")) is GiveUp


@pytest.mark.parametrize(
    "outcome", [Outcome.THROTTLED, Outcome.QUOTA_EXCEEDED, Outcome.NOT_SENT, Outcome.TRANSIENT, Outcome.UNKNOWN]
)
def test_an_old_message_is_given_up(outcome: Outcome) -> None:
    """Whatever stood in its way; the bound is inclusive."""
    policy = RetryPolicy(max_age=60.0)
    assert decided(outcome, now=NOW + 59.9, policy=policy) is not GiveUp
    assert decided(outcome, now=NOW + 60.0, policy=policy) is GiveUp


def test_a_blocked_account_holds_an_old_message_too() -> None:
    """It is not the message's fault."""
    assert decided(Outcome.ACCOUNT_BLOCKED, now=NOW + 61.0, policy=RetryPolicy(max_age=60.0)) is HoldAccount


@pytest.mark.parametrize(
    "options",
    [{"max_attempts": 0}, {"first_wait": 0.0}, {"max_wait": -1.0}, {"on_unknown": "guess"}],
    ids=lambda options: next(iter(options)),
)
def test_an_option_out_of_range_is_refused(options: dict[str, object]) -> None:
    """When the policy is made, not at the first failure."""
    with pytest.raises(ValueError, match=next(iter(options))):
        RetryPolicy(**options)  # type: ignore[arg-type]


@given(attempts=st.integers(1, 30), first=st.floats(0.1, 60), longest=st.floats(0.1, 3600))
def test_a_wait_is_within_its_bounds(attempts: int, first: float, longest: float) -> None:
    """From a tenth of a second to the first wait, doubled after each failure, and never above the longest."""
    policy = RetryPolicy(max_attempts=100, first_wait=first, max_wait=longest)
    history = History(NOW, attempts=attempts, outcome=Outcome.TRANSIENT)
    decision = policy.decide(history, NOW)
    assert isinstance(decision, Retry)
    assert SHORTEST_WAIT <= decision.wait <= min(longest, first * 2 ** (attempts - 1)) + 1e-9


def test_waits_are_fully_jittered() -> None:
    """A thousand waits of at most 10 s fill the whole range, so that a crowd comes back spread out."""
    policy, history = RetryPolicy(first_wait=10.0), History(NOW).after(Outcome.TRANSIENT)
    drawn = [decision.wait for _ in range(1000) if isinstance(decision := policy.decide(history, NOW), Retry)]
    assert min(drawn) < 1.0
    assert max(drawn) > 9.0
    assert 4.0 < sum(drawn) / len(drawn) < 6.0


def test_waits_double_up_to_the_longest() -> None:
    """Hand-worked."""
    assert list(itertools.islice(waits(0.5, 60.0), 9)) == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_a_first_wait_above_the_longest_is_cut() -> None:
    """The longest is a bound for every wait."""
    assert list(itertools.islice(waits(100.0, 60.0), 2)) == [60.0, 60.0]


def test_the_names_taken_from_backoff_behave() -> None:
    """What is relied on, so that the maintained fork under the same name is known to do: primed once, then waits."""
    generator = backoff.expo(base=2, factor=5, max_value=20)
    next(generator)
    assert [next(generator) for _ in range(4)] == [5, 10, 20, 20]
    drawn = [backoff.full_jitter(2.0) for _ in range(200)]
    assert 0.0 <= min(drawn) <= max(drawn) <= 2.0


def test_the_jitter_is_the_policys_own() -> None:
    """Nothing global has to be seeded for a run that can be repeated."""
    policy = RetryPolicy(first_wait=8.0, jitter=lambda bound: bound / 2)
    assert policy.decide(History(NOW).after(Outcome.TRANSIENT), NOW) == Retry(4.0)


def test_a_history_keeps_the_last_attempts_and_counts_all() -> None:
    """Each with its time, outcome and reply: a message that is throttled for a day does not fill memory."""
    history = History(NOW)
    for number in range(KEPT + 5):
        history = history.after(Outcome.THROTTLED, NOW + number, "454 Throttling failure")
    assert (len(history.recent), history.throttles, history.attempts) == (KEPT, KEPT + 5, 0)
    assert history.recent[-1] == Attempt(NOW + KEPT + 4, Outcome.THROTTLED, "454 Throttling failure")


def test_attempts_of_unknown_outcome_have_a_bound_of_their_own() -> None:
    """Each may have been accepted: two at most, within all the attempts there are, whatever lies between them."""
    assert [decided(Outcome.UNKNOWN, times=times) for times in (1, 2)] == [Retry, GiveUp]
    history = History(NOW).after(Outcome.UNKNOWN).after(Outcome.TRANSIENT)
    assert isinstance(RetryPolicy().decide(history, NOW), Retry)
    assert isinstance(RetryPolicy().decide(history.after(Outcome.UNKNOWN), NOW), GiveUp)
