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
from ._outbox import outbox
from ._output import View, complain, say, write_lines
from ._sharing import sharing
from ._suppression import suppression
from ._warm_up import warm_up
from ._web import WEB

RATE = click.FloatRange(min=0, min_open=True)
_COLOURS = {"ok": "", "warning": "yellow", "wrong": "red"}
_JSON = click.option("--json", "as_json", is_flag=True, help="The last line of standard output is one JSON object.")

_TO = click.option(
    "--to", required=True, metavar="URL", help="ses://REGION, smtp://USER:PASSWORD@HOST:587, smtps://, sim://"
)
_RATE = click.option("--rate", type=RATE, help="Recipients/s to start with; found out when left out.")
_MAX_RATE = click.option("--max-rate", type=RATE, help="Recipients/s that are never exceeded.")
_WARM_UP = click.option(
    "--warm-up",
    metavar="PLAN",
    help="Raise the volume day by day: 14d, 14d:200-50000, or a table; seslimit warm-up show shows it.",
)
_STATE = click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Remember the rate that was found, and the warm-up, for the next run.",
)
_GUARD = click.option("--guard", is_flag=True, help="Slow down, and hold, before SES pauses the account (ses:// only).")
_KEEP_DAILY = click.option(
    "--keep-daily", type=click.IntRange(min=0), metavar="N", help="Leave N recipients of the daily quota to others."
)
_SUPPRESS = click.option(
    "--suppress", metavar="LIST", help="Do not send to the addresses of a list: a file, or ses://REGION."
)


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


def _console(*, as_json: bool) -> Console:
    return View(stderr=as_json)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("seslimit"), prog_name="seslimit", message="%(prog)s %(version)s")
@click.pass_context
def seslimit(context: click.Context) -> None:
    """Send mail through Amazon SES at exactly the rate the account is allowed, and lose nothing."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@seslimit.command()
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@_TO
@_RATE
@_MAX_RATE
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
@_WARM_UP
@_STATE
@_GUARD
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
@_KEEP_DAILY
@_SUPPRESS
@sharing
@WEB
@_JSON
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

    asked = SendOptions(**_given(options))
    if asked.preview or asked.dry_run:
        return asyncio.run(rehearse(asked, say, as_json=as_json))
    lines_on_output = asked.report == STANDARD_OUTPUT
    status, summary = asyncio.run(run_send(asked, _console(as_json=as_json or lines_on_output)))
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
@_JSON
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

    lines, bad = read_report(ReportOptions(**_given(options)))
    for line in lines:
        say(line)
    for entry in bad:
        complain(str(entry))
    return Status.SOME_FAILED if bad else Status.ALL_ACCEPTED


@seslimit.command()
@click.option("--rate", type=RATE, help="The hidden limit, recipients/s.  [default: 50]")
@click.option("--messages", type=click.IntRange(min=1), help="How many messages.  [default: about 20 s of them]")
@click.option("--transport", type=click.Choice(["smtp", "ses"]), help="Door of the service.  [default: smtp]")
@_JSON
def demo(as_json: bool, **options: Any) -> int:
    """
    See what seslimit is for, on a simulator of SES on this machine.

    The same messages go through an ordinary loop and through seslimit; the limit is hidden from both. Takes about 20 s.
    """
    from ._demo import DemoOptions
    from ._demo import demo as run_demo

    console = _console(as_json=as_json)
    status, comparison = asyncio.run(run_demo(DemoOptions(**_given(options)), console))
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
@click.option("--rate", type=RATE, help="The limit, recipients/s.  [default: 14]")
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
@_JSON
def simulate(**options: Any) -> int:
    """
    Run a simulator of SES on this machine until Ctrl-C: an SMTP door and an API door on one limit.

    With --events it tells what becomes of messages: by the shares given, and by SES's mailbox simulator (bounce@,
    complaint@, suppressionlist@ and success@simulator.amazonses.com).
    """
    from ._simulate import SimulateOptions
    from ._simulate import simulate as run_simulate

    asyncio.run(run_simulate(SimulateOptions(**_given(options)), _console(as_json=False)))
    return Status.ALL_ACCEPTED


@seslimit.command()
@click.option("--to", required=True, metavar="URL", help="What to look at: ses://, smtp://, smtps://, or a plug-in's.")
@click.option("--measure", is_flag=True, help="Find out how the service counts, by sending to SES's mailbox simulator.")
@click.option("--from", "mail_from", metavar="ADDRESS", help="A sender that the account may use, for --measure.")
@click.option("--rate", type=RATE, help="Recipients/s, for --measure where the service does not tell.")
@click.option(
    "--profile", type=click.Path(path_type=Path), metavar="FILE", help="Where --measure writes what it found (TOML)."
)
@click.option("--yes", is_flag=True, help="Let --measure send what it says that it will.")
@_JSON
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

    console = _console(as_json=as_json)
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


_KEPT = click.option(
    "--outbox",
    metavar="FILE|URL",
    help="Keep messages there, answer when they are durable, and send from there.",
)
_TAKEOVER = click.option(
    "--takeover",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Unix socket by which the next process takes over, without a connection refused between them.",
)


@seslimit.command()
@click.option("--listen", required=True, metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")
@_TO
@_RATE
@_MAX_RATE
@click.option("--tls-cert", type=click.Path(path_type=Path), metavar="FILE", help="Certificate (PEM) for TLS.")
@click.option("--tls-key", type=click.Path(path_type=Path), metavar="FILE", help="Its key, if not in the same file.")
@click.option("--tls-implicit", is_flag=True, help="TLS from the first byte, as on port 465, not by STARTTLS.")
@click.option("--max-connections", type=click.IntRange(min=1), help="Clients at once.  [default: 2000]")
@click.option("--max-pending", type=click.IntRange(min=1), help="Messages held at once; more wait.  [default: 100]")
@click.option("--max-size", type=click.IntRange(min=1), help="Bytes of a message.  [default: 40 MB, as SES]")
@click.option(
    "--hold",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long a message is held when nothing can be sent; 0 for a client that keeps a queue.  [default: 540]",
)
@click.option(
    "--lane",
    type=(str, float),
    multiple=True,
    metavar="NAME PRIORITY",
    help="A lane that a header X-Seslimit-Lane or a login USER+NAME may name.  [default: transactional 1]",
)
@click.option(
    "--lane-listen",
    type=(str, str),
    multiple=True,
    metavar="NAME HOST:PORT",
    help="Where to listen as well: what comes in there is in that lane.",
)
@sharing
@WEB
@_KEPT
@_TAKEOVER
@_JSON
def relay(**options: Any) -> int:
    """
    Run an SMTP server in front of SES: what a program hands to it goes out at the account's rate.

    The reply to a message comes when SES has accepted it, so a client is slowed down and never refused for the rate.

    On loopback it needs nothing. On any other address it needs --tls-cert, and SESLIMIT_RELAY_USER and
    SESLIMIT_RELAY_PASSWORD in the environment.

    Ctrl-C or SIGTERM: no new message is taken, what is held is sent (at most 10 s), the others are told to come
    back. A second one ends at once.

    Exit status: 0 after Ctrl-C or SIGTERM; 2 wrong usage or configuration.
    """
    from ._relay import RelayCommand
    from ._relay import relay as run_relay

    return asyncio.run(run_relay(RelayCommand(**_given(options)), _console(as_json=False)))


@seslimit.command()
@click.option("--listen", required=True, metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")
@_TO
@click.option("--root-url", required=True, metavar="URL", help="listmonk's own root URL, for List-Unsubscribe.")
@_RATE
@_MAX_RATE
@click.option("--concurrency", type=click.IntRange(min=1), help="listmonk's Concurrency.  [default: 10, as listmonk]")
@click.option("--message-rate", type=click.IntRange(min=1), help="listmonk's Message rate.  [default: 10, as listmonk]")
@click.option(
    "--timeout", type=RATE, help="Seconds of the messenger's time-out in listmonk.  [default: 5, as listmonk]"
)
@click.option("--max-size", type=click.IntRange(min=1), help="Bytes of one request.  [default: 55 MB]")
@click.option(
    "--unsubscribe-headers/--no-unsubscribe-headers",
    default=True,
    help="Whether List-Unsubscribe is added to campaigns, as listmonk's own setting has it.  [default: added]",
)
@click.option("--topic", multiple=True, metavar="ARN", help="Take what SNS posts to /sns for this topic; repeatable.")
@click.option("--queue", metavar="URL", help="Take the events in sqs://NAME?region=REGION.")
@click.option("--seen", metavar="FILE", help="Remember over restarts which events were recorded.")
@click.option("--suppression", metavar="LIST", help="Do not send to who bounced or complained; events fill the list.")
@click.option("--guard", is_flag=True, help="Hold a campaign that bounces too much, before SES pauses the account.")
@click.option(
    "--sns-certificate", metavar="FILE", help="Believe this certificate alone: for seslimit simulate --events."
)
@click.option("--allow-sha1", is_flag=True, help="Believe SignatureVersion 1 as well, which rests on SHA-1.")
@click.option("--allow-ses-headers", is_flag=True, help="Let campaigns set X-SES-CONFIGURATION-SET and its like.")
@sharing
@WEB
@_KEPT
@_TAKEOVER
@_JSON
def listmonk(**options: Any) -> int:
    """
    Run listmonk's HTTP messenger in front of SES: what a campaign posts to it goes out at the account's rate.

    The answer to a post comes when SES has accepted the message, so listmonk is slowed down and loses nothing. Says
    which of listmonk's settings cannot work with the account's rate, and which do.

    On any address but loopback it needs SESLIMIT_LISTMONK_USER and SESLIMIT_LISTMONK_PASSWORD in the environment.

    With --topic or --queue it records bounces and complaints in listmonk (--root-url), and needs
    SESLIMIT_LISTMONK_API_USER and SESLIMIT_LISTMONK_API_TOKEN.

    Ctrl-C or SIGTERM: no new message is taken, those under way are finished (at most 10 s). A second one ends at once.

    Exit status: 0 after Ctrl-C or SIGTERM; 2 wrong usage or configuration.
    """
    from ._listmonk import ListmonkCommand
    from ._listmonk import listmonk as run_listmonk

    return asyncio.run(run_listmonk(ListmonkCommand(**_given(options)), _console(as_json=False)))


@seslimit.command()
@click.option("--outbox", metavar="FILE|URL", help="A SQLite file, or postgresql://USER@HOST/DATABASE.")
@click.option("--queue", metavar="URL", help="sqs://NAME?region=REGION, instead of --outbox: messages as JSON lines.")
@_TO
@_RATE
@_MAX_RATE
@click.option(
    "--on-unknown",
    type=click.Choice(["resend", "hold"]),
    help="Send what may have been accepted again, or never twice.  [default: again]",
)
@_KEEP_DAILY
@_SUPPRESS
@_WARM_UP
@_STATE
@_GUARD
@sharing
@click.option("--web", metavar="HOST:PORT", help="Serve a live page, /metrics and /health there.")
@_JSON
def work(**options: Any) -> int:
    """
    Send what is in an outbox or a queue of SQS, and what is put there, until Ctrl-C or SIGTERM.

    Any number of workers may do so on one PostgreSQL database, on any number of machines; each message goes to one of
    them, and what a worker that died had leased goes to the others. So it is with a queue of SQS, whose messages are
    what a line of a .jsonl is for send; what cannot be sent goes to the queue's own dead-letter queue.

    At the signal no new attempt is made, those under way are finished (at most 10 s), and the rest is given back. A
    second one ends at once.

    Exit status: 0 after a signal; 2 wrong usage or configuration; 3 the account is blocked; 75 no connection.
    """
    from ._work import WorkOptions
    from ._work import work as run_work

    return asyncio.run(run_work(WorkOptions(**_given(options)), _console(as_json=False)))


@seslimit.command()
@click.option("--listen", metavar="HOST:PORT", help="Where SNS posts to (/sns); port 0 takes a free one.")
@click.option(
    "--topic", multiple=True, metavar="ARN", help="A topic of SNS whose events are believed; may be repeated."
)
@click.option("--queue", metavar="URL", help="sqs://NAME?region=REGION, instead of --listen or beside it.")
@click.option("--listmonk", metavar="URL", help="listmonk's root URL: bounces and complaints are recorded there.")
@click.option("--webhook", metavar="URL", help="Every event is posted there as JSON, signed.")
@click.option("--file", metavar="FILE", help="Every event is appended there, one JSON object a line.")
@click.option(
    "--suppression", metavar="LIST", help="Who bounced for good or complained is put there: a file, or ses://REGION."
)
@click.option("--outbox", metavar="FILE|URL", help="The outbox of these messages: its export then says who bounced.")
@click.option("--seen", metavar="FILE", help="Remembers over restarts what was delivered: nothing is twice.")
@click.option(
    "--sns-certificate",
    metavar="FILE",
    help="Believe what this certificate signed, and nothing of SNS's own: for seslimit simulate --events.",
)
@click.option("--allow-sha1", is_flag=True, help="Believe SignatureVersion 1 as well, which rests on SHA-1.")
@WEB
@_JSON
def feedback(**options: Any) -> int:
    """
    Take what SES tells about messages that it accepted, bounces and complaints above all, to where it is needed.

    SNS is answered, and SQS rid of a message, when every destination has the event; what is not taken comes again.

    --listmonk needs SESLIMIT_LISTMONK_API_USER and SESLIMIT_LISTMONK_API_TOKEN in the environment, --webhook needs
    SESLIMIT_WEBHOOK_SECRET.

    Ctrl-C or SIGTERM: what was taken is delivered, then it ends.

    Exit status: 0 after Ctrl-C or SIGTERM; 2 wrong usage or configuration.
    """
    from ._feedback import FeedbackCommand
    from ._feedback import feedback as run_feedback

    return asyncio.run(run_feedback(FeedbackCommand(**_given(options)), _console(as_json=False)))


seslimit.add_command(outbox)
seslimit.add_command(suppression)
seslimit.add_command(warm_up)


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


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given: a default value is written once, in the options object."""
    return {name: value for name, value in options.items() if value is not None}
