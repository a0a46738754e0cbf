"""
The replies of an SMTP service, read strictly: one for each command, or the connection is of no more use.

Decides what is a reply and what is none, and when one is overdue. It must not know what a reply means, nor what comes
after it: a dialogue says that, where the reply is read.

Invariants: bytes that come while no reply is awaited end the conversation, so that no reply is taken for the answer to
another command; all lines of a reply have the same code and end in CRLF, but while a message is at stake a bare LF is
read, since the line says all the same whether it was accepted; at most `MAX_REPLY` bytes are kept, however
many come at once, and a line is read once, however few do. A conversation that has ended stays so, and says why.
"""

from __future__ import annotations

import asyncio
import math
import re
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from .._secret import Redaction
from ._reply import NOTHING_SECRET, BareLineFeed, BrokenConversation, Dialogue, NoReply, SMTPReply

T = TypeVar("T")

MAX_REPLY = 32 * 1024
"""Bytes of one reply; the longest real one, to EHLO, has under 1 KiB."""

_LINE = re.compile(rb"(?P<code>[2-5]\d\d)(?:(?P<more>-)|[ ]|(?=\r))(?P<text>[\t\x20-\x7e\x80-\xff]*)\r\n")
"""One line. Source: RFC 5321, 2.3.8 (nothing but CRLF ends a line) and 4.2 (the characters; those beyond ASCII, which
RFC 6531 allows, are taken in any encoding, since nothing hangs on them)."""

_BARE = re.compile(_LINE.pattern.replace(rb"\r\n", rb"\n").replace(rb"\r", rb"\n"))
"""The same, ended by a bare LF."""

_UNASKED = "The service said something that nobody asked for."


class SMTPReplies(asyncio.Protocol):
    """
    The reading side of a connection, and the flow control of its writing side.

    Args:
        redaction: takes what was sent as a secret out of the replies.
    """

    def __init__(self, redaction: Redaction | None = None) -> None:
        self._redaction = redaction or NOTHING_SECRET
        self.at_stake = False
        """Whether a content was handed over, and nobody knows yet what became of it."""
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._room = MAX_REPLY
        self._code = b""
        self._texts: list[str] = []
        self._waiter: asyncio.Future[Any] | None = None
        self._held: tuple[Dialogue[Any], asyncio.WriteTransport] | None = None
        self.failure: BrokenConversation | None = None
        """Why nothing can be said any more; None while something can."""
        self._loose = False
        self._due = math.inf
        self._patience = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def in_step(self) -> bool:
        """Whether the connection stands, and nothing was read that is not yet, or will never be, a reply."""
        return self.failure is None and self._room == MAX_REPLY

    def expect(self, patience: float = math.inf) -> asyncio.Future[SMTPReply]:
        """
        The next reply; to be called before the command is written, which must not be where it has failed already.

        Args:
            patience: seconds after which it is a `TimeoutError` instead.
        """
        self._held = None
        reply = self._await_reply()
        self.be_patient(patience)
        return reply

    def hold(
        self, dialogue: Dialogue[T], first: tuple[bytes, float], transport: asyncio.WriteTransport
    ) -> asyncio.Future[T]:
        """
        What comes of a dialogue, whose commands are written here, each as soon as the reply before was read.

        To wake a task for each of them would cost more than all else that is done with a reply.

        Args:
            dialogue: says the commands, and hears the replies. It does not hear of the end of the conversation, nor of
                a reply that is overdue: they are the result instead.
            first: its first command, and the seconds that the reply may take.
            transport: where the commands are written.
        """
        self._held = dialogue, transport
        ended = self._await_reply()
        if not ended.done():
            command, patience = first
            self.be_patient(patience)
            transport.write(command)
        return ended

    def _await_reply(self) -> asyncio.Future[Any]:
        self._waiter = self._loop.create_future()
        if self.failure is not None:
            self._tell(self.failure)
        elif not self.in_step:
            self._fail(BrokenConversation(_UNASKED))
        return self._waiter

    def _go_on(self, waiter: asyncio.Future[Any], reply: SMTPReply) -> None:
        """Tell the reply to the dialogue, or to the waiter where there is none."""
        if self._held is None:
            waiter.set_result(reply)
            return
        dialogue, transport = self._held
        try:
            command, patience = dialogue.send(reply)
        except StopIteration as end:
            waiter.set_result(end.value)
        except Exception as error:  # noqa: BLE001  # it is what came of the dialogue
            self._tell(error)
        else:
            if self.failure is not None:
                self._tell(self.failure)
                return
            self.be_patient(patience)
            transport.write(command)

    def be_patient(self, seconds: float) -> None:
        """Wait so long from now for the reply that is expected."""
        self._patience = seconds
        self._due = self._loop.time() + seconds
        # The timer stays where it is and looks at `_due`: one for each command would cost more than reading its reply.
        if self._timer is None or self._timer.when() > self._due:
            self._set_timer()

    async def drained(self) -> None:
        """Wait until more can be written, or nothing more ever will."""
        await self._writable.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Have no more read at once than a reply may have, where asyncio lets itself be told."""
        # It makes room for 256 KiB before every read, and the system has to map, clear and unmap that memory each time:
        # without TLS a sixth of all that a message costs.
        with suppress(AttributeError):
            transport.max_size = MAX_REPLY  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if self.failure is not None:
            return
        if self._waiter is None or self._waiter.done():
            self._fail(BrokenConversation(_UNASKED))
            return
        taken = data[: self._room]
        self._room -= len(taken)
        self._buffer += taken
        try:
            reply = self._next()
        except BrokenConversation as error:
            self._fail(error)
            return
        if reply is not None:
            self._room = MAX_REPLY
            # The reply counts, but nothing can be said after it.
            if self._buffer or len(taken) < len(data):
                self._end(BrokenConversation(_UNASKED))
            elif self._loose:
                self._end(BareLineFeed())
            self._go_on(self._waiter, reply)
        elif len(taken) < len(data):
            self._fail(NoReply("The service gave a reply without an end."))

    def eof_received(self) -> None:
        """Note that the service said its last word; the transport then closes."""
        self._fail(BrokenConversation("The service closed the connection."))

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone."""
        self._fail(BrokenConversation(f"The connection was lost: {exc}" if exc else "The connection was closed."))
        if self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        """Note that enough is buffered."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Note that what was buffered is written."""
        self._writable.set()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if self._due == math.inf else self._loop.call_at(self._due, self._look)

    def _look(self, *, again: bool = False) -> None:
        self._timer = None
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if self._loop.time() < self._due:
            self._set_timer()
        elif not again:
            # The loop may have been held up past the deadline with the reply already there: it is read first.
            self._loop.call_soon(partial(self._look, again=True))
        else:
            self._tell(TimeoutError(f"no reply within {self._patience:g} s"))

    def _next(self) -> SMTPReply | None:
        """
        Take the lines that the buffer begins with; the reply, where they complete it.

        Raises:
            BrokenConversation: what is there is no reply.

        Source:
            RFC 5321, 4.2.1: every line of a reply has its code.
        """
        begin = 0
        while (end := self._buffer.find(b"\n", begin) + 1) > 0:
            line = _LINE.fullmatch(self._buffer, begin, end) or self._bare(begin, end)
            code, more, text = line.groups()
            if self._texts and code != self._code:
                raise NoReply("The service gave a reply of two codes.")
            self._code = code
            self._texts.append(text.decode("utf-8", "replace").strip())
            begin = end
            if not more:
                reply = SMTPReply(int(code), "\n".join(self._texts), self._redaction)
                self._texts.clear()
                del self._buffer[:end]
                return reply
        del self._buffer[:begin]
        return None

    def _bare(self, begin: int, end: int) -> re.Match[bytes]:
        """Read a line that does not end as it should, where there is no other way to know what it says."""
        line = _BARE.fullmatch(self._buffer, begin, end)
        if line is None:
            raise NoReply("The service said something that is no reply.")
        if not self.at_stake:
            raise BareLineFeed
        self._loose = True
        return line

    def _fail(self, failure: BrokenConversation) -> None:
        if self.failure is None:
            self._end(failure)
            self._tell(failure)

    def _end(self, failure: BrokenConversation) -> None:
        self.failure = failure
        self._buffer.clear()
        self._texts.clear()
        self._writable.set()

    def _tell(self, failure: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(failure)
            # Nobody may be left to ask for it, as after a cancellation.
            self._waiter.exception()
