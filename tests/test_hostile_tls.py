"""Servers that want the login without being who they should be get no byte of it, nor does any log or traceback."""

from __future__ import annotations

import asyncio
import re
import smtplib
import ssl
import warnings
from collections.abc import Iterator

import pytest

from tests.faults.hostile_tls import (
    HONEST,
    HOST,
    PASSWORD,
    SET_UPS,
    USER,
    HostileServer,
    Row,
    SetUp,
    login_bytes,
    meet,
    trusting,
)

REASONS = {
    "self-signed certificate": "self-signed certificate",
    "unknown authority": "unable to get local issuer certificate",
    "expired certificate": "certificate has expired",
    "certificate of another host": "certificate is not valid for",
    "TLS stripped: not offered, or plain SMTP": "offers no STARTTLS",
    "454 instead of TLS, and on in clear": "454 TLS not available",
    "replies injected in clear before TLS": "nobody asked for|between STARTTLS and TLS",
    "TLS 1.1 at most": "unsupported protocol|protocol version|handshake failure|ConnectionReset|closed|lost",
    "garbage for a handshake": "(?i)ssl|tls|closed|lost",
    "handshake stalled": "timed out",
}
"""What the error must say on the STARTTLS door, so that each is refused for what it is."""


@pytest.fixture(autouse=True)
def _trusting() -> Iterator[None]:
    """The trusted authority, for default contexts."""
    with trusting():
        yield


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
@pytest.mark.parametrize("set_up", SET_UPS, ids=[set_up.name for set_up in SET_UPS])
async def test_refused(set_up: SetUp, scheme: str) -> None:
    """Refused every time, nothing sent, and not one byte of the login seen by the server or shown by us."""
    row = await meet(set_up, scheme)
    assert (row.refused, row.server, row.shown) == (True, 0, 0)
    if scheme == "smtp":
        assert re.search(REASONS[set_up.name], row.words), row.words


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_honest(scheme: str) -> None:
    """An honest server gets the login and the message, and what is looked for is found with it."""
    row: Row = await meet(HONEST, scheme)
    assert (row.outcomes, row.accepted) == (["accepted", "accepted"], 2)
    assert row.server > 0
    assert row.shown == 0


def log_in_to_anybody(port: int) -> None:
    """Log in as a client does that verifies nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with smtplib.SMTP(HOST, port, timeout=5) as client:
        client.starttls(context=context)
        client.login(USER, PASSWORD)


TRAPS = [set_up for set_up in SET_UPS if set_up.instead is None and set_up.context is not HONEST.context]


@pytest.mark.parametrize("set_up", TRAPS, ids=[set_up.name for set_up in TRAPS])
async def test_is_a_trap(set_up: SetUp) -> None:
    """A client that verifies nothing logs in where a certificate or TLS is bad, so it is that which is refused."""
    server = HostileServer(set_up, implicit=False)
    async with server.running():
        await asyncio.to_thread(log_in_to_anybody, server.port)
    assert login_bytes(bytes(server.seen)) > 0
