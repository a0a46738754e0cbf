"""
The control law against every way in which a service may count: `python -m benchmarks.services`.

What it shows: for each member of `seslimit.testing.services`, what of the rate is used after the start and what that
costs in throttled attempts, beside the oracle: the best constant pace with at most 0.5 % throttled beyond what no pace
avoids, found by trying paces in the same simulation. The worst cell is printed first. "Not met: floor" says that who
uses as much has as much throttled: a constant pace, or beside a rival one who is told the debt with the first throttle.
What it does not show: sockets, a busy machine, the real SES. It is a pure simulation, event by event; a seed fixes
delays, chances and rivals.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator

from tests.simulations.services import DOORS, Cell, measure

from seslimit.testing.services import SERVICES

RATES = (1.0, 14.0, 100.0, 500.0)


HELD_OUT_RATES = (3.0, 37.0, 250.0)


KNOWN = ("GetAccount", "told", "unknown")


def cells(rates: tuple[float, ...], known: tuple[str, ...], doors: tuple[str, ...], only: str) -> Iterator[Cell]:
    """All combinations."""
    for row in itertools.product(SERVICES, rates, known, doors):
        cell = Cell(*row)
        if only in cell.service and cell.possible():
            yield cell


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="14 and 100/s, told and unknown, near and smtp doors")
    parser.add_argument("--held-out", action="store_true", help="rates that nothing was tuned on: 3, 37, 250/s")
    parser.add_argument("--rates", type=float, nargs="+", help="recipients/s; left out, all of the table")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--only", default="", help="services whose names hold this")
    options = parser.parse_args()
    seeds = tuple(options.seeds)
    rates = options.rates or (HELD_OUT_RATES if options.held_out else RATES)
    chosen = cells((14.0, 100.0), ("told", "unknown"), ("near", "smtp"), options.only)
    if not options.quick:
        chosen = cells(tuple(rates), KNOWN, DOORS, options.only)
    rows = sorted((measure(cell, seeds) for cell in chosen), key=lambda row: -row.badness)
    print("| service | R | known | door | used | oracle | refused | no pace avoids | |")
    print(f"|{'---|' * 9}")
    for row in rows:
        cell = row.cell
        print(
            f"| {cell.service} | {cell.rate:g} | {cell.knows} | {cell.door} | {row.used:.1%} | {row.oracle:.1%} | "
            f"{row.refused:.2%} | {row.unavoidable:.2%} | {row.verdict(seeds)} |"
        )
    kept = sum(row.kept for row in rows)
    print(f"\n{kept} of {len(rows)} cells as aimed at")
    sys.exit(0 if kept == len(rows) else 1)


if __name__ == "__main__":
    main()
