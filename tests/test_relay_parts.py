"""The relay's pure parts: its replies and its memory."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seslimit import (
    AccountBlocked,
    EndpointUnreachable,
    InvalidMessage,
    Message,
    Outcome,
    QuotaExceeded,
    Receipt,
    Report,
    SendFailed,
    SendingStopped,
    SESLimitError,
    TransportError,
)
from seslimit.companion.relay import _memory
from seslimit.companion.relay._memory import REMEMBERED_FOR, Memory, digest
from seslimit.companion.relay._replies import MAX_LINE, STOPPING, TransactionResult, for_error, one_line

pytestmark = pytest.mark.once

NOW = datetime(2026, 11, 24, 23, 59, 0, tzinfo=UTC)


def _failed(outcome: Outcome, error: Exception, attempts: int = 1) -> SendFailed:
    message = Message("a@example.org", ("b@example.net",), b"")
    return SendFailed(Report(message, outcome, attempts=attempts, error=error))


def _refused(outcome: Outcome, reply: str) -> SendFailed:
    return _failed(outcome, TransportError(outcome, reply))


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (InvalidMessage("no good."), "554 5.6.0 no good."),
        (
            QuotaExceeded("454 Daily quota exceeded.", retry_after=3661),
            "452 4.3.1 Daily sending quota used up until 2026-11-25 01:00:01 UTC or later: 454 Daily quota exceeded.",
        ),
        (
            AccountBlocked("554 paused"),
            "451 4.3.0 SES takes nothing from this account now, the message was not sent: 554 paused",
        ),
        (EndpointUnreachable("timed out"), "451 4.4.1 No connection to SES, the message was not sent: timed out"),
        (SendingStopped("The sender was stopped."), STOPPING),
        (_refused(Outcome.PERMANENT, "554 Message rejected"), "554 Message rejected"),
        (_refused(Outcome.PERMANENT, "550 5.1.1 nobody"), "550 5.1.1 nobody"),
        (_refused(Outcome.PERMANENT, "MessageRejected no\nno"), "554 5.0.0 MessageRejected no\\nno"),
        (_refused(Outcome.PERMANENT, "413 too large"), "554 5.0.0 413 too large"),
        (_failed(Outcome.PERMANENT, InvalidMessage("no good.")), "554 5.6.0 no good."),
        (
            _refused(Outcome.UNKNOWN, "reset"),
            "451 4.4.2 The message may have been accepted, the connection to SES broke: reset",
        ),
        (_refused(Outcome.TRANSIENT, "451 later"), "451 4.3.0 Not sent after 1 attempts: 451 later"),
        (_refused(Outcome.THROTTLED, "454 Throttling failure"), STOPPING),
        (_refused(Outcome.NOT_SENT, "421 bye"), STOPPING),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_reply_for_what_became_of_a_message(error: SESLimitError, reply: str) -> None:
    """Each outcome has its own."""
    assert reply == for_error(error, NOW)


@given(st.text(max_size=700))
def test_a_reply_is_one_line_of_ascii(text: str) -> None:
    """Whatever SES, or a client, put into it."""
    line = one_line(f"554 5.0.0 {text}")
    assert line.startswith("554 5.0.0")
    assert all(" " <= char <= "~" for char in line)
    assert len(line) <= MAX_LINE


def test_a_reply_names_a_few_and_counts_the_others() -> None:
    """A line has its limit."""
    result = TransactionResult(1000)
    for number in range(20):
        result.took([f"r{number}@example.net"], Receipt(f"id-{number}", {f"x{number}@example.net": "550 nobody"}))
    reply = result.reply()
    assert reply.startswith("250 2.0.0 Ok id-0 id-1 id-2 id-3 id-4 and 15 more; refused for x0@example.net (550 n")
    assert reply.endswith("and 15 more")


def test_what_may_pass_counts_more_than_what_is_for_good() -> None:
    """The client has to come back for it."""
    result = TransactionResult(100)
    result.failed("554 5.0.0 no")
    result.failed("451 4.3.0 later")
    result.failed("554 5.0.0 no")
    assert result.is_for_now
    assert result.reply() == "451 4.3.0 later"


def test_a_message_is_told_from_others_by_all_that_it_has() -> None:
    """Return address, recipients in their order, and content."""
    messages = [
        ("a@x", ["b@x", "c@x"], b"1"),
        ("a@x", ["b@x", "c@x"], b"2"),
        ("a@x", ["c@x", "b@x"], b"1"),
        ("d@x", ["b@x", "c@x"], b"1"),
        ("a@x", ["b@x"], b"1"),
    ]
    assert len({digest(*message) for message in messages}) == len(messages)


def test_the_memory_forgets_what_is_old() -> None:
    """After hours, somebody may mean it again."""
    memory = Memory()
    memory.note(b"a", {"r@x": "id"}, 0.0)
    assert memory.recall(b"a", REMEMBERED_FOR) == {"r@x": "id"}
    assert memory.recall(b"a", REMEMBERED_FOR + 1) == {}
    assert not memory


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes first."""
    monkeypatch.setattr(_memory, "MAX_REMEMBERED", 10)
    memory = Memory()
    for number in range(5):
        memory.note(bytes([number]), {f"r{each}@x": "id" for each in range(4)}, float(number))
    assert [len(memory.recall(bytes([number]), 5.0)) for number in range(5)] == [0, 0, 0, 4, 4]


def test_what_is_noted_again_is_counted_once() -> None:
    """With all that was accepted since."""
    memory = Memory()
    memory.note(b"a", {"r@x": "id"}, 0.0)
    memory.note(b"a", {"r@x": "id", "s@x": "id"}, 1.0)
    memory.forget(b"a")
    memory.forget(b"a")
    assert memory.recall(b"a", 1.0) == {}
    assert memory._recipients == 0


def test_a_relay_that_stops_does_not_promise_to_remember() -> None:
    """What it knows of a message that went to some of its recipients ends with it."""
    result = TransactionResult(3, {"a@example.net": "id-1"})
    result.failed(STOPPING)
    assert result.reply().startswith(
        "421 4.3.2 Accepted for 1 of 3 recipients (sent again to all, those get it twice: id-1)"
    )
