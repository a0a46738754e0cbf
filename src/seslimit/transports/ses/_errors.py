"""What the errors of a request to the API mean, as errors of a transport."""

from __future__ import annotations

from collections.abc import Collection

from botocore.exceptions import ClientError, NoCredentialsError

from ..._meaning.classify import meaning, meaning_of_api_error
from ..._model.errors import TransportError
from ..._model.meaning import Meaning
from ..._model.outcome import Outcome, Stage
from .._refusal import error_of, words_of
from ._request import Request

_ENDED = frozenset({"ExpiredToken", "ExpiredTokenException"})
_NO_CREDENTIALS = (
    "No AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile, or use a role."
)


def ended(error: ClientError) -> bool:
    """Whether the credentials were good once, and new ones may be."""
    return error.response.get("Error", {}).get("Code") in _ENDED


def refused(error: ClientError, request: Request | None = None, recipients: Collection[str] = ()) -> TransportError:
    """The error for an answer of the service that is no acceptance."""
    described = error.response.get("Error", {})
    words = f"{described.get('Code', '')} {described.get('Message', '')}".strip()
    return error_of(
        meaning_of_api_error(error.response, recipients), words, decided_at=request.written_at if request else None
    )


def broken(error: Exception, request: Request) -> TransportError:
    """The error for a request without an answer: nothing was sent, or nobody can tell."""
    meant = meaning(error)
    if isinstance(error, NoCredentialsError):
        return error_of(meant, _NO_CREDENTIALS)
    if meant.outcome is not Outcome.UNKNOWN:
        return error_of(meant, f"No request was made: {words_of(error)}")
    if request.written_at is None:
        unwritten = Meaning(Outcome.NOT_SENT, blocks_endpoint=True, stage=Stage.CONNECT)
        return error_of(unwritten, f"No request was made: {words_of(error)}")
    words = "The connection broke after the request was written, the message may have been accepted"
    return error_of(
        Meaning(Outcome.UNKNOWN, stage=Stage.REQUEST), f"{words}: {words_of(error)}", decided_at=request.written_at
    )
