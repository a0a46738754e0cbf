"""
How many connections the service lets be, how long it keeps one that is idle, and how many messages it takes on one.

Experiments with bounds of their own, each of which ends in a figure or in what it was not seen within. They must not
know which door they look at: a `421` that names the reason counts once, an end without words only if it comes twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import attrs

from ..._model.errors import TransportError
from ..._model.message import Message
from ..._model.outcome import Outcome
from ...transports._pool import OPENINGS, Pooled
from ._connections import Connections, Line
from ._seen import STOPPING, Confidence, Ended, Seen

MOST_CONNECTIONS: Final = 100
"""Connections that are held at once: what clients of SES are known to use."""

SETTLE: Final = 0.5
"""Seconds after which a connection that was let in has shown that it stays."""

IDLE: Final = 65.0
"""Seconds for which a connection is left idle: longer than the usual 10, 20, 30 and 60."""

LOOK: Final = 0.02
"""Seconds between two looks at it."""

MOST_IN_SESSION: Final = 400
"""Messages on one connection: the one cap on record has 350."""

SESSION_SECONDS: Final = 120.0
"""Seconds for them: at 1/s there are fewer."""

_BROKEN = frozenset({Outcome.NOT_SENT, Outcome.UNKNOWN})


async def most_connections(connections: Connections) -> Seen:
    """How many connections may be open at once."""
    first, words = await _held(connections)
    if words is None:
        return Seen(None, Confidence.OPEN, f"{first} at once were let in: the cap, if there is one, is above")
    if _names(words, "too many", "connections"):
        return Seen(first, Confidence.SURE, f"{first} at once: the service said so to one more")
    again, _ = await _held(connections)
    if again == first:
        return Seen(first, Confidence.LIKELY, f"{first} at once: twice one more was turned away, without its reason")
    return Seen(None, Confidence.OPEN, f"{first} at once, then {again}: what turned one more away is no cap ({words})")


async def _held(connections: Connections) -> tuple[int, str | None]:
    """How many connections are there at once, and in which words the next was refused; None where none was."""
    opening = list[asyncio.Task[Pooled]]()
    try:
        while len(opening) < MOST_CONNECTIONS and not any(map(_failed, opening)):
            opening.append(asyncio.create_task(connections.open()))
            await asyncio.sleep(1 / OPENINGS)
        await asyncio.wait(opening)
        await asyncio.sleep(SETTLE)
        held = sum(not _failed(task) for task in opening)
        if held == len(opening):
            return held, None
        refusals = [str(error) for task in opening if (error := task.exception())]
        return held, next(iter(refusals), "The service closed the connection.")
    finally:
        for task in opening:
            task.cancel()
        for outcome in await asyncio.gather(*opening, return_exceptions=True):
            if not isinstance(outcome, BaseException):
                outcome.quit()


def _failed(task: asyncio.Task[Pooled]) -> bool:
    return task.done() and (task.exception() is not None or not task.result().alive)


async def idle_timeout(connections: Connections, letter: Callable[[], Message]) -> Seen:
    """How long a connection is kept on which a message was sent and nothing more is."""
    loop = asyncio.get_running_loop()
    try:
        line = await connections.line()
    except TransportError as error:
        return _not_looked_at(error)
    try:
        await _answered(line, letter())
        begun = loop.time()
        while line.alive and loop.time() - begun < IDLE:  # noqa: ASYNC110  # a connection tells nobody of its end
            await asyncio.sleep(LOOK)
        took = loop.time() - begun
        if line.alive:
            return Seen(None, Confidence.OPEN, f"at least {IDLE:g} s: it was still there")
        return Seen(round(took, 2), Confidence.SURE, f"closed after {took:.1f} s")
    finally:
        await line.aclose()


async def session_cap(connections: Connections, letter: Callable[[], Message], pace: float, idle: float | None) -> Seen:
    """
    How many messages are taken on one connection.

    Args:
        connections: opens it.
        letter: makes a message.
        pace: messages/s that are never throttled.
        idle: seconds after which a connection is closed; None where it is longer than anybody waits here.
    """
    if idle is not None and 1 / pace > 0.8 * idle:
        return Seen(None, Confidence.OPEN, f"not looked at: at {pace:g}/s a connection is closed for being idle before")
    deadline = asyncio.get_running_loop().time() + SESSION_SECONDS
    counts = list[int]()
    words: str | None = None
    while len(counts) < 2:
        room = MOST_IN_SESSION - sum(counts)
        try:
            count, words = await _one_session(connections, letter, pace, room, deadline)
        except TransportError as error:
            return _not_looked_at(error)
        if words is None and counts:
            return Seen(*_once(counts[0], count))
        if words is None:
            return Seen(None, Confidence.OPEN, f"{count} on one connection: the cap, if there is one, is above")
        if _names(words, "message", "session") or _names(words, "count", "session"):
            return Seen(count, Confidence.SURE, f"{count} on one connection: the service said so")
        counts.append(count)
    if counts[0] == counts[1]:
        return Seen(counts[0], Confidence.LIKELY, f"{counts[0]} on one connection: twice it ended there, without words")
    return Seen(
        None, Confidence.OPEN, f"it ended after {counts[0]} and after {counts[1]} messages: that is no cap ({words})"
    )


def _not_looked_at(error: TransportError) -> Seen:
    """No connection was to be had."""
    return Seen(None, Confidence.OPEN, f"not looked at: no connection ({error.reply.rstrip('.')})")


def _once(first: int, second: int) -> tuple[int | None, Confidence, str]:
    if second > first:
        return None, Confidence.OPEN, f"it ended once after {first} and was good for {second}: that is no cap"
    return first, Confidence.LIKELY, f"{first} on one connection: it ended there, seen once"


async def _one_session(
    connections: Connections, letter: Callable[[], Message], pace: float, most: int, deadline: float
) -> tuple[int, str | None]:
    """Messages that were answered on one connection, and the words of its end; None where it did not end."""
    loop = asyncio.get_running_loop()
    line = await connections.line()
    try:
        due, count = loop.time(), 0
        while count < most and loop.time() < deadline:
            words = await _answered(line, letter())
            if words is not None:
                return count, words
            count += 1
            due = max(due + 1 / pace, loop.time())
            if not line.alive:
                return count, "The service closed the connection."
            await asyncio.sleep(due - loop.time())
        return count, None
    finally:
        await line.aclose()


async def _answered(line: Line, message: Message) -> str | None:
    """
    Make an attempt: the words of the connection's end, None where the message was answered on it.

    Raises:
        Ended: the account takes nothing any more.
    """
    try:
        await line.send(message)
    except TransportError as error:
        if error.outcome in STOPPING:
            raise Ended.by(error) from None
        return error.reply if error.outcome in _BROKEN else None
    return None


@attrs.frozen
class Habits:
    """
    What was seen of a door's connections; None where it was not looked at.

    Args:
        max_connections: how many at once.
        idle_timeout: seconds.
        session_cap: messages on one.
    """

    max_connections: Seen
    idle_timeout: Seen
    session_cap: Seen


def _names(words: str, *things: str) -> bool:
    return all(thing in words.lower() for thing in things)
