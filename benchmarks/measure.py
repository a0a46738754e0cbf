"""
What `seslimit doctor --measure` says of every way in which a service may count: `python -m benchmarks.measure`.

What it shows: for each member of `seslimit.testing.services`, at each rate, the kind and the figures that it names
beside the true ones. A row is `right` where the kind is the true one and its figures are within 10 %; `named` where
several ways of counting explain what was seen, and the true one is among those that are named; `margin` where a figure
is within what the measuring says of itself; `unseen` where a rival or a chance did not show itself in what was sent.
`wrong` is none of these. What it does not show: sockets, delays, the real SES. A seed fixes chances and rivals.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from tests.simulations.measuring import measured

from seslimit.testing.services import SERVICES

RATES = (1.0, 14.0, 100.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="recipients/s")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--only", default="", help="members whose names hold this")
    options = parser.parse_args()
    verdicts = Counter[str]()
    print("| member | R | said | true | sure | within 10 % |")
    print(f"|{'---|' * 6}")
    for member in SERVICES:
        for rate in options.rates if options.only in member else ():
            for seed in options.seeds:
                row = measured(member, rate, seed)
                verdicts[row.verdict] += 1
                said = " or ".join(map(str, (row.finding.counting, *row.finding.others)))
                print(
                    f"| {member} | {rate:g} | {said} | {row.truth} | {row.finding.confidence} | {row.verdict} |",
                    flush=True,
                )
    print(f"\n{sum(verdicts.values())} measurings: {', '.join(f'{n} {name}' for name, n in verdicts.most_common())}")
    sys.exit(1 if verdicts["wrong"] else 0)


if __name__ == "__main__":
    main()
