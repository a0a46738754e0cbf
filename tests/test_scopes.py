"""What an outcome is about: one sender is not the account, and a storm of unknowns is no message's fault."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from seslimit import (
    AccountBlocked,
    EndpointUnreachable,
    IdentityBlocked,
    Limiter,
    Message,
    Outcome,
    Reason,
    Report,
    RetryPolicy,
    Scope,
    Sender,
    SendFailed,
    TransportError,
)
from seslimit._meaning.replies import interpret
from seslimit._model.outcome import Door, Reply, Stage

from .service_model import Script, ScriptedService, message, messages
from .virtual_time import on_virtual_time

UNVERIFIED = (
    "Message rejected: Email address is not verified. The following identities failed the check in region US-EAST-1: "
)
DENIED = (
    "Access denied: User `arn:aws:iam::1:user/x' is not authorized to perform `ses:SendRawEmail' on resource "
    "`arn:aws:ses:us-east-1:1:identity/example.com'"
)


def now() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


def of(sender: str, key: int = 0) -> Message:
    """A message of this sender."""
    return Message(f"{sender}@example.com", ["somebody@example.org"], b"x", key)


def unverified(one: Message) -> TransportError:
    """What SES says of a sender that it does not know."""
    reply = Reply(Door.SMTP, Stage.DOT, "554", UNVERIFIED + one.mail_from)
    return TransportError.of(interpret(reply, one.recipients), str(reply))


def refuses_bad(until: float = 1e9) -> Script:
    """Refuse what `bad` sends, and take the rest."""
    return lambda one, _: unverified(one) if one.mail_from.startswith("bad") and now() < until else Outcome.ACCEPTED


# One sender is not the account


@pytest.mark.parametrize(
    ("door", "stage", "code", "text", "scope"),
    [
        (Door.SMTP, Stage.DOT, "554", UNVERIFIED + "bad@example.com", Scope.IDENTITY),
        (Door.API, Stage.REQUEST, "MessageRejected", UNVERIFIED + "bad@example.com", Scope.IDENTITY),
        (Door.API, Stage.REQUEST, "MailFromDomainNotVerifiedException", "", Scope.IDENTITY),
        (Door.API, Stage.REQUEST, "NotFoundException", "Configuration set <x> does not exist", Scope.IDENTITY),
        (
            Door.SMTP,
            Stage.DOT,
            "554",
            DENIED,
            Scope.IDENTITY,
        ),
        (
            Door.API,
            Stage.REQUEST,
            "AccessDeniedException",
            "User is not authorized to perform: ses:SendEmail",
            Scope.ACCOUNT,
        ),
        (Door.SMTP, Stage.DOT, "554", "Message rejected: Sending paused for this account.", Scope.ACCOUNT),
        (Door.SMTP, Stage.AUTH, "535", "Authentication Credentials Invalid", Scope.ACCOUNT),
    ],
)
def test_a_block_says_whom_it_is_about(door: Door, stage: Stage, code: str, text: str, scope: Scope) -> None:
    """An identity where the reply is about a sender, its configuration set or a policy's resource; else the account."""
    meaning = interpret(Reply(door, stage, code, text), ["somebody@example.org"])
    assert (meaning.outcome, meaning.scope) == (Outcome.ACCOUNT_BLOCKED, scope)


def test_an_unverified_identity_is_named() -> None:
    """As the reply names it."""
    assert unverified(of("bad")).meaning.identity == "bad@example.com"


@on_virtual_time
async def test_one_unverified_sender_ends_alone() -> None:
    """One attempt finds out; the other two senders lose nothing and keep the full rate."""
    service = ScriptedService(refuses_bad())
    reports: list[Report] = []
    async with Sender(service, limiter=Limiter(50, max_rate=50)) as sender:
        source = (of(("good", "bad", "fine")[key % 3], key) for key in range(300))
        async for report in sender.send_many(source):
            reports.append(report)  # noqa: PERF401  # as they come
    accepted = Counter(one.message.mail_from for one in reports if one.outcome is Outcome.ACCEPTED)
    assert accepted == {"good@example.com": 100, "fine@example.com": 100}
    assert sum(one.mail_from.startswith("bad") for one in map(_sent, service.attempts)) <= 5
    assert now() < 4.6
    blocked = [one for one in reports if one.outcome is not Outcome.ACCEPTED]
    assert {one.outcome for one in blocked} == {Outcome.ACCOUNT_BLOCKED, Outcome.NOT_SENT}
    assert len(blocked) == 100
    assert all("bad@example.com" in str(one.error) for one in blocked)


def _sent(key: object) -> Message:
    return of(("good", "bad", "fine")[int(str(key)) % 3])


@on_virtual_time
async def test_a_stranger_is_not_stopped_by_a_slip_in_a_from() -> None:
    """As behind a relay that several programs share: `bad` sends one message, and `good` goes on."""
    service = ScriptedService(refuses_bad())
    async with Sender(service, limiter=Limiter(50)) as sender:
        with pytest.raises(IdentityBlocked, match=r"bad@example\.com"):
            await sender.send(of("bad"))
        await sender.send(of("good"))
        with pytest.raises(IdentityBlocked, match=r"bad@example\.com") as again:
            await sender.send(of("bad", 2))
        assert (again.value.unsent, len(service.attempts)) == ((of("bad", 2),), 2)
        assert sender.limiter.paused is None


@on_virtual_time
async def test_a_blocked_sender_is_tried_again_after_a_while() -> None:
    """Somebody has verified it meanwhile."""
    service = ScriptedService(refuses_bad(until=20.0))
    async with Sender(service, limiter=Limiter(50)) as sender:
        with pytest.raises(IdentityBlocked):
            await sender.send(of("bad"))
        await asyncio.sleep(31.0)
        await sender.send(of("bad"))
        await sender.send(of("bad"))


@on_virtual_time
async def test_a_run_with_a_single_sender_stops_at_once() -> None:
    """Nothing of it could be sent, and everything is unsent."""
    service = ScriptedService(refuses_bad())
    async with Sender(service, limiter=Limiter(50)) as sender:
        with pytest.raises(AccountBlocked, match=r"bad@example\.com") as stopped:
            async for _ in sender.send_many(of("bad", key) for key in range(1000)):
                pass
    assert len(service.attempts) == 1
    assert stopped.value.unsent[0].key == 0


# A storm of unknowns


@on_virtual_time
async def test_a_storm_of_unknown_outcomes_is_not_worked_off_blindly() -> None:
    """A service that takes each message and breaks the connection: sending pauses, says so, and probes with one."""

    def breaks(one: Message, attempt: int) -> Outcome:
        return Outcome.UNKNOWN if now() < 60.0 else Outcome.ACCEPTED

    service, paused = ScriptedService(breaks), set()
    async with Sender(service, limiter=Limiter(50, max_rate=50), max_in_flight=5) as sender:
        async for report in sender.send_many(messages(100)):
            assert report.outcome in (Outcome.ACCEPTED, Outcome.UNKNOWN)
            paused.add(sender.limiter.paused)
    assert Reason.OUTCOMES_UNKNOWN in paused
    assert sum(at < 60.0 for at in service.times) <= 5 + 8
    assert max(Counter(service.attempts).values()) <= 2


@on_virtual_time
async def test_a_few_unknown_outcomes_among_others_pause_nothing() -> None:
    """One in four, as a bad line has it."""
    service = ScriptedService(lambda one, attempt: Outcome.UNKNOWN if int(str(one.key)) % 4 == 0 else Outcome.ACCEPTED)
    async with Sender(service, limiter=Limiter(50, max_rate=50), retry=RetryPolicy(max_unknown=1)) as sender:
        reports = [report async for report in sender.send_many(messages(100))]
    assert len(reports) == 100
    assert now() < 2.5


# While a probe is out


@pytest.mark.parametrize("outcome", [Outcome.QUOTA_EXCEEDED, Outcome.ACCOUNT_BLOCKED, Outcome.NOT_SENT])
@on_virtual_time
async def test_while_a_probe_is_out_others_wait_for_its_end(outcome: Outcome) -> None:
    """When a pause is over, the first message finds out; those beside it were refused meanwhile, and were lost."""
    blocked = TransportError(outcome, "so it is", blocks_endpoint=True)
    service = ScriptedService(lambda one, attempt: blocked if now() < 20.0 else Outcome.ACCEPTED)
    retry = RetryPolicy(on_quota_exceeded="stop", max_unreachable=5.0)
    async with Sender(service, limiter=Limiter(1000, max_rate=1000), retry=retry) as sender:
        with pytest.raises((AccountBlocked, EndpointUnreachable, Exception)):
            await sender.send(message("first"))
        await asyncio.sleep(100.0)
        await asyncio.gather(*(sender.send(message(key)) for key in range(10)))


# Bugs


@on_virtual_time
async def test_a_bug_in_a_plug_in_after_the_message_was_taken_sends_it_once() -> None:
    """A KeyError after the 200: nobody's reply was lost."""
    taken: list[object] = []

    class PlugIn(ScriptedService):
        async def send(self, message: Message) -> object:  # type: ignore[override]  # it never returns
            taken.append(message.key)
            answer: dict[str, str] = {}
            return answer["MessageId"]

    async with Sender(PlugIn(), limiter=Limiter(50)) as sender:  # type: ignore[arg-type]
        with pytest.raises(SendFailed) as failed:
            await sender.send(message("a"))
        assert (failed.value.report.outcome, taken) == (Outcome.UNKNOWN, ["a"])
        reports = [report async for report in sender.send_many(messages(10))]
    assert len(taken) == 11
    assert {type(report.error) for report in reports} == {KeyError}
