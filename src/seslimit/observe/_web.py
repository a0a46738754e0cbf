"""
The web server beside a program that sends: a live page, metrics for Prometheus, and its health.

HTTP/1.1 in its smallest form, on asyncio alone, so that it costs no dependency. It must not know what is watched, nor
change anything of it.

Invariants: GET and HEAD alone; a request has a head of a few kB that comes in time, and no body that is read; each
connection has one answer; there are at most `CONNECTIONS` of them; a page of another site cannot read it through a
browser of this machine.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import attrs

from ..companion._address import Address
from ..companion._listening import not_listening
from ._observer import Observer

logger = logging.getLogger("seslimit")

CONNECTIONS = 64
"""Connections at the same time; further ones are closed at once."""

MAX_HEAD = 16_384
"""Bytes of a request's head: a browser's cookies for other ports of this host are among them."""

HEAD_TIME = 10.0
"""Seconds in which a request's head has to arrive, and its answer has to be taken."""

EVERY = 1.0
"""Seconds between two looks at what is watched."""

PATHS: Final = "/ /data /metrics /health"

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"

_FIXED: Final = {
    "Cache-Control": "no-store",
    "Connection": "close",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "seslimit",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""On every answer. Source: OWASP Secure Headers Project, read 2026-11."""

_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@attrs.frozen
class Answer:
    """What a request is told."""

    status: HTTPStatus
    body: bytes
    kind: str = TEXT
    headers: Mapping[str, str] = attrs.field(factory=dict)

    def written(self, *, with_body: bool) -> bytes:
        """As it goes over the wire."""
        headers = {
            "Content-Type": self.kind,
            "Content-Length": str(len(self.body)),
            "Content-Security-Policy": _NOTHING,
            **_FIXED,
            **self.headers,
        }
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}", *map(": ".join, headers.items()), "", ""]
        return "\r\n".join(lines).encode("latin-1") + (self.body if with_body else b"")


def _said(status: HTTPStatus, sentence: str, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, f"{sentence}\n".encode(), headers=headers or {})


@cache
def page() -> tuple[bytes, str]:
    """The live page, and the policy by which a browser runs what is in it and nothing else."""
    html = files("seslimit.observe").joinpath("page.html").read_bytes()
    script, style = (_hashes(html, name) for name in (b"script", b"style"))
    return html, (
        f"{_NOTHING}; connect-src 'self'; img-src data:; script-src {script}; style-src {style}; "
        "require-trusted-types-for 'script'"
    )


def _hashes(html: bytes, name: bytes) -> str:
    found = [each.partition(b"</%b>" % name)[0] for each in html.split(b"<%b>" % name)[1:]]
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(each).digest()).decode()}'" for each in found)


@attrs.define(eq=False)
class WebServer:
    """
    A running web server; `serve` makes it.

    Args:
        address: where it listens, the port that was taken included.
    """

    address: Address
    _observer: Observer
    _metrics: Callable[[], tuple[bytes, str]] | None
    _conversations: set[asyncio.Task[None]] = attrs.field(factory=set, init=False)

    @property
    def url(self) -> str:
        """The address of the live page."""
        return f"http://{self.address}/"

    def answer(self, head: bytes) -> bytes:
        """The answer to a request with that head."""
        line, _, rest = head.decode("latin-1").partition("\r\n")
        method, _, target = line.removesuffix(" HTTP/1.1").removesuffix(" HTTP/1.0").partition(" ")
        if target == line or not target.startswith("/"):
            return _said(HTTPStatus.BAD_REQUEST, "This is no request of HTTP/1.1.").written(with_body=True)
        if method not in ("GET", "HEAD"):
            refused = _said(HTTPStatus.METHOD_NOT_ALLOWED, "Use GET: nothing is changed here.", {"Allow": "GET, HEAD"})
            return refused.written(with_body=True)
        fields = [each.partition(":") for each in rest.split("\n")]
        hosts = [value.strip() for name, _, value in fields if name.lower() == "host"]
        if self.address.is_loopback and not all(map(_is_this_machine, hosts)):
            # A page of another site can give its own name this address, and would read what is answered.
            refused = _said(HTTPStatus.MISDIRECTED_REQUEST, "This is for this machine: ask for it as localhost.")
            return refused.written(with_body=method == "GET")
        try:
            found = self._found(target)
        except ValueError:  # "//[" and its like
            found = _said(HTTPStatus.BAD_REQUEST, "This is no path.")
        return found.written(with_body=method == "GET")

    def _found(self, target: str) -> Answer:
        split = urlsplit(target)
        match split.path:
            case "/":
                html, policy = page()
                return Answer(HTTPStatus.OK, html, "text/html; charset=utf-8", {"Content-Security-Policy": policy})
            case "/data":
                after = parse_qs(split.query).get("after", ["0"])[-1]
                number = int(after) if after.isascii() and after.isdigit() and len(after) < 16 else 0
                return _json(HTTPStatus.OK, self._observer.figures(number, asyncio.get_running_loop().time()))
            case "/health":
                well, said = self._observer.health()
                return _json(HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE, said)
            case "/metrics" if self._metrics is not None:
                body, kind = self._metrics()
                return Answer(HTTPStatus.OK, body, kind)
            case "/metrics":
                return _said(
                    HTTPStatus.NOT_IMPLEMENTED, "Metrics need one more package: pip install 'seslimit[prometheus]'."
                )
        return _said(HTTPStatus.NOT_FOUND, f"There is nothing at this path; there is {PATHS}.")

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        if len(self._conversations) >= CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._converse(reader, writer))
        self._conversations.add(task)
        task.add_done_callback(self._conversations.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_TIME):
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                except asyncio.LimitOverrunError:
                    too_long = _said(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"At most {MAX_HEAD:,} bytes.")
                    writer.write(too_long.written(with_body=True))
                else:
                    writer.write(self.answer(head))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, EOFError, TimeoutError):
            pass  # whoever asked has gone, or does not read
        finally:
            writer.transport.abort()

    async def watch(self) -> None:
        """Look at what is watched once a second, until cancelled."""
        while True:
            self._observer.note()
            await asyncio.sleep(EVERY)

    async def end(self) -> None:
        """Break off every conversation."""
        for task in self._conversations:
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)


def parse(web: str) -> Address:
    """
    Where a web server listens: "HOST:PORT", or a port alone, which is of this machine's loopback.

    Raises:
        ConfigurationError: it is neither.
    """
    bare = web.removeprefix(":")
    return Address.parse(f"127.0.0.1:{bare}" if bare.isascii() and bare.isdigit() else web)


@asynccontextmanager
async def serve(web: str, observer: Observer) -> AsyncIterator[WebServer]:
    """
    Serve the live page, the metrics and the health of what is watched, for as long as the block lasts.

    Everybody who reaches the address may read, and nobody can change anything. No address and no content of a message
    is in it. Beyond loopback, put a proxy with HTTPS and a login in front of it.

    Args:
        web: "HOST:PORT", or a port alone for 127.0.0.1; port 0 takes a free one, which is then in `address`.
        observer: what is shown.

    Raises:
        ConfigurationError: the address is none, or cannot be had.
    """
    address = parse(web)
    server = WebServer(address, observer, _exposition(observer))
    try:
        listening = await asyncio.start_server(server.connected, address.host, address.port, limit=MAX_HEAD, backlog=64)
    except OSError as error:
        raise not_listening(address, error) from None
    server.address = attrs.evolve(address, port=listening.sockets[0].getsockname()[1])
    watching = asyncio.create_task(server.watch())
    try:
        yield server
    finally:
        listening.close()
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await server.end()


def _exposition(observer: Observer) -> Callable[[], tuple[bytes, str]] | None:
    """What `/metrics` answers; None where the extra is not installed."""
    try:
        from ._prometheus import PrometheusHook
    except ModuleNotFoundError:
        return None
    return PrometheusHook(observer=observer).exposition


def _is_this_machine(host: str) -> bool:
    with suppress(ValueError):
        name = urlsplit(f"//{host}").hostname
        return name is not None and "@" not in host and Address(name, 0).is_loopback
    return False


def _json(status: HTTPStatus, value: Mapping[str, Any]) -> Answer:
    return Answer(status, json.dumps(value, separators=(",", ":"), allow_nan=False).encode(), JSON)
