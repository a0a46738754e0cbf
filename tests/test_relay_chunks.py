"""However the bytes of a client are cut, the relay says and sends the same."""

from __future__ import annotations

import asyncio
import random

import pytest

from seslimit import Limiter, Sender
from seslimit.companion.relay._handover import Counts, Handover
from seslimit.companion.relay._session import RelaySession
from seslimit.companion.relay._sessions import Sessions

from .relaying import FAST, MAIL_FROM, QUICK, Service, options, stuffed

MIB = 2**20
MAX_SIZE = 3 * MIB
CONTENTS = (
    b"Subject: short\r\n\r\nHi!\r\n",
    b"",
    b".\r\n..\r\n.a\r\n",
    b"Subject: dots\r\n\r\n.\r\n\n.\n\r.\r\r\n",
    b"Subject: grows\r\n\r\n" + b"0123456789abcde\r\n" * (MIB // 16),
)
TOO_LONG = b"Subject: long\r\n\r\n" + b"0123456789abcde\r\n" * (MAX_SIZE // 16)


class Pipe(asyncio.Transport):
    """The relay's end of a connection, in memory."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.said = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        self.said += bytes(data)

    def is_closing(self) -> bool:
        """Whether the relay has closed it."""
        return self.closed

    def close(self) -> None:
        """Note it."""
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        """Go on all the same: the test waits until what it gave was read."""

    def resume_reading(self) -> None:
        """See above."""


def conversation(chance: random.Random) -> tuple[list[bytes], list[bytes]]:
    """What a client says, in pieces that follow the reply before, and the contents that are to arrive."""
    says, contents = [b"EHLO client\r\n"], []
    for _ in range(chance.randrange(1, 4)):
        content = chance.choice((*CONTENTS[:4] * 5, CONTENTS[4], TOO_LONG))
        size = chance.choice((b"", b" SIZE=%d" % len(content))) if content is not TOO_LONG else b""
        mail = [b"MAIL FROM:<%b>%b\r\n" % (MAIL_FROM.encode(), size), b"RCPT TO:<a@example.net>\r\n", b"data\r\n"]
        if chance.random() < 0.2:
            mail.insert(chance.randrange(2), chance.choice((b"NOOP\r\n", b"DATA\r\n", b"WHAT\r\n")))
        says += [b"".join(mail)] if chance.random() < 0.3 else mail
        says.append(stuffed(content))
        if content is not TOO_LONG:
            contents.append(content)
    says.append(b"QUIT\r\n")
    for at in range(len(says) - 2, 0, -1):
        if says[at].endswith(b".\r\n") and chance.random() < 0.3:
            # The next command comes with the final dot.
            says[at : at + 2] = [says[at] + says[at + 1]]
    return says, contents


def pieces(chance: random.Random, data: bytes) -> list[bytes]:
    """The data, whole or cut anywhere."""
    if chance.random() < 0.4:
        return [data]
    cuts = sorted({chance.randrange(len(data) + 1) for _ in range(chance.choice((1, 2, 5, 40)))})
    return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if begin < end]


async def settled(pipe: Pipe, session: RelaySession) -> None:
    """Let the relay do all that it has to do, a message that waits for its turn at the limiter included."""
    said = None
    while said != pipe.said or session._held is not None:
        said = pipe.said
        for _ in range(30):
            await asyncio.sleep(0)
        if session._held is not None:
            await asyncio.sleep(0.001)


async def held(chance: random.Random, places: int) -> tuple[bytes, list[bytes], list[bytes], int]:
    """What the relay said, what it sent and what it had to send, and the places that are taken at the end."""
    service, counts = Service(), Counts()
    given = options(max_size=MAX_SIZE, max_pending=places)
    sender = Sender(service, limiter=Limiter(FAST), retry=QUICK)
    sessions = Sessions(given, None, Handover(sender, counts))
    says, contents = conversation(chance)
    pipe, session = Pipe(), RelaySession(sessions, asyncio.get_running_loop())
    session.connection_made(pipe)
    await settled(pipe, session)
    blocked = sessions.storage.place(None)
    for data in says:
        if blocked.enter_at_once() and chance.random() < 0.8:
            blocked.leave()
        for piece in pieces(chance, data):
            session.data_received(piece)
            if chance.random() < 0.7:
                await settled(pipe, session)
        if blocked.entered:
            # Whoever has to wait for a place goes on when there is one.
            blocked.leave()
        await settled(pipe, session)
    async with asyncio.timeout(120):
        while not pipe.closed:  # noqa: ASYNC110  # closing wakes nobody
            await asyncio.sleep(0.001)
    session.connection_lost(None)
    await sender.aclose()
    return pipe.said, [bytes(message.content) for message in service.accepted], contents, sessions.storage.held


def normalised(content: bytes) -> bytes:
    """The content as SES gets it: nothing but CRLF ends a line."""
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


@pytest.mark.parametrize("places", [1, 100])
async def test_the_cuts_change_nothing(places: int) -> None:
    """Every message arrives as it was, in its order; what is too long is refused; and no place is kept."""
    for seed in range(150):
        said, sent, contents, taken = await held(random.Random(f"{places} {seed}"), places)
        assert sent == [normalised(content) for content in contents], seed
        assert said.count(b"250 2.0.0 Ok id-") == len(contents), seed
        assert said.endswith(b"221 2.0.0 Bye\r\n"), seed
        assert taken == 0, seed
