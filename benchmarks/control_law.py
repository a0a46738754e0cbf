"""
The control law against the model of the service, in simulated time: `python -m benchmarks.control_law`.

What it shows: how much of a hidden rate `AdaptiveRate` uses, and what it pays for that in throttled attempts. What it
does not show: sockets, an event loop that is late, the real SES. A figure is the mean over the seeds, with the worst of
them in brackets; a seed fixes the delay of every reply, the costs, and the rival's moments.
"""

from __future__ import annotations

import argparse
import math
from bisect import bisect_left
from collections.abc import Callable

import attrs
from tests.simulations.control_law import (
    API_AND_SMTP,
    DELAYS,
    Row,
    Scenario,
    Simulation,
    rival,
    scenarios,
    steady,
    step,
)


def variants() -> list[Row]:
    """The robustness table: the service, or the way to it, is not what the law expects."""
    base = [steady(14.0), steady(100.0), steady(500.0), rival()]
    base += [step(200.0, 100.0, "200-100"), step(100.0, 200.0, "100-200")]
    rows: list[Row] = []
    for scenario in base:
        depths = {"one token": 0.0, "depth 0.1": 0.1, "depth 0.2": 0.2, "depth 5": 5.0, "depth 20": 20.0}
        changed = {kind: attrs.evolve(scenario, depth=depth) for kind, depth in depths.items()}
        changed["costs"] = attrs.evolve(scenario, refusal_cost=1.0)
        changed["spurious"] = attrs.evolve(scenario, spurious=0.001)
        rows += [(attrs.evolve(one, name=f"{kind}: {one.name}"), API_AND_SMTP) for kind, one in changed.items()]
        rows.append((attrs.evolve(scenario, name=f"x4: {scenario.name}"), ("api x4", "smtp x4")))
    return sorted(rows, key=lambda row: row[0].name.split(":")[0])


def held_out() -> list[Row]:
    """Rates and steps that nothing was tuned on."""
    steps = (50.0, 14.0, "50-14"), (14.0, 57.0, "14-57"), (300.0, 90.0, "300-90"), (30.0, 200.0, "30-200")
    rates = (steady(rate, name=f"held out {rate:g}") for rate in (1.0, 2.0, 3.0, 37.0, 250.0, 1000.0))
    return [(scenario, API_AND_SMTP) for scenario in (*rates, *(step(*change) for change in steps))]


def cell(figures: list[float], worst: Callable[[list[float]], float], form: str) -> str:
    """The mean, with the worst in brackets."""
    return f"{sum(figures) / len(figures):{form}} ({worst(figures):{form}})"


def report(scenario: Scenario, delay: str, seeds: int) -> str:
    """One row of the table."""
    traces = [Simulation(scenario, DELAYS[delay], seed).run() for seed in range(seeds)]
    end = min(scenario.seconds, traces[0].finished)
    tail = 0.6 * end
    change = scenario.rival[1] if scenario.rival else 0.0 if scenario.drift else scenario.rate[-1][0]
    reached = [trace.reached(change) for trace in traces]
    pairs = list(zip(traces, reached, strict=True))
    cells = [
        f"{scenario.name:22}",
        f"{delay:7}",
        cell([100 * trace.used(0.0, end) for trace in traces], min, "6.2f"),
        cell([100 * trace.used(min(2.0, end / 2), end) for trace in traces], min, "6.2f"),
        cell([100 * trace.refused_share(0.0, end) for trace in traces], max, "5.2f"),
        cell([float(trace.refusals(change, change + min(found, end) + 5.0)) for trace, found in pairs], max, "4.0f"),
        cell(reached, max, "5.1f"),
        cell([trace.settled(change) for trace in traces], max, "4.1f"),
        cell([100 * trace.used(tail, end) for trace in traces], min, "6.2f"),
        cell([100 * trace.refused_share(tail, end) for trace in traces], max, "5.2f"),
    ]
    if scenario.rival:
        cells.append("during: " + cell([100 * trace.used(*scenario.rival[:2]) for trace in traces], min, "6.2f"))
    if math.isfinite(scenario.messages):
        cells.append("seconds: " + cell([trace.finished for trace in traces], max, "5.1f"))
    return " | ".join(cells)


HEAD = (
    f"{'scenario':22} | {'delay':7} | {'used % (worst)':15} | {'after 2 s':15} | {'refused %':13} | "
    f"{'in climb':11} | {'s to 95 %':13} | {'s to 2 %':11} | {'last 40 %':15} | {'refused %':13}"
)


TABLES = {"issue": scenarios, "robustness": variants, "held-out": held_out}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="The control law against the model of the service.")
    parser.add_argument("--scenario", default="", help="run only scenarios whose name contains this")
    parser.add_argument("--delay", default="", help="run only this delay")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--table", choices=sorted(TABLES), default="issue")
    parser.add_argument("--plot", action="store_true", help="print the pace every half second of the first seed")
    options = parser.parse_args()
    print(HEAD)
    for scenario, delays in TABLES[options.table]():
        for delay in delays:
            if options.scenario in scenario.name and options.delay in ("", delay):
                print(report(scenario, delay, options.seeds), flush=True)
                if options.plot:
                    plot(scenario, delay)


def plot(scenario: Scenario, delay: str) -> None:
    """The pace and what became of it, half second by half second."""
    trace = Simulation(scenario, DELAYS[delay], 0).run()
    times = [at for at, _ in trace.paces]
    for half in range(int(2 * min(60.0, scenario.seconds))):
        now = 0.5 * (half + 1)
        pace = trace.paces[min(len(times) - 1, bisect_left(times, now))][1]
        used = trace.used(now - 0.5, now)
        print(
            f"{now:6.1f} R {trace.schedule.at(now):6.1f} pace {pace:6.1f} used {100 * used:6.1f} % "
            f"refused {trace.refusals(now - 0.5, now)}"
        )


if __name__ == "__main__":
    main()
