"""Killed at random moments and at named points, an outbox loses nothing; the long run is in benchmarks/outbox_kills."""

from __future__ import annotations

import pytest

from tests.outbox_killing import at_point, at_random

pytestmark = [pytest.mark.once, pytest.mark.timeout(300)]


@pytest.mark.parametrize("on_unknown", ["resend", "hold"])
def test_killed_at_random_moments(on_unknown: str) -> None:
    """Lost 0, unexpected 0, doubled at most what was in doubt, and nothing where that is held; both ledgers agree."""
    told = at_random(3, 600, on_unknown, 1)
    assert told.well, told.row


@pytest.mark.parametrize("step", ["begins", "ends"])
def test_killed_before_and_after_what_is_recorded_around_an_attempt(step: str) -> None:
    """The steps between which a message is in doubt."""
    told = at_point(step, 150, "resend", 1)
    assert told.well, told.row
