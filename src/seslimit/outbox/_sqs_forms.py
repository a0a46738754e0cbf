"""
Messages as a queue of SQS has them: one JSON object each, as a line of a `.jsonl` that `seslimit send` takes.

It must not know how the queue is asked.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from .._model.errors import InvalidMessage
from .._model.journal import JournalError
from .._model.message import Message

LARGEST = 1_048_576
"""Bytes of one message, and of one request. Source: Amazon SQS, "message quotas", read 2026-11."""


def entry(message: Message, *, fifo: bool) -> dict[str, Any]:
    """
    A message as an entry of a request that puts it into a queue.

    Args:
        message: the message.
        fifo: whether the queue keeps an order; its lanes are groups then, and the same content comes once.

    Raises:
        JournalError: it is too large for SQS.
    """
    record: dict[str, Any] = {
        "from": message.mail_from,
        "to": list(message.recipients),
        "raw": base64.b64encode(message.as_bytes()).decode("ascii"),
    }
    if isinstance(message.key, str | int):
        record["key"] = message.key
    body = json.dumps(record)
    if len(body) > LARGEST:
        raise JournalError(f"a message of {len(body):,} bytes is more than SQS takes ({LARGEST:,}): send it otherwise.")
    if not fifo:
        return {"MessageBody": body}
    digest = hashlib.sha256(body.encode()).hexdigest()
    return {"MessageBody": body, "MessageGroupId": message.lane or "seslimit", "MessageDeduplicationId": digest}


def no_file(path: str) -> bytes:
    """
    What an attachment's `path` is worth in a queue: whoever may write to it could read this machine's files.

    Raises:
        InvalidMessage: always.
    """
    raise InvalidMessage("is of another machine: give its content (base64).")
