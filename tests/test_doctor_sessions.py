"""`seslimit doctor --measure` and connections: how many, for how long, for how many messages; over both doors."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from seslimit import transport_from_url
from seslimit.cli.doctor import _sessions
from seslimit.cli.doctor._connections import Connections, connections_of
from seslimit.cli.doctor._plan import Letters
from seslimit.cli.doctor._seen import Confidence, Ended, Seen
from seslimit.cli.doctor._sessions import idle_timeout, most_connections, session_cap
from seslimit.testing import APIReply, APIRules, FakeTransport, Fault, Simulator, SMTPRules, SMTPText

pytestmark = pytest.mark.once

FAST = 10_000.0
LETTERS = Letters("sender@example.org")
DOORS = ["smtp", "api"]


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of AWS, which the simulator does not look at."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr(_sessions, "MOST_CONNECTIONS", 12)
    monkeypatch.setattr(_sessions, "MOST_IN_SESSION", 30)


@asynccontextmanager
async def looked_at(door: str, simulator: Simulator) -> AsyncIterator[Connections]:
    """The connections of a transport to one of the simulator's doors."""
    async with simulator:
        transport = transport_from_url(simulator.smtp_url if door == "smtp" else simulator.ses_url)
        try:
            connections = await connections_of(transport)
            assert connections is not None
            assert connections.door == door
            yield connections
        finally:
            await transport.aclose()


@pytest.mark.parametrize("door", DOORS)
async def test_the_connection_cap(door: str) -> None:
    """As many as were let in; sure where the service says why it refused one more, likely where it closed it twice."""
    simulator = Simulator(smtp=SMTPRules(max_connections=5), api=APIRules(max_connections=5))
    async with looked_at(door, simulator) as connections:
        seen = await most_connections(connections)
    assert (seen.value, seen.confidence) == (5, Confidence.SURE if door == "smtp" else Confidence.LIKELY)


@pytest.mark.parametrize("door", DOORS)
async def test_no_connection_cap(door: str) -> None:
    """It is said up to how many was looked, and that a cap may be above."""
    async with looked_at(door, Simulator()) as connections:
        seen = await most_connections(connections)
        assert connections.transport is not None
    assert (seen.value, seen.confidence) == (None, Confidence.OPEN)
    assert seen.words.startswith("12 at once were let in")


@pytest.mark.parametrize("door", DOORS)
async def test_the_idle_time_out(door: str) -> None:
    """Within 10 %, in seconds of a tenth."""
    simulator = Simulator(smtp=SMTPRules(idle_timeout=1.0), api=APIRules(idle_timeout=1.0))
    async with looked_at(door, simulator) as connections:
        seen = await idle_timeout(connections, LETTERS)
    assert seen.value == pytest.approx(1.0, abs=0.1)
    assert seen.confidence is Confidence.SURE


async def test_an_idle_time_out_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """At least so many seconds, and no figure."""
    monkeypatch.setattr(_sessions, "IDLE", 0.2)
    async with looked_at("smtp", Simulator()) as connections:
        seen = await idle_timeout(connections, LETTERS)
    assert seen == Seen(None, Confidence.OPEN, "at least 0.2 s: it was still there")


@pytest.mark.parametrize("where", ["mail", "rset", "dot"])
async def test_the_session_cap_of_smtp(where: str) -> None:
    """The 421 names its reason, wherever it comes: once is enough."""
    rules = SMTPRules(session_cap=11, session_cap_at=where)  # type: ignore[arg-type]
    async with looked_at("smtp", Simulator(FAST, smtp=rules)) as connections:
        seen = await session_cap(connections, LETTERS, 1000.0, 10.0)
    assert (seen.value, seen.confidence) == (11, Confidence.SURE)


async def test_the_session_cap_of_the_api() -> None:
    """A connection that is closed behind an answer has no words: twice at the same place is likely a cap."""
    async with looked_at("api", Simulator(FAST, api=APIRules(session_cap=11))) as connections:
        seen = await session_cap(connections, LETTERS, 1000.0, None)
    assert (seen.value, seen.confidence) == (11, Confidence.LIKELY)


@pytest.mark.parametrize("door", DOORS)
async def test_no_session_cap(door: str) -> None:
    """It is said up to how many messages was looked."""
    async with looked_at(door, Simulator(FAST)) as connections:
        seen = await session_cap(connections, LETTERS, 1000.0, None)
    assert (seen.value, seen.confidence) == (None, Confidence.OPEN)
    assert seen.words.startswith("30 on one connection")


async def test_a_session_cap_near_the_bound_is_seen_once() -> None:
    """Without words, and without room for a second time."""
    async with looked_at("api", Simulator(FAST, api=APIRules(session_cap=20))) as connections:
        seen = await session_cap(connections, LETTERS, 1000.0, None)
    assert seen == Seen(20, Confidence.LIKELY, "20 on one connection: it ended there, seen once")


async def test_connections_that_break_by_chance_are_no_cap() -> None:
    """After 4 and after 7 messages: no figure, and the words say why."""
    broken = [Fault("mail", end="reset", skip=4), Fault("mail", end="reset", skip=12)]
    async with looked_at("smtp", Simulator(FAST, faults=broken)) as connections:
        seen = await session_cap(connections, LETTERS, 1000.0, None)
    assert (seen.value, seen.confidence) == (None, Confidence.OPEN)
    assert "it ended after 4 and after 7 messages: that is no cap" in seen.words


async def test_throttled_messages_count_in_a_session() -> None:
    """As the simulator counts them: an answer is an answer."""
    async with looked_at("smtp", Simulator(1.0, smtp=SMTPRules(session_cap=9))) as connections:
        seen = await session_cap(connections, LETTERS, 1000.0, None)
    assert seen.value == 9


async def test_a_slow_account_is_not_asked_how_many() -> None:
    """Where the pause between two messages is longer than a connection is kept."""
    async with looked_at("smtp", Simulator()) as connections:
        seen = await session_cap(connections, LETTERS, 0.1, 10.0)
    assert seen.words.startswith("not looked at")


@pytest.mark.parametrize("text", [SMTPText.QUOTA_EXCEEDED, SMTPText.PAUSED])
async def test_an_account_that_takes_nothing_any_more_ends_it(text: SMTPText) -> None:
    """In the middle of a session, with its words."""
    fault = Fault("dot", reply=text, skip=3, times=None)
    async with looked_at("smtp", Simulator(FAST, faults=[fault])) as connections:
        with pytest.raises(Ended, match=text.split(": ")[1][:30]):
            await session_cap(connections, LETTERS, 1000.0, None)


async def test_messages_that_are_refused_for_another_reason_count_as_answered() -> None:
    """A 451 in the middle ends no session; a refusal of the API neither."""
    fault = Fault("dot", reply=SMTPText.TEMPORARY_FAILURE, skip=3)
    async with looked_at("smtp", Simulator(FAST, faults=[fault], smtp=SMTPRules(session_cap=8))) as connections:
        assert (await session_cap(connections, LETTERS, 1000.0, None)).value == 8
    api = Fault("send", reply=APIReply(400, "MessageRejected", "Address blacklisted"), skip=3)
    async with looked_at("api", Simulator(FAST, faults=[api], api=APIRules(session_cap=8))) as connections:
        assert (await session_cap(connections, LETTERS, 1000.0, None)).value == 8


async def test_the_connections_behind_a_simulator_of_its_own() -> None:
    """`sim://` has a transport of seslimit's behind it; a plug-in's is not known."""
    transport = transport_from_url("sim://?rate=14")
    connections = await connections_of(transport)
    assert connections is not None
    assert connections.door == "smtp"
    await transport.aclose()
    assert await connections_of(FakeTransport()) is None


@pytest.mark.parametrize("look", [most_connections, lambda each: idle_timeout(each, LETTERS)])
async def test_nothing_is_left_of_an_experiment_that_is_interrupted(
    look: Callable[[Connections], asyncio.Future[Seen]],
) -> None:
    """Its connections are closed, and no task is left."""
    simulator = Simulator(FAST)
    async with looked_at("smtp", simulator) as connections:
        running = asyncio.ensure_future(look(connections))
        for _ in itertools.repeat(None, 2000):
            if simulator.counts.smtp_connections:
                break
            await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()


@pytest.mark.parametrize("look", [idle_timeout, lambda each, letter: session_cap(each, letter, 100.0, None)])
async def test_a_connection_that_cannot_be_had_is_no_figure(look: Callable[..., Awaitable[Seen]]) -> None:
    """Somebody else may have taken the last one: the words are the service's, and the other experiments go on."""
    async with looked_at("smtp", Simulator(faults=[Fault("connect", reply=SMTPText.TOO_MANY_CONNECTIONS)])) as some:
        seen = await look(some, LETTERS)
    assert seen.confidence is Confidence.OPEN
    assert seen.words == "not looked at: no connection (421 Too many concurrent SMTP connections)"
