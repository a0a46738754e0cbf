"""The messenger over HTTP, with a simulator of SES behind it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import io
import json
import logging
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from seslimit import ConfigurationError, Limiter, transport_from_url
from seslimit.companion._address import Address
from seslimit.companion.listmonk import ListmonkMessenger, ListmonkOptions, Settings
from seslimit.companion.listmonk._memory import OTHERS
from seslimit.testing import Fault, Simulator, SMTPText

pytestmark = pytest.mark.once

GOLDEN = Path(__file__).parent / "listmonk"
CAMPAIGN: dict[str, Any] = json.loads((GOLDEN / "campaign.json").read_text(encoding="utf-8")) | {"attachments": None}
TRANSACTIONAL: dict[str, Any] = json.loads((GOLDEN / "transactional.json").read_text(encoding="utf-8"))
ROOT = "https://lists.example.net/"
FAST = 2000.0


def _message(subscriber: int, *, campaign: str = "c1", body: str = "<p>Hello</p>") -> dict[str, Any]:
    payload = copy.deepcopy(CAMPAIGN) | {"body": body}
    payload["campaign"]["uuid"] = campaign
    payload["recipients"][0] |= {"uuid": f"s{subscriber}", "email": f"reader{subscriber}@example.net"}
    return payload


class Client:
    """What listmonk does: posts a message and waits for the answer."""

    def __init__(self, session: aiohttp.ClientSession, messenger: ListmonkMessenger, simulator: Simulator) -> None:
        self.messenger = messenger
        self.simulator = simulator
        self._session = session

    async def post(self, payload: object, **options: Any) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer."""
        status, _, body = await self.request("POST", "/", json=payload, **options)
        return status, body

    async def request(self, method: str, path: str, **options: Any) -> tuple[int, Any, dict[str, Any]]:
        """Status, headers and body of the answer."""
        url = f"http://127.0.0.1:{self.messenger.port}{path}"
        async with self._session.request(method, url, allow_redirects=False, **options) as answer:
            return answer.status, answer.headers, {} if method == "HEAD" else await answer.json()

    async def campaign(self, first: int, count: int, **fields: Any) -> list[tuple[int, dict[str, Any]]]:
        """Post to subscribers, ten at a time."""
        places = asyncio.Semaphore(10)

        async def one(number: int) -> tuple[int, dict[str, Any]]:
            async with places:
                return await self.post(_message(number, **fields))

        return await asyncio.gather(*(one(number) for number in range(first, first + count)))


@contextlib.asynccontextmanager
async def running(rate: float = FAST, *, limit: float | None = None, **options: Any) -> AsyncIterator[Client]:
    """A messenger with a simulator behind it, and a client before it."""
    simulated = {name: options.pop(name) for name in ("faults", "max_24_hour_send", "latency") if name in options}
    settings = options.pop("settings", Settings(timeout=60))
    async with Simulator(rate, keep_content=True, **simulated) as simulator, aiohttp.ClientSession() as session:
        listen = Address("127.0.0.1", 0)
        set_up = ListmonkOptions(listen=listen, root_url=ROOT, settings=settings, **options)
        transport = transport_from_url(simulator.smtp_url)
        messenger = ListmonkMessenger(transport, set_up, limiter=Limiter(limit or rate))
        await messenger.open()
        try:
            yield Client(session, messenger, simulator)
        finally:
            await messenger.aclose(5)


async def _until(condition: Any) -> None:
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110  # what is waited for is told by counts alone
            await asyncio.sleep(0.01)


async def test_200_is_the_services_acceptance() -> None:
    """With its message id, and the message as it was composed."""
    async with running() as client:
        status, body = await client.post(CAMPAIGN)
        (accepted,) = client.simulator.accepted
        assert (status, body) == (200, {"message_id": accepted.message_id})
        assert accepted.recipients == ("ada@example.net",)
        assert b"X-Listmonk-Campaign: b81d2c94-6c1f-4f3e-9a75-20d6e8f7a413\r\n" in (accepted.content or b"")


async def test_posts_are_held_so_that_nothing_is_refused_for_the_rate() -> None:
    """Far more posts than the rate: each waits its turn, all are accepted once, none is throttled."""
    async with running(50) as client:
        answers = await client.campaign(0, 60)
        assert [status for status, _ in answers] == [200] * 60
        assert len({message.recipients for message in client.simulator.accepted}) == 60
        assert client.simulator.counts.throttled == 0
        counts = client.messenger.counts
        assert (counts.posts, counts.accepted, counts.most_held) == (60, 60, 10)
        assert 0 < counts.longest_hold < 2


async def test_a_throttle_costs_no_message() -> None:
    """Begun far above the limit, throttled messages go again, and listmonk hears nothing of it."""
    async with running(3, limit=400) as client:
        answers = await client.campaign(0, 9)
        assert [status for status, _ in answers] == [200] * 9
        assert client.messenger.counts.throttled == client.simulator.counts.throttled > 0


async def test_what_a_resumed_campaign_posts_again_is_not_sent_again() -> None:
    """The second post has the first one's message id."""
    async with running() as client:
        first = await client.campaign(0, OTHERS + 30)
        again = await client.campaign(OTHERS + 20, 10)
        assert again == first[-10:]
        assert client.simulator.counts.accepted == OTHERS + 30
        assert client.messenger.counts.repeated == 10


async def test_a_test_send_does_not_keep_the_real_message_back() -> None:
    """Not even where the campaign follows at once, with the same content."""
    async with running() as client:
        test = [await client.post(_message(number)) for number in (3, 3, 40)]
        await client.campaign(0, 60)
        assert [status for status, _ in test] == [200, 200, 200]
        sent = [message.recipients[0] for message in client.simulator.accepted]
        assert (sent.count("reader3@example.net"), sent.count("reader40@example.net")) == (3, 2)
        assert len(sent) == 63


async def test_another_content_is_another_message() -> None:
    """A campaign that was corrected while it was paused."""
    async with running() as client:
        await client.campaign(0, OTHERS + 10)
        await client.campaign(OTHERS, 10, body="<p>Corrected</p>")
        assert client.simulator.counts.accepted == OTHERS + 20


async def test_two_transactional_messages_alike_are_two() -> None:
    """They have no key."""
    async with running() as client:
        assert [(await client.post(TRANSACTIONAL))[0] for _ in range(3)] == [200] * 3
        assert client.simulator.counts.accepted == 3


async def test_the_same_message_posted_while_it_is_held_shares_its_answer() -> None:
    """One message is sent, both posts hear of it."""
    async with running(latency=0.2) as client:
        first, second = await asyncio.gather(client.post(CAMPAIGN), client.post(CAMPAIGN))
        assert first == second
        assert client.simulator.counts.accepted == 1
        assert client.messenger.counts.repeated == 1


async def test_a_message_that_listmonk_gave_up_on_is_sent_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """It is never posted again, so the subscriber would get nothing; the log says what to do."""
    async with running(latency=0.2) as client:
        with pytest.raises(TimeoutError):
            await client.post(CAMPAIGN, timeout=aiohttp.ClientTimeout(total=0.3))
        await _until(lambda: client.messenger.counts.late)
        assert client.simulator.counts.accepted == 1
        assert client.messenger.held == 0
        await _until(lambda: "sent although listmonk had given up on them: 1 message," in caplog.text)


async def test_a_message_refused_for_good_is_422_and_named(caplog: pytest.LogCaptureFixture) -> None:
    """With the service's words; the log names campaign and subscriber, and no address."""
    async with running(faults=[Fault("dot", reply=SMTPText.BLACKLISTED)]) as client:
        status, body = await client.post(_message(7))
        assert (status, body["outcome"]) == (422, "permanent")
        assert "blacklisted" in body["error"]
        assert client.messenger.counts.refused == 1
        (line,) = [record.getMessage() for record in caplog.records if "not sent" in record.getMessage()]
        assert line.startswith("not sent, campaign c1, subscriber s7: permanent:")
        assert "@" not in line


async def test_a_transient_failure_is_tried_again() -> None:
    """The acceptance is all that listmonk hears of."""
    async with running(faults=[Fault("dot", reply=SMTPText.TEMPORARY_FAILURE)]) as client:
        assert (await client.post(CAMPAIGN))[0] == 200


async def test_an_exceeded_quota_is_503_before_listmonk_gives_up() -> None:
    """With the time until it is worth trying again; nothing of it is sent later."""
    async with running(max_24_hour_send=2, settings=Settings(timeout=1.5)) as client:
        for number in range(2):
            assert (await client.post(_message(number)))[0] == 200
        began_at = asyncio.get_running_loop().time()
        status, headers, body = await client.request("POST", "/", json=_message(2))
        assert status == 503
        assert int(headers["Retry-After"]) == body["retry_after"] > 0
        assert "quota" in body["error"].lower()
        assert asyncio.get_running_loop().time() - began_at < 1.5
        assert client.messenger.counts.unsent == 1
        assert client.simulator.counts.accepted == 2
        status, _, health = await client.request("GET", "/health")
        assert (status, health["status"]) == (200, "quota exceeded")


async def test_a_blocked_account_is_503_and_so_is_its_health() -> None:
    """Nothing can be sent until somebody acts."""
    async with running(
        faults=[Fault("dot", reply=SMTPText.PAUSED, times=None)], settings=Settings(timeout=1)
    ) as client:
        status, headers, body = await client.request("POST", "/", json=CAMPAIGN)
        assert (status, int(headers["Retry-After"]) > 0) == (503, True)
        assert "paused" in body["error"]
        status, _, health = await client.request("GET", "/health")
        assert (status, health["paused"]) == (503, "account blocked")


async def test_health_tells_the_rate_and_what_is_held() -> None:
    """Without a login; HEAD has no body."""
    async with running(100, user="u", password="p") as client:
        status, _, body = await client.request("GET", "/health")
        assert (status, set(body)) == (200, {"status", "rate", "paused", "held"})
        assert (body["status"], body["paused"], body["held"]) == ("ok", None, 0)
        assert (await client.request("HEAD", "/health"))[0] == 200


async def test_closing_sends_what_is_held_and_takes_nothing_new() -> None:
    """Nothing is posted twice by listmonk; what comes meanwhile is 503, and the connection ends."""
    async with running(20) as client:
        posts = [asyncio.create_task(client.post(_message(number))) for number in range(40)]
        await _until(lambda: client.messenger.counts.posts == 40)
        idle = aiohttp.ClientSession()
        async with idle, idle.get(f"http://127.0.0.1:{client.messenger.port}/health"):
            pass
        closing = asyncio.create_task(client.messenger.aclose(10))
        await asyncio.sleep(0.05)
        assert not closing.done()
        assert [status for status, _ in await asyncio.gather(*posts)] == [200] * 40
        await closing
        assert client.simulator.counts.accepted == 40


async def test_closing_names_what_the_deadline_left(caplog: pytest.LogCaptureFixture) -> None:
    """Each is answered with 503, and in the log; the others were accepted."""
    async with running(5) as client:
        posts = [asyncio.create_task(client.post(_message(number))) for number in range(40)]
        await _until(lambda: client.messenger.counts.posts == 40)
        await client.messenger.aclose(3)
        answers = [status for status, _ in await asyncio.gather(*posts)]
        left = [record.getMessage() for record in caplog.records if record.getMessage().startswith("not sent")]
        assert set(answers) == {200, 503}
        assert answers.count(200) == client.simulator.counts.accepted == client.messenger.counts.accepted
        assert answers.count(503) == len(left) == client.messenger.counts.unsent
        unsent = {f"s{number}" for number, status in enumerate(answers) if status == 503}
        assert {line.split("subscriber ")[1].split(":")[0] for line in left} == unsent


async def test_a_post_while_it_closes_is_503_and_the_connection_ends() -> None:
    """On a connection that was open already."""
    async with running(10) as client:
        held = [asyncio.create_task(client.post(_message(number))) for number in range(30)]
        reader, writer = await asyncio.open_connection("127.0.0.1", client.messenger.port)
        await _until(lambda: client.messenger.counts.posts == 30)
        closing = asyncio.create_task(client.messenger.aclose(10))
        await asyncio.sleep(0.05)
        writer.write(_raw(json.dumps(TRANSACTIONAL).encode()))
        answer = await reader.read()
        writer.close()
        await asyncio.gather(closing, *held)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"connection: close" in answer.lower()


def _raw(body: bytes, *headers: str, path: str = "/") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *headers]
    if not any(header.startswith(("Content-Length", "Transfer-Encoding")) for header in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (None, 401),
        ("", 401),
        ("Basic", 401),
        ("Basic !!!", 401),
        ("Bearer bGlzdG1vbms6cGFzcw==", 401),
        (("listmonk", "wrong"), 401),
        (("listmonk", ""), 401),
        (("somebody", "p\u00e4ss:word"), 401),
        (("listmonk", "p\u00e4ss:word"), 200),
    ],
)
async def test_the_login_has_to_be_right(
    given: str | tuple[str, str] | None, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both user and password; a refusal says which scheme."""
    monkeypatch.setattr("seslimit.companion._logins.WAIT", 0.01)
    async with running(user="listmonk", password="p\u00e4ss:word") as client:
        if isinstance(given, tuple):
            given = "Basic " + base64.b64encode(":".join(given).encode()).decode()
        headers = {} if given is None else {"Authorization": given}
        found, answered, _ = await client.request("POST", "/", json=TRANSACTIONAL, headers=headers)
        assert found == status
        assert answered.get("WWW-Authenticate", "").startswith("Basic ") is (status == 401)


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/", {}, 405),
        ("PUT", "/", {"json": {}}, 405),
        ("POST", "/health", {"json": {}}, 405),
        ("POST", "/webhook/ses", {"json": {}}, 404),
        ("POST", "/", {"data": b"{}"}, 415),
        ("POST", "/", {"data": {"a": "b"}}, 415),
        ("POST", "/", {"data": b"{}", "headers": {"Content-Type": "application/json; charset=utf-16"}}, 415),
        ("POST", "/", {"json": {}, "headers": {"Content-Encoding": "gzip"}}, 415),
        ("POST", "/", {"data": b"x" * 20_001, "headers": {"Content-Type": "application/json"}}, 413),
        ("POST", "/", {"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ("POST", "/", {"data": b"{", "headers": {"Content-Type": "application/json;charset=UTF-8"}}, 400),
    ],
)
async def test_a_request_that_is_no_post_is_refused(
    method: str, path: str, options: dict[str, Any], status: int
) -> None:
    """In one sentence, as JSON."""
    async with running(max_size=20_000) as client:
        found, headers, body = await client.request(method, path, **options)
        assert found == status
        assert body["error"].endswith((".", ")"))
        assert ("Allow" in headers) is (status == 405)


async def test_a_field_that_is_wrong_is_named() -> None:
    """By its path."""
    async with running() as client:
        status, body = await client.post(TRANSACTIONAL | {"recipients": [{"email": "nobody"}]})
        assert (status, body["field"]) == (400, "recipients[0].email")
        assert client.messenger.counts.invalid == 1


async def test_a_post_that_is_not_taken_is_named_each_time(caplog: pytest.LogCaptureFixture) -> None:
    """It comes once: listmonk's operator finds campaign and subscriber in the log."""
    async with running() as client:
        for number in (1, 2):
            await client.post(_message(number) | {"body": None})
    assert all(f"campaign c1, subscriber s{number}" in caplog.text for number in (1, 2))


async def test_it_says_once_that_listmonks_setting_cannot_be_known(caplog: pytest.LogCaptureFixture) -> None:
    """Whether the headers to unsubscribe are wanted; not where they were asked to be left out."""
    async with running(unsubscribe_headers=False) as client:
        await client.post(_message(1))
    assert "--no-unsubscribe-headers" not in caplog.text
    async with running() as client:
        await client.post(_message(1))
        await client.post(_message(2))
    assert caplog.text.count("--no-unsubscribe-headers") == 1


async def test_a_body_that_is_too_long_is_not_read() -> None:
    """Its length tells; where none is given, reading ends at the limit."""
    async with running(max_size=1000) as client:
        for request in (
            _raw(b"", "Content-Length: 1000000000"),
            _raw(b"800\r\n" + b"x" * 0x800 + b"\r\n", "Transfer-Encoding: chunked"),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", client.messenger.port)
            writer.write(request)
            answer = await asyncio.wait_for(reader.read(), 30)
            writer.close()
            assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "request_bytes",
    [
        _raw(b"ZZ\r\nx\r\n", "Transfer-Encoding: chunked"),
        _raw(b"{}", "Content-Length: -1"),
        _raw(b"{}", "Content-Length: 2", "Transfer-Encoding: chunked"),
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x00\xa5",
    ],
)
async def test_what_is_no_http_is_400_or_the_end(request_bytes: bytes) -> None:
    """Never a 5xx, and the messenger goes on."""
    async with running() as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.messenger.port)
        writer.write(request_bytes)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        # Of what it could not read, aiohttp does not know the version.
        assert not answer or answer.startswith((b"HTTP/1.0 4", b"HTTP/1.1 4"))
        assert (await client.post(TRANSACTIONAL))[0] == 200


async def test_a_client_that_leaves_in_the_middle_of_a_body_is_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is sent, nothing is counted, no error is logged."""
    async with running() as client:
        _, writer = await asyncio.open_connection("127.0.0.1", client.messenger.port)
        writer.write(_raw(b'{"subject": "', "Content-Length: 1000"))
        await asyncio.sleep(0.05)
        writer.transport.abort()
        await asyncio.sleep(0.05)
        assert client.messenger.counts.posts == 0
        assert (await client.post(TRANSACTIONAL))[0] == 200
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("said", [b"", b"POST / HTTP/1.1\r\nHost: half"])
async def test_a_connection_without_a_request_is_ended(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would cost a file for an hour; one that has made a request may wait for its next one."""
    monkeypatch.setattr("seslimit.companion._http.HEAD_TIME", 0.2)
    async with running() as client:
        assert (await client.post(TRANSACTIONAL))[0] == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", client.messenger.port)
        writer.write(said)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()
        kept = client.messenger._door.server._connections
        assert kept is not None
        assert len(kept.connections) == 1
        assert (await client.post(TRANSACTIONAL))[0] == 200
        assert len(kept.connections) == 1


async def test_a_connection_is_kept() -> None:
    """Two posts, one connection."""
    async with running() as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.messenger.port)
        for _ in range(2):
            writer.write(_raw(json.dumps(TRANSACTIONAL).encode()))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            assert head.startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_a_large_message_does_not_keep_the_others_waiting() -> None:
    """It is read in a thread."""
    large = {"name": "a.bin", "header": None, "content": base64.b64encode(bytes(6_000_000)).decode()}
    async with running() as client:
        body = io.BytesIO(json.dumps(TRANSACTIONAL | {"attachments": [large]}).encode())
        headers = {"Content-Type": "application/json"}
        post = asyncio.create_task(client.request("POST", "/", data=body, headers=headers))
        assert (await client.post(TRANSACTIONAL))[0] == 200
        assert (await post)[0] == 200


async def test_it_says_when_listmonks_settings_do_not_fit(caplog: pytest.LogCaptureFixture) -> None:
    """At the start, once, from the rate that the limiter knows; and with settings that fit, nothing."""
    caplog.set_level(logging.INFO)
    async with running(1000, settings=Settings(timeout=5)) as client:
        await client.post(TRANSACTIONAL)
        await _until(lambda: "listmonk's settings do not fit the account's rate" in caplog.text)
        assert "Set in listmonk: Concurrency 250, Message rate 1000" in caplog.text


@pytest.mark.parametrize(
    ("listen", "user", "password", "words"),
    [
        ("0.0.0.0:0", "", "", "everybody could send"),
        ("127.0.0.1:0", "listmonk", "", "set both"),
        ("127.0.0.1:0", "", "x", "set both"),
        ("127.0.0.1:0", "a:b", "x", "without a colon"),
    ],
)
def test_a_login_is_complete_and_beyond_loopback_there_is_one(
    listen: str, user: str, password: str, words: str
) -> None:
    """In one sentence that names the variables."""
    with pytest.raises(ConfigurationError, match=words) as refused:
        ListmonkOptions(listen=Address.parse(listen), root_url=ROOT, user=user, password=password)
    assert "SESLIMIT_LISTMONK_USER" in str(refused.value)


@pytest.mark.parametrize(
    "url", ["", "lists.example.net", "ftp://x", "https://", "https://x/?a=b", "https://x/#a", "https://x/>\r\nBcc: y"]
)
def test_a_root_url_is_one(url: str) -> None:
    """It goes into a header of every message."""
    with pytest.raises(ConfigurationError, match="root URL"):
        ListmonkOptions(listen=Address.parse("127.0.0.1:0"), root_url=url)


def test_the_password_is_in_no_repr() -> None:
    """Nor in the login's."""
    options = ListmonkOptions(listen=Address.parse("127.0.0.1:0"), root_url=ROOT, user="u", password="s3kr1t")
    assert "s3kr1t" not in repr(options) + repr(options.login)


def test_the_description_names_every_answer() -> None:
    """Those that the code gives, and the paths and methods that it takes."""
    document = json.loads(files("seslimit.companion.listmonk").joinpath("openapi.json").read_text(encoding="utf-8"))
    answers = {path: set(methods[name]["responses"]) for path, methods in document["paths"].items() for name in methods}
    assert document["openapi"] == "3.1.0"
    assert answers == {
        "/": {"200", "400", "401", "408", "413", "415", "422", "429", "502", "503"},
        "/health": {"200", "503"},
    }


async def test_an_address_that_is_taken_is_said_in_one_sentence() -> None:
    """And the transport is closed."""
    async with running() as client:
        options = ListmonkOptions(listen=f"127.0.0.1:{client.messenger.port}", root_url="https://lists.example.net")
        with pytest.raises(ConfigurationError, match=r"cannot be listened on \(Address already in use\): give another"):
            await ListmonkMessenger(transport_from_url("sim://"), options).open()


async def test_it_is_a_context_manager() -> None:
    """As the relay is."""
    options = ListmonkOptions(listen="127.0.0.1:0", root_url="https://lists.example.net")
    async with ListmonkMessenger(transport_from_url("sim://"), options) as messenger:
        assert messenger.port > 0


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic s3kr1t\r\nContent-Length: s3kr1t\r\n\r\ns3kr1t",
        b"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic s3kr1t\r\nbad header s3kr1t\r\n\r\ns3kr1t",
        b"POST / HTTP/s3kr1t\r\nAuthorization: Basic s3kr1t\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nAuthorization: Basic s3kr1t\r\n\r\ns3kr1t\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"s3kr1t" * 5000 + b"\r\n\r\n",
    ],
)
async def test_nothing_of_a_malformed_request_is_logged(request_: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Neither its login nor its content: anybody can send one, and a client's own may be malformed."""
    caplog.set_level(logging.DEBUG)
    options = ListmonkOptions(listen="127.0.0.1:0", root_url="https://lists.example.net")
    async with ListmonkMessenger(transport_from_url("sim://"), options) as messenger:
        reader, writer = await asyncio.open_connection("127.0.0.1", messenger.port)
        writer.write(request_)
        async with asyncio.timeout(120):
            assert (await reader.read(1000)).startswith(b"HTTP/1.0 400")
        writer.close()
    assert "s3kr1t" not in caplog.text
    assert "Traceback" not in caplog.text
