"""
A service that a transport is tested on: what the conformance kit asks of it, and what must be left when a test is over.

Decides when something was left behind. It must not know what a test checks, nor what transport or service it is given.

Invariants: a test runs on an event loop of its own, for `DEADLINE` seconds at most; the transport is closed exactly
once, also when the test failed.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol, TypeAlias

import attrs

from ..transports import Transport

DEADLINE: Final = 30.0
"""Seconds after which a test counts as hung; the longest of our own takes 2."""

GRACE: Final = 2.0
"""Seconds that connections and tasks have to end after the transport was closed: the other end has to read it first."""

TURN: Final = 0.005
"""Seconds between two looks at what has not ended yet."""


class Lever(enum.StrEnum):
    """What the service does with every message that comes, until it is told otherwise."""

    ACCEPT = "accept"
    """Take it and give a message id."""
    THROTTLE = "throttle"
    """Refuse it for the rate."""
    EXCEED_QUOTA = "exceed-quota"
    """Refuse it for the day."""
    REFUSE_TRANSIENTLY = "refuse-transiently"
    """Refuse it so that it may succeed if it is repeated unchanged."""
    REFUSE_PERMANENTLY = "refuse-permanently"
    """Refuse it so that it will not succeed if it is repeated unchanged."""
    BLOCK_ACCOUNT = "block-account"
    """Refuse it for the account or its credentials, as it would every message."""
    BREAK_BEFORE_CONTENT = "break-before-content"
    """Refuse or end the connection before any content was handed over."""
    BREAK_AFTER_CONTENT = "break-after-content"
    """Read all of it, accept it, and end the connection without an answer."""
    STALL = "stall"
    """Read all of it, and neither answer nor end the connection."""


@attrs.frozen
class Received:
    """
    One message that the service accepted, as it has it.

    Args:
        message_id: the id that the client was told, or would have been told had the answer not been lost.
        mail_from: envelope sender.
        recipients: envelope recipients, in order.
        content: the content as the service would pass it on: without the protocol's own dots, base64 or parts.
    """

    message_id: str
    mail_from: str
    recipients: tuple[str, ...]
    content: bytes


class ServiceUnderTest(Protocol):
    """A running service (a stand-in, on loopback) and the transport that talks to it; nothing has to be inherited."""

    @property
    def transport(self) -> Transport:
        """The transport under test, not yet used. The kit closes it."""
        ...

    @property
    def secrets(self) -> Collection[str]:
        """Passwords, keys and tokens that the transport was given; none of them may be shown anywhere."""
        ...

    @property
    def attempts(self) -> int:
        """How many times the service was asked to take a message, whatever it said."""
        ...

    @property
    def accepted(self) -> Sequence[Received]:
        """The messages that the service accepted, in order."""
        ...

    @property
    def connections(self) -> int | None:
        """How many connections are open at the service now; None where it cannot say."""
        ...

    async def behave(self, lever: Lever) -> None:
        """Do this with every message from now on; a service accepts until it is told otherwise."""
        ...


Opening: TypeAlias = Callable[[], AbstractAsyncContextManager[ServiceUnderTest]]
Check: TypeAlias = Callable[[ServiceUnderTest], Awaitable[None]]


def run(opening: Opening, check: Check) -> None:
    """
    Carry out a check, close the transport, and see that it left nothing behind.

    Args:
        opening: starts the service and stops it; called in the event loop.
        check: the test.

    Raises:
        AssertionError: the check failed or hung, or a connection, a task or an exception was left behind.
    """
    asyncio.run(_guarded(opening, check))


async def _guarded(opening: Opening, check: Check) -> None:
    unheard: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(str(context)))
    deadline = asyncio.timeout(DEADLINE)
    try:
        async with deadline, opening() as service:
            try:
                await check(service)
            finally:
                await service.transport.aclose()
            await _ends(lambda: service.connections or None, "aclose() left connections open at the service")
    except TimeoutError:
        if deadline.expired():
            raise AssertionError(f"the test hung for {DEADLINE:g} s") from None
        raise
    mine = asyncio.current_task()
    await _ends(lambda: {task for task in asyncio.all_tasks() if task is not mine}, "tasks are left after aclose()")
    if unheard:
        raise AssertionError(f"exceptions that nobody heard of: {'; '.join(unheard)}")


async def _ends(left: Callable[[], object], words: str) -> None:
    """Wait until nothing is left."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while remaining := left():
        if loop.time() - begun > GRACE:
            raise AssertionError(f"{words}: {remaining}")
        await asyncio.sleep(TURN)
