"""
Everything that can go wrong with one attempt, and what the standards and the service's guide say must come of it.

A cell is a stage, a fault, a door, and a connection: fresh, pooled (it has carried a message) or, for a stage that only
a new connection passes, beside (another one is in use). The expectations are written down from these and
from reply tables, never computed by seslimit. Run it with `python -m tests.faults.fault_matrix`;
`tests/test_fault_matrix.py` runs the same cells.

Source:
    RFC 5321, RFC 3207, RFC 4954 and RFC 9110 by section; the SES Developer Guide, "Amazon SES SMTP issues"
    (docs.aws.amazon.com/ses/latest/dg/troubleshoot-smtp.html); the errors of SendEmail and the common errors in the API
    references; public reports by repository and number. Read 2026-11.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import cache
from typing import IO, Any

import attrs
import trustme
from aiobotocore.session import AioSession

from seslimit import Message, TransportError
from seslimit.transports import Transport
from seslimit.transports.ses import SESTransport, session_with
from seslimit.transports.smtp import SMTPTransport
from tests.scripted_server import Act, APIServer, Conversation, Server, SMTPServer, Then, http, refusal

PATIENCE = 0.15
"""Seconds that a client waits where the fault is a silence; elsewhere it waits long enough for a busy machine."""

MORE_PATIENCE = 2.0
"""The same, when such a cell is played once more, because the wait was over before the fault was reached: the machine
stood still. What differs after the fault counts at once."""

LARGE = 59 + 17 * 470_000
"""Bytes of content that no socket buffer holds, so that the client is still writing when the server breaks off."""

CONTENT = b"From: sender@example.org\r\nSubject: hello\r\n\r\nGood morning.\r\n"
PASSWORD = "BLBM/9hSUELfq8Gw"

# What must come of it


@attrs.frozen
class Expected:
    """
    What must come of an attempt.

    Args:
        outcome: the word.
        blocks: `blocks_endpoint` of the error.
        held: whether the service has the message.
        dropped: whether the connection must not be used again; None where either will do.
        requests: MAIL commands or HTTP requests for the message.
        following: the outcome of the next message.
    """

    outcome: str
    blocks: bool = False
    held: bool = False
    dropped: bool | None = True
    requests: int = 1
    following: str = "accepted"


@attrs.frozen
class Cell:
    """
    One cell of the matrix.

    Args:
        door: "smtp" or "api".
        stage: where it strikes.
        fault: what strikes, in words.
        connection: "fresh", "pooled" or "beside".
        plan: stage of the server → what it does.
        expected: what must come of it.
        source: where it is said.
        early: whether the plan begins with the message before, because the fault comes with the reply to that.
        size: bytes of content.
        recipients: how many.
        options: of the transport.
        server: of the server.
        silent: whether the client must run into a time-out.
    """

    door: str
    stage: str
    fault: str
    connection: str
    plan: dict[str, Act]
    expected: Expected
    source: str
    early: bool = False
    size: int = 0
    recipients: int = 1
    options: dict[str, Any] = attrs.field(factory=dict)
    server: dict[str, Any] = attrs.field(factory=dict)
    silent: bool = False

    @property
    def name(self) -> str:
        """The cell's name, alike for no other."""
        return f"{self.door}-{self.stage}-{self.fault}-{self.connection}"


def line(reply: str) -> bytes:
    return reply.encode() + b"\r\n"


# Replies: text, outcome once a message is under way, and the stages at which it is known or may occur.

RATE = "454 Throttling failure: Maximum sending rate exceeded."
DAY = "454 Throttling failure: Daily message quota exceeded."
IDLE = "451 4.4.2 Timeout waiting for data from client."
NOT_AVAILABLE = "421 Service not available, closing transmission channel."
SESSION_CAP = "421 Connection closed by server. Maximum message count per session reached."
TEMPORARY = "451 Temporary service failure"

OPENING = ("greeting", "ehlo", "starttls", "auth")
COMMANDS = ("mail", "rcpt", "data")
REFUSING = (*COMMANDS, "dot")

ENDING = (
    # They end the session, whenever they come: not accepted, no fault of the message.
    # SES guide; mozilla/fxa#11596; RFC 5321, 3.8.
    NOT_AVAILABLE,
    SESSION_CAP,
    "421 Connection closed by server. Too many messages in one session",
    "421 Timeout waiting for data from client.",
    IDLE,
)

REPLIES: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    (RATE, "throttled", REFUSING, "SES guide"),
    (DAY, "quota_exceeded", REFUSING, "SES guide"),
    (
        "454 Throttling failure: Maximum SigV2 SMTP sending rate exceeded.",
        "throttled",
        ("dot",),
        "SES guide",
    ),
    ("454 Throttling failure: try again", "throttled", ("dot",), "SES guide"),
    (TEMPORARY, "transient", REFUSING, "RFC 5321, 4.1.1.4 and 4.2.1"),
    ("454 Temporary service failure", "transient", ("data", "dot"), "RFC 5321, 4.1.1.4 and 4.2.1"),
    ("450 4.2.1 Mailbox busy", "transient", ("rcpt",), "RFC 5321, 4.2.1"),
    ("452 Too many recipients", "transient", ("rcpt",), "RFC 5321, 4.2.1"),
    ("501 Invalid MAIL FROM address provided", "permanent", ("mail",), "SES guide"),
    ("553 <x> Invalid email address", "permanent", ("mail",), "SES guide"),
    ("553 <x> address unknown", "permanent", ("rcpt",), "SES guide"),
    ("550 no such user", "permanent", ("rcpt",), "RFC 5321, 4.2.1"),
    ("530 Authentication required", "account_blocked", ("mail",), "SES guide"),
    ("530 Must issue a STARTTLS command first", "account_blocked", ("mail",), "SES guide"),
    ("552 Message is too long.", "permanent", ("data", "dot"), "RFC 5321, 4.1.1.4, SES guide"),
    ("554 Transaction failed", "permanent", ("data", "dot"), "RFC 5321, 4.1.1.4 and 4.2.1"),
    ("554 Transaction failed: Recipient count exceeds 50.", "permanent", ("dot",), "SES guide"),
    ("554 Transaction failed: Missing final '@domain'", "permanent", ("dot",), "SES guide"),
    (
        "554 Transaction failed: Local address contains control or whitespace",
        "permanent",
        ("dot",),
        "SES guide",
    ),
    ("554 Transaction failed: Duplicate header 'DKIM-Signature'.", "permanent", ("dot",), "SES guide"),
    ("554 Message rejected: Address blacklisted", "permanent", ("dot",), "SES guide"),
    (
        (
            "554 Message rejected: Email address is not verified. The following identities failed the check in region "
            "US-EAST-1: tested@example.org"
        ),
        "account_blocked",
        ("dot",),
        "SES guide: our From",
    ),
    (
        (
            "554 Message rejected: Email address is not verified. The following identities failed the check in region "
            "US-EAST-1: reader0@example.com"
        ),
        "permanent",
        ("dot",),
        "SES guide: the recipient",
    ),
    (
        "554 Access denied: User `arn:aws:iam::123456789012:user/x' is not authorized to perform `ses:SendRawEmail'",
        "account_blocked",
        ("dot",),
        "SES guide",
    ),
    ("554 Message rejected: Sending paused for this account.", "account_blocked", ("dot",), "SES guide"),
    (
        "554 Message rejected: Sending suspended for this account.",
        "account_blocked",
        ("dot",),
        "SES guide",
    ),
    (
        "554 MAIL FROM domain not verified: DNS setup for MAIL FROM domain is invalid.",
        "account_blocked",
        ("dot",),
        "SES guide",
    ),
    # Multi-line replies mean what their lines mean together.
    ("454-Throttling failure:\r\n454 Maximum sending rate exceeded.", "throttled", ("mail", "dot"), "RFC 5321, 4.2.1"),
    ("554-Transaction failed:\r\n554 see above", "permanent", ("mail", "rcpt", "data", "dot"), "RFC 5321, 4.2.1"),
)

OPENING_REPLIES: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("421 Too many concurrent SMTP connections", "not_sent", ("greeting",), "RFC 5321, 3.1"),
    ("421 Too many connections, try again later", "not_sent", ("greeting",), "RFC 5321, 3.1"),
    ("554 No SMTP service here", "not_sent", ("greeting",), "RFC 5321, 3.1: endpoint back-off"),
    ("454 Temporary service failure", "not_sent", ("greeting", "ehlo"), "RFC 5321, 3.1"),
    (NOT_AVAILABLE, "not_sent", OPENING, "RFC 5321, 3.1 and 3.8"),
    (IDLE, "not_sent", OPENING, "mozilla/fxa#11596; RFC 5321, 3.8"),
    (TEMPORARY, "not_sent", OPENING, "RFC 5321, 3.1; RFC 3207, 4; RFC 4954, 6"),
    ("454 TLS not available due to temporary reason", "not_sent", ("starttls",), "RFC 3207, 4: not a throttle"),
    ("502 Command not implemented", "account_blocked", ("ehlo",), "RFC 5321, 4.1.1.1: 5xx at EHLO"),
    ("554 Refused by policy", "account_blocked", ("ehlo",), "RFC 5321, 4.1.1.1: 5xx at EHLO"),
    ("501 Syntax error (no parameters allowed)", "not_sent", ("starttls",), "RFC 3207, 4"),
    ("502 Command not implemented", "not_sent", ("starttls",), "RFC 3207, 4"),
    ("454 Temporary authentication failure", "not_sent", ("auth",), "RFC 4954, 6: not a throttle"),
    ("454 4.7.0 Temporary authentication failure: Connection lost", "not_sent", ("auth",), "RFC 4954, 6"),
    (
        "454 Throttling failure: Maximum sending rate exceeded.",
        "not_sent",
        ("auth",),
        "RFC 4954, 6: must not lower the rate",
    ),
    ("535 Authentication Credentials Invalid", "account_blocked", ("auth",), "RFC 4954, 6"),
    ("535 Account not subscribed to SES", "account_blocked", ("auth",), "SES guide"),
    ("530 Must issue a STARTTLS command first", "account_blocked", ("auth",), "SES guide"),
    ("534 5.7.9 Authentication mechanism is too weak", "account_blocked", ("auth",), "RFC 4954, 6"),
)

# Whatever is no reply, or not one to what was asked (RFC 5321, 4.2). `{wrong}` stands for a code out of place.
MALFORMED = {
    "text without a code": b"hello there\r\n",
    "binary": b"\x00\xff\xfe\x80 \x01\r\n",
    "code out of range": b"999 nonsense\r\n",
    "code of two digits": b"25 Ok\r\n",
    "negative code": b"-50 Ok\r\n",
    "70 KiB in one line": b"250 " + b"x" * 70_000 + b"\r\n",
    "70 KiB of lines": b"250-and more\r\n" * 5_000 + b"250 Ok\r\n",
    "two codes, good one last": b"554-no\r\n%(good)s and yes\r\n",
    "two codes, bad one last": b"%(good)s-yes\r\n554 and no\r\n",
}
GOOD = {"greeting": b"220", "starttls": b"220", "auth": b"235", "data": b"354"}
"""The code that means "go on"; 250 at the stages that are not listed."""

WRONG = {
    "greeting": (b"250", b"354"),
    "ehlo": (b"220", b"354"),
    "starttls": (b"250", b"354"),
    "auth": (b"250", b"334"),
    "mail": (b"220", b"354"),
    "rcpt": (b"220", b"354"),
    "data": (b"250", b"220"),
    "rset": (b"220", b"354"),
    "dot": (b"354", b"220"),
}
"""Codes that mean something else."""

BREAKS = {
    "close": Act(b"", then=Then.CLOSE),
    "reset": Act(b"", then=Then.RESET),
    "half a reply, close": Act(b"25", then=Then.CLOSE),
    "lines without end, close": Act(b"250-a\r\n250-b\r\n", then=Then.CLOSE),
    "silence": Act(b"", then=Then.MUTE),
    "half a reply, silence": Act(b"250-a\r\n25", then=Then.MUTE),
    "a byte now and then": Act(b"250-and more and more\r\n" * 9, drip=PATIENCE / 8, then=Then.MUTE),
}


def silent(act: Act) -> bool:
    return act.then in (Then.MUTE, Then.DEAF)


# The cells of the SMTP door


def before_dot(connection: str) -> Expected:
    """
    A break before the dot: certainly not accepted.

    A connection that never worked is the endpoint's fault, which is given time (RFC 5321, 3.1); an old one that ends is
    not, and a new one helps (RFC 5321, 3.8; mozilla/fxa#11596).
    """
    return Expected("not_sent", blocks=connection == "fresh")


def opening_of(stage: str) -> dict[str, Any]:
    """How a connection must be opened to pass a stage."""
    if stage in ("starttls", "tls"):
        context = client_context()
        return {"tls": "starttls", "tls_context": context, "user": "u", "password": PASSWORD}
    return {"user": "u", "password": PASSWORD} if stage == "auth" else {}


def server_of(stage: str) -> dict[str, Any]:
    return {"tls": server_context()} if stage in ("starttls", "tls") else {}


def opening_cells() -> Iterator[Cell]:  # noqa: C901 - a list of cells
    """Faults of a new connection: with nothing else to send over, and beside one that is in use."""

    def both(stage: str, fault: str, act: Act, expected: Expected, source: str, **more: Any) -> Iterator[Cell]:
        options, server = opening_of(stage), server_of(stage)
        plan = {"starttls" if stage == "tls" else stage: act}
        named: dict[str, Any] = {"silent": silent(act), "options": options, "server": server, **more}
        yield Cell("smtp", stage, fault, "fresh", plan, expected, source, **named)
        # The message waits for the connection there is; only an account that is blocked is blocked for all.
        dropped = expected.dropped or None
        beside = expected if expected.outcome == "account_blocked" else Expected("accepted", held=True, dropped=dropped)
        yield Cell("smtp", stage, fault, "beside", plan, beside, f"{source}; RFC 5321, 3.1: fewer connections", **named)

    def refused(outcome: str) -> Expected:
        return Expected(outcome, blocks=outcome == "not_sent", requests=0)

    for stage in OPENING:
        for reply, outcome, stages, source in OPENING_REPLIES:
            if stage in stages:
                then = Then.CLOSE if reply.startswith("421") or reply == IDLE else Then.KEEP
                yield from both(stage, reply, Act(line(reply), then=then), refused(outcome), source)
        for fault, wire in MALFORMED.items():
            said = wire.replace(b"%(good)s", GOOD.get(stage, b"250"))
            yield from both(stage, fault, Act(said), refused("not_sent"), "RFC 5321, 4.2")
        for code in WRONG[stage]:
            yield from both(
                stage, f"wrong code {code.decode()}", Act(code + b" x\r\n"), refused("not_sent"), "RFC 5321, 4.2"
            )
        for fault, act in BREAKS.items():
            yield from both(stage, fault, act, refused("not_sent"), "RFC 5321, 3.1; RFC 3207, 4.1; RFC 5321, 4.5.3.2")
        fine = Expected("accepted", held=True, dropped=False)
        yield from both(stage, "ordinary reply in single bytes", Act(drip=0.0001), fine, "no fault")
    # Bytes that nobody asked for, in front of a command.
    for stage, previous, extra in (
        ("ehlo", "greeting", b"250 Ok\r\n"),
        ("ehlo", "greeting", b"421 bye\r\n"),
        ("starttls", "ehlo", b"220 go on\r\n"),
        ("tls", "starttls", b"250 injected\r\n"),
        ("auth", "ehlo", b"235 welcome\r\n"),
    ):
        for cell in both(
            stage, f"unsolicited {extra.decode().strip()}", Act(), refused("not_sent"), "RFC 3207, 4; RFC 5321, 4.3.1"
        ):
            yield attrs.evolve(cell, plan={previous: Act(also=extra)})
    for fault, then in (("close", Then.CLOSE), ("reset", Then.RESET), ("silence", Then.MUTE)):
        act = Act(b"220 Ready to start TLS\r\n", then=then)
        yield from both("tls", f"handshake, {fault}", act, refused("not_sent"), "RFC 3207, 4.1")
    for fault, context in (("other authority", other_authority), ("other name", other_name)):
        expected = attrs.evolve(refused("not_sent"), following="not_sent", dropped=None)
        yield from (
            attrs.evolve(cell, server={"tls": context()}, expected=expected)
            for cell in both("tls", fault, Act(), refused("not_sent"), "RFC 3207, 4.1")
            if cell.connection == "fresh"
        )
    # Something on the way took the offers away: no password may be sent.
    stripped = refused("account_blocked")
    ehlo = Act(b"250-email-smtp.example.org\r\n250 Ok\r\n")
    for stage in ("starttls", "auth"):
        yield from (
            attrs.evolve(cell, plan={"ehlo": ehlo})
            for cell in both(stage, "not offered", ehlo, stripped, "RFC 5321, 4.1.1.1")
        )
    for fault in ("nobody listens", "full backlog", "TLS expected, none spoken"):
        options = {"tls": "implicit", "tls_context": client_context()} if fault.startswith("TLS") else {}
        plan = {fault: Act()}
        yield Cell(
            "smtp",
            "connect",
            fault,
            "fresh",
            plan,
            attrs.evolve(refused("not_sent"), following="not_sent" if options else "accepted"),
            "RFC 5321, 3.1; RFC 3207, 4.1",
            options=options,
            silent=fault == "full backlog",
        )


def transaction_cells(connection: str) -> Iterator[Cell]:
    """Faults between MAIL and the final dot's reply."""

    def cell(stage: str, fault: str, act: Act, expected: Expected, source: str, **more: Any) -> Cell:
        return Cell("smtp", stage, fault, connection, {stage: act}, expected, source, silent=silent(act), **more)

    broken = before_dot(connection)
    unknown = Expected("unknown")
    for stage in REFUSING:
        for reply, outcome, stages, source in REPLIES:
            if stage in stages:
                yield cell(stage, reply, Act(line(reply)), Expected(outcome, dropped=False), source)
        for reply in ENDING:
            yield cell(
                stage,
                reply,
                Act(line(reply), then=Then.CLOSE),
                broken,
                "SES guide; mozilla/fxa#11596; RFC 5321, 3.8",
            )
        failure = unknown if stage == "dot" else broken
        for fault, wire in MALFORMED.items():
            said = wire.replace(b"%(good)s", GOOD.get(stage, b"250"))
            yield cell(stage, fault, Act(said), failure, "RFC 5321, 4.2")
        for code in WRONG[stage]:
            yield cell(stage, f"wrong code {code.decode()}", Act(code + b" x\r\n"), failure, "RFC 5321, 4.2")
        for fault, act in BREAKS.items():
            yield cell(
                stage,
                fault,
                act,
                failure,
                "RFC 5321, 4.1.1.4 and 4.5.3.2.6; RFC 5321, 4.5.3.2; SES guide: EOF",
            )
        fine = Expected("accepted", held=True, dropped=False)
        yield cell(stage, "ordinary reply in single bytes", Act(drip=0.0001, accepts=True), fine, "no fault")
    # Our own fault, which a new connection does not mend.
    order = attrs.evolve(broken, blocks=True)
    specified = "503 Sender already specified."
    yield cell("mail", specified, Act(line(specified)), broken, "SES guide")
    yield cell(
        "rcpt", "503 Bad sequence", Act(line("503 Bad sequence of commands")), order, "RFC 5321, 4.2: out of order"
    )
    yield cell(
        "data", "503 Bad sequence", Act(line("503 Bad sequence of commands")), order, "RFC 5321, 4.2: out of order"
    )
    yield from recipient_cells(connection)
    yield from accepted_cells(connection)
    yield from body_cells(connection)
    for stage, previous, extra in (
        ("rcpt", "mail", b"250 Ok\r\n"),
        ("rcpt", "mail", b"354 go on\r\n"),
        ("rcpt", "mail", line(IDLE)),
        ("data", "rcpt", b"354 go on\r\n"),
        ("data", "rcpt", b"250 Ok\r\n"),
        ("body", "data", b"250 Ok 0107017033dbb64d-000000\r\n"),
        ("body", "data", b"554 no\r\n"),
        ("body", "data", b"25"),
    ):
        act, fault = Act(also=extra), f"unsolicited {extra.decode().strip()}"
        yield attrs.evolve(
            cell(stage, fault, act, broken, "RFC 5321, 4.3.1"), plan={previous: act, "dot": Act(line(TEMPORARY))}
        )


def recipient_cells(connection: str) -> Iterator[Cell]:
    """The first of two recipients is refused: RFC 5321, 3.3."""
    fine = Expected("accepted", held=True, dropped=False)
    for reply, expected in (
        ("553 <x> address unknown", fine),
        ("450 4.2.1 Mailbox busy", fine),
        (RATE, Expected("throttled", dropped=False)),
        (DAY, Expected("quota_exceeded", dropped=False)),
        (NOT_AVAILABLE, before_dot(connection)),
    ):
        then = Then.CLOSE if reply == NOT_AVAILABLE else Then.KEEP
        plan = {"rcpt": Act(line(reply), then=then)}
        yield Cell(
            "smtp",
            "rcpt",
            f"first of two: {reply}",
            connection,
            plan,
            expected,
            "RFC 5321, 3.3 and 4.2.1",
            recipients=2,
        )


def accepted_cells(connection: str) -> Iterator[Cell]:
    """The service took the message, and its word is lost, or is not the only one."""
    unknown = Expected("unknown", held=True)
    for fault, act in BREAKS.items():
        plan = {"dot": attrs.evolve(act, accepts=True)}
        yield Cell(
            "smtp", "dot", f"accepted, {fault}", connection, plan, unknown, "RFC 5321, 4.5.3.2.6", silent=silent(act)
        )
    for fault in ("text without a code", "binary", "code out of range", "two codes, bad one last"):
        said = MALFORMED[fault].replace(b"%(good)s", b"250")
        plan = {"dot": Act(said, accepts=True)}
        yield Cell("smtp", "dot", f"accepted, {fault}", connection, plan, unknown, "RFC 5321, 4.5.3.2.6 and 4.2")
    fine = Expected("accepted", held=True, dropped=False)
    plan = {"dot": Act(b"250-Ok first\r\n250 Ok second\r\n", accepts=True)}
    yield Cell("smtp", "dot", "accepted in two lines", connection, plan, fine, "RFC 5321, 4.2.1")
    dropped = Expected("accepted", held=True)
    for extra in (b"250 Ok\r\n", b"421 bye\r\n", line(IDLE), b"25"):
        plan = {"dot": Act(also=extra, accepts=True)}
        fault = f"accepted, and then {extra.decode().strip()}"
        yield Cell("smtp", "dot", fault, connection, plan, dropped, "RFC 5321, 4.3.1")
    for then in (Then.CLOSE, Then.RESET):
        plan = {"dot": Act(accepts=True, then=then)}
        yield Cell("smtp", "dot", f"accepted, then {then}", connection, plan, dropped, "mozilla/fxa#11596")


def body_cells(connection: str) -> Iterator[Cell]:
    """Breaks and replies while the content is written: RFC 5321, 4.1.1.4 and 4.2.1."""

    def cell(fault: str, act: Act, expected: Expected, source: str, size: int = LARGE) -> Cell:
        plan = {"body": act}
        return Cell("smtp", "body", fault, connection, plan, expected, source, size=size, silent=silent(act))

    broken, unknown = before_dot(connection), Expected("unknown")
    for byte in (0, 1, 1000, LARGE // 2):
        for then in (Then.CLOSE, Then.RESET):
            yield cell(f"{then} at byte {byte} of many", Act(b"", at_byte=byte, then=then), broken, "RFC 5321, 4.1.1.4")
    yield cell(
        "deaf at byte 1000 of many",
        Act(b"", at_byte=1000, then=Then.DEAF),
        broken,
        "RFC 5321, 4.1.1.4 and 4.5.3.2",
    )
    yield cell(
        "close at the last byte",
        Act(b"", at_byte=LARGE, then=Then.CLOSE),
        unknown,
        "RFC 5321, 4.1.1.4: dot handed over",
    )
    for then in (Then.CLOSE, Then.RESET, Then.MUTE):
        act = Act(b"", at_byte=10, then=then)
        yield cell(f"{then} in a short one", act, unknown, "RFC 5321, 4.1.1.4: dot handed over", len(CONTENT))
    for reply, outcome in (
        (RATE, "throttled"),
        (DAY, "quota_exceeded"),
        (TEMPORARY, "transient"),
        ("454 Temporary service failure", "transient"),
        ("552 Message is too long.", "permanent"),
        ("554 Transaction failed", "permanent"),
        ("554 Message rejected: Sending paused for this account.", "account_blocked"),
    ):
        for byte in (1, 100_000):
            act = Act(line(reply), at_byte=byte, then=Then.MUTE)
            early = cell(f"early {reply} at {byte}", act, Expected(outcome), "RFC 5321, 4.2.1")
            yield attrs.evolve(early, silent=False)
    for said in (line(NOT_AVAILABLE), line(IDLE), b"250 Ok 0107-000000\r\n", b"354 go on\r\n", b"hello\r\n"):
        act = Act(said, at_byte=100_000, then=Then.MUTE)
        early = cell(
            f"early {said.decode().strip()}",
            act,
            broken,
            "RFC 5321, 4.2.1 and 4.2: the dot was never handed over",
        )
        yield attrs.evolve(early, silent=False)


def pooled_only_cells() -> Iterator[Cell]:
    """What only an old connection meets: a reset, and words that came while it rested."""
    refused = {"dot": Act(line(TEMPORARY))}

    def reset(fault: str, act: Act) -> Cell:
        # RFC 5321, 4.1.1.5: the outcome of the message before is as it was, and the next is not charged for it.
        plan = {**refused, "rset": act}
        expected = Expected("not_sent", requests=0)
        return Cell(
            "smtp", "rset", fault, "pooled", plan, expected, "RFC 5321, 4.1.1.5", early=True, silent=silent(act)
        )

    for reply in (*ENDING, TEMPORARY, "454 Temporary service failure", RATE, "500 unknown", "503 no", "554 no"):
        then = Then.CLOSE if reply in ENDING else Then.KEEP
        yield reset(reply, Act(line(reply), then=then))
    for fault, wire in MALFORMED.items():
        yield reset(fault, Act(wire.replace(b"%(good)s", b"250")))
    for code in WRONG["rset"]:
        yield reset(f"wrong code {code.decode()}", Act(code + b" x\r\n"))
    for fault, act in BREAKS.items():
        yield reset(fault, act)
    yield attrs.evolve(
        reset("ordinary reply in single bytes", Act(drip=0.0001)),
        expected=Expected("accepted", held=True, dropped=False),
    )
    # mozilla/fxa#11596: pending bytes and ends are seen before use, so the message goes over a new connection.
    renewed = Expected("accepted", held=True)
    for extra in (b"250 Ok\r\n", b"354 go on\r\n", b"421 bye\r\n", line(IDLE), b"25", b"\x00\x01"):
        for then in (Then.KEEP, Then.CLOSE):
            name = f"unsolicited {extra.decode().strip()!r}, {then}"
            for stage, said in (("mail", None), ("rset", line(TEMPORARY))):
                plan = {"dot": Act(said, also=extra, then=then, accepts=said is None)}
                yield Cell(
                    "smtp", stage, name, "pooled", plan, renewed, "mozilla/fxa#11596; RFC 5321, 4.3.1", early=True
                )


# The cells of the API door

ERRORS: tuple[tuple[int, str | None, str, str, str], ...] = (
    (429, "TooManyRequestsException", "Maximum sending rate exceeded.", "throttled", "SendEmail"),
    (429, "TooManyRequestsException", "Daily message quota exceeded.", "quota_exceeded", "SendEmail"),
    (429, "TooManyRequestsException", "Rate exceeded", "throttled", "SendEmail"),
    (429, "TooManyRequestsException", "", "throttled", "SendEmail"),
    (429, None, "Maximum sending rate exceeded.", "throttled", "SendEmail"),
    (429, None, "Daily message quota exceeded.", "quota_exceeded", "SendEmail"),
    (
        400,
        "Throttling",
        "Maximum sending rate exceeded.",
        "throttled",
        "SendEmail, common errors of v1",
    ),
    (
        400,
        "Throttling",
        "Daily message quota exceeded.",
        "quota_exceeded",
        "SendEmail, common errors of v1",
    ),
    (400, "ThrottlingException", "Rate exceeded", "throttled", "SendEmail"),
    (400, "LimitExceededException", "too many instances", "transient", "SendEmail"),
    (
        400,
        "LimitExceededException",
        "Daily message quota exceeded.",
        "quota_exceeded",
        "SendEmail: by message",
    ),
    (400, "AccountSuspendedException", "", "account_blocked", "SendEmail"),
    (400, "SendingPausedException", "Sending paused for this account.", "account_blocked", "SendEmail"),
    (400, "MailFromDomainNotVerifiedException", "", "account_blocked", "SendEmail"),
    (400, "MessageRejected", "Invalid content", "permanent", "SendEmail"),
    (
        400,
        "MessageRejected",
        (
            "Email address is not verified. The following identities failed the check in region US-EAST-1: "
            "tested@example.org"
        ),
        "account_blocked",
        "SendEmail: identity",
    ),
    (
        400,
        "MessageRejected",
        (
            "Email address is not verified. The following identities failed the check in region US-EAST-1: "
            "reader0@example.com"
        ),
        "permanent",
        "SES guide: the recipient",
    ),
    (400, "BadRequestException", "bad", "permanent", "SendEmail"),
    (404, "NotFoundException", "Configuration set does not exist.", "account_blocked", "SendEmail"),
    (400, "ConfigurationSetDoesNotExist", "", "account_blocked", "common errors of v1"),
    (400, "ConfigurationSetSendingPausedException", "", "account_blocked", "common errors of v1"),
    (400, "AccountSendingPausedException", "", "account_blocked", "common errors of v1"),
    (403, "InvalidClientTokenId", "The security token is invalid.", "account_blocked", "SendEmail"),
    (403, "SignatureDoesNotMatch", "", "account_blocked", "common errors, SendEmail"),
    (403, "InvalidSignatureException", "Signature expired", "account_blocked", "common errors"),
    (
        403,
        "AccessDeniedException",
        "not authorized to perform ses:SendEmail",
        "account_blocked",
        "SES guide",
    ),
    (
        400,
        "ExpiredTokenException",
        "expired",
        "account_blocked",
        "common errors; a given session cannot be renewed",
    ),
    (500, "InternalServiceErrorException", "", "unknown", "RFC 9110, 9.2.2"),
    (500, "ConcurrentModificationException", "", "unknown", "RFC 9110, 9.2.2"),
    (500, "InternalFailure", "", "unknown", "RFC 9110, 9.2.2"),
    (503, "ServiceUnavailable", "", "unknown", "RFC 9110, 9.2.2"),
    (504, None, "", "unknown", "RFC 9110, 9.2.2"),
    (500, None, "", "unknown", "RFC 9110, 9.2.2"),
)

ID = b'{"MessageId": "id-1"}'
UNCLEAR = {
    # After the request was written nobody can tell: RFC 9110, 9.2.2.
    "close": Act(b"", then=Then.CLOSE),
    "reset": Act(b"", then=Then.RESET),
    "silence": Act(b"", then=Then.MUTE),
    "half a status line, close": Act(b"HTTP/1.1 2", then=Then.CLOSE),
    "half the headers, close": Act(b"HTTP/1.1 200 OK\r\nContent-Le", then=Then.CLOSE),
    "half the headers, silence": Act(b"HTTP/1.1 200 OK\r\nContent-Le", then=Then.MUTE),
    "half the body, close": Act(http(200, ID)[:-5], then=Then.CLOSE),
    "half the body, reset": Act(http(200, ID)[:-5], then=Then.RESET),
    "half the body, silence": Act(http(200, ID)[:-5], then=Then.MUTE),
    "a byte now and then": Act(b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * 200, drip=PATIENCE / 8, then=Then.MUTE),
    "half a chunk, close": Act(
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n{"MessageId"', then=Then.CLOSE
    ),
    "bad chunk": Act(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", then=Then.CLOSE),
    "no HTTP": Act(b"hello\r\n\r\n", then=Then.CLOSE),
    "binary": Act(b"\x00\xff\x16\x03\x01\r\n\r\n", then=Then.CLOSE),
    "SMTP": Act(b"250 Ok 0107-000000\r\n\r\n", then=Then.CLOSE),
    "headers of 70 KiB": Act(b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * 70_000 + b"\r\n\r\n", then=Then.CLOSE),
    "200 without an id": Act(http(200, b"{}")),
    "200 with an empty id": Act(http(200, b'{"MessageId": ""}')),
    "200 with a null id": Act(http(200, b'{"MessageId": null}')),
    "200 with nothing": Act(http(200, b"")),
    "200 with a list": Act(http(200, b"[]")),
    "200 in HTML": Act(http(200, b"<html>hello</html>", b"Content-Type: text/html")),
    "200 with half a JSON": Act(http(200, b'{"MessageId": "id')),
    "200 in Latin-1": Act(http(200, b'{"MessageId": "\xff\xfe"')),
    "two lengths": Act(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}}", then=Then.CLOSE),
    "204": Act(b"HTTP/1.1 204 No Content\r\n\r\n", then=Then.CLOSE),
    "302 to itself": Act(http(302, b"", b"Location: /again")),
    "307 to itself": Act(http(307, b"", b"Location: /v2/email/outbound-emails")),
    "502 in HTML": Act(http(502, b"<html>sorry</html>", b"Content-Type: text/html")),
    "503 with nothing": Act(http(503, b"")),
}


def api_cells(connection: str) -> Iterator[Cell]:
    """Faults of one request."""

    def cell(fault: str, act: Act, expected: Expected, source: str, stage: str = "send", **more: Any) -> Cell:
        named = {"silent": silent(act), **more}
        return Cell("api", stage, fault, connection, {stage: act}, expected, source, **named)

    for status, error, words, outcome, source in ERRORS:
        fault = f"{status} {error} {words}".strip()
        yield cell(fault, Act(refusal(status, error, words)), Expected(outcome, dropped=None), source)
    for fault, act in UNCLEAR.items():
        dropped = True if act.then is not Then.KEEP else None
        yield cell(fault, act, Expected("unknown", dropped=dropped), "RFC 9110, 9.2.2")
        taken = attrs.evolve(act, accepts=True)
        yield cell(f"accepted, {fault}", taken, Expected("unknown", held=True, dropped=dropped), "RFC 9110, 9.2.2")
    fine = Expected("accepted", held=True, dropped=None)
    yield cell("ordinary response in single bytes", Act(accepts=True, drip=0.0001), fine, "no fault")
    twice = Act(b"HTTP/1.1 100 Continue\r\n\r\n" + http(200, ID), accepts=True)
    yield cell("100 and then the response", twice, fine, "no fault")
    ended = Act(accepts=True, then=Then.CLOSE)
    yield cell("accepted, then close", ended, Expected("accepted", held=True), "mozilla/fxa#11596")
    # While the request is written: what was not written to its end cannot have been taken.
    unsent = Expected("not_sent", blocks=connection == "fresh")
    for then in (Then.CLOSE, Then.RESET):
        for byte in (0, 1000):
            act = Act(b"", at_byte=byte, then=then)
            yield cell(f"{then} at byte {byte} of many", act, unsent, "RFC 9110, 9.2.2", "body", size=LARGE)
    deaf = Act(b"", at_byte=1000, then=Then.DEAF)
    yield cell("deaf at byte 1000 of many", deaf, unsent, "RFC 9110, 9.2.2", "body", size=LARGE)
    answered = Act(http(200, ID), at_byte=1000, then=Then.MUTE)
    yield cell("200 at byte 1000 of many", answered, unsent, "RFC 9110, 9.2.2", "body", size=LARGE)
    early = Act(refusal(400, "MessageRejected", "too long"), at_byte=1000, then=Then.MUTE)
    yield cell("early 400", early, Expected("permanent"), "RFC 5321, 4.2.1", "body", size=LARGE, silent=False)
    early = Act(refusal(429, "TooManyRequestsException", "Maximum sending rate exceeded."), at_byte=9, then=Then.MUTE)
    yield cell("early 429", early, Expected("throttled"), "RFC 5321, 4.2.1", "body", size=LARGE, silent=False)


def api_opening_cells() -> Iterator[Cell]:
    """Faults before a request was written, and words that came while a connection rested."""
    for fault in ("nobody listens", "full backlog", "TLS expected, none spoken", "other authority", "close in TLS"):
        options = {"secure": True} if fault not in ("nobody listens", "full backlog") else {}
        server = {"secure": other_authority()} if fault == "other authority" else {}
        following = "accepted" if fault in ("nobody listens", "full backlog") else "not_sent"
        unmade = Expected("not_sent", blocks=True, requests=0, dropped=None, following=following)
        act = Act(b"", then=Then.CLOSE) if fault == "close in TLS" else Act()
        plan = {"connect" if fault == "close in TLS" else fault: act}
        yield Cell(
            "api",
            "connect",
            fault,
            "fresh",
            plan,
            unmade,
            "RFC 5321, 3.1; RFC 3207, 4.1",
            options=options,
            server=server,
            silent=following == "not_sent" or fault == "full backlog",
        )
    for then in (Then.CLOSE, Then.RESET):
        # The connection stood, so the request may have been written before its end was seen: RFC 9110, 9.2.2.
        plan = {"connect": Act(b"", then=then)}
        expected = Expected("unknown", requests=0)
        yield Cell("api", "connect", f"{then} at once", "fresh", plan, expected, "RFC 9110, 9.2.2")
    # Never taken for the answer to a request that comes later. The second request may go over a new connection or
    # break: both are honest, a false acceptance is not; the service refuses it, so that one would show.
    refuse = refusal(400, "MessageRejected", "no")
    for extra in (http(200, ID), http(429, b"{}"), b"hello", b"HTTP/1.1 2"):
        plan = {"first": Act(also=extra, accepts=True), "send": Act(refuse)}
        name = f"unsolicited {extra[:15].decode().strip()}"
        yield Cell("api", "send", name, "pooled", plan, Expected("permanent"), "RFC 5321, 4.3.1", early=True)


def cells() -> list[Cell]:
    """All cells."""
    return [
        *opening_cells(),
        *transaction_cells("fresh"),
        *transaction_cells("pooled"),
        *pooled_only_cells(),
        *api_opening_cells(),
        *api_cells("fresh"),
        *api_cells("pooled"),
    ]


# TLS


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@cache
def authority_file() -> IO[bytes]:
    """The authority's certificate in a file, which is gone with this process."""
    file = tempfile.NamedTemporaryFile(suffix=".pem")  # noqa: SIM115 - open for as long as the process
    file.write(authority().cert_pem.bytes())
    file.flush()
    return file


def _server_context(issuer: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.issue_cert(name).configure_cert(context)
    return context


@cache
def server_context() -> ssl.SSLContext:
    return _server_context(authority(), "127.0.0.1")


@cache
def other_authority() -> ssl.SSLContext:
    return _server_context(trustme.CA(), "127.0.0.1")


@cache
def other_name() -> ssl.SSLContext:
    return _server_context(authority(), "example.org")


@cache
def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    authority().configure_trust(context)
    return context


# Playing a cell


@attrs.frozen
class Seen:
    """What came of a cell; the same fields as what is expected, and what must be so in every cell."""

    outcome: str
    blocks: bool
    held: int
    requests: int
    reused: bool
    """The connection that the fault struck was used again."""
    following: str
    """What came of the message after."""
    doubled: int
    """MAIL commands inside a transaction, and messages that the service has twice."""
    left: str
    """Places, connections and tasks that were left; empty for none."""
    words: str = attrs.field(eq=False, default="")
    reached: bool = attrs.field(eq=False, default=True)
    """Whether the server did what was planned before the attempt was over."""


def wanted(cell: Cell, seen: Seen) -> Seen:
    """What should have been seen."""
    expected = cell.expected
    return Seen(
        expected.outcome,
        expected.blocks,
        int(expected.held),
        expected.requests,
        seen.reused if expected.dropped is None else not expected.dropped,
        expected.following,
        0,
        "",
    )


def mismatches(cell: Cell, seen: Seen) -> list[str]:
    """What differs, in words; empty where the cell is as expected."""
    should = wanted(cell, seen)
    return [
        f"{field.name} is {getattr(seen, field.name)!r}, not {getattr(should, field.name)!r}"
        for field in attrs.fields(Seen)
        if field.eq and getattr(seen, field.name) != getattr(should, field.name)
    ]


def message(name: str, cell: Cell | None = None) -> Message:
    size, count = (cell.size, cell.recipients) if cell else (0, 1)
    content = CONTENT + b"0123456789abcde\r\n" * max(0, (size - len(CONTENT)) // 17)
    return Message(f"{name}@example.org", [f"reader{number}@example.com" for number in range(count)], content)


async def attempt(transport: Transport, sent: Message) -> tuple[str, bool, str]:
    """Outcome, `blocks_endpoint` and words of one attempt."""
    try:
        async with asyncio.timeout(20):
            receipt = await transport.send(sent)
    except TransportError as error:
        return str(error.outcome), error.blocks_endpoint, error.reply
    except TimeoutError:
        return "hung", False, ""
    return "accepted", False, receipt.message_id


async def play(cell: Cell) -> tuple[Seen, list[str]]:
    """Carry out one cell, a silent one twice where its fault was not reached: what was seen, and what differs."""
    seen = await _once(cell, PATIENCE)
    if cell.silent and not seen.reached and mismatches(cell, seen):
        seen = await _once(cell, MORE_PATIENCE)
    return seen, mismatches(cell, seen)


async def _once(cell: Cell, patience: float) -> Seen:
    before = asyncio.all_tasks()
    server: SMTPServer | APIServer
    server = SMTPServer(**cell.server) if cell.door == "smtp" else APIServer(**cell.server)
    async with server.running():
        transport = transport_of(cell, server, patience if cell.silent else 15.0)
        try:
            seen = await _play(cell, server, transport)
        finally:
            await transport.aclose()
        await settled(lambda: server.open_now == 0)
        open_now = server.open_now
    await settled(lambda: asyncio.all_tasks() == before)
    tasks = len(asyncio.all_tasks() - before)
    left = ", ".join(
        part for part in (seen.left, f"{open_now} open" * bool(open_now), f"{tasks} tasks" * bool(tasks)) if part
    )
    return attrs.evolve(seen, left=left)


async def settled(condition: Any) -> None:
    """Give what is ending some time to end."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            while not condition():  # noqa: ASYNC110 - the end of a connection sets no event
                await asyncio.sleep(0.001)


@cache
def session() -> AioSession:
    """One session for all: reading botocore's models, and this machine's authorities, takes most of a cell's time."""
    made = session_with("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    made.set_config_variable("ca_bundle", authority_file().name)
    return made


def transport_of(cell: Cell, server: Server, patience: float) -> SMTPTransport | SESTransport:
    if cell.door == "api":
        options = dict(cell.options)
        scheme = "https" if options.pop("secure", False) else "http"
        url = f"{scheme}://127.0.0.1:{server.port}"
        return SESTransport(
            "us-east-1",
            endpoint_url=url,
            session=session(),
            # That the connection took too long is known only where it has less time than the whole.
            timeout=patience * (4 if cell.stage == "connect" else 1),
            connect_timeout=patience,
            **options,
        )
    waits = dict.fromkeys(("connect_timeout", "command_timeout", "content_timeout", "dot_timeout"), patience)
    if cell.connection == "beside":
        waits["dot_timeout"] = 15.0
    # Given to all, since reading the certificate authorities of this machine takes most of a cell's time.
    fixed = {"tls": "none", "max_connections": 2, "tls_context": client_context()}
    return SMTPTransport("127.0.0.1", server.port, **{**fixed, **waits, **cell.options})


async def _play(cell: Cell, server: SMTPServer | APIServer, transport: SMTPTransport | SESTransport) -> Seen:
    plan = dict(cell.plan)
    if cell.early:
        first = plan.pop("first", None)
        server.plan = {"send": first} if first else plan
    first_sent: asyncio.Task[Any] | None = None
    if cell.connection == "pooled":
        await attempt(transport, message("first"))
        # Whatever came with the reply is read in the meantime.
        await asyncio.sleep(0.01)
    elif cell.connection == "beside":
        server.hold = asyncio.Event()
        first_sent = asyncio.create_task(attempt(transport, message("first")))
        await settled(lambda: server.accepted)
    if not cell.early or "send" in plan:
        server.plan = plan
    requests = server.requests if isinstance(server, APIServer) else 0
    sending = asyncio.create_task(attempt(transport, message("tested", cell)))
    async with obstructed(cell, server):
        if first_sent is not None:
            await _refused_beside(transport, sending, server)
            await first_sent
        outcome, blocks, words = await sending
    requests = server.requests - requests if isinstance(server, APIServer) else server.mails.count("tested@example.org")
    reached, server.plan = not server.plan, {}
    # An HTTP client that is told the end of a connection in the middle of its next request could not but be unsure.
    await asyncio.sleep(0.01)
    # A time-out that is short for the silence may be too short for a busy machine: the next message gets three tries.
    following = "", False, ""
    for _ in range(3 if cell.silent else 1):
        following = await attempt(transport, message("next"))
        if following[0] == "accepted":
            break
    names = [accepted.mail_from.partition("@")[0] for accepted in server.accepted]
    nested = server.nested if isinstance(server, SMTPServer) else 0
    return Seen(
        outcome,
        blocks,
        names.count("tested"),
        requests,
        any(used_again(conversation) for conversation in server.conversations[: 1 if cell.early else None]),
        following[0],
        nested + sum(count - 1 for count in Counter(names).values()),
        left_in(transport),
        f"{words} / {following[2]}",
        reached,
    )


def used_again(conversation: Conversation) -> bool:
    """Whether anything but a goodbye came after the fault."""
    commands = ("MAIL", "RCPT", "DATA", "RSET", "EHLO", "AUTH", "STARTTLS", "POST")
    return any(line.split(" ")[0] in commands for line in conversation.afterwards or ())


async def _refused_beside(transport: SMTPTransport | SESTransport, sending: asyncio.Task[Any], server: Server) -> None:
    """Wait until the second connection has met its fault, then let go of the first."""
    assert isinstance(transport, SMTPTransport)
    pool = transport._pool
    opening = pool._opening
    await settled(lambda: len(server.conversations) > 1 and (sending.done() or not opening))
    assert server.hold is not None
    server.hold.set()
    server.hold = None


def left_in(transport: SMTPTransport | SESTransport) -> str:
    """Places of the transport that are taken although nothing is under way."""
    if isinstance(transport, SESTransport):
        current = transport._doors._current
        return f"{current.users} users" if current and current.users else ""
    pool = transport._pool
    taken = pool._in_use + len(pool._opening) + len(pool._waiting)
    return f"{taken} places" if taken or pool.size > 2 else ""


@contextlib.asynccontextmanager
async def obstructed(cell: Cell, server: Server) -> AsyncIterator[None]:
    """Nobody listens at the server's port, or nobody answers there, while the message is sent."""
    if "nobody listens" not in cell.plan and "full backlog" not in cell.plan:
        yield
        return
    await server.stop_listening()
    if "nobody listens" in cell.plan:
        yield
    else:
        with socket.socket() as full, contextlib.ExitStack() as waiting:
            full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            full.bind(("127.0.0.1", server.port))
            full.listen(0)
            for _ in range(3):
                peer = waiting.enter_context(socket.socket())
                peer.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    peer.connect(("127.0.0.1", server.port))
            yield
    await server.listen_again()


async def play_all(chosen: Iterable[Cell]) -> dict[str, list[str]]:
    """Play cells one after another; name → what differs."""
    return {cell.name: (await play(cell))[1] for cell in chosen}


def main(words: list[str]) -> int:
    """Print the matrix; words choose the cells whose names hold one of them."""
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    chosen = [cell for cell in cells() if not words or any(word in cell.name for word in words)]
    begin = time.perf_counter()

    async def run() -> int:
        wrong = 0
        print(f"| | door | stage | connection | fault | expected | blocks | held | seen |\n{'|---' * 9}|")
        for cell in chosen:
            seen, differing = await play(cell)
            wrong += bool(differing)
            should = cell.expected
            row = (
                "**✗**" if differing else "✓",
                cell.door,
                cell.stage,
                cell.connection,
                cell.fault[:70].replace("\r\n", " ↵ "),
                should.outcome,
                "yes" if should.blocks else "",
                "yes" if should.held else "",
                f"{'; '.join(differing)} ({seen.words[:80]})" if differing else "",
            )
            print(f"| {' | '.join(row)} |", flush=True)
        return wrong

    wrong = asyncio.run(run())
    doors = ", ".join(f"{count} {door}" for door, count in Counter(cell.door for cell in chosen).items())
    print(f"\n{len(chosen)} cells, {wrong} mismatches ({doors}; {time.perf_counter() - begin:.1f} s)")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
