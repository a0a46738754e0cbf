"""
Whether a host resolves, connects and proves who it is; what to do where it does not.

Nothing here knows what is spoken afterwards.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping

import attrs

from ..._model.errors import printable
from .._ending import Status
from ._checks import Diagnosis

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_CLOCK = "or this machine's clock is wrong"
_INTERCEPTED = (
    "its issuer is not trusted here: does a proxy or a virus scanner on the way open TLS? Then add its authority to "
    "the file that {trust} names"
)
_CERTIFICATE: Mapping[int, str] = {
    9: f"it is not valid yet, {_CLOCK}",
    10: f"it has expired, {_CLOCK}",
    18: _INTERCEPTED,
    19: _INTERCEPTED,
    20: _INTERCEPTED,
    21: _INTERCEPTED,
    62: "it is for another host: check the host's name",
    64: "it is for another host: write the host's name, not its address",
}
"""What is wrong with a certificate, by the verification's error code. Source: OpenSSL, x509_vfy.h."""


@attrs.frozen
class Place:
    """
    Where to connect to, and how long to wait for each step.

    Args:
        host: name or address.
        port: its port.
        patience: seconds for one step.
    """

    host: str
    port: int
    patience: float

    def __str__(self) -> str:
        return printable(f"{self.host}:{self.port}")


async def resolves(place: Place, found: Diagnosis, remedy: str, *, mistyped: bool = False) -> bool:
    """
    Whether the host's name means an address; says so where it does not.

    Args:
        place: where.
        found: takes the check.
        remedy: what to do where it does not.
        mistyped: whether the name is known to be none of the service's.
    """
    try:
        async with asyncio.timeout(place.patience):
            await asyncio.get_running_loop().getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        words = reason(error)
        status = Status.WRONG_USAGE if mistyped or isinstance(error, UnicodeError) else Status.REMAINING
        found.wrong("endpoint", f"{printable(place.host)} does not resolve ({words}): {remedy}", status)
        return False
    return True


async def connected(place: Place, found: Diagnosis, remedy: str) -> Streams | None:
    """
    A connection without TLS; None, and a check that says so, where there is none.

    Args:
        place: where.
        found: takes the check.
        remedy: what to do where it cannot be made.
    """
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    try:
        async with asyncio.timeout(place.patience):
            streams = await asyncio.open_connection(place.host, place.port)
    except OSError as error:
        found.wrong("endpoint", f"no connection to {place} ({reason(error)}): {remedy}", Status.REMAINING)
        return None
    found.ok("endpoint", f"{place} resolves, connected in {milliseconds(loop.time() - began_at)}")
    return streams


async def secured(
    place: Place, streams: Streams, context: ssl.SSLContext, found: Diagnosis, *, trust: str, hint: str = ""
) -> bool:
    """
    Whether the connection goes over to TLS and the certificate verifies; says so either way.

    Args:
        place: the host that the certificate must be for.
        streams: the connection.
        context: verifies.
        found: takes the check.
        trust: environment variable that names a file of trusted authorities.
        hint: what to do where the other side does not speak TLS.
    """
    try:
        async with asyncio.timeout(place.patience):
            await streams[1].start_tls(context, server_hostname=place.host, ssl_handshake_timeout=place.patience)
    except OSError as error:
        not_secured(place, error, found, trust=trust, hint=hint)
        return False
    verified(streams[1].get_extra_info("ssl_object"), found)
    return True


def verified(tls: ssl.SSLObject, found: Diagnosis) -> None:
    """Note that the connection went over to TLS."""
    expiry = (tls.getpeercert() or {}).get("notAfter", "an unknown day")
    found.ok("tls", f"{tls.version()}, the certificate verifies (valid until {expiry})")


def not_secured(place: Place, error: OSError, found: Diagnosis, *, trust: str, hint: str = "") -> None:
    """Note that the connection did not go over to TLS; as for `secured`."""
    if isinstance(error, ssl.SSLCertVerificationError):
        about = _CERTIFICATE.get(error.verify_code, error.verify_message).format(trust=trust)
        found.wrong("tls", f"the certificate of {place} was refused: {about}")
    elif isinstance(error, ssl.SSLError):
        found.wrong("tls", f"no TLS 1.2 or newer with {place} ({reason(error)}){hint and ': '}{hint}")
    else:
        words = f"the connection to {place} ended during the TLS handshake ({reason(error)})"
        found.wrong("tls", f"{words}: try again, and look for a firewall on the way", Status.REMAINING)


def milliseconds(seconds: float) -> str:
    """A short time for people."""
    return f"{max(1, round(seconds * 1000)):,} ms" if seconds < 1 else f"{seconds:.1f} s"


def reason(error: Exception) -> str:
    """Why something failed, in the system's words."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "handshake failed").lower().replace("_", " ")
    if isinstance(error, TimeoutError) and not error.strerror:
        return "no answer in time"
    if isinstance(error, UnicodeError):
        return "it is no host name"
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)  # asyncio puts its own words, with the address, in the place of the system's
    return printable(str(getattr(error, "strerror", None) or error or type(error).__name__))
