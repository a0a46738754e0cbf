"""A claim does not cost more, the more is done already: counted in SQLite's own steps, which no machine is slow at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from seslimit import Message
from seslimit.outbox import Outbox
from seslimit.outbox._leasing import claim

pytestmark = pytest.mark.once

COUNT = 2000
"""Messages; a claim takes 50 of them."""


def steps_of_a_claim(connection: sa.Connection) -> tuple[int, list[int]]:
    """Instructions of SQLite's machine that a claim takes, and the ids that it brings."""
    driver: Any = connection.connection.driver_connection
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    driver.set_progress_handler(count, 1)
    taken = claim(connection, "me", 0.0, 50, 10**9, {})
    driver.set_progress_handler(None, 0)
    return steps, [row["id"] for row in taken if isinstance(row, dict)]


def all_done_before(connection: sa.Connection, last: int) -> None:
    """Note messages as accepted, in bulk."""
    done = "UPDATE seslimit_messages SET state = 'accepted', owner = NULL, ended_at = 1.0 WHERE id <= ?"
    connection.exec_driver_sql(done, (last,))


async def test_a_claim_takes_as_many_steps_at_the_end_as_at_the_beginning(tmp_path: Path) -> None:
    """Of 2,000 messages, at 0 and at 95 % done."""
    async with Outbox(tmp_path / "mail.db") as outbox:
        await outbox.add(Message("s@example.org", ["r@example.com"], b"\r\nx", number) for number in range(COUNT))
        first, ids = await outbox._database.write(steps_of_a_claim)
        assert ids == list(range(1, 51))
        await outbox._database.write(lambda connection: all_done_before(connection, COUNT * 95 // 100))
        last, ids = await outbox._database.write(steps_of_a_claim)
        assert ids == list(range(1901, 1951))
        assert last <= first * 1.05
