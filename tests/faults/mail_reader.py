"""
A second reader of mail, written for `damaged_mail` from the same documents as the product's, with nothing of it.

It is slow and simple where the product is not: lines in lists, quoted texts and comments blotted out character by
character, then the rest cut at commas. It has no sentences: what it cannot read is None.

Source: RFC 5322 (2.2, 3.4, 3.6.6, 4.4), RFC 5321 (4.1.2), and what `docs/cli.md` says about files and lines.
"""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

BLOT = "\ue000"
"""Stands for a quoted text; its number follows in characters of the private use area."""
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_MAILBOX = re.compile(
    rf'(?:(?:{_ATEXT}|\.)+|"(?:[ !#-\[\]-~]|\\[ -~])*")@(?=.)(?![.-])(?!.*[.-]$)[A-Za-z0-9.-]+',
)

_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


@dataclass(frozen=True)
class Seen:
    """
    What a message comes to.

    Args:
        mail_from: its return address.
        recipients: whom it goes to.
        content: the bytes that go out; None where they are composed.
    """

    mail_from: str
    recipients: tuple[str, ...]
    content: bytes | None


def blotted(text: str) -> tuple[str, list[str]] | None:
    """The text with comments as blanks and quoted texts as blots, and the quoted texts."""
    out: list[str] = []
    quoted: list[str] = []
    depth, quote = 0, ""
    position = 0
    while position < len(text):
        char = text[position]
        escaped = char == "\\" and (depth or quote)
        piece = text[position : position + 2] if escaped else char
        if escaped and len(piece) < 2:
            return None
        position += len(piece)
        if quote:
            quote += piece
            if piece == '"':
                out.append(BLOT + chr(0xF0000 + len(quoted)))
                quoted.append(quote)
                quote = ""
        elif depth:
            depth += {"(": 1, ")": -1}.get(piece, 0)
        elif piece == "(":
            depth = 1
            out.append(" ")
        elif piece == '"':
            quote = piece
        elif piece in ")\\" or (ord(piece) < 32 and piece != "\t") or piece == "\x7f":
            return None
        else:
            out.append(" " if piece == "\t" else piece)
    return None if depth or quote else ("".join(out), quoted)


def address_list(value: str) -> list[str] | None:
    """The addresses in the value of an address header."""
    value = value.replace("\r\n", "")
    if len(value) > 65536:
        return None
    clean = blotted(value)
    if clean is None:
        return None
    text, quoted = clean
    # Commas of a route are no separators: "<@a,@b:c@d>" keeps only what follows its colon.
    text = re.sub(r"<(?:[ ,]*@[^<>@:;,]*)(?:,[ ]*(?:@[^<>@:;,]*)?)*:", "<", text)
    members: list[str] = []
    in_group, group_has, pieces = False, False, re.split(r"([,;])", text)
    for piece, delimiter in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
        found = re.fullmatch(r"(?:([^:<>@]*[^:<>@ ][^:<>@]*):)?([^:]*)", piece)
        if found is None or (found[1] and in_group):
            return None
        if found[1]:
            in_group, group_has = True, False
        address = _in_member(found[2], quoted)
        if address is None:
            return None
        if address:
            members.append(address)
            group_has = True
        if delimiter == ";":
            in_group = False
    if in_group and group_has:
        return None
    return members if all(is_mailbox(member) for member in members) else None


def _in_member(text: str, quoted: list[str]) -> str | None:
    """The address of one member; empty where it has none."""
    found = re.fullmatch(r"[^<>]*<([^<>]*)> *|([^<>]*)", text)
    if found is None:
        return None
    bare = found[1] if found[1] is not None else found[2]
    bare = re.sub(r" *([.@]) *", r"\1", re.sub(" +", " ", bare)).strip(" ")
    return re.sub(f"{BLOT}(.)", lambda blot: quoted[ord(blot[1]) - 0xF0000], bare)


def is_mailbox(text: str) -> bool:
    """Whether an envelope takes it."""
    return len(text) <= 320 and _MAILBOX.fullmatch(text) is not None


def lines_of(raw: bytes) -> list[bytes]:
    """The lines, with CRLF at the end of each but perhaps the last one."""
    return re.findall(rb"[^\n]*\n|[^\n]+", re.sub(rb"\r\n|\r|\n", b"\n", raw))


def message(raw: bytes) -> Seen | None:
    """One message, with its headers as its envelope."""
    sections = _sections(raw)
    return None if sections is None else _with_envelope(*sections)


def _sections(raw: bytes) -> tuple[dict[str, list[str]], bytes] | None:
    """The values of its headers by their names, and the bytes that go out."""
    if b"\0" in raw or not raw.strip():
        return None
    lines = [line.replace(b"\n", b"\r\n") for line in lines_of(raw)]
    fields: list[list[bytes]] = []
    end = 0
    for line in lines:
        if line == b"\r\n":
            break
        end += 1
        if line[:1] in (b" ", b"\t"):
            if not fields:
                return None
            fields[-1].append(line)
            continue
        name, colon, _ = line.partition(b":")
        if not colon or not name or any(not 32 < octet < 127 for octet in name):
            return None
        fields.append([line])
    if not fields:
        return None
    named: dict[str, list[str]] = {}
    kept: list[bytes] = []
    for field in fields:
        name, _, rest = b"".join(field).partition(b":")
        key = name.decode().lower()
        named.setdefault(key, []).append(rest.decode("utf-8", "replace").removesuffix("\r\n"))
        if key not in ("bcc", "resent-bcc"):
            kept += field
    return named, b"".join([*kept, *lines[end:]])


def _with_envelope(named: dict[str, list[str]], content: bytes) -> Seen | None:
    dates = len(named.get("resent-date", []))
    resent = any(name in named for name in ("resent-to", "resent-cc", "resent-bcc"))
    if dates > 1 or (resent and not dates):
        return None
    prefix = "resent-" if dates else ""
    found: dict[str, list[str]] = {}
    for name in ("sender", "from", "to", "cc", "bcc"):
        lists = [address_list(value) for value in named.get(prefix + name, [])]
        # A malformed From does not matter where Sender says who it was.
        if None in lists and not (name == "from" and found["sender"]):
            return None
        found[name] = [address for each in lists if each for address in each]
    senders = found["sender"] or found["from"]
    recipients = tuple(dict.fromkeys(found["to"] + found["cc"] + found["bcc"]))
    if not senders or not 0 < len(recipients) <= 50:
        return None
    return Seen(senders[0], recipients, content)


def eml(raw: bytes) -> Seen | None:
    """An `.eml` file."""
    if _is_wide(raw):
        return None
    raw = raw[3:] if raw[:3] == b"\xef\xbb\xbf" else raw
    if raw[:5] == b"From " and re.search(rb"[\r\n]", raw):
        lines = re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", raw)
        if any(_is_dated(lines, number) for number in range(1, len(lines))):
            return None
        raw = b"".join(lines[1:])
    return message(raw)


def mbox(raw: bytes) -> list[Seen | None] | None:
    """The messages of an mbox; None where it is none at all."""
    if _is_wide(raw):
        return None
    raw = raw[3:] if raw[:3] == b"\xef\xbb\xbf" else raw
    lines = re.findall(rb"[^\n]*\n|[^\n]+", raw)
    starts = [
        number
        for number, line in enumerate(lines)
        if line[:5] == b"From " and (number == 0 or not lines[number - 1].strip(b"\r\n") or _is_dated(lines, number))
    ]
    before = lines[: starts[0]] if starts else lines
    seen: list[Seen | None] = [None] if b"".join(before).strip() or not starts else []
    for start, stop in zip(starts, [*starts[1:], len(lines)], strict=False):
        body = lines[start + 1 : stop]
        if body and not body[-1].strip(b"\r\n"):
            body.pop()
        seen.append(message(b"".join(re.sub(rb"^>(?=>*From )", b"", line) for line in body)))
    return seen


def _is_dated(lines: list[bytes], number: int) -> bool:
    line = lines[number]
    after = lines[number + 1] if number + 1 < len(lines) else b""
    has_time = re.search(rb"(?<![A-Za-z0-9_])[0-9][0-9]?:[0-9][0-9]", line[5:]) is not None
    has_year = re.search(rb"(?<![A-Za-z0-9_])(?:19|20)[0-9][0-9](?![A-Za-z0-9_])", line[5:]) is not None
    name = after.split(b":")[0]
    is_header = b":" in after and name != b"" and all(32 < octet < 127 for octet in name)
    return line[:5] == b"From " and has_time and has_year and is_header


def _is_wide(raw: bytes) -> bool:
    first, second = (*raw[:2], 255, 255)[:2] if raw else (255, 255)
    return (
        raw[:2] in (b"\xff\xfe", b"\xfe\xff") or (0 < first < 128 and second == 0) or (first == 0 and 0 < second < 128)
    )


def line(raw: bytes) -> Seen | None:
    """The envelope of one JSON line; its content where it is given whole. Only of a line that the product takes."""
    try:
        record = json.loads(raw.decode("utf-8"), object_pairs_hook=_pairs)
        names = ("to", "cc", "bcc")
        recipients = tuple(_angle(text) for name in names for text in record.get(name, []))
        seen = Seen(_angle(record["from"]), recipients, None)
        if not 0 < len(recipients) <= 50 or not all(map(is_mailbox, [seen.mail_from, *recipients])):
            return None
        if "raw" in record:
            text = "".join(record["raw"].split())
            if not _BASE64.fullmatch(text):
                return None
            sections = _sections(base64.b64decode(text))
            return None if sections is None else Seen(seen.mail_from, recipients, sections[1])
        return seen
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("twice")
    return dict(pairs)


def _angle(text: str) -> str:
    """A name may hold what is not seen (U+FEFF, a joiner), but no control character and no half of a pair."""
    is_text = not any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in text)
    return text.rpartition("<")[2].rpartition(">")[0] if "<" in text and is_text else text
