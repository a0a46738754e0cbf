"""The web server beside a program that sends: who may ask, what is answered, and that nobody holds it up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from seslimit import ConfigurationError, Limiter, Message, Sender
from seslimit.observe import Observer, WebServer, serve
from seslimit.observe import _web as web
from seslimit.testing import FakeTransport
from seslimit.testing.virtual_time import on_virtual_time

from .command_line import started, until, written_list

pytestmark = pytest.mark.once

MESSAGE = Message("news@example.org", ("ada@example.net",), b"Subject: x\r\n\r\nHi", "ada-7")


@asynccontextmanager
async def served() -> AsyncIterator[tuple[WebServer, Sender]]:
    """A sender that is watched."""
    observer = Observer("send to ses://eu-west-1")
    async with Sender(FakeTransport(), limiter=Limiter(5000), hooks=[observer]) as sender:
        observer.watch(sender)
        async with serve("127.0.0.1:0", observer) as server:
            yield server, sender


async def asked(server: WebServer, request: str) -> tuple[int, dict[str, str], str]:
    """What a request is told: status, headers, body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.address.port)
    writer.write(request.encode())
    told = (await reader.read()).decode()
    writer.close()
    head, _, body = told.partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), body


def get(path: str, method: str = "GET", host: str = "localhost:8080") -> str:
    """A request."""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"


async def ending(reader: asyncio.StreamReader) -> bytes:
    """What comes before the end of a connection."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_the_data_are_what_was_sent() -> None:
    """And of the seconds, those after the one that is known."""
    async with served() as (server, sender):
        async for _ in sender.send_many([MESSAGE] * 20):
            pass
        status, _, body = await asked(server, get("/data?after=0"))
        told = json.loads(body)
        _, _, later = await asked(server, get(f"/data?after={told['seconds'][-1][0]}"))
    assert status == 200
    assert (told["recipients"], told["messages"]) == (20, {"accepted": 20})
    assert json.loads(later)["seconds"] == []


async def test_metrics_and_health_are_there() -> None:
    """For Prometheus, and for whoever restarts what does not answer."""
    async with served() as (server, sender):
        await sender.send(MESSAGE)
        _, headers, metrics = await asked(server, get("/metrics"))
        status, _, health = await asked(server, get("/health"))
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert 'seslimit_messages_total{outcome="accepted"} 1.0' in metrics
    assert (status, json.loads(health)["status"]) == (200, "ok")


@pytest.mark.parametrize("path", ["/", "/data", "/metrics", "/health", "/nothing"])
async def test_every_answer_has_the_headers_that_keep_a_browser_honest(path: str) -> None:
    """Source: OWASP Secure Headers Project, read 2026-11."""
    async with served() as (server, _):
        _, headers, _ = await asked(server, get(path))
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(get("/nothing"), 404, id="unknown path"),
        pytest.param(get("/../../etc/passwd"), 404, id="a way out"),
        pytest.param(get("//["), 400, id="no path"),
        pytest.param(get("/data?after=-1"), 200, id="a number that is none"),
        pytest.param(get("/data?after=%s" % ("9" * 5000)), 200, id="a number too long"),
        pytest.param(get("/", "POST"), 405, id="POST"),
        pytest.param(get("/", "OPTIONS"), 405, id="OPTIONS"),
        pytest.param(get("/", "HEAD"), 200, id="HEAD"),
        pytest.param("hello\r\n\r\n", 400, id="no HTTP"),
        pytest.param("GET / HTTP/1.1\r\n\r\n", 200, id="no host"),
        pytest.param(get("/", host="127.0.0.1"), 200, id="this machine"),
        pytest.param(get("/", host="[::1]:8080"), 200, id="this machine in IPv6"),
        pytest.param(get("/", host="evil.example"), 421, id="another name, as in DNS rebinding"),
        pytest.param(get("/", host="localhost@evil.example"), 421, id="a name with a user"),
        pytest.param(get("/", host="[localhost"), 421, id="no name"),
        pytest.param("GET / HTTP/1.1\r\nX: %s\r\n\r\n" % ("a" * 20_000), 431, id="too long"),
    ],
)
async def test_a_request_is_answered_by_what_it_is(request_: str, status: int) -> None:
    """Nothing changes anything, and nothing is an error of ours."""
    async with served() as (server, _):
        told, headers, body = await asked(server, request_)
    assert told == status
    assert headers["Connection"] == "close"
    assert bool(body) is not request_.startswith("HEAD")


async def test_beyond_loopback_any_name_may_be_asked_for() -> None:
    """A proxy in front of it passes on the name that it was asked for."""
    async with serve("0.0.0.0:0", Observer()) as server:
        status, _, _ = await asked(server, get("/", host="mail.example.org"))
    assert status == 200


async def test_an_address_that_is_taken_is_refused_in_a_sentence() -> None:
    """With the address."""
    async with served() as (server, _):
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{server.address.port} cannot be listened on"):
            async with serve(str(server.address.port), Observer()):
                pass


@pytest.mark.parametrize("text", ["8080", ":8080", "127.0.0.1:8080"])
def test_a_port_alone_is_for_this_machine(text: str) -> None:
    """Whoever wants more says so."""
    assert str(web.parse(text)) == "127.0.0.1:8080"


async def test_connections_that_say_nothing_keep_nobody_out_for_ever() -> None:
    """Beyond so many, further ones are closed at once; the end of the server ends them all."""
    async with served() as (server, _):
        port = server.address.port
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(web.CONNECTIONS)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await ending(reader) == b""
        writer.close()
    for reader, writer in silent:
        assert await ending(reader) == b""
        writer.close()


@on_virtual_time
async def test_a_connection_that_says_nothing_is_closed_in_time() -> None:
    """Ten seconds, for the head of a request and for taking the answer."""

    class Transport:
        aborted_at: float | None = None

        def abort(self) -> None:
            self.aborted_at = asyncio.get_running_loop().time()

    class Writer:
        transport = Transport()

    writer: Any = Writer()
    server = WebServer(web.parse("8080"), Observer(), None)
    began_at = asyncio.get_running_loop().time()
    server.connected(asyncio.StreamReader(), writer)
    await asyncio.sleep(60)
    assert writer.transport.aborted_at == pytest.approx(began_at + web.HEAD_TIME)


async def test_without_the_extra_the_metrics_name_it() -> None:
    """The page needs nothing."""
    told = WebServer(web.parse("8080"), Observer(), None).answer(get("/metrics").encode())
    assert told.startswith(b"HTTP/1.1 501 ")
    assert b"pip install 'seslimit[prometheus]'" in told


def test_send_serves_the_page_while_it_sends(tmp_path: Path) -> None:
    """It says where, on standard error where the results are JSON."""
    process = started("send", written_list(tmp_path, 60), "--to", "sim://?rate=20", "--web", "0")
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Live page: http://127.0.0.1:")
        address = line.split("http://")[1].strip().rstrip("/")
        found: list[dict[str, Any]] = []

        def counted() -> bool:
            found.append(_fetched(address, "/data"))
            return bool(found[-1]["recipients"] > 0)

        until(counted)
        assert found[-1]["total"] == 60
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def _fetched(address: str, path: str) -> dict[str, Any]:
    from http.client import HTTPConnection

    connection = HTTPConnection(address, timeout=10)
    connection.request("GET", path)
    told = connection.getresponse().read()
    connection.close()
    fetched: dict[str, Any] = json.loads(told)
    return fetched
