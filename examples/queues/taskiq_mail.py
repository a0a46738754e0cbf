"""
taskiq: an asynchronous task that sends one message, at the account's rate, whatever the number of workers.

    taskiq worker taskiq_mail:broker --workers 2

The sender belongs to the worker's event loop: it is opened and closed with the worker.
"""

from __future__ import annotations

import os
from typing import Annotated

from taskiq import Context, TaskiqDepends, TaskiqEvents, TaskiqState
from taskiq_redis import RedisStreamBroker

from seslimit import Limiter, Message, Sender, transport_from_url
from seslimit.shared import shared_from_url

# Streams, since a message of them is acknowledged: that of a worker that was killed is given to another one.
broker = RedisStreamBroker(os.environ["BROKER_URL"])


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def begin(state: TaskiqState) -> None:
    """Open the worker's sender."""
    shared = shared_from_url(os.environ.get("MAIL_SHARED", "host:mail"))
    state.sender = Sender(transport_from_url(os.environ["MAIL_URL"]), limiter=Limiter(shared=shared))


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def end(state: TaskiqState) -> None:
    """Close it: attempts under way are finished."""
    await state.sender.aclose()


@broker.task
async def send(
    mail_from: str, recipients: list[str], content: str, context: Annotated[Context, TaskiqDepends()]
) -> None:
    """Send one message; returns when SES has accepted it."""
    await context.state.sender.send(Message(mail_from, recipients, content.encode()))
