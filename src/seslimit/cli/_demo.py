"""
`seslimit demo`: the same messages through an ordinary loop and through seslimit, against a limit that neither knows.

Both meet a simulator with a fresh bucket, in a thread of its own on loopback; nothing leaves the machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Literal

import attrs
from rich.console import Console
from rich.table import Table

from .._model.message import Message
from .._pacing.limiter import Limiter
from ..testing import Simulator
from ..transports import Transport, transport_from_url
from ._ending import Status
from ._inputs import Input, Ready
from ._plain import WORKERS, plain_loop
from ._reporting import ReportFile
from ._run import Run
from ._signals import stop_signals
from ._summary import Summary
from ._tally import Tally
from ._view import duration, number
from ._watch import Watch

RATE = 50.0
"""Hidden limit when none is given, recipients/s: high enough that the plot is smooth."""

SECONDS = {"smtp": 15.0, "ses": 8.0}
"""Seconds' worth of messages when no number is given: both runs together then take about 20 s. Through the API the
plain loop takes longer, for the SDK repeats what is refused by itself."""

DEPTH = 0.2
"""Seconds of the rate that the bucket holds: little, so that what is accepted shows the limit and not the burst."""

LATENCY = (0.005, 0.010)
"""Seconds before each reply, as from a machine near the service."""

NEAR = 0.95
"""Share of the limit at which it counts as found."""

LINE_EVERY = 2.0


@attrs.frozen(kw_only=True)
class DemoOptions:
    """
    What `seslimit demo` is asked to do.

    Args:
        rate: the hidden limit in recipients/s.
        messages: how many messages; None for so many that it takes about 20 s.
        transport: the door of the service, "smtp" or "ses".
    """

    rate: float = RATE
    messages: int | None = None
    transport: Literal["smtp", "ses"] = "smtp"

    @property
    def count(self) -> int:
        """How many messages to send."""
        return self.messages or max(20, round(self.rate * SECONDS[self.transport]))


@attrs.frozen
class Steady:
    """From which second on the limit was used, and the recipients/s from then on, as the service saw it."""

    found_after: float
    rate: float

    @classmethod
    def seen_by(cls, simulator: Simulator, allowed: float, seconds: float) -> Steady | None:
        """What the simulator saw in a run of that many seconds; None where the limit was not reached."""
        for begin in (half / 2 for half in range(int(2 * seconds))):
            # Not the second in which it was found, for the bucket was still full; nor the last messages' trickle.
            after, end = begin + 1, seconds - 0.5
            if end - after >= 1 and simulator.tally(begin, after).recipients >= NEAR * allowed:
                return cls(begin, simulator.tally(after, end).recipients / (end - after))
        return None


@attrs.frozen
class Comparison:
    """Two ways to send the same messages; `allowed` is the hidden limit in recipients/s."""

    plain: Summary
    paced: Summary
    allowed: float
    steady: Steady | None

    def figures(self) -> dict[str, Any]:
        """The object of `--json`: the keys of `send`, and the plain loop's beside them."""
        return {
            **self.paced.figures(),
            "allowed": self.allowed,
            "found_after": self.steady and self.steady.found_after,
            "steady": self.steady and round(self.steady.rate, 3),
            "plain": self.plain.figures(),
        }

    def last_word(self) -> str:
        """How soon the limit was found, and what was made of it from then on."""
        if self.steady is None:
            return "The run was too short to see the limit reached."
        found = self.steady.found_after
        return (
            f"seslimit was at the limit {f'after {duration(found)}' if found else 'at once'}, and from then on sent "
            f"{number(self.steady.rate)} recipients/s: {self.steady.rate / self.allowed:.0%} of it."
        )

    def table(self) -> Table:
        """The comparison for people."""
        table = Table(title=f"{self.paced.tally.messages:,} messages, limit {number(self.allowed)} recipients/s")
        table.add_column("")
        for heading in ("accepted", "lost", "refused", "seconds"):
            table.add_column(heading, justify="right")
        for name, summary in (("plain loop", self.plain), ("seslimit", self.paced)):
            tally = summary.tally
            lost = tally.failed + tally.unknown + tally.remaining
            table.add_row(
                name,
                f"{tally.accepted:,}",
                f"[red]{lost:,}[/]" if lost else "[green]0[/]",
                f"{tally.throttled:,}",
                f"{summary.seconds:.1f}",
            )
        return table


async def demo(options: DemoOptions, console: Console) -> tuple[Status, Comparison]:
    """
    Send the same messages twice.

    Args:
        options: what to do.
        console: where progress is shown.

    Raises:
        ConfigurationError: an extra is not installed.
    """
    said = "does not say so" if options.transport == "smtp" else "says so to whoever asks (GetAccount)"
    console.print(
        f"A simulator of SES on this machine takes {number(options.rate)} recipients/s, and {said}.\n"
        f"First an ordinary loop, then seslimit: {options.count:,} messages each.\n",
        highlight=False,
    )
    plain = await _plain(options, console)
    console.print(f"→ {plain.tally.accepted:,} accepted, {plain.tally.failed:,} refused and lost\n", highlight=False)
    status, paced, steady = await _paced(options, console)
    console.print(f"→ {paced.tally.accepted:,} accepted, nothing lost\n" if not status else "", highlight=False)
    return status, Comparison(plain, paced, options.rate, steady)


async def _plain(options: DemoOptions, console: Console) -> Summary:
    loop = asyncio.get_running_loop()
    tally = Tally(options.count, options.count)
    with _simulator(options).in_thread() as simulator:
        began_at = loop.time()
        async with Watch(f"1. a plain loop, {WORKERS} workers", tally, None, console, line_every=LINE_EVERY):
            await plain_loop(_messages(options.count), simulator, options.transport, tally)
        seconds = loop.time() - began_at
        # The SDK's own hidden requests are seen by the service only.
        tally.throttled = simulator.counts.throttled
        tally.attempts = simulator.counts.accepted + simulator.counts.throttled
        return Summary(tally=tally, seconds=seconds)


async def _paced(options: DemoOptions, console: Console) -> tuple[Status, Summary, Steady | None]:
    with _simulator(options).in_thread() as simulator:
        messages = Input("demo", lambda _: Ready(_messages(options.count)))
        limiter = Limiter()
        run = Run(_transport(options, simulator), simulator.smtp_url, [messages], limiter, ReportFile(None))
        with stop_signals(run.stop, Status.REMAINING):
            async with Watch("2. seslimit", run.tally, limiter, console, line_every=LINE_EVERY) as watch:
                status = await run.execute(watch)
        summary = run.summary()
        return status, summary, Steady.seen_by(simulator, options.rate, summary.seconds)


def _simulator(options: DemoOptions) -> Simulator:
    return Simulator(options.rate, depth=DEPTH, latency=LATENCY, ledger_limit=0)


def _transport(options: DemoOptions, simulator: Simulator) -> Transport:
    if options.transport == "smtp":
        return transport_from_url(simulator.smtp_url)
    from ..transports.ses import SESTransport, session_with

    return SESTransport("us-east-1", endpoint_url=simulator.api_url, session=session_with("demo", "demo"))


def _messages(count: int) -> Iterator[Message]:
    for index in range(count):
        content = (
            f"From: News <news@example.org>\r\nTo: reader{index}@example.net\r\nSubject: Hello\r\n"
            f"X-Seslimit-Key: {index}\r\n\r\nHello, reader {index}!\r\n"
        )
        yield Message("news@example.org", [f"reader{index}@example.net"], content.encode(), key=index)
