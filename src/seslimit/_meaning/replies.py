"""
What the service's replies mean: tables of (door, stage, code, text) → outcome, and the lookup.

Pure data and one lookup. It must not know how a reply was read, nor what anybody does about it.

Invariants: the first row that fits decides, so narrow rows stand above wide ones; every reply has a meaning; only words
that the service is known to use make a throttle, so that other servers' temporary failures never slow the send rate; a
reply that nothing here knows is never "accepted".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

import attrs

from .._model.meaning import Meaning
from .._model.outcome import Door, Outcome, Reply, Stage

LONG_PAUSE = 60.0
"""Seconds to send nothing after a throttle that names neither the rate nor the day. The service's documents see a
"system-wide problem" behind it and suggest waits of up to 10 minutes; one minute finds out earlier at little cost."""

BUSY = 1.0
"""Seconds to wait at least after a service that is there said "not now": it does not name any itself."""


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


@attrs.frozen
class Row:
    """
    One row of a table.

    Args:
        code: regular expression that the whole code matches.
        text: regular expression that is found in the text, without regard to case; empty for any text.
        meaning: what such a reply means.
        source: where the reply is documented or was captured.
        stages: stages at which the row holds; empty for every stage.
    """

    code: re.Pattern[str] = attrs.field(converter=_pattern)
    text: re.Pattern[str] = attrs.field(converter=_pattern)
    meaning: Meaning
    source: str
    stages: Collection[Stage] = ()

    def fits(self, reply: Reply, text: str) -> bool:
        """Whether the row decides this reply; `text` is its text without enhanced code and trailing period."""
        if self.stages and reply.stage not in self.stages:
            return False
        return bool(self.code.fullmatch(reply.code) and self.text.search(text))


_THROTTLED = Meaning(Outcome.THROTTLED)
_THROTTLED_LONG = Meaning(Outcome.THROTTLED, retry_after=LONG_PAUSE)
_QUOTA = Meaning(Outcome.QUOTA_EXCEEDED)
_CONNECTION = Meaning(Outcome.NOT_SENT)
_ENDPOINT = Meaning(Outcome.NOT_SENT, blocks_endpoint=True)
_BUSY = Meaning(Outcome.NOT_SENT, blocks_endpoint=True, retry_after=BUSY)
_LOGIN = Meaning(Outcome.NOT_SENT, blocks_endpoint=True, retry_after=BUSY, stage=Stage.AUTH)
_TRANSIENT = Meaning(Outcome.TRANSIENT)
_PERMANENT = Meaning(Outcome.PERMANENT)
_ACCOUNT = Meaning(Outcome.ACCOUNT_BLOCKED)
_IDENTITY = Meaning(Outcome.ACCOUNT_BLOCKED, identity="")
_CREDENTIALS = Meaning(Outcome.ACCOUNT_BLOCKED, stage=Stage.AUTH)
_UNKNOWN = Meaning(Outcome.UNKNOWN)

_OPENING = (Stage.CONNECT, Stage.EHLO, Stage.STARTTLS)
_CAPTURED = "captured SMTP conversations in public issues and logs, 2013 to 2026"
_SMTP_GUIDE = "Amazon SES Developer Guide, SMTP response codes, read 2026-11"
_ERRORS_GUIDE = "Amazon SES Developer Guide, Amazon SES email sending errors, read 2026-11"
_RFC = "RFC 5321, 4.2"
_V2 = "SES API v2 model 2019-09-27, errors of SendEmail"
_V1 = "SES API model 2010-12-01, errors of SendRawEmail"
_COMMON = "AWS common error types, read 2026-11"
_BOTOCORE = "botocore 1.43, retries.standard: what it repeats as throttled or as transient"

_DAY = r"daily (message|sending) quota|24-hour"
_RATE = r"sending rate"
_THROTTLING = r"^throttling failure"
_STOPPED = r"sending (is )?(paused|suspended)|account is paused|access denied|not authorized to perform"

_RESOURCE = r"resource\W+arn:aws[\w-]*:ses:[\w-]*:\d*:(identity|configuration-set|tenant)/"

SMTP: tuple[Row, ...] = (
    # Before the login nothing is about a message, and no 454 is a throttle.
    Row("535|530|534|538", "", _CREDENTIALS, _SMTP_GUIDE),
    Row("4..", "", _LOGIN, f"{_SMTP_GUIDE}; RFC 4954, 4.7.0", (Stage.AUTH,)),
    Row("5..", "", _CREDENTIALS, "RFC 4954, 6", (Stage.AUTH,)),
    # What does not know our greeting, or refuses it, is not the service that was meant: waiting mends nothing.
    Row("5..", "", _ACCOUNT, f"{_RFC}.1: EHLO not implemented or refused", (Stage.EHLO,)),
    Row("4..", "", _BUSY, f"{_SMTP_GUIDE}; {_RFC}.1: later, as with too many connections; RFC 3207, 4", _OPENING),
    Row("5..", "", _ENDPOINT, f"{_RFC}.1; RFC 3207, 4", _OPENING),
    # 454 is three things, told apart by the words; and other 4xx say them too, as do services in place of SES.
    Row("4..", f"{_THROTTLING}(?s:.)*({_DAY})", _QUOTA, f"{_ERRORS_GUIDE}; {_CAPTURED}"),
    Row("4..", f"{_THROTTLING}(?s:.)*({_RATE})|^rate exceeded", _THROTTLED, f"{_ERRORS_GUIDE}; {_CAPTURED}; {_COMMON}"),
    Row("454", "authentication", _LOGIN, _SMTP_GUIDE),
    Row("454", _DAY, _QUOTA, f"{_ERRORS_GUIDE}; {_CAPTURED}"),
    Row("454", _RATE, _THROTTLED, f"{_ERRORS_GUIDE}; {_CAPTURED}"),
    Row("4..", _THROTTLING, _THROTTLED_LONG, f"{_ERRORS_GUIDE}: there might be a system-wide problem"),
    # The connection is at its end; a new one mends it.
    Row("421", "too many (concurrent )?(smtp )?connections", _BUSY, f"{_SMTP_GUIDE}; {_CAPTURED}"),
    Row("421", "", _CONNECTION, f"session cap, idle, service not available: {_CAPTURED}"),
    Row("451", "timeout waiting for data", _CONNECTION, f"{_SMTP_GUIDE}; {_CAPTURED}"),
    Row("503", "already specified|nested mail", _CONNECTION, f"MAIL in an open transaction: {_CAPTURED}"),
    Row("503", "", _ENDPOINT, f"{_RFC}: bad sequence of commands, never a fault of the message"),
    Row("4..", "", _TRANSIENT, f"{_SMTP_GUIDE}: 451 and 454 Temporary service failure; {_RFC}"),
    # The account or an identity, whatever the message.
    Row("554", f"(access denied|not authorized)(?s:.)*{_RESOURCE}", _IDENTITY, f"{_SMTP_GUIDE}; {_CAPTURED}"),
    Row("554", _STOPPED, _ACCOUNT, f"{_SMTP_GUIDE}; {_CAPTURED}"),
    Row("554", "mail from domain (is )?not verified", _IDENTITY, f"{_V2}; {_CAPTURED}"),
    Row("5..", "", _PERMANENT, f"501, 552, 553, 554: {_SMTP_GUIDE}; {_CAPTURED}"),
    # Neither a refusal nor what was asked for: the conversation is out of step.
    Row(".*", "", _UNKNOWN, "RFC 5321, 4.3.2: no such reply at this point", (Stage.DOT,)),
    Row(".*", "", _CONNECTION, "RFC 5321, 4.3.2: no such reply at this point"),
)

_THROTTLES = (
    r"TooManyRequests(Exception)?|Thrott(ling|led)(Exception)?|(EC2|Request)Throttled(Exception)?|SlowDown|"
    r"RequestLimitExceeded|BandwidthLimitExceeded|ProvisionedThroughputExceeded(Exception)?|429"
)
_NOT_HEARD = r"RequestTimeout(Exception)?|408|PriorRequestNotComplete|TransactionInProgress(Exception)?"
_BAD_CREDENTIALS = (
    r"ExpiredToken(Exception)?|InvalidClientTokenId|InvalidAccessKeyId|UnrecognizedClient(Exception)?|"
    r"SignatureDoesNotMatch|InvalidSignature(Exception)?|IncompleteSignature(Exception)?|"
    r"MissingAuthenticationToken(Exception)?|RequestExpired|RequestTimeTooSkewed|OptInRequired|"
    r"NotAuthorized(Exception)?|40[137]"
)

API: tuple[Row, ...] = (
    # One error name for the rate and for the day: the words decide.
    Row(f"{_THROTTLES}|LimitExceeded(Exception)?", _DAY, _QUOTA, f"{_V2}; captured API errors, 2025 and 2026"),
    Row(f"{_THROTTLES}|LimitExceeded(Exception)?", _RATE, _THROTTLED, f"{_V2}; captured API errors, 2025 and 2026"),
    Row(_THROTTLES, "", _THROTTLED, f"{_V2}; {_V1}; {_COMMON}; {_BOTOCORE}: a throttle of requests"),
    Row(_NOT_HEARD, "", _TRANSIENT, f"{_BOTOCORE}; RFC 9110, 15.5.9: the request did not arrive in time"),
    Row("LimitExceeded(Exception)?", "", _TRANSIENT, f"{_V2}: too many instances of a resource"),
    Row(_BAD_CREDENTIALS, "", _CREDENTIALS, f"{_COMMON}; RFC 9110, 15.5.8: 407 is a proxy's"),
    Row("(AccountSuspended|SendingPaused)(Exception)?", "", _ACCOUNT, _V2),
    Row("AccountSendingPaused(Exception)?", "", _ACCOUNT, _V1),
    Row("ConfigurationSetSendingPaused(Exception)?", "", _IDENTITY, _V1),
    Row("MailFromDomainNotVerified(Exception)?", "", _IDENTITY, f"{_V2}; {_V1}"),
    Row("NotFound(Exception)?|404", "", _IDENTITY, f"{_V2}: configuration set, tenant or identity is missing"),
    Row("ConfigurationSetDoesNotExist(Exception)?", "", _IDENTITY, _V1),
    Row("AccessDenied(Exception)?", _RESOURCE, _IDENTITY, f"{_COMMON}; {_CAPTURED}: a policy that names an identity"),
    Row("AccessDenied(Exception)?", "", _ACCOUNT, _COMMON),
    Row("MessageRejected|BadRequest(Exception)?", _STOPPED, _ACCOUNT, f"{_V2}; captured API errors"),
    Row("MessageRejected|BadRequest(Exception)?", "", _PERMANENT, f"{_V2}; {_V1}"),
    Row("InvalidParameter(Value|Combination)|Validation(Error|Exception)|400|413", "", _PERMANENT, _COMMON),
    # For SendEmail a failure inside the service may come after it took the message.
    Row("InternalServiceError(Exception)?|InternalFailure|InternalError|5..", "", _UNKNOWN, _V2),
    Row("ServiceUnavailable(Exception)?|ConcurrentModification(Exception)?", "", _UNKNOWN, f"{_V2}; {_COMMON}"),
    Row("4..", "", _PERMANENT, "RFC 9110, 15.5: the status of an error name that no document has"),
    Row(".*", "", _UNKNOWN, "an error name that no document has"),
)

_TABLES = {Door.SMTP: SMTP, Door.API: API}
_ENHANCED = re.compile(r"^\s*(?:[245]\.\d{1,3}\.\d{1,3}(?:\s+|$))?")
_UNVERIFIED = re.compile(r"identities failed the check in region [\w-]+:\s*(?P<listed>.+)$", re.IGNORECASE | re.DOTALL)

_PRECEDENCE = (
    Outcome.ACCOUNT_BLOCKED,
    Outcome.QUOTA_EXCEEDED,
    Outcome.THROTTLED,
    Outcome.UNKNOWN,
    Outcome.NOT_SENT,
    Outcome.TRANSIENT,
    Outcome.PERMANENT,
)


def interpret(reply: Reply, recipients: Collection[str] = ()) -> Meaning:
    """
    What a reply that is no acceptance means.

    Args:
        reply: the reply as it was read.
        recipients: the envelope's recipients. They tell an unverified recipient (one message) from an unverified sender
            (every message); without them an unverified identity counts against the one message.
    """
    text = _ENHANCED.sub("", reply.text).rstrip(" .\r\n")
    meaning = next(row.meaning for row in _TABLES[reply.door] if row.fits(reply, text))
    if meaning.outcome is Outcome.PERMANENT and recipients and (unverified := _senders_unverified(text, recipients)):
        meaning = attrs.evolve(_IDENTITY, identity=", ".join(unverified))
    return meaning if meaning.stage else attrs.evolve(meaning, stage=reply.stage)


def most_useful(meanings: Iterable[Meaning]) -> Meaning:
    """
    The one meaning that stands for several, as of a message's recipients that were all refused.

    What stops everything comes first, then what slows everything, then what may have been accepted, then what may be
    repeated; permanent only where every one is.
    """
    found = list(meanings)
    for outcome in _PRECEDENCE:
        for meaning in found:
            if meaning.outcome is outcome:
                return meaning
    return _UNKNOWN


def _senders_unverified(text: str, recipients: Collection[str]) -> list[str]:
    """The identities that the text lists as unverified and that are no recipients, so that they are the sender's."""
    found = _UNVERIFIED.search(text)
    if not found:
        return []
    # A long list is cut short with "..."; what is cut off may be anybody.
    identities = [part.strip().strip("<>").lower() for part in found["listed"].rstrip(". ").split(",")]
    known = {address.lower() for address in recipients}
    return [identity for identity in identities if identity and identity not in known]
