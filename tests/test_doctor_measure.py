"""`seslimit doctor --measure` in virtual time: what it sends, finds, and writes down."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from seslimit import ConfigurationError, Message, Outcome, SendQuota
from seslimit.cli._commands import run
from seslimit.cli.doctor import _measure
from seslimit.cli.doctor._measure import Plan, experiment, measure
from seslimit.testing import FakeTransport, Profile, Schedule
from seslimit.testing._counting import counting_of
from seslimit.testing.virtual_time import on_virtual_time

pytestmark = pytest.mark.once


def service(counting: str, rate: float = 14.0, quota: SendQuota | None = None) -> FakeTransport:
    """A transport to a service that counts in this way."""
    counted = counting_of(counting, Schedule.constant(rate), 3)

    def handler(_: Message) -> Outcome:
        taken = counted.take(asyncio.get_running_loop().time(), 1)
        return Outcome.ACCEPTED if taken else Outcome.THROTTLED

    return FakeTransport(handler, send_quota=quota)


@pytest.mark.parametrize("rate", [1.0, 14.0])
@pytest.mark.parametrize(
    ("counting", "kind"),
    [("bucket:depth=5", "bucket"), ("fixed:seconds=4", "fixed"), ("sliding:seconds=4", "sliding"), ("stale", "stale")],
)
@on_virtual_time
async def test_it_finds_how_a_service_counts(counting: str, kind: str, rate: float) -> None:
    """With as many attempts as it said, each to the mailbox simulator alone, and in the time that it said."""
    transport, plan = service(counting, rate), Plan(rate)
    finding = await experiment(transport, plan, "a@example.org")
    assert finding.counting.kind == kind
    assert finding.rate == pytest.approx(rate, rel=0.1)
    assert abs(len(transport.attempts) - plan.messages) <= 1
    assert asyncio.get_running_loop().time() == pytest.approx(plan.seconds, rel=0.02)
    recipients = {recipient for attempt in transport.attempts for recipient in attempt.message.recipients}
    assert all(one.startswith("success+") and one.endswith("@simulator.amazonses.com") for one in recipients)


@on_virtual_time
async def test_it_ends_in_a_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the simulator takes; the rate and the quota are the service's own words."""
    transport = service("sliding:seconds=2", quota=SendQuota(50_000, 14.0, 0))
    monkeypatch.setattr(_measure, "transport_from_url", lambda _: transport)
    lines: list[str] = []
    profile = Profile.parse(await measure("ses://", "a@example.org", None, yes=True, tell=lines.append) or "")
    assert (profile.counting.kind, profile.max_24_hour_send) == ("sliding", 50_000)
    assert profile.counting.figures["seconds"] == pytest.approx(2.0, rel=0.1)
    assert "2,217 attempts in 77 s at up to 112/s" in lines[0]
    assert transport.closed


@on_virtual_time
async def test_without_a_yes_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan is told."""
    transport = service("bucket", quota=SendQuota(-1, 14.0, 0))
    monkeypatch.setattr(_measure, "transport_from_url", lambda _: transport)
    lines: list[str] = []
    assert not await measure("ses://", "a@example.org", None, yes=False, tell=lines.append)
    assert lines[0].endswith("say --yes to do it.")
    assert transport.attempts == []


@pytest.mark.parametrize(
    ("quota", "rate", "words"),
    [(None, None, "give --rate"), (SendQuota(-1, 500.0, 0), None, "72,201 attempts: give a lower --rate")],
)
@on_virtual_time
async def test_what_it_cannot_measure(
    quota: SendQuota | None, rate: float | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence, and nothing is sent."""
    transport = service("bucket", quota=quota)
    monkeypatch.setattr(_measure, "transport_from_url", lambda _: transport)
    with pytest.raises(ConfigurationError, match=words):
        await measure("ses://", "a@example.org", rate, yes=True, tell=lambda _: None)
    assert transport.attempts == []


@on_virtual_time
async def test_a_service_that_says_something_else_is_not_measured() -> None:
    """An unverified sender, for example: its words are told after one message; later, after one experiment."""
    for accepted in (0, 1):
        transport = FakeTransport()
        transport.handler = lambda _, fake=transport, most=accepted: (
            Outcome.ACCEPTED if len(fake.attempts) < most else Outcome.PERMANENT
        )
        with pytest.raises(ConfigurationError, match="permanent"):
            await experiment(transport, Plan(14.0), "a@example.org")
        assert len(transport.attempts) == (1345 if accepted else 1)


@pytest.mark.parametrize(("arguments", "words"), [(["--yes"], "need --measure"), (["--measure"], "needs --from")])
def test_options_that_belong_together(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2."""
    assert run(["doctor", "--to", "sim://", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_profile_that_cannot_be_written_stops_it_before_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2, and no transport is made: a flood is not to be repeated for a wrong path."""
    monkeypatch.setattr(_measure, "transport_from_url", lambda _: pytest.fail("a transport was made"))
    for path in (tmp_path, tmp_path / "nowhere" / "profile.toml"):
        asked = ["--to", "sim://", "--measure", "--from", "a@example.org", "--yes", "--profile", str(path)]
        assert run(["doctor", *asked]) == 2
        assert "nothing was sent" in capsys.readouterr().err


def test_what_was_found_is_told_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The same as the profile has, in one line on standard output."""

    async def found(*_: object, **__: object) -> str:
        return 'rate = 14.0\n[counting]\nkind = "bucket"\ndepth = 0.5\n'

    monkeypatch.setattr(_measure, "measure", found)
    assert run(["doctor", "--to", "sim://", "--measure", "--from", "a@example.org", "--yes", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"rate": 14.0, "counting": {"kind": "bucket", "depth": 0.5}}
