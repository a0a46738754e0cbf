"""What `seslimit doctor --measure` makes of verdicts: every kind of counting is named, with its figures within 10 %."""

from __future__ import annotations

import random

import attrs
import pytest

from seslimit.cli.doctor._flood import Flood, Observation
from seslimit.cli.doctor._inference import Experiments, Finding, infer
from seslimit.cli.doctor._seen import Confidence
from seslimit.testing import CountingSpec, Schedule
from seslimit.testing._counting import counting_of

from .simulations.measuring import experiments, measured

pytestmark = pytest.mark.once


def found(counting: str, rate: float, seed: int = 3) -> Finding:
    """The finding about a service."""
    return infer(experiments(counting_of(counting, Schedule.constant(rate), seed), rate))


@pytest.mark.parametrize(
    ("member", "rate", "verdict"),
    [
        ("bucket", 1, "named"),
        ("bucket", 14, "right"),
        ("bucket-0.1s", 14, "right"),
        ("bucket-5s", 1, "right"),
        ("bucket-any-token", 14, "right"),
        ("refusals-cost", 1, "right"),
        ("refusals-cost", 14, "right"),
        ("sliding-window", 14, "right"),
        ("sliding-window-0.1s", 14, "named"),
        ("fixed-window", 14, "right"),
        ("fixed-window-0.1s", 1, "right"),
        ("fixed-window-0.1s", 14, "right"),
        ("two-windows", 14, "right"),
        ("stale-0.25s", 14, "right"),
        ("stale-1s", 1, "right"),
        ("chance-10%", 14, "margin"),
        ("noisy", 14, "margin"),
        ("rival", 14, "named"),
        ("front-ends-2", 14, "named"),
    ],
)
def test_a_member_of_the_family(member: str, rate: float, verdict: str) -> None:
    """Its kind and its figures, at a rate; `python -m benchmarks.measure` has all of them."""
    row = measured(member, rate)
    assert row.verdict in (verdict, "right"), row.finding


@pytest.mark.parametrize(
    ("counting", "kind", "figures"),
    [
        ("bucket:depth=2", "bucket", {"depth": 2.0}),
        ("sliding:seconds=2", "sliding", {"seconds": 2.0}),
        ("sliding:seconds=0.7", "sliding", {"seconds": 0.7}),
        ("fixed:seconds=2,offset=0.9", "fixed", {"seconds": 2.0}),
        ("stale:age=0.7", "stale", {"age": 0.7}),
        ("bucket:refusal_cost=0.5", "bucket", {"refusal_cost": 0.5}),
    ],
)
def test_figures_that_nobody_would_guess(counting: str, kind: str, figures: dict[str, float]) -> None:
    """They are read off what was seen, not off a list of usual ones."""
    finding = found(counting, 14.0)
    assert finding.counting.kind == kind, finding
    assert {name: finding.counting.figures[name] for name in figures} == pytest.approx(figures, rel=0.1)
    assert finding.rate == pytest.approx(14.0, rel=0.1)


def test_what_no_measuring_can_tell_apart_is_named_together() -> None:
    """At 1/s a bucket of one token takes what a sliding window of 1 s takes; the words say so."""
    finding = found("bucket", 1.0)
    assert (finding.counting.kind, finding.confidence) == ("bucket", Confidence.LIKELY)
    assert finding.others == (CountingSpec("sliding", {"seconds": 1.0}),)
    assert finding.words == "a bucket of one token at 1/s or a sliding window of 1 s: both explain it"


@pytest.mark.parametrize("share", [0.05, 0.1])
def test_refusals_by_chance(share: float) -> None:
    """Named as such, with how near 400 messages can say it; the bucket behind it is found too."""
    finding = found(f"chance:share={share}", 14.0)
    assert finding.counting.kind == "chance"
    assert finding.counting.figures["share"] == pytest.approx(share, abs=finding.margins["share"])
    assert finding.counting.figures["depth"] == pytest.approx(1.0, rel=0.1)


def test_another_sender_with_many_recipients_is_named() -> None:
    """Refusals below the rate in long rows are no chance: somebody else sent, and the words ask to do it again."""
    finding = found("rival:every=9,recipients=50", 14.0)
    assert finding.counting.kind == "rival"
    assert finding.counting.figures["recipients"] == pytest.approx(50, rel=0.3)
    assert "when nobody else sends" in finding.words


def test_a_limit_that_was_not_met_is_said_to_be_open() -> None:
    """Eight times what the account is told, and nothing refused: neither a rate nor a kind is made up."""
    finding = infer(experiments(counting_of("bucket:depth=5", Schedule.constant(300.0), 0), 14.0))
    assert finding.confidence is Confidence.OPEN
    assert "nothing was refused at up to 8 times the rate" in finding.words


@pytest.mark.parametrize("counting", ["bucket", "sliding", "fixed"])
def test_delays_on_the_way_do_not_change_the_kind(counting: str) -> None:
    """Attempts that meet the service up to 30 ms later than they were made, and so in another order."""
    chance = random.Random(5)
    service = counting_of(counting, Schedule.constant(14.0), 0)

    @attrs.define
    class Late:
        at: float = 0.0

        def take(self, now: float, recipients: int) -> bool:
            self.at = max(self.at, now + chance.uniform(0.0, 0.03))
            return service.take(self.at, recipients)

    finding = infer(experiments(Late(), 14.0))
    assert finding.counting.kind == counting.partition(":")[0], finding


def test_a_flood_that_was_broken_into_is_read_up_to_there() -> None:
    """Somebody else took the tokens of three seconds in the middle of it."""
    seen = [Observation(number / 40, accepted=number % 4 == 0 and not 200 <= number < 340) for number in range(480)]
    flood = Flood(seen)
    assert [round(hole, 2) for hole in flood.holes] == [3.6]
    assert flood.unbroken.duration == pytest.approx(4.9, abs=0.1)
    assert flood.rate == pytest.approx(10.0)


def test_a_service_that_takes_nothing_after_a_flood_for_long() -> None:
    """The cost of a refusal is then above what the recovery showed, and its figure only likely."""
    flood = [Observation(number / 112, accepted=number < 15) for number in range(1344)]
    asked = [Observation(12.5 + number, accepted=False) for number in range(150)]
    finding = infer(Experiments(14.0, [flood], (), asked))
    assert (finding.confidence, finding.counting.figures["refusal_cost"]) == (Confidence.LIKELY, 1.0)
