"""Which addresses a header names: the same on every Python, or a refusal; never a guess."""

from __future__ import annotations

import time
from email.message import Message as LegacyMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seslimit import InvalidMessage, Message, check_address
from seslimit._model.addresses import MAX_LIST_LENGTH


def named(value: str) -> tuple[str, ...]:
    """The recipients of a message with this To header, beside one in Bcc."""
    return with_headers(To=value, Bcc="last@example.org").recipients[:-1]


def with_headers(**headers: str) -> Message:
    """The message that these headers make."""
    content = LegacyMessage()
    for name, value in {"From": "a@example.org", **headers}.items():
        content[name] = value
    return Message.from_email(content)


LISTS: dict[str, tuple[str, ...]] = {
    # RFC 5322, A.1: simple, groups, white space and comments.
    "John Doe <jdoe@machine.example>": ("jdoe@machine.example",),
    '"Joe Q. Public" <john.q.public@example.com>': ("john.q.public@example.com",),
    'Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>, "Giant; \\"Big\\" Box" <s@x.test>': (
        "mary@x.test",
        "jdoe@example.org",
        "one@y.test",
        "s@x.test",
    ),
    "A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;": ("c@a.test", "joe@where.test", "jdoe@one.test"),
    "Undisclosed recipients:;": (),
    "(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;": (),
    "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>": ("pete@silly.test",),
    "A Group(Some people)\n     :Chris Jones <c@(Chris's host.)public.example>,\n joe@example.org;": (
        "c@public.example",
        "joe@example.org",
    ),
    # RFC 5322, A.6.1 and 4.4: routes, empty members, blanks around the dots.
    "Joe Q. Public <john.q.public@example.com>": ("john.q.public@example.com",),
    "Mary Smith <@node.test,@other.test:mary@example.net>, , jdoe@test . example": (
        "mary@example.net",
        "jdoe@test.example",
    ),
    ",a@example.com,,b@example.com,": ("a@example.com", "b@example.com"),
    "": (),
    " \t": (),
    # As mail has it.
    "eve@example.com <frank@example.net>": ("frank@example.net",),
    "a@example.org <a@example.org>": ("a@example.org",),
    "'a@example.org' <a@example.org>": ("a@example.org",),
    "undisclosed-recipients:; (comment)": (),
    "undisclosed-recipients:": (),
    '"x" <>': (),
    "<>": (),
    "a@example.org; b@example.org;": ("a@example.org", "b@example.org"),
    "Doe Ann <a@example.org>; Team: b@example.org, c@example.org;; d@example.org": (
        "a@example.org",
        "b@example.org",
        "c@example.org",
        "d@example.org",
    ),
    "=?utf-8?q?J=C3=BCrgen?= <j@example.org>": ("j@example.org",),
    "Jürgen <j@example.org>": ("j@example.org",),
    '"with blank"@example.org, "a\\"b"@example.org': ('"with blank"@example.org', '"a\\"b"@example.org'),
    "a@example.org (a, <b@example.org>)": ("a@example.org",),
    '"b@example.org, x" <a@example.org>': ("a@example.org",),
    f"{'(' * 1000}x{')' * 1000} a@example.org": ("a@example.org",),
}


@pytest.mark.parametrize("text", LISTS, ids=lambda text: repr(text[:40]))
def test_a_list_names_its_addresses(text: str) -> None:
    """RFC 5322, 3.4 with the obsolete forms of 4.4, and the forms that programs write."""
    assert named(text) == LISTS[text]


REFUSED = {
    "Norton, Ann <a@example.org>": "a name with a comma needs quotes",
    "a@example.org, not an address": "a name with a comma needs quotes",
    "Note: Ann <a@example.org>": "a name with a colon needs quotes",
    "mailto:a@example.org": "a name with a colon needs quotes",
    "A: B: a@example.org;": "a name with a colon needs quotes",
    "<a@example.org> <b@example.org>": "put a comma between two addresses",
    "<a@example.org> b@example.org": "put a comma between two addresses",
    "a@example.org b@example.org": "it holds more than one @",
    "Ann a@example.org": "' ' cannot stand before the @",
    '"Ann a@example.org': "a quotation mark has no second one",
    "Ann (x <a@example.org>": r'a "\(" has no "\)"',
    "Ann ) <a@example.org>": r"'\)' cannot stand outside quotes",
    "Ann <a@example.org": 'a "<" has no ">"',
    "Ann <a@example.org, b@example.org>": "is not an address",
    "Ann <a@example.org;>": 'a "<" has no ">"',
    "Ann > a@example.org": 'a ">" has no "<"',
    "a\\@b@example.org": "cannot stand outside quotes",
    '"Ann"': "is not an address",
    "a@[192.0.2.1]": "is not an address",
    "<@b@example.org>": "is not an address",
    "<a@example.org:b@example.org>": "is not an address",
    "\x1b$BF|K\x1b(B <a@example.org>": "cannot stand outside quotes",
    "a" * (MAX_LIST_LENGTH + 1): "is longer than 65,536 characters",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:40]))
def test_what_is_no_list_is_refused(text: str) -> None:
    """Whom to send to is never guessed: one half of a list is worse than none of it."""
    with pytest.raises(InvalidMessage, match=REFUSED[text]) as refusal:
        named(text)
    assert str(refusal.value).startswith("To ")
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("piece", ["a@b.c,", "(", '"', '"a\\', "a . ", "<", " . ", "a ", ":", ",", "(a", "\\"])
def test_the_time_for_a_list_grows_with_its_length_only(piece: str) -> None:
    """Twice the length takes at most three times as long, in the best of three: no input can hold up a run."""

    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        best = 9.0
        for _ in range(3):
            began_at = time.process_time()
            with pytest.raises(InvalidMessage):
                with_headers(To=text + "(")
            best = min(best, time.process_time() - began_at)
        return best

    assert seconds(MAX_LIST_LENGTH // 2) < 3 * seconds(MAX_LIST_LENGTH // 4) + 0.01


@given(st.text(alphabet='ab@.,;:<>()"\\ \té\x00', max_size=24))
def test_whatever_the_header_it_is_read_or_refused(text: str) -> None:
    """No text raises anything else, and what is read is what an envelope takes."""
    try:
        addresses = named(text)
    except InvalidMessage as refusal:
        assert str(refusal).isprintable()  # noqa: PT017 - either way is right
        return
    assert [check_address("recipient", address) for address in addresses] == list(addresses)


@pytest.mark.parametrize("text", ["alice@example.org <bob@example.org>", "bob@example.org,", "bob@example.org; c@d.e"])
def test_the_return_address_is_the_first_one_of_from(text: str) -> None:
    """The angle address wins there too, and a trailing comma is no second address."""
    assert with_headers(From=text, To="b@example.net").mail_from == "bob@example.org"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("", "is an empty text"),
        ("a@example.com ", "begins or ends with a blank"),
        ("a@exa_mple.com", "'_' cannot stand there in a domain"),
        ("a@example.com.", "'.' cannot stand there in a domain"),
        ("jürgen@example.com", "not ASCII before the @, which SES does not take"),
        ("a@bücher.example", "write the domain in Punycode"),
        ("a;b@example.com", "';' cannot stand before the @"),
        ("a@", "is not an address of the form local@domain"),
    ],
)
def test_a_refused_address_is_told_why(address: str, words: str) -> None:
    """The sentence names what is in the way: "not of the form" alone has people look for an hour."""
    with pytest.raises(InvalidMessage, match=words):
        check_address("recipient", address)
