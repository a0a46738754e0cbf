"""The parts of a transport's URL, checked, with the password kept out of every text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from .._model.errors import ConfigurationError, printable

_ENCODE = "percent-encode /, ?, # and @ in user and password, and @ in options"


@attrs.frozen
class TransportURL:
    """
    A transport's URL, taken apart: `scheme://user:password@host:port?option=value`.

    Args:
        scheme: names the transport.
        host: host name, region, or empty.
        port: port number; None where the URL has none.
        user: decoded user name; None where the URL has none.
        password: decoded password, never shown; None where the URL has none.
        options: the query, each name once.
    """

    scheme: str
    host: str = ""
    port: int | None = None
    user: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    options: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def parse(cls, url: str) -> TransportURL:
        """
        Take a URL apart.

        Raises:
            ConfigurationError: it has no scheme, a port that is none, an option twice, or an "@" behind its host; the
                sentence shows nothing of the URL but its scheme.
        """
        scheme, separator, _ = url.partition("://")
        if not separator or not scheme.isascii() or not scheme.replace("-", "").replace("+", "").isalnum():
            raise ConfigurationError("the transport's URL has no scheme: write for example ses://eu-west-1.")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            # The message of urlsplit may quote the whole network location, password included.
            raise ConfigurationError(f"the {scheme} URL has a malformed host or port: {_ENCODE}.") from None
        # Of a password with ?, # or / in it everything from there on would be options or a path, and be told as such.
        if parts.path.strip("/") or parts.fragment or "@" in parts.query:
            raise ConfigurationError(f"the {scheme} URL has more than options after its host: {_ENCODE}.")
        if port == 0:
            raise ConfigurationError(f"the {scheme} URL has port 0: write one from 1 to 65535, or leave it out.")
        options = parse_qsl(parts.query, keep_blank_values=True)
        if len(dict(options)) < len(options):
            raise ConfigurationError(f"the {scheme} URL has an option twice.")
        return cls(
            scheme=scheme.lower(),
            host=parts.hostname or "",
            port=port,
            user=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
            options=dict(options),
        )

    def take(self, *known: str) -> dict[str, str]:
        """
        The options, if every one of them is among `known`.

        Raises:
            ConfigurationError: an option is not known; the sentence lists those that are.
        """
        unknown = sorted(set(self.options) - set(known))
        if unknown:
            raise ConfigurationError(
                f"unknown option {printable(unknown[0])!r} in the {self.scheme} URL: use {', '.join(known) or 'none'}."
            )
        return dict(self.options)

    def number(self, name: str, default: float, *, least: float = 0.0) -> float:
        """
        An option as a number of at least `least`.

        Raises:
            ConfigurationError: it is not.
        """
        text = self.options.get(name)
        try:
            value = default if text is None else float(text)
        except ValueError:
            value = float("nan")
        if not (value >= least and math.isfinite(value)):
            raise ConfigurationError(
                f"option {name!r} of the {self.scheme} URL is {printable(text or '')!r}: "
                f"write a number of at least {least:g}."
            )
        return value

    def count(self, name: str, default: int) -> int:
        """
        An option as a whole number of at least 1.

        Raises:
            ConfigurationError: it is not.
        """
        value = float(self.number(name, default, least=1))
        if not value.is_integer():
            raise ConfigurationError(f"option {name!r} of the {self.scheme} URL is {value:g}: write a whole number.")
        return int(value)
