"""Limiter, control law and sender together keep the promised figures against the model of the service."""

from __future__ import annotations

import pytest

from .simulations.scenarios import SCENARIOS, Promise, Scenario, play

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("scenario", "promise"),
    [
        pytest.param(scenario, promise, id=f"{scenario.name}: {promise.words}")
        for scenario in SCENARIOS
        for promise in scenario.promises
    ],
)
def test_a_scenario_keeps_a_promise(scenario: Scenario, promise: Promise) -> None:
    """The figure keeps its bound with every seed of the scenario."""
    figures = {seed: promise.figure(play(scenario, seed)) for seed in scenario.seeds}
    broken = {seed: figure for seed, figure in figures.items() if not promise.least <= figure <= promise.most}
    assert not broken, promise.bound


def test_scenarios_have_distinct_names() -> None:
    """A name says which scenario is meant."""
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
