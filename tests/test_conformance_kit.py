"""The conformance kit notices transports that break the contract, each by the test that is about it."""

# ruff: noqa: D102  # what is wrong with a method, its class says

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import attrs
import pytest

from seslimit import Message, Outcome, Receipt, Transport, TransportError
from seslimit.testing.conformance import Lever, ServiceUnderTest, TransportConformance

from .test_conformance import PASSWORD, TestSMTPTransport

pytestmark = pytest.mark.once

SMTPConformance = TestSMTPTransport
del TestSMTPTransport  # pytest would run it here again


@attrs.define(eq=False)
class Sound:
    """Our own transport over SMTP; what is wrong with the others is what they change."""

    inner: Transport

    async def send(self, message: Message) -> Receipt:
        """Make one attempt."""
        return await self.inner.send(message)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.inner.aclose()


class Repeats(Sound):
    """Tries again by itself."""

    async def send(self, message: Message) -> Receipt:
        try:
            return await self.inner.send(message)
        except TransportError:
            return await self.inner.send(message)


class Guesses(Sound):
    """Calls everything that broke "not sent"."""

    async def send(self, message: Message) -> Receipt:
        try:
            return await self.inner.send(message)
        except TransportError as error:
            raise TransportError(Outcome.NOT_SENT, error.reply) from error


class LeavesErrorsAsTheyAre(Sound):
    """Lets other packages' exceptions out."""

    async def send(self, message: Message) -> Receipt:
        try:
            return await self.inner.send(message)
        except TransportError as error:
            raise ConnectionError(error.reply) from error


class EatsDots(Sound):
    """Forgets the transparency of SMTP."""

    async def send(self, message: Message) -> Receipt:
        content = message.as_bytes().replace(b"\r\n.", b"\r\n")
        return await self.inner.send(attrs.evolve(message, content=content))


class SendsToTheFirst(Sound):
    """Names one recipient only."""

    async def send(self, message: Message) -> Receipt:
        return await self.inner.send(attrs.evolve(message, recipients=message.recipients[:1]))


class MixesReceipts(Sound):
    """Gives everybody the first receipt."""

    async def send(self, message: Message) -> Receipt:
        receipt = await self.inner.send(message)
        self.__dict__.setdefault("first", receipt)
        first: Receipt = self.__dict__["first"]
        return first


class SwallowsCancellation(Sound):
    """Makes an error of a cancellation."""

    async def send(self, message: Message) -> Receipt:
        try:
            return await self.inner.send(message)
        except asyncio.CancelledError:
            raise TransportError(Outcome.UNKNOWN, "cancelled") from None


class GoesOnWhenCancelled(Sound):
    """Shields its attempt, which goes on without anybody who listens."""

    async def send(self, message: Message) -> Receipt:
        return await asyncio.shield(self.inner.send(message))


class StaysOpen(Sound):
    """Closes nothing."""

    async def aclose(self) -> None:
        pass


class LeavesATask(Sound):
    """Starts what it never ends."""

    async def send(self, message: Message) -> Receipt:
        self.__dict__["task"] = asyncio.create_task(asyncio.sleep(3600))
        return await self.inner.send(message)


class Hangs(Sound):
    """Waits for nothing."""

    async def send(self, message: Message) -> Receipt:
        await asyncio.get_running_loop().create_future()
        raise AssertionError


class ShowsItsPassword(Sound):
    """Has the repr of a plain dataclass."""

    def __repr__(self) -> str:
        return f"ShowsItsPassword(password={PASSWORD!r})"


class TellsItsPassword(Sound):
    """Puts what it was given into its errors."""

    async def send(self, message: Message) -> Receipt:
        try:
            return await self.inner.send(message)
        except TransportError as error:
            raise TransportError(error.outcome, "refused") from ValueError(f"login with {PASSWORD}")


class _Unpicklable(TransportError):
    def __init__(self, reply: str) -> None:
        super().__init__(Outcome.THROTTLED, reply)


class HasErrorsThatStay(Sound):
    """Has an error class whose arguments are not its parent's."""

    async def send(self, message: Message) -> Receipt:
        try:
            return await self.inner.send(message)
        except TransportError as error:
            raise _Unpicklable(error.reply) from error


class SharesItsError(Sound):
    """Raises one object again and again."""

    async def send(self, message: Message) -> Receipt:
        try:
            return await self.inner.send(message)
        except TransportError as error:
            raise self.__dict__.setdefault("error", error) from None


class ReadsTheWallClock(Sound):
    """Has another clock than the event loop's."""

    async def send(self, message: Message) -> Receipt:
        return attrs.evolve(await self.inner.send(message), decided_at=time.time())


class InventsAQuota(Sound):
    """Tells a number."""

    async def quota(self) -> float:
        """No `SendQuota`."""
        return 14.0


def suite_of(transport: Callable[[Transport], Transport]) -> TransportConformance:
    """The conformance class of a transport that stands before our own one over SMTP."""

    class Suite(SMTPConformance):
        @asynccontextmanager
        async def service(self, patience: float) -> AsyncIterator[ServiceUnderTest]:
            async with super().service(patience) as service:
                vars_of: Any = service
                vars_of.transport = transport(service.transport)
                yield service

    return Suite()


@pytest.mark.parametrize(
    ("defect", "test", "arguments"),
    [
        (Repeats, "a_send_is_one_attempt", {"lever": Lever.THROTTLE}),
        (Guesses, "the_outcome_says_what_the_attempt_meant", {"lever": Lever.BREAK_AFTER_CONTENT}),
        (LeavesErrorsAsTheyAre, "the_outcome_says_what_the_attempt_meant", {"lever": Lever.BREAK_BEFORE_CONTENT}),
        (EatsDots, "content_arrives_byte_for_byte", {"given": b"A: b\r\n\r\n.\r\n", "meant": b"A: b\r\n\r\n.\r\n"}),
        (EatsDots, "large_content_arrives_byte_for_byte", {}),
        (SendsToTheFirst, "the_envelope_decides_who_gets_it", {}),
        (MixesReceipts, "many_sends_at_the_same_time_keep_apart", {}),
        (SwallowsCancellation, "a_cancelled_send_ends_at_once", {}),
        (SwallowsCancellation, "a_send_may_be_cancelled_at_any_moment", {}),
        (GoesOnWhenCancelled, "a_transport_closes_after_a_cancellation", {}),
        (StaysOpen, "closing_ends_every_connection", {}),
        (LeavesATask, "an_accepted_message_gives_a_receipt", {}),
        (Hangs, "an_accepted_message_gives_a_receipt", {}),
        (ShowsItsPassword, "the_transport_shows_no_secret", {}),
        (TellsItsPassword, "errors_show_no_secret", {"lever": Lever.THROTTLE}),
        (HasErrorsThatStay, "errors_pickle", {"lever": Lever.THROTTLE}),
        (SharesItsError, "failures_at_the_same_time_keep_apart", {"lever": Lever.THROTTLE}),
        (ReadsTheWallClock, "an_acceptance_was_decided_during_its_attempt", {}),
        (InventsAQuota, "the_quota_is_a_send_quota_or_unknown", {}),
    ],
)
def test_the_kit_notices(
    defect: Callable[[Transport], Transport], test: str, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test that is about the defect fails with a sentence; on the same transport without it, it passes."""
    monkeypatch.setattr("seslimit.testing._under_test.GRACE", 0.1)
    check = getattr(suite_of(Sound), f"test_{test}")
    check(**arguments)
    monkeypatch.setattr("seslimit.testing._under_test.DEADLINE", 2.0 if defect is not Hangs else 0.2)
    with pytest.raises(AssertionError, match=r"\w+ \w+"):
        getattr(suite_of(defect), f"test_{test}")(**arguments)


def test_a_lever_that_is_not_supported_skips_its_tests_by_name() -> None:
    """The reason is the author's own."""

    class Suite(SMTPConformance):
        unsupported: ClassVar = {Lever.STALL: "Postbox never sleeps"}

    with pytest.raises(pytest.skip.Exception, match="stall is not supported: Postbox never sleeps"):
        Suite().test_a_cancelled_send_ends_at_once()
    with pytest.raises(pytest.skip.Exception, match="stall is not supported"):
        Suite().test_a_send_is_one_attempt(lever=Lever.STALL)
