"""What SQS answers, as a journal says it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from .._model.errors import printable
from .._model.journal import JournalError, JournalUnavailable, LeaseLost
from .._sqs import EntryFailed

T = TypeVar("T")

BROKEN = (BotoCoreError, ClientError, OSError)

FOR_GOOD = frozenset(
    {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "AccessDenied", "AccessDeniedException"}
)
"""SQS's words for what is not better the next time."""


async def entry_done(one: Awaitable[None]) -> None:
    """
    What was asked about one message that is leased.

    Raises:
        LeaseLost: it is ours no more.
        OSError: SQS did not do it.
    """
    try:
        await one
    except EntryFailed as failed:
        if failed.ours:
            raise LeaseLost(failed.words or failed.code) from failed
        raise OSError(f"{failed.code}: {failed.words}") from failed


async def done(asked: Awaitable[T]) -> T:
    """
    What was asked of the queue.

    Raises:
        JournalUnavailable: it does not answer now.
        JournalError: it never will, or did not take a message.
    """
    try:
        return await asked
    except EntryFailed as failed:
        raise JournalError(f"SQS did not take a message: {failed.code} {failed.words}") from failed
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        kind = JournalError if code in FOR_GOOD else JournalUnavailable
        raise kind(f"the queue cannot be used: {printable(str(error))}") from error
    except BROKEN as error:
        raise JournalUnavailable(f"the queue does not answer: {printable(str(error))}") from error
