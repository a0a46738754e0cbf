"""
The inputs of one run as one row of messages, checked first where that can be done, and read on where sending stopped.

A list is checked as a whole before anything is sent: whoever finds line 7,000 broken wants to correct the list, not to
find out which half of it went. A stream cannot be read twice; its bad lines are reported as failed, and the rest goes.

Invariant: every entry comes out once, as a message to send or as a bad one, or of `rest`.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence

import attrs

from .._model.errors import ConfigurationError, SESLimitError, printable
from .._model.message import Message
from ._inputs import BadEntry, Entry, Input, Kept, Reading
from ._past import EVERYTHING, Choice

BREATH = 200
"""Entries that are read in a row before the event loop gets its turn: about 10 ms."""

SILENCE = 1.0
"""Seconds without a line after which a stream is not read on, once sending has stopped."""

NAMED = 4
"""Bad entries that are named after the first in a sentence."""

KEPT = 10_000
"""Bad entries that are kept for the report: a folder's, or a list's that is not what it should be; 5 MB."""


class InputBroken(SESLimitError):
    """An input that could be read at first, and cannot any more."""


class InputUnexpected(InputBroken):
    """A stream that gives what the report names already, or cannot tell apart."""


@attrs.define
class Check:
    """
    What a look at all inputs found.

    Args:
        read: entries.
        messages: those to be sent, and the bad ones.
        recipients: recipients of all messages.
        bad: the bad entries, at most `KEPT` of them.
        bad_count: all bad entries.
        keys: the hashes of all keys, eight bytes each, for a list may have millions; None where nobody asks.
    """

    read: int = 0
    messages: int = 0
    recipients: int = 0
    bad: list[BadEntry] = attrs.field(factory=list)
    bad_count: int = 0
    keys: array[int] | None = None

    def take(self, entry: Entry, choice: Choice) -> None:
        """Count an entry, its recipients, and whether the run before has left it to be sent."""
        self.read += 1
        if self.keys is not None:
            self.keys.append(hash(str(entry.key)))
        if isinstance(entry, Message) and not choice.takes(entry):
            return
        self.messages += 1
        if isinstance(entry, Message):
            self.recipients += entry.cost
        elif isinstance(entry, BadEntry):
            self.bad_count += 1
            if len(self.bad) < KEPT:
                self.bad.append(entry)

    def sentence(self, has_report: bool) -> str:
        """
        What is wrong with the input; there has to be something.

        Args:
            has_report: whether the bad entries are on a report.
        """
        first, *more = self.bad
        if not more:
            return f"nothing was sent, for {first}"
        names = ", ".join(printable(entry.key) for entry in more[:NAMED])
        if len(more) > NAMED:
            names += ", …; the report names them" if has_report else ", …; --report FILE names them"
        return f"nothing was sent, for {str(first).rstrip('.')} ({self.bad_count - 1:,} more: {names})."


async def check(
    inputs: Sequence[Input],
    stopping: Callable[[], bool],
    choice: Choice = EVERYTHING,
    progress: Callable[[int], None] = lambda _: None,
    *,
    with_keys: bool = False,
    kept: Kept | None = None,
) -> Check:
    """
    Read every input that can be read twice.

    Args:
        inputs: what to read.
        stopping: says when to stop.
        choice: which of the messages are to be sent.
        progress: is told now and then how many entries were read.
        with_keys: whether to keep what `repeated` needs.
        kept: takes the messages, for `Supply`.

    Raises:
        ConfigurationError: as `Choice.takes` does.
    """
    found, choice = Check(keys=array("q") if with_keys else None), attrs.evolve(choice)
    for number, each in enumerate(inputs):
        entries = each.read(Reading(kept=kept, number=number)) if each.repeatable else None
        while entries and not stopping() and (entry := await taken(each, entries)):
            found.take(entry, choice)
            if found.read % BREATH == 0:
                progress(found.read)
                await asyncio.sleep(0)
    return found


async def repeated(inputs: Sequence[Input], found: Check) -> list[str]:
    """The keys that come more than once in what was checked, in their order; to a reader 1 and "1" are one."""
    hashes = Counter(found.keys or ())
    often = {each for each in hashes if hashes[each] > 1}
    del hashes
    counts: Counter[str] = Counter()
    for each in inputs if often else ():
        entries = each.read(Reading(names_only=True)) if each.repeatable else None
        while entries and (entry := await taken(each, entries)):
            counts[str(entry.key)] += hash(str(entry.key)) in often
            await asyncio.sleep(0)
    return [key for key, count in counts.items() if count > 1]


async def taken(source: Input, entries: AsyncIterator[Entry]) -> Entry | None:
    """
    The next entry; None at the end.

    Raises:
        InputBroken: the input cannot be read any more.
    """
    try:
        return await anext(entries, None)
    except OSError as error:
        raise InputBroken(f"{printable(source.name)} cannot be read to its end: {error.strerror or error}.") from None


class Supply(AsyncIterator[Message]):
    """
    The messages of all inputs, one after the other.

    Args:
        inputs: what to read.
        on_bad: is told of every bad entry that is passed over.
        choice: which of the messages are to be sent.
        kept: messages that need not be made again.
    """

    def __init__(
        self,
        inputs: Sequence[Input],
        on_bad: Callable[[BadEntry], None],
        choice: Choice = EVERYTHING,
        kept: Kept | None = None,
    ) -> None:
        self._choice = choice
        self._inputs = deque(inputs)
        self.cut_off = False
        """Whether `rest` gave up on a stream that may hold more."""
        self._on_bad = on_bad
        self._reading = Reading(kept=kept)
        self._entries: AsyncIterator[Entry] | None = None

    async def __anext__(self) -> Message:
        while True:
            entry = await self._next()
            if entry is None:
                raise StopAsyncIteration
            if isinstance(entry, Message) and self._takes(entry):
                return entry
            if isinstance(entry, BadEntry):
                self._on_bad(entry)

    def _takes(self, entry: Message) -> bool:
        try:
            return self._choice.takes(entry)
        except ConfigurationError as error:
            raise InputUnexpected(str(error)) from None

    async def rest(self, patience: float, *, names_only: bool = True) -> AsyncIterator[list[Entry]]:
        """
        What was never taken, in pieces.

        Args:
            names_only: whether its names are enough.
            patience: seconds for what a stream still gives; it may have no end. One that gives nothing for `SILENCE` is
                not waited for. Either way it is `cut_off`.
        """
        self._reading.names_only = names_only
        deadline = asyncio.get_running_loop().time() + patience
        piece: list[Entry] = []
        try:
            while entry := await self._in_time(deadline):
                if isinstance(entry, BadEntry) or self._choice.takes(entry):
                    piece.append(entry)
                if len(piece) == BREATH:
                    yield piece
                    piece = []
                    await asyncio.sleep(0)
        except TimeoutError:
            self.cut_off = True
        yield piece

    async def _in_time(self, deadline: float) -> Entry | None:
        if not self._inputs or self._inputs[0].repeatable:
            return await self._next()
        async with asyncio.timeout_at(min(deadline, asyncio.get_running_loop().time() + SILENCE)):
            return await self._next()

    async def _next(self) -> Entry | None:
        # Iterators of classes, not async generators: a generator that is cancelled while it waits is at its end.
        while self._inputs:
            if self._entries is None:
                self._entries = self._inputs[0].read(self._reading)
            if entry := await taken(self._inputs[0], self._entries):
                return entry
            self._inputs.popleft()
            self._reading.number += 1
            self._entries = None
        return None
