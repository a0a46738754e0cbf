"""
How a run ends: the exit status, and the one sentence about what stopped it.

Pure words; they name the thing and the remedy, and never hold a user, a password or a URL's options.
"""

from __future__ import annotations

import enum

from .._model.endings import AccountBlocked, EndpointUnreachable, QuotaExceeded
from .._model.errors import ConfigurationError, SESLimitError, TransportError, printable
from .._model.outcome import Stage
from ..transports import TransportURL
from ._view import duration


class Status(enum.IntEnum):
    """The exit status; a contract. 75 is the EX_TEMPFAIL of sysexits: the same again may succeed."""

    ALL_ACCEPTED = 0
    SOME_FAILED = 1
    WRONG_USAGE = 2
    ACCOUNT_BLOCKED = 3
    REMAINING = 75


_SMTP_LOGIN = (
    "check user and password, in the URL or in SESLIMIT_SMTP_USER and SESLIMIT_SMTP_PASSWORD (the SMTP password of SES "
    "is not the AWS secret access key)"
)
_LOGIN = {
    "smtp": _SMTP_LOGIN,
    "smtps": _SMTP_LOGIN,
    "ses": "check the AWS credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the role) and the "
    "region",
}
"""The remedy for a login that was refused, by the scheme of the URL."""

_BEFORE_LOGIN = (Stage.CONNECT, Stage.EHLO, Stage.STARTTLS)
"""Stages at which the service does not know yet whose account it is."""


def shown(url: str) -> str:
    """A transport's URL without user, password and options."""
    parsed = TransportURL.parse(url)
    port = "" if parsed.port is None else f":{parsed.port}"
    return printable(f"{parsed.scheme}://{parsed.host}{port}")


def ended_by(stopped_by: SESLimitError, url: str, remaining: str) -> tuple[Status, str]:
    """
    The exit status and the sentence for what stopped a run.

    Args:
        stopped_by: what it was.
        url: the transport's URL.
        remaining: words about the messages that remain.
    """
    reply, cause = str(stopped_by).rstrip("."), stopped_by.__cause__
    match stopped_by:
        case AccountBlocked() if isinstance(cause, ConfigurationError):
            return Status.WRONG_USAGE, str(cause)
        case AccountBlocked() if isinstance(cause, TransportError) and cause.stage is Stage.AUTH:
            remedy = _LOGIN.get(TransportURL.parse(url).scheme, "check the credentials")
            return Status.WRONG_USAGE, f"{shown(url)} refused the login ({reply}): {remedy}; {remaining}."
        case AccountBlocked() if isinstance(cause, TransportError) and cause.stage in _BEFORE_LOGIN:
            return Status.WRONG_USAGE, (
                f"{shown(url)} does not do as SES's SMTP endpoint does ({reply}): check the host and the port, and "
                f"whether something on the way answers in its place; {remaining}."
            )
        case AccountBlocked():
            return Status.ACCOUNT_BLOCKED, (
                f"the service accepts nothing from this account ({reply}): see the SES console; {remaining}."
            )
        case QuotaExceeded() if stopped_by.retry_after:
            back = f"it is worth trying again in {duration(stopped_by.retry_after)}"
            return Status.REMAINING, f"nothing is left of the daily quota ({reply}): {back}; {remaining}."
        case EndpointUnreachable():
            return Status.REMAINING, (
                f"no connection to {shown(url)} ({reply}): check the network, the host and the port; {remaining}."
            )
    return Status.REMAINING, f"{reply}; {remaining}."
