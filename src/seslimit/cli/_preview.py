"""What would be sent, without sending it: `--preview` shows the first messages, `--dry-run` counts them all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import attrs

from .._model.clearance import Suppresses
from .._model.errors import ConfigurationError, printable
from .._model.message import Message
from ._ending import Status
from ._inputs import BadEntry, Input, Kept, Reading
from ._past import Choice
from ._supply import BREATH, Supply, check

FIRST = 3
"""Messages that a preview shows."""

LONGEST = 4_000
"""Bytes of a message that are shown."""


async def preview(inputs: Sequence[Input], choice: Choice) -> AsyncIterator[str]:
    """
    The first messages, as they would go out.

    Raises:
        ConfigurationError: one of them is bad, with its line; or there is none.
    """
    shown = 0
    for each in inputs:
        async for entry in each.read(Reading()):
            if isinstance(entry, BadEntry):
                raise ConfigurationError(str(entry))
            if isinstance(entry, Message) and choice.takes(entry):
                yield _shown(entry)
                shown += 1
            if shown == FIRST:
                return
    if not shown:
        raise ConfigurationError("there is no message to show.")


def _shown(message: Message) -> str:
    content = message.as_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
    text = "\n".join(printable(line) for line in content[:LONGEST].split("\n"))
    cut = "" if len(content) <= LONGEST else f"\n… {len(content) - LONGEST:,} more"
    to = ", ".join(printable(recipient) for recipient in message.recipients)
    return f"--- {printable(str(message.key))}: from {printable(message.mail_from)} to {to}\n{text.rstrip()}{cut}\n"


async def dry_run(
    inputs: Sequence[Input], choice: Choice, suppression: Suppresses | None = None, *, as_json: bool
) -> tuple[Status, str]:
    """
    Check every input, and count; also what is left out, where addresses are suppressed.

    Returns:
        the exit status, and what to say.
    """
    if not all(each.repeatable for each in inputs):
        raise ConfigurationError("--dry-run reads the input to its end, and standard input may have none: give a file.")
    kept = Kept()
    found = await check(inputs, lambda: False, choice, kept=kept)
    if found.bad:
        raise ConfigurationError(found.sentence(has_report=False))
    left_out = Counter[str]()
    if suppression is not None:
        supply = Supply(inputs, lambda _: None, attrs.evolve(choice), kept)
        while messages := [message async for message in _some(supply)]:
            left_out += await _left_out(messages, suppression)
    if as_json:
        figures = {"messages": found.messages, "recipients": found.recipients, "suppressed": left_out["recipients"]}
        return Status.ALL_ACCEPTED, json.dumps(figures)
    listed = (
        f"{left_out['recipients']:,} of them suppressed, and {left_out['messages']:,} "
        f"{'message' if left_out['messages'] == 1 else 'messages'} with nobody else; "
        if suppression is not None
        else ""
    )
    total = f"{found.messages:,} messages to {found.recipients:,} recipients"
    return Status.ALL_ACCEPTED, f"{total}; {listed}nothing was sent."


async def _left_out(messages: Sequence[Message], suppression: Suppresses) -> Counter[str]:
    """How many recipients are suppressed, and how many messages have no others."""
    addresses = {address for message in messages for address in message.recipients}
    listed = await suppression.suppressed([*addresses])
    return Counter(
        recipients=sum(address in listed for message in messages for address in message.recipients),
        messages=sum(all(address in listed for address in message.recipients) for message in messages),
    )


async def _some(supply: Supply) -> AsyncIterator[Message]:
    for _ in range(BREATH):
        message = await anext(supply, None)
        if message is None:
            return
        yield message
