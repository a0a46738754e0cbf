"""A warm-up: each day has what the plan says and the day before deserved, over restarts, and never more."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seslimit import Attempted, ConfigurationError, Limiter, Message, Outcome, Paused, Sender, SendQuota, TransportError
from seslimit.cli._commands import run
from seslimit.cli._ending import shown
from seslimit.cli._reputation import remembered
from seslimit.feedback import Plan, StateFile, WarmUp, event_of
from seslimit.feedback._warm_up_plan import DAY, Day, Progress, Step
from seslimit.outbox import Outbox
from seslimit.testing import FakeTransport, Simulator

from .command_line import FAST, ended, lines_of, started, until, written_list
from .simulations.warm_up import played
from .sns_authority import document
from .virtual_time import on_virtual_time

pytestmark = pytest.mark.once

CONTENT = b"From: news@example.org\r\nSubject: Hello\r\n\r\nHi!\r\n"
PLAN = Plan([Step(200, 1.0), Step(400, 1.0), Step(800, 2.0)])
URL = "sim://?rate=100"


def message(*recipients: str) -> Message:
    """A message to these."""
    return Message("news@example.org", recipients or ["reader@example.net"], CONTENT)


# The plan


def test_a_plan_of_days_grows_by_equal_factors() -> None:
    """From the first day's volume to the last one's, spread over four hours at least."""
    plan = Plan.parse("14d:200-50000")
    caps = [step.recipients for step in plan.steps]
    assert (len(caps), caps[0], caps[-1]) == (14, 200, 50_000)
    assert all(1.4 < later / earlier < 1.7 for earlier, later in pairwise(caps))
    assert (plan.steps[0].rate, plan.steps[-1].rate) == (1.0, 4.0)
    assert Plan.parse("14d") == plan
    assert len(Plan.parse("1d:5-5").steps) == 1


def test_a_plan_may_be_a_table() -> None:
    """A day a line; a rate where one is wanted, a heading where there is one."""
    assert Plan.table(["recipients,rate", "200", "", "500, 2.5"]) == Plan([Step(200, 1.0), Step(500, 2.5)])


@pytest.mark.parametrize("wrong", ["", "two weeks", "0d", "14d:0-5", "14d:200", "14"])
def test_what_is_no_plan_is_one_sentence(wrong: str) -> None:
    """With what to write."""
    with pytest.raises(ConfigurationError):
        Plan.parse(wrong)
    with pytest.raises(ConfigurationError):
        Plan.table(["200,fast"])


def test_a_plan_goes_on_where_the_account_may_send_more() -> None:
    """By the factor of its last days, at most doubled a day, up to the quota."""
    assert [step.recipients for step in PLAN.reaching(3000).steps] == [200, 400, 800, 1600, 3000]
    assert PLAN.reaching(700) is PLAN
    assert PLAN.reaching(-1) is PLAN


@pytest.mark.parametrize(
    ("day", "step"),
    [
        (Day(1, 400), 2),
        (Day(1, 319), 1),
        (Day(1, 400, bounces=4), 2),
        (Day(1, 400, bounces=10), 1),
        (Day(1, 400, bounces=24), 0),
        (Day(1, 400, complaints=1), 2),
        (Day(1, 400, complaints=2), 0),
        (Day(0, 200, bounces=20), 0),
        (Day(2, 800), 3),
    ],
)
def test_a_day_gives_the_next_what_it_deserves(day: Day, step: int) -> None:
    """More after a full and good one; the same after a poor one; less after a bad one (5 %, 0.1 %)."""
    progress = Progress(day.step, 0.0, day.sent, day.bounces, day.complaints)
    after = progress.at(DAY, PLAN)
    assert (after.step, after.began, after.sent, after.past) == (step, DAY, 0, (day,))


def test_days_without_messages_change_nothing() -> None:
    """A weekend is no bad day, and no good one."""
    after = Progress(1, 0.0, 400).at(5.5 * DAY, PLAN)
    assert (after.step, after.began, len(after.past)) == (2, 5 * DAY, 1)
    assert after.at(9 * DAY, PLAN).step == 2
    assert after.at(9 * DAY, PLAN).past == after.past


@given(
    st.lists(st.tuples(st.integers(0, 800), st.integers(0, 100), st.floats(0.1, 3.0)), max_size=30),
)
def test_a_plan_is_never_left_and_never_jumped(days: list[tuple[int, int, float]]) -> None:
    """One step a day at most, in either direction; it reads back as it was written."""
    progress, now = Progress().at(0.0, PLAN), 0.0
    for sent, bounces, length in days:
        progress = attrs.evolve(progress, sent=min(sent, int(min(progress.cap(PLAN), 1e6))), bounces=min(bounces, sent))
        before, now = progress, now + length * DAY
        progress = progress.at(now, PLAN)
        assert abs(progress.step - before.step) <= 1
        assert 0 <= progress.step <= len(PLAN.steps)
        assert Progress.of(json.loads(json.dumps(progress.as_json()))) == progress
    assert Plan.of(json.loads(json.dumps(PLAN.as_json()))) == PLAN


# At work


def test_the_plan_is_followed_whatever_happens() -> None:
    """What `python -m benchmarks.warm_up` plays, smaller: never over, restarts change nothing, a bad day steps back."""
    plan = Plan.parse("6d:60-150")
    smooth = played(plan, days=6)
    assert list(smooth.sent) == plan_caps(plan)
    assert max(smooth.most_in_a_second) <= 2
    assert played(plan, restarts=True, days=6).sent == smooth.sent
    killed = played(plan, kills=True, days=6)
    assert all(cap - 20 <= sent <= cap for sent, cap in zip(killed.sent, plan_caps(plan), strict=True))
    bad = played(plan, bad=3, days=6)
    assert bad.sent[:3] == smooth.sent[:3]
    assert bad.sent[3] < smooth.sent[3]
    assert bad.sent[4:] == smooth.sent[2:4]


def plan_caps(plan: Plan) -> list[int]:
    """The caps of a plan."""
    return [step.recipients for step in plan.steps]


def clock() -> float:
    """Virtual time as seconds since some beginning."""
    return asyncio.get_running_loop().time()


@on_virtual_time
async def test_a_message_to_many_counts_as_many_and_waits_for_its_day() -> None:
    """No attempt is counted, and the limiter rests until the day is over."""
    limiter = Limiter(100.0)
    warm_up = WarmUp(Plan([Step(10, 5.0), Step(20, 5.0)]), limiter, clock=clock)
    inner = FakeTransport()
    async with Sender(warm_up.transport(inner), limiter=limiter) as sender:
        eight = [f"r{number}@example.net" for number in range(8)]
        await sender.send(message(*eight))
        assert limiter.rate == 5.0
        await sender.send(message(*eight))
    assert [attempt.at // DAY for attempt in inner.attempts] == [0, 1]
    assert [day.sent for day in warm_up.progress.past] == [8]


@on_virtual_time
async def test_what_waits_for_tomorrow_is_no_attempt_at_the_service() -> None:
    """
    Who counts attempts hears of those that the service saw.

    "Quotas are based on the number of recipients" that the service accepts (SES guide, "Managing your sending quotas"):
    what never left counts for neither.
    """
    heard: list[object] = []
    limiter = Limiter(100.0, hooks=[heard.append])
    warm_up = WarmUp(Plan([Step(1, 5.0), Step(1, 5.0)]), limiter, clock=clock)
    async with Sender(warm_up.transport(FakeTransport()), limiter=limiter) as sender:
        await sender.send(message())
        await sender.send(message())
    assert [event.outcome for event in heard if isinstance(event, Attempted)] == [Outcome.ACCEPTED] * 2
    assert [event.reason for event in heard if isinstance(event, Paused)][:1] == ["quota exceeded"]


@on_virtual_time
async def test_what_was_certainly_not_sent_is_given_back() -> None:
    """A throttle costs nothing of the day; what may have been accepted does."""
    answers: list[Outcome] = [Outcome.THROTTLED, Outcome.PERMANENT, Outcome.UNKNOWN]
    warm_up = WarmUp(PLAN, limiter := Limiter(100.0), clock=clock)
    transport = warm_up.transport(FakeTransport(lambda _: answers.pop(0)))
    for _ in range(3):
        with pytest.raises(TransportError):
            await transport.send(message())
    assert warm_up.progress.sent == 1
    await transport.aclose()
    assert limiter.rate == 1.0


@on_virtual_time
async def test_a_bad_day_ends_at_once() -> None:
    """What bounced is heard in the middle of the day, and the rest of it is not sent."""
    warm_up = WarmUp(PLAN, Limiter(100.0), clock=clock)
    transport = warm_up.transport(FakeTransport())
    for _ in range(60):
        await transport.send(message())
    for number in range(5):
        await warm_up.hear(event_of(document("Bounce", feedbackId=f"f{number}")))
    with pytest.raises(TransportError, match="lets nothing more go today"):
        await transport.send(message())
    assert warm_up.progress.today == Day(0, 60, bounces=5)


@on_virtual_time
async def test_the_accounts_quota_makes_the_plan_longer() -> None:
    """GetAccount is asked anyhow; after the last day of the plan comes what it added, and then no cap."""
    warm_up = WarmUp(PLAN, limiter := Limiter(100.0), clock=clock)
    quota = SendQuota(1600, 14.0, 0)
    transport: Any = warm_up.transport(FakeTransport(send_quota=quota))
    assert await transport.quota() == quota
    assert plan_caps(warm_up.plan) == [200, 400, 800, 1600]
    over = WarmUp(Plan([Step(1, 1.0)]), limiter, clock=clock)
    one = over.transport(FakeTransport())
    await one.send(message())
    await asyncio.sleep(DAY)
    for _ in range(300):
        await one.send(message())
    assert (over.progress.step, limiter.rate) == (1, 100.0)


@on_virtual_time
async def test_ses_own_figures_count_where_no_events_come() -> None:
    """An account under review sends no more today, and less tomorrow."""
    warm_up = WarmUp(PLAN, Limiter(100.0), clock=clock)
    transport = warm_up.transport(FakeTransport())
    await transport.send(message())
    warm_up.told(0.06, 0.0)
    with pytest.raises(TransportError):
        await transport.send(message())
    warm_up.told(0.0, 0.0)
    await transport.send(message())


@on_virtual_time
async def test_a_state_that_cannot_be_written_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not known after a restart could be sent twice in a day."""
    with StateFile(tmp_path / "state.json") as state:
        inner = FakeTransport()
        transport = WarmUp(PLAN, Limiter(100.0), state=state, clock=clock).transport(inner)

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr("tempfile.mkstemp", full)
            with pytest.raises(TransportError, match="No space left"):
                await transport.send(message())
        assert inner.attempts == []
        await transport.send(message())


def test_a_state_file_is_whole_and_one_processs(tmp_path: Path) -> None:
    """It keeps what others put there; a second process is told; what is no state file is left alone."""
    path = tmp_path / "state.json"
    with StateFile(path) as state:
        state.put("rate", 1)
        state.put("warm_up", {"a": 2})
        with pytest.raises(ConfigurationError, match="used by another process"):
            StateFile(path)
    with StateFile(path) as again:
        assert (again.get("rate"), again.get("warm_up"), again.get("none")) == (1, {"a": 2}, None)
    path.write_text("[1]")
    with pytest.raises(ConfigurationError, match="no state file"):
        StateFile(path)
    assert path.read_text() == "[1]"


@pytest.mark.parametrize("damage", [{"plan": []}, {"plan": "x"}, {"progress": {}}, {"progress": None}])
def test_a_damaged_warm_up_is_not_begun_anew(tmp_path: Path, damage: dict[str, Any]) -> None:
    """Its first day might be the second today."""
    with StateFile(tmp_path / "state.json") as state:
        state.put("warm_up", {"plan": PLAN.as_json(), "progress": Progress().as_json()} | damage)
        with pytest.raises(ConfigurationError):
            WarmUp(PLAN, Limiter(), state=state)


# The command line


def test_send_stops_at_the_days_cap_and_goes_on_tomorrow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 75 with --on-quota stop; a second run on the same day sends nothing, one on the next the rest."""
    given = str(written_list(tmp_path, 12))
    report, state = tmp_path / "report.jsonl", tmp_path / "state.json"
    plan = tmp_path / "plan.csv"
    plan.write_text("recipients,rate\n5,100\n10,100\n")
    send = ["send", given, "--to", URL, "--report", str(report), "--on-quota", "stop", "--resume"]
    send += ["--warm-up", str(plan), "--state", str(state)]
    assert run(send) == 75
    assert "the warm-up lets nothing more go today" in capsys.readouterr().err
    assert [line["outcome"] for line in lines_of(report)].count("accepted") == 5
    assert run(send) == 75
    assert [line["outcome"] for line in lines_of(report)].count("accepted") == 5
    kept = json.loads(state.read_text())
    kept["warm_up"]["progress"]["began"] -= DAY
    state.write_text(json.dumps(kept))
    assert run(send) == 0
    assert [line["outcome"] for line in lines_of(report)].count("accepted") == 12
    capsys.readouterr()
    assert run(["warm-up", "show", "--state", str(state)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:4] == ["1", "5", "100", "5"]
    assert lines[2].split()[:4] == ["2", "10", "100", "7"]
    assert lines[2].endswith("<- today")


def test_a_worker_warms_up_and_is_guarded_as_a_send_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ses_simulator: Callable[..., Simulator]
) -> None:
    """It rests at the day's cap, which is remembered, and says what its options need."""
    box, state, plan = tmp_path / "mail.db", tmp_path / "state.json", tmp_path / "plan.csv"
    plan.write_text("recipients,rate\n5,100\n10,100\n")

    async def put() -> None:
        async with Outbox(box) as outbox:
            await outbox.add(message(f"r{number}@example.net") for number in range(12))

    asyncio.run(put())
    service = ses_simulator(FAST)
    work = ["work", "--outbox", str(box), "--to", service.smtp_url, "--warm-up", str(plan), "--json"]
    assert run(work) == 2
    assert "--warm-up needs --state FILE" in capsys.readouterr().err
    assert run([*work, "--state", str(state), "--guard"]) == 2
    assert "needs --to ses://REGION" in capsys.readouterr().err
    worker = started(*work, "--state", state)
    until(lambda: len(service.accepted) == 5)
    worker.send_signal(signal.SIGTERM)
    status, out, _ = ended(worker)
    figures = json.loads(out.splitlines()[-1])
    assert (status, figures["accepted"], figures["attempts"]) == (0, 5, 5)
    assert json.loads(state.read_text())["warm_up"]["progress"]["sent"] == 5


def test_warm_up_show_prints_a_plan(capsys: pytest.CaptureFixture[str]) -> None:
    """As a table with a plot, or as JSON."""
    assert run(["warm-up", "show", "3d:100-400"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["3", "400", "1", "." * 30]
    assert run(["warm-up", "show", "3d:100-400", "--json"]) == 0
    assert [cap for cap, _ in json.loads(capsys.readouterr().out)["plan"]] == [100, 200, 400]
    assert run(["warm-up", "show"]) == 2


def test_options_that_need_others_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A warm-up without a memory would begin anew with each run; SMTP tells nothing of the account."""
    given = str(written_list(tmp_path, 1))
    assert run(["send", given, "--to", URL, "--warm-up", "14d"]) == 2
    assert "--warm-up needs --state FILE" in capsys.readouterr().err
    assert run(["send", given, "--to", URL, "--guard"]) == 2
    assert "needs --to ses://REGION" in capsys.readouterr().err


def test_a_rate_that_was_found_is_where_the_next_run_begins(tmp_path: Path) -> None:
    """To the same service, for a week; never above --max-rate."""
    given, state = str(written_list(tmp_path, 60)), tmp_path / "state.json"
    url = "sim://?rate=20"
    assert run(["send", given, "--to", url, "--rate", "80", "--state", str(state)]) == 0
    with StateFile(state, lock=False) as kept:
        found = remembered(kept, url, None)
        assert found is not None
        assert found == kept.get("rate")["estimate"]
        assert 10.0 < found < 80
        assert remembered(kept, url, 10.0) == 10.0
        assert remembered(kept, "smtp://example.net:587", None) is None
        kept.put("rate", {"to": shown(url), "estimate": 40.0, "at": time.time() - 8 * DAY})
        assert remembered(kept, url, None) is None
        kept.put("rate", "damaged")
        assert remembered(kept, url, None) is None
    assert remembered(None, url, None) is None


@pytest.mark.parametrize("told", [("--max-rate", "3"), ("--rate", "5")])
def test_a_rate_that_was_told_is_not_remembered(tmp_path: Path, told: tuple[str, str]) -> None:
    """It is the user's figure; what was found before stays."""
    state = tmp_path / "state.json"
    with StateFile(state) as kept:
        kept.put("rate", {"to": shown(URL), "estimate": 40.0, "at": time.time()})
    assert run(["send", str(written_list(tmp_path, 1)), "--to", URL, *told, "--state", str(state)]) == 0
    with StateFile(state, lock=False) as kept:
        assert remembered(kept, URL, None) == 40.0


def test_another_plan_than_the_one_under_way_is_refused(tmp_path: Path) -> None:
    """Silently the old one would go on, and a cap that was lowered would not hold."""
    with StateFile(tmp_path / "state.json") as state:
        WarmUp(Plan.parse("3d:100-400"), Limiter(), state=state).take(1)
        with pytest.raises(ConfigurationError, match="another warm-up plan is under way"):
            WarmUp(Plan.parse("3d:10-40"), Limiter(), state=state)
