"""Lanes of the companions: transactional mail does not wait behind a campaign."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest

from seslimit import ConfigurationError, Limiter
from seslimit.companion.listmonk import ListmonkMessenger, ListmonkOptions
from seslimit.companion.relay import Relay
from seslimit.companion.relay._lane import unlabelled
from seslimit.testing import Simulator
from tests.companion_process import companion
from tests.listmonk_double import Postback, as_go, subscribers, transactional_payload
from tests.relaying import CONTENT, Service, client_of, login_of, options, relay_to, until

pytestmark = pytest.mark.once

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
        began = time.process_time()
        unlabelled(filler)
        assert time.process_time() - began < 2.0


async def _behind_a_campaign(**given: str) -> list[str]:
    """Subjects in the order in which they were sent: six messages of a campaign were there before the urgent one."""
    service = Service(held=True)
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
        assert (await client.say(login_of(user, "s3kr1t"))).startswith("235")
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


async def test_what_comes_in_by_the_port_of_a_lane_is_in_it() -> None:
    """A program that can set nothing but host and port; one that names another lane is in that one."""
    service = Service(held=True)
    ports = {"transactional": "127.0.0.1:0", "slow": "127.0.0.1:0"}
    lanes = {"transactional": 1.0, "slow": -1.0}
    async with relay_to(service, rate=20.0, max_pending=20, lanes=lanes, lane_listen=ports) as relay:
        plain, transactional, slow = relay.ports
        assert relay.port == plain

        async def one(port: int, subject: str, label: bytes = b"") -> None:
            async with client_of(port) as client:
                content = b"From: a@example.org\r\n" + label + f"Subject: {subject}\r\n\r\nHi!\r\n".encode()
                assert (await client.send(content)).startswith("250")

        tasks = [asyncio.create_task(one(slow, "slow")), asyncio.create_task(one(slow, "named", LABEL))]
        tasks += [asyncio.create_task(one(plain, f"plain {number}")) for number in range(4)]
        await until(lambda: relay.held == 6)
        tasks.append(asyncio.create_task(one(transactional, "urgent")))
        await until(lambda: relay.held == 7)
        service.gate.set()
        await asyncio.gather(*tasks)
    sent = [message.as_bytes().split(b"Subject: ")[1].split(b"\r\n")[0].decode() for message in service.accepted]
    assert max(sent.index("urgent"), sent.index("named")) <= 3
    # What had its turn before there was anybody else may have gone first.
    assert sent.index("slow") in (0, 6)


def test_a_port_needs_a_lane_that_is_there() -> None:
    """A typo would leave what is urgent behind everything else."""
    with pytest.raises(ConfigurationError, match=r"no lane 'urgent' for 127\.0\.0\.1:2588: give --lane urgent"):
        options(lane_listen={"urgent": "127.0.0.1:2588"})


def test_a_port_that_others_can_reach_needs_what_the_relay_needs() -> None:
    """A certificate and a login, whichever of them it is."""
    with pytest.raises(ConfigurationError, match=r"^0\.0\.0\.0:2588 can be reached from other machines"):
        options(lane_listen={"transactional": "0.0.0.0:2588"})


async def test_where_a_port_of_a_lane_is_taken_nothing_is_listened_on() -> None:
    """Half a relay would be worse than none."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        relay = Relay(Service(), options(lane_listen={"transactional": listen}))
        with pytest.raises(ConfigurationError, match="cannot be listened on"):
            await relay.open()
        assert not relay.listening


async def test_sockets_that_are_handed_over_are_told_apart_by_their_order() -> None:
    """As systemd hands them over (sd_listen_fds(3)); what is left over is closed, and what is missing is opened."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        ports = [each.getsockname()[1] for each in sockets]
        copies = [each.dup() for each in sockets]
        relay = Relay(Service(), options(lane_listen={"transactional": "127.0.0.1:0"}))
        await relay.open(copies)
        assert relay.ports == ports[:2]
        assert copies[2].fileno() == -1
        await relay.aclose()
        relay = Relay(Service(), options(lane_listen={"transactional": "127.0.0.1:0"}))
        await relay.open([sockets[0].dup()])
        assert relay.port == ports[0]
        assert relay.ports[1] not in ports
        await relay.aclose()


async def test_the_command_tells_the_port_of_each_lane() -> None:
    """In JSON and in words; a message by that port is in the lane, which leaves no trace in it."""
    async with Simulator(rate=100) as simulator:
        async with companion(
            "relay", simulator.smtp_url, "--lane", "urgent", "2", "--lane-listen", "urgent", "127.0.0.1:0"
        ) as relay:
            host, _, port = relay.told["lanes"]["urgent"].rpartition(":")
            assert host == "127.0.0.1"
            async with client_of(int(port)) as client:
                assert (await client.send()).startswith("250")
        assert simulator.counts.accepted == 1


async def test_without_a_lane_it_waits_its_turn() -> None:
    """As everybody does; a lane that is not there is none."""
    assert (await _behind_a_campaign(lane="nowhere"))[-1] == "urgent"


async def test_a_login_with_a_lane_that_is_not_there_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the login of somebody else."""
    monkeypatch.setattr("seslimit.companion._logins.WAIT", 0.01)
    async with relay_to(Service(), user="somebody", password="s3kr1t") as relay, client_of(relay.port) as client:
        assert (await client.say(login_of("somebody+nowhere", "s3kr1t"))).startswith("535")


async def test_what_belongs_to_no_campaign_goes_first_at_the_messenger() -> None:
    """A password that somebody waits for does not wait for a newsletter."""
    service = Service(held=True)
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
