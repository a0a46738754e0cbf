"""A short month of an account; `python -m benchmarks.month` shows a whole one."""

from __future__ import annotations

import pytest

from .simulations.month import measure


@pytest.mark.once
def test_days_that_each_bring_something_else_are_used_and_nothing_is_lost() -> None:
    """Three days of four minutes: rates change, others send, and a night lies between; the seed is fixed."""
    figures = measure(3, 4.0, 1)
    assert (figures.lost, figures.doubled) == (0, 0)
    assert figures.share >= 0.97
    assert figures.refused <= 0.01 * figures.attempts
