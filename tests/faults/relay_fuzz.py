"""
Mutated conversations with the relay, and how long each turn of its event loop takes.

A conversation is what a client would say, in which bytes are flipped, cut, doubled, or repeated thousands of times; it
goes into a session without a socket, in pieces. Promised: no turn of the event loop over `STALL`, no exception, and no
place that is kept. `python -m tests.faults.relay_fuzz --conversations 100000`, about ten minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import logging
import random
import signal
import sys
import time
from collections import Counter
from types import FrameType
from typing import Final

from seslimit import Limiter, Sender
from seslimit.companion import _logins
from seslimit.companion.relay._handover import Counts, Handover
from seslimit.companion.relay._session import RelaySession
from seslimit.companion.relay._sessions import Sessions
from tests.relaying import Service, options

STALL: Final = 0.1
"""Seconds of processor time that one turn of the event loop may take."""

WATCHDOG: Final = 1.0
"""Seconds of processor time after which a turn is broken off."""

LOGIN: Final = base64.b64encode(b"\0somebody\0s3kr1t")
CONTENT: Final = b"From: a@example.org\r\nX-Seslimit-Lane: transactional\r\nSubject: Hello\r\n\r\nHi!\r\n..\r\n"
LINES: Final = (
    b"EHLO client.example.org\r\n",
    b"HELO x\r\n",
    b"AUTH PLAIN " + LOGIN + b"\r\n",
    b"AUTH LOGIN\r\n",
    b"c29tZWJvZHk=\r\n",
    b"*\r\n",
    b"STARTTLS\r\n",
    b"MAIL FROM:<news@example.org> SIZE=100 BODY=8BITMIME AUTH=<>\r\n",
    b'MAIL FROM:<"a\\"b c"@example.org> RET=HDRS ENVID=x\r\n',
    b"RCPT TO:<reader@example.net> NOTIFY=NEVER ORCPT=rfc822;a\r\n",
    b"RCPT TO:<@a,@b:c@d>\r\n",
    "RCPT TO:<leser@bücher.example>\r\n".encode(),
    b"DATA\r\n",
    CONTENT + b".\r\n",
    b"RSET\r\n",
    b"NOOP x\r\n",
    b"VRFY a\r\n",
    b"GET / HTTP/1.1\r\n",
)
GOOD: Final = (LINES[0], LINES[2], LINES[7], LINES[9], LINES[12], LINES[13], b"QUIT\r\n")
STRAY: Final = (b"\0", b"\r", b"\n", b"\r\n.\r\n", b"<", b">", b'"', b"\\", b" ", b"@", b"\xff", b"=", b":", b"\r\n ")


class Pipe(asyncio.Transport):
    """A connection that keeps nothing of what is said over it."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self.said = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Count it."""
        self.said += len(data)

    def get_extra_info(self, name: str, default: object = None) -> object:
        """An address, and nothing else."""
        return ("192.0.2.1", 1) if name == "peername" else default

    def is_closing(self) -> bool:
        """Whether the relay has closed it."""
        return self.closed

    def close(self) -> None:
        """Close it."""
        self.closed = True

    abort = close
    write_eof = pause_reading = resume_reading = lambda self: None


def conversation(chance: random.Random) -> bytes:
    """What a client says, with something wrong in it."""
    lines = list(GOOD)
    for _ in range(chance.randrange(3)):
        lines.insert(chance.randrange(len(lines)), chance.choice(LINES))
    if chance.random() < 0.3:
        del lines[chance.randrange(len(lines))]
    said = bytearray(b"".join(lines))
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        at = chance.randrange(len(said))
        match chance.randrange(5):
            case 0:
                said[at] = chance.randrange(256)
            case 1:
                said[at:at] = chance.choice(STRAY) * chance.choice((1, 2, 50, 3000))
            case 2:
                del said[at : at + chance.choice((1, 3, 40))]
            case 3:
                piece = said[at : at + chance.randrange(1, 12)]
                said[at:at] = piece * chance.choice((1, 10, 1000))
            case _:
                said[at:at] = b'<"' + b"\\a" * chance.choice((1, 1000)) + b'"@'
    return bytes(said)


async def stalls(count: int, seed: int = 0) -> tuple[Counter[str], float, int]:
    """
    Hold so many conversations.

    Returns:
        how each ended; the longest turn of the event loop, in seconds of processor time; turns over `STALL`.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    signal.signal(signal.SIGVTALRM, end)
    chance = random.Random(seed)
    sender = Sender(Service(), limiter=Limiter(1e6, max_rate=1e6))
    sender.limiter.lane("transactional", priority=1.0)
    given = options(user="somebody", password="s3kr1t")
    sessions = Sessions(given, None, Handover(sender, Counts(), lanes=frozenset({"transactional"})))
    ends: Counter[str] = Counter()
    longest, over = 0.0, 0
    loop = asyncio.get_running_loop()
    for _ in range(count):
        pipe, session = Pipe(), RelaySession(sessions, loop)
        session.connection_made(pipe)
        said = conversation(chance)
        size = chance.choice((len(said), 1000, 100))
        for begin in range(0, len(said), size):
            began_at = time.process_time()
            signal.setitimer(signal.ITIMER_VIRTUAL, WATCHDOG)
            session.data_received(said[begin : begin + size])
            for _ in range(3):
                await asyncio.sleep(0)
                took = time.process_time() - began_at
                longest, over = max(longest, took), over + (took > STALL)
                began_at = time.process_time()
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            if pipe.closed:
                break
        for _ in range(30):
            await asyncio.sleep(0)
        ends["closed" if pipe.closed else "open"] += 1
        session.connection_lost(None)
        for _ in range(3):
            await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    ends["places kept"] = sessions.storage.held
    ends["accepted"] = sessions.handover.counts.accepted
    await sender.aclose()
    return ends, longest, over


def main() -> int:
    """Print how conversations ended, and the longest turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    # One address makes all of the wrong logins here.
    _logins.WAIT, _logins.LONGEST = 0.0, 1e9
    ends, longest, over = asyncio.run(stalls(given.conversations, given.seed))
    print(f"{dict(ends)}; the longest turn took {longest * 1000:.1f} ms, {over} over {STALL * 1000:.0f} ms")
    return int(bool(over or ends["places kept"]))


if __name__ == "__main__":
    sys.exit(main())
