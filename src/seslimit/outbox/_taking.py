"""How what a caller hands to an outbox becomes what is kept; the same for every engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime

from .._model.errors import ConfigurationError
from .._model.message import Message
from .._model.options import number, shown
from . import _forms
from ._values import Prepared

IN_THREAD = 256 * 1024
"""Bytes of content that are made ready in a thread, and more than that: about 3 ms."""


async def prepared(messages: Iterable[Message]) -> list[Prepared]:
    """
    Messages as they are kept; large ones are made ready in a thread.

    Raises:
        InvalidMessage: one's key cannot be kept.
    """
    listed = list(messages)
    if sum(message.size_hint for message in listed) <= IN_THREAD:
        return [_forms.prepared(message) for message in listed]
    return await asyncio.to_thread(lambda: [_forms.prepared(message) for message in listed])


def moment(send_at: datetime | float | None) -> float:
    """
    When messages may be sent, seconds since the epoch; 0 for at once.

    Raises:
        ConfigurationError: it is no moment.
    """
    if send_at is None:
        return 0.0
    if isinstance(send_at, datetime):
        if send_at.tzinfo is None:
            raise ConfigurationError(f"send_at is {shown(send_at)}, without a time zone: give an aware datetime.")
        return send_at.timestamp()
    return number("send_at", send_at, "seconds since the epoch", low=0)
