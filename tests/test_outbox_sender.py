"""A sender on a real outbox in trouble: nothing lost, nothing sent twice, and sending goes on by itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from seslimit.outbox import Outbox
from tests.outbox_troubles import Course, away, full, locked, small_disk, through
from tests.postgres_instance import PostgresServer

COUNT = 400

LATE = 5.0
"""Seconds in which sending has to go on once the trouble is over."""


def well(course: Course, count: int = COUNT) -> bool:
    """Whether every message went once, after a stop that ended by itself."""
    assert (course.lost, course.doubled, course.accepted) == (0, 0, count)
    assert course.stopped
    assert course.resumed_after < LATE
    return True


@pytest.mark.once
async def test_a_disk_that_was_full_costs_no_message_and_doubles_none(tmp_path: Path) -> None:
    """Sending stops before a result could not be recorded any more."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs Linux and root: it mounts a disk")
    with small_disk(tmp_path) as disk:
        async with Outbox(disk / "mail.db", patience=0.2) as outbox:
            assert well(await through(full(disk), outbox, COUNT))


@pytest.mark.once
async def test_a_locked_file_holds_sending_up_and_not_the_event_loop(tmp_path: Path) -> None:
    """Whoever shares the loop notices nothing."""
    path = tmp_path / "mail.db"
    async with Outbox(path, patience=0.2) as outbox:
        course = await through(locked(path, 1.0), outbox, COUNT)
    assert well(course)
    assert course.median_lag < 0.05


@pytest.mark.once
async def test_a_database_that_was_away_costs_no_message_and_doubles_none(postgres_server: PostgresServer) -> None:
    """Killed in the middle of a run, and started again."""
    async with Outbox(await postgres_server.new_database(), patience=0.2) as outbox:
        assert well(await through(away(postgres_server, 0.5), outbox, COUNT))
