"""A reply of an SMTP service, without what was sent as a secret, and what is said where there is none."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias, TypeVar

import attrs

from .._secret import Redaction

T = TypeVar("T")

NOTHING_SECRET = Redaction()
"""Where there is no login."""


@attrs.frozen
class SMTPReply:
    """
    A reply.

    Args:
        code: its code.
        said: the texts of its lines.
        redaction: takes out of them what was sent as a secret.
    """

    code: int
    _said: str = attrs.field(repr=False)
    _redaction: Redaction = attrs.field(default=NOTHING_SECRET, eq=False, repr=False)

    @property
    def message(self) -> str:
        """The texts of its lines; what was sent as a secret is taken out here, for few are ever looked at."""
        return self._redaction(self._said)


Dialogue: TypeAlias = Generator[tuple[bytes, float], SMTPReply, T]
"""Yields a command and the seconds that its reply may take, is sent the reply, and returns what came of it all."""


class BrokenConversation(ConnectionError):
    """The service closed the connection, or said what is no reply or what nobody asked for."""


class NoReply(BrokenConversation):
    """What came is no reply: the other side may not speak SMTP at all."""


class BareLineFeed(BrokenConversation):
    """The service ends its lines in a way that RFC 5321, 2.3.8 forbids."""

    def __init__(self) -> None:
        super().__init__("The service ends its lines with a bare LF, so what it says is no reply.")
