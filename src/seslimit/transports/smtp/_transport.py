"""
The SMTP door: one message, once, over a pooled connection to SES's SMTP endpoint.

Decides nothing about replies (`_meaning`), phases (`_session`) or connections (`_pool`): it puts them
together.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from typing import cast

import attrs

from ..._model.errors import ConfigurationError, TransportError
from ..._model.message import Message
from ..._model.outcome import Outcome
from ..._model.report import Receipt
from .._content import prepared
from .._labels import header_lines, own_labels, tags_from
from .._pool import Pool, PoolOptions
from .._secret import secret_from
from .._url import TransportURL
from ._opening import open_connection
from ._options import TLS, SMTPOptions, Trust
from ._session import SMTPSession

__all__ = ["SMTPTransport", "from_url"]

_log = logging.getLogger("seslimit")

PIECE = 1024 * 1024
"""Bytes whose dots are stuffed at once: about a millisecond."""

IMPLICIT_TLS = frozenset({465, 2465})
"""Ports on which TLS begins with the first byte, and the greeting of one who waits for it never comes.

Source: RFC 8314, 3.3; Amazon SES Developer Guide, "Connecting to an SMTP endpoint", read 2026-11."""

USER = "SESLIMIT_SMTP_USER"
"""Environment variable with the SMTP user, for URLs without one."""

PASSWORD = "SESLIMIT_SMTP_PASSWORD"  # noqa: S105 - a variable's name
"""Environment variable with the SMTP password, for URLs without one."""


def _pool_of(options: SMTPOptions) -> Pool[SMTPSession]:
    tls = Trust(options)

    async def opening() -> SMTPSession:
        return SMTPSession(options, await open_connection(options, await tls.context()))

    limits = PoolOptions(options.max_connections, options.idle_timeout, options.max_messages_per_connection)
    return Pool(opening, limits)


def _labels_of(options: SMTPOptions) -> Mapping[bytes, bytes]:
    return header_lines(options.configuration_set, options.tenant, options.tags)


@attrs.frozen(eq=False)
class SMTPTransport(SMTPOptions):
    """
    Hands messages to SES's SMTP endpoint.

    TLS is required, verified, and never given up; connections are opened as messages need them and closed before the
    service does it.

    Args:
        host: the endpoint, for example "email-smtp.eu-west-1.amazonaws.com".
        port: 587 for STARTTLS, 465 for implicit TLS.
        user: SMTP user name; None to send without a login.
        password: SMTP password; never shown. `derive_smtp_password` makes one from an AWS secret access key.
        tls: "starttls", "implicit", or "none", which is accepted for this machine only.
        tls_context: verifies the certificate in place of the default one; for a certificate authority of your own.
        configuration_set: SES configuration set of every message.
        tenant: SES tenant of every message.
        tags: SES message tags of every message.
        max_connections: connections at most.
        max_messages_per_connection: messages after which a connection is replaced; SES ends sessions after some number
            that it does not document (350 was seen).
        idle_timeout: seconds after which an unused connection is closed; SES closes it after about 10.
        connect_timeout: seconds for a connection, with TLS and login.
        command_timeout: seconds for the reply to one command.
        content_timeout: seconds for writing the content, at most.
        dot_timeout: seconds for the reply to the final dot. Ten minutes, because giving up earlier means sending twice
            (RFC 5321, 4.5.3.2.6).

    Raises:
        ConfigurationError: an option is wrong, or would send mail or password unencrypted over a network.
    """

    _labels: Mapping[bytes, bytes] = attrs.field(
        init=False, repr=False, default=attrs.Factory(_labels_of, takes_self=True)
    )
    _said: set[str] = attrs.field(factory=set, init=False, repr=False)
    _pool: Pool[SMTPSession] = attrs.field(init=False, repr=False, default=attrs.Factory(_pool_of, takes_self=True))

    async def send(self, message: Message) -> Receipt:
        """
        Make one attempt.

        Raises:
            TransportError: the message was not accepted; its outcome says what that means.

        Cancelling:
            the connection is dropped; the message may have been accepted if its content was handed over.
        """
        content = await prepared(message, self._on_the_wire)
        session = await self._pool.acquire()
        try:
            return await session.send(message, content)
        except TransportError as error:
            self._say_old_credentials(error)
            raise
        finally:
            self._pool.release(session)

    async def aclose(self) -> None:
        """Close all connections. Called once, when nothing is under way."""
        await self._pool.aclose()

    def _say_old_credentials(self, error: TransportError) -> None:
        # Source: Amazon SES Developer Guide, "Amazon SES email sending errors", read 2026-11.
        if error.outcome is Outcome.THROTTLED and "sigv2" in error.reply.lower() and not self._said:
            self._said.add("old credentials")
            _log.warning("These SMTP credentials are from before 2019-01-10 and held back for it: create new ones.")

    def _on_the_wire(self, content: bytes) -> bytes:
        end = b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n"
        own = own_labels(content) if self._labels else ()
        labels = (line for name, line in self._labels.items() if name not in own)
        return b"".join((*labels, *_stuffed(content), end))


def _stuffed(content: bytes) -> Iterator[bytes]:
    """
    The content with a second dot before each line that begins with one, in pieces of whole lines.

    Source: RFC 5321, 4.5.2 (transparency). Line ends are CRLF already.
    """
    begin = 0
    while begin < len(content):
        # One piece of ten megabytes would keep every other thread, the event loop's too, from running meanwhile.
        end = content.find(b"\n", begin + PIECE) + 1 or len(content)
        piece = content[begin:end]
        if piece.startswith(b"."):
            yield b"."
        yield piece.replace(b"\r\n.", b"\r\n..") if b"\r\n." in piece else piece
        begin = end


def from_url(url: TransportURL) -> SMTPTransport:
    """
    The transport of `smtp://user:password@host:587` (STARTTLS) or `smtps://user:password@host:465` (implicit TLS).

    Options: `password_file`, `tls=none` (this machine only), `configuration_set`, `tenant`, `tags=name=value,…`,
    `max_connections`, `max_messages_per_connection`. User and password may come from the environment instead.

    Raises:
        ConfigurationError: an option is unknown or wrong, there is a user without a password, or the port is one that
            begins with TLS.
    """
    options = url.take(
        "password_file",
        "tls",
        "configuration_set",
        "tenant",
        "tags",
        "max_connections",
        "max_messages_per_connection",
    )
    tls = options.get("tls", "implicit" if url.scheme == "smtps" else "starttls")
    if tls == "starttls" and url.port in IMPLICIT_TLS:
        raise ConfigurationError(f"port {url.port} begins with TLS, without STARTTLS: write smtps:// for smtp://.")
    user = url.user if url.user is not None else os.environ.get(USER)
    return SMTPTransport(
        url.host,
        url.port or (465 if tls == "implicit" else 587),
        user=user,
        password=None if user is None else _password(url, options.get("password_file")),
        tls=cast("TLS", tls),
        configuration_set=options.get("configuration_set"),
        tenant=options.get("tenant"),
        tags=tags_from(options.get("tags", "")),
        max_connections=_count(url, "max_connections"),
        max_messages_per_connection=_count(url, "max_messages_per_connection"),
    )


def _password(url: TransportURL, path: str | None) -> str | None:
    if path is None:
        return url.password or os.environ.get(PASSWORD)
    if url.password:
        raise ConfigurationError(f"the {url.scheme} URL has a password and a password_file: leave one out.")
    return secret_from(path)


def _count(url: TransportURL, name: str) -> int:
    return url.count(name, getattr(attrs.fields(SMTPOptions), name).default)
