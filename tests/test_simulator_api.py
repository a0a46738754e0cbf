"""The simulator's API door, as the SDK of AWS and as bytes see it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from seslimit.testing import (
    APIReply,
    APIRules,
    Fault,
    Schedule,
    Simulator,
)
from tests.simulator_clients import (
    ACCOUNT,
    CONTENT,
    FAST,
    FEW,
    MESSAGE_ID,
    SEND,
    api,
    error,
    mail,
    post,
    raw,
    request,
    status,
    told,
)

pytestmark = pytest.mark.once


async def test_send_email_as_the_sdk_sees_it() -> None:
    """A message id of the service's form, and the message in the ledger."""
    async with Simulator(FAST, keep_content=True) as simulator, api(simulator) as client:
        message_id = await post(client, "a@example.com", "b@example.com")
        assert MESSAGE_ID.fullmatch(message_id)
        (message,) = simulator.accepted
        assert (message.message_id, message.door, message.mail_from) == (message_id, "api", "sender@example.org")
        assert (message.recipients, message.content) == (("a@example.com", "b@example.com"), CONTENT.encode())


async def test_recipients_of_every_kind() -> None:
    """To, Cc and Bcc count alike."""
    destination = {"ToAddresses": ["a@x.org"], "CcAddresses": ["b@x.org"], "BccAddresses": ["c@x.org"]}
    async with Simulator(FAST) as simulator, api(simulator) as client:
        await client.send_email(Destination=destination, Content={"Raw": {"Data": CONTENT.encode()}})
        (message,) = simulator.accepted
        assert (message.recipients, message.mail_from) == (("a@x.org", "b@x.org", "c@x.org"), "sender@example.org")


async def test_fifty_recipients_are_not_too_many() -> None:
    """By the API as by SMTP."""
    async with Simulator(FAST) as simulator:
        assert status(await request(simulator, body=raw(*(f"r{n}@x.org" for n in range(50))))) == 200
        assert simulator.counts.recipients == 50


async def test_recipients_from_the_headers() -> None:
    """Without a destination, those that the message names."""
    content = "From: s@example.org\r\nTo: A <a@x.org>, b@x.org\r\nBcc: c@x.org\r\n\r\nHello\r\n"
    async with Simulator(FAST) as simulator:
        assert status(await request(simulator, body=raw(content=content))) == 200
        assert simulator.accepted[0].recipients == ("a@x.org", "b@x.org", "c@x.org")


async def test_errors_as_the_sdk_parses_them() -> None:
    """The rate and the day are one exception with two messages."""
    quota: dict[str, Any] = {"max_24_hour_send": 1, "depth": 3 / FEW}
    async with Simulator(FEW) as simulator, api(simulator) as client:
        await post(client)
        assert await error(post(client)) == (429, "TooManyRequestsException", "Maximum sending rate exceeded.")
    async with Simulator(FEW, **quota) as simulator, api(simulator) as client:
        await post(client)
        assert await error(post(client)) == (429, "TooManyRequestsException", "Daily message quota exceeded.")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "MessageRejected"),
        (400, "AccountSuspendedException"),
        (400, "SendingPausedException"),
        (400, "MailFromDomainNotVerifiedException"),
        (404, "NotFoundException"),
        (500, "InternalServiceErrorException"),
    ],
)
async def test_errors_on_command(status: int, code: str) -> None:
    """Every error of the service's model arrives in the SDK with its code and its message."""
    faults = [Fault("send", reply=APIReply(status, code, "So it is."))]
    async with Simulator(FAST, faults=faults) as simulator, api(simulator) as client:
        assert await error(post(client)) == (status, code, "So it is.")


@pytest.mark.parametrize(
    ("credentials", "code"), [("unknown", "UnrecognizedClientException"), ("expired", "ExpiredTokenException")]
)
async def test_credentials_of_the_api(credentials: Any, code: str) -> None:
    """Refused signatures, for both operations."""
    async with Simulator(FAST, api=APIRules(credentials=credentials)) as simulator, api(simulator) as client:
        assert (await error(post(client)))[:2] == (403, code)
        assert (await error(client.get_account()))[:2] == (403, code)


def destined(addresses: Any) -> bytes:
    """A request whose list of recipients is something else."""
    return json.dumps({"Destination": {"ToAddresses": addresses}, "Content": {"Raw": {"Data": ""}}}).encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "The simulator takes JSON"),
        (b"[]", "The simulator takes JSON"),
        (b'{"Content": {"Simple": {}}}', "The simulator takes JSON"),
        (b'{"Content": {"Raw": {"Data": "###"}}}', "The simulator takes JSON"),
        (b'{"Content": {"Raw": {"Data": ""}}, "Destination": "a@x.org"}', "The simulator takes JSON"),
        *((destined(addresses), "The simulator takes JSON") for addresses in (5, "a@x.org", [5], {"a": "b"}, True)),
        (b'{"Content": {"Raw": {"Data": ""}}, "FromEmailAddress": 5}', "The simulator takes JSON"),
        (b"[" * 100_000, "The simulator takes JSON"),
        (raw(content="Subject: to nobody\r\n\r\n"), "Missing required destination."),
        (raw("postmaster"), "Missing final '@domain'"),
        (raw(*(f"r{n}@x.org" for n in range(51))), "Recipient count exceeds 50."),
        (raw("a@x.org", content="x" * 101), "Message length"),
    ],
)
async def test_requests_that_make_no_sense(body: bytes, words: str) -> None:
    """400 BadRequestException, and nothing is charged."""
    async with Simulator(FAST, api=APIRules(max_size=100)) as simulator:
        answer = await request(simulator, body=body)
        assert status(answer) == 400
        assert b"x-amzn-ErrorType: BadRequestException\r\n" in answer
        assert told(answer)["message"].startswith(words)
        assert (simulator.counts.accepted, simulator.counts.invalid) == (0, 1)


@pytest.mark.parametrize("head", [b"Content-Length: 999999999", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("path", [SEND, "/v2/email/unheard-of"])
async def test_a_request_that_is_too_long(head: bytes, path: str) -> None:
    """It is not read to its end: the answer comes before, and nothing of it is kept."""
    chunk = b"%x\r\n%s\r\n" % (2**20, b"x" * 2**20) if head.startswith(b"Transfer") else b"x" * 2**20
    async with Simulator(FAST, api=APIRules(max_size=100)) as simulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.api_port)
        writer.write(b"POST %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n" % (path.encode(), head))
        for _ in range(4):
            writer.write(chunk)
        async with asyncio.timeout(120):
            answer = await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
        assert status(answer) == (413 if path == SEND else 404)
        assert simulator.counts.invalid == (path == SEND)


async def test_a_request_as_long_as_it_may_be() -> None:
    """A message of the greatest size goes through with all that may be beside it; a byte more does not."""
    async with Simulator(FAST, api=APIRules(max_size=3_000), strict=False) as simulator:
        beside = [f"{'r' * 200}{number}@example.org" for number in range(50)]
        assert status(await request(simulator, body=raw(*beside, content="x" * 3_000))) == 200
        answer = await request(simulator, body=raw(content="x" * 3_001))
        assert told(answer)["message"] == "Message length is more than 3000 bytes long: '3001'."


async def asked_to_go_on(simulator: Simulator, length: int) -> tuple[bytes, asyncio.StreamWriter, asyncio.StreamReader]:
    """What is answered to a client that waits before it sends its content, as curl does above a kilobyte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.api_port)
    head = f"POST {SEND} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    writer.write(head.encode())
    async with asyncio.timeout(120):
        return await reader.readuntil(b"\r\n\r\n"), writer, reader


async def test_a_client_that_waits_to_be_told_is_told_at_once() -> None:
    """100 Continue, and then the answer (RFC 9110, 10.1.1); without it curl waits a second."""
    content = raw("reader@example.com")
    async with Simulator(FAST) as simulator:
        answer, writer, reader = await asked_to_go_on(simulator, len(content))
        assert answer == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(content)
        assert status(await reader.readuntil(b"\r\n\r\n")) == 200
        writer.transport.abort()


async def test_a_client_that_waits_with_too_much_is_refused_at_once() -> None:
    """It need not send what will not be read."""
    async with Simulator(FAST, api=APIRules(max_size=100)) as simulator:
        answer, writer, _ = await asked_to_go_on(simulator, 999_999_999)
        assert status(answer) == 413
        writer.transport.abort()


async def test_a_large_message() -> None:
    """Ten megabytes go through either door."""
    content = CONTENT + ("x" * 76 + "\r\n") * 128_000
    async with Simulator(FAST) as simulator:
        assert status(await request(simulator, body=raw("a@x.org", content=content))) == 200
        assert (await mail(simulator, "a@x.org", content=content)).startswith("250 Ok ")
        assert [message.size for message in simulator.accepted] == [len(content)] * 2


async def test_get_account_as_the_sdk_sees_it() -> None:
    """The three figures of the quota and the state of the account."""
    async with Simulator(14, max_24_hour_send=50_000, sent_last_24_hours=7) as simulator, api(simulator) as client:
        await post(client, "a@x.org", "b@x.org")
        account = await client.get_account()
        assert account["SendQuota"] == {"Max24HourSend": 50_000.0, "MaxSendRate": 14.0, "SentLast24Hours": 9.0}
        assert (account["SendingEnabled"], account["ProductionAccessEnabled"]) == (True, True)
        assert account["EnforcementStatus"] == "HEALTHY"


async def test_what_was_sent_before_is_told_from_the_start() -> None:
    """Before the first message too."""
    async with Simulator(14, sent_last_24_hours=7) as simulator:
        assert told(await request(simulator, ACCOUNT))["SendQuota"]["SentLast24Hours"] == 7


async def test_get_account_tells_what_it_is_told() -> None:
    """Every figure that can be made to differ from the truth."""
    rules = APIRules(
        max_send_rate=20, sending_enabled=False, production_access_enabled=False, enforcement_status="PROBATION"
    )
    async with Simulator(14, api=rules) as simulator:
        account = told(await request(simulator, ACCOUNT))
        assert account["SendQuota"]["MaxSendRate"] == 20
        assert (account["SendingEnabled"], account["ProductionAccessEnabled"]) == (False, False)
        assert account["EnforcementStatus"] == "PROBATION"


async def test_get_account_follows_the_schedule() -> None:
    """MaxSendRate is the rate in force."""
    rules = APIRules(get_account_rate=100)
    async with Simulator(Schedule(((0, 100), (0.15, 50))), api=rules) as simulator:
        await request(simulator)
        assert told(await request(simulator, ACCOUNT))["SendQuota"]["MaxSendRate"] == 100
        await asyncio.sleep(0.16)
        assert told(await request(simulator, ACCOUNT))["SendQuota"]["MaxSendRate"] == 50


async def test_get_account_has_its_own_limit() -> None:
    """One a second is answered; the next is told so; sending is not touched."""
    async with Simulator(FAST) as simulator, api(simulator) as client:
        await client.get_account()
        assert await error(client.get_account()) == (429, "TooManyRequestsException", "Rate exceeded")
        await post(client)


@pytest.mark.parametrize("rate", [0.5, 10])
async def test_get_accounts_limit_is_a_knob(rate: float) -> None:
    """So many requests/s: a burst of one second's worth, and the next when its time has come."""
    async with Simulator(FAST, api=APIRules(get_account_rate=rate)) as simulator:
        answers = [status(await request(simulator, ACCOUNT)) for _ in range(int(rate) + 4)]
        assert answers[: max(1, int(rate))] == [200] * max(1, int(rate))
        assert 429 in answers
        await asyncio.sleep(0.15)
        assert status(await request(simulator, ACCOUNT)) == (200 if rate > 1 else 429)


@pytest.mark.parametrize(
    ("rule", "expected"), [("denied", (403, "AccessDeniedException")), ("throttled", (429, "TooManyRequestsException"))]
)
async def test_get_account_may_be_refused(rule: Any, expected: tuple[int, str]) -> None:
    """Denied by policy, or throttled by somebody else's requests."""
    async with Simulator(FAST, api=APIRules(get_account=rule)) as simulator, api(simulator) as client:
        assert (await error(client.get_account()))[:2] == expected


async def test_sent_last_24_hours_lags() -> None:
    """The figure is as old as the rule allows."""
    rules = APIRules(sent_lag=0.15, get_account_rate=100)
    async with Simulator(FAST, api=rules) as simulator:
        told_before = told(await request(simulator, ACCOUNT))
        await request(simulator)
        told_at_once = told(await request(simulator, ACCOUNT))
        await asyncio.sleep(0.16)
        told_later = told(await request(simulator, ACCOUNT))
        answers = (told_before, told_at_once, told_later)
        assert [answer["SendQuota"]["SentLast24Hours"] for answer in answers] == [0, 0, 1]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_unknown_operations(method: str) -> None:
    """The simulator says which two it has."""
    async with Simulator(FAST) as simulator:
        answer = await request(simulator, "/v2/email/identities", method=method)
        assert status(answer) == 404
        assert told(answer)["message"].startswith("The simulator has SendEmail, SendBulkEmail, ")


async def ended_after(simulator: Simulator, requests: int = 0) -> tuple[float, list[bytes]]:
    """Seconds until the door ends a connection after so many requests, and the heads of their answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.api_port)
    try:
        heads = []
        for _ in range(requests):
            writer.write(b"GET /v2/email/account HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            heads.append(head)
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(length.split(b":")[1]))
        begun = asyncio.get_running_loop().time()
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        return asyncio.get_running_loop().time() - begun, heads
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("requests", [0, 2])
async def test_an_idle_connection_is_closed(requests: int) -> None:
    """After the idle time, before the first request and behind one, without a word."""
    async with Simulator(FAST, api=APIRules(idle_timeout=0.3)) as simulator:
        seconds, _ = await ended_after(simulator, requests)
    assert seconds == pytest.approx(0.3, abs=0.2)


async def test_a_connection_has_so_many_requests() -> None:
    """The last answer says that it is (RFC 9112, 9.6), whatever it says besides, and a new connection begins anew."""
    async with Simulator(FAST, api=APIRules(session_cap=3)) as simulator:
        for _ in range(2):
            _, heads = await ended_after(simulator, 3)
            assert [b"connection: close" in head.lower() for head in heads] == [False, False, True]


async def test_one_connection_more_than_there_may_be_is_closed() -> None:
    """At once and without a word; who is turned away keeps nobody out, and who leaves makes room."""
    async with Simulator(FAST, api=APIRules(max_connections=1)) as simulator:
        _, writer = await asyncio.open_connection("127.0.0.1", simulator.api_port)
        for _ in range(2):
            assert await request(simulator) == b""
        writer.transport.abort()
        answers = [await request(simulator) for _ in range(20)]
        assert status(answers[-1]) == 200
