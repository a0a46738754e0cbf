"""The API transport against the simulator's API door: real HTTP requests on loopback, counted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import socket
import struct
import traceback
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
from aiobotocore.session import AioSession

from seslimit._model.errors import ConfigurationError, TransportError
from seslimit._model.message import Message
from seslimit._model.outcome import Outcome, Stage
from seslimit._model.quota import SendQuota
from seslimit.testing import APIReply, APIRules, Fault, Simulator
from seslimit.transports import KnowsQuota, ses, transport_from_url
from seslimit.transports.ses import SESTransport, session_with
from tests.scripted_server import Conversation, Server, refusal

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
CONTENT = b"From: sender@example.org\r\nSubject: hello\r\n\r\nGood morning.\r\n"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials in the environment, and nothing else of AWS's."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def message(*recipients: str, content: bytes = CONTENT) -> Message:
    """A message to the recipients, or to one."""
    return Message("sender@example.org", recipients or ("reader@example.com",), content)


@contextlib.asynccontextmanager
async def serving(simulator: Simulator, **options: Any) -> AsyncIterator[SESTransport]:
    """A transport to a simulator that runs."""
    async with simulator:
        transport = SESTransport(options.pop("region", "us-east-1"), endpoint_url=simulator.api_url, **options)
        try:
            yield transport
        finally:
            await transport.aclose()


ACCEPTED = b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"MessageId":"id-1"}'
RESET = b"reset"
"""In place of an answer: reset the connection."""
SILENCE = b"silence"
"""In place of an answer: say nothing, and keep the connection."""


@attrs.define(eq=False)
class ScriptedService:
    """An HTTP server that answers each request with the next of some bytes, and closes the connection."""

    answers: list[bytes]
    requests: list[dict[str, Any]] = attrs.field(factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.findall(rb"(?i)content-length: (\d+)", head)[0])
        self.requests.append(json.loads(await reader.readexactly(length)))
        answer = self.answers.pop(0)
        if answer == SILENCE:
            await reader.read()
        elif answer == RESET:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        else:
            writer.write(answer)
        writer.close()


@contextlib.asynccontextmanager
async def answering(service: ScriptedService, **options: Any) -> AsyncIterator[SESTransport]:
    """A transport to a scripted service."""
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0, limit=2**26)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    transport = SESTransport("us-east-1", endpoint_url=url, **options)
    try:
        yield transport
    finally:
        await transport.aclose()
        server.close()
        await asyncio.sleep(0.01)


def refusing(status: int, error: str, words: str = "", times: int | None = 1) -> Simulator:
    """A simulator that refuses to send."""
    return Simulator(1000, faults=[Fault("send", reply=APIReply(status, error, words), times=times)])


async def outcome_of(transport: SESTransport, sent: Message | None = None) -> TransportError:
    """The error of an attempt that is not accepted."""
    with pytest.raises(TransportError) as caught:
        await transport.send(sent or message())
    return caught.value


# The plain path.


async def test_message_id() -> None:
    """The receipt holds the id that the service gave, and when it had the message."""
    simulator = Simulator(1000)
    async with serving(simulator) as transport:
        begin = asyncio.get_running_loop().time()
        receipt = await transport.send(message())
    assert receipt.message_id == simulator.accepted[0].message_id
    assert receipt.decided_at is not None
    assert receipt.decided_at >= begin


async def test_envelope_and_content_arrive() -> None:
    """The envelope decides about the recipients, whatever the headers say; the content arrives as it was given."""
    simulator = Simulator(1000, keep_content=True)
    sent = message("a@example.com", "b@example.com", content=b"To: x@example.com\r\n\r\n.\r\n\xe2\x82\xac\r\n")
    async with serving(simulator) as transport:
        await transport.send(sent)
    (accepted,) = simulator.accepted
    assert (accepted.mail_from, tuple(accepted.recipients)) == (sent.mail_from, sent.recipients)
    assert accepted.content == sent.content


@pytest.mark.parametrize("size", [200_000, 300_000, 10_000_000])
async def test_large_content_arrives(size: int) -> None:
    """Content of any size arrives whole."""
    body = b"Subject: x\r\n\r\n" + b"0123456789abcde\r\n" * (size // 17)
    simulator = Simulator(1000, keep_content=True)
    async with serving(simulator) as transport:
        await transport.send(message(content=body))
    assert simulator.accepted[0].content == body


async def test_one_client_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many first messages at once make one client."""
    made: list[object] = []
    create = AioSession.create_client

    def counted(*args: Any, **named: Any) -> Any:
        made.append(args)
        return create(*args, **named)

    monkeypatch.setattr(AioSession, "create_client", counted)
    simulator = Simulator(1000)
    async with serving(simulator) as transport:
        await asyncio.gather(*(transport.send(message()) for _ in range(20)))
    assert (simulator.counts.accepted, len(made)) == (20, 1)


async def test_labels() -> None:
    """Configuration set, tenant, tags and endpoint id are passed on."""
    transport = SESTransport(
        "us-east-1", configuration_set="news", tenant="t", tags={"campaign": "spring"}, endpoint_id="ab.cd"
    )
    assert transport._constant == {
        "ConfigurationSetName": "news",
        "TenantName": "t",
        "EndpointId": "ab.cd",
        "EmailTags": [{"Name": "campaign", "Value": "spring"}],
    }


async def test_labels_arrive() -> None:
    """What is constant is part of the request, of a large one too."""
    service = ScriptedService([ACCEPTED, ACCEPTED])
    async with answering(service, configuration_set="news", tags={"a": "1"}) as transport:
        await transport.send(message())
        await transport.send(message(content=b"Subject: x\r\n\r\n" + b"x" * 300_000))
    for request in service.requests:
        assert (request["ConfigurationSetName"], request["EmailTags"]) == ("news", [{"Name": "a", "Value": "1"}])


async def test_a_messages_own_label_wins() -> None:
    """As over SMTP: it does not depend on the door."""
    service = ScriptedService([ACCEPTED])
    async with answering(service, configuration_set="news", tenant="t1") as transport:
        await transport.send(message(content=b"Subject: x\r\nX-SES-Configuration-Set: own\r\n\r\nx"))
    assert "ConfigurationSetName" not in service.requests[0]
    assert service.requests[0]["TenantName"] == "t1"


# Refusals.


@pytest.mark.parametrize(
    ("status", "error", "words", "outcome", "stage"),
    [
        (429, "TooManyRequestsException", "Maximum sending rate exceeded.", "throttled", Stage.REQUEST),
        (429, "TooManyRequestsException", "Daily message quota exceeded.", "quota_exceeded", Stage.REQUEST),
        (400, "Throttling", "Maximum sending rate exceeded.", "throttled", Stage.REQUEST),
        (400, "MessageRejected", "Invalid content", "permanent", Stage.REQUEST),
        (400, "AccountSuspendedException", "", "account_blocked", Stage.REQUEST),
        (400, "SendingPausedException", "Sending paused for this account.", "account_blocked", Stage.REQUEST),
        (404, "NotFoundException", "Configuration set <x> does not exist.", "account_blocked", Stage.REQUEST),
        (403, "InvalidClientTokenId", "The security token is invalid.", "account_blocked", Stage.AUTH),
        (500, "InternalServiceErrorException", "", "unknown", Stage.REQUEST),
        (503, "ServiceUnavailable", "", "unknown", Stage.REQUEST),
    ],
)
async def test_refused(status: int, error: str, words: str, outcome: str, stage: Stage) -> None:
    """A refusal has its outcome, its words and its stage, and was one request."""
    simulator = refusing(status, error, words)
    async with serving(simulator) as transport:
        found = await outcome_of(transport)
    assert (found.outcome, found.reply, found.stage) == (outcome, f"{error} {words}".strip(), stage)
    assert found.decided_at is not None
    assert simulator.counts.api_requests == 1


@pytest.mark.parametrize("size", [1_000, 3_000_000])
async def test_too_long(size: int) -> None:
    """A message that is too long, also one whose request is not even read, will never be accepted."""
    async with serving(Simulator(1000, api=APIRules(max_size=100))) as transport:
        assert (await outcome_of(transport, message(content=b"x" * size))).outcome is Outcome.PERMANENT


async def test_throttled_by_the_bucket() -> None:
    """The second message in an empty bucket is throttled."""
    async with serving(Simulator(1, depth=1)) as transport:
        await transport.send(message())
        assert (await outcome_of(transport)).outcome is Outcome.THROTTLED


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        RESET,
        SILENCE,
        ACCEPTED[:-5],
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 18\r\n\r\n<html>hello</html>",
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 18\r\n\r\n<html>sorry</html>",
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + b"[" * 60_000,
    ],
    ids=["close", "reset", "silence", "truncated", "no id", "empty", "html", "bad gateway", "no HTTP", "deep"],
)
async def test_no_word_after_the_request(answer: bytes) -> None:
    """Whatever breaks after the request was written is unknown, and was one request."""
    service = ScriptedService([answer])
    async with answering(service, timeout=1.0 if answer == SILENCE else 30.0) as transport:
        error = await outcome_of(transport)
    assert error.outcome is Outcome.UNKNOWN
    assert error.decided_at is not None
    assert len(service.requests) == 1


# What the service says beside its answers.


@attrs.define(eq=False)
class TalkingService(Server):
    """An HTTP server that keeps its connections: it answers a request in pieces, and refuses those after it."""

    pieces: list[bytes]
    refuses: bool = True

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, conversation: Conversation
    ) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(int(re.findall(rb"(?i)content-length: (\d+)", head)[0]))
            answer = self.pieces
            if self.refuses:
                self.pieces = [refusal(400, "MessageRejected", "no")]
            for piece in answer:
                writer.write(piece)
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def talking(service: TalkingService) -> AsyncIterator[SESTransport]:
    """A transport with one connection to such a server."""
    async with service.running():
        transport = SESTransport("us-east-1", endpoint_url=f"http://127.0.0.1:{service.port}", max_connections=1)
        try:
            yield transport
        finally:
            await transport.aclose()


STALE = b'HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{"MessageId":"stale"}'
CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n{"MessageId":"id-1"}\r\n0\r\n\r\n'


@pytest.mark.parametrize(
    "pieces",
    [
        [ACCEPTED, STALE],
        [ACCEPTED + STALE],
        [ACCEPTED[:-3], ACCEPTED[-3:] + STALE],
        [CHUNKED[:-3], CHUNKED[-3:] + CHUNKED],
        [ACCEPTED, b"HTTP/1.1 2"],
        [ACCEPTED + b"HTTP/1.1 2"],
        [ACCEPTED[:-3], ACCEPTED[-3:] + b"H"],
        [ACCEPTED, b"\r\n"],
    ],
)
async def test_more_than_an_answer(pieces: list[bytes]) -> None:
    """What comes beside an answer is never taken for the next one's: the next request goes over a new connection."""
    service = TalkingService(pieces)
    async with talking(service) as transport:
        assert (await transport.send(message())).message_id == "id-1"
        await asyncio.sleep(0.05)
        error = await outcome_of(transport)
    assert (error.outcome, error.reply) == (Outcome.PERMANENT, "MessageRejected no")
    assert len(service.conversations) == 2


@pytest.mark.parametrize(
    "pieces",
    [
        [ACCEPTED],
        [ACCEPTED[:20], ACCEPTED[20:50], ACCEPTED[50:]],
        [CHUNKED],
        [CHUNKED[:60], CHUNKED[60:-2], CHUNKED[-2:]],
        [b"HTTP/1.1 103 Early Hints\r\n\r\n", CHUNKED],
    ],
)
async def test_one_connection_for_whole_answers(pieces: list[bytes]) -> None:
    """A connection on which nothing but answers came is used again."""
    service = TalkingService(pieces, refuses=False)
    async with talking(service) as transport:
        assert [(await transport.send(message())).message_id for _ in range(3)] == ["id-1"] * 3
    assert len(service.conversations) == 1


async def test_nobody_listens() -> None:
    """Without a service nothing was sent, and the endpoint needs time."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    transport = SESTransport("us-east-1", endpoint_url=f"http://127.0.0.1:{port}")
    error = await outcome_of(transport)
    await transport.aclose()
    assert (error.outcome, error.stage, error.blocks_endpoint) == (Outcome.NOT_SENT, Stage.CONNECT, True)


async def test_not_https() -> None:
    """A failed TLS handshake sent nothing."""
    async with Simulator(1000) as simulator:
        transport = SESTransport("us-east-1", endpoint_url=simulator.api_url.replace("http:", "https:"))
        error = await outcome_of(transport)
        await transport.aclose()
    assert (error.outcome, error.blocks_endpoint) == (Outcome.NOT_SENT, True)


async def test_cancelled() -> None:
    """A cancelled attempt leaves a transport that works."""
    service = ScriptedService([SILENCE, ACCEPTED])
    async with answering(service, max_connections=1) as transport:
        sending = asyncio.create_task(transport.send(message()))
        async with asyncio.timeout(120):
            while not service.requests:  # noqa: ASYNC110 - what the server saw sets no event
                await asyncio.sleep(0.005)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert (await transport.send(message())).message_id == "id-1"


# Credentials.


async def test_ended_credentials_are_renewed() -> None:
    """An ended token is renewed, and the same attempt made again."""
    simulator = refusing(403, "ExpiredTokenException", "expired")
    async with serving(simulator) as transport:
        assert (await transport.send(message())).message_id
    assert simulator.counts.api_requests == 2


async def test_many_renewals_are_one() -> None:
    """All who meet the ended token share one renewal."""
    simulator = refusing(403, "ExpiredTokenException", "expired", times=10)
    async with serving(simulator) as transport:
        opened = await transport._doors.opened()
        await opened.leave()
        await asyncio.gather(*(transport.send(message()) for _ in range(10)))
        assert opened.replaced
        assert opened.users == 0
    assert simulator.counts.api_requests == 20


async def test_still_ended() -> None:
    """Credentials that stay ended block the account."""
    async with serving(Simulator(1000, api=APIRules(credentials="expired"))) as transport:
        error = await outcome_of(transport)
    assert (error.outcome, error.stage) == (Outcome.ACCOUNT_BLOCKED, Stage.AUTH)


async def test_given_session_is_not_renewed() -> None:
    """A session that was given cannot be renewed: one request, and the account is blocked."""
    simulator = Simulator(1000, api=APIRules(credentials="expired"))
    async with serving(simulator, session=session_with("AKIA", SECRET)) as transport:
        assert (await outcome_of(transport)).outcome is Outcome.ACCOUNT_BLOCKED
    assert simulator.counts.api_requests == 1


async def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials a sentence says where they may come from."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    async with serving(Simulator(1000)) as transport:
        with pytest.raises(ConfigurationError, match="AWS_ACCESS_KEY_ID"):
            await transport.send(message())


async def test_no_region() -> None:
    """Without a region a sentence says how to name one."""
    with pytest.raises(ConfigurationError, match="region"):
        await SESTransport().send(message())


async def test_region_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The region may come from the environment."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    async with serving(Simulator(1000), region=None) as transport:
        assert (await transport.send(message())).message_id


async def test_no_such_profile() -> None:
    """A profile that does not exist is named."""
    with pytest.raises(ConfigurationError, match="nobody"):
        await SESTransport("us-east-1", profile="nobody").send(message())


async def test_secret_is_not_in_a_traceback() -> None:
    """The traceback of a refusal, with the values of its frames, does not hold the secret key."""
    async with serving(refusing(403, "InvalidClientTokenId")) as transport:
        error = await outcome_of(transport)
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert SECRET not in shown + repr(transport)


# The quota.


async def test_quota() -> None:
    """The quota is what GetAccount tells."""
    async with serving(Simulator(14, max_24_hour_send=50_000)) as transport:
        await transport.send(message())
        assert await transport.quota() == SendQuota(50_000, 14, 1)


async def test_knows_quota() -> None:
    """The transport is one that knows the quota."""
    assert isinstance(SESTransport("us-east-1"), KnowsQuota)


async def test_quota_denied(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where GetAccount is not permitted the quota is None, and that is logged once with the permission's name."""
    monkeypatch.setattr(ses._transport, "GET_ACCOUNT_RATE", 100.0)
    simulator = Simulator(14, api=APIRules(get_account="denied", get_account_rate=100))
    async with serving(simulator) as transport:
        with caplog.at_level(logging.WARNING):
            assert await transport.quota() is None
            assert await transport.quota() is None
    assert len([record for record in caplog.records if "ses:GetAccount" in record.message]) == 1


async def test_quota_throttled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that is refused again and again is an error that the caller goes on without."""
    monkeypatch.setattr(ses._transport, "GET_ACCOUNT_RATE", 100.0)
    async with serving(Simulator(14, api=APIRules(get_account="throttled"))) as transport:
        with pytest.raises(TransportError) as caught:
            await transport.quota()
    assert caught.value.outcome is Outcome.THROTTLED


async def test_quota_is_asked_again_where_another_asked_in_the_same_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """GetAccount is allowed once a second to the whole account: SES Developer Guide, "Service quotas"."""
    monkeypatch.setattr(ses._transport, "GET_ACCOUNT_RATE", 100.0)
    throttle = Fault("account", reply=APIReply(429, "TooManyRequestsException", "Rate exceeded"), times=2)
    async with serving(Simulator(14, api=APIRules(get_account_rate=100), faults=[throttle])) as transport:
        assert await transport.quota() == SendQuota(-1, 14, 0)


async def test_quota_is_paced() -> None:
    """GetAccount is called at most once a second."""
    async with serving(Simulator(14, api=APIRules(get_account_rate=100))) as transport:
        await transport.quota()  # the first question takes long, and is no measure
        begin = asyncio.get_running_loop().time()
        await transport.quota()
        await transport.quota()
        assert asyncio.get_running_loop().time() - begin >= 0.9


# Options and URLs.


def test_url() -> None:
    """A URL names the region, and options."""
    transport: Any = transport_from_url(
        "ses://eu-west-1?configuration_set=news&tenant=t&tags=a=1,b=2&profile=p&max_connections=7&timeout=9"
        "&endpoint_id=ab.cd&endpoint_url=https%3A%2F%2Fexample.org"
    )
    assert (transport.region, transport.profile, transport.configuration_set) == ("eu-west-1", "p", "news")
    assert (transport.tenant, transport.tags, transport.endpoint_id) == ("t", {"a": "1", "b": "2"}, "ab.cd")
    assert (transport.max_connections, transport.timeout) == (7, 9.0)
    assert transport.endpoint_url == "https://example.org"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ses://eu-west-1?colour=red", "colour"),
        ("ses://key:secret@eu-west-1", "credentials"),
        ("ses://eu_west", "region"),
        ("ses://eu-west-1?configuration_set=a b", "configuration_set"),
        ("ses://eu-west-1?tags=a=b c", "tag"),
        ("ses://eu-west-1?endpoint_url=http://example.org", "https"),
        ("ses://eu-west-1?endpoint_url=ftp://example.org", "https"),
        ("ses://eu-west-1?max_connections=0", "max_connections"),
        ("ses://eu-west-1?max_connections=2.5", "whole number"),
    ],
)
def test_wrong_url(url: str, words: str) -> None:
    """A wrong option is named in a sentence that never holds a secret."""
    with pytest.raises(ConfigurationError, match=re.escape(words)) as caught:
        transport_from_url(url)
    assert "secret" not in str(caught.value)


# The embedded simulator.


@pytest.mark.parametrize("door", ["smtp", "api"])
async def test_embedded_simulator(door: str) -> None:
    """A sim URL sends through the real transport to a simulator of its own."""
    transport: Any = transport_from_url(f"sim://?rate=0.1&depth=0.1&door={door}&daily=100")
    async with contextlib.aclosing(transport):
        assert (await transport.send(message())).message_id
        assert (await outcome_of(transport)).outcome is Outcome.THROTTLED


async def test_embedded_quota() -> None:
    """The simulator's API door tells the quota, its SMTP door does not."""
    api: Any = transport_from_url("sim://?rate=14&door=api")
    smtp: Any = transport_from_url("sim://?rate=14")
    assert (await api.quota()).max_send_rate == 14
    assert await smtp.quota() is None
    await api.aclose()
    await smtp.aclose()


@pytest.mark.parametrize("url", ["sim://?door=window", "sim://?rate=0", "sim://?rate=x", "sim://?colour=red"])
def test_wrong_sim_url(url: str) -> None:
    """A wrong option of a sim URL is a configuration error."""
    with pytest.raises(ConfigurationError):
        transport_from_url(url)
