"""
Any sequence of calls, at length: `python -m benchmarks.outbox_machine [--runs N] [--engine sqlite|postgresql]`.

Hypothesis makes up sequences of 50 calls, of two processes that may vanish, and makes each of the outbox in memory and
of one in a database; both have to return, raise and hold the same after each call, and a few rules are counted beside.
What the rules are is in `tests/outbox_machine.py`. In pieces, each with sequences of its own; a violation ends it, with
the shortest sequence that was found.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from pathlib import Path

from tests.outbox_machine import STEPS, run_machine
from tests.postgres_instance import PostgresServer


def on_sqlite(runs: int) -> None:
    """Each on a file of its own, in memory where there is such a disk: what is durable is tested elsewhere."""
    memory = Path("/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        numbers = itertools.count()
        run_machine(lambda: str(Path(folder) / f"{next(numbers)}.db"), runs)


def on_postgresql(runs: int) -> None:
    """Each in a database of its own."""
    with PostgresServer() as server:
        run_machine(lambda: asyncio.run(server.new_database()), runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--piece", type=int, default=100, help="runs after which it is said how far it has come")
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], action="append")
    asked = parser.parse_args()
    for engine in asked.engine or ["sqlite", "postgresql"]:
        begun = time.monotonic()
        for done in range(0, asked.runs, asked.piece):
            piece = min(asked.piece, asked.runs - done)
            (on_sqlite if engine == "sqlite" else on_postgresql)(piece)
            print(
                f"{engine}: {done + piece:,} runs x {STEPS} steps, 0 violations, {time.monotonic() - begun:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
