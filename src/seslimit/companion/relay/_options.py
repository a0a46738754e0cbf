"""
What the relay is made with, checked; nothing here opens or reads a connection.

Invariant: on any address but loopback there is a certificate and a login, or there is no relay.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

import attrs
from attrs.validators import ge, gt

from seslimit import ConfigurationError

from .._address import Address, as_address

USER = "SESLIMIT_RELAY_USER"
"""Environment variable with the user that clients log in as."""

PASSWORD = "SESLIMIT_RELAY_PASSWORD"  # noqa: S105  # a variable's name
"""Environment variable with that user's password."""

TRANSACTIONAL = "transactional"
"""The lane that there is unless told otherwise: before campaigns, which keep a twentieth of the rate."""

MAX_SIZE = 40 * 1024 * 1024
"""Bytes of one message. Source: Amazon SES Developer Guide, "Service quotas" (40 MB), read 2026-11."""


def _addresses(given: Mapping[str, Address | str]) -> Mapping[str, Address]:
    return {lane: as_address(address) for lane, address in given.items()}


@attrs.frozen(kw_only=True)
class RelayOptions:
    """
    The options of `Relay`.

    Args:
        listen: where to listen: "HOST:PORT", or an `Address`; port 0 takes a free one.
        tls_cert: certificate (PEM) for TLS; None offers none.
        tls_key: its key (PEM), where it is not in the same file.
        tls_implicit: TLS from the first byte (RFC 8314, 3.3), as on port 465, rather than by STARTTLS.
        user, password: the login that clients need; None for both lets everybody in, on loopback.
        max_connections: clients at once. When there is one more, the oldest goes that has neither logged in nor begun a
            message, from the address that has the most of those; without any, the one that has been idle for longest;
            and where none is idle, no more are accepted for now.
        max_pending: messages that are received or held at once; more wait for the go-ahead to DATA.
        max_size: bytes of one message.
        max_recipients: recipients of one transaction; the client is told to send the rest in another one.
        idle_timeout: seconds without a word of the client, while a word of it is awaited, until it is sent away.
        login_timeout: seconds from the connection on for the login, or for the first message where none is needed.
        content_timeout: seconds for one content to arrive.
        patience: seconds that a message is held while it waits; below the ten minutes that a client waits for the reply
            (RFC 5321, 4.5.3.2.6), so that it hears that the message was not sent.
        lanes: priorities of the lanes that a message may go in, by name: the one with the highest goes first. It names
            its lane in the header X-Seslimit-Lane, which is taken out, or its client does by logging in as USER+LANE.
            Others are in the nameless lane, of priority 0.
        lane_listen: further addresses to listen on, by the lane that what comes in there goes in, unless its header or
            its login names another one.
        hold: seconds that a message is held when nothing can be sent at all: the quota is used up, the account blocked,
            the login refused, SES out of reach. Never longer than `patience`; 0 tells the client at once, which is
            right for one that keeps a queue, as a mail server does.

    Raises:
        ConfigurationError: an option is wrong, or something is missing without which anybody could send.
    """

    listen: Address = attrs.field(converter=as_address)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_implicit: bool = False
    user: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    max_connections: int = attrs.field(default=2000, validator=ge(1))
    max_pending: int = attrs.field(default=100, validator=ge(1))
    max_size: int = attrs.field(default=MAX_SIZE, validator=ge(1))
    max_recipients: int = attrs.field(default=1000, validator=ge(1))
    idle_timeout: float = attrs.field(default=300.0, validator=gt(0))
    login_timeout: float = attrs.field(default=60.0, validator=gt(0))
    content_timeout: float = attrs.field(default=600.0, validator=gt(0))
    patience: float = attrs.field(default=540.0, validator=gt(0))
    lanes: Mapping[str, float] = attrs.field(factory=lambda: {TRANSACTIONAL: 1.0})
    lane_listen: Mapping[str, Address] = attrs.field(factory=dict, converter=_addresses)
    hold: float = attrs.field(default=540.0, validator=ge(0))

    def __attrs_post_init__(self) -> None:
        if bool(self.user) is not bool(self.password):
            raise ConfigurationError(f"a login is a user and a password: set both {USER} and {PASSWORD}, or neither.")
        if self.tls_key and not self.tls_cert:
            raise ConfigurationError("there is a TLS key without its certificate: give --tls-cert as well.")
        if self.tls_implicit and not self.tls_cert:
            raise ConfigurationError("TLS from the first byte needs a certificate: give --tls-cert as well.")
        missing = [
            words
            for words, there in (("--tls-cert", self.tls_cert), (f"a login ({USER} and {PASSWORD})", self.user))
            if not there
        ]
        for lane in self.lane_listen:
            if lane not in self.lanes:
                raise ConfigurationError(
                    f"there is no lane {lane!r} for {self.lane_listen[lane]}: give --lane {lane} with its priority, or "
                    f"one of {', '.join(self.lanes)}."
                )
        if missing and self.tls_required:
            raise ConfigurationError(
                f"{self._open_to_others[0]} can be reached from other machines, and that needs "
                f"{' and '.join(missing)}: give it, or listen on 127.0.0.1."
            )

    @property
    def tls_required(self) -> bool:
        """Whether nothing is said without TLS, whatever the port; a login is then required too."""
        return bool(self._open_to_others)

    @property
    def _open_to_others(self) -> list[Address]:
        return [each for each in (self.listen, *self.lane_listen.values()) if not each.is_loopback]

    def tls_context(self) -> ssl.SSLContext | None:
        """
        The server's side of TLS, 1.2 at least; None where there is no certificate.

        Raises:
            ConfigurationError: certificate or key cannot be used.
        """
        if self.tls_cert is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # Without the empty password, an encrypted key would be asked for on the terminal.
            context.load_cert_chain(self.tls_cert, self.tls_key, password="")
        except (OSError, ValueError) as error:
            named = self.tls_cert if self.tls_key is None else f"{self.tls_cert} with {self.tls_key}"
            raise ConfigurationError(
                f"the certificate {named} cannot be used ({error}): give PEM files, the key without a passphrase."
            ) from None
        return context
