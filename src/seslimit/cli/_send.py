"""`seslimit send`: messages from files or standard input to a transport, with a report of each."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Literal

import attrs
from rich.console import Console

from .._law.retry import RetryPolicy
from .._model.errors import ConfigurationError
from ..transports import transport_from_url
from ._box import Box
from ._ending import Status, shown
from ._inputs import STREAM, Input, known_by_content, open_input
from ._opened import file_of, filled
from ._past import Choice, Past, State
from ._preview import dry_run, preview
from ._reporting import ReportFile
from ._reputation import CareOptions, careful
from ._run import Run
from ._signals import stop_signals
from ._summary import Summary
from ._suppression import suppressing
from ._watch import Watch
from ._web import observer, shown_live


@attrs.frozen(kw_only=True)
class SendOptions(CareOptions):
    """
    What `seslimit send` is asked to do, beside what concerns the rate and the account's reputation.

    Args:
        inputs: files, folders, or "-".
        to: the transport's URL.
        report: the report's file, "-" for standard output; None for none.
        resume: whether to send only what the report does not name as ended.
        on_unknown: "resend" or "hold" what may have been accepted; None to repeat it in this run, and to hold what a
            run before has left.
        on_quota: "wait" or "stop" when nothing is left of the daily quota.
        suppress: a list of addresses that are not sent to; None for none.
        web: where the live page is; None for none.
        template: makes a message of each row of a CSV; None where the inputs are messages.
        limit: so many messages at most; None for all.
        preview: whether to show the first messages instead of sending.
        dry_run: whether to check and count instead of sending.
        outbox: where the input is put first, and what became of each message is kept: a file, or a database's URL.
        keep_daily: recipients of the daily quota that are left to others.
    """

    inputs: tuple[str, ...]
    to: str = attrs.field(repr=False)
    report: Path | None = None
    resume: bool = False
    on_unknown: Literal["resend", "hold"] | None = None
    on_quota: Literal["wait", "stop"] = "wait"
    suppress: str | None = None
    web: str | None = None
    template: Path | None = None
    limit: int | None = None
    preview: bool = False
    dry_run: bool = False
    outbox: str | None = None
    keep_daily: int = 0

    def retry(self) -> RetryPolicy:
        """As `--on-unknown` and `--on-quota` say; may be sent again where nothing is said."""
        return RetryPolicy(on_unknown=self.on_unknown or "resend", on_quota_exceeded=self.on_quota)

    def choice(self, report: ReportFile) -> Choice:
        """Which messages are to be sent; with an outbox it is the outbox that knows."""
        if self.outbox is not None:
            return Choice(Past(), limit=self.limit)
        if self.resume and not report.is_kept:
            raise ConfigurationError("--resume reads what was sent from the report: give --report FILE.")
        again = {State.OPEN, State.UNKNOWN} if self.on_unknown == "resend" else {State.OPEN}
        return Choice(report.past, report.name, self.resume, frozenset(again), self.limit)

    def open_inputs(self) -> list[Input]:
        """What is to be sent: with a template, a CSV's rows."""
        if self.template is None:
            inputs = [open_input(name) for name in self.inputs]
        else:
            from ._template import Template, table_input

            template = Template.read(self.template)
            inputs = [table_input(name, template) for name in self.inputs]
        return inputs if self.outbox is None else [known_by_content(each) for each in inputs]


async def rehearse(options: SendOptions, say: Callable[[str], None], *, as_json: bool) -> Status:
    """
    Show the first messages, or check and count all; nothing is sent.

    Raises:
        ConfigurationError: an option or a message is wrong.
    """
    inputs = options.open_inputs()
    await transport_from_url(options.to).aclose()  # for what is wrong with the URL
    with ReportFile(options.report if options.resume else None) as report:
        choice = options.choice(report)
    if options.preview:
        async for text in preview(inputs, choice):
            say(text)
        return Status.ALL_ACCEPTED
    async with suppressing(options.suppress) as suppression:
        status, sentence = await dry_run(inputs, choice, suppression, as_json=as_json)
    say(sentence)
    return status


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
    inputs = options.open_inputs()
    transport = transport_from_url(options.to)
    report = ReportFile(options.report)
    with Notes() as notes:
        async with AsyncExitStack() as stack:
            suppression = await stack.enter_async_context(suppressing(options.suppress))
            care = await stack.enter_async_context(careful(transport, options.to, options))
            stack.enter_context(report)
            _check_that_it_is_no_input(report, options.inputs)
            choice, retry = options.choice(report), options.retry()
            box = None
            if options.outbox is not None:
                outbox = await stack.enter_async_context(filled(options.outbox))
                box = Box(outbox, retry, file_of(options.outbox))
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
                box=box,
                keep_daily=options.keep_daily,
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
