"""What people's code asks the simulator for: both versions of the API, contents of every kind, signed or not."""

from __future__ import annotations

import email
import email.policy
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from email.message import EmailMessage
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from seslimit import Message, Sender, transport_from_url
from seslimit.testing import APIReply, APIRules, Fault, Simulator
from tests.simulator_clients import raw, request, status

pytestmark = pytest.mark.once

FAST, FEW = 10_000.0, 1e-6
SECRET = "secret"
CONTENT = "From: sender@example.org\r\nTo: a@x.org\r\nSubject: hello\r\n\r\nGood morning.\r\n"
ONCE = Config(retries={"max_attempts": 1, "mode": "standard"})


@contextmanager
def client(simulator: Simulator, version: str, secret: str = SECRET) -> Iterator[Any]:
    """AWS's own client, of version 1 ("ses") or 2 ("sesv2"), without retries."""
    made = boto3.client(
        version,
        region_name="eu-west-1",
        endpoint_url=simulator.api_url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key=secret,
        config=ONCE,
    )
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def simulate() -> Iterator[Callable[..., Simulator]]:
    """Simulators in threads of their own, which keep the contents."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(Simulator(*args, keep_content=True, **options).in_thread())


def parsed(simulator: Simulator) -> EmailMessage:
    """What a reader sees of the only accepted message."""
    (message,) = simulator.accepted
    assert message.content is not None
    found = email.message_from_bytes(message.content, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


def refused(call: Callable[..., Any], **options: Any) -> tuple[int, str, str]:
    """The error that a call ends with, as the client reads it."""
    with pytest.raises(ClientError) as raised:
        call(**options)
    error = raised.value.response
    return error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"], error["Error"]["Message"]


SIMPLE = {
    "FromEmailAddress": "News <news@example.org>",
    "Destination": {"ToAddresses": ["Ada <ada@x.org>"], "CcAddresses": ["b@x.org"], "BccAddresses": ["c@x.org"]},
    "ReplyToAddresses": ["desk@example.org"],
    "Content": {
        "Simple": {
            "Subject": {"Data": "Grüße"},
            "Body": {"Text": {"Data": "Hallo"}, "Html": {"Data": "<p>Hallo"}},
            "Headers": [{"Name": "List-Unsubscribe", "Value": "<https://example.org/u>"}],
        }
    },
}


def test_version_2_takes_a_content_that_it_composes(simulate: Callable[..., Simulator]) -> None:
    """Subject, text, HTML and headers; who gets a blind copy is in the envelope alone."""
    simulator = simulate(FAST)
    with client(simulator, "sesv2") as ses:
        told = ses.send_email(**SIMPLE)
    (message,) = simulator.accepted
    assert message.message_id == told["MessageId"]
    assert message.recipients == ("Ada <ada@x.org>", "b@x.org", "c@x.org")
    reader = parsed(simulator)
    assert (reader["Subject"], reader["Reply-To"], reader["List-Unsubscribe"]) == (
        "Grüße",
        "desk@example.org",
        "<https://example.org/u>",
    )
    assert reader["Bcc"] is None
    assert [part.get_content_type() for part in reader.iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "in the request"])
def test_version_2_takes_a_template_with_its_data(simulate: Callable[..., Simulator], stored: bool) -> None:
    """By its name, once it was created, or in the request itself."""
    texts = {"Subject": "Hello {{name}}", "Text": "Dear {{name}}"}
    simulator = simulate(FAST)
    with client(simulator, "sesv2") as ses:
        if stored:
            ses.create_email_template(TemplateName="greeting", TemplateContent=texts)
        template: dict[str, Any] = {"TemplateName": "greeting"} if stored else {"TemplateContent": texts}
        ses.send_email(
            FromEmailAddress="news@example.org",
            Destination={"ToAddresses": ["ada@x.org"]},
            Content={"Template": {**template, "TemplateData": json.dumps({"name": "Ada"})}},
        )
    reader = parsed(simulator)
    assert (reader["Subject"], reader.get_content()) == ("Hello Ada", "Dear Ada\r\n")


def test_each_entry_of_a_bulk_has_a_result_of_its_own(simulate: Callable[..., Simulator]) -> None:
    """Throttles come inside a 200. Source: SES API v2 reference, BulkEmailEntryResult, read 2026-11."""
    simulator = simulate(FEW, depth=2 / FEW)
    with client(simulator, "sesv2") as ses:
        told = ses.send_bulk_email(
            FromEmailAddress="news@example.org",
            DefaultContent={
                "Template": {
                    "TemplateContent": {"Subject": "Hi {{name}}", "Text": "x"},
                    "TemplateData": '{"name":"you"}',
                }
            },
            BulkEmailEntries=[
                {"Destination": {"ToAddresses": ["a@x.org"]}},
                {"Destination": {"ToAddresses": ["nobody"]}},
                {
                    "Destination": {"ToAddresses": ["b@x.org"]},
                    "ReplacementEmailContent": {"ReplacementTemplate": {"ReplacementTemplateData": '{"name":"Bob"}'}},
                },
                {"Destination": {"ToAddresses": ["c@x.org"]}},
            ],
        )
    results = [result["Status"] for result in told["BulkEmailEntryResults"]]
    assert results == ["SUCCESS", "INVALID_PARAMETER", "SUCCESS", "ACCOUNT_THROTTLED"]
    contents = [message.content or b"" for message in simulator.accepted]
    assert [b"Subject: Hi you" in contents[0], b"Subject: Hi Bob" in contents[1]] == [True, True]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"Template": {"TemplateName": "nowhere"}}, "Template nowhere does not exist."),
        (
            {"Template": {"TemplateContent": {"Subject": "{{x}}", "Text": "x"}, "TemplateData": "{}"}},
            "Attribute 'x' is not present in the rendering data.",
        ),
        ({"Simple": {"Subject": {"Data": "x\r\nBcc: eve@x.org"}, "Body": {"Text": {"Data": "x"}}}}, "Content.Simple"),
        ({"Simple": {"Subject": {"Data": "x"}, "Body": {}}}, "Content.Simple"),
    ],
    ids=["no template", "no value", "line break", "no text"],
)
def test_a_content_that_cannot_be_composed_is_refused(
    simulate: Callable[..., Simulator], content: dict[str, Any], words: str
) -> None:
    """With BadRequestException, as any other malformed request."""
    simulator = simulate(FAST)
    with client(simulator, "sesv2") as ses:
        status, code, said = refused(
            ses.send_email, FromEmailAddress="a@x.org", Destination={"ToAddresses": ["b@x.org"]}, Content=content
        )
    assert (status, code, words in said) == (400, "BadRequestException", True)
    assert simulator.counts.invalid == 1


def test_version_1_sends_what_is_there_and_what_it_composes(simulate: Callable[..., Simulator]) -> None:
    """SendRawEmail and SendEmail, as boto3 asks and reads them."""
    simulator = simulate(FAST)
    with client(simulator, "ses") as ses:
        raw = ses.send_raw_email(
            Source="sender@example.org", Destinations=["a@x.org", "b@x.org"], RawMessage={"Data": CONTENT.encode()}
        )
        composed = ses.send_email(
            Source="news@example.org",
            Destination={"ToAddresses": ["c@x.org"], "BccAddresses": ["d@x.org"]},
            Message={"Subject": {"Data": "Grüße & Küsse"}, "Body": {"Html": {"Data": "<p>Hallo"}}},
        )
    first, second = simulator.accepted
    assert (first.message_id, first.recipients, first.content) == (
        raw["MessageId"],
        ("a@x.org", "b@x.org"),
        CONTENT.encode(),
    )
    assert (second.message_id, second.recipients) == (composed["MessageId"], ("c@x.org", "d@x.org"))


def test_version_1_tells_the_sending_quota(simulate: Callable[..., Simulator]) -> None:
    """As version 2 does, under its own names."""
    simulator = simulate(14, max_24_hour_send=50_000)
    with client(simulator, "ses") as ses:
        ses.send_raw_email(RawMessage={"Data": CONTENT.encode()})
        told = ses.get_send_quota()
    figures = {name: told[name] for name in ("Max24HourSend", "MaxSendRate", "SentLast24Hours")}
    assert figures == {"Max24HourSend": 50_000, "MaxSendRate": 14, "SentLast24Hours": 1}


def test_version_1_throttles_in_its_own_words(simulate: Callable[..., Simulator]) -> None:
    """Throttling with 400. Source: SES API 2010-12-01, "Common errors", and captured replies; read 2026-11."""
    simulator = simulate(FEW, depth=1 / FEW)
    with client(simulator, "ses") as ses:
        ses.send_raw_email(RawMessage={"Data": CONTENT.encode()})
        assert refused(ses.send_raw_email, RawMessage={"Data": CONTENT.encode()}) == (
            400,
            "Throttling",
            "Maximum sending rate exceeded.",
        )
        assert refused(ses.verify_email_identity, EmailAddress="a@x.org")[:2] == (400, "InvalidAction")
        assert refused(ses.send_raw_email, RawMessage={"Data": b"Subject: x\r\n\r\n"})[0] == 400


def test_a_fault_says_it_in_the_version_that_asks(simulate: Callable[..., Simulator]) -> None:
    """One plan of faults for both."""
    reply = APIReply(400, "MessageRejected", "Email address is not verified.")
    simulator = simulate(FAST, faults=[Fault("send", reply=reply)])
    with client(simulator, "ses") as ses:
        told = refused(ses.send_raw_email, RawMessage={"Data": CONTENT.encode()})
    assert told == (400, "MessageRejected", "Email address is not verified.")


@pytest.mark.parametrize("version", ["ses", "sesv2"])
def test_a_signature_is_looked_at_on_demand(simulate: Callable[..., Simulator], version: str) -> None:
    """A right one is let in, and a wrong secret is not."""
    simulator = simulate(FAST, api=APIRules(key=("AKIDEXAMPLE", "secret")))
    send: dict[str, Any] = (
        {"RawMessage": {"Data": CONTENT.encode()}}
        if version == "ses"
        else {"Content": {"Raw": {"Data": CONTENT.encode()}}, "Destination": {"ToAddresses": ["a@x.org"]}}
    )
    call = "send_raw_email" if version == "ses" else "send_email"
    with client(simulator, version) as right, client(simulator, version, "wrong") as wrong:
        getattr(right, call)(**send)
        assert refused(getattr(wrong, call), **send)[:2] == (403, "SignatureDoesNotMatch")
    assert simulator.counts.accepted == 1


async def test_our_own_signature_is_right() -> None:
    """The transport signs by itself; what checks it is another implementation."""
    async with Simulator(FAST, api=APIRules(key=("AKIDEXAMPLE", "secret"))) as simulator:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
            async with Sender(transport_from_url(simulator.ses_url)) as sender:
                await sender.send(Message("sender@example.org", ("a@x.org",), CONTENT.encode()))
        assert simulator.counts.accepted == 1


async def test_a_request_without_a_signature_is_refused() -> None:
    """As SES does; without a key in the rules nobody looks."""
    async with Simulator(FAST, api=APIRules(key=("AKIDEXAMPLE", "secret"))) as simulator:
        assert status(await request(simulator, body=raw("a@x.org"))) == 403


def test_django_ses_sends_through_it(simulate: Callable[..., Simulator]) -> None:
    """Its backend asks for the sending quota and sends by version 1, or by version 2 where it is told to."""
    import django_ses
    from django.conf import settings

    simulator = simulate(FAST)
    if not settings.configured:
        settings.configure(DEFAULT_FROM_EMAIL="news@example.com")  # as the tests of the backend do
    from django.core.mail import EmailMessage as Mail

    for is_v2 in (False, True):
        backend = django_ses.SESBackend(
            aws_access_key="AKIDEXAMPLE",
            aws_secret_key="secret",
            aws_region_name="eu-west-1",
            aws_region_endpoint=simulator.api_url,
            aws_region_endpoint_url=simulator.api_url,
            use_ses_v2=is_v2,
        )
        sent = backend.send_messages([Mail("Hello", "Good morning", "news@example.org", ["ada@x.org"])])
        assert sent == 1
    assert [message.recipients for message in simulator.accepted] == [("ada@x.org",)] * 2


def test_it_is_the_same_account_behind_every_action(simulate: Callable[..., Simulator]) -> None:
    """One bucket: what version 1 takes is gone for version 2."""
    simulator = simulate(FEW, depth=1 / FEW)
    with client(simulator, "ses") as one, client(simulator, "sesv2") as two:
        one.send_raw_email(RawMessage={"Data": CONTENT.encode()})
        assert refused(two.send_email, **SIMPLE)[:2] == (429, "TooManyRequestsException")
