"""The simulator as a thing to start and stop: opening, closing, threads, the pytest fixture, URLs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from pathlib import Path

import pytest

import seslimit.testing
from seslimit._model.errors import ConfigurationError
from seslimit.testing import (
    Counts,
    Fault,
    Simulator,
    SMTPRules,
)
from tests.simulator_clients import (
    ACCOUNT,
    CONTENT,
    FAST,
    FEW,
    SEND,
    client_context,
    connected,
    keyed,
    logged_in,
    mail,
    request,
    server_context,
    settled,
    until,
)

pytest_plugins = ["pytester"]


async def test_closing_breaks_off_what_is_open(caplog: pytest.LogCaptureFixture) -> None:
    """Idle, silent, half-sent, delayed, and before the handshake: closing takes no time, and leaves no task."""
    faults = [Fault("send", silent=True), Fault("noop", silent=True), Fault("account", delay=60)]
    secure = Simulator(FAST, smtp=SMTPRules(tls="implicit", ssl_context=server_context()))
    async with contextlib.AsyncExitStack() as clients:
        await secure.open()
        simulator = Simulator(FAST, faults=faults)
        await simulator.open()
        idle, silent, half = [await clients.enter_async_context(logged_in(simulator)) for _ in range(3)]
        silent.writer.write(b"NOOP\r\n")
        await half.give()
        half.writer.write(b"half a message")
        await clients.enter_async_context(connected(secure, client_context()))
        await clients.enter_async_context(connected(secure))
        unanswered = [asyncio.create_task(request(simulator, path)) for path in (SEND, ACCOUNT)]
        _, keep_alive = await asyncio.open_connection("127.0.0.1", simulator.api_port)
        await until(lambda: len(simulator.faults.struck) == 3)
        began = asyncio.get_running_loop().time()
        await asyncio.gather(simulator.aclose(), secure.aclose())
        assert asyncio.get_running_loop().time() - began < 0.5
        assert await idle.hear() == ""
        keep_alive.transport.abort()
        await asyncio.gather(*unanswered, return_exceptions=True)
    assert await settled() == 0
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_closing_twice_and_before_opening() -> None:
    """It does nothing."""
    simulator = Simulator()
    await simulator.aclose()
    await simulator.open()
    await simulator.aclose()
    await simulator.aclose()


async def test_a_simulator_can_be_opened_again() -> None:
    """With the ledger it had."""
    simulator = Simulator(FAST)
    for number in (1, 2):
        async with simulator:
            await mail(simulator)
            assert simulator.counts.accepted == number


@pytest.mark.parametrize("door", ["smtp_port", "api_port"])
async def test_a_port_that_is_taken(door: str) -> None:
    """The error reaches who opens, and the other door is closed again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        simulator = Simulator(**{door: taken.getsockname()[1]})
        with pytest.raises(OSError, match="in use"):
            await simulator.open()
    assert await settled() == 0
    if door == "api_port":
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", simulator.smtp_port)


@pytest.mark.parametrize("door", ["smtp_port", "api_port"])
def test_a_port_that_is_taken_in_a_thread(door: str) -> None:
    """The error reaches the thread that asked, and no other."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        before = threading.active_count()
        with (
            pytest.raises(OSError, match="in use"),
            Simulator(**{door: taken.getsockname()[1]}).in_thread(),
        ):
            pytest.fail("it has started")
        assert threading.active_count() == before


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_in_a_thread(host: str) -> None:
    """A blocking client hands a message over; the thread ends with the block."""
    before = threading.active_count()
    with Simulator(FAST, host=host).in_thread() as simulator:
        with smtplib.SMTP(host, simulator.smtp_port) as client:
            client.login("user", "password")
            client.sendmail("sender@example.org", "reader@example.com", CONTENT)
        assert simulator.counts == Counts(accepted=1, recipients=1, smtp_connections=1)
    assert threading.active_count() == before


def test_an_error_in_the_block_ends_the_thread() -> None:
    """And passes through."""
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), Simulator().in_thread():
        raise ZeroDivisionError
    assert threading.active_count() == before


def test_the_ledger_can_be_read_while_it_is_written() -> None:
    """From another thread, again and again, and it is never in the middle of something."""
    with Simulator(1e9, ledger_limit=50).in_thread() as simulator:

        async def flood() -> None:
            async with logged_in(simulator) as conversation:
                for number in range(200):
                    await conversation.send(content=keyed(str(number // 2)))

        flooding = threading.Thread(target=lambda: asyncio.run(flood()))
        flooding.start()
        while flooding.is_alive():
            assert len(simulator.accepted) <= 50
            assert sum(simulator.duplicates().values()) <= 100
            assert simulator.tally(0, 100).accepted <= 200
            simulator.missing(["0"])
            flooding.join(0.0005)
        assert (simulator.counts.accepted, len(simulator.duplicates())) == (200, 100)


def test_fixture(ses_simulator: Callable[..., Simulator]) -> None:
    """It makes simulators that run, as many as a test wants, with any option."""
    first, second = ses_simulator(FAST), ses_simulator(rate=FEW, depth=0)
    for simulator in (first, second):
        with smtplib.SMTP("127.0.0.1", simulator.smtp_port) as client:
            client.login("user", "password")
            client.send_message(letter())
    with smtplib.SMTP("127.0.0.1", second.smtp_port) as client:
        client.login("user", "password")
        with pytest.raises(smtplib.SMTPDataError, match="Maximum sending rate exceeded"):
            client.send_message(letter())
    assert (first.counts.accepted, second.counts.throttled) == (1, 1)


def letter() -> EmailMessage:
    """A message of the standard library."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "sender@example.org", "reader@example.com", "hello"
    message.set_content("Good morning.")
    return message


def test_the_example_of_the_documentation(pytester: pytest.Pytester) -> None:
    """The first block of the page on the simulator is a test that passes as it stands."""
    page = (Path(__file__).parent.parent / "docs" / "simulator.md").read_text()
    pytester.makepyfile(page.partition("```python\n")[2].partition("```")[0])
    options = ("-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function")
    pytester.runpytest_inprocess(*options).assert_outcomes(passed=1)


def test_the_fixture_closes_its_simulators(pytester: pytest.Pytester) -> None:
    """After the test; any project that has seslimit installed has the fixture."""
    pytester.makepyfile(
        """
        import socket, threading
        import pytest

        started = []

        def test_start(ses_simulator):
            started.append(ses_simulator(rate=14))
            socket.create_connection(("127.0.0.1", started[0].smtp_port)).close()

        def test_gone():
            assert [thread.name for thread in threading.enumerate()] == ["MainThread"]
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", started[0].smtp_port))
        """
    )
    alone = ("-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:rerunfailures")
    pytester.runpytest_subprocess(*alone).assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("rules", "pattern"),
    [
        (SMTPRules(), r"smtp://user:password@127\.0\.0\.1:\d+\?tls=none"),
        (SMTPRules(credentials=("a@b", "p/w")), r"smtp://a%40b:p%2Fw@127\.0\.0\.1:\d+\?tls=none"),
        (
            SMTPRules(tls="starttls", ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)),
            r"smtp://user:password@127\.0\.0\.1:\d+",
        ),
        (
            SMTPRules(tls="implicit", ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)),
            r"smtps://user:password@127\.0\.0\.1:\d+",
        ),
    ],
)
async def test_urls(rules: SMTPRules, pattern: str) -> None:
    """What to give to a transport."""
    async with Simulator(smtp=rules) as simulator:
        assert re.fullmatch(pattern, simulator.smtp_url)
        assert simulator.api_url == f"http://127.0.0.1:{simulator.api_port}"
        assert simulator.ses_url.startswith("ses://us-east-1?endpoint_url=http%3A%2F%2F127.0.0.1%3A")


def test_urls_of_an_ipv6_address() -> None:
    """In brackets, or its colons would be the port's."""
    simulator = Simulator(host="::1")
    assert simulator.smtp_url == "smtp://user:password@[::1]:0?tls=none"
    assert simulator.api_url == "http://[::1]:0"


async def test_many_connections_at_once() -> None:
    """Two hundred clients come in the same moment, and all are served."""
    async with Simulator(FAST) as simulator:
        replies: Sequence[str] = await asyncio.gather(*(mail(simulator) for _ in range(200)))
        assert all(reply.startswith("250 Ok ") for reply in replies)
        assert simulator.counts.accepted == simulator.counts.smtp_connections == 200
        assert await settled() == 0


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence that names the package and the remedy."""
    for name in [name for name in sys.modules if name.startswith(("seslimit.testing._", "aiohttp."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ConfigurationError, match=r"needs the package aiohttp.*seslimit\[sim\]"):
        seslimit.testing.Simulator  # noqa: B018


def test_a_misspelt_name() -> None:
    """The module has what it has."""
    with pytest.raises(AttributeError, match="Simulatr"):
        seslimit.testing.Simulatr  # noqa: B018


def test_without_the_extra_the_account_can_be_used() -> None:
    """Nothing but `Simulator` imports the servers."""
    script = "import sys, seslimit.testing; seslimit.testing.SimulatedAccount(14); print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "aiohttp" not in printed
