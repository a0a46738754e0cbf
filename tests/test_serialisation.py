"""A message as bytes in pieces: the bytes are those of the email package, whatever the message and the pieces."""

from __future__ import annotations

import copy
import email
import email.policy
import random
from email.generator import BytesGenerator
from email.message import EmailMessage, Message
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seslimit._model import serialisation
from seslimit._model.serialisation import serialised

LINES = ("", "a", "From here", ".", "=", "é", "x" * 100, "--b", "--b--", "\t", "tail ")
ENDS = ("\n", "\r\n", "\r", "\n\n", "\r\r\n")


def theirs(content: Message) -> bytes:
    """What the email package makes of it."""
    modern = isinstance(content, EmailMessage)
    policy = serialisation._MODERN if modern else serialisation._LEGACY
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(BytesGenerator, "_make_boundary", serialisation._PiecewiseGenerator._make_boundary)
        return content.as_bytes(policy=policy)


def check_same(content: Message) -> None:
    """Both make the same of it, or both refuse it alike."""
    results: list[Any] = []
    for make in (theirs, serialised):
        # Boundaries are kept in the object.
        try:
            results.append(make(copy.deepcopy(content)))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must be the same
            results.append(type(error))
    assert results[0] == results[1]


@pytest.fixture(autouse=True, params=[1, 7, 1 << 20])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces so short that they are cut everywhere, and those in use."""
    monkeypatch.setattr(serialisation, "PIECE", request.param)


def modern() -> EmailMessage:
    """A message with most of what a message may have."""
    content = EmailMessage()
    content["From"], content["To"], content["Subject"] = "Ä <a@example.org>", "b@example.com", "Grüße " * 20
    content.set_content("Grüße\n\n" + "lang " * 300 + "\nFrom here\n.\n")
    content.add_alternative("<p>é</p>\n" * 30, subtype="html", cte="quoted-printable")
    content.add_attachment(random.Random(1).randbytes(500), maintype="application", subtype="pdf", filename="ü.pdf")
    content.add_attachment("text, 7 bit\n" * 9, filename="a.txt")
    inner = EmailMessage()
    inner["Subject"] = "inner"
    inner.set_content("inner\n")
    content.add_attachment(inner)
    content.preamble, content.epilogue = "before\nit", "after\nit\n"
    return content


def legacy() -> MIMEMultipart:
    """The same in the older classes."""
    content = MIMEMultipart()
    content["Subject"] = "Grüße"
    content.attach(MIMEText("Grüße\n", _charset="utf-8"))
    content.attach(MIMEText("plain\nFrom\n"))
    content.attach(MIMEApplication(b"\x00\xff" * 200))
    content.preamble = "before"
    return content


SIGNED = b"""\
From: a@example.org
Content-Type: multipart/signed; boundary="b"; micalg="x"; protocol="y"

preamble
--b
Content-Type: text/plain
X-Long: %s

signed \xe9
--b
Content-Type: application/pgp-signature

sig
--b--
epilogue
""" % (b"word " * 40)
RAW = {
    "signed": SIGNED,
    "signed, CRLF": SIGNED.replace(b"\n", b"\r\n"),
    "8 bit with a charset": (
        b'Content-Type: text/plain; charset="iso-8859-1"\nContent-Transfer-Encoding: 8bit\n\nGr\xfc\xdfe\n'
    ),
    "8 bit without": b"Subject: \xe9\n\nGr\xfc\xdfe\n",
    "quoted-printable": b"Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=\n=DFe\n",
    "rfc822": b"Content-Type: message/rfc822\n\nSubject: inner\n\n\xe9 inner\n",
    "report": (
        b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n--b\n'
        b"Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\nFinal-Recipient: rfc822; y\n\n--b--\n"
    ),
    "no boundary": b"Content-Type: multipart/mixed\n\nhello\n",
    "boundary that never comes": b'Content-Type: multipart/mixed; boundary="b"\n\nhello\n',
    "no end": b"Subject: x\n\nno line end",
    "empty": b"Subject: x\n\n",
    "digest": (
        b'Content-Type: multipart/digest; boundary="b"\n\n--b\n\nSubject: one\n\n1\n--b\n\nSubject: two\n\n2\n--b--\n'
    ),
}


@pytest.mark.parametrize("content", [modern(), legacy()], ids=["modern", "legacy"])
def test_made(content: Message) -> None:
    """Of a message that was put together."""
    check_same(content)


@pytest.mark.parametrize("policy", [email.policy.default, email.policy.SMTP, email.policy.compat32], ids=repr)
@pytest.mark.parametrize("raw", RAW.values(), ids=RAW)
def test_parsed(raw: bytes, policy: Any) -> None:
    """Of a message that was read."""
    check_same(email.message_from_bytes(raw, policy=policy))


@st.composite
def trees(draw: st.DrawFn) -> Message:
    """A message, or a part, of any shape."""
    kind = draw(st.sampled_from([EmailMessage, Message]))
    content = kind()
    text = "".join(
        line + end
        for line, end in draw(st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from((*ENDS, ""))), max_size=12))
    )
    shape = draw(st.integers(0, 4))
    if shape == 0:
        content["Content-Type"] = "multipart/mixed"
        content.set_payload([*draw(st.lists(trees(), max_size=3))])
        if draw(st.booleans()):
            content.preamble, content.epilogue = text, text
        if draw(st.booleans()):
            content.set_boundary("b")
    elif shape == 1:
        content["Content-Type"] = "message/rfc822"
        content.set_payload([draw(trees())])
    elif shape == 2:
        content.set_payload(text)
    else:
        content["Content-Type"] = 'text/plain; charset="utf-8"'
        content.set_payload(text, "utf-8" if shape == 3 else None)
    return content


@settings(max_examples=150, deadline=None)
@given(content=trees())
def test_any_tree(content: Message) -> None:
    """Of any tree of parts, with any line ends; what cannot be serialised fails alike."""
    check_same(content)


def test_a_boundary_in_the_text() -> None:
    """A boundary that is found in a part is not taken."""
    chosen = serialisation._PiecewiseGenerator._make_boundary(b"text")

    class Holds(bytes):
        """A text that holds whatever boundary it is asked for first."""

        __slots__ = ()

        def __contains__(self, key: object) -> bool:
            return key == f"--{chosen}".encode()

    assert serialisation._PiecewiseGenerator._make_boundary(Holds(b"text")) == f"{chosen}.0"


def test_the_same_message_is_the_same_bytes_in_the_next_run() -> None:
    """By its digest it is found again; chance is in none of it."""
    assert serialised(modern()) == serialised(modern())
    assert serialised(legacy()) == serialised(legacy())


def test_a_class_of_its_own() -> None:
    """A class that has its own way to become bytes is asked for it."""

    class Signed(EmailMessage):
        def as_bytes(self, unixfrom: bool = False, policy: Any = None) -> bytes:
            return b"signed\r\n"

    assert serialised(Signed()) == b"signed\r\n"


def test_bcc_is_left_out() -> None:
    """Of what is sent, not of the caller's object."""
    content = modern()
    content["Bcc"] = "hidden@example.com"
    assert b"hidden" not in serialised(content)
    assert content["Bcc"] == "hidden@example.com"
