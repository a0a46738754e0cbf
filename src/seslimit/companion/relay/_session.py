"""
One client's conversation with the relay.

What may be said, and in which order, is in `_dialogue`; how a content is taken in, in `_mail_data`; what becomes of a
message, in `_handover`.

What every message has and nothing has to be waited for (MAIL, RCPT, DATA, the content) is done where it arrives, in
`data_received`; the conversation, a task, does all else. It is woken for a message when its content is there.

Invariants: a content ends with CRLF.CRLF and with nothing else; nothing that came before TLS is read after it.
"""

from __future__ import annotations

import asyncio
import hmac
from typing import Final

from ..._dialogue.login import Credentials, LoginRefused, challenge, exchange_for, response
from ..._inbox import LineTooLong
from ._connection import RelayConnection
from ._dialogue import HOST_NAME, TOO_LONG, Command, Dialogue, Transaction
from ._mail_data import MailData
from ._replies import STOPPING, Refused, too_many_failed
from ._sessions import SLOWEST, Sessions

GO_AHEAD: Final = "354 End data with <CR><LF>.<CR><LF>"

ARRIVING: Final = 1.0
"""Seconds for a content that arrives when the relay stops."""

_AT_ONCE: Final = frozenset({b"MAIL", b"RCPT", b"DATA"})
"""Commands that every message has and that hardly ever have to wait."""


class RelaySession(RelayConnection):
    """
    One connection and what is said on it.

    Args:
        sessions: what the sessions of one relay share.
        loop: the event loop it runs on.
        lane: the lane that its port stands for.
    """

    def __init__(self, sessions: Sessions, loop: asyncio.AbstractEventLoop, lane: str = "") -> None:
        super().__init__(sessions, loop)
        self._dialogue = Dialogue(sessions.options, sessions.tls_context is not None)
        self._lane = lane
        """The lane that its login names, or else its port stands for."""
        self._awaits_command = False
        self._mail_data: MailData | None = None
        """The message whose content is taken in where it arrives."""
        self._received: MailData | None = None
        """The message that the conversation is woken for."""
        self._content_of: MailData | None = None
        """The message whose content is awaited, whoever takes it in."""

    # Commands in, replies out

    def _heard(self, data: bytes) -> None:
        # What needs no waiting is done where it arrives: to wake the conversation for it costs as much again.
        if self._mail_data is not None:
            self._take_in(self._mail_data, data)
        elif not (self._awaits_command and self._answer_at_once(data)):
            super()._heard(data)

    def _answer_at_once(self, line: bytes) -> bool:
        """Answer one of the commands that every message has; returns whether that could be done."""
        if (
            line[:4].upper() not in _AT_ONCE
            or line.find(b"\n") != len(line) - 1
            or not self._writable.is_set()
            or not self._inbox.is_empty
            or self._last_words
        ):
            return False
        try:
            command = self._dialogue.answer(line)
            answer = command if isinstance(command, str) else self._begin_at_once(command)
        except Refused:
            # It is answered by the conversation, once more and for good.
            return False
        if not self._proven and self._dialogue.is_proven:
            self._prove()
        if answer is not None:
            self._say(answer)
        return answer is not None

    def _begin_at_once(self, command: Command) -> str | None:
        """Begin a content if there is a place for it; where there is none, the conversation waits for one."""
        mail_data = self._sessions.mail_data(self._dialogue.begin_content(command.argument))
        if not mail_data.place.enter_at_once():
            self._received = mail_data
            return None
        self._mail_data = self._content_of = mail_data
        self._content_since = self.loop.time()
        return GO_AHEAD

    def _take_in(self, mail_data: MailData, data: bytes) -> None:
        self._idle_since = self.loop.time()
        rest = mail_data.feed(data)
        if mail_data.ended or mail_data.too_long or not mail_data.fits:
            # The conversation takes over, be it to hand the message over, to wait for more room, or to refuse it.
            self._mail_data, self._received = None, mail_data
            super()._heard(b"DATA\r\n" + rest)

    @property
    def _has_whole(self) -> bool:
        """Whether a message is there as a whole, and the conversation has not taken it up yet."""
        return self._received is not None and self._received.ended

    def dismiss(self, reply: str) -> None:
        """
        End the conversation with this reply, behind the answer to a message that has arrived as a whole.

        When the relay stops, one that is arriving is waited for as well, for a moment: its client has the go-ahead.
        """
        if reply == STOPPING and self.awaits_content:
            self._last_words = self._last_words or reply
            self.loop.call_later(ARRIVING, self._end_content)
        elif self._has_whole and self._held is None:
            self._last_words = self._last_words or reply
        else:
            super().dismiss(reply)

    def _end_content(self) -> None:
        if self.awaits_content:
            super().dismiss(STOPPING)

    @property
    def awaits_content(self) -> bool:
        """Whether the client has the go-ahead, and its content is not there, or not taken up yet."""
        return self._content_since is not None and self._held is None

    def idle_for(self, now: float) -> float:
        """Seconds since the last word between two transactions; 0 in the middle of anything."""
        between = self._awaits_command and self._dialogue.transaction is None and self._mail_data is None
        return now - self._idle_since if between and self._inbox.is_empty and self._idle_since is not None else 0.0

    def finish(self) -> None:
        """End it behind its next message, if it is a client's; at once, or behind the one under way, if not."""
        if not self._proven or self._held is not None or self.awaits_content:
            self.dismiss(STOPPING)

    def behind(self, now: float) -> float:
        """Seconds that the content is behind: without a byte of it, or behind the slowest pace."""
        if self._content_since is None or self._content_of is None:
            return 0.0
        silent = now - (self._idle_since or now)
        return max(silent, now - self._content_since - self._content_of.size / SLOWEST)

    @property
    def is_large(self) -> bool:
        """Whether the content has more room than the others."""
        return self._content_of is not None and self._content_of.place.is_large

    async def _converse(self) -> None:
        if self._sessions.stopping:
            self._last_words = STOPPING
            return
        await self.push(f"220 {HOST_NAME} ESMTP")
        try:
            await self._answer_all()
        finally:
            for mail_data in (self._mail_data, self._received):
                if mail_data is not None and mail_data.place.entered:
                    mail_data.place.leave()
            self._mail_data = self._received = None

    async def _answer_all(self) -> None:
        while self._last_words is None or self._has_whole:
            line = await self._read_line()
            try:
                answer = self._dialogue.answer(line) if self._received is None else Command(b"DATA", "")
                if not self._proven and self._dialogue.is_proven:
                    self._prove()
                if isinstance(answer, str):
                    await self.push(answer)
                else:
                    await self._carry_out(answer)
            except Refused as refused:
                self._dialogue.errors += 1
                await self.push(refused.reply)
                if refused.last:
                    return
            self._last_words = self._last_words or self._dialogue.enough

    async def _read_line(self) -> bytes:
        self._idle_since = self.loop.time()
        self._awaits_command = True
        try:
            return await self._inbox.line()
        except LineTooLong:
            self._last_words = TOO_LONG
            raise ConnectionResetError from None
        finally:
            self._awaits_command = False
            self._idle_since = None

    async def _carry_out(self, command: Command) -> None:
        match command.name:
            case b"DATA":
                await self._data(command.argument)
            case b"AUTH":
                await self._auth(command.argument)
            case b"STARTTLS":
                await self._starttls(command.argument)
            case _:
                self._last_words = "221 2.0.0 Bye"

    # Commands that take time

    async def _starttls(self, argument: str) -> None:
        context = self._sessions.tls_context
        self._dialogue.check_tls(argument)
        if context is None:
            raise Refused("503 5.5.1 TLS is not offered here")
        if not self._inbox.is_empty:
            # It was not said over TLS, and would be taken as if it were.
            raise Refused("554 5.7.0 Commands after STARTTLS, before TLS", last=True)
        self._say("220 2.0.0 Ready to start TLS")
        await self._tls_is_there(self._start_tls(context))
        self._dialogue.now_secure()

    async def _auth(self, argument: str) -> None:
        self._dialogue.check_login()
        logins, host = self._sessions.logins, self.host
        try:
            given = await self._credentials(argument)
        except LoginRefused as refused:
            raise Refused(refused.reply) from None
        if (again := logins.refuses(host, self.loop.time())) is not None:
            raise Refused(too_many_failed(again), last=True)
        if not self._is_right(given):
            wait = logins.failed(host, self.loop.time())
            if wait is None:
                raise Refused(too_many_failed(), last=True)
            await asyncio.sleep(wait)
            raise Refused("535 5.7.8 Authentication credentials invalid")
        logins.right(host, self.loop.time())
        self._dialogue.authenticated = True
        self._prove()
        await self.push("235 2.7.0 Authentication successful")

    async def _credentials(self, argument: str) -> Credentials:
        exchange = exchange_for(argument)
        try:
            asked = next(exchange)
            while True:
                await self.push(challenge(asked))
                asked = exchange.send(response(await self._read_line()))
        except StopIteration as end:
            credentials: Credentials = end.value
            return credentials

    def _is_right(self, given: Credentials) -> bool:
        user, password = ((word or "").encode() for word in (self._options.user, self._options.password))
        name, plus, lane = given.user.rpartition(b"+")
        if plus and given.user != user and lane.decode("ascii", "replace") in self._options.lanes:
            given = given._replace(user=name)
            self._lane = lane.decode("ascii")
        return hmac.compare_digest(given.user, user) & hmac.compare_digest(given.password, password)

    async def _data(self, argument: str) -> None:
        mail_data, self._received = self._received, None
        if mail_data is None:
            mail_data = self._sessions.mail_data(self._dialogue.begin_content(argument))
        self._content_of = mail_data
        begun = mail_data.place.entered
        self._awaits_place = not begun
        async with mail_data.place:
            self._awaits_place = False
            if not begun:
                await self.push(GO_AHEAD)
                self._content_since = self.loop.time()
            reply = await self._hand_over(mail_data.transaction, await self._content(mail_data))
        if reply.startswith("421"):
            self._last_words = reply
        else:
            await self.push(reply)

    async def _hand_over(self, transaction: Transaction, content: bytes) -> str:
        self._held = held = self._sessions.handover.begin()
        held.lane = self._lane
        if self._sessions.stopping:
            held.finish()
            self._last_words = self._last_words or STOPPING
        if self._inbox.ended:
            held.said_last_word()
        try:
            return await self._sessions.handover.take(transaction.mail_from, transaction.recipients, content, held)
        finally:
            self._held = None
            if self._inbox.ended:
                self._unheard.append(held)

    async def _content(self, mail_data: MailData) -> bytes:
        """
        The content, when all of it is there.

        Raises:
            Refused: it is too long.
        """
        while True:
            if not mail_data.fits:
                self._content_since = None
                await mail_data.grow()
                self._content_since = self.loop.time()
            if mail_data.ended:
                self._content_since = None
                return mail_data.content()
            mail_data.check_bearable()
            await self._read_more(mail_data)

    async def _read_more(self, mail_data: MailData) -> None:
        self._idle_since = self.loop.time()
        chunk = await self._inbox.chunk()
        self._idle_since = None
        if rest := mail_data.feed(chunk):
            self._inbox.feed(rest)
