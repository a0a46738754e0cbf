"""What Postbox's answers mean, beyond what the conformance kit asks of every transport."""

from __future__ import annotations

import pytest
from seslimit_postbox._answers import outcome_of, refusal, seconds

from seslimit import Outcome


@pytest.mark.parametrize(
    ("status", "error", "outcome"),
    [
        (429, "too_fast", Outcome.THROTTLED),
        (429, "daily_quota", Outcome.QUOTA_EXCEEDED),
        (401, "bad_token", Outcome.ACCOUNT_BLOCKED),
        (422, "bad_recipient", Outcome.PERMANENT),
        (503, "try_later", Outcome.TRANSIENT),
        (502, "", Outcome.UNKNOWN),
        (307, "", Outcome.UNKNOWN),
    ],
)
def test_an_answer_means(status: int, error: str, outcome: Outcome) -> None:
    """A gateway's error may hide an acceptance; every other refusal is one."""
    assert outcome_of(status, error) is outcome


@pytest.mark.parametrize(
    ("header", "expected"), [("2", 2.0), ("", 0.0), ("-1", 0.0), ("nan", 0.0), ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0)]
)
def test_retry_after_is_seconds_or_nothing(header: str, expected: float) -> None:
    """A date is left out: it would be compared with another machine's clock."""
    assert seconds(header) == expected
    assert refusal(429, "too_fast", header, decided_at=None).retry_after == expected
