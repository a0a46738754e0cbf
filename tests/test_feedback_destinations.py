"""Events reach every destination once, come again where one is away, and are told as each destination needs it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from aiohttp import web

from seslimit import ConfigurationError
from seslimit.feedback import (
    Event,
    Feed,
    JSONLines,
    Listmonk,
    NotTaken,
    Part,
    Refused,
    SeenFile,
    Unavailable,
    Webhook,
    event_of,
)

from .sns_authority import MAIL, document
from .virtual_time import on_virtual_time

pytestmark = pytest.mark.once

CAMPAIGN = "b81d2c94-6c1f-4f3e-9a75-20d6e8f7a413"
SUBSCRIBER = "3f1c2a5e-0f3d-4e1b-8a5e-0c8e2c1f7d11"


@attrs.define
class Receiver:
    """An HTTP server that writes down what is posted, and answers as it is told."""

    answers: list[int] = attrs.field(factory=list)
    posts: list[tuple[str, dict[str, str], bytes]] = attrs.field(factory=list)
    url: str = ""

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What was posted, as JSON."""
        return [json.loads(body) for _, _, body in self.posts]


@asynccontextmanager
async def receiver(*answers: int) -> AsyncIterator[Receiver]:
    """A running receiver; 200 where it is not told otherwise."""
    running = Receiver(list(answers))

    async def take(request: web.BaseRequest) -> web.Response:
        running.posts.append((request.path, dict(request.headers), await request.read()))
        status = running.answers.pop(0) if running.answers else 200
        return web.Response(status=status, text='{"data":true}', headers={"Location": "https://example.com/"})

    runner = web.ServerRunner(web.Server(take))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    running.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield running
    finally:
        await runner.cleanup()


@attrs.define
class Fake:
    """A destination that follows a script: an error for each delivery, or None."""

    name: str = "fake"
    script: list[Exception | None] = attrs.field(factory=list)
    got: list[str] = attrs.field(factory=list)
    each: Callable[[Event], Sequence[str]] = lambda event: [""]

    def parts(self, event: Event) -> Sequence[Part]:
        """What the script says."""
        return [Part(one, f"{event.id} {one}".strip()) for one in self.each(event)]

    async def deliver(self, part: Part) -> None:
        """Take it, or not."""
        await asyncio.sleep(0.001)
        if self.script and (error := self.script.pop(0)) is not None:
            raise error
        self.got.append(part.payload)

    async def aclose(self) -> None:
        """Nothing is open."""


BOUNCE = event_of(document("Bounce"))


@on_virtual_time
async def test_every_destination_gets_an_event_once() -> None:
    """However often it comes, one after the other or at once."""
    first, second = Fake("first"), Fake("second")
    feed = Feed([first, second])
    await asyncio.gather(*(feed.take(BOUNCE) for _ in range(3)))
    await feed.take(BOUNCE)
    assert first.got == second.got == [BOUNCE.id]
    assert (feed.counts.taken, feed.counts.delivered, feed.counts.again) == (1, 2, 1)


@on_virtual_time
async def test_a_destination_that_is_away_is_tried_again_and_the_others_are_not() -> None:
    """With waits between; within the patience."""
    steady, shaky = Fake("steady"), Fake("shaky", [Unavailable("x")] * 3)
    await Feed([steady, shaky], patience=60).take(BOUNCE)
    assert steady.got == shaky.got == [BOUNCE.id]


@on_virtual_time
async def test_when_patience_ends_the_event_is_not_taken() -> None:
    """The next time only what is missing is delivered."""
    steady, away = Fake("steady"), Fake("away", [Unavailable("x")] * 1000)
    feed = Feed([steady, away], patience=5)
    began = asyncio.get_running_loop().time()
    with pytest.raises(NotTaken):
        await feed.take(BOUNCE)
    assert asyncio.get_running_loop().time() - began <= 5
    away.script.clear()
    await feed.take(BOUNCE)
    assert steady.got == away.got == [BOUNCE.id]


@on_virtual_time
async def test_what_is_refused_for_good_does_not_come_again() -> None:
    """It is taken, counted and logged."""
    strict = Fake("strict", [Refused("no such thing")])
    feed = Feed([strict])
    await feed.take(BOUNCE)
    await feed.take(BOUNCE)
    assert (strict.got, feed.counts.refused, feed.counts.again) == ([], 1, 1)


@on_virtual_time
async def test_of_an_event_in_parts_only_the_missing_ones_come_again() -> None:
    """Two recipients, one recorded."""
    halfway = Fake("halfway", [None, Unavailable("x")], each=lambda _: ["a", "b"])
    feed = Feed([halfway], patience=0)
    with pytest.raises(NotTaken):
        await feed.take(BOUNCE)
    await feed.take(BOUNCE)
    assert Counter(one[-1] for one in halfway.got) == {"a": 1, "b": 1}


@on_virtual_time
async def test_whoever_stops_waiting_does_not_stop_the_event() -> None:
    """A client that hangs up; the event comes to its end, and others wait for it."""
    slow = Fake()
    feed = Feed([slow])
    first = asyncio.create_task(feed.take(BOUNCE))
    await asyncio.sleep(0)
    first.cancel()
    await feed.take(BOUNCE)
    assert slow.got == [BOUNCE.id]


async def test_a_file_remembers_over_a_restart(tmp_path: Path) -> None:
    """Also which destination has what; only its owner may read it."""
    path = tmp_path / "seen.db"
    kept = Fake("kept")
    for _ in range(2):
        async with Feed([kept], seen=SeenFile(path)) as feed:
            await feed.take(BOUNCE)
    other = Fake("another")
    async with Feed([kept, other], seen=SeenFile(path)) as feed:
        await feed.take(BOUNCE)
    assert (kept.got, other.got) == ([BOUNCE.id], [BOUNCE.id])
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content", [b"this is a letter, and no database at all" * 10, None], ids=["a file", "a folder"]
)
async def test_a_file_that_is_something_else_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    """It is named, and left as it is."""
    path = tmp_path / "letter"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="letter cannot be used to remember events"):
        SeenFile(path)
    assert content is None or path.read_bytes() == content


async def test_a_file_of_lines(tmp_path: Path) -> None:
    """One JSON object a line, appended."""
    path = tmp_path / "events.jsonl"
    for kind in ("Bounce", "Complaint"):
        async with Feed([JSONLines(path)]) as feed:
            await feed.take(event_of(document(kind)))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["bounce", "complaint"]
    assert lines[0]["recipients"][0]["address"] == "ada@example.net"


async def test_a_full_disk_leaves_no_half_line() -> None:
    """What does not fit is not taken, and comes again."""
    async with Feed([JSONLines("/dev/full")], patience=0) as feed:
        with pytest.raises(NotTaken):
            await feed.take(BOUNCE)


SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


async def test_a_webhook_is_signed_as_standard_webhooks_has_it() -> None:
    """Standard Webhooks 1.0: HMAC-SHA256 over id, timestamp and body; the id is the same in every repetition."""
    async with receiver(503, 200) as server, Feed([Webhook(server.url + "/hook", SECRET)]) as feed:
        await feed.take(BOUNCE)
        (path, headers, body), (_, again, _) = server.posts
        content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        signature = base64.b64encode(hmac.new(b"k" * 32, content, hashlib.sha256).digest()).decode()
        assert (path, headers["webhook-signature"]) == ("/hook", f"v1,{signature}")
        assert again["webhook-id"] == headers["webhook-id"]
        assert json.loads(body)["event"] == "bounce"


def listmonk(server: Receiver) -> Listmonk:
    """A destination that is this server."""
    return Listmonk(server.url + "/", "feedback", "token-of-the-api")


async def recorded(told: dict[str, Any]) -> list[dict[str, Any]]:
    """What listmonk hears of one event."""
    async with receiver() as server, Feed([listmonk(server)]) as feed:
        await feed.take(event_of(told))
        assert all(path == "/webhooks/bounce" for path, _, _ in server.posts)
        assert all(headers["Authorization"] == "token feedback:token-of-the-api" for _, headers, _ in server.posts)
        return server.bodies


@pytest.mark.parametrize(
    ("kind", "particulars", "expected"),
    [
        ("Bounce", {}, "hard"),
        ("Bounce", {"bounceSubType": "OnAccountSuppressionList"}, "hard"),
        ("Bounce", {"bounceType": "Transient", "bounceSubType": "MailboxFull"}, "soft"),
        ("Bounce", {"bounceType": "Undetermined"}, "soft"),
        (
            "Bounce",
            {"bounceType": "Transient", "bouncedRecipients": [{"emailAddress": "ada@example.net", "status": "5.4.4"}]},
            "hard",
        ),
        ("Complaint", {}, "complaint"),
        ("Complaint", {"complaintFeedbackType": None}, "complaint"),
    ],
)
async def test_listmonk_hears_of_bounces_and_complaints(kind: str, particulars: dict[str, Any], expected: str) -> None:
    """In its own words: hard, soft, complaint; with the campaign, and the subscriber where that is certain."""
    (body,) = await recorded(document(kind, **particulars))
    assert (body["type"], body["source"], body["campaign_uuid"]) == (expected, "ses", CAMPAIGN)
    assert body["subscriber_uuid"] == SUBSCRIBER
    assert "email" not in body
    assert body["created_at"] == "2026-11-27T10:00:02+00:00"
    assert body["meta"]["message_id"] == MAIL["messageId"]


@pytest.mark.parametrize(
    ("kind", "particulars"),
    [
        ("Complaint", {"complaintFeedbackType": "not-spam"}),
        ("Delivery", {}),
        ("DeliveryDelay", {}),
        ("Open", {}),
        ("Reject", {}),
    ],
)
async def test_listmonk_does_not_hear_of_the_rest(kind: str, particulars: dict[str, Any]) -> None:
    """Nor of somebody who says that a message is no spam."""
    assert await recorded(document(kind, **particulars)) == []


async def test_every_recipient_who_bounced_is_recorded_by_the_address() -> None:
    """The subscriber in the headers is one of several: who of them bounced, only the address says."""
    told = document(
        "Bounce", bouncedRecipients=[{"emailAddress": "ada@example.net"}, {"emailAddress": "bob@example.net"}]
    )
    told["mail"]["destination"] = ["ada@example.net", "bob@example.net"]
    bodies = await recorded(told)
    assert [body["email"] for body in bodies] == ["ada@example.net", "bob@example.net"]
    assert not any("subscriber_uuid" in body for body in bodies)


@pytest.mark.parametrize("value", ["", "none", "b81d2c94", "x" * 10_000])
async def test_headers_that_are_no_uuid_are_left_out(value: str) -> None:
    """A malformed campaign would make listmonk say yes and keep nothing."""
    told = document("Bounce")
    names = ("X-Listmonk-Campaign", "X-Listmonk-Subscriber")
    told["mail"]["headers"] = [{"name": name, "value": value} for name in names]
    (body,) = await recorded(told)
    assert body["email"] == "ada@example.net"
    assert not {"campaign_uuid", "subscriber_uuid"} & set(body)


async def test_the_subscriber_of_a_test_send_is_none() -> None:
    """Listmonk gives it a UUID of zeros."""
    told = document("Bounce")
    told["mail"]["headers"] = [{"name": "X-Listmonk-Subscriber", "value": str(uuid.UUID(int=0))}]
    (body,) = await recorded(told)
    assert (body["email"], "subscriber_uuid" in body) == ("ada@example.net", False)


async def test_words_that_a_database_cannot_keep_are_escaped() -> None:
    """With a NUL in `meta`, listmonk says yes and keeps nothing."""
    told = document("Bounce", bouncedRecipients=[{"emailAddress": "ada@example.net", "diagnosticCode": "a\0b" * 1000}])
    (body,) = await recorded(told)
    assert "\0" not in body["meta"]["diagnostic"]
    assert len(body["meta"]["diagnostic"]) <= 1000


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "token is wrong"), (403, "webhooks:post_bounce"), (404, "switch them on"), (503, "switch it on")],
)
async def test_what_is_wrong_in_listmonk_is_said_and_waited_for(
    caplog: pytest.LogCaptureFixture, status: int, words: str
) -> None:
    """Somebody has to act; until then nothing is lost."""
    async with receiver(status) as server, Feed([listmonk(server)], patience=0) as feed:
        with pytest.raises(NotTaken):
            await feed.take(BOUNCE)
        assert words in caplog.text
        assert "token-of-the-api" not in caplog.text
        await feed.take(BOUNCE)
        assert len(server.posts) == 2


async def test_a_redirect_is_not_followed() -> None:
    """The token would go wherever it leads."""
    async with receiver(302) as server, Feed([listmonk(server)], patience=0) as feed:
        with pytest.raises(NotTaken):
            await feed.take(BOUNCE)


@pytest.mark.parametrize("status", [400, 422])
async def test_what_listmonk_finds_malformed_does_not_come_again(status: int) -> None:
    """It would be malformed the next time as well."""
    async with receiver(status) as server, Feed([listmonk(server)]) as feed:
        await feed.take(BOUNCE)
        assert feed.counts.refused == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: Listmonk("https://lists.example.org", "", ""),
        lambda: Listmonk("https://lists.example.org", "a:b", "token"),
        lambda: Listmonk("ftp://lists.example.org", "a", "token"),
        lambda: Listmonk("https://user:secret@lists.example.org", "a", "token"),
        lambda: Webhook("https://example.org", "short"),
        lambda: Webhook("https://example.org", "whsec_" + "@" * 30),
        lambda: JSONLines("/nowhere/at/all"),
    ],
)
def test_what_is_wrong_with_a_destination_is_one_sentence(make: Callable[[], object]) -> None:
    """When it is made, and without a secret in it."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert not any(secret in str(caught.value) for secret in ("secret@", "@@@", ":token"))
