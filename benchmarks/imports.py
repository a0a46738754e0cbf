"""
What `import seslimit` costs: `python -m benchmarks.imports [--rounds N]`.

CPU of the statement in a fresh process, beside that of importing asyncio, attrs, aiolimiter and backoff together; the
lower quartile of each. Ratios count; the figures are this machine's.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

BESIDE = "import asyncio, attrs, aiolimiter, backoff"
STATEMENTS = (
    "import seslimit",
    "from seslimit import InvalidMessage, Message, SendQuota",
    "from seslimit import Limiter, Message, RetryPolicy, Sender, transport_from_url",
)
TIMED = "import time\nbegan_at = time.process_time()\n{}\nprint(time.process_time() - began_at)"


def cpu_of(statement: str) -> float:
    """Milliseconds of CPU that a statement takes in a process that has done nothing else."""
    command = [sys.executable, "-c", TIMED.format(statement)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = [[cpu_of(each) for each in (BESIDE, *STATEMENTS)] for _ in range(parser.parse_args().rounds)]
    beside, *ours = (statistics.quantiles(column, n=4)[0] for column in zip(*rounds, strict=True))
    print("| statement | CPU | ratio |\n|---|---|---|")
    print(f"| `{BESIDE}` | {beside:.0f} ms | 1 |")
    for statement, figure in zip(STATEMENTS, ours, strict=True):
        print(f"| `{statement}` | {figure:.0f} ms | {figure / beside:.2f} |")


if __name__ == "__main__":
    main()
