"""What `seslimit doctor --measure` makes of verdicts: every kind of counting is named, with its figures within 10 %."""

from __future__ import annotations

import pytest

from seslimit.cli.doctor._inference import EASY, FLOODS, Experiments, Finding, Observation, infer
from seslimit.testing import Schedule
from seslimit.testing._counting import counting_of
from seslimit.testing.services import Counting

pytestmark = pytest.mark.once

REST = 8.3
"""Seconds between two experiments, no multiple of a window."""


def observed(service: Counting, begin: float, pace: float, seconds: float) -> list[Observation]:
    """What becomes of messages at an even pace."""
    moments = [begin + number / pace for number in range(int(seconds * pace))]
    return [Observation(at, service.take(at, 1)) for at in moments]


def found(counting: str, rate: float, seed: int = 3) -> Finding:
    """The finding about a service of the family."""
    service = counting_of(counting, Schedule.constant(rate), seed)
    floods, at = [], 100.123
    for multiple in FLOODS:
        floods.append(observed(service, at, multiple * rate, 12.0))
        at += 12.0 + REST
    easy = observed(service, at, EASY * rate, 400 / rate)
    return infer(Experiments(rate, (floods[0], floods[1]), easy))


@pytest.mark.parametrize("rate", [7.0, 14.0, 50.0, 200.0])
@pytest.mark.parametrize(
    ("counting", "kind", "figures"),
    [
        ("bucket:depth=0.2", "bucket", {"depth": 0.2}),
        ("bucket", "bucket", {"depth": 1.0}),
        ("bucket:depth=5", "bucket", {"depth": 5.0}),
        ("sliding", "sliding", {"seconds": 1.0}),
        ("sliding:seconds=2", "sliding", {"seconds": 2.0}),
        ("fixed", "fixed", {"seconds": 1.0}),
        ("fixed:seconds=2,offset=0.9", "fixed", {"seconds": 2.0}),
        ("stale:age=0.5", "stale", {"age": 0.5}),
        ("stale:age=1", "stale", {"age": 1.0}),
        ("two-windows", "two-windows", {"seconds": 1.0}),
        ("bucket:refusal_cost=1", "bucket", {"refusal_cost": 1.0}),
        ("front-ends", "front-ends", {}),
        ("front-ends:number=2", "front-ends", {}),
    ],
)
def test_the_kind_and_its_figures(counting: str, kind: str, figures: dict[str, float], rate: float) -> None:
    """Seen in two floods and an easy run."""
    finding = found(counting, rate)
    assert finding.counting.kind == kind, finding
    assert {name: finding.counting.figures[name] for name in figures} == pytest.approx(figures, rel=0.1)
    if kind != "two-windows":
        assert finding.rate == pytest.approx(rate, rel=0.1)


@pytest.mark.parametrize("share", [0.05, 0.1])
def test_refusals_by_chance(share: float) -> None:
    """Named as such, with the share as near as 200 messages can say; the bucket behind it is found too."""
    finding = found(f"chance:share={share}", 14.0)
    assert finding.counting.kind == "chance"
    assert finding.counting.figures["share"] == pytest.approx(share, abs=0.03)
    assert finding.rate == pytest.approx(14.0, rel=0.1)


@pytest.mark.parametrize("counting", ["rival:every=20", "noisy:spread=0.05"])
def test_what_looks_like_a_bucket(counting: str) -> None:
    """A rival now and then, or a little noise; the words say so."""
    finding = found(counting, 14.0)
    assert finding.counting.kind == "bucket"
    assert "looks the same" in finding.words
