"""
The commands and their options: what is typed becomes an options object, and what comes back is printed.

Decides where things are printed. Standard output has the results; progress goes there as well, but to standard error
where the results are JSON. Every error is one sentence on standard error.
"""

from __future__ import annotations

import asyncio
import json
import os
import tomllib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from .._model.errors import SESLimitError
from .._model.journal import JournalUnavailable
from ._ending import Status
from ._event_options import event_options
from ._options import (
    GUARD,
    JSON,
    KEEP_DAILY,
    MAX_RATE,
    POSITIVE,
    RATE,
    STATE,
    SUPPRESS,
    TO,
    WARM_UP,
    console_of,
    given,
)
from ._outbox import outbox
from ._output import complain, say, write_lines
from ._serving_commands import feedback, listmonk, relay, work
from ._sharing import sharing
from ._suppression import suppression
from ._warm_up import warm_up
from ._web import WEB

_COLOURS = {"ok": "", "warning": "yellow", "wrong": "red"}


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    try:
        return int(seslimit.main(list(arguments), prog_name="seslimit", standalone_mode=False) or 0)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "seslimit"
        return _complain(f"{error.format_message().rstrip('.')}; '{path} --help' says how.", error.exit_code)
    except click.ClickException as error:
        return _complain(error.format_message(), error.exit_code)
    except JournalUnavailable as error:
        return _complain(str(error), Status.REMAINING)
    except SESLimitError as error:
        return _complain(str(error), Status.WRONG_USAGE)
    except (KeyboardInterrupt, click.Abort):
        return _complain("interrupted.", Status.REMAINING)
    except BrokenPipeError:  # click's own output: help, version
        return Status.SOME_FAILED


def _complain(sentence: str, status: int) -> int:
    complain(sentence)
    return status


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("seslimit"), prog_name="seslimit", message="%(prog)s %(version)s")
@click.pass_context
def seslimit(context: click.Context) -> None:
    """Send mail through Amazon SES at exactly the rate the account is allowed, and lose nothing."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@seslimit.command()
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@TO
@RATE
@MAX_RATE
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Append one JSON line for each message to FILE; - is standard output.",
)
@click.option("--resume", is_flag=True, help="Send only what the report does not name as ended.")
@click.option(
    "--on-unknown",
    type=click.Choice(["resend", "hold"]),
    help="Send what may have been accepted again, or never twice.  [default: again, but not with --resume]",
)
@click.option(
    "--on-quota",
    type=click.Choice(["wait", "stop"]),
    help="Wait when nothing is left of the daily quota, or stop.  [default: wait]",
)
@WARM_UP
@STATE
@GUARD
@click.option(
    "--template",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Each row of a CSV as INPUT becomes a message by this template (Jinja2).",
)
@click.option("--preview", is_flag=True, help="Show the first three messages, and send nothing.")
@click.option("--dry-run", is_flag=True, help="Check the whole input and count it, and send nothing.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Send so many messages at most.")
@click.option(
    "--outbox",
    metavar="FILE|URL",
    help="Put the input there first and send from there: the same command again goes on, also after a kill.",
)
@KEEP_DAILY
@SUPPRESS
@sharing
@WEB
@JSON
def send(as_json: bool, **options: Any) -> int:
    """
    Send the messages of each INPUT.

    INPUT is a .jsonl (one object a line: key, from, to, cc, bcc, subject, text, html, headers, attachments; or raw in
    base64), an .eml, a folder of them, an mbox, - for JSON lines on standard input, or with --template a .csv.

    Files are checked as a whole first: if one line is bad, nothing is sent. Standard input cannot be; its bad lines are
    reported as failed and the rest is sent.

    Ctrl-C or SIGTERM: no new attempt is made, those under way are finished (at most 10 s), and the report names what
    remains as "not_sent". A second one ends at once.

    Exit status: 0 all accepted; 1 some failed; 2 wrong usage or configuration; 3 the account is blocked; 75 stopped
    with messages remaining. In --json, "attempts" counts every attempt made, the throttled ones included.
    """
    from ._lines import STANDARD_OUTPUT
    from ._send import SendOptions, rehearse
    from ._send import send as run_send

    asked = SendOptions(**given(options))
    if asked.preview or asked.dry_run:
        return asyncio.run(rehearse(asked, say, as_json=as_json))
    lines_on_output = asked.report == STANDARD_OUTPUT
    status, summary = asyncio.run(run_send(asked, console_of(as_json=as_json or lines_on_output)))
    if as_json:
        say(json.dumps(summary.figures()))
    elif lines_on_output:
        write_lines([summary.text()])
    else:
        say(summary.text())
    if summary.error:
        complain(summary.error)
    write_lines(summary.unwritten)
    return status


@seslimit.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--failed", "which", flag_value="failed", help="Messages that failed, or may have been accepted.")
@click.option("--remaining", "which", flag_value="remaining", help="Messages that send --resume would send.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="INPUT",
    help="What was sent; the messages are then written as a list for send. May be given several times.",
)
@JSON
def report(**options: Any) -> int:
    """
    Say from a report who did not get it.

    Alone, it counts, and names each message that failed or is in doubt. With --failed or --remaining it writes the
    report's lines of these messages; and with --input the messages themselves, as JSON lines that send takes, each
    addressed to those who did not get it.

    Exit status: 0; 1 an input has bad lines, which are named; 2 wrong usage, or a file that cannot be read.
    """
    from ._report import ReportOptions
    from ._report import report as read_report

    lines, bad = read_report(ReportOptions(**given(options)))
    for line in lines:
        say(line)
    for entry in bad:
        complain(str(entry))
    return Status.SOME_FAILED if bad else Status.ALL_ACCEPTED


@seslimit.command()
@click.option("--rate", type=POSITIVE, help="The hidden limit, recipients/s.  [default: 50]")
@click.option("--messages", type=click.IntRange(min=1), help="How many messages.  [default: about 20 s of them]")
@click.option("--transport", type=click.Choice(["smtp", "ses"]), help="Door of the service.  [default: smtp]")
@JSON
def demo(as_json: bool, **options: Any) -> int:
    """
    See what seslimit is for, on a simulator of SES on this machine.

    The same messages go through an ordinary loop and through seslimit; the limit is hidden from both. Takes about 20 s.
    """
    from ._demo import DemoOptions
    from ._demo import demo as run_demo

    console = console_of(as_json=as_json)
    status, comparison = asyncio.run(run_demo(DemoOptions(**given(options)), console))
    if as_json:
        say(json.dumps(comparison.figures()))
    else:
        console.print(comparison.table())
        console.print(comparison.last_word(), highlight=False)
    return _complain(comparison.paced.error, status) if comparison.paced.error else status


@seslimit.command()
@click.option(
    "--smtp-port", type=click.IntRange(0, 65535), help="SMTP on this port, 0 for a free one.  [default: 2525]"
)
@click.option("--api-port", type=click.IntRange(0, 65535), help="The API on this port.  [default: 2526]")
@click.option("--rate", type=POSITIVE, help="The limit, recipients/s.  [default: 14]")
@click.option("--depth", type=click.FloatRange(min=0), help="Seconds of the rate that may come at once.  [default: 1]")
@click.option(
    "--counting",
    metavar="KIND[:NAME=NUMBER,...]",
    help="How the service counts: bucket, sliding, fixed, two-windows, front-ends, stale, chance, rival, noisy; "
    "for example chance:share=0.02.  [default: bucket]",
)
@click.option(
    "--profile",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Behave as FILE says (TOML), but for what is given.",
)
@click.option("--daily", type=float, help="Recipients in 24 hours, -1 for no limit.  [default: -1]")
@click.option("--rtt", type=click.FloatRange(min=0), help="Seconds before each reply.  [default: 0]")
@click.option("--session-cap", type=click.IntRange(min=1), help="Messages in one SMTP session.  [default: no cap]")
@click.option("--tls", type=click.Choice(["none", "starttls", "implicit"]), help="TLS of SMTP.  [default: none]")
@click.option("--cert", type=click.Path(path_type=Path), metavar="FILE", help="Certificate (PEM); else one is made.")
@click.option("--key", type=click.Path(path_type=Path), metavar="FILE", help="Its key, if not in the same file.")
@event_options
@JSON
def simulate(**options: Any) -> int:
    """
    Run a simulator of SES on this machine until Ctrl-C: an SMTP door and an API door on one limit.

    With --events it tells what becomes of messages: by the shares given, and by SES's mailbox simulator (bounce@,
    complaint@, suppressionlist@ and success@simulator.amazonses.com).
    """
    from ._simulate import SimulateOptions
    from ._simulate import simulate as run_simulate

    asyncio.run(run_simulate(SimulateOptions(**given(options)), console_of(as_json=False)))
    return Status.ALL_ACCEPTED


@seslimit.command()
@click.option("--to", required=True, metavar="URL", help="What to look at: ses://, smtp://, smtps://, or a plug-in's.")
@click.option("--measure", is_flag=True, help="Find out how the service counts, by sending to SES's mailbox simulator.")
@click.option("--from", "mail_from", metavar="ADDRESS", help="A sender that the account may use, for --measure.")
@click.option("--rate", type=POSITIVE, help="Recipients/s, for --measure where the service does not tell.")
@click.option(
    "--profile", type=click.Path(path_type=Path), metavar="FILE", help="Where --measure writes what it found (TOML)."
)
@click.option("--yes", is_flag=True, help="Let --measure send what it says that it will.")
@JSON
def doctor(to: str, as_json: bool, measure: bool, **measuring: Any) -> int:
    """
    Say in plain words what is wrong with a set-up; no message is sent, but by --measure.

    One line for each check: ok, warning or wrong, with what to do.

    --measure finds out how the service counts: it says how many messages to success@simulator.amazonses.com it takes
    and how long, and sends them with --yes. "seslimit simulate --profile" takes the file that it writes.

    Exit status: 0 nothing wrong, with warnings or without; 2 wrong configuration or credentials; 3 the account is
    blocked or paused; 75 not reachable now, or nothing left of the daily quota.
    """
    from .doctor._doctor import diagnose

    console = console_of(as_json=as_json)
    if measure:
        return _measure(to, console, as_json=as_json, **measuring)
    if any(measuring.values()):
        raise click.UsageError("--from, --rate, --profile and --yes need --measure")
    found = asyncio.run(diagnose(to, lambda check: _show(console, check.line(), _COLOURS[check.state])))
    _show(console, found.last_words())
    if as_json:
        say(json.dumps(found.figures()))
    return found.status


def _measure(
    to: str,
    console: Console,
    *,
    as_json: bool,
    mail_from: str | None,
    rate: float | None,
    profile: Path | None,
    yes: bool,
) -> int:
    from .doctor._measure import measure, write_profile

    if mail_from is None:
        raise click.UsageError("--measure needs --from with a sender that the account may use")
    if profile and (profile.is_dir() or not os.access(profile if profile.exists() else profile.parent, os.W_OK)):
        return _complain(f"{profile} cannot be written, so nothing was sent.", Status.WRONG_USAGE)
    found = asyncio.run(measure(to, mail_from, rate, yes=yes, tell=lambda line: _show(console, line)))
    if found.profile is None:
        return _complain(found.complaint, found.status) if found.complaint else found.status
    if as_json:
        say(json.dumps(tomllib.loads(found.profile)))
    if profile is not None:
        try:
            write_profile(profile, found.profile)
        except OSError as error:
            return _complain(f"{profile} cannot be written: {error.strerror}.\n{found.profile}", Status.WRONG_USAGE)
        _show(console, f"written  {profile}: seslimit simulate --profile {profile}")
    return found.status


for command in (relay, listmonk, work, feedback, outbox, suppression, warm_up):
    seslimit.add_command(command)


@seslimit.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), required=False)
def examples(folder: Path | None) -> int:
    """Write the examples into FOLDER, which is made; without it, list them."""
    from ._examples import listed, written

    for line in listed() if folder is None else written(folder):
        say(line)
    return Status.ALL_ACCEPTED


@seslimit.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print what makes SHELL complete commands and options: eval "$(seslimit completion bash)"."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is not None:
        say(kind(seslimit, {}, "seslimit", "_SESLIMIT_COMPLETE").source())
    return Status.ALL_ACCEPTED


def _show(console: Console, text: str, style: str = "") -> None:
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)
