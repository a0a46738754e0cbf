"""Whatever a message holds, one message arrives and it is the one that was meant; what cannot be is refused."""

from __future__ import annotations

import asyncio
import email
import email.policy
import random
import re
import time
from collections.abc import Iterable
from email.message import EmailMessage
from typing import Any

import pytest

from seslimit import ConfigurationError, InvalidMessage, Message, Outcome, TransportError
from seslimit.transports import Transport, transport_from_url
from seslimit.transports._content import prepared
from seslimit.transports.ses import SESTransport
from seslimit.transports.smtp import SMTPTransport
from tests.faults.fault_matrix import session
from tests.faults.simulator_process import simulated
from tests.scripted_server import Accepted, APIServer, Server, SMTPServer

HEAD = b"From: a@example.org\r\nSubject: x\r\n\r\n"
SECOND = b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nSubject: evil\r\n\r\nevil\r\n.\r\n"

# Ends of data that some server, somewhere, takes for one: SMTP smuggling, CVE-2023-51764, -51765, -51766 and kin.
ENDS = (
    b"\r\n.\r\n", b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r.\n", b"\n.\r", b"\n\n.\n\n",
    b"\r\r.\r\r", b"\r\n\r.\r\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n", b"\n\r.\n\r", b"\n.\r\r\n", b"\r\n..\r\n",
    b"\r\n...\r\n", b"\r\n.\t\r\n", b"\r\n. \r\n", b"\r\n\xe2\x80\xa8.\r\n", b"\r\n\x85.\r\n",
    b"\r\n\x0b.\r\n", b"\r\n\x0c.\r\n",
    b"\r\n.\r\n.\r\n", b"\n.\n.\n", b"\r\n.QUIT\r\n", b"\r\nQUIT\r\n", b"\r\n.\r\nRSET\r\n", b"\r\nBDAT 5 LAST\r\n",
)  # fmt: skip
TOKENS = (
    b"\r", b"\n", b".", b"\r\n", b"\n.", b"\r.", b"\r\n.", b"..", b"a", b" ", b"\xff", b"\xe2\x80\xa8", b"\x85",
    b"\x0b", b"QUIT", b"DATA", b"RSET", b"MAIL FROM:<x@example.org>", b"250 Ok", b"354", b"x" * 70, b"=", b"\x7f",
)  # fmt: skip


def meant(content: bytes) -> bytes:
    """What must arrive: every line end is CRLF."""
    return re.sub(rb"\r\n|\r|\n", b"\r\n", content)


def ended(content: bytes) -> bytes:
    """The same with a line end at its end, as SMTP needs it."""
    return content if content.endswith(b"\r\n") else content + b"\r\n"


def bodies(count: int) -> list[bytes]:
    """Random bodies, the same every time."""
    chance = random.Random(16)
    return [b"".join(chance.choices(TOKENS, k=chance.randrange(40))) for _ in range(count)]


async def arriving(server: Server, transport: Transport, contents: list[bytes]) -> list[Accepted]:
    """What the service has after sending them one after another."""
    for number, content in enumerate(contents):
        await transport.send(Message(f"m{number}@example.org", ["reader@example.com"], content))
    await transport.aclose()
    return server.accepted


async def arriving_smtp(contents: list[bytes]) -> list[Accepted]:
    """What arrives over SMTP; nothing on the wire is an end of data to any server but the last line."""
    server = SMTPServer()
    async with server.running():
        options: dict[str, Any] = {"tls": "none", "max_messages_per_connection": 1000}
        accepted = await arriving(server, SMTPTransport("127.0.0.1", server.port, **options), contents)
    for raw in server.raw:
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)", raw)
        assert not re.search(rb"(?:^|\r\n)\.\r\n", raw)
    assert server.nested == 0
    return accepted


async def arriving_api(contents: list[bytes]) -> list[Accepted]:
    """What arrives over the API."""
    server = APIServer()
    async with server.running():
        url = f"http://127.0.0.1:{server.port}"
        return await arriving(server, SESTransport("us-east-1", endpoint_url=url, session=session()), contents)


def expected(contents: list[bytes], end: bool) -> list[Accepted]:
    """What must have arrived."""
    wanted = [ended(meant(content)) if end else meant(content) for content in contents]
    return [
        Accepted(f"m{number}@example.org", ("reader@example.com",), content) for number, content in enumerate(wanted)
    ]


SMUGGLED = [HEAD + b"hello" + end + SECOND for end in ENDS]


def test_thirty_payloads() -> None:
    """There are thirty ways to end the data early."""
    assert len(set(ENDS)) == 30


async def test_smuggling_over_smtp() -> None:
    """No payload becomes a second message."""
    assert await arriving_smtp(SMUGGLED) == expected(SMUGGLED, end=True)


async def test_smuggling_over_the_api() -> None:
    """No payload is changed beyond its line ends."""
    assert await arriving_api(SMUGGLED) == expected(SMUGGLED, end=False)


@pytest.mark.parametrize("start", range(0, 10_000, 2_500))
async def test_random_bodies_over_smtp(start: int) -> None:
    """Each of 10,000 random bodies arrives as exactly one message with its content."""
    contents = bodies(10_000)[start : start + 2_500]
    assert await arriving_smtp(contents) == expected(contents, end=True)


async def test_random_bodies_over_the_api() -> None:
    """Each of 300 random bodies arrives as exactly one message with its content."""
    contents = bodies(300)
    assert await arriving_api(contents) == expected(contents, end=False)


@pytest.mark.parametrize("payload", [b"\0", b"a\0b", HEAD + b"\r\n\0.\r\n"])
def test_nul_is_refused(payload: bytes) -> None:
    """No content with a NUL byte becomes a message."""
    with pytest.raises(InvalidMessage, match="NUL"):
        Message("a@example.org", ["b@example.com"], payload)


# Addresses, headers and labels.

CONTROLS = ("\r", "\n", "\0", "\r\n", "\x0b", "\x85", "\u2028")
INJECTED = "x@example.org>{}RCPT TO:<victim@example.org"


@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
@pytest.mark.parametrize(
    "form", [INJECTED, "x{}y@example.org", "x@example.org{}", "{}x@example.org", '"a{}b"@example.org']
)
def test_control_in_an_address(form: str, control: str) -> None:
    """An address with a line end, a NUL or their like is refused on both sides of the envelope."""
    address = form.format(control)
    with pytest.raises(InvalidMessage):
        Message(address, ["b@example.com"], HEAD)
    with pytest.raises(InvalidMessage):
        Message("a@example.org", [address], HEAD)


@pytest.mark.parametrize("control", ["\r", "\n", "\0", "\r\n"], ids=ascii)
@pytest.mark.parametrize("name", ["Subject", "X-Any", "To"])
def test_control_in_a_header(name: str, control: str) -> None:
    """A header whose value would become another header, or holds a NUL, is refused."""
    content = EmailMessage()
    content._headers.append((name, f"x{control}Bcc: victim@example.org"))  # type: ignore[attr-defined] # past its checks
    with pytest.raises(InvalidMessage):
        Message("a@example.org", ["b@example.com"], content)


@pytest.mark.parametrize("control", [*CONTROLS, "\r\n ", " ", ":"], ids=ascii)
@pytest.mark.parametrize("door", [SMTPTransport, SESTransport])
@pytest.mark.parametrize("label", ["configuration_set", "tenant", "tag", "tag value"])
def test_control_in_a_label(label: str, door: Any, control: str) -> None:
    """A configuration set, tenant or tag that could break out of its header line is refused on both doors."""
    text = f"x{control}Bcc"
    labels = {"tag": {"tags": {text: "v"}}, "tag value": {"tags": {"n": text}}}.get(label, {label: text})
    with pytest.raises(ConfigurationError):
        door("eu-west-1", **labels)


# Large content.


def large_email() -> EmailMessage:
    """Ten megabytes as an object with an attachment."""
    content = EmailMessage()
    content["From"], content["Subject"] = "a@example.org", "x"
    content.set_content("see the attachment")
    content.add_attachment(random.Random(1).randbytes(7_300_000), maintype="application", subtype="octet-stream")
    return content


async def held_up(transport: Transport, content: bytes | EmailMessage) -> tuple[float, float]:
    """
    The longest time, in seconds, that sending held up the loop: computed by all threads, and by the loop's own.

    A thread that keeps the interpreter's lock computes; a process that waits for a processor does not.
    """
    sending = asyncio.create_task(transport.send(Message("a@example.org", ["b@example.com"], content)))
    waited, computed = 0.0, 0.0
    process, thread = time.process_time(), time.thread_time()
    while not sending.done():
        await asyncio.sleep(0)
        waited, process = max(waited, time.process_time() - process), time.process_time()
        computed, thread = max(computed, time.thread_time() - thread), time.thread_time()
    assert sending.result().message_id
    return waited, computed


async def least_held_up(door: str, contents: Iterable[bytes | EmailMessage]) -> tuple[float, float]:
    """The same for several, the least of each: what a busy machine adds is not ours."""
    # The simulator's own work on ten megabytes would be counted too, were it in this process.
    with simulated(rate=1000, ledger_limit=0) as service:
        transport: Transport
        if door == "smtp":
            transport = transport_from_url(service.smtp_url)
        else:
            transport = SESTransport("us-east-1", endpoint_url=service.api_url, session=session())
        await transport.send(Message("a@example.org", ["b@example.com"], HEAD))
        found = [await held_up(transport, content) for content in contents]
        await transport.aclose()
    return min(waited for waited, _ in found), min(computed for _, computed in found)


@pytest.mark.parametrize("door", ["smtp", "api"])
async def test_large_bytes_leave_the_loop_free(door: str) -> None:
    """Sending ten megabytes of bytes never holds up the loop for 50 ms, in the best of five on a busy machine."""
    content = HEAD + b".123456789abcdef\r\n" * 550_000
    waited, computed = await least_held_up(door, [content] * 5)
    assert waited < 0.05
    assert computed < 0.01


@pytest.mark.parametrize("door", ["smtp", "api"])
async def test_a_large_object_leaves_the_loop_free(door: str) -> None:
    """Neither do ten megabytes as an object, which are serialised first."""
    waited, computed = await least_held_up(door, [large_email() for _ in range(5)])
    assert waited < 0.05
    assert computed < 0.01


async def test_a_content_that_cannot_be_serialised_is_a_permanent_failure() -> None:
    """Comments in one another by the thousand, for which the email package recurses, end one message and no run."""
    raw = b"From: a@example.org\r\nReply-To: " + b"(" * 5000 + b"\r\n\r\nx\r\n"
    message = Message("a@example.org", ["b@example.com"], email.message_from_bytes(raw, policy=email.policy.default))
    with pytest.raises(TransportError, match="cannot be serialised") as refusal:
        await prepared(message, lambda content: content)
    assert refusal.value.outcome is Outcome.PERMANENT
