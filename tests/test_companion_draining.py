"""A server that answers once a message is durable: whatever stops the sending does not stop the taking."""

from __future__ import annotations

import asyncio

from seslimit import Limiter, Message, Outcome, Sender
from seslimit.companion._draining import AGAIN, Draining
from seslimit.testing import FakeTransport

from .journal_in_memory import ListJournal
from .virtual_time import on_virtual_time


def message(key: str) -> Message:
    """A message."""
    return Message("a@example.com", ["b@example.org"], b"Subject: x\r\n\r\nx\r\n", key)


def stopped(draining: Draining) -> bool:
    """Whether nothing is sent now."""
    return draining.stopped_by is not None


@on_virtual_time
async def test_what_is_kept_is_sent_and_the_same_again_is_not() -> None:
    """A client that did not hear the answer may come again."""
    outbox, transport = ListJournal(), FakeTransport()
    draining = Draining(outbox, Sender(transport, limiter=Limiter(100.0), outbox=outbox))
    draining.begin()
    assert await draining.keep(message("a"))
    assert not await draining.keep(message("a"))
    await asyncio.sleep(5)
    await draining.aclose()
    assert [each.key for each in transport.sent] == ["a"]
    assert transport.closed


@on_virtual_time
async def test_a_blocked_account_keeps_nobody_from_being_answered() -> None:
    """What comes meanwhile is sent when the account is free again."""
    blocked = [True]
    transport = FakeTransport(lambda _: Outcome.ACCOUNT_BLOCKED if blocked[0] else None)
    outbox = ListJournal()
    draining = Draining(outbox, Sender(transport, limiter=Limiter(100.0), outbox=outbox))
    draining.begin()
    await draining.keep(message("a"))
    await asyncio.sleep(1)
    assert stopped(draining)
    await draining.keep(message("b"))
    blocked[0] = False
    await asyncio.sleep(3 * AGAIN)
    assert not stopped(draining)
    await draining.aclose()
    assert [each.key for each in transport.sent] == ["a", "b"]
