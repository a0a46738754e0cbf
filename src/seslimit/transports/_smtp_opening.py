"""
From nothing to a connection that takes messages: connect, TLS, login.

Everything that goes wrong here is about the endpoint or the account, never about a message.

Invariants: no password is sent without TLS off this machine; a connection that fails at any step is dropped; no error
raised here leads, through its causes, to a frame that holds the password.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import aiosmtplib

from .._errors import TransportError
from .._outcome import Door, Outcome, Reply, Stage
from ._refusal import refusal, words_of
from ._smtp_options import SMTPOptions


async def open_connection(options: SMTPOptions, tls_context: ssl.SSLContext) -> aiosmtplib.SMTP:
    """
    A connection that is logged in.

    Args:
        options: where to and how.
        tls_context: verifies the service's certificate.

    Raises:
        TransportError: there is no connection, no TLS or no login.

    Cancelling:
        the connection is dropped.
    """
    opening = _Opening(options, tls_context)
    failure: TransportError | None = None
    cause: Exception | None = None
    try:
        async with asyncio.timeout(options.connect_timeout):
            return await opening.run()
    except TransportError as error:
        failure = error
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        failure = opening.failure(error)
        # The frames below a login hold the password: they end here.
        cause = None if opening.stage is Stage.AUTH else error
    finally:
        if not opening.done:
            opening.abort()
    raise failure from cause


class _Opening:
    """The steps, and which of them is under way."""

    def __init__(self, options: SMTPOptions, tls_context: ssl.SSLContext) -> None:
        self._options = options
        self._tls_context = tls_context
        self._place = f"{options.host}:{options.port}"
        self._smtp = aiosmtplib.SMTP(
            hostname=options.host,
            port=options.port,
            use_tls=options.tls == "implicit",
            start_tls=False,
            tls_context=tls_context,
            timeout=None,
            local_hostname="localhost",  # a placeholder: without one, aiosmtplib asks the resolver for ours
        )
        self._transport: asyncio.BaseTransport | None = None
        self.stage = Stage.CONNECT
        self.done = False

    async def run(self) -> aiosmtplib.SMTP:
        await self._smtp.connect()
        self._transport = self._smtp.transport
        await self._greet()
        if self._options.tls == "starttls":
            await self._start_tls()
            await self._greet()
        if self._options.user is not None and self._options.password is not None:
            await self._log_in(self._options.user, self._options.password.reveal)
        self.done = True
        return self._smtp

    def abort(self) -> None:
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()

    async def _greet(self) -> None:
        self.stage = Stage.EHLO
        await self._smtp.ehlo(hostname=_address_literal(self._smtp.get_transport_info("sockname")))

    async def _start_tls(self) -> None:
        self.stage = Stage.STARTTLS
        if not self._smtp.supports_extension("starttls"):
            raise self._blocked("offers no STARTTLS; no password was sent. Does something on the way remove it?")
        await self._smtp.starttls(tls_context=self._tls_context, server_hostname=self._options.host)
        self._transport = self._smtp.transport

    async def _log_in(self, user: str, reveal: Callable[[], str]) -> None:
        self.stage = Stage.AUTH
        offered = self._smtp.server_auth_methods
        if "plain" in offered:
            await self._smtp.auth_plain(user, reveal())
        elif "login" in offered:
            await self._smtp.auth_login(user, reveal())
        else:
            raise self._blocked("offers no login by password (AUTH PLAIN or LOGIN): is it the SMTP endpoint of SES?")

    def _blocked(self, words: str) -> TransportError:
        return TransportError(Outcome.ACCOUNT_BLOCKED, f"{self._place} {words}", stage=self.stage)

    def failure(self, error: Exception) -> TransportError:
        """What an error at the step under way means."""
        if isinstance(error, aiosmtplib.SMTPResponseException) and 400 <= error.code <= 599:
            return refusal(Reply(Door.SMTP, self.stage, str(error.code), error.message), fresh=True)
        return TransportError(
            Outcome.NOT_SENT,
            f"No connection to {self._place}, failed at {self.stage.upper()}: {words_of(error)}",
            stage=self.stage,
            blocks_endpoint=True,
        )


def _address_literal(sockname: object) -> str:
    """What to greet with: our own address, since this machine's name is nobody's business and may not resolve."""
    host = str(sockname[0]) if isinstance(sockname, tuple) and sockname else "127.0.0.1"
    return f"[IPv6:{host.partition('%')[0]}]" if ":" in host else f"[{host}]"
