"""The commands that serve until a signal, and their options: relay, listmonk, work, feedback."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from ._options import (
    GUARD,
    JSON,
    KEEP_DAILY,
    KEPT,
    LISTEN,
    MAX_RATE,
    POSITIVE,
    RATE,
    STATE,
    SUPPRESS,
    TAKEOVER,
    TO,
    WARM_UP,
    console_of,
    given,
)
from ._sharing import sharing
from ._web import WEB

_SHA1 = click.option("--allow-sha1", is_flag=True, help="Believe SignatureVersion 1 as well, which rests on SHA-1.")


@click.command()
@LISTEN
@TO
@RATE
@MAX_RATE
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
@KEPT
@TAKEOVER
@JSON
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

    return asyncio.run(run_relay(RelayCommand(**given(options)), console_of(as_json=False)))


@click.command()
@LISTEN
@TO
@click.option("--root-url", required=True, metavar="URL", help="listmonk's own root URL, for List-Unsubscribe.")
@RATE
@MAX_RATE
@click.option("--concurrency", type=click.IntRange(min=1), help="listmonk's Concurrency.  [default: 10, as listmonk]")
@click.option("--message-rate", type=click.IntRange(min=1), help="listmonk's Message rate.  [default: 10, as listmonk]")
@click.option(
    "--timeout", type=POSITIVE, help="Seconds of the messenger's time-out in listmonk.  [default: 5, as listmonk]"
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
@_SHA1
@click.option("--allow-ses-headers", is_flag=True, help="Let campaigns set X-SES-CONFIGURATION-SET and its like.")
@sharing
@WEB
@KEPT
@TAKEOVER
@JSON
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

    return asyncio.run(run_listmonk(ListmonkCommand(**given(options)), console_of(as_json=False)))


@click.command()
@click.option("--outbox", metavar="FILE|URL", help="A SQLite file, or postgresql://USER@HOST/DATABASE.")
@click.option("--queue", metavar="URL", help="sqs://NAME?region=REGION, instead of --outbox: messages as JSON lines.")
@TO
@RATE
@MAX_RATE
@click.option(
    "--on-unknown",
    type=click.Choice(["resend", "hold"]),
    help="Send what may have been accepted again, or never twice.  [default: again]",
)
@KEEP_DAILY
@SUPPRESS
@WARM_UP
@STATE
@GUARD
@sharing
@WEB
@JSON
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

    return asyncio.run(run_work(WorkOptions(**given(options)), console_of(as_json=False)))


@click.command()
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
@_SHA1
@WEB
@JSON
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

    return asyncio.run(run_feedback(FeedbackCommand(**given(options)), console_of(as_json=False)))
