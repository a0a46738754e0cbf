"""
A double of listmonk, as far as it matters to whoever takes its mail: what it sends, how fast, and what it forgets.

`Campaign` is the pipeline with its workers, `Postback` the HTTP messenger's client, `MailPool` the SMTP client
(smtppool v2.0.0). Written from what was read and measured of listmonk v6.2.0, with payloads of its own; its faults are
kept, because the companions are there to make up for them. It decides nothing about what a companion should do.

Invariants: a message is pushed exactly once; what failed is counted and never tried again; only `Refused` and `Broken`
leave a client.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, Final

import attrs

from seslimit import Message

CAMPAIGN: Final = "b81d2c94-6c1f-4f3e-9a75-20d6e8f7a413"
ROOT: Final = "https://lists.example.net"
NAP: Final = 1.0
"""Seconds that a worker sleeps after `message_rate` messages. It is a whole second, not the rest of one."""
SWEEP: Final = 2.0
"""Seconds between two looks for idle SMTP connections."""


class PushError(Exception):
    """What listmonk counts as one error: a line in its log, and the message is lost."""


class Refused(PushError):
    """
    The server said no.

    Args:
        code: the SMTP or HTTP status.
        text: the rest of it.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


class Broken(PushError):
    """
    There was no answer: a time-out or the end of the connection.

    Args:
        reason: in listmonk's words.
        handed_over: whether the whole message had left by then, so that the server may have taken it.
    """

    def __init__(self, reason: str, *, handed_over: bool = False) -> None:
        super().__init__(reason)
        self.handed_over = handed_over


# What is sent


@attrs.frozen
class Subscriber:
    """One recipient; all that is known of it follows from its number."""

    number: int

    @property
    def email(self) -> str:
        """Its address."""
        return f"reader{self.number}@example.net"

    @property
    def uuid(self) -> str:
        """Its id in listmonk, which is in its links."""
        return str(uuid.UUID(int=0x3F0C7A529D1E4B6F8A37C2E400000000 + self.number, version=4))

    @property
    def unsubscribe(self) -> str:
        """The link that ends its subscription."""
        return f"{ROOT}/subscription/{CAMPAIGN}/{self.uuid}"

    @property
    def html(self) -> str:
        """The body, rendered for it."""
        return (
            f"<!doctype html>\n<html><body><p>Hi Reader {self.number} &amp; friends</p>\n<p>The gate opens at nine.</p>"
            f'<a href="{self.unsubscribe}">Unsubscribe</a>\n'
            f'<img src="{ROOT}/campaign/{CAMPAIGN}/{self.uuid}/px.png" alt="" /></body></html>\n'
        )


def subscribers(count: int, first: int = 0) -> Iterator[Subscriber]:
    """A list of subscribers; no two have the same address."""
    return (Subscriber(number) for number in range(first, first + count))


def campaign_payload(subscriber: Subscriber, **changed: Any) -> dict[str, Any]:
    """What the messenger is posted for one recipient of a campaign; `changed` replaces whole fields."""
    campaign = {
        "from_email": "Meadow News <news@mail.example.net>",
        "uuid": CAMPAIGN,
        "name": "October notes",
        "headers": [{"X-Topic": "meadow"}, {"X-Sub": "{{ .Subscriber.UUID }}"}],
        "tags": ["newsletter", "october"],
    }
    payload = {
        "subject": f"Meadow notes, October, for reader {subscriber.number}",
        "from_email": campaign["from_email"],
        "content_type": "richtext",
        "body": subscriber.html,
        "recipients": [_recipient(subscriber)],
        "campaign": campaign,
        "attachments": None,
    }
    return payload | changed


def transactional_payload(subscriber: Subscriber, **changed: Any) -> dict[str, Any]:
    """What the messenger is posted for a transactional message, which belongs to no campaign."""
    payload = {
        "subject": "Your booking",
        "from_email": "Meadow Desk <desk@mail.example.net>",
        "content_type": "html",
        "body": f"<!doctype html>\n<html><body><p>Hello Reader {subscriber.number}</p></body></html>\n",
        "recipients": [_recipient(subscriber)],
        "campaign": None,
        "attachments": None,
    }
    return payload | changed


def _recipient(subscriber: Subscriber) -> dict[str, Any]:
    return {
        "uuid": subscriber.uuid,
        "email": subscriber.email,
        "name": f"Reader {subscriber.number}",
        "attribs": {"plan": "basic", "visits": subscriber.number % 7},
        "status": "enabled",
    }


def attachment(name: str, content: bytes, content_type: str = "text/plain") -> dict[str, Any]:
    """One attachment as it is posted: the raw bytes in base64, whatever its own header says of an encoding."""
    header = {
        "Content-Disposition": [f"attachment; filename={name}"],
        "Content-Type": [f'{content_type}; name="{name}"'],
        "Content-Transfer-Encoding": ["base64"],
    }
    return {"name": name, "header": header, "content": base64.b64encode(content).decode()}


def as_go(payload: Any) -> bytes:
    """JSON as Go's encoder writes it: no spaces, and angle brackets and ampersands escaped."""
    text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text.encode()


def mail(subscriber: Subscriber) -> Message:
    """The same message as listmonk hands it to an SMTP server, where nothing has to be rebuilt."""
    lines = (
        "From: Meadow News <news@mail.example.net>",
        f"To: Reader {subscriber.number} <{subscriber.email}>",
        f"Subject: Meadow notes, October, for reader {subscriber.number}",
        "MIME-Version: 1.0",
        f"X-Listmonk-Campaign: {CAMPAIGN}",
        f"X-Listmonk-Subscriber: {subscriber.uuid}",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        f"List-Unsubscribe: <{subscriber.unsubscribe}>",
        "X-Topic: meadow",
        "Content-Type: text/html; charset=UTF-8",
        "Content-Transfer-Encoding: 7bit",
        "",
        *subscriber.html.splitlines(),
        "",
    )
    return Message("news@mail.example.net", [subscriber.email], "\r\n".join(lines).encode(), subscriber.number)


# The pipeline

Push = Callable[[Subscriber], Awaitable[None]]
"""Hands one message to a messenger; raises `PushError`."""


@attrs.define
class Result:
    """
    What listmonk shows of a campaign, and below `seconds` what it does not.

    Args:
        status: "finished", or "paused" at too many errors.
        sent: messages whose push raised nothing.
        to_send: messages that there were.
        errors: a line of the log for each failed push.
        seconds: from the first push to the end of the last one.
        longest: seconds that the longest push took.
        lost: the subscribers whose push failed; listmonk writes them down nowhere.
        checkpoint: the subscriber behind which it goes on when it is resumed: the last one that was sent, or the last
            one of the batch where none was. What failed before it is never posted again.
    """

    status: str = "finished"
    sent: int = 0
    to_send: int = 0
    errors: list[str] = attrs.field(factory=list)
    seconds: float = 0.0
    longest: float = 0.0
    lost: list[Subscriber] = attrs.field(factory=list)
    checkpoint: int = -1
    last_sent: int = attrs.field(default=-1, repr=False)

    @property
    def attempted(self) -> int:
        """Pushes that were made."""
        return self.sent + len(self.errors)


@attrs.frozen(kw_only=True)
class Campaign:
    """
    The pipeline of one campaign; every default is listmonk's.

    C workers that each push R messages as fast as they go and then sleep a second make C·R / (1 + R·L) a second, where
    L is the time of a push: never the account's rate, and a burst of up to C·R in the first moment.

    Args:
        concurrency: workers.
        message_rate: messages that one worker pushes between two naps.
        max_send_errors: failed pushes at which the campaign is paused and what is queued dropped; 0 for never.
        batch_size: subscribers that are fetched at a time; the checkpoint moves when they are.
    """

    concurrency: int = 10
    message_rate: int = 10
    max_send_errors: int = 1000
    batch_size: int = 1000

    async def resume(self, to: Iterable[Subscriber], push: Push, paused: Result) -> Result:
        """Go on with a campaign that was paused: behind its checkpoint, whatever failed before it."""
        return await self.run((each for each in to if each.number > paused.checkpoint), push)

    async def run(self, to: Iterable[Subscriber], push: Push) -> Result:
        """Push one message to everybody, once."""
        result = Result()
        queue = asyncio.Queue[Subscriber | None](self.concurrency * self.message_rate * 2)
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as workers:
            for _ in range(self.concurrency):
                workers.create_task(self._work(queue, push, result))
            left = iter(to)
            while result.status != "paused" and (batch := list(itertools.islice(left, self.batch_size))):
                result.to_send += len(batch)
                if result.sent == 0:
                    result.checkpoint = batch[-1].number
                for subscriber in batch:
                    await queue.put(subscriber)
            for _ in range(self.concurrency):
                await queue.put(None)
        result.seconds = asyncio.get_running_loop().time() - began
        if result.sent:
            result.checkpoint = result.last_sent
        return result

    async def _work(self, queue: asyncio.Queue[Subscriber | None], push: Push, result: Result) -> None:
        loop = asyncio.get_running_loop()
        pushed = 0
        while (subscriber := await queue.get()) is not None:
            if result.status == "paused":
                continue
            if pushed >= self.message_rate:
                await asyncio.sleep(NAP)
                pushed = 0
            pushed += 1
            began = loop.time()
            try:
                await push(subscriber)
                result.sent += 1
                result.last_sent = max(result.last_sent, subscriber.number)
            except PushError as error:
                result.errors.append(f"error sending message: subscriber {subscriber.number}: {error}")
                result.lost.append(subscriber)
                if 0 < self.max_send_errors <= len(result.errors):
                    result.status = "paused"
            result.longest = max(result.longest, loop.time() - began)


# The HTTP messenger

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@attrs.define(eq=False)
class Postback:
    """
    The client of the HTTP messenger, on Go's connection pool.

    Args:
        host, port, path: the messenger's URL; nothing is appended to it.
        login: user and password, which go out only where both are given.
        timeout: seconds for the wait for a connection, connecting, and the answer, all in one; and until an idle
            connection is closed.
        max_conns: connections at a time.
    """

    host: str
    port: int
    path: str = "/"
    login: tuple[str, str] = ("", "")
    timeout: float = 5.0
    max_conns: int = 25
    _places: asyncio.Semaphore = attrs.field(init=False)
    _idle: dict[_Connection, asyncio.TimerHandle] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._places = asyncio.Semaphore(self.max_conns)

    async def push(self, subscriber: Subscriber) -> None:
        """Post a campaign's message to one recipient."""
        await self.post(as_go(campaign_payload(subscriber)))

    async def post(self, body: bytes) -> None:
        """
        Make one request, once.

        Raises:
            Refused: the answer was not 200; what else it says is not read.
            Broken: there was none.
        """
        handed_over = False
        try:
            async with asyncio.timeout(self.timeout), self._places, self._connection() as (reader, writer):
                writer.write(self.head(len(body)) + body)
                handed_over = True
                await writer.drain()
                status = await self._answer(reader, writer)
        except TimeoutError:
            raise Broken("Client.Timeout exceeded while awaiting headers", handed_over=handed_over) from None
        except (OSError, EOFError) as error:
            raise Broken(f"{type(error).__name__}: {error}", handed_over=handed_over) from None
        if status != 200:
            raise Refused(status, f"non-OK response from Postback server: {status}")

    def head(self, length: int) -> bytes:
        """The head of a request, in Go's order."""
        user, password = self.login
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        lines = (
            f"POST {self.path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            "User-Agent: listmonk",
            f"Content-Length: {length}",
            *([f"Authorization: Basic {token}"] if user and password else []),
            "Content-Type: application/json",
            "Accept-Encoding: gzip",
        )
        return "\r\n".join((*lines, "", "")).encode()

    async def aclose(self) -> None:
        """Close the idle connections."""
        while self._idle:
            connection, timer = self._idle.popitem()
            timer.cancel()
            connection[1].close()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Connection]:
        """The connection that was used last, or a new one; it is used again only after a whole answer."""
        connection = self._latest() or await asyncio.open_connection(self.host, self.port)
        writer = connection[1]
        try:
            yield connection
        except BaseException:
            writer.transport.abort()
            raise
        if not writer.is_closing():
            timer = asyncio.get_running_loop().call_later(self.timeout, self._expire, connection)
            self._idle[connection] = timer

    def _latest(self) -> _Connection | None:
        while self._idle:
            connection, timer = self._idle.popitem()
            timer.cancel()
            if not connection[0].at_eof() and not connection[1].is_closing():
                return connection
            connection[1].close()
        return None

    def _expire(self, connection: _Connection) -> None:
        del self._idle[connection]
        connection[1].close()

    @staticmethod
    async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        """Read an answer to its end; its status."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = head.strip().split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
            await reader.readline()
        elif "content-length" in headers:
            await reader.readexactly(int(headers["content-length"]))
        elif status.split()[1] != "204":
            await reader.read()
        if headers.get("connection", "").lower() == "close":
            writer.close()
        return int(status.split()[1])


# The SMTP messenger


@attrs.define(eq=False)
class Session:
    """One SMTP connection, with Go's client on it, which has no time-outs of its own."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    last_activity: float = 0.0
    handed_over: bool = False
    """Whether the final dot of the message under way has been written."""

    @classmethod
    async def open(cls, host: str, port: int, login: tuple[str, str] = ("", ""), dial: float = 5.0) -> Session:
        """
        Connect, say hello, and log in where there is a login; `dial` seconds bound only the first of these.

        Raises:
            Refused, OSError, EOFError: of the step that failed.
        """
        async with asyncio.timeout(dial):
            session = cls(*await asyncio.open_connection(host, port))
        try:
            if session.writer.get_extra_info("sockname") == session.writer.get_extra_info("peername"):
                # Where nobody listens on a port that the system gives to clients, a socket can be connected to itself.
                raise ConnectionRefusedError("nobody listens")
            await session.reply(220)
            await session.command("EHLO localhost", 250)
            if all(login):
                token = base64.b64encode("\0".join(("", *login)).encode()).decode()
                await session.command(f"AUTH PLAIN {token}", 235)
        except BaseException:
            session.close()
            raise
        return session

    async def command(self, line: str, expected: int) -> None:
        """Write a line and read its reply."""
        self.writer.write(line.encode() + b"\r\n")
        await self.reply(expected)

    async def reply(self, expected: int) -> None:
        """
        Read a reply.

        Raises:
            Refused: it is another one.
            EOFError: the connection ended.
        """
        await self.writer.drain()
        while (line := await self.reader.readline())[3:4] == b"-":
            pass
        if not line.endswith(b"\n"):
            raise EOFError("EOF")
        if int(line[:3]) != expected:
            raise Refused(int(line[:3]), line[4:].decode("utf-8", "replace").strip())

    async def send(self, message: Message) -> None:
        """Hand over one message."""
        self.last_activity = asyncio.get_running_loop().time()
        self.handed_over = False
        await self.command(f"MAIL FROM:<{message.mail_from}> BODY=8BITMIME", 250)
        for recipient in message.recipients:
            await self.command(f"RCPT TO:<{recipient}>", 250)
        await self.command("DATA", 354)
        self.writer.write(_stuffed(message.as_bytes()) + b".\r\n")
        self.handed_over = True
        try:
            await self.reply(250)
        except Refused:
            # smtppool v2.0.0 closes the content again on its way out: a dot that the server takes for a command.
            with contextlib.suppress(Refused, OSError, EOFError):
                await self.command(".", 250)
            raise

    def close(self) -> None:
        """Hang up without a word, as the pool does with idle and with broken connections."""
        self.writer.close()


def _stuffed(content: bytes) -> bytes:
    content = content.replace(b"\r\n.", b"\r\n..")
    ended = content if content.endswith(b"\r\n") else content + b"\r\n"
    return b"." + ended if ended.startswith(b".") else ended


@attrs.define(eq=False)
class MailPool:
    """
    The SMTP client: a pool of connections to one server.

    Args:
        host, port: the server.
        login: user and password; none where one is empty.
        max_conns: connections at a time.
        wait_timeout: seconds to wait for a free connection, and for dialling a new one.
        idle_timeout: seconds after which the sweep closes an idle connection.
        max_msg_retries: attempts when the network fails before the final dot; a reply is never a reason for another.
        msg_retry_delay: seconds between two of them.
    """

    host: str
    port: int
    login: tuple[str, str] = ("", "")
    max_conns: int = 10
    wait_timeout: float = 5.0
    idle_timeout: float = 15.0
    max_msg_retries: int = 2
    msg_retry_delay: float = 0.01
    _created: int = attrs.field(default=0, init=False)
    _free: asyncio.Queue[Session] = attrs.field(factory=asyncio.Queue, init=False)
    _sweeper: asyncio.TimerHandle | None = attrs.field(default=None, init=False)

    async def push(self, subscriber: Subscriber) -> None:
        """Hand over a campaign's message to one recipient."""
        await self.send(mail(subscriber))

    async def send(self, message: Message) -> None:
        """
        Hand over one message.

        Raises:
            Refused: by a reply, whatever it was.
            Broken: no connection became free, or all attempts met a broken one.
        """
        for attempt in range(1, self.max_msg_retries + 1):
            session = await self._borrowed()
            try:
                await session.send(message)
            except Refused:
                await self._give_back(session)
                raise
            except (OSError, EOFError) as error:
                self._discard(session)
                if session.handed_over or attempt == self.max_msg_retries:
                    raise Broken(f"{type(error).__name__}: {error}", handed_over=session.handed_over) from None
                await asyncio.sleep(self.msg_retry_delay)
            except BaseException:
                self._discard(session)
                raise
            else:
                await self._give_back(session)
                return

    async def aclose(self) -> None:
        """Close the connections that are free."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        while not self._free.empty():
            self._discard(self._free.get_nowait())

    async def _borrowed(self) -> Session:
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP, self._sweep)
        if self._created < self.max_conns and self._free.empty():
            self._created += 1
            try:
                return await Session.open(self.host, self.port, self.login, self.wait_timeout)
            except (OSError, EOFError) as error:
                self._created -= 1
                raise Broken(f"{type(error).__name__}: {error}") from None
            except BaseException:
                self._created -= 1
                raise
        try:
            async with asyncio.timeout(self.wait_timeout):
                return await self._free.get()
        except TimeoutError:
            raise Broken("timed out waiting for free conn in pool") from None

    async def _give_back(self, session: Session) -> None:
        """Reset the connection for the next message; one that cannot be is closed."""
        try:
            await session.command("RSET", 250)
        except (Refused, OSError, EOFError):
            self._discard(session)
        else:
            self._free.put_nowait(session)

    def _discard(self, session: Session) -> None:
        self._created -= 1
        session.close()

    def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        free = deque[Session]()
        while not self._free.empty():
            session = self._free.get_nowait()
            if now - session.last_activity > self.idle_timeout:
                self._discard(session)
            else:
                free.append(session)
        for session in free:
            self._free.put_nowait(session)
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP, self._sweep)
