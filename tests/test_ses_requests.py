"""How a request to the API is signed, sent through proxies and answered: what botocore and aiohttp do not do here."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import itertools
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import botocore.auth
import pytest
import trustme
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from seslimit import classify
from seslimit._model.errors import ConfigurationError, TransportError
from seslimit._model.message import Message
from seslimit._model.outcome import Outcome, Stage
from seslimit.transports.ses import SESTransport, _transport, session_with
from seslimit.transports.ses._answers import MAX_ANSWER, Answer, AnswerReader, NoAnswer
from seslimit.transports.ses._signature import CONTENT_HASH, Scope, signed, signing_key

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzEXAMPLETOKEN/with+signs=="
OUTBOUND = "/v2/email/outbound-emails"
MESSAGE = Message("sender@example.org", ["reader@example.com"], b"Subject: hello\r\n\r\nGood morning.\r\n")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of AWS's, and no proxy."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")


# Signatures.


@given(
    at=st.integers(1_700_000_000, 2_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    token=st.sampled_from([None, TOKEN]),
    region=st.sampled_from(["us-east-1", "eu-west-1", "us-gov-west-1"]),
    host=st.sampled_from(["email.us-east-1.amazonaws.com", "127.0.0.1:8080", "[::1]:99"]),
    digest=st.binary(min_size=32, max_size=32).map(bytes.hex),
)
def test_signature_is_botocores(at: datetime, token: str | None, region: str, host: str, digest: str) -> None:
    """Each header that is made has the value that botocore's signer gives it at the same moment."""
    credentials = ReadOnlyCredentials("AKIAIOSFODNN7EXAMPLE", SECRET, token)
    headers = {"Content-Type": "application/json", "User-Agent": "x/1  y", "Host": host, CONTENT_HASH: digest}
    theirs = AWSRequest("POST", f"https://{host}{OUTBOUND}", headers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda: at)
        SigV4Auth(credentials, "ses", region).add_auth(theirs)
    scope = Scope(at.strftime("%Y%m%d"), region, "ses")
    if token:
        headers["X-Amz-Security-Token"] = token
    ours = signed(OUTBOUND, headers, credentials.access_key, signing_key(SECRET, scope), scope, at)
    assert ours == dict(theirs.headers.items())


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, "https://email.eu-west-1.amazonaws.com"),
        ({"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "https://email.eu-west-1.api.aws"),
        ({"AWS_USE_FIPS_ENDPOINT": "true"}, "https://email-fips.eu-west-1.amazonaws.com"),
        ({"AWS_ENDPOINT_URL_SESV2": "https://vpce-1.example.org/base"}, "https://vpce-1.example.org/base"),
    ],
)
async def test_endpoint_is_botocores(variables: dict[str, str], url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever tells botocore another endpoint tells it to a request: dual stack, FIPS, a URL in the environment."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    transport = SESTransport("eu-west-1", session=session_with("AKIA", SECRET))
    opened = await transport._doors.opened()
    blueprint = opened.client.blueprint
    assert (blueprint.url, blueprint.headers["Content-Type"]) == (url + OUTBOUND, "application/json")
    assert blueprint.signing == {"signing_name": "ses", "region_name": "eu-west-1", "signature_version": "v4"}
    await opened.leave()
    await transport.aclose()


# Answers.

JSON = b'{"MessageId": "id-1"}'
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n" + JSON
PACKED = gzip.compress(JSON, mtime=0)  # it is part of the names of tests, which every worker has to collect alike
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
ANSWERS = [
    (PLAIN, 200, JSON, False),
    (PLAIN.replace(b" OK", b""), 200, JSON, False),
    (PLAIN.replace(b"1.1", b"1.0"), 200, JSON, True),
    (PLAIN.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"), 200, JSON, True),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + PLAIN, 200, JSON, False),
    (CHUNKED + b"15;a=b\r\n" + JSON + b"\r\n0\r\nA: b\r\n\r\n", 200, JSON, False),
    (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", False),
    (GZIP % len(PACKED) + PACKED, 200, JSON, False),
    (PLAIN + b"H", 200, JSON, True),
]  # fmt: skip
NONE = [
    b"hello\r\n\r\n",
    b"HTTP/2 200\r\n\r\n",
    b"HTTP/1.1 099 x\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 0\n\n\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}}",
    b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}}\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_ANSWER,
]


def read(stream: bytes, size: int) -> Answer | None:
    """Feed a stream in pieces."""
    reader = AnswerReader()
    answer = None
    for begin in range(0, len(stream), size):
        answer = reader.feed(stream[begin : begin + size])
        if answer is not None and begin + size < len(stream):
            return answer._replace(last=True)
    return answer


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(("stream", "status", "content", "last"), ANSWERS)
def test_an_answer(stream: bytes, status: int, content: bytes, last: bool, size: int) -> None:
    """An answer is read whole, however it is cut, and told to be the last where the connection ends with it."""
    answer = read(stream, size)
    assert answer is not None
    assert (answer.status, answer.content, answer.last) == (status, content, last)


@pytest.mark.parametrize("stream", NONE)
def test_no_answer(stream: bytes) -> None:
    """What is no answer, or one of which nobody can tell the end, is refused (RFC 9112, 2.2, 5.1, 6.3)."""
    for size in (1000, len(stream) + 1):
        with pytest.raises(NoAnswer):
            read(stream, size)


def test_unpacked_content_is_bounded() -> None:
    """A few bytes that unpack to many are no answer."""
    bomb = gzip.compress(b" " * 10_000_000)
    stream = GZIP % len(bomb) + bomb
    with pytest.raises(NoAnswer):
        AnswerReader().feed(stream)


def test_an_answer_that_ends_with_the_connection() -> None:
    """Without a length the end of the connection is the end of the content; half of a known length is no answer."""
    reader = AnswerReader()
    assert reader.feed(b"HTTP/1.1 200 OK\r\n\r\n" + JSON) is None
    assert reader.end() == Answer(200, {}, JSON, True)
    reader = AnswerReader()
    reader.feed(PLAIN[:-1])
    with pytest.raises(NoAnswer):
        reader.end()


@given(st.lists(st.sampled_from([*ANSWERS, *NONE]), min_size=1, max_size=3), st.data())
def test_any_bytes_are_read_or_refused(parts: list[Any], data: st.DataObject) -> None:
    """Damaged answers end in an answer, in none yet, or in `NoAnswer`; never in anything else."""
    stream = bytearray(itertools.chain.from_iterable(part if isinstance(part, bytes) else part[0] for part in parts))
    stream = stream[:5_000]
    for at in data.draw(st.lists(st.integers(0, len(stream) - 1), max_size=3)):
        stream[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(NoAnswer):
        read(bytes(stream), data.draw(st.integers(1, 300)))


# Servers.

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that runs; its port. Nothing of it is left afterwards."""
    tasks = set[asyncio.Task[None]]()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(one, "127.0.0.1", 0, ssl=tls, limit=64 * 1024)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def sending_to(serve: Serve, **options: Any) -> AsyncIterator[SESTransport]:
    """A transport to a server."""
    async with listening(serve) as port:
        named = {"endpoint_url": f"http://127.0.0.1:{port}", "session": session_with("AKIA", SECRET), **options}
        transport = SESTransport("us-east-1", **named)
        async with contextlib.aclosing(transport):
            yield transport


async def request_read(reader: asyncio.StreamReader) -> None:
    """Read a request to its end."""
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take a request, and wait for the end of the connection."""
    await request_read(reader)
    writer.write(PLAIN)
    await reader.read()


# Two clocks.


@attrs.define(eq=False)
class SlowService:
    """
    Reads a request no faster than told, and answers it late.

    Args:
        rate: bytes/s that it reads.
        late: seconds from the last byte to the answer.
    """

    rate: float
    late: float = 0.0
    requests: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read, and answer."""
        head = await reader.readuntil(b"\r\n\r\n")
        left = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while left and (data := await reader.read(min(left, 64 * 1024))):
            left -= len(data)
            await asyncio.sleep(len(data) / self.rate)
        self.requests += not left
        await asyncio.sleep(self.late)
        writer.write(PLAIN)
        await reader.read()


LARGE = attrs.evolve(MESSAGE, content=b"Subject: x\r\n\r\n" + b"x" * 12_000_000)


async def test_a_large_message_is_given_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A way that takes longer than the time-out for a large request is waited for, in proportion to its size."""
    monkeypatch.setattr(_transport, "SLOWEST", 1_000_000)
    service = SlowService(rate=20_000_000)
    async with sending_to(service.serve, timeout=0.2) as transport:
        assert (await transport.send(LARGE)).message_id == "id-1"
    assert service.requests == 1


async def test_a_request_that_was_not_written_to_its_end_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A way that is too slow for the content is told so; nothing was accepted, and nothing is unknown."""
    monkeypatch.setattr(_transport, "SLOWEST", 1e12)
    service = SlowService(rate=100_000)
    async with sending_to(service.serve, timeout=0.1) as transport:
        with pytest.raises(TransportError, match="not taken within") as caught:
            await transport.send(LARGE)
    assert (caught.value.outcome, caught.value.stage) == (Outcome.NOT_SENT, Stage.REQUEST)
    assert service.requests == 0


async def test_an_answer_that_does_not_come_is_unknown() -> None:
    """What was written to its end may have been accepted."""
    async with sending_to(SlowService(rate=1e9, late=1.0).serve, timeout=0.1) as transport:
        with pytest.raises(TransportError, match="no answer within") as caught:
            await transport.send(MESSAGE)
    assert caught.value.outcome is Outcome.UNKNOWN


# Proxies.


@attrs.define(eq=False)
class Proxy:
    """
    A proxy on loopback: CONNECT, and requests that name a whole URL.

    Args:
        answer: to CONNECT.
        tls: of the proxy itself.
    """

    answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
    tls: ssl.SSLContext | None = None
    heads: list[str] = attrs.field(factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on one connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head.decode())
        method, target, _ = head.split(b"\r\n")[0].split(b" ")
        place = target.decode() if method == b"CONNECT" else target.decode().split("/")[2]
        host, _, port = place.rpartition(":")
        if method == b"CONNECT":
            writer.write(self.answer)
            if not self.answer.startswith(b"HTTP/1.1 200"):
                writer.close()
                return
        there, back = await asyncio.open_connection(host, int(port))
        if method != b"CONNECT":
            back.write(head)
        try:
            await asyncio.gather(pump(reader, back), pump(there, writer))
        finally:
            back.transport.abort()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction to its end."""
    with contextlib.suppress(OSError):
        while data := await reader.read(64 * 1024):
            writer.write(data)
        writer.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """An authority of certificates."""
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The authority is trusted; a context of a server's."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.mark.parametrize("login", ["", "me:s%40crt@"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_tunnel(scheme: str, login: str, trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy passes on TLS that it cannot read, and is told its login, over TLS of its own where it has that."""
    proxy = Proxy(tls=trusted if scheme == "https" else None)
    async with listening(answer, trusted) as service, listening(proxy.serve, proxy.tls) as port:
        place = f"127.0.0.1:{service}"
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://{login}localhost:{port}")
        async with sending_to(answer, endpoint_url=f"https://{place}") as transport:
            assert (await transport.send(MESSAGE)).message_id == "id-1"
    (head,) = proxy.heads
    assert head.startswith(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n")
    expected = base64.b64encode(b"me:s@crt").decode()
    assert (f"Proxy-Authorization: Basic {expected}\r\n" in head) is bool(login)


async def test_a_proxy_in_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TLS the whole URL is named to the proxy (RFC 9112, 3.2.2)."""
    proxy = Proxy()
    async with listening(answer) as service, listening(proxy.serve) as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@127.0.0.1:{port}")
        async with sending_to(answer, endpoint_url=f"http://127.0.0.1:{service}") as transport:
            assert (await transport.send(MESSAGE)).message_id
    assert proxy.heads[0].startswith(f"POST http://127.0.0.1:{service}{OUTBOUND} HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic" in proxy.heads[0]


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", Outcome.ACCOUNT_BLOCKED),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", Outcome.NOT_SENT),
        (b"HTTP/1.1 200 OK\r\n\r\nstray", Outcome.NOT_SENT),
        (b"HTTP/1.1 200 OK\r\n", Outcome.NOT_SENT),
        (b"SSH-2.0\r\n\r\n", Outcome.NOT_SENT),
    ],
)
async def test_a_proxy_that_refuses(
    said: bytes, outcome: Outcome, trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a proxy refuses never reached the service; a login that it wants blocks the account."""
    async with listening(Proxy(said).serve) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        async with sending_to(answer, endpoint_url="https://127.0.0.1:1", connect_timeout=2.0) as transport:
            with pytest.raises((TransportError, ConfigurationError)) as caught:
                await transport.send(MESSAGE)
    assert classify(caught.value) is outcome
    assert ("HTTPS_PROXY" in str(caught.value)) is (outcome is Outcome.ACCOUNT_BLOCKED)


# Secrets.


async def test_repeated_credentials_are_not_shown() -> None:
    """A service repeats what it was to sign, session token and all: it is taken out of its words."""
    words = f"The canonical string should have been 'x-amz-security-token:{TOKEN}' signed with {SECRET.lower()}"
    content = json.dumps({"message": words}).encode()
    head = b"HTTP/1.1 403 Forbidden\r\nx-amzn-errortype: SignatureDoesNotMatch:http://x/\r\nContent-Length: %d\r\n\r\n"

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_read(reader)
        writer.write(head % len(content) + content)

    async with sending_to(refuse, session=session_with("AKIA", SECRET, TOKEN)) as transport:
        with pytest.raises(TransportError) as caught:
            await transport.send(MESSAGE)
    assert caught.value.reply.startswith("SignatureDoesNotMatch The canonical string should")
    assert TOKEN not in caught.value.reply
    assert SECRET.lower() not in caught.value.reply.lower()


async def test_clock_that_is_off() -> None:
    """A refused signature says how far this machine's clock is from the service's."""
    served_at = datetime.now(UTC).replace(year=2020).strftime("%a, %d %b %Y %H:%M:%S GMT")
    head = (
        "HTTP/1.1 403 Forbidden\r\nx-amzn-errortype: InvalidSignatureException\r\n"
        f"Date: {served_at}\r\nContent-Length: 0\r\n\r\n"
    )

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_read(reader)
        writer.write(head.encode())

    async with sending_to(refuse) as transport:
        with pytest.raises(TransportError, match=r"clock is .* s ahead of the service's") as caught:
            await transport.send(MESSAGE)
    assert (caught.value.outcome, caught.value.stage) == (Outcome.ACCOUNT_BLOCKED, Stage.AUTH)
