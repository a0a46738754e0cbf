"""
The words of a structured header, in ASCII: which of them may be encoded-words, and which stay as they are.

Decides it by the grammar of each header: of a list of addresses the display names and comments, of phrases the phrases,
of everything else the comments alone. What a receiver's program has to read (an address, an id, a link) is never
encoded. It must not know how words are folded into lines.

Source:
    RFC 5322, 3.2.5 and 3.4; RFC 2047, 5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import attrs

from .._model.addresses import check_address
from .._model.errors import InvalidMessage
from .encoded import encoded_words

LONGEST_UNFOLDED = 900
"""Characters of a value in ASCII that are left on one line, as they are."""

LONGEST_PLAIN_NAME = 200
"""Characters of a name in ASCII that is written as it is; longer ones are encoded-words, which can be folded."""

_NO_ATOM = re.compile(r"[^A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]|^ | $|  ")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_TOKEN = re.compile(
    r"""
      (?P<blank> [ \t]+ )
    | (?P<quoted> "(?:[^"\\]|\\.)*+" )
    | (?P<open> "(?:[^"\\]|\\.)*+ )
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


def structured_words(name: str, value: str) -> list[str] | None:
    """
    The words of a header's value; None where the header is of no known structure.

    Raises:
        InvalidMessage: the value is not what the header's grammar has, or holds other letters where only ASCII may be.
    """
    known = name.lower()
    if known in ADDRESSES:
        return _Addresses(name, value).words()
    if known in PHRASES:
        return _Phrases(name, value).words()
    if known in TOKENS or known.startswith(SERVICE):
        return _Tokens(name, value).words()
    return None


def plain_phrase(text: str) -> str:
    """A phrase in ASCII, in quotes where it needs them."""
    return '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"')) if _NO_ATOM.search(text) else text


def unquoted(text: str) -> str:
    """What a quoted string says; any other text as it is."""
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
            return [plain_phrase(text)] if text else []
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
                phrase += " " if kind == "blank" else unquoted(text)
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
            if kind in ("stray", "open"):
                raise self._malformed(f"{text[0]!r} cannot stand outside quotes")
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
    return "".join(" " if kind == "blank" else unquoted(text) for kind, text in tokens).strip(" ")


def _shown(text: str) -> str:
    return ascii(text[:200])
