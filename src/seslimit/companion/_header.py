r"""
Header lines: a value encoded by the grammar of its header, and folded.

Decides what of a value may become an encoded-word: all of an unstructured header (Subject, X-…), of a list of addresses
the display names and comments, of any other structured header the comments. It must not know what a message is.

Invariants: no value brings a line of its own; a line has at most 998 octets, an encoded-word at most 75; what a
receiver's program has to read (an address, an id, a link) stays as it is, or is refused. Time grows with the length.

Source:
    RFC 5322, 2.1.1, 2.2.3, 3.4; RFC 2047, 2 and 5; RFC 2231, 3 and 4.1.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Sequence

import attrs

from seslimit import InvalidMessage, check_address

LONGEST_LINE = 998
"""Octets of a line without its end. Source: RFC 5322, 2.1.1."""

LONGEST_WORD = 75
"""Octets of an encoded-word. Source: RFC 2047, 2."""

FOLD_AT = 76
"""Octets of a line that holds an encoded-word. Source: RFC 2047, 2."""

LONGEST_UNFOLDED = 900
"""Characters of a value in ASCII that are left on one line, as they are."""

MAX_VALUE = 64 * 1024
"""Characters of a header: more than any service takes, few enough to be read in milliseconds."""

LONGEST_PLAIN_NAME = 200
"""Characters of a name in ASCII that is written as it is; longer ones are encoded-words, which can be folded."""

_NAME = re.compile(r"[!-9;-~]{1,76}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_MAILBOX = re.compile(r'(?P<name>"(?:[^"\\]|\\.)*"\s*|[^<>]*)<(?P<address>[^<>]*)>', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_NO_ATOM = re.compile(r"[^A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]|^ | $|  ")
_TOKEN = re.compile(
    r"""
      (?P<blank> [ \t]+ )
    | (?P<quoted> "(?:[^"\\]|\\.)*+" )
    | (?P<angle> <[^<>]*> )
    | (?P<comment> \( )
    | (?P<mark> [,;:] )
    | (?P<word> [^ \t"<>(),;:]+ )
    | (?P<stray> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_IN_COMMENT = re.compile(r"\\.|[()]", re.DOTALL)

ADDRESSES = frozenset(
    {"from", "sender", "reply-to", "to", "cc", "bcc", "disposition-notification-to", "return-receipt-to", "errors-to"}
    | {"mail-followup-to", "mail-reply-to", "resent-from", "resent-sender", "resent-to", "resent-cc", "resent-bcc"}
)
"""Headers that hold addresses, with display names and comments. Source: RFC 5322, 3.6; RFC 8098, 2.1."""

PHRASES = frozenset({"list-id", "keywords"})
"""Headers in which words beyond ASCII may stand outside angle brackets. Source: RFC 2919, 3; RFC 5322, 3.6.5."""

TOKENS = frozenset(
    {"message-id", "in-reply-to", "references", "resent-message-id", "date", "resent-date", "return-path", "received"}
    | {"list-unsubscribe", "list-unsubscribe-post", "list-subscribe", "list-post", "list-help", "list-owner"}
    | {"list-archive", "archived-at", "auto-submitted", "precedence", "importance", "priority", "x-priority"}
    | {"feedback-id", "dkim-signature", "authentication-results", "autocrypt", "content-language", "accept-language"}
)
"""Structured headers of which only comments may be encoded. Source: RFC 5322, 3.6; RFC 2369, 2; RFC 8058, 2."""

SERVICE = "x-ses-"
"""What the names of headers begin with that the service reads: they are taken as they are, or not at all."""


def header_line(name: str, value: str) -> bytes:
    """
    One header, encoded and folded where it has to be, with its line end.

    Raises:
        InvalidMessage: the name is none, the value holds what no header may, or what its grammar has no place for.
    """
    if not _NAME.fullmatch(name):
        raise InvalidMessage(f"header {_shown(name)} is not a name of printable ASCII without a colon.")
    _check(name, value)
    known = name.lower()
    if known in ADDRESSES:
        return _folded(name, _Addresses(name, value).words())
    if value.isascii() and len(value) <= LONGEST_UNFOLDED:
        return f"{name}: {value}\r\n".encode("ascii")
    if known in PHRASES:
        return _folded(name, _Phrases(name, value).words())
    if known in TOKENS or known.startswith(SERVICE):
        return _folded(name, _Tokens(name, value).words())
    return _folded(name, _unstructured(name, value))


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
        _check(name, display)
        if not display:
            lines.append(address)
        elif display.isascii() and len(display) <= LONGEST_PLAIN_NAME:
            lines.append(f"{_plain_phrase(display)} <{address}>")
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
    return _unquoted(found["name"].strip()), found["address"]


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
    """
    A parameter of a MIME header, in pieces that each fit on a line. Source: RFC 2231, 3 and 4.

    Raises:
        InvalidMessage: the value holds a control character or half of a surrogate pair.
    """
    _check(name, value)
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


def _check(name: str, value: str) -> None:
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


def _plain_phrase(text: str) -> str:
    return '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"')) if _NO_ATOM.search(text) else text


def _unquoted(text: str) -> str:
    return _ESCAPED.sub(r"\1", text[1:-1]) if len(text) > 1 and text[0] == text[-1] == '"' else text


@attrs.define
class _Tokens:
    """The words of a structured header, of which only comments are encoded."""

    name: str
    value: str
    done: list[str] = attrs.field(factory=list)

    def words(self) -> list[str]:
        """All of them, in ASCII; what stood together stays together, but for two things in angle brackets."""
        word = ""
        for kind, text in self._tokens():
            if kind == "blank" or (kind == "angle" and word) or not text.isascii():
                self.done += [word] if word else []
                word = ""
            if kind == "comment" and not text.isascii():
                self.done += self._comment(text)
            elif kind != "blank":
                word += self._plain(text)
        return self.done + ([word] if word else [])

    def _tokens(self) -> Iterator[tuple[str, str]]:
        """Kind and text of each token, a comment with what is nested in it."""
        position = 0
        while (found := _TOKEN.match(self.value, position)) is not None:
            position = found.end()
            if found.lastgroup == "comment":
                begin, depth = found.start(), 1
                while depth and (mark := _IN_COMMENT.search(self.value, position)) is not None:
                    depth += {"(": 1, ")": -1}.get(mark[0], 0)
                    position = mark.end()
                if depth:
                    raise self._malformed('a "(" has no ")"')
                yield "comment", self.value[begin:position]
            else:
                yield str(found.lastgroup), found[0]

    def _comment(self, text: str) -> list[str]:
        if text.isascii() and len(text) <= LONGEST_UNFOLDED:
            return [text]
        first, *others = encoded_words(_ESCAPED.sub(r"\1", text[1:-1]), self._used + 2)
        words = [f"({first}", *others]
        words[-1] += ")"
        return words

    def _phrase(self, text: str) -> list[str]:
        """A phrase, quoted where it has to be. Source: RFC 5322, 3.2.5."""
        if text.isascii() and len(text) <= LONGEST_PLAIN_NAME:
            return [_plain_phrase(text)] if text else []
        return encoded_words(text, self._used)

    @property
    def _used(self) -> int:
        """Characters of the line that are taken: by the header's name, where nothing else is on it yet."""
        return 0 if self.done else len(self.name) + 2

    def _attach(self, mark: str) -> None:
        """Put a mark after the last word; an encoded-word has a blank after it. Source: RFC 2047, 5 (3)."""
        if self.done and self.done[-1].endswith("?="):
            self.done += [mark] if mark else []
        elif self.done:
            self.done[-1] += mark

    def _plain(self, text: str) -> str:
        if not text.isascii():
            raise InvalidMessage(
                f"header {self.name} holds {_shown(text)}, where only ASCII may stand: write a link percent-encoded, "
                "a domain in Punycode (xn--)."
            )
        return text

    def _malformed(self, what: str) -> InvalidMessage:
        return InvalidMessage(f"header {self.name} is malformed: {what}.")


@attrs.define
class _Phrases(_Tokens):
    """The words of a header that holds phrases, and ids in angle brackets."""

    def words(self) -> list[str]:
        """All of them, in ASCII."""
        phrase = ""
        for kind, text in [*self._tokens(), ("mark", "")]:
            if kind not in ("angle", "mark", "comment"):
                phrase += " " if kind == "blank" else _unquoted(text)
                continue
            self.done += self._phrase(phrase.strip(" "))
            phrase = ""
            if kind == "mark":
                self._attach(text)
            else:
                self.done += self._comment(text) if kind == "comment" else [self._plain(text)]
        return self.done


@attrs.define
class _Addresses(_Tokens):
    """The words of a list of addresses: what stands before one in angle brackets is its name. Source: RFC 5322, 3.4."""

    in_group: bool = False
    is_separate: bool = True
    """Whether the next member needs no comma before it."""

    def words(self) -> list[str]:
        """All of them, in ASCII; members that name nobody are left out."""
        member: list[tuple[str, str]] = []
        for kind, text in [*self._tokens(), ("mark", "")]:
            if kind != "mark":
                member.append((kind, text))
                continue
            if written := self._group(member) if text == ":" else self._member(member):
                if not self.is_separate:
                    self._attach(",")
                self.done += written
            self._end(text, wrote=bool(written))
            member = []
        if self.in_group:
            raise self._malformed('a name with a colon needs quotes, and a group ends with ";"')
        if not self.done:
            raise self._malformed("it names nobody")
        return self.done

    def _end(self, mark: str, *, wrote: bool) -> None:
        if mark == ":":
            self._attach(":")
            self.in_group = self.is_separate = True
        elif mark == ";" and self.in_group:
            self._attach(";")
            self.in_group = self.is_separate = False
        elif wrote:
            self.is_separate = False

    def _group(self, name: list[tuple[str, str]]) -> list[str]:
        words = self._phrase(_joined(name))
        if not words or self.in_group or any(kind not in ("blank", "word", "quoted") for kind, _ in name):
            raise self._malformed("a name with a colon needs quotes")
        return words

    def _member(self, tokens: list[tuple[str, str]]) -> list[str]:
        for kind, text in tokens:
            if kind == "stray":
                raise self._malformed(f"{text!r} cannot stand outside quotes")
        comments = [word for kind, text in tokens if kind == "comment" for word in self._comment(text)]
        tokens = [token for token in tokens if token[0] != "comment"]
        angles = [number for number, (kind, _) in enumerate(tokens) if kind == "angle"]
        if not angles:
            address = "".join(text for _, text in tokens).strip(" \t")
            return [self._address(address), *comments] if address else []
        if len(angles) > 1 or _joined(tokens[angles[0] + 1 :]):
            raise self._malformed("something follows an address in angle brackets: put a comma between two addresses")
        address = self._address(tokens[angles[0]][1][1:-1].strip(" \t"))
        return [*self._phrase(_joined(tokens[: angles[0]])), f"<{address}>", *comments]

    def _address(self, text: str) -> str:
        if text and "@" not in text:
            raise self._malformed(f"{_shown(text)} is no address, and a name with a comma needs quotes")
        return check_address(f"header {self.name}:", text)


def _joined(tokens: Iterable[tuple[str, str]]) -> str:
    return "".join(" " if kind == "blank" else _unquoted(text) for kind, text in tokens).strip(" ")


def _shown(text: str) -> str:
    return ascii(text[:200])
