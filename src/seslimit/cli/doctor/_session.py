"""
`seslimit doctor`: an SMTP session up to the login, looked at from outside: greeting, TLS, what is offered.

Invariants: it never carries a user or a password, and no transaction is begun.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Sequence

import attrs

from ...transports.smtp import SMTPTransport
from .._ending import Status
from ._checks import Diagnosis
from ._reach import Place, Streams, milliseconds, secured

SLOW_GREETING = 2.0
"""Seconds: a greeting that takes longer is held back on purpose, or comes from far away."""

MOST_LINES = 100
"""Lines of one reply; a service that says more says no end."""


@attrs.frozen
class Words:
    """A reply: its code and the texts of its lines."""

    code: int
    lines: Sequence[str]

    def __str__(self) -> str:
        return f"{self.code} {self.lines[0]}".strip()


class NotSMTP(Exception):
    """What came is no reply."""


@attrs.frozen
class Talk:
    """
    A conversation in clear or over TLS.

    Args:
        place: with whom, and how long to wait for a reply.
        streams: the connection.
    """

    place: Place
    streams: Streams

    async def reply(self) -> Words:
        """
        Read one reply.

        Raises:
            NotSMTP: what came is no reply, or has no end.
            TimeoutError: it did not come in time.
        """
        lines: list[str] = []
        async with asyncio.timeout(self.place.patience):
            while len(lines) < MOST_LINES:
                line = await self._line()
                code, more, text = line[:3], line[3:4], line[4:]
                if not re.fullmatch(r"[2-5]\d\d", code) or more not in ("", " ", "-"):
                    raise NotSMTP(line[:60])
                lines.append(text)
                if more != "-":
                    return Words(int(code), lines)
        raise NotSMTP("a reply without an end")

    async def command(self, words: str) -> Words:
        """Say something, and read the reply."""
        self.streams[1].write(f"{words}\r\n".encode("ascii"))
        return await self.reply()

    async def _line(self) -> str:
        try:
            line = await self.streams[0].readline()
        except ValueError:
            raise NotSMTP("a line without an end") from None
        if not line:
            raise ConnectionResetError("the connection was closed")
        return line.decode("utf-8", "replace").rstrip("\r\n")


async def conversation(transport: SMTPTransport, talk: Talk, context: ssl.SSLContext, found: Diagnosis) -> Words | None:
    """
    What the service offers to those who log in; None where it did not come to that, which is told.

    Args:
        transport: how TLS begins.
        talk: the connection, about which nothing was read yet.
        context: verifies the certificate.
        found: takes the checks.

    Raises:
        NotSMTP: the other side speaks something else.
        OSError: the connection ended.
    """
    if transport.tls == "implicit":
        hint = "if the port begins without TLS, as 587 does, write smtp://"
        if not await secured(talk.place, talk.streams, context, found, trust="SSL_CERT_FILE", hint=hint):
            return None
    if not await _greeting(talk, found):
        return None
    offers = await _greeted(talk, found)
    if transport.tls == "starttls":
        if offers is None or not await _start_tls(talk, offers, context, found):
            return None
        offers = await _greeted(talk, found)
    elif transport.tls == "none":
        found.ok("tls", "none, which is accepted for this machine only")
    if offers is not None:
        _offers(offers, found)
    return offers


async def _greeted(talk: Talk, found: Diagnosis) -> Words | None:
    """What the service answers to our greeting; None where it refuses it."""
    offers = await talk.command("EHLO [127.0.0.1]")
    if offers.code == 250:
        return offers
    if offers.code >= 500:
        remedy, status = "check host and port; does something on the way answer in its place?", Status.WRONG_USAGE
    else:
        remedy, status = "try again later", Status.REMAINING
    found.wrong("session", f"the service refused EHLO ({found.quote(offers)}): {remedy}", status)
    return None


async def _greeting(talk: Talk, found: Diagnosis) -> bool:
    began_at = asyncio.get_running_loop().time()
    greeting = await talk.reply()
    took = asyncio.get_running_loop().time() - began_at
    words = f"after {milliseconds(took)}: {found.quote(greeting)}"
    if greeting.code != 220:
        found.wrong(
            "greeting",
            f"the service takes no connection now ({found.quote(greeting)}): {_turned_away(greeting)}",
            Status.REMAINING,
        )
        return False
    if took < SLOW_GREETING:
        found.ok("greeting", words)
    else:
        found.warn("greeting", f"slow, {words}; every new connection waits as long")
    return True


def _turned_away(greeting: Words) -> str:
    if "connections" in str(greeting).lower():
        return "others use this account; wait, or lower their max_connections"
    return "try again later"


async def _start_tls(talk: Talk, offers: Words, context: ssl.SSLContext, found: Diagnosis) -> bool:
    if not any(line.upper().startswith("STARTTLS") for line in offers.lines):
        found.wrong(
            "tls",
            f"{talk.place} offers no STARTTLS, so nothing would be sent: does something on the way (an antivirus, a "
            "firewall, a fake server) remove it? Try smtps:// with port 465",
        )
        return False
    reply = await talk.command("STARTTLS")
    if reply.code != 220:
        found.wrong(
            "tls",
            f"STARTTLS was refused ({found.quote(reply)}): try again, or smtps:// with port 465",
            Status.REMAINING,
        )
        return False
    return await secured(talk.place, talk.streams, context, found, trust="SSL_CERT_FILE")


def _offers(offers: Words, found: Diagnosis) -> None:
    named = {line.split()[0].upper(): line.split()[1:] for line in offers.lines[1:] if line.split()}
    size = next((int(number) for number in named.get("SIZE", []) if number.isdecimal()), 0)
    told = (
        f"messages of at most {size / 2**20:,.0f} MiB (SIZE)"
        if size
        else "no SIZE, so how large a message may be is not told"
    )
    methods = named.get("AUTH", [])
    if not {"PLAIN", "LOGIN"} & {method.upper() for method in methods}:
        found.warn("offers", f"{told}; no login by password (AUTH PLAIN or LOGIN): is it the SMTP endpoint of SES?")
    else:
        found.ok("offers", f"{told}; login by {', '.join(methods)}")
