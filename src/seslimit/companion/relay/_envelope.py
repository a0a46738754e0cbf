"""
The envelope as clients write it: the arguments of MAIL and RCPT.

Decides what is an address, and what of it SES could take. Pure: it knows no connection.

Invariant: an address that leaves this module can be written to another envelope.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from seslimit import InvalidMessage, check_address

from .._domain import in_punycode
from ._replies import Refused

_PATH = re.compile(r'\s*<((?:"(?:\\.|[^"\\])*"@)?[^<>\s"]*)>(?:\s(.*))?', re.DOTALL)
_BRACKETED = re.compile(r"<([^<>]*)>")
_ORDINARY = re.compile(r"[A-Za-z0-9._+=-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,200}[A-Za-z0-9])?")
"""Addresses that are good without a closer look, as nearly all are."""
_BODIES = ("BODY=7BIT", "BODY=8BITMIME")
_SIZE_DIGITS = 20
"""Digits of SIZE. Source: RFC 1870, 4."""
_REPORTS = {"RET", "ENVID", "NOTIFY", "ORCPT"}
"""Parameters that ask for delivery status notifications (RFC 3461, 4). PHPMailer, smtplib and aiosmtplib send them
though nobody offered it; SES reports in its own way, whatever is asked for."""


class Written(NamedTuple):
    """
    An argument in ASCII.

    Args:
        argument: the argument.
        domain: the domain that was written in Punycode, as it was.
    """

    argument: str
    domain: str


class ReversePath(NamedTuple):
    """
    What MAIL said.

    Args:
        address: the return address.
        size: bytes that the content will have about; None where it is not said.
        dropped: names of parameters that change nothing.
    """

    address: str
    size: int | None
    dropped: frozenset[str]


class ForwardPath(NamedTuple):
    """What RCPT said; see `ReversePath`."""

    address: str
    dropped: frozenset[str]


def reverse_path(argument: str, max_size: int) -> ReversePath:
    """
    Read the argument of MAIL.

    Raises:
        Refused: it is malformed, SES could not take it, or the message is too long.
    """
    address, parameters, dropped = _path(argument, "FROM")
    if not address:
        raise Refused("550 5.1.7 SES takes no message without a return address: bounces cannot be sent through it")
    size = None
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "SIZE" and value.isdigit() and len(value) <= _SIZE_DIGITS:
            size = int(value)
        elif name == "SMTPUTF8":
            raise Refused("550 5.6.7 SES takes ASCII addresses only: write domains in Punycode (xn--), no SMTPUTF8")
        elif parameter not in _BODIES and name != "AUTH":
            raise Refused(f"555 5.5.4 The parameter {name} of MAIL is not known")
    try:
        _check_sender(address)
    except InvalidMessage as error:
        raise Refused(f"550 5.1.7 {error}") from None
    if size is not None and size > max_size:
        raise too_long(max_size)
    return ReversePath(address, size, dropped)


def forward_path(argument: str) -> ForwardPath:
    """
    Read the argument of RCPT.

    Raises:
        Refused: it is malformed, or SES could not take it.
    """
    address, parameters, dropped = _path(argument, "TO")
    if parameters:
        raise Refused(f"555 5.5.4 The parameter {parameters[0]} of RCPT is not known")
    if not _ORDINARY.fullmatch(address):
        try:
            check_address("recipient", address)
        except InvalidMessage as error:
            raise Refused(f"550 5.1.3 {error}") from None
    return ForwardPath(address, dropped)


def in_ascii(argument: str) -> Written:
    """
    An argument of MAIL or RCPT whose address is not ASCII, with its domain in Punycode.

    Raises:
        Refused: that does not make it ASCII.
    """
    domains = []

    def written(found: re.Match[str]) -> str:
        domains.append(found[1].rpartition("@")[2])
        return f"<{in_punycode(found[1])}>"

    text = _BRACKETED.sub(written, argument, count=1)
    if not text.isascii():
        raise Refused(
            "553 5.6.7 SES takes ASCII addresses only: a domain is written in Punycode, a local part cannot be"
        )
    return Written(text, domains[0])


def too_long(max_size: int) -> Refused:
    """The refusal of a message that is beyond the limit."""
    return Refused(f"552 5.3.4 The message is longer than {max_size} bytes")


def _path(argument: str, word: str) -> tuple[str, list[str], frozenset[str]]:
    """Address, parameters that mean something, and the names of those that do not."""
    keyword, _, rest = argument.partition(":")
    found = _PATH.fullmatch(rest)
    if keyword.strip().upper() != word or found is None:
        raise Refused(f"501 5.5.4 Syntax: {'MAIL' if word == 'FROM' else 'RCPT'} {word}:<local@domain>")
    parameters = (found[2] or "").upper().split()
    if not parameters:
        return found[1], parameters, frozenset()
    dropped = _REPORTS & {each.partition("=")[0] for each in parameters}
    return found[1], [each for each in parameters if each.partition("=")[0] not in dropped], frozenset(dropped)


@lru_cache(maxsize=256)
def _check_sender(address: str) -> None:
    # Most messages of a program have the same one.
    check_address("mail_from", address)
