"""
Fourteen days of a warm-up on virtual time: a sender that always has more to send, from 200 recipients a day.

Played four times: as it should go; stopped and started again on each day; with a day of 8 % bounces; and killed on each
day after a minute, which may cost a little of the day and never sends more.

    python -m benchmarks.warm_up [--plan 14d:200-50000]
"""

from __future__ import annotations

import argparse

from tests.simulations.warm_up import played

from seslimit.feedback import Plan


def main() -> None:
    """Print the days."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", default="14d:200-50000")
    plan = Plan.parse(parser.parse_args().plan)
    smooth = played(plan)
    others = {
        "restarted daily": played(plan, restarts=True),
        "killed twice daily": played(plan, kills=True),
        "bad day 6": played(plan, bad=5),
    }
    print(f"{'day':>3} {'cap':>7} {'sent':>7} {'most/s':>7} " + " ".join(f"{name:>18}" for name in others))
    for day, cap in enumerate(smooth.caps):
        rest = " ".join(f"{run.sent[day]:>18,}" for run in others.values())
        print(f"{day + 1:>3} {cap:>7,} {smooth.sent[day]:>7,} {smooth.most_in_a_second[day]:>7,} {rest}")
    over = [name for name, run in {"": smooth, **others}.items() if any(map(int.__gt__, run.sent, run.caps))]
    print(f"over the plan on any day: {over or 'never'}")
    print(f"restarted daily as without: {others['restarted daily'].sent == smooth.sent}")


if __name__ == "__main__":
    main()
