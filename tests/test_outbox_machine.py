"""Any sequence of calls, of processes that may vanish, in short; the long run is `benchmarks.outbox_machine`."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from tests.outbox_machine import run_machine
from tests.postgres_instance import PostgresServer

RUNS = 5

pytestmark = [pytest.mark.once, pytest.mark.timeout(600)]


def test_any_sequence_on_sqlite(tmp_path: Path) -> None:
    """As in memory."""
    numbers = itertools.count()
    run_machine(lambda: str(tmp_path / f"{next(numbers)}.db"), RUNS)


def test_any_sequence_on_postgresql(postgres_server: PostgresServer) -> None:
    """As in memory."""
    run_machine(lambda: asyncio.run(postgres_server.new_database()), RUNS)
