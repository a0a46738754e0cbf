"""The control law on services that count in other ways; `python -m benchmarks.services` shows the whole table."""

from __future__ import annotations

import pytest

from seslimit._law.rate import AdaptiveRate
from seslimit.testing import Schedule
from seslimit.testing.services import DebtBucket

from .simulations.services import Cell, Row, Simulation, measure

pytestmark = pytest.mark.once

CELLS = [
    # What a refusal does: costs a token, or closes a window, or is read late.
    (Cell("refusals-cost", 14.0, "told", "near"), 0.95, 0.005),
    (Cell("refusals-cost", 100.0, "GetAccount", "api"), 0.95, 0.005),
    (Cell("fixed-window", 14.0, "told", "near"), 0.95, 0.005),
    (Cell("fixed-window", 100.0, "GetAccount", "near"), 0.95, 0.005),
    (Cell("sliding-window", 100.0, "unknown", "smtp"), 0.95, 0.005),
    (Cell("stale-0.1s", 14.0, "unknown", "near"), 0.95, 0.012),
    (Cell("stale-0.5s", 100.0, "GetAccount", "near"), 0.95, 0.005),
    # What no pace avoids.
    (Cell("chance-1%", 100.0, "told", "smtp"), 0.9, 0.01),
    (Cell("chance-2%", 100.0, "told", "near"), 0.9, 0.01),
    (Cell("chance-5%", 100.0, "GetAccount", "near"), 0.6, 0.015),
    (Cell("chance-10%", 100.0, "told", "near"), 0.85, 0.015),
    (Cell("chance-5%", 14.0, "unknown", "near"), 0.85, 0.015),
    # Who else sends.
    (Cell("rival-heavy-20s", 14.0, "told", "near"), 0.93, 0.015),
    (Cell("rival-heavy-20s", 14.0, "told", "smtp"), 0.93, 0.015),
    (Cell("bucket", 1.0, "told", "far"), 0.95, 0.015),
    (Cell("rival", 100.0, "told", "near"), 0.95, 0.015),
    (Cell("rival-heavy-60s", 14.0, "told", "near"), 0.93, 0.015),
    (Cell("rival-heavy-20s", 100.0, "told", "near"), 0.93, 0.015),
    # And what the law was made for.
    (Cell("bucket", 100.0, "unknown", "api"), 0.99, 0.004),
    (Cell("bucket-0.1s", 100.0, "GetAccount", "smtp"), 0.99, 0.0015),
]
"""Cells with the least share of the oracle's use and the most throttled beyond what no pace avoids."""


@pytest.mark.parametrize(
    ("cell", "least", "most"),
    [pytest.param(*row, id=f"{row[0].service} {row[0].rate:g} {row[0].knows} {row[0].door}") for row in CELLS],
)
def test_a_service_is_used_well_however_it_counts(cell: Cell, least: float, most: float) -> None:
    """The seed is fixed; the oracle is the best constant pace in the same simulation."""
    row = measure(cell, (1,))
    assert row.used >= least * row.oracle
    assert row.excess <= most


@pytest.mark.parametrize(("door", "least"), [("near", 0.985), ("smtp", 0.97), ("api", 0.97)])
def test_large_messages_among_small_ones_keep_the_rate_of_a_shallow_bucket(door: str, least: float) -> None:
    """
    Every tenth to 40 recipients, 20 of which the bucket holds: 70-88 % were used, and up to 4 % throttled, while a
    small message could arrive after the large one that it went before.
    """
    law = AdaptiveRate()
    law.cap(0.0, 100.0)
    bucket = DebtBucket(Schedule.constant(100.0), 0.2)
    figures = Simulation(law, bucket, door, 5, heavy=0.1, heavy_cost=40, begin=5.0).run(65.0)
    assert figures.accepted >= least * 100.0 * figures.seconds
    assert figures.share <= 0.005


@pytest.mark.parametrize(
    ("service", "used", "refused", "verdict"),
    [
        ("front-ends-4", 0.7, 0.018, "not met: floor"),
        ("bucket", 0.97, 0.02, "not met"),
        ("bucket", 0.8, 0.0, "not met"),
        ("bucket", 0.99, 0.002, "met"),
    ],
)
def test_a_cell_says_whether_a_constant_pace_would_do_better(
    service: str, used: float, refused: float, verdict: str
) -> None:
    """Four machines with 3.5/s each throttle 2 % of any 10/s by chance; one bucket of 14/s throttles nothing of it."""
    row = Row(Cell(service, 14.0, "told", "near"), used, refused, oracle=0.5 if used < 0.75 else 1.0, unavoidable=0.0)
    assert row.verdict((1,)).startswith(verdict)
    assert ("floor" in row.verdict((1,))) == ("floor" in verdict)
