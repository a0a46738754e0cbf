"""
Servers that want a password without being who they should be: `python -m tests.faults.hostile_tls [--count N]`.

Eight set-ups, one of them in three forms, each met by `smtp://` (STARTTLS) and by `smtps://` (TLS from the first byte,
with the same deed in the way that this door allows), several attempts over each. Printed is whether it was refused, and
how many bytes of the login the server saw, in clear or inside TLS, or any log, repr or traceback with its variables
showed. Two honest servers show that what is looked for would be found. The exit status is 1 where one was not refused,
or a byte was seen.

Source:
    RFC 3207, 4, 4.1, 4.2 and 6.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import datetime
import io
import ipaddress
import logging
import os
import ssl
import sys
import tempfile
import traceback
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import cast

import attrs
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from seslimit import Message, Outcome, Receipt, TransportError, transport_from_url
from seslimit.transports.smtp import SMTPTransport

HOST = "127.0.0.1"
USER = "AKIAQ3CANARYUSER7KLM"
PASSWORD = "BCanary0Secret9Password7OfNobody5Zz1QwErTy"
MESSAGE = Message("sender@example.org", ["reader@example.com"], b"Subject: x\r\n\r\nHello.\r\n")
ATTEMPTS = 2
"""Over one transport: what was refused once must not be let in the next time."""

PATIENCE = 10.0
"""Seconds for a connection, where the server does not stall."""

PLAIN = f"\0{USER}\0{PASSWORD}"


def _base64(text: str) -> bytes:
    return base64.b64encode(text.encode())


SECRETS = (PASSWORD.encode(), _base64(PASSWORD), _base64(PLAIN), _base64(USER))
"""What nobody may see. Our own reprs name the user as it is, so that one knows whose login it is; servers may not."""

# Certificates


@cache
def authority() -> trustme.CA:
    """The authority that the client trusts."""
    return trustme.CA()


def _context(certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (certificate or authority().issue_cert(HOST)).configure_cert(context)
    return context


def self_signed() -> ssl.SSLContext:
    """A certificate for the right name that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(secret + certificate.public_bytes(serialization.Encoding.PEM))
        file.flush()
        context.load_cert_chain(file.name)
    return context


def unknown_authority() -> ssl.SSLContext:
    """The right name, by an authority that nobody knows."""
    return _context(trustme.CA().issue_cert(HOST))


def expired() -> ssl.SSLContext:
    """The right name and authority, until last year."""
    ended = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=365)
    return _context(authority().issue_cert(HOST, not_after=ended))


def wrong_name() -> ssl.SSLContext:
    """The right authority, for another host."""
    return _context(authority().issue_cert("email-smtp.eu-west-1.amazonaws.com"))


def old_tls() -> ssl.SSLContext:
    """The right certificate, over TLS 1.1 at most."""
    context = _context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


# Servers


@attrs.frozen
class SetUp:
    """
    One way to be hostile.

    Args:
        number: of the eight.
        name: what is done.
        context: the server's TLS.
        offered: whether there is TLS at all; without it the server goes on in clear.
        reply: to STARTTLS; where it is not 220, the server goes on in clear. On the other door it comes in its place.
        injected: bytes in clear, right behind the reply to STARTTLS, or in front of TLS.
        instead: bytes instead of a handshake, after which nothing more is said; None for a handshake.
        patience: seconds that the client waits for a connection.
    """

    number: int
    name: str
    context: Callable[[], ssl.SSLContext] = _context
    offered: bool = True
    reply: bytes = b"220 Ready to start TLS\r\n"
    injected: bytes = b""
    instead: bytes | None = None
    patience: float = PATIENCE


HONEST = SetUp(0, "honest: trusted authority, right name")
INJECTED = b"250-email-smtp.example.org\r\n250-AUTH PLAIN LOGIN\r\n250 Ok\r\n235 Authentication successful.\r\n"
SET_UPS = (
    SetUp(1, "self-signed certificate", self_signed),
    SetUp(2, "unknown authority", unknown_authority),
    SetUp(3, "expired certificate", expired),
    SetUp(4, "certificate of another host", wrong_name),
    SetUp(5, "TLS stripped: not offered, or plain SMTP", offered=False),
    SetUp(6, "454 instead of TLS, and on in clear", reply=b"454 TLS not available due to temporary reason\r\n"),
    SetUp(7, "replies injected in clear before TLS", injected=INJECTED),
    SetUp(8, "TLS 1.1 at most", old_tls),
    SetUp(8, "garbage for a handshake", instead=b"\x16\x03\x01\x00\x05hello 250 Ok\r\n"),
    SetUp(8, "handshake stalled", instead=b"", patience=0.5),
)


@attrs.define(eq=False)
class HostileServer:
    """
    An SMTP server that takes any login, and notes all that it is told, in clear or inside TLS.

    Args:
        set_up: how it is hostile.
        implicit: whether TLS begins with the first byte.
    """

    set_up: SetUp
    implicit: bool
    seen: bytearray = attrs.field(factory=bytearray)
    connections: int = 0
    accepted: int = 0
    port: int = 0
    _tasks: set[asyncio.Task[None]] = attrs.field(factory=set)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen, on a port that is then known."""
        server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            if self._tasks:
                # What the client wrote last is still to be read.
                await asyncio.wait(self._tasks, timeout=0.05)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            if self.implicit:
                await self._begin_implicit(reader, writer)
            writer.write(b"220 email-smtp.example.org ESMTP\r\n")
            await self._converse(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _begin_implicit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.set_up.injected)
        if not self.set_up.reply.startswith(b"220"):
            writer.write(self.set_up.reply)
        elif self.set_up.offered:
            await self._shake_hands(reader, writer)

    async def _shake_hands(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.drain()
        if self.set_up.instead is None:
            await writer.start_tls(self.set_up.context())
            return
        # In a segment of its own, so that it is no injection.
        await asyncio.sleep(0.05)
        writer.write(self.set_up.instead)
        while data := await reader.read(65536):
            self.seen += data
        raise EOFError

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        line = await reader.readline()
        self.seen += line
        return line

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        secure = self.implicit
        while line := await self._line(reader):
            verb = line[:4].upper()
            if verb == b"EHLO":
                offer = b"" if secure or not self.set_up.offered else b"250-STARTTLS\r\n"
                writer.write(b"250-email-smtp.example.org\r\n" + offer + b"250-AUTH PLAIN LOGIN\r\n250 Ok\r\n")
            elif verb == b"STAR":
                writer.write(self.set_up.reply + self.set_up.injected)
                if self.set_up.reply.startswith(b"220"):
                    secure = True
                    await self._shake_hands(reader, writer)
            elif verb == b"AUTH":
                writer.write(b"235 Authentication successful.\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                self.seen += await reader.readuntil(b"\r\n.\r\n")
                self.accepted += 1
                writer.write(b"250 Ok 0107017033dbb64d-000000\r\n")
            else:
                writer.write(b"221 Bye\r\n" if verb == b"QUIT" else b"250 Ok\r\n")


# What was seen


def login_bytes(seen: bytes) -> int:
    """Bytes of the login, in any form, and of lines that begin one."""
    secrets = sum(len(secret) * seen.count(secret) for secret in (*SECRETS, USER.encode()))
    return secrets + sum(len(line) for line in seen.splitlines() if line.upper().startswith(b"AUTH"))


def secret_bytes(shown: str) -> int:
    """Bytes of the login in what a log, a repr or a traceback shows."""
    return sum(len(secret) * shown.count(secret.decode()) for secret in SECRETS)


@attrs.frozen
class Row:
    """
    What came of one set-up on one door.

    Args:
        set_up: the set-up.
        scheme: of the URL.
        outcomes: of the attempts.
        stages: where they ended.
        words: of the last error.
        server: bytes of the login that the server saw.
        shown: bytes of the login in logs, reprs and tracebacks.
        accepted: messages that the server took.
        connections: that the server saw.
    """

    set_up: SetUp
    scheme: str
    outcomes: list[str]
    stages: list[str]
    words: str
    server: int
    shown: int
    accepted: int
    connections: int

    @property
    def refused(self) -> bool:
        """Whether every attempt was refused before the login, certainly unsent, and after it had met the server."""
        unsent = set(self.outcomes) <= {Outcome.NOT_SENT, Outcome.ACCOUNT_BLOCKED} and self.accepted == 0
        return unsent and self.connections > 0 and "auth" not in self.stages

    @property
    def kept(self) -> bool:
        """Whether the promises are."""
        if self.set_up is HONEST:
            return set(self.outcomes) == {"accepted"} and self.server > 0 and self.shown == 0
        return self.refused and self.server == self.shown == 0


async def attempt(transport: SMTPTransport) -> tuple[str, str, str, str]:
    """Outcome, stage and words of an attempt, and all that its error shows with the variables of its frames."""
    try:
        receipt: Receipt = await transport.send(MESSAGE)
    except TransportError as error:
        report = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        shown = f"{report}{error!r}{error}{vars(error)!r}{transport!r}"
        return str(error.outcome), str(error.stage), error.reply, shown
    return "accepted", "", receipt.message_id, f"{receipt!r}{transport!r}"


async def meet(set_up: SetUp, scheme: str, attempts: int = ATTEMPTS) -> Row:
    """Meet a server so many times over one transport."""
    server = HostileServer(set_up, implicit=scheme == "smtps")
    log, handler = _listening()
    try:
        async with server.running():
            url = f"{scheme}://{USER}:{PASSWORD}@{HOST}:{server.port}"
            made = cast("SMTPTransport", transport_from_url(url))
            transport = attrs.evolve(made, connect_timeout=set_up.patience)
            results = [await attempt(transport) for _ in range(attempts)]
            await transport.aclose()
    finally:
        _stop_listening(handler)
    outcomes, stages, words, shown = (list(column) for column in zip(*results, strict=True))
    seen = secret_bytes("".join(shown) + log.getvalue())
    at_server = login_bytes(bytes(server.seen))
    return Row(set_up, scheme, outcomes, stages, words[-1], at_server, seen, server.accepted, server.connections)


def _listening() -> tuple[io.StringIO, logging.Handler]:
    """All that is logged from now on, asyncio's own words too."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    return log, handler


def _stop_listening(handler: logging.Handler) -> None:
    root = logging.getLogger()
    root.removeHandler(handler)
    root.setLevel(logging.WARNING)


@contextlib.contextmanager
def trusting() -> Iterator[None]:
    """Let default TLS contexts trust our authority alone, as an administrator would."""
    before = os.environ.get("SSL_CERT_FILE")
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "authority.pem"
        authority().cert_pem.write_to_path(str(file))
        os.environ["SSL_CERT_FILE"] = str(file)
        try:
            yield
        finally:
            if before is None:
                del os.environ["SSL_CERT_FILE"]
            else:
                os.environ["SSL_CERT_FILE"] = before


async def meet_all(attempts: int) -> AsyncIterator[Row]:
    """All set-ups on both doors, and the honest servers at the end."""
    for set_up in (*SET_UPS, HONEST):
        for scheme in ("smtp", "smtps"):
            yield await meet(set_up, scheme, attempts)


async def run(attempts: int) -> int:
    """Print the table; how many rows break a promise."""
    rows = list[Row]()
    print(f"| | set-up | door | refused | outcome, stage | login seen by server | in logs and errors |\n{'|---' * 7}|")
    async for row in meet_all(attempts):
        rows.append(row)
        refused = "yes" if row.refused else "no"
        outcome = f"{row.outcomes[-1]} {row.stages[-1]}".strip()
        cells = (
            str(row.set_up.number) if row.kept else f"**✗ {row.set_up.number}**",
            row.set_up.name,
            f"{row.scheme}://",
            refused,
            outcome if row.kept else f"{outcome}: {row.words}",
            f"{row.server} bytes",
            f"{row.shown} bytes",
        )
        print(f"| {' | '.join(cells)} |", flush=True)
    hostile = [row for row in rows if row.set_up is not HONEST]
    numbers = {row.set_up.number for row in hostile}
    for scheme in ("smtp", "smtps"):
        through = {row.set_up.number for row in hostile if row.scheme == scheme and not row.refused}
        print(f"{scheme}://: refused {len(numbers - through)} of {len(numbers)}")
    print(f"bytes of the login seen by hostile servers: {sum(row.server for row in hostile)}")
    print(f"bytes of the login in logs, reprs and tracebacks: {sum(row.shown for row in rows)}")
    return sum(not row.kept for row in rows)


def main(arguments: list[str]) -> int:
    """Print the table; 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=ATTEMPTS, help="attempts of each set-up on each door")
    asked = parser.parse_args(arguments)
    with trusting():
        return int(asyncio.run(run(asked.count), debug=True) > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
