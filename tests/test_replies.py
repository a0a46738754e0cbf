"""Every known reply of the service, and every client's exception, means what the service's documents say it means."""

from __future__ import annotations

import smtplib
import socket
import ssl
from typing import Any

import aiohttp
import aiosmtplib
import botocore.exceptions
import pytest
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker

from seslimit._meaning import classify as classification
from seslimit._meaning.classify import Classify, classify, meaning
from seslimit._meaning.replies import API, BUSY, LONG_PAUSE, SMTP, interpret, most_useful
from seslimit._model.endings import AccountBlocked, EndpointUnreachable
from seslimit._model.errors import ConfigurationError, InvalidMessage, TransportError
from seslimit._model.meaning import Meaning
from seslimit._model.outcome import Door, Outcome, Reply, Stage

RATE = "Throttling failure: Maximum sending rate exceeded."
DAY = "Throttling failure: Daily message quota exceeded."
UNVERIFIED = "Message rejected: Email address is not verified. The following identities failed the check in region"

# (stage, code, text, outcome, blocks the endpoint, where the text is from)
SMTP_REPLIES = [
    ("dot", "454", RATE, "throttled", False, "knadh/listmonk#992"),
    ("dot", "454", RATE.rstrip("."), "throttled", False, "AWS blog, without the period"),
    ("dot", "454", RATE.upper(), "throttled", False, "the same in capitals"),
    ("dot", "454", "4.7.0 " + RATE, "throttled", False, "other fake servers: an enhanced code"),
    ("data", "454", RATE, "throttled", False, "the same before 354"),
    ("mail", "454", RATE, "throttled", False, "the same at MAIL"),
    ("dot", "454", DAY, "quota_exceeded", False, "2amigos/yii2-usuario#527"),
    ("dot", "454", "Throttling failure: Daily sending quota exceeded", "quota_exceeded", False, "other wording"),
    ("dot", "454", "Throttling failure: 24-hour limit", "quota_exceeded", False, "other wording"),
    ("dot", "454", "Throttling failure: Maximum SigV2 SMTP sending rate exceeded.", "throttled", False, "public log"),
    ("dot", "454", "Throttling failure: something new", "throttled", False, "developer guide"),
    ("dot", "451", "4.7.1 " + RATE, "throttled", False, "the same words with another code"),
    ("dot", "452", "Throttling failure:\nMaximum sending rate exceeded", "throttled", False, "in two lines"),
    ("dot", "421", RATE, "throttled", False, "the same, and the connection ends"),
    ("dot", "451", "4.7.1 " + DAY, "quota_exceeded", False, "the day with another code"),
    ("dot", "454", "4.7.0 Rate exceeded", "throttled", False, "AWS common error types: the words of the API"),
    ("dot", "450", "Throttling failure: something new", "throttled", False, "developer guide, another code"),
    ("dot", "450", "4.7.1 Too much mail from 192.0.2.1", "transient", False, "Postfix: words that resemble a rate"),
    ("dot", "451", "4.7.650 rate limit of new senders", "transient", False, "words that resemble a rate"),
    ("dot", "452", "4.2.2 sending rate unknown", "transient", False, "words that resemble a rate"),
    ("auth", "454", "4.7.0 Rate exceeded", "not_sent", True, "a throttle of logins is none of messages"),
    ("dot", "451", "Temporary service failure", "transient", False, "developer guide"),
    ("dot", "454", "Temporary service failure", "transient", False, "FormSG#227"),
    ("dot", "454", "4.3.0 Try again later", "transient", False, "a Postfix milter, not SES"),
    ("mail", "454", "4.7.0 Temporary authentication failure: Connection lost", "not_sent", True, "Dovecot, not SES"),
    ("auth", "454", "Temporary authentication failure", "not_sent", True, "code-dot-org#11446"),
    ("auth", "454", RATE, "not_sent", True, "a 454 at AUTH is no throttle"),
    ("starttls", "454", "TLS not available", "not_sent", True, "RFC 3207, 4"),
    ("connect", "421", "Too many concurrent SMTP connections", "not_sent", True, "developer guide"),
    ("connect", "421", "Too many connections, try again later", "not_sent", True, "code-dot-org#11446"),
    ("connect", "554", "No service", "not_sent", True, "RFC 5321, 3.1"),
    ("mail", "421", "Connection closed by server. Maximum message count per session reached.", "not_sent", False, ""),
    ("rset", "421", "Connection closed by server. Too many messages in one session", "not_sent", False, "listmonk"),
    ("mail", "421", "Service not available, closing transmission channel.", "not_sent", False, "couchers#5814"),
    ("mail", "451", "4.4.2 Timeout waiting for data from client.", "not_sent", False, "mozilla/sumo#2215"),
    ("mail", "451", "Timeout waiting for data from client", "not_sent", False, "developer guide"),
    ("mail", "421", "Timeout waiting for data from client.", "not_sent", False, "swiftmailer#330"),
    ("mail", "503", "Sender already specified.", "not_sent", False, "knadh/listmonk#300"),
    ("mail", "501", "Invalid MAIL FROM address provided", "permanent", False, "Postfix log"),
    ("mail", "530", "Authentication required", "account_blocked", False, "developer guide"),
    ("mail", "530", "Must issue a STARTTLS command first", "account_blocked", False, "third party"),
    ("auth", "535", "Authentication Credentials Invalid", "account_blocked", False, "developer guide"),
    ("auth", "535", "Account not subscribed to SES", "account_blocked", False, "developer guide"),
    ("dot", "552", "Message is too long.", "permanent", False, "developer guide"),
    ("mail", "553", "<x@y> Invalid email address", "permanent", False, "developer guide"),
    ("rcpt", "553", "<x@y> address unknown", "permanent", False, "developer guide"),
    ("dot", "554", ("Access denied: User `arn:aws:iam::123456789012:user/smtp-user' is not authorized to perform "
     "`ses:SendRawEmail' on resource `arn:aws:ses:us-east-1:123456789012:configuration-set/cs-dev'"),
     "account_blocked", False, "captured"),
    ("dot", "554", ("Message rejected: Sending paused for this account. For more information, please check the inbox "
     "of the email address associated with your AWS account."), "account_blocked", False, "captured"),
    ("dot", "554", "Message rejected: Sending suspended for this account. For more information, ...",
     "account_blocked", False, "captured"),
    ("dot", "554", "MAIL FROM domain not verified: DNS setup for MAIL FROM domain is invalid.",
     "account_blocked", False, "captured, 2026"),
    ("dot", "554", f"{UNVERIFIED} US-EAST-1: a@example.org", "permanent", False, "developer guide"),
    ("dot", "554", "Message rejected: Address blacklisted", "permanent", False, "Open edX"),
    ("dot", "554", "Transaction failed: Recipient count exceeds 50.", "permanent", False, "thewca#9467"),
    ("dot", "554", "Transaction failed: Missing final '@domain'", "permanent", False, "captured"),
    ("dot", "554", "Transaction failed: Local address contains control or whitespace", "permanent", False, "captured"),
    ("dot", "554", "Transaction failed: Duplicate header 'DKIM-Signature'.", "permanent", False, "captured"),
    ("connect", "554", "No SMTP service here", "not_sent", True, "RFC 5321, 3.1"),
    ("ehlo", "451", "Temporary service failure", "not_sent", True, "developer guide"),
    ("ehlo", "502", "Command not implemented", "account_blocked", False, "RFC 5321, 4.2.1"),
    ("ehlo", "554", "Refused by policy", "account_blocked", False, "RFC 5321, 4.2.1"),
    ("dot", "354", "Go on", "unknown", False, "out of order"),
    ("data", "250", "Ok", "not_sent", False, "out of order"),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "code", "text", "outcome", "blocks", "source"), SMTP_REPLIES)
def test_smtp_reply(stage: str, code: str, text: str, outcome: str, blocks: bool, source: str) -> None:
    """A reply of the SMTP door means what it is documented, or was seen, to mean."""
    found = interpret(Reply(Door.SMTP, Stage(stage), code, text))
    assert (outcome, blocks) == (found.outcome, found.blocks_endpoint)


# (error name, message, outcome, stage)
API_ERRORS = [
    ("TooManyRequestsException", "Maximum sending rate exceeded.", "throttled", "request"),
    ("TooManyRequestsException", "Daily message quota exceeded.", "quota_exceeded", "request"),
    ("TooManyRequestsException", "Rate exceeded", "throttled", "request"),
    ("Throttling", "Maximum sending rate exceeded.", "throttled", "request"),
    ("Throttling", "Daily message quota exceeded.", "quota_exceeded", "request"),
    ("ThrottlingException", "The request was denied due to request throttling.", "throttled", "request"),
    ("429", "Too Many Requests", "throttled", "request"),
    ("RequestLimitExceeded", "", "throttled", "request"),
    ("BandwidthLimitExceeded", "", "throttled", "request"),
    ("SlowDown", "", "throttled", "request"),
    ("RequestTimeout", "Your socket connection was not read from or written to.", "transient", "request"),
    ("408", "Request Timeout", "transient", "request"),
    ("PriorRequestNotComplete", "", "transient", "request"),
    ("407", "Proxy Authentication Required", "account_blocked", "auth"),
    ("LimitExceededException", "There are too many instances of the specified resource type.", "transient", "request"),
    ("LimitExceededException", "Daily message quota exceeded.", "quota_exceeded", "request"),
    ("AccountSuspendedException", "", "account_blocked", "request"),
    ("SendingPausedException", "Sending paused for this account.", "account_blocked", "request"),
    ("AccountSendingPausedException", "", "account_blocked", "request"),
    ("ConfigurationSetSendingPausedException", "", "account_blocked", "request"),
    ("ConfigurationSetDoesNotExist", "", "account_blocked", "request"),
    ("MailFromDomainNotVerifiedException", "", "account_blocked", "request"),
    ("NotFoundException", "Configuration set <x> does not exist.", "account_blocked", "request"),
    ("MessageRejected", "Email address is not verified.", "permanent", "request"),
    ("MessageRejected", "Sending suspended for this account.", "account_blocked", "request"),
    ("BadRequestException", "Invalid", "permanent", "request"),
    ("AccessDeniedException", "User is not authorized", "account_blocked", "request"),
    ("InvalidClientTokenId", "The security token is invalid.", "account_blocked", "auth"),
    ("UnrecognizedClientException", "The security token is invalid.", "account_blocked", "auth"),
    ("SignatureDoesNotMatch", "Signature expired", "account_blocked", "auth"),
    ("InvalidSignatureException", "Signature expired", "account_blocked", "auth"),
    ("ExpiredTokenException", "The security token included in the request is expired", "account_blocked", "auth"),
    ("InternalServiceErrorException", "", "unknown", "request"),
    ("ConcurrentModificationException", "", "unknown", "request"),
    ("ServiceUnavailable", "", "unknown", "request"),
    ("500", "", "unknown", "request"),
    ("503", "", "unknown", "request"),
    ("SomethingNew", "", "unknown", "request"),
]


@pytest.mark.parametrize(("name", "text", "outcome", "stage"), API_ERRORS)
def test_api_error(name: str, text: str, outcome: str, stage: str) -> None:
    """An error of the API means what its name and words say; credentials are told by the stage."""
    found = interpret(Reply(Door.API, Stage.REQUEST, name, text))
    assert (outcome, stage) == (found.outcome, found.stage)


@pytest.mark.parametrize(
    "name",
    sorted({*ThrottledRetryableChecker._THROTTLED_ERROR_CODES, *TransientRetryableChecker._TRANSIENT_ERROR_CODES}),
)
def test_what_botocore_repeats_is_not_permanent(name: str) -> None:
    """An error that the SDK would repeat never gives a message up (botocore, retries.standard)."""
    assert interpret(Reply(Door.API, Stage.REQUEST, name, "")).outcome in (Outcome.THROTTLED, Outcome.TRANSIENT)


@pytest.mark.parametrize(
    ("stage", "code", "text"),
    [
        ("connect", "421", "Too many concurrent SMTP connections"),
        ("connect", "421", "Service not available"),
        ("mail", "421", "Too many connections, try again later"),
        ("auth", "454", "Temporary authentication failure"),
    ],
)
def test_not_now_names_a_wait(stage: str, code: str, text: str) -> None:
    """A service that says "later" has been reached, which the wait tells; one that says "no" names none."""
    assert interpret(Reply(Door.SMTP, Stage(stage), code, text)).retry_after == BUSY
    assert interpret(Reply(Door.SMTP, Stage.CONNECT, "554", "No SMTP service here")).retry_after == 0


def test_long_pause() -> None:
    """A throttle that names neither the rate nor the day asks for a long pause."""
    assert interpret(Reply(Door.SMTP, Stage.DOT, "454", "Throttling failure: x")).retry_after == LONG_PAUSE


def test_rate_throttle_has_no_pause() -> None:
    """A throttle for the rate asks for no pause: slowing down is the limiter's business."""
    assert interpret(Reply(Door.SMTP, Stage.DOT, "454", RATE)).retry_after == 0


@pytest.mark.parametrize(
    ("listed", "outcome"),
    [
        ("sender@example.org", "account_blocked"),
        ("Reader@example.com", "permanent"),
        ("sender@example.org, reader@example.com", "account_blocked"),
        ("<reader@example.com>...", "permanent"),
    ],
)
def test_unverified_identity(listed: str, outcome: str) -> None:
    """An unverified recipient spoils one message, an unverified sender every message."""
    reply = Reply(Door.SMTP, Stage.DOT, "554", f"{UNVERIFIED} EU-WEST-1: {listed}")
    assert interpret(reply, ["reader@example.com"]).outcome == outcome


def test_rows_have_sources() -> None:
    """Every row of the tables says where it is from."""
    assert all(row.source for row in (*SMTP, *API))


def test_every_reply_has_a_meaning() -> None:
    """No code at any stage is without a meaning, and none but an acceptance is one."""
    outcomes = {
        interpret(Reply(Door.SMTP, stage, str(code), "")).outcome for stage in Stage for code in (-1, *range(200, 600))
    }
    assert Outcome.ACCEPTED not in outcomes


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["permanent", "permanent"], "permanent"),
        (["permanent", "transient"], "transient"),
        (["permanent", "throttled", "transient"], "throttled"),
        (["throttled", "account_blocked"], "account_blocked"),
        (["not_sent", "unknown"], "unknown"),
        ([], "unknown"),
    ],
)
def test_most_useful(outcomes: list[str], expected: str) -> None:
    """Several refusals at once mean what needs the most attention; permanent only where all are."""
    assert most_useful([Meaning(Outcome(outcome)) for outcome in outcomes]).outcome == expected


def client_error(name: str, text: str, status: int = 400) -> botocore.exceptions.ClientError:
    """An error as botocore builds it from a response."""
    response: Any = {"Error": {"Code": name, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return botocore.exceptions.ClientError(response, "SendEmail")


class Wrapped(Exception):
    """An error of some framework around a client."""


def wrapped(cause: BaseException) -> Wrapped:
    """The cause, hidden in a wrapper."""
    error = Wrapped()
    error.__cause__ = cause
    return error


def refused_by_aiosmtplib(*codes: int) -> aiosmtplib.SMTPRecipientsRefused:
    """All recipients refused, as aiosmtplib reports it."""
    return aiosmtplib.SMTPRecipientsRefused(
        [aiosmtplib.SMTPRecipientRefused(code, RATE if code == 454 else "no", "a@example.org") for code in codes]
    )


EXCEPTIONS: list[tuple[BaseException, str]] = [
    (aiosmtplib.SMTPDataError(454, RATE), "throttled"),
    (aiosmtplib.SMTPDataError(454, DAY), "quota_exceeded"),
    (aiosmtplib.SMTPSenderRefused(454, RATE, "a@example.org"), "throttled"),
    (aiosmtplib.SMTPRecipientRefused(454, RATE, "a@example.org"), "throttled"),
    (aiosmtplib.SMTPResponseException(454, RATE), "throttled"),
    (aiosmtplib.SMTPResponseException(-1, "Malformed SMTP response line"), "unknown"),
    (aiosmtplib.SMTPAuthenticationError(535, "Authentication Credentials Invalid"), "account_blocked"),
    (aiosmtplib.SMTPAuthenticationError(454, "Temporary authentication failure"), "not_sent"),
    (aiosmtplib.SMTPConnectResponseError(421, "Too many concurrent SMTP connections"), "not_sent"),
    (aiosmtplib.SMTPHeloError(421, "no"), "not_sent"),
    (aiosmtplib.SMTPHeloError(502, "Command not implemented"), "account_blocked"),
    (smtplib.SMTPHeloError(554, b"Refused by policy"), "account_blocked"),
    (aiosmtplib.SMTPConnectError("refused"), "not_sent"),
    (aiosmtplib.SMTPConnectTimeoutError("late"), "not_sent"),
    (aiosmtplib.SMTPReadTimeoutError("late"), "unknown"),
    (aiosmtplib.SMTPServerDisconnected("gone"), "unknown"),
    (refused_by_aiosmtplib(550, 553), "permanent"),
    (refused_by_aiosmtplib(550, 451), "transient"),
    (refused_by_aiosmtplib(550, 454), "throttled"),
    (smtplib.SMTPDataError(454, RATE.encode()), "throttled"),
    (smtplib.SMTPDataError(554, b"Message rejected"), "permanent"),
    (smtplib.SMTPSenderRefused(451, b"4.4.2 Timeout waiting for data from client.", "a@example.org"), "not_sent"),
    (
        smtplib.SMTPRecipientsRefused({"a@example.org": (553, b"unknown"), "b@example.org": (450, b"later")}),
        "transient",
    ),
    (smtplib.SMTPAuthenticationError(535, b"Authentication Credentials Invalid"), "account_blocked"),
    (smtplib.SMTPConnectError(421, b"Too many concurrent SMTP connections"), "not_sent"),
    (smtplib.SMTPServerDisconnected("gone"), "unknown"),
    (smtplib.SMTPNotSupportedError("STARTTLS extension not supported by server."), "account_blocked"),
    (smtplib.SMTPNotSupportedError("SMTP AUTH extension not supported by server."), "account_blocked"),
    (smtplib.SMTPNotSupportedError("One or more addresses require internationalized delivery support"), "permanent"),
    (aiosmtplib.SMTPNotSupported("SMTP AUTH extension not supported by server."), "account_blocked"),
    (aiosmtplib.SMTPNotSupported("An address containing non-ASCII characters was provided"), "permanent"),
    (client_error("TooManyRequestsException", "Maximum sending rate exceeded.", 429), "throttled"),
    (client_error("TooManyRequestsException", "Daily message quota exceeded.", 429), "quota_exceeded"),
    (client_error("Unheard", "", 403), "account_blocked"),
    (client_error("Unheard", "", 429), "throttled"),
    (client_error("Unheard", "", 422), "permanent"),
    (client_error("Unheard", "", 502), "unknown"),
    (botocore.exceptions.EndpointConnectionError(endpoint_url="https://x"), "not_sent"),
    (botocore.exceptions.EndpointConnectionError(endpoint_url="https://x", error=socket.gaierror()), "not_sent"),
    (botocore.exceptions.EndpointConnectionError(endpoint_url="https://x", error=aiohttp.ClientOSError()), "unknown"),
    (botocore.exceptions.ConnectTimeoutError(endpoint_url="https://x"), "not_sent"),
    (botocore.exceptions.ReadTimeoutError(endpoint_url="https://x"), "unknown"),
    (botocore.exceptions.ConnectionClosedError(endpoint_url="https://x"), "unknown"),
    (botocore.exceptions.HTTPClientError(error=ConnectionRefusedError()), "not_sent"),
    (botocore.exceptions.SSLError(endpoint_url="https://x", error=ssl.SSLCertVerificationError(1, "x")), "not_sent"),
    (botocore.exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2), "unknown"),
    (botocore.exceptions.NoCredentialsError(), "account_blocked"),
    (botocore.exceptions.ParamValidationError(report="x"), "permanent"),
    (ConnectionRefusedError(111, "refused"), "not_sent"),
    (OSError("Multiple exceptions: [Errno 111] Connect call failed ('127.0.0.1', 1)"), "not_sent"),
    (socket.gaierror(-2, "Name or service not known"), "not_sent"),
    (ssl.SSLCertVerificationError(1, "certificate verify failed"), "not_sent"),
    (ssl.SSLError(1, "x"), "unknown"),
    (TimeoutError(), "unknown"),
    (ConnectionResetError(), "unknown"),
    (TransportError(Outcome.QUOTA_EXCEEDED, "x"), "quota_exceeded"),
    (AccountBlocked("x"), "account_blocked"),
    (EndpointUnreachable("x"), "not_sent"),
    (ConfigurationError("x"), "account_blocked"),
    (InvalidMessage("x"), "permanent"),
    (ExceptionGroup("x", [ValueError(), aiosmtplib.SMTPDataError(454, RATE)]), "throttled"),
    (wrapped(smtplib.SMTPDataError(454, RATE.encode())), "throttled"),
    (wrapped(wrapped(ConnectionRefusedError())), "not_sent"),
    (ValueError("x"), "unknown"),
]


@pytest.mark.parametrize(("exc", "outcome"), EXCEPTIONS, ids=lambda value: getattr(type(value), "__name__", None))
def test_classify(exc: BaseException, outcome: str) -> None:
    """An exception of a mail client, of an AWS client or of a socket is classified."""
    assert classify(exc) == outcome


AFTER_A_REQUEST = {
    "HTTPClientError",
    "ConnectionClosedError",
    "ReadTimeoutError",
    "ResponseStreamingError",
    "ConnectionError",
    "IncompleteReadError",
    "ChecksumError",
    "FlexibleChecksumError",
    "SSLError",
}
"""What a request of botocore's, or the reading of its answer, ends in."""


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, kind in vars(botocore.exceptions).items()
        if isinstance(kind, type) and issubclass(kind, botocore.exceptions.BotoCoreError)
    ],
)
def test_what_botocore_raises_before_a_request_is_not_unknown(name: str) -> None:
    """Of botocore's own exceptions only those of a request may be about a message that was accepted."""
    kind = getattr(botocore.exceptions, name)
    error = kind.__new__(kind)
    assert (classify(error) is Outcome.UNKNOWN) is (name in AFTER_A_REQUEST)


def test_each_object_is_taught_by_itself() -> None:
    """What one learns the others do not know."""
    mine = Classify()
    mine.teach(Taught, lambda error: Outcome.TRANSIENT)
    assert (mine(Taught()), classify(Taught())) == (Outcome.TRANSIENT, Outcome.UNKNOWN)
    assert mine(ExceptionGroup("x", [Taught()])) is Outcome.TRANSIENT
    assert mine(botocore.exceptions.HTTPClientError(error=Taught())) is Outcome.TRANSIENT


def test_circle_of_causes() -> None:
    """Exceptions that are each other's cause are unknown, not endless."""
    first, second = Wrapped(), Wrapped()
    first.__cause__, second.__cause__ = second, first
    assert classify(first) is Outcome.UNKNOWN


def test_meaning_keeps_what_a_transport_says() -> None:
    """The meaning of a transport's error has all that the transport knew."""
    error = TransportError(
        Outcome.THROTTLED, "x", retry_after=3.0, stage=Stage.DOT, decided_at=7.0, blocks_endpoint=True
    )
    assert meaning(error) == Meaning(
        Outcome.THROTTLED, retry_after=3.0, blocks_endpoint=True, stage=Stage.DOT, handed_over_at=7.0
    )


class Taught(Exception):
    """An exception of a client that nobody has heard of."""


@pytest.fixture
def untaught(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test teaches is forgotten after it."""
    monkeypatch.setattr(classify, "_taught", dict(classify._taught))


@pytest.mark.usefixtures("untaught")
def test_teach_outcome() -> None:
    """A taught class, and its subclasses, mean what was taught."""
    classify.teach(Taught, lambda error: Outcome.THROTTLED)
    assert classify(type("Child", (Taught,), {})()) is Outcome.THROTTLED


@pytest.mark.usefixtures("untaught")
def test_teach_more() -> None:
    """A taught class may tell more than an outcome."""
    classify.teach(Taught, lambda error: TransportError(Outcome.THROTTLED, "x", retry_after=9.0))
    assert meaning(Taught()).retry_after == 9.0


@pytest.mark.usefixtures("untaught")
def test_teaching_goes_before_what_is_built_in() -> None:
    """What is taught for a class replaces what is built in for it."""
    classify.teach(smtplib.SMTPServerDisconnected, lambda error: Outcome.TRANSIENT)
    assert classify(smtplib.SMTPServerDisconnected("gone")) is Outcome.TRANSIENT


def test_pure() -> None:
    """Classifying imports none of the packages whose exceptions it knows."""
    names = vars(classification).keys()
    assert not names & {"aiosmtplib", "smtplib", "botocore", "socket", "ssl", "asyncio"}
