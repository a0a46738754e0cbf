"""
Whole conversations with a server whose replies are damaged, through `SMTPTransport.send`.

A conversation is three messages: one before (where the connection is to be pooled), the one under test, and one after.
From the reply that is to be struck first, replies are flipped, cut, doubled, swapped, delayed, or replaced by the end
of the connection. `strict_replies` then reads what passed the client's edge, and decides what it proves. Promised:
"accepted" if and only if an unambiguous 250 answered the final dot; "certainly not accepted" after a final dot only
where an unambiguous refusal did; no exception but `TransportError`; an end within the time-outs. Run it with
`python -m tests.faults.fuzz_replies --count 0`.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from seslimit import Message, Outcome, Receipt, TransportError
from seslimit.transports.smtp import SMTPTransport
from seslimit.transports.smtp._options import verifying_context
from seslimit.transports.smtp._replies import SMTPReplies

from ..memory_wire import MemoryLoop, Wire
from .reader_bounds import MOST_KEPT, SLOWEST, Watched
from .strict_replies import Transaction, transactions

TIMEOUT = 5.0
"""Seconds of each time-out of the client."""

LONGEST = 12 * TIMEOUT
"""Seconds that one attempt may take: each of its commands may run close to a time-out, but no longer."""

LARGE = b"Subject: x\r\n\r\n" + b"0123456789abcde\r\n" * 9_000
"""A content that is written in several pieces."""

SMALL = b"Subject: x\r\n\r\nHello.\r\n"

REFUSALS = (
    b"454 Throttling failure: Maximum sending rate exceeded.\r\n",
    b"454 Throttling failure: Daily message quota exceeded.\r\n",
    b"451 4.4.2 Timeout waiting for data from client.\r\n",
    b"421 Connection closed by server. Maximum message count per session reached.\r\n",
    b"554 Transaction failed: Missing final '@domain'\r\n",
    b"554-Message rejected:\r\n554 Sending paused for this account.\r\n",
)

STRAY = (
    b"\r\n",
    b"\n",
    b"\r",
    b"-",
    b"2",
    b"250 ",
    b"\x00",
    b"\xff",
    b"250 Ok\r\n",
    b"250-Ok\r\n",
    b"354 go on\r\n",
    b"250 Ok 0107017033dbb64d-000000\r\n",
    b"421 bye\r\n",
)

Damage = Callable[[random.Random, bytes], bytes]


def flip(chance: random.Random, reply: bytes) -> bytes:
    """One bit, in the code as often as in the rest."""
    at = chance.randrange(min(4, len(reply)) if chance.random() < 0.5 else len(reply))
    return reply[:at] + bytes((reply[at] ^ 1 << chance.randrange(8),)) + reply[at + 1 :]


def insert(chance: random.Random, reply: bytes) -> bytes:
    at = chance.randrange(len(reply) + 1)
    what = chance.choice(STRAY) if chance.random() < 0.8 else chance.randbytes(chance.randrange(1, 20))
    return reply[:at] + what + reply[at:]


def remove(chance: random.Random, reply: bytes) -> bytes:
    at = chance.randrange(len(reply))
    return reply[:at] + reply[at + chance.choice((1, 1, 2, 5, 100)) :]


def double(chance: random.Random, reply: bytes) -> bytes:
    """A part of it, or all, twice."""
    at = chance.choice((0, 0, chance.randrange(len(reply))))
    return reply + reply[at:]


def truncate(chance: random.Random, reply: bytes) -> bytes:
    return reply[: chance.randrange(len(reply))]


def replace(chance: random.Random, _reply: bytes) -> bytes:
    """The answer to something else."""
    return chance.choice((*REFUSALS, *STRAY, b"220 hello\r\n", b"235 welcome\r\n", b"334 VXNlcm5hbWU6\r\n"))


def recode(chance: random.Random, reply: bytes) -> bytes:
    """Another code in one of its lines."""
    lines = reply.splitlines(keepends=True)
    number = chance.randrange(len(lines))
    lines[number] = b"%03d" % chance.choice((250, 354, 220, 550, 454, 150, 600, 25)) + lines[number][3:]
    return b"".join(lines)


def split(chance: random.Random, reply: bytes) -> bytes:
    """A line more, with this code or with another one."""
    code = reply[:3] if chance.random() < 0.5 else chance.choice((b"250", b"354", b"554"))
    return chance.choice((code + b"-more\r\n" + reply, reply[:3] + b"-" + reply[4:] + code + b" more\r\n"))


def flood(chance: random.Random, reply: bytes) -> bytes:
    """More than anybody keeps."""
    much = chance.choice((b"x" * 70_000, b"250-and more\r\n" * 6_000, chance.randbytes(40_000), b"250 Ok\r\n" * 9_000))
    return chance.choice((much + reply, reply + much, reply[:4] + much + reply[4:]))


DAMAGES: tuple[Damage, ...] = (flip, flip, insert, insert, remove, double, truncate, replace, recode, split, flood)


@attrs.define(eq=False)
class DamagedServer:
    """
    A server that says what SES says, damaged from some reply on.

    Args:
        chance: of everything random.
        first: the number of the reply that is struck first; -1 for none.
        share: of the replies from there on that are struck.
    """

    chance: random.Random
    first: int
    share: float
    number: int = 0
    ids: int = 0
    over: bool = False
    held: bytes = b""
    unread: bytes = b""
    content: bool = False
    _wire: Wire | None = None

    @property
    def wire(self) -> Wire:
        """The connection."""
        assert self._wire is not None
        return self._wire

    def begin(self, wire: Wire) -> None:
        """Greet."""
        self._wire = wire
        self.reply(b"220 email-smtp.example.org ESMTP\r\n")

    def received(self, data: bytes) -> None:
        """Take commands and contents, and answer each."""
        self.unread += data
        for what in iter(self._next, b""):
            if self.over:
                return
            self.reply(self._ordinary(what))
        if self.content and self._strikes() and self.chance.random() < 0.3:
            # In the middle of a content.
            self.wire.say(self.chance.choice((*REFUSALS, *STRAY)), self.chance.choice((0.0, 0.005, 0.02)))

    def _next(self) -> bytes:
        """Take a command, or a content."""
        end = b"\r\n.\r\n" if self.content else b"\r\n"
        found, separator, rest = self.unread.partition(end)
        if not separator:
            return b""
        self.unread = rest
        return b"." if self.content else found

    def _ordinary(self, what: bytes) -> bytes:
        verb = what[:4]
        self.content = verb == b"DATA"
        if verb == b".":
            if self._strikes() and self.chance.random() < 0.25:
                return self.chance.choice(REFUSALS)
            self.ids += 1
            return b"250 Ok %016x-000000\r\n" % self.ids
        return {
            b"EHLO": b"250-email-smtp.example.org\r\n250-8BITMIME\r\n250-AUTH PLAIN LOGIN\r\n250 Ok\r\n",
            b"AUTH": b"235 Authentication successful.\r\n",
            b"DATA": b"354 End data with <CR><LF>.<CR><LF>\r\n",
            b"QUIT": b"221 Bye\r\n",
        }.get(verb, b"250 Ok\r\n")

    def _strikes(self) -> bool:
        return 0 <= self.first <= self.number

    def reply(self, reply: bytes) -> None:
        """Say a reply, or what becomes of it."""
        struck = self._strikes() and (self.number == self.first or self.chance.random() < self.share)
        self.number += 1
        if not struck:
            self._say(reply)
        else:
            self._strike(reply)

    def _strike(self, reply: bytes) -> None:
        how = self.chance.random()
        if how < 0.70:
            for _ in range(self.chance.choice((1, 1, 2))):
                reply = self.chance.choice(DAMAGES)(self.chance, reply) or b"\r\n"
            self._say(reply)
        elif how < 0.76:
            # The next reply comes before this one.
            self.held = reply
        elif how < 0.82:
            self._say(reply)
            self._say(replace(self.chance, b""), self.chance.choice((0.0, 0.001, 0.1, 2.0)))
        elif how < 0.88:
            self._say(reply, self.chance.choice((0.1, TIMEOUT - 0.01, TIMEOUT, TIMEOUT + 0.01)))
        elif how < 0.90:
            self.over = True
        else:
            self._say(reply[: self.chance.choice((0, 0, 1, 3, len(reply) - 1, len(reply)))])
            self.wire.hang_up(self.chance.choice((0.0, 0.0, 0.1)), reset=self.chance.random() < 0.5)
            self.over = True

    def _say(self, data: bytes, delay: float = 0.0) -> None:
        """Say it, after all one piece or in several, and what was held back after it."""
        data, self.held = data + self.held, b""
        for piece in self._pieces(data):
            self.wire.say(piece, delay)
            delay = self.chance.choice((0.0, 0.0, 0.01, 0.3)) if self.first >= 0 else 0.0

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        if len(data) < 2 or self.chance.random() < 0.6:
            if data:
                yield data
            return
        cuts = sorted({self.chance.randrange(1, len(data)) for _ in range(self.chance.randrange(1, 5))})
        for begin, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
            yield data[begin:end]


@attrs.define
class Heard:
    """What was seen."""

    conversations: int = 0
    attempts: int = 0
    accepted: int = 0
    dots: int = 0
    outcomes: Counter[str] = attrs.field(factory=Counter)
    false_accepted: list[str] = attrs.field(factory=list)
    missed: list[str] = attrs.field(factory=list)
    unproven: list[str] = attrs.field(factory=list)
    out_of_turn: list[str] = attrs.field(factory=list)
    crashes: list[str] = attrs.field(factory=list)
    hangs: list[str] = attrs.field(factory=list)
    kept: int = 0
    longest: float = 0.0
    slowest: float = 0.0

    @property
    def broken(self) -> bool:
        """Whether a promise is."""
        wrong = self.false_accepted, self.missed, self.unproven, self.out_of_turn, self.crashes, self.hangs
        return any(wrong) or self.kept > MOST_KEPT or self.slowest > SLOWEST


def judge(heard: Heard, name: str, result: Receipt | TransportError, shown: list[Transaction]) -> None:
    """Hold what an attempt said against what the wire shows of it."""
    words = f"{name}: {result!r}; {shown!r}"
    accepted = [transaction for transaction in shown if transaction.accepted]
    handed_over = any(transaction.handed_over for transaction in shown)
    heard.dots += handed_over
    if isinstance(result, Receipt):
        heard.accepted += 1
        if len(shown) != 1 or not any(names(result, transaction) for transaction in accepted):
            heard.false_accepted.append(words)
        return
    if accepted:
        heard.missed.append(words)
    if result.outcome is Outcome.UNKNOWN:
        if not handed_over:
            heard.unproven.append(words)
    elif handed_over and not any(transaction.refused for transaction in shown):
        heard.unproven.append(words)


def names(receipt: Receipt, transaction: Transaction) -> bool:
    """Whether the receipt's id is in the reply that accepted the message."""
    text = transaction.reply[1] if transaction.reply else ""
    escaped = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return receipt.message_id.rstrip("…") in escaped


@attrs.define
class Fuzzing:
    """A run of conversations on one loop."""

    loop: MemoryLoop
    seed: int
    heard: Heard = attrs.field(factory=Heard)
    _buffers: list[Watched] = attrs.field(factory=list)
    # Not used, but made in a thread where it is not given, for which virtual time does not wait.
    _tls_context: ssl.SSLContext = attrs.field(factory=verifying_context)

    def prepare(self, protocol: Any) -> None:
        """Watch what a reader keeps."""
        assert isinstance(protocol, SMTPReplies)
        buffer = Watched()
        protocol._buffer = buffer
        self._buffers.append(buffer)

    async def conversation(self, number: int) -> None:
        """One conversation."""
        chance = random.Random(f"{self.seed} {number}")
        pooled, login = chance.random() < 0.5, chance.random() < 0.5
        # The replies of a fresh connection: greeting, EHLO, perhaps AUTH, then the transaction's.
        opening = 2 + login
        first = chance.randrange(opening + 4, opening + 9) if pooled else chance.randrange(opening + 5)
        servers = [DamagedServer(chance, first, chance.choice((0.0, 0.3, 0.8)))]
        self.loop.accept = lambda: servers.pop() if servers else DamagedServer(chance, -1, 0.0)
        self.loop.wires.clear()
        self._buffers.clear()
        options: dict[str, Any] = {"user": "u", "password": "p"} if login else {}
        transport = SMTPTransport(
            "127.0.0.1",
            tls="none",
            tls_context=self._tls_context,
            max_connections=1,
            connect_timeout=TIMEOUT,
            command_timeout=TIMEOUT,
            content_timeout=TIMEOUT,
            dot_timeout=TIMEOUT,
            **options,
        )
        names = ["before"] * pooled + ["tested", "after"]
        results = {}
        for name in names:
            content = LARGE if name == "tested" and chance.random() < 0.1 else SMALL
            to = ["a@example.com", "b@example.com"][: 1 + (chance.random() < 0.2)]
            results[name] = await self.attempt(transport, Message(f"{name}@example.org", to, content), number)
            if name != "before" and chance.random() < 0.3:
                # What is late comes in between.
                await asyncio.sleep(chance.choice((0.001, 1.0, 6.0)))
        await transport.aclose()
        self._judge(number, results)

    async def attempt(self, transport: SMTPTransport, message: Message, number: int) -> Receipt | TransportError | None:
        """One attempt; None where it broke a promise already."""
        begin = self.loop.time()
        self.heard.attempts += 1
        try:
            async with asyncio.timeout(10 * LONGEST):
                return await transport.send(message)
        except TransportError as error:
            return error
        except TimeoutError:
            self.heard.hangs.append(f"{number}: {message.mail_from} had no end")
        except Exception as error:  # noqa: BLE001 - a crash is what is looked for
            self.heard.crashes.append(f"{number}: {message.mail_from}: {error!r}")
        finally:
            self.heard.longest = max(self.heard.longest, self.loop.time() - begin)
        return None

    def _judge(self, number: int, results: dict[str, Receipt | TransportError | None]) -> None:
        shown = list[Transaction]()
        for wire in self.loop.wires:
            seen, faults = transactions(wire.events)
            shown += seen
            self.heard.out_of_turn += [f"{number}: {fault}" for fault in faults]
            if not wire.is_closing():
                self.heard.hangs.append(f"{number}: a connection is left")
        for name, result in results.items():
            if result is None:
                continue
            if name == "tested":
                self.heard.outcomes["accepted" if isinstance(result, Receipt) else str(result.outcome)] += 1
            own = [transaction for transaction in shown if transaction.mail_from == f"{name}@example.org"]
            judge(self.heard, f"{number} {name}", result, own)
        self.heard.kept = max([self.heard.kept, *(buffer.most for buffer in self._buffers)])
        self.heard.conversations += 1

    async def run(self, count: int, *, progress: bool) -> None:
        """So many conversations."""
        self.loop.prepare = self.prepare
        self.loop.set_exception_handler(lambda _loop, context: self.heard.crashes.append(repr(context)))
        for number in range(count):
            begin = time.perf_counter()
            await self.conversation(number)
            self.heard.slowest = max(self.heard.slowest, time.perf_counter() - begin)
            if progress and (number + 1) % max(1, count // 10) == 0:
                print(f"{number + 1:,} conversations", file=sys.stderr, flush=True)


def fuzz(count: int, seed: int, *, progress: bool = False) -> Heard:
    """So many conversations, on a loop of their own."""
    with asyncio.Runner(loop_factory=MemoryLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, MemoryLoop)
        fuzzing = Fuzzing(loop, seed)
        runner.run(fuzzing.run(count, progress=progress))
    return fuzzing.heard


def print_findings(heard: Heard, seconds: float) -> None:
    """The figures of the conversations."""
    print(f"conversations: {heard.conversations:,} with {heard.attempts:,} attempts in {seconds:.0f} s")
    print(f"outcomes of the message under test: {dict(sorted(heard.outcomes.items()))}")
    print(f"attempts whose final dot was written: {heard.dots:,}; accepted: {heard.accepted:,}")
    for words, found in (
        ("false accepted (no unambiguous 2xx answered the final dot)", heard.false_accepted),
        ("acceptances that were not reported as such", heard.missed),
        ("outcomes that the wire does not prove", heard.unproven),
        ("bytes written out of turn", heard.out_of_turn),
        ("crashes (anything but TransportError)", heard.crashes),
        ("hangs, connections left", heard.hangs),
    ):
        print(f"{words}: {len(found)}")
        for example in found[:5]:
            print(f"  {example:.600}")
    print(
        f"longest attempt: {heard.longest:.1f} s (virtual); slowest conversation: {heard.slowest * 1000:.0f} ms (real)"
    )
    print(f"bytes kept at most: {heard.kept:,}")
