"""
An outbox in trouble: `python -m benchmarks.outbox_troubles` (Linux, as root, with PostgreSQL installed).

A disk of 2 MiB that is filled in the middle of a run and freed; a database locked for 30 s; a PostgreSQL that is killed
and started again. Counted are messages lost and doubled, when sending went on, and how long the event loop stood still.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from tests.outbox_troubles import Course, away, full, locked, small_disk, through
from tests.postgres_instance import PostgresServer

from seslimit.outbox import Outbox


def told(trouble: str, course: Course) -> None:
    """Print one run."""
    print(
        f"| {trouble} | {course.accepted} | {course.lost} | {course.doubled} | {course.resumed_after:.1f} s "
        f"| {course.lag * 1e3:.0f} ms |",
        flush=True,
    )


async def main() -> None:
    print("| trouble | accepted | lost | doubled | went on after | longest lag |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        with small_disk(Path(folder)) as disk:
            async with Outbox(disk / "mail.db") as outbox:
                told("disk of 2 MiB filled, then freed", await through(full(disk), outbox))
        path = Path(folder) / "mail.db"
        async with Outbox(path) as outbox:
            told("file locked for 30 s", await through(locked(path, 30.0), outbox))
    with PostgresServer() as server:
        async with Outbox(await server.new_database()) as outbox:
            told("PostgreSQL killed, 5 s away", await through(away(server, 5.0), outbox))


if __name__ == "__main__":
    asyncio.run(main())
