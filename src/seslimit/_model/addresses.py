r"""
Addresses: one bare address as an envelope takes it, and the lists of them that address headers hold.

Decides what an address is and which addresses a header names. The standard library's reader is not used, because it
reads the same header differently on different versions of Python; this one is a single pass over the text without
recursion, so that its time grows with the length and with nothing else.

The grammar is RFC 5322, 3.4, with the obsolete forms of 4.4 (empty members, routes, blanks around "." and "@"), and
as mail has it: in `name <address>` the name may be anything without `,;:<>()"\`, an address included; ";" parts
members as "," does, as Outlook writes it; `<>` names nobody. Whatever else it finds is refused: whom to send to is
never guessed.
"""

from __future__ import annotations

import re

import attrs

from .errors import InvalidMessage, printable

MAX_ADDRESS_LENGTH = 320
"""Octets of an address: 64 for the local part, "@", 255 for the domain. Source: RFC 5321, 4.5.3.1."""

MAX_LIST_LENGTH = 64 * 1024
"""Characters of one address header that are read: four times what 50 of the longest addresses take."""

_ADDRESS = re.compile(
    r"""
    (?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+ | "(?: [\ !#-\[\]-~] | \\[\ -~] )*" )   # local part: atom or quoted string
    @ [A-Za-z0-9] (?: [A-Za-z0-9.-]* [A-Za-z0-9] )?                             # domain, in ASCII
    """,
    re.VERBOSE,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_NO_DOMAIN = re.compile(r"[^A-Za-z0-9.-]|^[.-]|[.-]$")
_NO_ATOM = re.compile(r"[^A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]")

_TOKEN = re.compile(
    r"""
    (?P<blank> [ \t]+ )
    | (?P<quoted> " (?: [^"\\] | \\. )*+ " )
    | (?P<mark> [,;:<>@] )
    | (?P<comment> \( )
    | (?P<word> [^\x00-\x20\x7f,;:<>@()"\\]+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_IN_COMMENT = re.compile(r"\\.|[()]", re.DOTALL)
_ROUTE = re.compile(r",*@[^,@]+(?:,(?:@[^,@]+)?)*")
_BLANK = " "


def check_address(field: str, address: str) -> str:
    """
    The address as it was, if it can be written to an envelope.

    Args:
        field: what it is, for the sentence of the error.
        address: the bare address.

    Raises:
        InvalidMessage: it is no text, no mailbox (`local@domain`, ASCII), is too long, or holds a control character.
    """
    if not isinstance(address, str):
        raise InvalidMessage(f"{field} is of type {type(address).__name__}: write one bare address as text.")
    if _ADDRESS.fullmatch(address) and len(address) <= MAX_ADDRESS_LENGTH:
        return address
    if not address:
        raise InvalidMessage(f"{field} is an empty text: write one bare address of the form local@domain.")
    raise InvalidMessage(f"{field} '{printable(address)}' {_objection(address)}")


def _objection(address: str) -> str:
    """What is wrong with it and what to do, as the end of a sentence."""
    local, at, domain = address.rpartition("@")
    if _CONTROL.search(address):
        return "holds CR, LF or another control character: pass one bare address."
    if len(address) > MAX_ADDRESS_LENGTH:
        return f"is longer than {MAX_ADDRESS_LENGTH} characters."
    if address != address.strip():
        return "begins or ends with a blank: write the bare address, local@domain."
    if at and not local.isascii():
        return "is not ASCII before the @, which SES does not take: use another address."
    if not address.isascii():
        return "is not ASCII, as SES needs it: write the domain in Punycode (xn--)."
    if "@" in local and not local.startswith('"'):
        return "is not an address of the form local@domain: it holds more than one @."
    if local and domain and (found := _NO_ATOM.search(local)) and not local.startswith('"'):
        return f"is not an address of the form local@domain: {found[0]!r} cannot stand before the @."
    if local and domain and (found := _NO_DOMAIN.search(domain)):
        return f"is not an address of the form local@domain: {found[0]!r} cannot stand there in a domain."
    return "is not an address of the form local@domain."


def listed_addresses(field: str, text: str) -> list[str]:
    """
    The addresses that an address header names, in their order.

    Args:
        field: what the header is called in the sentence of the error.
        text: its value; folded or not.

    Raises:
        InvalidMessage: it is not a list of addresses, or one of them is none that an envelope takes.
    """
    unfolded = text.replace("\r", "").replace("\n", "")
    if len(unfolded) > MAX_LIST_LENGTH:
        raise InvalidMessage(f"{field} is longer than {MAX_LIST_LENGTH:,} characters: split the message.")
    return _List(field, unfolded).read()


@attrs.define
class _List:
    """One reading of one header: the tokens of the member that is being read, and what was read before."""

    field: str
    text: str
    found: list[str] = attrs.field(factory=list)
    member: list[str] = attrs.field(factory=list)
    """Tokens since the last separator; a comment is a blank."""
    bracket: list[str] | None = None
    """Tokens since the "<" that is open."""
    is_read: bool = False
    """Whether the member's address stood in angle brackets, so that nothing may follow it."""
    group_begins_at: int | None = None
    """How many addresses had been found before the group that is open."""

    def read(self) -> list[str]:
        position, end = 0, len(self.text)
        while position < end:
            token = _TOKEN.match(self.text, position)
            if token is None:
                raise self._malformed(self._unexpected(self.text[position]))
            position = token.end()
            if token.lastgroup == "comment":
                position = self._after_comment(position)
                self._word(_BLANK)
            elif token.lastgroup == "mark":
                self._mark(token[0])
            else:
                self._word(_BLANK if token.lastgroup == "blank" else token[0])
        if self.bracket is not None:
            raise self._malformed('a "<" has no ">"')
        self._end_member()
        if self.group_begins_at not in (None, len(self.found)):
            raise self._malformed('a name with a colon needs quotes, and a group ends with ";"')
        return self.found

    def _after_comment(self, position: int) -> int:
        depth = 1
        while depth:
            found = _IN_COMMENT.search(self.text, position)
            if found is None:
                raise self._malformed('a "(" has no ")"')
            depth += {"(": 1, ")": -1}.get(found[0], 0)
            position = found.end()
        return position

    def _word(self, token: str) -> None:
        if self.bracket is not None:
            self.bracket.append(token)
        elif self.is_read and token != _BLANK:
            raise self._malformed("something follows the address in angle brackets: put a comma between two addresses")
        else:
            self.member.append(token)

    def _mark(self, mark: str) -> None:
        if self.bracket is not None and mark not in "<>;":
            self.bracket.append(mark)
        elif self.bracket is not None:
            self._end_bracket(mark)
        elif mark in ",;":
            self._end_member()
            if mark == ";":
                self.group_begins_at = None
        elif mark == ":":
            self._begin_group()
        elif mark == "<" and not self.is_read:
            self.bracket = []
        elif mark == ">":
            raise self._malformed('a ">" has no "<"')
        else:
            self._word(mark)

    def _begin_group(self) -> None:
        if not _joined(self.member) or "@" in self.member or self.is_read or self.group_begins_at is not None:
            raise self._malformed("a name with a colon needs quotes")
        self.group_begins_at = len(self.found)
        self.member = []

    def _end_bracket(self, mark: str) -> None:
        if mark != ">" or self.bracket is None:
            raise self._malformed('a "<" has no ">"')
        if address := _joined(_without_route(self.bracket)):
            self.found.append(check_address(self.field, address))
        self.bracket, self.is_read = None, True

    def _end_member(self) -> None:
        address = "" if self.is_read else _joined(self.member)
        if address and "@" not in self.member:
            raise self._malformed(
                f"{printable(address)!r} is not an address of the form local@domain, and a name with a comma needs "
                "quotes"
            )
        if address:
            self.found.append(check_address(self.field, address))
        self.member, self.is_read = [], False

    def _unexpected(self, character: str) -> str:
        if character == '"':
            return "a quotation mark has no second one"
        return f"{character!r} cannot stand outside quotes"

    def _malformed(self, what: str) -> InvalidMessage:
        return InvalidMessage(f"{self.field} is not a list of addresses: {what}.")


def _joined(tokens: list[str]) -> str:
    """The tokens of an address together, without the blanks that may stand at its ends and around "." and "@"."""
    joined: list[str] = []
    for token in tokens:
        if token == _BLANK:
            if joined and joined[-1] != _BLANK:
                joined.append(_BLANK)
            continue
        if len(joined) > 1 and joined[-1] == _BLANK and (_is_open(joined[-2], -1) or _is_open(token, 0)):
            joined.pop()
        joined.append(token)
    return "".join(joined).strip(_BLANK)


def _is_open(word: str, side: int) -> bool:
    """Whether an address goes on beyond a blank on that side of a word."""
    return word == "@" or word[side] == "."


def _without_route(tokens: list[str]) -> list[str]:
    """What stands in angle brackets without the route before it. Source: RFC 5322, 4.4, obs-route."""
    if ":" not in tokens:
        return tokens
    end = tokens.index(":")
    route = "".join(token for token in tokens[:end] if token != _BLANK)
    return tokens[end + 1 :] if _ROUTE.fullmatch(route) else tokens
