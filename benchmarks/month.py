"""
A month of an account at 14/s, in virtual time: `python -m benchmarks.month`.

What it shows: limiter, control law and sender over thirty days that each bring something else: the rate is another from
some moment on and nobody is told, another sender takes its share for a while or sends to 50 recipients at once, the
service cannot be reached, and at night there is nothing to send. Printed is what was used of what could have been had,
which is all that the rate allowed while there was something to send, less outages and what others took; what was lost
or doubled; and the worst day. A seed fixes everything. What it does not show: sockets, or a day's quota.
"""

from __future__ import annotations

import argparse
import sys

from tests.simulations.month import measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=10.0, help="of each day, in which there is something to send")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    figures = measure(options.days, options.minutes, options.seed)
    worst = min(range(options.days), key=figures.used.__getitem__)
    print(f"| days | {options.days}, with {options.minutes:g} minutes of messages each |\n|---|---|")
    print(f"| accepted | {figures.accepted:,} recipients in {figures.attempts:,} attempts |")
    print(f"| used | {figures.share:.1%} of what could have been had |")
    print(f"| worst day | {figures.used[worst]:.1%}, day {worst + 1} |")
    print(f"| throttled | {figures.refused / figures.attempts:.2%} |")
    print(f"| lost, doubled | {figures.lost}, {figures.doubled} |")
    sys.exit(0 if figures.share >= 0.98 and not figures.lost and not figures.doubled else 1)


if __name__ == "__main__":
    main()
