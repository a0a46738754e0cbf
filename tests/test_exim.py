"""A real Exim that relays through us: it says QUIT behind its message, closes its side, and waits for the reply."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from seslimit.testing import Simulator

from .companion_process import companion
from .exim_instance import MISSING, Exim, exim
from .relaying import readers

pytestmark = [pytest.mark.once, pytest.mark.skipif(MISSING is not None, reason=MISSING or "")]

MAIL_FROM = "bounces@news.example.org"
CONTENT = b"From: news@news.example.org\r\nSubject: Hello\r\n\r\nHi!\r\n"
PATIENT = 20.0
"""Seconds in which everything has to have happened."""


@contextlib.asynccontextmanager
async def relayed(simulator: Simulator, *options: str, tls: bool = False) -> AsyncIterator[Exim]:
    """Exim, the relay and the simulator in a row."""
    async with (
        companion("relay", simulator.smtp_url, *options) as relay,
        exim(relay.port, tls=tls) as instance,
    ):
        yield instance


async def completed(instance: Exim, messages: int) -> None:
    """Wait until so many are done, or one is not taken."""
    try:
        async with asyncio.timeout(PATIENT):
            while instance.completed < messages and not instance.deferred:  # noqa: ASYNC110  # another program's log
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"it did not happen:\n{instance.log[-5000:]}")
    assert instance.deferred == []


async def test_messages_that_wait_for_their_turn_are_all_accepted() -> None:
    """Eight at 2/s, in clear: their clients have closed their side long before the reply (RFC 5321, 4.1.1.10)."""
    async with Simulator(2) as simulator, relayed(simulator, "--rate", "2", "--max-rate", "2") as instance:
        for reader in readers(8):
            await instance.submit(MAIL_FROM, [reader], CONTENT)
        await completed(instance, 8)
        assert Counter(each for message in simulator.accepted for each in message.recipients) == Counter(readers(8))


async def test_a_message_to_many_recipients_is_accepted_for_all() -> None:
    """A hundred and twenty, which wait for one another."""
    async with Simulator(40) as simulator, relayed(simulator, "--rate", "40", "--max-rate", "40") as instance:
        await instance.submit(MAIL_FROM, readers(120), CONTENT)
        await completed(instance, 1)
        assert Counter(each for message in simulator.accepted for each in message.recipients) == Counter(readers(120))


async def test_messages_that_wait_over_tls_are_all_accepted(tmp_path: Path) -> None:
    """There too the two directions end apart (RFC 8446, 6.1)."""
    certificate = tmp_path / "relay.pem"
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    options = ("--rate", "4", "--max-rate", "4", "--tls-cert", str(certificate))
    async with Simulator(4) as simulator, relayed(simulator, *options, tls=True) as instance:
        for reader in readers(8):
            await instance.submit(MAIL_FROM, [reader], CONTENT)
        await completed(instance, 8)
        assert len(simulator.accepted) == 8
