"""
What an SMTP connection is made with, checked: nothing here opens one.

Invariants: without TLS only to this machine; certificates are verified; the password has no readable form but `reveal`.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

import attrs

from ..._model.errors import ConfigurationError, printable
from ..._model.options import numeric, whole
from .._labels import check_name, check_tags
from .._loopback import is_loopback
from .._secret import CONTROL, Redaction, Secret, encoded

_HOST = re.compile(r"[A-Za-z0-9._:%-]{1,255}")

TLS: TypeAlias = Literal["starttls", "implicit", "none"]
"""How a connection is encrypted."""


def _secret(value: str | Secret | None) -> Secret | None:
    return Secret(value) if isinstance(value, str) else value


def verifying_context() -> ssl.SSLContext:
    """A TLS context that verifies certificate and host name, with TLS 1.2 at least."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def untrusting_context() -> ssl.SSLContext:
    """A TLS context that trusts no authority, for connections without TLS: it is there at once, and lets nobody in."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@attrs.frozen(eq=False)
class SMTPOptions:
    """
    The options of `SMTPTransport`, which documents them.

    Raises:
        ConfigurationError: an option is wrong, or would send mail or password unencrypted over a network.
    """

    host: str
    port: int = 587
    user: str | None = attrs.field(default=None, kw_only=True)
    password: Secret | None = attrs.field(default=None, kw_only=True, converter=_secret)
    tls: TLS = attrs.field(default="starttls", kw_only=True)
    tls_context: ssl.SSLContext | None = attrs.field(default=None, kw_only=True, repr=False)
    configuration_set: str | None = attrs.field(default=None, kw_only=True, validator=check_name)
    tenant: str | None = attrs.field(default=None, kw_only=True, validator=check_name)
    tags: Mapping[str, str] = attrs.field(factory=dict, kw_only=True, validator=check_tags)
    max_connections: int = attrs.field(default=100, kw_only=True, validator=numeric("connections", low=1))
    max_messages_per_connection: int = attrs.field(default=50, kw_only=True, validator=numeric("messages", low=1))
    idle_timeout: float = attrs.field(default=5.0, kw_only=True, validator=numeric("seconds", low=0, above=True))
    connect_timeout: float = attrs.field(default=30.0, kw_only=True, validator=numeric("seconds", low=0, above=True))
    command_timeout: float = attrs.field(default=60.0, kw_only=True, validator=numeric("seconds", low=0, above=True))
    content_timeout: float = attrs.field(default=600.0, kw_only=True, validator=numeric("seconds", low=0, above=True))
    dot_timeout: float = attrs.field(default=600.0, kw_only=True, validator=numeric("seconds", low=0, above=True))

    def __attrs_post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            raise ConfigurationError(f"host {printable(repr(self.host))} is not a host name or an address.")
        whole("port", self.port, "a port of the endpoint (SES listens on 587 and 465)", low=1, high=65535)
        if self.tls not in get_args(TLS):
            raise ConfigurationError(f"tls {printable(repr(self.tls))} is not one of {', '.join(get_args(TLS))}.")
        if self.tls == "none" and not is_loopback(self.host):
            raise ConfigurationError(
                f"tls=none would send mail and password unencrypted to {self.host}: it is allowed to this machine only."
            )
        if (self.user is None) is not (self.password is None):
            raise ConfigurationError("an SMTP user needs a password, and a password a user: give both or neither.")
        if self.user is not None and (not self.user or CONTROL.search(self.user)):
            raise ConfigurationError("the SMTP user is empty or holds a control character.")
        if self.password is not None and CONTROL.search(self.password.reveal()):
            raise ConfigurationError(
                "the SMTP password holds a control character, as a newline at its end: copy it anew, without line ends."
            )
        self._check_context()

    def redaction(self) -> Redaction:
        """Takes what a login sends out of what the service says."""
        if self.user is None or self.password is None:
            return Redaction()
        password = self.password.reveal()
        return Redaction((password, encoded(password), encoded(plain(self.user, password))))

    def _check_context(self) -> None:
        context = self.tls_context
        if context and not (context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname):
            raise ConfigurationError("tls_context must verify certificate and host name: begin with a default context.")
        if context and context.minimum_version not in (
            ssl.TLSVersion.TLSv1_2,
            ssl.TLSVersion.TLSv1_3,
            ssl.TLSVersion.MAXIMUM_SUPPORTED,
        ):
            raise ConfigurationError("tls_context allows TLS below 1.2: set its minimum_version to TLSv1_2.")


class Trust:
    """
    The TLS context of a transport's connections, made when the first of them is opened.

    Args:
        options: whether there is TLS, and perhaps a context of the user's.
    """

    def __init__(self, options: SMTPOptions) -> None:
        self._context = untrusting_context() if options.tls == "none" else options.tls_context

    async def context(self) -> ssl.SSLContext:
        """What verifies the service's certificate."""
        if self._context is None:
            # Reading the certificate authorities takes tens of milliseconds.
            self._context = await asyncio.to_thread(verifying_context)
        return self._context


def plain(user: str, password: str) -> str:
    """What AUTH PLAIN sends, before it is encoded. Source: RFC 4616, 2."""
    return f"\0{user}\0{password}"
