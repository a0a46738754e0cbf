"""
Replies of any kind, cut anywhere: `python -m tests.faults.fuzz_replies [--count N] [--conversations N] [--seed N]`.

First, streams of replies, ordinary and hostile, each fed to the reader in one piece and then in many random chunkings,
by two clients: a patient one, which writes its next command when all of an answer has come, and an eager one, which
writes it as soon as it has a reply. What each reads must be what `strict_replies` reads in the same bytes, however they
were cut. Then whole conversations with a server whose replies are damaged (`fuzz_conversations`). The exit status is 1
where a promise is broken.

What it does not show: sockets, and TLS between them and the reader.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence

import attrs

from seslimit.transports.smtp._replies import SMTPReplies
from seslimit.transports.smtp._reply import BrokenConversation, SMTPReply

from .reader_bounds import MOST_KEPT, SLOWEST, Watched
from .strict_replies import LONGEST, read

PER_STREAM = 64
"""Chunkings of an ordinary stream."""

LARGE = 4 * 1024
"""Bytes from which on a stream is large: it gets few chunkings."""

PER_LARGE_STREAM = 8

FEW = 10
"""Pieces up to which the texts are weighed too after each: weighing takes longer than reading."""

CODES = (b"220", b"250", b"250", b"250", b"251", b"334", b"354", b"421", b"451", b"454", b"503", b"550", b"554", b"599")
TEXTS = (b"Ok", b"", b"Ok 0107017033dbb64d-be13a01e-000000", b"Throttling failure: Maximum sending rate exceeded.")
ENDS = (b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\n\r", b"\r\r\n", b"\r\n\r\n", b"")

# Answers: what a service says between two commands


def line(chance: random.Random, code: bytes, separator: bytes) -> bytes:
    """A line of a reply."""
    text = chance.choice(TEXTS) if chance.random() < 0.8 else chance.randbytes(6).translate(PRINTED)
    return code + (separator + text if text or chance.random() < 0.5 or separator == b"-" else b"") + b"\r\n"


PRINTED = bytes(32 + number % 95 if number < 128 else number for number in range(256))
"""To bytes that a text may hold."""


def ordinary(chance: random.Random) -> bytes:
    """One reply, of one line or more."""
    code = chance.choice(CODES)
    more = int(chance.expovariate(0.7)) if chance.random() < 0.5 else 0
    return b"".join(line(chance, code, b"-") for _ in range(more)) + line(chance, code, b" ")


def damaged(chance: random.Random) -> bytes:
    """A reply with a few bytes flipped, put in, or taken away."""
    reply = bytearray(ordinary(chance))
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = int(chance.random() * len(reply))
        how = chance.random()
        if how < 0.4 and reply:
            reply[at % len(reply)] ^= 1 << chance.randrange(8)
        elif how < 0.7:
            reply[at:at] = chance.choice((b"\r", b"\n", b"\r\n", b"-", b" ", b"2", b"\x00", b"\xff", b"250 Ok\r\n"))
        else:
            del reply[at : at + chance.randrange(1, 4)]
    return bytes(reply)


def misended(chance: random.Random) -> bytes:
    """Lines that end in something else, or not at all."""
    code = chance.choice(CODES)
    separators = (b"-",) * chance.randrange(3) + (b" ",)
    return b"".join(line(chance, code, separator)[:-2] + chance.choice(ENDS) for separator in separators)


def miscoded(chance: random.Random) -> bytes:
    """Lines of different codes, or of what is no code."""
    codes = (*CODES, b"25", b"2500", b"150", b"600", b"-50", b"+25", b" 25", b"2_5", b"\xb2\xb3\xb9", b"25O", b"")
    separators = (b"-",) * chance.randrange(1, 3) + (b" ",)
    return b"".join(line(chance, chance.choice(codes), separator) for separator in separators)


def huge(chance: random.Random) -> bytes:
    """Around and beyond the longest reply: one long line, many short ones, or no end of either."""
    size = chance.choice((LONGEST - 1, LONGEST, LONGEST + 1, 66_000, 200_000, 5_000))
    kind = chance.randrange(4)
    if kind == 0:
        return b"250 " + b"x" * (size - 6) + chance.choice((b"\r\n", b"\r\n", b"", b"\n"))
    if kind == 1:
        rest = (size - 8) % 5
        return b"250-\r\n"[: 6 * (rest > 0)] + b"250-a\r\n" * ((size - 8) // 7) + b"250 Ok\r\n"
    if kind == 2:
        return b"250 Ok\r\n" + chance.randbytes(size)
    return chance.randbytes(size)


def answer(chance: random.Random) -> bytes:
    """What a service says after one command."""
    how = chance.random()
    if how < 0.55:
        return ordinary(chance)
    if how < 0.59:
        return ordinary(chance) + ordinary(chance)
    if how < 0.62:
        return ordinary(chance) + ordinary(chance)[: chance.randrange(6)]
    if how < 0.65:
        return ordinary(chance)[: chance.randrange(1, 8)]
    if how < 0.80:
        return damaged(chance)
    if how < 0.87:
        return misended(chance)
    if how < 0.94:
        return miscoded(chance)
    if how < 0.998:
        return chance.randbytes(chance.randrange(1, 40))
    return huge(chance)


# Feeding


@attrs.define
class Client:
    """
    A client that reads replies and takes note of them; nothing is written.

    Args:
        eager: whether it asks for the next reply as soon as it has one.
    """

    eager: bool
    replies: list[SMTPReply] = attrs.field(factory=list)
    reader: SMTPReplies = attrs.field(factory=SMTPReplies)
    kept: int = 0
    _buffer: Watched = attrs.field(factory=Watched)
    _waiting: asyncio.Future[SMTPReply] | None = None

    def __attrs_post_init__(self) -> None:
        self.reader._buffer = self._buffer
        self.ask()

    def ask(self) -> None:
        """Write a command, so to say."""
        self._waiting = self.reader.expect()

    def feed(self, data: bytes, cuts: Sequence[int], *, weigh: bool = False) -> None:
        """Take an answer in pieces."""
        begin = 0
        for cut in (*cuts, len(data)):
            self.reader.data_received(data[begin:cut])
            begin = cut
            if self.eager and self._read():
                self.ask()
            if weigh and len(cuts) < FEW:
                texts = sum(map(len, getattr(self.reader, "_texts", ())))
                self.kept = max(self.kept, len(self._buffer) + texts)
        self.kept = max(self.kept, self._buffer.most)

    def _read(self) -> bool:
        """Take note of the reply, if there is one."""
        if self._waiting is None or not self._waiting.done() or self._waiting.exception() is not None:
            return False
        self.replies.append(self._waiting.result())
        self._waiting = None
        return True

    def play(self, answers: Sequence[bytes], chunking: Sequence[Sequence[int]], *, weigh: bool = False) -> str:
        """Read answer after answer; how it ended."""
        for number, (data, cuts) in enumerate(zip(answers, chunking, strict=True)):
            if number and self._waiting is None:
                self.ask()
            self.feed(data, cuts, weigh=weigh)
            if not self.eager and not self._read():
                break
        return self._end()

    def _end(self) -> str:
        in_step = self.reader.in_step
        self.reader.eof_received()
        # Now nothing more comes: whoever waits has to be told, and whoever asks again.
        failures = [waiting.exception() for waiting in (self._waiting, self.reader.expect()) if waiting is not None]
        if not all(isinstance(failure, BrokenConversation) for failure in failures):
            return f"told {failures}"
        return "in step" if in_step else "broken"


def cut(chance: random.Random, size: int) -> Sequence[int]:
    """Where to cut so many bytes."""
    if size < 2:
        return ()
    how = chance.random()
    if how < 0.1 and size <= LARGE:
        return range(1, size)
    if size > LARGE and how < 0.05:
        return range(1, size)
    pieces = 1 + int(chance.random() * 8)
    return sorted({1 + int(chance.random() * (size - 1)) for _ in range(pieces)})


# What must come of it


def expected_patient(answers: Sequence[bytes]) -> tuple[list[tuple[int, str]], str]:
    """What a patient client must read: the first reply of each answer, until one holds anything else."""
    replies = list[tuple[int, str]]()
    for data in answers:
        reading = read(data)
        replies += reading.replies[:1]
        if not reading.replies:
            return replies, "broken" if data else "in step"
        if reading.ends[0] < len(data):
            return replies, "broken"
    return replies, "in step"


@attrs.frozen
class Eager:
    """What an eager client must read in a stream, for any way to cut it."""

    replies: list[tuple[int, str]]
    ends: list[int]
    size: int

    def expected(self, cuts: set[int]) -> tuple[list[tuple[int, str]], str]:
        """All replies up to the first that does not end where a chunk ends."""
        for number, end in enumerate(self.ends):
            if end not in cuts and end < self.size:
                return self.replies[: number + 1], "broken"
        whole = self.size == (self.ends[-1] if self.ends else 0)
        return self.replies, "in step" if whole else "broken"


@attrs.define
class Findings:
    """What was seen."""

    chunkings: int = 0
    streams: int = 0
    replies: int = 0
    endings: Counter[str] = attrs.field(factory=Counter)
    differing: list[str] = attrs.field(factory=list)
    crashes: list[str] = attrs.field(factory=list)
    kept: int = 0
    slowest: float = 0.0

    @property
    def broken(self) -> bool:
        """Whether a promise is."""
        return bool(self.differing or self.crashes or self.kept > MOST_KEPT or self.slowest > SLOWEST)

    def note(self, client: Client, ending: str, expected: tuple[list[tuple[int, str]], str], data: object) -> None:
        """Compare what a client read with what it must read."""
        self.replies += len(client.replies)
        self.endings[ending] += 1
        self.kept = max(self.kept, client.kept)
        read = [(reply.code, reply.message) for reply in client.replies]
        if (read, ending) != expected:
            self.differing.append(f"{data!r:.300}: read {read!r:.200}, {ending}; should be {expected!r:.200}")


def play_stream(chance: random.Random, findings: Findings, count: int) -> None:
    """Play one stream: whole, and in so many chunkings."""
    answers = [answer(chance) for _ in range(chance.choice((1, 2, 2, 3, 4)))]
    joined = b"".join(answers)
    weigh = len(joined) > LARGE
    if weigh:
        count = min(count, PER_LARGE_STREAM)
    patient = expected_patient(answers)
    reading = read(joined)
    eager = Eager(reading.replies, reading.ends, len(joined))
    findings.streams += 1
    for number in range(count):
        whole = number == 0
        # The first chunking of every stream is none.
        if number % 2 == 0:
            pieces: list[Sequence[int]] = [() if whole else cut(chance, len(data)) for data in answers]
            parts: Sequence[bytes] = answers
            expected = patient
        else:
            pieces, parts = [() if number == 1 else cut(chance, len(joined))], [joined]
            expected = eager.expected(set(pieces[0]))
        begin = time.perf_counter()
        client = Client(eager=bool(number % 2))
        try:
            ending = client.play(parts, pieces, weigh=weigh)
        except Exception as error:  # noqa: BLE001 - a crash is what is looked for
            findings.crashes.append(f"{parts!r:.300} cut at {pieces}: {error!r}")
            continue
        findings.slowest = max(findings.slowest, time.perf_counter() - begin)
        findings.chunkings += 1
        findings.note(client, ending, expected, (parts, pieces))


async def fuzz(count: int, seed: int, *, progress: bool = False) -> Findings:
    """So many chunkings."""
    chance, findings = random.Random(seed), Findings()
    told = 0
    while findings.chunkings + len(findings.crashes) < count:
        play_stream(chance, findings, min(PER_STREAM, count - findings.chunkings))
        if progress and findings.chunkings - told >= count / 20:
            told = findings.chunkings
            print(f"{told:,} chunkings", file=sys.stderr, flush=True)
    return findings


def print_findings(findings: Findings, seconds: float) -> None:
    """The figures of the chunkings."""
    print(f"chunkings: {findings.chunkings:,} of {findings.streams:,} streams in {seconds:.0f} s")
    print(f"replies read: {findings.replies:,}; endings: {dict(findings.endings)}")
    print(f"read otherwise than RFC 5321 has it, or than in one piece: {len(findings.differing)}")
    print(f"crashes: {len(findings.crashes)}; slowest chunking: {findings.slowest * 1000:.0f} ms")
    print(f"bytes kept at most: {findings.kept:,}")
    for words in (findings.differing + findings.crashes)[:10]:
        print(f"  {words}")


def main(arguments: list[str]) -> int:
    """Print the figures; 1 where a promise is broken."""
    from . import fuzz_conversations

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5_000_000, help="chunkings")
    parser.add_argument("--conversations", type=int, default=10_000, help="damaged conversations")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    begin = time.perf_counter()
    findings = asyncio.run(fuzz(asked.count, asked.seed, progress=True))
    print_findings(findings, time.perf_counter() - begin)
    begin = time.perf_counter()
    heard = fuzz_conversations.fuzz(asked.conversations, asked.seed, progress=True)
    fuzz_conversations.print_findings(heard, time.perf_counter() - begin)
    return int(findings.broken or heard.broken)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
