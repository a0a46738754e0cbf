"""What the simulator refuses whatever the rate: malformed addresses and contents, in the service's words."""

from __future__ import annotations

import base64
import json

import pytest

from seslimit.testing import Simulator
from seslimit.testing._refusals import address_refusal, content_refusal, mailboxes_refusal
from tests.simulator_clients import CONTENT, FAST, logged_in, mail, raw, request, status, told

pytestmark = pytest.mark.once

LOCAL = "Local address contains control or whitespace"
DOMAIN = "Domain contains control or whitespace"
ILLEGAL_LOCAL = "Local address contains illegal character"
ILLEGAL_DOMAIN = "Domain contains illegal character"

ADDRESSES = [
    ("@example.com", "Missing local name"),
    ("b@", "Missing domain"),
    ("b@@example.com", ILLEGAL_DOMAIN),
    ("b@a_b.example.com", ILLEGAL_DOMAIN),
    ("b c@example.com", LOCAL),
    ("b\t@example.com", LOCAL),
    (" b@example.com", LOCAL),
    ("b@example.com ", DOMAIN),
    ("b@exam ple.com", DOMAIN),
    ("jörg@example.com", LOCAL),
    ("b@münchen.example.com", DOMAIN),
    ("b(c@example.com", ILLEGAL_LOCAL),
    ("b,c@example.com", ILLEGAL_LOCAL),
    ("b@.example.com", "Domain starts with dot"),
    ("b@example..com", "Domain contains dot-dot"),
    ("b@example.com.", "Domain ends with dot"),
    ("b", "Missing final '@domain'"),
]


@pytest.mark.parametrize(("address", "words"), ADDRESSES)
def test_what_is_wrong_with_an_address(address: str, words: str) -> None:
    """
    One problem, the first from the left, in JavaMail's words, which are SES's.

    Captured: "Local address contains control or whitespace" for `karen @…` and `dån@…` (openstax/accounts#253,
    egulias/EmailValidator#414), "Domain contains …" for domains that are not ASCII (GoodDollar/GoodDAPP#3730).
    """
    assert address_refusal(address) == words


@pytest.mark.parametrize(
    "address",
    [
        "b@example.com",
        '"b c"@example.com',
        '"b@c"@example.com',
        "b@[192.0.2.1]",
        "b@[IPv6:2001:db8::1]",
        "b.@x",
        "b!#$%&'*+-/=?^_`{|}~@x",
    ],
)
def test_addresses_that_pass(address: str) -> None:
    """Quoted local parts, literals and every character of an atom (RFC 5322, 3.2.3 and 3.4.1)."""
    assert address_refusal(address) is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("Ada <a@x.org>, b@x.org", None),
        ('"Norton, Inc" <a@x.org>', None),
        ("Norton, Inc <a@x.org>", "Missing final '@domain'"),
        ("undisclosed-recipients:;", None),
        ("Team: a@x.org, b@x.org;", None),
        ("Team: a@x.org, b c@x.org;", LOCAL),
        ("a@x.org (a (nested) comment), b@x.org", None),
        ("a@x.org,,b@x.org,", None),
        ("=?utf-8?Q?J=C3=B6rg?= <a@x.org>", None),
        ("a@x.org,\r\n b@x.org", None),
        ('"a <b@c>" <a@x.org>', None),
        ('"Test <a@x.org>', "Missing '\"'"),
        ("Ada <>", "Missing final '@domain'"),
        ("Ada <b c@x.org>", LOCAL),
    ],
)
def test_what_is_wrong_with_a_list_of_addresses(value: str, words: str | None) -> None:
    """Names, comments and groups hold anything (RFC 5322, 3.4); an open quote as captured in magento-2-smtp#265."""
    assert mailboxes_refusal(value) == words


def headers(*lines: str) -> bytes:
    """A content with these headers."""
    return "\r\n".join([*lines, "", "Hello", ""]).encode()


FROM = "From: a@x.org"
CONTENTS = [
    (b"", "Missing required header 'From'."),
    (b"\r\nFrom: a@x.org\r\n", "Missing required header 'From'."),
    (headers(FROM, "from: b@x.org"), "Duplicate header 'From'."),
    (headers(FROM, "Reply-To: a@x.org", "X-A: b", "reply-to: b@x.org"), "Duplicate header 'Reply-To'."),
    (headers(FROM, "DKIM-Signature: a", "DKIM-Signature: b"), "Duplicate header 'DKIM-Signature'."),
    (headers(FROM, "MIME-Version: 1.0", "Mime-Version: 1.0"), "Duplicate header 'MIME-Version'."),
    (
        headers(FROM, "X-SES-CONFIGURATION-SET: a", "X-SES-Configuration-Set: b"),
        "Duplicate header 'X-SES-CONFIGURATION-SET'.",
    ),
    (headers(FROM, "To: b"), "Missing final '@domain'"),
    (headers(FROM, "Subject: Grüße"), "Header contains non-ASCII characters."),
    (headers(FROM, f"Subject: {'x' * 990}"), "Line length exceeds 1000 characters."),
    (headers(FROM, "", "x" * 999), "Line length exceeds 1000 characters."),
]


@pytest.mark.parametrize(("content", "words"), CONTENTS)
async def test_contents_that_neither_door_takes(content: bytes, words: str) -> None:
    """554 at the dot, 400 of the API; nothing is charged. Source: Developer Guide, "Amazon SES header fields"."""
    sent = {
        "Destination": {"ToAddresses": ["b@x.org"]},
        "Content": {"Raw": {"Data": base64.b64encode(content).decode()}},
    }
    async with Simulator(FAST) as simulator:
        async with logged_in(simulator) as conversation:
            await conversation.give()
            conversation.writer.write(content + b"\r\n" * (not content.endswith(b"\n")) + b".\r\n")
            assert await conversation.hear() == f"554 Transaction failed: {words}"
        answer = await request(simulator, body=json.dumps(sent).encode())
        assert (status(answer), told(answer)["message"]) == (400, words)
        assert b"x-amzn-ErrorType: BadRequestException\r\n" in answer
        assert (simulator.counts.accepted, simulator.counts.invalid) == (0, 2)


def test_lines_that_end_in_a_bare_line_feed() -> None:
    """They are lines too: the API takes content of any making."""
    content = headers(FROM, "", "x" * 999).replace(b"\r\n", b"\n")
    assert content_refusal(content) == "Line length exceeds 1000 characters."
    assert content_refusal(content.replace(b"x" * 999, b"x" * 998)) is None


@pytest.mark.parametrize(
    "content",
    [
        headers(FROM, "To: a@x.org", "To: b@x.org", "Received: a", "Received: b", "X-A: a", "X-A: b"),
        headers(FROM, f"Subject: {'x' * 989}", "", "x" * 998),
        headers(FROM, "Subject: a\r\n From: folded"),
        headers(FROM, "", "From: in the body", "Grüße"),
        headers(FROM, "Sender : with a blank"),
    ],
)
def test_contents_that_pass(content: bytes) -> None:
    """Headers that may be several, lines of 998 octets, an 8-bit body (8BITMIME is offered)."""
    assert content_refusal(content) is None


@pytest.mark.parametrize("address", ["{}", "Ada <{}>", '"Ada, Countess" <{}>'])
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("b c@example.com", LOCAL),
        ("jörg@example.com", LOCAL),
        ("b@", "Missing domain"),
        ("b", "Missing final '@domain'"),
    ],
)
async def test_addresses_of_a_request(address: str, spec: str, words: str) -> None:
    """Recipients with a name or without."""
    async with Simulator(FAST) as simulator:
        answer = await request(simulator, body=raw(address.format(spec)))
        assert (status(answer), told(answer)["message"]) == (400, words)
        assert simulator.counts.accepted == 0


async def test_a_sender_beside_the_content_replaces_its_from() -> None:
    """The request's own sender is judged; without it the header is, and one of the two there must be."""
    asked = {
        "Destination": {"ToAddresses": ["b@x.org"]},
        "Content": {"Raw": {"Data": base64.b64encode(b"Subject: a\r\n\r\n").decode()}},
    }
    async with Simulator(FAST) as simulator:
        assert status(await request(simulator, body=json.dumps(asked).encode())) == 400
        assert (
            status(await request(simulator, body=json.dumps(asked | {"FromEmailAddress": "Ada <a@x.org>"}).encode()))
            == 200
        )
        answer = await request(simulator, body=json.dumps(asked | {"FromEmailAddress": "ä@x.org"}).encode())
        assert told(answer)["message"] == LOCAL


@pytest.mark.parametrize(
    "address", ["@example.com", "b@", "b@@example.com", "b c@example.com", "jörg@example.com", "b@münchen.example.com"]
)
async def test_malformed_addresses_of_an_envelope(address: str) -> None:
    """553 at MAIL and RCPT, whose texts the Developer Guide has ("Amazon SES SMTP issues"); the session goes on."""
    shown = address.encode().decode("utf-8").encode("ascii", "replace").decode()
    async with Simulator(FAST) as simulator, logged_in(simulator) as conversation:
        assert await conversation.say(f"MAIL FROM:<{address}>") == f"553 <{shown}> Invalid email address"
        await conversation.say("MAIL FROM:<sender@example.org>")
        assert await conversation.say(f"RCPT TO:<{address}>") == f"553 <{shown}> address unknown"
        await conversation.say("RSET")
        assert (await conversation.send()).startswith("250 Ok ")


async def test_smtputf8_is_no_parameter() -> None:
    """The service does not have the extension: its API reference on SendEmail, "does not support SMTPUTF8"."""
    async with Simulator(FAST) as simulator, logged_in(simulator) as conversation:
        assert (await conversation.say("MAIL FROM:<sender@example.org> SMTPUTF8")).startswith("555 ")
        assert (await conversation.send()).startswith("250 Ok ")


async def test_whoever_does_not_want_it_strict() -> None:
    """`strict=False` takes what a test of bytes needs."""
    async with Simulator(FAST, strict=False) as simulator:
        assert (await mail(simulator, "@x", content="Subject: no sender\r\n\r\n")).startswith("250 Ok ")
        assert status(await request(simulator, body=raw("@x", content="x" * 2000))) == 200
        assert (await mail(simulator, content=f"{CONTENT}{'x' * 2000}\r\n")).startswith("250 Ok ")
