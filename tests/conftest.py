"""Settings of the whole suite."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# The definitions of the scenarios are shared with the benchmarks.
sys.path.insert(0, str(Path(__file__).parent.parent))

# No deadline, since nothing here measures speed, and the same examples in every run: a failure is one of the change.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Begin each test with the same random numbers: the jitter of a backoff is drawn from the global ones."""
    random.seed(0)
