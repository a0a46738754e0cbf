"""The double of listmonk sends, waits and forgets as listmonk was measured to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from seslimit.testing import Fault, Simulator, SMTPRules, SMTPText

from . import listmonk_double as listmonk
from .listmonk_double import Broken, Campaign, MailPool, Postback, Refused, Subscriber, subscribers
from .scripted_server import Act, SMTPServer, Then
from .virtual_time import on_virtual_time

pytestmark = pytest.mark.once

ADA = Subscriber(1)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """The simulator's server logs every stray dot."""
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)


async def refused(subscriber: Subscriber) -> None:
    """A push that always fails, in no time."""
    raise Refused(429, "no")


# The pipeline


@pytest.mark.parametrize(
    ("concurrency", "message_rate", "push_takes", "seconds"),
    [
        # A worker naps between two bursts, not after the last: 1000 / (C·R) bursts of R·L, one nap less than bursts.
        (10, 10, 0.12, 10 * 1.2 + 9),
        (14, 1, 0.104, 72 * 0.104 + 71),
        (1, 14, 0.104, 1000 * 0.104 + 71),
    ],
)
def test_the_rate_follows_the_law(concurrency: int, message_rate: int, push_takes: float, seconds: float) -> None:
    """C·R / (1 + R·L): bursts of R messages, each followed by a whole second of sleep."""

    @on_virtual_time
    async def run() -> float:
        campaign = Campaign(concurrency=concurrency, message_rate=message_rate)
        return (await campaign.run(subscribers(1000), lambda _: asyncio.sleep(push_takes))).seconds

    assert run() == pytest.approx(seconds, abs=0.01)


@on_virtual_time
async def test_a_message_is_pushed_once_and_its_error_counted() -> None:
    """What failed is not tried again, and the campaign is finished all the same."""
    pushed = []

    async def push(subscriber: Subscriber) -> None:
        pushed.append(subscriber.number)
        if subscriber.number % 3 == 0:
            raise Refused(429, "no")

    result = await Campaign().run(subscribers(999), push)
    assert sorted(pushed) == list(range(999))
    assert (result.status, result.sent, result.to_send, len(result.errors)) == ("finished", 666, 999, 333)


@on_virtual_time
async def test_too_many_errors_pause_the_campaign_and_drop_what_is_queued() -> None:
    """The rest is thrown away but for what a worker has in its hands when it naps."""
    result = await Campaign(max_send_errors=50).run(subscribers(1000), refused)
    assert (result.status, result.sent, result.attempted) == ("paused", 0, 50 + 4)


@on_virtual_time
async def test_without_a_threshold_nothing_pauses_the_campaign() -> None:
    """0 means never."""
    result = await Campaign(max_send_errors=0).run(subscribers(2000), refused)
    assert (result.status, len(result.errors)) == ("finished", 2000)


# The HTTP messenger


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[int]:
    """A server whose connections are `answer`; its port."""
    tasks = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            await answer(reader, writer)
        except (EOFError, OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*filter(None, tasks), return_exceptions=True)


async def posted(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """One request: its head and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
    return head, await reader.readexactly(length)


def saying(*answers: bytes) -> tuple[Answer, list[tuple[bytes, bytes]]]:
    """Connections that answer the same to every request, and what was posted to them."""
    requests: list[tuple[bytes, bytes]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            requests.append(await posted(reader))
            writer.write(answers[min(len(requests), len(answers)) - 1])

    return answer, requests


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_a_request_is_as_go_makes_it() -> None:
    """Headers in their order, Basic auth, and JSON with angle brackets and ampersands escaped."""
    answer, requests = saying(OK)
    async with answering(answer) as port:
        messenger = Postback("127.0.0.1", port, "/hook", ("nobody", "example"))
        await messenger.push(ADA)
        await messenger.aclose()
    (head, body) = requests[0]
    assert head.decode().split("\r\n") == [
        "POST /hook HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "User-Agent: listmonk",
        f"Content-Length: {len(body)}",
        "Authorization: Basic bm9ib2R5OmV4YW1wbGU=",
        "Content-Type: application/json",
        "Accept-Encoding: gzip",
        "",
        "",
    ]
    assert b'"from_email":"Meadow News \\u003cnews@mail.example.net\\u003e"' in body
    assert b"Reader 1 \\u0026amp; friends" in body
    assert json.loads(body) == listmonk.campaign_payload(ADA)


async def test_no_login_goes_out_without_a_password() -> None:
    """Only where both are given."""
    assert b"Authorization" not in Postback("127.0.0.1", 80, login=("nobody", "")).head(1)


@pytest.mark.parametrize("status", [201, 202, 204, 429, 500, 503])
async def test_only_200_is_success(status: int) -> None:
    """Every other status is an error, and there is no second request."""
    answer, requests = saying(f"HTTP/1.1 {status} Reason\r\nContent-Length: 0\r\nRetry-After: 1\r\n\r\n".encode())
    async with answering(answer) as port:
        messenger = Postback("127.0.0.1", port)
        with pytest.raises(Refused, match="non-OK response"):
            await messenger.push(ADA)
        await messenger.aclose()
    assert len(requests) == 1


async def test_a_connection_is_used_again() -> None:
    """After a whole answer, whichever way its length was told."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    answer, requests = saying(OK, chunked, OK)
    connections = 0

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await answer(reader, writer)

    async with answering(counting) as port:
        messenger = Postback("127.0.0.1", port)
        for _ in range(3):
            await messenger.push(ADA)
        await messenger.aclose()
    assert (len(requests), connections) == (3, 1)


async def test_the_time_out_covers_the_wait_for_a_connection() -> None:
    """With one connection and a server that never answers, both posts end after one time-out."""

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with answering(never) as port:
        messenger = Postback("127.0.0.1", port, timeout=0.1, max_conns=1)
        began = asyncio.get_running_loop().time()
        ends = await asyncio.gather(messenger.push(ADA), messenger.push(Subscriber(2)), return_exceptions=True)
        seconds = asyncio.get_running_loop().time() - began
    first, second = ends
    assert isinstance(first, Broken)
    assert isinstance(second, Broken)
    assert (first.handed_over, second.handed_over) == (True, False)
    assert seconds < 0.19


async def test_a_connection_that_ends_under_a_post_is_one_error() -> None:
    """The request had left, so it is not made again."""
    requests = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await posted(reader))

    async with answering(hang_up) as port:
        messenger = Postback("127.0.0.1", port)
        with pytest.raises(Broken) as error:
            await messenger.push(ADA)
    assert error.value.handed_over
    assert len(requests) == 1


# The SMTP messenger


async def test_a_throttle_loses_the_message_and_is_followed_by_a_stray_dot() -> None:
    """One attempt, one error, one lone dot sent as a command, and RSET before the connection is used again."""
    server = SMTPServer(plan={"dot": Act(b"454 Throttling failure: Maximum sending rate exceeded.\r\n")})
    async with server.running():
        pool = MailPool("127.0.0.1", server.port)
        with pytest.raises(Refused, match="454"):
            await pool.push(ADA)
        await pool.push(Subscriber(2))
        await pool.aclose()
    lines = [line.partition(" ")[0] for line in server.conversations[0].lines]
    # After a fault, the server also notes the dot that ends a content.
    assert lines == ["EHLO", "MAIL", "RCPT", "DATA", ".", "RSET", "MAIL", "RCPT", "DATA", ".", "RSET"]
    assert [accepted.recipients for accepted in server.accepted] == [(Subscriber(2).email,)]


async def test_a_refusal_that_ends_the_connection_is_a_refusal() -> None:
    """What becomes of the stray dot does not matter."""
    server = SMTPServer(plan={"dot": Act(b"421 4.3.2 Stopping\r\n", then=Then.CLOSE)})
    async with server.running():
        pool = MailPool("127.0.0.1", server.port)
        with pytest.raises(Refused, match="421"):
            await pool.push(ADA)
        await pool.aclose()


async def test_the_end_of_the_connection_before_the_content_is_a_reason_for_another_attempt() -> None:
    """On a new connection, at once."""
    server = SMTPServer(plan={"rcpt": Act(b"", then=Then.CLOSE)})
    async with server.running():
        pool = MailPool("127.0.0.1", server.port)
        await pool.push(ADA)
        await pool.aclose()
    assert (len(server.conversations), len(server.accepted)) == (2, 1)


async def test_the_end_of_the_connection_at_the_dot_is_not() -> None:
    """The server may have taken it."""
    server = SMTPServer(plan={"dot": Act(b"", then=Then.CLOSE)})
    async with server.running():
        pool = MailPool("127.0.0.1", server.port)
        with pytest.raises(Broken) as error:
            await pool.push(ADA)
        await pool.aclose()
    assert error.value.handed_over
    assert len(server.conversations) == 1


async def test_a_wait_for_a_free_connection_ends() -> None:
    """The message is lost, in listmonk's words."""
    async with Simulator(1000, faults=[Fault("dot", silent=True)]) as simulator:
        pool = MailPool("127.0.0.1", simulator.smtp_port, ("user", "password"), max_conns=1, wait_timeout=0.05)
        held = asyncio.create_task(pool.push(ADA))
        await asyncio.sleep(0)
        with pytest.raises(Broken, match="timed out waiting for free conn in pool"):
            await pool.push(Subscriber(2))
        held.cancel()
        await asyncio.wait({held})


async def test_the_content_arrives_as_it_is() -> None:
    """With its headers, and its dots stuffed on the way."""
    message = listmonk.mail(ADA)
    async with Simulator(1000, keep_content=True) as simulator:
        pool = MailPool("127.0.0.1", simulator.smtp_port, ("user", "password"))
        await pool.send(message)
        await pool.aclose()
        (accepted,) = simulator.accepted
    assert accepted.content == message.as_bytes()
    assert accepted.recipients == (ADA.email,)


async def test_the_defaults_lose_messages_at_the_rate_of_an_account() -> None:
    """A part of the measured run: 14/s, 20 ms a command; what the bucket does not hold is refused and lost."""
    rules = SMTPRules(auth_required=False)
    async with Simulator(14, latency=0.02, smtp=rules) as simulator:
        pool = MailPool("127.0.0.1", simulator.smtp_port)
        began = time.monotonic()
        result = await Campaign().run(subscribers(150), pool.push)
        seconds = time.monotonic() - began
        await pool.aclose()
        accepted = simulator.counts.accepted
    assert (result.status, result.sent) == ("finished", accepted)
    # What a second brings and the bucket held at the start; three seconds on a machine that does not stand still.
    assert accepted <= 14 * (seconds + 1) + 1
    assert all(SMTPText.RATE_EXCEEDED[4:] in line for line in result.errors)
