"""
Texts that must not be shown, and texts of others with them taken out.

A service may repeat what it was sent: a refused AUTH line, the header with a session token. What it says ends in
errors, logs, reports and a relay's replies, so each of its texts passes through here first.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from pathlib import Path

import attrs

from .._model.errors import ConfigurationError, printable

HIDDEN = "***"
"""Stands for a secret."""

RECOGNISED = 8
"""Characters of a secret by which it is known where only its beginning is repeated."""

SHORTEST = 4
"""Characters below which a secret is left where it stands: it is part of any text."""

CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
"""A character that breaks out of a line of a protocol."""


@attrs.frozen
class Secret:
    """A text that no repr, log or report shows."""

    _text: str = attrs.field(repr=False)

    def reveal(self) -> str:
        """The text itself, for the wire."""
        return self._text


class Redaction:
    """
    Takes secrets out of what somebody else said.

    Each is found in any case, whole or from its beginning on as far as it is repeated.

    Args:
        secrets: the texts, in each form in which they were sent; None and empty ones are left out.
    """

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        # The longest first: a password may be the beginning of another form of itself.
        self._secrets = sorted(
            {secret.lower() for secret in secrets if secret and len(secret) >= SHORTEST}, key=len, reverse=True
        )
        begins = "|".join(re.escape(secret[:RECOGNISED]) for secret in self._secrets)
        self._begin = re.compile(begins, re.IGNORECASE) if begins else None

    def __repr__(self) -> str:
        return f"Redaction({len(self._secrets)} secrets)"

    def __call__(self, text: str) -> str:
        """The text without them."""
        if self._begin is None or (found := self._begin.search(text)) is None:
            return text
        parts, kept = [], 0
        while found is not None:
            end = found.start() + self._repeated(text.lower(), found.start())
            parts += [text[kept : found.start()], HIDDEN]
            kept = end
            found = self._begin.search(text, kept)
        return "".join([*parts, text[kept:]])

    def _repeated(self, text: str, begin: int) -> int:
        """How many characters of a secret are there."""
        return max(_in_common(text, begin, secret) for secret in self._secrets)


def _in_common(text: str, begin: int, secret: str) -> int:
    for length, char in enumerate(secret):
        if text[begin + length : begin + length + 1] != char:
            return length
    return len(secret)


def encoded(text: str) -> str:
    """The form in which SMTP sends it. Source: RFC 4954, 4."""
    return base64.b64encode(text.encode()).decode("ascii")


def secret_from(path: str) -> str:
    """
    The secret that a file holds; one line end after it belongs to the file.

    Raises:
        ConfigurationError: it cannot be read, or is not text.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise ConfigurationError(f"password_file {printable(repr(path))} cannot be read: {why}.") from None
    return text.removesuffix("\n").removesuffix("\r")
