"""
One SMTP connection, used for one message after another, then dropped.

Decides what a break means from the phase it met: before the content, during it, after the final dot. It must not know
of other connections or of the rate, nor how replies are read (`_replies`).

Invariants: `usable` is True only between completed exchanges, so whatever interrupts one (a cancellation, a time-out, a
reply out of order) leaves a connection that is dropped; dropping is `abort`, which sends nothing more, since closing
would flush the rest of a content with its dot.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import TypeVar

from ..._meaning.replies import interpret, most_useful
from ..._model.errors import TransportError, printable
from ..._model.message import Message
from ..._model.outcome import Door, Outcome, Reply, Stage
from ..._model.report import Receipt
from .._refusal import error_of, refusal, words_of
from ._opening import SMTPConnection
from ._options import SMTPOptions
from ._reply import BrokenConversation, Dialogue, SMTPReply

T = TypeVar("T")

CHUNK = 64 * 1024
"""Bytes written at once; content of at most one chunk is written together with its dot."""

DOT = b".\r\n"
"""The end of the content. Source: RFC 5321, 4.1.1.4."""

_ACCEPTED = re.compile(r"(?:\d\.\d+\.\d+\s+)?ok[:\s]+(?P<message_id>[!-~]{1,500})(?!\S)", re.IGNORECASE)
"""`250 Ok <id>`, as SES says it."""

_OF_OTHERS = frozenset({211, 214, 220, 221, 235, 334})
"""Codes that answer another command: one in the place of an answer says that the conversation is out of step.

Source: RFC 5321, 4.2.2; RFC 4954, 4."""

_ABOUT_MORE_THAN_A_RECIPIENT = frozenset(
    {Outcome.ACCOUNT_BLOCKED, Outcome.QUOTA_EXCEEDED, Outcome.THROTTLED, Outcome.NOT_SENT}
)


class SMTPSession:
    """
    One open connection to the service.

    Args:
        options: how long to wait for what.
        connection: logged in.
    """

    def __init__(self, options: SMTPOptions, connection: SMTPConnection) -> None:
        self._options = options
        self._transport = connection.transport
        self._replies = connection.replies
        self._takes_eight_bits = "8BITMIME" in connection.offers
        self._loop = asyncio.get_running_loop()
        self._stage = Stage.MAIL
        self._decided_at: float | None = None
        self._reset_needed = False
        self._proven = False
        self.usable = True
        """Whether it may be given a message: no exchange is under way, and none was broken off."""
        self.transactions = 0
        """Transactions that were begun."""
        self.idle_since = 0.0
        """Event-loop time (seconds) at which it was last used."""

    @property
    def alive(self) -> bool:
        """Whether it is usable and the service has not closed it, as far as was read."""
        return self.usable and self._replies.failure is None and not self._transport.is_closing()

    def abort(self) -> None:
        """Drop the connection; nothing that is still buffered is sent."""
        self.usable = False
        self._transport.abort()

    def quit(self) -> None:
        """Take leave of the service without waiting for its answer, which some never give."""
        if self.alive:
            self._transport.write(b"QUIT\r\n")
        self.abort()

    async def send(self, message: Message, content: bytes) -> Receipt:
        """
        Hand over one message.

        Args:
            message: its envelope is used.
            content: what goes on the wire: dot-stuffed, with the final dot.

        Raises:
            TransportError: it was not accepted, or nobody can tell.

        Cancelling:
            the connection is no longer usable; the message may have been accepted.
        """
        self.usable = False
        self._decided_at = None
        self._replies.at_stake = False
        try:
            receipt = await self._transact(message, content)
        except OSError as error:
            raise self._broken(error) from error
        except TransportError as error:
            # A refusal completes its exchange; the next message begins with a reset.
            self.usable = self._proven = error.outcome not in (Outcome.NOT_SENT, Outcome.UNKNOWN)
            raise
        self.usable = self._proven = True
        self._reset_needed = False
        return receipt

    async def _transact(self, message: Message, content: bytes) -> Receipt:
        if len(content) <= CHUNK:
            return await self._hold(self._transaction(message, content))
        refused = await self._hold(self._envelope(message, self._body_of(content)))
        return self._receipt(message, refused, await self._hand_over(content))

    def _hold(self, dialogue: Dialogue[T]) -> asyncio.Future[T]:
        return self._replies.hold(dialogue, next(dialogue), self._transport)

    def _transaction(self, message: Message, content: bytes) -> Dialogue[Receipt]:
        refused = yield from self._envelope(message, self._body_of(content))
        if self._replies.failure is not None:  # the last moment in which it is certain that nothing was sent
            raise self._replies.failure
        self._handed_over()
        reply = yield content, self._options.dot_timeout
        return self._receipt(message, refused, reply)

    def _body_of(self, content: bytes) -> bytes:
        """What is said of a content that is not ASCII, where the service offers to hear it. Source: RFC 6152, 2."""
        return b" BODY=8BITMIME" if self._takes_eight_bits and not content.isascii() else b""

    def _envelope(self, message: Message, body: bytes) -> Dialogue[Mapping[str, str]]:
        """All before the content; returns the recipients that were refused, with the service's words."""
        if self._reset_needed:
            yield from self._reset()
        self._reset_needed = True
        self.transactions += 1
        reply = yield self._command(Stage.MAIL, b"MAIL FROM:<%b>%b\r\n" % (message.mail_from.encode("ascii"), body))
        self._check(message, reply, 250)
        refused = yield from self._recipients(message)
        reply = yield self._command(Stage.DATA, b"DATA\r\n")
        self._check(message, reply, 354)
        return refused

    def _reset(self) -> Dialogue[None]:
        """End the transaction before; that this fails is no fault of the message."""
        reply = yield self._command(Stage.RSET, b"RSET\r\n")
        if not _means(reply, 250):
            raise BrokenConversation(f"{reply.code} {reply.message}")

    def _recipients(self, message: Message) -> Dialogue[Mapping[str, str]]:
        """Name the recipients; go on with those that are accepted, unless a refusal is about more than a recipient."""
        refused: dict[str, SMTPReply] = {}
        for recipient in message.recipients:
            reply = yield self._command(Stage.RCPT, b"RCPT TO:<%b>\r\n" % recipient.encode("ascii"))
            if _means(reply, 250):
                continue
            refused[recipient] = reply
            if interpret(self._reply(reply)).outcome in _ABOUT_MORE_THAN_A_RECIPIENT:
                raise self._refusal(message, reply)
        texts = {recipient: printable(f"{reply.code} {reply.message}") for recipient, reply in refused.items()}
        if len(refused) == len(message.recipients):
            meaning = most_useful(interpret(self._reply(reply)) for reply in refused.values())
            raise error_of(meaning, "; ".join(dict.fromkeys(texts.values())))
        return texts

    def _command(self, stage: Stage, line: bytes) -> tuple[bytes, float]:
        self._stage = stage
        return line, self._options.command_timeout

    def _check(self, message: Message, reply: SMTPReply, code: int) -> None:
        if not _means(reply, code):
            raise self._refusal(message, reply)

    def _handed_over(self) -> None:
        self._decided_at = self._loop.time()
        self._stage = Stage.DOT
        self._replies.at_stake = True

    async def _hand_over(self, content: bytes) -> SMTPReply:
        """Hand over a content that is written in several pieces."""
        reply = self._replies.expect(self._options.content_timeout)
        if not reply.done():
            await self._upload(memoryview(content)[: -len(DOT)], reply)
            if reply.done():
                return self._unasked(reply.result())
            if not self._replies.in_step:
                # What comes after the dot would complete it, and could turn a refusal into an acceptance.
                self.abort()
                raise BrokenConversation("The service began to speak in the middle of the content.")
            self._transport.write(DOT)
            self._handed_over()
            self._replies.be_patient(self._options.dot_timeout)
        return await reply

    def _receipt(self, message: Message, refused: Mapping[str, str], reply: SMTPReply) -> Receipt:
        self._check(message, reply, 250)
        words = reply.message
        accepted = _ACCEPTED.match(words)
        # All the words where a server says it otherwise: 250 alone is the proof.
        return Receipt(accepted["message_id"] if accepted else printable(words), refused, self._decided_at)

    async def _upload(self, content: memoryview, reply: asyncio.Future[SMTPReply]) -> None:
        """Write all but the dot as fast as it is taken, until the service replies: then it does not want the rest."""
        for begin in range(0, len(content), CHUNK):
            self._transport.write(content[begin : begin + CHUNK])
            # Even where there is room, what the service says must be read in between.
            await asyncio.sleep(0)
            if not reply.done():
                await self._room(reply)
            if reply.done():
                return

    async def _room(self, reply: asyncio.Future[SMTPReply]) -> None:
        """Wait until there is room to write, or a reply."""
        draining = self._loop.create_task(self._replies.drained())
        try:
            await asyncio.wait((draining, reply), return_when=asyncio.FIRST_COMPLETED)
        finally:
            draining.cancel()

    def _unasked(self, reply: SMTPReply) -> SMTPReply:
        """
        Take a reply in the middle of the content.

        A refusal counts, but a next command would be read as content. Nothing can be accepted before its dot.
        """
        self.abort()
        if reply.code < 400:
            raise BrokenConversation(f"{reply.code} {reply.message}, in the middle of the content")
        return reply

    def _reply(self, reply: SMTPReply) -> Reply:
        return Reply(Door.SMTP, self._stage, str(reply.code), reply.message)

    def _refusal(self, message: Message, reply: SMTPReply) -> TransportError:
        return refusal(self._reply(reply), message.recipients, decided_at=self._decided_at, fresh=not self._proven)

    def _broken(self, error: Exception) -> TransportError:
        if self._decided_at is not None:
            words = "The connection broke after the content was handed over, it may have been accepted"
            return TransportError(
                Outcome.UNKNOWN, f"{words}: {words_of(error)}", stage=self._stage, decided_at=self._decided_at
            )
        # A connection that never worked says something about the endpoint; one that did, only about itself.
        return TransportError(
            Outcome.NOT_SENT,
            f"The connection broke at {self._stage.upper()}, nothing was sent: {words_of(error)}",
            stage=self._stage,
            blocks_endpoint=not self._proven,
        )


def _means(reply: SMTPReply, code: int) -> bool:
    """
    Whether a reply says what that code says.

    Source:
        RFC 5321, 4.2.1 and 4.3.2: the first digit alone tells what to do next.
    """
    return reply.code == code or (reply.code // 100 == code // 100 and reply.code not in _OF_OTHERS)
