"""
Where the guard of the reputation warns, slows and holds, on simulated lists.

Each line is a list with one true share of hard bounces, many times over with other seeds: how often it was held by the
time that `--messages` were sent, and how many had been sent by then. "at SES" is the share that SES would have seen at
that moment had nothing else been sent. The second table is how often a list below every threshold is held.

    python -m benchmarks.reputation [--seeds 200] [--messages 50000]
"""

from __future__ import annotations

import argparse
import statistics

from tests.simulations.reputation import false_holds, reached

from seslimit.feedback._reputation import Level

SHARES = (0.01, 0.049, 0.07, 0.12)


COMPLAINTS = (0.0005, 0.003, 0.006)


def line(share: float, seeds: int, messages: int, *, complaints: bool = False, whole: bool = False) -> str:
    """One line of the table."""
    runs = [reached(share, messages, seed, complaints=complaints, whole=whole) for seed in range(seeds)]
    told = [f"{100 * share:7.2f} %"]
    for level in (Level.WARN, Level.SLOW, Level.HOLD):
        at = sorted(run[level] for run in runs if level in run)
        most = f"{statistics.median(at):7,.0f} ({at[0]:,} to {at[-1]:,})" if at else "-"
        told.append(f"{100 * len(at) / seeds:5.1f} % {most:<28}")
    return "  ".join(told)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--messages", type=int, default=50_000)
    asked = parser.parse_args()
    head = f"{'true share':>9}  {'warns':<36}  {'slows':<36}  holds: in how many runs, after how many messages"
    for title, shares, options in (
        ("a campaign, by its bounces", SHARES, {}),
        ("the account, by its bounces", SHARES, {"whole": True}),
        ("a campaign, by its complaints", COMPLAINTS, {"complaints": True}),
    ):
        print(f"\n{title}: {asked.seeds} seeds, {asked.messages:,} messages each\n{head}")
        for share in shares:
            print(line(share, asked.seeds, asked.messages, **options))
    for share in (0.02, 0.04):
        count = false_holds(share, 20_000, 1000)
        print(f"\nfalse holds at a true share of {share:.0%}, 20,000 messages each: {count} of 1,000 seeds")


if __name__ == "__main__":
    main()
