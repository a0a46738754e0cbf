"""
What the service's answer to `GetAccount`, or its refusal, says about an account: pure words.

Decides what is well, what is worth a warning and what is wrong. It must not know how the answer came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..._model.quota import SendQuota
from .._ending import Status
from .._view import duration, number
from ._checks import Check, State

SKEW_WORTH_A_WARNING = 60.0
"""Seconds: far more than a machine with time synchronisation is ever off."""

SKEW_REFUSED = 300.0
"""Seconds. Source: AWS Signature Version 4, "Troubleshoot": a request is refused more than 5 minutes from the service's
clock; read 2026-11."""

LITTLE_LEFT = 0.1
"""Part of the daily quota below which what is left is worth a warning."""

_RENEW = "get new ones (sign in again, or a new session token) and set all three of them"


_UNKNOWN_KEY = Check(
    "credentials",
    State.WRONG,
    "the service does not know this access key: it was deleted, made inactive or mistyped, is of another partition of "
    "AWS, or is a temporary one without its AWS_SESSION_TOKEN",
)
_WRONG_SIGNATURE = Check(
    "credentials",
    State.WRONG,
    "the signature is wrong: the secret access key does not belong to the access key; copy both anew, without spaces",
)
_EXPIRED = Check("credentials", State.WRONG, f"the temporary credentials have expired: {_RENEW}")
_DENIED = Check(
    "permission",
    State.WARNING,
    "these credentials may not ask for the account (permission ses:GetAccount), so a fixed --rate is used, or a rate "
    "that is learned by sending; allow ses:GetAccount to have the account's own",
)
_TOO_OFTEN = Check(
    "account",
    State.WARNING,
    "the account was asked too often just now (one GetAccount a second is allowed, for everybody who uses it): "
    "try again in a moment",
)
_NO_SUBSCRIPTION = Check(
    "account", State.WRONG, "this AWS account is not signed up for SES in this region: open the SES console once"
)

REFUSALS: Mapping[str, Check] = {
    "UnrecognizedClientException": _UNKNOWN_KEY,
    "InvalidClientTokenId": _UNKNOWN_KEY,
    "InvalidAccessKeyId": _UNKNOWN_KEY,
    "MissingAuthenticationToken": _UNKNOWN_KEY,
    "MissingAuthenticationTokenException": _UNKNOWN_KEY,
    "SignatureDoesNotMatch": _WRONG_SIGNATURE,
    "InvalidSignatureException": _WRONG_SIGNATURE,
    "IncompleteSignature": _WRONG_SIGNATURE,
    "IncompleteSignatureException": _WRONG_SIGNATURE,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "AccessDenied": _DENIED,
    "AccessDeniedException": _DENIED,
    "TooManyRequestsException": _TOO_OFTEN,
    "Throttling": _TOO_OFTEN,
    "ThrottlingException": _TOO_OFTEN,
    "OptInRequired": _NO_SUBSCRIPTION,
    "SubscriptionRequiredException": _NO_SUBSCRIPTION,
}
"""Error code → what it means. Source: SES API v2, `GetAccount`, and AWS "Common Errors"; read 2026-11."""

_CLOCK_CODES = frozenset({"RequestExpired", "RequestTimeTooSkewed"})
_CLOCK_WORDS = ("signature expired", "signature not yet current")


def about_the_clock(code: str, words: str) -> bool:
    """Whether the service refused for the time that a request was signed with."""
    return code in _CLOCK_CODES or words.lower().startswith(_CLOCK_WORDS)


def refusal_of(code: str, http_status: int) -> Check:
    """What a refusal means."""
    if code in REFUSALS:
        return REFUSALS[code]
    if http_status == 429:
        return _TOO_OFTEN
    if http_status >= 500:
        return Check("account", State.WRONG, "the service has a fault: try again later", Status.REMAINING)
    return Check(
        "answer", State.WRONG, "the endpoint does not answer as the SES API v2 does: check endpoint_url and region"
    )


def clock_check(skew: float) -> Check:
    """
    How far this machine's clock is off.

    Args:
        skew: seconds that it is ahead of the service's; below zero behind.
    """
    off = abs(skew)
    if off < SKEW_WORTH_A_WARNING:
        return Check("clock", State.OK, f"within {max(2, round(off))} s of the service's")
    words = f"this machine's clock is {duration(round(off))} {'ahead of' if skew > 0 else 'behind'} the service's"
    if off < SKEW_REFUSED:
        return Check(
            "clock", State.WARNING, f"{words}; from 5 min on, requests are refused: turn on time synchronisation"
        )
    return Check(
        "clock",
        State.WRONG,
        f"{words}, and requests that are signed over 5 min off are refused: turn on time synchronisation (NTP)",
        Status.WRONG_USAGE,
    )


def account_checks(account: Mapping[str, Any], quota: SendQuota) -> Iterator[Check]:
    """
    What an account may do now.

    Args:
        account: the answer to `GetAccount`.
        quota: its sending quota.
    """
    yield _sending(account)
    yield _standing(account)
    yield _sandbox(account)
    yield from quota_checks(quota)


def _sending(account: Mapping[str, Any]) -> Check:
    if account.get("SendingEnabled", True):
        return Check("sending", State.OK, "enabled for this account and region")
    return Check(
        "sending",
        State.WRONG,
        "paused for this account in this region: see the SES console, Account dashboard, and the mailbox of the "
        "account's owner; if you paused it yourself, resume it with PutAccountSendingAttributes",
        Status.ACCOUNT_BLOCKED,
    )


def _standing(account: Mapping[str, Any]) -> Check:
    standing = str(account.get("EnforcementStatus", "HEALTHY"))
    if standing == "HEALTHY":
        return Check("standing", State.OK, "the account is healthy")
    if standing == "SHUTDOWN":
        return Check(
            "standing",
            State.WRONG,
            "AWS has shut sending down for this account (SHUTDOWN): answer the case in the AWS Support Center",
            Status.ACCOUNT_BLOCKED,
        )
    return Check(
        "standing",
        State.WARNING,
        f"the account is under review ({standing}); mail still goes, but mend what the reputation dashboard of the SES "
        "console names before AWS pauses it",
    )


def _sandbox(account: Mapping[str, Any]) -> Check:
    if account.get("ProductionAccessEnabled", True):
        return Check("sandbox", State.OK, "the account is out of the sandbox")
    return Check(
        "sandbox",
        State.WARNING,
        "the account is in the sandbox: only verified recipients and the mailbox simulator, 200 recipients a day, 1/s; "
        "request production access in the SES console, for this region",
    )


def quota_checks(quota: SendQuota) -> Iterator[Check]:
    """The daily quota with what is left of it, and the send rate."""
    most, sent = quota.max_24_hour_send, quota.sent_last_24_hours
    rate = Check("rate", State.OK, f"{number(quota.max_send_rate)} recipients/s at most (MaxSendRate)")
    if most < 0:
        yield Check("quota", State.OK, f"no daily limit; {sent:,.0f} recipients in the last 24 hours")
        yield rate
        return
    words = f"{quota.remaining:,.0f} of {most:,.0f} recipients are left in the rolling 24 hours ({sent:,.0f} used)"
    if quota.remaining < 1:
        yield Check(
            "quota",
            State.WRONG,
            f"{words}: nothing can be sent until the oldest leave the window; ask for more in Service Quotas",
            Status.REMAINING,
        )
    else:
        little = quota.remaining < LITTLE_LEFT * most
        yield Check("quota", State.WARNING if little else State.OK, words)
    yield rate
