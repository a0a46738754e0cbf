"""
`seslimit send`: messages from files to a transport, with a report of each.

Puts together what the modules beside it do, and decides how a run ends: its exit status and the one sentence about it.

Invariant: when a run ends, other than by a kill, every message of the input is on the report exactly once.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Iterable
from contextlib import aclosing
from pathlib import Path

import attrs
from rich.console import Console

from .._errors import (
    AccountBlocked,
    ConfigurationError,
    EndpointUnreachable,
    SendingStopped,
    SESLimitError,
    TransportError,
    printable,
)
from .._limiter import Limiter
from .._message import Report
from .._outcome import Outcome, Stage
from .._sender import DRAIN, Sender
from ..transports import transport_from_url
from ._inputs import BadEntry, Entry, Input, open_input
from ._reporting import ReportFile, Summary
from ._signals import stop_signals
from ._supply import InputBroken, Supply, check
from ._tally import CountingTransport, Tally
from ._view import Watch


class Status(enum.IntEnum):
    """The exit status; a contract."""

    ALL_ACCEPTED = 0
    SOME_FAILED = 1
    WRONG_USAGE = 2
    ACCOUNT_BLOCKED = 3
    REMAINING = 75


@attrs.frozen(kw_only=True)
class SendOptions:
    """What `seslimit send` was asked to do; rates in recipients/s."""

    inputs: tuple[str, ...]
    to: str
    rate: float | None = None
    max_rate: float | None = None
    report: Path | None = None


_REMEDIES = {
    "smtp": "check user and password, in the URL or in SESLIMIT_SMTP_USER and SESLIMIT_SMTP_PASSWORD "
    "(SES's SMTP password is not the AWS secret access key)",
    "ses": "check the AWS credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the role), and "
    "whether they may call ses:SendEmail in this region",
}


async def send(options: SendOptions, console: Console) -> tuple[Status, Summary]:
    """
    Send everything, or as much as can be.

    Args:
        options: what to do.
        console: where progress is shown.

    Raises:
        ConfigurationError: the run could not begin, or its report could not be written.
    """
    if options.inputs.count("-") > 1:
        raise ConfigurationError("standard input is given twice: give - once.")
    limiter = Limiter(options.rate, max_rate=options.max_rate)
    inputs = [open_input(name) for name in options.inputs]
    with Notes() as notes, ReportFile(options.report) as report:
        run = Run(options.to, inputs, limiter, report)
        with stop_signals(run.stop, Status.REMAINING):
            async with Watch(f"send to {_shown(options.to)}", run.tally, limiter, console) as watch:
                status = await run.execute(watch)
        return status, run.summary(notes.taken)


class Run:
    """
    One run of `seslimit send`.

    Args:
        url: of the transport.
        inputs: what to send.
        limiter: at which rate.
        report: where to write what became of each message.
    """

    def __init__(self, url: str, inputs: list[Input], limiter: Limiter, report: ReportFile) -> None:
        self.tally = Tally()
        self._url = url
        self._inputs = inputs
        self._supply = Supply(inputs, self._bad)
        self._report = report
        self._limiter = limiter
        self._sender = Sender(CountingTransport(transport_from_url(url), self.tally), limiter=limiter)
        self._stopping = False
        self._closing: asyncio.Task[None] | None = None
        self._first_failure: str | None = None
        self._error: str | None = None
        self._seconds = 0.0

    def stop(self) -> None:
        """Make no new attempt, and finish those under way."""
        self._stopping = True
        self._closing = asyncio.create_task(self._sender.aclose(DRAIN))

    async def execute(self, watch: Watch) -> Status:
        """Check, send, and name what remains."""
        try:
            watch.phase = "checking the input"
            if not await self._checked():
                return Status.WRONG_USAGE
            watch.phase = None
            if not self._stopping:
                await self._sender.__aenter__()
            stopped_by = await self._send_all()
            watch.phase = "naming what remains"
            await self._name_rest(stopped_by)
            return self._status(stopped_by)
        finally:
            await (self._closing or self._sender.aclose())

    def summary(self, notes: Iterable[str]) -> Summary:
        """The run in figures."""
        return Summary(
            tally=self.tally,
            seconds=self._seconds,
            estimate=self._limiter.estimate,
            error=self._error,
            notes=tuple(notes),
        )

    async def _checked(self) -> bool:
        found = await check(self._inputs, lambda: self._stopping)
        if found.bad and not self._stopping:
            self.tally.remaining = found.messages
            self._error = found.sentence()
            return False
        if all(each.repeatable for each in self._inputs) and not self._stopping:
            self.tally.total, self.tally.total_recipients = found.messages, found.recipients
        return True

    async def _send_all(self) -> SESLimitError | None:
        """Send until the end, or until sending has to stop; returns what stopped it."""
        if self._stopping:
            return None
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        try:
            async with aclosing(self._sender.send_many(self._supply)) as reports:
                async for report in reports:
                    self._ended(report)
        except SendingStopped as stopped:
            for message in stopped.unsent:
                self._remains([message], stopped.reply)
            return stopped
        except InputBroken as broken:
            return broken
        finally:
            self._seconds = loop.time() - began_at
        return None

    def _ended(self, report: Report) -> None:
        outcome = self.tally.ended(report, stopping=self._stopping)
        self._report.ended(report, outcome)
        if outcome not in (Outcome.ACCEPTED, Outcome.NOT_SENT) and self._first_failure is None:
            self._first_failure = f"{printable(str(report.message.key))}: {outcome}, {printable(str(report.error))}"

    def _bad(self, entry: BadEntry) -> None:
        self.tally.failed += 1
        self._report.bad(entry)
        self._first_failure = self._first_failure or str(entry)

    async def _name_rest(self, stopped_by: SESLimitError | None) -> None:
        if isinstance(stopped_by, InputBroken):
            return
        reason = stopped_by.reply if isinstance(stopped_by, SendingStopped) else None
        async for piece in self._supply.rest(DRAIN):
            for entry in piece:
                if isinstance(entry, BadEntry):
                    self._bad(entry)
            self._remains([entry for entry in piece if not isinstance(entry, BadEntry)], reason)

    def _remains(self, entries: list[Entry], reason: str | None) -> None:
        self.tally.remaining += len(entries)
        self._report.remaining(entries, reason)

    def _status(self, stopped_by: SESLimitError | None) -> Status:
        tally = self.tally
        if stopped_by is not None:
            status, self._error = self._stopped(stopped_by)
            return status
        if tally.remaining:
            self._error = f"stopped with {self._remaining()}."
            return Status.REMAINING
        if tally.failed or tally.unknown:
            others = tally.failed + tally.unknown - 1
            more = f" ({others:,} more did not get through)" if others else ""
            self._error = f"{(self._first_failure or '').rstrip('.')}{more}."
            return Status.SOME_FAILED
        return Status.ALL_ACCEPTED

    def _stopped(self, by: SESLimitError) -> tuple[Status, str]:
        reply = str(by).rstrip(".")
        if isinstance(by, AccountBlocked):
            cause = by.__cause__
            if isinstance(cause, ConfigurationError):
                return Status.WRONG_USAGE, str(cause)
            if isinstance(cause, TransportError) and cause.stage is Stage.AUTH:
                scheme = self._url.partition("://")[0].lower().removesuffix("s") if "smtp" in self._url[:5] else "ses"
                return Status.WRONG_USAGE, f"the login was refused ({reply}): {_REMEDIES[scheme]}."
            return Status.ACCOUNT_BLOCKED, (
                f"the service accepts nothing from this account ({reply}): see its SES console; {self._remaining()}."
            )
        if isinstance(by, EndpointUnreachable):
            return Status.REMAINING, (
                f"no connection to {_shown(self._url)} ({reply}): check network, host and port; {self._remaining()}."
            )
        return Status.REMAINING, str(by)

    def _remaining(self) -> str:
        count = self.tally.remaining
        where = "--report names them" if self._report.path is None else 'named "not_sent" on the report'
        return f"{count:,} {'message remains' if count == 1 else 'messages remain'}, {where}"


class Notes(logging.Handler):
    """What the library has to say during a run, each sentence once; it would break up the view otherwise."""

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


def _shown(url: str) -> str:
    """A URL without user, password and options."""
    scheme, _, rest = url.partition("://")
    return printable(f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}")
