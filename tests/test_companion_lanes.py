"""Lanes of the companions: transactional mail does not wait behind a campaign."""

from __future__ import annotations

import asyncio
import base64
import time

import pytest

from seslimit import Limiter
from seslimit.companion.listmonk import ListmonkMessenger, ListmonkOptions
from seslimit.companion.relay._lane import unlabelled
from tests.listmonk_double import Postback, as_go, subscribers, transactional_payload
from tests.relaying import CONTENT, Service, client_of, options, relay_to

LABEL = b"X-Seslimit-Lane: transactional\r\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (CONTENT, (CONTENT, None)),
        (LABEL + CONTENT, (CONTENT, "transactional")),
        (b"A: b\r\nx-SESLIMIT-lane:\r\n urgent \r\nB: c\r\n\r\nHi", (b"A: b\r\nB: c\r\n\r\nHi", "urgent")),
        (LABEL + LABEL + b"A: b\r\n\r\n", (b"A: b\r\n\r\n", "transactional")),
        (CONTENT + LABEL, (CONTENT + LABEL, None)),
        (b"Subject: X-Seslimit-Lane: a\r\n\r\n", (b"Subject: X-Seslimit-Lane: a\r\n\r\n", None)),
        (LABEL, (b"", "transactional")),
        (b"", (b"", None)),
    ],
)
def test_the_label_is_taken_out_of_the_headers(content: bytes, expected: tuple[bytes, str | None]) -> None:
    """And of nothing else: everything but that field goes through byte for byte."""
    assert unlabelled(content) == expected


def test_a_label_is_read_in_linear_time() -> None:
    """Whatever comes in front of it."""
    for filler in (b"X-Seslimit-Lane:" + b"\r\n " * 100_000, b"x-seslimit-lane:x\r" * 50_000):
        began = time.perf_counter()
        unlabelled(filler)
        assert time.perf_counter() - began < 2.0


async def _behind_a_campaign(**given: str) -> list[str]:
    """Subjects in the order in which they were sent: six messages of a campaign were there before the urgent one."""
    service = Service()
    service.gate.clear()
    login = {"user": "somebody", "password": "s3kr1t"}
    async with relay_to(service, rate=20.0, max_pending=20, **login) as relay:  # type: ignore[arg-type]
        tasks = []
        for number in range(6):
            tasks.append(asyncio.create_task(_one(relay.port, "somebody", f"campaign {number}", "")))
            await asyncio.sleep(0.01)
        await service.begun.wait()
        user, lane = given.get("user", "somebody"), given.get("lane", "")
        tasks.append(asyncio.create_task(_one(relay.port, user, "urgent", lane)))
        await asyncio.sleep(0.02)
        service.gate.set()
        await asyncio.gather(*tasks)
    assert not any(b"Lane" in message.as_bytes() for message in service.accepted)
    return [message.as_bytes().split(b"Subject: ")[1].split(b"\r\n")[0].decode() for message in service.accepted]


async def _one(port: int, user: str, subject: str, lane: str) -> None:
    async with client_of(port) as client:
        login = base64.b64encode(f"\0{user}\0s3kr1t".encode()).decode()
        assert (await client.say(f"AUTH PLAIN {login}")).startswith("235")
        label = f"X-Seslimit-Lane: {lane}\r\n" if lane else ""
        content = f"From: a@example.org\r\n{label}Subject: {subject}\r\n\r\nHi!\r\n"
        assert (await client.send(content.encode())).startswith("250")


@pytest.mark.parametrize(
    "given", [{"lane": "transactional"}, {"user": "somebody+transactional"}], ids=["header", "login"]
)
async def test_an_urgent_message_goes_before_a_campaign(given: dict[str, str]) -> None:
    """By its header, which does not reach SES, or by its login."""
    sent = await _behind_a_campaign(**given)
    assert sent.index("urgent") <= 2


async def test_without_a_lane_it_waits_its_turn() -> None:
    """As everybody does; a lane that is not there is none."""
    assert (await _behind_a_campaign(lane="nowhere"))[-1] == "urgent"


async def test_a_login_with_a_lane_that_is_not_there_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the login of somebody else."""
    monkeypatch.setattr("seslimit.companion._logins.WAIT", 0.01)
    async with relay_to(Service(), user="somebody", password="s3kr1t") as relay, client_of(relay.port) as client:
        login = base64.b64encode(b"\0somebody+nowhere\0s3kr1t").decode()
        assert (await client.say(f"AUTH PLAIN {login}")).startswith("535")


async def test_what_belongs_to_no_campaign_goes_first_at_the_messenger() -> None:
    """A password that somebody waits for does not wait for a newsletter."""
    service = Service()
    service.gate.clear()
    set_up = ListmonkOptions(listen="127.0.0.1:0", root_url="https://lists.example.net")
    async with ListmonkMessenger(service, set_up, limiter=Limiter(20.0, max_rate=20.0)) as messenger:
        client = Postback("127.0.0.1", messenger.port, timeout=60.0)
        tasks = []
        for subscriber in subscribers(6):
            tasks.append(asyncio.create_task(client.push(subscriber)))
            await asyncio.sleep(0.01)
        await service.begun.wait()
        (urgent,) = subscribers(1, first=100)
        tasks.append(asyncio.create_task(client.post(as_go(transactional_payload(urgent)))))
        await asyncio.sleep(0.05)
        service.gate.set()
        await asyncio.gather(*tasks)
        await client.aclose()
    assert service.recipients.index(urgent.email) <= 2


async def test_urgent_messages_are_admitted_at_once_beside_a_campaign() -> None:
    """A campaign saturates 50/s over ten connections; of the urgent ones beside it, 99 % are let through in 0.1 s."""
    service = Service()
    async with relay_to(service, rate=50.0) as relay:
        running = True

        async def campaign() -> None:
            async with client_of(relay.port) as client:
                while running:
                    await client.send()

        workers = [asyncio.create_task(campaign()) for _ in range(10)]
        await asyncio.sleep(0.3)
        waits = []
        async with client_of(relay.port) as client:
            for _ in range(30):
                began = asyncio.get_running_loop().time()
                assert (await client.send(LABEL + CONTENT)).startswith("250")
                waits.append(asyncio.get_running_loop().time() - began)
                await asyncio.sleep(0.02)
        running = False
        await asyncio.gather(*workers)
    assert sorted(waits)[-2] < 0.15


def test_a_lane_has_a_priority_that_is_a_number() -> None:
    """One sentence."""
    assert options(lanes={"urgent": 5.0}).lanes == {"urgent": 5.0}
