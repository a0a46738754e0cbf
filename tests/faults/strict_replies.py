"""
What the bytes of an SMTP service say, read as RFC 5321 writes it and without any of seslimit's code.

Decides what a stream of bytes, or a conversation as it passed the client's edge, proves. `tests.faults.fuzz_replies`
holds seslimit against it. It must not know what seslimit made of the same bytes.

Source:
    RFC 5321, 2.3.8, 4.2, 4.2.1, 4.3.1 and 4.5.3.1.5; for bytes above 127 in texts RFC 6531.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias

import attrs

LONGEST = 32 * 1024
"""Bytes of one reply that a client takes; a longer one is none."""

TEXT = frozenset((0x09, *range(0x20, 0x7F), *range(0x80, 0x100)))
"""The bytes of a reply's text."""


class Reading(NamedTuple):
    """
    What a stream of bytes holds.

    Args:
        replies: code and texts of each reply, in order.
        ends: where each of them ends.
        broken: whether what comes behind them can never become a reply.
    """

    replies: list[tuple[int, str]]
    ends: list[int]
    broken: bool

    @property
    def end(self) -> int:
        """Where the last reply ends."""
        return self.ends[-1] if self.ends else 0


def means(code: int, wanted: int) -> bool:
    """Whether a code says the same by its first digit, and is not another command's."""
    return code // 100 == wanted // 100 and code not in (211, 214, 220, 221, 235, 334)


def _is_line(line: bytes) -> bool:
    digits, separator, text = line[:3], line[3:4], line[4:-2]
    if not line.endswith(b"\r\n") or len(line) < 5 or not digits.isdigit() or not 200 <= int(digits) <= 599:
        return False
    return separator == b"\r" if len(line) == 5 else separator in (b" ", b"-") and TEXT.issuperset(text)


def read(stream: bytes, *, bare: bool = False) -> Reading:
    """
    Read a stream from its beginning, as far as it consists of replies.

    Args:
        stream: the bytes.
        bare: whether a line may end in a bare LF.
    """
    replies, ends, texts = list[tuple[int, str]](), list[int](), list[str]()
    begin = at = 0
    code = b""
    while (end := stream.find(b"\n", at) + 1) and end - begin <= LONGEST:
        line = stream[at:end]
        if bare and not line.endswith(b"\r\n"):
            line = line[:-1] + b"\r\n"
        if not _is_line(line) or (texts and line[:3] != code):
            return Reading(replies, ends, broken=True)
        code, at = line[:3], end
        texts.append(line[4:-2].decode("utf-8", "replace").strip())
        if line[3:4] != b"-":
            replies.append((int(code), "\n".join(texts)))
            ends.append(end)
            texts.clear()
            begin = end
    return Reading(replies, ends, broken=len(stream) - begin > LONGEST)


Event: TypeAlias = tuple[Literal["wrote", "read"], bytes]
"""What passed the client's edge: bytes that it wrote, or that came to it."""


@attrs.define
class Transaction:
    """
    One message's transaction, as the wire shows it.

    Args:
        mail_from: its return address.
        granted: whether the service has said yes to all that came before the content.
        handed_over: whether the final dot was written.
        reply: code and text of the reply to the final dot, or to the content before it; None while there is none.
    """

    mail_from: str
    granted: bool = True
    handed_over: bool = False
    reply: tuple[int, str] | None = None

    @property
    def accepted(self) -> bool:
        """Whether the service said without doubt that it has the message."""
        return self.granted and self.handed_over and self.reply is not None and means(self.reply[0], 250)

    @property
    def refused(self) -> bool:
        """Whether the service said without doubt that it has not, although it had the content."""
        return self.reply is not None and self.reply[0] >= 400


@attrs.define
class _Walk:
    """A conversation, event by event."""

    transactions: list[Transaction] = attrs.field(factory=list)
    faults: list[str] = attrs.field(factory=list)
    awaited: str | None = "greeting"
    unread: bytes = b""
    unsent: bytes = b""
    content: bool = False
    dead: bool = False
    rcpt: int = 0

    def wrote(self, data: bytes) -> None:
        """The client wrote: a command, or a piece of the content."""
        self.unsent += data
        if self.content:
            self._wrote_content()
            return
        if self.dead or self.awaited:
            self.faults.append(f"wrote {data[:20]!r} out of turn")
        if self.unsent.count(b"\r\n") != 1 or not self.unsent.endswith(b"\r\n"):
            self.faults.append(f"wrote {data[:20]!r}, which is not one command")
        verb, self.unsent = self.unsent[:4].decode("latin-1"), b""
        self.awaited = verb
        if verb == "MAIL":
            self.transactions.append(Transaction(data[11:-3].decode("latin-1")))
            self.rcpt = 0

    def _wrote_content(self) -> None:
        if not self.unsent.endswith(b"\r\n.\r\n"):
            return
        self.content, self.unsent = False, b""
        if self.dead:
            self.faults.append("wrote the final dot out of turn")
        # What came before the dot is no answer to it.
        self.dead = self.dead or bool(self.unread) or self.awaited is None
        self.transactions[-1].handed_over = True
        self.awaited = "."

    def read(self, data: bytes) -> None:
        """Something came to the client."""
        self.unread += data
        if self.dead or self.awaited is None:
            self.dead = True
            return
        # Whether a message was accepted is read whatever ends the line; nothing is said after that.
        reading = read(self.unread, bare=self.awaited == ".")
        if reading.replies:
            said, self.unread = self.unread[: reading.ends[0]], self.unread[reading.ends[0] :]
            # With more behind it, nothing that comes can be told from it.
            self.dead = bool(self.unread) or said.count(b"\n") != said.count(b"\r\n")
            self._answer(self.awaited, *reading.replies[0])
        elif reading.broken:
            self.dead = True

    def _answer(self, command: str, code: int, text: str) -> None:
        self.awaited = None
        if not self.transactions:
            return
        transaction = self.transactions[-1]
        if command == "MAIL":
            transaction.granted = means(code, 250)
        elif command == "RCPT":
            self.rcpt += means(code, 250)
        elif command == "DATA":
            transaction.granted = transaction.granted and self.rcpt > 0 and means(code, 354)
            self.content = transaction.granted
            self.awaited = "content" if self.content else None
        elif command == "." or (command == "content" and code >= 400):
            transaction.reply = (code, text)
        elif command == "content":
            # Nothing can be accepted before its dot.
            self.dead = True


def transactions(events: Iterable[Event]) -> tuple[list[Transaction], list[str]]:
    """
    What a conversation proves.

    Returns:
        its transactions in order, and what the client wrote that it must not write.
    """
    walk = _Walk()
    for kind, data in events:
        (walk.wrote if kind == "wrote" else walk.read)(data)
    return walk.transactions, walk.faults
