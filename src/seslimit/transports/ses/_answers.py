"""
The answers of an HTTP service, read strictly: one for each request, or the connection is of no more use.

Decides what is an answer, where it ends, and whether another may follow it on the same connection. It must not know
what was asked, nor what an answer means.

Invariants: an answer is whole or it is none; what comes behind one is never taken for the next; at most `MAX_ANSWER`
bytes are kept, packed or unpacked.

Source:
    RFC 9112, 2.2, 4, 5, 6 and 7.1; RFC 9110, 6.4.1 and 15.2.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import NamedTuple, cast

MAX_ANSWER = 64 * 1024
"""Bytes of one answer, head and content; the longest real one, a page of a proxy's, has a few KiB."""

GZIP = 31
"""`wbits` for a gzip member. Source: zlib, inflateInit2."""

_HEAD_END = b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.(?P<minor>[01]) (?P<status>[1-5]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?")
_FIELD = re.compile(rb"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):(?P<value>[\t\x20-\x7e\x80-\xff]*)")
_CHUNK = re.compile(rb"(?P<size>[0-9A-Fa-f]{1,8})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_LENGTH = re.compile(r"\d{1,10}")


class NoAnswer(ConnectionError):
    """The service closed the connection, or said what is no answer or what nobody asked for."""


class Answer(NamedTuple):
    """
    One answer.

    Args:
        status: its code.
        fields: its header, names in lower case.
        content: what it holds, unpacked.
        last: whether the connection ends with it.
    """

    status: int
    fields: Mapping[str, str]
    content: bytes
    last: bool


class _Head(NamedTuple):
    minor: bytes
    status: int
    fields: Mapping[str, str]


class AnswerReader:
    """
    Reads the answer to one request.

    Args:
        tunnel: whether the request was CONNECT, whose good answer has no content.
    """

    def __init__(self, *, tunnel: bool = False) -> None:
        self._tunnel = tunnel
        self._buffer = bytearray()
        self._content = bytearray()
        self._head: _Head | None = None
        self._left: int | None = None
        self._chunk = 0

    @property
    def left_over(self) -> bool:
        """Whether there is more than was an answer."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Answer | None:
        """
        Take what came; the answer, as soon as it is whole.

        Raises:
            NoAnswer: what is there is none.
        """
        self._buffer += data
        if len(self._buffer) + len(self._content) > MAX_ANSWER:
            raise NoAnswer("The service gave an answer without an end.")
        if self._head is None and not self._read_head():
            return None
        return self._read_content()

    def end(self) -> Answer:
        """
        Take the end of the connection; the answer that was only to end with it.

        Raises:
            NoAnswer: there is none, or half of one.
        """
        if self._head is None or self._left is not None or self._is_chunked:
            raise NoAnswer("The service closed the connection.")
        self._content += self._buffer
        return self._answer(last=True)

    @property
    def _is_chunked(self) -> bool:
        return self._head is not None and "transfer-encoding" in self._head.fields

    def _read_head(self) -> bool:
        """Read the head of the final answer, past those that only announce it."""
        while (end := self._buffer.find(_HEAD_END)) >= 0:
            head = _head_of(bytes(self._buffer[:end]))
            del self._buffer[: end + len(_HEAD_END)]
            if head.status == 101:
                raise NoAnswer("The service changed the protocol, which nobody asked for.")
            if head.status >= 200:
                self._head = head
                self._left = self._length(head)
                return True
        return False

    def _length(self, head: _Head) -> int | None:
        """How many bytes of content there are; None where that is told by chunks, or by the end of the connection."""
        if head.status in (204, 304) or (self._tunnel and 200 <= head.status < 300):
            return 0
        length, encoding = head.fields.get("content-length"), head.fields.get("transfer-encoding")
        if encoding is not None:
            if encoding.lower() != "chunked" or length is not None:
                raise NoAnswer("The service gave an answer of which nobody can tell the end.")
            return None
        if length is None:
            return None
        if not _LENGTH.fullmatch(length):
            raise NoAnswer("The service gave an answer of which nobody can tell the end.")
        return int(length)

    def _read_content(self) -> Answer | None:
        if self._is_chunked:
            return self._answer() if self._read_chunks() else None
        if self._left is None or len(self._buffer) < self._left:
            return None
        self._content += self._buffer[: self._left]
        del self._buffer[: self._left]
        return self._answer()

    def _read_chunks(self) -> bool:
        """Take the chunks that are whole; whether the last of them is among them."""
        while (end := self._buffer.find(b"\r\n")) >= 0:
            found = _CHUNK.fullmatch(self._buffer, 0, end)
            if found is None:
                raise NoAnswer("The service said something that is no answer.")
            size = int(found["size"], 16)
            if size == 0:
                return self._read_trailer(end + 2)
            whole = end + 2 + size + 2
            if len(self._buffer) < whole:
                return False
            if self._buffer[whole - 2 : whole] != b"\r\n":
                raise NoAnswer("The service said something that is no answer.")
            self._content += self._buffer[end + 2 : whole - 2]
            del self._buffer[:whole]
        return False

    def _read_trailer(self, begin: int) -> bool:
        while (end := self._buffer.find(b"\r\n", begin)) >= 0:
            if end == begin:
                del self._buffer[: end + 2]
                return True
            if not _FIELD.fullmatch(self._buffer, begin, end):
                raise NoAnswer("The service said something that is no answer.")
            begin = end + 2
        return False

    def _answer(self, *, last: bool = False) -> Answer:
        minor, status, fields = cast("_Head", self._head)
        closes = minor == b"0" or "close" in fields.get("connection", "").lower()
        return Answer(status, fields, _unpacked(bytes(self._content), fields), last or closes or self.left_over)


def _head_of(lines: bytes) -> _Head:
    first, *rest = lines.split(b"\r\n")
    found = _STATUS.fullmatch(first)
    if found is None:
        raise NoAnswer("The service said something that is no answer.")
    fields: dict[str, str] = {}
    for line in rest:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise NoAnswer("The service said something that is no answer.")
        name, value = field["name"].decode("ascii").lower(), field["value"].decode("latin-1").strip(" \t")
        if fields.get(name, value) != value and name in ("content-length", "transfer-encoding"):
            raise NoAnswer("The service gave an answer of which nobody can tell the end.")
        fields[name] = value
    return _Head(found["minor"], int(found["status"]), fields)


def _unpacked(content: bytes, fields: Mapping[str, str]) -> bytes:
    """The content as it was before it was packed, which nobody asked for and some proxies do."""
    encoding = fields.get("content-encoding", "identity").lower()
    if encoding == "identity":
        return content
    if encoding not in ("gzip", "x-gzip"):
        raise NoAnswer(f"The service gave an answer in {encoding[:20]!r}, which nobody asked for.")
    unpacking = zlib.decompressobj(GZIP)
    try:
        unpacked = unpacking.decompress(content, MAX_ANSWER)
    except zlib.error:
        raise NoAnswer("The service gave an answer that cannot be unpacked.") from None
    if not unpacking.eof or unpacking.unused_data:
        raise NoAnswer("The service gave an answer that cannot be unpacked.")
    return unpacked
