"""Header lines: what of a value is encoded, what stays, and how it is folded."""

from __future__ import annotations

import email
import email.policy
import re
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seslimit import InvalidMessage
from seslimit._composing.encoded import encoded_words, parameter
from seslimit._composing.header import MAX_VALUE, header_line, mailbox_line, read_mailbox


def _read(line: bytes) -> EmailMessage:
    message = email.message_from_bytes(line + b"\r\n", policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def _addresses(line: bytes) -> list[tuple[str, str]]:
    """Names and addresses; the modern policy would put a blank between two encoded-words of one name."""
    value = line.decode().partition(":")[2].replace("\r\n", "")
    if value.endswith(";"):
        # A group names its members, and itself nobody.
        value = value.partition(":")[2].removesuffix(";")
    found = [pair for pair in getaddresses([value]) if pair != ("", "")]
    return [(str(make_header(decode_header(name))), address) for name, address in found]


def _check_lines(line: bytes) -> None:
    """RFC 5322, 2.1.1 and RFC 2047, 2."""
    assert line.isascii()
    assert line.endswith(b"\r\n")
    assert all(part[:1] in (b" ", b"\t") for part in line.split(b"\r\n")[1:-1])
    assert max(len(part) for part in line.split(b"\r\n")) <= 998
    assert max((len(word) for word in re.findall(rb"=\?utf-8\?[qb]\?[^?]*\?=", line)), default=0) <= 75


@pytest.mark.parametrize("name", ["Reply-To", "From", "Sender", "To", "Cc", "Disposition-Notification-To"])
@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("Jörg Müller <joerg@example.org>", [("Jörg Müller", "joerg@example.org")]),
        ('"Müller, Jörg" <joerg@example.org>', [("Müller, Jörg", "joerg@example.org")]),
        ("joerg@example.org", [("", "joerg@example.org")]),
        ("a@example.org, Ö <o@example.org>", [("", "a@example.org"), ("Ö", "o@example.org")]),
        ("a@example.org; Ö <o@example.org>,,", [("", "a@example.org"), ("Ö", "o@example.org")]),
        ("o@example.org (Büro)", [("", "o@example.org")]),
        ("eve@example.com <frank@example.net>", [("eve@example.com", "frank@example.net")]),
        ("Dr. J. Doe <doe@example.net>", [("Dr. J. Doe", "doe@example.net")]),
        ('"a b"@example.net', [("", '"a b"@example.net')]),
        ("Gruppe Ä: a@example.org, Ö <o@example.org>;", [("", "a@example.org"), ("Ö", "o@example.org")]),
        ("undisclosed-recipients:;", []),
        ("x" * 1500 + " <x@example.org>", [("x" * 1500, "x@example.org")]),
        ("👨‍👩‍👧‍👦\u00a0\u200c <x@example.org>", [("👨‍👩‍👧‍👦\u00a0\u200c", "x@example.org")]),
    ],
)
def test_of_a_list_of_addresses_only_names_and_comments_are_encoded(
    name: str, value: str, found: list[tuple[str, str]]
) -> None:
    """An address is never part of an encoded-word. Source: RFC 2047, 5 (3); RFC 5322, 3.4."""
    line = header_line(name, value)
    _check_lines(line)
    assert [("" if "(" in value else shown, address) for shown, address in _addresses(line)] == found
    for _, address in found:
        assert address.encode() in line


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("Müller, Jörg <joerg@example.org>", "a name with a comma needs quotes"),
        ("joerg@exämple.org", "Punycode"),
        ("nobody", "is no address"),
        ("Re: x <a@example.org>", "a name with a colon needs quotes"),
        ("<a@example.org> <b@example.org>", "put a comma between two addresses"),
        ("<a@example.org> b", "put a comma between two addresses"),
        ('"a <a@example.org>', "cannot stand outside quotes"),
        ("a@example.org (b", 'has no ")"'),
        ("", "names nobody"),
        ("<>", "empty"),
    ],
)
def test_what_is_no_list_of_addresses_is_refused(value: str, words: str) -> None:
    """SES would refuse it, or answers would be lost. Source: RFC 5322, 3.4."""
    with pytest.raises(InvalidMessage) as caught:
        header_line("Reply-To", value)
    assert words in str(caught.value)
    assert "Reply-To" in str(caught.value)


def test_a_list_id_is_a_phrase_and_an_id() -> None:
    """Source: RFC 2919, 3."""
    line = header_line("List-ID", "Neuigkeiten für Läufer <news.example.org>")
    assert line == b"List-ID: =?utf-8?q?Neuigkeiten_f=C3=BCr_L=C3=A4ufer?= <news.example.org>\r\n"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("List-Unsubscribe", f"<https://example.org/{'u' * 1000}>", "998"),
        ("References", f"<{'r' * 1000}@example.org>", "998"),
        ("List-Unsubscribe", "<https://example.org/ü>", "percent-encoded"),
        ("Message-ID", "<ü@example.org>", "only ASCII"),
        ("X-SES-CONFIGURATION-SET", "ü", "only ASCII"),
        ("Subject", "a\r\nBcc: eve@example.org", "CR, LF"),
        ("Subject", "a\u2028b", "control character"),
        ("Subject", "\ud83d", "half of a surrogate pair"),
        ("Reply-To", "\ud83d <a@example.org>", "half of a surrogate pair"),
        ("Subject", "x" * (MAX_VALUE + 1), "is longer than 65,536 characters"),
        ("X\u00e4", "x", "is not a name"),
    ],
)
def test_what_would_be_read_otherwise_is_refused_with_the_headers_name(name: str, value: str, words: str) -> None:
    """A link in encoded-words cannot be followed. Source: RFC 2369, 2; RFC 2047, 5."""
    with pytest.raises(InvalidMessage) as caught:
        header_line(name, value)
    assert words in str(caught.value)
    assert name.encode("ascii", "backslashreplace").decode() in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("separator", [" ", "", ", "])
def test_many_ids_are_folded_and_stay_as_they_are(separator: str) -> None:
    """References of a long thread. Source: RFC 5322, 3.6.4."""
    ids = [f"<{number:050d}@example.org>" for number in range(60)]
    line = header_line("References", separator.join(ids))
    _check_lines(line)
    assert re.findall(r"<[^>]+>", line.decode()) == ids
    assert b"=?" not in line


@pytest.mark.parametrize(
    "value",
    ["x", "Grüße", "日本" * 80, "word word " * 300 + "end", "x" * 3000, "a  b" * 400, "\u00e4" * 2000, "ä\tb", ""],
)
@pytest.mark.parametrize("name", ["Subject", "X-" + "A" * 70])
def test_any_other_header_comes_out_as_it_went_in(name: str, value: str) -> None:
    """Encoded and folded where it has to be, whatever the length of its name."""
    line = header_line(name, value)
    _check_lines(line)
    assert _read(line)[name] == value


def test_a_value_in_ascii_stays_as_it_is() -> None:
    """To the last octet: it may be encoded already."""
    assert header_line("Subject", "=?utf-8?q?x?=  a ") == b"Subject: =?utf-8?q?x?=  a \r\n"


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=300)


@given(text=TEXT, used=st.integers(0, 80))
def test_encoded_words_hold_whole_characters(text: str, used: int) -> None:
    """Each can be read without the next. Source: RFC 2047, 2 and 5."""
    words = encoded_words(text, used)
    assert max(map(len, words), default=0) <= 75
    assert "".join(str(_read(f"Subject: {word}\r\n".encode())["Subject"]) for word in words) == text


@given(names=st.lists(st.tuples(TEXT, st.sampled_from(["a@example.org", "b.c@example.net"])), min_size=1, max_size=4))
def test_a_mailbox_is_read_as_it_was_written(names: list[tuple[str, str]]) -> None:
    """Any name, in any script, of any length."""
    line = mailbox_line("To", names)
    _check_lines(line)
    assert _addresses(line) == names


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a@example.org", ("", "a@example.org")),
        ("Ada <a@example.org>", ("Ada", "a@example.org")),
        (" <a@example.org> ", ("", "a@example.org")),
        ('"Ticket <#1>" <a@example.org>', ("Ticket <#1>", "a@example.org")),
        ('"A \\"B\\"" <a@example.org>', ('A "B"', "a@example.org")),
        ("👨‍👩‍👧\u00a0x, y <a@example.org>", ("👨‍👩‍👧\u00a0x, y", "a@example.org")),
        ("A <a@example.org>, B <b@example.org>", None),
        ("A <a@example.org", None),
    ],
)
def test_one_mailbox_may_have_any_name(text: str, found: tuple[str, str] | None) -> None:
    """Also one that is not printable by Python's account, as with a zero-width joiner or a no-break space."""
    assert read_mailbox(text) == found


@pytest.mark.parametrize("name", ["a.txt", 'a"b\\.txt', "ü.txt", "ü" * 300, "x" * 2000, "日本.pdf", "a\u200db"])
def test_a_file_name_comes_out_as_it_went_in(name: str) -> None:
    """In one parameter where that fits on a line, else in continuations. Source: RFC 2231, 3 and 4."""
    pieces = parameter("filename", name)
    assert max(map(len, pieces)) <= 76
    line = "Content-Disposition: attachment;\r\n {}\r\n".format(";\r\n ".join(pieces)).encode()
    assert _read(line).get_filename() == name
