"""
SIGKILL at any moment, and go on: `python -m benchmarks.outbox_kills [--kills N] [--messages N] [--seed N]`.

An outbox on SQLite is drained by a child that is killed: at random moments, and at each named crash point, before and
after each step that it records; with both policies for what is in doubt. What the columns mean is in
`tests/outbox_killing.py`.
"""

from __future__ import annotations

import argparse
import sys

from tests.outbox_killing import HEAD, STEPS, at_point, at_random


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--on-unknown", choices=["resend", "hold"], action="append")
    asked = parser.parse_args()
    print(HEAD, flush=True)
    well = True
    for on_unknown in asked.on_unknown or ["resend", "hold"]:
        for step in (*STEPS, "send"):
            told = at_point(step, 300, on_unknown, asked.seed)
            print(told.row, flush=True)
            well = well and told.well
        told = at_random(asked.kills, asked.messages, on_unknown, asked.seed)
        print(told.row, flush=True)
        well = well and told.well
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
