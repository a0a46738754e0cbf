"""
`seslimit doctor --measure` against every member of the family of services, in pure arithmetic: what it says, and what
is true.

Moments come as numbers, so that a hundred measurings take minutes and are alike in every run.
"""

from __future__ import annotations

import math

import attrs

from seslimit.cli.doctor._experiments import NOW_AND_THEN, RECOVERY
from seslimit.cli.doctor._flood import Flood, Observation
from seslimit.cli.doctor._inference import BRISK, EASY, FLOODS, Experiments, Finding, exhausted, infer
from seslimit.cli.doctor._plan import FLOOD, REST, Plan
from seslimit.testing import CountingSpec, Schedule
from seslimit.testing.services import SERVICES, Counting

BEGIN = 1.123
"""Seconds after the service's own beginning, at no tick of its clock."""

WITHIN = 0.1
"""Share by which a figure may be off."""


@attrs.frozen
class Row:
    """
    One measuring.

    Args:
        member: name in `SERVICES`.
        rate: recipients/s that are told.
        finding: what was said.
        verdict: `right`; `named` (among several that explain what was seen); `margin` (within what it says itself);
            `unseen` (what there is besides did not show itself); else `wrong`.
    """

    member: str
    rate: float
    finding: Finding
    verdict: str

    @property
    def truth(self) -> CountingSpec:
        """What is true, as it would be said."""
        return truth(self.member, self.rate)


def truth(member: str, rate: float) -> CountingSpec:
    """
    A member of the family as a kind with figures.

    A bucket of less than one token has one. One that asks for any token at all is as one that asks for a whole one and
    has one more, while messages have one recipient.
    """
    name, _, figure = member.rpartition("-")
    seconds = float(figure.removesuffix("s")) if figure.endswith("s") and name and figure[0].isdigit() else 1.0
    if member == "bucket-any-token":
        return CountingSpec("bucket", {"depth": 1.0 + 1 / rate})
    if member == "refusals-cost":
        return CountingSpec("bucket", {"depth": 1.0, "refusal_cost": 1.0})
    if member.startswith("rival-heavy"):
        return CountingSpec("rival", {"every": seconds, "recipients": 50.0})
    if member == "rival":
        return CountingSpec("rival", {"every": 2.0 / rate})
    if member == "noisy":
        return CountingSpec("noisy", {"spread": 0.2})
    if member.startswith("bucket"):
        return CountingSpec("bucket", {"depth": max(seconds, 1 / rate)})
    if member.startswith("stale"):
        return CountingSpec("stale", {"age": seconds})
    if member.startswith("chance"):
        return CountingSpec("chance", {"share": float(figure.removesuffix("%")) / 100})
    if member.startswith("front-ends"):
        return CountingSpec("front-ends", {"number": float(figure)})
    return CountingSpec("two-windows" if member == "two-windows" else member.partition("-")[0], {"seconds": seconds})


def measured(member: str, rate: float, seed: int = 1) -> Row:
    """Measure one member at one rate."""
    finding = infer(experiments(SERVICES[member](Schedule.constant(rate), seed), rate))
    return Row(member, rate, finding, _verdict(truth(member, rate), finding, rate))


def experiments(service: Counting, rate: float) -> Experiments:
    """What the experiments of a plan see of a service that answers at once."""
    plan, at = Plan(rate), BEGIN
    floods, paced = list[list[Observation]](), list[list[Observation]]()
    for multiple in FLOODS:
        floods.append(_offered(service, at, multiple * rate, math.ceil(multiple * rate * plan.flood), FLOOD))
        at = floods[-1][-1].at
        if exhausted(Flood(floods[-1])):
            pace = min(rate / 8, NOW_AND_THEN)
            asked = _offered(service, at + 1 / pace, pace, int(pace * RECOVERY))
            first = next((number for number, one in enumerate(asked, 1) if one.accepted), len(asked))
            return Experiments(rate, floods, (), asked[:first])
        at += REST
    for share in (EASY, BRISK):
        paced.append(_offered(service, at, share * rate, plan.paced(share)))
        at = paced[-1][-1].at + REST
    return Experiments(rate, floods, paced)


def _offered(service: Counting, begin: float, pace: float, number: int, quiet: float = math.inf) -> list[Observation]:
    seen, accepted_at = list[Observation](), begin
    for at in (begin + each / pace for each in range(number)):
        if at - accepted_at > quiet:
            break
        seen.append(Observation(at, service.take(at, 1)))
        accepted_at = at if seen[-1].accepted else accepted_at
    return seen


def _verdict(true: CountingSpec, finding: Finding, rate: float) -> str:
    if _fits(true, finding.counting, {}):
        return "right" if not finding.others else "named"
    if _fits(true, finding.counting, finding.margins):
        return "margin"
    if any(_fits(true, other, {}) or other == CountingSpec(true.kind) for other in finding.others):
        return "named"
    hidden = true.kind in ("chance", "rival", "noisy")
    plain = CountingSpec("bucket", {"depth": max(1.0, 1 / rate)})
    named = (finding.counting, *finding.others)
    return "unseen" if hidden and any(_fits(plain, each, finding.margins) for each in named) else "wrong"


def _fits(true: CountingSpec, said: CountingSpec, margins: dict[str, float]) -> bool:
    if said.kind != true.kind:
        return False
    found = {name: said.figures[name] for name in true.figures if name in said.figures}
    return all(
        abs(found[name] - true.figures[name]) <= max(WITHIN * true.figures[name], margins.get(name, 0.0))
        for name in found
    )
