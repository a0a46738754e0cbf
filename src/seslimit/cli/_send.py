"""`seslimit send`: messages from files or standard input to a transport, with a report of each."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Literal

import attrs
from rich.console import Console

from .._law.retry import RetryPolicy
from .._model.errors import ConfigurationError
from ..transports import transport_from_url
from ._ending import Status, shown
from ._inputs import STREAM, open_input
from ._past import Choice, State
from ._reporting import ReportFile
from ._reputation import CareOptions, careful
from ._run import Run
from ._signals import stop_signals
from ._summary import Summary
from ._suppression import suppressing
from ._watch import Watch
from ._web import observer, shown_live


@attrs.frozen(kw_only=True)
class SendOptions:
    """
    What `seslimit send` is asked to do.

    Args:
        inputs: files, folders, or "-".
        to: the transport's URL.
        rate: recipients/s to start with; None when unknown.
        max_rate: recipients/s that are never exceeded; None for no bound.
        report: the report's file, "-" for standard output; None for none.
        resume: whether to send only what the report does not name as ended.
        on_unknown: "resend" or "hold" what may have been accepted; None to repeat it in this run, and to hold what a
            run before has left.
        on_quota: "wait" or "stop" when nothing is left of the daily quota.
        suppress: a list of addresses that are not sent to; None for none.
        warm_up: a plan, or the file of one; None for none.
        state: the file that remembers the warm-up and the rate.
        guard: whether SES's own figures of the account slow and hold.
        web: where the live page is; None for none.
    """

    inputs: tuple[str, ...]
    to: str = attrs.field(repr=False)
    rate: float | None = None
    max_rate: float | None = None
    report: Path | None = None
    resume: bool = False
    on_unknown: Literal["resend", "hold"] | None = None
    on_quota: Literal["wait", "stop"] = "wait"
    suppress: str | None = None
    warm_up: str | None = None
    state: Path | None = None
    guard: bool = False
    web: str | None = None

    def retry(self) -> RetryPolicy:
        """The retry policy."""
        return RetryPolicy(on_unknown=self.on_unknown or "resend", on_quota_exceeded=self.on_quota)

    def care(self) -> CareOptions:
        """What concerns the rate and the account's reputation."""
        return CareOptions(
            rate=self.rate, max_rate=self.max_rate, warm_up=self.warm_up, state=self.state, guard=self.guard
        )

    def choice(self, report: ReportFile) -> Choice:
        """Which messages are to be sent."""
        if self.resume and not report.is_kept:
            raise ConfigurationError("--resume reads what was sent from the report: give --report FILE.")
        again = {State.OPEN, State.UNKNOWN} if self.on_unknown == "resend" else {State.OPEN}
        return Choice(report.past, report.name, self.resume, frozenset(again))


async def send(options: SendOptions, console: Console) -> tuple[Status, Summary]:
    """
    Send everything, or as much as can be.

    Args:
        options: what to do.
        console: where progress is shown.

    Raises:
        ConfigurationError: the run could not begin.
    """
    if options.inputs.count(STREAM) > 1:
        raise ConfigurationError("standard input is given twice: give - once.")
    observers = observer(options.web, title := f"send to {shown(options.to)}")
    inputs = [open_input(name) for name in options.inputs]
    transport = transport_from_url(options.to)
    report = ReportFile(options.report)
    with Notes() as notes:
        async with AsyncExitStack() as stack:
            suppression = await stack.enter_async_context(suppressing(options.suppress))
            care = await stack.enter_async_context(careful(transport, options.to, options.care()))
            stack.enter_context(report)
            _check_that_it_is_no_input(report, options.inputs)
            choice, retry = options.choice(report), options.retry()
            run = Run(
                care.transport,
                options.to,
                inputs,
                care.limiter,
                report,
                choice=choice,
                retry=retry,
                suppression=suppression,
                guard=care.guard,
                hooks=[*observers, *care.hooks],
            )
            for each in observers:
                each.total = lambda: run.tally.total
            with stop_signals(run.stop, Status.REMAINING, lambda: report.unwritten):
                async with (
                    Watch(title, run.tally, care.limiter, console) as watch,
                    shown_live(options.web, observers, run, watch.say),
                ):
                    status = await run.execute(watch)
        remarks = [*report.notes, *notes.taken, *(each.note for each in inputs if each.note)]
        return status, attrs.evolve(run.summary(remarks), unwritten=tuple(report.unwritten))


def _check_that_it_is_no_input(report: ReportFile, inputs: Iterable[str]) -> None:
    for name in inputs:
        with suppress(OSError):
            if report.is_same_file(os.fstat(0) if name == STREAM else Path(name).stat()):
                raise ConfigurationError(
                    f"the report {report.name} is an input as well, which would grow as it is read: give --report "
                    "another file."
                )


class Notes(logging.Handler):
    """Keeps what the library has to say during a run, each sentence once; printed, it would break up the view."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.taken: dict[str, None] = {}
        self._logger = logging.getLogger("seslimit")

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a sentence."""
        self.taken[record.getMessage()] = None

    def __enter__(self) -> Notes:
        self._logger.addHandler(self)
        return self

    def __exit__(self, *exc: object) -> None:
        self._logger.removeHandler(self)
