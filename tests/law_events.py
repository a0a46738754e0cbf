"""Events of the control law for the tests of its decisions."""

from __future__ import annotations

from typing import Any

from seslimit._law.evidence import Arrivals, Event


def emptied(**told: Any) -> Event:
    """An event of one throttle at 10 s, at a limit of 100/s that is well known."""
    known: dict[str, Any] = {
        "opened": 10.1,
        "first": 10.0,
        "last": 10.0,
        "pace": 100.0,
        "prior": 100.0,
        "strong": True,
        "seconds": None,
        "before": 0.0,
        "drawn": 0.0,
        "after": [],
        "arrivals": Arrivals(),
        "throttles": 1,
    }
    return Event(**{**known, **told})
