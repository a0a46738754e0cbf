"""
From nothing to a connection that takes messages: connect, TLS, login.

Everything that goes wrong here is about the endpoint or the account, never about a message.

Invariants: no password is sent without TLS off this machine; a connection that fails at any step, or on which anything
came that nobody asked for, is dropped; no error raised here leads, through its causes, to a frame that holds the
password.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping

import attrs

from ..._model.errors import ConfigurationError, TransportError, printable
from ..._model.outcome import Door, Outcome, Reply, Stage
from .._refusal import reason_of, refusal
from .._secret import encoded
from ._options import SMTPOptions, plain, untrusting_context
from ._regions import misspelt_region
from ._replies import SMTPReplies
from ._reply import BareLineFeed, BrokenConversation, SMTPReply

PROBE = 5.0
"""Seconds for a TLS handshake with a port that did not greet."""

_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"})
"""OpenSSL's reasons for what is no TLS record, by version."""


@attrs.frozen
class SMTPConnection:
    """
    A connection that is open.

    Args:
        transport: what is written to.
        replies: what is read from.
        offers: what the service offered last, keyword → parameters.
    """

    transport: asyncio.Transport
    replies: SMTPReplies
    offers: Mapping[str, str]


@attrs.frozen
class Step:
    """
    What an opening has just come to, for whoever watches it.

    Args:
        stage: the step.
        reply: what the service said, whether it goes on from there or not; None where nothing was to be said.
        tls: the session that the connection went over to; None where it did not just do so.
    """

    stage: Stage
    reply: SMTPReply | None = None
    tls: ssl.SSLObject | None = None


def _unwatched(step: Step) -> None:
    """Watch nothing."""


async def open_connection(
    options: SMTPOptions, tls_context: ssl.SSLContext, told: Callable[[Step], object] = _unwatched
) -> SMTPConnection:
    """
    A connection that is logged in.

    Args:
        options: where to and how.
        tls_context: verifies the service's certificate.
        told: called with each step.

    Raises:
        TransportError: there is no connection, no TLS or no login.
        ConfigurationError: the host is SES's in a region that there is not.

    Cancelling:
        the connection is dropped.
    """
    opening = _Opening(options, tls_context, told)
    failure: TransportError | None = None
    cause: Exception | None = None
    try:
        async with asyncio.timeout(options.connect_timeout):
            return await opening.run()
    except TransportError as error:
        failure = error
    except BareLineFeed:
        failure = opening.blocked("ends its lines with a bare LF, not with CRLF as RFC 5321 (2.3.8) has it")
    except (OSError, ValueError) as error:
        region = misspelt_region(options.host) if isinstance(error, socket.gaierror) else None
        if region is not None:
            raise ConfigurationError(
                f"there is no SES in the region {printable(region)}: write for example "
                "email-smtp.eu-west-1.amazonaws.com."
            ) from error
        if opening.was_not_greeted and isinstance(error, TimeoutError) and await _begins_with_tls(options):
            failure = opening.blocked("begins with TLS, without STARTTLS: write smtps:// for smtp://")
        else:
            failure = opening.failure(error)
        # The frames below a login hold the password: they end here.
        cause = None if opening.stage is Stage.AUTH else error
    finally:
        if not opening.done:
            opening.abort()
    raise failure from cause


async def _begins_with_tls(options: SMTPOptions) -> bool:
    """Whether a port that says nothing waits for TLS: it then shows a certificate, which nobody trusts here."""
    try:
        async with asyncio.timeout(min(PROBE, options.connect_timeout)):
            await asyncio.get_running_loop().create_connection(
                asyncio.Protocol, options.host, options.port, ssl=untrusting_context(), server_hostname=options.host
            )
    except ssl.SSLCertVerificationError:
        return True
    except (OSError, ValueError):
        pass
    return False


class _Opening:
    """The steps, and which of them is under way."""

    def __init__(self, options: SMTPOptions, tls_context: ssl.SSLContext, told: Callable[[Step], object]) -> None:
        self._options = options
        self._tls_context = tls_context
        self._told = told
        self._place = f"{options.host}:{options.port}"
        self._transport: asyncio.Transport | None = None
        self._replies = SMTPReplies(options.redaction())
        self.stage = Stage.CONNECT
        self.done = False

    @property
    def was_not_greeted(self) -> bool:
        """Whether the connection stands, and the service has said nothing."""
        waits = self.stage is Stage.CONNECT and self._options.tls == "starttls"
        return waits and self._transport is not None and self._replies.in_step

    async def run(self) -> SMTPConnection:
        greeting = self._replies.expect()
        transport = await self._connect()
        self._check(await greeting, 220)
        offers = await self._greet(transport)
        if self._options.tls == "starttls":
            transport = await self._start_tls(transport, offers)
            offers = await self._greet(transport)
        if self._options.user is not None and self._options.password is not None:
            self._check(await self._log_in(offers, self._options.user, self._options.password.reveal), 235)
        self.done = True
        return SMTPConnection(transport, self._replies, offers)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def _connect(self) -> asyncio.Transport:
        implicit = self._options.tls == "implicit"
        self._transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: self._replies,
            self._options.host,
            self._options.port,
            ssl=self._tls_context if implicit else None,
            server_hostname=self._options.host if implicit else None,
        )
        self._told(Step(self.stage, tls=self._transport.get_extra_info("ssl_object")))
        return self._transport

    async def _command(self, line: bytes) -> SMTPReply:
        reply = self._replies.expect()
        if self._transport is not None and not reply.done():
            self._transport.write(line + b"\r\n")
        return await reply

    def _check(self, reply: SMTPReply, wanted: int) -> None:
        self._told(Step(self.stage, reply))
        if 400 <= reply.code <= 599:
            raise refusal(Reply(Door.SMTP, self.stage, str(reply.code), reply.message), fresh=True)
        if reply.code != wanted:
            raise BrokenConversation(f"{reply.code} {reply.message}")

    async def _greet(self, transport: asyncio.Transport) -> dict[str, str]:
        """Greet, and learn what the service offers: keyword → parameters."""
        self.stage = Stage.EHLO
        name = _address_literal(transport.get_extra_info("sockname"))
        reply = await self._command(b"EHLO " + name.encode("ascii"))
        self._check(reply, 250)
        lines = (line.upper().replace("=", " ").partition(" ") for line in reply.message.split("\n")[1:])
        return {keyword: parameters for keyword, _, parameters in lines}

    async def _start_tls(self, transport: asyncio.Transport, offers: dict[str, str]) -> asyncio.Transport:
        self.stage = Stage.STARTTLS
        if "STARTTLS" not in offers:
            raise self.blocked("offers no STARTTLS; no password was sent. Does something on the way remove it?")
        self._check(await self._command(b"STARTTLS"), 220)
        if not self._replies.in_step:
            # Whoever put it there without TLS wants it read as if it came with TLS. Source: RFC 3207, 4.2 and 6.
            raise BrokenConversation("Something came between STARTTLS and TLS.")
        encrypted = await asyncio.get_running_loop().start_tls(
            transport, self._replies, self._tls_context, server_hostname=self._options.host
        )
        if encrypted is None:
            raise BrokenConversation("The service closed the connection.")
        self._transport = encrypted
        self._told(Step(self.stage, tls=encrypted.get_extra_info("ssl_object")))
        return encrypted

    async def _log_in(self, offers: dict[str, str], user: str, reveal: Callable[[], str]) -> SMTPReply:
        """Log in, and return the last reply: it is judged where no frame holds the password."""
        self.stage = Stage.AUTH
        offered = offers.get("AUTH", "").split()
        if "PLAIN" in offered:
            return await self._command(b"AUTH PLAIN " + encoded(plain(user, reveal())).encode())
        if "LOGIN" not in offered:
            raise self.blocked("offers no login by password (AUTH PLAIN or LOGIN): is it the SMTP endpoint of SES?")
        reply = await self._command(b"AUTH LOGIN " + encoded(user).encode())
        return await self._command(encoded(reveal()).encode()) if reply.code == 334 else reply

    def blocked(self, words: str) -> TransportError:
        """What answers is not what was meant, whatever the message."""
        return TransportError(Outcome.ACCOUNT_BLOCKED, f"{self._place} {words}", stage=self.stage)

    def failure(self, error: Exception) -> TransportError:
        """What an error at the step under way means."""
        return TransportError(
            Outcome.NOT_SENT,
            f"{self._place} failed at {self.stage.upper()}: {reason_of(error)}{self._hint(error)}",
            stage=self.stage,
            blocks_endpoint=True,
        )

    def _hint(self, error: Exception) -> str:
        """What STARTTLS looks like to who begins with TLS."""
        if self._options.tls == "implicit" and isinstance(error, ssl.SSLError) and error.reason in _NO_TLS:
            return "; does this port begin without TLS? Then write smtp://"
        return ""


def _address_literal(sockname: object) -> str:
    """What to greet with: our own address, since this machine's name is nobody's business and may not resolve."""
    host = str(sockname[0]) if isinstance(sockname, tuple) and sockname else "127.0.0.1"
    return f"[IPv6:{host.partition('%')[0]}]" if ":" in host else f"[{host}]"
