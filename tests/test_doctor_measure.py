"""`seslimit doctor --measure`: what it sends, finds and writes down, and what ends it; mostly on virtual time."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from seslimit import ConfigurationError, Message, Outcome, SendQuota
from seslimit.cli._commands import run
from seslimit.cli._ending import Status
from seslimit.cli._view import duration
from seslimit.cli.doctor import _experiments, _measure, _plan, _sessions
from seslimit.cli.doctor._experiments import Measuring
from seslimit.cli.doctor._measure import Measured, measure, write_profile
from seslimit.cli.doctor._plan import Letters, Plan, no_room
from seslimit.cli.doctor._seen import Ended, Seen
from seslimit.testing import APIRules, FakeTransport, Fault, Profile, Schedule, Simulator, SMTPRules, SMTPText
from seslimit.testing._counting import counting_of
from seslimit.testing.virtual_time import on_virtual_time

from .simulator_clients import server_context

pytestmark = pytest.mark.once

SENDER = "news@example.org"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of AWS, which the simulator does not look at."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Experiments of tenths of a second, for real sockets at 100/s and more."""
    for module, name, value in (
        (_plan, "FLOOD", 0.5),
        (_experiments, "FLOOD", 0.5),
        (_plan, "TOKENS", 1.0),
        (_plan, "PACED", 10),
        (_plan, "REST", 0.1),
        (_experiments, "REST", 0.1),
        (_plan, "MOST_IN_SESSION", 12),
        (_sessions, "MOST_IN_SESSION", 12),
        (_sessions, "MOST_CONNECTIONS", 3),
        (_sessions, "IDLE", 0.3),
    ):
        monkeypatch.setattr(module, name, value)


def service(counting: str, rate: float = 14.0, quota: SendQuota | None = None) -> FakeTransport:
    """A transport to a service that counts in this way."""
    counted = counting_of(counting, Schedule.constant(rate), 3)

    def handler(_: Message) -> Outcome:
        taken = counted.take(asyncio.get_running_loop().time(), 1)
        return Outcome.ACCEPTED if taken else Outcome.THROTTLED

    return FakeTransport(handler, send_quota=quota)


def unsaid(_name: str, _seen: Seen) -> None:
    """Tell nobody."""


@pytest.mark.parametrize("rate", [1.0, 14.0])
@pytest.mark.parametrize(
    ("counting", "kind"), [("bucket:depth=5", "bucket"), ("fixed:seconds=4", "fixed"), ("sliding:seconds=4", "sliding")]
)
@on_virtual_time
async def test_it_finds_how_a_service_counts(counting: str, kind: str, rate: float) -> None:
    """With as many attempts as it said, each to the mailbox simulator alone, and in the time that it said."""
    transport, plan = service(counting, rate), Plan(rate, sessions=False)
    finding, _ = await Measuring(transport, None, plan, Letters(SENDER), unsaid).run()
    assert finding.counting.kind == kind
    assert finding.rate == pytest.approx(rate, rel=0.1)
    assert abs(len(transport.attempts) - plan.messages) <= 1
    accepted = sum(attempt.outcome is Outcome.ACCEPTED for attempt in transport.attempts)
    assert accepted == pytest.approx(plan.accepted, rel=0.25)
    assert asyncio.get_running_loop().time() == pytest.approx(plan.seconds, rel=0.02)
    recipients = {recipient for attempt in transport.attempts for recipient in attempt.message.recipients}
    assert len(recipients) == len(transport.attempts)
    assert all(one.startswith("success+") and one.endswith("@simulator.amazonses.com") for one in recipients)


@on_virtual_time
async def test_the_cost_of_a_refusal_ends_the_floods() -> None:
    """What takes nothing any more is not flooded on, but asked now and then until it does."""
    transport = service("bucket:refusal_cost=1", 14.0)
    finding, _ = await Measuring(transport, None, Plan(14.0), Letters(SENDER), unsaid).run()
    assert finding.counting.figures["refusal_cost"] == pytest.approx(1.0, rel=0.1)
    assert len(transport.attempts) < 1600


PAGE = (Path(__file__).parent.parent / "docs" / "account.md").read_text()
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def figures(text: str) -> list[float]:
    """The numbers in a text."""
    return [float(number.replace(",", "")) for number in NUMBER.findall(text)]


@on_virtual_time
async def test_the_run_on_the_page_about_accounts() -> None:
    """
    Word for word, with figures within 4 %, and the profile that it shows. What that says is what the simulator had, and
    one that is made of it has the same.
    """
    (shown,) = re.findall(r"```console\n\$ seslimit doctor --measure .*\n((?:.*\n)*?)```", PAGE)
    (written,) = re.findall(r"```toml\n(rate(?:.*\n)*?)```", PAGE)
    lines: list[str] = []
    rules = SMTPRules(idle_timeout=10.0, session_cap=50, max_connections=20)
    async with Simulator(14.0, depth=2.0, latency=0.02, smtp=rules) as simulator:
        found = await measure(simulator.smtp_url, SENDER, 14.0, yes=True, tell=lines.append)
        counts = simulator.counts
    assert (found.status, found.complaint) == (Status.ALL_ACCEPTED, None)
    for told, expected in (("\n".join(lines), shown.rpartition("written ")[0]), (found.profile or "", written)):
        assert NUMBER.sub("#", told).strip() == NUMBER.sub("#", expected).strip()
        assert figures(told) == pytest.approx(figures(expected), rel=0.04)
    cost = re.search(r"it took ([\d,]+) attempts, ([\d,]+) of them accepted", PAGE)
    assert cost is not None
    assert figures(" ".join(cost.groups())) == pytest.approx(
        [counts.accepted + counts.throttled, counts.accepted], rel=0.04
    )
    profile = Profile.parse(found.profile or "")
    assert (profile.session_cap, profile.max_connections) == (50, 20)
    assert profile.idle_timeout == pytest.approx(10.0, rel=0.01)
    assert profile.counting.figures["depth"] == pytest.approx(2.0, rel=0.1)
    again = Simulator.from_profile(profile)
    assert (again._smtp.rules.session_cap, again._smtp.rules.max_connections) == (50, 20)


@pytest.mark.parametrize("rate", [1.0, 14.0, 100.0])
def test_the_costs_on_the_page_about_accounts(rate: float) -> None:
    """What a plan says is what the table has."""
    plan = Plan(rate)
    row = f"| {rate:g}/s | {plan.messages:,} | {plan.accepted:,} | {duration(round(plan.seconds))} |"
    assert row in PAGE


@pytest.mark.usefixtures("in_a_hurry")
async def test_everything_over_the_api() -> None:
    """The rate is asked for, and the profile has a section of the API's own."""
    async with Simulator(100.0, max_24_hour_send=50_000, api=APIRules(session_cap=5)) as simulator:
        lines: list[str] = []
        found = await measure(simulator.ses_url, SENDER, None, yes=True, tell=lines.append)
    assert found.complaint is None
    profile = Profile.parse(found.profile or "")
    assert (profile.api_session_cap, profile.max_24_hour_send) == (5, 50_000)
    assert "# idle_timeout =  # open: at least 0.3 s" in (found.profile or "")


@on_virtual_time
async def test_a_plug_in_is_measured_without_its_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of them; the rate and the quota are the service's own words, and the profile has no door."""
    transport = service("sliding:seconds=2", quota=SendQuota(50_000, 14.0, 0))
    monkeypatch.setattr(_measure, "transport_from_url", lambda _: transport)
    lines: list[str] = []
    found = await measure("ses://", SENDER, None, yes=True, tell=lines.append)
    profile = Profile.parse(found.profile or "")
    assert (profile.counting.kind, profile.max_24_hour_send) == ("sliding", 50_000)
    assert profile.counting.figures["seconds"] == pytest.approx(2.0, rel=0.1)
    assert "2,417 attempts in about 1 min 50 s, up to 112/s" in lines[0]
    assert "[smtp]" not in (found.profile or "")
    assert transport.closed


@on_virtual_time
async def test_without_a_yes_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan is told."""
    transport = service("bucket", quota=SendQuota(-1, 14.0, 0))
    monkeypatch.setattr(_measure, "transport_from_url", lambda _: transport)
    lines: list[str] = []
    assert await measure("ses://", SENDER, None, yes=False, tell=lines.append) == Measured(Status.WRONG_USAGE)
    assert lines[0].endswith("say --yes to do it.")
    assert transport.attempts == []


@pytest.mark.parametrize(
    ("quota", "rate", "words"),
    [(None, None, "give --rate"), (SendQuota(-1, 500.0, 0), None, "72,401 attempts, which is too many")],
)
@on_virtual_time
async def test_what_it_cannot_measure(
    quota: SendQuota | None, rate: float | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence, and nothing is sent."""
    transport = service("bucket", quota=quota)
    monkeypatch.setattr(_measure, "transport_from_url", lambda _: transport)
    with pytest.raises(ConfigurationError, match=words):
        await measure("ses://", SENDER, rate, yes=True, tell=lambda _: None)
    assert transport.attempts == []


# What a real account says otherwise


async def ended(simulator: Simulator, url: Callable[[Simulator], str], rate: float | None = 100.0) -> Measured:
    """How a measuring of this simulator ends."""
    async with simulator:
        return await measure(url(simulator), SENDER, rate, yes=True, tell=lambda _: None)


def smtp(simulator: Simulator) -> str:
    """The SMTP door."""
    return simulator.smtp_url


def ses(simulator: Simulator) -> str:
    """The API door."""
    return simulator.ses_url


async def test_a_daily_quota_that_is_nearly_used_up() -> None:
    """Nothing is sent: what the mailbox simulator costs of it is only known from the documents."""
    simulator = Simulator(14, max_24_hour_send=50_000, sent_last_24_hours=46_000)
    found = await ended(simulator, ses, None)
    assert (found.status, found.profile, simulator.counts.accepted) == (Status.REMAINING, None, 0)
    assert "only 4,000 of 50,000 recipients are left" in (found.complaint or "")
    assert "nothing was sent" in (found.complaint or "")


@pytest.mark.parametrize(
    ("quota", "refused"),
    [
        (None, False),
        (SendQuota(-1, 14, 1e9), False),
        (SendQuota(200, 1, 0), False),
        (SendQuota(200, 1, 181), True),
        (SendQuota(200, 1, 230), True),
    ],
)
def test_which_quota_is_near_to_its_end(quota: SendQuota | None, refused: bool) -> None:
    """A sandbox of 200 a day has room while a tenth of it is left."""
    assert (no_room(quota) is not None) is refused


@pytest.mark.usefixtures("in_a_hurry")
async def test_a_sandbox_is_measured() -> None:
    """200 a day: messages to the mailbox simulator are not counted for it, in SES nor here."""
    simulator = Simulator(100.0, max_24_hour_send=20)
    found = await ended(simulator, ses, None)
    assert (found.status, found.complaint) == (Status.ALL_ACCEPTED, None)
    assert simulator.counts.accepted > 20


@pytest.mark.usefixtures("in_a_hurry")
async def test_a_quota_that_ends_in_the_middle() -> None:
    """By somebody else's doing: no profile, and the same later may be well."""
    fault = Fault("dot", reply=SMTPText.QUOTA_EXCEEDED, skip=30, times=None)
    found = await ended(Simulator(100.0, faults=[fault]), smtp)
    assert (found.status, found.profile) == (Status.REMAINING, None)
    assert "nothing is left of the daily quota" in (found.complaint or "")


@pytest.mark.parametrize("skip", [0, 40])
@pytest.mark.usefixtures("in_a_hurry")
async def test_a_blocked_account(skip: int) -> None:
    """Status 3 with its words, at the first message or in the middle; nothing more is offered then."""
    simulator = Simulator(100.0, faults=[Fault("dot", reply=SMTPText.PAUSED, skip=skip, times=None)])
    found = await ended(simulator, smtp)
    assert (found.status, found.profile) == (Status.ACCOUNT_BLOCKED, None)
    assert "Sending paused for this account" in (found.complaint or "")
    assert ("nothing was measured" in (found.complaint or "")) is (skip == 0)
    assert len(simulator.faults.struck) < 100


async def test_a_sender_that_is_not_verified() -> None:
    """Found out with one message."""
    simulator = Simulator(100.0, faults=[Fault("dot", reply=SMTPText.NOT_VERIFIED, times=None)])
    found = await ended(simulator, smtp)
    assert "Email address is not verified" in (found.complaint or "")
    assert len(simulator.faults.struck) == 1


async def test_a_certificate_that_is_not_trusted() -> None:
    """Nothing is sent, and the sentence names TLS."""
    simulator = Simulator(100.0, smtp=SMTPRules(tls="implicit", ssl_context=server_context()))
    found = await ended(simulator, lambda each: each.smtp_url.replace("127.0.0.1", "localhost"))
    assert (found.status, simulator.counts.accepted) == (Status.REMAINING, 0)
    assert "certificate" in (found.complaint or "").lower()


@pytest.mark.usefixtures("in_a_hurry")
async def test_other_refusals_now_and_then_are_passed_over() -> None:
    """A 451 among a hundred throttles changes nothing."""
    fault = Fault("dot", reply=SMTPText.TEMPORARY_FAILURE, skip=20, times=2)
    found = await ended(Simulator(100.0, depth=0.1, faults=[fault]), smtp)
    assert (found.status, found.complaint) == (Status.ALL_ACCEPTED, None)


@pytest.mark.usefixtures("in_a_hurry")
async def test_other_refusals_that_are_many_end_it() -> None:
    """With an example of their words: what was seen then says nothing of how the service counts."""
    fault = Fault("dot", reply=SMTPText.TEMPORARY_FAILURE, skip=20, times=None, probability=0.2)
    found = await ended(Simulator(100.0, faults=[fault]), smtp)
    assert (found.status, found.profile) == (Status.REMAINING, None)
    assert "neither accepted nor throttled, for example: transient: 451 Temporary service failure" in (
        found.complaint or ""
    )


async def test_replies_that_never_come_do_not_hold_it_up(in_a_hurry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is bounded in seconds: they are waited for a while, and count as lost."""
    monkeypatch.setattr(_experiments, "PATIENCE", 0.3)
    fault = Fault("dot", silent=True, skip=20, times=3)
    found = await ended(Simulator(100.0, depth=0.1, faults=[fault]), smtp)
    assert found.status is Status.ALL_ACCEPTED


@on_virtual_time
async def test_another_sender_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody else took is not taken for the account's own way."""
    transport = service("rival:every=9,recipients=40", quota=SendQuota(-1, 14.0, 0))
    monkeypatch.setattr(_measure, "transport_from_url", lambda _: transport)
    lines: list[str] = []
    await measure("ses://", SENDER, None, yes=True, tell=lines.append)
    assert any(line.startswith("likely   counting") and "another sender" in line for line in lines)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals to a process there")
def test_ctrl_c_in_the_middle(ses_simulator: Callable[..., Simulator], tmp_path: Path) -> None:
    """What was found is told, one sentence says that it was interrupted, and there is no profile, nor half of one."""
    simulator, profile = ses_simulator(14.0, smtp=SMTPRules(max_connections=3)), tmp_path / "account.toml"
    command = [sys.executable, "-m", "seslimit", "doctor", "--measure", "--to", simulator.smtp_url]
    options = ["--rate", "14", "--from", SENDER, "--yes", "--profile", str(profile)]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [next(process.stdout), next(process.stdout)]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == Status.REMAINING
    assert lines[1].startswith("sure     connections  3 at once")
    assert "interrupted: what is told above was measured, and no profile made" in err
    assert "Traceback" not in out + err
    assert list(tmp_path.iterdir()) == []


# The command


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
        asked = ["--to", "sim://", "--measure", "--from", SENDER, "--yes", "--profile", str(path)]
        assert run(["doctor", *asked]) == 2
        assert "nothing was sent" in capsys.readouterr().err


def _found(profile: str | None, complaint: str | None = None) -> Callable[..., Awaitable[Measured]]:
    async def found(*_: Any, **__: Any) -> Measured:
        return Measured(Status.ALL_ACCEPTED if profile else Status.ACCOUNT_BLOCKED, profile, complaint)

    return found


def test_what_was_found_is_told_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The same as the profile has, in one line on standard output."""
    text = 'rate = 14.0\n[counting]\nkind = "bucket"\ndepth = 0.5\n[smtp]\nsession_cap = 50\n'
    monkeypatch.setattr(_measure, "measure", _found(text))
    assert run(["doctor", "--to", "sim://", "--measure", "--from", SENDER, "--yes", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"rate": 14.0, "counting": {"kind": "bucket", "depth": 0.5}, "smtp": {"session_cap": 50}}


def test_what_ended_it_is_one_sentence_and_a_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """And a profile that was there before stays as it was."""
    kept = tmp_path / "account.toml"
    kept.write_text("rate = 1\n")
    monkeypatch.setattr(_measure, "measure", _found(None, "the account is paused."))
    asked = ["--to", "sim://", "--measure", "--from", SENDER, "--yes", "--profile", str(kept)]
    assert run(["doctor", *asked]) == Status.ACCOUNT_BLOCKED
    assert capsys.readouterr().err == "seslimit: the account is paused.\n"
    assert kept.read_text() == "rate = 1\n"


def test_a_profile_is_written_whole_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes its place when all of it is there; nothing else is left."""
    path = tmp_path / "account.toml"
    write_profile(path, "rate = 14\n")
    assert path.read_text() == "rate = 14\n"

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_profile(path, "rate = 15\n")
    assert path.read_text() == "rate = 14\n"
    assert list(tmp_path.iterdir()) == [path]


def test_an_end_says_what_it_is_about() -> None:
    """Words and status of each."""
    from seslimit import TransportError

    statuses = {outcome: Ended.by(TransportError(outcome, "Words.")).status for outcome in Outcome}
    assert statuses[Outcome.ACCOUNT_BLOCKED] is Status.ACCOUNT_BLOCKED
    assert statuses[Outcome.QUOTA_EXCEEDED] is statuses[Outcome.NOT_SENT] is Status.REMAINING
    assert statuses[Outcome.PERMANENT] is Status.WRONG_USAGE
