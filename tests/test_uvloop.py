"""Everything that has connections, on uvloop's event loop: its transports are other objects than asyncio's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import uvloop

from seslimit import Limiter, Message, Sender, transport_from_url
from seslimit.testing import Simulator

from .relaying import CONTENT, Service, client_of, relay_to, until
from .test_listmonk_messenger import running as messenger

LARGE = CONTENT + b"0123456789abcde\r\n" * 200_000
SCENARIOS: list[Callable[[], Awaitable[None]]] = []


def on_uvloop(scenario: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """Have it run by `test_on_uvloop`."""
    SCENARIOS.append(scenario)
    return scenario


def simulator() -> Simulator:
    """Both doors, at a rate that throttles."""
    return Simulator(rate=50.0, depth=0.1)


@on_uvloop
async def both_doors() -> None:
    """Throttled and accepted, small and large, and nothing is left open."""
    async with simulator() as service:
        for url in (service.smtp_url, service.ses_url):
            async with Sender(transport_from_url(url), limiter=Limiter()) as sender:
                contents = [CONTENT] * 29 + [LARGE]
                messages = [Message("a@example.org", [f"{n}@example.net"], each) for n, each in enumerate(contents)]
                receipts = await asyncio.gather(*(sender.send(each) for each in messages))
                assert len({receipt.message_id for receipt in receipts}) == 30
        assert [len(message.recipients) for message in service.accepted] == [1] * 60


@on_uvloop
async def a_cancelled_upload() -> None:
    """The service never sees the end of a content that was broken off."""
    content, uploading, over = bytearray(), asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        while line := await reader.readline():
            writer.write(b"354 go on\r\n" if line == b"DATA\r\n" else b"250 Ok\r\n")
            if line == b"DATA\r\n":
                content.extend(await reader.read(1000))
                uploading.set()
                await asyncio.sleep(0.1)
                with suppress(ConnectionError):
                    content.extend(await reader.read())
        writer.close()
        over.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        transport = transport_from_url(f"smtp://127.0.0.1:{port}?tls=none")
        sending = asyncio.create_task(transport.send(Message("a@example.org", ["b@example.net"], LARGE * 10)))
        await uploading.wait()
        sending.cancel()
        await asyncio.wait([sending])
        await over.wait()
        await transport.aclose()
    assert 1000 <= len(content) < 10 * len(LARGE)
    assert not content.endswith(b"\r\n.\r\n")


@on_uvloop
async def the_relay() -> None:
    """It answers, takes leave, closes, and ends."""
    async with simulator() as service, relay_to(service) as relay:
        async with client_of(relay.port) as client:
            assert (await client.send()).startswith("250 2.0.0 Ok")
            assert (await client.send(LARGE)).startswith("250 2.0.0 Ok")
            assert (await client.say("QUIT")).startswith("221")
            assert await client.closed()
        await until(lambda: relay.connections == 0)


@on_uvloop
async def the_relay_stops() -> None:
    """An attempt under way is answered; everybody is told to come back."""
    service = Service(held=True)
    async with relay_to(service) as relay, client_of(relay.port) as client, client_of(relay.port) as idle:
        await client.hand_over()
        await service.begun.wait()
        closing = asyncio.create_task(relay.aclose())
        await asyncio.sleep(0.05)
        service.gate.set()
        assert (await client.reply()).startswith("250")
        assert (await client.reply()).startswith("421")
        assert (await idle.reply()).startswith("421")
        assert await client.closed()
        await closing


@on_uvloop
async def the_messenger() -> None:
    """Its answers are held, and it ends."""
    async with messenger(50) as client:
        assert [status for status, _ in await client.campaign(0, 60)] == [200] * 60


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_on_uvloop(scenario: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The scenario."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    async def run() -> None:
        async with asyncio.timeout(120):
            await scenario()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
