"""Whole SMTP conversations with a damaged server: what an attempt says is what the bytes on the wire prove."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from seslimit import TransportError
from seslimit.transports.smtp import SMTPTransport
from tests.faults.fault_matrix import CONTENT, LARGE, message
from tests.faults.fuzz_conversations import fuzz
from tests.faults.reader_bounds import MOST_KEPT
from tests.faults.strict_replies import Event, transactions
from tests.scripted_server import Act, SMTPServer


def test_damaged_conversations() -> None:
    """No false acceptance, none that is missed, nothing unproven, no crash and no hang, at most 64 KiB kept."""
    heard = fuzz(1_500, seed=3)
    assert (heard.false_accepted, heard.missed, heard.unproven) == ([], [], [])
    assert (heard.out_of_turn, heard.crashes, heard.hangs) == ([], [], [])
    assert heard.kept <= MOST_KEPT
    # The damage is neither none nor total.
    assert {"accepted", "not_sent", "unknown", "permanent", "throttled"} <= set(heard.outcomes)


@pytest.mark.parametrize("early", [b"250-Ok\r\n", b"250 ", b"2"])
async def test_reply_begun_before_the_dot(early: bytes) -> None:
    """What the service began to say in the middle of the content is not completed by its reply to the final dot."""
    refusal = b"421 Connection closed by server.\r\n"
    plan = {"body": Act(early, at_byte=1000), "dot": Act(b"250 " + refusal if early == b"250-Ok\r\n" else refusal)}
    server = SMTPServer(plan=plan)
    async with server.running():
        transport = SMTPTransport("127.0.0.1", server.port, tls="none")
        large = attrs.evolve(message("tested"), content=CONTENT + b"0123456789abcde\r\n" * (LARGE // 17))
        with pytest.raises(TransportError, match="in the middle of the content") as caught:
            await transport.send(large)
        await transport.aclose()
        await asyncio.sleep(0)
    assert caught.value.outcome == "not_sent"
    assert server.raw == []


OPENING: list[Event] = [("read", b"220 hello\r\n"), ("wrote", b"EHLO [127.0.0.1]\r\n"), ("read", b"250 Ok\r\n")]
ENVELOPE: list[Event] = [
    ("wrote", b"MAIL FROM:<a@example.org>\r\n"),
    ("read", b"250 Ok\r\n"),
    ("wrote", b"RCPT TO:<b@example.org>\r\n"),
    ("read", b"250 Ok\r\n"),
    ("wrote", b"DATA\r\n"),
    ("read", b"354 go on\r\n"),
]
HANDED_OVER: list[Event] = [("wrote", b"Hi\r\n.\r\n")]


@pytest.mark.parametrize(
    ("events", "accepted"),
    [
        ([*HANDED_OVER, ("read", b"250 Ok id\r\n")], True),
        ([*HANDED_OVER, ("read", b"250-Ok\r"), ("read", b"\n250 id\r\n"), ("read", b"421 bye\r\n")], True),
        ([*HANDED_OVER, ("read", b"250-Ok\r\n")], False),
        ([*HANDED_OVER, ("read", b"250 Ok id\n")], True),
        ([*HANDED_OVER, ("read", b"251 Ok id\r\n")], True),
        ([*HANDED_OVER, ("read", b"221 bye\r\n")], False),
        ([("read", b"250 Ok id\r\n"), *HANDED_OVER], False),
        ([("read", b"250-Ok\r\n"), *HANDED_OVER, ("read", b"250 id\r\n")], False),
    ],
)
def test_what_the_wire_proves(events: list[Event], accepted: bool) -> None:
    """A message is accepted where one whole reply of 2xx, no other command's, came after its final dot."""
    shown, _ = transactions([*OPENING, *ENVELOPE, *events])
    assert [transaction.accepted for transaction in shown] == [accepted]


def test_written_out_of_turn() -> None:
    """A client that writes before it has its reply is found out."""
    _, faults = transactions([*OPENING, ("wrote", b"MAIL FROM:<a@example.org>\r\n"), ("wrote", b"DATA\r\n")])
    assert len(faults) == 1
