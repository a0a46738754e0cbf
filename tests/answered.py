"""
What clients of a companion were told, beside what the service accepted.

Decides whether the two agree: each yes was accepted once, and no no was. Knows no companion.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Literal

import attrs

from .listmonk_double import Broken, MailPool, Postback, Refused, Subscriber

PATIENCE = 30.0
"""Seconds that a client here waits for an answer: longer than a companion takes to end."""


@attrs.define
class Answers:
    """
    Recipients by the answer to their message.

    Args:
        accepted: 250 or 200.
        refused: another reply.
        unknown: the connection ended after the message had left, or nothing happened for `PATIENCE`.
        not_handed_over: it ended before, or there was none.
    """

    accepted: list[str] = attrs.field(factory=list)
    refused: list[str] = attrs.field(factory=list)
    unknown: list[str] = attrs.field(factory=list)
    not_handed_over: list[str] = attrs.field(factory=list)

    async def note(self, subscriber: Subscriber, sending: Awaitable[None]) -> bool:
        """Wait for an answer and write it down; whether it was a yes."""
        try:
            async with asyncio.timeout(PATIENCE):
                await sending
        except TimeoutError:
            self.unknown.append(subscriber.email)
        except Refused:
            self.refused.append(subscriber.email)
        except Broken as error:
            (self.unknown if error.handed_over else self.not_handed_over).append(subscriber.email)
        else:
            self.accepted.append(subscriber.email)
            return True
        return False

    def missing(self, copies: Counter[str]) -> list[str]:
        """Those who were told yes, and whose message the service never accepted."""
        return [email for email in self.accepted if not copies[email]]

    def doubled(self, copies: Counter[str]) -> list[str]:
        """Those whose message the service accepted more than once, whatever was told."""
        told = (*self.accepted, *self.refused, *self.unknown, *self.not_handed_over)
        return [email for email in told if copies[email] > 1]

    def accepted_although_refused(self, copies: Counter[str]) -> list[str]:
        """Those who were told no, and whose message the service accepted."""
        return [email for email in (*self.refused, *self.not_handed_over) if copies[email]]


Client = Callable[[int, Iterator[Subscriber], Answers], Awaitable[None]]
"""Sends messages one after another to the companion on a port, until one is not accepted."""


async def over_smtp(port: int, to: Iterator[Subscriber], answers: Answers) -> None:
    """One SMTP connection."""
    client = MailPool("127.0.0.1", port, max_conns=1, max_msg_retries=1)
    for subscriber in to:
        if not await answers.note(subscriber, client.push(subscriber)):
            break
    await client.aclose()


async def over_http(port: int, to: Iterator[Subscriber], answers: Answers) -> None:
    """One HTTP connection."""
    client = Postback("127.0.0.1", port, timeout=PATIENCE)
    for subscriber in to:
        if not await answers.note(subscriber, client.push(subscriber)):
            break
    await client.aclose()


CLIENTS: Final[dict[Literal["relay", "listmonk"], Client]] = {"relay": over_smtp, "listmonk": over_http}
"""Command of the companion → the client that it is for."""
