"""From a payload of listmonk's to the message that leaves."""

from __future__ import annotations

import copy
import email
import email.policy
import json
import re
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seslimit.companion.listmonk._content import Composed, compose
from seslimit.companion.listmonk._headers import Rules
from seslimit.companion.listmonk._memory import key_of
from seslimit.companion.listmonk._post import BadPost, parse

GOLDEN = Path(__file__).parent / "listmonk"
ROOT = "https://lists.example.net"
DATE = "Thu, 01 Oct 2026 10:00:00 +0000"
CAMPAIGN: dict[str, Any] = json.loads((GOLDEN / "campaign.json").read_text(encoding="utf-8"))
TRANSACTIONAL: dict[str, Any] = json.loads((GOLDEN / "transactional.json").read_text(encoding="utf-8"))


def _composed(payload: dict[str, Any]) -> Composed:
    return compose(parse(json.dumps(payload).encode()), Rules(ROOT), DATE)


def _campaign(**campaign: Any) -> dict[str, Any]:
    payload = copy.deepcopy(CAMPAIGN) | {"attachments": None}
    payload["campaign"] |= campaign
    return payload


def _read(composed: Composed) -> EmailMessage:
    message = email.message_from_bytes(composed.message.as_bytes(), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def _with_header(name: str, value: str) -> Composed:
    return _composed(_campaign(headers=[{name: value}]))


@pytest.mark.parametrize("name", ["campaign", "transactional", "plain"])
def test_a_payload_leaves_as_its_golden_message(name: str) -> None:
    """To the last octet, but for the boundaries, which are random."""
    body = (GOLDEN / f"{name}.json").read_bytes()
    content = compose(parse(body), Rules(ROOT), DATE).message.as_bytes()
    boundaries = list(dict.fromkeys(re.findall(rb"=_[0-9a-f]{24}", content)))
    for number, boundary in enumerate(boundaries):
        content = content.replace(boundary, b"boundary-%d" % number)
    assert content == (GOLDEN / f"{name}.eml").read_bytes()


def test_the_envelope_is_the_sender_and_the_recipient() -> None:
    """Bare addresses, whatever the headers show."""
    message = _composed(CAMPAIGN).message
    assert (message.mail_from, message.recipients) == ("news@mail.example.net", ("ada@example.net",))


def test_another_header_with_a_template_is_left_out_and_named() -> None:
    """Nothing is evaluated; what the message has already stays."""
    template, other = _composed(CAMPAIGN).dropped
    assert template == (
        "campaign b81d2c94-6c1f-4f3e-9a75-20d6e8f7a413: its header 'X-Odd' is left out, for it holds a template "
        "expression, and listmonk posts headers unrendered."
    )
    assert other == (
        "campaign b81d2c94-6c1f-4f3e-9a75-20d6e8f7a413: its header 'Subject' is left out, for it is made from the "
        "message's other fields."
    )


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ .Subscriber.UUID }}", "3f0c7a52-9d1e-4b6f-8a37-c2e41d5b9f06"),
        ("{{.Subscriber.Email}}", "ada@example.net"),
        ("{{-  .Subscriber.Name\t-}}", "Adä Example"),
        ("<{{ .Campaign.UUID }}@x>", "<b81d2c94-6c1f-4f3e-9a75-20d6e8f7a413@x>"),
        ("{{ .Campaign.Name }} {{ .Campaign.Name }}", "October notes October notes"),
        ("{{ RootURL }}", ROOT),
        (
            "{{ UnsubscribeURL }}",
            f"{ROOT}/subscription/b81d2c94-6c1f-4f3e-9a75-20d6e8f7a413/3f0c7a52-9d1e-4b6f-8a37-c2e41d5b9f06",
        ),
        ("no { template }", "no { template }"),
    ],
)
def test_the_known_fields_are_put_in(template: str, value: str) -> None:
    """With any white space."""
    assert _read(_with_header("X-Field", template))["X-Field"] == value


@pytest.mark.parametrize(
    "template",
    [
        "{{ .Subscriber.Attribs.plan }}",
        "{{ env `HOME` }}",
        "{{ .Subscriber.UUID | upper }}",
        "{{ if .Subscriber.Name }}x{{ end }}",
        "{{ .Subscriber.UUID",
        "}} x {{",
        "{{ {{ .Subscriber.UUID }} }}",
        "{{}}",
    ],
)
def test_any_other_expression_drops_the_header(template: str) -> None:
    """Rather none than a wrong one."""
    composed = _with_header("X-Field", template)
    assert "X-Field" not in _read(composed)
    assert len(composed.dropped) == 1


def test_a_name_with_a_line_end_brings_no_header() -> None:
    """What is put in stays on its line."""
    payload = _campaign(headers=[{"X-Field": "{{ .Subscriber.Name }}"}])
    payload["recipients"][0]["name"] = "Ada\r\nBcc: eve@example.net"
    message = _read(_composed(payload))
    assert message["X-Field"] == "Ada Bcc: eve@example.net"
    assert "Bcc" not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Field", "a\r\nBcc: eve@example.net"),
        ("X-Field\r\nBcc", "eve@example.net"),
        ("X-Field: a", "b"),
        ("", "b"),
        ("X-Field", "a\x00"),
        ("X-Field", "x" * 3000),
        ("From", "eve@example.net"),
        ("to", "eve@example.net"),
        ("SUBJECT", "x"),
        ("Date", "x"),
        ("Message-ID", "<x@y>"),
        ("MIME-Version", "2.0"),
        ("Content-Type", "text/html"),
        ("Content-Transfer-Encoding", "8bit"),
        ("Resent-To", "eve@example.net"),
        ("X-Listmonk-Subscriber", "x"),
        ("List-Unsubscribe-Post", "x"),
        ("Return-Path", "a@example.net, b@example.net"),
        ("Return-Path", "bounce[1]@example.net"),
        ("Bcc", "Eve <eve@example.net>"),
        ("Bcc", "archive@example.net."),
        ("Cc", ",".join(["eve@example.net"] * 11)),
    ],
)
def test_a_header_that_a_campaign_cannot_set_is_left_out(name: str, value: str) -> None:
    """The message leaves without it, once with each of its own headers, and says so."""
    composed = _with_header(name, value)
    message = _read(composed)
    assert len(composed.dropped) == 1
    assert composed.message.recipients == ("ada@example.net",)
    assert [str(message[own]) for own in ("From", "Subject", "Date")] == [
        '"Meadow, News" <news@mail.example.net>',
        "Meadow notes, October \u2013 café",
        DATE,
    ]
    assert len(message.keys()) == len({each.lower() for each, _ in message.items()})


def test_a_header_that_is_there_twice_leaves_once() -> None:
    """The first one counts, whatever its letters."""
    message = _read(_composed(_campaign(headers=[{"Reply-To": "a@example.net"}, {"reply-to": "b@example.net"}])))
    assert message.get_all("Reply-To") == ["a@example.net"]


def test_return_path_cc_and_bcc_mean_the_envelope() -> None:
    """As in listmonk's own e-mail messenger; Bcc is not shown."""
    headers = [
        {"Return-Path": "<bounce@example.net>"},
        {"Cc": "cc@example.net"},
        {"Bcc": "b1@example.net, b2@example.net"},
    ]
    composed = _composed(_campaign(headers=headers))
    assert composed.message.mail_from == "bounce@example.net"
    assert composed.message.recipients == ("ada@example.net", "cc@example.net", "b1@example.net", "b2@example.net")
    message = _read(composed)
    assert message["Cc"] == "cc@example.net"
    assert "Bcc" not in message
    assert "Return-Path" not in message


def test_a_subscriber_who_is_also_in_bcc_gets_one_copy() -> None:
    """Every recipient of the envelope is there once, in the order in which they come."""
    headers = [{"Cc": "cc@example.net"}, {"Bcc": "ada@example.net, cc@example.net, b@example.net"}]
    message = _composed(_campaign(headers=headers)).message
    assert message.recipients == ("ada@example.net", "cc@example.net", "b@example.net")


@pytest.mark.parametrize("length", [1000, 3000])
def test_a_word_that_is_longer_than_a_line_is_cut(length: int) -> None:
    """It arrives whole, in lines that a wire takes."""
    composed = _composed(CAMPAIGN | {"subject": "x" * length})
    assert max(len(line) for line in composed.message.as_bytes().split(b"\r\n")) <= 998
    assert _read(composed)["Subject"] == "x" * length


def test_a_campaigns_own_list_unsubscribe_counts() -> None:
    """It is not joined by one-click, which it may not understand."""
    message = _read(_with_header("List-Unsubscribe", "<mailto:stop@example.net>"))
    assert message["List-Unsubscribe"] == "<mailto:stop@example.net>"
    assert "List-Unsubscribe-Post" not in message


@pytest.mark.parametrize(
    ("own", "post"),
    [
        ("<https://example.net/u/{{ .Subscriber.UUID }}>", "List-Unsubscribe=One-Click"),
        ("<mailto:stop@example.net>, <https://example.net/u>", "List-Unsubscribe=One-Click"),
        ("<http://example.net/u>", None),
    ],
)
def test_a_campaigns_own_link_keeps_one_click(own: str, post: str | None) -> None:
    """Where it is https, as one click needs. Source: RFC 8058, 3.1."""
    assert _read(_with_header("List-Unsubscribe", own))["List-Unsubscribe-Post"] == post


def test_the_headers_to_unsubscribe_can_be_left_out() -> None:
    """As listmonk leaves them out, where its setting is off; the others stay."""
    rules = Rules(ROOT, unsubscribe=False)
    message = _read(compose(parse(json.dumps(CAMPAIGN).encode()), rules, DATE))
    assert [name for name in message if name.startswith("List-")] == []
    assert message["X-Listmonk-Campaign"] == "b81d2c94-6c1f-4f3e-9a75-20d6e8f7a413"


@pytest.mark.parametrize("name", ["X-SES-CONFIGURATION-SET", "x-ses-tenant", "X-SES-SOURCE-ARN", "X-SES-FROM-ARN"])
def test_a_campaign_sets_the_services_headers_by_option_only(name: str) -> None:
    """They decide for whom, and under which limits, a message is sent."""
    payload = json.dumps(_campaign(headers=[{name: "other"}])).encode()
    kept, left = (compose(parse(payload), Rules(ROOT, service=allowed), DATE) for allowed in (True, False))
    assert (_read(kept)[name], _read(left)[name]) == ("other", None)
    assert "--allow-ses-headers" in left.dropped[0]
    assert _read(_with_header("X-SES-MESSAGE-TAGS", "kind=news"))["X-SES-MESSAGE-TAGS"] == "kind=news"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Reply-To", "Müller, Jörg <joerg@example.net>"),
        ("List-ID", "<ü.example.net>"),
        ("List-Unsubscribe", f"<https://example.net/{'u' * 1000}>"),
    ],
)
def test_a_header_that_cannot_be_written_is_left_out_and_named(name: str, value: str) -> None:
    """The campaign is sent all the same, with what is made in its place."""
    composed = _with_header(name, value)
    assert f"its header {name!r} is left out, for header {name}" in composed.dropped[0]
    assert _read(composed)["List-Unsubscribe"].startswith(f"<{ROOT}/subscription/")
    assert _read(composed)["Reply-To"] is None


def test_in_a_campaigns_address_header_only_names_are_encoded() -> None:
    """Answers reach the address. Source: RFC 2047, 5."""
    composed = _with_header("Reply-To", "Jörg Müller <joerg@example.net>")
    assert b"Reply-To: =?utf-8?b?SsO2cmcgTcO8bGxlcg==?= <joerg@example.net>\r\n" in composed.message.as_bytes()


@pytest.mark.parametrize(
    ("domain", "written"),
    [
        ("exämple.net", "xn--exmple-cua.net"),
        ("straße.example", "xn--strae-oqa.example"),
        ("EXÄMPLE.net", "xn--exmple-cua.net"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
    ],
)
def test_a_domain_is_written_in_punycode(domain: str, written: str) -> None:
    """With a line for the log; by IDNA 2008, or mail would go to another domain. Source: RFC 5891, 4; RFC 5894, 7.2."""
    payload = copy.deepcopy(CAMPAIGN) | {"from_email": f"Meadow <news@{domain}>"}
    payload["recipients"][0]["email"] = f"ada@{domain}"
    composed = _composed(payload)
    assert (composed.message.mail_from, composed.message.recipients) == (f"news@{written}", (f"ada@{written}",))
    assert composed.dropped[0].endswith(f"is written as SES needs it: {written}")
    assert composed.message.as_bytes().isascii()


@pytest.mark.parametrize(
    ("body", "label"),
    [
        (
            {"subject": None},
            "campaign b81d2c94-6c1f-4f3e-9a75-20d6e8f7a413, subscriber 3f0c7a52-9d1e-4b6f-8a37-c2e41d5b9f06",
        ),
        ({"recipients": []}, "campaign b81d2c94-6c1f-4f3e-9a75-20d6e8f7a413, subscriber -"),
        ({"campaign": {"uuid": "a\nb"}}, "campaign -, subscriber 3f0c7a52-9d1e-4b6f-8a37-c2e41d5b9f06"),
    ],
)
def test_a_post_that_is_not_taken_says_whom_it_was_for(body: dict[str, Any], label: str) -> None:
    """As far as it can be read."""
    with pytest.raises(BadPost) as caught:
        _composed(copy.deepcopy(CAMPAIGN) | body)
    assert caught.value.label == label


@pytest.mark.parametrize("spelling", ["cid:ünï.png", "cid:%C3%BCn%C3%AF.png", "cid:%c3%bcn%c3%af.png"])
def test_an_image_with_a_name_beyond_ascii_is_shown(spelling: str) -> None:
    """Its type stays, and the HTML refers to an id that a header may hold. Source: RFC 2392, 2; RFC 2045, 7."""
    image = {
        "name": "ünï.png",
        "header": {
            "Content-Type": ['image/png; name="ünï.png"'],
            "Content-Disposition": ["inline; filename=ünï.png"],
            "Content-Id": ["<ünï.png>"],
        },
        "content": "AAEC",
    }
    message = _read(_composed(TRANSACTIONAL | {"body": f'<img src="{spelling}"> cid', "attachments": [image]}))
    (page,) = [part.get_content() for part in message.walk() if part.get_content_type() == "text/html"]
    (shown,) = [part for part in message.walk() if part.get_content_type() == "image/png"]
    assert shown.get_filename() == "ünï.png"
    assert f'src="cid:{shown["Content-ID"].strip("<>")}"' in page


def test_a_file_with_a_name_beyond_ascii_keeps_its_type() -> None:
    """The name in its headers is not read for it."""
    header = {"Content-Type": ['text/plain; charset="utf-8"; name="Öffnungszeiten „neu“.txt"']}
    attachment = {"name": "Öffnungszeiten „neu“.txt", "header": header, "content": "R2F0ZQo="}
    (part,) = _read(_composed(TRANSACTIONAL | {"attachments": [attachment]})).iter_attachments()
    assert (part.get_content_type(), part.get_filename()) == ("text/plain", "Öffnungszeiten „neu“.txt")


def test_a_transactional_message_has_nothing_to_unsubscribe_from() -> None:
    """Nor a campaign."""
    message = _read(_composed(TRANSACTIONAL))
    assert [name for name, _ in message.items() if name.startswith(("List-", "X-Listmonk"))] == []


@pytest.mark.parametrize(
    ("content_type", "body", "types"),
    [
        ("richtext", "<p>Hi</p>", ["multipart/alternative", "text/plain", "text/html"]),
        ("html", "Hi", ["multipart/alternative", "text/plain", "text/html"]),
        ("markdown", "<p>Hi</p>", ["multipart/alternative", "text/plain", "text/html"]),
        ("visual", "<p>Hi</p>", ["multipart/alternative", "text/plain", "text/html"]),
        ("plain", "Hi <b>", ["text/plain"]),
        ("plain", "\n<!DOCTYPE html>\n<html>Hi</html>", ["multipart/alternative", "text/plain", "text/html"]),
        ("", "Hi 1 < 2", ["text/plain"]),
        ("", "<p>Hi</p>", ["multipart/alternative", "text/plain", "text/html"]),
        ("html", '<img src="x.png">', ["text/html"]),
    ],
)
def test_the_content_type_says_what_the_parts_are(content_type: str, body: str, types: list[str]) -> None:
    """A "plain" campaign is HTML where its template is a page; pictures alone have no text."""
    message = _read(_composed(TRANSACTIONAL | {"content_type": content_type, "body": body}))
    assert [part.get_content_type() for part in message.walk()] == types


@pytest.mark.parametrize(
    ("header", "content_type", "disposition", "content_id"),
    [
        (None, "application/octet-stream", "attachment", None),
        ({}, "application/octet-stream", "attachment", None),
        (["x"], "application/octet-stream", "attachment", None),
        ({"content-type": ["application/pdf"]}, "application/pdf", "attachment", None),
        ({"Content-Type": ['text/csv; charset="utf-8"; name="x"']}, "text/csv", "attachment", None),
        ({"Content-Type": ["message/rfc822"]}, "application/octet-stream", "attachment", None),
        ({"Content-Type": ["multipart/mixed; boundary=x"]}, "application/octet-stream", "attachment", None),
        ({"Content-Type": ["a/b\r\nBcc: x@y.z"]}, "application/octet-stream", "attachment", None),
        ({"Content-Type": "image/gif"}, "image/gif", "attachment", None),
        ({"Content-Type": [7]}, "application/octet-stream", "attachment", None),
        ({"Content-Transfer-Encoding": ["8bit"]}, "application/octet-stream", "attachment", None),
        ({"Content-Id": ["<a@b>"], "Content-Type": ["image/png"]}, "image/png", "inline", "<a@b>"),
        ({"Content-Id": ["bare"], "Content-Type": ["image/png"]}, "image/png", "inline", "<bare>"),
        ({"Content-Id": ["<a b>"]}, "application/octet-stream", "attachment", None),
    ],
)
def test_of_an_attachments_headers_three_count_where_they_are_well_formed(
    header: object, content_type: str, disposition: str, content_id: str | None
) -> None:
    """The others may be anything."""
    payload = TRANSACTIONAL | {"attachments": [{"name": "a.bin", "header": header, "content": "AAEC"}]}
    part = next(part for part in _read(_composed(payload)).walk() if part.get_filename() == "a.bin")
    assert (part.get_content_type(), part.get_content_disposition()) == (content_type, disposition)
    assert part["Content-Id"] == content_id
    assert part["Content-Transfer-Encoding"] == "base64"
    assert part.get_content_maintype() == "text" or part.get_content() == b"\0\1\2"


@pytest.mark.parametrize("charset", ["idna", "undefined", "punycode", "raw-unicode-escape", "no-such-codec"])
def test_a_file_name_that_cannot_be_decoded_is_none(charset: str) -> None:
    """Whatever codec it names; the file is attached all the same."""
    disposition = f"attachment; filename*={charset}''%5Cud800%FF.txt"
    attachment = {"name": "", "header": {"Content-Disposition": [disposition]}, "content": "AAEC"}
    post = parse(json.dumps(CAMPAIGN | {"attachments": [attachment]}).encode())
    assert key_of(post)
    assert [part.get_content() for part in _read(compose(post, Rules(ROOT), DATE)).iter_attachments()] == [b"\0\1\2"]


def test_what_the_html_shows_is_beside_it_and_the_rest_is_attached() -> None:
    """multipart/mixed of an alternative and the files; the HTML and its images are multipart/related."""
    types = [part.get_content_type() for part in _read(_composed(CAMPAIGN)).walk()]
    assert types == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "text/plain",
    ]


def test_a_text_shows_nothing_so_everything_is_attached() -> None:
    """An inline image needs HTML."""
    inline = {"name": "a.png", "header": {"Content-Id": ["<a>"]}, "content": "AAEC"}
    message = _read(_composed(TRANSACTIONAL | {"content_type": "plain", "body": "Hi", "attachments": [inline]}))
    assert [part.get_content_disposition() for part in message.walk()] == [None, None, "attachment"]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(subject=TEXT, name=TEXT, value=TEXT, header=TEXT, filename=TEXT)
def test_no_field_brings_a_header(subject: str, name: str, value: str, header: str, filename: str) -> None:
    """Whatever the fields hold, the message has the headers that it should have, and lines that a wire takes."""
    payload = _campaign(headers=[{header: value}, {"X-A": value}], name=name)
    payload |= {"subject": subject, "attachments": [{"name": filename, "header": None, "content": ""}]}
    payload["recipients"][0]["name"] = name
    composed = _composed(payload)
    content = composed.message.as_bytes()
    head = content.partition(b"\r\n\r\n")[0]
    own = "from to subject date x-listmonk-campaign x-listmonk-subscriber list-unsubscribe list-unsubscribe-post"
    allowed = {*own.split(), "mime-version", "content-type", "x-a", header.lower()}
    names = [line.split(b":")[0].decode().lower() for line in head.split(b"\r\n") if line[:1] not in (b" ", b"\t")]
    assert set(names) <= allowed
    assert composed.message.recipients[0] == "ada@example.net"
    assert max(len(line) for line in content.split(b"\r\n")) <= 998
    assert content.isascii()


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"subject": None}, "subject", "is not a text"),
        ({"body": 7}, "body", "is not a text"),
        ({"body": "\ud800"}, "body", "holds half of a surrogate pair"),
        ({"from_email": "nobody"}, "from_email", "is not an address of the form local@domain"),
        ({"from_email": "A <b@c> d"}, "from_email", "is not of the form Name <local@domain>"),
        ({"from_email": "A\n <b@c.de>"}, "from_email", "holds a control character"),
        ({"from_email": "A" * 320 + " <b@c.de>"}, "from_email", "is longer than 320 characters"),
        ({"content_type": []}, "content_type", "is not a text"),
        ({"recipients": None}, "recipients", "has 0 members"),
        ({"recipients": {}}, "recipients", "is not a list"),
        ({"recipients": [{"email": "a@b.cd"}] * 2}, "recipients", "has 2 members"),
        ({"recipients": ["a@b.cd"]}, "recipients[0]", "is not an object"),
        ({"recipients": [{}]}, "recipients[0].email", "is missing"),
        ({"recipients": [{"email": "a@b\r\nRCPT TO:<c@d>"}]}, "recipients[0].email", "is not an address"),
        ({"recipients": [{"email": "ä@b.cd"}]}, "recipients[0].email", "is not ASCII"),
        ({"recipients": [{"email": "a@" + "b" * 320}]}, "recipients[0].email", "is not an address"),
        ({"recipients": [{"email": "a@b.cd", "uuid": "../x"}]}, "recipients[0].uuid", "is not a UUID"),
        ({"recipients": [{"email": "a@b.cd", "name": 1}]}, "recipients[0].name", "is not a text"),
        ({"campaign": "x"}, "campaign", "is not an object"),
        ({"campaign": {}}, "campaign.uuid", "is missing"),
        ({"campaign": {"uuid": ""}}, "campaign.uuid", "is not a UUID"),
        ({"campaign": {"uuid": "a", "headers": {}}}, "campaign.headers", "is not a list"),
        ({"campaign": {"uuid": "a", "headers": [[]]}}, "campaign.headers[0]", "is not an object"),
        ({"campaign": {"uuid": "a", "headers": [{"X": 1}]}}, "campaign.headers[0].X", "is not a text"),
        ({"attachments": {}}, "attachments", "is not a list"),
        ({"attachments": [{"name": "a"}]}, "attachments[0].content", "is missing"),
        ({"attachments": [{"content": ""}]}, "attachments[0].name", "is missing"),
        ({"attachments": [{"name": "a", "content": "%%%"}]}, "attachments[0].content", "is not base64"),
        ({"attachments": [{"name": "a", "content": "ä"}]}, "attachments[0].content", "is not base64"),
        ({"attachments": [{"name": "a", "content": ""}] * 201}, "attachments", "has more than 200 members"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(change: dict[str, Any], field: str, reason: str) -> None:
    """The first thing that is wrong."""
    with pytest.raises(BadPost) as refused:
        _composed(TRANSACTIONAL | change)
    assert refused.value.field == field
    assert refused.value.reason.startswith(reason)


@pytest.mark.parametrize("missing", ["subject", "from_email", "body", "recipients"])
def test_what_is_missing_is_named(missing: str) -> None:
    """Four fields have to be there."""
    payload = {name: value for name, value in TRANSACTIONAL.items() if name != missing}
    with pytest.raises(BadPost, match=f"{missing} is missing"):
        _composed(payload)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "is not JSON"),
        (b"[", "is not JSON"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b'{"subject": NaN}', "holds NaN"),
        (b'{"subject": -Infinity}', "holds -Infinity"),
        (b'{"subject": "\xff"}', "is not UTF-8"),
        ('{"subject": ""}'.encode("utf-16"), "is not UTF-8"),
        (b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "is nested too deeply"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "holds a number with too many digits"),
        (b"null", "is not an object"),
        (b"[]", "is not an object"),
    ],
)
def test_a_body_that_is_no_payload_is_refused(body: bytes, reason: str) -> None:
    """Every way of it is a `BadPost`."""
    with pytest.raises(BadPost, match=reason):
        parse(body)


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: json.dumps(text).encode()))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    """With no other error."""
    with pytest.raises(BadPost):
        parse(body)


def test_of_two_equal_names_the_last_one_counts() -> None:
    """As for everybody who reads JSON with Go or Python."""
    body = json.dumps(TRANSACTIONAL)[:-1].encode() + b', "subject": "the last"}'
    assert parse(body).subject == "the last"


def test_unknown_fields_are_not_looked_at() -> None:
    """There may be more of them one day."""
    assert _composed(TRANSACTIONAL | {"later": {"a": [1]}}).message.as_bytes() != b""
