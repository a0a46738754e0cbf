"""The reader of SMTP replies: what it takes, how much it keeps, and that it does not matter how the bytes are cut."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest

from seslimit.transports.smtp._replies import MAX_REPLY, SMTPReplies
from seslimit.transports.smtp._reply import BrokenConversation, Dialogue, SMTPReply
from tests.faults.fuzz_replies import fuzz
from tests.faults.reader_bounds import MOST_KEPT
from tests.faults.strict_replies import read

from .virtual_time import block, on_virtual_time

MAIL, DATA = b"MAIL FROM:<a@example.org>\r\n", b"DATA\r\n"

CHUNK = 256 * 1024
"""Bytes that asyncio hands over at once, at most."""


async def test_chunkings() -> None:
    """However a stream of replies is cut, the same is read, no more is kept, and nothing else is raised."""
    findings = await fuzz(60_000, seed=2)
    assert (findings.differing, findings.crashes) == ([], [])
    assert findings.kept <= MOST_KEPT
    assert {"in step", "broken"} == set(findings.endings)


async def test_keeps_nothing_behind_a_reply() -> None:
    """What comes behind a reply ends the conversation at once and is not kept, however much it is."""
    replies = SMTPReplies()
    reply = replies.expect()
    replies.data_received(b"250 Ok\r\n" + b"x" * CHUNK)
    assert await reply == SMTPReply(250, "Ok")
    assert (replies.in_step, len(replies._buffer)) == (False, 0)
    with pytest.raises(BrokenConversation, match="nobody asked"):
        await replies.expect()


async def test_reply_in_single_bytes() -> None:
    """A long reply that comes byte by byte does not hold up the event loop: each of its lines is read once."""
    replies = SMTPReplies()
    reply = replies.expect()
    wire = b"250-\r\n" * (MAX_REPLY // 6 - 2) + b"250 Ok\r\n"
    begin = time.process_time()
    for at in range(len(wire)):
        replies.data_received(wire[at : at + 1])
    assert (await reply).code == 250
    # Where each byte reads all lines again, this takes half a minute.
    assert time.process_time() - begin < 2.0


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\r\n", b"\n\r\n", b"\x00\r\n", b"\x0b\r\n"])
async def test_lines_end_in_crlf(end: bytes) -> None:
    """A reply whose line ends in anything but CRLF is none (RFC 5321, 2.3.8)."""
    replies = SMTPReplies()
    reply = replies.expect()
    replies.data_received(b"250 Ok" + end + b"250 Ok\r\n")
    with pytest.raises(BrokenConversation, match="no reply"):
        await reply


@pytest.mark.parametrize("size", [MAX_REPLY - 1, MAX_REPLY, MAX_REPLY + 1])
@pytest.mark.parametrize("piece", [CHUNK, 1000])
async def test_longest_reply(size: int, piece: int) -> None:
    """A reply of the longest length is taken, and one that is a byte longer is not, however it comes."""
    replies = SMTPReplies()
    reply = replies.expect()
    wire = b"250 " + b"x" * (size - 6) + b"\r\n"
    for at in range(0, size, piece):
        replies.data_received(wire[at : at + piece])
    await asyncio.wait((reply,))
    assert (reply.exception() is None) is (size <= MAX_REPLY)


def test_strict_reading() -> None:
    """What the reader is held against reads a stream as RFC 5321 has it."""
    assert read(b"250-a\r\n250 b\r\n354\r\n25") == ([(250, "a\nb"), (354, "")], [14, 19], False)
    for wrong in (b"250-a\r\n251 b\r\n", b"250 a\n", b"25 a\r\n", b"250_a\r\n", b"600 a\r\n", b"250 \x00\r\n", b"\r\n"):
        assert read(wrong) == ([], [], True)


@on_virtual_time
async def test_a_reply_that_is_overdue_is_a_time_out() -> None:
    """Each expectation has its own time, whatever the one before had."""
    loop = asyncio.get_running_loop()
    replies = SMTPReplies()
    slow = replies.expect(600.0)
    replies.data_received(b"250 Ok\r\n")
    assert (await slow).code == 250
    began_at = loop.time()
    with pytest.raises(TimeoutError, match="no reply within 60 s"):
        await replies.expect(60.0)
    assert loop.time() - began_at == pytest.approx(60.0, abs=0.01)


@on_virtual_time
async def test_patience_can_be_renewed() -> None:
    """The time for the content does not run on when its reply is waited for."""
    loop = asyncio.get_running_loop()
    replies = SMTPReplies()
    reply = replies.expect(10.0)
    loop.call_later(9.9, replies.be_patient, 600.0)
    loop.call_later(500.0, replies.data_received, b"250 Ok\r\n")
    assert (await reply).code == 250


@on_virtual_time
async def test_a_reply_that_came_while_the_loop_was_held_up_is_read() -> None:
    """The time is over and the reply is there: it counts."""
    loop = asyncio.get_running_loop()
    replies = SMTPReplies()
    reply = replies.expect(10.0)
    loop.call_later(9.0, block, 5.0)
    loop.call_at(loop.time() + 10.0, replies.data_received, b"250 Ok\r\n")
    assert (await reply).code == 250


@on_virtual_time
async def test_an_end_leaves_no_timer() -> None:
    """The loop holds nothing of a connection that is gone."""
    loop = asyncio.get_running_loop()
    replies = SMTPReplies()
    reply = replies.expect(600.0)
    replies.connection_lost(None)
    assert isinstance(reply.exception(), BrokenConversation)
    assert replies.expect(600.0).exception() is reply.exception()
    assert not [timer for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]


# Dialogues.


class Written(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write it down."""
        self.lines.append(bytes(data))


def codes(*commands: bytes, patience: float = 60.0) -> Dialogue[list[int]]:
    """Say the commands, one after another, and return the codes that were heard; 421 is an error."""
    heard = []
    for command in commands:
        reply = yield command, patience
        if reply.code == 421:
            raise ValueError(reply.message)
        heard.append(reply.code)
    return heard


def begun(replies: SMTPReplies, dialogue: Dialogue[list[int]], transport: Written) -> asyncio.Future[list[int]]:
    """What comes of a dialogue whose first command is said."""
    return replies.hold(dialogue, next(dialogue), transport)


async def test_each_command_follows_its_reply() -> None:
    """A dialogue goes on in the moment in which a reply is read, and not before."""
    replies, transport = SMTPReplies(), Written()
    ended = begun(replies, codes(MAIL, DATA), transport)
    assert transport.lines == [MAIL]
    replies.data_received(b"250-Ok\r\n250 O")
    assert transport.lines == [MAIL]
    replies.data_received(b"k\r\n")
    assert transport.lines == [MAIL, DATA]
    replies.data_received(b"354 go on\r\n")
    assert await ended == [250, 354]
    assert replies.in_step


async def test_nothing_is_said_after_a_reply_that_nobody_asked_for() -> None:
    """The last reply counts although there is more behind it; an earlier one ends the dialogue."""
    replies, transport = SMTPReplies(), Written()
    ended = begun(replies, codes(MAIL, DATA), transport)
    replies.data_received(b"250 Ok\r\n354 go on\r\n")
    with pytest.raises(BrokenConversation, match="nobody asked"):
        await ended
    assert transport.lines == [MAIL]
    replies = SMTPReplies()
    last = begun(replies, codes(MAIL), transport)
    replies.data_received(b"250 Ok\r\n250 Ok\r\n")
    assert await last == [250]
    with pytest.raises(BrokenConversation, match="nobody asked"):
        await begun(replies, codes(DATA), transport)
    assert transport.lines == [MAIL, MAIL]


async def test_nothing_is_said_for_who_was_cancelled() -> None:
    """A reply that comes between a cancellation and the end of the connection moves nothing."""
    replies, transport = SMTPReplies(), Written()
    ended = begun(replies, codes(MAIL, DATA), transport)
    ended.cancel()
    replies.data_received(b"250 Ok\r\n")
    assert (transport.lines, replies.in_step) == ([MAIL], False)


async def test_error_of_a_dialogue(caplog: pytest.LogCaptureFixture) -> None:
    """What a dialogue raises comes of it, and asyncio does not complain where nobody is left to hear it."""
    for cancelled in (False, True):
        replies, transport = SMTPReplies(), Written()
        ended = begun(replies, codes(MAIL, DATA), transport)
        replies.data_received(b"421 bye\r\n")
        assert transport.lines == [MAIL]
        if not cancelled:
            with pytest.raises(ValueError, match="bye"):
                await ended
        del ended, replies
        gc.collect()
    assert caplog.text == ""


@on_virtual_time
async def test_each_command_of_a_dialogue_has_its_time() -> None:
    """The patience of a command begins when it is written."""
    loop = asyncio.get_running_loop()
    replies, transport = SMTPReplies(), Written()
    ended = begun(replies, codes(MAIL, DATA), transport)
    loop.call_later(50.0, replies.data_received, b"250 Ok\r\n")
    with pytest.raises(TimeoutError, match="no reply within 60 s"):
        await ended
    assert loop.time() == pytest.approx(110.0, abs=0.1)
