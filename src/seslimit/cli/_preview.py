"""What would be sent, without sending it: `--preview` shows the first messages, `--dry-run` counts them all."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence

from .._model.errors import ConfigurationError, printable
from .._model.message import Message
from ._ending import Status
from ._inputs import BadEntry, Input, Reading
from ._past import Choice
from ._supply import check

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


async def dry_run(inputs: Sequence[Input], choice: Choice, *, as_json: bool) -> tuple[Status, str]:
    """
    Check every input, and count.

    Returns:
        the exit status, and what to say.
    """
    if not all(each.repeatable for each in inputs):
        raise ConfigurationError("--dry-run reads the input to its end, and standard input may have none: give a file.")
    found = await check(inputs, lambda: False, choice)
    if found.bad:
        raise ConfigurationError(found.sentence(has_report=False))
    if as_json:
        return Status.ALL_ACCEPTED, json.dumps({"messages": found.messages, "recipients": found.recipients})
    return Status.ALL_ACCEPTED, f"{found.messages:,} messages to {found.recipients:,} recipients; nothing was sent."
