"""The messenger against requests that schemathesis makes from its description."""

from __future__ import annotations


def test_no_generated_request_gets_an_answer_that_is_not_described() -> None:
    """No 5xx, nothing well-formed refused; `python -m benchmarks.messenger_fuzz` makes 2,000 of them."""
    from benchmarks.messenger_fuzz import fuzz

    answers = fuzz(150)
    assert sum(answers.values()) >= 150
    assert answers["POST / positive", 200] >= 60
    assert answers["POST / negative", 400] + answers["POST / negative", 401] > 30
    assert not [status for _, status in answers if status >= 500]
