"""Single sends that have to end together: stopped, closed, out of quota, out of reach."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable

import pytest

from seslimit import (
    EndpointUnreachable,
    Limiter,
    Outcome,
    QuotaExceeded,
    RetryPolicy,
    Sender,
    SendFailed,
    SendingStopped,
    SendQuota,
    TransportError,
)
from seslimit.testing._account import SimulatedAccount

from .service_model import ModelService, ScriptedService, WithQuota, first_attempts, message
from .virtual_time import on_virtual_time

IMPATIENT = RetryPolicy(on_quota_exceeded="stop")


def now() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


async def ends(*sends: Awaitable[object]) -> Counter[str]:
    """How many ended in what: an exception's name, or "Receipt"."""
    return Counter(type(result).__name__ for result in await asyncio.gather(*sends, return_exceptions=True))


@on_virtual_time
async def test_stop_sends_those_back_that_wait_and_lets_attempts_end() -> None:
    """The accepted ones are what the service has; the others hear that the sender was stopped, with their message."""
    service = ScriptedService()
    async with Sender(service, limiter=Limiter(10, max_rate=10)) as sender:
        asyncio.get_running_loop().call_later(1.0, sender.stop)
        results = await asyncio.gather(*(sender.send(message(key)) for key in range(50)), return_exceptions=True)
        told = [result for result in results if isinstance(result, SendingStopped)]
        assert sum(service.ledger.values()) + len(told) == 50
        assert 5 <= len(service.attempts) <= 12
        assert [stopped.unsent[0].key for stopped in told] == list(range(50 - len(told), 50))
        assert now() < 1.3
        await sender.send(message("later"))


@on_virtual_time
async def test_closing_refuses_later_calls_at_once() -> None:
    """Nobody waits for a transport that is closed."""
    sender = Sender(ScriptedService())
    await sender.aclose()
    with pytest.raises(SendingStopped, match="stopped"):
        await sender.send(message())
    with pytest.raises(SendingStopped, match="stopped"):
        await anext(sender.send_many([message()]))
    assert now() < 0.001


@on_virtual_time
async def test_closing_waits_for_the_attempts_of_other_tasks() -> None:
    """They end before the transport is closed."""
    service = ScriptedService(delay=2.0)
    sender = Sender(service, limiter=Limiter(1000))
    call = asyncio.create_task(sender.send(message()))
    await asyncio.sleep(0.5)
    await sender.aclose()
    assert call.done()
    assert (await call).message_id
    assert sender.unfinished == ()


@on_virtual_time
async def test_an_attempt_beyond_the_deadline_is_unknown_and_named() -> None:
    """Its caller hears that the message may have been accepted."""
    sender = Sender(ScriptedService(delay=60.0), limiter=Limiter(1000))
    call = asyncio.create_task(sender.send(message("slow")))
    await asyncio.sleep(0.5)
    await sender.aclose(3.0)
    assert now() == pytest.approx(3.5)
    assert [unfinished.key for unfinished in sender.unfinished] == ["slow"]
    with pytest.raises(SendFailed) as failed:
        await call
    assert failed.value.report.outcome is Outcome.UNKNOWN


@on_virtual_time
async def test_a_call_that_its_caller_cancels_is_cancelled() -> None:
    """Also in the moment in which the sender stops."""
    sender = Sender(ScriptedService(), limiter=Limiter(0.1, max_rate=0.1))
    await sender.send(message())
    call = asyncio.create_task(sender.send(message()))
    await asyncio.sleep(1.0)
    call.cancel()
    sender.stop()
    with pytest.raises(asyncio.CancelledError):
        await call
    await sender.aclose()


@on_virtual_time
async def test_a_stop_in_a_backoff_sends_the_message_back() -> None:
    """It is unsent, as far as is known."""
    sender = Sender(ScriptedService(first_attempts(Outcome.TRANSIENT)), retry=RetryPolicy(first_wait=1000.0))
    asyncio.get_running_loop().call_later(1.0, sender.stop)
    with pytest.raises(SendingStopped):
        await sender.send(message())
    await sender.aclose()


@on_virtual_time
async def test_a_stop_after_an_unknown_outcome_does_not_call_the_message_unsent() -> None:
    """It may have been accepted, and its caller hears so."""
    sender = Sender(ScriptedService(first_attempts(Outcome.UNKNOWN)), retry=RetryPolicy(first_wait=1000.0))
    asyncio.get_running_loop().call_later(1.0, sender.stop)
    with pytest.raises(SendFailed) as failed:
        await sender.send(message())
    assert failed.value.report.outcome is Outcome.UNKNOWN
    await sender.aclose()


@on_virtual_time
async def test_an_impatient_policy_does_not_wait_for_the_quota() -> None:
    """All that wait are told at once, with the seconds until the first of it comes back, and a probe goes later."""
    account = SimulatedAccount(50, max_24_hour_send=100, day=300.0)
    sender = Sender(ModelService(account), limiter=Limiter(50, max_rate=50), retry=IMPATIENT)
    assert await ends(*(sender.send(message(key)) for key in range(200))) == {"Receipt": 100, "QuotaExceeded": 100}
    assert now() < 3.0
    with pytest.raises(QuotaExceeded) as refused:
        await sender.send(message("more"))
    assert refused.value.retry_after == pytest.approx(86_400, abs=10)
    assert refused.value.unsent[0].key == "more"
    assert isinstance(refused.value.__cause__, TransportError)
    await asyncio.sleep(320.0)
    await sender.send(message("the next day"))
    assert sender.limiter.paused is None
    await sender.aclose()


@on_virtual_time
async def test_figures_that_leave_nothing_refuse_without_an_attempt() -> None:
    """The service is not asked."""
    service = WithQuota(quotas=[SendQuota(200, 50, 200)])
    async with Sender(service, limiter=Limiter(50), retry=IMPATIENT) as sender:
        with pytest.raises(QuotaExceeded, match="Nothing is left") as refused:
            await sender.send(message())
        assert service.attempts == []
        assert 0 < refused.value.retry_after <= 600


@on_virtual_time
async def test_a_patient_policy_waits_for_the_quota() -> None:
    """As before."""
    service = ScriptedService(first_attempts(Outcome.QUOTA_EXCEEDED))
    async with Sender(service) as sender:
        await sender.send(message())
    assert now() >= 10.0


@on_virtual_time
async def test_all_that_wait_hear_of_an_endpoint_out_of_reach_together() -> None:
    """Not one probe after another."""
    down = TransportError(Outcome.NOT_SENT, "connection refused", blocks_endpoint=True)
    sender = Sender(ScriptedService(first_attempts(*[down] * 99)), limiter=Limiter(100))
    assert await ends(*(sender.send(message(key)) for key in range(50))) == {"EndpointUnreachable": 50}
    assert now() < 10.0
    with pytest.raises(EndpointUnreachable, match="connection refused"):
        await sender.send(message())
    await sender.aclose()


@on_virtual_time
@pytest.mark.parametrize("outcome", [Outcome.THROTTLED, Outcome.NOT_SENT, Outcome.TRANSIENT])
async def test_a_last_attempt_that_ends_nothing_sends_the_message_back(outcome: Outcome) -> None:
    """The sender was stopped during the attempt: the message was not given up, it is unsent."""
    sender = Sender(ScriptedService(first_attempts(outcome), delay=1.0), limiter=Limiter(1000))
    asyncio.get_running_loop().call_later(0.5, sender.stop)
    with pytest.raises(SendingStopped) as stopped:
        await sender.send(message("unsent"))
    assert [each.key for each in stopped.value.unsent] == ["unsent"]
    assert isinstance(stopped.value.__cause__, TransportError)
    await sender.aclose()


@on_virtual_time
@pytest.mark.parametrize("outcome", [Outcome.PERMANENT, Outcome.UNKNOWN])
async def test_a_last_attempt_that_ends_the_message_is_reported(outcome: Outcome) -> None:
    """Also while the sender stops."""
    sender = Sender(ScriptedService(first_attempts(outcome), delay=1.0), limiter=Limiter(1000))
    asyncio.get_running_loop().call_later(0.5, sender.stop)
    with pytest.raises(SendFailed) as failed:
        await sender.send(message())
    assert failed.value.report.outcome is outcome
    await sender.aclose()


@on_virtual_time
async def test_the_quota_can_be_asked_for_beforehand() -> None:
    """Before the first message, and once; the former name does the same."""
    service = WithQuota(quotas=[SendQuota(200, 50, 0)])
    sender = Sender(service)
    await sender.ask_quota()
    await sender.open()
    assert len(service.asked) == 1
    assert sender.limiter.quota == SendQuota(200, 50, 0)
    await sender.aclose()


@on_virtual_time
async def test_a_closed_sender_does_not_ask_for_the_quota() -> None:
    """Its transport is closed, and nobody would end the watch."""
    service = WithQuota(quotas=[SendQuota(200, 50, 0)])
    sender = Sender(service)
    await sender.aclose()
    with pytest.raises(SendingStopped):
        await sender.send(message())
    await asyncio.sleep(1.0)
    assert service.asked == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


@on_virtual_time
async def test_a_limiter_tells_its_bound() -> None:
    """As it was told."""
    assert (Limiter().max_rate, Limiter(max_rate=14).max_rate) == (None, 14)


# Withdrawing.


@on_virtual_time
async def test_withdrawn_while_it_waits() -> None:
    """It is sent back at once and unsent; everybody else keeps the place."""
    service = ScriptedService()
    async with Sender(service, limiter=Limiter(1, max_rate=1)) as sender:
        messages = [message(key) for key in range(4)]
        sends = [asyncio.create_task(sender.send(each)) for each in messages]
        await asyncio.sleep(0.1)
        sender.withdraw(messages[2])
        with pytest.raises(SendingStopped, match="withdrawn") as stopped:
            await sends[2]
        assert stopped.value.unsent == (messages[2],)
        assert now() == pytest.approx(0.1, abs=0.01)
        await asyncio.gather(sends[0], sends[1], sends[3])
        assert service.attempts == [0, 1, 3]
        sender.withdraw(messages[0])


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        (Outcome.ACCEPTED, "Receipt"),
        (Outcome.THROTTLED, "SendingStopped"),
        (Outcome.TRANSIENT, "SendingStopped"),
        (Outcome.PERMANENT, "SendFailed"),
        (Outcome.UNKNOWN, "SendFailed"),
    ],
)
@on_virtual_time
async def test_withdrawn_during_its_attempt(answer: Outcome, end: str) -> None:
    """The attempt counts and is the last: accepted, there is a receipt; refused for now, it is unsent."""
    service = ScriptedService(lambda _message, _attempt: answer, delay=1.0)
    async with Sender(service, limiter=Limiter(1000)) as sender:
        one = message()
        sending = asyncio.create_task(sender.send(one))
        await asyncio.sleep(0.5)
        sender.withdraw(one)
        assert await ends(sending) == {end: 1}
        assert len(service.attempts) == 1


@on_virtual_time
async def test_withdrawn_before_the_quota_is_known() -> None:
    """Also the first message of all, which waits for the service's answer to another question."""
    sender, one = Sender(WithQuota(delay=30.0, quotas=[None])), message()
    sending = asyncio.create_task(sender.send(one))
    await asyncio.sleep(0.5)
    sender.withdraw(one)
    assert await ends(sending) == {"SendingStopped": 1}
    assert now() < 1.0
    await sender.aclose()


@on_virtual_time
async def test_a_cancellation_beside_a_withdrawal_stays_one() -> None:
    """Whoever cancels the task sees it cancelled."""
    async with Sender(ScriptedService(), limiter=Limiter(1, max_rate=1)) as sender:
        first, second = message(1), message(2)
        await sender.send(first)
        sending = asyncio.create_task(sender.send(second))
        await asyncio.sleep(0.1)
        sender.withdraw(second)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
