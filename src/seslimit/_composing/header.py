"""
Header lines: a value encoded by the grammar of its header, and folded.

Decides how an unstructured header (Subject, X-…) is written, and where a line ends; what of a structured one may be
encoded is in `structured`. It must not know what a message is.

Invariants: no value brings a line of its own; a line has at most 998 octets; what cannot be written so is refused. Time
grows with the length.

Source:
    RFC 5322, 2.1.1 and 2.2.3; RFC 2047, 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .._model.errors import InvalidMessage
from .encoded import encoded_words
from .structured import ADDRESSES, LONGEST_PLAIN_NAME, LONGEST_UNFOLDED, plain_phrase, structured_words, unquoted

LONGEST_LINE = 998
"""Octets of a line without its end. Source: RFC 5322, 2.1.1."""

FOLD_AT = 76
"""Octets of a line that holds an encoded-word. Source: RFC 2047, 2."""

MAX_VALUE = 64 * 1024
"""Characters of a header: more than any service takes, few enough to be read in milliseconds."""

_NAME = re.compile(r"[!-9;-~]{1,76}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_MAILBOX = re.compile(r'(?P<name>"(?:[^"\\]|\\.)*"\s*|[^<>]*)<(?P<address>[^<>]*)>', re.DOTALL)


def header_line(name: str, value: str) -> bytes:
    """
    One header, encoded and folded where it has to be, with its line end.

    Raises:
        InvalidMessage: the name is none, the value holds what no header may, or what its grammar has no place for.
    """
    if not _NAME.fullmatch(name):
        raise InvalidMessage(f"header {_shown(name)} is not a name of printable ASCII without a colon.")
    check_value(name, value)
    # A list of addresses is looked at in any case: one that is malformed would be refused, or answers would be lost.
    if value.isascii() and len(value) <= LONGEST_UNFOLDED and name.lower() not in ADDRESSES:
        return f"{name}: {value}\r\n".encode("ascii")
    words = structured_words(name, value)
    return _folded(name, _unstructured(name, value) if words is None else words)


def mailbox_line(name: str, mailboxes: Sequence[tuple[str, str]]) -> bytes:
    """
    A header of mailboxes, one on each line; each a display name, which may be empty or in any script, and an address.

    Raises:
        InvalidMessage: a display name holds CR, LF, NUL or another control character.
    """
    if not mailboxes:
        return b""
    lines = []
    for display, address in mailboxes:
        check_value(name, display)
        if not display:
            lines.append(address)
        elif display.isascii() and len(display) <= LONGEST_PLAIN_NAME:
            lines.append(f"{plain_phrase(display)} <{address}>")
        else:
            lines.append("\r\n ".join([*encoded_words(display, len(name) + 2), f"<{address}>"]))
    return "{}: {}\r\n".format(name, ",\r\n ".join(lines)).encode("ascii")


def read_mailbox(text: str) -> tuple[str, str] | None:
    """
    The display name and the address of `Name <local@domain>` or `local@domain`; None where it is neither.

    One mailbox, never a list: a comma in a name needs no quotes. The address is not looked at.
    """
    if "<" not in text:
        return "", text
    found = _MAILBOX.fullmatch(text.strip())
    if found is None:
        return None
    return unquoted(found["name"].strip()), found["address"]


def check_value(name: str, value: str) -> None:
    """
    Whether a header may hold a text, encoded or not.

    Raises:
        InvalidMessage: it is too long, or holds CR, LF, another control character or half of a surrogate pair.
    """
    if len(value) > MAX_VALUE:
        raise InvalidMessage(f"header {name} is longer than {MAX_VALUE:,} characters: shorten it.")
    found = _CONTROL.search(value)
    if found is None:
        return
    if "\ud800" <= found[0] <= "\udfff":
        raise InvalidMessage(f"header {name} holds half of a surrogate pair: write it as UTF-8.")
    raise InvalidMessage(f"header {name} holds CR, LF or another control character: remove it from the value.")


def _unstructured(name: str, value: str) -> list[str]:
    words = value.split(" ")
    # A word that is longer than a line can be cut only where it is encoded; a line of blanks alone is none.
    if value.isascii() and all(0 < len(word) <= LONGEST_UNFOLDED for word in words):
        return words
    return encoded_words(value, len(name) + 2)


def _folded(name: str, words: Iterable[str]) -> bytes:
    """Words with a blank between each two, in lines."""
    lines = [f"{name}:"]
    for word in words:
        if len(lines[-1]) + 1 + len(word) <= FOLD_AT or lines == [f"{name}:"]:
            lines[-1] += f" {word}"
        else:
            lines.append(f" {word}")
    if any(len(line) > LONGEST_LINE for line in lines):
        raise InvalidMessage(
            f"header {name} holds a word that is longer than a line of mail, {LONGEST_LINE} characters: shorten it."
        )
    return ("\r\n".join(lines) + "\r\n").encode("ascii")


def _shown(text: str) -> str:
    return ascii(text[:200])
