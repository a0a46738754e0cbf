"""
Limiter, control law and sender together, against the model of the service: `python -m benchmarks.scenarios`.

What it shows: for every scenario of the documentation, how much of the rate is used and what that costs in throttled
attempts, beside the figure that is promised. `tests/test_scenarios.py` asserts the same promises from the same
definitions. What it does not show: sockets, a busy machine, the real SES. A seed fixes the delays of every reply.
"""

from __future__ import annotations

import argparse
import sys

from tests.simulations.scenarios import SCENARIOS, play


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", help="others than each scenario's own")
    parser.add_argument("--only", default="", help="scenarios whose names hold this")
    arguments = parser.parse_args()
    print("| scenario | figure | promised | worst of the seeds | |\n|---|---|---|---|---|")
    broken = 0
    for scenario in SCENARIOS:
        if arguments.only not in scenario.name:
            continue
        runs = [play(scenario, seed) for seed in arguments.seeds or scenario.seeds]
        for promise in scenario.promises:
            kept = all(promise.kept(run) for run in runs)
            broken += not kept
            row = (scenario.name, promise.words, promise.bound, promise.shown(promise.worst(runs)))
            print(f"| {' | '.join(row)} | {'' if kept else '**broken**'} |")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
