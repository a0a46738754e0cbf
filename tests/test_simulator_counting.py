"""How the simulator counts: kinds and figures as text, profiles, and the two doors in front of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seslimit import ConfigurationError, Message, TransportError, transport_from_url
from seslimit.testing import APIRules, CountingSpec, Profile, Schedule, SimulatedAccount, Simulator, Verdict
from seslimit.testing._counting import KINDS, counting_of
from seslimit.testing.services import SERVICES, ByChance, Counting, DebtBucket, FixedWindow, SlidingWindow
from seslimit.testing.transport import SimulatedTransport
from tests.simulator_clients import FEW, mail, request, status

pytestmark = pytest.mark.once

RATE = Schedule.constant(4.0)


def taken(counting: Counting, *arrivals: float) -> list[bool]:
    """What becomes of messages to one recipient that arrive then."""
    return [counting.take(at, 1) for at in arrivals]


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("bucket", CountingSpec("bucket")),
        ("bucket:depth=0.2", CountingSpec("bucket", {"depth": 0.2})),
        ("front-ends:number=4,depth=2", CountingSpec("front-ends", {"number": 4.0, "depth": 2.0})),
        ("chance: share = 0.02", CountingSpec("chance", {"share": 0.02})),
    ],
)
def test_a_way_of_counting_as_text(text: str, spec: CountingSpec) -> None:
    """A kind and its figures; what it is written as reads back."""
    assert CountingSpec.parse(text) == spec == CountingSpec.parse(str(spec))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("buckets", "there is no counting 'buckets': it is one of bucket, sliding"),
        ("bucket:size=2", "counting bucket has no 'size': it has depth, least, refusal_cost"),
        ("bucket:depth", "'depth' in counting 'bucket:depth' is not of the form name=number"),
        ("bucket:depth=x", "is not of the form name=number"),
        ("bucket:depth=nan", "depth of a counting is 0 or more, not nan"),
        ("sliding:seconds=0", "seconds of a counting is above 0, not 0"),
        ("chance:share=1", "share of a counting is from 0 to below 1, not 1"),
        ("front-ends:number=2.5", "number of a counting is a whole number, not 2.5"),
    ],
)
def test_a_way_of_counting_that_there_is_not(text: str, words: str) -> None:
    """One sentence that says what there is."""
    with pytest.raises(ConfigurationError) as caught:
        CountingSpec.parse(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "arrivals", "expected"),
    [
        ("bucket:depth=0.5", (0, 0, 0, 0.25), [True, True, False, True]),
        ("bucket:refusal_cost=1,depth=0", (0, 0.2, 0.25, 1.0), [True, False, False, True]),
        ("sliding:seconds=0.5", (0, 0.4, 0.45, 0.5), [True, True, False, True]),
        ("fixed:seconds=1,offset=0", (0.9, 0.9, 0.9, 0.9, 0.9, 1.0), [True] * 4 + [False, True]),
        ("two-windows:seconds=0.5", (0, 0, 0, 0.5, 0.75), [True, True, False, False, True]),
        ("stale:age=1,depth=0.25", (0, 0.5, 0.9, 1.0, 1.1), [True, True, True, False, False]),
        ("rival:every=1e9,depth=0.25", (0, 0, 0.25), [True, False, True]),
        ("noisy:spread=0,depth=0.25", (0, 0, 0.25), [True, False, True]),
        ("front-ends:number=1,depth=0.25", (0, 0, 0.25), [True, False, True]),
        ("chance:share=0,depth=0.25", (0, 0, 0.25), [True, False, True]),
    ],
)
def test_what_each_kind_counts_as(text: str, arrivals: tuple[float, ...], expected: list[bool]) -> None:
    """At 4 recipients/s; the figures are those of the classes in `services`, hand-worked."""
    assert taken(counting_of(text, RATE, 0), *arrivals) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_rate(kind: str) -> None:
    """What is offered four times too often is taken at about the rate, by every kind with its own figures."""
    service = counting_of(kind, Schedule.constant(100.0), 1)
    accepted = sum(service.take(at / 400, 1) for at in range(4000))
    assert 880 <= accepted <= 1550


@pytest.mark.parametrize("name", SERVICES)
def test_every_member_of_the_family_has_a_name_here(name: str) -> None:
    """The names of `services` are ways of counting too."""
    assert isinstance(counting_of(name, RATE, 0), object)
    Simulator(counting=name)


def test_figures_of_the_simulator_hold_where_the_kind_has_them() -> None:
    """`depth` and `refusal_cost` are of a bucket, whichever way it is asked for, and of nothing else."""
    assert counting_of("bucket", RATE, 0, depth=3.0, refusal_cost=1.0) == DebtBucket(RATE, 3.0, refusal_cost=1.0)
    assert counting_of("bucket:depth=2", RATE, 0, depth=3.0) == DebtBucket(RATE, 2.0)
    assert counting_of("fixed", RATE, 0, depth=3.0) == FixedWindow(RATE)
    found = counting_of("chance", RATE, 5, depth=3.0)
    assert isinstance(found, ByChance)
    assert (found.counting, found.seed) == (DebtBucket(RATE, 3.0), 5)
    own = SlidingWindow(RATE)
    assert counting_of(own, RATE, 0) is own


def test_an_account_counts_as_it_is_told_from_its_start() -> None:
    """Seconds since its first message, whatever the clock says; the day is counted beside it."""
    account = SimulatedAccount(4, counting=FixedWindow(RATE, offset=0.0), max_24_hour_send=5)
    verdicts = [account.decide(1000.9 + at, 1) for at in (0, 0.9, 0.9, 0.9, 0.9, 1.0, 1.0)]
    assert verdicts == [Verdict.ACCEPTED] * 4 + [Verdict.RATE_EXCEEDED, Verdict.ACCEPTED, Verdict.QUOTA_EXCEEDED]
    assert (account.accepted, account.refused, account.over_quota) == (5, 1, 1)


@pytest.mark.parametrize("counting", ["fixed:seconds=1000", SlidingWindow(3e-3, 1000.0), "bucket:depth=1000"])
async def test_both_doors_count_together(counting: Any) -> None:
    """Three recipients of a window, whichever door they come by."""
    async with Simulator(3e-3, counting=counting) as simulator:
        assert (await mail(simulator)).startswith("250 Ok ")
        assert [status(await request(simulator)) for _ in range(3)] == [200, 200, 429]
        assert await mail(simulator) == "454 Throttling failure: Maximum sending rate exceeded."


async def test_a_url_says_how_to_count() -> None:
    """`sim://?counting=`, like the simulator's own argument."""
    transport = transport_from_url(f"sim://?rate={FEW}&counting=fixed:seconds={2 / FEW}")
    assert isinstance(transport, SimulatedTransport)
    message = Message("a@example.org", ["b@example.net"], b"From: a@example.org\r\n\r\n")
    await transport.send(message)
    await transport.send(message)
    with pytest.raises(TransportError, match="sending rate"):
        await transport.send(message)
    await transport.aclose()


PROFILE = """
rate = 14
max_24_hour_send = 50_000

[counting]
kind = "fixed"
seconds = 0.5

[smtp]
idle_timeout = 8.5
session_cap = 50
max_connections = 20
"""


def test_a_profile_reads_and_writes() -> None:
    """What it is written as reads back, notes or not."""
    profile = Profile.parse(PROFILE)
    assert profile == Profile(
        rate=14.0,
        counting=CountingSpec("fixed", {"seconds": 0.5}),
        max_24_hour_send=50_000.0,
        idle_timeout=8.5,
        session_cap=50,
        max_connections=20,
    )
    text = profile.toml(
        {"rate": "within 2 %\nor so", "counting": "certain", "seconds": "likely", "session_cap": "seen"}
    )
    assert Profile.parse(text) == profile
    assert 'kind = "fixed"  # certain\nseconds = 0.5  # likely' in text
    assert "rate = 14.0  # within 2 % or so" in text


def test_a_profile_says_what_was_not_found() -> None:
    """As a comment, so that it reads back as not known."""
    text = Profile(rate=14.0).toml({"session_cap": "none up to 200 messages"})
    assert "# session_cap =  # none up to 200 messages" in text
    assert Profile.parse(text) == Profile(rate=14.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rate = ", "it is not TOML"),
        ("", "it has no rate"),
        ("rate = 'x'", "rate is a number"),
        ("rate = true", "rate is a number"),
        ("rate = nan", "rate is a number"),
        ("rate = 0", "rate of a profile is above 0"),
        ("rate = 14\nspeed = 2", "there is no 'speed' in it: rate, max_24_hour_send"),
        ("rate = 14\ncounting = 'fixed'", "counting is a table"),
        ("rate = 14\n[counting]\nkind = 5", "[counting] has a kind, which is a text"),
        ("rate = 14\n[counting]\nkind = 'fixes'", "there is no counting 'fixes'"),
        ("rate = 14\n[counting]\nkind = 'fixed'\nseconds = 'a'", "[counting] has a kind, which is a text, and figures"),
        ("rate = 14\n[smtp]\nsession_cap = 2.5", "session_cap is a whole number"),
    ],
)
def test_a_profile_that_is_none(text: str, words: str, tmp_path: Path) -> None:
    """One sentence that names the file."""
    file = tmp_path / "profile.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        Profile.read(file)
    assert str(caught.value).startswith(f"the profile {file}: ")
    assert words in str(caught.value)


def test_a_profile_that_cannot_be_read(tmp_path: Path) -> None:
    """Not there, or not text."""
    (tmp_path / "latin").write_bytes(b"rate = 1 # \xe4")
    for file, words in ((tmp_path / "none", "No such file"), (tmp_path / "latin", "not UTF-8")):
        with pytest.raises(ConfigurationError, match=rf"profile {file} cannot be read: .*{words}"):
            Profile.read(file)


async def test_a_simulator_behaves_as_a_profile_says() -> None:
    """Rate, counting, quota and the habits of sessions; what is given beside it holds."""
    profile = Profile.parse(PROFILE)
    simulator = Simulator.from_profile(profile, rate=7.0)
    assert simulator.account.rate.at(0) == 7
    assert simulator.account.counting == FixedWindow(7.0, 0.5)
    assert simulator.account.max_24_hour_send == 50_000
    rules = simulator._smtp.rules
    assert (rules.idle_timeout, rules.session_cap, rules.max_connections) == (8.5, 50, 20)


def test_the_fixture_takes_a_profile(ses_simulator: Callable[..., Simulator], tmp_path: Path) -> None:
    """By its file, with further arguments."""
    file = tmp_path / "profile.toml"
    file.write_text("rate = 1e-6\n[counting]\nkind = 'bucket'\ndepth = 1e6\n")
    simulator = ses_simulator(profile=file, keep_content=True)
    assert asyncio.run(mail(simulator)).startswith("250 Ok ")
    assert asyncio.run(mail(simulator)).startswith("454 ")
    assert simulator.accepted[0].content is not None


async def test_the_api_has_habits_of_its_own_in_a_profile() -> None:
    """A section beside SMTP's; what is given beside the profile holds, and its other figures stay the profile's."""
    profile = Profile.parse("rate = 14\n[api]\nidle_timeout = 20\nsession_cap = 100\nmax_connections = 30\n")
    assert profile.habits("api") == {"idle_timeout": 20.0, "session_cap": 100, "max_connections": 30}
    assert profile.habits("smtp") == {}
    assert Profile.parse(profile.toml({"api_session_cap": "likely"})) == profile
    assert "session_cap = 100  # likely" in profile.toml({"api_session_cap": "likely"})
    rules = Simulator.from_profile(profile, api=APIRules(session_cap=5))._api.rules
    assert (rules.idle_timeout, rules.session_cap, rules.max_connections) == (20.0, 5, 30)
    with pytest.raises(ConfigurationError, match="api_session_cap of a profile is above 0"):
        Profile(rate=14.0, api_session_cap=0)
