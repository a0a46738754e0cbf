"""
How the messenger is set up.

Decides what a set-up has to have: the root URL of a listmonk, and a login wherever somebody else could send.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import attrs

from seslimit import ConfigurationError

from .._address import Address, as_address
from ._advice import Settings
from ._headers import Rules
from ._http import Login

MAX_SIZE = 55_000_000
"""Bytes of a request: what SES takes (40 MB), which is base64 in the request as well, and room for the rest."""


def _root_url(url: str) -> str:
    parts = urlsplit(url)
    plain = url.isascii() and url.isprintable() and not set(url) & set(' <>"\\^`{|}')
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or not plain:
        raise ConfigurationError(
            f"root URL {url[:200]!a} is not the address of a listmonk: write it as in listmonk's settings, for "
            "example https://lists.example.net."
        )
    return url.rstrip("/")


@attrs.frozen(kw_only=True)
class ListmonkOptions:
    """
    How the messenger is set up.

    Args:
        listen: where to listen: "HOST:PORT", or an `Address`; port 0 takes a free one.
        root_url: listmonk's own root URL, for List-Unsubscribe.
        user, password: the login that listmonk uses; both or neither. Beyond loopback there has to be one.
        settings: listmonk's own. For four fifths of its time-out a message is held when nothing can be sent.
        max_size: bytes of a request.
        unsubscribe_headers: whether the headers to unsubscribe are added to the messages of a campaign.
        service_headers: whether a campaign may set the service's own headers (X-SES-…): its configuration set, tenant
            and identities.

    Raises:
        ConfigurationError: the root URL is none, or the login is missing or incomplete.
    """

    listen: Address = attrs.field(converter=as_address)
    root_url: str = attrs.field(converter=_root_url)
    user: str = ""
    password: str = attrs.field(default="", repr=False)
    settings: Settings = attrs.field(factory=Settings)
    max_size: int = MAX_SIZE
    unsubscribe_headers: bool = True
    service_headers: bool = False

    def __attrs_post_init__(self) -> None:
        if bool(self.user) != bool(self.password) or ":" in self.user:
            raise ConfigurationError(
                "a login is a user (without a colon) and a password: set both SESLIMIT_LISTMONK_USER and "
                "SESLIMIT_LISTMONK_PASSWORD, or neither."
            )
        if not self.user and not self.listen.is_loopback:
            raise ConfigurationError(
                f"on {self.listen} everybody could send: set SESLIMIT_LISTMONK_USER and SESLIMIT_LISTMONK_PASSWORD, "
                "and the same user and password in listmonk, or listen on 127.0.0.1."
            )

    @property
    def rules(self) -> Rules:
        """What is added to a campaign's headers, and what may be among them."""
        return Rules(self.root_url, self.unsubscribe_headers, self.service_headers)

    @property
    def login(self) -> Login | None:
        """Who may post; None for everybody on this machine."""
        return Login(self.user, self.password) if self.user else None
