"""
What the conformance kit expects of a transport, as data, and how it looks at what happened.

Decides nothing about which test wants what; that is `conformance`. Fails with a sentence, since the authors of plug-ins
read it and not these lines.
"""

from __future__ import annotations

import asyncio
import pickle
import traceback
from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from .._model.errors import TransportError
from .._model.message import Message
from .._model.outcome import Outcome
from .._model.report import Receipt
from ._under_test import TURN, Lever, Received, ServiceUnderTest

OUTCOMES: Final = {
    Lever.THROTTLE: Outcome.THROTTLED,
    Lever.EXCEED_QUOTA: Outcome.QUOTA_EXCEEDED,
    Lever.REFUSE_TRANSIENTLY: Outcome.TRANSIENT,
    Lever.REFUSE_PERMANENTLY: Outcome.PERMANENT,
    Lever.BLOCK_ACCOUNT: Outcome.ACCOUNT_BLOCKED,
    Lever.BREAK_BEFORE_CONTENT: Outcome.NOT_SENT,
    Lever.BREAK_AFTER_CONTENT: Outcome.UNKNOWN,
    Lever.STALL: Outcome.UNKNOWN,
}
"""What the service does → what the attempt meant."""

FAILURES: Final = tuple(OUTCOMES)
QUICK_FAILURES: Final = tuple(lever for lever in OUTCOMES if lever is not Lever.STALL)
"""Those that do not wait for a time-out."""

PATIENT: Final = 20.0
"""Seconds a transport is to wait for an answer where the service gives one: long enough for a busy machine."""

IMPATIENT: Final = 0.5
"""Seconds a transport is to wait for an answer that never comes."""

AT_ONCE: Final = 40
"""Messages that are sent at the same time."""

TURNS: Final = 30
"""Turns of the event loop after which a send is cancelled, from 0 up: about as many as one send takes on loopback."""

PARTS: Final = 8
"""Parts of a send's duration after which it is cancelled, for services that answer slower than the loop turns."""

HEADERS: Final = b"From: a@example.org\r\nTo: shown@example.com\r\nSubject: Hello\r\n\r\n"

CONTENTS: Final[Mapping[str, tuple[bytes, bytes]]] = {
    "plain": (HEADERS + b"Hello\r\n", HEADERS + b"Hello\r\n"),
    "dots": (HEADERS + b".\r\n..\r\n.x\r\n...\r\nx.\r\n.\r\n", HEADERS + b".\r\n..\r\n.x\r\n...\r\nx.\r\n.\r\n"),
    "first-line-is-a-dot": (b".\r\n" + HEADERS + b"Hello\r\n", b".\r\n" + HEADERS + b"Hello\r\n"),
    "bare-cr-and-lf": (HEADERS + b"a\rb\nc\n\rd\r\r\n", HEADERS + b"a\r\nb\r\nc\r\n\r\nd\r\n\r\n"),
    "smuggled-end": (HEADERS + b"a\n.\nMAIL FROM:<b@c.de>\r.\r", HEADERS + b"a\r\n.\r\nMAIL FROM:<b@c.de>\r\n.\r\n"),
    "lines-of-998": (HEADERS + (b"x" * 998 + b"\r\n") * 3, HEADERS + (b"x" * 998 + b"\r\n") * 3),
    "a-line-of-10000": (HEADERS + b"x" * 10_000 + b"\r\n", HEADERS + b"x" * 10_000 + b"\r\n"),
    "every-byte": (
        HEADERS + bytes(set(range(1, 256)) - {10, 13}) + b"\r\n",
        HEADERS + bytes(set(range(1, 256)) - {10, 13}) + b"\r\n",
    ),
    "no-body": (HEADERS, HEADERS),
    "blank-lines-at-the-end": (HEADERS + b"x\r\n\r\n \r\n\r\n", HEADERS + b"x\r\n\r\n \r\n\r\n"),
}
"""What is given to `Message` → what has to arrive."""


def require(condition: object, words: str) -> None:
    """
    Fail with a sentence unless the condition holds.

    Raises:
        AssertionError: it does not.
    """
    __tracebackhide__ = True
    if not condition:
        raise AssertionError(words)


def letter(text: str) -> Message:
    """A small message whose content is like no other's."""
    return Message("a@example.org", ["b@example.net"], HEADERS + text.encode() + b"\r\n")


@attrs.frozen
class Failure:
    """A failed attempt: its error, and between which event-loop times (seconds) it was made."""

    error: TransportError
    began: float
    ended: float


async def fail(service: ServiceUnderTest, lever: Lever, message: Message) -> Failure:
    """
    Make an attempt that the service does not accept.

    Raises:
        AssertionError: the attempt ended in something else than a `TransportError`.
    """
    loop = asyncio.get_running_loop()
    await service.behave(lever)
    began = loop.time()
    try:
        receipt = await service.transport.send(message)
    except TransportError as error:
        return Failure(error, began, loop.time())
    except Exception as error:
        raise AssertionError(f"send() let {error!r} out: translate it into a TransportError") from error
    raise AssertionError(f"send() returned {receipt} although the service did this: {lever}")


def arrived(service: ServiceUnderTest, receipt: Receipt) -> Received:
    """
    The message behind a receipt, as the service has it.

    Raises:
        AssertionError: the service has none, or several, with that message id.
    """
    found = [one for one in service.accepted if one.message_id == receipt.message_id]
    require(len(found) == 1, f"the service has {len(found)} messages with the id {receipt.message_id!r} of the receipt")
    return found[0]


def require_arrival(service: ServiceUnderTest, receipt: Receipt, message: Message) -> None:
    """
    See that a receipt is about this message, which arrived as it was meant.

    Raises:
        AssertionError: it is not.
    """
    received = arrived(service, receipt)
    require(received.content == message.as_bytes(), f"the receipt is another message's: {received.content[:200]!r}")


async def until_attempted(service: ServiceUnderTest) -> None:
    """Wait until an attempt has reached the service, and a little longer, for its content to be handed over."""
    while not service.attempts:  # noqa: ASYNC110  # what a service counts sets no event
        await asyncio.sleep(TURN)
    await asyncio.sleep(10 * TURN)


def texts_of(error: BaseException) -> Iterator[str]:
    """Everything that a log or a report could show of an error: itself, its causes, its traceback, its pickle."""
    seen: BaseException | None = error
    while seen is not None:
        yield from (str(seen), repr(seen), repr(seen.args))
        seen = seen.__cause__ or seen.__context__
    yield "".join(traceback.format_exception(error))
    yield repr(pickle.dumps(error))
