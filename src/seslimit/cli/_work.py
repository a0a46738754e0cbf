"""`seslimit work`: a worker that sends what is in an outbox, and what is put there, until a signal."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from typing import Any, Literal

import attrs
from rich.console import Console

from .._law.retry import RetryPolicy
from .._model.endings import SendingStopped
from .._model.errors import ConfigurationError, printable
from .._model.events import Event
from .._model.journal import JournalError
from .._model.report import Report
from .._pacing.limiter import Limiter
from .._sending.sender import DRAIN, Sender
from ..transports import transport_from_url
from ._ending import Status, ended_by, shown
from ._forecast import DAY, forecast
from ._opened import existing
from ._output import complain
from ._reputation import CareOptions, careful
from ._serving import print_line, serve
from ._signals import stop_signals
from ._suppression import suppressing
from ._tally import Tally
from ._view import duration, per_second
from ._web import observer, shown_live

RECKONED = 30.0
"""Seconds between two looks at how much is left; counting a million messages takes a second."""


@attrs.frozen(kw_only=True)
class WorkOptions(CareOptions):
    """
    What `seslimit work` is asked to do, beside what concerns the rate and the account's reputation.

    Args:
        to: the transport's URL.
        outbox: the outbox: a file, or a database's URL; None for a queue.
        queue: sqs:// URL of a queue; None for an outbox.
        on_unknown: "resend" or "hold" what may have been accepted.
        keep_daily: recipients of the daily quota that are left to others.
        suppress: a list of addresses that are not sent to; None for none.
        web: where the live page, the metrics and the health are served; None for nowhere.
        as_json: whether the last line is one object, and nothing else is printed.
    """

    to: str = attrs.field(repr=False)
    outbox: str | None = None
    queue: str | None = None
    on_unknown: Literal["resend", "hold"] = "resend"
    keep_daily: int = 0
    suppress: str | None = None
    web: str | None = None
    as_json: bool = False


@attrs.define
class Work(Tally):
    """The counts of a worker."""

    stopping: bool = attrs.field(default=False, init=False)

    def on_event(self, event: Event) -> None:
        """Count attempts, and messages that came to their end."""
        if isinstance(event, Report):
            self.ended(event, stopping=self.stopping)
        else:
            super().on_event(event)

    @property
    def told(self) -> str:
        """What has happened so far."""
        return (
            f"{self.accepted:,} accepted ({self.recipients:,} recipients), {self.throttled:,} throttled, "
            f"{self.failed:,} failed, {self.unknown:,} unknown"
        )


async def work(options: WorkOptions, console: Console) -> int:
    """
    Send until a signal comes; what became of the messages is the last thing that is printed.

    Args:
        options: what to do.
        console: where to print.

    Raises:
        ConfigurationError, JournalError: the work could not begin.
    """
    if (options.outbox is None) == (options.queue is None):
        raise ConfigurationError("there is not one thing to work on: give --outbox FILE|URL, or --queue sqs://NAME.")
    tally, began_at, stopped = Work(), time.monotonic(), asyncio.Event()
    source = options.queue or options.outbox or ""
    title = f"{_shown(source)} to {shown(options.to)}"
    observers = observer(options.web, f"work: {title}")
    transport = transport_from_url(options.to)
    left = [""]
    error: str | None = None
    status = Status.ALL_ACCEPTED

    def say(line: str) -> None:
        print_line(console, line)

    async with AsyncExitStack() as stack:
        suppression = await stack.enter_async_context(suppressing(options.suppress))
        care = await stack.enter_async_context(careful(transport, options.to, options))
        limiter = care.limiter
        stack.push_async_callback(limiter.aclose)
        box = await stack.enter_async_context(_source(options))
        sender = Sender(
            care.transport,
            limiter=limiter,
            retry=RetryPolicy(on_unknown=options.on_unknown),
            hooks=[tally, *observers, *care.hooks],
            guard=care.guard,
            outbox=box,
            suppression=suppression,
            keep_daily=options.keep_daily,
        )

        def tell(line: str) -> None:
            paused = f", paused: {limiter.paused}" if limiter.paused else ""
            print_line(console, f"{line}; rate {per_second(limiter.rate)}{paused}{left[0]}")

        def stop() -> None:
            tally.stopping = True
            stopped.set()
            sender.stop()

        stack.enter_context(stop_signals(stop, Status.REMAINING))
        quiet = options.as_json
        await stack.enter_async_context(shown_live(options.web, observers, sender, None if quiet else say))
        if not quiet:
            say(f"Sending what is in {title}; Ctrl-C ends it.")
        beside = {
            asyncio.create_task(serve(stopped, lambda: tally.told, None if quiet else tell, before=tally.told)),
            asyncio.create_task(_reckon(box, limiter, left, forecasts=options.outbox is not None)),
        }
        try:
            if not stopped.is_set():
                await sender.run()
        except SendingStopped as end:
            status, error = ended_by(
                end, options.to, f"what remains is in the {'queue' if options.queue else 'outbox'}"
            )
        finally:
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)
            await sender.aclose(DRAIN)
    seconds = time.monotonic() - began_at
    print_line(console, _figures(tally, seconds, error) if options.as_json else f"{duration(seconds)}: {tally.told}")
    if error is not None:
        complain(error)
    return status


def _source(options: WorkOptions) -> Any:
    """What the messages are in."""
    if options.queue is None:
        return existing(options.outbox or "")
    from ..outbox import SQSQueue

    return SQSQueue(options.queue)


async def _reckon(box: Any, limiter: Limiter, left: list[str], *, forecasts: bool) -> None:
    """Reckon now and then what is left, and when it will be done; a queue does not know its messages' recipients."""
    while forecasts:
        try:
            waiting, now = (await box.status()).open, time.time()
            used = await box.used_by_minute(now - DAY)
            words = forecast(now, waiting.recipients, limiter.rate, limiter.quota, used)
            left[0] = f"; {waiting.messages:,} left" + (f"; {words}" if words else "")
        except JournalError:
            left[0] = ""
        await asyncio.sleep(RECKONED)


def _shown(outbox: str) -> str:
    """An outbox's URL without user and password."""
    scheme, separator, rest = outbox.partition("://")
    return printable(f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else outbox)


def _figures(tally: Work, seconds: float, error: str | None) -> str:
    rate = tally.recipients / seconds if seconds > 0 else 0.0
    return json.dumps(
        {
            "messages": tally.accepted + tally.failed + tally.unknown,
            "accepted": tally.accepted,
            "failed": tally.failed,
            "unknown": tally.unknown,
            "recipients": tally.recipients,
            "attempts": tally.attempts,
            "throttled": tally.throttled,
            "seconds": round(seconds, 3),
            "rate": round(rate, 3),
            "error": error,
        }
    )
