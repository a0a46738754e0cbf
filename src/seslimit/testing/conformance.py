"""
The conformance kit: what every transport owes to those who use it, as one pytest class.

Decides what is right by what the service saw and what the transport said about it. It must not know which service or
transport that is: `TransportConformance.service` gives both.

Longer than other modules, because pytest wants the tests of one class in one place. Needs pytest and nothing else: each
test runs on an event loop of its own.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import pickle
import random
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from email.message import EmailMessage
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

import pytest

from .._model.errors import ConfigurationError, TransportError
from .._model.message import MAX_RECIPIENTS, Message
from .._model.outcome import Outcome
from .._model.quota import SendQuota
from .._model.report import Receipt
from ..transports import KnowsQuota, TransportURL, transport_from_url
from ._expected import (
    AT_ONCE,
    CONTENTS,
    FAILURES,
    HEADERS,
    IMPATIENT,
    OUTCOMES,
    PARTS,
    PATIENT,
    QUICK_FAILURES,
    TURNS,
    arrived,
    fail,
    letter,
    require,
    require_arrival,
    texts_of,
    until_attempted,
)
from ._under_test import TURN, Lever, Received, ServiceUnderTest, run

__all__ = ["Lever", "Received", "ServiceUnderTest", "TransportConformance"]

LONGEST_WAIT = 86_400.0
"""Seconds that a service may ask to wait: the window of a daily quota. More than that is a date, not a wait."""

P = ParamSpec("P")
C = TypeVar("C", bound="TransportConformance")


def on_service(
    *, needs: Lever = Lever.ACCEPT
) -> Callable[[Callable[Concatenate[C, ServiceUnderTest, P], Awaitable[None]]], Callable[Concatenate[C, P], None]]:
    """Make a test of a check that wants a running service; skipped, and why, where a lever is not supported."""

    def decorate(
        check: Callable[Concatenate[C, ServiceUnderTest, P], Awaitable[None]],
    ) -> Callable[Concatenate[C, P], None]:
        @functools.wraps(check)
        def test(self: C, /, *args: P.args, **kwargs: P.kwargs) -> None:
            lever: Any = kwargs.get("lever", needs)
            if lever in self.unsupported:
                pytest.skip(f"{lever} is not supported: {self.unsupported[lever]}")
            patience = IMPATIENT if kwargs.get("lever") is Lever.STALL else PATIENT
            run(lambda: self.service(patience), lambda service: check(self, service, *args, **kwargs))

        # pytest would take the service for a fixture.
        signature = inspect.signature(check)
        parameters = [one for one in signature.parameters.values() if one.name != "service"]
        wrapper: Any = test
        wrapper.__signature__ = signature.replace(parameters=parameters)
        del wrapper.__wrapped__
        return test

    return decorate


class TransportConformance:
    """
    The contract of a transport, as tests: subclass it, say how the service is started, and run pytest.

    ```python
    class TestPostbox(TransportConformance):
        url = "postbox://:secret@mail.example.org"  # opens nothing

        @asynccontextmanager
        async def service(self, patience):
            async with FakePostbox() as fake:  # a server on loopback
                fake.transport = PostboxTransport(fake.url, token="secret", timeout=patience)
                yield fake  # has all of ServiceUnderTest
    ```

    What `service` yields has six members, described at `ServiceUnderTest`: `transport`, `secrets`, `attempts`,
    `accepted`, `connections`, and `behave(lever)`, by which a test says what the service shall do with the messages
    that come. A lever that the service cannot do goes into `unsupported` with the reason, and pytest then says which
    tests were skipped, and why (`pytest -rs`):

    ```python
        unsupported = {Lever.EXCEED_QUOTA: "Postbox has no daily quota"}
    ```

    Every test starts the service anew, on an event loop of its own, closes the transport, and looks for connections,
    tasks and exceptions that were left behind; no plug-in of pytest is needed. A test that hangs fails.
    """

    url: ClassVar[str | None] = None
    """A URL of the transport, with a password where it takes one; None skips the tests about URLs."""
    unsupported: ClassVar[Mapping[Lever, str]] = {}
    """Levers that the service does not have, each with the reason."""

    @abstractmethod
    def service(self, patience: float) -> AbstractAsyncContextManager[ServiceUnderTest]:
        """
        Start the service, and make a transport that talks to it.

        Args:
            patience: seconds after which the transport is to give up waiting for an answer.
        """
        # No ABC: pytest passes over abstract classes, so that one without a service would be a run without a failure.
        raise NotImplementedError(f"{type(self).__name__} has no service(): start the service and yield it there")

    # What was accepted

    @on_service()
    async def test_an_accepted_message_gives_a_receipt(self, service: ServiceUnderTest) -> None:
        """The receipt has the message id that the service gave, and nobody is refused."""
        receipt = await service.transport.send(letter("Hello"))
        require(isinstance(receipt, Receipt), f"send() returned {receipt!r}, not a Receipt")
        require(receipt.message_id, "the receipt has an empty message id")
        require_arrival(service, receipt, letter("Hello"))
        require(not receipt.refused, f"the receipt says that {receipt.refused} were refused")

    @pytest.mark.parametrize(("given", "meant"), CONTENTS.values(), ids=CONTENTS)
    @on_service()
    async def test_content_arrives_byte_for_byte(self, service: ServiceUnderTest, given: bytes, meant: bytes) -> None:
        """Dots, long lines and 8-bit bytes arrive as they were; bare CR and LF as CRLF; always as one message."""
        receipt = await service.transport.send(Message("a@example.org", ["b@example.net"], given))
        require(len(service.accepted) == 1, f"{len(service.accepted)} messages arrived instead of one")
        content = arrived(service, receipt).content
        require(content == meant, f"{content[:200]!r} arrived instead of {meant[:200]!r}")

    @on_service()
    async def test_content_without_a_last_line_end_arrives(self, service: ServiceUnderTest) -> None:
        """It may get the line end that it lacks, and nothing else."""
        receipt = await service.transport.send(Message("a@example.org", ["b@example.net"], HEADERS + b".Hello."))
        content = arrived(service, receipt).content
        require(content.removesuffix(b"\r\n") == HEADERS + b".Hello.", f"{content!r} arrived")

    @on_service()
    async def test_large_content_arrives_byte_for_byte(self, service: ServiceUnderTest) -> None:
        """A megabyte of lines, many of which begin with a dot, arrives whole however it is cut on the way."""
        chance = random.Random(3)
        content = HEADERS + b"".join(
            b"." * chance.randrange(3) + chance.randbytes(60).hex().encode() + b"\r\n" for _ in range(9000)
        )
        message = Message("a@example.org", ["b@example.net"], content)
        require_arrival(service, await service.transport.send(message), message)

    @on_service()
    async def test_an_email_object_arrives_without_bcc(self, service: ServiceUnderTest) -> None:
        """It goes as `Message.as_bytes` serialises it, its Bcc header stays at home, the object stays as it was."""
        content = EmailMessage()
        content["From"], content["To"], content["Bcc"] = "a@example.org", "b@example.net", "c@example.net"
        content["Subject"] = "Grüße"
        content.set_content("Schöne Grüße\n.\n")
        before = content.as_bytes()
        message = Message.from_email(content)
        receipt = await service.transport.send(message)
        require_arrival(service, receipt, message)
        require(b"Bcc" not in arrived(service, receipt).content, "the Bcc header arrived")
        require(content.as_bytes() == before, "the EmailMessage was changed")

    @on_service()
    async def test_the_envelope_decides_who_gets_it(self, service: ServiceUnderTest) -> None:
        """Fifty recipients arrive in their order, none comes from the headers, and mail_from is not the From header."""
        recipients = tuple(f"r{number}@example.net" for number in range(MAX_RECIPIENTS))
        received = arrived(
            service, await service.transport.send(Message("bounce@example.org", recipients, HEADERS + b"Hello\r\n"))
        )
        require(received.mail_from == "bounce@example.org", f"mail_from arrived as {received.mail_from!r}")
        require(received.recipients == recipients, f"the recipients arrived as {received.recipients}")

    @on_service()
    async def test_unusual_addresses_arrive_as_they_are(self, service: ServiceUnderTest) -> None:
        """Plus signs, equals signs, apostrophes, braces and capitals in an address are no syntax of anything."""
        recipients = ("b+tag=x@example.net", "o'brien@example.net", "{c}%d&e@example.net", "Mixed.Case@Example.NET")
        message = Message("bounce+b=example.net@example.org", recipients, HEADERS)
        received = arrived(service, await service.transport.send(message))
        require(received.mail_from == message.mail_from, f"mail_from arrived as {received.mail_from!r}")
        require(received.recipients == recipients, f"the recipients arrived as {received.recipients}")

    @on_service()
    async def test_many_sends_at_the_same_time_keep_apart(self, service: ServiceUnderTest) -> None:
        """Each of forty messages arrives once, and each receipt is about its own message."""
        messages = [letter(f"number {number}") for number in range(AT_ONCE)]
        receipts = await asyncio.gather(*map(service.transport.send, messages))
        for message, receipt in zip(messages, receipts, strict=True):
            require_arrival(service, receipt, message)
        require(service.attempts == AT_ONCE, f"the service saw {service.attempts} attempts for {AT_ONCE} sends")

    # What was not

    @pytest.mark.parametrize("lever", FAILURES, ids=str)
    @on_service()
    async def test_the_outcome_says_what_the_attempt_meant(self, service: ServiceUnderTest, lever: Lever) -> None:
        """Refused, how; or certainly not sent; or unknown, as soon as the service may have accepted it."""
        failure = await fail(service, lever, letter("Hello"))
        outcome = failure.error.outcome
        require(outcome is OUTCOMES[lever], f"the outcome is {outcome}, not {OUTCOMES[lever]}: {failure.error}")
        require(failure.error.reply, "the error has no words: give the service's, or one sentence")

    @pytest.mark.parametrize("lever", [Lever.ACCEPT, *FAILURES], ids=str)
    @on_service()
    async def test_a_send_is_one_attempt(self, service: ServiceUnderTest, lever: Lever) -> None:
        """The transport never repeats: what it repeats on its own is not limited, and may be a second copy."""
        if lever is Lever.ACCEPT:
            await service.transport.send(letter("Hello"))
        else:
            await fail(service, lever, letter("Hello"))
        # A connection that was refused is an attempt that the service cannot have seen.
        expected = (0, 1) if lever is Lever.BREAK_BEFORE_CONTENT else (1,)
        require(service.attempts in expected, f"the service saw {service.attempts} attempts for one send")

    @pytest.mark.parametrize("lever", FAILURES, ids=str)
    @on_service()
    async def test_a_failure_does_not_harm_the_next_send(self, service: ServiceUnderTest, lever: Lever) -> None:
        """Sent again, the same message is accepted, on a transport that had worked before the failure."""
        await service.transport.send(letter("before"))
        await fail(service, lever, letter("Hello"))
        await service.behave(Lever.ACCEPT)
        require_arrival(service, await service.transport.send(letter("Hello")), letter("Hello"))

    @pytest.mark.parametrize("lever", QUICK_FAILURES, ids=str)
    @on_service()
    async def test_failures_at_the_same_time_keep_apart(self, service: ServiceUnderTest, lever: Lever) -> None:
        """Each of ten attempts that fail together has an error object of its own, and all say the same."""
        await service.behave(lever)
        sends = [service.transport.send(letter(f"number {number}")) for number in range(10)]
        errors = await asyncio.gather(*sends, return_exceptions=True)
        require(len({id(error) for error in errors}) == len(errors), "several sends raised the same error object")
        found = {error.outcome if isinstance(error, TransportError) else repr(error) for error in errors}
        require(found == {OUTCOMES[lever]}, f"the outcomes are {found}, not {OUTCOMES[lever]}")

    @pytest.mark.parametrize("lever", QUICK_FAILURES, ids=str)
    @on_service()
    async def test_errors_pickle(self, service: ServiceUnderTest, lever: Lever) -> None:
        """An error crosses to another process with all that it says."""
        error = (await fail(service, lever, letter("Hello"))).error
        try:
            copy = pickle.loads(pickle.dumps(error))  # noqa: S301  # made on this line
        except Exception as broken:
            raise AssertionError(f"{error!r} does not pickle: {broken}") from broken
        require(type(copy) is type(error), f"{type(error)} comes back as {type(copy)}")
        require(vars(copy) == vars(error), f"{vars(error)} comes back as {vars(copy)}")

    @on_service(needs=Lever.THROTTLE)
    async def test_a_throttle_asks_for_a_sensible_wait(self, service: ServiceUnderTest) -> None:
        """`retry_after` is a number of seconds from now, 0 where the service does not say."""
        error = (await fail(service, Lever.THROTTLE, letter("Hello"))).error
        wait = error.retry_after
        require(math.isfinite(wait) and wait >= 0, f"retry_after is {wait}")
        require(wait <= LONGEST_WAIT, f"retry_after is {wait} s, more than a day: give seconds from now, not a time")

    # When it was decided

    @on_service()
    async def test_an_acceptance_was_decided_during_its_attempt(self, service: ServiceUnderTest) -> None:
        """`decided_at` of a receipt, where it is given, is event-loop time between start and end of the send."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        receipt = await service.transport.send(letter("Hello"))
        at = receipt.decided_at
        require(at is None or began <= at <= loop.time(), f"decided_at is {at}, not in {began}..{loop.time()}")

    @pytest.mark.parametrize("lever", QUICK_FAILURES, ids=str)
    @on_service()
    async def test_a_failure_was_decided_during_its_attempt(self, service: ServiceUnderTest, lever: Lever) -> None:
        """`decided_at` of an error, where it is given, lies within the attempt; there is none for what was not sent."""
        await service.transport.send(letter("before"))
        failure = await fail(service, lever, letter("Hello"))
        at = failure.error.decided_at
        if failure.error.outcome is Outcome.NOT_SENT:
            require(at is None, f"nothing was sent, and yet decided_at is {at}")
        else:
            within = at is None or failure.began <= at <= failure.ended
            require(within, f"decided_at is {at}, not in {failure.began}..{failure.ended}")

    # Cancelled

    @on_service(needs=Lever.STALL)
    async def test_a_cancelled_send_ends_at_once(self, service: ServiceUnderTest) -> None:
        """A send that waits for the answer leaves with CancelledError, and its late answer is nobody else's."""
        await service.behave(Lever.STALL)
        sending = asyncio.create_task(service.transport.send(letter("cancelled")))
        await until_attempted(service)
        sending.cancel()
        await asyncio.wait({sending}, timeout=PATIENT / 4)
        require(sending.cancelled(), f"the cancelled send ended otherwise, or not at all: {sending}")
        await service.behave(Lever.ACCEPT)
        require_arrival(service, await service.transport.send(letter("next")), letter("next"))

    @on_service()
    async def test_a_send_may_be_cancelled_at_any_moment(self, service: ServiceUnderTest) -> None:
        """Whenever that is, it arrives at most once and the next message is accepted with a receipt of its own."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        await service.transport.send(letter("first"))
        duration = loop.time() - began
        for moment in range(TURNS + PARTS):
            cancelled, following = letter(f"cancelled {moment}"), letter(f"next {moment}")
            sending = asyncio.create_task(service.transport.send(cancelled))
            for _ in range(min(moment, TURNS)):
                await asyncio.sleep(0)
            if moment >= TURNS:
                await asyncio.sleep(duration * (moment - TURNS) / PARTS)
            sending.cancel()
            await asyncio.wait({sending})
            clean = sending.cancelled() or sending.exception() is None
            require(clean, f"cancelled at moment {moment}, the send raised {sending!r}, not CancelledError")
            require_arrival(service, await service.transport.send(following), following)
            copies = sum(one.content == cancelled.as_bytes() for one in service.accepted)
            require(copies <= 1, f"cancelled at moment {moment}, the message arrived {copies} times")

    @on_service()
    async def test_a_cancelled_send_leaves_the_others_alone(self, service: ServiceUnderTest) -> None:
        """Of forty sends at the same time, every second is cancelled; the others are accepted."""
        messages = [letter(f"number {number}") for number in range(AT_ONCE)]
        sends = [asyncio.create_task(service.transport.send(message)) for message in messages]
        for _ in range(TURNS // 2):
            await asyncio.sleep(0)
        for sending in sends[::2]:
            sending.cancel()
        await asyncio.wait(sends)
        for message, sending in zip(messages[1::2], sends[1::2], strict=True):
            require(not sending.cancelled(), "a send was cancelled together with another one")
            require_arrival(service, sending.result(), message)

    # Closed

    @on_service()
    async def test_a_transport_closes_without_any_send(self, service: ServiceUnderTest) -> None:
        """`aclose` of an unused transport raises nothing, and it has opened and sent nothing by itself."""
        await asyncio.sleep(10 * TURN)
        require(not service.attempts, f"{service.attempts} attempts were made before the first send")
        require(not service.connections, f"{service.connections} connections were opened before the first send")

    @on_service()
    async def test_closing_ends_every_connection(self, service: ServiceUnderTest) -> None:
        """After many sends at the same time and `aclose`, no connection is open and no task is left."""
        await asyncio.gather(*(service.transport.send(letter(f"number {number}")) for number in range(AT_ONCE)))

    @pytest.mark.parametrize("lever", QUICK_FAILURES, ids=str)
    @on_service()
    async def test_a_transport_closes_after_a_failure(self, service: ServiceUnderTest, lever: Lever) -> None:
        """`aclose` after a failed first attempt raises nothing and leaves no connection and no task."""
        await fail(service, lever, letter("Hello"))

    @on_service(needs=Lever.STALL)
    async def test_a_transport_closes_after_a_cancellation(self, service: ServiceUnderTest) -> None:
        """`aclose` after cancelled attempts raises nothing and leaves no connection and no task."""
        await service.behave(Lever.STALL)
        sends = [asyncio.create_task(service.transport.send(letter(f"number {number}"))) for number in range(5)]
        await until_attempted(service)
        for sending in sends:
            sending.cancel()
        await asyncio.wait(sends)

    # What it shows and tells

    @on_service()
    async def test_the_transport_shows_no_secret(self, service: ServiceUnderTest) -> None:
        """Neither `repr` nor `str` of the transport shows a password, key or token, before and after a send."""
        shown = repr(service.transport) + str(service.transport)
        await service.transport.send(letter("Hello"))
        shown += repr(service.transport) + str(service.transport)
        leaked = [secret for secret in service.secrets if secret in shown]
        require(not leaked, f"the transport shows {len(leaked)} of its secrets: {shown}")

    @pytest.mark.parametrize("lever", QUICK_FAILURES, ids=str)
    @on_service()
    async def test_errors_show_no_secret(self, service: ServiceUnderTest, lever: Lever) -> None:
        """Neither an error nor its causes, traceback or pickle shows a password, key or token."""
        error = (await fail(service, lever, letter("Hello"))).error
        for text in texts_of(error):
            leaked = [secret for secret in service.secrets if secret in text]
            require(not leaked, f"the error shows {len(leaked)} secrets: {text}")

    @on_service()
    async def test_the_quota_is_a_send_quota_or_unknown(self, service: ServiceUnderTest) -> None:
        """`quota()`, where the transport has it, tells a `SendQuota` or None, and sends nothing."""
        if isinstance(service.transport, KnowsQuota):
            quota = await service.transport.quota()
            require(quota is None or isinstance(quota, SendQuota), f"quota() told {quota!r}")
        require(service.attempts == 0, "asking for the quota was an attempt to send")

    # Its URL

    def test_the_url_makes_a_transport(self) -> None:
        """`transport_from_url` finds the entry point, needs no event loop for it, and the password stays hidden."""
        url = self._url()
        transport = transport_from_url(url)
        for name in ("send", "aclose"):
            require(inspect.iscoroutinefunction(getattr(transport, name, None)), f"it has no async method {name}")
        password = TransportURL.parse(url).password
        require(not password or password not in repr(transport) + str(transport), "the transport shows the password")
        asyncio.run(transport.aclose())

    def test_the_url_takes_no_unknown_option(self) -> None:
        """A misspelt option is a ConfigurationError that names it and shows no password: nobody notices otherwise."""
        url = self._url()
        misspelt = f"{url}{'&' if '?' in url else '?'}no_such_option=1"
        password = TransportURL.parse(url).password
        try:
            transport_from_url(misspelt)
        except ConfigurationError as error:
            require("no_such_option" in str(error), f"the error does not name the option: {error}")
            shown = "".join(texts_of(error))
            require(not password or password not in shown, f"the error shows the password: {shown}")
        else:
            raise AssertionError("the unknown option was accepted: use TransportURL.take")

    def _url(self) -> str:
        if self.url is None:
            pytest.skip("url is not given: the transport has none")
        return self.url
