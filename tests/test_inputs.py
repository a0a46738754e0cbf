"""What the command line reads: JSON lines, `.eml`, mbox, folders and streams."""

from __future__ import annotations

import base64
import email
import email.policy
import json
import os
import tracemalloc
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import pytest

from seslimit import ConfigurationError, Message
from seslimit._composing.records import without_bcc
from seslimit.cli._inputs import KEPT, BadEntry, Entry, Kept, Name, Reading, StreamedLines, open_input
from seslimit.cli._mailfiles import mbox_messages
from seslimit.cli._stream import LineStream
from seslimit.cli._supply import Supply, check

RECORD: dict[str, Any] = {
    "from": "News <news@example.org>",
    "to": ["reader@example.net"],
    "subject": "Hello",
    "text": "Hi!\n",
}
EML = b"From: a@example.org\r\nTo: b@example.net\r\nSubject: Hi\r\n\r\nText\r\n"


async def _read(path: Path, reading: Reading | None = None) -> list[Entry]:
    return [entry async for entry in open_input(str(path)).read(reading or Reading())]


async def _messages(path: Path) -> list[Message]:
    entries = await _read(path)
    assert [str(entry) for entry in entries if isinstance(entry, BadEntry)] == []
    return cast("list[Message]", entries)


def _lines(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


async def _one(tmp_path: Path, **fields: Any) -> Message:
    (message,) = await _messages(_lines(tmp_path / "one.jsonl", RECORD | fields))
    return message


async def _parsed(tmp_path: Path, **fields: Any) -> EmailMessage:
    content = (await _one(tmp_path, **fields)).as_bytes()
    assert content.isascii()
    assert b"\n" not in content.replace(b"\r\n", b"")
    return email.message_from_bytes(content, policy=email.policy.default)


async def test_a_line_becomes_a_message_with_its_envelope(tmp_path: Path) -> None:
    """`from` and `to` are the envelope, and the headers show them with their names."""
    message = await _one(tmp_path, key="k1")
    parsed = email.message_from_bytes(message.as_bytes())
    assert (message.mail_from, message.recipients, message.key) == ("news@example.org", ("reader@example.net",), "k1")
    assert (parsed["From"], parsed["To"]) == ("News <news@example.org>", "reader@example.net")


async def test_cc_and_bcc_are_recipients_and_bcc_is_not_shown(tmp_path: Path) -> None:
    """Everybody named gets the message; nobody sees who is in bcc."""
    message = await _one(tmp_path, cc=["c@example.net"], bcc=["secret@example.net"])
    assert message.recipients == ("reader@example.net", "c@example.net", "secret@example.net")
    assert b"Cc: c@example.net\r\n" in message.as_bytes()
    assert b"secret" not in message.as_bytes()


@pytest.mark.parametrize(
    "text",
    ["Hi!\n", "Grüße\n", "日本語の本文\n" * 50, "x" * 3000 + "\n", "a line\nFrom here\n.\n..\n", "", "é" * 2000 + "\n"],
    ids=["ascii", "latin", "japanese", "long line", "dots", "empty", "long line of accents"],
)
async def test_text_and_html_come_out_as_they_went_in(tmp_path: Path, text: str) -> None:
    """Whatever the text, every line on the wire is 7-bit and short, and a reader's program shows the same."""
    parsed = await _parsed(tmp_path, text=text, html=f"<p>{text}</p>")
    body = {part.get_content_type(): part.get_content().replace("\r\n", "\n") for part in parsed.iter_parts()}
    assert {"text/plain": text, "text/html": f"<p>{text}</p>"} == body
    assert max(len(line) for line in parsed.as_bytes().splitlines()) <= 998


@pytest.mark.parametrize("subject", ["Hello", "Grüße aus Köln", "日本" * 80, "word " * 400])
async def test_a_subject_comes_out_as_it_went_in(tmp_path: Path, subject: str) -> None:
    """Subjects beyond ASCII are encoded, long ones folded."""
    assert subject.strip() == (await _parsed(tmp_path, subject=subject))["Subject"].strip()


async def test_fifty_recipients_are_no_long_line(tmp_path: Path) -> None:
    """The To header of a message to fifty is folded and still names all."""
    recipients = [f"reader{number:030d}@example.net" for number in range(50)]
    parsed = await _parsed(tmp_path, to=recipients)
    assert recipients == [address.addr_spec for address in parsed["To"].addresses]


async def test_a_name_beyond_ascii_is_encoded(tmp_path: Path) -> None:
    """The display name of an address may hold any letters."""
    parsed = await _parsed(tmp_path, **{"from": "Jürgen, Köln <j@example.org>"})
    assert parsed["From"].addresses[0].display_name == "Jürgen, Köln"


async def test_own_headers_are_added_and_take_the_place_of_made_ones(tmp_path: Path) -> None:
    """`headers` adds headers, and says what is shown where it names one that would be made."""
    parsed = await _parsed(tmp_path, headers={"Reply-To": "r@example.org", "To": "undisclosed-recipients:;"})
    assert (parsed["Reply-To"], parsed.get_all("To")) == ("r@example.org", ["undisclosed-recipients:;"])


async def test_attachments_come_out_as_they_went_in(tmp_path: Path) -> None:
    """An attachment is given in base64 or by a path beside the list; its type is guessed from its name."""
    (tmp_path / "terms.pdf").write_bytes(b"%PDF\x00\xff")
    given = [
        {"filename": 'Übersicht "1".csv', "content": base64.b64encode(b"a;b\r\n").decode(), "content_type": "text/csv"},
        {"path": "terms.pdf"},
    ]
    parsed = await _parsed(tmp_path, html="<p>Hi</p>", attachments=given)
    found = [
        (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))
        for part in parsed.iter_attachments()
    ]
    assert found == [('Übersicht "1".csv', "text/csv", b"a;b\r\n"), ("terms.pdf", "application/pdf", b"%PDF\x00\xff")]


async def test_replies_go_to_reply_to(tmp_path: Path) -> None:
    """A list of addresses, with names in any script; it is no recipient."""
    message = await _one(tmp_path, reply_to=["Jörg Müller <joerg@example.org>", "desk@example.org"])
    parsed = email.message_from_bytes(message.as_bytes(), policy=email.policy.default)
    shown = [(each.display_name, each.addr_spec) for each in parsed["Reply-To"].addresses]
    assert shown == [("Jörg Müller", "joerg@example.org"), ("", "desk@example.org")]
    assert message.recipients == ("reader@example.net",)


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("r.csv", "text/csv"),
        ("r.csv.gz", "application/gzip"),
        ("r.tar.bz2", "application/x-bzip2"),
        ("r.txt.xz", "application/x-xz"),
        ("r.svgz", "application/gzip"),
        ("r.csv.Z", "application/octet-stream"),
        ("data:text/html,x", "application/octet-stream"),
        ("README", "application/octet-stream"),
    ],
)
async def test_the_type_of_a_packed_file_is_that_of_its_packing(tmp_path: Path, name: str, content_type: str) -> None:
    """What is in it cannot be shown by a program for that. Source: RFC 6713."""
    parsed = await _parsed(tmp_path, attachments=[{"filename": name, "content": "AAEC"}])
    (part,) = parsed.iter_attachments()
    assert (part.get_content_type(), part.get_filename()) == (content_type, name)


@pytest.mark.parametrize(
    ("content", "content_type", "encoding"),
    [
        (EML, "message/rfc822", "7bit"),
        (EML.replace(b"\r\n", b"\n"), "message/rfc822", "7bit"),
        (EML + "Grüße\r\n".encode(), "application/octet-stream", "base64"),
        (EML + b"x" * 999, "application/octet-stream", "base64"),
    ],
    ids=["7-bit", "LF", "8-bit", "long line"],
)
async def test_a_message_is_attached_unencoded_or_as_a_file(
    tmp_path: Path, content: bytes, content_type: str, encoding: str
) -> None:
    """message/rfc822 may not be in base64. Source: RFC 2046, 5.2.1."""
    (tmp_path / "f.eml").write_bytes(content)
    sent = (await _one(tmp_path, attachments=[{"path": "f.eml"}])).as_bytes()
    assert max(len(line) for line in sent.split(b"\r\n")) <= 998
    assert sent.isascii()
    parsed = email.message_from_bytes(sent, policy=email.policy.default)
    (part,) = parsed.iter_attachments()
    assert (part.get_content_type(), part["Content-Transfer-Encoding"]) == (content_type, encoding)
    if encoding == "7bit":
        assert part.get_content()["Subject"] == "Hi"
    else:
        assert part.get_content() == content


@pytest.mark.parametrize(
    "given", ['text/csv; charset="utf-8"', "text/csv;charset=utf-8", 'Text/CSV; header=present; name="a b"']
)
async def test_a_content_type_may_have_parameters(tmp_path: Path, given: str) -> None:
    """In quotes or not. Source: RFC 2045, 5.1."""
    attachment = {"filename": "a.bin", "content": "eA==", "content_type": given}
    (part,) = (await _parsed(tmp_path, attachments=[attachment])).iter_attachments()
    assert (part.get_content_type(), part["Content-Type"].params.get("charset", "utf-8")) == ("text/csv", "utf-8")


async def test_an_image_with_a_cid_is_shown_by_the_html(tmp_path: Path) -> None:
    """It is beside the HTML, and the other files are attached to both. Source: RFC 2387; RFC 2392."""
    image = {"filename": "logo.png", "content": "AAEC", "cid": "logo"}
    other = {"filename": "terms.pdf", "content": "AAEC"}
    parsed = await _parsed(tmp_path, html='<img src="cid:logo">', attachments=[image, other])
    assert [part.get_content_type() for part in parsed.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
    ]
    (shown,) = [part for part in parsed.walk() if part.get_content_type() == "image/png"]
    assert (shown["Content-ID"], shown.get_content_disposition()) == ("<logo>", "inline")


async def test_raw_goes_out_byte_for_byte_without_bcc(tmp_path: Path) -> None:
    """`raw` is the content; its envelope is the line's, and only a Bcc is taken away."""
    hidden = b"Bcc: secret@example.net,\r\n more@example.net\r\n"
    raw = b"X-Odd:  two  spaces\r\n" + hidden + b"Subject: =?utf-8?q?x?=\r\n\r\nBcc: stays\r\n"
    record = {"from": "a@example.org", "to": ["b@example.net"], "raw": base64.b64encode(raw).decode()}
    (message,) = await _messages(_lines(tmp_path / "raw.jsonl", record))
    assert message.content == b"X-Odd:  two  spaces\r\nSubject: =?utf-8?q?x?=\r\n\r\nBcc: stays\r\n"


@pytest.mark.parametrize(
    "hidden", [b"Bcc: s@x.org\r\n", b"BCC:\r\n\ts@x.org\r\n", b"Resent-Bcc: s@x.org\r\n", b"bcc:s@x.org\r"]
)
def test_no_bcc_header_survives(hidden: bytes) -> None:
    """In any spelling, and behind any line end."""
    content = Message("a@example.org", ["b@example.net"], b"Subject: x\r\n" + hidden + b"To: b@example.net\r\n\r\nText")
    assert without_bcc(content).content == b"Subject: x\r\nTo: b@example.net\r\n\r\nText"


async def test_an_eml_goes_out_as_it_is_but_for_bcc(tmp_path: Path) -> None:
    """The envelope comes from the headers, Bcc included; the other bytes are the file's."""
    path = tmp_path / "one.eml"
    path.write_bytes(EML.replace(b"Subject", b"Bcc: c@example.net\r\nSubject"))
    (message,) = await _messages(path)
    assert (
        message.mail_from,
        message.recipients,
        message.key,
    ) == ("a@example.org", ("b@example.net", "c@example.net"), "one.eml")
    assert message.content == EML


async def test_a_folder_gives_its_eml_files_by_name(tmp_path: Path) -> None:
    """Files of other kinds are passed over; the key is the file's name."""
    for name in ("b.eml", "a.EML", "notes.txt"):
        (tmp_path / name).write_bytes(EML)
    assert [message.key for message in await _messages(tmp_path)] == ["a.EML", "b.eml"]


MBOX = (
    b"From MAILER Mon Jan  1 00:00:00 2026\n"
    + EML.replace(b"\r\n", b"\n")
    + b"From now on\n>From quoted\n>>From twice\n\n"
    b"From - Tue\n" + EML.replace(b"\r\n", b"\n") + b"\n"
)


async def test_an_mbox_is_split_at_its_from_lines(tmp_path: Path) -> None:
    """Only a "From " after an empty line begins a message; ">From " loses one ">"."""
    path = tmp_path / "box"
    path.write_bytes(MBOX)
    first, second = await _messages(path)
    assert (first.key, second.key) == ("box:1", "box:2")
    assert first.content == EML + b"From now on\r\nFrom quoted\r\n>From twice\r\n"
    assert second.content == EML


def test_an_mbox_with_empty_messages_has_as_many(tmp_path: Path) -> None:
    """Two "From " lines with nothing but an empty line between them are two messages."""
    path = tmp_path / "box"
    path.write_bytes(b"From a\n\nFrom b\n\n")
    with path.open("rb") as file:
        assert [found.raw for found in mbox_messages(file)] == [b"", b""]


async def test_keys_are_the_place_where_none_is_given(tmp_path: Path) -> None:
    """File and line; empty lines count, a byte order mark does not matter."""
    path = tmp_path / "l.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(RECORD).encode() + b"\n\n" + json.dumps(RECORD | {"key": 7}).encode())
    assert [message.key for message in await _messages(path)] == ["l.jsonl:1", 7]
    assert [Name("l.jsonl:1"), Name(7)] == await _read(path, Reading(names_only=True))


async def test_a_whole_surrogate_pair_is_a_character(tmp_path: Path) -> None:
    """As every JSON writer that keeps to ASCII spells what lies beyond the first plane."""
    (tmp_path / "l.jsonl").write_bytes(json.dumps(RECORD | {"key": "k\U0001f600"}, ensure_ascii=True).encode())
    assert [message.key for message in await _messages(tmp_path / "l.jsonl")] == ["k\U0001f600"]


async def test_a_pipe_is_read_as_it_comes(tmp_path: Path) -> None:
    """A named pipe gives its lines, the last one without an end included, and cannot be read twice."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    opened = open_input(str(path))
    entries = opened.read(Reading())
    writer = os.open(path, os.O_RDWR)
    os.write(writer, b"".join(json.dumps(RECORD).encode() + b"\n" for _ in range(3))[:-1])
    reader = [await anext(entries), await anext(entries)]
    os.close(writer)
    reader.append(await anext(entries))
    assert (
        opened.repeatable,
        [getattr(entry, "key", None) for entry in reader],
    ) == (False, ["pipe:1", "pipe:2", "pipe:3"])


BAD: dict[str, tuple[Any, str]] = {
    "no from": ({"from": None}, "from is not a text"),
    "missing to": ({"to": ...}, "the field to is missing: add a list"),
    "to is a text": ({"to": "reader@example.net"}, "to is not a list"),
    "nobody": ({"to": []}, "recipients is empty"),
    "51 recipients": ({"to": [f"r{n}@example.net" for n in range(51)]}, "recipients has 51 addresses"),
    "CR LF in to": ({"to": ["r@example.net\r\nBcc: x@example.net"]}, "holds CR, LF"),
    "LF in a name": ({"from": "News\nBcc: x@y.org <n@example.org>"}, "holds CR, LF"),
    "no address": ({"to": ["reader"]}, "is not an address"),
    "two in one": ({"to": ["a@example.net, b@example.net"]}, "is not an address"),
    "two with names": ({"to": ["A <a@example.net>, B <b@example.net>"]}, "is not of the form Name <local@domain>"),
    "subject with LF": ({"subject": "x\nBcc: y@example.net"}, "header Subject holds CR, LF"),
    "header with CR": ({"headers": {"X-A": "b\rc"}}, "header X-A holds CR, LF"),
    "header name": ({"headers": {"X A": "b"}}, "is not a name"),
    "header not text": ({"headers": {"X-A": 1}}, "header X-A is not a text"),
    "made header": ({"headers": {"content-type": "x"}}, "is made from the other fields"),
    "unknown field": ({"replyto": "x@example.org"}, "unknown field 'replyto'"),
    "reply_to": ({"reply_to": "x@example.org"}, "reply_to is not a list"),
    "header twice": ({"headers": {"X-A": "1", "x-a": "2"}}, "header x-a is there twice, as X-A too"),
    "header no address": ({"headers": {"Reply-To": "Müller, J <j@example.org>"}}, "header Reply-To is malformed"),
    "long link": ({"headers": {"List-Unsubscribe": f"<https://example.org/{'u' * 999}>"}}, "header List-Unsubscribe"),
    "half in subject": ({"subject": "\ud83d"}, "the field 'subject' holds half of a surrogate pair"),
    "half in header": ({"headers": {"X-A": "\ud83d"}}, "the field 'headers' holds half of a surrogate pair"),
    "half in from": ({"from": "\ud83d <a@example.org>"}, "the field 'from' holds half of a surrogate pair"),
    "half in to": ({"to": ["\ud83d <a@example.org>"]}, "the field 'to' holds half of a surrogate pair"),
    "half in path": ({"attachments": [{"path": "\ud83d"}]}, "the field 'attachments' holds half of a surrogate pair"),
    "attachment is none": ({"attachments": [None]}, "attachments[0] is not an object"),
    "attachment unknown": (
        {"attachments": [{"filename": "x", "content": ""}, {"path": "x", "name": "y"}]},
        "unknown field 'attachments[1].name': use path, content, filename, content_type, cid",
    ),
    "content_type is a number": (
        {"attachments": [{"filename": "x", "content": "", "content_type": 5}]},
        "attachments[0].content_type is not a text",
    ),
    "cid without html": ({"attachments": [{"filename": "x", "content": "", "cid": "x"}]}, "attachments[0].cid"),
    "cid": ({"html": "", "attachments": [{"filename": "x", "content": "", "cid": "<x>"}]}, "cid '<x>' is not"),
    "multipart": (
        {"attachments": [{"filename": "x", "content": "", "content_type": "multipart/mixed"}]},
        "content_type",
    ),
    "no content": ({"text": ...}, "there is no text, html or raw"),
    "surrogate": ({"text": "\ud800"}, "surrogate"),
    "raw with padding inside": ({"raw": "eA==eA==", "subject": ..., "text": ...}, "is not base64"),
    "raw with too much padding": ({"raw": "eAAA=", "subject": ..., "text": ...}, "is not base64"),
    "raw empty": ({"raw": "IA0K", "subject": ..., "text": ...}, "raw holds no message"),
    "raw beside a name": (
        {"from": '"Ann\0" <a@example.org>', "raw": "VG86IHgNCg0K", "subject": ..., "text": ...},
        "holds CR, LF or another control character",
    ),
    "raw beside text": ({"raw": "eA=="}, "take subject away"),
    "key": ({"key": [1]}, "key is neither"),
    "attachment": ({"attachments": [{"filename": "x"}]}, "attachments[0] has not one of path and content"),
    "attachment base64": ({"attachments": [{"filename": "x", "content": "%"}]}, "is not base64"),
    "attachment file": ({"attachments": [{"path": "nowhere.pdf"}]}, "cannot be read"),
    "attachment device": ({"attachments": [{"path": "/dev/zero"}]}, "cannot be read: it is not a file"),
    "attachment folder": ({"attachments": [{"path": "/"}]}, "cannot be read: it is not a file"),
    "attachment NUL": ({"attachments": [{"path": "a\0b"}]}, "cannot be read: a path has no NUL"),
    "attachment type": ({"attachments": [{"filename": "x", "content": "", "content_type": "a\nb/c"}]}, "content_type"),
    "attachment name": ({"attachments": [{"filename": "a\r\nb", "content": ""}]}, "filename holds CR, LF"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_record_is_named_with_what_is_wrong(tmp_path: Path, name: str) -> None:
    """The sentence names the line and the field, and the lines around it are read."""
    change, words = BAD[name]
    bad = {field: value for field, value in (RECORD | change).items() if value is not ...}
    before, entry, after = await _read(_lines(tmp_path / "bad.jsonl", RECORD, bad, RECORD))
    assert isinstance(before, Message)
    assert isinstance(after, Message)
    assert isinstance(entry, BadEntry)
    assert str(entry).startswith("bad.jsonl:2: ")
    assert words in str(entry)
    assert "\n" not in str(entry)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "is not JSON"),
        (b"[1]", "is not a JSON object"),
        (b'{"from": "\xff"}', "is not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"key": %s}' % (b"1" * 5000), "a number has 5,000 digits"),
        (b'{"key": %s}' % (b"1" * 101), "a number has 101 digits"),
        (b'{"x": "k\\ud83d"}', "half of a surrogate pair"),
        (b'{"to": [{"\\uDE00\\ud83d": 1}]}', "half of a surrogate pair"),
        (b'{"to": ["a"], "to": ["b"]}', "the field 'to' is there twice"),
        (b'{"headers": {"To": "a", "To": "b"}}', "the field 'To' is there twice"),
        (b'{"key": NaN}', "NaN is no number"),
        (b"\xed\xa0\xbd", "is not UTF-8"),
        (b"{}\0", "is not JSON"),
    ],
    ids=lambda value: ascii(value[:24]),
)
async def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: bytes, words: str) -> None:
    """Whatever stands in a line, it is one bad entry and no exception."""
    path = tmp_path / "bad.jsonl"
    path.write_bytes(line + b"\n")
    (entry,) = await _read(path)
    assert words in str(entry)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "there is no message in it"),
        (b"To: b@example.net\r\n\r\nx", "has no From header"),
        (b"From: a@example.org\r\n\r\nx", "recipients is empty"),
        (EML + b"\0", "NUL"),
    ],
    ids=["empty", "no From", "nobody", "NUL"],
)
async def test_a_bad_eml_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    """A file that holds no message that could be sent is one bad entry."""
    path = tmp_path / "bad.eml"
    path.write_bytes(content)
    (entry,) = await _read(path)
    assert words in str(entry)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "nowhere.jsonl", "is not there"),
        (lambda folder: folder, "holds no .eml"),
        (lambda folder: _written(folder / "list.csv", b"a,b\n"), "is a table"),
    ],
    ids=["missing", "empty folder", "csv"],
)
def test_an_input_that_cannot_be_read_is_refused(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    """Before anything is sent, with the path and the remedy."""
    with pytest.raises(ConfigurationError, match=words):
        open_input(str(make(tmp_path)))


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


async def test_a_check_names_the_first_bad_entry_and_counts_the_others(tmp_path: Path) -> None:
    """An operator mends a list once, not once for each bad line."""
    path = _lines(tmp_path / "l.jsonl", RECORD, {"from": "x"}, RECORD, {}, RECORD | {"to": []})
    found = await check([open_input(str(path))], lambda: False)
    assert (found.messages, found.recipients, found.bad_count) == (5, 2, 3)
    assert found.sentence(has_report=False).startswith("nothing was sent, for l.jsonl:2: ")
    assert found.sentence(has_report=False).endswith("(2 more: l.jsonl:4, l.jsonl:5).")


async def test_every_bad_entry_of_a_folder_is_kept_for_the_report(tmp_path: Path) -> None:
    """The sentence names five, and says where the others are."""
    for number in range(222):
        (tmp_path / f"{number:03}.eml").write_bytes(b"To: b@example.net\n\nx")
    found = await check([open_input(str(tmp_path))], lambda: False)
    assert [entry.key for entry in found.bad] == [f"{number:03}.eml" for number in range(222)]
    ends = "(221 more: 001.eml, 002.eml, 003.eml, 004.eml, …; {} them)."
    assert found.sentence(has_report=False).endswith(ends.format("--report FILE names"))
    assert found.sentence(has_report=True).endswith(ends.format("the report names"))


async def test_what_of_a_folder_is_not_read_is_said(tmp_path: Path) -> None:
    """Subfolders are named in a note; a link to nothing, or what is no file, is a bad entry by its name."""
    for folder in ("new", "old.eml", "sent"):
        (tmp_path / folder).mkdir()
    (tmp_path / "a.eml").write_bytes(EML)
    (tmp_path / "b.eml").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "c.eml")
    message, *bad = await _read(tmp_path)
    assert isinstance(message, Message)
    assert [str(entry) for entry in bad] == [
        "b.eml: it cannot be read: No such file or directory.",
        "c.eml: it is not a file: remove it.",
    ]
    note = open_input(str(tmp_path)).note
    assert note is not None
    assert note.endswith("are not read (new, old.eml, sent): give each of them as an input.")


async def test_a_fault_of_ours_is_a_bad_entry(tmp_path: Path) -> None:
    """Whatever it is: a run that has sent half of a list goes on, or what was sent would be sent again."""

    def broken() -> Message:
        raise AssertionError("\x1b[31m" + "x" * 1000)

    entry = Reading().entry("k", "list.jsonl:1", b"", broken)
    assert "AssertionError" in str(entry)
    assert "please report it" in str(entry)
    assert str(entry).isprintable()


async def test_what_was_not_taken_is_named_afterwards(tmp_path: Path) -> None:
    """`rest` goes on where the messages stopped, over the end of one input into the next."""
    paths = [_lines(tmp_path / f"{name}.jsonl", RECORD, RECORD) for name in "ab"]
    supply = Supply([open_input(str(path)) for path in paths], lambda _: None)
    assert (await anext(supply)).key == "a.jsonl:1"
    assert [entry.key async for piece in supply.rest(1) for entry in piece] == ["a.jsonl:2", "b.jsonl:1", "b.jsonl:2"]


async def _peak(path: Path) -> int:
    tracemalloc.start()
    try:
        supply = Supply([open_input(str(path))], lambda _: None)
        await check([open_input(str(path))], lambda: False)
        async for _ in supply:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_memory_does_not_grow_with_the_number_of_lines(tmp_path: Path) -> None:
    """Four times as many lines take no more memory."""
    few = _lines(tmp_path / "few.jsonl", *[RECORD] * 1000)
    many = _lines(tmp_path / "many.jsonl", *[RECORD] * 4000)
    await _peak(few)
    assert await _peak(many) < 1.1 * await _peak(few) + 20_000


async def test_what_comes_as_a_stream_is_not_kept() -> None:
    """A file is read for its check and once more to be sent; a stream is read once, for as long as it lasts."""
    reading, writing = os.pipe()
    os.write(writing, b'{"key": 7, "from": "a@example.com", "to": ["b@example.net"], "subject": "x", "text": "Hi"}\n')
    os.close(writing)
    kept = Kept()
    lines = StreamedLines(Reading(kept=kept), "-", LineStream(lambda: reading))
    (message,) = [entry async for entry in lines]
    assert isinstance(message, Message)
    assert (message.key, kept.room) == (7, KEPT)
