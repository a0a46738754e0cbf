"""
What the service does not take, whatever the rate: malformed addresses and contents, and its words for them.

Decides by bytes and text alone; how a door says it (`554 Transaction failed: …`, BadRequestException) is the door's
business. Where the service's words are not known, the words are ours; `docs/simulator.md` names them.

Source:
    Addresses: JavaMail's `InternetAddress.checkAddress`, whose words SES answers with (captured: openstax/accounts#253,
    GoodDollar/GoodDAPP#3730, egulias/EmailValidator#414, 18F/identity-idp#7380). Headers: Amazon SES Developer Guide,
    "Amazon SES header fields", and the SES API v2 reference, RawMessage. Read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

LINE_LENGTH: Final = 998
"""Octets of a line without its CRLF. Source: RawMessage, "can't exceed 1,000 characters"; RFC 5321, 4.5.3.1.6."""

MISSING_DOMAIN: Final = "Missing final '@domain'"
MISSING_FROM: Final = "Missing required header 'From'."
MISSING_QUOTE: Final = "Missing '\"'"
HEADER_NOT_ASCII: Final = "Header contains non-ASCII characters."
LINE_TOO_LONG: Final = "Line length exceeds 1000 characters."

_ONCE: Final = """
Accept-Language acceptLanguage Archived-At Auto-Submitted Bounces-to Comments Content-Alternative Content-Base
Content-Class Content-Description Content-Disposition Content-Duration Content-ID Content-Language
Content-Length Content-Location Content-MD5 Content-Transfer-Encoding Content-Type Date Delivered-To
Disposition-Notification-Options Disposition-Notification-To DKIM-Signature DomainKey-Signature Errors-To From
Importance In-Reply-To Keywords List-Archive List-Help List-Id List-Owner List-Post List-Subscribe
List-Unsubscribe List-Unsubscribe-Post Message-Context Message-ID MIME-Version Organization Original-From
Original-Message-ID Original-Recipient Original-Subject Precedence Priority References Reply-To Return-Path
Return-Receipt-To Sender Solicitation Sensitivity Subject Thread-Index Thread-Topic User-Agent VBR-Info
"""
ONCE: Final = {name.lower(): name for name in _ONCE.split()}
"""The headers that a message has at most once, in lower case → as the documentation writes them."""

OWN: Final = "x-ses-"
"""How the service's own headers begin; here they are at most once too, which the documentation does not say."""

_SPECIALS: Final = frozenset('()<>,;:\\"[]')
_FIELD: Final = re.compile(rb"^([!-9;-~]+)[ \t]*:([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)", re.MULTILINE)
_END_OF_HEADERS: Final = re.compile(rb"\A\r?\n|\r?\n\r?\n")
_QUOTED: Final = r'"(?:\\.|[^"\\])*"'
_PIECE: Final = re.compile(
    rf'{_QUOTED}|(?P<angle><(?:{_QUOTED}|[^<>"])*>)|\[[^\[\]]*\]|[^"<\[(),;:\\]+|\\?.', re.DOTALL
)


def address_refusal(address: str) -> str | None:
    """What is wrong with an address without name and angle brackets, in the service's words; None for nothing."""
    quoted = re.match(_QUOTED, address, re.DOTALL)
    local, at, domain = address[quoted.end() if quoted else 0 :].partition("@")
    if any(_is_control_or_blank(character) for character in local):
        return "Local address contains control or whitespace"
    if not at:
        return MISSING_DOMAIN
    if not (quoted or local):
        return "Missing local name"
    if not _SPECIALS.isdisjoint(local):
        return "Local address contains illegal character"
    return _domain_refusal(domain)


def mailboxes_refusal(value: str) -> str | None:
    """What is wrong with the addresses of a header's value, or of one request field; None for nothing."""
    if re.sub(rf"{_QUOTED}|\\\\.", "", value, flags=re.DOTALL).count('"'):
        return MISSING_QUOTE
    return next((problem for address in _addresses(value) if (problem := address_refusal(address))), None)


def content_refusal(content: bytes, *, sender_is_given: bool = False) -> str | None:
    """
    What is wrong with a content, in the service's words; None for nothing.

    Args:
        content: headers and body, as they arrived.
        sender_is_given: whether the request names the sender beside the content, as the API can; the header From is
            then neither needed nor read.
    """
    end = _END_OF_HEADERS.search(content)
    head = content[: end.start() if end else len(content)]
    fields = [(match[1].decode("ascii").lower(), match) for match in _FIELD.finditer(head)]
    names = [name for name, _ in fields]
    if "from" not in names and not (sender_is_given and names):
        return MISSING_FROM
    if (twice := _first_twice(names)) is not None:
        return f"Duplicate header '{ONCE.get(twice) or fields[names.index(twice)][1][1].decode()}'."
    read = {"to"} if sender_is_given else {"from", "to"}
    for name, match in fields:
        if name in read and (problem := mailboxes_refusal(match[2].decode("utf-8", "replace"))):
            return problem
    if not head.isascii():
        return HEADER_NOT_ASCII
    if len(content) > LINE_LENGTH and any(len(line.rstrip(b"\r")) > LINE_LENGTH for line in content.split(b"\n")):
        return LINE_TOO_LONG
    return None


def _domain_refusal(domain: str) -> str | None:
    if not domain:
        return "Missing domain"
    if domain.startswith("["):
        return None
    if domain.startswith("."):
        return "Domain starts with dot"
    for character in domain:
        if _is_control_or_blank(character):
            return "Domain contains control or whitespace"
        if not (character.isalnum() or character in "-."):
            return "Domain contains illegal character"
    if ".." in domain:
        return "Domain contains dot-dot"
    return "Domain ends with dot" if domain.endswith(".") else None


def _is_control_or_blank(character: str) -> bool:
    return character <= " " or character >= "\x7f"


def _addresses(value: str) -> Iterator[str]:
    """The addresses of a list, without names, comments and the words around a group."""
    text, angled, depth = "", None, 0
    for piece in [*_PIECE.finditer(value), None]:
        word = "," if piece is None else piece[0]
        if depth or word == "(":
            depth += (word == "(") - (word == ")")
        elif piece is not None and piece["angle"]:
            angled = word[1:-1].strip()
        elif word in ",;":
            found = text.strip() if angled is None else angled
            if found or angled is not None:
                yield found
            text, angled = "", None
        elif word == ":":
            text = ""
        else:
            text += word


def _first_twice(names: list[str]) -> str | None:
    seen = set[str]()
    for name in names:
        if name in seen and (name in ONCE or name.startswith(OWN)):
            return name
        seen.add(name)
    return None
