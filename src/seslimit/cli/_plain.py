"""
What `seslimit demo` compares with: an ordinary loop, ten workers that send as fast as they can.

Written as such loops are: one connection a worker, an exception is logged and the message is gone.
"""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, TypeAlias

from .._meaning.classify import classify
from .._model.message import Message
from .._model.outcome import Outcome
from ..testing import Simulator
from ._tally import Tally

WORKERS = 10

Hand: TypeAlias = Callable[[Message], Awaitable[Any]]
"""Makes one attempt, with whatever client."""


async def plain_loop(messages: Iterator[Message], simulator: Simulator, door: str, tally: Tally) -> None:
    """
    Send all messages once; what is refused counts as failed.

    Args:
        messages: what to send; shared by the workers.
        simulator: runs already.
        door: "smtp" for smtplib in threads, "ses" for aiobotocore, each with its own defaults.
        tally: counts.
    """
    async with AsyncExitStack() as stack:
        if door == "smtp":
            threads = ThreadPoolExecutor(WORKERS)
            stack.callback(threads.shutdown, wait=False)
            hands = [await _by_smtp(stack, simulator, threads) for _ in range(WORKERS)]
        else:
            hands = [await _by_api(stack, simulator)] * WORKERS
        async with asyncio.TaskGroup() as workers:
            for hand in hands:
                workers.create_task(_work(messages, hand, tally))


async def _work(messages: Iterator[Message], hand: Hand, tally: Tally) -> None:
    for message in messages:
        tally.attempts += 1
        tally.in_flight += 1
        try:
            await hand(message)
        except Exception as error:  # noqa: BLE001  # the very loop that loses what it does not understand
            tally.failed += 1
            tally.throttled += classify(error) is Outcome.THROTTLED
        else:
            tally.accepted += 1
            tally.recipients += message.cost
        finally:
            tally.in_flight -= 1
            tally.ended_recipients += message.cost


async def _by_smtp(stack: AsyncExitStack, simulator: Simulator, threads: Executor) -> Hand:
    in_thread = partial(asyncio.get_running_loop().run_in_executor, threads)
    client = await in_thread(smtplib.SMTP, "127.0.0.1", simulator.smtp_port)
    stack.callback(client.close)
    await in_thread(client.login, "user", "password")
    return lambda message: in_thread(client.sendmail, message.mail_from, message.recipients, message.as_bytes())


async def _by_api(stack: AsyncExitStack, simulator: Simulator) -> Hand:
    from aiobotocore.session import get_session

    client = await stack.enter_async_context(
        get_session().create_client(
            "sesv2",
            region_name="us-east-1",
            endpoint_url=simulator.api_url,
            aws_access_key_id="demo",
            aws_secret_access_key="demo",  # noqa: S106
        )
    )
    return lambda message: client.send_email(
        FromEmailAddress=message.mail_from,
        Destination={"ToAddresses": list(message.recipients)},
        Content={"Raw": {"Data": message.as_bytes()}},
    )
