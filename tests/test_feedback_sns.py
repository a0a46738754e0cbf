"""What SNS posts is believed when it is genuine, and never otherwise; an answer says whether it has to come again."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import attrs
import pytest
from cryptography.hazmat.primitives import hashes

from seslimit import ConfigurationError
from seslimit.feedback import Event, Feed, SNSEndpoint

from .sns_authority import (
    CERTIFICATE_URL,
    CONFIRM_URL,
    PARTICULARS,
    TOPIC,
    SNSHost,
    certificate,
    confirmation,
    document,
    fields,
    notification,
    signed,
)

pytestmark = pytest.mark.once


@attrs.define
class Posting:
    """A running endpoint, what it took, and what it fetched."""

    url: str
    feed: Feed
    taken: list[Event]
    sns: SNSHost

    async def post(self, body: Any, **options: Any) -> tuple[int, str]:
        """Post as SNS does: JSON, called plain text."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": "Notification"}
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as client,
            client.post(f"{self.url}sns", data=data, headers=headers, **options) as answer,
        ):
            return answer.status, await answer.text()


@asynccontextmanager
async def endpoint(sns: SNSHost | None = None, **options: Any) -> AsyncIterator[Posting]:
    """An endpoint with a hook, and a host of SNS that is none."""
    taken: list[Event] = []

    async def take(event: Event) -> None:
        taken.append(event)

    host = sns or SNSHost()
    async with (
        Feed(hooks=[options.pop("hook", take)], patience=options.pop("patience", 0.0)) as feed,
        SNSEndpoint(feed, options.pop("topics", [TOPIC]), fetch=host.fetch, **options) as listening,
    ):
        yield Posting(f"http://127.0.0.1:{listening.port}/", feed, taken, host)


@pytest.mark.parametrize("kind", PARTICULARS)
async def test_a_genuine_notification_is_taken(kind: str) -> None:
    """Of every kind of event; signed with SHA-256."""
    async with endpoint() as posting:
        assert await posting.post(notification(document(kind))) == (200, "Taken.\n")
        assert [event.type for event in posting.taken] == [kind]


async def test_a_subject_is_signed_with_the_rest() -> None:
    """Amazon SNS, "Verifying the signatures": Subject stands among the fields where there is one."""
    async with endpoint() as posting:
        genuine = notification(document("Bounce"), Subject="Amazon SES Email Event Notification")
        assert (await posting.post(genuine))[0] == 200
        assert (await posting.post(genuine | {"Subject": "another"}))[0] == 403


async def test_the_certificate_is_fetched_once() -> None:
    """And only from SNS."""
    async with endpoint() as posting:
        for kind in ("Bounce", "Complaint", "Delivery"):
            await posting.post(notification(document(kind)))
        assert posting.sns.fetched == [CERTIFICATE_URL]


async def test_a_subscription_to_an_allowed_topic_is_confirmed() -> None:
    """By a visit to SNS itself."""
    async with endpoint() as posting:
        assert (await posting.post(confirmation()))[0] == 200
        assert posting.sns.fetched == [CERTIFICATE_URL, CONFIRM_URL]


async def test_an_ended_subscription_is_not_begun_again() -> None:
    """Its URL would do so."""
    async with endpoint() as posting:
        assert (await posting.post(confirmation(Type="UnsubscribeConfirmation")))[0] == 200
        assert posting.sns.fetched == [CERTIFICATE_URL]


async def test_signatures_of_version_1_are_believed_where_they_are_allowed() -> None:
    """They rest on SHA-1 and are what a topic uses until it is told otherwise."""
    old = signed(fields(json.dumps(document("Bounce"))), version="1")
    async with endpoint() as posting:
        status, words = await posting.post(old)
        assert status == 403
        assert "set the topic's attribute SignatureVersion to 2" in words
    async with endpoint(signature_versions=("1", "2")) as posting:
        assert (await posting.post(old))[0] == 200


Damage = Callable[[dict[str, Any]], dict[str, Any]]


def with_url(url: str) -> Damage:
    """A genuine message that names another certificate."""
    return lambda genuine: genuine | {"SigningCertURL": url}


def subscribing(url: str) -> Damage:
    """A confirmation, genuinely signed, that leads elsewhere."""
    return lambda _: confirmation(SubscribeURL=url)


def sent(ago: timedelta) -> Damage:
    """A message that was signed at another time."""
    at = (datetime.now(UTC) - ago).isoformat()
    return lambda genuine: signed(fields(genuine["Message"], Timestamp=at))


HOST = "sns.eu-west-1.amazonaws.com"
PEM = "/SimpleNotificationService-0123456789abcdef.pem"

FORGED: dict[str, Damage] = {
    "another topic": lambda genuine: signed(fields(genuine["Message"], TopicArn=TOPIC + "2")),
    "a topic of another account": lambda genuine: signed(
        fields(genuine["Message"], TopicArn=TOPIC.replace("123456789012", "210987654321"))
    ),
    "another message": lambda genuine: genuine | {"Message": genuine["Message"].replace("ada@", "eve@")},
    "another id": lambda genuine: genuine | {"MessageId": "0"},
    "another moment": lambda genuine: genuine | {"Timestamp": datetime.now(UTC).isoformat()},
    "a subject that was not signed": lambda genuine: genuine | {"Subject": "x"},
    "two fields swapped": lambda genuine: genuine | {"Message": genuine["MessageId"], "MessageId": genuine["Message"]},
    "another type": lambda genuine: (
        genuine | {"Type": "SubscriptionConfirmation", "Token": "x", "SubscribeURL": CONFIRM_URL}
    ),
    "an unknown type": lambda genuine: genuine | {"Type": "Information"},
    "no type": lambda genuine: {key: value for key, value in genuine.items() if key != "Type"},
    "no signature": lambda genuine: genuine | {"Signature": ""},
    "a signature that is no base64": lambda genuine: genuine | {"Signature": "@@@"},
    "a signature of other bytes": lambda genuine: genuine | {"Signature": base64.b64encode(b"x" * 256).decode()},
    "a signature that is short": lambda genuine: genuine | {"Signature": base64.b64encode(b"x").decode()},
    "a downgrade of the version": lambda genuine: genuine | {"SignatureVersion": "1"},
    "version 2 with SHA-1": lambda genuine: signed(fields(genuine["Message"]), digest=hashes.SHA1()),  # noqa: S303
    "a version of the future": lambda genuine: genuine | {"SignatureVersion": "3"},
    "a version that is a number": lambda genuine: genuine | {"SignatureVersion": 2},
    "a certificate over HTTP": with_url(f"http://{HOST}{PEM}"),
    "a certificate elsewhere": with_url(f"https://example.com{PEM}"),
    "a host that begins as SNS's": with_url(f"https://{HOST}.example.com{PEM}"),
    "a host that ends as SNS's": with_url(f"https://x{HOST}{PEM}"),
    "a bucket of S3": with_url(f"https://sns.s3.amazonaws.com.example{PEM}"),
    "SNS as the user of a host": with_url(f"https://{HOST}@example.com{PEM}"),
    "SNS as the password of a host": with_url(f"https://a:{HOST}@example.com{PEM}"),
    "a backslash before the host": with_url(f"https://example.com\\@{HOST}{PEM}"),
    "another port": with_url(f"https://{HOST}:8443{PEM}"),
    "capitals in the host": with_url(f"https://SNS.eu-west-1.amazonaws.com{PEM}"),
    "a point behind the host": with_url(f"https://{HOST}.{PEM}"),
    "a query behind the certificate": with_url(f"https://{HOST}{PEM}?x=1"),
    "a fragment behind the certificate": with_url(f"https://{HOST}{PEM}#x"),
    "a path out of the certificates": with_url(f"https://{HOST}/../x{PEM}"),
    "another file": with_url(f"https://{HOST}/evil.pem"),
    "a line end in the URL": with_url(f"https://{HOST}\n{PEM}"),
    "letters that look alike": with_url(f"https://\u0455ns.eu-west-1.amazonaws.com{PEM}"),
    "no URL": with_url("sns"),
    "a broken URL": with_url("https://[::1"),
    "two hours ago": sent(timedelta(hours=2)),
    "in an hour": sent(timedelta(hours=-1)),
    "a moment that is none": lambda genuine: signed(fields(genuine["Message"], Timestamp="yesterday")),
    "a confirmation that leads elsewhere": subscribing(CONFIRM_URL.replace(HOST, "example.com")),
    "a confirmation over HTTP": subscribing(CONFIRM_URL.replace("https:", "http:")),
    "a confirmation of another topic": subscribing(CONFIRM_URL.replace("bounces", "other")),
    "a confirmation that is another action": subscribing(CONFIRM_URL.replace("ConfirmSubscription", "Publish")),
    "a confirmation with two topics": subscribing(CONFIRM_URL + f"&TopicArn={TOPIC}"),
    "a field that is a list": lambda genuine: genuine | {"Message": [genuine["Message"]]},
    "half a surrogate": lambda genuine: genuine | {"Message": "\ud83d"},
}


@pytest.mark.parametrize("damage", FORGED.values(), ids=FORGED.keys())
async def test_a_forged_message_is_refused(damage: Damage) -> None:
    """With 403, and nothing is fetched for it but the certificate of SNS, if at all."""
    async with endpoint() as posting:
        status, words = await posting.post(damage(notification(document("Bounce"))))
        assert (status, words.count("\n")) == (403, 1)
        assert posting.taken == []
        assert set(posting.sns.fetched) <= {CERTIFICATE_URL}
        assert posting.feed.counts.invalid == 1


@pytest.mark.parametrize(
    "pem",
    [
        certificate("sns.example.com"),
        certificate("sns.us-east-1.amazonaws.com"),
        certificate(days=(-30, -1)),
        certificate(days=(1, 30)),
        certificate(elliptic=True),
        b"hello",
        b"",
    ],
    ids=["another name", "another Region", "ended", "not yet valid", "another kind of key", "no certificate", "empty"],
)
async def test_a_certificate_that_is_not_of_sns_is_refused(pem: bytes) -> None:
    """Even if it comes from SNS's host, and the signature fits."""
    async with endpoint(SNSHost(pem)) as posting:
        assert (await posting.post(notification(document("Bounce"))))[0] == 403
        assert posting.taken == []


async def test_a_certificate_may_name_the_host_of_its_region() -> None:
    """As in China and GovCloud."""
    async with endpoint(SNSHost(certificate("sns.eu-west-1.amazonaws.com"))) as posting:
        assert (await posting.post(notification(document("Bounce"))))[0] == 200


async def test_a_message_that_comes_again_counts_once() -> None:
    """SNS delivers at least once; the same bytes again are answered 200, so that they stop coming."""
    async with endpoint() as posting:
        genuine = notification(document("Bounce"))
        answers = await asyncio.gather(*(posting.post(genuine) for _ in range(5)))
        assert [status for status, _ in answers] == [200] * 5
        # The same event in a new envelope is the same event.
        assert (await posting.post(notification(document("Bounce"))))[0] == 200
        assert len(posting.taken) == 1


async def test_what_is_not_taken_is_asked_for_again() -> None:
    """503, until the destination takes it."""
    failing = [True, True, False]

    async def hook(event: Event) -> None:
        if failing.pop(0):
            raise RuntimeError("not now")

    async with endpoint(hook=hook) as posting:
        genuine = notification(document("Bounce"))
        assert [(await posting.post(genuine))[0] for _ in range(4)] == [503, 503, 200, 200]
        assert posting.feed.counts.not_taken == 2


async def test_what_ses_posts_for_people_is_answered_and_forgotten() -> None:
    """The sentence that comes when a topic is set up."""
    words = "Successfully validated SNS topic for Amazon SES event publishing."
    async with endpoint() as posting:
        assert (await posting.post(signed(fields(words))))[0] == 200
        assert posting.taken == []


async def test_raw_delivery_over_http_is_refused_with_the_remedy() -> None:
    """Without an envelope nothing is signed."""
    async with endpoint() as posting:
        status, words = await posting.post(document("Bounce"))
        assert status == 403
        assert "raw delivery" in words


async def test_a_body_that_is_too_long_is_not_read() -> None:
    """413, by its announced length and by its real one."""
    async with endpoint() as posting:
        assert (await posting.post(b"x" * 700_000))[0] == 413

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(70):
                yield b"x" * 10_000

        async with aiohttp.ClientSession() as client, client.post(f"{posting.url}sns", data=chunks()) as answer:
            assert answer.status == 413


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "sns", 405), ("POST", "", 404), ("GET", "health", 200)])
async def test_other_requests(method: str, path: str, status: int) -> None:
    """Nothing but `POST /sns` and `GET /health`."""
    async with (
        endpoint() as posting,
        aiohttp.ClientSession() as client,
        client.request(method, posting.url + path) as answer,
    ):
        assert answer.status == status


async def test_strangers_cannot_make_it_fetch_without_end() -> None:
    """A certificate a message, each of another name: after some it says to come again."""
    async with endpoint() as posting:
        answers = []
        for number in range(60):
            url = f"https://{HOST}/SimpleNotificationService-{number:016x}.pem"
            answers.append((await posting.post(notification(document("Bounce")) | {"SigningCertURL": url}))[0])
        assert len(posting.sns.fetched) <= 31
        assert answers[-1] == 503


async def test_bytes_that_are_no_http_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """They may hold what is nobody's business."""
    caplog.set_level(logging.DEBUG)
    async with endpoint() as posting:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(posting.url.split(":")[2].strip("/")))
        writer.write(b"P@ST /sns HTTP/9\r\nAuthorization: Basic c2VjcmV0\r\n\r\n")
        assert await reader.read()
        writer.close()
    assert "c2VjcmV0" not in caplog.text


@pytest.mark.parametrize("topics", [[], ["bounces"], [TOPIC.replace("sns", "sqs")]])
async def test_topics_are_needed(topics: list[str]) -> None:
    """By their ARNs; without any, everybody's would be believed."""
    with pytest.raises(ConfigurationError, match="topic"):
        SNSEndpoint(Feed(), topics)
