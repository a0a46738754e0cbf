"""
The engines that an outbox stands on, each as a place where outboxes can be opened, one after another or side by side.

One suite of tests runs over all of them. The clock stands still until a test moves it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeAlias

import attrs
import pytest

from seslimit import Attempt, Message, Outcome, Receipt, Report
from seslimit.outbox import MemoryOutbox, Outbox, Queued
from seslimit.outbox._memory import Memory
from tests.postgres_instance import MISSING as NO_POSTGRES
from tests.postgres_instance import PostgresServer

AnyOutbox: TypeAlias = Outbox | MemoryOutbox

BEGIN = 1_800_000_000.0
"""When the clock begins, seconds since the epoch."""

LEASE = 30.0


@attrs.define(eq=False)
class Place:
    """Where outboxes are opened that have the same messages."""

    url: str | None
    now: float = BEGIN
    _memory: Memory = attrs.field(factory=Memory)
    _opened: list[AnyOutbox] = attrs.field(factory=list)

    async def open(self) -> AnyOutbox:
        """One more outbox here, as another process would open it; closed with the test."""
        outbox: AnyOutbox
        if self.url is None:
            outbox = MemoryOutbox(self._memory, lease=LEASE, clock=lambda: self.now)
        else:
            outbox = Outbox(self.url, lease=LEASE, clock=lambda: self.now)
        await outbox.open()
        self._opened.append(outbox)
        return outbox

    async def aclose(self) -> None:
        """Close them all."""
        while self._opened:
            await self._opened.pop().aclose()


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.once)])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """A place on each engine."""
    url = None
    if request.param == "sqlite":
        url = str(tmp_path / "mail.db")
    elif request.param == "postgresql":
        if NO_POSTGRES:
            pytest.skip(NO_POSTGRES)
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = await server.new_database()
    place = Place(url)
    yield place
    await place.aclose()


def message(key: str | int | None = "a", *recipients: str, content: bytes = b"Subject: x\r\n\r\nhello\r\n") -> Message:
    """A message; every one has the same content."""
    return Message("sender@example.org", recipients or ("reader@example.com",), content, key)


def accepted(queued: Queued, at: float, **refused: str) -> Report:
    """The report of a message that was accepted, for all but those of `local@example.com` that are named."""
    history = queued.history.after(Outcome.ACCEPTED, at)
    receipt = Receipt(f"id-{queued.message.key}", {f"{name}@example.com": words for name, words in refused.items()})
    return Report(
        queued.message, Outcome.ACCEPTED, receipt, history.attempts, history.throttles, history=history.recent, at=at
    )


def failed(queued: Queued, at: float, outcome: Outcome = Outcome.PERMANENT, reply: str = "550 no") -> Report:
    """The report of a message that was given up."""
    history = queued.history.after(outcome, at, reply)
    return Report(
        queued.message,
        outcome,
        attempts=history.attempts,
        throttles=history.throttles,
        error=RuntimeError(reply),
        history=history.recent,
        at=at,
    )


def attempt(outcome: Outcome, at: float, reply: str = "") -> Attempt:
    """An attempt."""
    return Attempt(at, outcome, reply)
