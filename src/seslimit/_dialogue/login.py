"""
The server's side of AUTH PLAIN and AUTH LOGIN (RFC 4954, RFC 4616), without input or output.

Decides what is asked for next and what the client has said so far. It must not know who may log in, nor what a
connection is: a mechanism is a generator that yields challenges, is sent responses, and returns user and password.

Invariant: nothing that a client sent is in a reply.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Generator
from typing import Final, NamedTuple, TypeAlias

MAX_LINE: Final = 12_288
"""Bytes of one response at most. Source: RFC 4954, 4, read 2026-11."""


class Credentials(NamedTuple):
    """Who a client says it is."""

    user: bytes
    password: bytes


Exchange: TypeAlias = Generator[bytes, bytes, Credentials]
"""Yields challenges, is sent responses."""


class LoginRefused(Exception):
    """A login that came to nothing, whoever it was; `reply` says why."""

    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.reply = reply


def exchange_for(argument: str) -> Exchange:
    """
    The exchange that the argument of AUTH begins.

    Raises:
        LoginRefused: there is no such mechanism, or the argument is malformed.
    """
    mechanism, *initial = argument.split() or [""]
    if not mechanism or len(initial) > 1:
        raise LoginRefused("501 5.5.4 Syntax: AUTH mechanism [initial-response]")
    exchange = _MECHANISMS.get(mechanism.upper())
    if exchange is None:
        raise LoginRefused("504 5.5.4 Unrecognized authentication type")
    return exchange(response(initial[0].encode()) if initial else None)


def challenge(words: bytes) -> str:
    """The reply 334 that asks for more, in base64. Source: RFC 4954, 4."""
    return f"334 {b64encode(words).decode()}"


def response(line: bytes) -> bytes:
    """
    What a client's line says.

    Raises:
        LoginRefused: it is no base64, or the client gives the login up.
    """
    said = line.strip()
    if said == b"*":
        raise LoginRefused("501 5.7.0 Authentication aborted")
    if len(said) > MAX_LINE:
        raise LoginRefused("500 5.5.6 Authentication exchange line is too long")
    try:
        # An initial response of no bytes is written "=".
        return b"" if said == b"=" else b64decode(said, validate=True)
    except (binascii.Error, ValueError):
        raise LoginRefused("501 5.5.2 Cannot decode base64") from None


def _plain(initial: bytes | None) -> Exchange:
    said = (yield b"") if initial is None else initial
    # An identity to act as comes first; nobody acts as somebody else here.
    parts = said.split(b"\0")
    if len(parts) != 3:  # RFC 4616, 2
        raise LoginRefused("501 5.5.2 Malformed credentials")
    return Credentials(parts[1], parts[2])


def _login(initial: bytes | None) -> Exchange:
    user = (yield b"Username:") if initial is None else initial
    password = yield b"Password:"
    return Credentials(user, password)


_MECHANISMS: Final[dict[str, Callable[[bytes | None], Exchange]]] = {"PLAIN": _plain, "LOGIN": _login}
