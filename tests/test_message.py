"""Messages are checked when they are made, and what is written to the wire is what was checked."""

from __future__ import annotations

import email
import email.policy
import pickle
from email.headerregistry import Address
from email.message import EmailMessage
from email.message import Message as LegacyMessage
from email.mime.text import MIMEText
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seslimit import InvalidMessage, Message, Outcome, Receipt, Report
from seslimit._model.message import MAX_RECIPIENTS

CONTENT = b"Subject: hello\r\n\r\nhello\r\n"


def made(**changes: object) -> Message:
    """A valid message, but for what is changed."""
    fields: dict[str, object] = {"mail_from": "a@example.com", "recipients": ["b@example.org"], "content": CONTENT}
    return Message(**{**fields, **changes})  # type: ignore[arg-type]  # some tests hand over wrong types on purpose


def composed(**headers: str) -> EmailMessage:
    """A modern message object with these headers beside From and To."""
    content = EmailMessage()
    content["From"] = "Ann <ann@example.com>"
    content["To"] = "Bob <bob@example.org>"
    for name, value in headers.items():
        del content[name]
        content[name] = value
    content.set_content("hello")
    return content


@pytest.mark.parametrize(
    "address",
    [
        "a@example.com",
        "first.last+tag@mail.example.co.uk",
        '"with space"@example.com',
        "bounces+1=2@xn--bcher-kva.example",
        "o'neil@example.com",
        "a@localhost",
    ],
)
def test_an_ordinary_address_is_taken_as_it_is(address: str) -> None:
    """Nothing about a valid address is changed."""
    assert made(mail_from=address, recipients=[address]).recipients == (address,)


@pytest.mark.parametrize("control", ["\r", "\n", "\r\n", "\0", "\t", "\x7f", "\x85", "\u2028"])
@pytest.mark.parametrize("place", ["a{}@example.com", "a@example.com{}", "{}a@example.com", "a@exam{}ple.com"])
@pytest.mark.parametrize("field", ["mail_from", "recipients"])
def test_an_address_with_a_control_character_is_refused(field: str, place: str, control: str) -> None:
    """Wherever CR, LF, NUL or another control character stands: it could end a command and begin another."""
    address = place.format(control)
    with pytest.raises(InvalidMessage, match="control character"):
        made(**{field: address if field == "mail_from" else [address]})


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nobody",
        "@example.com",
        "a@",
        "a@@example.com",
        "a b@example.com",
        "Ann <ann@example.com>",
        "a@example.com, b@example.com",
        "a@example.com>",
        "a@-example.com",
        'a"b@example.com',
    ],
)
def test_what_is_no_bare_address_is_refused(address: str) -> None:
    """A name, a list, or a part of an address is no address."""
    with pytest.raises(InvalidMessage, match="local@domain"):
        made(recipients=[address])


def test_an_address_outside_ascii_is_refused_with_the_remedy() -> None:
    """SES takes none; a domain has another spelling."""
    with pytest.raises(InvalidMessage, match="Punycode"):
        made(recipients=["a@bücher.example"])


def test_an_address_of_321_characters_is_refused() -> None:
    """RFC 5321 allows 320."""
    with pytest.raises(InvalidMessage, match="longer than 320"):
        made(recipients=["a" * 309 + "@example.com"])


def test_an_endless_address_is_refused_with_a_short_sentence() -> None:
    """The sentence does not repeat a megabyte."""
    with pytest.raises(InvalidMessage) as refusal:
        made(recipients=["a" * 1_000_000])
    assert len(str(refusal.value)) < 1000


@given(st.text(max_size=40) | st.from_regex(r"[!-~ ]{1,8}@[!-~]{1,12}", fullmatch=True))
def test_an_address_that_is_taken_is_one_bare_printable_word(text: str) -> None:
    """Whatever the text, what passes can be written between angle brackets."""
    try:
        address = made(recipients=[text]).recipients[0]
    except InvalidMessage:
        return
    assert address.isascii()
    assert address.isprintable()
    assert not set("<> ") & set(address) or address.startswith('"')


@given(st.text(max_size=40))
def test_a_refusal_is_one_printable_line(text: str) -> None:
    """Whatever the text, it cannot write to a log or a terminal what it likes."""
    with pytest.raises(InvalidMessage) as refusal:
        made(recipients=[text + "\n"])
    assert str(refusal.value).isprintable()


def test_fifty_recipients_are_taken() -> None:
    """SES's limit is inclusive."""
    recipients = [f"r{number}@example.org" for number in range(MAX_RECIPIENTS)]
    assert made(recipients=recipients).cost == 50


def test_fifty_one_recipients_are_refused() -> None:
    """The sentence names the number and the remedy."""
    with pytest.raises(InvalidMessage, match=r"51 addresses.*split it"):
        made(recipients=[f"r{number}@example.org" for number in range(51)])


def test_no_recipients_are_refused() -> None:
    """A message goes to somebody."""
    with pytest.raises(InvalidMessage, match="recipients is empty"):
        made(recipients=[])


def test_a_text_in_place_of_the_recipients_is_refused() -> None:
    """It would be a list of letters."""
    with pytest.raises(InvalidMessage, match="pass a list"):
        made(recipients="b@example.org")


@pytest.mark.parametrize(
    ("mail_from", "recipients", "content", "words"),
    [
        ("a@example.com", ["b@example.com"], "Subject: x\r\n\r\n", "content is of type str: pass bytes"),
        ("a@example.com", ["b@example.com"], None, "content is of type NoneType: pass bytes"),
        (None, ["b@example.com"], b"", "mail_from is of type NoneType"),
        ("a@example.com", [b"b@example.com"], b"", "recipient is of type bytes"),
    ],
)
def test_a_field_of_another_type_is_named(mail_from: Any, recipients: Any, content: Any, words: str) -> None:
    """Text as the content is what smtplib takes: a sentence says what to pass, not an operator deep inside."""
    with pytest.raises(InvalidMessage, match=words):
        Message(mail_from, recipients, content)


def test_recipients_come_from_any_iterable() -> None:
    """A generator does."""
    assert made(recipients=(name for name in ("b@example.org", "c@example.org"))).cost == 2


@pytest.mark.parametrize(
    ("raw", "normalised"),
    [
        (b"A: b\n\nx\n", b"A: b\r\n\r\nx\r\n"),
        (b"A: b\r\rx\r", b"A: b\r\n\r\nx\r\n"),
        (b"A: b\r\n\nx\r", b"A: b\r\n\r\nx\r\n"),
        (b"x\n\r\n\ry", b"x\r\n\r\n\r\ny"),
        (b"", b""),
    ],
)
def test_line_ends_of_bytes_become_crlf(raw: bytes, normalised: bytes) -> None:
    """Bare CR, bare LF, and any mixture of them."""
    assert made(content=raw).as_bytes() == normalised


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b".", b"\n.\n"]), max_size=12).map(b"".join))
def test_normalised_bytes_hold_no_bare_line_end_and_are_stable(raw: bytes) -> None:
    """So that no content can end the DATA command early."""
    content = made(content=raw).as_bytes()
    bare = content.replace(b"\r\n", b"")
    assert b"\r" not in bare
    assert b"\n" not in bare
    assert made(content=content).as_bytes() is content


def test_bytes_with_nul_are_refused() -> None:
    """No mail may hold one."""
    with pytest.raises(InvalidMessage, match="NUL"):
        made(content=b"a\0b")


def test_an_object_is_written_with_crlf_and_in_seven_bits() -> None:
    """Both classes of the standard library, with a text outside ASCII."""
    modern = composed(Subject="Grüße")
    modern.set_content("schöne Grüße\n")
    for content in (modern, MIMEText("schöne Grüße\n", _charset="utf-8")):
        written = made(content=content).as_bytes()
        assert written.isascii()
        assert written.count(b"\n") == written.count(b"\r\n") == written.count(b"\r")
        assert email.message_from_bytes(written, policy=email.policy.default).get_content() == "schöne Grüße\n"


def test_a_line_that_begins_with_from_is_written_as_it_is() -> None:
    """Only mailbox files mask it."""
    content = LegacyMessage()
    content["From"] = "a@example.com"
    content.set_payload("From here on\n")
    assert b"\r\nFrom here on\r\n" in made(content=content).as_bytes()


@pytest.mark.parametrize("name", ["Bcc", "bcc", "Resent-Bcc"])
def test_blind_copies_are_not_written(name: str) -> None:
    """The header is stripped from what is sent and stays on the caller's object."""
    content = composed(**{name: "secret@example.org"})
    assert b"secret" not in made(content=content).as_bytes()
    assert content[name] == "secret@example.org"


def test_a_folded_header_is_taken() -> None:
    """A parsed message keeps the folds of its headers."""
    raw = b"From: a@example.com\r\nSubject: one\r\n two\r\n\tthree\r\n\r\nhello\r\n"
    for policy in (email.policy.compat32, email.policy.default):
        content = email.message_from_bytes(raw, policy=policy)
        assert b"two" in made(content=content).as_bytes()


@pytest.mark.parametrize("value", ["x\r\nBcc: c@example.org", "x\nBcc: c@example.org", "x\rBcc: c", "x\n", "x\0y"])
def test_a_header_that_would_begin_another_is_refused(value: str) -> None:
    """A legacy object does not check its headers itself."""
    content = LegacyMessage()
    content["Subject"] = value
    with pytest.raises(InvalidMessage, match="header Subject"):
        made(content=content)


def test_a_header_of_a_part_is_checked_too() -> None:
    """Attachments have headers."""
    content = EmailMessage()
    content.set_content("text")
    content.add_attachment(b"x", maintype="application", subtype="octet-stream")
    part = next(content.iter_attachments())
    part._headers.append(("X-Part", "a\r\nb: c"))  # type: ignore[attr-defined]  # as a parser of somebody's could
    with pytest.raises(InvalidMessage, match="header X-Part"):
        made(content=content)


def test_the_envelope_is_read_from_the_headers() -> None:
    """From, and everybody in To, Cc and Bcc, in this order."""
    content = composed(Cc="c@example.org", Bcc="d@example.org, e@example.org")
    message = Message.from_email(content, key=7)
    assert message.mail_from == "ann@example.com"
    assert message.recipients == ("bob@example.org", "c@example.org", "d@example.org", "e@example.org")
    assert message.key == 7


def test_the_sender_header_goes_before_from() -> None:
    """It names who sent it, where several wrote it."""
    assert Message.from_email(composed(Sender="office@example.com")).mail_from == "office@example.com"


def test_a_recipient_named_twice_gets_one_copy() -> None:
    """The order is that of the first mention."""
    content = composed(Cc="c@example.org, bob@example.org")
    assert Message.from_email(content).recipients == ("bob@example.org", "c@example.org")


def test_undisclosed_recipients_are_nobody() -> None:
    """The usual To of a message with blind copies only."""
    content = composed(To="undisclosed-recipients:;", Bcc="d@example.org")
    assert Message.from_email(content).recipients == ("d@example.org",)


def test_a_legacy_object_gives_its_envelope_too() -> None:
    """Display names in encoded words are no obstacle."""
    content = MIMEText("hello")
    content["From"] = "=?utf-8?q?J=C3=BCrgen?= <j@example.com>"
    content["To"] = '"Doe, Jane" <jane@example.org>, bob@example.org'
    message = Message.from_email(content)
    assert (message.mail_from, message.recipients) == ("j@example.com", ("jane@example.org", "bob@example.org"))


def test_a_display_name_outside_ascii_is_no_obstacle() -> None:
    """Only the address goes to the envelope."""
    content = EmailMessage()
    content["From"] = Address("Jürgen", addr_spec="j@example.com")
    content["To"] = Address("Zoë", addr_spec="z@example.org")
    content.set_content("hello")
    assert Message.from_email(content).recipients == ("z@example.org",)


def test_a_missing_from_is_named_with_the_remedy() -> None:
    """So is what can be done about it."""
    content = EmailMessage()
    content["To"] = "b@example.org"
    with pytest.raises(InvalidMessage, match="no From header"):
        Message.from_email(content)


def test_an_object_without_recipients_is_refused() -> None:
    """No header names any."""
    content = EmailMessage()
    content["From"] = "a@example.com"
    with pytest.raises(InvalidMessage, match="recipients is empty"):
        Message.from_email(content)


def test_a_malformed_recipient_header_is_refused() -> None:
    """Nobody is left out silently."""
    with pytest.raises(InvalidMessage):
        Message.from_email(composed(To="bob@example.org, not an address"))


def test_the_size_is_known_without_writing() -> None:
    """It is exact for bytes, and close for an object."""
    content = composed()
    content.add_attachment(b"x" * 30_000, maintype="application", subtype="octet-stream")
    assert made().size_hint == len(CONTENT)
    assert made(content=content).size_hint == pytest.approx(len(made(content=content).as_bytes()), rel=0.05)


def test_values_pickle() -> None:
    """A message may go to another process, with what became of it."""
    report = Report(made(key="k", content=CONTENT), Outcome.ACCEPTED, Receipt("id", {"c@example.org": "550 no"}))
    assert pickle.loads(pickle.dumps(report)) == report  # noqa: S301  # our own bytes


def test_the_content_is_not_shown() -> None:
    """A log of messages is no copy of them."""
    assert "hello" not in repr(made())


def test_receipts_are_the_same_whenever_they_were_decided() -> None:
    """The moment is for the control law only."""
    assert Receipt("id", handed_over_at=1.0) == Receipt("id", handed_over_at=2.0)


def test_a_receipt_takes_the_former_name_of_the_hand_over() -> None:
    """Transports of other people's have it."""
    receipt = Receipt("id", decided_at=1.0)
    assert (receipt.handed_over_at, receipt.decided_at) == (1.0, 1.0)
    assert attrs.evolve(receipt, decided_at=2.0).handed_over_at == 2.0
