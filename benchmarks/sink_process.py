"""
A mail server that takes everything and looks at nothing, in a process of its own, over SMTP and over HTTP.

Where only the speed of a client is measured, the simulator would be what is waited for: it does all that the service
does. This one knows just enough of SMTP to be spoken to, one command at a time, and of HTTP to find a request's end.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import re
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import attrs

END = b"\r\n.\r\n"
REPLIES = {
    b"EHLO": b"250-sink\r\n250 AUTH PLAIN LOGIN\r\n",
    b"AUTH": b"235 2.7.0 Authentication successful\r\n",
    b"DATA": b"354 End data with <CR><LF>.<CR><LF>\r\n",
    b"QUIT": b"221 Bye\r\n",
}
OK = b"250 Ok\r\n"


class Session(asyncio.Protocol):
    """One connection."""

    accepted = 0

    def __init__(self) -> None:
        self._content = False
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        if self._content:
            self._tail = (self._tail + data)[-len(END) :]
            if self._tail == END:
                self._content = False
                self._tail = b""
                Session.accepted += 1
                self._transport.write(b"250 Ok 0107017033dbb64d-be13a01e-000000\r\n")
            return
        command = data[:4].upper()
        self._content = command == b"DATA"
        self._transport.write(REPLIES.get(command, OK))


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
MESSAGE_ID = b'{"MessageId": "0107017033dbb64d-be13a01e-000000"}'
ACCOUNT = b'{"SendQuota": {"Max24HourSend": -1.0, "MaxSendRate": 1000000.0, "SentLast24Hours": 0.0}}'


class Requests(asyncio.Protocol):
    """One connection over HTTP."""

    def __init__(self) -> None:
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._unread += data
        head, separator, rest = self._unread.partition(b"\r\n\r\n")
        asked = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        if not separator or len(rest) < (int(asked[1]) if asked else 0):
            return
        self._unread = b""
        content = ACCOUNT if head.startswith(b"GET") else MESSAGE_ID
        self._transport.write(ANSWER % (len(content), content))


@attrs.frozen
class Sink:
    """The server as its clients see it."""

    pipe: Connection = attrs.field(repr=False)
    smtp_port: int
    api_port: int
    pid: int

    @property
    def smtp_url(self) -> str:
        """For a transport."""
        return f"smtp://user:password@127.0.0.1:{self.smtp_port}?tls=none"

    @property
    def api_url(self) -> str:
        """Of the API."""
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def ses_url(self) -> str:
        """For a transport."""
        return f"ses://us-east-1?endpoint_url={self.api_url}"

    def accepted(self) -> int:
        """Messages that it took so far."""
        self.pipe.send(None)
        return int(self.pipe.recv())


@contextmanager
def sinking() -> Iterator[Sink]:
    """A running server."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    process.start()
    assert process.pid is not None
    try:
        smtp_port, api_port = here.recv()
        yield Sink(here, smtp_port, api_port, process.pid)
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Connection) -> None:
    asyncio.run(_answer(pipe))


async def _answer(pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Session, "127.0.0.1", 0, backlog=1024)

    def answer() -> None:
        pipe.recv()
        pipe.send(Session.accepted)

    loop.add_reader(pipe.fileno(), answer)
    requests = await loop.create_server(Requests, "127.0.0.1", 0, backlog=1024)
    pipe.send([each.sockets[0].getsockname()[1] for each in (server, requests)])
    await asyncio.Event().wait()
