"""
Text beyond ASCII, or longer than a line, as headers hold it: encoded-words, and the parameters of MIME headers.

Pure. Invariants: an encoded-word has at most 75 octets, a piece of a parameter fits on a line, and both hold whole
characters or octets; time grows with the length.

Source:
    RFC 2047, 2 to 5; RFC 2231, 3, 4 and 7.
"""

from __future__ import annotations

import base64

LONGEST_WORD = 75
"""Octets of an encoded-word. Source: RFC 2047, 2."""

_FRAME = len("=?utf-8?q??=")
_PIECE = 60
_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_ATTRIBUTE_CHARS = _LETTERS | frozenset(b"!#$&+-.^_`{|}~")
"""What stands for itself in a parameter's value. Source: RFC 2231, 7, attribute-char."""
_Q = [
    "_" if octet == 0x20 else chr(octet) if octet in _LETTERS | frozenset(b"!*+-/") else f"={octet:02X}"
    for octet in range(256)
]
"""Each octet in the Q encoding. Source: RFC 2047, 5 (3): what may stand in a phrase."""


def encoded_words(text: str, used: int = 0) -> list[str]:
    """
    A text as encoded-words, each with whole characters.

    Args:
        text: any text without control characters.
        used: characters of the first line that are taken already.
    """
    data = text.encode("utf-8")
    quoted = sum(len(_Q[octet]) for octet in data)
    is_quoted = quoted <= (len(data) + 2) // 3 * 4
    words, room = [], max(LONGEST_WORD - used, LONGEST_WORD // 2) - _FRAME
    begin = 0
    while begin < len(data):
        end = _end_of_word(data, begin, room, is_quoted=is_quoted)
        piece = data[begin:end]
        coded = "".join([_Q[octet] for octet in piece]) if is_quoted else base64.b64encode(piece).decode("ascii")
        words.append(f"=?utf-8?{'q' if is_quoted else 'b'}?{coded}?=")
        begin, room = end, LONGEST_WORD - _FRAME
    return words


def parameter(name: str, value: str) -> list[str]:
    """A parameter of a MIME header, in pieces that each fit on a line. Source: RFC 2231, 3 and 4."""
    if value.isascii() and len(value) <= _PIECE:
        return ['{}="{}"'.format(name, value.replace("\\", "\\\\").replace('"', '\\"'))]
    octets = [chr(octet) if octet in _ATTRIBUTE_CHARS else f"%{octet:02X}" for octet in value.encode("utf-8")]
    pieces = ["utf-8''"]
    for octet in octets:
        if len(pieces[-1]) + len(octet) > _PIECE:
            pieces.append("")
        pieces[-1] += octet
    if len(pieces) == 1:
        return [f"{name}*={pieces[0]}"]
    return [f"{name}*{number}*={piece}" for number, piece in enumerate(pieces)]


def _end_of_word(data: bytes, begin: int, room: int, *, is_quoted: bool) -> int:
    """Where an encoded-word ends that begins there: as late as fits, and not within a character."""
    if is_quoted:
        end, length = begin, 0
        while end < len(data) and (length := length + len(_Q[data[end]])) <= room:
            end += 1
    else:
        end = min(begin + room // 4 * 3, len(data))
    while end < len(data) and data[end] & 0xC0 == 0x80:
        end -= 1
    return end
