"""
Damaged and unusual mail by the million: `.eml`, mbox and JSON lines, made by their structure and then broken.

Every case is either sent to exactly the recipients, and with exactly the bytes, that a second reader finds
(`mail_reader`, which shares nothing with the product), or refused in one sentence. What was made by the rules and not
broken has to be sent, to those whom it was made for. `python -m tests.faults.damaged_mail --cases 1000000` prints the
counts; `--python PATH` (repeated) runs the same cases on other Pythons, and says whether all came to the same verdicts.

A case is its number: the same seed and number make the same bytes on every machine and every Python.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import email
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seslimit import ConfigurationError, InvalidMessage, Message
from seslimit.cli._inputs import BadEntry, Entry, Reading, open_input
from tests.faults import mail_reader
from tests.faults.mail_reader import Seen

BATCH = 200
"""Cases that are read in a row."""

SLOW = 60
"""Seconds after which a batch hangs; it takes 0.1 s."""

LONGEST_SENTENCE = 1000
"""Characters of a refusal; a reply of 512 and the words around it."""

Envelope = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Case:
    """One file, or one line: its bytes, and what it was made for; None where it was broken afterwards."""

    kind: str
    raw: bytes
    made_for: tuple[Envelope, ...] | None


# Addresses and lists of them, as text in which half of a surrogate pair stands for a byte outside UTF-8.

ATOMS = ("ann", "bob.b", "o'neil", "x+tag", "a_b", "1", "bounces+1=2", "=?utf-8?q?x?=", "#$%&*!/?^`{|}~-")
DOMAINS = ("example.org", "mail.example.net", "x.test", "xn--bcher-kva.example", "localhost", "a-b.c-d.example")
NAMES = (
    "Ann", "Ann B. Cee", "J\u00fcrgen", "J\udcfcrgen", "=?utf-8?b?SsO8cmdlbg==?=", "[Ticket] #1", "\u65e5\u672c",
    "eve@example.com", "'eve@example.com'", "Dr. A/B & C", "", "a\u200d\u00a0b",
)  # fmt: skip
QUOTED = ("Doe, Ann", "a;b", "x:y", "<b@c.d>", 'say \\"hi\\"', "back\\\\slash", "J\u00fcrgen", "", "(", "a\r\n b")
COMMENTS = ("", "work", "a, <b@c.d>", "in (two (levels))", "an \\) end", '"', "J\u00fcrgen", "x:y;")


def bare(chance: random.Random) -> str:
    """One address."""
    local = '"a b"' if chance.random() < 0.03 else chance.choice(ATOMS)
    return f"{local}{chance.randrange(100) if local[0] != chr(34) else ''}@{chance.choice(DOMAINS)}"


def member(chance: random.Random) -> tuple[str, list[str]]:
    """One member of a list, and whom it names."""
    address = bare(chance)
    local, _, domain = address.rpartition("@")
    kind = chance.randrange(14)
    if kind == 0:
        return f"({chance.choice(COMMENTS)}) {local} @ ({chance.choice(COMMENTS)}){domain.replace('.', ' . ')}", [
            address
        ]
    if kind == 1:
        return f"{chance.choice(NAMES)} <@r.test,@{chance.choice(DOMAINS)}:{address}>", [address]
    if kind == 2:
        return chance.choice(["", " ", '"x" <>', "<>", "(nobody)"]), []
    if kind == 3:
        inside = [member_of_group(chance) for _ in range(chance.randrange(3))]
        found = [each for _, addresses in inside for each in addresses]
        return f"{chance.choice(['Team', 'undisclosed-recipients'])}:{', '.join(text for text, _ in inside)};", found
    if kind == 4:
        depth = chance.choice([3, 3, 3, 3, 3, 1000])
        return f"{'(' * depth}deep{')' * depth} {address}", [address]
    return member_of_group(chance, address)


def member_of_group(chance: random.Random, address: str = "") -> tuple[str, list[str]]:
    """One member that is no group."""
    address = address or bare(chance)
    kind = chance.randrange(4)
    if kind == 0:
        return address, [address]
    if kind == 1:
        return f"{address} ({chance.choice(COMMENTS)})", [address]
    if kind == 2:
        return f'"{chance.choice(QUOTED)}" <{address}>', [address]
    return f"{chance.choice(NAMES)} <{address}>", [address]


def listed(chance: random.Random, least: int = 0) -> tuple[str, list[str]]:
    """The value of an address header, and whom it names."""
    text, found = "", []
    for number in range(max(least, chance.choice([1, 1, 1, 2, 3, 5]))):
        more, addresses = member(chance)
        text += (chance.choice([", ", ",", ",\r\n ", " ; ", ";\r\n\t"]) if number else "") + more
        found += addresses
    if len(found) < least:
        address = bare(chance)
        return f"{text}, {address}", [*found, address]
    return text + chance.choice(["", "", "", ",", " ", ";"]), found


# Messages.

OTHERS = (
    "Subject: Hello", "Subject: one\r\n two\r\n\tthree", "Date: Mon, 5 Jan 2026 10:00:00 +0000", "X-Empty:",
    "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Subject: Gr\u00fc\u00dfe", "X-Raw: \udcff\udcfe", "MIME-Version: 1.0",
    "Received: from x by y;\r\n Mon, 5 Jan 2026 10:00:00 +0000", "X-Fold: a\r\n \t\r\n b", "Message-ID: <1@x.test>",
    "DKIM-Signature: v=1; a=rsa-sha256; h=to:bcc;\r\n\tb=abc", "X-Long: " + "word " * 300, "bccx: no@example.org",
    "Reply-To: not, read: <at all", 'Content-Type: multipart/mixed; boundary="b"', "From-X: y@example.org",
)  # fmt: skip
TEXTS = (
    "Hello\r\n", "\r\n", ".\r\n..\r\n", "Bcc: text@example.org\r\n", "To: text@example.org\r\n", "\udcff\u00fc\r\n",
    "--b\r\nContent-Type: text/plain\r\n\r\npart\r\n--b--\r\n", "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n",
    "From: text@example.org\r\nTo: text@example.org\r\n\r\ninner\r\n", ">From quoted\r\n", ">>From twice\r\n",
    "no end", "x" * 2000 + "\r\n", "\x0b\x0c\x1c\x85\u2028\r\n", "From here on\r\n", "QUIT\r\n", " \r\n\r\n\r\n",
)  # fmt: skip
RESENT = "Resent-Date: Mon, 5 Jan 2026 10:00:00 +0000"


def cased(chance: random.Random, name: str) -> str:
    """A header's name in one of its spellings."""
    return chance.choice([name, name, name, name.lower(), name.upper(), name.swapcase()])


def composed(chance: random.Random) -> tuple[str, Envelope]:
    """A message by the rules, and whom it is for."""
    prefix = "Resent-" if chance.random() < 0.08 else ""
    sender, senders = listed(chance, 1)
    fields = [(f"{prefix}From", sender)]
    if chance.random() < 0.1:
        text, others = listed(chance)
        fields.append((f"{prefix}Sender", text))
        senders = others or senders
    named: dict[str, list[str]] = {name: [] for name in ("To", "Cc", "Bcc")}
    for name in named:
        for _ in range(chance.choice([0, 1, 1, 2]) if name == "Bcc" else chance.choice([0, 1, 1, 1])):
            text, found = listed(chance)
            fields.append((f"{prefix}{name}", text))
            named[name] += found
    if not any(named.values()):
        text, named["To"] = listed(chance, 1)
        fields.insert(0, (f"{prefix}To", text))
    lines = [f"{cased(chance, name)}:{chance.choice([' ', ' ', ''])}{value}" for name, value in fields]
    if prefix:
        lines = [RESENT, *lines, "From: old@example.org", "To: old@example.net", "Bcc: old@example.com"]
    lines += chance.choices(OTHERS, k=chance.randrange(5))
    text = "".join(chance.choices(TEXTS, k=chance.randrange(4)))
    # In the order in which the recipients are named, for one kind of header; the kinds may stand in any order.
    order = list(range(len(lines)))
    chance.shuffle(order)
    kinds = [line.partition(":")[0].lower() for line in lines]
    waiting = {kind: iter([line for line, other in zip(lines, kinds, strict=True) if other == kind]) for kind in kinds}
    shuffled = "".join(next(waiting[kinds[number]]) + "\r\n" for number in order)
    recipients = tuple(dict.fromkeys(named["To"] + named["Cc"] + named["Bcc"]))
    return f"{shuffled}\r\n{text}", (senders[0], recipients)


def octets(text: str) -> bytes:
    """The bytes of a text."""
    return text.encode("utf-8", "surrogateescape")


def with_ends(chance: random.Random, raw: bytes) -> bytes:
    """The bytes with other line ends, of one kind or mixed."""
    kind = chance.randrange(5)
    if kind < 3:
        return raw.replace(b"\r\n", (b"\r\n", b"\n", b"\n")[kind])
    ends = (b"\r", b"\r\n") if kind == 3 else (b"\n", b"\r\n")
    first, *others = raw.split(b"\r\n")
    return first + b"".join(chance.choice(ends) + other for other in others)


# Breaking.

BAD_LINES = (
    b"wrapped by an editor", b"Bcc : h@example.net", b"X Mailer: foo", b"X-Gr\xc3\xb6\xc3\x9fe: 1", b">From x", b": x",
    b"From x Mon Jan  5 10:00:00 2026", b"", b" ", b"\t", b"\x00", b"--b", b"\xa0", b"Cc: Norton, Ann", b"To: <a@b.c",
    b"Bcc: a@b.c b@c.d", b"Resent-To: x@example.org", b"Resent-Date: Mon", b"Sender: two words", b"Cc: \x1b$B",
    b"To: " + b"a@b.c," * 60, b"To: \xff@example.org", b"Cc: a@b\xc3\xbc.c", b"To: a@b_c.d", b"Cc: x: y: z@b.c;",
    b'To: "open <a@b.c>', b"To: a\\@b@c.d", b"Bcc:\n\n c@d.e", b"Cc: " + b"x, " * 25000, b"Cc: " + b"(" * 1500,
    b"Bcc: " + b"a" * 400 + b"@b.c",
)  # fmt: skip
SPECIALS = (
    *(bytes([octet]) for octet in b'",;:<>()@.\\[] \t\r\n\x00\xff=?>'), b"\r\n", b"\r\n ", b"From ", b"\xef\xbb\xbf",
)  # fmt: skip


def one_line(chance: random.Random, raw: bytes) -> bytes:
    """A line that is malformed, or says something else, among the first lines."""
    lines = raw.splitlines(keepends=True)
    lines.insert(chance.randrange(min(len(lines), 8) + 1), chance.choice(BAD_LINES) + b"\n")
    return b"".join(lines)


def one_octet(chance: random.Random, raw: bytes) -> bytes:
    """An octet more, less, or another one, mostly near the beginning."""
    place = chance.randrange(min(len(raw), chance.choice([60, 300, 100_000])) + 1)
    return raw[:place] + chance.choice((b"", *SPECIALS)) + raw[place + chance.randrange(2) :]


def cut(chance: random.Random, raw: bytes) -> bytes:
    """The beginning or the end is missing."""
    place = chance.randrange(len(raw) + 1)
    return raw[:place] if chance.random() < 0.7 else raw[place:]


def shifted(chance: random.Random, raw: bytes) -> bytes:
    """Two lines changed places, or one is there twice."""
    lines = raw.splitlines(keepends=True)
    if not lines:
        return raw
    first, second = chance.randrange(len(lines)), chance.randrange(len(lines))
    if chance.random() < 0.5:
        lines[first], lines[second] = lines[second], lines[first]
    else:
        lines.insert(second, lines[first])
    return b"".join(lines)


def encoded(chance: random.Random, raw: bytes) -> bytes:
    """Another encoding, or a mark before it."""
    kind = chance.randrange(4)
    text = raw.decode("latin-1")
    return (b"\xef\xbb\xbf" + raw, text.encode("utf-16"), text.encode("utf-16-be"), text.encode("utf-32"))[kind]


def headed(chance: random.Random, raw: bytes) -> bytes:
    """Something before it."""
    return chance.choice((b"\n", b" ", b"\r\n\r\n", b"From x\n", b"From x Mon Jan  5 10:00:00 2026\n", b"x\n")) + raw


BREAKING: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    one_line, one_line, one_line, one_octet, one_octet, one_octet, one_octet, cut, shifted, encoded, headed,
)  # fmt: skip


def broken(chance: random.Random, raw: bytes) -> bytes:
    """The bytes, broken once or more."""
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        raw = chance.choice(BREAKING)(chance, raw)
    return raw


# Files and lines.

FROM_LINES = (
    b"From ann@example.org Mon Jan  5 10:00:00 2026", b"From - Tue Jan 06 10:00:00 2026", b"From x 2026-01-05 10:00",
    b"From 1770000000000000000@xxx Mon Jan 05 10:00:00 +0000 2026", b"From MAILER-DAEMON Mon Jan 5 10:00:00 CET 2026",
)  # fmt: skip


def eml_case(chance: random.Random) -> Case:
    """A file with one message."""
    text, envelope = composed(chance)
    raw = with_ends(chance, octets(text))
    if chance.random() < 0.05:
        raw = b"\xef\xbb\xbf" + raw
    if chance.random() < 0.6:
        return Case("eml", broken(chance, raw), None)
    return Case("eml", raw, (envelope,))


def mbox_case(chance: random.Random) -> Case:
    """A file with several messages, which follow one another with and without an empty line."""
    raw, envelopes = b"\xef\xbb\xbf" if chance.random() < 0.05 else b"", []
    for _ in range(chance.choice([1, 2, 2, 3])):
        text, envelope = composed(chance)
        # As an mbox has it, and as some programs write it: only a line that could be a boundary is protected.
        body = octets(text).replace(b"\r\n", b"\n").replace(b"\nFrom ", b"\n>From ")
        body += b"" if body.endswith(b"\n") else b"\n"
        raw += chance.choice(FROM_LINES) + b"\n" + body + chance.choice([b"\n", b"\n", b""])
        envelopes.append(envelope)
    if chance.random() < 0.5:
        return Case("mbox", broken(chance, raw), None)
    return Case("mbox", raw.replace(b"\n", chance.choice([b"\n", b"\n", b"\r\n"])), tuple(envelopes))


WRONG: tuple[Any, ...] = (
    None, 5, True, [], {}, "", "x", [1], [[]], "a@b.c", ["a@b.c, d@e.f"], 1e308, "\x00", "x\r\ny", -1, ["\ud83d"],
    "\ud83d", {"a": {"b": 1}}, ["ann@example.org"] * 51, [None], ["A <a@b.c>", 3], "J\u00fcrgen <j@example.org>", [""],
)  # fmt: skip
ATTACHED = ("path", "content", "filename", "content_type", "cid", "x")
FIELDS = ("key", "from", "to", "cc", "bcc", "subject", "text", "html", "headers", "attachments", "raw", "reply_to", "x")


def line_case(chance: random.Random) -> Case:
    """A JSON line."""
    mail_from, recipients = bare(chance), [bare(chance) for _ in range(chance.choice([1, 1, 2, 5]))]
    cut_at = chance.randrange(1, len(recipients) + 1)
    record: dict[str, Any] = {
        "from": chance.choice(["{}", "News <{}>", '"News, daily" <{}>']).format(mail_from),
        "to": [chance.choice(["{}", "Ann <{}>"]).format(each) for each in recipients[:cut_at]],
        "bcc" if chance.random() < 0.5 else "cc": recipients[cut_at:],
    }
    if chance.random() < 0.3:
        text, _ = composed(chance)
        record["raw"] = base64.b64encode(with_ends(chance, octets(text))).decode()
    else:
        record |= {"subject": chance.choice(["Hello", "Gr\u00fc\u00dfe", "\U0001f600"]), "text": "Hi\n"}
        if chance.random() < 0.2:
            record["attachments"] = [{"filename": chance.choice(["a.txt", "\u00fc.pdf"]), "content": "eA=="}]
    if chance.random() < 0.3:
        record["key"] = chance.choice(["k", 7, "\u00fc"])
    is_broken = chance.random() < 0.6
    if is_broken and chance.random() < 0.6:
        name = chance.choice(FIELDS)
        record[name] = chance.choice(WRONG)
        if chance.random() < 0.2:
            del record[name]
        elif chance.random() < 0.2:
            record["attachments"] = [
                {"filename": "a", "content": "eA==", chance.choice(ATTACHED): chance.choice(WRONG)}
            ]
    line = json.dumps(record, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    if is_broken and chance.random() < 0.6:
        line = broken_line(chance, line)
    line = line.replace(b"\n", b" ") or b"0"
    return Case("jsonl", line, None if is_broken else ((mail_from, tuple(recipients)),))


def broken_line(chance: random.Random, line: bytes) -> bytes:
    """A line of JSON that is perhaps none any more."""
    pieces = (
        b'"to":["x@y.z"],', b'"key":' + b"9" * 5000 + b",", b'"key":NaN,', b"[" * 2000, b'"\\ud83d":1,', b"{", b"]}",
        b'"from":"a@b.c","from":"a@b.c",', b"\xff", b"\\", b'"', b"1e999", b"\xef\xbb\xbf", b"\x00", b"\\u0000",
        b"\xed\xa0\xbd",
    )  # fmt: skip
    place = chance.choice([1, 1, chance.randrange(len(line) + 1)])
    return line[:place] + chance.choice(pieces) + line[place + chance.randrange(2) :]


KINDS = (eml_case, eml_case, mbox_case, line_case)


def case(seed: int, number: int) -> Case:
    """The case of this number."""
    chance = random.Random(f"{seed}:{number}")
    return chance.choice(KINDS)(chance)


# Judging.


@dataclass
class Verdicts:
    """What came of all cases: counts, a digest of the verdicts in their order, and what was wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0
    digest: Any = field(default_factory=hashlib.sha256)

    def take(self, number: int, made: Case, entries: list[Entry]) -> None:
        """Judge what the product made of one case."""
        theirs = _second(made)
        wrong = _wrong(made, entries, theirs)
        sent = [entry for entry in entries if isinstance(entry, Message)]
        self.counts[f"{made.kind} cases"] += 1
        self.counts[f"{made.kind} messages sent"] += len(sent)
        self.counts[f"{made.kind} messages refused"] += len(entries) - len(sent)
        self.counts[f"{made.kind} refused, though readable"] += sum(
            isinstance(entry, BadEntry) and other is not None for entry, other in zip(entries, theirs, strict=False)
        )
        self.digest.update(repr((number, [_verdict(entry) for entry in entries])).encode())
        if wrong:
            self.wrong.append(f"case {number} ({made.kind}): {wrong}: {made.raw[:400]!r}")


def _verdict(entry: Entry) -> object:
    return (entry.mail_from, entry.recipients) if isinstance(entry, Message) else None


def _second(made: Case) -> list[Seen | None]:
    if made.kind == "eml":
        return [mail_reader.eml(made.raw)]
    return mail_reader.mbox(made.raw) or [None] if made.kind == "mbox" else [mail_reader.line(made.raw)]


def _wrong(made: Case, entries: list[Entry], theirs: list[Seen | None]) -> str | None:
    """What is wrong with the entries that the product found; None for nothing."""
    if made.made_for is not None:
        found = tuple(_verdict(entry) for entry in entries)
        if found != made.made_for:
            shown = [str(entry) for entry in entries if isinstance(entry, BadEntry)]
            return f"made for {made.made_for!r}, found {found!r} {shown}"
    if len(entries) != len(theirs):
        return f"{len(entries)} messages, the second reader finds {len(theirs)}"
    wrongs = [_wrong_entry(entry, other) for entry, other in zip(entries, theirs, strict=True)]
    if made.kind == "eml" and len(made.raw) % 4 == 0:
        wrongs.append(_wrong_object(made.raw, theirs[0]))
    return next((wrong for wrong in wrongs if wrong), None)


def _wrong_entry(entry: Entry, other: Seen | None) -> str | None:
    if isinstance(entry, BadEntry):
        text = str(entry)
        is_sentence = text.isprintable() and text.endswith(".") and len(text) <= LONGEST_SENTENCE
        return None if is_sentence and "a fault of" not in text else f"no sentence: {text!r}"
    assert isinstance(entry, Message)
    if other is None or (entry.mail_from, entry.recipients) != (other.mail_from, other.recipients):
        return f"sent to {entry.recipients!r} from {entry.mail_from!r}, the second reader finds {other!r}"
    if other.content is not None and entry.as_bytes() != other.content:
        return f"goes out as {entry.as_bytes()!r}, the second reader has {other.content!r}"
    return None


def _wrong_object(raw: bytes, other: Seen | None) -> str | None:
    """The same for the message as the standard library's parser has it; where it lost something, nothing is sent."""
    try:
        entry = Message.from_email(email.message_from_bytes(raw))
    except InvalidMessage:
        return None
    if other is not None and (entry.mail_from, entry.recipients) != (other.mail_from, other.recipients):
        return f"as an object sent to {entry.recipients!r}, the second reader finds {other!r}"
    return None


def run(seed: int, first: int, count: int) -> Verdicts:
    """Judge these cases."""
    verdicts = Verdicts()
    for begin in range(first, first + count, BATCH):
        numbers = range(begin, min(begin + BATCH, first + count))
        cases = {number: case(seed, number) for number in numbers}
        signal.alarm(SLOW)  # a hang ends the program, and the traceback says where
        for number, entries, seconds in asyncio.run(_read(cases)):
            verdicts.slowest = max(verdicts.slowest, seconds)
            verdicts.take(number, cases[number], entries)
        signal.alarm(0)
    return verdicts


async def _read(cases: dict[int, Case]) -> list[tuple[int, list[Entry], float]]:
    """What the product finds in each of them, as files; `.eml` in one folder, lines in one file."""
    with tempfile.TemporaryDirectory() as folder:
        return [result async for result in _entries(Path(folder), cases)]


async def _entries(folder: Path, cases: dict[int, Case]) -> Any:
    lines = {number: made for number, made in cases.items() if made.kind == "jsonl"}
    files = {f"{number:09}.eml": number for number, made in cases.items() if made.kind == "eml"}
    (folder / "l.jsonl").write_bytes(b'{"key":"first"}\n' + b"".join(made.raw + b"\n" for made in lines.values()))
    for name, number in files.items():
        (folder / name).write_bytes(cases[number].raw)
    read = [one async for one in _timed(folder / "l.jsonl")][1:]
    for number, (entry, seconds) in zip(lines, _with_empty_lines(lines, read), strict=True):
        yield number, [] if entry is None else [entry], seconds
    if files:
        for number, (entry, seconds) in zip(files.values(), [one async for one in _timed(folder)], strict=True):
            yield number, [entry], seconds
    for number, made in cases.items():
        if made.kind == "mbox":
            path = folder / "x.mbox"
            path.write_bytes(made.raw)
            found = [one async for one in _timed(path)]
            yield number, [entry for entry, _ in found], sum(seconds for _, seconds in found)


def _with_empty_lines(lines: dict[int, Case], read: list[tuple[Entry, float]]) -> Iterator[tuple[Entry | None, float]]:
    """What was read, and nothing for the lines that are blank."""
    entries = iter(read)
    for made in lines.values():
        yield next(entries) if made.raw.strip() else (None, 0.0)


async def _timed(path: Path) -> Any:
    began_at = time.process_time()
    try:
        entries = open_input(str(path)).read(Reading())
    except ConfigurationError as refused:
        yield BadEntry(path.name, str(refused)), time.process_time() - began_at
        return
    while entry := await anext(entries, None):
        yield entry, time.process_time() - began_at
        began_at = time.process_time()


def main() -> None:
    """Run, here or on other Pythons, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--python", action="append", default=[])
    options = parser.parse_args()
    if options.python:
        command = ["-m", "tests.faults.damaged_mail", "--cases", options.cases, "--first", options.first, "--seed"]
        texts = [
            subprocess.run([python, *map(str, [*command, options.seed])], capture_output=True, text=True, check=False)
            for python in options.python
        ]
        for python, text in zip(options.python, texts, strict=True):
            print(f"{python}\n{text.stdout}{text.stderr}")
        digests = {text.stdout.strip().rpartition("\n")[2] for text in texts}
        print("the same verdicts on all" if len(digests) == 1 else "DIFFERENT VERDICTS")
        sys.exit(len(digests) != 1 or any(text.returncode for text in texts))
    verdicts = run(options.seed, options.first, options.cases)
    for name, count in sorted(verdicts.counts.items()):
        print(f"{name:36} {count:>10,}")
    print(f"{'slowest entry':36} {verdicts.slowest * 1000:>10,.0f} ms")
    print(f"{'wrong':36} {len(verdicts.wrong):>10,}")
    for sentence in verdicts.wrong[:20]:
        print(sentence)
    print(f"verdicts {verdicts.digest.hexdigest()[:32]}")
    sys.exit(bool(verdicts.wrong))


if __name__ == "__main__":
    main()
