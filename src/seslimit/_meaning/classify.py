"""
What an exception means, whoever raised it.

Decides by the names of the exception's classes and by the attributes that mail and AWS clients give their exceptions;
none of those packages is imported, and none has to be installed.

Invariants: the most derived class that is known decides; what is taught goes before what is built in for the same
class; what nothing is known of is `Outcome.UNKNOWN`, since it may have been accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias, TypeVar

from .._model.endings import AccountBlocked, EndpointUnreachable, IdentityBlocked, SendFailed
from .._model.errors import ConfigurationError, InvalidMessage, TransportError
from .._model.meaning import Meaning
from .._model.outcome import Door, Outcome, Reply, Stage
from .replies import interpret, most_useful

E = TypeVar("E", bound=BaseException)
_Reading: TypeAlias = Callable[[Any], Meaning | None]

DEPTH = 8
"""How many causes of a wrapping exception are looked at; real chains have two or three, and one may be a circle."""

_CLIENTS = frozenset({"aiobotocore", "aiohttp", "aiosmtplib", "anyio", "boto3", "botocore", "h11", "h2", "http"}) | {
    *("httpcore", "httpx", "requests", "smtplib", "ssl", "trio", "urllib", "urllib3"),
}
"""Packages whose exceptions tell of a conversation with a service, also those that no table has."""

_UNKNOWN = Meaning(Outcome.UNKNOWN)
_FOREIGN = Meaning(Outcome.UNKNOWN, foreign=True)
_UNREACHABLE = Meaning(Outcome.NOT_SENT, blocks_endpoint=True, stage=Stage.CONNECT)
_NO_CREDENTIALS = Meaning(Outcome.ACCOUNT_BLOCKED, stage=Stage.AUTH)


def _text(words: object) -> str:
    return words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)


def _smtp(stage: Stage) -> _Reading:
    """Read an exception that holds an SMTP reply, in the attributes of aiosmtplib or of smtplib."""

    def read(exc: Any) -> Meaning:
        code = getattr(exc, "smtp_code", None) or getattr(exc, "code", None)
        words = getattr(exc, "smtp_error", None) or getattr(exc, "message", "")
        return _reply(stage, code, words)

    return read


def _reply(stage: Stage, code: object, words: object) -> Meaning:
    if not isinstance(code, int) or not 400 <= code <= 599:
        # The clients report a malformed reply as a code of their own; they do not say what it was a reply to.
        return _UNKNOWN
    return interpret(Reply(Door.SMTP, stage, str(int(code)), _text(words)))


def _recipients(exc: Any) -> Meaning:
    """Read a refusal of all recipients: exceptions in aiosmtplib, `{address: (code, text)}` in smtplib."""
    if isinstance(exc.recipients, Mapping):
        return most_useful(_reply(Stage.RCPT, *refusal) for refusal in exc.recipients.values())
    return most_useful(_reply(Stage.RCPT, refusal.code, refusal.message) for refusal in exc.recipients)


def _client_error(exc: Any) -> Meaning:
    """Read a refusal of the API, from botocore's parsed response."""
    error = exc.response.get("Error", {})
    status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return meaning_of_api_error(str(error.get("Code", "")), str(error.get("Message", "")), status)


def meaning_of_api_error(code: str, words: str, status: int, recipients: Collection[str] = ()) -> Meaning:
    """
    What an error of the API means: by its name, or by the HTTP status where no table has the name.

    Args:
        code: the error's name.
        words: its message.
        status: of the response; 0 where there is none.
        recipients: the envelope's recipients, where they are known.
    """
    found = interpret(Reply(Door.API, Stage.REQUEST, code, words), recipients)
    if found.outcome is Outcome.UNKNOWN and 400 <= status < 500:
        return interpret(Reply(Door.API, Stage.REQUEST, str(status), words), recipients)
    return found


def _os_error(exc: Any) -> Meaning | None:
    """Recognise the words of asyncio for an address that did not answer; it has no class for it."""
    return _UNREACHABLE if "Connect call failed" in str(exc) else None


def _always(meaning: Meaning) -> _Reading:
    return lambda exc: meaning


def _of_transport(exc: TransportError) -> Meaning:
    return exc.meaning


def _not_supported(exc: Any) -> Meaning:
    """Read that the server lacks what a client needs: it found that out before it sent anything."""
    words = str(exc).upper()
    if "SMTPUTF8" in words or "INTERNATIONAL" in words or "NON-ASCII" in words:
        # Only messages with such addresses need it.
        return Meaning(Outcome.PERMANENT, stage=Stage.MAIL)
    stage = Stage.STARTTLS if "STARTTLS" in words or "TLS" in words else Stage.AUTH
    return Meaning(Outcome.ACCOUNT_BLOCKED, stage=stage)


_BUILT_IN: Mapping[type[BaseException], _Reading] = {
    TransportError: _of_transport,
    SendFailed: lambda exc: Meaning(exc.report.outcome),
    AccountBlocked: _always(Meaning(Outcome.ACCOUNT_BLOCKED)),
    IdentityBlocked: _always(Meaning(Outcome.ACCOUNT_BLOCKED, identity="")),
    EndpointUnreachable: _always(_UNREACHABLE),
    ConfigurationError: _always(Meaning(Outcome.ACCOUNT_BLOCKED)),
    InvalidMessage: _always(Meaning(Outcome.PERMANENT)),
    ConnectionRefusedError: _always(_UNREACHABLE),
    OSError: _os_error,
}

# Package and class name → reading. The classes of one package derive from one another (and from OSError or
# ConnectionError), so the order of the method resolution decides, not the order here.
_NAMED: Mapping[str, _Reading] = {
    **dict.fromkeys(("aiosmtplib.SMTPResponseException", "smtplib.SMTPResponseException"), _smtp(Stage.DOT)),
    **dict.fromkeys(("aiosmtplib.SMTPDataError", "smtplib.SMTPDataError"), _smtp(Stage.DOT)),
    **dict.fromkeys(("aiosmtplib.SMTPSenderRefused", "smtplib.SMTPSenderRefused"), _smtp(Stage.MAIL)),
    "aiosmtplib.SMTPRecipientRefused": _smtp(Stage.RCPT),
    **dict.fromkeys(("aiosmtplib.SMTPRecipientsRefused", "smtplib.SMTPRecipientsRefused"), _recipients),
    **dict.fromkeys(("aiosmtplib.SMTPAuthenticationError", "smtplib.SMTPAuthenticationError"), _smtp(Stage.AUTH)),
    **dict.fromkeys(("aiosmtplib.SMTPHeloError", "smtplib.SMTPHeloError"), _smtp(Stage.EHLO)),
    "aiosmtplib.SMTPConnectResponseError": _smtp(Stage.CONNECT),
    "smtplib.SMTPConnectError": _smtp(Stage.CONNECT),
    "aiosmtplib.SMTPConnectError": _always(_UNREACHABLE),
    # A disconnect and a time-out are the same class before and after the content was handed over.
    **dict.fromkeys(("aiosmtplib.SMTPServerDisconnected", "smtplib.SMTPServerDisconnected"), _always(_UNKNOWN)),
    **dict.fromkeys(("aiosmtplib.SMTPNotSupported", "smtplib.SMTPNotSupportedError"), _not_supported),
    "aiosmtplib.SMTPTimeoutError": _always(_UNKNOWN),
    "aiosmtplib.SMTPConnectTimeoutError": _always(_UNREACHABLE),
    "socket.gaierror": _always(_UNREACHABLE),
    "ssl.SSLCertVerificationError": _always(_UNREACHABLE),
    "botocore.ClientError": _client_error,
    **dict.fromkeys(
        (
            "botocore.ConnectTimeoutError",
            "botocore.ProxyConnectionError",
            "aiohttp.ClientConnectorError",
        ),
        _always(_UNREACHABLE),
    ),
    "aiohttp.ClientError": _always(_UNKNOWN),
    "botocore.EndpointConnectionError": _always(_UNREACHABLE),
    # What a request, or the reading of its answer, ends in.
    **dict.fromkeys(
        (
            "botocore.HTTPClientError",
            "botocore.ConnectionError",
            "botocore.IncompleteReadError",
            "botocore.ChecksumError",
            "botocore.FlexibleChecksumError",
        ),
        _always(_UNKNOWN),
    ),
    "botocore.ValidationError": _always(Meaning(Outcome.PERMANENT)),
    "botocore.ParamValidationError": _always(Meaning(Outcome.PERMANENT)),
    # All else of botocore's is raised before any request: credentials, region, endpoint, signature, configuration.
    "botocore.BotoCoreError": _always(_NO_CREDENTIALS),
}

# botocore keeps the HTTP client's exception beside its own, which says more: aiobotocore says "could not connect" of a
# connection that was reset after the request as well.
_WRAPPING = frozenset({"botocore.EndpointConnectionError", "botocore.HTTPClientError", "botocore.SSLError"})


def _name(kind: type[BaseException]) -> str:
    """Package and name of a class: modules inside a package are moved from release to release."""
    return f"{kind.__module__.partition('.')[0]}.{kind.__name__}"


def _of_a_client(exc: BaseException) -> bool:
    """Whether a network or a client library raised it, though no table has it."""
    if isinstance(exc, OSError | EOFError):
        return True
    return any(kind.__module__.partition(".")[0] in _CLIENTS for kind in type(exc).__mro__)


class Classify:
    """
    Tells what an exception means for the attempt that it ended: `classify(exc)`.

    Knows the exceptions of seslimit, of aiosmtplib, smtplib, botocore and boto3, and of sockets. One that it does not
    know is `Outcome.UNKNOWN`: the message may have been accepted. Other clients' exceptions can be taught; each object
    knows what it was taught itself.
    """

    def __init__(self) -> None:
        self._taught: dict[type[BaseException], _Reading] = {BaseExceptionGroup: self._of_group}

    def __call__(self, exc: BaseException) -> Outcome:
        """What the exception means."""
        return self.meaning(exc).outcome

    def meaning(self, exc: BaseException) -> Meaning:
        """
        What an exception says about the attempt that it ended, with all that the limiter wants to know.

        Where a class is not known, the exception that it was raised from (`__cause__`) is asked. What neither a network
        nor a client library raises is unknown and foreign: no reply was lost, and the message may have been accepted.
        """
        foreign = True
        cause: BaseException | None = exc
        for _ in range(DEPTH):
            if cause is None:
                break
            found = self._read(cause)
            if found is not None:
                return found
            foreign = foreign and not _of_a_client(cause)
            cause = cause.__cause__
        return _FOREIGN if foreign else _UNKNOWN

    def teach(self, exception: type[E], reading: Callable[[E], Outcome | TransportError]) -> None:
        """
        Make an exception class known.

        A class's own reading goes before its parents'; teaching a class again replaces its reading.

        Args:
            exception: the class; its subclasses are covered where they have no reading of their own.
            reading: says what an instance means: an outcome, or a `TransportError` where there is more to say, as
                how long to wait or how far the attempt had come.
        """

        def read(exc: E) -> Meaning:
            told = reading(exc)
            return _of_transport(told) if isinstance(told, TransportError) else Meaning(Outcome(told))

        self._taught[exception] = read

    def _read(self, exc: BaseException) -> Meaning | None:
        """Ask the readings of its classes, the most derived first, what was taught before what is built in."""
        for kind in type(exc).__mro__:
            name = _name(kind)
            wrapping = self._of_inner if name in _WRAPPING else None
            for reading in (self._taught.get(kind), _BUILT_IN.get(kind), wrapping, _NAMED.get(name)):
                if reading is not None and (found := reading(exc)) is not None:
                    return found
        return None

    def _of_inner(self, exc: Any) -> Meaning | None:
        inner = getattr(exc, "kwargs", {}).get("error")
        return self._read(inner) if isinstance(inner, BaseException) else None

    def _of_group(self, exc: BaseExceptionGroup[BaseException]) -> Meaning:
        return most_useful(self._read(part) or _UNKNOWN for part in exc.exceptions)


classify = Classify()
"""What an exception means for the attempt that it ended; see `Classify`."""

meaning = classify.meaning
"""The same with all that the limiter wants to know."""
