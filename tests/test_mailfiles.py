"""Mail that is a file already: nothing of it is lost in silence, and nobody gets another one's message."""

from __future__ import annotations

import email
import email.policy
import mailbox
import smtplib
from collections.abc import Sequence
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from seslimit import ConfigurationError, InvalidMessage, Message
from seslimit.cli._inputs import BadEntry, Entry, Reading, open_input

HEAD = b"From: a@example.org\nTo: b@example.net\n"
EML = HEAD + b"Subject: one\n\nText\n"
FROM_ = b"From a@example.org Mon Jan  5 10:00:00 2026\n"


async def read(path: Path, content: bytes) -> list[Entry]:
    """What is found in a file with this content."""
    path.write_bytes(content)  # noqa: ASYNC240 - a few bytes
    return [entry async for entry in open_input(str(path)).read(Reading())]


async def only(path: Path, content: bytes) -> Message:
    """The one message of it."""
    (entry,) = await read(path, content)
    assert isinstance(entry, Message), entry
    return entry


async def refusal(path: Path, content: bytes) -> str:
    """The sentence about the one bad entry of it."""
    (entry,) = [entry for entry in await read(path, content) if isinstance(entry, BadEntry)]
    assert str(entry).isprintable()
    return str(entry)


# Headers.

MALFORMED = [
    b"wrapped by an editor",
    b"Bcc : h@example.net",
    b"X Mailer: foo",
    "X-Größe: 1".encode(),
    b">From x",
    b"From x Mon Jan  5 10:00:00 2026",
    b": no name",
    b"--boundary",
    b"\xa0Bcc: h@example.net",
    b"\x0bBcc: h@example.net",
]


@pytest.mark.parametrize("line", MALFORMED, ids=ascii)
async def test_a_line_that_is_no_header_is_refused_with_its_number(tmp_path: Path, line: bytes) -> None:
    """
    Were the section taken to end there, the Cc and Bcc below would be left out, and a Bcc might be shown.

    Source: RFC 5322, 2.2 (a name of printable ASCII, a colon); the obsolete blank before the colon (4.5) is refused as
    well, because readers differ in whether it ends the section.
    """
    content = HEAD + b"X-Note: a note\n" + line + b"\nCc: c@example.net\nBcc: h@example.net\n\nText\n"
    assert "one.eml: line 4 (" in await refusal(tmp_path / "one.eml", content)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=ascii)
async def test_lines_count_from_the_top_of_the_file(tmp_path: Path, end: bytes) -> None:
    """Folds are lines too, whatever the line ends; so is the "From " line of a file that was cut out of an mbox."""
    content = FROM_ + HEAD + b"Subject: one\n two\n\tthree\nwrapped\n\nText\n"
    assert "line 7 ('wrapped')" in await refusal(tmp_path / "one.eml", content.replace(b"\n", end))


async def test_a_blank_line_among_the_folds_is_a_fold(tmp_path: Path) -> None:
    """A line of blanks alone ends no section: RFC 5322, 4.2, obs-FWS."""
    message = await only(tmp_path / "one.eml", HEAD + b"Subject: one\n \t\n two\nBcc: c@example.net\n\nText\n")
    assert message.recipients == ("b@example.net", "c@example.net")
    assert (
        message.as_bytes() == b"From: a@example.org\r\nTo: b@example.net\r\nSubject: one\r\n \t\r\n two\r\n\r\nText\r\n"
    )


@pytest.mark.parametrize("blind", [b"Bcc: c@example.net", b"bCC:\n c@example.net,\n", b"Bcc:c@example.net\nBcc: d@e.f"])
async def test_blind_copies_are_sent_to_and_not_shown(tmp_path: Path, blind: bytes) -> None:
    """Every Bcc field is read and removed, and every other byte stays as it was."""
    message = await only(tmp_path / "one.eml", HEAD + blind.strip(b"\n") + b"\nX-Odd:  a  b \n\nBcc: text\n")
    assert message.recipients[:2] == ("b@example.net", "c@example.net")
    assert message.as_bytes() == HEAD.replace(b"\n", b"\r\n") + b"X-Odd:  a  b \r\n\r\nBcc: text\r\n"


async def test_an_empty_to_beside_a_bcc_is_nobody(tmp_path: Path) -> None:
    """The message goes to the Bcc."""
    message = await only(tmp_path / "one.eml", b"From: a@example.org\nTo:\nBcc: c@example.net\n\nText\n")
    assert message.recipients == ("c@example.net",)


async def test_a_malformed_address_is_named_with_its_header_and_line(tmp_path: Path) -> None:
    """An operator of a folder of files has to find it."""
    assert "Cc (line 3) is not a list of addresses" in await refusal(
        tmp_path / "one.eml", HEAD + b"Cc: Norton, Ann\n\nx\n"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\n" + EML, "line 1 is empty, where the headers should begin"),
        (EML.decode().encode("utf-16"), "is UTF-16: save it as UTF-8"),
        (EML.decode().encode("utf-16-be"), "is UTF-16: save it as UTF-8"),
        (b"\n\n", "there is no message in it"),
        (b"Subject: x\n\nText\n", "has no From header"),
        (b"From: a@example.org\n\nText\n", "To, Cc and Bcc name nobody"),
        (FROM_ + EML + b"\n" + FROM_ + EML, "a second message begins at line 8: name the file .mbox"),
    ],
    ids=["empty line", "UTF-16", "UTF-16-BE", "empty", "no From", "nobody", "mbox"],
)
async def test_a_file_that_is_no_message_is_told_what_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    """In one sentence, of a folder's file as of one that was named alone."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "one.eml").write_bytes(content)
    (entry,) = [entry async for entry in open_input(str(folder)).read(Reading())]
    assert words in str(entry)


async def test_a_byte_order_mark_is_taken_away(tmp_path: Path) -> None:
    """Windows editors write it; it is no part of the mail."""
    assert (await only(tmp_path / "one.eml", b"\xef\xbb\xbf" + EML)).as_bytes() == EML.replace(b"\n", b"\r\n")


async def test_bytes_outside_ascii_stay_as_they_are(tmp_path: Path) -> None:
    """In names, subjects and texts, in any encoding."""
    content = b"From: J\xfcrgen <a@example.org>\r\nTo: b@example.net\r\nSubject: \xc3\xa9\xff\r\n\r\n\xff\xfe\r\n"
    assert (await only(tmp_path / "one.eml", content)).as_bytes() == content


# Resent.

RESENT = b"Resent-Date: Mon, 5 Jan 2026 10:00:00 +0000\nResent-From: r@example.com\n"


async def test_a_message_that_is_sent_on_goes_to_its_new_recipients(tmp_path: Path) -> None:
    """As `smtplib.SMTP.send_message` has it: all three kinds, and the return address; RFC 5322, 3.6.6."""
    fields = RESENT + b"Resent-To: x@example.com\nResent-Cc: y@example.com\nResent-Bcc: z@example.com\n"
    message = await only(tmp_path / "one.eml", fields + EML)
    assert (message.mail_from, message.recipients) == (
        "r@example.com",
        ("x@example.com", "y@example.com", "z@example.com"),
    )
    assert b"Resent-Bcc" not in message.as_bytes()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (RESENT, "Resent-To, Resent-Cc and Resent-Bcc name nobody"),
        (RESENT + b"Resent-To: x@example.com\n" + RESENT, r"resent more than once (Resent-Date (line 1)"),
        (b"Resent-To: x@example.com\n", "Resent-To (line 1) and no Resent-Date"),
        (b"Resent-Bcc: x@example.com\n", "Resent-Bcc (line 1) and no Resent-Date"),
    ],
    ids=["nobody", "twice", "to without date", "bcc without date"],
)
async def test_resent_headers_that_leave_a_doubt_are_refused(tmp_path: Path, fields: bytes, words: str) -> None:
    """The original recipients are not those that somebody sent it on to."""
    assert words in await refusal(tmp_path / "one.eml", fields + EML)


# Objects.


class Captured(smtplib.SMTP):
    """The standard library's client, without a connection: it keeps the envelope."""

    def ehlo_or_helo_if_needed(self) -> None:
        """Nobody is there to be greeted."""

    def sendmail(self, from_addr: str, to_addrs: str | Sequence[str], *args: Any, **options: Any) -> dict[str, Any]:
        """Keep what would go to the service."""
        self.envelope = (from_addr, list(to_addrs))
        return {}


@pytest.mark.parametrize(
    "fields",
    [
        "From: a@example.org\nTo: b@example.org, C <c@example.org>\nCc: d@example.org\nBcc: e@example.org\n",
        "From: a@example.org, x@example.org\nSender: s@example.org\nTo: b@example.org\n",
        "From: a@example.org\nTo: g: b@example.org, c@example.org;\nCc: d@example.org\n",
        RESENT.decode()
        + "Resent-To: x@example.com\nResent-Bcc: y@example.com\nFrom: a@example.org\nTo: b@example.org\n",
        RESENT.decode() + "Resent-Sender: s@example.com\nResent-Cc: x@example.com\nFrom: a@example.org\nBcc: b@c.de\n",
    ],
    ids=["all", "sender", "group", "resent", "resent sender"],
)
def test_well_formed_headers_name_whom_the_standard_library_sends_to(fields: str) -> None:
    """`smtplib.SMTP.send_message`, which people come from, takes the same envelope."""
    content = email.message_from_string(fields + "\nText\n")
    client = Captured()
    client.send_message(content)
    message = Message.from_email(content)
    assert message.mail_from == client.envelope[0]
    assert sorted(message.recipients) == sorted(client.envelope[1])


def test_an_object_whose_parser_lost_headers_is_refused() -> None:
    """The standard library's parser ends the headers at such a line, and only notes that it did."""
    content = email.message_from_bytes(HEAD + b"wrapped\nBcc: h@example.net\n\nText\n")
    with pytest.raises(InvalidMessage, match="below which others are hidden"):
        Message.from_email(content)


@pytest.mark.parametrize("policy", ["compat32", "default", "SMTP"])
def test_a_header_that_was_parsed_is_read_as_it_is_written(policy: str) -> None:
    """Whatever the policy, and with 1,000 comments in one another, for which the standard library recurses."""
    raw = b"From: " + b"(" * 1000 + b")" * 1000 + b" a@example.org\nTo: c@example.org <b@example.net>,\n\n"
    message = Message.from_email(email.message_from_bytes(raw, policy=getattr(email.policy, policy)))
    assert (message.mail_from, message.recipients) == ("a@example.org", ("b@example.net",))


@pytest.mark.parametrize(
    ("text", "recipients"),
    [
        ("a@example.org; b@example.org", ("a@example.org", "b@example.org")),
        ("alice@example.org <bob@example.org>", ("bob@example.org",)),
        (",a@example.org,,b@example.org,", ("a@example.org", "b@example.org")),
        ("a . b @ example . org", ("a.b@example.org",)),
        ("=?utf-8?q?Doe=2C_Jane?= <j@example.org>", ("j@example.org",)),
    ],
)
def test_a_header_that_was_set_is_read_as_it_was_set(text: str, recipients: tuple[str, ...]) -> None:
    """As a text, `EmailMessage` shows of "a; b" only a, and sends the header with both."""
    content = EmailMessage()
    content["From"], content["To"] = "f@example.org", text
    assert Message.from_email(content).recipients == recipients


@pytest.mark.parametrize(
    "text", ["<a@example.org> b@example.org", "a@example.org b@example.org", "Doe, Jane <j@example.org>", ";\udcffé"]
)
def test_a_header_that_was_set_and_is_no_list_is_refused(text: str) -> None:
    """The standard library's text of it has lost the second one."""
    content = EmailMessage()
    content["From"], content["To"] = "f@example.org", text
    with pytest.raises(InvalidMessage, match=r"\bTo\b"):
        Message.from_email(content)


# mbox.


async def test_a_from_line_right_after_a_text_begins_a_message(tmp_path: Path) -> None:
    """As in the standard library's mailbox: Gmail and Thunderbird leave the empty line out."""
    path = tmp_path / "x.mbox"
    first, second = await read(
        path, FROM_ + EML + b"From - Tue Jan 06 10:00:00 2026\nX-A: b\n" + EML.replace(b"b@", b"c@")
    )
    assert isinstance(first, Message)
    assert isinstance(second, Message)
    assert first.as_bytes() == EML.replace(b"\n", b"\r\n")
    assert (second.key, second.recipients) == ("x.mbox:2", ("c@example.net",))
    with closing(mailbox.mbox(path, create=False)) as theirs:
        assert len(theirs) == 2


@pytest.mark.parametrize(
    "line",
    [
        b"From 1770000000000000000@xxx Mon Jan 05 10:00:00 +0000 2026",
        b"From a@example.org Mon Jan  5 10:00 2026",
        b"From a@example.org  Mon, 5 Jan 2026 10:00:00 +0100",
        b'From "a b"@example.org Mon Jan  5 10:00:00 CET 2026 remote from x',
        b"From ??? 2026-01-05 10:00:00",
    ],
    ids=ascii,
)
async def test_a_from_line_is_known_by_its_date(tmp_path: Path, line: bytes) -> None:
    """In the forms that Gmail, mail spools and exports write."""
    assert len(await read(tmp_path / "x.mbox", FROM_ + EML + line + b"\n" + EML)) == 2


@pytest.mark.parametrize(
    "text",
    [
        b"From here on:\nNote: bring your own\n",
        b"From 10:00 on 5 May 2026 we are closed\n",
        b"From  \n",
        b"Fromage: x\n",
    ],
    ids=ascii,
)
async def test_a_text_that_begins_with_from_stays_a_text(tmp_path: Path, text: bytes) -> None:
    """Without a date, or with no header below it."""
    message = await only(tmp_path / "x.mbox", FROM_ + EML + text)
    assert message.as_bytes().endswith(b"Text\r\n" + text.replace(b"\n", b"\r\n"))


async def test_a_byte_order_mark_before_an_mbox_is_taken_away(tmp_path: Path) -> None:
    """The first message is read as every other."""
    assert len(await read(tmp_path / "x", b"\xef\xbb\xbf" + FROM_ + EML + b"\n" + FROM_ + EML)) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (EML, "x.mbox: line 1 ('From: a@example.org') stands before the first 'From ' line"),
        (b"\n\nX: y\n\n" + FROM_ + EML, "x.mbox: line 3 ('X: y') stands before the first 'From ' line"),
        (b"\xef\xbb\xbfX: y\n\n" + FROM_ + EML, "line 1 ('X: y') stands before"),
        (b"", "there is no message in it"),
        (b"\n\n", "there is no message in it"),
        (FROM_ + EML + b"\n" + FROM_ + HEAD + b"wrapped\n", "x.mbox:2: line 11 ('wrapped') is not a header"),
    ],
    ids=["eml", "text before", "mark and text", "empty", "blank", "header"],
)
async def test_what_an_mbox_cannot_hold_is_named_with_its_line(tmp_path: Path, content: bytes, words: str) -> None:
    """It would be left out in silence otherwise; the lines are the file's."""
    assert words in await refusal(tmp_path / "x.mbox", content)


@pytest.mark.parametrize("name", ["x.mbox", "x.jsonl", "x.eml", "x"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named(tmp_path: Path, name: str, encoding: str) -> None:
    """Whatever the file is: nothing here reads it, and nobody sees it in an editor."""
    (tmp_path / name).write_bytes((FROM_ + EML).decode().encode(encoding))
    with pytest.raises(ConfigurationError, match="is UTF-16: save it as UTF-8"):
        open_input(str(tmp_path / name))
